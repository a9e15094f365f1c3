//! Rules by which a link leads different visitors to different targets. Pure: knows no I/O.
//!
//! The rules of a link stand in an order, and the first that fits decides; if none fits, the link's
//! own target does. A rule has the same JSON form in the API, in the database and in the shared
//! cache. [`choose`] decides over [`Facts`], which are found out only when a rule asks for them.

use std::net::IpAddr;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use utoipa::ToSchema;

use super::LinkId;
use crate::clock::UnixMillis;
use crate::visitor::Device;
use crate::visitor::country::Country;

/// The most rules of a link.
pub const MOST_RULES: usize = 32;
/// The most values in one list of a rule.
pub const MOST_VALUES: usize = 64;
/// The most bytes that all rules of a link may have in JSON: they are read with the link.
pub const MOST_BYTES: usize = 65_536;

/// One rule: all of its conditions must hold; within a list one of the values is enough.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// The visitor holds one of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub device: Vec<DeviceClass>,
    /// The visitor likes one of these languages best: language tags in lower case; `de` is any German.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub language: Vec<String>,
    /// The query of the short URL has all of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub query: Vec<QueryCondition>,
    /// The visitor is in one of these countries (ISO 3166-1 alpha-2).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schema(value_type = Vec<String>)]
    pub country: Vec<Country>,
    /// From this moment on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Timestamp>,
    /// Until just before this moment.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub before: Option<Timestamp>,
    /// This share of the visitors, of 100: the next share after those of the earlier rules that fit
    /// the visitor as well. Who is in it stays in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub percent: Option<u8>,
    /// Where it leads.
    #[schema(format = "uri")]
    pub target: String,
}

/// A kind of device, as a rule tells them apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum DeviceClass {
    /// An iPhone, iPad or iPod.
    Ios,
    /// Anything with Android.
    Android,
    /// A computer.
    Desktop,
    /// Any phone or tablet: these with iOS, with Android, and the others.
    Mobile,
}

impl DeviceClass {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Ios, Self::Android, Self::Desktop, Self::Mobile];

    /// Its name in JSON.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ios => "ios",
            Self::Android => "android",
            Self::Desktop => "desktop",
            Self::Mobile => "mobile",
        }
    }

    /// Whether this device is one of them.
    fn includes(self, device: Device) -> bool {
        match self {
            Self::Ios => device == Device::Ios,
            Self::Android => device == Device::Android,
            Self::Desktop => device == Device::Desktop,
            Self::Mobile => matches!(device, Device::Ios | Device::Android | Device::OtherMobile),
        }
    }

    /// Whether every device of the other kind is one of this kind.
    fn covers(self, other: Self) -> bool {
        self == other || (self == Self::Mobile && matches!(other, Self::Ios | Self::Android))
    }
}

/// A parameter that the query of the short URL has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryCondition {
    /// Its name.
    pub name: String,
    /// Its value; left out, any value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

impl QueryCondition {
    /// Whether this holds wherever the other does.
    fn covers(&self, other: &Self) -> bool {
        self.name == other.name && (self.value.is_none() || self.value == other.value)
    }
}

/// What rules ask of a request. Each is found out only when a rule asks for it.
pub trait Facts {
    /// The time.
    fn now(&self) -> UnixMillis;
    /// What the visitor holds in hands.
    fn device(&self) -> Device;
    /// Whether the visitor likes this language best.
    fn likes_best(&self, language: &str) -> bool;
    /// Whether the query has this parameter, with this value if one is given.
    fn has_query(&self, name: &str, value: Option<&str>) -> bool;
    /// Where the visitor is, if anybody can tell.
    fn country(&self) -> Option<Country>;
    /// The visitor's place among 100, from 0, for this link.
    fn position(&self) -> u8;
}

/// The place of the first rule that fits; `None`: the link's own target is right.
///
/// A rule with a `percent` whose other conditions hold takes the next so many of the 100 positions
/// after those of earlier such rules. So 30, 30 and the link's own target are 30, 30 and 40 of 100,
/// and 60 for iOS beside 60 for Android are 60 of each.
pub fn choose(rules: &[Rule], facts: &impl Facts) -> Option<usize> {
    let mut taken = 0_u32;
    rules.iter().position(|rule| {
        if !rule.conditions_hold(facts) {
            return false;
        }
        let Some(percent) = rule.percent else { return true };
        taken = taken.saturating_add(u32::from(percent));
        // A position below what earlier rules took was theirs.
        u32::from(facts.position()) < taken
    })
}

/// The next moment after `now` at which one of the rules begins or ends.
pub fn next_change(rules: &[Rule], now: UnixMillis) -> Option<UnixMillis> {
    let moments = rules.iter().flat_map(|rule| [rule.after, rule.before]);
    moments.flatten().map(UnixMillis::from).filter(|moment| *moment > now).min()
}

/// The place of the earlier rules that leave nothing for the rule at `place`: the last of those that
/// cover it, if together they take all that it could get.
pub fn hidden_by(rules: &[Rule], place: usize) -> Option<usize> {
    let rule = rules.get(place)?;
    let mut taken = 0_u32;
    rules.iter().take(place).position(|earlier| {
        if earlier.covers(rule) {
            taken = taken.saturating_add(u32::from(earlier.percent.unwrap_or(100)));
        }
        taken >= 100
    })
}

impl Rule {
    /// Whether it has any condition.
    pub fn has_conditions(&self) -> bool {
        !self.device.is_empty()
            || !self.language.is_empty()
            || !self.query.is_empty()
            || !self.country.is_empty()
            || self.after.is_some()
            || self.before.is_some()
            || self.percent.is_some()
    }

    /// Whether all conditions but the share hold; what is cheap to find out is asked first.
    fn conditions_hold(&self, facts: &impl Facts) -> bool {
        let none_or = |is_none: bool, holds: &dyn Fn() -> bool| is_none || holds();
        self.after.is_none_or(|after| UnixMillis::from(after) <= facts.now())
            && self.before.is_none_or(|before| facts.now() < UnixMillis::from(before))
            && self.query.iter().all(|it| facts.has_query(&it.name, it.value.as_deref()))
            && none_or(self.device.is_empty(), &|| {
                let device = facts.device();
                self.device.iter().any(|class| class.includes(device))
            })
            && none_or(self.language.is_empty(), &|| {
                self.language.iter().any(|language| facts.likes_best(language))
            })
            && none_or(self.country.is_empty(), &|| {
                facts.country().is_some_and(|country| self.country.contains(&country))
            })
    }

    /// Whether the conditions of this rule, but for its share, hold wherever the other's do.
    fn covers(&self, other: &Self) -> bool {
        covers_list(&self.device, &other.device, |one, other| one.covers(*other))
            && covers_list(&self.language, &other.language, |one, other| is_within(other, one))
            && covers_list(&self.country, &other.country, |one, other| one == other)
            && self.query.iter().all(|one| other.query.iter().any(|other| one.covers(other)))
            && self.after.is_none_or(|after| other.after.is_some_and(|it| it >= after))
            && self.before.is_none_or(|before| other.before.is_some_and(|it| it <= before))
    }
}

/// Whether one of `these` holds wherever one of `others` does. An empty list is no condition.
fn covers_list<T>(these: &[T], others: &[T], covers: impl Fn(&T, &T) -> bool) -> bool {
    these.is_empty()
        || (!others.is_empty()
            && others.iter().all(|other| these.iter().any(|one| covers(one, other))))
}

/// Whether a language tag is the other or a kind of it: `de-at` is a kind of `de`.
fn is_within(tag: &str, range: &str) -> bool {
    tag.strip_prefix(range).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Gives each visitor a place among 100, the same at every visit, and another for every link.
#[derive(Clone)]
pub struct Split(Hmac<Sha256>);

impl Split {
    /// Places under a key of the deployment: nobody else can tell who gets which.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    /// The place of a visitor, from 0 to 99: by the address that it comes from and what it says that
    /// it is.
    pub fn position(&self, link: LinkId, client: IpAddr, user_agent: &[u8]) -> u8 {
        let client = match client {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let hash = self
            .0
            .clone()
            .chain_update(link.0.to_be_bytes())
            .chain_update(client.octets())
            .chain_update(user_agent)
            .finalize()
            .into_bytes();
        let first = hash.first_chunk().expect("a hash has 32 bytes");
        // 100 does not divide 2^64; nobody will ever see by how little the places differ.
        u8::try_from(u64::from_be_bytes(*first) % 100).expect("below 100")
    }
}

impl std::fmt::Debug for Split {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Split")
    }
}

#[cfg(test)]
mod tests;
