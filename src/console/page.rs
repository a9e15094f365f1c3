//! What pages are made of: the frame around all of them, tables, facts, and the fields of forms.

use hyper::StatusCode;
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, html};

use super::assets::Assets;
use super::form::Form;
use super::session::Session;
use super::{ROOT, Visit};
use crate::fault::Fault;
use crate::http::auth::{Caller, Scope};
use crate::http::problem::Problem;

/// Which part of the console a page belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// None of them.
    None,
    /// Sums of everything.
    Overview,
    /// Links.
    Links,
    /// Rewards.
    Rewards,
    /// Compensations.
    Compensations,
    /// Campaigns.
    Campaigns,
}

impl Section {
    /// Those that one can go to.
    const ALL: [Self; 5] =
        [Self::Overview, Self::Links, Self::Rewards, Self::Compensations, Self::Campaigns];

    /// Its path below the console, and its name.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::None | Self::Overview => ("", "Overview"),
            Self::Links => ("/links", "Links"),
            Self::Rewards => ("/rewards", "Rewards"),
            Self::Compensations => ("/compensations", "Compensations"),
            Self::Campaigns => ("/campaigns", "Campaigns"),
        }
    }

    /// The scopes of which one is needed to see it; with none of them, everybody does.
    pub(super) fn scopes(self) -> &'static [Scope] {
        match self {
            Self::None | Self::Overview => &[],
            Self::Links => &[Scope::Links],
            Self::Rewards | Self::Compensations => &[Scope::Rewards, Scope::Reviews],
            Self::Campaigns => &[Scope::Campaigns],
        }
    }

    fn is_for(self, caller: &Caller) -> bool {
        let scopes = self.scopes();
        scopes.is_empty() || scopes.iter().any(|scope| caller.may(*scope))
    }
}

/// A page without its frame.
#[derive(Debug)]
pub(super) struct Page {
    /// Its heading and title.
    title: String,
    section: Section,
    status: StatusCode,
    main: Markup,
}

impl Page {
    /// A page that is as it was wanted.
    pub(super) fn new(title: impl Into<String>, section: Section, main: Markup) -> Self {
        Self { title: title.into(), section, status: StatusCode::OK, main }
    }

    /// A form that comes back, because of these faults; without any, a page that was wanted.
    pub(super) fn with_faults(self, faults: &[Fault]) -> Self {
        let status = if faults.is_empty() { self.status } else { StatusCode::UNPROCESSABLE_ENTITY };
        Self { status, ..self }
    }

    /// The same with another status.
    pub(super) fn with_status(self, status: StatusCode) -> Self {
        Self { status, ..self }
    }

    /// A page that says what is wrong.
    pub(super) fn of_problem(problem: Problem) -> Self {
        let status = problem.kind().status();
        let body = problem.into_body();
        let main = html! {
            p.lead { (body.detail) }
            @if body.errors.len() > 1 {
                ul { @for fault in &body.errors { li { (fault.pointer) " " (fault.detail) } } }
            }
            p { a href=(ROOT) { "To the overview" } }
        };
        Self { title: body.title.to_owned(), section: Section::None, status, main }
    }

    /// The status that it is answered with.
    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// The whole page, for whoever is signed in, or for nobody.
    pub(super) fn render(&self, session: Option<&Session>, assets: &Assets) -> String {
        let page = html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    title { (self.title) " · Waypost console" }
                    link rel="stylesheet" href=(assets.style_path());
                    link rel="icon" href="data:,";
                    script src=(assets.script_path()) defer="defer" {}
                }
                body {
                    a.skip href="#main" { "Skip to the content" }
                    header {
                        a.brand href=(ROOT) { "Waypost" span { " console" } }
                        @if let Some(session) = session { (self.bar(session)) }
                    }
                    main #main {
                        h1 { (self.title) }
                        (self.main)
                    }
                }
            }
        };
        page.into_string()
    }

    /// Where one can go, who one is, and the way out.
    fn bar(&self, session: &Session) -> Markup {
        let sections = Section::ALL.into_iter().filter(|it| it.is_for(&session.caller));
        html! {
            nav aria-label="Sections" {
                @for section in sections {
                    @let (path, name) = section.words();
                    @let current = (section == self.section).then_some("page");
                    a href={ (ROOT) (path) } aria-current=[current] { (name) }
                }
            }
            form.out method="post" action={ (ROOT) "/sign-out" } {
                (token(session))
                span { (session.caller.actor) }
                button.quiet { "Sign out" }
            }
        }
    }
}

/// What shows that a form is of this session.
fn token(session: &Session) -> Markup {
    html! { input type="hidden" name="token" value=(session.id.token()); }
}

impl Visit<'_> {
    /// The same, for whoever visits.
    pub(super) fn token(&self) -> Markup {
        token(self.session)
    }
}

/// A field of a form.
#[derive(Clone, Copy, Debug)]
pub(super) struct Input<'a> {
    /// Its name, which the pointer of a fault begins with.
    pub(super) name: &'a str,
    /// What people call it.
    pub(super) label: &'a str,
    /// What goes in; may be empty.
    pub(super) hint: &'a str,
    /// The kind of input, as in HTML; `area` is one of many lines.
    pub(super) kind: &'a str,
    /// Whether something must stand there.
    pub(super) needed: bool,
}

/// The faults of a field: those whose pointer is its name, or a place within.
fn faults_of<'a>(faults: &'a [Fault], name: &str) -> Vec<&'a Fault> {
    let is_its = |fault: &&Fault| {
        let rest = fault.pointer.strip_prefix('/').and_then(|it| it.strip_prefix(name));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    faults.iter().filter(is_its).collect()
}

/// A fault in words. Places in a list are told as lines.
fn words(fault: &Fault, name: &str) -> String {
    let rest = fault.pointer.strip_prefix('/').and_then(|it| it.strip_prefix(name));
    let mut parts = rest.unwrap_or_default().split('/').skip(1);
    let line = parts.next().and_then(|it| it.parse::<usize>().ok());
    match (line, parts.next()) {
        (Some(line), Some(part)) => {
            format!("Line {}: {part} {}", line.saturating_add(1), fault.detail)
        }
        (Some(line), None) => format!("Number {}: {}", line.saturating_add(1), fault.detail),
        (None, _) => fault.detail.clone(),
    }
}

/// A field with its label, its hint, what was filled in before, and what is wrong with it.
pub(super) fn input(values: &Form, faults: &[Fault], it: &Input<'_>) -> Markup {
    let Input { name, label, hint, kind, needed } = *it;
    let faults = faults_of(faults, name);
    let (hint_id, error_id) = (format!("{name}-hint"), format!("{name}-error"));
    let described: Vec<&str> = [(!hint.is_empty(), &hint_id), (!faults.is_empty(), &error_id)]
        .into_iter()
        .filter_map(|(is_there, id)| is_there.then_some(id.as_str()))
        .collect();
    let described = (!described.is_empty()).then(|| described.join(" "));
    let invalid = (!faults.is_empty()).then_some("true");
    let required = needed.then_some("required");
    let value = if kind == "password" { "" } else { values.text(name) };
    let rest = (kind == "password").then_some("off");
    html! {
        div.field {
            label for=(name) { (label) @if !needed { span.soft { " (optional)" } } }
            @if !hint.is_empty() { p.hint id=(hint_id) { (hint) } }
            @if kind == "area" {
                textarea id=(name) name=(name) rows="5" aria-describedby=[described]
                    aria-invalid=[invalid] required=[required] { (value) }
            } @else {
                input id=(name) name=(name) type=(kind) value=(value) autocomplete=[rest]
                    aria-describedby=[described] aria-invalid=[invalid] required=[required];
            }
            @if !faults.is_empty() {
                ul.fault id=(error_id) { @for fault in &faults { li { (words(fault, name)) } } }
            }
        }
    }
}

/// A choice of some values with their names.
pub(super) fn choice(values: &Form, (name, label): (&str, &str), of: &[(&str, &str)]) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                @for (value, shown) in of {
                    @let selected = (*value == values.text(name)).then_some("selected");
                    option value=(value) selected=[selected] { (shown) }
                }
            }
        }
    }
}

/// The beginning of a form that came back: how much is wrong, and where.
pub(super) fn errors(faults: &[Fault]) -> Markup {
    html! {
        @if !faults.is_empty() {
            div.errors role="alert" tabindex="-1" {
                h2 { "Nothing was changed yet" }
                ul {
                    @for fault in faults {
                        @let name = fault.pointer.split('/').nth(1).unwrap_or_default();
                        li {
                            @if name.is_empty() { (fault.detail) }
                            @else {
                                a href={ "#" (name) } { (name.replace(['_', '-'], " ")) } " "
                                (words(fault, name))
                            }
                        }
                    }
                }
            }
        }
    }
}

/// A column of a table: its head, and whether numbers stand in it.
pub(super) type Column<'a> = (&'a str, bool);

/// A table with a caption; on small screens each row becomes a card.
pub(super) fn table(caption: &str, columns: &[Column<'_>], rows: &[Vec<Markup>]) -> Markup {
    html! {
        table {
            caption { (caption) }
            thead {
                tr { @for (head, number) in columns {
                    th scope="col" class=[number.then_some("number")] { (head) }
                } }
            }
            tbody {
                @for row in rows {
                    tr { @for (cell, (head, number)) in row.iter().zip(columns) {
                        td data-label=(head) class=[number.then_some("number")] { (cell) }
                    } }
                }
            }
        }
    }
}

/// What is known of one thing; what is not known is left out.
pub(super) fn facts(of: &[(&str, Option<Markup>)]) -> Markup {
    html! {
        dl {
            @for (name, value) in of {
                @if let Some(value) = value { div { dt { (name) } dd { (value) } } }
            }
        }
    }
}

/// A text as it is.
pub(super) fn said(text: impl AsRef<str>) -> Markup {
    html! { (text.as_ref()) }
}

/// A link to a page of the console.
pub(super) fn to(place: &str, text: impl AsRef<str>) -> Markup {
    html! { a href={ (ROOT) (place) } { (text.as_ref()) } }
}

/// A moment, to the second.
pub(super) fn when(at: Timestamp) -> Markup {
    let shown = at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string();
    html! { time datetime=(at.to_string()) { (shown) } }
}

/// A number with its thousands apart.
pub(super) fn number(number: i64) -> String {
    let digits = number.unsigned_abs().to_string();
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    if number < 0 { format!("−{grouped}") } else { grouped }
}

/// An amount in minor units.
pub(super) fn amount(minor: i64, currency: &str) -> String {
    format!("{} {currency}", number(minor))
}

/// A state, with a sign besides its colour.
pub(super) fn state(name: &str) -> Markup {
    let class = match name {
        "PAID" | "active" | "executed" | "live" | "bound" => "state good",
        "REVIEW" | "PARKED" | "requested" | "held" => "state waits",
        "DENIED" | "REVERSED" | "EXPIRED" | "retired" | "rejected" | "disabled" | "refused" => {
            "state over"
        }
        _ => "state",
    };
    html! { span class=(class) { (name) } }
}

/// The way to the next page of a list, if there is one.
pub(super) fn pager(place: &str, query: &Form, next: Option<&str>) -> Markup {
    html! {
        @if let Some(next) = next {
            @let query = query.clone().with("cursor", next).as_query();
            p.pager { a href={ (ROOT) (place) (query) } rel="next" { "Older ones" } }
        }
    }
}

/// A word on what was done just before, if the query has one of these.
pub(super) fn done(query: &Form, words: &[(&str, &str)]) -> Markup {
    let said = words.iter().find(|(word, _)| *word == query.text("done"));
    html! { @if let Some((_, said)) = said { p.notice role="status" { (said) } } }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Reason;

    #[test]
    fn thousands_stand_apart() {
        for (given, shown) in [
            (0, "0"),
            (999, "999"),
            (1_000, "1,000"),
            (-1_234_567, "−1,234,567"),
            (i64::MIN, "−9,223,372,036,854,775,808"),
        ] {
            assert_eq!(number(given), shown);
        }
    }

    #[test]
    fn a_field_is_tied_to_what_is_wrong_with_it_and_to_nothing_else() {
        let fault = |pointer: &str| Fault::new(pointer, Reason::Empty, "is wrong");
        let it = Input { name: "tag", label: "Tag", hint: "", kind: "text", needed: true };
        let shown = |faults: &[Fault]| input(&Form::default(), faults, &it).into_string();
        let tied = shown(&[fault("/tag")]);
        assert!(tied.contains("aria-describedby=\"tag-error\" aria-invalid=\"true\""), "{tied}");
        assert!(tied.contains("<ul class=\"fault\" id=\"tag-error\"><li>is wrong</li></ul>"));
        assert!(shown(&[fault("/tag/2")]).contains("Number 3: is wrong"));
        assert!(shown(&[fault("/tag/2/side")]).contains("Line 3: side is wrong"));
        for other in ["/tags", "/", "", "/other/tag"] {
            assert!(!shown(&[fault(other)]).contains("aria-invalid"), "{other}");
        }
    }
}
