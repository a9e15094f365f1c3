//! Values that settings can have: each is judged while it is read, so that the message knows its line.

use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};

use crate::address::AddressRange;

/// A setting that may hold a password: it never shows itself.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether nothing was set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "(not set)" } else { "(hidden)" })
    }
}

pub(super) fn public_url<'de, D: Deserializer<'de>>(from: D) -> Result<url::Url, D::Error> {
    let text = String::deserialize(from)?;
    let url = url::Url::parse(&text).map_err(|error| {
        D::Error::custom(format!("{error}; write it like https://go.example.com/"))
    })?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(D::Error::custom("must start with http:// or https:// and name a host"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(D::Error::custom(
            "must have no user name and password: everybody would see them",
        ));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(D::Error::custom("must end after the host: slugs stand at the root of it"));
    }
    Ok(url)
}

/// Where another service is; an empty text is none. What is asked there stands below its path, which
/// is why that gets its `/` here.
pub(super) fn service_url<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<url::Url>, D::Error> {
    let text = String::deserialize(from)?;
    if text.is_empty() {
        return Ok(None);
    }
    let mut url = url::Url::parse(&text).map_err(|error| {
        D::Error::custom(format!("{error}; write it like https://payments.example.com/"))
    })?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(D::Error::custom("must start with http:// or https://"));
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(D::Error::custom(
            "must have no user name and password: set 'authorization', which is sent as a header",
        ));
    }
    if url.query().is_some() || url.fragment().is_some() {
        return Err(D::Error::custom("must end with its path: remove '?' or '#' and what follows"));
    }
    if !url.path().ends_with('/') {
        let path = format!("{}/", url.path());
        url.set_path(&path);
    }
    Ok(Some(url))
}

/// What is sent as `Authorization`. Judged here, because it is a header of every call.
pub(super) fn authorization<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    // The error of another type would show the value.
    let secret = Secret::deserialize(from)
        .map_err(|_other_type| D::Error::custom("must be a text in quotation marks"))?;
    let text = secret.expose();
    let fits = |byte: u8| byte.is_ascii_graphic() || byte == b' ';
    if !text.bytes().all(fits) || text.trim() != text {
        return Err(D::Error::custom(
            "must be letters, digits and signs of ASCII, with spaces only between them, such as \
             \"Bearer …\"",
        ));
    }
    if text.len() > LONGEST_AUTHORIZATION {
        let problem = format!("must be {LONGEST_AUTHORIZATION} bytes long at most");
        return Err(D::Error::custom(problem));
    }
    Ok(secret)
}

/// A path; an empty one is none.
pub(super) fn optional_path<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<Option<PathBuf>, D::Error> {
    let path = PathBuf::deserialize(from)?;
    Ok((!path.as_os_str().is_empty()).then_some(path))
}

/// Hosts that others are compared with. One that could never be equal to any would block nothing.
pub(super) fn hosts<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let hosts: Vec<String> = Vec::deserialize(from)?;
    let is_pattern = |host: &str| host.starts_with('.') || host.contains('*');
    match hosts.iter().find(|host| is_pattern(host) || url::Host::parse(host).is_err()) {
        None => Ok(hosts),
        Some(other) => Err(D::Error::custom(format!(
            "{other:?} is no host; write it like \"example.com\", without scheme, port, path and \
             wildcard: its subdomains are meant too"
        ))),
    }
}

/// Ranges of addresses, each written as in `10.0.0.0/8`.
pub(super) fn ranges<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<AddressRange>, D::Error> {
    let texts: Vec<String> = Vec::deserialize(from)?;
    let read =
        |text: String| text.parse().map_err(|error| D::Error::custom(format!("{text:?} {error}")));
    texts.into_iter().map(read).collect()
}

/// The longest `Authorization` in bytes: longer headers are refused by many servers.
const LONGEST_AUTHORIZATION: usize = 4_096;

/// The longest that any wait can be set to: a year.
const LONGEST: u64 = 31_536_000;

pub(super) fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    bounded(from, 1, LONGEST).map(Duration::from_secs)
}

pub(super) fn seconds_or_zero<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    bounded(from, 0, LONGEST).map(Duration::from_secs)
}

pub(super) fn days<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    bounded(from, 1, 3_650).map(|days| Duration::from_hours(days * 24))
}

pub(super) fn milliseconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    bounded(from, 1, LONGEST).map(Duration::from_millis)
}

/// The patience for one call. A reward belongs to one worker for half a minute: a call that takes
/// longer would be made by two.
pub(super) fn call_milliseconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    bounded(from, 1, 20_000).map(Duration::from_millis)
}

pub(super) fn bounded<'de, D: Deserializer<'de>>(
    from: D,
    least: u64,
    most: u64,
) -> Result<u64, D::Error> {
    let value = u64::deserialize(from)?;
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(D::Error::custom(format!("must be from {least} to {most}, not {value}")))
    }
}

pub(super) fn at_least<'de, const LEAST: usize, D: Deserializer<'de>>(
    from: D,
) -> Result<usize, D::Error> {
    let value = usize::deserialize(from)?;
    if value >= LEAST {
        Ok(value)
    } else {
        Err(D::Error::custom(format!("must be {LEAST} or more, not {value}")))
    }
}

pub(super) fn from_to<'de, const LEAST: usize, const MOST: usize, D: Deserializer<'de>>(
    from: D,
) -> Result<usize, D::Error> {
    let value = usize::deserialize(from)?;
    if (LEAST..=MOST).contains(&value) {
        Ok(value)
    } else {
        Err(D::Error::custom(format!("must be from {LEAST} to {MOST}, not {value}")))
    }
}

pub(super) fn header_count<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    // hyper reads up to 100 headers without allocating; more are refused before we count them.
    bounded(from, 1, 100).map(|count| usize::try_from(count).expect("at most 100"))
}

pub(super) fn slug_length<'de, D: Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    bounded(from, 5, 10).map(|length| u8::try_from(length).expect("at most 10"))
}

pub(super) fn cache_seconds<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    bounded(from, 0, LONGEST).map(|seconds| u32::try_from(seconds).expect("at most a year"))
}

pub(super) fn power_of_two<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    let value = usize::deserialize(from)?;
    if value.is_power_of_two() && value <= 1 << 24 {
        Ok(value)
    } else {
        Err(D::Error::custom(format!("must be a power of two up to 16777216, not {value}")))
    }
}

pub(super) fn key_prefix<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let prefix = String::deserialize(from)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=16).contains(&prefix.len()) && prefix.bytes().all(plain) {
        Ok(prefix)
    } else {
        Err(D::Error::custom("must be 1 to 16 letters, digits, '-' or '_'"))
    }
}
