//! Who is signed in to the console. Ids of sessions are stored as hashes only.

use jiff::Timestamp;

use super::{Error, Store, Transaction, expect_rows};

/// The most sessions of one key at a time: who signs in once more ends the oldest.
pub const MOST_SESSIONS: i64 = 50;

/// A session that begins.
#[derive(Clone, Copy, Debug)]
pub struct NewSession<'a> {
    /// The SHA-256 of its id.
    pub id_hash: &'a [u8; 32],
    /// By which key.
    pub key_id: &'a str,
    /// When.
    pub now: Timestamp,
    /// When it ends at the latest.
    pub expires_at: Timestamp,
}

/// A session that holds, and whose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredSession {
    /// The id of its key.
    pub key_id: String,
    /// Who uses that key.
    pub actor: String,
    /// What the key is good for.
    pub scopes: Vec<String>,
    /// When somebody was last seen in it.
    pub last_seen_at: Timestamp,
}

/// Begins a session. What has ended, or was left alone since `idle_since`, is forgotten.
pub async fn begin(
    transaction: &Transaction<'_>,
    new: &NewSession<'_>,
    idle_since: Timestamp,
) -> Result<(), Error> {
    // May well change no row: mostly nothing has ended.
    transaction
        .execute(
            "DELETE FROM console_session
             WHERE expires_at <= $1 /* now */ OR last_seen_at <= $2 /* idle_since, forget_sessions */",
            &[&new.now, &idle_since],
        )
        .await?;
    transaction
        .execute(
            "DELETE FROM console_session WHERE id_hash IN (
                 SELECT id_hash FROM console_session WHERE key_id = $1 /* key */
                 ORDER BY created_at DESC OFFSET $2 /* most */) /* bound_sessions */",
            &[&new.key_id, &MOST_SESSIONS.saturating_sub(1)],
        )
        .await?;
    let begun = transaction
        .execute(
            "INSERT INTO console_session (id_hash, key_id, created_at, last_seen_at, expires_at)
             VALUES ($1 /* id_hash */, $2 /* key */, $3 /* now */, $3, $4 /* expires_at */)
             /* begin_session */",
            &[&new.id_hash.as_slice(), &new.key_id, &new.now, &new.expires_at],
        )
        .await?;
    expect_rows("begin_session", 1, begun)
}

/// The session with this id, if it has not ended, was not left alone since `idle_since`, and its key
/// still holds.
pub async fn find(
    store: &Store,
    id_hash: &[u8; 32],
    (now, idle_since): (Timestamp, Timestamp),
) -> Result<Option<StoredSession>, Error> {
    let connection = store.connection().await?;
    let statement = connection
        .prepare_cached(
            "SELECT s.key_id, k.actor, k.scopes, s.last_seen_at
             FROM console_session s JOIN api_key k ON k.id = s.key_id
             WHERE s.id_hash = $1 /* id_hash */ AND s.expires_at > $2 /* now */
               AND s.last_seen_at > $3 /* idle_since */ AND k.revoked_at IS NULL /* find_session */",
        )
        .await?;
    let row = connection.query_opt(&statement, &[&id_hash.as_slice(), &now, &idle_since]).await?;
    row.map(|row| {
        Ok(StoredSession {
            key_id: row.try_get("key_id")?,
            actor: row.try_get("actor")?,
            scopes: row.try_get("scopes")?,
            last_seen_at: row.try_get("last_seen_at")?,
        })
    })
    .transpose()
}

/// Notes that somebody was seen in a session.
pub async fn seen(store: &Store, id_hash: &[u8; 32], now: Timestamp) -> Result<(), Error> {
    let connection = store.connection().await?;
    // May change no row: the session may have ended in another window just now.
    connection
        .execute(
            "UPDATE console_session SET last_seen_at = greatest(last_seen_at, $2 /* now */)
             WHERE id_hash = $1 /* id_hash, see_session */",
            &[&id_hash.as_slice(), &now],
        )
        .await?;
    Ok(())
}

/// Ends a session; `false` if there is none with this id.
pub async fn end(transaction: &Transaction<'_>, id_hash: &[u8; 32]) -> Result<bool, Error> {
    let ended = transaction
        .execute(
            "DELETE FROM console_session WHERE id_hash = $1 /* id_hash, end_session */",
            &[&id_hash.as_slice()],
        )
        .await?;
    Ok(ended == 1)
}
