//! What the routes about campaigns take and give.

use super::{Answers, Content, Description, one_link};
use crate::http::problem::Kind;

pub(super) const GET_CAMPAIGN: Description = one_campaign(
    "Shows a campaign, in the version that counts",
    &[(200, "The campaign", Content::Schema("Campaign"))],
);
pub(super) const PUT_CAMPAIGN_VERSION: Description = Description {
    parameters: &["campaign", "dry_run"],
    documents: &["application/toml", "application/json"],
    problems: &[
        Kind::NotFound,
        Kind::InvalidQuery,
        Kind::MalformedBody,
        Kind::InvalidBody,
        Kind::BodyTooLarge,
        Kind::UnsupportedMediaType,
    ],
    ..one_campaign(
        "Stores a document as a new version of a campaign",
        &[
            (
                201,
                "The new version, a draft; Location says where it is",
                Content::Schema("CampaignVersion"),
            ),
            (
                200,
                "The version that has this content already; with 'dry_run' what was found",
                Content::Either("CampaignVersion", "CheckedCampaign"),
            ),
        ],
    )
};
pub(super) const LIST_CAMPAIGNS: Description = Description {
    parameters: &[],
    problems: &[Kind::InvalidQuery],
    ..one_campaign(
        "Lists all campaigns, each in the version that counts",
        &[(200, "All campaigns", Content::Schema("CampaignList"))],
    )
};
pub(super) const LIST_CAMPAIGN_VERSIONS: Description = Description {
    parameters: &["campaign", "limit of versions", "cursor"],
    ..one_campaign(
        "Lists the versions of a campaign, the latest first",
        &[(200, "A page of versions", Content::Schema("CampaignVersionPage"))],
    )
};
pub(super) const GET_CAMPAIGN_VERSION: Description = Description {
    parameters: &["campaign", "version"],
    ..one_campaign(
        "Shows a version of a campaign, with its document",
        &[(200, "The version", Content::Schema("CampaignVersion"))],
    )
};
pub(super) const ACTIVATE_CAMPAIGN: Description = Description {
    parameters: &["campaign", "version"],
    problems: &[Kind::NotFound, Kind::InvalidQuery, Kind::CampaignNotValid, Kind::CampaignsSteered],
    ..one_campaign(
        "Makes a version the active one; an older one as well as a new one",
        &[(200, "The campaign as it now is", Content::Schema("Campaign"))],
    )
};
pub(super) const RETIRE_CAMPAIGN: Description = Description {
    problems: &[
        Kind::NotFound,
        Kind::InvalidQuery,
        Kind::CampaignNotActive,
        Kind::CampaignsSteered,
    ],
    ..one_campaign(
        "Ends the active version of a campaign",
        &[(200, "The campaign as it now is", Content::Schema("Campaign"))],
    )
};
pub(super) const COMPARE_CAMPAIGN_VERSIONS: Description = Description {
    parameters: &["campaign", "from version", "to version"],
    problems: &[Kind::NotFound, Kind::InvalidQuery, Kind::CampaignNotValid],
    ..one_campaign(
        "Says in what two versions of a campaign differ",
        &[(200, "Each field that differs", Content::Schema("CampaignDiff"))],
    )
};

const SIMULATION: Answers = &[(
    200,
    "What it would have cost, and what would have been stopped",
    Content::Schema("Simulation"),
)];
pub(super) const SIMULATE_DOCUMENT: Description = Description {
    parameters: &["campaign", "from day of the past", "to day of the past", "draws"],
    documents: &["application/toml", "application/json"],
    problems: &[
        Kind::NotFound,
        Kind::InvalidQuery,
        Kind::MalformedBody,
        Kind::InvalidBody,
        Kind::BodyTooLarge,
        Kind::UnsupportedMediaType,
    ],
    ..one_campaign(
        "Says what the past triggers of a campaign would have cost under a document; stores nothing",
        SIMULATION,
    )
};
pub(super) const SIMULATE_VERSION: Description = Description {
    parameters: &["campaign", "version", "from day of the past", "to day of the past", "draws"],
    problems: &[Kind::NotFound, Kind::InvalidQuery, Kind::CampaignNotValid],
    ..one_campaign(
        "Says what the past triggers of a campaign would have cost under one of its versions; stores nothing",
        SIMULATION,
    )
};

/// A route that is about a campaign.
const fn one_campaign(summary: &'static str, answers: Answers) -> Description {
    Description { parameters: &["campaign"], ..one_link(summary, answers) }
}
