//! Triggers: backends tell what users reached. Each event is stored once, whatever happens on the way.

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
use crate::store::triggers::{self, NewTrigger, Put};
use crate::store::user_locks::{self, LockKey};
use crate::store::{self, Store};

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
    Store(#[from] store::Error),
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
    store: Store,
    campaigns: watch::Receiver<Arc<Campaigns>>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl TriggerService {
    /// A service for these campaigns.
    pub fn new(
        store: Store,
        campaigns: watch::Receiver<Arc<Campaigns>>,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self { store, campaigns, clock, metrics }
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
            campaign: &current.id,
            source: &source,
            event_id: &request.event_id,
            kind: &request.kind,
            user: &request.user,
            occurred_at,
            received_at,
            body_hash: Sha256::digest(canonical).into(),
            body: &body,
        };
        let user = LockKey::user(&current.id, &request.user);
        let _turn = self.store.turns().next(user).await?;
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        user_locks::take(&transaction, [user]).await?;
        let put = if current.state == State::Retired {
            // Whoever repeats what was stored in time is still answered.
            triggers::find(&transaction, &new).await?.ok_or(Error::Retired)?
        } else {
            triggers::put(&transaction, &new).await?
        };
        transaction.commit().await.map_err(store::Error::from)?;
        let (id, received_at, new) = match put {
            Put::Stored(id, at) => (id, at, true),
            Put::Known(id, at) => (id, at, false),
            Put::Differs => return Err(Error::Differs),
        };
        Ok(Taken { id, source, occurred_at, received_at, new })
    }
}
