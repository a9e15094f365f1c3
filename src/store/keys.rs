//! API keys: who may call the API, and for what. Secrets are stored as hashes only.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{Error, Store, Transaction, expect_rows};

/// A stored key.
#[derive(Clone, Debug)]
pub struct StoredKey {
    /// Its public half.
    pub id: String,
    /// Who uses it; the name on audit rows.
    pub actor: String,
    /// SHA-256 of its secret half.
    pub secret_hash: Vec<u8>,
    /// What it is good for.
    pub scopes: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was revoked, if it was.
    pub revoked_at: Option<Timestamp>,
}

/// The key with this id, revoked or not.
pub async fn find(store: &Store, id: &str) -> Result<Option<StoredKey>, Error> {
    let connection = store.connection().await?;
    let statement = connection
        .prepare_cached(
            "SELECT id, actor, secret_hash, scopes, created_at, revoked_at
             FROM api_key WHERE id = $1 /* find_key */",
        )
        .await?;
    connection.query_opt(&statement, &[&id]).await?.as_ref().map(read).transpose()
}

/// All keys, newest first.
pub async fn list(store: &Store) -> Result<Vec<StoredKey>, Error> {
    let connection = store.connection().await?;
    let rows = connection
        .query(
            "SELECT id, actor, secret_hash, scopes, created_at, revoked_at
             FROM api_key ORDER BY created_at DESC, id /* list_keys */",
            &[],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Stores a new key.
pub async fn insert(
    transaction: &Transaction<'_>,
    id: &str,
    actor: &str,
    secret_hash: &[u8; 32],
    scopes: &[&str],
) -> Result<(), Error> {
    let inserted = transaction
        .execute(
            "INSERT INTO api_key (id, actor, secret_hash, scopes)
             VALUES ($1 /* id */, $2 /* actor */, $3 /* secret_hash */, $4 /* scopes */)
             /* insert_key */",
            &[&id, &actor, &secret_hash.as_slice(), &scopes],
        )
        .await?;
    expect_rows("insert_key", 1, inserted)
}

/// Revokes a key; `false` if there is none with this id that still holds.
pub async fn revoke(transaction: &Transaction<'_>, id: &str) -> Result<bool, Error> {
    let revoked = transaction
        .execute(
            "UPDATE api_key SET revoked_at = now()
             WHERE id = $1 /* id */ AND revoked_at IS NULL /* revoke_key */",
            &[&id],
        )
        .await?;
    Ok(revoked == 1)
}

fn read(row: &Row) -> Result<StoredKey, Error> {
    Ok(StoredKey {
        id: row.try_get("id")?,
        actor: row.try_get("actor")?,
        secret_hash: row.try_get("secret_hash")?,
        scopes: row.try_get("scopes")?,
        created_at: row.try_get("created_at")?,
        revoked_at: row.try_get("revoked_at")?,
    })
}
