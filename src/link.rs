//! What a link is: pure words and rules. Knows no I/O.
//!
//! [`request`] is what people ask for; [`rules`] judges it and says each [`fault`](crate::fault); [`service`] carries
//! it out. [`model`] is a link with all that is known of it; [`routing`] is how one link leads different
//! visitors to different targets. [`domains`] are the hosts under which links are found.

use std::fmt;

use crate::clock::UnixMillis;

pub mod domains;
pub mod model;
pub mod request;
pub mod routing;
pub mod rules;
pub mod service;
pub mod target;

/// Identifies a link for as long as the deployment lives; clicks are counted by it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LinkId(pub i64);

/// Identifies a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainId(pub i32);

impl DomainId {
    /// The domain whose host is the one in the setting `edge.public_url`.
    pub const DEFAULT: Self = Self(1);
}

/// The HTTP status that a link redirects with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RedirectStatus {
    /// 301: for ever, and the client may turn a POST into a GET.
    MovedPermanently,
    /// 302: for now; what almost every link wants, because each click comes by.
    #[default]
    Found,
    /// 307: for now, the method stays.
    TemporaryRedirect,
    /// 308: for ever, the method stays.
    PermanentRedirect,
}

impl RedirectStatus {
    /// All of them, in the order of their codes.
    pub const ALL: [Self; 4] =
        [Self::MovedPermanently, Self::Found, Self::TemporaryRedirect, Self::PermanentRedirect];

    /// The number on the wire.
    pub fn code(self) -> u16 {
        match self {
            Self::MovedPermanently => 301,
            Self::Found => 302,
            Self::TemporaryRedirect => 307,
            Self::PermanentRedirect => 308,
        }
    }

    /// The status with this number, if it is one that a link may have.
    pub fn from_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.code() == code)
    }

    /// Whether browsers may remember the answer.
    pub fn is_permanent(self) -> bool {
        matches!(self, Self::MovedPermanently | Self::PermanentRedirect)
    }
}

/// Names a link everywhere: in the first tier, as a field in Redis, in a message that it changed.
///
/// The slug alone in the default domain; `<domain>:<slug>` in another. A slug has no colon, so two
/// links never share a key. (With the slug alone as the field, two domains whose hashes meet in one
/// bucket would answer for each other.)
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkKey(Box<str>);

impl LinkKey {
    /// The key of `slug` in `domain`; the slug is already folded if the domain folds.
    pub fn new(domain: DomainId, slug: &str) -> Self {
        if domain == DomainId::DEFAULT {
            Self(slug.into())
        } else {
            Self(format!("{}:{slug}", domain.0).into())
        }
    }

    /// Reads a key back, as it comes in a message.
    pub fn parse(text: &str) -> Option<Self> {
        let key = Self(text.into());
        let (_, slug) = key.parts()?;
        (!slug.is_empty()).then_some(key)
    }

    /// The domain and the slug; `None` only for a key that was never made by [`LinkKey::new`].
    pub fn parts(&self) -> Option<(DomainId, &str)> {
        Self::parts_of(&self.0)
    }

    /// The domain and the slug of a key that is there as a text; `None` if it is no key.
    pub fn parts_of(text: &str) -> Option<(DomainId, &str)> {
        match text.split_once(':') {
            None => Some((DomainId::DEFAULT, text)),
            Some((domain, slug)) => Some((DomainId(domain.parse().ok()?), slug)),
        }
    }

    /// The key's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for LinkKey {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for LinkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// All that the edge needs to know of a link in order to answer for it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "four switches of a link that have nothing in common"
)]
pub struct Redirect {
    /// Whose clicks these are.
    pub link: LinkId,
    /// Grows with every change of the link, over deletion and re-creation too.
    pub version: u64,
    /// The status to answer with.
    pub status: RedirectStatus,
    /// How long a client may remember the answer, when the link says so.
    pub cache_seconds: Option<u32>,
    /// Before this moment the link is unknown.
    pub valid_from: Option<UnixMillis>,
    /// From this moment on the link is gone.
    pub expires_at: Option<UnixMillis>,
    /// Whether the caller's query is added to the target.
    pub forward_query: bool,
    /// Switched off by its owner.
    pub disabled: bool,
    /// Where to send people once the link is gone.
    pub fallback: Option<Box<str>>,
    /// Whether it can be opened only so often: then nobody is sent on without PostgreSQL's consent.
    pub limited: bool,
    /// Whether there is something to show to programs that render previews.
    pub preview: bool,
    /// Where some visitors are led instead of to the target.
    pub rules: Vec<routing::Rule>,
    /// Where the link leads: an absolute URL in ASCII, at most 8,192 bytes.
    pub target: Box<str>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_two_domains_differ_and_read_back() {
        let plain = LinkKey::new(DomainId::DEFAULT, "AbC");
        let other = LinkKey::new(DomainId(7), "AbC");
        assert_eq!(plain.as_str(), "AbC");
        assert_eq!(other.as_str(), "7:AbC");
        assert_eq!(LinkKey::parse("7:AbC"), Some(other.clone()));
        assert_eq!(other.parts(), Some((DomainId(7), "AbC")));
        assert_eq!(plain.parts(), Some((DomainId::DEFAULT, "AbC")));
        assert_eq!(LinkKey::parse("x:AbC"), None);
        assert_eq!(LinkKey::parse(""), None);
    }
}
