//! The figures of rewards.

use prometheus::{
    Gauge, Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGauge, IntGaugeVec, Registry,
};

use super::{counters, gauge, gauges, register};

/// Rewards, the work that is due for them, the payment service, the books.
#[derive(Debug)]
pub struct Rewards {
    /// What happened to rewards in this process, by event.
    pub moves: IntCounterVec,
    /// Rewards that are not finished, by state; of all processes.
    pub open: IntGaugeVec,
    /// Tasks that are due now; of all processes.
    pub tasks_due: IntGauge,
    /// For how long the oldest of them has been due, in seconds.
    pub oldest_due_seconds: Gauge,
    /// Triggers that have earned what could not be granted yet; of all processes.
    pub late_triggers: IntGauge,
    /// Completions that came too late: somebody else had the lease, or the reward had gone on.
    pub fenced: IntCounterVec,
    /// Calls of the payment and the notification service, by call and outcome.
    pub calls: IntCounterVec,
    /// How long they took, by call.
    pub call_seconds: HistogramVec,
    /// How many triggers were stored in one transaction.
    pub trigger_group: Histogram,
    /// What is in the accounts of a campaign, in minor units.
    pub account_minor: IntGaugeVec,
    /// What the sweeper found and mended, by what it was.
    pub swept: IntCounterVec,
    /// Differences between our books and the payment service's list, by kind, that nobody has settled.
    pub differences: IntGaugeVec,
    /// Reminders, by outcome.
    pub reminders: IntCounterVec,
}

const SECONDS: [f64; 9] = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 3.0];
const GROUP: [f64; 8] = [1.0, 2.0, 5.0, 10.0, 25.0, 50.0, 100.0, 250.0];

impl Rewards {
    pub(super) fn new(r: &Registry) -> Self {
        let seconds = call_seconds();
        let group = HistogramOpts::new(
            "waypost_trigger_group_size",
            "Triggers that were stored in one transaction.",
        );
        Self {
            moves: counters(
                r,
                "waypost_reward_moves_total",
                "What happened to rewards: grant, hold, draw, allot, reveal, pay, and so on.",
                &["event"],
            ),
            open: gauges(
                r,
                "waypost_rewards_open",
                "Rewards that are not finished, by state, of all processes.",
                &["state"],
            ),
            tasks_due: gauge(r, "waypost_reward_tasks_due", "Tasks of rewards that are due now."),
            oldest_due_seconds: register(r, oldest_due_seconds()),
            late_triggers: gauge(
                r,
                "waypost_reward_late_triggers",
                "Triggers that have earned what could not be granted yet, of all processes.",
            ),
            fenced: counters(
                r,
                "waypost_reward_fenced_total",
                "Results of a step that were not taken: the lease was another's, or the reward \
                 had gone on.",
                &["step"],
            ),
            calls: counters(
                r,
                "waypost_payment_calls_total",
                "Calls of the payment and the notification service.",
                &["call", "outcome"],
            ),
            call_seconds: register(
                r,
                HistogramVec::new(seconds.buckets(SECONDS.to_vec()), &["call"]),
            ),
            trigger_group: register(r, Histogram::with_opts(group.buckets(GROUP.to_vec()))),
            account_minor: gauges(
                r,
                "waypost_campaign_account_minor",
                "What is in an account of a campaign, in minor units: budget (what is left), \
                 promised, paid.",
                &["campaign", "account"],
            ),
            swept: counters(
                r,
                "waypost_reward_swept_total",
                "What the sweeper found and mended: trigger, binding, task, cap.",
                &["what"],
            ),
            differences: gauges(
                r,
                "waypost_reconciliation_differences",
                "Differences between the books and the payment service's list of payouts.",
                &["difference"],
            ),
            reminders: counters(
                r,
                "waypost_reward_reminders_total",
                "Reminders of cards that wait, by outcome.",
                &["outcome"],
            ),
        }
        .begin_at_zero()
    }

    /// What alerts wait for is there from the start: an increase is not seen of a series that begins above zero.
    fn begin_at_zero(self) -> Self {
        drop(self.moves.with_label_values(&["park"]));
        drop(self.reminders.with_label_values(&["given_up"]));
        for what in ["trigger", "binding", "task", "cap"] {
            drop(self.swept.with_label_values(&[what]));
        }
        for step in ["draw", "allot", "pay", "remind", "give_back"] {
            drop(self.fenced.with_label_values(&[step]));
        }
        self
    }
}

fn oldest_due_seconds() -> prometheus::Result<Gauge> {
    Gauge::new(
        "waypost_reward_oldest_due_seconds",
        "For how long the oldest task of a reward has been due.",
    )
}

fn call_seconds() -> HistogramOpts {
    HistogramOpts::new(
        "waypost_payment_call_seconds",
        "Time until the payment or notification service answered, or was given up.",
    )
}
