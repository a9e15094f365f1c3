//! Finds what was forgotten. Everything that is due is written in the transaction that makes it due, so
//! there is nothing to be found; but a process can die between two of them, an operator can mend rows by
//! hand, a backup can be put back. Whatever it was, nobody waits for ever.
//!
//! Triggers, bindings and rewards are looked at once more, a minute after they came, and it is remembered
//! how far: a round costs what has come since the one before, and not what there ever was. One process at a
//! time sweeps.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::Mutex;

use super::granting::{Granting, is_due};
use super::machine::{Side, State, StepKind};
use super::operation::{OperationIds, RewardKey};
use crate::campaign::pinned::Pinned;
use crate::campaign::{Campaign, CampaignId, Version};
use crate::metrics::Metrics;
use crate::store::rewards::sweep::{self, Earned, Looked, Remade, Stuck, What};
use crate::store::{Error, Store, Transaction};

/// How many are looked at together.
const SET: i64 = 1_000;
/// How many sets of each are looked at in a round.
const SETS: usize = 50;

/// How many triggers whose users others have locked are waited for in a set. The rest of it is tried in the next
/// round.
const PATIENCE: u32 = 5;
/// Tasks, and open rewards, that are looked at together.
const SET_OF_TASKS: i64 = 10_000;

/// From where tasks, and rewards that may lack one, are looked at next.
#[derive(Debug)]
struct Place {
    task: i64,
    reward: sweep::Place,
}

/// Before all open rewards.
fn first() -> sweep::Place {
    (String::new(), 0)
}

/// After all of them.
fn last() -> sweep::Place {
    ("~".to_owned(), i64::MAX)
}

/// See the module.
#[derive(Debug)]
pub struct Sweeper {
    store: Store,
    pinned: Arc<Pinned>,
    operations: OperationIds,
    granting: Arc<Granting>,
    /// Only what came so long ago is looked at: its own transaction, and those beside it, have ended.
    quiet: Duration,
    /// From where tasks are looked at next.
    place: Mutex<Place>,
    metrics: Arc<Metrics>,
}

impl Sweeper {
    /// Sweeps this database. `granting` gets what it finds.
    pub fn new(
        store: Store,
        (operations, pinned): (OperationIds, Arc<Pinned>),
        granting: Arc<Granting>,
        (quiet, metrics): (Duration, Arc<Metrics>),
    ) -> Self {
        let place = Mutex::new(Place { task: 0, reward: first() });
        Self { store, pinned, operations, granting, quiet, place, metrics }
    }

    /// One round; says whether it was ours to do.
    pub async fn sweep(&self, now: Timestamp) -> Result<bool, Error> {
        let before = now.checked_sub(self.quiet).unwrap_or(Timestamp::MIN);
        if !self.try_again().await? {
            return Ok(false);
        }
        for what in [What::Trigger, What::Binding, What::Reward] {
            for _ in 0..SETS {
                let Some(looked) = self.look(what, before).await? else { return Ok(false) };
                if !looked {
                    break;
                }
            }
        }
        self.mend_tasks().await
    }

    /// Grants what the triggers of somebody have earned who was bound just now. It may fail: the sweep comes
    /// by the binding again.
    pub async fn bound(&self, campaign: &CampaignId, invitee: &str) -> Result<(), Error> {
        let looked = sweep::binding_of(&self.store, campaign, invitee).await?;
        if looked.is_empty() {
            return Ok(());
        }
        let mut connection = self.store.rewards().await?;
        let transaction = connection.transaction().await?;
        let late = self.late(&transaction, &looked).await?;
        drop(transaction);
        drop(connection);
        if !late.is_empty() {
            self.granting.grant_late(&late).await?;
        }
        Ok(())
    }

    /// Looks at one set; says whether there may be more. `None`: another process sweeps.
    async fn look(&self, what: What, before: Timestamp) -> Result<Option<bool>, Error> {
        let mut connection = self.store.rewards().await?;
        let transaction = connection.transaction().await?;
        if !sweep::begin(&transaction).await? {
            return Ok(None);
        }
        let from = sweep::position(&transaction, what).await?;
        let to = match what {
            What::Trigger | What::Binding => {
                let looked = match what {
                    What::Binding => sweep::bindings_after(&transaction, from, SET).await?,
                    What::Trigger | What::Reward => {
                        sweep::triggers_after(&transaction, from, SET).await?
                    }
                };
                // What is too young ends the set: what comes after it waits for the next round as well.
                let old = looked.iter().take_while(|it| it.came_at < before).count();
                let looked = looked.get(..old).unwrap_or_default();
                let late = self.late(&transaction, looked).await?;
                let left = self.grant(what, &late).await?;
                sweep::note_late(&transaction, &left).await?;
                looked.last().map(|it| it.id)
            }
            What::Reward => self.look_at_rewards(&transaction, from, before).await?,
        };
        if let Some(to) = to {
            sweep::advance(&transaction, what, (from, to)).await?;
        }
        transaction.commit().await?;
        Ok(Some(to.is_some()))
    }

    /// Tries again what could not be granted in earlier rounds; says whether it was ours to do.
    async fn try_again(&self) -> Result<bool, Error> {
        let mut connection = self.store.rewards().await?;
        let transaction = connection.transaction().await?;
        if !sweep::begin(&transaction).await? {
            return Ok(false);
        }
        let looked = sweep::late_triggers(&transaction, SET).await?;
        let late = self.late(&transaction, &looked).await?;
        let left = self.grant(What::Trigger, &late).await?;
        let tried: Vec<i64> = looked.iter().map(|it| it.id).collect();
        sweep::note_late(&transaction, &left).await?;
        sweep::settle_late(&transaction, &tried, &left).await?;
        transaction.commit().await?;
        Ok(true)
    }

    /// Which triggers have earned what nobody was granted. Where the promise cannot be read, nobody knows: it is
    /// tried, and noted that it failed.
    async fn late(
        &self,
        transaction: &Transaction<'_>,
        looked: &[Looked],
    ) -> Result<Vec<i64>, Error> {
        let mut late = Vec::new();
        for earned in looked.iter().filter_map(|it| it.earned.as_ref()) {
            let version = (&earned.campaign, earned.version);
            let promised = self.promised(transaction, version).await?;
            if promised.is_none_or(|promised| is_owed(&promised, earned)) {
                late.push(earned.trigger);
            }
        }
        Ok(late)
    }

    /// Grants what triggers have earned; says for which that did not work, and why. One is nothing to the others.
    async fn grant(&self, what: What, late: &[i64]) -> Result<Vec<(i64, String)>, Error> {
        if late.is_empty() {
            return Ok(Vec::new());
        }
        let mut granted = 0_u64;
        let mut left = Vec::new();
        let mut patience = PATIENCE;
        for trigger in late {
            if patience == 0 {
                left.push((*trigger, "others were waited for".to_owned()));
                continue;
            }
            // One by one: there are few, and so it is known of each what became of it.
            match self.granting.grant_late(&[*trigger]).await {
                Ok(more) => granted = granted.saturating_add(more.all()),
                Err(error) => {
                    patience -= u32::from(error.is_outage());
                    tracing::warn!(trigger, %error, "what it has earned is not granted yet");
                    left.push((*trigger, error.to_string()));
                }
            }
        }
        if granted > 0 {
            tracing::info!(what = what.name(), granted, "granted what was owed");
        }
        self.metrics.rewards.swept.with_label_values(&[what.name()]).inc_by(granted);
        Ok(left)
    }

    /// Whether the tallies of inviters have counted the rewards after this one; the last that was looked at.
    async fn look_at_rewards(
        &self,
        transaction: &Transaction<'_>,
        from: i64,
        before: Timestamp,
    ) -> Result<Option<i64>, Error> {
        let rewards = sweep::rewards_after(transaction, from, SET).await?;
        let old = rewards.iter().take_while(|(_, came_at, _)| *came_at < before).count();
        let rewards = rewards.get(..old).unwrap_or_default();
        let inviters: BTreeSet<_> =
            rewards.iter().filter_map(|(_, _, inviter)| inviter.clone()).collect();
        let inviters: Vec<_> = inviters.into_iter().collect();
        let raised = sweep::raise_tallies(transaction, &inviters).await?;
        for (campaign, rewards) in &raised {
            tracing::error!(
                %campaign,
                rewards,
                "an inviter's tally had not counted all rewards, and was raised"
            );
        }
        self.count("cap", raised.len());
        Ok(rewards.last().map(|(id, _, _)| *id))
    }

    /// Drops tasks that nobody needs, and makes those again that are missing; says whether it was ours to do.
    /// A round looks at a part of them, where there are very many, and the next one goes on from there.
    async fn mend_tasks(&self) -> Result<bool, Error> {
        for _ in 0..SETS {
            let mut connection = self.store.rewards().await?;
            let transaction = connection.transaction().await?;
            if !sweep::begin(&transaction).await? {
                return Ok(false);
            }
            let mut place = self.place.lock().await;
            let (needless, next_task) =
                sweep::drop_needless(&transaction, place.task, SET_OF_TASKS).await?;
            let (stuck, next_reward) =
                sweep::stuck(&transaction, self.quiet, &place.reward, SET_OF_TASKS).await?;
            let remade = self.remade(&transaction, stuck).await?;
            let made = sweep::remake(&transaction, &remade).await?;
            transaction.commit().await?;
            for (reward, step) in &needless {
                tracing::warn!(reward, %step, "a task was dropped: its reward does not wait for it");
            }
            self.count("task", needless.len());
            self.metrics.rewards.swept.with_label_values(&["task"]).inc_by(made);
            let is_end = next_task.is_none() && next_reward.is_none();
            *place = Place {
                task: next_task.unwrap_or(if is_end { 0 } else { i64::MAX }),
                reward: next_reward.unwrap_or_else(|| if is_end { first() } else { last() }),
            };
            if is_end {
                break;
            }
        }
        Ok(true)
    }

    /// The tasks of rewards that lack theirs.
    async fn remade(
        &self,
        transaction: &Transaction<'_>,
        stuck: Vec<Stuck>,
    ) -> Result<Vec<Remade>, Error> {
        let mut remade = Vec::new();
        for stuck in stuck {
            let version = (&stuck.campaign, stuck.campaign_version);
            let promised = self.promised(transaction, version).await?;
            match promised.and_then(|promised| self.task(&stuck, &promised)) {
                Some(task) => {
                    let step = task.step.name();
                    tracing::warn!(reward = stuck.id, step, "a task is made again");
                    remade.push(task);
                }
                None => {
                    tracing::error!(reward = stuck.id, "waits for a step, and lacks what it needs");
                }
            }
        }
        Ok(remade)
    }

    /// What was promised; none where that cannot be read: others must not wait for it.
    async fn promised(
        &self,
        transaction: &Transaction<'_>,
        (campaign, version): (&CampaignId, Version),
    ) -> Result<Option<Arc<Campaign>>, Error> {
        match self.pinned.get(transaction, campaign, version).await {
            Ok(promised) => Ok(Some(promised)),
            Err(error @ Error::Corrupt(..)) => {
                tracing::error!(%error, "what was promised cannot be read");
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The task of a reward that waits for a step: the same operation and bytes that it had.
    fn task(&self, stuck: &Stuck, promised: &Campaign) -> Option<Remade> {
        let key = RewardKey {
            campaign: &stuck.campaign,
            invitee: &stuck.invitee,
            kind: &stuck.kind,
            side: stuck.side,
        };
        let step = stuck.state.step()?.kind;
        let minor = match step {
            StepKind::Draw => Some(stuck.most_minor).filter(|_| draws_elsewhere(promised, stuck)),
            StepKind::Allot | StepKind::Pay => Some(stuck.amount_minor?),
            StepKind::Remind => return None,
        };
        let operation = minor.map(|minor| {
            let money = (stuck.currency.as_str(), minor);
            self.operations.operation(&key, step, &stuck.beneficiary, money)
        });
        Some(Remade { id: stuck.id, version: stuck.version, step, operation })
    }

    fn count(&self, what: &str, found: usize) {
        let found = u64::try_from(found).unwrap_or(u64::MAX);
        self.metrics.rewards.swept.with_label_values(&[what]).inc_by(found);
    }

    /// Shows how rewards stand. `cards` says whether cards that wait for their owners are counted, too.
    pub async fn show_figures(&self, cards: bool) -> Result<(), Error> {
        let figures = sweep::figures(&self.store, cards).await?;
        let shown = &self.metrics.rewards;
        let mut states =
            vec![State::Review, State::Create, State::Drawn, State::Revealed, State::Parked];
        states.extend(cards.then_some(State::New));
        for state in states {
            let open = figures.open.get(&state).copied().unwrap_or(0);
            shown.open.with_label_values(&[state.name()]).set(open);
        }
        shown.tasks_due.set(figures.tasks_due);
        shown.oldest_due_seconds.set(figures.oldest_due_seconds);
        shown.late_triggers.set(figures.late_triggers);
        for (campaign, balances) in &figures.accounts {
            for (account, minor) in ["budget", "promised", "paid"].into_iter().zip(balances) {
                shown.account_minor.with_label_values(&[campaign.as_str(), account]).set(*minor);
            }
        }
        // Those that were settled are not there any more.
        shown.differences.reset();
        for (difference, count) in &figures.differences {
            shown.differences.with_label_values(&[difference.as_str()]).set(*count);
        }
        Ok(())
    }
}

/// Whether a trigger earns something for somebody who has no reward for it.
fn is_owed(promised: &Campaign, earned: &Earned) -> bool {
    let is_missing = |side: Side| {
        promised.earned(&earned.kind, side).is_some() && !earned.rewarded.contains(&side)
    };
    is_due(earned.occurred_at, promised) && Side::ALL.into_iter().any(is_missing)
}

/// Whether the payment service draws the amount of a reward.
fn draws_elsewhere(promised: &Campaign, stuck: &Stuck) -> bool {
    let reward = promised.earned(&stuck.kind, stuck.side);
    reward.is_some_and(|it| it.payment_service_up_to_minor.is_some())
}
