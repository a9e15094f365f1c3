//! Doing what was approved: all items of a compensation in one transaction, whose users are locked.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::{Notify, watch};

use crate::campaign::CampaignId;
use crate::campaign::live::Campaigns;
use crate::campaign::pinned::Pinned;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::reward::cards::{Plan, plan};
use crate::reward::compensations::ItemOutcome;
use crate::reward::granting::{Granted, Granting, Owed};
use crate::reward::machine::{Event, Side, State, StepKind};
use crate::reward::operation::{OperationIds, RewardKey};
use crate::store::rewards::compensations::StoredItem;
use crate::store::rewards::desk::{self, NewTask, Renewed, StoredReward};
use crate::store::rewards::explain;
use crate::store::rewards::granting::{self as rows, Counted, Key};
use crate::store::{Error, Prepared};

/// What it works with.
#[derive(Debug)]
pub struct Execution {
    /// The campaigns as they are now.
    pub campaigns: watch::Receiver<Arc<Campaigns>>,
    /// Grants what there is no reward for yet, as for triggers.
    pub granting: Arc<Granting>,
    /// Names the operations of the payment service.
    pub ids: OperationIds,
    /// What was promised.
    pub pinned: Arc<Pinned>,
    /// Tells the engine of work that this process made.
    pub wake: Arc<Notify>,
    /// What time it is.
    pub clock: Clock,
    /// Figures.
    pub metrics: Arc<Metrics>,
}

/// What was done.
#[derive(Debug)]
pub struct Done {
    /// Of each item its number, what became of it, and the reward that it is about.
    pub outcomes: Vec<(i32, ItemOutcome, i64)>,
    /// How many rewards were counted beyond the caps of their inviters.
    pub lifted: i32,
    granted: Granted,
}

impl Done {
    /// How often there was each outcome, by its name.
    pub fn counted(&self) -> BTreeMap<&'static str, u64> {
        let mut counted = BTreeMap::new();
        for (_, outcome, _) in &self.outcomes {
            let count: &mut u64 = counted.entry(outcome.name()).or_default();
            *count = count.saturating_add(1);
        }
        counted
    }
}

/// Which reward there is for what.
type ByKey = HashMap<(String, String, Side), StoredReward>;

impl Execution {
    /// Does all items, in the name of whoever approved them.
    pub async fn run(
        &self,
        transaction: &Prepared<'_>,
        campaign: &CampaignId,
        items: &[StoredItem],
        (actor, reason): (&str, &str),
    ) -> Result<Done, Error> {
        let before = there(transaction, campaign, items).await?;
        let owed = self.owed(transaction, campaign, items, &before).await?;
        let again: Vec<&StoredReward> = items
            .iter()
            .filter_map(|item| before.get(&key(item)))
            .filter(|it| matches!(it.state, State::Denied | State::Expired))
            .collect();
        // All tallies, then all rewards, in one order; the account comes last, when things are granted.
        let counting = owed.iter().filter(|it| it.key.side == Side::Inviter);
        let counting = counting.map(|it| it.beneficiary.as_str());
        let denied = again.iter().filter(|it| counts(it)).map(|it| it.beneficiary.as_str());
        let inviters: Vec<_> = counting.chain(denied).map(|it| (campaign, it)).collect();
        if !inviters.is_empty() {
            rows::lock_tallies(transaction, &inviters).await?;
        }
        let ids: Vec<i64> = again.iter().map(|it| it.id).collect();
        desk::lock(transaction, &ids).await?;
        let granted = self.granting.grant_owed(transaction, actor, owed).await?;
        let (renewed, lifted) = self.renew(transaction, campaign, &again, (actor, reason)).await?;
        let after = there(transaction, campaign, items).await?;
        let outcomes = items.iter().map(|item| {
            let (was, is) = (before.get(&key(item)), after.get(&key(item)));
            let is = is.ok_or_else(|| missing(item))?;
            Ok((item.number, outcome(was, is, &renewed), is.id))
        });
        Ok(Done { outcomes: outcomes.collect::<Result<_, Error>>()?, lifted, granted })
    }

    /// Counts what was done, once it is committed, and tells the engine.
    pub fn count(&self, done: &Done) {
        self.granting.count(done.granted);
        let renewed = done.outcomes.iter().filter(|(_, outcome, _)| {
            matches!(outcome, ItemOutcome::GrantedAfterDenial | ItemOutcome::CardRenewed)
        });
        let renewed = u64::try_from(renewed.count()).unwrap_or(u64::MAX);
        if renewed > 0 {
            let moves = &self.metrics.rewards.moves;
            moves.with_label_values(&[Event::Compensate.name()]).inc_by(renewed);
            self.wake.notify_one();
        }
    }

    /// What is owed by the bindings, for those items for which there is no reward yet.
    async fn owed(
        &self,
        transaction: &Prepared<'_>,
        campaign: &CampaignId,
        items: &[StoredItem],
        before: &ByKey,
    ) -> Result<Vec<Owed>, Error> {
        let new: Vec<&StoredItem> =
            items.iter().filter(|item| !before.contains_key(&key(item))).collect();
        let users: Vec<(&CampaignId, &str)> =
            new.iter().map(|item| (campaign, item.invitee.as_str())).collect();
        let bindings = rows::bindings(transaction, &users).await?;
        let mut owed = Vec::with_capacity(new.len());
        for (item, bound) in new.into_iter().zip(bindings) {
            let bound = bound.ok_or_else(|| missing(item))?;
            let said = self.pinned.get(transaction, campaign, bound.version).await?;
            let beneficiary = match item.side {
                Side::Inviter => bound.inviter,
                Side::Invitee => item.invitee.clone(),
            };
            owed.push(Owed {
                key: Key {
                    campaign: campaign.clone(),
                    invitee: item.invitee.clone(),
                    kind: item.kind.clone(),
                    side: item.side,
                },
                version: (bound.version, said),
                beneficiary,
                trigger_id: None,
                held: bound.held,
            });
        }
        Ok(owed)
    }

    /// Grants what was denied, and gives what expired a new card, as far as the budget goes. Answers which
    /// rewards went on, and how many of them were lifted over a cap: people want them beyond it.
    async fn renew(
        &self,
        transaction: &Prepared<'_>,
        campaign: &CampaignId,
        again: &[&StoredReward],
        (actor, reason): (&str, &str),
    ) -> Result<(Vec<i64>, i32), Error> {
        if again.is_empty() {
            return Ok((Vec::new(), 0));
        }
        let left = rows::lock_budgets(transaction, &[campaign]).await?;
        let left = left.get(campaign).copied().unwrap_or_default();
        let affordable = affordable(again, left);
        let lifted = self.count_denied(transaction, campaign, &affordable).await?;
        let (mut renewed, mut tasks) = (Vec::new(), Vec::new());
        let now = Timestamp::from(self.clock.now());
        for reward in &affordable {
            let said = self.pinned.get(transaction, campaign, reward.campaign_version).await?;
            let (id, from) = (reward.id, reward.state);
            if from == State::Expired {
                let Plan { due_at, expires_at } = plan(&said.scratch_card, now);
                renewed.push(Renewed {
                    id,
                    from,
                    to: State::New,
                    card: Some((due_at, expires_at)),
                });
                continue;
            }
            let earned = said.earned(&reward.kind, reward.side);
            let asks = earned.and_then(|earned| earned.payment_service_up_to_minor);
            let request = asks.map(|most| self.draw(reward, most));
            tasks.push(NewTask { reward_id: id, step: StepKind::Draw, request });
            renewed.push(Renewed { id, from, to: State::Create, card: None });
        }
        desk::insert_tasks(transaction, &tasks).await?;
        desk::compensate(transaction, &renewed, (actor, reason)).await?;
        Ok((affordable.iter().map(|reward| reward.id).collect(), lifted))
    }

    /// The draw of a reward that the payment service draws.
    fn draw(&self, reward: &StoredReward, most_minor: i64) -> (String, Vec<u8>) {
        let key = RewardKey {
            campaign: &reward.campaign,
            invitee: &reward.invitee,
            kind: &reward.kind,
            side: reward.side,
        };
        let money = (reward.currency.as_str(), most_minor);
        self.ids.operation(&key, StepKind::Draw, &reward.beneficiary, money)
    }

    /// Counts those rewards of inviters that had been denied: within the cap as far as it goes, and beyond
    /// it. Answers how many were beyond it.
    async fn count_denied(
        &self,
        transaction: &Prepared<'_>,
        campaign: &CampaignId,
        rewards: &[&StoredReward],
    ) -> Result<i32, Error> {
        let mut more: BTreeMap<&str, i32> = BTreeMap::new();
        for reward in rewards.iter().filter(|it| counts(it)) {
            let count = more.entry(reward.beneficiary.as_str()).or_default();
            *count = count.saturating_add(1);
        }
        let Some(first) = rewards.first() else { return Ok(0) };
        let said = self.pinned.get(transaction, campaign, first.campaign_version).await?;
        let campaigns = Arc::clone(&self.campaigns.borrow());
        let current = campaigns.named(campaign.as_str()).map(|it| &it.campaign);
        let cap = current.unwrap_or(&said).caps.rewards_per_inviter;
        let cap = i32::try_from(cap).unwrap_or(i32::MAX);
        let inviters: Vec<_> = more.keys().map(|inviter| (campaign, *inviter)).collect();
        if inviters.is_empty() {
            return Ok(0);
        }
        // What was granted a moment ago is in them.
        let tallies = rows::lock_tallies(transaction, &inviters).await?;
        let mut all_lifted: i32 = 0;
        let mut within = Vec::new();
        let mut beyond = Vec::new();
        for (inviter, more) in more {
            let tally = tallies.get(&(campaign.clone(), inviter.to_owned()));
            let tally = tally.copied().unwrap_or_default();
            let room = cap.saturating_add(tally.lifted).saturating_sub(tally.rewards).max(0);
            let fits = more.min(room);
            let lifted = more.saturating_sub(fits);
            if fits > 0 {
                within.push(Counted { campaign, inviter, more: fits, cap });
            }
            if lifted > 0 {
                beyond.push((inviter, lifted));
                all_lifted = all_lifted.saturating_add(lifted);
            }
        }
        rows::count(transaction, &within).await?;
        for (inviter, lifted) in beyond {
            desk::lift(transaction, campaign, inviter, lifted).await?;
        }
        Ok(all_lifted)
    }
}

/// What these items are about, as far as it is there.
async fn there(
    transaction: &Prepared<'_>,
    campaign: &CampaignId,
    items: &[StoredItem],
) -> Result<ByKey, Error> {
    let mut invitees: Vec<&str> = items.iter().map(|item| item.invitee.as_str()).collect();
    invitees.sort_unstable();
    invitees.dedup();
    let found = explain::brought(transaction, campaign, &invitees).await?;
    let keyed = found.into_iter().map(|it| ((it.invitee.clone(), it.kind.clone(), it.side), it));
    Ok(keyed.collect())
}

fn key(item: &StoredItem) -> (String, String, Side) {
    (item.invitee.clone(), item.kind.clone(), item.side)
}

/// Whether a reward that is renewed is one more of its inviter: one that was denied was never counted.
fn counts(reward: &StoredReward) -> bool {
    reward.side == Side::Inviter && reward.state == State::Denied
}

/// Those for which the budget suffices, one after the other.
fn affordable<'a>(rewards: &[&'a StoredReward], mut left: i64) -> Vec<&'a StoredReward> {
    let affordable = rewards.iter().filter(|reward| {
        // Of what had expired the amount is known; what was denied has none.
        let needed = reward.amount_minor.unwrap_or(reward.most_minor);
        let suffices = needed <= left;
        if suffices {
            left = left.saturating_sub(needed);
        }
        suffices
    });
    affordable.copied().collect()
}

fn outcome(was: Option<&StoredReward>, is: &StoredReward, renewed: &[i64]) -> ItemOutcome {
    match was.map(|it| it.state) {
        None if is.state == State::Review => ItemOutcome::InReview,
        None => ItemOutcome::Granted,
        Some(State::Denied) if renewed.contains(&is.id) => ItemOutcome::GrantedAfterDenial,
        Some(State::Expired) if renewed.contains(&is.id) => ItemOutcome::CardRenewed,
        Some(State::Denied | State::Expired) => ItemOutcome::BudgetExhausted,
        Some(_) => ItemOutcome::AlreadyThere,
    }
}

fn missing(item: &StoredItem) -> Error {
    Error::Corrupt("compensation_item", format!("nothing is there for {}", item.invitee))
}
