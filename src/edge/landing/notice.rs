//! What there is to say when a code leads to no invitation: nobody has it, the campaign is over, or it
//! has not begun.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    CACHE_CONTROL, CONTENT_LANGUAGE, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderName,
    HeaderValue, REFERRER_POLICY, VARY, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::assets::Assets;
use super::language::chosen;
use super::markup::{Frame, Said};
use crate::campaign::Color;
use crate::campaign::words;
use crate::edge::pages::wants_json;
use crate::edge::redirect::Answer;

/// Says to programs that walk the web that the answer is not to be found by searching.
const X_ROBOTS_TAG: HeaderName = HeaderName::from_static("x-robots-tag");

/// Nothing but our own files, and nobody frames us.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// The headers of a page in a language, built once and copied for each answer.
pub(super) fn headers(language: &str, vary: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::with_capacity(9);
    for (name, value) in [
        (CONTENT_TYPE, "text/html; charset=utf-8"),
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        // The token must not get to whoever the page links to.
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "private, no-store"),
        (VARY, vary),
        (X_ROBOTS_TAG, "noindex"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    let language = HeaderValue::from_str(language);
    headers.insert(CONTENT_LANGUAGE, language.expect("a language is letters, digits and hyphens"));
    headers
}

/// Why there is no invitation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// The campaign is over.
    Ended,
    /// It has not begun.
    NotYet,
    /// Nobody has the code.
    Unknown,
}

impl Kind {
    /// The status, and a stable name for programs.
    fn told(self) -> (StatusCode, &'static str) {
        match self {
            Self::Ended => (StatusCode::GONE, "campaign-ended"),
            Self::NotYet => (StatusCode::NOT_FOUND, "campaign-not-started"),
            Self::Unknown => (StatusCode::NOT_FOUND, "unknown-code"),
        }
    }
}

/// A page without an invitation, in one language.
#[derive(Debug)]
pub(super) struct Notice {
    status: StatusCode,
    headers: HeaderMap,
    html: Bytes,
    json: Bytes,
}

impl Notice {
    /// Renders the page.
    pub(super) fn new(kind: Kind, said: &Said<'_>, frame: &Frame<'_>) -> Self {
        let (status, name) = kind.told();
        let problem = json!({
            "type": format!("urn:waypost:problem:{name}"),
            "title": said.title,
            "status": status.as_u16(),
            "detail": said.text,
        });
        Self {
            status,
            headers: headers(frame.language, "Accept, Accept-Language, User-Agent"),
            html: Bytes::from(said.page(frame).into_string()),
            json: Bytes::from(problem.to_string() + "\n"),
        }
    }

    /// The page, as HTML or, when the caller prefers it, as JSON.
    pub(super) fn answer(&self, asked: &HeaderMap) -> Answer {
        let as_json = wants_json(asked);
        let body = if as_json { &self.json } else { &self.html };
        let mut answer = Response::new(Full::new(body.clone()));
        *answer.status_mut() = self.status;
        answer.headers_mut().clone_from(&self.headers);
        if as_json {
            let json = HeaderValue::from_static("application/problem+json");
            answer.headers_mut().insert(CONTENT_TYPE, json);
        }
        answer
    }
}

/// The pages for codes that nobody has, in the languages in which Waypost has words.
#[derive(Debug)]
pub struct Unknown {
    pages: Vec<(&'static str, Notice)>,
    usual: Notice,
}

impl Unknown {
    /// Renders the pages.
    pub fn new(assets: &Assets) -> Self {
        let known: Vec<(&str, &words::Words)> = words::languages()
            .filter_map(|language| Some((language, words::built_in(language)?)))
            .collect();
        let languages: Vec<(&str, &str)> =
            known.iter().map(|(language, words)| (*language, words.language.as_str())).collect();
        let (style, script) = (assets.style(Color::default()).path(), assets.script().path());
        let page = |language, words: &words::Words| {
            let (style, script) = (style.as_str(), script.as_str());
            let frame = Frame { language, words, languages: &languages, style, script };
            let (title, text) = (words.unknown_title.as_str(), words.unknown.as_str());
            let said = Said { title, text, stores: &[], over: true };
            Notice::new(Kind::Unknown, &said, &frame)
        };
        let english = words::built_in("en").expect("there are words in English");
        let usual = page("en", english);
        Self { pages: known.iter().map(|(tag, words)| (*tag, page(tag, words))).collect(), usual }
    }

    /// The page for a request with this query and these headers.
    pub fn answer(&self, query: Option<&str>, asked: &HeaderMap) -> Answer {
        let accepted = asked.get(hyper::header::ACCEPT_LANGUAGE);
        let accepted = accepted.map_or(&b""[..], HeaderValue::as_bytes);
        let languages: Vec<&str> = self.pages.iter().map(|(language, _)| *language).collect();
        let language = chosen(query, accepted, &languages);
        let page = self.pages.iter().find(|(tag, _)| Some(*tag) == language);
        page.map_or(&self.usual, |(_, page)| page).answer(asked)
    }
}
