//! A circuit breaker that no request pays for: requests only look whether it is open, and a loop in
//! the background finds out when it may close.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Failures in a row that open a breaker. One lost answer is no outage; five in a row are.
const THRESHOLD: u32 = 5;

/// Open: do not ask. Closed: ask.
#[derive(Debug)]
pub struct Breaker {
    dependency: &'static str,
    open: AtomicBool,
    failures: AtomicU32,
}

impl Breaker {
    /// A breaker that starts open, for what has to be checked before it is trusted.
    pub fn open(dependency: &'static str) -> Self {
        Self { dependency, open: AtomicBool::new(true), failures: AtomicU32::new(0) }
    }

    /// A breaker that starts closed.
    pub fn closed(dependency: &'static str) -> Self {
        Self { dependency, open: AtomicBool::new(false), failures: AtomicU32::new(0) }
    }

    /// Whether asking is pointless now.
    pub fn is_open(&self) -> bool {
        self.open.load(Ordering::Acquire)
    }

    /// An answer came in time.
    pub fn succeeded(&self) {
        // A plain look first: the counter is nearly always zero, and a write would bounce its line.
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
        }
    }

    /// No answer, or a late one.
    pub fn failed(&self, why: &dyn std::fmt::Display) {
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        if failures >= THRESHOLD && !self.open.swap(true, Ordering::AcqRel) {
            tracing::warn!(dependency = self.dependency, %why, "not asked until it answers again");
        }
    }

    /// It must not be asked at once, however often it answered before: what it says may be wrong.
    pub fn trip(&self, why: &dyn std::fmt::Display) {
        if !self.open.swap(true, Ordering::AcqRel) {
            tracing::warn!(dependency = self.dependency, %why, "not asked until it can be trusted");
        }
    }

    /// The background loop found that it answers again.
    pub fn close(&self) {
        self.failures.store(0, Ordering::Relaxed);
        if self.open.swap(false, Ordering::AcqRel) {
            tracing::info!(dependency = self.dependency, "answers");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_opens_after_failures_in_a_row_and_closes_only_from_outside() {
        let breaker = Breaker::closed("redis");
        for _ in 1..THRESHOLD {
            breaker.failed(&"late");
        }
        breaker.succeeded();
        breaker.failed(&"late");
        assert!(!breaker.is_open(), "an answer in between starts the count again");
        for _ in 1..THRESHOLD {
            breaker.failed(&"late");
        }
        assert!(breaker.is_open());
        breaker.succeeded();
        assert!(breaker.is_open(), "a straggler does not close it");
        breaker.close();
        assert!(!breaker.is_open());
    }
}
