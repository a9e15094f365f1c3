//! What the routes about claims, bindings, triggers and users take and give.

use super::{BODY_PROBLEMS, Content, Description, one_link};
use crate::http::problem::Kind;

const CLAIM_PROBLEMS: [Kind; 11] = {
    let [malformed, invalid, large, media] = BODY_PROBLEMS;
    let (query, missing, cut) = (Kind::InvalidQuery, Kind::TokenMissing, Kind::TokenMalformed);
    let (forged, expired) = (Kind::TokenForged, Kind::TokenExpired);
    let (domain, install) = (Kind::TokenOfAnotherDomain, Kind::ClaimedByAnotherInstall);
    [malformed, invalid, large, media, query, missing, cut, forged, expired, domain, install]
};
const BINDING_PROBLEMS: [Kind; 9] = {
    let [malformed, invalid, large, media] = BODY_PROBLEMS;
    let (query, not_found) = (Kind::InvalidQuery, Kind::NotFound);
    let (refused, bound) = (Kind::BindingRefused, Kind::AlreadyBound);
    [malformed, invalid, large, media, query, not_found, refused, bound, Kind::TooManyAttempts]
};
const TRIGGER_PROBLEMS: [Kind; 8] = {
    let [malformed, invalid, large, media] = BODY_PROBLEMS;
    let (query, not_found) = (Kind::InvalidQuery, Kind::NotFound);
    [malformed, invalid, large, media, query, not_found, Kind::EventDiffers, Kind::CampaignRetired]
};

pub(super) const CLAIM: Description = Description {
    parameters: &[],
    body: Some("ClaimRequest"),
    problems: &CLAIM_PROBLEMS,
    ..one_link(
        "Hands a click token back: the first installation has it for ever",
        &[
            (201, "The claim, which is new", Content::Schema("Claim")),
            (200, "The claim that this installation has already", Content::Schema("Claim")),
        ],
    )
};
pub(super) const BIND: Description = Description {
    parameters: &["campaign"],
    body: Some("BindingRequest"),
    problems: &BINDING_PROBLEMS,
    ..one_link(
        "Binds an invitee to whoever shared the code or the claimed link, for ever",
        &[
            (201, "The binding, which is new", Content::Schema("Binding")),
            (
                200,
                "The binding to the same inviter that is there already",
                Content::Schema("Binding"),
            ),
        ],
    )
};
pub(super) const TAKE_TRIGGER: Description = Description {
    parameters: &["campaign"],
    body: Some("TriggerRequest"),
    problems: &TRIGGER_PROBLEMS,
    ..one_link(
        "Takes what a user reached: the same event is stored once",
        &[
            (201, "The trigger, which is new", Content::Schema("Trigger")),
            (200, "The same trigger, which was told before", Content::Schema("Trigger")),
        ],
    )
};
pub(super) const TAKE_TRIGGERS: Description = Description {
    parameters: &["campaign"],
    documents: &["application/x-ndjson"],
    problems: &[
        Kind::MalformedBody,
        Kind::BodyTooLarge,
        Kind::UnsupportedMediaType,
        Kind::InvalidQuery,
        Kind::NotFound,
    ],
    ..one_link(
        "Takes what users reached, one of them a line; each line has an answer of its own",
        &[(200, "A line for each line, in their order", Content::Lines("TriggerLine"))],
    )
};
pub(super) const GET_USER: Description = Description {
    parameters: &["campaign", "user"],
    ..one_link(
        "Shows all that an app's campaign page needs of a user",
        &[(200, "The page; an empty one for a user who is not known", Content::Schema("User"))],
    )
};
