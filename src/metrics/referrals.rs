//! The figures of referrals.

use prometheus::{Histogram, HistogramOpts, IntCounterVec, Registry};

use super::{counters, register};

/// Claims, bindings and triggers, and what was asked of the eligibility service.
#[derive(Debug)]
pub struct Referrals {
    /// Click tokens handed back, by outcome.
    pub claims: IntCounterVec,
    /// Attempts to bind, by outcome and reason.
    pub bindings: IntCounterVec,
    /// Triggers told, by kind and outcome.
    pub triggers: IntCounterVec,
    /// Questions to the eligibility service, by outcome.
    pub eligibility: IntCounterVec,
    /// How long its answers took.
    pub eligibility_seconds: Histogram,
}

const SECONDS: [f64; 8] = [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0];

impl Referrals {
    pub(super) fn new(registry: &Registry) -> Self {
        let seconds = HistogramOpts::new(
            "waypost_eligibility_seconds",
            "Time until the eligibility service answered, or was given up.",
        );
        Self {
            claims: counters(
                registry,
                "waypost_claims_total",
                "Click tokens that apps handed back.",
                &["outcome"],
            ),
            bindings: counters(
                registry,
                "waypost_bindings_total",
                "Attempts to bind an invitee to an inviter.",
                &["outcome", "reason"],
            ),
            triggers: counters(
                registry,
                "waypost_triggers_total",
                "Triggers that backends told.",
                &["kind", "outcome"],
            ),
            eligibility: counters(
                registry,
                "waypost_eligibility_questions_total",
                "Questions to the eligibility service.",
                &["outcome"],
            ),
            eligibility_seconds: register(
                registry,
                Histogram::with_opts(seconds.buckets(SECONDS.to_vec())),
            ),
        }
        .begin_at_zero()
    }

    /// What alerts wait for is there from the start: an increase is not seen of a series that begins above zero.
    fn begin_at_zero(self) -> Self {
        for outcome in ["error", "forged"] {
            drop(self.claims.with_label_values(&[outcome]));
        }
        for outcome in ["error", "limited"] {
            drop(self.bindings.with_label_values(&[outcome, ""]));
        }
        self
    }
}
