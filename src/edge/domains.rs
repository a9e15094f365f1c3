//! Which domain a request is for.

use std::collections::HashMap;

use crate::code::slug::LetterCase;
use crate::link::{DomainId, model};

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
}

impl Domains {
    /// The table. `default_host` is the host of the default domain; what other hosts get is the
    /// default domain too if `unknown_is_default`.
    pub fn new(default_host: &str, unknown_is_default: bool, rows: Vec<model::Domain>) -> Self {
        let mut default = Domain { id: DomainId::DEFAULT, case_insensitive: false };
        let mut by_host = HashMap::new();
        for row in rows {
            let domain = Domain { id: row.id, case_insensitive: row.case == LetterCase::Folded };
            match row.host {
                Some(host) => drop(by_host.insert(host, domain)),
                None => default = domain,
            }
        }
        by_host.insert(default_host.to_ascii_lowercase(), default);
        Self { by_host, unknown: unknown_is_default.then_some(default) }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_picks_its_domain() {
        let rows = vec![
            model::Domain { id: DomainId::DEFAULT, host: None, case: LetterCase::Exact },
            model::Domain {
                id: DomainId(2),
                host: Some("s.example".to_owned()),
                case: LetterCase::Folded,
            },
        ];
        let domains = Domains::new("go.example", false, rows.clone());
        let second = Domain { id: DomainId(2), case_insensitive: true };
        let default = Domain { id: DomainId::DEFAULT, case_insensitive: false };
        assert_eq!(domains.find("s.example"), Some(second));
        assert_eq!(domains.find("S.Example.:8080"), Some(second));
        assert_eq!(domains.find("go.example:80"), Some(default));
        assert_eq!(domains.find("elsewhere.example"), None);
        let lenient = Domains::new("go.example", true, rows);
        assert_eq!(lenient.find("elsewhere.example"), Some(default));
    }
}
