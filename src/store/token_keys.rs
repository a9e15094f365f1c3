//! Keys that sign click tokens.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{Error, Store, Transaction, expect_rows};

/// A key, as it is stored. It does not show its secret.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredKey {
    /// Names it in tokens.
    pub id: i32,
    /// The secret.
    pub secret: [u8; 32],
    /// From when on it signs.
    pub signs_from: Timestamp,
    /// When it was made.
    pub created_at: Timestamp,
}

impl std::fmt::Debug for StoredKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "StoredKey({}, hidden, signs from {})", self.id, self.signs_from)
    }
}

/// All keys, in the order in which they sign.
pub async fn list(store: &Store) -> Result<Vec<StoredKey>, Error> {
    let connection = store.connection().await?;
    let rows = connection
        .query("SELECT * FROM click_token_key ORDER BY signs_from, id /* list_token_keys */", &[])
        .await?;
    rows.iter().map(read).collect()
}

/// All keys, in the order in which they sign. Until the transaction ends, nobody else makes or drops
/// one; they can be read meanwhile.
pub async fn list_for_change(transaction: &Transaction<'_>) -> Result<Vec<StoredKey>, Error> {
    // A statement of its own: the look comes after the lock, and sees what the last change committed.
    transaction
        .batch_execute("LOCK TABLE click_token_key IN EXCLUSIVE MODE /* lock_token_keys */")
        .await?;
    let rows = transaction
        .query(
            "SELECT * FROM click_token_key ORDER BY signs_from, id /* token_keys_for_change */",
            &[],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Adds a key that signs from a moment on.
pub async fn add(
    transaction: &Transaction<'_>,
    secret: &[u8; 32],
    signs_from: Timestamp,
) -> Result<StoredKey, Error> {
    let row = transaction
        .query_one(
            "INSERT INTO click_token_key (secret, signs_from)
             VALUES ($1 /* secret */, $2 /* signs_from */) RETURNING * /* add_token_key */",
            &[&secret.as_slice(), &signs_from],
        )
        .await?;
    read(&row)
}

/// Drops a key that is there.
pub async fn delete(transaction: &Transaction<'_>, id: i32) -> Result<(), Error> {
    let deleted = transaction
        .execute("DELETE FROM click_token_key WHERE id = $1 /* id, delete_token_key */", &[&id])
        .await?;
    expect_rows("delete_token_key", 1, deleted)
}

fn read(row: &Row) -> Result<StoredKey, Error> {
    let secret: Vec<u8> = row.try_get("secret")?;
    let length = secret.len();
    Ok(StoredKey {
        id: row.try_get("id")?,
        secret: secret
            .try_into()
            .map_err(|_other| Error::Corrupt("click_token_key", format!("{length} bytes")))?,
        signs_from: row.try_get("signs_from")?,
        created_at: row.try_get("created_at")?,
    })
}
