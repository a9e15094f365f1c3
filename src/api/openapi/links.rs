//! What the routes about links take and give.

use super::{Answers, Content, Description, EDIT_PROBLEMS, making, one_link};

pub(super) const CREATE_LINK: Description = making(
    "Makes a link",
    "NewLink",
    &[
        (201, "The new link; Location says where it is", Content::Schema("Link")),
        (200, "An existing link, with 'reuse'", Content::Schema("Link")),
    ],
);
pub(super) const CREATE_LINKS: Description = making(
    "Makes up to 10,000 links",
    "LinkBatch",
    &[(200, "A result for each link", Content::Schema("BatchResults"))],
);
pub(super) const LIST_LINKS: Description = Description {
    parameters: &["q", "tag", "domain", "limit", "cursor"],
    ..one_link(
        "Lists links, newest first",
        &[(200, "A page of links", Content::Schema("LinkPage"))],
    )
};
pub(super) const EDIT_LINK: Description = Description {
    body: Some("LinkEdit"),
    problems: &EDIT_PROBLEMS,
    ..one_link("Edits a link", &[(200, "The link as it now is", Content::Schema("Link"))])
};
pub(super) const GET_CLICKS: Description = Description {
    parameters: &["slug", "domain", "by", "from", "to", "limit of values"],
    ..one_link(
        "Reports how often a link was opened, in groups",
        &[(200, "The report; up to some seconds behind", Content::Schema("ClickReport"))],
    )
};
pub(super) const LIST_VISITS: Description = Description {
    parameters: &["slug", "domain", "from", "to", "limit of visits", "cursor"],
    ..one_link(
        "Lists the visits of a link, the latest first",
        &[(200, "A page of visits", Content::Schema("VisitPage"))],
    )
};

/// A route that draws a link's short URL.
pub(super) fn drawing(summary: &'static str, answers: Answers) -> Description {
    Description {
        parameters: &["slug", "domain", "size", "margin", "error_correction"],
        ..one_link(summary, answers)
    }
}
