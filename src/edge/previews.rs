//! Pages about a link: for programs that render previews, and for people who want to know where a
//! link leads before they go there.

use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use jiff::Timestamp;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use serde_json::json;

use super::pages::{STYLE, wants_json};
use super::redirect::Answer;
use crate::clock::UnixMillis;
use crate::store::redirects::Preview;

/// What the pages about links look like, beside what all pages have in common.
const LOOK_STYLE: &str = "main{width:100%;min-width:0;box-sizing:border-box}\
    h1{text-wrap:balance}h1,p,li{overflow-wrap:anywhere}\
    .url{font-size:1rem;margin:0 0 1rem}\
    .target{max-height:11.6rem;overflow-y:auto;padding:.875rem 1rem;margin:0 0 1.25rem;\
    border:1px solid #d9d5ca;border-radius:.5rem;background:#fff;color:#4a5265;\
    font:1rem/1.45 ui-monospace,SFMono-Regular,Menlo,monospace}\
    .target strong{color:#1d2433}\
    blockquote{margin:0 0 1.25rem;padding-left:1rem;border-left:.1875rem solid #d9d5ca}\
    cite{display:block;font-style:normal;font-size:.875rem;color:#636b7c}\
    ul{margin:0 0 1.25rem;padding-left:1.125rem;color:#4a5265}li{margin:.25rem 0}\
    .go{display:inline-block;margin-top:.25rem;padding:.625rem 1.25rem;border-radius:.5rem;\
    background:#b8481a;color:#fff;text-decoration:none;font-weight:600}\
    .go:hover{background:#9c3c14}\
    .go:focus-visible{outline:.1875rem solid currentColor;outline-offset:.125rem;color:#fff}\
    h1+.go,p+.go{margin-top:1.25rem}.target+.go{margin-top:0}\
    @media (max-width:26rem){main{padding:1.5rem 1.25rem}h1{font-size:1.5rem}}\
    @media (prefers-color-scheme:dark){.target{background:#1d2230;border-color:#343b4d;\
    color:#a9b0c0}.target strong{color:#f0eee8}blockquote{border-color:#454e64}\
    cite{color:#98a0b2}ul{color:#a9b0c0}}";

/// Says to programs that walk the web that the answer is not to be found by searching.
const X_ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");

/// The page for a program that renders previews. `target` is left out when nobody may see it.
pub fn open_graph(short_url: &str, target: Option<&str>, shown: &Preview) -> Answer {
    let title = shown.title.as_deref().unwrap_or(short_url);
    let card = if shown.image.is_some() { "summary_large_image" } else { "summary" };
    let page = document(
        title,
        &html! {
            meta property="og:type" content="website";
            meta property="og:title" content=(title);
            meta property="og:url" content=(short_url);
            @if let Some(description) = &shown.description {
                meta property="og:description" content=(description);
                meta name="description" content=(description);
            }
            @if let Some(image) = &shown.image { meta property="og:image" content=(image); }
            meta name="twitter:card" content=(card);
        },
        &html! {
            h1 { (title) }
            @if let Some(description) = &shown.description { p { (description) } }
            // For a person who gets here although this page is for programs.
            a.go href=(target.unwrap_or(short_url)) rel="noreferrer nofollow" { "Continue" }
        },
    );
    let mut response = html_answer(page);
    // A cache in between must not show this page to people.
    response.headers_mut().insert(VARY, HeaderValue::from_static("User-Agent"));
    response
}

/// What there is to see of a link without opening it.
pub struct Look {
    /// The link.
    short_url: String,
    /// Where whoever asks would be led; `None` when that is told only to those who are counted.
    target: Option<String>,
    /// The host of the target, if it has one: that much everybody may know.
    host: Option<String>,
    /// What the target depends on, in words; nothing: it is the same for everybody.
    pub depends_on: Vec<&'static str>,
    /// Whether it can be opened only so often.
    pub limited: bool,
    /// Until when it works.
    pub expires_at: Option<UnixMillis>,
    /// What its owner says of it.
    pub preview: Option<Arc<Preview>>,
}

impl Look {
    /// The link with this short URL, of which nothing else is known yet.
    pub fn of(short_url: String) -> Self {
        Self {
            short_url,
            target: None,
            host: None,
            depends_on: Vec::new(),
            limited: false,
            expires_at: None,
            preview: None,
        }
    }

    /// It leads there. Of a limited link only the host is shown: who went on from here by the target
    /// itself would not be counted.
    pub fn leads_to(&mut self, target: &str) {
        self.host = parts_of(target).map(|(_, host, _)| host.to_owned());
        self.target = (!self.limited).then(|| target.to_owned());
    }

    /// The page, as HTML or, when the caller prefers it, as JSON.
    pub fn answer(&self, headers: &HeaderMap) -> Answer {
        let mut answer = if wants_json(headers) {
            answer_with(self.json().to_string() + "\n", "application/json")
        } else {
            html_answer(self.html())
        };
        answer.headers_mut().insert(VARY, HeaderValue::from_static("Accept"));
        answer
    }

    fn json(&self) -> serde_json::Value {
        let preview = self.preview.as_deref();
        json!({
            "short_url": self.short_url,
            "target": self.target,
            "host": self.host,
            "depends_on": self.depends_on,
            "limited": self.limited,
            "expires_at": self.expires_at.and_then(moment).map(|at| at.to_string()),
            "title": preview.and_then(|preview| preview.title.as_deref()),
            "description": preview.and_then(|preview| preview.description.as_deref()),
        })
    }

    fn html(&self) -> Markup {
        let preview = self.preview.as_deref().cloned().unwrap_or_default();
        document(
            "Where this link leads",
            &html! { meta name="referrer" content="no-referrer"; },
            &html! {
                h1 { "Where this link leads" }
                p.url { (self.short_url) }
                @match &self.target {
                    Some(target) => p.target { (written_target(target)) },
                    None => p.target { strong { (self.host.as_deref().unwrap_or("an app")) } },
                }
                @if preview.title.is_some() || preview.description.is_some() {
                    blockquote {
                        cite { "Its owner says" }
                        @if let Some(title) = &preview.title { p { strong { (title) } } }
                        @if let Some(description) = &preview.description { p { (description) } }
                    }
                }
                (self.conditions())
                @match &self.target {
                    Some(target) => a.go href=(target) rel="noreferrer nofollow" { "Go there" },
                    None => a.go href=(self.short_url) rel="nofollow" { "Open it" },
                }
            },
        )
    }

    fn conditions(&self) -> Markup {
        html! {
            @if !self.depends_on.is_empty() || self.limited || self.expires_at.is_some() {
                ul {
                    @if !self.depends_on.is_empty() {
                        li {
                            "Others may be led elsewhere: it depends on "
                            (listed(&self.depends_on)) "."
                        }
                    }
                    @if self.limited {
                        li {
                            "It can be opened only a limited number of times. Only those who open it \
                             see the whole address."
                        }
                    }
                    @if let Some(at) = self.expires_at.and_then(moment) {
                        li {
                            "It works until "
                            time datetime=(at) { (at.strftime("%-d %B %Y, %H:%M UTC")) } "."
                        }
                    }
                }
            }
        }
    }
}

/// A target with its host set off: what matters most to whoever wants to know where it leads.
fn written_target(target: &str) -> Markup {
    html! {
        @match parts_of(target) {
            Some((before, host, after)) => { (before) strong { (host) } (after) },
            None => (target),
        }
    }
}

/// What stands before the host of a URL, the host, and what stands after it; `None` if it has none.
fn parts_of(url: &str) -> Option<(&str, &str, &str)> {
    let begin = url.find("://")? + "://".len();
    let (before, rest) = url.split_at_checked(begin)?;
    let (host, after) = rest.split_at_checked(rest.find(['/', '?', '#']).unwrap_or(rest.len()))?;
    (!host.is_empty()).then_some((before, host, after))
}

/// `a`, `a and b`, `a, b and c`.
fn listed(words: &[&str]) -> String {
    match words {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}

/// A moment; `None` when it is too far away to be written.
fn moment(at: UnixMillis) -> Option<Timestamp> {
    Timestamp::from_millisecond(i64::try_from(at.0).ok()?).ok()
}

fn document(title: &str, head: &Markup, main: &Markup) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="robots" content="noindex";
                title { (title) }
                (head)
                style { (PreEscaped(STYLE)) (PreEscaped(LOOK_STYLE)) }
            }
            body { main { (main) } }
        }
    }
}

fn html_answer(page: Markup) -> Answer {
    answer_with(page.into_string(), "text/html; charset=utf-8")
}

fn answer_with(body: String, content_type: &'static str) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body)));
    let headers: [(HeaderName, &'static str); 5] = [
        (CONTENT_TYPE, content_type),
        (X_ROBOTS_TAG, "noindex"),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (CACHE_CONTROL, "no-store"),
        (
            CONTENT_SECURITY_POLICY,
            "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
        ),
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}
