//! What the routes about scratch cards, messages and the comparison of the books take and give.

use super::{BODY_PROBLEMS, Content, Description, one_link};
use crate::http::problem::Kind;

const MESSAGES_PROBLEMS: [Kind; 6] = {
    let [malformed, invalid, large, media] = BODY_PROBLEMS;
    [malformed, invalid, large, media, Kind::InvalidQuery, Kind::NotFound]
};
const REVEAL_PROBLEMS: [Kind; 8] = {
    let [malformed, invalid, large, media] = BODY_PROBLEMS;
    let (query, not_found) = (Kind::InvalidQuery, Kind::NotFound);
    [malformed, invalid, large, media, query, not_found, Kind::CardExpired, Kind::CardNotReady]
};

pub(super) const ALLOW_MESSAGES: Description = Description {
    parameters: &["campaign", "user"],
    body: Some("Messages"),
    problems: &MESSAGES_PROBLEMS,
    ..one_link(
        "Says whether a user wants to be reminded of cards that wait",
        &[(200, "What was said", Content::Schema("Messages"))],
    )
};
pub(super) const REVEAL_CARD: Description = Description {
    parameters: &["id"],
    body: Some("RevealRequest"),
    problems: &REVEAL_PROBLEMS,
    ..one_link(
        "Scratches a card: from now on its amount is told, and the money is on its way",
        &[(200, "The card, now or before", Content::Schema("RevealedCard"))],
    )
};
pub(super) const GET_RECONCILIATION: Description = Description {
    parameters: &["from day", "to day"],
    problems: &[Kind::InvalidQuery],
    ..one_link(
        "Shows how the books compare with the payment service's, by day",
        &[(200, "Days and differences", Content::Schema("Reconciliation"))],
    )
};
