//! Click tokens: what a landing page puts into the store's button, and what the installed app hands
//! back. Pure; knows no I/O.
//!
//! A token is a few bytes in base64url, signed and opaque: no device is recognised by anything, and
//! there is nothing of a person in it. It says which click it was, in which campaign and version, on
//! which domain, by which code and when. It is good for [`LIFE`].
//!
//! Keys rotate. A key signs from its own moment on until the next one's, and is known for longer than
//! what it signed lives.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use percent_encoding::percent_decode_str;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::campaign::{CampaignNumber, Version};
use crate::clock::UnixMillis;
use crate::link::DomainId;

/// How long a token is good for.
pub const LIFE: Duration = Duration::from_hours(7 * 24);

/// How far ahead of ours the clock may be of whoever signed.
const CLOCKS_DIFFER: Duration = Duration::from_mins(5);
/// The first byte: this form of a token.
const FORM: u8 = 1;
/// How much of the signature is kept, in bytes: nobody guesses 128 bits.
const SIGNATURE: usize = 16;
/// How long a code may be.
const CODE_LENGTHS: std::ops::RangeInclusive<usize> = 4..=20;
/// The longest token: form, key, click, time, campaign, version, domain, code with its length,
/// signature; and four characters for three bytes.
const LONGEST: usize = (1 + 5 + 16 + 10 + 5 + 5 + 5 + 1 + 20 + SIGNATURE).div_ceil(3) * 4;
/// The longest text in which a token is looked for.
const LONGEST_REFERRER: usize = 2_048;

/// What a token says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClickToken {
    /// Which click: 128 random bits.
    pub click_id: u128,
    /// In which campaign.
    pub campaign: CampaignNumber,
    /// In which version of it: what was promised on the page counts.
    pub version: Version,
    /// On which domain.
    pub domain: DomainId,
    /// By which code: 4 to 20 digits and capitals.
    pub code: String,
    /// When, in whole seconds since 1970.
    pub clicked_at_seconds: u64,
}

/// Why a text is no token that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// There is none: the app was found without a link, or opened by a plain one.
    #[error(
        "there is no click token in it, no 'wp_click': nobody followed a link to the store. Take the \
         code from the link, if the app was opened by one, or ask for it"
    )]
    Missing,
    /// It is too short, too long, or has characters that no token has.
    #[error("the token is cut or changed: hand it over exactly as the store gave it")]
    Malformed,
    /// Nobody knows the key with this number that is said to have signed it.
    #[error("the token is not one of ours")]
    UnknownKey(i32),
    /// Its signature is not that of its key.
    #[error("the token is not one of ours, or it was changed")]
    Forged,
    /// It is older than [`LIFE`].
    #[error(
        "the token is older than 7 days; ask the person for the code, or to open the link again"
    )]
    Expired,
    /// It was signed at a moment that is yet to come.
    #[error("the token is from the future: the clocks of our servers differ")]
    FromTheFuture,
}

/// A key that signs tokens. It does not show its secret.
#[derive(Clone)]
pub struct TokenKey {
    /// Names it in tokens.
    pub id: i32,
    /// From when on it signs.
    pub signs_from: UnixMillis,
    /// The secret, laid out once for all signatures.
    keyed: Hmac<Sha256>,
}

impl TokenKey {
    /// The key with this number and secret.
    pub fn new(id: i32, signs_from: UnixMillis, secret: &[u8; 32]) -> Self {
        let keyed = Hmac::new_from_slice(secret).expect("HMAC takes keys of any length");
        Self { id, signs_from, keyed }
    }

    fn signature(&self, content: &[u8]) -> [u8; SIGNATURE] {
        let mut keyed = self.keyed.clone();
        keyed.update(content);
        let whole: [u8; 32] = keyed.finalize().into_bytes().into();
        *whole.first_chunk().expect("32 bytes have 16")
    }
}

impl std::fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "TokenKey({}, hidden, signs from {:?})", self.id, self.signs_from)
    }
}

/// All keys that are known.
#[derive(Clone, Debug, Default)]
pub struct TokenKeys(BTreeMap<i32, TokenKey>);

impl TokenKeys {
    /// These keys.
    pub fn new(keys: impl IntoIterator<Item = TokenKey>) -> Self {
        Self(keys.into_iter().map(|key| (key.id, key)).collect())
    }

    /// The key that signs at this moment: of those whose time has come, the latest. Before the time of
    /// all of them, the earliest: a landing page must not wait for a clock.
    pub fn current_at(&self, now: UnixMillis) -> Option<&TokenKey> {
        let rank = |key: &&TokenKey| (key.signs_from, key.id);
        let due = self.0.values().filter(|key| key.signs_from <= now).max_by_key(rank);
        due.or_else(|| self.0.values().min_by_key(rank))
    }

    /// The key with this number.
    pub fn by_id(&self, id: i32) -> Option<&TokenKey> {
        self.0.get(&id)
    }

    /// All of them, by their numbers.
    pub fn all(&self) -> impl Iterator<Item = &TokenKey> {
        self.0.values()
    }
}

impl ClickToken {
    /// The token as a text, signed by `key`: some 70 characters that need no escape anywhere.
    pub fn mint(&self, key: &TokenKey) -> String {
        let mut bytes = Vec::with_capacity(LONGEST);
        bytes.push(FORM);
        put(&mut bytes, number_of(key.id));
        bytes.extend_from_slice(&self.click_id.to_be_bytes());
        put(&mut bytes, self.clicked_at_seconds);
        for number in [self.campaign.0, self.version.0, self.domain.0] {
            put(&mut bytes, number_of(number));
        }
        bytes.push(u8::try_from(self.code.len()).expect("codes have at most 20 characters"));
        bytes.extend_from_slice(self.code.as_bytes());
        let signature = key.signature(&bytes);
        bytes.extend_from_slice(&signature);
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// Reads a token and proves it.
    pub fn read(text: &str, keys: &TokenKeys, now: UnixMillis) -> Result<Self, TokenFault> {
        if text.len() > LONGEST {
            return Err(TokenFault::Malformed);
        }
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_bad| TokenFault::Malformed)?;
        let (content, signature) =
            bytes.split_last_chunk::<SIGNATURE>().ok_or(TokenFault::Malformed)?;
        let (key_id, token) = Self::take(content).ok_or(TokenFault::Malformed)?;
        let expired = now.since(token.clicked_at()) >= LIFE;
        let Some(key) = keys.by_id(key_id) else {
            // Keys are forgotten some time after all that they signed has expired.
            let fault = if expired { TokenFault::Expired } else { TokenFault::UnknownKey(key_id) };
            return Err(fault);
        };
        if !bool::from(key.signature(content).ct_eq(signature)) {
            return Err(TokenFault::Forged);
        }
        if expired {
            return Err(TokenFault::Expired);
        }
        if token.clicked_at() > now.after(CLOCKS_DIFFER) {
            return Err(TokenFault::FromTheFuture);
        }
        Ok(token)
    }

    /// When the click was.
    pub fn clicked_at(&self) -> UnixMillis {
        UnixMillis(self.clicked_at_seconds.saturating_mul(1_000))
    }

    /// The number of the key, and what the token says; `None` for what [`ClickToken::mint`] never
    /// writes.
    fn take(mut content: &[u8]) -> Option<(i32, Self)> {
        let rest = &mut content;
        let [FORM] = take_bytes(rest)? else { return None };
        let key_id = take_id(rest)?;
        let click_id = u128::from_be_bytes(take_bytes(rest)?);
        let clicked_at_seconds = take_number(rest)?;
        let campaign = CampaignNumber(take_id(rest)?);
        let version = Version(take_id(rest)?);
        let domain = DomainId(take_id(rest)?);
        let [length] = take_bytes(rest)?;
        let is_good = CODE_LENGTHS.contains(&usize::from(length))
            && rest.len() == usize::from(length)
            && rest.iter().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase());
        let code = std::str::from_utf8(rest).ok().filter(|_| is_good)?.to_owned();
        Some((key_id, Self { click_id, campaign, version, domain, code, clicked_at_seconds }))
    }
}

/// The token in what an app hands over: the token alone, or the whole referrer string that the store
/// gave it, escaped or not, or an address that ends with it.
pub fn from_referrer(text: &str) -> Cow<'_, str> {
    let text = text.trim();
    if text.len() > LONGEST_REFERRER {
        return Cow::Borrowed(text);
    }
    // Some stores hand over what was escaped for their URL, as it was.
    let decoded = percent_decode_str(text).decode_utf8_lossy();
    let found = |text: &str| {
        let mut fields = text.rsplit('?').next().unwrap_or_default().split(['&', '#']);
        fields.find_map(|field| field.strip_prefix("wp_click=")).map(str::to_owned)
    };
    let inside = found(text).or_else(|| found(&decoded)).or_else(|| {
        let twice = percent_decode_str(&decoded).decode_utf8_lossy();
        found(&twice)
    });
    inside.map_or(Cow::Borrowed(text), Cow::Owned)
}

/// Whether what an app hands over is a referrer or an address that has no token in it.
pub fn is_missing(text: &str) -> bool {
    if text.len() > LONGEST_REFERRER {
        return false;
    }
    let text = percent_decode_str(text.trim()).decode_utf8_lossy();
    let is_field = |field: &str| {
        let parts = field.split_once('=');
        parts.is_some_and(|(name, value)| !name.is_empty() && !value.trim_matches('=').is_empty())
    };
    let is_referrer = text.contains("://") || text.split(['?', '&', '#']).any(is_field);
    text.is_empty() || (is_referrer && !text.contains("wp_click"))
}

/// A click's number as a UUID: `01234567-89ab-cdef-0123-456789abcdef`.
pub fn click_name(click_id: u128) -> String {
    let digits = format!("{click_id:032x}");
    let mut name = String::with_capacity(36);
    for (place, digit) in digits.chars().enumerate() {
        if matches!(place, 8 | 12 | 16 | 20) {
            name.push('-');
        }
        name.push(digit);
    }
    name
}

/// The number of the click that a UUID names, if [`click_name`] could have written it, in capitals or
/// not.
pub fn click_named(name: &str) -> Option<u128> {
    let click_id = u128::from_str_radix(&name.replace('-', ""), 16).ok()?;
    click_name(click_id).eq_ignore_ascii_case(name).then_some(click_id)
}

/// Numbers given out by the database are never negative.
fn number_of(id: i32) -> u64 {
    u64::try_from(id).unwrap_or(0)
}

/// Writes a number in groups of seven bits, the lowest first; all but the last have the high bit.
fn put(bytes: &mut Vec<u8>, mut number: u64) {
    loop {
        let [group, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            bytes.push(group & 0x7f);
            return;
        }
        bytes.push(group | 0x80);
    }
}

fn take_number(rest: &mut &[u8]) -> Option<u64> {
    let mut number = 0_u64;
    for place in (0..u64::BITS).step_by(7) {
        let [byte] = take_bytes(rest)?;
        let group = u64::from(byte & 0x7f);
        number |= group.checked_shl(place)?;
        if byte & 0x80 == 0 {
            // One way to write a number: no empty group at its end, and nothing beyond 64 bits.
            let canonical = (group != 0 || place == 0) && number >> place == group;
            return canonical.then_some(number);
        }
    }
    None
}

fn take_id(rest: &mut &[u8]) -> Option<i32> {
    i32::try_from(take_number(rest)?).ok()
}

fn take_bytes<const LENGTH: usize>(rest: &mut &[u8]) -> Option<[u8; LENGTH]> {
    let (taken, left) = rest.split_first_chunk::<LENGTH>()?;
    *rest = left;
    Some(*taken)
}

#[cfg(test)]
mod tests;
