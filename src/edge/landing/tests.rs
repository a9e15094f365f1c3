use std::fs;

use url::Url;

use super::assets::Assets;
use super::notice::Unknown;
use super::page::{Pages, Visit};
use super::stores::Handset;
use crate::campaign::document::{self, Format};
use crate::campaign::live::Current;
use crate::campaign::{Campaign, CampaignNumber, State, Version};

const DEMO: &str = include_str!("../../../config/campaigns/demo.toml");

pub(super) fn current(campaign: Campaign) -> Current {
    Current {
        id: "demo".parse().expect("a name"),
        number: CampaignNumber(1),
        version: Version(1),
        state: State::Active,
        campaign,
    }
}
