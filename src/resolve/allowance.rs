//! Links that can be opened only so often: PostgreSQL is asked before anybody is sent on.
//!
//! The requests of one process for one link are gathered: while a statement is under way, those that
//! come wait for the next one, which asks for all of them at once. Whoever is not told otherwise in
//! time is refused: after a time-out the click may have been used up, but never one too many.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

use crate::breaker::Breaker;
use crate::link::{LinkId, LinkKey};
use crate::store::redirects::{self, Granted};
use crate::store::{self, Store};

/// Requests that may wait, for all links together; more are refused.
const MOST_WAITING: usize = 65_536;

/// What a request wants of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// To open it, which uses one click up.
    Open,
    /// To know whether it can still be opened.
    Look,
}

/// What PostgreSQL says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It may.
    Granted,
    /// No click is left.
    UsedUp,
    /// The link has changed: it has to be loaded again.
    Outdated,
    /// Nobody could be asked.
    Unavailable,
}

/// Which link, in which version.
type Limited = (LinkKey, LinkId, u64);

struct Waiting {
    wish: Wish,
    answer: oneshot::Sender<Verdict>,
}

/// Those who wait for the next statement; a link is in here as long as one is under way.
#[derive(Default)]
struct Flights {
    waiting: HashMap<Limited, Vec<Waiting>>,
    count: usize,
}

/// Asks PostgreSQL for clicks.
pub struct Allowance {
    store: Store,
    breaker: Arc<Breaker>,
    /// Statements that may be under way, those of the previews included.
    free: Arc<Semaphore>,
    flights: Mutex<Flights>,
    runtime: Handle,
}

impl Allowance {
    /// Statements run on the current runtime.
    pub(super) fn new((store, breaker, free): (Store, Arc<Breaker>, Arc<Semaphore>)) -> Self {
        Self { store, breaker, free, flights: Mutex::default(), runtime: Handle::current() }
    }

    /// Whether the link may be opened by one more.
    pub async fn ask(
        self: &Arc<Self>,
        key: LinkKey,
        (link, version): (LinkId, u64),
        wish: Wish,
    ) -> Verdict {
        let (answer, verdict) = oneshot::channel();
        self.join((key, link, version), Waiting { wish, answer });
        verdict.await.unwrap_or(Verdict::Unavailable)
    }

    fn join(self: &Arc<Self>, limited: Limited, waiting: Waiting) {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        if flights.count >= MOST_WAITING {
            // The waiter is dropped, and its owner finds that nobody could be asked.
            return;
        }
        flights.count += 1;
        match flights.waiting.entry(limited) {
            Slot::Occupied(mut others) => others.get_mut().push(waiting),
            Slot::Vacant(slot) => {
                let limited = slot.key().clone();
                slot.insert(vec![waiting]);
                drop(flights);
                drop(self.runtime.spawn(Arc::clone(self).fly(limited)));
            }
        }
    }

    /// One statement after the other, until nobody waits for this link any more.
    async fn fly(self: Arc<Self>, limited: Limited) {
        let mut flight = Flight { allowance: &self, limited: &limited, landed: false };
        loop {
            // First the permit: who comes while this waits for it goes into the same statement.
            let _permit = self.free.acquire().await.expect("never closed");
            let Some(waiting) = self.take(&limited) else {
                flight.landed = true;
                return;
            };
            let verdicts = self.verdicts(&limited, &waiting).await;
            for (waiting, verdict) in waiting.into_iter().zip(verdicts) {
                // Who asked may have gone. The click is used up all the same: nobody knows how far
                // the answer came.
                let (Ok(()) | Err(_)) = waiting.answer.send(verdict);
            }
        }
    }

    /// Those who wait for this link and are still there.
    fn take(&self, limited: &Limited) -> Option<Vec<Waiting>> {
        let mut flights = self.flights.lock().unwrap_or_else(PoisonError::into_inner);
        let mut waiting = std::mem::take(flights.waiting.get_mut(limited)?);
        flights.count -= waiting.len();
        // Nothing was asked for them yet: who has gone by now leaves the click to another.
        waiting.retain(|waiting| !waiting.answer.is_closed());
        if waiting.is_empty() {
            flights.waiting.remove(limited);
            return None;
        }
        Some(waiting)
    }

    /// Asks for all that wait; a verdict for each, in their order: who came first goes first.
    async fn verdicts(&self, limited: &Limited, waiting: &[Waiting]) -> Vec<Verdict> {
        let all = |verdict| vec![verdict; waiting.len()];
        if self.breaker.is_open() {
            return all(Verdict::Unavailable);
        }
        let (key, link, version) = limited;
        let wishes = waiting.iter().filter(|waiting| waiting.wish == Wish::Open).count();
        let wanted = i64::try_from(wishes).unwrap_or(i64::MAX);
        match redirects::take_clicks(&self.store, key, (*link, *version), wanted).await {
            Ok(None) => all(Verdict::Outdated),
            Ok(Some(Granted { granted, left_before })) => {
                let mut granted = granted;
                let verdict = |waiting: &Waiting| match waiting.wish {
                    Wish::Look if left_before > 0 => Verdict::Granted,
                    Wish::Open if granted > 0 => {
                        granted -= 1;
                        Verdict::Granted
                    }
                    Wish::Look | Wish::Open => Verdict::UsedUp,
                };
                self.breaker.succeeded();
                waiting.iter().map(verdict).collect()
            }
            Err(error) => {
                self.note(&error);
                all(Verdict::Unavailable)
            }
        }
    }

    fn note(&self, error: &store::Error) {
        if error.is_outage() {
            self.breaker.failed(error);
        } else {
            tracing::error!(%error, "clicks of a limited link cannot be taken");
        }
    }
}

/// The statements for one link. However they end, even by a panic, those who wait are let go.
struct Flight<'a> {
    allowance: &'a Allowance,
    limited: &'a Limited,
    /// From then on the link may be in another flight, which is none of this one's business.
    landed: bool,
}

impl Drop for Flight<'_> {
    fn drop(&mut self) {
        if !self.landed {
            let mut flights = self.allowance.flights.lock().unwrap_or_else(PoisonError::into_inner);
            let waiting = flights.waiting.remove(self.limited).unwrap_or_default();
            flights.count -= waiting.len();
        }
    }
}
