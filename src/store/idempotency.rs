//! Answers to requests that carried an `Idempotency-Key`, kept in the transaction of what they did:
//! either both are there or neither.

use std::time::Duration;

use sha2::{Digest, Sha256};

use super::{Error, Store, Transaction, expect_rows};

/// Names a request that may come more than once.
#[derive(Clone, Copy, Debug)]
pub struct RequestName<'a> {
    /// The API key that it came with.
    pub api_key: &'a str,
    /// Its `Idempotency-Key`.
    pub key: &'a str,
    /// SHA-256 of all that makes it this request.
    pub hash: [u8; 32],
}

/// What is known of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Claim {
    /// Nothing: it is ours to carry out, until the transaction ends.
    Ours,
    /// Another transaction is carrying it out right now.
    InFlight,
    /// It was carried out.
    Answered {
        /// The answer's status.
        status: u16,
        /// The answer's body.
        body: Vec<u8>,
    },
    /// The key was used for another request.
    Mismatch,
}

/// Claims a request for this transaction.
pub async fn claim(transaction: &Transaction<'_>, name: &RequestName<'_>) -> Result<Claim, Error> {
    let ours: bool = transaction
        .query_one(
            "SELECT pg_try_advisory_xact_lock($1 /* request */) /* claim_request */",
            &[&advisory_lock(name)],
        )
        .await?
        .try_get(0)?;
    if !ours {
        return Ok(Claim::InFlight);
    }
    // A statement of its own: its snapshot is taken after the lock, so it sees what the last holder
    // of the lock committed.
    let stored = transaction
        .query_opt(
            "SELECT request_hash, status, body FROM idempotent_answer
             WHERE api_key_id = $1 /* api_key */ AND key = $2 /* key */ /* find_answer */",
            &[&name.api_key, &name.key],
        )
        .await?;
    let Some(row) = stored else { return Ok(Claim::Ours) };
    let hash: Vec<u8> = row.try_get("request_hash")?;
    if hash != name.hash {
        return Ok(Claim::Mismatch);
    }
    let status: i16 = row.try_get("status")?;
    let status = u16::try_from(status)
        .map_err(|error| Error::Corrupt("idempotent_answer", error.to_string()))?;
    Ok(Claim::Answered { status, body: row.try_get("body")? })
}

/// Keeps the answer to a request that is ours.
pub async fn keep(
    transaction: &Transaction<'_>,
    name: &RequestName<'_>,
    status: u16,
    body: &[u8],
) -> Result<(), Error> {
    let status = i16::try_from(status).expect("a status has three digits");
    let kept = transaction
        .execute(
            "INSERT INTO idempotent_answer (api_key_id, key, request_hash, status, body)
             VALUES ($1 /* api_key */, $2 /* key */, $3 /* hash */, $4 /* status */, $5 /* body */)
             /* keep_answer */",
            &[&name.api_key, &name.key, &name.hash.as_slice(), &status, &body],
        )
        .await?;
    expect_rows("keep_answer", 1, kept)
}

/// How long an answer is kept.
pub const KEPT: Duration = Duration::from_hours(24);

/// Deletes answers older than [`KEPT`], at most 10,000 at a time; returns how many went. For a loop
/// that tidies up now and then.
pub async fn forget_old(store: &Store) -> Result<u64, Error> {
    let connection = store.connection().await?;
    let seconds = i32::try_from(KEPT.as_secs()).expect("a day");
    let forgotten = connection
        .execute(
            "DELETE FROM idempotent_answer WHERE ctid = ANY(ARRAY(
                 SELECT ctid FROM idempotent_answer
                 WHERE created_at < now() - $1 /* seconds */ * interval '1 second'
                 ORDER BY created_at LIMIT 10000)) /* forget_old_answers */",
            &[&f64::from(seconds)],
        )
        .await?;
    Ok(forgotten)
}

/// The number of the advisory lock of a request.
fn advisory_lock(name: &RequestName<'_>) -> i64 {
    let hash = Sha256::new()
        .chain_update(b"idempotency\0")
        .chain_update(name.api_key)
        .chain_update(b"\0")
        .chain_update(name.key)
        .finalize();
    i64::from_be_bytes(*hash.first_chunk().expect("a hash has 32 bytes"))
}
