//! What the routes about compensations take and give.

use super::{Answers, BODY_PROBLEMS, Content, Description, making, one_link};
use crate::http::problem::Kind;

const FULL: &str = "FullCompensation";

const REQUEST_PROBLEMS: [Kind; 8] = {
    let [malformed, invalid, large, media] = BODY_PROBLEMS;
    let (query, header) = (Kind::InvalidQuery, Kind::InvalidHeader);
    let (in_flight, reused) = (Kind::RequestInFlight, Kind::IdempotencyKeyReused);
    [query, malformed, invalid, large, media, header, in_flight, reused]
};
const REJECT_PROBLEMS: [Kind; 9] = {
    let [malformed, invalid, large, media] = BODY_PROBLEMS;
    let (query, not_found) = (Kind::InvalidQuery, Kind::NotFound);
    let (decided, refused) = (Kind::CompensationDecided, Kind::CaseRefused);
    [malformed, invalid, large, media, query, not_found, decided, refused, Kind::UnderReview]
};
const APPROVE_PROBLEMS: [Kind; 10] = {
    let [malformed, invalid, large, media, query, not_found, decided, refused, review] =
        REJECT_PROBLEMS;
    let own = Kind::OwnRequest;
    [malformed, invalid, large, media, query, not_found, decided, refused, review, own]
};

pub(super) const REQUEST_COMPENSATION: Description = Description {
    problems: &REQUEST_PROBLEMS,
    ..making(
        "Asks for up to 1,000 rewards to be granted by hand; somebody else has to approve it",
        "NewCompensation",
        &[(201, "What was asked for; Location says where it is", Content::Schema(FULL))],
    )
};
pub(super) const LIST_COMPENSATIONS: Description = Description {
    parameters: &["campaign of rewards", "state of compensations", "limit of rewards", "cursor"],
    problems: &[Kind::InvalidQuery],
    ..one_compensation(
        "Lists compensations, newest first, without their items",
        &[(200, "A page of compensations", Content::Schema("CompensationPage"))],
    )
};
pub(super) const GET_COMPENSATION: Description = one_compensation(
    "Shows a compensation, with what became of each item",
    &[(200, "The compensation", Content::Schema(FULL))],
);
pub(super) const APPROVE_COMPENSATION: Description = Description {
    body: Some("Decision"),
    problems: &APPROVE_PROBLEMS,
    ..one_compensation(
        "Approves what somebody else asked for; all of it is done at once when its case has all approvals",
        &[(200, "The compensation, done now or before", Content::Schema(FULL))],
    )
};
pub(super) const REJECT_COMPENSATION: Description = Description {
    body: Some("Decision"),
    problems: &REJECT_PROBLEMS,
    ..one_compensation(
        "Rejects what was asked for, or takes it back",
        &[(200, "The compensation, rejected now or before", Content::Schema(FULL))],
    )
};

/// A route that is about a compensation that is there.
const fn one_compensation(summary: &'static str, answers: Answers) -> Description {
    Description { parameters: &["id"], ..one_link(summary, answers) }
}
