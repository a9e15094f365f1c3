//! Compares our books with the payment service's list of payouts, day by day of UTC.
//!
//! A payout stands in the service's list on the day on which it was applied, and in our log when we heard of
//! it: usually a moment later, which may be tomorrow, and after an outage much later. So what one side has on a
//! day is looked up on the other by its operation, and not by the day.

use std::collections::{HashMap, HashSet};

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::payment::{Payment, Payout};
use crate::store::rewards::reconcile::{self, Compared, Day, Difference, Logged, Paid, Unpaid};
use crate::store::{self, Store};

/// Why a day was not compared.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The payment service does not tell.
    #[error("the payment service's list of {day} cannot be read: {why}")]
    Service {
        /// Of this day.
        day: Date,
        /// Why.
        why: String,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// The payment service applied a payout more than once.
pub const PAID_TWICE: &str = "paid-twice";
/// The service applied a payout that we do not have as paid.
pub const NOT_IN_BOOKS: &str = "not-in-books";
/// We have a payout that the service has not.
pub const NOT_AT_SERVICE: &str = "not-at-service";
/// The amounts, or what they are in, are not the same.
pub const AMOUNT_DIFFERS: &str = "amount-differs";
/// Somebody else got it, or it was for another campaign.
pub const BENEFICIARY_DIFFERS: &str = "beneficiary-differs";

/// Payouts of ours that are looked at together.
const SET: i64 = 5_000;
/// Differences of a day that are kept. Where there are more, something is wrong with all of it.
const MOST_DIFFERENCES: usize = 10_000;
/// Payouts of a day that are compared, and of the days beside it.
const MOST_PAYOUTS: usize = 10_000_000;
/// How long what is under way may be in one of the books alone.
const UNDER_WAY: SignedDuration = SignedDuration::from_hours(1);
/// What was noted so short a time ago is compared the next time.
const JUST_NOW: SignedDuration = SignedDuration::from_mins(1);
/// How often a day is compared again, while it lasts or has differences: each hour, and some minutes sooner.
const AGAIN: SignedDuration = SignedDuration::from_mins(55);
/// So long after its end a day is complete in both books.
const COMPLETE: SignedDuration = SignedDuration::from_mins(5);
/// How many days back are compared again, or were missed.
const DAYS_BACK: i8 = 31;

/// See the module.
#[derive(Debug)]
pub struct Reconciliation {
    store: Store,
    payment: Payment,
}

impl Reconciliation {
    /// Compares the books in this database with those of this payment service.
    pub fn new(store: Store, payment: Payment) -> Self {
        Self { store, payment }
    }

    /// Compares each day for which it is time, and keeps what came of it; the days, in their order.
    pub async fn reconcile_due(&self, now: Timestamp) -> Result<Vec<Compared>, Error> {
        let today = day_of(now);
        let from = today.checked_sub(jiff::Span::new().days(DAYS_BACK)).unwrap_or(today);
        let to = today.tomorrow().unwrap_or(today);
        let known = reconcile::days(&self.store, from, to).await?;
        let mut compared = Vec::new();
        for day in days_due(&known, now) {
            let outcome = self.compare(day, now).await?;
            reconcile::keep(&self.store, &outcome, now).await?;
            for it in &outcome.differences {
                tracing::error!(
                    %day,
                    operation = it.operation,
                    difference = it.difference,
                    reward = it.reward,
                    "the books differ from the payment service's"
                );
            }
            compared.push(outcome);
        }
        Ok(compared)
    }

    /// Compares a day, which may not be over yet.
    pub async fn compare(&self, day: Date, now: Timestamp) -> Result<Compared, Error> {
        let day_before = match day.yesterday() {
            Ok(before) => self.operations(before).await?,
            Err(_first_of_all) => HashSet::new(),
        };
        let mut compared = Compared { day, payouts: 0, amount_minor: 0, differences: Vec::new() };
        let mut today = HashSet::new();
        let mut pages = Pages::of(day);
        while let Some(page) = self.next(&mut pages).await? {
            for payout in &page {
                compared.payouts = compared.payouts.saturating_add(1);
                compared.amount_minor = compared.amount_minor.saturating_add(payout.amount_minor);
            }
            let found = self.compare_page(&page, (&day_before, &mut today), now).await?;
            compared.differences.extend(found);
        }
        today.extend(day_before);
        self.compare_ours(day, now, &mut today, &mut compared.differences).await?;
        compared.differences.sort_by(|one, other| {
            (&one.operation, one.difference).cmp(&(&other.operation, other.difference))
        });
        // A payout that was made three times was made twice only once.
        compared.differences.dedup_by(|one, other| {
            (&one.operation, one.difference) == (&other.operation, other.difference)
        });
        compared.differences.truncate(MOST_DIFFERENCES);
        Ok(compared)
    }

    /// The next page of a day; none after the last one.
    async fn next(&self, pages: &mut Pages) -> Result<Option<Vec<Payout>>, Error> {
        let day = pages.day;
        let refused = |why: String| Error::Service { day, why };
        if pages.ended {
            return Ok(None);
        }
        let page = self.payment.day(day, pages.after.as_deref()).await.map_err(refused)?;
        pages.read = pages.read.saturating_add(page.payouts.len());
        if pages.read > MOST_PAYOUTS {
            return Err(refused(format!("it has more than {MOST_PAYOUTS} payouts")));
        }
        pages.ended = page.next.is_none();
        pages.after = page.next;
        Ok(Some(page.payouts))
    }

    /// All operations of a day.
    async fn operations(&self, day: Date) -> Result<HashSet<String>, Error> {
        let (mut pages, mut seen) = (Pages::of(day), HashSet::new());
        while let Some(page) = self.next(&mut pages).await? {
            seen.extend(page.into_iter().map(|it| it.operation_id));
        }
        Ok(seen)
    }

    /// What differs of payouts that the service has.
    async fn compare_page(
        &self,
        page: &[Payout],
        (before, seen): (&HashSet<String>, &mut HashSet<String>),
        now: Timestamp,
    ) -> Result<Vec<Difference>, Error> {
        let operations: Vec<&str> = page.iter().map(|it| it.operation_id.as_str()).collect();
        let mut paid = reconcile::paid(&self.store, &operations).await?;
        let missing: Vec<&str> =
            operations.into_iter().filter(|operation| !paid.contains_key(*operation)).collect();
        let unpaid = if missing.is_empty() {
            HashMap::new()
        } else {
            let unpaid = reconcile::unpaid(&self.store, &missing).await?;
            // What was recorded between the two questions is in neither answer.
            paid.extend(reconcile::paid(&self.store, &missing).await?);
            unpaid
        };
        let mut found = Vec::new();
        for payout in page {
            let operation = &payout.operation_id;
            let ours = paid.get(operation);
            let is_again = before.contains(operation) || !seen.insert(operation.clone());
            if is_again {
                found.push(difference(payout, PAID_TWICE, ours));
            }
            found.extend(match ours {
                Some(ours) => differing(payout, ours),
                None => missed(payout, unpaid.get(operation), now),
            });
        }
        Ok(found)
    }

    /// What differs of payouts that we have noted on a day, and that the service has neither then nor the
    /// day before.
    async fn compare_ours(
        &self,
        day: Date,
        now: Timestamp,
        seen: &mut HashSet<String>,
        found: &mut Vec<Difference>,
    ) -> Result<(), Error> {
        let (begin, end) = (start_of(day), day.tomorrow().map_or(Timestamp::MAX, start_of));
        // What was noted since the service's list was read may not be in it.
        let end = end.min(now.checked_sub(JUST_NOW).unwrap_or(Timestamp::MIN));
        let mut after =
            (begin.checked_sub(SignedDuration::from_nanos(1)).unwrap_or(begin), i64::MAX);
        let mut left = Vec::new();
        loop {
            let set = reconcile::logged(&self.store, after, end, SET).await?;
            let Some(last) = set.last() else { break };
            after = (last.at, last.reward);
            left.extend(set.into_iter().filter(|it| !seen.contains(&it.operation)));
        }
        self.look_elsewhere(day, now, &mut left).await?;
        found.extend(left.into_iter().map(|it| Difference {
            detail: json!({ "ours": { "amount_minor": it.amount_minor, "noted_at": it.at } }),
            operation: it.operation,
            difference: NOT_AT_SERVICE,
            reward: Some(it.reward),
        }));
        Ok(())
    }

    /// Takes those away that the service has on the day after, as clocks differ, or on an earlier day: we
    /// heard of them late. None can be older than the reveal of its reward.
    async fn look_elsewhere(
        &self,
        day: Date,
        now: Timestamp,
        left: &mut Vec<Logged>,
    ) -> Result<(), Error> {
        let mut days = Vec::new();
        days.extend(day.tomorrow().ok().filter(|after| *after <= day_of(now)));
        if !left.is_empty() {
            let rewards: Vec<i64> = left.iter().map(|it| it.reward).collect();
            let first = reconcile::first_revealed(&self.store, &rewards).await?;
            let first = first.map_or(day, day_of);
            let earlier = std::iter::successors(day.yesterday().ok(), |it| it.yesterday().ok());
            let most = usize::try_from(DAYS_BACK).unwrap_or(0);
            days.extend(earlier.skip(1).take(most).take_while(|it| *it >= first));
        }
        for other in days {
            if left.is_empty() {
                break;
            }
            let seen = self.operations(other).await?;
            left.retain(|it| !seen.contains(&it.operation));
        }
        Ok(())
    }
}

/// How far the pages of a day were read.
#[derive(Debug)]
struct Pages {
    day: Date,
    after: Option<String>,
    ended: bool,
    read: usize,
}

impl Pages {
    /// None yet.
    fn of(day: Date) -> Self {
        Self { day, after: None, ended: false, read: 0 }
    }
}

/// What differs of a payout that both have.
fn differing(payout: &Payout, ours: &Paid) -> Vec<Difference> {
    let amount = (payout.amount_minor, payout.currency.as_str());
    let whose = (payout.beneficiary.as_str(), payout.campaign.as_str());
    let differs = [
        (AMOUNT_DIFFERS, amount != (ours.amount_minor, ours.currency.as_str())),
        (BENEFICIARY_DIFFERS, whose != (ours.beneficiary.as_str(), ours.campaign.as_str())),
    ];
    let differs = differs.into_iter().filter(|(_, differs)| *differs);
    differs.map(|(name, _)| difference(payout, name, Some(ours))).collect()
}

/// What is to be said of a payout that we do not have as paid: nothing, while it is under way.
fn missed(payout: &Payout, unpaid: Option<&Unpaid>, now: Timestamp) -> Vec<Difference> {
    let is_young = now.duration_since(payout.applied_at) < UNDER_WAY;
    if is_young && unpaid.is_some_and(|it| it.open) {
        return Vec::new();
    }
    let mut missed = difference(payout, NOT_IN_BOOKS, None);
    missed.reward = unpaid.map(|it| it.reward);
    vec![missed]
}

fn difference(payout: &Payout, difference: &'static str, ours: Option<&Paid>) -> Difference {
    let theirs = json!({
        "campaign": payout.campaign, "reward": payout.reward, "beneficiary": payout.beneficiary,
        "currency": payout.currency, "amount_minor": payout.amount_minor, "applied_at": payout.applied_at,
    });
    let ours_told = ours.map(|it| {
        json!({
            "campaign": it.campaign, "beneficiary": it.beneficiary, "currency": it.currency,
            "amount_minor": it.amount_minor,
        })
    });
    Difference {
        operation: payout.operation_id.clone(),
        difference,
        reward: ours.map(|it| it.reward),
        detail: json!({ "theirs": theirs, "ours": ours_told.unwrap_or(Value::Null) }),
    }
}

/// For which days it is time: today each hour, each day once more when it is over, and each hour those with
/// differences, which somebody may have settled.
fn days_due(known: &[Day], now: Timestamp) -> Vec<Date> {
    let today = day_of(now);
    let yesterday = today.yesterday().unwrap_or(today);
    let first = known.first().map_or(yesterday, |it| it.day.min(yesterday));
    let days = std::iter::successors(Some(first), |day| day.tomorrow().ok());
    let is_due = |day: &Date| {
        let Some(last) = known.iter().find(|it| it.day == *day) else { return true };
        let complete_from = day.tomorrow().map_or(Timestamp::MAX, start_of);
        let complete_from = complete_from.checked_add(COMPLETE).unwrap_or(Timestamp::MAX);
        if last.reconciled_at < complete_from && complete_from <= now {
            return true;
        }
        let is_old = now.duration_since(last.reconciled_at) >= AGAIN;
        is_old && (now < complete_from || last.differences > 0)
    };
    days.take_while(|day| *day <= today).filter(is_due).collect()
}

/// The day (UTC) of a moment.
fn day_of(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

/// The first moment of a day (UTC).
fn start_of(day: Date) -> Timestamp {
    day.to_zoned(TimeZone::UTC).map_or(Timestamp::MAX, |start| start.timestamp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().expect("a moment")
    }

    fn known(day: &str, differences: i32, reconciled_at: &str) -> Day {
        let reconciled_at = at(reconciled_at);
        let day = day.parse().expect("a day");
        Day { day, payouts: 1, amount_minor: 1, differences, reconciled_at }
    }

    #[test]
    fn each_day_is_compared_hourly_and_once_more_when_it_is_over() {
        for (days, now, due) in [
            // The first time, and some minutes later.
            (vec![], "2027-01-10T12:00:00Z", "2027-01-09 2027-01-10"),
            (
                vec![
                    known("2027-01-09", 0, "2027-01-10T12:00:00Z"),
                    known("2027-01-10", 0, "2027-01-10T12:00:00Z"),
                ],
                "2027-01-10T12:54:59Z",
                "",
            ),
            // An hour later; with a difference that may be settled now.
            (
                vec![
                    known("2027-01-09", 1, "2027-01-10T12:00:00Z"),
                    known("2027-01-10", 0, "2027-01-10T12:00:00Z"),
                ],
                "2027-01-10T12:55:00Z",
                "2027-01-09 2027-01-10",
            ),
            // After midnight, however short ago it was compared.
            (
                vec![known("2027-01-10", 0, "2027-01-10T23:58:00Z")],
                "2027-01-11T00:04:59Z",
                "2027-01-11",
            ),
            (
                vec![known("2027-01-10", 0, "2027-01-10T23:58:00Z")],
                "2027-01-11T00:05:00Z",
                "2027-01-10 2027-01-11",
            ),
            // Days that were missed.
            (
                vec![known("2027-01-07", 0, "2027-01-08T03:00:00Z")],
                "2027-01-10T12:00:00Z",
                "2027-01-08 2027-01-09 2027-01-10",
            ),
        ] {
            let found: Vec<String> = days_due(&days, at(now)).iter().map(Date::to_string).collect();
            assert_eq!(found.join(" "), due, "{now}");
        }
    }
}
