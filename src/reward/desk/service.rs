//! The operators' desk: finds rewards, and does what people decide, each in one transaction with its audit.
//!
//! Locks are taken in the one order that all have: the user of the binding, the inviter's tally, the
//! task, the reward, the account. Whatever is refused has changed nothing.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;
use tokio::sync::{Notify, watch};

use super::{Act, BY_HAND, Outcome, judge_reason, possible};
use crate::campaign::live::Campaigns;
use crate::campaign::pinned::Pinned;
use crate::campaign::{Campaign, CampaignId};
use crate::clock::Clock;
use crate::fault::Fault;
use crate::metrics::Metrics;
use crate::review::case::SubjectRef;
use crate::review::flow::Subject;
use crate::reward::cards::{Plan, plan};
use crate::reward::machine::{Event, Side, State, StepKind};
use crate::reward::operation::{OperationIds, RewardKey};
use crate::store::rewards::desk::list::{self, Filter, Listed};
use crate::store::rewards::desk::{self, HandMove, NewTask, StoredReward};
use crate::store::rewards::granting::{self, Counted};
use crate::store::user_locks::{self, LockKey};
use crate::store::{self, Prepared, Store, audit, review};

/// Why something was not done to a reward.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such reward.
    #[error("there is no reward {0}")]
    NotFound(i64),
    /// Fields are wrong.
    #[error("the request is not valid")]
    Invalid(Vec<Fault>),
    /// The reward stands where this cannot be done.
    #[error(
        "the reward is in {}, where this cannot be done; possible is: {}",
        standing(*.0, *.1), possible(*.0, *.1)
    )]
    OtherState(State, Option<State>),
    /// A case decides on it.
    #[error(
        "case {0} decides on it: approve or reject that, by POST /v1/cases/{0}/approve or /reject"
    )]
    UnderReview(i64),
    /// The campaign has too little left.
    #[error(
        "it may come to {needed}, and the campaign has {left} left of its budget, in minor units; \
         raise budget_minor in a new version of it first"
    )]
    BudgetExhausted {
        /// What it may come to, in minor units.
        needed: i64,
        /// What is left, in minor units.
        left: i64,
    },
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

fn standing(state: State, parked_in: Option<State>) -> String {
    parked_in.map_or_else(|| state.to_string(), |before| format!("{state} (it was in {before})"))
}

/// See the module.
#[derive(Debug)]
pub struct Desk {
    store: Store,
    campaigns: watch::Receiver<Arc<Campaigns>>,
    ids: OperationIds,
    pinned: Arc<Pinned>,
    wake: Arc<Notify>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// Who does something, and why.
#[derive(Clone, Copy, Debug)]
struct By<'a> {
    actor: &'a str,
    reason: &'a str,
}

/// What was done, for the audit.
#[derive(Debug, Default)]
struct Done {
    to: Option<State>,
    lifted: bool,
}

impl Desk {
    /// A desk for these rewards.
    pub fn new(
        store: Store,
        campaigns: watch::Receiver<Arc<Campaigns>>,
        (ids, pinned): (OperationIds, Arc<Pinned>),
        (wake, clock, metrics): (Arc<Notify>, Clock, Arc<Metrics>),
    ) -> Self {
        Self { store, campaigns, ids, pinned, wake, clock, metrics }
    }

    /// A page of rewards, newest first.
    pub async fn list(&self, filter: &Filter, limit: u32) -> Result<Listed, Error> {
        Ok(list::list(&self.store, filter, limit).await?)
    }

    /// The reward with this number.
    pub async fn get(&self, id: i64) -> Result<StoredReward, Error> {
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        desk::find(&transaction, id).await?.ok_or(Error::NotFound(id))
    }

    /// Does something to a reward; answers it as it then is. Done again by the same person, it answers the
    /// reward as it is. What a case decides on is left to that.
    pub async fn act(
        &self,
        actor: &str,
        id: i64,
        act: Act,
        reason: &str,
    ) -> Result<StoredReward, Error> {
        self.act_as((actor, false), id, act, reason).await
    }

    /// The same for what a case has decided.
    pub async fn carry_out_case(
        &self,
        actor: &str,
        id: i64,
        act: Act,
        reason: &str,
    ) -> Result<StoredReward, Error> {
        self.act_as((actor, true), id, act, reason).await
    }

    async fn act_as(
        &self,
        (actor, for_case): (&str, bool),
        id: i64,
        act: Act,
        reason: &str,
    ) -> Result<StoredReward, Error> {
        judge_reason(reason).map_err(|fault| Error::Invalid(vec![fault]))?;
        // Whose binding it hangs on never changes, so this may be read before there is a lock.
        let seen = self.get(id).await?;
        let user = LockKey::user(&seen.campaign, &seen.invitee);
        let _turn = self.store.turns().next(user).await?;
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        user_locks::take(&transaction, [user]).await?;
        let reward = desk::find(&transaction, id).await?.ok_or(Error::NotFound(id))?;
        if !for_case && matches!(act, Act::Approve | Act::Deny) {
            let subject = SubjectRef { subject: Subject::Reward, key: id.to_string() };
            if let Some(case) = review::open_case_of(&transaction, &subject).await? {
                return Err(Error::UnderReview(case));
            }
        }
        let other_state = |it: &StoredReward| Error::OtherState(it.state, it.parked_in);
        if !act.fits(reward.state, reward.parked_in) {
            let known = was_done(&transaction, &reward, act, actor).await?;
            return if known { Ok(reward) } else { Err(other_state(&reward)) };
        }
        let by = By { actor, reason };
        let Some(done) = self.carry_out(&transaction, &reward, act, by).await? else {
            // Somebody who needs no lock of the user was faster: whoever has the card, or its end.
            let now = desk::find(&transaction, id).await?.ok_or(Error::NotFound(id))?;
            return Err(other_state(&now));
        };
        record(&transaction, &reward, act, by, &done).await?;
        let after = desk::find(&transaction, id).await?.ok_or(Error::NotFound(id))?;
        transaction.commit().await.map_err(store::Error::from)?;
        self.metrics.rewards.moves.with_label_values(&[act.event().name()]).inc();
        self.wake.notify_one();
        Ok(after)
    }

    /// Moves the reward; `None`: it has gone somewhere else.
    async fn carry_out(
        &self,
        transaction: &Prepared<'_>,
        reward: &StoredReward,
        act: Act,
        by: By<'_>,
    ) -> Result<Option<Done>, Error> {
        match act {
            Act::Approve => self.approve(transaction, reward, by).await,
            Act::Deny => {
                let moved = Step::new(State::Review, Event::Deny, State::Denied);
                Ok(moved.make(transaction, reward, by).await?)
            }
            Act::Replay(Outcome::Applied) => self.vouch(transaction, reward, by).await,
            Act::Replay(outcome @ (Outcome::Ask | Outcome::NotApplied)) => {
                let asked_first = outcome == Outcome::Ask;
                let operation = desk::restore_task(transaction, reward.id, asked_first).await?;
                let moved = replayed(reward)?.about(operation);
                Ok(moved.make(transaction, reward, by).await?)
            }
            Act::Reverse => {
                desk::drop_reminder(transaction, reward.id).await?;
                let moved = Step::new(reward.state, Event::Reverse, State::Reversed);
                Ok(moved.make(transaction, reward, by).await?)
            }
        }
    }

    /// Promises what was held: within the budget, and beyond the cap, since people want it so.
    async fn approve(
        &self,
        transaction: &Prepared<'_>,
        reward: &StoredReward,
        by: By<'_>,
    ) -> Result<Option<Done>, Error> {
        let id = &reward.campaign;
        let said = self.pinned.get(transaction, id, reward.campaign_version).await?;
        let earned = said.earned(&reward.kind, reward.side).ok_or_else(|| broken(reward))?;
        let mut done = Done::default();
        if reward.side == Side::Inviter {
            done.lifted = count(transaction, reward, self.cap(id, &said)).await?;
        }
        let key = RewardKey {
            campaign: id,
            invitee: &reward.invitee,
            kind: &reward.kind,
            side: reward.side,
        };
        let request = earned.payment_service_up_to_minor.map(|most| {
            let money = (reward.currency.as_str(), most);
            self.ids.operation(&key, StepKind::Draw, &reward.beneficiary, money)
        });
        let task = NewTask { reward_id: reward.id, step: StepKind::Draw, request };
        desk::insert_tasks(transaction, &[task]).await?;
        desk::lock(transaction, &[reward.id]).await?;
        let left = granting::lock_budgets(transaction, &[id]).await?;
        let left = left.get(id).copied().unwrap_or_default();
        let needed = reward.most_minor;
        if left < needed {
            return Err(Error::BudgetExhausted { needed, left });
        }
        let moved = Step::new(State::Review, Event::Approve, State::Create);
        let moved = moved.make(transaction, reward, by).await?;
        Ok(moved.map(|moved| Done { lifted: done.lifted, ..moved }))
    }

    /// How many rewards an inviter may have without anybody looking at them: by what the campaign says now,
    /// as when a trigger is granted.
    fn cap(&self, campaign: &CampaignId, said: &Campaign) -> i32 {
        let campaigns = self.campaigns.borrow();
        let current = campaigns.named(campaign.as_str()).map(|it| &it.campaign);
        i32::try_from(current.unwrap_or(said).caps.rewards_per_inviter).unwrap_or(i32::MAX)
    }

    /// Lets a parked reward go on as if the payment service had answered: back to where it was, and one
    /// step further.
    async fn vouch(
        &self,
        transaction: &Prepared<'_>,
        reward: &StoredReward,
        by: By<'_>,
    ) -> Result<Option<Done>, Error> {
        let operation = desk::settle_task(transaction, reward.id).await?;
        let back = replayed(reward)?.about(operation.clone());
        let step = back.to.step().ok_or_else(|| broken(reward))?;
        let mut next = Step::new(back.to, step.event, State::Paid).about(operation);
        if step.kind == StepKind::Allot {
            let (campaign, version) = (&reward.campaign, reward.campaign_version);
            let said = self.pinned.get(transaction, campaign, version).await?;
            let now = Timestamp::from(self.clock.now());
            next = Step { to: State::New, ..next };
            let Plan { due_at, expires_at } = plan(&said.scratch_card, now);
            next.card = Some((due_at, expires_at));
        }
        if back.make(transaction, reward, by).await?.is_none() {
            return Ok(None);
        }
        let done = next.make(transaction, reward, by).await?;
        self.metrics.rewards.moves.with_label_values(&[step.event.name()]).inc();
        Ok(done)
    }
}

/// A move that is about to be made.
struct Step {
    from: State,
    event: Event,
    to: State,
    operation: Option<String>,
    card: Option<(Timestamp, Timestamp)>,
}

impl Step {
    fn new(from: State, event: Event, to: State) -> Self {
        Self { from, event, to, operation: None, card: None }
    }

    fn about(self, operation: Option<String>) -> Self {
        Self { operation, ..self }
    }

    async fn make(
        &self,
        transaction: &Prepared<'_>,
        reward: &StoredReward,
        by: By<'_>,
    ) -> Result<Option<Done>, store::Error> {
        let made = HandMove {
            from: self.from,
            event: self.event,
            to: self.to,
            reason: by.reason,
            actor: by.actor,
            operation_id: self.operation.as_deref(),
            card: self.card,
        };
        let moved = desk::make_move(transaction, reward.id, &made).await?;
        Ok(moved.then_some(Done { to: Some(self.to), lifted: false }))
    }
}

/// Back from parking to where it was.
fn replayed(reward: &StoredReward) -> Result<Step, store::Error> {
    let to = reward.parked_in.ok_or_else(|| broken(reward))?;
    Ok(Step::new(State::Parked, Event::Replay, to))
}

fn broken(reward: &StoredReward) -> store::Error {
    let what = format!("{} is {} in {:?}", reward.id, reward.state, reward.parked_in);
    store::Error::Corrupt("reward", what)
}

/// Counts a reward of an inviter; answers whether it was lifted over the cap.
async fn count(
    transaction: &Prepared<'_>,
    reward: &StoredReward,
    cap: i32,
) -> Result<bool, store::Error> {
    let (campaign, inviter) = (&reward.campaign, reward.beneficiary.as_str());
    let tallies = granting::lock_tallies(transaction, &[(campaign, inviter)]).await?;
    let tally = tallies.values().next().copied().unwrap_or_default();
    let fits = tally.rewards.saturating_add(1) <= cap.saturating_add(tally.lifted);
    if fits {
        let counted = Counted { campaign, inviter, more: 1, cap };
        granting::count(transaction, &[counted]).await?;
    } else {
        desk::lift(transaction, campaign, inviter, 1).await?;
    }
    Ok(!fits)
}

/// Whether the last thing that people did to this reward was this, by the same person.
async fn was_done(
    transaction: &Prepared<'_>,
    reward: &StoredReward,
    act: Act,
    actor: &str,
) -> Result<bool, store::Error> {
    let last = desk::last_by_hand(transaction, reward.id, &BY_HAND).await?;
    if last != Some((act.event(), actor.to_owned())) {
        return Ok(false);
    }
    match act.outcome() {
        None => Ok(true),
        Some(outcome) => {
            let last = desk::last_outcome(transaction, &subject(reward)).await?;
            Ok(last.as_deref() == Some(outcome.name()))
        }
    }
}

async fn record(
    transaction: &Prepared<'_>,
    reward: &StoredReward,
    act: Act,
    by: By<'_>,
    done: &Done,
) -> Result<(), store::Error> {
    let detail = json!({
        "reason": by.reason,
        "from": reward.state.name(),
        "parked_in": reward.parked_in.map(State::name),
        "to": done.to.map(State::name),
        "outcome": act.outcome().map(Outcome::name),
        "lifted": done.lifted,
    });
    let (actor, action) = (by.actor, act.action());
    let subject = &subject(reward);
    audit::record(transaction, &audit::Entry { actor, action, subject, detail }).await
}

/// What the audit calls a reward.
fn subject(reward: &StoredReward) -> String {
    format!("reward:{}", reward.id)
}
