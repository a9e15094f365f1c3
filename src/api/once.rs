//! `Idempotency-Key`: the same request, sent again, is answered the same and done once.

use hyper::StatusCode;
use hyper::header::{HeaderName, HeaderValue};
use sha2::{Digest, Sha256};

use super::{Call, Reply};
use crate::http::problem::{Kind, Problem};
use crate::store::Transaction;
use crate::store::idempotency::{self, Claim, RequestName};

/// Under which name the key comes.
const HEADER: HeaderName = HeaderName::from_static("idempotency-key");
/// Says that an answer was given before.
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");
/// The longest key.
const LONGEST: usize = 255;

/// The name of a request, if it has one.
pub(super) fn name(call: &Call) -> Result<Option<RequestName<'_>>, Problem> {
    let refuse = |detail: &str| Err(Problem::new(Kind::InvalidHeader, detail));
    let mut values = call.parts.headers.get_all(HEADER).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return refuse("Idempotency-Key stands more than once");
    }
    let Some(key) = value.to_str().ok().filter(|key| (1..=LONGEST).contains(&key.len())) else {
        return refuse("Idempotency-Key must be 1 to 255 printable ASCII characters");
    };
    let hash = Sha256::new()
        .chain_update(call.method().as_str())
        .chain_update(b" ")
        .chain_update(call.parts.uri.path())
        .chain_update(b"?")
        .chain_update(call.raw_query())
        .chain_update(b"\n")
        .chain_update(&call.body)
        .finalize();
    Ok(Some(RequestName { api_key: &call.caller()?.key_id, key, hash: hash.into() }))
}

/// The answer that was given before, or `None`: the request is to be carried out now.
pub(super) async fn answered(
    transaction: &Transaction<'_>,
    name: &RequestName<'_>,
) -> Result<Option<Reply>, Problem> {
    match idempotency::claim(transaction, name).await? {
        Claim::Ours => Ok(None),
        Claim::InFlight => {
            let detail = "the first of these requests has no answer yet; try again in a moment";
            Err(Problem::new(Kind::RequestInFlight, detail))
        }
        Claim::Mismatch => {
            let detail = "the Idempotency-Key came with another request before; use a new one";
            Err(Problem::new(Kind::IdempotencyKeyReused, detail))
        }
        Claim::Answered { status, body } => {
            let status = StatusCode::from_u16(status).unwrap_or(StatusCode::OK);
            let reply = Reply::new(status, "application/json", body);
            Ok(Some(reply.with(REPLAYED, HeaderValue::from_static("true"))))
        }
    }
}
