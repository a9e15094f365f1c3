//! The operations that were applied, and what a repeated one is. No I/O; time is passed in.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::clock::UnixMillis;

/// How many operations one journal may have: they are all kept in memory, each in about 500 bytes.
pub const MOST_OPERATIONS: usize = 2_000_000;

/// The most payouts in a page of a day.
pub const PAGE: usize = 500;

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// Decides an amount.
    Draw,
    /// Records an amount for a user.
    Allotment,
    /// Moves money.
    Payout,
    /// Tells a user something.
    Message,
}

/// An operation that was applied, as it stands in the journal.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Applied {
    /// When.
    pub at: Timestamp,
    /// What it does.
    pub kind: Kind,
    /// The `Idempotency-Key`.
    pub operation_id: String,
    /// The SHA-256 of the request's body, in hexadecimal digits.
    pub request_sha256: String,
    /// The campaign that it belongs to.
    pub campaign: String,
    /// The reward that it belongs to; a message may have none.
    pub reward: Option<String>,
    /// For whom it is.
    pub beneficiary: String,
    /// In which currency; messages have none.
    pub currency: Option<String>,
    /// How much, in minor units of the currency: what was drawn, allotted or paid.
    pub amount_minor: Option<i64>,
    /// What a message tells.
    pub message: Option<String>,
}

/// What a request is to the operations before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Its id was never used.
    New,
    /// Its id was used, longer ago than the dedupe window.
    Forgotten,
    /// It was applied already.
    Repeated(&'a Applied),
    /// Its id belongs to an operation with other bytes, or of another kind.
    Differs,
}

/// A page of the payouts of a day.
#[derive(Debug, PartialEq, Eq)]
pub struct Page<'a> {
    /// In the order in which they were applied.
    pub payouts: Vec<&'a Applied>,
    /// The number after which the next page begins, if there is one.
    pub next: Option<usize>,
}

/// All operations that were applied.
#[derive(Debug)]
pub struct Ledger {
    window: Duration,
    applied: Vec<Applied>,
    /// By operation id, the place of the last application.
    latest: HashMap<String, usize>,
    /// The places of the payouts of each day of UTC.
    days: BTreeMap<Date, Vec<usize>>,
}

impl Ledger {
    /// An empty one that knows a repeated operation for this long.
    pub fn new(window: Duration) -> Self {
        Self { window, applied: Vec::new(), latest: HashMap::new(), days: BTreeMap::new() }
    }

    /// How long a repeated operation is known.
    pub fn window(&self) -> Duration {
        self.window
    }

    /// How many were applied.
    pub fn count(&self) -> usize {
        self.applied.len()
    }

    /// Whether there is no room for another.
    pub fn is_full(&self) -> bool {
        self.applied.len() >= MOST_OPERATIONS
    }

    /// What a request with this id is. `sha256` is that of its body.
    pub fn judge(&self, id: &str, (kind, sha256): (Kind, &str), now: UnixMillis) -> Verdict<'_> {
        let Some(applied) = self.find(id) else {
            return Verdict::New;
        };
        if now.since(applied.at.into()) > self.window {
            Verdict::Forgotten
        } else if applied.kind == kind && applied.request_sha256 == sha256 {
            Verdict::Repeated(applied)
        } else {
            Verdict::Differs
        }
    }

    /// Adds an operation that was applied.
    pub fn add(&mut self, applied: Applied) {
        let place = self.applied.len();
        if applied.kind == Kind::Payout {
            let day = applied.at.to_zoned(TimeZone::UTC).date();
            self.days.entry(day).or_default().push(place);
        }
        self.latest.insert(applied.operation_id.clone(), place);
        self.applied.push(applied);
    }

    /// The last application of an operation, however long ago.
    pub fn find(&self, id: &str) -> Option<&Applied> {
        self.applied.get(*self.latest.get(id)?)
    }

    /// The payouts of a day of UTC: those from number `from` on, as [`Page::next`] said.
    pub fn day(&self, day: Date, from: usize) -> Page<'_> {
        let places = self.days.get(&day).map(Vec::as_slice).unwrap_or_default();
        let first = places.partition_point(|place| *place < from);
        let rest = places.iter().skip(first);
        Page {
            next: rest.clone().nth(PAGE).copied(),
            payouts: rest.take(PAGE).filter_map(|place| self.applied.get(*place)).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_mins(1);

    fn payout(id: &str, at: UnixMillis) -> Applied {
        Applied {
            at: at.into(),
            kind: Kind::Payout,
            operation_id: id.to_owned(),
            request_sha256: "aa".to_owned(),
            campaign: "demo".to_owned(),
            reward: Some("r1".to_owned()),
            beneficiary: "rina".to_owned(),
            currency: Some("IDR".to_owned()),
            amount_minor: Some(5),
            message: None,
        }
    }

    #[test]
    fn a_repeated_operation_is_known_for_the_dedupe_window() {
        let start = UnixMillis(1_000_000);
        let mut ledger = Ledger::new(WINDOW);
        ledger.add(payout("a", start));
        let judge = |id, kind, sha, at| ledger.judge(id, (kind, sha), at);
        let first = payout("a", start);
        let last = start.after(WINDOW);
        assert_eq!(judge("b", Kind::Payout, "aa", start), Verdict::New);
        assert_eq!(judge("a", Kind::Payout, "aa", start), Verdict::Repeated(&first));
        assert_eq!(judge("a", Kind::Payout, "aa", last), Verdict::Repeated(&first));
        assert_eq!(judge("a", Kind::Payout, "bb", last), Verdict::Differs);
        assert_eq!(judge("a", Kind::Allotment, "aa", last), Verdict::Differs);
        let late = last.after(Duration::from_millis(1));
        assert_eq!(judge("a", Kind::Payout, "aa", late), Verdict::Forgotten);
        assert_eq!(judge("a", Kind::Payout, "bb", late), Verdict::Forgotten);
    }

    #[test]
    fn pages_of_a_day_have_each_payout_once_and_no_other_days() {
        let midnight: Timestamp = "2026-11-24T00:00:00Z".parse().expect("a time");
        let midnight = UnixMillis::from(midnight);
        let mut ledger = Ledger::new(WINDOW);
        ledger.add(payout("before", midnight.before(Duration::from_millis(1))));
        for number in 0..=(2 * PAGE) {
            ledger.add(payout(&number.to_string(), midnight));
            ledger.add(Applied { kind: Kind::Draw, ..payout("draw", midnight) });
        }
        let day = "2026-11-24".parse().expect("a day");
        let (mut from, mut seen, mut sizes) = (Some(0), Vec::new(), Vec::new());
        while let Some(next) = from {
            let page = ledger.day(day, next);
            sizes.push(page.payouts.len());
            seen.extend(page.payouts.iter().map(|it| it.operation_id.clone()));
            from = page.next;
        }
        assert_eq!(sizes, [PAGE, PAGE, 1]);
        assert_eq!(seen, (0..=(2 * PAGE)).map(|number| number.to_string()).collect::<Vec<_>>());
        let before = ledger.day("2026-11-23".parse().expect("a day"), 0);
        assert_eq!((before.payouts.len(), before.next), (1, None));
    }
}
