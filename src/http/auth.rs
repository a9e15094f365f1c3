//! Who calls: API keys and what they are good for.
//!
//! A key is `wp_<id>_<secret>`: 12 characters that name it, and 256 random bits that prove it. Only
//! the hash of the secret is stored, and it is compared in constant time.

use hyper::HeaderMap;
use hyper::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::code::base62;

/// What a key is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Short links.
    Links,
    /// Codes, claims and bindings.
    Referrals,
    /// Telling of milestones.
    Triggers,
    /// Campaigns.
    Campaigns,
    /// Rewards and compensations.
    Rewards,
    /// Approval flows.
    Reviews,
    /// Everything.
    Admin,
}

impl Scope {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Links,
        Self::Referrals,
        Self::Triggers,
        Self::Campaigns,
        Self::Rewards,
        Self::Reviews,
        Self::Admin,
    ];

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Links => "links",
            Self::Referrals => "referrals",
            Self::Triggers => "triggers",
            Self::Campaigns => "campaigns",
            Self::Rewards => "rewards",
            Self::Reviews => "reviews",
            Self::Admin => "admin",
        }
    }

    /// The scope with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|scope| scope.name() == name)
    }
}

/// Length of a key's public half.
const ID_LENGTH: usize = 12;
/// Length of its secret half: 256 bits in base 62.
const SECRET_LENGTH: usize = 43;

/// A key as its owner has it. It does not show its secret by accident.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey {
    id: String,
    secret: String,
}

impl ApiKey {
    /// A key out of 40 random bytes.
    pub fn from_random(random: &[u8; 40]) -> Self {
        let (id, secret) = random.split_at(8);
        // 62^12 is more than 2^71, so eight bytes always fit.
        Self { id: base62(id, ID_LENGTH), secret: base62(secret, SECRET_LENGTH) }
    }

    /// Reads `wp_<id>_<secret>`.
    pub fn parse(text: &str) -> Option<Self> {
        let (id, secret) = text.strip_prefix("wp_")?.split_once('_')?;
        let plain = |part: &str, length: usize| {
            part.len() == length && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
        };
        (plain(id, ID_LENGTH) && plain(secret, SECRET_LENGTH))
            .then(|| Self { id: id.to_owned(), secret: secret.to_owned() })
    }

    /// The key in a request's `Authorization: Bearer …`, of which there must be exactly one.
    pub fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let mut values = headers.get_all(AUTHORIZATION).iter();
        let value = values.next()?.to_str().ok()?;
        if values.next().is_some() {
            return None;
        }
        let (scheme, key) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| Self::parse(key.trim()))?
    }

    /// Its public half.
    pub fn id(&self) -> &str {
        &self.id
    }

    /// What is stored of its secret half.
    pub fn secret_hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret.as_bytes()).into()
    }

    /// Whether `stored` is the hash of its secret, in a time that does not depend on the answer.
    pub fn matches(&self, stored: &[u8]) -> bool {
        self.secret_hash().ct_eq(stored).into()
    }

    /// The whole key, to be shown to its owner once.
    pub fn expose(&self) -> String {
        format!("wp_{}_{}", self.id, self.secret)
    }
}

impl std::fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ApiKey({}, hidden)", self.id)
    }
}

/// Whoever sent a request, known by a key that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// The id of the key.
    pub key_id: String,
    /// The name for audit rows.
    pub actor: String,
    /// What the key is good for.
    pub scopes: Vec<Scope>,
}

impl Caller {
    /// Whether the caller may do what needs `scope`.
    pub fn may(&self, scope: Scope) -> bool {
        self.scopes.contains(&scope) || self.scopes.contains(&Scope::Admin)
    }
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    #[test]
    fn a_key_reads_back_and_proves_itself() {
        for random in [[0; 40], [1; 40], [255; 40]] {
            let key = ApiKey::from_random(&random);
            let text = key.expose();
            assert_eq!(text.len(), 3 + ID_LENGTH + 1 + SECRET_LENGTH, "{text}");
            assert_eq!(ApiKey::parse(&text), Some(key.clone()));
            assert!(key.matches(&key.secret_hash()));
            assert!(!key.matches(&[0; 32]));
            assert!(!key.matches(&[]));
            assert!(!format!("{key:?}").contains(&key.secret));
        }
    }

    #[test]
    fn only_one_well_formed_header_is_a_key() {
        let key = ApiKey::from_random(&[3; 40]);
        let parse = |values: &[String]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(AUTHORIZATION, HeaderValue::from_str(value).expect("a header"));
            }
            ApiKey::from_headers(&headers)
        };
        let good = format!("Bearer {}", key.expose());
        assert_eq!(parse(std::slice::from_ref(&good)), Some(key.clone()));
        assert_eq!(parse(&[format!("bearer  {}", key.expose())]), Some(key.clone()));
        assert_eq!(parse(&[good.clone(), good]), None);
        assert_eq!(parse(&[format!("Basic {}", key.expose())]), None);
        assert_eq!(parse(&[format!("Bearer {}x", key.expose())]), None);
        assert_eq!(parse(&["Bearer".to_owned()]), None);
    }

    #[test]
    fn admin_may_everything() {
        let caller = |scopes: &[Scope]| Caller {
            key_id: String::new(),
            actor: String::new(),
            scopes: scopes.to_vec(),
        };
        assert!(caller(&[Scope::Admin]).may(Scope::Rewards));
        assert!(caller(&[Scope::Links]).may(Scope::Links));
        assert!(!caller(&[Scope::Links]).may(Scope::Rewards));
    }
}
