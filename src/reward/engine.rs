//! The engine: claim, act, record. It takes tasks that are due, does the step of each, and records what came
//! of it; in sets, so that many rewards cost little more than one.
//!
//! Any number of processes do this at once, and any of them may die, freeze or be cut off at any moment:
//!
//! - *Claim*: a task is leased, on the database's clock. When the lease is over somebody else takes it up.
//! - *Act*: one call of the payment service at most, under an operation id and with bytes that were stored
//!   before. What was perhaps sent before is asked for first. No transaction is open meanwhile.
//! - *Record*: the reward goes on if the lease is still the one, and state and version are those that were
//!   read. Otherwise somebody else was there first, and what we know is worth nothing.
//!
//! Leases are for efficiency. What keeps money safe is that a step that is done twice is the same operation
//! with the same bytes, and that it is recorded once.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::time::{sleep, timeout};

use super::operation::OperationIds;
use super::payment::Payment;
use crate::breaker::Breaker;
use crate::campaign::pinned::Pinned;
use crate::clock::{Clock, Stopwatch};
use crate::metrics::Metrics;
use crate::planted::{Boundary, Struck, struck};
use crate::store::rewards::tasks::{self, Claimed, Finished, GivenBack, WentOn, Work};
use crate::store::{Error, Store};

use act::Outcome;

mod act;
mod backoff;

/// Tasks for the payment service that a process has at a time.
const IN_FLIGHT: usize = 2_048;
/// Tasks that are claimed, and recorded, at a time.
const SET: usize = 512;
/// How long a claim waits after one that found less than it could have taken: what comes meanwhile is
/// claimed together.
const GAP: Duration = Duration::from_millis(10);
/// How often a process looks for work that it was not told of: after it found some, and otherwise.
const BUSY: Duration = Duration::from_millis(50);
/// See [`BUSY`]; in milliseconds, drawn anew each time, so that processes do not stay in step.
const IDLE: std::ops::RangeInclusive<u64> = 750..=1_250;
/// How often the payment service is asked whether it is there, while it is not, and else.
const PROBE: Duration = Duration::from_secs(1);
/// See [`PROBE`].
const REFRESH: Duration = Duration::from_mins(1);
/// How long the notification service is left alone after it did not answer.
const MESSAGES_PAUSE: Duration = Duration::from_secs(10);

/// How long a process waits that found nothing to do.
fn idle() -> Duration {
    Duration::from_millis(rand::random_range(IDLE))
}

/// What the engine works with.
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The payment and the notification service.
    pub payment: Payment,
    /// Names operations.
    pub ids: OperationIds,
    /// What was promised.
    pub pinned: Arc<Pinned>,
    /// Says that there is work, when this process made some.
    pub wake: Arc<Notify>,
    /// What time it is: cards live by it.
    pub clock: Clock,
    /// Figures.
    pub metrics: Arc<Metrics>,
}

/// Places for the tasks that a process has at a time. Each kind of work has its own.
struct Places {
    payments: Arc<Semaphore>,
    reminders: Arc<Semaphore>,
}

/// How the engine works.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How long a task is ours. Whoever dies with it holds it up for so long.
    pub lease: Duration,
    /// How long a call may take.
    pub deadline: Duration,
    /// Calls at a time.
    pub calls: usize,
}

/// See the module.
#[derive(Debug)]
pub struct Engine {
    parts: Parts,
    settings: Settings,
    money: Breaker,
    messages: Breaker,
    /// Calls that may still begin.
    calls: Semaphore,
    /// How long the payment service remembers an operation, in milliseconds; 0 is not known.
    dedupe_window: AtomicU64,
}

/// A task on its way through the engine. Dropping it makes room for another one.
struct Job {
    task: Claimed,
    /// Since when it is leased.
    leased: Stopwatch,
    /// Held until it is recorded.
    room: OwnedSemaphorePermit,
}

/// What came of a job, on its way to be recorded.
struct Done {
    job: Job,
    outcome: Outcome,
}

impl Engine {
    /// An engine that does not run yet.
    pub fn new(parts: Parts, settings: Settings) -> Self {
        Self {
            parts,
            settings,
            money: Breaker::open("payment"),
            messages: Breaker::closed("notifications"),
            calls: Semaphore::new(settings.calls),
            dedupe_window: AtomicU64::new(0),
        }
    }

    /// Works until it is told to stop, and until what it has begun is recorded.
    pub async fn run(self: Arc<Self>, mut stopped: watch::Receiver<bool>) {
        let (done, results) = mpsc::channel(IN_FLIGHT);
        // However many reminders are due, and however long each takes: half of the calls are for payments alone.
        let reminders = (self.settings.calls / 2).max(1);
        let places = Places {
            payments: Arc::new(Semaphore::new(IN_FLIGHT)),
            reminders: Arc::new(Semaphore::new(reminders)),
        };
        let recorder = tokio::spawn(Arc::clone(&self).record(results, done.clone()));
        let probe = tokio::spawn(Arc::clone(&self).probe());
        tokio::select! {
            () = Arc::clone(&self).claim(&places, &done) => {}
            _ended = stopped.wait_for(|stopped| *stopped) => {}
        }
        // Whatever is not recorded by then is taken up again when its lease is over.
        let all = |places: usize| u32::try_from(places).unwrap_or(u32::MAX);
        let patience = self.settings.deadline.saturating_mul(2);
        let all_done = async {
            drop(places.payments.acquire_many(all(IN_FLIGHT)).await);
            drop(places.reminders.acquire_many(all(reminders)).await);
        };
        drop(timeout(patience, all_done).await);
        recorder.abort();
        probe.abort();
    }

    /// Claims what is due and sets it going, for ever.
    async fn claim(self: Arc<Self>, places: &Places, done: &mpsc::Sender<Done>) {
        let mut wait = Duration::ZERO;
        loop {
            if !wait.is_zero() {
                // Being woken a moment earlier or later makes no difference.
                drop(timeout(wait, self.parts.wake.notified()).await);
                sleep(GAP).await;
            }
            wait = match self.claim_due(places, done).await {
                Ok(wait) => wait,
                Err(error) => {
                    tracing::warn!(%error, "tasks of rewards cannot be claimed");
                    idle()
                }
            };
        }
    }

    /// Claims what is due of everything that can be done now, and sets it going; says after what time to look
    /// again.
    async fn claim_due(
        self: &Arc<Self>,
        places: &Places,
        done: &mpsc::Sender<Done>,
    ) -> Result<Duration, Error> {
        let mut wait = idle();
        for (work, room) in
            [(Work::Payments, &places.payments), (Work::Reminders, &places.reminders)]
        {
            let most = room.available_permits().min(SET);
            if most == 0 || !self.can_do(work) {
                wait = wait.min(BUSY);
                continue;
            }
            let leased = Stopwatch::start();
            let claimed = tasks::claim(&self.parts.store, work, most, self.settings.lease).await?;
            wait = wait.min(match claimed.len() {
                0 => wait,
                some if some < most => BUSY,
                _ => Duration::ZERO,
            });
            for task in claimed {
                let room = Arc::clone(room).acquire_owned().await.expect("never closed");
                self.begin(Job { task, leased, room }, done);
            }
        }
        Ok(wait)
    }

    /// Sets a task going.
    fn begin(self: &Arc<Self>, job: Job, done: &mpsc::Sender<Done>) {
        let (engine, done) = (Arc::clone(self), done.clone());
        tokio::spawn(async move {
            let outcome = engine.act(&job.task, &job.leased).await;
            // Nobody records any more when the engine has stopped: the lease runs out.
            drop(done.send(Done { job, outcome }).await);
        });
    }

    /// Whether whom that asks can be asked now.
    fn can_do(&self, work: Work) -> bool {
        match work {
            Work::Payments => !self.money.is_open() && self.dedupe_window().is_some(),
            Work::Reminders => !self.messages.is_open(),
        }
    }

    fn dedupe_window(&self) -> Option<Duration> {
        let millis = self.dedupe_window.load(Ordering::Acquire);
        (millis != 0).then(|| Duration::from_millis(millis))
    }

    /// Records what has come of tasks, as many at a time as there are, for ever.
    async fn record(self: Arc<Self>, mut results: mpsc::Receiver<Done>, done: mpsc::Sender<Done>) {
        let mut set = Vec::with_capacity(SET);
        while results.recv_many(&mut set, SET).await > 0 {
            if let Err(error) = self.record_set(&mut set, &done).await {
                // The outcomes are lost, and with them nothing: they are asked for again.
                tracing::warn!(%error, "what came of rewards is not recorded: their leases run out");
            }
            set.clear();
        }
    }

    async fn record_set(
        self: &Arc<Self>,
        set: &mut Vec<Done>,
        done: &mpsc::Sender<Done>,
    ) -> Result<(), Error> {
        let (mut finished, mut given, mut dropped) = (Vec::new(), Vec::new(), Vec::new());
        for Done { job, outcome } in set.iter() {
            match outcome {
                Outcome::Finished(it) => finished.push(Finished::clone(it)),
                Outcome::GivenBack(it) => given.push(it.clone()),
                Outcome::Dropped => dropped.push((job.task.reward_id, job.task.epoch)),
            }
        }
        let store = &self.parts.store;
        if !given.is_empty() {
            let ours = tasks::give_back(store, &given).await?;
            self.count_late(&given, ours);
        }
        if !dropped.is_empty() {
            tasks::drop_reminders(store, &dropped).await?;
        }
        if finished.is_empty() {
            return Ok(());
        }
        let went_on = self.finish(&finished).await?;
        let stored = if finished.iter().any(|it| it.next.is_some()) {
            struck(Boundary::Recorded)
        } else {
            struck(Boundary::Completed)
        };
        match stored {
            Struck::No => {}
            Struck::Fail => return Ok(()),
            Struck::Repeat => {
                tasks::finish(store, act::ACTOR, self.settings.lease, &finished).await?;
            }
        }
        let went_on: HashSet<WentOn> = went_on.into_iter().collect();
        for Done { job, outcome } in set.drain(..) {
            let Outcome::Finished(finished) = outcome else { continue };
            let figures = &self.parts.metrics.rewards;
            if !went_on.contains(&(finished.reward_id, finished.step, finished.epoch)) {
                figures.fenced.with_label_values(&[finished.step.name()]).inc();
                continue;
            }
            figures.moves.with_label_values(&[finished.event.name()]).inc();
            if let Some(task) = act::next(job.task, *finished) {
                let leased = Stopwatch::start();
                self.begin(Job { task, leased, room: job.room }, done);
            }
        }
        Ok(())
    }

    /// Records what steps have come to. Where that fails for one of them, it does not for the others.
    async fn finish(&self, finished: &[Finished]) -> Result<Vec<WentOn>, Error> {
        let (store, lease) = (&self.parts.store, self.settings.lease);
        match tasks::finish(store, act::ACTOR, lease, finished).await {
            Err(error) if !error.is_outage() && finished.len() > 1 => {
                tracing::error!(%error, rewards = finished.len(), "recorded one by one instead");
                let mut went_on = Vec::new();
                for one in finished {
                    match tasks::finish(store, act::ACTOR, lease, std::slice::from_ref(one)).await {
                        Ok(one) => went_on.extend(one),
                        Err(error) if error.is_outage() => return Err(error),
                        Err(error) => {
                            let reward = one.reward_id;
                            tracing::error!(reward, %error, "what came of it cannot be recorded");
                        }
                    }
                }
                Ok(went_on)
            }
            outcome => outcome,
        }
    }

    fn count_late(&self, given: &[GivenBack], ours: u64) {
        let all = u64::try_from(given.len()).unwrap_or(u64::MAX);
        let late = all.saturating_sub(ours);
        if late > 0 {
            self.parts.metrics.rewards.fenced.with_label_values(&["give_back"]).inc_by(late);
        }
    }

    /// Asks the payment service whether it is there and how long it remembers, for ever.
    async fn probe(self: Arc<Self>) {
        let figures = &self.parts.metrics.breaker_open;
        let mut messages_open: Option<Stopwatch> = None;
        let mut asked: Option<Stopwatch> = None;
        loop {
            let due = asked.as_ref().is_none_or(|asked| asked.elapsed() >= REFRESH);
            if self.money.is_open() || due {
                match self.parts.payment.about().await {
                    Ok(about) => {
                        let window = crate::clock::whole_millis(about.dedupe_window);
                        self.dedupe_window.store(window, Ordering::Release);
                        asked = Some(Stopwatch::start());
                        self.money.close();
                        self.parts.wake.notify_one();
                    }
                    Err(why) => self.money.failed(&why),
                }
            }
            match &messages_open {
                Some(since) if since.elapsed() >= MESSAGES_PAUSE => {
                    self.messages.close();
                    messages_open = None;
                }
                None if self.messages.is_open() => messages_open = Some(Stopwatch::start()),
                Some(_) | None => {}
            }
            for (name, breaker) in [("payment", &self.money), ("notifications", &self.messages)] {
                figures.with_label_values(&[name]).set(i64::from(breaker.is_open()));
            }
            sleep(PROBE).await;
        }
    }
}
