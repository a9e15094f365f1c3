//! Rewards: what grants them, and the loops that see to them.

use std::sync::Arc;

use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::{Error, Parts};
use crate::campaign::live::Campaigns;
use crate::campaign::pinned::Pinned;
use crate::metrics::Metrics;
use crate::reward::engine::{self, Engine};
use crate::reward::granting::{self, Granting};
use crate::reward::operation::OperationIds;
use crate::reward::payment::Payment;
use crate::store::{self, Store, secrets};

/// What the parts of the service share of them.
#[derive(Debug)]
pub struct Rewards {
    /// Grants what was earned.
    pub granting: Arc<Granting>,
    /// Names the operations of the payment service.
    pub ids: OperationIds,
    /// What was promised.
    pub pinned: Arc<Pinned>,
    /// Tells the engine of work that this process made.
    pub wake: Arc<Notify>,
}

/// Makes what grants rewards.
pub async fn assemble(
    store: &Store,
    campaigns: &watch::Receiver<Arc<Campaigns>>,
    metrics: &Arc<Metrics>,
) -> Result<Rewards, store::Error> {
    let key = secrets::get_or_make(store, secrets::OPERATIONS, &rand::random()).await?;
    let known = Arc::clone(&campaigns.borrow());
    granting::fund_all(store, &known).await?;
    let (ids, pinned, wake) = (OperationIds::new(&key), Arc::default(), Arc::default());
    let granting = Granting::new(
        store.clone(),
        campaigns.clone(),
        (ids.clone(), Arc::clone(&pinned)),
        (Arc::clone(&wake), Arc::clone(metrics)),
    );
    Ok(Rewards { granting: Arc::new(granting), ids, pinned, wake })
}

/// A loop that ends in order when it is told to.
pub(super) type Stoppable = (watch::Sender<bool>, JoinHandle<()>);

/// Starts the engine, if there is a payment service.
pub(super) fn start_engine(parts: &Arc<Parts>) -> Result<Option<Stoppable>, Error> {
    let Some(payment) = Payment::new(&parts.config)? else {
        if parts.campaigns.borrow().all().next().is_some() {
            tracing::warn!(
                "no payment service is set ([payment] url): rewards are granted, and wait"
            );
        }
        return Ok(None);
    };
    let settings = engine::Settings {
        lease: parts.config.rewards.lease,
        deadline: parts.config.payment.deadline,
        calls: parts.config.payment.calls,
    };
    if settings.lease <= settings.deadline.saturating_mul(2) {
        return Err(Error::Lease);
    }
    let engine = engine::Parts {
        store: parts.store.clone(),
        payment,
        ids: parts.rewards.ids.clone(),
        pinned: Arc::clone(&parts.rewards.pinned),
        wake: Arc::clone(&parts.rewards.wake),
        clock: parts.clock.clone(),
        metrics: Arc::clone(&parts.metrics),
    };
    let engine = Arc::new(Engine::new(engine, settings));
    let (stop, stopped) = watch::channel(false);
    Ok(Some((stop, tokio::spawn(engine.run(stopped)))))
}
