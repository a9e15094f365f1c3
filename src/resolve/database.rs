//! Tier 3: PostgreSQL. Look-ups that come while others are under way are gathered into one
//! statement: twice the links a second, measured, at no cost to a look-up that comes alone.

use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::allowance::Allowance;
use super::previews::Previews;
use crate::breaker::Breaker;
use crate::clock::Stopwatch;
use crate::link::{LinkKey, Redirect};
use crate::metrics::Metrics;
use crate::store::{self, Store, redirects};

/// Look-ups that may wait; more are refused at once.
const WAITING: usize = 16_384;
/// Links in one statement.
const GATHERED: usize = 256;

/// Nobody could be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable;

struct Wanted {
    key: LinkKey,
    answer: oneshot::Sender<Result<Option<Redirect>, Unavailable>>,
}

/// The third tier.
pub struct Database {
    queue: mpsc::Sender<Wanted>,
    breaker: Arc<Breaker>,
    allowance: Arc<Allowance>,
    previews: Previews,
}

impl Database {
    /// Starts the task that gathers; it ends when this is dropped.
    pub fn start(store: Store, connections: usize, metrics: Arc<Metrics>) -> Self {
        let (queue, wanted) = mpsc::channel(WAITING);
        let breaker = Arc::new(Breaker::closed("postgres"));
        // With a statement for each limited link, many of them at once would leave no connection for
        // look-ups, and waiting for one would look like an outage.
        let aside = Arc::new(Semaphore::new((connections / 2).max(1)));
        let asking = (store.clone(), Arc::clone(&breaker), aside);
        let allowance = Arc::new(Allowance::new(asking.clone()));
        let previews = Previews::new(asking);
        let asker = Asker { store, breaker: Arc::clone(&breaker), metrics };
        drop(tokio::spawn(gather(wanted, asker, connections)));
        Self { queue, breaker, allowance, previews }
    }

    /// For links that can be opened only so often.
    pub fn allowance(&self) -> &Arc<Allowance> {
        &self.allowance
    }

    /// For programs that render previews.
    pub fn previews(&self) -> &Previews {
        &self.previews
    }

    /// Whether PostgreSQL is asked at all.
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// Finds a link.
    pub async fn find(&self, key: &LinkKey) -> Result<Option<Redirect>, Unavailable> {
        if self.breaker.is_open() {
            return Err(Unavailable);
        }
        let (answer, found) = oneshot::channel();
        self.queue
            .try_send(Wanted { key: key.clone(), answer })
            .map_err(|_full_or_stopped| Unavailable)?;
        found.await.unwrap_or(Err(Unavailable))
    }
}

#[derive(Clone)]
struct Asker {
    store: Store,
    breaker: Arc<Breaker>,
    metrics: Arc<Metrics>,
}

/// One statement for each free connection; what comes meanwhile goes into the next.
async fn gather(mut wanted: mpsc::Receiver<Wanted>, asker: Asker, connections: usize) {
    let free = Arc::new(Semaphore::new(connections));
    loop {
        let permit = Arc::clone(&free).acquire_owned().await.expect("never closed");
        let mut some = Vec::new();
        if wanted.recv_many(&mut some, GATHERED).await == 0 {
            return;
        }
        let asker = asker.clone();
        drop(tokio::spawn(async move {
            asker.ask(some).await;
            drop(permit);
        }));
    }
}

impl Asker {
    async fn ask(&self, wanted: Vec<Wanted>) {
        let (keys, answers): (Vec<LinkKey>, Vec<_>) =
            wanted.into_iter().map(|wanted| (wanted.key, wanted.answer)).unzip();
        // Those that queued up before the breaker opened need not wait for the same outage.
        let outcome = if self.breaker.is_open() {
            Err(Unavailable)
        } else {
            let watch = Stopwatch::start();
            let outcome = redirects::find_redirects(&self.store, &keys).await;
            self.metrics
                .load_seconds
                .with_label_values(&["postgres"])
                .observe(watch.elapsed().as_secs_f64());
            outcome.map_err(|error| self.note(&error))
        };
        if outcome.is_ok() {
            self.breaker.succeeded();
        }
        let found = outcome.map_or_else(
            |unavailable| keys.iter().map(|_| Err(unavailable)).collect::<Vec<_>>(),
            |found| found.into_iter().map(Ok).collect(),
        );
        for (answer, found) in answers.into_iter().zip(found) {
            // Who asked may have gone.
            drop(answer.send(found));
        }
    }

    fn note(&self, error: &store::Error) -> Unavailable {
        if error.is_outage() {
            self.breaker.failed(error);
        } else {
            tracing::error!(%error, "links cannot be read");
        }
        Unavailable
    }
}
