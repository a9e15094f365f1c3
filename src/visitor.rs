//! Who asks, as far as a request tells: a person or a program, on which device, with which browser,
//! in which language, coming from where. Pure: knows headers, and no I/O.
//!
//! Nothing here tells one person from another: the classes are coarse on purpose.

use hyper::header::{
    ACCEPT_LANGUAGE, DNT, HeaderMap, HeaderName, HeaderValue, REFERER, USER_AGENT,
};

pub mod agent;
pub mod country;
pub mod language;
pub mod referrer;

/// `Sec-GPC: 1`: do not sell or share what you learn of me (Global Privacy Control).
const SEC_GPC: HeaderName = HeaderName::from_static("sec-gpc");

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
            if name == USER_AGENT {
                hints.user_agent = hints.user_agent.or(Some(value));
            } else if name == ACCEPT_LANGUAGE {
                hints.accept_language = hints.accept_language.or(Some(value));
            } else if name == REFERER {
                hints.referrer = hints.referrer.or(Some(value));
            } else if name == DNT || name == SEC_GPC {
                hints.private |= value == "1";
            }
        }
        hints
    }
}
