//! From the queue into the database, or into the spool while that is away; and from the spool back.

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use super::countries::Countries;
use super::keeper::Keeper;
use super::network::Addresses;
use super::queue::{Chunk, Queue};
use super::spool::{Line, Segment, Spool};
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::store::clicks::{Batch, Visit};

/// Visits in a batch: more would not be stored faster, and a retry would cost more.
pub const BATCH: usize = 5_000;

/// How long a batch out of the spool may take.
const SLOW: Duration = Duration::from_secs(20);

/// How long a batch may take that has nowhere else to go, and the last ones.
const PATIENCE: Duration = Duration::from_secs(3);

/// How often the spool is looked at.
const REPLAY: Duration = Duration::from_secs(1);

/// How long the database remembers the batches that it stored. A batch that was spooled longer ago
/// may have been stored, and nobody would know.
pub const REMEMBERED: Duration = Duration::from_hours(7 * 24);

/// What the writer works with.
#[derive(Debug)]
pub struct Parts {
    /// Where clicks come from.
    pub queue: Arc<Queue>,
    /// Where they go to.
    pub keeper: Arc<Keeper>,
    /// Where they go to meanwhile; without a spool they wait in the queue.
    pub spool: Option<Arc<Spool>>,
    /// Where visitors are.
    pub countries: Arc<Countries>,
    /// How much of an address is stored.
    pub addresses: Addresses,
    /// How often clicks are stored; a batch that takes longer is put into the spool meanwhile.
    pub every: Duration,
    /// Whether the database answers, as far as anybody knows.
    pub database_up: Arc<AtomicBool>,
    /// The time.
    pub clock: Clock,
    /// The figures.
    pub metrics: Arc<Metrics>,
}

/// Stores clicks until `stop` says so; then once more.
pub async fn write(parts: Arc<Parts>, mut stop: watch::Receiver<bool>) {
    let mut writer = Writer { parts, chunk: None, held: None };
    loop {
        let stopping = tokio::select! {
            () = tokio::time::sleep(writer.parts.every) => false,
            () = writer.parts.queue.filled() => false,
            // An error means that the one who could say so has gone.
            stopped = stop.wait_for(|stop| *stop) => stopped.is_ok() || stopped.is_err(),
        };
        if stopping {
            return writer.finish().await;
        }
        writer.round().await;
    }
}

struct Writer {
    parts: Arc<Parts>,
    /// A chunk out of the queue, and how much of it went into batches.
    chunk: Option<(Chunk, usize)>,
    /// A batch that could be neither stored nor spooled. It may have been stored: it keeps its id.
    held: Option<Batch>,
}

impl Writer {
    /// Stores what waits, until there is less than a batch.
    async fn round(&mut self) {
        // No longer than until the next batch is due: what waits in memory is lost by a kill.
        let budget = if self.parts.spool.is_some() { self.parts.every } else { PATIENCE };
        while let Some(batch) = self.held.take().or_else(|| self.next_batch()) {
            if !self.deliver(batch, budget).await || self.parts.queue.clicks() < BATCH {
                break;
            }
        }
        let waiting = i64::try_from(self.parts.queue.clicks()).unwrap_or(i64::MAX);
        self.parts.metrics.clicks_pending.set(waiting);
    }

    /// The next clicks, as many as a batch has, or fewer when there are no more.
    fn next_batch(&mut self) -> Option<Batch> {
        let mut visits = Vec::new();
        while visits.len() < BATCH {
            let Some((chunk, done)) =
                self.chunk.take().or_else(|| Some((self.parts.queue.take()?, 0)))
            else {
                break;
            };
            let room = BATCH - visits.len();
            let left = chunk.clicks.get(done..).unwrap_or_default();
            let taken = left.len().min(room);
            visits.extend(left.iter().take(room).map(|click| self.visit(&chunk, click)));
            if done + taken == chunk.clicks.len() {
                self.parts.queue.give_back(chunk);
            } else {
                self.chunk = Some((chunk, done + taken));
            }
        }
        (!visits.is_empty()).then(|| Batch { id: rand::random(), visits })
    }

    /// What is stored of a click. Nothing of its visitor who asked for that.
    fn visit(&self, chunk: &Chunk, click: &super::queue::Click) -> Visit {
        let address = (!click.private).then_some(click.client);
        Visit {
            link: click.link,
            at: click.at,
            kind: click.kind,
            device: click.agent.device,
            browser: click.agent.browser,
            country: address.and_then(|address| self.parts.countries.find(address)),
            referrer: chunk.referrer(click).map(|host| host.to_ascii_lowercase().into()),
            network: address.and_then(|address| self.parts.addresses.kept(address)),
            private: click.private,
        }
    }

    /// Stores a batch within `budget`, or else spools it, or else holds it; says whether it is out of
    /// our hands.
    async fn deliver(&mut self, batch: Batch, budget: Duration) -> bool {
        let clicks = batch.visits.len();
        if self.parts.database_up.load(Ordering::Acquire) {
            match self.parts.keeper.keep(&batch, budget).await {
                Ok(()) => {
                    self.parts.queue.settle(clicks);
                    return true;
                }
                Err(error) => tracing::debug!(%error, "a batch of clicks was not stored"),
            }
        }
        match self.spool(batch).await {
            Ok(()) => {
                self.parts.queue.settle(clicks);
                true
            }
            Err(batch) => {
                self.held = Some(batch);
                false
            }
        }
    }

    async fn spool(&self, batch: Batch) -> Result<(), Batch> {
        let Some(spool) = self.parts.spool.clone() else { return Err(batch) };
        let now = self.parts.clock.now();
        let appended = spawn_blocking(move || (spool.append(&batch, now), batch)).await;
        match appended {
            Ok((Ok(()), batch)) => {
                let clicks = u64::try_from(batch.visits.len()).unwrap_or(u64::MAX);
                self.parts.metrics.clicks_spooled.inc_by(clicks);
                Ok(())
            }
            Ok((Err(error), batch)) => {
                tracing::warn!(%error, "clicks wait in memory");
                Err(batch)
            }
            Err(panicked) => {
                tracing::error!(error = %panicked, "the spool failed, and a batch is lost");
                Ok(())
            }
        }
    }

    /// At the end: everything is stored, or spooled. What cannot be is lost, and said to be.
    async fn finish(&mut self) {
        while let Some(batch) = self.held.take().or_else(|| self.next_batch()) {
            if !self.deliver(batch, PATIENCE).await {
                break;
            }
        }
        let lost = u64::try_from(self.parts.queue.clicks()).unwrap_or(u64::MAX);
        if lost > 0 {
            self.parts.metrics.clicks_dropped.with_label_values(&["stopped"]).inc_by(lost);
            tracing::error!(clicks = lost, "neither the database nor a spool took these clicks");
        }
    }
}

/// Stores what is in the spool, whenever the database is there.
pub async fn replay(parts: Arc<Parts>) {
    let Some(spool) = parts.spool.clone() else { return };
    let limit = i64::try_from(spool.limit()).unwrap_or(i64::MAX);
    parts.metrics.click_spool_limit_bytes.set(limit);
    let mut ticks = interval(REPLAY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut replayer = Replayer { parts, spool, told: HashSet::new() };
    loop {
        ticks.tick().await;
        replayer.show_size();
        if replayer.parts.database_up.load(Ordering::Acquire) {
            replayer.replay_all().await;
        }
    }
}

struct Replayer {
    parts: Arc<Parts>,
    spool: Arc<Spool>,
    /// Files about which was said already that they do not go into the database.
    told: HashSet<PathBuf>,
}

impl Replayer {
    fn show_size(&self) {
        self.parts
            .metrics
            .click_spool_bytes
            .set(i64::try_from(self.spool.bytes()).unwrap_or(i64::MAX));
    }

    /// One file after the other; one that fails does not hold up the others.
    async fn replay_all(&mut self) {
        if self.spool.bytes() == 0 {
            return;
        }
        for path in self.spool.segments() {
            match self.replay(path.clone()).await {
                Ok(()) => drop(self.told.remove(&path)),
                Err(error) if self.told.insert(path.clone()) => {
                    tracing::warn!(%error, file = %path.display(), "spooled clicks wait on");
                }
                Err(error) => tracing::debug!(%error, "spooled clicks wait on"),
            }
        }
        self.show_size();
    }

    async fn replay(&self, path: PathBuf) -> Result<(), Failed> {
        let Some(mut segment) = self.spool.read(path)? else { return Ok(()) };
        let (mut batches, mut damaged) = (0_u64, 0_u64);
        loop {
            let (line, rest) = read_line(segment).await?;
            segment = rest;
            match line {
                None => break,
                Some(Line::Damaged(bytes)) => damaged += bytes,
                Some(Line::Batch(batch, spooled_at)) => {
                    let age = self.parts.clock.now().since(spooled_at);
                    self.keep(&batch, age).await?;
                    batches += 1;
                }
            }
        }
        let file = segment.path().display().to_string();
        if damaged > 0 {
            self.parts.metrics.click_spool_damaged_bytes.inc_by(damaged);
            tracing::error!(
                file,
                damaged_bytes = damaged,
                batches,
                "a part of this file is no clicks: it was cut, or overwritten. The rest is \
                 stored; the file is kept beside the spool, ending in .damaged"
            );
        } else {
            tracing::info!(file, batches, "spooled clicks are stored");
        }
        segment.finish(damaged > 0).map_err(Failed::File)
    }

    async fn keep(&self, batch: &Batch, age: Duration) -> Result<(), Failed> {
        // A day less than the database remembers: what is too old might count twice.
        if age + Duration::from_hours(24) > REMEMBERED {
            let clicks = u64::try_from(batch.visits.len()).unwrap_or(u64::MAX);
            self.parts.metrics.clicks_dropped.with_label_values(&["spool_too_old"]).inc_by(clicks);
            tracing::error!(clicks, "clicks were spooled a week ago: they might count twice");
            return Ok(());
        }
        Ok(self.parts.keeper.keep(batch, SLOW).await?)
    }
}

/// Why a file stays in the spool.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    #[error(transparent)]
    Spool(#[from] super::spool::Error),
    #[error("the file cannot be read or removed: {0}")]
    File(std::io::Error),
    #[error("reading the file failed: {0}")]
    Reading(tokio::task::JoinError),
}

async fn read_line(mut segment: Segment) -> Result<(Option<Line>, Segment), Failed> {
    let (line, segment) =
        spawn_blocking(move || (segment.next_line(), segment)).await.map_err(Failed::Reading)?;
    Ok((line.map_err(Failed::File)?, segment))
}
