//! The services of rewards, put together.

use std::sync::Arc;

use tokio::sync::{Notify, watch};

use super::desk::service::Desk;
use super::explain::service::Explainer;
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
}

impl Services {
    /// Services for these rewards.
    pub fn new(parts: Parts) -> Self {
        let Parts { store, campaigns, ids, pinned, wake, clock, metrics } = parts;
        Self {
            explainer: Explainer::new(store.clone(), campaigns.clone(), Arc::clone(&pinned)),
            desk: Desk::new(store, campaigns, (ids, pinned), (wake, clock, metrics)),
        }
    }
}
