//! What a request asks for: its key and its body, read strictly. No I/O.

use std::collections::BTreeMap;

use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::error::Category;

use super::ledger::Kind;
use super::refusal::{self, Refusal};

/// The currencies that the sandbox works with.
pub const CURRENCIES: [&str; 12] =
    ["BDT", "EUR", "IDR", "INR", "KES", "LKR", "MXN", "NGN", "PHP", "PKR", "USD", "VND"];

/// The largest amount of one operation, in minor units.
pub const MOST_MINOR: i64 = 1_000_000_000_000;

/// Users whose names begin like this are known to nobody, so that the refusal can be tried.
pub const UNKNOWN_USERS: &str = "unknown-";

/// The longest name of a campaign, a reward or a user, in characters.
const LONGEST_NAME: usize = 128;
/// The longest operation id.
const LONGEST_KEY: usize = 64;
/// The most values of a message, and the longest of them in characters.
const MOST_VALUES: usize = 16;
const LONGEST_VALUE: usize = 500;
/// How much of a text a refusal repeats, in characters.
const LONGEST_ECHO: usize = 200;

/// What somebody wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// The campaign that it belongs to.
    pub campaign: String,
    /// The reward that it belongs to; a message may have none.
    pub reward: Option<String>,
    /// For whom it is.
    pub beneficiary: String,
    /// In which currency; messages have none.
    pub currency: Option<String>,
    /// The amount, or the most that may be drawn, in minor units.
    pub minor: Option<i64>,
    /// What a message tells.
    pub message: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Draw {
    campaign: String,
    reward: String,
    beneficiary: String,
    currency: String,
    up_to_minor: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Transfer {
    campaign: String,
    reward: String,
    beneficiary: String,
    currency: String,
    amount_minor: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Message {
    campaign: String,
    user: String,
    kind: String,
    reward: Option<String>,
    language: Option<String>,
    #[serde(default)]
    values: BTreeMap<String, String>,
}

/// The operation id of a request: the one `Idempotency-Key` that it has.
pub fn key(headers: &HeaderMap) -> Result<&str, Refusal> {
    let refuse = |detail: &str| Refusal::new(refusal::Kind::InvalidKey, detail);
    let mut keys = headers.get_all("idempotency-key").iter();
    let key = match (keys.next(), keys.next()) {
        (Some(key), None) => key.to_str().unwrap_or_default(),
        (None, _) => return Err(refuse("send the operation id in the header Idempotency-Key")),
        (Some(_), Some(_)) => return Err(refuse("send exactly one header Idempotency-Key")),
    };
    if is_operation_id(key) {
        Ok(key)
    } else {
        Err(refuse("the Idempotency-Key must be 1 to 64 of the characters A-Z a-z 0-9 _ -"))
    }
}

/// Whether a text can name an operation.
pub fn is_operation_id(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    (1..=LONGEST_KEY).contains(&text.len()) && text.bytes().all(fits)
}

/// Fails unless the body says that it is JSON.
pub fn check_type(headers: &HeaderMap) -> Result<(), Refusal> {
    let mut types = headers.get_all(CONTENT_TYPE).iter();
    let essence = match (types.next(), types.next()) {
        (Some(only), None) => only.to_str().unwrap_or_default().split(';').next(),
        _ => None,
    };
    if essence.is_some_and(|essence| essence.trim().eq_ignore_ascii_case("application/json")) {
        Ok(())
    } else {
        let detail = "send the header 'Content-Type: application/json'";
        Err(Refusal::new(refusal::Kind::UnsupportedMediaType, detail))
    }
}

/// Reads what a body of this kind asks for, and checks whether the sandbox would do it.
pub fn order(kind: Kind, body: &[u8]) -> Result<Order, Refusal> {
    let order = match kind {
        Kind::Draw => {
            let it: Draw = decode(body)?;
            check_money((&it.campaign, &it.reward, &it.beneficiary, &it.currency))?;
            check_amount("up_to_minor", it.up_to_minor)?;
            money((it.campaign, it.reward, it.beneficiary, it.currency), it.up_to_minor)
        }
        Kind::Allotment | Kind::Payout => {
            let it: Transfer = decode(body)?;
            check_money((&it.campaign, &it.reward, &it.beneficiary, &it.currency))?;
            check_amount("amount_minor", it.amount_minor)?;
            money((it.campaign, it.reward, it.beneficiary, it.currency), it.amount_minor)
        }
        Kind::Message => message(decode(body)?)?,
    };
    Ok(order)
}

fn money(
    (campaign, reward, beneficiary, currency): (String, String, String, String),
    minor: i64,
) -> Order {
    Order {
        campaign,
        reward: Some(reward),
        beneficiary,
        currency: Some(currency),
        minor: Some(minor),
        message: None,
    }
}

fn message(it: Message) -> Result<Order, Refusal> {
    check_name("campaign", &it.campaign)?;
    check_user("user", &it.user)?;
    check_name("kind", &it.kind)?;
    if let Some(reward) = &it.reward {
        check_name("reward", reward)?;
    }
    if let Some(language) = &it.language {
        check_name("language", language)?;
    }
    let wrong = |detail: String| Refusal::of_field(refusal::Kind::InvalidBody, "values", detail);
    if it.values.len() > MOST_VALUES {
        return Err(wrong(format!("has more than {MOST_VALUES} values; send fewer")));
    }
    for (name, value) in &it.values {
        check_name("values", name)?;
        if value.chars().count() > LONGEST_VALUE {
            return Err(wrong(format!("has a text of more than {LONGEST_VALUE} characters")));
        }
    }
    Ok(Order {
        campaign: it.campaign,
        reward: it.reward,
        beneficiary: it.user,
        currency: None,
        minor: None,
        message: Some(it.kind),
    })
}

fn check_money(
    (campaign, reward, beneficiary, currency): (&str, &str, &str, &str),
) -> Result<(), Refusal> {
    check_name("campaign", campaign)?;
    check_name("reward", reward)?;
    check_user("beneficiary", beneficiary)?;
    if CURRENCIES.contains(&currency) {
        return Ok(());
    }
    let detail = format!("is none of {}; GET / lists them too", CURRENCIES.join(", "));
    Err(Refusal::of_field(refusal::Kind::CurrencyNotSupported, "currency", detail))
}

fn check_name(field: &str, name: &str) -> Result<(), Refusal> {
    let length = name.chars().count();
    if (1..=LONGEST_NAME).contains(&length) && !name.chars().any(char::is_control) {
        return Ok(());
    }
    let detail =
        format!("must be 1 to {LONGEST_NAME} characters, none of them a control character");
    Err(Refusal::of_field(refusal::Kind::InvalidBody, field, detail))
}

fn check_user(field: &str, name: &str) -> Result<(), Refusal> {
    check_name(field, name)?;
    if name.starts_with(UNKNOWN_USERS) {
        let detail = "is nobody that this service knows; send the name of somebody whom it knows";
        return Err(Refusal::of_field(refusal::Kind::BeneficiaryUnknown, field, detail));
    }
    Ok(())
}

fn check_amount(field: &str, minor: i64) -> Result<(), Refusal> {
    if (1..=MOST_MINOR).contains(&minor) {
        return Ok(());
    }
    let detail = format!("must be from 1 to {MOST_MINOR} minor units, and is {minor}");
    Err(Refusal::of_field(refusal::Kind::AmountOutOfRange, field, detail))
}

/// Decodes a JSON object; fields that are unknown, missing, doubled or of the wrong type are refused.
pub fn decode<'de, T: Deserialize<'de>>(body: &'de [u8]) -> Result<T, Refusal> {
    let malformed = |why: String| Refusal::new(refusal::Kind::MalformedBody, why);
    let text = std::str::from_utf8(body)
        .map_err(|error| malformed(format!("the body is not UTF-8: {error}; send JSON")))?;
    // Read once without a type: what is not JSON is told before what is wrong with its fields, and a
    // list is not taken for the fields in their order.
    let whole: &serde_json::value::RawValue = serde_json::from_str(text)
        .map_err(|error| malformed(format!("the body is not JSON: {error}; send an object")))?;
    if !whole.get().starts_with('{') {
        let detail = "the body must be a JSON object";
        return Err(Refusal::of_field(refusal::Kind::InvalidBody, "", detail));
    }
    let mut deserializer = serde_json::Deserializer::from_str(whole.get());
    serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let whole = error.inner().to_string();
        let message = whole.split(" at line ").next().unwrap_or(&whole);
        if matches!(error.inner().classify(), Category::Syntax | Category::Eof) {
            return malformed(format!("the body is not JSON: {message}; send an object"));
        }
        // A field that is missing, or stands twice, is only named in the message.
        let named = ["missing field ", "duplicate field "]
            .into_iter()
            .find_map(|start| message.strip_prefix(start));
        let path = error.path().to_string();
        let field = match named {
            Some(field) => field.trim_matches('`'),
            None if path == "." => "",
            None => path.as_str(),
        };
        let detail = cut(message);
        Refusal::of_field(refusal::Kind::InvalidBody, &cut(&field.replace('.', "/")), detail)
    })
}

/// What a refusal repeats of a body, up to a length.
fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST_ECHO) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_operation_id_is_short_and_plain() {
        assert!(is_operation_id("a"));
        assert!(is_operation_id(&"aZ09_-".repeat(10)));
        for bad in ["", "a b", "a/b", "ä", "a.b", &"x".repeat(65)] {
            assert!(!is_operation_id(bad), "{bad:?}");
        }
    }

    #[test]
    fn a_refusal_repeats_only_a_little_of_what_is_wrong() {
        let long = "x".repeat(10_000);
        let refused = order(Kind::Draw, format!(r#"{{"{long}": 1}}"#).as_bytes());
        let shown = format!("{:?}", refused.expect_err("refused"));
        assert!(shown.len() < 1_000, "{} bytes", shown.len());
    }
}
