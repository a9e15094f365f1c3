//! What a serving thread keeps at hand: a small array in front of the process's cache, its own, so
//! that a hit takes no lock and writes no memory that another core reads.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::clock::UnixMillis;

use super::local::{Entry, Local, Standing};

/// Every so many hits one is shown to the cache behind: what is hit here is popular, and must not
/// look forgotten there.
const SHOWN: u32 = 64;

/// One entry for each slot; a newcomer replaces who stood there.
#[derive(Debug)]
pub struct Front {
    slots: Box<[Option<Arc<Entry>>]>,
    hasher: RandomState,
    hits: u32,
}

impl Front {
    /// An empty front with `slots` slots, a power of two.
    pub fn new(slots: usize) -> Self {
        Self {
            slots: std::iter::repeat_with(|| None).take(slots.next_power_of_two()).collect(),
            hasher: RandomState::new(),
            hits: 0,
        }
    }

    /// The entry of this key and how it may be used: from here, or else from the cache behind, and
    /// then it stays here.
    pub fn find(
        &mut self,
        key: &str,
        local: &Local,
        now: UnixMillis,
    ) -> Option<(&Arc<Entry>, Standing)> {
        let slot = self.slot(key);
        let slot = self.slots.get_mut(slot)?;
        self.hits = self.hits.wrapping_add(1);
        let here = slot
            .as_ref()
            .filter(|entry| entry.key() == key.as_bytes())
            .map(|entry| local.standing(entry, now));
        let standing = match here {
            Some(standing @ (Standing::Fresh | Standing::FreshEnough)) => {
                if self.hits.is_multiple_of(SHOWN) {
                    drop(local.find(key));
                }
                standing
            }
            // Changed, replaced or evicted: the cache behind knows better, if it knows anything.
            Some(Standing::Doubtful | Standing::TooOld) | None => match (local.find(key), here) {
                (Some(found), _) => {
                    let standing = local.standing(&found, now);
                    *slot = Some(found);
                    standing
                }
                (None, Some(standing)) => standing,
                (None, None) => return None,
            },
        };
        slot.as_ref().map(|entry| (entry, standing))
    }

    fn slot(&self, key: &str) -> usize {
        let last = u64::try_from(self.slots.len()).unwrap_or(1) - 1;
        usize::try_from(self.hasher.hash_one(key) & last).unwrap_or(0)
    }
}
