//! The same work, by the same statements, one row at a time: what sets are measured against.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use tokio::sync::watch;
use tokio::task::JoinSet;
use waypost::campaign::CampaignId;
use waypost::campaign::live::Campaigns;
use waypost::campaign::pinned::Pinned;
use waypost::clock::Stopwatch;
use waypost::config::Config;
use waypost::metrics::Metrics;
use waypost::reward::cards;
use waypost::reward::draw;
use waypost::reward::granting::{Granting, Reached};
use waypost::reward::machine::{Event, State, StepKind};
use waypost::reward::operation::{OperationIds, RewardKey};
use waypost::reward::payment::{Call, Payment, Sent};
use waypost::store::rewards::tasks::{self, Finished, Work};
use waypost::store::triggers::{self, NewTrigger};
use waypost::store::user_locks::{self, LockKey};
use waypost::store::{Error as StoreError, Store, secrets};

use super::stage::{ACTOR, PaymentService};
use super::triggers::{KIND, Promise, now};
use crate::Error;
use crate::database::{Database, broken};

/// Workers at a time, each with a connection of its own.
pub(crate) const WORKERS: usize = 16;
/// How long a task is a worker's, as released.
const LEASE: Duration = Duration::from_secs(30);

/// Takes the triggers of the first so many invitees; the seconds that it took.
pub(super) fn take_triggers(
    database: &Database,
    promise: Promise,
    count: u32,
) -> Result<f64, Error> {
    database.runtime.block_on(async {
        let store = &database.store;
        let campaign: CampaignId = promise.campaign().parse().map_err(broken)?;
        let known = Campaigns::read(store, &Campaigns::default()).await.map_err(broken)?;
        let (_keep, campaigns) = watch::channel(Arc::new(known));
        let works_with = (ids(store).await?, Arc::<Pinned>::default());
        let figures = (Arc::default(), Arc::new(Metrics::new()));
        let granting = Arc::new(Granting::new(store.clone(), campaigns, works_with, figures));
        let (next, now) = (Arc::new(AtomicU32::new(0)), now());
        let stopwatch = Stopwatch::start();
        let mut workers = JoinSet::new();
        for _ in 0..WORKERS {
            let (store, granting) = (store.clone(), Arc::clone(&granting));
            let (next, campaign) = (Arc::clone(&next), campaign.clone());
            workers.spawn(async move {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= count {
                        return Ok::<(), StoreError>(());
                    }
                    take_trigger(&store, &granting, &trigger(&campaign, n, now)).await?;
                }
            });
        }
        while let Some(worker) = workers.join_next().await {
            worker.map_err(broken)?.map_err(broken)?;
        }
        Ok(stopwatch.elapsed().as_secs_f64())
    })
}

fn trigger(campaign: &CampaignId, n: u32, now: Timestamp) -> NewTrigger {
    let (event_id, user) = (format!("event-{n}"), format!("invitee-{n}"));
    let body = serde_json::json!({
        "event_id": event_id, "kind": KIND, "user": user, "occurred_at": now,
        "amount_minor": 100_000_000, "currency": "IDR",
    });
    NewTrigger {
        campaign: campaign.clone(),
        source: ACTOR.to_owned(),
        event_id,
        kind: KIND.to_owned(),
        user,
        occurred_at: now,
        received_at: now,
        body_hash: rand::random(),
        body,
    }
}

/// What Waypost does with a group of triggers, with one.
async fn take_trigger(
    store: &Store,
    granting: &Granting,
    new: &NewTrigger,
) -> Result<(), StoreError> {
    let mut connection = store.rewards().await?;
    let transaction = connection.transaction().await?;
    user_locks::try_take(&transaction, [LockKey::user(&new.campaign, &new.user)]).await?;
    let stored = triggers::put(&transaction, &[new]).await?;
    let reached: Vec<Reached<'_>> = stored
        .values()
        .map(|stored| Reached {
            trigger_id: stored.id,
            campaign: &new.campaign,
            kind: &new.kind,
            user: &new.user,
            occurred_at: new.occurred_at,
        })
        .collect();
    granting.grant(&transaction, &reached).await?;
    transaction.commit().await?;
    Ok(())
}

async fn ids(store: &Store) -> Result<OperationIds, Error> {
    let key = secrets::get_or_make(store, secrets::OPERATIONS, &rand::random()).await;
    Ok(OperationIds::new(&key.map_err(broken)?))
}

/// What a worker has.
#[derive(Clone)]
struct Worker {
    store: Store,
    payment: Payment,
    ids: OperationIds,
    pinned: Arc<Pinned>,
    /// Rewards that nobody has begun.
    next: Arc<AtomicU32>,
}

/// Draws and allots so many rewards.
pub(super) fn draw_and_allot(
    database: &Database,
    payments: &PaymentService,
    count: u32,
) -> Result<(), Error> {
    let mut config = Config::default();
    config.payment.url = Some(payments.url.parse().map_err(broken)?);
    let payment = Payment::new(&config).map_err(broken)?;
    let payment = payment.ok_or_else(|| broken("there is no payment service"))?;
    database.runtime.block_on(async {
        let worker = Worker {
            store: database.store.clone(),
            payment,
            ids: ids(&database.store).await?,
            pinned: Arc::default(),
            next: Arc::new(AtomicU32::new(0)),
        };
        let mut workers = JoinSet::new();
        for _ in 0..WORKERS {
            let worker = worker.clone();
            workers.spawn(async move {
                while worker.next.fetch_add(1, Ordering::Relaxed) < count {
                    worker.claim().await?;
                }
                Ok::<(), Error>(())
            });
        }
        while let Some(worker) = workers.join_next().await {
            worker.map_err(broken)??;
        }
        Ok(())
    })
}

impl Worker {
    /// Claims one task, and does its step and the next one.
    async fn claim(&self) -> Result<(), Error> {
        let claimed = tasks::claim(&self.store, Work::Payments, 1, LEASE).await.map_err(broken)?;
        let task = claimed.first().ok_or_else(|| broken("there is no task left to claim"))?;
        let pinned = self.pinned.find(&self.store, &task.campaign, task.version).await;
        let said = pinned.map_err(broken)?;
        let earned = said.earned(&task.kind, task.side);
        let drawn = earned.and_then(|earned| draw::built_in(earned, rand::random));
        let drawn = drawn.ok_or_else(|| broken("the draw is not the campaign's own"))?;
        let money = (task.currency.as_str(), drawn.amount_minor);
        let key = RewardKey {
            campaign: &task.campaign,
            invitee: &task.invitee,
            kind: &task.kind,
            side: task.side,
        };
        let (id, request) = self.ids.operation(&key, StepKind::Allot, &task.beneficiary, money);
        let evidence = serde_json::to_string(&drawn.evidence).expect("names and numbers");
        self.finish(Finished {
            drawn: Some((drawn.amount_minor, evidence)),
            next: Some((StepKind::Allot, id.clone(), request.clone())),
            ..Finished::bare(task, Event::Draw, State::Drawn)
        })
        .await?;
        match self.payment.send(Call::Allot, &id, Bytes::from(request)).await {
            Sent::Applied { .. } => {}
            other @ (Sent::Refused { .. } | Sent::Later { .. } | Sent::Unknown { .. }) => {
                return Err(broken(format!("the payment service: {other:?}")));
            }
        }
        let cards::Plan { due_at, expires_at } = cards::plan(&said.scratch_card, now());
        self.finish(Finished {
            step: StepKind::Allot,
            from: State::Drawn,
            log_version: task.log_version + 1,
            card: Some((due_at, expires_at)),
            ..Finished::bare(task, Event::Allot, State::New)
        })
        .await
    }

    async fn finish(&self, finished: Finished) -> Result<(), Error> {
        let went_on = tasks::finish(&self.store, ACTOR, LEASE, &[finished]).await;
        match went_on.map_err(broken)?.len() {
            1 => Ok(()),
            other => Err(broken(format!("{other} rewards went on, and not one"))),
        }
    }
}
