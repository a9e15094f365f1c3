//! The small answers around the redirects: what a person or a program gets when there is nowhere to
//! go.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ACCEPT, ALLOW, CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderMap, HeaderValue,
    RETRY_AFTER, X_CONTENT_TYPE_OPTIONS,
};
use hyper::{Response, StatusCode};

use crate::http::checks::Refusal;

/// An answer that is not a redirect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Page {
    /// The bare address of the service.
    Root,
    /// No such link.
    NotFound,
    /// There was a link, and its time is over.
    Gone,
    /// Nobody can be asked right now.
    Unavailable,
    /// This client asked for too many things that are not there.
    TooManyMisses,
    /// Not for browsers that fetch what may be opened next.
    NotAhead,
    /// Not GET, not HEAD.
    MethodNotAllowed,
    /// The request is malformed.
    Refused(Refusal),
    /// `/robots.txt`
    Robots,
    /// `/favicon.ico`: there is none.
    NoIcon,
}

impl Page {
    fn status(self) -> StatusCode {
        match self {
            Self::Root | Self::Robots => StatusCode::OK,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Gone => StatusCode::GONE,
            Self::Unavailable | Self::NotAhead => StatusCode::SERVICE_UNAVAILABLE,
            Self::TooManyMisses => StatusCode::TOO_MANY_REQUESTS,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Refused(refusal) => refusal.status(),
            Self::NoIcon => StatusCode::NO_CONTENT,
        }
    }

    /// A stable name for programs, a heading and a sentence for people.
    fn words(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Root => (
                "short-links",
                "Short links live here",
                "This address only forwards. Open the full short link that you were given.",
            ),
            Self::NotFound => (
                "not-found",
                "This link leads nowhere",
                "There is no such short link. Check it for typing mistakes; capitals may matter.",
            ),
            Self::Gone => (
                "gone",
                "This link has ended",
                "It worked once, but its time is over or its owner switched it off.",
            ),
            Self::Unavailable => (
                "unavailable",
                "One moment, please",
                "The link cannot be looked up right now. Try again in a few seconds.",
            ),
            Self::TooManyMisses => (
                "too-many-misses",
                "Too many wrong addresses",
                "From where you are, many links were tried that do not exist. Try again in ten \
                 minutes.",
            ),
            Self::NotAhead => (
                "not-ahead",
                "Only when it is opened",
                "This link can be opened a limited number of times, so it is not fetched ahead.",
            ),
            Self::MethodNotAllowed => {
                ("method-not-allowed", "Only GET and HEAD", "A short link can only be opened.")
            }
            Self::Refused(refusal) => {
                ("bad-request", "The request is not understood", refusal.explain())
            }
            Self::Robots | Self::NoIcon => ("", "", ""),
        }
    }

    /// The answer, as HTML or, when the caller prefers it, as JSON.
    pub fn answer(self, headers: &HeaderMap) -> Response<Full<Bytes>> {
        let (kind, body) = if self == Self::Robots {
            ("text/plain; charset=utf-8", "User-agent: *\nAllow: /\n".to_owned())
        } else if self == Self::NoIcon {
            ("", String::new())
        } else if wants_json(headers) {
            ("application/problem+json", self.json())
        } else {
            ("text/html; charset=utf-8", self.html())
        };
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = self.status();
        let set = response.headers_mut();
        if !kind.is_empty() {
            set.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            set.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
            set.insert(
                CONTENT_SECURITY_POLICY,
                HeaderValue::from_static(
                    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
                ),
            );
        }
        let for_good = matches!(self, Self::Robots | Self::NoIcon);
        let cache = if for_good { "public, max-age=86400" } else { "no-store" };
        set.insert(CACHE_CONTROL, HeaderValue::from_static(cache));
        if self == Self::MethodNotAllowed {
            set.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        if let Some(seconds) = self.retry_after() {
            set.insert(RETRY_AFTER, HeaderValue::from_static(seconds));
        }
        response
    }

    /// After how many seconds it makes sense to try again, where that helps.
    fn retry_after(self) -> Option<&'static str> {
        match self {
            Self::Unavailable => Some("5"),
            Self::TooManyMisses => Some("600"),
            Self::Root
            | Self::NotFound
            | Self::Gone
            | Self::NotAhead
            | Self::MethodNotAllowed
            | Self::Refused(_)
            | Self::Robots
            | Self::NoIcon => None,
        }
    }

    fn json(self) -> String {
        let (name, title, detail) = self.words();
        let status = self.status().as_u16();
        format!(
            "{{\"type\":\"urn:waypost:problem:{name}\",\"title\":\"{title}\",\
             \"status\":{status},\"detail\":\"{detail}\"}}\n"
        )
    }

    fn html(self) -> String {
        let (_, title, detail) = self.words();
        format!(
            "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <meta name=\"robots\" content=\"noindex\">\n<title>{title}</title>\n\
             <style>{STYLE}</style>\n<main>\n<h1>{title}</h1>\n<p>{detail}</p>\n</main>\n</html>\n"
        )
    }
}

pub(super) const STYLE: &str = ":root{color-scheme:light dark}\
    body{margin:0;min-height:100vh;display:grid;place-items:center;\
    font:1.125rem/1.5 system-ui,sans-serif;background:#f7f6f2;color:#1d2433}\
    main{max-width:30rem;padding:2rem}\
    h1{font-size:1.75rem;line-height:1.2;margin:0 0 .75rem;letter-spacing:-.01em}\
    h1::before{content:\"\";display:block;width:3rem;height:.375rem;border-radius:.2rem;\
    background:#d9622b;margin-bottom:1.25rem}\
    p{margin:0;color:#4a5265}\
    @media (prefers-color-scheme:dark){body{background:#14171f;color:#f0eee8}p{color:#a9b0c0}}";

/// Whether JSON stands before HTML in `Accept`. Good enough without weights: browsers name HTML
/// first, programs name JSON alone.
pub(super) fn wants_json(headers: &HeaderMap) -> bool {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("");
    match (accept.find("json"), accept.find("text/html")) {
        (Some(json), Some(html)) => json < html,
        (Some(_), None) => true,
        (None, _) => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_get_json_and_people_get_html() {
        let with = |accept: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(ACCEPT, HeaderValue::from_static(accept));
            let response = Page::NotFound.answer(&headers);
            response.headers().get(CONTENT_TYPE).cloned()
        };
        assert_eq!(
            with("application/json"),
            Some(HeaderValue::from_static("application/problem+json"))
        );
        assert_eq!(with("*/*"), Some(HeaderValue::from_static("text/html; charset=utf-8")));
        let browser = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
        assert_eq!(with(browser), Some(HeaderValue::from_static("text/html; charset=utf-8")));
    }

    #[test]
    fn every_page_in_json_is_json() {
        for page in [
            Page::Root,
            Page::NotFound,
            Page::Gone,
            Page::Unavailable,
            Page::Refused(Refusal::Host),
        ] {
            let parsed: serde_json::Value = serde_json::from_str(&page.json()).expect("JSON");
            assert_eq!(parsed["status"], page.status().as_u16());
        }
    }
}
