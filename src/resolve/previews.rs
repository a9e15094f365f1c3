//! What programs that render previews are shown of a link. Few ask for it, so it does not travel with
//! the link: it is read from PostgreSQL when one does, and remembered for the link's version.

use std::sync::Arc;

use moka::sync::Cache;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::breaker::Breaker;
use crate::link::LinkKey;
use crate::store::Store;
use crate::store::redirects::{self, Preview};

/// Links whose previews are remembered.
const REMEMBERED: u64 = 10_000;

/// Finds what there is to show.
pub struct Previews {
    store: Store,
    breaker: Arc<Breaker>,
    /// Statements that may be under way, those for limited links included.
    free: Arc<Semaphore>,
    known: Cache<(LinkKey, u64), Arc<Preview>>,
    runtime: Handle,
}

impl Previews {
    /// Statements run on the current runtime.
    pub(super) fn new((store, breaker, free): (Store, Arc<Breaker>, Arc<Semaphore>)) -> Self {
        let known = Cache::new(REMEMBERED);
        Self { store, breaker, free, known, runtime: Handle::current() }
    }

    /// What to show of a link in this version; `None` when nobody can be asked, or it has changed.
    pub async fn find(&self, key: &LinkKey, version: u64) -> Option<Arc<Preview>> {
        let place = (key.clone(), version);
        if let Some(known) = self.known.get(&place) {
            return Some(known);
        }
        let permit = Arc::clone(&self.free).acquire_owned().await.expect("never closed");
        if self.breaker.is_open() {
            return None;
        }
        let (store, wanted) = (self.store.clone(), key.clone());
        // In a task of its own: a client that goes away must not drop a query half-way.
        let asked = self.runtime.spawn(async move {
            let found = redirects::find_preview(&store, &wanted, version).await;
            drop(permit);
            found
        });
        match asked.await.ok()? {
            Ok(found) => {
                self.breaker.succeeded();
                let found = Arc::new(found?);
                self.known.insert(place, Arc::clone(&found));
                Some(found)
            }
            Err(error) => {
                if error.is_outage() {
                    self.breaker.failed(&error);
                } else {
                    tracing::error!(%error, "a preview cannot be read");
                }
                None
            }
        }
    }
}
