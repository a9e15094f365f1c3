//! The services of rewards, put together.

use std::sync::Arc;

use tokio::sync::{Notify, watch};

use super::compensations::service::Compensations;
use super::compensations::service::execution::Execution;
use super::desk::service::Desk;
use super::explain::service::Explainer;
use super::granting::Granting;
use super::operation::OperationIds;
use crate::campaign::live::Campaigns;
use crate::campaign::pinned::Pinned;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::store::Store;

/// What they work with.
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The campaigns as they are now.
    pub campaigns: watch::Receiver<Arc<Campaigns>>,
    /// Grants what was earned.
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

/// See the module.
#[derive(Debug)]
pub struct Services {
    /// Finds rewards, and does what people decide about them.
    pub desk: Desk,
    /// Says why somebody has, or has not, earned something.
    pub explainer: Explainer,
    /// Grants by hand what was owed.
    pub compensations: Compensations,
}

impl Services {
    /// Services for these rewards.
    pub fn new(parts: Parts) -> Self {
        let Parts { store, campaigns, granting, ids, pinned, wake, clock, metrics } = parts;
        let execution = Execution {
            campaigns: campaigns.clone(),
            granting,
            ids: ids.clone(),
            pinned: Arc::clone(&pinned),
            wake: Arc::clone(&wake),
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
        };
        Self {
            explainer: Explainer::new(store.clone(), campaigns.clone(), Arc::clone(&pinned)),
            compensations: Compensations::new(
                store.clone(),
                campaigns.clone(),
                Arc::clone(&pinned),
                execution,
            ),
            desk: Desk::new(store, campaigns, (ids, pinned), (wake, clock, metrics)),
        }
    }
}
