//! From the queue into the database, or into the spool while that is away; and from the spool back.

use std::collections::HashMap;
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

/// How long a batch may take that has nowhere else to go.
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
    let mut writer = Writer { parts, chunk: None, held: None, told: false };
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
    /// Whether it was said already that the spool takes nothing.
    told: bool,
}

impl Writer {
    /// Stores what waits, until there is less than a batch.
    async fn round(&mut self) {
        let budget = self.budget();
        while let Some(batch) = self.held.take().or_else(|| self.next_batch()) {
            if !self.deliver(batch, budget).await || self.parts.queue.clicks() < BATCH {
                break;
            }
        }
        let waiting = i64::try_from(self.parts.queue.clicks()).unwrap_or(i64::MAX);
        self.parts.metrics.clicks_pending.set(waiting);
    }

    /// How long a batch may take: no longer than until the next one is due, for what waits in memory is
    /// lost by a kill; but longer if it has nowhere else to go.
    fn budget(&self) -> Duration {
        if self.parts.spool.is_some() { self.parts.every } else { PATIENCE }
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
            let some = (done..).zip(left).take(room);
            visits.extend(some.map(|(place, click)| self.visit(&chunk, place, click)));
            if done + taken == chunk.clicks.len() {
                self.parts.queue.give_back(chunk);
            } else {
                self.chunk = Some((chunk, done + taken));
            }
        }
        (!visits.is_empty()).then(|| Batch { id: rand::random(), visits })
    }

    /// What is stored of a click. Nothing of its visitor who asked for that.
    fn visit(&self, chunk: &Chunk, place: usize, click: &super::queue::Click) -> Visit {
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
            click_id: chunk.click_id(place),
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

    async fn spool(&mut self, batch: Batch) -> Result<(), Batch> {
        let Some(spool) = self.parts.spool.clone() else { return Err(batch) };
        let now = self.parts.clock.now();
        let appended = spawn_blocking(move || (spool.append(&batch, now), batch)).await;
        match appended {
            Ok((Ok(()), batch)) => {
                let clicks = u64::try_from(batch.visits.len()).unwrap_or(u64::MAX);
                self.parts.metrics.clicks_spooled.inc_by(clicks);
                self.told = false;
                Ok(())
            }
            Ok((Err(error), batch)) => {
                if !std::mem::replace(&mut self.told, true) {
                    tracing::warn!(%error, "clicks wait in memory");
                }
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
            if !self.deliver(batch, self.budget()).await {
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
    let mut replayer = Replayer { parts, spool, files: HashMap::new() };
    loop {
        ticks.tick().await;
        if let Err(error) = replayer.look().await {
            tracing::warn!(%error, "the spool was not looked at");
        }
    }
}

struct Replayer {
    parts: Arc<Parts>,
    spool: Arc<Spool>,
    /// Files that are not done with, as far as they were read: nothing in them is metered twice.
    files: HashMap<PathBuf, Progress>,
}

/// How far a file was read.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    lines: u64,
    batches: u64,
    damaged: u64,
    /// Whether it was said already that it stays.
    told: bool,
}

impl Replayer {
    /// Stores what is in the spool, if the database is there.
    async fn look(&mut self) -> Result<(), Failed> {
        let bytes = self.show_size().await?;
        if bytes > 0 && self.parts.database_up.load(Ordering::Acquire) {
            let spool = Arc::clone(&self.spool);
            self.replay_all(blocking(move || spool.segments()).await?).await;
            self.show_size().await?;
        }
        Ok(())
    }

    async fn show_size(&self) -> Result<u64, Failed> {
        let spool = Arc::clone(&self.spool);
        let bytes = blocking(move || spool.bytes()).await?;
        self.parts.metrics.click_spool_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        Ok(bytes)
    }

    /// One file after the other; one that fails does not hold up the others.
    async fn replay_all(&mut self, paths: Vec<PathBuf>) {
        self.files.retain(|path, _| paths.contains(path));
        for path in paths {
            let mut progress = self.files.get(&path).copied().unwrap_or_default();
            match self.replay(path.clone(), &mut progress).await {
                Ok(()) => drop(self.files.remove(&path)),
                Err(error) => {
                    if !std::mem::replace(&mut progress.told, true) {
                        tracing::warn!(%error, file = %path.display(), "spooled clicks wait on");
                    }
                    self.files.insert(path, progress);
                }
            }
        }
    }

    /// Reads a file on from where it was read to.
    async fn replay(&self, path: PathBuf, progress: &mut Progress) -> Result<(), Failed> {
        let spool = Arc::clone(&self.spool);
        let Some(mut segment) = blocking(move || spool.read(path)).await?? else { return Ok(()) };
        let mut number = 0;
        loop {
            let (line, rest) = read_line(segment).await?;
            segment = rest;
            number += 1;
            let Some(line) = line else { break };
            if number <= progress.lines {
                continue;
            }
            match line {
                Line::Damaged(bytes) => {
                    progress.damaged += bytes;
                    self.parts.metrics.click_spool_damaged_bytes.inc_by(bytes);
                }
                Line::Batch(batch, spooled_at) => {
                    let age = self.parts.clock.now().since(spooled_at);
                    self.keep(&batch, age).await?;
                    progress.batches += 1;
                }
            }
            progress.lines = number;
        }
        let file = segment.path().display().to_string();
        let Progress { damaged, batches, .. } = *progress;
        blocking(move || segment.finish(damaged > 0)).await?.map_err(Failed::File)?;
        if damaged > 0 {
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
        Ok(())
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

/// Work with files, beside the runtime.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Failed> {
    spawn_blocking(work).await.map_err(Failed::Reading)
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
    let (line, segment) = blocking(move || (segment.next_line(), segment)).await?;
    Ok((line.map_err(Failed::File)?, segment))
}
