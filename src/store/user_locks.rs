//! Locks on people and devices of a campaign, held until a transaction ends. Whoever decides by what is
//! known of somebody takes them *as statements of their own, before reading*: in the same statement the
//! look would be older than the lock, and would miss what its last holder committed.

use sha2::{Digest, Sha256};

use super::{Error, Transaction};
use crate::campaign::CampaignId;

/// Stands for somebody or something in a campaign. Two may share one by chance: then they wait for each
/// other, and that is all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
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
    transaction.batch_execute(PATIENCE).await?;
    for key in keys {
        transaction
            .execute("SELECT pg_advisory_xact_lock($1 /* key, lock_user */)", &[&key.number()])
            .await?;
    }
    Ok(())
}
