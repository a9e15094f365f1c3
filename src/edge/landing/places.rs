//! Where each campaign's pages are shown, and the pages.

use std::collections::HashMap;
use std::sync::Arc;

use url::Url;

use super::assets::Assets;
use super::notice::Unknown;
use super::page::Pages;
use crate::campaign::CampaignNumber;
use crate::campaign::live::{Campaigns, Current};
use crate::edge::domains::Domains;
use crate::link::DomainId;

/// The pages of all campaigns, as one process has them.
#[derive(Debug)]
pub struct Places {
    pub(super) assets: Arc<Assets>,
    pub(super) unknown: Arc<Unknown>,
    by_number: HashMap<CampaignNumber, Arc<Place>>,
}

/// A campaign's pages.
#[derive(Debug)]
pub struct Place {
    /// The campaign, in the version that is shown.
    pub(super) current: Arc<Current>,
    /// The domain that they are shown in.
    pub(super) domain: DomainId,
    /// What share URLs begin with: the root of the domain.
    pub(super) base: Url,
    pub(super) pages: Pages,
}

impl Places {
    /// No campaign at all.
    pub fn none() -> Self {
        let assets = Assets::new();
        let unknown = Arc::new(Unknown::new(&assets));
        Self { assets: Arc::new(assets), unknown, by_number: HashMap::new() }
    }

    /// The pages of these campaigns. Those that are the same as `before` are not rendered again.
    pub fn of(campaigns: &Campaigns, domains: &Domains, public_url: &Url, before: &Self) -> Self {
        let place = |current: &Arc<Current>| {
            let (domain, base) = home(current, domains, public_url);
            let known = before.by_number.get(&current.number).filter(|known| {
                Arc::ptr_eq(&known.current, current) && known.domain == domain && known.base == base
            });
            let place = known.map_or_else(
                || {
                    let pages = Pages::new(current, &base, &before.assets);
                    Arc::new(Place { current: Arc::clone(current), domain, base, pages })
                },
                Arc::clone,
            );
            (current.number, place)
        };
        Self {
            assets: Arc::clone(&before.assets),
            unknown: Arc::clone(&before.unknown),
            by_number: campaigns.all().map(place).collect(),
        }
    }

    /// The pages of a campaign.
    pub(super) fn numbered(&self, number: CampaignNumber) -> Option<&Arc<Place>> {
        self.by_number.get(&number)
    }
}

/// The domain of a campaign, and its root.
fn home(current: &Current, domains: &Domains, public_url: &Url) -> (DomainId, Url) {
    let host = current.campaign.domain.as_deref();
    // A domain that has gone meanwhile: whoever comes there is led by `unknown_host`.
    let domain = host.and_then(|host| domains.named(host)).unwrap_or(DomainId::DEFAULT);
    (domain, current.campaign.share_base(public_url))
}
