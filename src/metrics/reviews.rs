//! The figures of reviews.

use prometheus::{IntGaugeVec, Registry};

use super::gauges;

/// Cases that wait for people.
#[derive(Debug)]
pub struct Reviews {
    /// Cases that are not closed, by subject and node; of all processes.
    pub open: IntGaugeVec,
    /// For how long the oldest of them has been in its node, in seconds.
    pub oldest_seconds: IntGaugeVec,
}

impl Reviews {
    pub(super) fn new(r: &Registry) -> Self {
        let labels = &["subject", "node"];
        Self {
            open: gauges(r, "waypost_review_open_cases", "Cases that are not closed.", labels),
            oldest_seconds: gauges(
                r,
                "waypost_review_oldest_case_seconds",
                "For how long the oldest case has been in its node.",
                labels,
            ),
        }
    }
}
