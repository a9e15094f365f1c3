//! What is due about cards: reminders, and their end. Many processes may do it at the same time: each takes
//! cards that nobody else is at.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Notify;

use super::{Due, Plan};
use crate::campaign::Campaign;
use crate::campaign::pinned::Pinned;
use crate::metrics::Metrics;
use crate::reward::machine::Event;
use crate::reward::operation::{OperationIds, RewardKey};
use crate::reward::payment::request::{self, Message};
use crate::store::rewards::cards::{self, DueCard, Reminder};
use crate::store::{Error, Store, Transaction, expect_rows};

/// Cards that are looked at together.
pub const SET: usize = 500;

/// Which message a reminder is; the notification service has the words.
const REMINDER: &str = "scratch-card-reminder";

/// See the module.
#[derive(Debug)]
pub struct DueCards {
    store: Store,
    pinned: Arc<Pinned>,
    operations: OperationIds,
    wake: Arc<Notify>,
    metrics: Arc<Metrics>,
}

/// What is to be written about some cards.
#[derive(Default)]
struct Work {
    expired: Vec<i64>,
    reminders: Vec<Reminder>,
    /// Reminders that wait for these come too late.
    late: Vec<i64>,
    planned: Vec<(i64, Timestamp)>,
    /// Owners who want no messages.
    unwanted: u64,
}

impl DueCards {
    /// Looks at the cards of this database. What they were promised stands in `pinned`; `wake` tells the engine
    /// that there is work.
    pub fn new(
        store: Store,
        (operations, pinned): (OperationIds, Arc<Pinned>),
        wake: Arc<Notify>,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { store, pinned, operations, wake, metrics }
    }

    /// Does what is due about up to [`SET`] cards; says about how many something was. Fewer than that: there
    /// are no more, or others are at them.
    pub async fn act(&self, now: Timestamp) -> Result<usize, Error> {
        let mut connection = self.store.rewards().await?;
        let transaction = connection.transaction().await?;
        let most = i64::try_from(SET).unwrap_or(i64::MAX);
        let due = cards::lock_due(&transaction, now, most).await?;
        if due.is_empty() {
            return Ok(0);
        }
        let mut work = Work::default();
        for card in &due {
            match self.pinned.get(&transaction, &card.card.campaign, card.card.version).await {
                Ok(campaign) => self.decide(card, &campaign, now, &mut work),
                Err(error @ Error::Corrupt(..)) => {
                    tracing::error!(%error, "cards are not reminded of: what was promised cannot be read");
                    decide_without(card, now, &mut work);
                }
                Err(error) => return Err(error),
            }
        }
        let late = write(&transaction, &work).await?;
        transaction.commit().await?;
        if !work.reminders.is_empty() {
            self.wake.notify_one();
        }
        self.count(&work, late);
        Ok(due.len())
    }

    fn decide(&self, due: &DueCard, campaign: &Campaign, now: Timestamp, work: &mut Work) {
        let (card, settings) = (&due.card, &campaign.scratch_card);
        let plan = Plan { due_at: due.due_at, expires_at: due.expires_at };
        match super::due(settings, plan, now) {
            Due::Expire => work.expired.push(card.id),
            Due::TooLate { next } => {
                work.late.push(card.id);
                work.planned.push((card.id, next));
            }
            Due::Remind { next, .. } if !due.consent.unwrap_or(settings.reminders_by_default) => {
                work.unwanted += 1;
                work.planned.push((card.id, next));
            }
            Due::Remind { number, days_left, next } => {
                // A card that was given back is reminded of by messages of their own.
                let before = u32::try_from(due.given_back).unwrap_or(u32::MAX);
                let number = before.saturating_mul(settings.reminders).saturating_add(number);
                work.reminders.push(self.reminder(due, campaign, number, days_left));
                work.planned.push((card.id, next));
            }
        }
    }

    fn reminder(
        &self,
        due: &DueCard,
        campaign: &Campaign,
        number: u32,
        days_left: i64,
    ) -> Reminder {
        let card = &due.card;
        let key = RewardKey {
            campaign: &card.campaign,
            invitee: &card.invitee,
            kind: &card.kind,
            side: card.side,
        };
        let days = days_left.to_string();
        let message = Message {
            campaign: card.campaign.as_str(),
            user: &card.beneficiary,
            kind: REMINDER,
            language: Some(&campaign.default_language),
            reward: Some(&self.operations.name(&key)),
            values: [("days_left", days.as_str())].into(),
        };
        Reminder {
            card: card.id,
            operation: self.operations.reminder(&key, number),
            request: request::message(&message).into(),
        }
    }

    fn count(&self, work: &Work, late: u64) {
        let figures = &self.metrics.rewards;
        let count = |rows: usize| u64::try_from(rows).unwrap_or(u64::MAX);
        figures.moves.with_label_values(&[Event::Expire.name()]).inc_by(count(work.expired.len()));
        for (outcome, reminders) in [
            ("queued", count(work.reminders.len())),
            ("unwanted", work.unwanted),
            ("too_late", late),
        ] {
            figures.reminders.with_label_values(&[outcome]).inc_by(reminders);
        }
    }
}

/// What is done about a card of which nobody can say how often it is reminded of.
fn decide_without(due: &DueCard, now: Timestamp, work: &mut Work) {
    if due.expires_at <= now {
        work.expired.push(due.card.id);
    } else {
        work.planned.push((due.card.id, due.expires_at));
    }
}

/// Says how many reminders came too late.
async fn write(transaction: &Transaction<'_>, work: &Work) -> Result<u64, Error> {
    let Work { expired, reminders, late, planned, unwanted: _ } = work;
    let count = |rows: usize| u64::try_from(rows).unwrap_or(u64::MAX);
    // May well drop none: most reminders were sent long ago.
    let dropped = cards::drop_reminders(transaction, late).await?;
    let changed = cards::remind(transaction, reminders).await?;
    expect_rows("remind", count(reminders.len()), changed)?;
    let changed = cards::plan(transaction, planned).await?;
    expect_rows("plan_cards", count(planned.len()), changed)?;
    let changed = cards::expire(transaction, expired).await?;
    expect_rows("expire_cards", count(expired.len()), changed)?;
    Ok(dropped)
}
