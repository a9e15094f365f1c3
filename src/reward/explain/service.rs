//! Explains, from what is stored. Everything is found by an index, and every list has a bound.

use std::sync::Arc;

use tokio::sync::watch;

use super::chain::{BindingLink, Story, TriggerLink, Way};
use super::{Counted, Finding, Invitee, Standing, of_inviter};
use crate::campaign::Version;
use crate::campaign::live::{Campaigns, Current};
use crate::campaign::pinned::Pinned;
use crate::review::case::SubjectRef;
use crate::review::flow::Subject;
use crate::reward::machine::Side;
use crate::store::review::list::{self, Listed};
use crate::store::rewards::desk::StoredReward;
use crate::store::rewards::{desk, explain};
use crate::store::{self, Prepared, Store};

/// Why nothing was explained.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such reward.
    #[error("there is no reward {0}")]
    NoReward(i64),
    /// There is no such campaign.
    #[error("there is no campaign of this name that is or was active")]
    NoCampaign,
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// All about one reward.
#[derive(Clone, Debug, PartialEq)]
pub struct RewardChain {
    /// The reward as it is.
    pub reward: StoredReward,
    /// How its invitee came to be bound.
    pub way: Way,
    /// What it is owed for.
    pub trigger: Option<TriggerLink>,
    /// What became of it.
    pub story: Story,
    /// The latest case about it.
    pub case: Option<Listed>,
}

/// All about one user.
#[derive(Clone, Debug, PartialEq)]
pub struct UserChain {
    /// Why the user has, or has not, earned something.
    pub findings: Vec<Finding>,
    /// The code that the user shares.
    pub code: Option<String>,
    /// How the user came to be bound.
    pub way: Way,
    /// The latest trigger of each kind that the user reached.
    pub triggers: Vec<TriggerLink>,
    /// How many rewards the user has as an inviter.
    pub counted: Counted,
    /// Whom the user invited, the latest first; up to [`explain::MOST_INVITEES`].
    pub invitees: Vec<BindingLink>,
    /// What the user gets, and what the user's own binding brought anybody, the latest first; up to
    /// [`explain::MOST_REWARDS`].
    pub rewards: Vec<StoredReward>,
}

/// See the module.
#[derive(Debug)]
pub struct Explainer {
    store: Store,
    campaigns: watch::Receiver<Arc<Campaigns>>,
    pinned: Arc<Pinned>,
}

impl Explainer {
    /// An explainer of these campaigns.
    pub fn new(
        store: Store,
        campaigns: watch::Receiver<Arc<Campaigns>>,
        pinned: Arc<Pinned>,
    ) -> Self {
        Self { store, campaigns, pinned }
    }

    /// The chain from the click to where the reward stands.
    pub async fn reward(&self, id: i64) -> Result<RewardChain, Error> {
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        explain::by_index_only(&transaction).await?;
        let reward = desk::find(&transaction, id).await?.ok_or(Error::NoReward(id))?;
        let way = explain::way(&transaction, &reward.campaign, &reward.invitee).await?;
        let trigger = match reward.trigger_id {
            Some(trigger) => explain::trigger(&transaction, trigger).await?,
            None => None,
        };
        let story = explain::story(&transaction, id).await?;
        let subject = SubjectRef { subject: Subject::Reward, key: id.to_string() };
        let case = list::latest(&transaction, &subject).await?;
        Ok(RewardChain { reward, way, trigger, story, case })
    }

    /// Why a user has, or has not, earned something, as an invitee and as an inviter.
    pub async fn user(&self, campaign: &str, user: &str) -> Result<UserChain, Error> {
        let campaigns = Arc::clone(&self.campaigns.borrow());
        let current = campaigns.named(campaign).ok_or(Error::NoCampaign)?;
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        explain::by_index_only(&transaction).await?;
        let id = &current.id;
        let way = explain::way(&transaction, id, user).await?;
        let code = explain::code(&transaction, id, user).await?;
        let invitees = explain::invitees(&transaction, id, user).await?;
        let counted = explain::tally(&transaction, id, user).await?;
        let cap = i32::try_from(current.campaign.caps.rewards_per_inviter).unwrap_or(i32::MAX);
        let counted = Counted { cap, ..counted };
        let mut users: Vec<&str> = vec![user];
        users.extend(invitees.iter().map(|binding| binding.invitee.as_str()));
        let triggers = explain::triggers(&transaction, id, &users).await?;
        let brought = explain::brought(&transaction, id, &users).await?;
        let seen = Seen { user, way: &way, invitees: &invitees, triggers: &triggers };
        let with = (&transaction, &*self.pinned);
        let mut findings = of_inviter(code.is_some(), !invitees.is_empty(), counted);
        findings.extend(seen.findings(with, current, &brought).await?);
        let rewards = explain::rewards_of(&transaction, id, user).await?;
        let triggers = triggers.into_iter().filter(|it| it.user == user).collect();
        Ok(UserChain { findings, code, way, triggers, counted, invitees, rewards })
    }
}

/// What was seen of a user and of the user's invitees.
struct Seen<'a> {
    user: &'a str,
    way: &'a Way,
    invitees: &'a [BindingLink],
    triggers: &'a [TriggerLink],
}

impl Seen<'_> {
    /// Why the bindings of the user and of the invitees have, or have not, brought something: to both
    /// sides by the user's own, to the inviter by the others.
    async fn findings(
        &self,
        (transaction, pinned): (&Prepared<'_>, &Pinned),
        current: &Current,
        brought: &[StoredReward],
    ) -> Result<Vec<Finding>, Error> {
        let own = (self.user, self.way.binding.as_ref(), &Side::ALL[..]);
        let others = self.invitees.iter();
        let others = others.map(|it| (it.invitee.as_str(), Some(it), &[Side::Inviter][..]));
        let mut findings = Vec::new();
        for (user, binding, sides) in std::iter::once(own).chain(others) {
            let version = binding.map_or(current.version, |it| Version(it.campaign_version));
            let triggers = self.triggers.iter().filter(|it| it.user == user);
            let rewards = brought.iter().filter(|it| it.invitee == user).map(standing);
            let invitee = Invitee {
                user,
                decisions: if user == self.user { &self.way.decisions } else { &[] },
                binding,
                promise: &*pinned.get(transaction, &current.id, version).await?,
                triggers: &triggers.cloned().collect::<Vec<_>>(),
                rewards: &rewards.collect::<Vec<_>>(),
            };
            findings.extend(invitee.findings(sides));
        }
        Ok(findings)
    }
}

/// Where a reward stands.
pub fn standing(reward: &StoredReward) -> Standing<'_> {
    Standing {
        id: reward.id,
        invitee: &reward.invitee,
        kind: &reward.kind,
        side: reward.side,
        state: reward.state,
        reason: reward.reason.as_deref(),
    }
}
