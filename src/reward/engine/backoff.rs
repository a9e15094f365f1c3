//! How long to wait after what failed, and when to stop trying. Pure.

use std::time::Duration;

/// After so many attempts a person has to look at it.
pub(super) const ATTEMPTS: i32 = 25;

/// The longest wait, in seconds.
const LONGEST: f64 = 900.0;

/// How long to wait after attempt number `attempt`, 1 for the first: anything up to twice as long each time,
/// so that those who failed together do not come back together. `random` is from 0 to 1.
pub(super) fn wait(attempt: i32, random: f64) -> Duration {
    Duration::from_secs_f64(random * LONGEST.min(2_f64.powi(attempt.clamp(0, 30))))
}

/// Whether an operation that may have been sent `ago` is too old to be sent again: the payment service may
/// have forgotten it, and would take it for a new one. A fifth of the time is kept for clocks and networks.
pub(super) fn is_too_old(ago: Duration, dedupe_window: Duration) -> bool {
    ago > dedupe_window.mul_f64(0.8)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_a_quarter_of_an_hour() {
        for (attempt, longest) in
            [(0, 1), (1, 2), (2, 4), (9, 512), (10, 900), (25, 900), (i32::MAX, 900)]
        {
            assert_eq!(wait(attempt, 1.0), Duration::from_secs(longest), "{attempt}");
            assert_eq!(wait(attempt, 0.0), Duration::ZERO, "{attempt}");
        }
    }

    #[test]
    fn four_fifths_of_the_window_are_the_end() {
        let window = Duration::from_secs(100);
        assert!(!is_too_old(Duration::from_secs(80), window));
        assert!(is_too_old(Duration::from_millis(80_001), window));
    }
}
