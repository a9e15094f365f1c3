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

use super::granting::Granting;
use super::machine::{Side, State, StepKind};
use super::operation::{OperationIds, RewardKey};
use crate::campaign::pinned::Pinned;
use crate::campaign::{Campaign, CampaignId};
use crate::metrics::Metrics;
use crate::store::rewards::sweep::{self, Earned, Looked, Remade, Stuck, What};
use crate::store::{Error, Store, Transaction};

/// How many are looked at together.
const SET: i64 = 1_000;
/// How many sets of each are looked at in a round.
const SETS: usize = 50;

/// See the module.
#[derive(Debug)]
pub struct Sweeper {
    store: Store,
    pinned: Arc<Pinned>,
    operations: OperationIds,
    granting: Arc<Granting>,
    /// Only what came so long ago is looked at: its own transaction, and those beside it, have ended.
    quiet: Duration,
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
        Self { store, pinned, operations, granting, quiet, metrics }
    }

    /// One round; says whether it was ours to do.
    pub async fn sweep(&self, now: Timestamp) -> Result<bool, Error> {
        let before = now.checked_sub(self.quiet).unwrap_or(Timestamp::MIN);
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
                self.grant(what, &late).await?;
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

    /// Which triggers have earned what nobody was granted.
    async fn late(
        &self,
        transaction: &Transaction<'_>,
        looked: &[Looked],
    ) -> Result<Vec<i64>, Error> {
        let mut late = Vec::new();
        for earned in looked.iter().filter_map(|it| it.earned.as_ref()) {
            let campaign = self.pinned.get(transaction, &earned.campaign, earned.version).await?;
            if is_owed(&campaign, earned) {
                late.push(earned.trigger);
            }
        }
        Ok(late)
    }

    /// Grants what triggers have earned. Where that fails for some of them, it must not for the others.
    async fn grant(&self, what: What, late: &[i64]) -> Result<(), Error> {
        if late.is_empty() {
            return Ok(());
        }
        let granted = match self.granting.grant_late(late).await {
            Err(error) if error.is_outage() => return Err(error),
            Ok(granted) => granted.all(),
            Err(_some) => {
                let mut granted = 0_u64;
                for trigger in late {
                    match self.granting.grant_late(&[*trigger]).await {
                        Ok(more) => granted = granted.saturating_add(more.all()),
                        Err(error) if error.is_outage() => return Err(error),
                        Err(error) => {
                            tracing::error!(trigger, %error, "what it has earned is not granted");
                        }
                    }
                }
                granted
            }
        };
        if granted > 0 {
            tracing::info!(what = what.name(), granted, "granted what was owed");
        }
        self.metrics.rewards.swept.with_label_values(&[what.name()]).inc_by(granted);
        Ok(())
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
    async fn mend_tasks(&self) -> Result<bool, Error> {
        let mut connection = self.store.rewards().await?;
        let transaction = connection.transaction().await?;
        if !sweep::begin(&transaction).await? {
            return Ok(false);
        }
        let needless = sweep::drop_needless(&transaction).await?;
        for (reward, step) in &needless {
            tracing::warn!(reward, %step, "a task was dropped: its reward does not wait for it");
        }
        let mut remade = Vec::new();
        for stuck in sweep::stuck(&transaction, self.quiet, SET).await? {
            let campaign = &stuck.campaign;
            let promised = self.pinned.get(&transaction, campaign, stuck.campaign_version).await?;
            let Some(task) = self.task(&stuck, &promised) else {
                tracing::error!(reward = stuck.id, "waits for a step, and lacks what that needs");
                continue;
            };
            tracing::warn!(reward = stuck.id, step = task.step.name(), "a task is made again");
            remade.push(task);
        }
        let made = sweep::remake(&transaction, &remade).await?;
        transaction.commit().await?;
        self.count("task", needless.len());
        self.metrics.rewards.swept.with_label_values(&["task"]).inc_by(made);
        Ok(true)
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
fn is_owed(campaign: &Campaign, earned: &Earned) -> bool {
    let Some(sides) = campaign.rewards.get(&earned.kind) else { return false };
    let due = [(Side::Inviter, sides.inviter.is_some()), (Side::Invitee, sides.invitee.is_some())];
    due.into_iter().any(|(side, due)| due && !earned.rewarded.contains(&side))
}

/// Whether the payment service draws the amount of a reward.
fn draws_elsewhere(campaign: &Campaign, stuck: &Stuck) -> bool {
    let sides = campaign.rewards.get(&stuck.kind);
    let reward = sides.and_then(|sides| match stuck.side {
        Side::Inviter => sides.inviter.as_ref(),
        Side::Invitee => sides.invitee.as_ref(),
    });
    reward.is_some_and(|it| it.payment_service_up_to_minor.is_some())
}
