//! Which domain a request is for, and where people go there instead of the small pages.

use std::collections::HashMap;

use hyper::header::HeaderValue;

use super::pages::Page;
use crate::code::slug::LetterCase;
use crate::link::DomainId;
use crate::link::domains::{DomainUrls, FullDomain};

/// A domain, as far as the edge is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Its number.
    pub id: DomainId,
    /// Whether its slugs are folded to lower case before they are looked up.
    pub case_insensitive: bool,
}

/// All domains, by host.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Domains {
    by_host: HashMap<String, Domain>,
    unknown: Option<Domain>,
    /// Of those domains that have any.
    detours: HashMap<DomainId, Detours>,
}

/// Where people go instead of the small pages, as values of `Location`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Detours {
    root: Option<HeaderValue>,
    unknown: Option<HeaderValue>,
    gone: Option<HeaderValue>,
}

impl Domains {
    /// The table. `default_host` is the host of the default domain; what other hosts get is the
    /// default domain too if `unknown_is_default`.
    pub fn new(default_host: &str, unknown_is_default: bool, rows: Vec<FullDomain>) -> Self {
        let mut default = Domain { id: DomainId::DEFAULT, case_insensitive: false };
        let mut by_host = HashMap::new();
        let mut detours = HashMap::new();
        for FullDomain { domain: row, urls, .. } in rows {
            if urls != DomainUrls::default() {
                detours.insert(row.id, Detours::of(&urls));
            }
            let domain = Domain { id: row.id, case_insensitive: row.case == LetterCase::Folded };
            match row.host {
                Some(host) => drop(by_host.insert(host, domain)),
                None => default = domain,
            }
        }
        by_host.insert(default_host.to_ascii_lowercase(), default);
        Self { by_host, unknown: unknown_is_default.then_some(default), detours }
    }

    /// Where people go in a domain instead of to this page, if it has such a place.
    pub fn detour(&self, domain: DomainId, page: Page) -> Option<HeaderValue> {
        let detours = self.detours.get(&domain)?;
        match page {
            Page::Root => detours.root.clone(),
            Page::NotFound => detours.unknown.clone(),
            Page::Gone => detours.gone.clone(),
            // An outage is no place to send people away from: they shall try again.
            Page::Unavailable
            | Page::TooManyMisses
            | Page::NotAhead
            | Page::MethodNotAllowed
            | Page::Refused(_)
            | Page::Robots
            | Page::NoIcon => None,
        }
    }

    /// Whether a host, in lower case, is one of a domain of ours.
    pub fn have(&self, host: &str) -> bool {
        self.by_host.contains_key(host)
    }

    /// The domain with exactly this host, in lower case.
    pub fn named(&self, host: &str) -> Option<DomainId> {
        self.by_host.get(host).map(|domain| domain.id)
    }

    /// The host of a domain; of the default one, that of its public URL.
    pub fn host_of(&self, domain: DomainId) -> Option<&str> {
        let mut hosts = self.by_host.iter();
        hosts.find(|(_, known)| known.id == domain).map(|(host, _)| host.as_str())
    }

    /// The domain that a `Host` header means: without its port, without regard to case.
    pub fn find(&self, host: &str) -> Option<Domain> {
        let name = match host.rsplit_once(':') {
            Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
            _ => host,
        };
        let name = name.strip_suffix('.').unwrap_or(name);
        self.by_host
            .get(name)
            .or_else(|| self.by_host.get(&name.to_ascii_lowercase()))
            .copied()
            .or(self.unknown)
    }
}

impl Detours {
    fn of(urls: &DomainUrls) -> Self {
        // The rules let only URLs pass that can stand in a header.
        let value = |url: &Option<String>| HeaderValue::try_from(url.as_ref()?).ok();
        Self { root: value(&urls.root), unknown: value(&urls.unknown), gone: value(&urls.gone) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::checks::Refusal;
    use crate::link::model;

    fn row(id: DomainId, host: Option<&str>, case: LetterCase) -> FullDomain {
        FullDomain {
            domain: model::Domain { id, host: host.map(str::to_owned), case, slug_length: None },
            urls: DomainUrls::default(),
            created_at: jiff::Timestamp::UNIX_EPOCH,
            updated_at: jiff::Timestamp::UNIX_EPOCH,
        }
    }

    #[test]
    fn a_domain_says_where_people_go_instead_of_its_pages() {
        let mut second = row(DomainId(2), Some("s.example"), LetterCase::Exact);
        let url = |path: &str| Some(format!("https://example.com/{path}"));
        second.urls = DomainUrls { root: url("root"), unknown: url("unknown"), gone: None };
        let default = row(DomainId::DEFAULT, None, LetterCase::Exact);
        let domains = Domains::new("go.example", true, vec![default, second]);
        let detour = |id: DomainId, page: Page| {
            let value = domains.detour(id, page)?;
            value.to_str().map(str::to_owned).ok()
        };
        assert_eq!(detour(DomainId(2), Page::Root), url("root"));
        assert_eq!(detour(DomainId(2), Page::NotFound), url("unknown"));
        for page in [
            Page::Gone,
            Page::Unavailable,
            Page::MethodNotAllowed,
            Page::Robots,
            Page::NoIcon,
            Page::Refused(Refusal::Host),
        ] {
            assert_eq!(detour(DomainId(2), page), None, "{page:?}");
        }
        assert_eq!(detour(DomainId::DEFAULT, Page::Root), None);
        assert_eq!(detour(DomainId(3), Page::NotFound), None);
    }

    #[test]
    fn a_host_picks_its_domain() {
        let rows = vec![
            row(DomainId::DEFAULT, None, LetterCase::Exact),
            row(DomainId(2), Some("s.example"), LetterCase::Folded),
        ];
        let domains = Domains::new("go.example", false, rows.clone());
        let second = Domain { id: DomainId(2), case_insensitive: true };
        let default = Domain { id: DomainId::DEFAULT, case_insensitive: false };
        assert_eq!(domains.find("s.example"), Some(second));
        assert_eq!(domains.find("S.Example.:8080"), Some(second));
        assert_eq!(domains.find("go.example:80"), Some(default));
        assert_eq!(domains.find("elsewhere.example"), None);
        assert_eq!(domains.host_of(DomainId(2)), Some("s.example"));
        assert_eq!(domains.host_of(DomainId::DEFAULT), Some("go.example"));
        let lenient = Domains::new("go.example", true, rows);
        assert_eq!(lenient.find("elsewhere.example"), Some(default));
        assert!(lenient.have("go.example") && lenient.have("s.example"));
        assert!(!lenient.have("elsewhere.example"));
    }
}
