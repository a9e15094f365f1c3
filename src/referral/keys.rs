//! The keys that sign click tokens: each process has a table of them, reads it again every few seconds,
//! and whichever notices first makes the next key and drops those that nothing depends on any more.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tracing::info;

use super::token::{ClickToken, LIFE, TokenFault, TokenKey, TokenKeys};
use crate::clock::UnixMillis;
use crate::store::token_keys::{self, StoredKey};
use crate::store::{Error, Store, Transaction};

/// From when a key is made until it signs.
const NOTICE: Duration = Duration::from_mins(1);
/// How long a key is kept after its successor began to sign: what it signed is good for [`LIFE`], and
/// clocks may differ.
const KEPT: Duration = Duration::from_hours(8 * 24);
const _: () = assert!(KEPT.as_secs() > LIFE.as_secs(), "a key outlives what it signed");

/// The keys as they are in the database.
pub async fn read(store: &Store) -> Result<TokenKeys, Error> {
    Ok(table(&token_keys::list(store).await?))
}

/// Makes the next key when the last one began to sign `age` ago, or if there is none, and drops those
/// that nothing depends on any more. Returns the keys as they are now.
pub async fn renew(store: &Store, now: UnixMillis, age: Duration) -> Result<TokenKeys, Error> {
    let keys = token_keys::list(store).await?;
    if !is_due(&keys, now, age) && useless(&keys, now).is_empty() {
        return Ok(table(&keys));
    }
    let mut connection = store.connection().await?;
    let transaction = connection.transaction().await?;
    let mut keys = token_keys::list_for_change(&transaction).await?;
    // Looked at again: another process may have done it.
    if is_due(&keys, now, age) {
        let made = add_next(&transaction, &keys, now).await?;
        info!(key = made.id, signs_from = %made.signs_from, "made a key for click tokens");
        keys.push(made);
    }
    for id in useless(&keys, now) {
        token_keys::delete(&transaction, id).await?;
        info!(key = id, "dropped a key for click tokens: all that it signed has expired");
        keys.retain(|key| key.id != id);
    }
    transaction.commit().await?;
    Ok(table(&keys))
}

/// Makes the key that follows these. The first one of all signs at once; another one from a minute later,
/// when every process knows it.
pub async fn add_next(
    transaction: &Transaction<'_>,
    keys: &[StoredKey],
    now: UnixMillis,
) -> Result<StoredKey, Error> {
    let signs_from = if keys.is_empty() { now } else { now.after(NOTICE) };
    token_keys::add(transaction, &rand::random(), signs_from.into()).await
}

/// Whether the next key is to be made.
fn is_due(keys: &[StoredKey], now: UnixMillis, age: Duration) -> bool {
    keys.last().is_none_or(|last| now.since(last.signs_from.into()) >= age)
}

/// The keys whose successor has signed for so long that all that they signed has expired.
fn useless(keys: &[StoredKey], now: UnixMillis) -> Vec<i32> {
    let successors = keys.iter().skip(1);
    let pairs = keys.iter().zip(successors);
    let old = pairs.filter(|(_, next)| now.since(next.signs_from.into()) >= KEPT);
    old.map(|(key, _)| key.id).collect()
}

fn table(keys: &[StoredKey]) -> TokenKeys {
    TokenKeys::new(keys.iter().map(|key| TokenKey::new(key.id, key.signs_from.into(), &key.secret)))
}

/// Reads tokens by the keys that this process knows, and asks for those that it does not.
#[derive(Clone, Debug)]
pub struct Keys {
    store: Store,
    known: watch::Receiver<Arc<TokenKeys>>,
}

impl Keys {
    /// By these keys, which somebody reads again from time to time.
    pub fn new(store: Store, known: watch::Receiver<Arc<TokenKeys>>) -> Self {
        Self { store, known }
    }

    /// Where the keys are.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Reads a token. A key that is not known may be one that was just made elsewhere: then the table
    /// is read once more.
    pub async fn read_token(
        &self,
        text: &str,
        now: UnixMillis,
    ) -> Result<Result<ClickToken, TokenFault>, Error> {
        let known = Arc::clone(&self.known.borrow());
        match ClickToken::read(text, &known, now) {
            Err(TokenFault::UnknownKey(_)) => {
                Ok(ClickToken::read(text, &read(&self.store).await?, now))
            }
            outcome => Ok(outcome),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;

    fn key(id: i32, day: i64) -> StoredKey {
        let at = jiff::Timestamp::from_millisecond(day * 86_400_000).expect("a moment");
        StoredKey { id, secret: [0; 32], signs_from: at, created_at: at }
    }

    #[test]
    fn a_key_is_followed_after_its_time_and_dropped_when_nothing_depends_on_it() {
        let month = Duration::from_hours(30 * 24);
        let keys = [key(1, 0), key(2, 30), key(3, 60)];
        for (day, due, gone) in [
            (30, false, vec![]),
            (37, false, vec![]),
            (38, false, vec![1]),
            (68, false, vec![1, 2]),
            (89, false, vec![1, 2]),
            (90, true, vec![1, 2]),
            (1_000, true, vec![1, 2]),
        ] {
            let now = UnixMillis(day * DAY);
            assert_eq!(is_due(&keys, now, month), due, "day {day}");
            assert_eq!(useless(&keys, now), gone, "day {day}");
        }
        assert!(is_due(&[], UnixMillis(0), month));
        assert!(useless(&[], UnixMillis(0)).is_empty());
    }
}
