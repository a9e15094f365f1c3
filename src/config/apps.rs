//! `[[apps]]`: which apps open links of which domains by themselves. The rules are those of the stores:
//! what is refused here would be ignored there without a word.

use serde::{Deserialize, Deserializer, de::Error as _};

/// Pairs of hexadecimal digits in a SHA-256 fingerprint.
const PAIRS: usize = 32;

/// `[[apps]]`
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "Entry")]
pub struct App {
    /// Hosts of the domains whose links it opens, in lower case and ASCII; empty: all domains.
    pub domains: Vec<String>,
    /// The app for Android.
    pub android: Option<Android>,
    /// The apps for iOS, each as `<application identifier prefix>.<bundle identifier>`.
    pub ios_app_ids: Vec<String>,
    /// Paths that the apps for iOS open; `*` stands for any characters, `?` for one.
    pub paths: Vec<String>,
}

/// An app for Android.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Android {
    /// Its package name.
    pub package: String,
    /// The SHA-256 fingerprints of the certificates that it may be signed with: 32 pairs of
    /// hexadecimal digits in capitals, with colons between.
    pub fingerprints: Vec<String>,
}

/// An entry as it is written.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default, deserialize_with = "domains")]
    domains: Vec<String>,
    #[serde(default, deserialize_with = "package")]
    android_package: Option<String>,
    #[serde(default, deserialize_with = "fingerprints")]
    android_sha256_fingerprints: Vec<String>,
    #[serde(default, deserialize_with = "app_ids")]
    ios_app_ids: Vec<String>,
    #[serde(default = "usual_paths", deserialize_with = "paths")]
    paths: Vec<String>,
}

fn usual_paths() -> Vec<String> {
    vec!["/r/*".to_owned()]
}

impl TryFrom<Entry> for App {
    type Error = &'static str;

    fn try_from(entry: Entry) -> Result<Self, Self::Error> {
        let fingerprints = entry.android_sha256_fingerprints;
        let android = match (entry.android_package, fingerprints.is_empty()) {
            (Some(package), false) => Some(Android { package, fingerprints }),
            (Some(_), true) => {
                return Err("android_package needs android_sha256_fingerprints besides: without \
                            them Android believes no app");
            }
            (None, false) => {
                return Err("android_sha256_fingerprints needs android_package besides");
            }
            (None, true) if entry.ios_app_ids.is_empty() => {
                return Err("an entry of [[apps]] needs android_package, ios_app_ids or both");
            }
            (None, true) => None,
        };
        Ok(Self {
            domains: entry.domains,
            android,
            ios_app_ids: entry.ios_app_ids,
            paths: entry.paths,
        })
    }
}

/// Hosts, spelled as a `Host` header has them.
fn domains<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let read = |text: &str| {
        let host = url::Host::parse(text.strip_suffix('.').unwrap_or(text)).ok()?.to_string();
        (!host.contains('*') && !host.starts_with('.')).then_some(host)
    };
    each(from, read, |text| {
        format!(
            "{text:?} is no host; write it like \"go.example.com\", without scheme, port, path and \
             wildcard"
        )
    })
}

fn package<'de, D: Deserializer<'de>>(from: D) -> Result<Option<String>, D::Error> {
    let name = String::deserialize(from)?;
    let is_part = |part: &str| {
        part.starts_with(|first: char| first.is_ascii_alphabetic())
            && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
    };
    if name.contains('.') && name.split('.').all(is_part) {
        return Ok(Some(name));
    }
    Err(D::Error::custom(format!(
        "{name:?} is no package name; write the app's applicationId, like \"com.example.app\""
    )))
}

fn fingerprints<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let is_pair = |pair: &str| pair.len() == 2 && pair.bytes().all(|byte| byte.is_ascii_hexdigit());
    let read = |text: &str| {
        let good = text.split(':').count() == PAIRS && text.split(':').all(is_pair);
        good.then(|| text.to_ascii_uppercase())
    };
    each(from, read, |text| {
        let found = text.split(':').filter(|pair| is_pair(pair)).count();
        format!(
            "{text:?} is no SHA-256 fingerprint: it has {found} pairs of hexadecimal digits between \
             colons, not {PAIRS}; copy the line SHA-256 from the Play Console (App signing) or \
             'keytool -list -v', not SHA-1"
        )
    })
}

fn app_ids<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let is_prefix = |prefix: &str| {
        let allowed = |byte: u8| byte.is_ascii_uppercase() || byte.is_ascii_digit();
        prefix.len() == 10 && prefix.bytes().all(allowed)
    };
    let is_bundle = |bundle: &str| {
        let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        bundle.split('.').all(|part| !part.is_empty() && part.bytes().all(allowed))
    };
    let read = |text: &str| {
        let (prefix, bundle) = text.split_once('.')?;
        (is_prefix(prefix) && is_bundle(bundle)).then(|| text.to_owned())
    };
    each(from, read, |text| {
        format!(
            "{text:?} is no app id; write the ten capitals and digits of the team or app id \
             prefix, a dot, and the bundle id, like \"ABCDE12345.com.example.app\""
        )
    })
}

fn paths<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let read = |text: &str| {
        let good = text.starts_with('/') && text.bytes().all(|byte| byte.is_ascii_graphic());
        good.then(|| text.to_owned())
    };
    let paths = each(from, read, |text| {
        format!(
            "{text:?} is no path; it must begin with \"/\" and have no spaces and only ASCII \
             characters, like \"/r/*\""
        )
    })?;
    if paths.is_empty() {
        return Err(D::Error::custom("must not be empty; leave it out for [\"/r/*\"]"));
    }
    Ok(paths)
}

/// A list whose texts are read one by one; the first that cannot be read is explained.
fn each<'de, D: Deserializer<'de>>(
    from: D,
    read: impl Fn(&str) -> Option<String>,
    explain: impl Fn(&str) -> String,
) -> Result<Vec<String>, D::Error> {
    let texts: Vec<String> = Vec::deserialize(from)?;
    let read = |text: &String| read(text).ok_or_else(|| D::Error::custom(explain(text)));
    texts.iter().map(read).collect()
}
