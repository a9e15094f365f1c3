//! What answers mean: the table of statuses of the protocol, and what is believed of a body. No I/O.

use std::ops::RangeInclusive;
use std::time::Duration;

use hyper::header::RETRY_AFTER;
use hyper::{HeaderMap, StatusCode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Number;
use sha2::{Digest, Sha256};

use super::request::Amounts;
use super::{AMOUNT_OUT_OF_RANGE, About, Asked, Call, Sent};
use crate::outbound::Answer;

/// How much of somebody else's words is kept, in characters.
const LONGEST_SHOWN: usize = 200;
/// The longest that a service is left alone because it asked for it.
const LONGEST_PAUSE: Duration = Duration::from_mins(15);
/// A service must remember ids for at least this long.
const SHORTEST_WINDOW: Duration = Duration::from_mins(1);
/// No service is relied on to remember an id for longer.
const LONGEST_WINDOW: Duration = Duration::from_hours(365 * 24);
/// What the type of each problem begins with.
const PROBLEM: &str = "urn:waypost:payment:";
/// The longest name of a problem.
const LONGEST_PROBLEM: usize = 64;

/// An operation, as it was sent.
pub(super) struct Operation<'a> {
    pub(super) call: Call,
    pub(super) id: &'a str,
    pub(super) request: &'a [u8],
}

/// The answer to a call.
#[derive(Deserialize)]
struct Applied {
    operation_id: String,
    status: Option<String>,
    amount_minor: Option<Number>,
}

/// The answer to a question about an operation.
#[derive(Deserialize)]
struct Known {
    operation_id: String,
    kind: String,
    status: String,
    request_sha256: String,
    amount_minor: Option<Number>,
}

#[derive(Deserialize)]
struct Window {
    dedupe_window_seconds: u64,
}

#[derive(Default, Deserialize)]
struct Problem {
    #[serde(rename = "type")]
    kind: Option<String>,
    detail: Option<String>,
}

/// What became of a call that was answered.
pub(super) fn sent(operation: &Operation<'_>, answer: &Answer) -> Sent {
    match answer.status.as_u16() {
        200 => applied(operation, answer),
        429 | 503 => Sent::Later { after: pause(&answer.headers), why: in_words(answer) },
        408 => Sent::Unknown { why: in_words(answer) },
        400..=499 => {
            let (problem, detail) = problem(answer);
            Sent::Refused { problem, detail }
        }
        _ => Sent::Unknown { why: in_words(answer) },
    }
}

fn applied(operation: &Operation<'_>, answer: &Answer) -> Sent {
    let not_understood = |why: &str| Sent::Unknown { why: not_understood(why, answer) };
    let said: Applied = match object(answer) {
        Ok(said) => said,
        Err(why) => return not_understood(&why),
    };
    if said.operation_id != operation.id {
        return not_understood("it names another operation");
    }
    let is_applied = match (operation.call, said.status.as_deref()) {
        // Draws say what was decided, which says that it was.
        (Call::Draw, None) => true,
        (Call::Draw | Call::Allot | Call::Pay | Call::Message, status) => status == Some("applied"),
    };
    if !is_applied {
        return not_understood("its 'status' is not \"applied\"");
    }
    match operation.amount(said.amount_minor.as_ref()) {
        Amount::Fits(amount_minor) => Sent::Applied { amount_minor },
        Amount::Missing => not_understood("it lacks 'amount_minor'"),
        Amount::Wrong(detail) => Sent::Refused { problem: AMOUNT_OUT_OF_RANGE.to_owned(), detail },
    }
}

/// What is known of an operation that was asked for.
pub(super) fn asked(operation: &Operation<'_>, answer: &Answer) -> Asked {
    if answer.status == StatusCode::NOT_FOUND && problem(answer).0 == "unknown-operation" {
        return Asked::NotKnown;
    }
    if answer.status != StatusCode::OK {
        return Asked::NoAnswer { why: in_words(answer) };
    }
    let not_understood = |why: &str| Asked::NoAnswer { why: not_understood(why, answer) };
    let known: Known = match object(answer) {
        Ok(known) => known,
        Err(why) => return not_understood(&why),
    };
    if known.operation_id != operation.id {
        return not_understood("it names another operation");
    }
    if known.status != "applied" {
        return not_understood("its 'status' is not \"applied\"");
    }
    let (kind, sha256) = (operation.call.kind(), sha256(operation.request));
    let differs = |detail: String| Asked::Differs { detail };
    if known.kind != kind {
        return differs(format!(
            "it is of the kind \"{kind}\", and the service has {:?}",
            cut(&known.kind)
        ));
    }
    if !known.request_sha256.eq_ignore_ascii_case(&sha256) {
        let theirs = cut(&known.request_sha256);
        return differs(format!("its bytes have the SHA-256 {sha256}, and the service {theirs:?}"));
    }
    match operation.amount(known.amount_minor.as_ref()) {
        Amount::Fits(amount_minor) => Asked::Applied { amount_minor },
        Amount::Missing => not_understood("it lacks 'amount_minor'"),
        Amount::Wrong(detail) => differs(detail),
    }
}

/// What a service says about itself.
pub(super) fn about(answer: &Answer) -> Result<About, String> {
    if answer.status != StatusCode::OK {
        return Err(in_words(answer));
    }
    let said: Window = object(answer).map_err(|why| not_understood(&why, answer))?;
    let dedupe_window = Duration::from_secs(said.dedupe_window_seconds);
    if dedupe_window < SHORTEST_WINDOW {
        return Err(format!(
            "it remembers the ids of operations for {} seconds only ('dedupe_window_seconds' in GET \
             /): it must be {} or more, or the same payout could be made twice",
            dedupe_window.as_secs(),
            SHORTEST_WINDOW.as_secs(),
        ));
    }
    Ok(About { dedupe_window: dedupe_window.min(LONGEST_WINDOW) })
}

/// What is believed of an amount.
enum Amount {
    /// It fits what was asked for, or need not be there.
    Fits(Option<i64>),
    /// It should be there.
    Missing,
    /// It was not asked for.
    Wrong(String),
}

impl Operation<'_> {
    /// Judges the amount of an answer by the request, in minor units.
    fn amount(&self, said: Option<&Number>) -> Amount {
        let amounts = Amounts::of(self.request);
        let allowed: Option<RangeInclusive<i64>> = match self.call {
            Call::Draw => amounts.up_to_minor.map(|most| 0..=most),
            Call::Allot | Call::Pay => amounts.amount_minor.map(|amount| amount..=amount),
            Call::Message => return Amount::Fits(None),
        };
        match (said, self.call) {
            (None, Call::Draw) => Amount::Missing,
            (None, Call::Allot | Call::Pay | Call::Message) => Amount::Fits(None),
            (Some(said), _) => {
                let minor = said.as_i64();
                let fits = |minor: &i64| allowed.as_ref().is_some_and(|it| it.contains(minor));
                minor.filter(fits).map_or_else(|| wrong(said, allowed), |it| Amount::Fits(Some(it)))
            }
        }
    }
}

fn wrong(said: &Number, allowed: Option<RangeInclusive<i64>>) -> Amount {
    let asked = match allowed {
        Some(allowed) if allowed.start() == allowed.end() => format!("{} was", allowed.start()),
        Some(allowed) => format!("from {} to {} was", allowed.start(), allowed.end()),
        None => "no amount was".to_owned(),
    };
    Amount::Wrong(cut(&format!("the answer has the amount {said}, where {asked} asked for")))
}

/// Reads an object. What else JSON has would be taken for its fields in their order.
pub(super) fn object<T: DeserializeOwned>(answer: &Answer) -> Result<T, String> {
    if answer.body.trim_ascii_start().first() != Some(&b'{') {
        return Err("it is no JSON object".to_owned());
    }
    serde_json::from_slice(&answer.body).map_err(|error| error.to_string())
}

/// The name of a problem, and what is said about it.
fn problem(answer: &Answer) -> (String, String) {
    let said: Problem = object(answer).unwrap_or_default();
    let is_name = |name: &&str| {
        let fits = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        (1..=LONGEST_PROBLEM).contains(&name.len()) && name.bytes().all(fits)
    };
    let name = said.kind.as_deref().and_then(|kind| kind.strip_prefix(PROBLEM)).filter(is_name);
    let status = || format!("status-{}", answer.status.as_u16());
    let detail = said.detail.map_or_else(|| shown(answer), |detail| cut(&detail));
    (name.map_or_else(status, str::to_owned), detail)
}

/// An answer that is none, for people.
pub(super) fn in_words(answer: &Answer) -> String {
    let (problem, detail) = problem(answer);
    format!("it answered with the status {} ({problem}): {detail}", answer.status.as_u16())
}

/// An answer that should have been understood, for people.
pub(super) fn not_understood(why: &str, answer: &Answer) -> String {
    format!("its answer is not understood: {}: {}", cut(why), shown(answer))
}

/// How long the service wants to be left alone, if it says so in seconds.
fn pause(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    // More digits than fit are more seconds than anybody is left alone.
    let pause = text.parse().map_or(LONGEST_PAUSE, Duration::from_secs);
    Some(pause.min(LONGEST_PAUSE))
}

/// The beginning of a body.
fn shown(answer: &Answer) -> String {
    // A letter has four bytes at most, and one that is cut ends what is shown.
    let most = LONGEST_SHOWN.saturating_mul(4);
    let text = String::from_utf8_lossy(answer.body.get(..most).unwrap_or(&answer.body));
    let text = cut(&text);
    if text.is_empty() { "it said nothing".to_owned() } else { text }
}

/// The beginning of a text, without what would change the look of a log.
pub(super) fn cut(text: &str) -> String {
    text.chars().filter(|letter| !letter.is_control()).take(LONGEST_SHOWN).collect()
}

/// The SHA-256 of bytes in hexadecimal digits.
fn sha256(bytes: &[u8]) -> String {
    let digits = |all: String, byte: &u8| all + &format!("{byte:02x}");
    Sha256::digest(bytes).iter().fold(String::new(), digits)
}
