//! Time, passed in. Nothing else in the crate asks the operating system what time it is.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// A moment, in milliseconds since 1970-01-01T00:00:00Z.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixMillis(pub u64);

impl UnixMillis {
    /// Later than every real moment: "never".
    pub const NEVER: Self = Self(u64::MAX);

    /// The moment `duration` after this one; stops at [`UnixMillis::NEVER`].
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(whole_millis(duration)))
    }

    /// The moment `duration` before this one; stops at 1970.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(whole_millis(duration)))
    }

    /// The time from `earlier` to this moment; zero when `earlier` is later.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }
}

impl From<jiff::Timestamp> for UnixMillis {
    /// Moments before 1970 become 1970.
    fn from(at: jiff::Timestamp) -> Self {
        Self(u64::try_from(at.as_millisecond()).unwrap_or(0))
    }
}

impl From<UnixMillis> for jiff::Timestamp {
    /// Moments after the year 9999 become the last one in it.
    fn from(at: UnixMillis) -> Self {
        let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
        Self::from_millisecond(millis).unwrap_or(Self::MAX)
    }
}

/// A duration in whole milliseconds, rounded down; centuries are the limit.
pub fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// Where the time comes from: the operating system, or a test's hand.
#[derive(Clone, Debug, Default)]
pub struct Clock {
    by_hand: Option<Arc<AtomicU64>>,
}

impl Clock {
    /// The operating system's clock.
    pub fn system() -> Self {
        Self { by_hand: None }
    }

    /// A clock that stands still until [`Clock::advance`] moves it.
    pub fn by_hand(start: UnixMillis) -> Self {
        Self { by_hand: Some(Arc::new(AtomicU64::new(start.0))) }
    }

    /// The current moment.
    #[expect(clippy::disallowed_methods, reason = "this is the place the others must ask")]
    pub fn now(&self) -> UnixMillis {
        match &self.by_hand {
            None => {
                let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                UnixMillis(whole_millis(since_epoch))
            }
            Some(millis) => UnixMillis(millis.load(Ordering::Acquire)),
        }
    }

    /// Moves a clock made with [`Clock::by_hand`]; the system's clock does not care.
    pub fn advance(&self, by: Duration) {
        if let Some(millis) = &self.by_hand {
            millis.fetch_add(whole_millis(by), Ordering::AcqRel);
        }
    }
}

/// Measures how long something took.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring now.
    #[expect(clippy::disallowed_methods, reason = "this is the place the others must ask")]
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_clock_by_hand_moves_only_when_told() {
        let clock = Clock::by_hand(UnixMillis(5));
        assert_eq!(clock.now(), UnixMillis(5));
        clock.advance(Duration::from_secs(2));
        assert_eq!(clock.now(), UnixMillis(2_005));
        assert_eq!(clock.now().since(UnixMillis(3_000)), Duration::ZERO);
    }
}
