//! Links: finding them, making one, and what came of it.

use hyper::StatusCode;
use maud::{Markup, html};

use super::chart;
use super::form::{Form, escaped};
use super::page::{
    Input, Page, Section, choice, done, errors, facts, input, number, pager, said, state, table,
    to, when,
};
use super::{Console, Outcome, ROOT, Visit};
use crate::api::links::LinkView;
use crate::clicks::report::{By, Key, Report};
use crate::fault::{Fault, Reason};
use crate::http::problem::Problem;
use crate::link::model::Link;
use crate::link::request::NewLink;
use crate::link::service::{Error, ListRequest};
use crate::qr;

/// How many links a page has.
const PAGE: u32 = 50;

/// The fields of a new link that are texts.
const FIELDS: [Input<'_>; 8] = [
    Input {
        name: "target",
        label: "Target",
        hint: "Where the link leads: a whole URL.",
        kind: "text",
        needed: true,
    },
    Input {
        name: "slug",
        label: "Slug",
        hint: "The end of the short URL, like spring-sale; left empty, one is generated.",
        kind: "text",
        needed: false,
    },
    Input {
        name: "domain",
        label: "Domain",
        hint: "The host of the short URL; left empty, the default domain.",
        kind: "text",
        needed: false,
    },
    Input {
        name: "title",
        label: "Title",
        hint: "A name for people.",
        kind: "text",
        needed: false,
    },
    Input {
        name: "description",
        label: "Description",
        hint: "What is behind the link, for previews.",
        kind: "text",
        needed: false,
    },
    Input {
        name: "tags",
        label: "Tags",
        hint: "Words to find it by, with commas between them.",
        kind: "text",
        needed: false,
    },
    Input {
        name: "expires_at",
        label: "Expires at",
        hint: "A moment like 2031-01-31T00:00:00Z; left empty, never.",
        kind: "text",
        needed: false,
    },
    Input {
        name: "max_clicks",
        label: "Most clicks",
        hint: "How often it can be opened; left empty, without end.",
        kind: "text",
        needed: false,
    },
];

/// The empty form.
pub(super) fn asked(visit: &Visit<'_>) -> Result<Outcome, Problem> {
    visit.need(Section::Links.scopes())?;
    let empty = Form::default().with("status", "302");
    Ok(form(visit, &empty, &[], None).into())
}

impl Console {
    /// The links that fit a text, newest first.
    pub(super) async fn list_links(&self, visit: &Visit<'_>) -> Result<Outcome, Problem> {
        visit.need(Section::Links.scopes())?;
        let query = &visit.query;
        let tags = query.given("tag").into_iter().collect();
        let request = ListRequest {
            domain: None,
            text: query.given("q"),
            tags,
            cursor: query.given("cursor"),
            limit: PAGE,
        };
        let page = self.links.list(&request).await?;
        let columns =
            [("Short URL", false), ("Leads to", false), ("State", false), ("Clicks", true)];
        let rows: Vec<Vec<Markup>> = page.links.into_iter().map(|link| self.row(link)).collect();
        let text = Input { name: "q", label: "Text", hint: "", kind: "search", needed: false };
        let tag = Input { name: "tag", label: "Tag", hint: "", kind: "text", needed: false };
        let main = html! {
            p { a.button href={ (ROOT) "/links/new" } { "New link" } }
            form.filter role="search" action={ (ROOT) "/links" } {
                (input(query, &[], &text))
                (input(query, &[], &tag))
                button.quiet { "Search" }
            }
            @if rows.is_empty() { p { "No link fits." } }
            @else { (table("Newest first", &columns, &rows)) }
            (pager("/links", query, page.next.as_deref()))
        };
        Ok(Page::new("Links", Section::Links, main).into())
    }

    fn row(&self, link: Link) -> Vec<Markup> {
        let (place, standing) = (place(&link), self.standing(&link));
        let view = LinkView::new(link, &self.public_url);
        vec![
            html! { div { (to(&place, &view.short_url)) @if let Some(title) = &view.title { br; (title) } } },
            said(&view.target),
            state(standing),
            said(number(view.clicks)),
        ]
    }

    /// What a link is just now.
    fn standing(&self, link: &Link) -> &'static str {
        let now = jiff::Timestamp::from(self.clock.now());
        if link.disabled {
            "disabled"
        } else if link.behaviour.expires_at.is_some_and(|end| end <= now) {
            "expired"
        } else if link.behaviour.valid_from.is_some_and(|begin| begin > now) {
            "to come"
        } else if link.clicks_left() == Some(0) {
            "used up"
        } else {
            "live"
        }
    }

    /// Makes a link of a form, or gives the form back with what is wrong.
    pub(super) async fn make_link(&self, visit: &Visit<'_>) -> Result<Outcome, Problem> {
        visit.need(Section::Links.scopes())?;
        let request = match new_link(visit.form) {
            Ok(request) => request,
            Err(faults) => return Ok(form(visit, visit.form, &faults, None).into()),
        };
        match self.links.create(visit.actor(), &request).await {
            Ok(made) => {
                let mut place = place(&made.link);
                place.push(if place.contains('?') { '&' } else { '?' });
                Ok(Outcome::Goes(format!("{ROOT}{place}done=made")))
            }
            Err(Error::Invalid(faults)) => Ok(form(visit, visit.form, &faults, None).into()),
            Err(taken @ Error::SlugTaken(_)) => {
                let detail = format!("{taken}; choose another one");
                let faults = [Fault::new("/slug", Reason::Conflict, detail)];
                Ok(form(visit, visit.form, &faults, Some(StatusCode::CONFLICT)).into())
            }
            Err(unknown @ Error::UnknownDomain(_)) => {
                let faults = [Fault::new("/domain", Reason::UnknownDomain, unknown.to_string())];
                Ok(form(visit, visit.form, &faults, None).into())
            }
            Err(error) => Err(error.into()),
        }
    }

    /// One link, what it does, and how often it was opened.
    pub(super) async fn show_link(
        &self,
        visit: &Visit<'_>,
        slug: &str,
    ) -> Result<Outcome, Problem> {
        visit.need(Section::Links.scopes())?;
        let host = visit.query.given("domain");
        let link = self.links.get(host.as_deref(), slug).await?;
        let range = self.reports.range(By::Day, None, None)?;
        let report = self.reports.report(link.id, By::Day, range, 1).await?;
        let (place, standing) = (place(&link), self.standing(&link));
        let (path, query) = place.split_once('?').unwrap_or((&place, ""));
        let picture = |kind| format!("{ROOT}{path}/qr.{kind}?{query}");
        let view = LinkView::new(link, &self.public_url);
        let main = html! {
            (done(&visit.query, &[("made", "The link was made.")]))
            p.lead { a href=(view.short_url) { (view.short_url) } }
            p.acts { button.quiet type="button" data-copy=(view.short_url) { "Copy the short URL" } }
            (about(&view, standing))
            section { h2 { "Clicks" } (clicks(&report)) }
            section {
                h2 { "QR code" }
                img.qr src=(picture("svg")) width="192" height="192" alt={ "QR code of " (view.short_url) };
                ul {
                    li { a href=(picture("svg")) download={ (view.slug) ".svg" } { "As SVG" } }
                    li { a href=(picture("png")) download={ (view.slug) ".png" } { "As PNG" } }
                }
            }
        };
        let title = view.title.clone().unwrap_or_else(|| view.slug.clone());
        Ok(Page::new(title, Section::Links, main).into())
    }

    /// The QR code of a link, as SVG or as PNG.
    pub(super) async fn draw_link(
        &self,
        visit: &Visit<'_>,
        slug: &str,
        as_svg: bool,
    ) -> Result<Outcome, Problem> {
        visit.need(Section::Links.scopes())?;
        let host = visit.query.given("domain");
        let link = self.links.get(host.as_deref(), slug).await?;
        let short_url = LinkView::new(link, &self.public_url).short_url;
        let options = qr::Options::default();
        Ok(if as_svg {
            Outcome::File("image/svg+xml", qr::svg(&short_url, &options)?.into())
        } else {
            Outcome::File("image/png", qr::png(&short_url, &options)?.into())
        })
    }
}

/// Where the page of a link is, below the console.
fn place(link: &Link) -> String {
    let domain = link.host.as_ref().map(|host| format!("?domain={}", escaped(host)));
    format!("/links/of/{}{}", escaped(&link.slug), domain.unwrap_or_default())
}

fn about(view: &LinkView, standing: &str) -> Markup {
    let limit = view.max_clicks.map(|most| {
        let left = view.clicks_left.map(number).unwrap_or_default();
        said(format!("{} in all, {left} left", number(most)))
    });
    let rules = (!view.rules.is_empty()).then(|| said(view.rules.len().to_string()));
    facts(&[
        ("State", Some(state(standing))),
        ("Leads to", Some(said(&view.target))),
        ("Answers with", Some(said(view.status.to_string()))),
        ("Opened by people", Some(said(number(view.clicks)))),
        ("By bots", Some(said(number(view.bots)))),
        ("Description", view.description.as_ref().map(said)),
        ("Tags", (!view.tags.is_empty()).then(|| said(view.tags.join(", ")))),
        ("Valid from", view.valid_from.map(when)),
        ("Expires at", view.expires_at.map(when)),
        ("Most clicks", limit),
        ("Then leads to", view.fallback.as_ref().map(said)),
        ("Rules for some visitors", rules),
        ("Made", Some(html! { (when(view.created_at)) " by " (view.created_by) })),
        ("Changed", Some(when(view.updated_at))),
    ])
}

/// The clicks of a link by day.
fn clicks(report: &Report) -> Markup {
    let day = |(key, sums): &(Key, crate::store::clicks::Sums)| match key {
        Key::Day(day) => Some((*day, sums.people)),
        Key::Hour(_) | Key::Value(_) => None,
    };
    let days: Vec<_> = report.groups.iter().filter_map(day).collect();
    chart::days("Clicks by people", &days)
}

/// The form for a new link.
fn form(visit: &Visit<'_>, values: &Form, faults: &[Fault], status: Option<StatusCode>) -> Page {
    let statuses = [
        ("302", "302, for now (usual)"),
        ("301", "301, for good"),
        ("307", "307, for now, with the same method"),
        ("308", "308, for good, with the same method"),
    ];
    let forwards = (values.text("forward_query") == "yes").then_some("checked");
    let main = html! {
        (errors(faults))
        form.wide method="post" action={ (ROOT) "/links/new" } {
            (visit.token())
            @for field in &FIELDS { (input(values, faults, field)) }
            (choice(values, ("status", "Status of the redirect"), &statuses))
            label.check {
                input type="checkbox" name="forward_query" value="yes" checked=[forwards];
                "Add the query of the short URL to the target's"
            }
            div.acts {
                button { "Make the link" }
                a.button.quiet href={ (ROOT) "/links" } { "Cancel" }
            }
        }
    };
    let page = Page::new("New link", Section::Links, main).with_faults(faults);
    match status {
        Some(status) => page.with_status(status),
        None => page,
    }
}

/// What a form asks for. Whether it is good is judged where all links are.
fn new_link(form: &Form) -> Result<NewLink, Vec<Fault>> {
    let mut faults = Vec::new();
    let mut whole = |name: &str| {
        let text = form.given(name)?;
        let number = text.parse::<i64>().ok();
        if number.is_none() {
            let detail = "must be a whole number in digits, like 100";
            faults.push(Fault::new(format!("/{name}"), Reason::WrongType, detail));
        }
        number
    };
    let (status, max_clicks) = (whole("status"), whole("max_clicks"));
    let tags = form.given("tags").map(|tags| {
        let words = tags.split(',').map(str::trim).filter(|tag| !tag.is_empty());
        words.map(str::to_owned).collect()
    });
    let request = NewLink {
        target: form.given("target"),
        slug: form.given("slug"),
        domain: form.given("domain"),
        status,
        expires_at: form.given("expires_at"),
        forward_query: (form.text("forward_query") == "yes").then_some(true),
        max_clicks,
        title: form.given("title"),
        description: form.given("description"),
        tags,
        ..NewLink::default()
    };
    if faults.is_empty() { Ok(request) } else { Err(faults) }
}
