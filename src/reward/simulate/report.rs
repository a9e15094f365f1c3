//! What a simulation adds up to. Amounts are in minor units of the campaign's currency.

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::{Amount, Judged, Outcome};
use crate::campaign::{Campaign, CheckKind, Side};
use crate::referral::screening::{self, Outcome as Screening, Reason};
use crate::reward::draw::WHOLE;
use crate::reward::rationing::reasons;

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// What became of the bindings.
    pub bindings: Bindings,
    /// What became of the triggers.
    pub triggers: Triggers,
    /// All rewards.
    pub all: Sums,
    /// The rewards of each kind and side that the document has, also where there is none.
    pub rewards: BTreeMap<(String, Side), Sums>,
    /// The rewards of each day of UTC on which something was owed.
    pub days: BTreeMap<Date, Sums>,
    /// When the budget did not suffice for the first time.
    pub budget_ended_at: Option<Timestamp>,
}

/// What became of bindings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bindings {
    /// All of them.
    pub replayed: u64,
    /// Held, by the first reason.
    pub held: BTreeMap<&'static str, u64>,
    /// Refused, by the reason.
    pub refused: BTreeMap<&'static str, u64>,
    /// For how many nothing was stored that a check could go by, by the check.
    pub not_replayed: BTreeMap<&'static str, u64>,
    /// How many users were refused then and never bound, by the reason: they are not replayed.
    pub refused_then: BTreeMap<String, u64>,
}

/// What became of triggers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Triggers {
    /// Those of users who are bound.
    pub replayed: u64,
    /// Those of users who are not.
    pub without_binding: u64,
    /// What happened before the document's campaign began.
    pub before_start: u64,
    /// Of a kind for which the document gives nothing.
    pub earning_nothing: u64,
    /// Of a kind that the user had reached before.
    pub repeated: u64,
    /// All others: something is owed for them.
    pub earning: u64,
}

/// What rewards add up to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// How many are granted.
    pub granted: u64,
    /// Of these, those whose amounts were really drawn.
    pub drawn: u64,
    /// Of these, those that would be drawn from a table of prizes.
    pub from_tables: u64,
    /// Of these, those for which the payment service would be asked.
    pub asked: u64,
    /// How many give nothing, on average, in millionths.
    blank_millionths: u128,
    /// Stopped by the cap of an inviter.
    pub over_cap: u64,
    /// Stopped by the budget.
    pub over_budget: u64,
    /// Stopped because their binding is held.
    pub held: u64,
    /// Not owed at all, because there is no binding by the checks.
    pub refused: u64,
    /// The most that those in review can come to.
    pub review_most_minor: i64,
    /// The least that those that are granted can come to.
    pub least_minor: i64,
    expected_millionths: i128,
    /// The most that those that are granted can come to.
    pub most_minor: i64,
    /// The most that those can come to for which the payment service would be asked.
    pub asked_most_minor: i64,
}

impl Report {
    /// Nothing yet, under this document.
    pub(super) fn of(said: &Campaign) -> Self {
        let mut report = Self::default();
        for kind in said.rewards.keys() {
            let sides = Side::ALL.into_iter().filter(|side| said.earned(kind, *side).is_some());
            report.rewards.extend(sides.map(|side| ((kind.clone(), side), Sums::default())));
        }
        report
    }

    pub(super) fn add(&mut self, judged: &Judged<'_>) {
        let key = &judged.owed.key;
        let day = judged.at.to_zoned(TimeZone::UTC).date();
        if let Some(sums) = self.rewards.get_mut(&(key.kind.clone(), key.side)) {
            sums.add(judged);
        }
        self.days.entry(day).or_default().add(judged);
        self.all.add(judged);
        if judged.outcome == Outcome::Review(reasons::BUDGET_EXHAUSTED) {
            self.budget_ended_at.get_or_insert(judged.at);
        }
    }
}

impl Bindings {
    /// How many would be bound, and not held.
    pub fn bound(&self) -> u64 {
        let others = self.held.values().chain(self.refused.values());
        self.replayed.saturating_sub(others.sum())
    }

    pub(super) fn add(&mut self, outcome: Screening, not_replayed: &[CheckKind]) {
        self.replayed += 1;
        let (stopped, reason) = match outcome {
            Screening::Bound | Screening::Ask => (None, None),
            Screening::Held(reason) => (Some(&mut self.held), Some(reason)),
            Screening::Refused(reason) => (Some(&mut self.refused), Some(reason)),
            Screening::TryLater => (Some(&mut self.refused), Some(Reason::EligibilityUnknown)),
        };
        if let Some((stopped, reason)) = stopped.zip(reason) {
            *stopped.entry(reason.name()).or_default() += 1;
        }
        for check in not_replayed {
            *self.not_replayed.entry(screening::name(*check)).or_default() += 1;
        }
    }
}

impl Sums {
    /// How many people would have to look at.
    pub fn in_review(&self) -> u64 {
        self.over_cap + self.over_budget + self.held
    }

    /// What those that are granted come to on average, to the nearest minor unit. What the payment service draws
    /// counts in full: nobody knows what it draws.
    pub fn expected_minor(&self) -> i64 {
        let half = i128::from(WHOLE / 2);
        let nearest = (self.expected_millionths + half).div_euclid(i128::from(WHOLE));
        i64::try_from(nearest).unwrap_or(i64::MAX)
    }

    /// How many of those that are granted give nothing: those that really did, and of the others as many as tables
    /// of prizes give on average.
    pub fn no_prize(&self) -> u64 {
        let nearest = (self.blank_millionths + u128::from(WHOLE / 2)) / u128::from(WHOLE);
        u64::try_from(nearest).unwrap_or(u64::MAX)
    }

    fn add(&mut self, judged: &Judged<'_>) {
        match judged.outcome {
            Outcome::Granted(amount) => self.grant(amount),
            Outcome::Refused(_) => self.refused += 1,
            Outcome::Review(reason) => {
                match reason {
                    reasons::INVITER_CAP => self.over_cap += 1,
                    reasons::BUDGET_EXHAUSTED => self.over_budget += 1,
                    _ => self.held += 1,
                }
                let key = &judged.owed.key;
                let earned = judged.owed.version.1.earned(&key.kind, key.side);
                let most = earned.map_or(0, crate::campaign::Reward::most_minor);
                self.review_most_minor = self.review_most_minor.saturating_add(most);
            }
        }
    }

    fn grant(&mut self, amount: Amount) {
        self.granted += 1;
        let whole = u128::from(WHOLE);
        let exactly = |minor: i64| (minor, i128::from(minor) * i128::from(WHOLE), minor);
        let (least, expected, most) = match amount {
            Amount::Fixed(minor) => exactly(minor),
            Amount::Drawn(minor) => {
                self.drawn += 1;
                self.blank_millionths += if minor == 0 { whole } else { 0 };
                exactly(minor)
            }
            Amount::Table { least, expected_millionths, most, blank_per_million } => {
                self.from_tables += 1;
                self.blank_millionths += u128::from(blank_per_million);
                (least, expected_millionths, most)
            }
            Amount::UpTo(most) => {
                self.asked += 1;
                self.asked_most_minor = self.asked_most_minor.saturating_add(most);
                (0, i128::from(most) * i128::from(WHOLE), most)
            }
        };
        self.least_minor = self.least_minor.saturating_add(least);
        self.expected_millionths = self.expected_millionths.saturating_add(expected);
        self.most_minor = self.most_minor.saturating_add(most);
    }
}
