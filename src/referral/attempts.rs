//! How often somebody tried codes that nobody has: whoever guesses must soon stop guessing. Pure; knows
//! no I/O.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hash};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::UnixMillis;

/// How long an attempt counts.
const WINDOW: Duration = Duration::from_hours(1);
/// How many are remembered in a process. Where two meet in one place, the later one takes it: somebody
/// who would profit from that cannot know where the places are.
const PLACES: usize = 65_536;

/// One who tried.
#[derive(Clone, Copy, Debug, Default)]
struct Guesser {
    who: u64,
    until: UnixMillis,
    count: u32,
}

/// See the module.
#[derive(Debug)]
pub struct Attempts {
    places: Mutex<Vec<Guesser>>,
    hashes: RandomState,
}

impl Attempts {
    /// Nobody tried anything yet.
    pub fn new() -> Self {
        let places = Mutex::new(vec![Guesser::default(); PLACES]);
        Self { places, hashes: RandomState::new() }
    }

    /// Begins an attempt by `who`, for whom `most` an hour are fine. It counts until it is taken back: of many at the same time no more
    /// are let through than of many one after the other. `None` if it is fine, and else how long `who` has
    /// to wait.
    pub fn begin(&self, who: &impl Hash, most: u32, now: UnixMillis) -> Option<Duration> {
        let (name, place) = self.place(who);
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let known = places.get_mut(place)?;
        if known.who != name || now >= known.until {
            *known = Guesser { who: name, until: now.after(WINDOW), count: 0 };
        }
        if known.count >= most {
            return Some(known.until.since(now));
        }
        known.count += 1;
        None
    }

    /// It was no guess after all: the attempt that began does not count.
    pub fn take_back(&self, who: &impl Hash, now: UnixMillis) {
        let (name, place) = self.place(who);
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = places.get_mut(place)
            && known.who == name
            && now < known.until
        {
            known.count = known.count.saturating_sub(1);
        }
    }

    fn place(&self, who: &impl Hash) -> (u64, usize) {
        let name = self.hashes.hash_one(who);
        let low = usize::try_from(name & 0xffff).expect("16 bits");
        (name, low)
    }
}

impl Default for Attempts {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_guesses_has_to_wait_for_the_hour_to_pass() {
        let attempts = Attempts::new();
        let now = UnixMillis(1_000_000);
        for _ in 0..3 {
            assert_eq!(attempts.begin(&"a", 3, now), None);
        }
        let later = now.after(Duration::from_mins(20));
        assert_eq!(attempts.begin(&"a", 3, later), Some(Duration::from_mins(40)));
        assert_eq!(attempts.begin(&"b", 3, later), None);
        let end = now.after(WINDOW);
        assert_eq!(attempts.begin(&"a", 3, end), None);
        assert_eq!(attempts.begin(&"a", 3, end), None);
    }

    #[test]
    fn what_was_no_guess_does_not_count() {
        let (attempts, now) = (Attempts::new(), UnixMillis(1_000_000));
        for _ in 0..100 {
            assert_eq!(attempts.begin(&"a", 2, now), None);
            attempts.take_back(&"a", now);
        }
        assert_eq!(attempts.begin(&"a", 1, now), None);
        assert!(attempts.begin(&"a", 1, now).is_some());
    }

    #[test]
    fn many_guessers_need_no_more_room() {
        let attempts = Attempts::new();
        for who in 0..200_000 {
            attempts.begin(&who, 1, UnixMillis(0));
        }
        let places = attempts.places.lock().expect("nobody panicked").len();
        assert_eq!(places, PLACES);
        attempts.begin(&"last", 1, UnixMillis(0));
        assert!(attempts.begin(&"last", 1, UnixMillis(0)).is_some());
    }
}
