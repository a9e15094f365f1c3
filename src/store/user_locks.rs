//! Locks on people and devices of a campaign, held until a transaction ends. Whoever decides by what is
//! known of somebody takes them *as statements of their own, before reading*: in the same statement the
//! look would be older than the lock, and would miss what its last holder committed.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, Weak};
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::sync::{Mutex, OwnedMutexGuard, OwnedSemaphorePermit, Semaphore};

use super::{Error, Transaction};
use crate::campaign::CampaignId;
use crate::planted::{Bug, planted};

/// Stands for somebody or something in a campaign. Two may share one by chance: then they wait for each
/// other, and that is all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LockKey(i64);

impl LockKey {
    /// A user: taken for a binding of theirs, and for a trigger.
    pub fn user(campaign: &CampaignId, user: &str) -> Self {
        Self::of(b"user", campaign, user.as_bytes())
    }

    /// A device, by its hash.
    pub fn device(campaign: &CampaignId, device: &[u8; 16]) -> Self {
        Self::of(b"device", campaign, device)
    }

    /// The number that PostgreSQL knows it by.
    pub fn number(self) -> i64 {
        self.0
    }

    fn of(kind: &[u8], campaign: &CampaignId, name: &[u8]) -> Self {
        let hash: [u8; 32] = Sha256::new()
            .chain_update(kind)
            .chain_update(b"\n")
            .chain_update(campaign.as_str())
            .chain_update(b"\n")
            .chain_update(name)
            .finalize()
            .into();
        Self(i64::from_be_bytes(*hash.first_chunk().expect("32 bytes have 8")))
    }
}

/// Who of this process may wait for locks now. Those who want the same one wait here, one behind the other,
/// and without a connection; and of all together fewer wait in the database than there are connections. So
/// a lock that somebody keeps holds up those who want it, and nobody else.
#[derive(Clone, Debug)]
pub struct Turns {
    queues: Arc<std::sync::Mutex<HashMap<LockKey, Weak<Mutex<()>>>>>,
    free: Arc<Semaphore>,
}

/// Until it is dropped, a transaction may wait for locks.
#[derive(Debug)]
pub struct Turn {
    /// It is there to be dropped, and so is the other.
    _first: OwnedMutexGuard<()>,
    _free: OwnedSemaphorePermit,
}

/// How long somebody waits for a turn.
const TURN: Duration = Duration::from_secs(3);

/// Queues that nobody stands in are forgotten when there are so many.
const QUEUES: usize = 1_024;

impl Turns {
    /// Turns for a pool of so many connections: three quarters of them.
    pub(super) fn of(connections: usize) -> Self {
        let free = Arc::new(Semaphore::new((connections * 3 / 4).max(1)));
        Self { queues: Arc::default(), free }
    }

    /// Waits for a turn among those who want this lock; not for long.
    pub async fn next(&self, key: LockKey) -> Result<Turn, Error> {
        let queue = self.queue(key);
        let turn = async {
            let first = queue.lock_owned().await;
            let free = Arc::clone(&self.free).acquire_owned().await.expect("never closed");
            Turn { _first: first, _free: free }
        };
        let late = |_elapsed| Error::TimedOut(TURN);
        tokio::time::timeout(TURN, turn).await.map_err(late)
    }

    fn queue(&self, key: LockKey) -> Arc<Mutex<()>> {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        if queues.len() >= QUEUES {
            queues.retain(|_, queue| queue.strong_count() > 0);
        }
        let known = queues.get(&key).and_then(Weak::upgrade);
        known.unwrap_or_else(|| {
            let queue = Arc::default();
            queues.insert(key, Arc::downgrade(&queue));
            queue
        })
    }
}

/// Takes those locks that nobody else has, without waiting; says which. Like [`take`], it is a statement of
/// its own, before anything is read.
pub async fn try_take(
    transaction: &Transaction<'_>,
    keys: impl IntoIterator<Item = LockKey>,
) -> Result<HashSet<LockKey>, Error> {
    let mut keys: Vec<i64> = keys.into_iter().map(LockKey::number).collect();
    keys.sort_unstable();
    keys.dedup();
    if planted(Bug::NoBindLock) || planted(Bug::LockInReadingStatement) {
        return Ok(keys.into_iter().map(LockKey).collect());
    }
    let rows = transaction
        .query(
            "SELECT key FROM unnest($1::bigint[] /* keys */) AS k (key)
             WHERE pg_try_advisory_xact_lock(key) /* try_lock_users */",
            &[&keys],
        )
        .await?;
    rows.iter().map(|row| Ok(LockKey(row.try_get(0)?))).collect()
}

/// How long a lock is waited for, in milliseconds. Its holder may be a process that hangs, and who waits
/// has a connection that others need.
const PATIENCE: &str = "SET LOCAL lock_timeout = 1500 /* wait_for_users */";

/// Takes locks, all in one order wherever they are taken, so that no two transactions wait for each
/// other in a circle. A lock that is not to be had in time is an outage: the caller tries again later.
pub async fn take(
    transaction: &Transaction<'_>,
    keys: impl IntoIterator<Item = LockKey>,
) -> Result<(), Error> {
    let mut keys: Vec<LockKey> = keys.into_iter().collect();
    keys.sort_unstable();
    keys.dedup();
    if planted(Bug::NoBindLock) {
        return Ok(());
    }
    transaction.batch_execute(PATIENCE).await?;
    for key in keys {
        transaction
            .execute("SELECT pg_advisory_xact_lock($1 /* key, lock_user */)", &[&key.number()])
            .await?;
    }
    Ok(())
}
