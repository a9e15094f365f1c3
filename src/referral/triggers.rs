//! Triggers: backends tell what users reached. Each event is stored once, with the rewards that it earns, and
//! answered for after that is committed.
//!
//! Triggers that come at the same time are stored in one transaction.

use std::sync::Arc;

use jiff::Timestamp;
use sha2::{Digest, Sha256};
use tokio::sync::watch;

use super::requests::{JudgedTrigger, TriggerRequest};
use crate::campaign::State;
use crate::campaign::live::{Campaigns, Current};
use crate::clock::Clock;
use crate::fault::Fault;
use crate::metrics::Metrics;
use crate::reward::granting::Granting;
use crate::store::triggers::NewTrigger;
use crate::store::{self, Store};

use group::{Groups, Waiting};

mod group;

/// Why a trigger was not taken.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such campaign.
    #[error("there is no campaign of this name that is or was active")]
    NoCampaign,
    /// Fields are wrong.
    #[error("the request is not valid")]
    Invalid(Vec<Fault>),
    /// The event was told before, and not like this.
    #[error(
        "this source has sent another event under this 'event_id'; an event never changes: give \
         what is new a name of its own"
    )]
    Differs,
    /// The campaign was retired.
    #[error("the campaign was retired: it takes no more triggers")]
    Retired,
    /// The database.
    #[error(transparent)]
    Store(#[from] Arc<store::Error>),
}

/// A trigger that is stored, and whether it was stored just now.
#[derive(Clone, Debug, PartialEq)]
pub struct Taken {
    /// Its number.
    pub id: i64,
    /// Who told it.
    pub source: String,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When it was first told.
    pub received_at: Timestamp,
    /// Whether it is new.
    pub new: bool,
}

/// See the module.
#[derive(Debug)]
pub struct TriggerService {
    campaigns: watch::Receiver<Arc<Campaigns>>,
    groups: Arc<Groups>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl TriggerService {
    /// A service for these campaigns, whose rewards `granting` grants.
    pub fn new(
        store: Store,
        campaigns: watch::Receiver<Arc<Campaigns>>,
        granting: Arc<Granting>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        let groups = Arc::new(Groups::new(store, granting, Arc::clone(&metrics)));
        Self { campaigns, groups, clock, metrics }
    }

    /// Takes a trigger. It is answered for only after it is stored.
    pub async fn take(
        &self,
        campaign: &str,
        actor: &str,
        request: &TriggerRequest,
    ) -> Result<Taken, Error> {
        let campaigns = Arc::clone(&self.campaigns.borrow());
        let current = campaigns.named(campaign);
        let outcome = match current {
            Some(current) => self.try_take(current, actor, request).await,
            None => Err(Error::NoCampaign),
        };
        let label = match &outcome {
            Ok(taken) if taken.new => "stored",
            Ok(_) => "replayed",
            Err(Error::NoCampaign | Error::Invalid(_)) => "invalid",
            Err(Error::Differs) => "differs",
            Err(Error::Retired) => "retired",
            Err(Error::Store(_)) => "error",
        };
        // Only kinds that a campaign knows, of which there are few, become labels.
        let knows = |current: &Arc<Current>| current.campaign.knows_trigger(&request.kind);
        let kind = if current.is_some_and(knows) { request.kind.as_str() } else { "unknown" };
        self.metrics.referrals.triggers.with_label_values(&[kind, label]).inc();
        outcome
    }

    async fn try_take(
        &self,
        current: &Current,
        actor: &str,
        request: &TriggerRequest,
    ) -> Result<Taken, Error> {
        let received_at = Timestamp::from(self.clock.now());
        let judged = request.judge(actor, &current.campaign, received_at);
        let JudgedTrigger { source, occurred_at, body, canonical } =
            judged.map_err(Error::Invalid)?;
        let new = NewTrigger {
            campaign: current.id.clone(),
            source: source.clone(),
            event_id: request.event_id.clone(),
            kind: request.kind.clone(),
            user: request.user.clone(),
            occurred_at,
            received_at,
            body_hash: Sha256::digest(canonical).into(),
            body,
        };
        let retired = current.state == State::Retired;
        let (id, received_at, new) = self.groups.put(Waiting { new, retired }).await?;
        Ok(Taken { id, source, occurred_at, received_at, new })
    }
}
