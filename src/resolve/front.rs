//! What a serving thread keeps at hand: a small array in front of the process's cache, its own, so
//! that a hit takes no lock and writes no memory that another core reads.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use crate::clock::UnixMillis;

use super::local::{Entry, Local, Standing};

/// Every so many hits one is shown to the cache behind: what is hit here is popular, and must not
/// look forgotten there.
const SHOWN: u32 = 64;

/// Entries with the same place: with their hashes they are one cache line, so that a look at all of
/// them costs no more than a look at one.
const WAYS: usize = 4;

/// One place, of which the latest used stands first.
#[derive(Debug, Default)]
#[repr(align(64))]
struct Set([Slot; WAYS]);

#[derive(Debug, Default)]
struct Slot {
    hash: u64,
    entry: Option<Arc<Entry>>,
}

/// What a serving thread keeps at hand; a newcomer takes the place of who was used longest ago.
#[derive(Debug)]
pub struct Front {
    sets: Box<[Set]>,
    hasher: RandomState,
    hits: u32,
}

impl Front {
    /// An empty front for `entries` entries, a power of two.
    pub fn new(entries: usize) -> Self {
        let sets = entries.div_ceil(WAYS).next_power_of_two();
        Self {
            sets: std::iter::repeat_with(Set::default).take(sets).collect(),
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
        let hash = self.hasher.hash_one(key);
        let last = u64::try_from(self.sets.len()).unwrap_or(1) - 1;
        let Set(ways) = self.sets.get_mut(usize::try_from(hash & last).unwrap_or(0))?;
        self.hits = self.hits.wrapping_add(1);
        let is_it = |slot: &Slot| {
            slot.hash == hash
                && slot.entry.as_ref().is_some_and(|entry| entry.key() == key.as_bytes())
        };
        let here = ways.iter().position(is_it);
        // Whoever is wanted stands first from now on; a newcomer in place of the last.
        ways.get_mut(..=here.unwrap_or(WAYS - 1))?.rotate_right(1);
        let [first, ..] = ways;
        let known = here.and(first.entry.as_ref()).map(|entry| local.standing(entry, now));
        let standing = match known {
            Some(standing @ (Standing::Fresh | Standing::FreshEnough)) => {
                if self.hits.is_multiple_of(SHOWN) {
                    drop(local.find(key));
                }
                standing
            }
            // Changed, replaced or evicted: the cache behind knows better, if it knows anything.
            Some(Standing::Doubtful | Standing::TooOld) | None => match (local.find(key), known) {
                (Some(found), _) => {
                    let standing = local.standing(&found, now);
                    *first = Slot { hash, entry: Some(found) };
                    standing
                }
                (None, Some(standing)) => standing,
                (None, None) => {
                    // Nobody came: the one who stood last keeps his place.
                    ways.rotate_left(1);
                    return None;
                }
            },
        };
        let [first, ..] = ways;
        first.entry.as_ref().map(|entry| (entry, standing))
    }
}
