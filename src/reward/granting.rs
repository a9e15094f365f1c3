//! From triggers to rewards: who earned what by reaching something, and whether cap and budget allow it.
//!
//! All of it happens in the transaction that stores the trigger, under the lock of the user: a trigger that
//! was answered for has its rewards. A trigger that was told before its binding was made is granted by
//! [`Granting::grant_late`], which the sweeper calls.
//!
//! What is owed, and what cap and budget allow, is decided in [`rationing`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use tokio::sync::{Notify, watch};

use super::machine::{Side, StepKind};
use super::operation::{OperationIds, RewardKey};
use super::rationing::{self, Rationing};
use crate::campaign::CampaignId;
use crate::campaign::live::Campaigns;
use crate::campaign::pinned::Pinned;
use crate::metrics::Metrics;
use crate::planted::{Bug, planted};
use crate::store::rewards::books;
use crate::store::rewards::granting::{self as rows, Counted, Key, NewReward};
use crate::store::user_locks::{self, LockKey};
use crate::store::{Error, Prepared, Store};

pub(super) use super::rationing::is_due;
pub use super::rationing::{Owed, Reached, reasons};

/// Who grants what triggers earn, in the log.
const ACTOR: &str = "waypost";

/// See the module.
#[derive(Debug)]
pub struct Granting {
    store: Store,
    campaigns: watch::Receiver<Arc<Campaigns>>,
    ids: OperationIds,
    pinned: Arc<Pinned>,
    wake: Arc<Notify>,
    metrics: Arc<Metrics>,
}

impl Granting {
    /// Grants by these campaigns.
    pub fn new(
        store: Store,
        campaigns: watch::Receiver<Arc<Campaigns>>,
        (ids, pinned): (OperationIds, Arc<Pinned>),
        (wake, metrics): (Arc<Notify>, Arc<Metrics>),
    ) -> Self {
        Self { store, campaigns, ids, pinned, wake, metrics }
    }

    /// Grants what these have earned. The users are locked, and were before anything was read. Says how many
    /// rewards there are now that were not there before, by whether people have to look at them.
    pub async fn grant(
        &self,
        transaction: &Prepared<'_>,
        reached: &[Reached<'_>],
    ) -> Result<Granted, Error> {
        let owed = self.owed(transaction, reached).await?;
        self.grant_owed(transaction, ACTOR, owed).await
    }

    /// Grants what triggers have earned that were told before their binding was made.
    pub async fn grant_late(&self, trigger_ids: &[i64]) -> Result<Granted, Error> {
        let mut connection = self.store.rewards().await?;
        let transaction = connection.transaction().await?;
        let told = rows::told(&transaction, trigger_ids).await?;
        let users = told.iter().map(|it| LockKey::user(&it.campaign, &it.user));
        user_locks::take(&transaction, users).await?;
        let reached: Vec<Reached<'_>> = told
            .iter()
            .map(|it| Reached {
                trigger_id: it.id,
                campaign: &it.campaign,
                kind: &it.kind,
                user: &it.user,
                occurred_at: it.occurred_at,
            })
            .collect();
        let granted = self.grant(&transaction, &reached).await?;
        transaction.commit().await?;
        self.count(granted);
        Ok(granted)
    }

    /// Counts what was granted, once it is committed, and tells the engine.
    pub fn count(&self, granted: Granted) {
        if granted.created > 0 {
            self.wake.notify_one();
        }
        let moves = &self.metrics.rewards.moves;
        for (event, count) in [("grant", granted.created), ("hold", granted.held)] {
            if count > 0 {
                moves.with_label_values(&[event]).inc_by(count);
            }
        }
    }

    /// What these have earned by the promises of their bindings.
    async fn owed(
        &self,
        transaction: &Prepared<'_>,
        reached: &[Reached<'_>],
    ) -> Result<Vec<Owed>, Error> {
        let users: Vec<_> = reached.iter().map(|it| (it.campaign, it.user)).collect();
        if users.is_empty() {
            return Ok(Vec::new());
        }
        let bindings = rows::bindings(transaction, &users).await?;
        let mut owed = Vec::new();
        for (reached, bound) in reached.iter().zip(bindings) {
            let Some(bound) = bound else { continue };
            let said = self.pinned.get(transaction, reached.campaign, bound.version).await?;
            owed.extend(rationing::owed(reached, &bound, &said));
        }
        Ok(owed)
    }

    /// Grants what is owed, as far as cap and budget go; the rest waits for people. Whatever there is a reward
    /// for already is left out.
    pub async fn grant_owed(
        &self,
        transaction: &Prepared<'_>,
        actor: &str,
        mut owed: Vec<Owed>,
    ) -> Result<Granted, Error> {
        if owed.is_empty() {
            return Ok(Granted::default());
        }
        let invitees: Vec<_> =
            owed.iter().map(|it| (&it.key.campaign, it.key.invitee.as_str())).collect();
        let mut seen: HashSet<Key> =
            rows::existing(transaction, &invitees).await?.into_keys().collect();
        owed.retain(|it| planted(Bug::MissingUniqueKey) || seen.insert(it.key.clone()));
        if owed.is_empty() {
            return Ok(Granted::default());
        }
        let counting: Vec<_> = owed
            .iter()
            .filter(|it| it.key.side == Side::Inviter && !it.held)
            .map(|it| (&it.key.campaign, it.beneficiary.as_str()))
            .collect();
        let tallies = if counting.is_empty() {
            HashMap::new()
        } else {
            rows::lock_tallies(transaction, &counting).await?
        };
        let mut campaigns: Vec<&CampaignId> = owed.iter().map(|it| &it.key.campaign).collect();
        campaigns.sort_unstable();
        campaigns.dedup();
        let budgets = rows::lock_budgets(transaction, &campaigns).await?;
        let mut rationing = Rationing::new(tallies, budgets);
        let rewards: Vec<NewReward> = owed
            .iter()
            .map(|it| {
                let held = rationing.judge(it, self.cap(it));
                self.begun(it, held)
            })
            .collect();
        let counted: Vec<Counted<'_>> = rationing
            .counted()
            .iter()
            .map(|((campaign, inviter), (more, cap))| Counted {
                campaign,
                inviter,
                more: *more,
                cap: *cap,
            })
            .collect();
        if !counted.is_empty() {
            rows::count(transaction, &counted).await?;
        }
        rows::insert(transaction, actor, &rewards).await?;
        let held = rewards.iter().filter(|it| it.held.is_some()).count();
        let number = |count: usize| u64::try_from(count).unwrap_or(u64::MAX);
        Ok(Granted { created: number(rewards.len() - held), held: number(held) })
    }

    /// How many rewards an inviter may have: by what the campaign says now, since caps are changed live.
    fn cap(&self, owed: &Owed) -> i32 {
        let campaigns = self.campaigns.borrow();
        let current = campaigns.named(owed.key.campaign.as_str());
        rationing::cap(current.map_or(&*owed.version.1, |current| &current.campaign))
    }

    fn begun(&self, owed: &Owed, held: Option<&'static str>) -> NewReward {
        let (version, said) = &owed.version;
        let key = &owed.key;
        let earned = said.earned(&key.kind, key.side).expect("only what earns is owed");
        let currency = said.currency.code();
        let asks = earned.payment_service_up_to_minor.filter(|_| held.is_none());
        let draw = asks.map(|most| {
            let name = RewardKey {
                campaign: &key.campaign,
                invitee: &key.invitee,
                kind: &key.kind,
                side: key.side,
            };
            self.ids.operation(&name, StepKind::Draw, &owed.beneficiary, (currency, most))
        });
        NewReward {
            key: key.clone(),
            version: *version,
            beneficiary: owed.beneficiary.clone(),
            trigger_id: owed.trigger_id,
            currency: currency.to_owned(),
            most_minor: earned.most_minor(),
            held,
            draw,
        }
    }
}

/// How many rewards began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Granted {
    /// On their way.
    pub created: u64,
    /// Waiting for people.
    pub held: u64,
}

impl Granted {
    /// Both.
    pub fn all(self) -> u64 {
        self.created + self.held
    }
}

/// Sets what every active campaign may spend to what its version says, where that was never done.
pub async fn fund_all(store: &Store, campaigns: &Campaigns) -> Result<(), Error> {
    let mut connection = store.connection().await?;
    let transaction = connection.transaction().await?;
    let mut all: Vec<_> = campaigns.all().collect();
    all.sort_unstable_by(|one, other| one.id.cmp(&other.id));
    for current in all {
        books::fund_first(&transaction, &current.id, current.campaign.budget_minor).await?;
    }
    transaction.commit().await?;
    Ok(())
}
