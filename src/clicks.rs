//! Counting clicks, beside the way of the redirect.
//!
//! Each serving thread keeps its latest clicks in memory of its own, and adds them to the process's
//! sum on its tick, ten times a second: no lock and no wake-up for a click. A writer adds the sum to
//! the database, twice a second, in batches that count once however often they are sent.
//!
//! What can be lost, and is metered: clicks that do not fit a thread's buffer, and clicks on more
//! links than are held while the database is away. What can be lost unmetered, by a `kill -9`: what
//! came since the last write began. A stop by SIGTERM writes everything first.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;

use crate::link::LinkId;
use crate::metrics::Metrics;
use crate::store::{Store, redirects};

/// Links in one batch: the sort and the statement stay short.
const BATCH: usize = 10_000;

/// How long one batch may take.
const BUDGET: Duration = Duration::from_secs(5);

/// The process's sum of clicks that nobody has written yet.
#[derive(Debug)]
pub struct Counter {
    sum: Mutex<HashMap<LinkId, i64>>,
    most_links: usize,
    metrics: Arc<Metrics>,
}

impl Counter {
    /// An empty sum over at most `most_links` links.
    pub fn new(most_links: usize, metrics: Arc<Metrics>) -> Self {
        Self { sum: Mutex::default(), most_links, metrics }
    }

    /// Adds clicks to the sum.
    fn add(&self, clicks: impl Iterator<Item = LinkId>) {
        let mut dropped = 0;
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        for link in clicks {
            if let Some(count) = sum.get_mut(&link) {
                *count += 1;
            } else if sum.len() < self.most_links {
                sum.insert(link, 1);
            } else {
                dropped += 1;
            }
        }
        drop(sum);
        if dropped > 0 {
            self.metrics.clicks_dropped.with_label_values(&["too_many_links"]).inc_by(dropped);
        }
    }

    /// Takes some of the sum away, in the order of the links.
    fn take(&self) -> Vec<(LinkId, i64)> {
        let mut sum = self.sum.lock().unwrap_or_else(PoisonError::into_inner);
        let mut taken: Vec<(LinkId, i64)> = if sum.len() <= BATCH {
            sum.drain().collect()
        } else {
            let some: Vec<LinkId> = sum.keys().take(BATCH).copied().collect();
            some.into_iter().filter_map(|link| sum.remove_entry(&link)).collect()
        };
        drop(sum);
        taken.sort_unstable();
        taken
    }
}

/// The clicks of one serving thread since its last tick.
#[derive(Debug)]
pub struct Buffer {
    clicks: RefCell<Vec<LinkId>>,
    most: usize,
    counter: Arc<Counter>,
}

impl Buffer {
    /// An empty buffer for at most `most` clicks.
    pub fn new(most: usize, counter: Arc<Counter>) -> Self {
        Self { clicks: RefCell::new(Vec::with_capacity(most)), most, counter }
    }

    /// Counts one click; `false` if there was no room for it.
    pub fn count(&self, link: LinkId) -> bool {
        let mut clicks = self.clicks.borrow_mut();
        let room = clicks.len() < self.most;
        if room {
            clicks.push(link);
        }
        room
    }

    /// Adds the clicks to the process's sum.
    pub fn hand_over(&self) {
        let mut clicks = self.clicks.borrow_mut();
        if !clicks.is_empty() {
            self.counter.add(clicks.drain(..));
        }
    }
}

/// Writes the sum to the database every `every`, until `stop` says so; then once more.
pub async fn write(
    store: Store,
    counter: Arc<Counter>,
    every: Duration,
    mut stop: watch::Receiver<bool>,
) {
    let mut writer = Writer { store, counter, unwritten: None };
    loop {
        let stopping = tokio::select! {
            () = tokio::time::sleep(every) => false,
            // An error means that the one who could say so has gone.
            stopped = stop.wait_for(|stop| *stop) => stopped.is_ok() || stopped.is_err(),
        };
        while writer.write_some().await {}
        if stopping {
            return writer.report_lost();
        }
    }
}

struct Writer {
    store: Store,
    counter: Arc<Counter>,
    /// A batch that may or may not have been written: it is sent again, under the same number.
    unwritten: Option<(u128, Vec<(LinkId, i64)>)>,
}

impl Writer {
    /// Writes one batch; whether there is more to write now.
    async fn write_some(&mut self) -> bool {
        let (number, clicks) = match self.unwritten.take() {
            Some(batch) => batch,
            None => (rand::random::<u128>(), self.counter.take()),
        };
        let total = clicks.iter().map(|(_, count)| *count).sum::<i64>();
        self.counter.metrics.clicks_pending.set(total);
        if clicks.is_empty() {
            return false;
        }
        match redirects::add_clicks(&self.store, number, &clicks, BUDGET).await {
            Ok(()) => {
                let written = u64::try_from(total).unwrap_or(0);
                self.counter.metrics.clicks_counted.inc_by(written);
                self.counter.metrics.clicks_pending.set(0);
                clicks.len() == BATCH
            }
            Err(error) => {
                tracing::debug!(%error, "clicks wait to be written");
                self.unwritten = Some((number, clicks));
                false
            }
        }
    }

    /// At the end: what could not be written is lost, and said to be.
    fn report_lost(&self) {
        let unwritten = self.unwritten.iter().flat_map(|(_, clicks)| clicks);
        let mut lost: i64 = unwritten.map(|(_, count)| *count).sum();
        loop {
            let some = self.counter.take();
            if some.is_empty() {
                break;
            }
            lost += some.iter().map(|(_, count)| *count).sum::<i64>();
        }
        if lost > 0 {
            let dropped = self.counter.metrics.clicks_dropped.with_label_values(&["database_away"]);
            dropped.inc_by(u64::try_from(lost).unwrap_or(0));
            tracing::error!(clicks = lost, "the database is away: these clicks are lost");
        }
    }
}
