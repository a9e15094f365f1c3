//! Telling everybody that links changed: first the shared cache, then every process.
//!
//! An edit or a deletion leaves a row in `link_outbox`, in its own transaction. [`Announcer::changed`]
//! carries the outbox out at once; whatever fails stays there and is carried out by the loop of every
//! `waypost serve`. So a Redis that was away never comes back with an old target and keeps it.

use std::sync::Arc;

use super::local::Local;
use super::shared::{self, Shared};
use crate::link::LinkKey;
use crate::store::redirects::{self, Change};
use crate::store::{self, Store};

/// Changes carried out at a time.
const SOME: usize = 500;
/// After so many refusals the rest waits.
const ENOUGH: usize = 3;

/// Why changes still wait.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The outbox cannot be read.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The shared cache did not take them.
    #[error(transparent)]
    Shared(#[from] shared::Error),
}

/// Carries changes of links to whoever caches them.
#[derive(Clone)]
pub struct Announcer {
    store: Store,
    local: Option<Arc<Local>>,
    shared: Option<Arc<Shared>>,
}

impl std::fmt::Debug for Announcer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Announcer").finish_non_exhaustive()
    }
}

impl Announcer {
    /// An announcer; `local` is the cache of this process, if it has one.
    pub fn new(store: Store, local: Option<Arc<Local>>, shared: Option<Arc<Shared>>) -> Self {
        Self { store, local, shared }
    }

    /// Links were made: nobody needs to believe any longer that they are missing. Best effort: a
    /// message that is lost costs the few seconds for which a missing slug is remembered.
    pub async fn created(&self, keys: &[LinkKey]) {
        self.doubt(keys);
        if let Some(shared) = &self.shared
            && let Err(error) = shared.publish(keys).await
        {
            tracing::debug!(%error, "new links were not announced");
        }
    }

    /// Links were edited or deleted, and their rows stand in the outbox: carries it out.
    pub async fn changed(&self, keys: &[LinkKey]) {
        self.doubt(keys);
        if let Err(error) = self.carry_out_some().await {
            tracing::warn!(%error, "a change of a link waits until the shared cache can take it");
        }
        // Whoever looked between the commit and the write has the old target again.
        self.doubt(keys);
    }

    fn doubt(&self, keys: &[LinkKey]) {
        if let Some(local) = &self.local {
            for key in keys {
                local.doubt(key);
            }
        }
    }

    /// Carries out everything that waits.
    pub async fn carry_out_all(&self) -> Result<(), Error> {
        while self.carry_out_some().await? == SOME {}
        Ok(())
    }

    /// Writes some changes to the shared cache and announces them; answers how many it found.
    async fn carry_out_some(&self) -> Result<usize, Error> {
        let Some(shared) = &self.shared else { return Ok(0) };
        let limit = i64::try_from(SOME).unwrap_or(i64::MAX);
        let changes = redirects::pending_changes(&self.store, limit).await?;
        if changes.is_empty() {
            return Ok(0);
        }
        let found = changes.len();
        let (mut written, mut refused) = (Vec::new(), Vec::new());
        for change in changes {
            let Change { key, version, redirect } = &change;
            let outcome = match redirect {
                Some(link) => shared.put(key, link).await,
                None => shared.bury(key, *version).await,
            };
            match outcome {
                Ok(()) => written.push(change),
                Err(error) => {
                    // It may well be read and still refuse writes: full, or a replica. What it has
                    // of this link is out of date, so nobody asks it until it has taken the change.
                    shared.breaker().trip(&error);
                    refused.push(error);
                }
            }
            // One node of a cluster that is away does not hold up the others' changes.
            if refused.len() >= ENOUGH {
                break;
            }
        }
        let keys: Vec<LinkKey> = written.iter().map(|change| change.key.clone()).collect();
        if !keys.is_empty() {
            shared.publish(&keys).await?;
            redirects::settle_changes(&self.store, &written).await?;
        }
        match refused.pop() {
            Some(error) => Err(error.into()),
            None => Ok(found),
        }
    }
}
