//! Storing batches: the partitions of their days first, then the batch.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::civil::Date;

use crate::clock::{Clock, UnixMillis};
use crate::metrics::Metrics;
use crate::store::clicks::{self, Batch, Stored, days};
use crate::store::{self, Store};

/// Days for which there are partitions ahead of time.
const AHEAD: u32 = 2;

/// Batches without an answer that are remembered. One too many may be missing in a figure; it is stored
/// once all the same.
const UNSURE: usize = 100_000;

/// How long making partitions ahead of time may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Stores batches, and throws away what is too old.
#[derive(Debug)]
pub struct Keeper {
    store: Store,
    clock: Clock,
    metrics: Arc<Metrics>,
    /// How long the rows of visits are kept.
    retention: Duration,
    /// Days that are known to have a partition.
    days: Mutex<BTreeSet<Date>>,
    /// Batches that were sent without an answer.
    unsure: Mutex<HashSet<u128>>,
}

impl Keeper {
    /// A keeper that keeps rows for so long.
    pub fn new(store: Store, clock: Clock, metrics: Arc<Metrics>, retention: Duration) -> Self {
        Self { store, clock, metrics, retention, days: Mutex::default(), unsure: Mutex::default() }
    }

    /// Stores a batch, unless it was stored before. After an error nobody knows which: send it again.
    pub async fn keep(&self, batch: &Batch, budget: Duration) -> Result<(), store::Error> {
        let rows_from = self.rows_from();
        let with_rows = batch.visits.iter().filter(|visit| visit.at >= rows_from);
        let wanted = with_rows.map(|visit| days::day_of(visit.at)).collect();
        let stored = async {
            self.prepare(&wanted, budget).await?;
            clicks::write(&self.store, batch, rows_from, budget).await
        }
        .await;
        let mut unsure = self.unsure.lock().unwrap_or_else(PoisonError::into_inner);
        match stored {
            Ok(stored) => {
                // Stored before, by an attempt of ours that was not answered: counted now. Otherwise
                // whoever stored it has counted it.
                if unsure.remove(&batch.id) || stored == Stored::Now {
                    let clicks = u64::try_from(batch.visits.len()).unwrap_or(u64::MAX);
                    self.metrics.clicks_counted.inc_by(clicks);
                }
                Ok(())
            }
            Err(error) => {
                if unsure.len() < UNSURE {
                    unsure.insert(batch.id);
                }
                drop(unsure);
                // What refuses a batch may be another database than the one that had the days.
                if !error.is_outage() {
                    self.days.lock().unwrap_or_else(PoisonError::into_inner).clear();
                }
                Err(error)
            }
        }
    }

    async fn prepare(&self, wanted: &BTreeSet<Date>, budget: Duration) -> Result<(), store::Error> {
        let missing: BTreeSet<Date> = {
            let known = self.days.lock().unwrap_or_else(PoisonError::into_inner);
            wanted.difference(&known).copied().collect()
        };
        if missing.is_empty() {
            return Ok(());
        }
        days::make(&self.store, &missing, budget).await?;
        self.days.lock().unwrap_or_else(PoisonError::into_inner).extend(missing);
        Ok(())
    }

    /// Makes the partitions of today and the next days.
    pub async fn prepare_coming_days(&self) -> Result<(), store::Error> {
        let now = self.clock.now();
        let day = Duration::from_hours(24);
        let coming = (0..=AHEAD).map(|ahead| days::day_of(now.after(day * ahead)));
        self.prepare(&coming.collect(), PATIENCE).await
    }

    /// Drops the days that are too old.
    pub async fn drop_old_days(&self) -> Result<(), store::Error> {
        let oldest = days::day_of(self.rows_from());
        let (dropped, left) = days::drop_before(&self.store, oldest).await?;
        if dropped > 0 {
            tracing::info!(days = dropped, "dropped the visits of days that are too old");
            self.days.lock().unwrap_or_else(PoisonError::into_inner).clear();
        }
        days::drop_hours_before(&self.store, oldest).await?;
        left.map_or(Ok(()), Err)
    }

    /// Visits before this moment have no row: the beginning of the oldest day that is kept.
    fn rows_from(&self) -> UnixMillis {
        let day = 24 * 3_600 * 1_000;
        let oldest = self.clock.now().before(self.retention);
        UnixMillis(oldest.0 - oldest.0 % day)
    }
}
