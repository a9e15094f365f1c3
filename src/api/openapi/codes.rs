//! What the routes about referral codes take and give.

use super::{Answers, BODY_PROBLEMS, Content, Description, one_link};
use crate::http::problem::Kind;

const CODE: &str = "ReferralCode";

/// What can be wrong with a body that asks for a code in a campaign.
const ASKING_PROBLEMS: [Kind; 7] = {
    let [malformed, invalid, large, media] = BODY_PROBLEMS;
    let (query, not_found) = (Kind::InvalidQuery, Kind::NotFound);
    [malformed, invalid, large, media, query, not_found, Kind::CampaignNotRunning]
};
const CHOOSING_PROBLEMS: [Kind; 8] = {
    let [malformed, invalid, large, media, query, not_found, not_running] = ASKING_PROBLEMS;
    [malformed, invalid, large, media, query, not_found, not_running, Kind::CodeTaken]
};

pub(super) const ISSUE_CODE: Description = Description {
    parameters: &["campaign"],
    body: Some("NewCode"),
    problems: &ASKING_PROBLEMS,
    ..one_link(
        "Gives a user a code, or says which one the user has",
        &[
            (201, "The code, which is new", Content::Schema(CODE)),
            (200, "The code that the user had already", Content::Schema(CODE)),
        ],
    )
};
pub(super) const ISSUE_CODES: Description = Description {
    parameters: &["campaign"],
    body: Some("CodeBatch"),
    problems: &ASKING_PROBLEMS,
    ..one_link(
        "Gives up to 1,000 users their codes",
        &[(200, "A result for each user", Content::Schema("CodeBatchResults"))],
    )
};
pub(super) const CHOOSE_CODE: Description = Description {
    parameters: &["campaign", "user"],
    body: Some("ChosenCode"),
    problems: &CHOOSING_PROBLEMS,
    ..one_link(
        "Gives a user a code of your choice; the one before goes on leading to the user",
        &[
            (201, "The code, which the user has from now on", Content::Schema(CODE)),
            (200, "The user had this code already", Content::Schema(CODE)),
        ],
    )
};

pub(super) const GET_CODE: Description = one_code(
    "Says who has a code, and in which campaign, however the code is typed",
    &[(200, "The code", Content::Schema(CODE))],
);
pub(super) const DISABLE_CODE: Description = one_code(
    "Switches a code off: nobody is invited by it any more",
    &[(200, "The code as it now is", Content::Schema(CODE))],
);
pub(super) const ENABLE_CODE: Description =
    one_code("Switches a code on again", &[(200, "The code as it now is", Content::Schema(CODE))]);

/// A route that is about a code that is there.
const fn one_code(summary: &'static str, answers: Answers) -> Description {
    Description { parameters: &["code"], ..one_link(summary, answers) }
}
