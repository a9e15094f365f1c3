//! Random keys of this deployment: made once, then the same for every process.

use super::{Error, Store};

/// The key of the slug permutation.
pub const SLUG_PERMUTATION: &str = "slug_permutation";

/// The key by which the symbols of referral codes are shuffled.
pub const CODE_ALPHABET: &str = "code_alphabet";

/// The key by which devices are hashed before they are stored.
pub const DEVICE_HASH: &str = "device_hash";

/// The key by which visitors are divided between the targets of a link.
pub const VISITOR_SPLIT: &str = "visitor_split";

/// The key by which the operations of rewards are named.
pub const OPERATIONS: &str = "operations";

/// The secret called `name`; it becomes `candidate`, fresh random bytes, if there is none yet. Of two
/// processes that make it at the same time, both get the first one's.
pub async fn get_or_make(
    store: &Store,
    name: &str,
    candidate: &[u8; 32],
) -> Result<[u8; 32], Error> {
    let connection = store.connection().await?;
    // May well change no row: the secret stands there from the first start on.
    connection
        .execute(
            "INSERT INTO deployment_secret (name, value)
             VALUES ($1 /* name */, $2 /* value */)
             ON CONFLICT (name) DO NOTHING /* make_secret */",
            &[&name, &candidate.as_slice()],
        )
        .await?;
    let value: Vec<u8> = connection
        .query_one("SELECT value FROM deployment_secret WHERE name = $1 /* get_secret */", &[&name])
        .await?
        .try_get(0)?;
    <[u8; 32]>::try_from(value)
        .map_err(|value| Error::Corrupt("deployment_secret", format!("{} bytes", value.len())))
}
