//! From a slug to a redirect: the process's own cache ([`local`], with a [`front`] for each serving
//! thread), then Redis ([`shared`]), then PostgreSQL ([`database`]).
//!
//! The way of a hit ends in [`front::Front::find`]. Everything slower is here: one load for each key
//! at a time, in a task of its own, so that a client that goes away cancels nobody's answer.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::clock::Stopwatch;
use crate::link::LinkKey;
use crate::metrics::{Metrics, Said, Tier};
use database::{Database, Unavailable};
use local::{Entry, Local};
use record::Field;
use shared::Shared;

pub mod allowance;
pub mod announce;
pub mod database;
pub mod dictionary;
pub mod feed;
pub mod front;
pub mod learning;
pub mod local;
pub mod previews;
pub mod record;
pub mod shared;
pub mod stock;

/// Keys in one question of a refresh.
const REFRESHED: usize = 256;

/// Keys that are loaded at a time; more are refused.
const FLIGHTS: usize = 16_384;

/// What was read longer ago than this is not written to Redis any more: an edit may have come and
/// gone in between.
const FILL_WITHIN: Duration = Duration::from_millis(500);

/// What is behind a slug.
#[derive(Clone, Debug)]
pub enum Resolved {
    /// A link.
    Link(Arc<Entry>),
    /// A link that should have been asked about, but nobody answered.
    Stale(Arc<Entry>),
    /// Nothing.
    Missing,
    /// Nobody could be asked, and nothing is remembered.
    Unavailable,
}

/// Those who wait for the same key.
type Waiting = Vec<oneshot::Sender<Resolved>>;

/// Finds what is behind a slug when the first tier does not know, or must not be believed.
pub struct Resolver {
    local: Arc<Local>,
    shared: Option<Arc<Shared>>,
    database: Database,
    flights: Mutex<HashMap<LinkKey, Waiting>>,
    runtime: Handle,
    metrics: Arc<Metrics>,
}

impl Resolver {
    /// Puts the tiers together; loads run on the current runtime.
    pub fn new(
        local: Arc<Local>,
        shared: Option<Arc<Shared>>,
        database: Database,
        metrics: Arc<Metrics>,
    ) -> Self {
        let flights = Mutex::new(HashMap::new());
        Self { local, shared, database, flights, runtime: Handle::current(), metrics }
    }

    /// The first tier.
    pub fn local(&self) -> &Local {
        &self.local
    }

    /// The second tier, if there is one.
    pub fn shared(&self) -> Option<&Shared> {
        self.shared.as_deref()
    }

    /// The third tier.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Loads a key, or waits for the load that is under way. `doubtful` is what is served when nobody
    /// can be asked.
    pub async fn load(self: &Arc<Self>, key: LinkKey, doubtful: Option<Arc<Entry>>) -> Resolved {
        let (waiter, answer) = oneshot::channel();
        self.join(key.clone(), Some(waiter));
        match (answer.await.unwrap_or(Resolved::Unavailable), doubtful) {
            (Resolved::Unavailable, Some(entry)) => {
                Resolved::Stale(self.local.make_do(&key, entry))
            }
            (resolved, _) => resolved,
        }
    }

    /// Loads a key from PostgreSQL, whatever the tiers before it say: it is known that they are behind.
    pub async fn load_from_database(&self, key: &LinkKey) -> Resolved {
        let stamp = self.local.stamp(key);
        match self.database.find(key).await {
            Ok(Some(link)) => {
                self.local.keep(key, &link, stamp).map_or(Resolved::Missing, Resolved::Link)
            }
            Ok(None) => {
                self.local.keep_missing(key, stamp);
                Resolved::Missing
            }
            Err(Unavailable) => Resolved::Unavailable,
        }
    }

    /// Loads keys again in the background; the answers are kept when they come. Many at a time take
    /// one question: what is in use is asked about every ten seconds.
    pub fn refresh(self: &Arc<Self>, keys: Vec<LinkKey>) {
        let resolver = Arc::clone(self);
        drop(self.runtime.spawn(async move {
            for some in keys.chunks(REFRESHED) {
                for key in resolver.refresh_from_shared(some).await {
                    resolver.join(key, None);
                }
            }
        }));
    }

    /// Believes again the links whose version in Redis is the same; answers the others, which have to
    /// be asked about one by one.
    async fn refresh_from_shared(&self, keys: &[LinkKey]) -> Vec<LinkKey> {
        let Some(shared) = self.shared.as_ref().filter(|shared| !shared.breaker().is_open()) else {
            return keys.to_vec();
        };
        let stamps: Vec<_> = keys.iter().map(|key| self.local.stamp(key)).collect();
        let Ok(versions) = shared.versions(keys).await else { return keys.to_vec() };
        let mut left = Vec::new();
        for ((key, stamp), version) in keys.iter().zip(stamps).zip(versions) {
            let is_the_same =
                version.is_some_and(|version| self.local.keep_version(key, version, stamp));
            if !is_the_same {
                left.push(key.clone());
            }
        }
        let found = u64::try_from(keys.len() - left.len()).unwrap_or(0);
        self.metrics.resolved_many(Tier::Redis, Said::Hit, found);
        left
    }

    /// Joins the flight of a key; the first one takes off.
    fn join(self: &Arc<Self>, key: LinkKey, waiter: Option<oneshot::Sender<Resolved>>) {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        let full = flights.len() >= FLIGHTS;
        match flights.entry(key.clone()) {
            Slot::Occupied(mut flight) => flight.get_mut().extend(waiter),
            // The waiter is dropped, and its owner finds that nobody could be asked.
            Slot::Vacant(_) if full => {}
            Slot::Vacant(slot) => {
                slot.insert(waiter.into_iter().collect());
                drop(flights);
                let flight = Flight { resolver: Arc::clone(self), key, landed: false };
                drop(self.runtime.spawn(flight.fly()));
            }
        }
    }

    async fn find(self: &Arc<Self>, key: &LinkKey) -> Resolved {
        let stamp = self.local.stamp(key);
        let began = Stopwatch::start();
        let mut buried = false;
        match self.ask_shared(key).await {
            Some(Field::Link(link)) => {
                return self
                    .local
                    .keep(key, &link, stamp)
                    .map_or(Resolved::Missing, Resolved::Link);
            }
            Some(Field::Tombstone { version: _ }) => buried = true,
            Some(Field::Overflow { version: _ }) | None => {}
        }
        let found = self.database.find(key).await;
        self.metrics.resolved(
            Tier::Postgres,
            match &found {
                Ok(Some(_)) => Said::Hit,
                Ok(None) => Said::Missing,
                Err(Unavailable) => Said::Error,
            },
        );
        match found {
            Ok(Some(link)) => {
                let kept = self.local.keep(key, &link, stamp);
                if let Some(shared) = self.shared.clone()
                    && !shared.breaker().is_open()
                    && began.elapsed() < FILL_WITHIN
                {
                    let key = key.clone();
                    drop(tokio::spawn(async move {
                        if let Err(error) = shared.put(&key, &link).await {
                            tracing::debug!(%error, "a link was not written to Redis");
                        }
                    }));
                }
                kept.map_or(Resolved::Missing, Resolved::Link)
            }
            Ok(None) => {
                self.local.keep_missing(key, stamp);
                Resolved::Missing
            }
            // The database cannot confirm it, but the link is known to have been deleted.
            Err(Unavailable) if buried => Resolved::Missing,
            Err(Unavailable) => Resolved::Unavailable,
        }
    }

    async fn ask_shared(&self, key: &LinkKey) -> Option<Field> {
        let shared = self.shared.as_ref().filter(|shared| !shared.breaker().is_open())?;
        let watch = Stopwatch::start();
        let answer = shared.get(key).await;
        self.metrics
            .load_seconds
            .with_label_values(&["redis"])
            .observe(watch.elapsed().as_secs_f64());
        let said = match &answer {
            Ok(Some(Field::Link(_))) => Said::Hit,
            Ok(_) => Said::Missing,
            Err(_) => Said::Error,
        };
        self.metrics.resolved(Tier::Redis, said);
        answer.unwrap_or_else(|error| {
            tracing::debug!(%error, "Redis did not help");
            None
        })
    }
}

/// One load under way. However it ends, even by a panic, those who wait are let go.
struct Flight {
    resolver: Arc<Resolver>,
    key: LinkKey,
    /// From then on the key may be in another flight, which is none of this one's business.
    landed: bool,
}

impl Flight {
    async fn fly(mut self) {
        let resolved = self.resolver.find(&self.key).await;
        for waiter in self.land() {
            // Who asked may have gone.
            drop(waiter.send(resolved.clone()));
        }
    }

    fn land(&mut self) -> Waiting {
        if std::mem::replace(&mut self.landed, true) {
            return Waiting::new();
        }
        let mut flights = self.resolver.flights.lock().unwrap_or_else(PoisonError::into_inner);
        flights.remove(&self.key).unwrap_or_default()
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        drop(self.land());
    }
}
