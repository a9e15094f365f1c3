//! Domains: what is known of them, what people may ask for, and which rules a domain must keep. Pure:
//! knows no I/O, but for [`service`], which carries it out.

use std::collections::HashSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, de::IgnoredAny};
use url::Host;
use utoipa::ToSchema;

use super::model::Domain;
use super::request::{Change, given};
use super::rules::{Judge, Rules, own_hosts};
use crate::code::slug::LetterCase;
use crate::fault::{Fault, Reason};

pub mod service;

/// How many characters generated slugs may have where a domain says so itself.
pub const SLUG_LENGTHS: std::ops::RangeInclusive<u8> = 5..=10;
/// The longest name of a host, and the longest of its parts between dots, in bytes.
const LONGEST_HOST: usize = 253;
const LONGEST_LABEL: usize = 63;

/// Where people go instead of the small pages: absolute URLs of at most 8,192 bytes each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DomainUrls {
    /// From the bare address of the domain.
    pub root: Option<String>,
    /// From a slug that leads nowhere.
    pub unknown: Option<String>,
    /// From a link that is gone and has no fallback of its own.
    pub gone: Option<String>,
}

/// A domain with all that is known of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FullDomain {
    /// What its links need to know of it.
    pub domain: Domain,
    /// Where people go instead of the small pages.
    pub urls: DomainUrls,
    /// When it was added.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
}

/// A valid domain that is not stored yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DomainDraft {
    /// Its host: a name in lower case and ASCII.
    pub host: String,
    /// Whether it tells capitals from small letters.
    pub case: LetterCase,
    /// How many characters its generated slugs have, if it says so itself.
    pub slug_length: Option<u8>,
    /// Where people go instead of the small pages.
    pub urls: DomainUrls,
}

/// A domain to be added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct NewDomain {
    /// The name of the host, without scheme and port.
    #[schema(required = true, value_type = String, max_length = 253, example = "links.example.com")]
    pub host: Option<String>,
    /// Whether capitals and small letters are the same in its slugs; left out, they are not.
    pub case_insensitive: Option<bool>,
    /// How many characters generated slugs have; left out, as the settings say.
    #[schema(value_type = Option<u8>, minimum = 5, maximum = 10)]
    pub slug_length: Option<i64>,
    /// Where the bare address of the domain redirects to; left out, there is a small page.
    #[schema(format = "uri", max_length = 8192, example = "https://www.example.com/")]
    pub root_url: Option<String>,
    /// Where a slug that leads nowhere redirects to; left out, there is a small page.
    #[schema(format = "uri", max_length = 8192)]
    pub unknown_url: Option<String>,
    /// Where a link that is gone and has no fallback redirects to; left out, there is a small page.
    #[schema(format = "uri", max_length = 8192)]
    pub gone_url: Option<String>,
}

/// An edit of a domain: a JSON merge patch (RFC 7396). `null` clears a field.
#[derive(Clone, Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct DomainEdit {
    /// Whether capitals and small letters are the same in its slugs.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<bool>)]
    pub case_insensitive: Change<bool>,
    /// How many characters generated slugs have.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<u8>, minimum = 5, maximum = 10)]
    pub slug_length: Change<i64>,
    /// Where the bare address of the domain redirects to.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>, format = "uri", max_length = 8192)]
    pub root_url: Change<String>,
    /// Where a slug that leads nowhere redirects to.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>, format = "uri", max_length = 8192)]
    pub unknown_url: Change<String>,
    /// Where a link that is gone and has no fallback redirects to.
    #[serde(deserialize_with = "given")]
    #[schema(value_type = Option<String>, format = "uri", max_length = 8192)]
    pub gone_url: Change<String>,
    /// Not to be changed; known only to be refused with a reason.
    #[schema(ignore)]
    pub host: Option<IgnoredAny>,
}

/// Judges a domain to be added to a service with these `domains`. Names all that is wrong with it.
pub fn judge_new(
    rules: &Rules,
    request: &NewDomain,
    domains: &[Domain],
) -> Result<DomainDraft, Vec<Fault>> {
    let mut judge = Judge { rules, own_hosts: HashSet::new(), faults: Vec::new() };
    let host = judge.host(request.host.as_deref());
    judge.own_hosts = own_hosts(domains);
    // To lead back to the new domain itself would go round for ever.
    judge.own_hosts.extend(host.as_deref());
    let draft = DomainDraft {
        host: host.clone().unwrap_or_default(),
        case: letter_case(request.case_insensitive),
        slug_length: judge.slug_length(request.slug_length),
        urls: DomainUrls {
            root: judge.url("/root_url", request.root_url.as_deref()),
            unknown: judge.url("/unknown_url", request.unknown_url.as_deref()),
            gone: judge.url("/gone_url", request.gone_url.as_deref()),
        },
    };
    if judge.faults.is_empty() { Ok(draft) } else { Err(judge.faults) }
}

/// Judges an edit of `domain`, and returns the domain as it will be. Names all that is wrong with
/// it. Fields that the edit leaves alone are not judged again: the settings may have changed.
pub fn judge_edit(
    rules: &Rules,
    domain: &FullDomain,
    edit: &DomainEdit,
    domains: &[Domain],
) -> Result<FullDomain, Vec<Fault>> {
    let mut judge = Judge { rules, own_hosts: own_hosts(domains), faults: Vec::new() };
    if edit.host.is_some() {
        let detail = "names the domain and cannot be changed; add another domain";
        judge.fault("/host", Reason::CannotBeChanged, detail);
    }
    let mut after = domain.clone();
    if let Some(case_insensitive) = edit.case_insensitive {
        after.domain.case = letter_case(case_insensitive);
    }
    if let Some(length) = edit.slug_length {
        after.domain.slug_length = judge.slug_length(length);
    }
    let urls = &mut after.urls;
    for (pointer, change, place) in [
        ("/root_url", &edit.root_url, &mut urls.root),
        ("/unknown_url", &edit.unknown_url, &mut urls.unknown),
        ("/gone_url", &edit.gone_url, &mut urls.gone),
    ] {
        if let Some(url) = change {
            *place = judge.url(pointer, url.as_deref());
        }
    }
    if judge.faults.is_empty() { Ok(after) } else { Err(judge.faults) }
}

fn letter_case(case_insensitive: Option<bool>) -> LetterCase {
    if case_insensitive.unwrap_or(false) { LetterCase::Folded } else { LetterCase::Exact }
}

impl Judge<'_> {
    fn host(&mut self, text: Option<&str>) -> Option<String> {
        let Some(text) = text else {
            let detail = "say which host the domain has, such as links.example.com";
            self.fault("/host", Reason::Required, detail);
            return None;
        };
        match judge_host(text) {
            Ok(host) => Some(host),
            Err(detail) => {
                self.fault("/host", Reason::NotAHost, detail);
                None
            }
        }
    }

    fn slug_length(&mut self, length: Option<i64>) -> Option<u8> {
        let length = length?;
        let valid = u8::try_from(length).ok().filter(|length| SLUG_LENGTHS.contains(length));
        if valid.is_none() {
            let (least, most) = (SLUG_LENGTHS.start(), SLUG_LENGTHS.end());
            let detail = format!("must be from {least} to {most}, not {length}");
            self.fault("/slug_length", Reason::OutOfRange, detail);
        }
        valid
    }
}

/// A host as it is stored, in lower case and ASCII; or what is wrong with it. What the edge would
/// not take in a `Host` header could never be reached.
fn judge_host(text: &str) -> Result<String, String> {
    let remedy = "write a name like links.example.com, without scheme, port and path";
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    match Host::parse(text) {
        Err(error) => Err(format!("is no host name: {error}; {remedy}")),
        Ok(Host::Ipv4(_) | Host::Ipv6(_)) => Err(format!("is an address; {remedy}")),
        Ok(Host::Domain(host)) if host.len() > LONGEST_HOST => {
            let length = host.len();
            Err(format!("has {length} bytes; at most {LONGEST_HOST} are allowed; {remedy}"))
        }
        Ok(Host::Domain(host)) if !host.bytes().all(plain) => {
            Err(format!("has characters that a host name cannot have; {remedy}"))
        }
        Ok(Host::Domain(host))
            if host.split('.').any(|label| !(1..=LONGEST_LABEL).contains(&label.len())) =>
        {
            let parts = format!("must have 1 to {LONGEST_LABEL} characters between its dots");
            Err(format!("{parts}, and no dot at its end; {remedy}"))
        }
        Ok(Host::Domain(host)) => Ok(host),
    }
}

#[cfg(test)]
mod tests;
