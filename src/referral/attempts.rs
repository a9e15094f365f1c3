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
    most: u32,
    places: Mutex<Vec<Guesser>>,
    hashes: RandomState,
}

impl Attempts {
    /// Up to `most` attempts an hour are fine.
    pub fn new(most: u32) -> Self {
        let places = Mutex::new(vec![Guesser::default(); PLACES]);
        Self { most, places, hashes: RandomState::new() }
    }

    /// How long `who` has to wait until another attempt is fine; `None` if it is fine now.
    pub fn wait(&self, who: &impl Hash, now: UnixMillis) -> Option<Duration> {
        let (name, place) = self.place(who);
        let places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let known = places.get(place).filter(|known| known.who == name && now < known.until)?;
        (known.count >= self.most).then(|| known.until.since(now))
    }

    /// One more attempt by `who`.
    pub fn count(&self, who: &impl Hash, now: UnixMillis) {
        let (name, place) = self.place(who);
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = places.get_mut(place) else { return };
        if known.who != name || now >= known.until {
            *known = Guesser { who: name, until: now.after(WINDOW), count: 0 };
        }
        known.count = known.count.saturating_add(1);
    }

    fn place(&self, who: &impl Hash) -> (u64, usize) {
        let name = self.hashes.hash_one(who);
        let low = usize::try_from(name & 0xffff).expect("16 bits");
        (name, low)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_guesses_has_to_wait_for_the_hour_to_pass() {
        let attempts = Attempts::new(3);
        let now = UnixMillis(1_000_000);
        for _ in 0..3 {
            assert_eq!(attempts.wait(&"a", now), None);
            attempts.count(&"a", now);
        }
        let later = now.after(Duration::from_mins(20));
        assert_eq!(attempts.wait(&"a", later), Some(Duration::from_mins(40)));
        assert_eq!(attempts.wait(&"b", later), None);
        let end = now.after(WINDOW);
        assert_eq!(attempts.wait(&"a", end), None);
        attempts.count(&"a", end);
        assert_eq!(attempts.wait(&"a", end), None);
    }

    #[test]
    fn many_guessers_need_no_more_room() {
        let attempts = Attempts::new(1);
        for who in 0..200_000 {
            attempts.count(&who, UnixMillis(0));
        }
        let places = attempts.places.lock().expect("nobody panicked").len();
        assert_eq!(places, PLACES);
        attempts.count(&"last", UnixMillis(0));
        assert!(attempts.wait(&"last", UnixMillis(0)).is_some());
    }
}
