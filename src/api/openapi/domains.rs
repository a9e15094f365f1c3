//! What the routes about domains take and give.

use super::{Answers, Content, Description, EDIT_PROBLEMS, creating, making, one_link};
use crate::http::problem::Kind;

const ADD_PROBLEMS: [Kind; 9] = creating(Kind::DomainExists);

pub(super) const CREATE_DOMAIN: Description = Description {
    problems: &ADD_PROBLEMS,
    ..making(
        "Adds a domain",
        "NewDomain",
        &[(201, "The new domain; Location says where it is", Content::Schema("Domain"))],
    )
};
pub(super) const LIST_DOMAINS: Description = Description {
    parameters: &[],
    problems: &[Kind::InvalidQuery],
    ..one_domain(
        "Lists all domains, the default one first",
        &[(200, "All domains", Content::Schema("DomainList"))],
    )
};
pub(super) const EDIT_DOMAIN: Description = Description {
    body: Some("DomainEdit"),
    problems: &EDIT_PROBLEMS,
    ..one_domain("Edits a domain", &[(200, "The domain as it now is", Content::Schema("Domain"))])
};
pub(super) const DELETE_DOMAIN: Description = Description {
    problems: &[Kind::NotFound, Kind::InvalidQuery, Kind::DomainInUse],
    ..one_domain("Deletes a domain that has no links", &[(204, "It is deleted", Content::Nothing)])
};

/// A route that is about a domain that is there.
pub(super) const fn one_domain(summary: &'static str, answers: Answers) -> Description {
    Description { parameters: &["host"], ..one_link(summary, answers) }
}
