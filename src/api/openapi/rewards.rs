//! What the routes about rewards take and give.

use super::{Answers, BODY_PROBLEMS, Content, Description, one_link};
use crate::http::problem::Kind;

const REWARD: &str = "Reward";

/// What can be wrong with what somebody wants to do to a reward.
const DECIDING_PROBLEMS: [Kind; 8] = {
    let [malformed, invalid, large, media] = BODY_PROBLEMS;
    let (query, not_found) = (Kind::InvalidQuery, Kind::NotFound);
    let state = Kind::RewardInOtherState;
    [malformed, invalid, large, media, query, not_found, state, Kind::UnderReview]
};
const APPROVING_PROBLEMS: [Kind; 9] = {
    let [malformed, invalid, large, media, query, not_found, state, review] = DECIDING_PROBLEMS;
    [malformed, invalid, large, media, query, not_found, state, review, Kind::BudgetExhausted]
};

pub(super) const LIST_REWARDS: Description = Description {
    parameters: &[
        "campaign of rewards",
        "state of rewards",
        "user of rewards",
        "invitee",
        "kind",
        "limit of rewards",
        "cursor",
    ],
    problems: &[Kind::InvalidQuery],
    ..one_reward(
        "Lists rewards, newest first",
        &[(200, "A page of rewards", Content::Schema("RewardPage"))],
    )
};
pub(super) const GET_REWARD: Description =
    one_reward("Shows a reward", &[(200, "The reward", Content::Schema(REWARD))]);
pub(super) const EXPLAIN_REWARD: Description = one_reward(
    "Says why a reward stands where it stands: the chain from the click to the money",
    &[(200, "The chain", Content::Schema("RewardExplanation"))],
);
pub(super) const EXPLAIN_USER: Description = Description {
    parameters: &["campaign", "user"],
    ..one_reward(
        "Says why a user has, or has not, earned something",
        &[(
            200,
            "What is known; little of a user who is not known",
            Content::Schema("UserExplanation"),
        )],
    )
};
pub(super) const APPROVE_REWARD: Description = Description {
    problems: &APPROVING_PROBLEMS,
    ..deciding("Grants a reward that was held", "Decision")
};
pub(super) const DENY_REWARD: Description = deciding("Refuses a reward that was held", "Decision");
pub(super) const REPLAY_REWARD: Description =
    deciding("Sends a parked reward on from where it stopped", "ReplayRequest");
pub(super) const REVERSE_REWARD: Description =
    deciding("Takes a reward back, by another entry in the books", "Decision");

/// A route that is about a reward that is there.
const fn one_reward(summary: &'static str, answers: Answers) -> Description {
    Description { parameters: &["id"], ..one_link(summary, answers) }
}

/// A route by which a person does something to a reward.
const fn deciding(summary: &'static str, body: &'static str) -> Description {
    Description {
        body: Some(body),
        problems: &DECIDING_PROBLEMS,
        ..one_reward(
            summary,
            &[(200, "The reward as it now is, or was left before", Content::Schema(REWARD))],
        )
    }
}
