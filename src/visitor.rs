//! Who asks, as far as a request tells: a person or a program, on which device, with which browser,
//! in which language, coming from where. Pure: knows headers, and no I/O.
//!
//! Nothing here tells one person from another: the classes are coarse on purpose.

use hyper::header::{
    ACCEPT_LANGUAGE, DNT, HeaderMap, HeaderName, HeaderValue, REFERER, USER_AGENT,
};

use self::agent::Agent;

pub mod agent;
pub mod country;
pub mod language;
pub mod referrer;

/// `Sec-GPC: 1`: do not sell or share what you learn of me (Global Privacy Control).
const SEC_GPC: HeaderName = HeaderName::from_static("sec-gpc");

/// `Sec-Purpose: prefetch`, as the Fetch standard has it.
const SEC_PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");

/// What Chrome and Safari said before that.
const PURPOSE: HeaderName = HeaderName::from_static("purpose");

/// What Safari said before that, also for the pictures of its start page.
const X_PURPOSE: HeaderName = HeaderName::from_static("x-purpose");

/// What Firefox said before that.
const X_MOZ: HeaderName = HeaderName::from_static("x-moz");

/// What a request is, for counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// Somebody opened the link.
    Person,
    /// A program that walks the web, watches a site, or calls itself a tool.
    Bot,
    /// A program that fetches a link in order to show what is behind it, in a chat for example.
    Preview,
    /// A browser that fetches what its user may open next.
    Prefetch,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Person, Self::Bot, Self::Preview, Self::Prefetch];

    /// Its name, in the database and in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Bot => "bot",
            Self::Preview => "preview",
            Self::Prefetch => "prefetch",
        }
    }
}

/// What the visitor holds in hands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Device {
    /// An iPhone, iPad or iPod. (An iPad that asks for desktop sites says that it is a Mac.)
    Ios,
    /// Anything with Android.
    Android,
    /// A phone or tablet with something else.
    OtherMobile,
    /// A computer.
    Desktop,
    /// Nobody can tell: programs, televisions, consoles, no `User-Agent`.
    Unknown,
}

impl Device {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Ios, Self::Android, Self::OtherMobile, Self::Desktop, Self::Unknown];

    /// Its name, in the database and in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ios => "ios",
            Self::Android => "android",
            Self::OtherMobile => "other-mobile",
            Self::Desktop => "desktop",
            Self::Unknown => "unknown",
        }
    }
}

/// The headers that say who asks, found in one pass over all headers of the request.
#[derive(Clone, Copy, Debug, Default)]
pub struct Hints<'a> {
    /// `User-Agent`; the first, if there are several.
    pub user_agent: Option<&'a HeaderValue>,
    /// `Accept-Language`; the first.
    pub accept_language: Option<&'a HeaderValue>,
    /// `Referer`; the first.
    pub referrer: Option<&'a HeaderValue>,
    /// The browser fetches ahead: nobody looks at it yet, and perhaps nobody will.
    pub prefetch: bool,
    /// The visitor asks not to be tracked, by `Sec-GPC: 1` or `DNT: 1`.
    pub private: bool,
}

impl<'a> Hints<'a> {
    /// What these headers say.
    pub fn of(headers: &'a HeaderMap) -> Self {
        let mut hints = Self::default();
        for (name, value) in headers {
            // Each comparison is one of numbers, or of lengths before texts. Asking a name for its
            // text, and that for a match, was a third slower.
            if name == USER_AGENT {
                hints.user_agent = hints.user_agent.or(Some(value));
            } else if name == ACCEPT_LANGUAGE {
                hints.accept_language = hints.accept_language.or(Some(value));
            } else if name == REFERER {
                hints.referrer = hints.referrer.or(Some(value));
            } else if name == DNT || name == SEC_GPC {
                hints.private |= value == "1";
            } else if name == SEC_PURPOSE || name == PURPOSE || name == X_MOZ {
                hints.prefetch |= names(value, b"prefetch");
            } else if name == X_PURPOSE {
                hints.prefetch |= names(value, b"prefetch") || names(value, b"preview");
            }
        }
        hints
    }

    /// The `User-Agent`; empty if there is none.
    pub fn agent_text(&self) -> &'a [u8] {
        self.user_agent.map_or(b"", HeaderValue::as_bytes)
    }

    /// What the request is, when it comes from this agent. Only a browser can fetch ahead for a
    /// person; a program stays what it is.
    pub fn kind(&self, agent: &Agent) -> Kind {
        match agent.kind {
            Kind::Person if self.prefetch => Kind::Prefetch,
            kind @ (Kind::Person | Kind::Bot | Kind::Preview | Kind::Prefetch) => kind,
        }
    }
}

/// Whether a list, such as `prefetch;prerender, other`, has this word as one of its members.
/// Parameters behind a member only say more of it.
fn names(list: &HeaderValue, word: &[u8]) -> bool {
    list.as_bytes().split(|byte| *byte == b',').any(|member| {
        let name = member.split(|byte| *byte == b';').next().unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(word)
    })
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    /// A row of `tests/data/visitors.toml`.
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Visitor {
        what: String,
        #[serde(default = "get")]
        method: String,
        user_agent: Option<String>,
        #[serde(default)]
        headers: Vec<(String, String)>,
        kind: String,
        device: String,
        browser: String,
    }

    #[derive(Deserialize)]
    struct Table {
        visitor: Vec<Visitor>,
    }

    fn get() -> String {
        "GET".to_owned()
    }

    fn headers<'a>(pairs: impl IntoIterator<Item = (&'a str, &'a str)>) -> HeaderMap {
        let pairs = pairs.into_iter().map(|(name, value)| {
            let name: HeaderName = name.parse().expect("a header's name");
            (name, value.parse::<HeaderValue>().expect("a header's value"))
        });
        pairs.fold(HeaderMap::new(), |mut headers, (name, value)| {
            headers.append(name, value);
            headers
        })
    }

    #[test]
    fn the_first_of_several_headers_counts() {
        let headers = headers([
            ("user-agent", "one"),
            ("accept-language", "de"),
            ("referer", "https://one.example/"),
            ("user-agent", "two"),
            ("accept-language", "en"),
            ("referer", "https://two.example/"),
        ]);
        let hints = Hints::of(&headers);
        assert_eq!(hints.user_agent.expect("the first"), "one");
        assert_eq!(hints.accept_language.expect("the first"), "de");
        assert_eq!(hints.referrer.expect("the first"), "https://one.example/");
        assert!(!hints.prefetch && !hints.private);
    }

    #[test]
    fn fetching_ahead_is_seen_in_all_its_spellings() {
        for (name, value, expected) in [
            ("sec-purpose", "prefetch", true),
            ("sec-purpose", "prefetch;prerender", true),
            ("sec-purpose", "prefetch;anonymous-client-ip", true),
            ("sec-purpose", "Prefetch ; prerender", true),
            ("sec-purpose", "other;x=1, prefetch", true),
            ("sec-purpose", "", false),
            ("sec-purpose", "other", false),
            ("sec-purpose", "other;prefetch", false),
            ("sec-purpose", "prefetching", false),
            ("sec-purpose", "preview", false),
            ("purpose", "prefetch", true),
            ("purpose", "navigate", false),
            ("x-purpose", "preview", true),
            ("x-purpose", "prefetch", true),
            ("x-purpose", "instant", false),
            ("x-moz", "prefetch", true),
            ("x-moz", "livebookmarks", false),
            ("x-other", "prefetch", false),
        ] {
            let headers = headers([(name, value)]);
            assert_eq!(Hints::of(&headers).prefetch, expected, "{name}: {value}");
        }
        let twice = headers([("sec-purpose", "other"), ("sec-purpose", "prefetch")]);
        assert!(Hints::of(&twice).prefetch);
    }

    #[test]
    fn privacy_is_asked_for_with_a_one() {
        for (name, value, expected) in [
            ("sec-gpc", "1", true),
            ("dnt", "1", true),
            ("sec-gpc", "0", false),
            ("dnt", "0", false),
            ("dnt", "", false),
            ("dnt", "null", false),
        ] {
            assert_eq!(Hints::of(&headers([(name, value)])).private, expected, "{name}: {value}");
        }
    }

    #[test]
    fn only_a_person_becomes_a_prefetch() {
        for kind in [Kind::Person, Kind::Bot, Kind::Preview] {
            let agent = Agent { kind, device: Device::Unknown, browser: agent::Browser::Other };
            let ahead = Hints { prefetch: true, ..Hints::default() };
            let expected = if kind == Kind::Person { Kind::Prefetch } else { kind };
            assert_eq!(ahead.kind(&agent), expected);
            assert_eq!(Hints::default().kind(&agent), kind);
        }
    }

    #[test]
    fn the_table_of_visitors_is_read_as_it_says() {
        let table: Table =
            toml::from_str(include_str!("../tests/data/visitors.toml")).expect("a valid table");
        assert!(table.visitor.len() >= 120, "only {} rows", table.visitor.len());
        let mut wrong = Vec::new();
        for row in &table.visitor {
            if row.method == "HEAD" {
                // Never counted: the method decides, which is none of this module's business.
                assert_eq!(row.kind, "head", "{}", row.what);
                continue;
            }
            let given = row.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
            let user_agent = row.user_agent.iter().map(|text| ("user-agent", text.as_str()));
            let headers = headers(given.chain(user_agent));
            let hints = Hints::of(&headers);
            let agent = Agent::of(hints.user_agent.map_or(&[], HeaderValue::as_bytes));
            let found = [hints.kind(&agent).name(), agent.device.name(), agent.browser.name()];
            let expected = [&row.kind, &row.device, &row.browser].map(String::as_str);
            if found != expected {
                wrong.push(format!("{}: {found:?} should be {expected:?}", row.what));
            }
        }
        assert!(wrong.is_empty(), "{} wrong rows:\n  {}", wrong.len(), wrong.join("\n  "));
    }
}
