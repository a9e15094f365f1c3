//! Rewards: what grants them, and the loops that see to them.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{Notify, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::sleep;

use super::{Error, Parts};
use crate::campaign::live::Campaigns;
use crate::campaign::pinned::Pinned;
use crate::clock::{Clock, whole_millis};
use crate::metrics::Metrics;
use crate::planted::{Bug, planted};
use crate::review::service::Reviews;
use crate::reward::cards::due::{self, DueCards};
use crate::reward::cards::service::CardService;
use crate::reward::engine::{self, Engine};
use crate::reward::granting::{self, Granting};
use crate::reward::operation::OperationIds;
use crate::reward::payment::Payment;
use crate::reward::reconciliation::Reconciliation;
use crate::reward::services::{self, Services};
use crate::reward::sweeper::Sweeper;
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
    /// Finds what was forgotten.
    pub sweeper: Arc<Sweeper>,
    /// Tells the engine of work that this process made.
    pub wake: Arc<Notify>,
    /// What people see and do.
    pub services: Arc<Services>,
    /// What people have to approve.
    pub reviews: Arc<Reviews>,
}

/// Makes what grants rewards.
pub async fn assemble(
    store: &Store,
    campaigns: &watch::Receiver<Arc<Campaigns>>,
    clock: &Clock,
    (sweep, metrics): (Duration, &Arc<Metrics>),
) -> Result<Rewards, store::Error> {
    let key = secrets::get_or_make(store, secrets::OPERATIONS, &rand::random()).await?;
    let known = Arc::clone(&campaigns.borrow());
    granting::fund_all(store, &known).await?;
    let (ids, pinned, wake) =
        (OperationIds::new(&key), Arc::<Pinned>::default(), Arc::<Notify>::default());
    let granting = Granting::new(
        store.clone(),
        campaigns.clone(),
        (ids.clone(), Arc::clone(&pinned)),
        (Arc::clone(&wake), Arc::clone(metrics)),
    );
    let granting = Arc::new(granting);
    let sweeper = Sweeper::new(
        store.clone(),
        (ids.clone(), Arc::clone(&pinned)),
        Arc::clone(&granting),
        (sweep, Arc::clone(metrics)),
    );
    let services = Services::new(services::Parts {
        store: store.clone(),
        campaigns: campaigns.clone(),
        granting: Arc::clone(&granting),
        ids: ids.clone(),
        pinned: Arc::clone(&pinned),
        wake: Arc::clone(&wake),
        clock: clock.clone(),
        metrics: Arc::clone(metrics),
    });
    let (sweeper, services) = (Arc::new(sweeper), Arc::new(services));
    let works_with = (clock.clone(), Arc::clone(metrics));
    let reviews = Arc::new(Reviews::new(store.clone(), Arc::clone(&services), works_with));
    Ok(Rewards { granting, ids, pinned, sweeper, wake, services, reviews })
}

impl Rewards {
    /// What scratches cards.
    pub fn cards(&self, store: &Store, clock: &Clock, metrics: &Arc<Metrics>) -> CardService {
        let works_with = (self.ids.clone(), Arc::clone(&self.wake));
        CardService::new(store.clone(), works_with, (clock.clone(), Arc::clone(metrics)))
    }

    /// What reminds of cards, and has them expire.
    pub fn due_cards(&self, store: &Store, metrics: &Arc<Metrics>) -> DueCards {
        let works_with = (self.ids.clone(), Arc::clone(&self.pinned));
        DueCards::new(store.clone(), works_with, Arc::clone(&self.wake), Arc::clone(metrics))
    }
}

/// How often cards are looked at, in milliseconds. As elsewhere, processes that were started together do not
/// stay in step.
const CARDS: std::ops::RangeInclusive<u64> = 8_000..=12_000;
/// How often figures are counted, in milliseconds; cards that wait only every so many times.
const FIGURES: std::ops::RangeInclusive<u64> = 4_500..=5_500;
const FIGURES_OF_CARDS: u32 = 12;
/// How often reviews are looked at, in milliseconds: for subjects without a case, and cases that wait too long.
const REVIEWS: std::ops::RangeInclusive<u64> = 4_000..=6_000;
/// How often it is looked whether it is time to compare the books, in milliseconds.
const BOOKS: std::ops::RangeInclusive<u64> = 120_000..=240_000;

/// Starts the loops beside the engine.
pub(super) fn start_loops(parts: &Arc<Parts>, loops: &mut JoinSet<()>) -> Result<(), Error> {
    loops.spawn(see_to_cards(Arc::clone(parts)));
    loops.spawn(sweep(Arc::clone(parts)));
    loops.spawn(show_figures(Arc::clone(parts)));
    loops.spawn(review(Arc::clone(parts)));
    if let Some(payment) = Payment::new(&parts.config)? {
        let reconciliation = Reconciliation::new(parts.store.clone(), payment);
        loops.spawn(compare_books(Arc::clone(parts), reconciliation));
    }
    Ok(())
}

/// Waits for the next turn, and then for a database that answers.
async fn next_turn(parts: &Parts, every: std::ops::RangeInclusive<u64>) -> Timestamp {
    loop {
        sleep(Duration::from_millis(rand::random_range(every.clone()))).await;
        if parts.postgres_up.load(Ordering::Acquire) {
            return parts.clock.now().into();
        }
    }
}

async fn see_to_cards(parts: Arc<Parts>) {
    let cards = parts.rewards.due_cards(&parts.store, &parts.metrics);
    loop {
        let now = next_turn(&parts, CARDS).await;
        loop {
            match cards.act(now).await {
                Ok(due::SET) => {}
                Ok(_fewer) => break,
                Err(error) => {
                    tracing::warn!(%error, "cards are seen to a little later");
                    break;
                }
            }
        }
    }
}

async fn sweep(parts: Arc<Parts>) {
    if planted(Bug::SweeperOff) {
        return;
    }
    let every = whole_millis(parts.config.rewards.sweep);
    loop {
        let now = next_turn(&parts, every * 5 / 6..=every * 7 / 6).await;
        if let Err(error) = parts.rewards.sweeper.sweep(now).await {
            tracing::warn!(%error, "what was forgotten is looked for a minute later");
        }
    }
}

async fn show_figures(parts: Arc<Parts>) {
    let mut turn = 0;
    loop {
        if let Err(error) = parts.rewards.sweeper.show_figures(turn == 0).await {
            tracing::debug!(%error, "the figures of rewards stay as they were");
        }
        turn = (turn + 1) % FIGURES_OF_CARDS;
        next_turn(&parts, FIGURES).await;
    }
}

async fn review(parts: Arc<Parts>) {
    loop {
        next_turn(&parts, REVIEWS).await;
        match parts.rewards.reviews.round().await {
            Ok(0) => {}
            Ok(opened) => tracing::info!(opened, "cases were opened"),
            Err(error) => tracing::warn!(%error, "reviews are seen to a little later"),
        }
    }
}

async fn compare_books(parts: Arc<Parts>, reconciliation: Reconciliation) {
    loop {
        let now = next_turn(&parts, BOOKS).await;
        if let Err(error) = reconciliation.reconcile_due(now).await {
            tracing::warn!(%error, "the books are compared a little later");
        }
    }
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
