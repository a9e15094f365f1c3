//! What the routes about cases, flows and roles take and give.

use super::{Answers, BODY_PROBLEMS, Content, Description, one_link};
use crate::http::problem::Kind;

const FLOW: &str = "ReviewFlow";

/// What can be wrong with what somebody wants to do to a case.
const ACTING_PROBLEMS: [Kind; 8] = {
    let [malformed, invalid, large, media] = BODY_PROBLEMS;
    let (query, not_found) = (Kind::InvalidQuery, Kind::NotFound);
    [malformed, invalid, large, media, query, not_found, Kind::CaseRefused, Kind::OwnRequest]
};

pub(super) const PUT_FLOW: Description = Description {
    parameters: &[],
    documents: &["application/toml", "application/json"],
    problems: &[
        Kind::InvalidQuery,
        Kind::MalformedBody,
        Kind::InvalidBody,
        Kind::BodyTooLarge,
        Kind::UnsupportedMediaType,
    ],
    ..one_case(
        "Stores a document as a new version of a flow",
        &[
            (201, "The new version, which nothing follows yet", Content::Schema(FLOW)),
            (200, "The version that has this content already", Content::Schema(FLOW)),
        ],
    )
};
pub(super) const LIST_FLOWS: Description = Description {
    parameters: &[],
    problems: &[Kind::InvalidQuery],
    ..one_case(
        "Lists all versions of all flows",
        &[(200, "All versions", Content::Schema("ReviewFlowList"))],
    )
};
pub(super) const ACTIVATE_FLOW: Description = Description {
    parameters: &["subject", "version"],
    ..one_case(
        "Has new cases follow a version of a flow",
        &[(200, "The version", Content::Schema(FLOW))],
    )
};
pub(super) const LIST_ROLES: Description = Description {
    parameters: &[],
    problems: &[Kind::InvalidQuery],
    ..one_case(
        "Lists the roles that people have",
        &[(200, "All roles", Content::Schema("ReviewRoleList"))],
    )
};
pub(super) const GRANT_ROLE: Description = setting_role("Gives somebody a role");
pub(super) const REVOKE_ROLE: Description = setting_role("Takes a role from somebody");
pub(super) const LIST_CASES: Description = Description {
    parameters: &[
        "subject of cases",
        "key of cases",
        "state of cases",
        "node",
        "mine",
        "limit of rewards",
        "cursor",
    ],
    problems: &[Kind::InvalidQuery],
    ..one_case("Lists cases, newest first", &[(200, "A page", Content::Schema("CasePage"))])
};
pub(super) const GET_CASE: Description = one_case(
    "Shows a case, with its tasks and its history",
    &[(200, "The case", Content::Schema("FullCase"))],
);
pub(super) const CLAIM_TASK: Description = acting("Takes a task of a case", "TaskRequest");
pub(super) const RELEASE_TASK: Description = acting("Gives a task back", "TaskRequest");
pub(super) const DELEGATE_TASK: Description =
    acting("Gives your task to somebody else", "DelegateRequest");
pub(super) const APPROVE_CASE: Description =
    acting("Approves a case in the node in which it is", "CaseDecision");
pub(super) const REJECT_CASE: Description =
    acting("Rejects a case, or takes your own request back", "CaseDecision");
pub(super) const ASK_EVIDENCE: Description = acting("Asks for evidence", "QuestionRequest");
pub(super) const ADD_EVIDENCE: Description = acting("Adds evidence to a case", "EvidenceRequest");
pub(super) const JUMP: Description =
    acting("Moves a case to another node, or says what that would do", "JumpRequest");
pub(super) const LIST_JUMPS: Description = one_case(
    "Says where you may move a case to, and why not elsewhere",
    &[(200, "Every node but the one in which it is", Content::Schema("JumpTargets"))],
);

/// A route that is about a case that is there.
const fn one_case(summary: &'static str, answers: Answers) -> Description {
    Description { parameters: &["id"], ..one_link(summary, answers) }
}

/// A route by which a person does something to a case.
const fn acting(summary: &'static str, body: &'static str) -> Description {
    Description {
        body: Some(body),
        problems: &ACTING_PROBLEMS,
        ..one_case(summary, &[(200, "What happened by it", Content::Schema("CaseOutcome"))])
    }
}

const fn setting_role(summary: &'static str) -> Description {
    Description {
        parameters: &["user", "role"],
        problems: &[Kind::InvalidBody, Kind::InvalidQuery],
        ..one_case(summary, &[(204, "It is so now, or was before", Content::Nothing)])
    }
}
