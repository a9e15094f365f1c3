//! Where codes come from: out of the memory of this process, out of Redis, or out of the pool in
//! PostgreSQL, which is filled again before it is empty.
//!
//! Whoever needs a code and finds none at hand moves the pool's position by a stride of a hundred, keeps
//! one, and puts the others into Redis for all processes; into its own memory if Redis is away, full or
//! read-only. Codes may be wasted that way when a process ends, but none is given twice: the pool hands
//! each out once, and the table of those that users have knows each once.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{Notify, OnceCell};

use super::Error;
use crate::code::referral::{Alphabet, ReferralCode};
use crate::config::Referrals;
use crate::metrics::Metrics;
use crate::resolve::stock::Stock;
use crate::store::codes::pool::{self, Pool};
use crate::store::{self, Store, secrets};

/// Codes taken out of the pool at a time when one is needed.
const STRIDE: usize = 100;
/// Codes of one length that this process keeps at most: what comes back on top of them is dropped.
const KEPT: usize = 1_000;
/// How often an empty pool is filled for one caller. Others may empty it in between.
const FILLS: usize = 8;
/// Batches of one length generated in one go when the pool is below its watermark.
const BATCHES: usize = 1_000;

/// The lengths of codes that are generated.
const LENGTHS: [u8; 5] = [6, 7, 8, 9, 10];

/// See the module.
#[derive(Debug)]
pub(super) struct Supply {
    store: Store,
    stock: Option<Stock>,
    metrics: Arc<Metrics>,
    settings: Referrals,
    alphabet: OnceCell<Alphabet>,
    trays: [Tray; LENGTHS.len()],
    is_low: Notify,
}

/// Codes of one length in this process.
#[derive(Debug, Default)]
struct Tray {
    kept: Mutex<VecDeque<ReferralCode>>,
    /// Held by the one who fetches more, so that many callers do not move many strides.
    fetching: tokio::sync::Mutex<()>,
    /// How often everything at hand was thrown away.
    clearings: AtomicU64,
}

impl Tray {
    fn take(&self) -> Option<ReferralCode> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).pop_front()
    }

    fn keep(&self, codes: impl IntoIterator<Item = ReferralCode>) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let room = KEPT.saturating_sub(kept.len());
        kept.extend(codes.into_iter().take(room));
    }

    fn clear(&self) {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    fn count(&self) -> usize {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// A code to give to somebody.
#[derive(Debug)]
pub(super) struct AtHand {
    pub(super) code: ReferralCode,
    /// How often everything at hand had been thrown away when it was taken.
    clearings: u64,
}

impl Supply {
    pub(super) fn new(
        store: Store,
        stock: Option<Stock>,
        metrics: Arc<Metrics>,
        settings: Referrals,
    ) -> Self {
        let trays = std::array::from_fn(|_| Tray::default());
        let (alphabet, is_low) = (OnceCell::new(), Notify::new());
        Self { store, stock, metrics, settings, alphabet, trays, is_low }
    }

    /// One code that nobody else gets.
    pub(super) async fn take(&self, length: u8) -> Result<AtHand, Error> {
        let tray = self.tray(length);
        let clearings = tray.clearings.load(Ordering::Acquire);
        let at_hand = |code| AtHand { code, clearings };
        if let Some(code) = self.find(length).await {
            return Ok(at_hand(code));
        }
        let _turn = tray.fetching.lock().await;
        // Whoever had the turn before has left some.
        if let Some(code) = self.find(length).await {
            return Ok(at_hand(code));
        }
        let mut stride = self.take_many(length, STRIDE).await?;
        let code = stride.pop().ok_or(Error::NoCodes)?;
        self.put_away(length, stride).await;
        Ok(at_hand(code))
    }

    /// A code that is at hand: of this process, or else in Redis.
    async fn find(&self, length: u8) -> Option<ReferralCode> {
        match self.tray(length).take() {
            Some(code) => Some(code),
            None => self.take_from_stock(length).await,
        }
    }

    /// So many codes straight out of the pool.
    pub(super) async fn take_many(
        &self,
        length: u8,
        count: usize,
    ) -> Result<Vec<ReferralCode>, Error> {
        let low = i64::try_from(self.settings.pool_low).unwrap_or(i64::MAX);
        for _ in 0..FILLS {
            if let Some(taken) = pool::take(&self.store, length, count).await? {
                if taken.left < low {
                    self.is_low.notify_one();
                }
                return Ok(taken.codes);
            }
            self.generate(length, i64::try_from(count).unwrap_or(i64::MAX)).await?;
        }
        Err(Error::NoCodes)
    }

    /// Takes back codes that nobody got.
    pub(super) fn give_back(&self, length: u8, codes: impl IntoIterator<Item = ReferralCode>) {
        self.tray(length).keep(codes);
    }

    /// Throws away all that is at hand, here and in Redis, because too much of it is in use already, as
    /// after a return of Redis to an old snapshot. Does nothing if somebody did so since `this` was taken.
    pub(super) async fn clear(&self, length: u8, this: &AtHand) {
        let tray = self.tray(length);
        let _turn = tray.fetching.lock().await;
        let next = this.clearings.wrapping_add(1);
        let (success, failure) = (Ordering::AcqRel, Ordering::Acquire);
        if tray.clearings.compare_exchange(this.clearings, next, success, failure).is_err() {
            return;
        }
        tray.clear();
        if let Some(stock) = &self.stock
            && let Err(error) = stock.clear(length).await
        {
            tracing::debug!(%error, "the codes in Redis stay");
        }
        tracing::warn!(length, "codes at hand were in use already: all of them were thrown away");
    }

    async fn take_from_stock(&self, length: u8) -> Option<ReferralCode> {
        match self.stock.as_ref()?.take(length).await {
            Ok(code) => ReferralCode::exactly(&code?),
            Err(error) => {
                tracing::debug!(%error, "no code out of Redis");
                None
            }
        }
    }

    /// Puts codes where the next caller finds them. When Redis gives no answer, they may be in both
    /// places: then one of the two who get the same code finds it in use, and takes another.
    async fn put_away(&self, length: u8, codes: Vec<ReferralCode>) {
        if let Some(stock) = &self.stock {
            let texts: Vec<&str> = codes.iter().map(ReferralCode::as_str).collect();
            match stock.add(length, &texts).await {
                Ok(()) => return,
                Err(error) => tracing::debug!(%error, "codes stay in this process"),
            }
        }
        self.tray(length).keep(codes);
    }

    fn tray(&self, length: u8) -> &Tray {
        let place = LENGTHS.iter().position(|known| *known == length);
        let tray = place.and_then(|place| self.trays.get(place));
        tray.expect("a campaign's codes have 6 to 10 symbols, by its rules")
    }

    /// Generates a batch, unless there are `enough` codes by then.
    async fn generate(&self, length: u8, enough: i64) -> Result<u64, Error> {
        let key = secrets::CODE_ALPHABET;
        let make = async || -> Result<_, store::Error> {
            let key = secrets::get_or_make(&self.store, key, &rand::random()).await?;
            Ok(Alphabet::shuffled(&key))
        };
        let alphabet = self.alphabet.get_or_try_init(make).await?.clone();
        let count = self.settings.pool_batch;
        let draw = move || -> Vec<ReferralCode> {
            let mut random = rand::rng();
            (0..count).map(|_| alphabet.generate(length, &mut random)).collect()
        };
        let codes = tokio::task::spawn_blocking(draw).await.map_err(|_ended| Error::NoCodes)?;
        let added = pool::add(&self.store, length, &codes, enough).await?;
        if added > 0 {
            tracing::info!(length, added, "generated referral codes");
        }
        Ok(added)
    }

    /// Generates what is missing to the watermark, for each of these lengths.
    pub(super) async fn refill(&self, lengths: &[u8]) -> Result<(), Error> {
        let low = i64::try_from(self.settings.pool_low).unwrap_or(i64::MAX);
        let pools = pool::all(&self.store).await?;
        for length in lengths {
            let known = pools.iter().find(|pool| pool.length == *length);
            if known.map_or(0, Pool::left) >= low {
                continue;
            }
            for _ in 0..BATCHES {
                if self.generate(*length, low).await? == 0 {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Waits until somebody finds that a pool is low.
    pub(super) async fn low(&self) {
        self.is_low.notified().await;
    }

    /// Shows how many codes are where: left in the pools of these lengths, and at hand.
    pub(super) async fn show(&self, lengths: &[u8]) -> Result<(), Error> {
        let pools = pool::all(&self.store).await?;
        // What nobody asks for any more may be as low as it likes.
        self.metrics.codes_left.reset();
        for pool in pools {
            if lengths.contains(&pool.length) {
                let length = pool.length.to_string();
                self.metrics.codes_left.with_label_values(&[&length]).set(pool.left());
            }
        }
        let kept: usize = self.trays.iter().map(Tray::count).sum();
        let places = &self.metrics.codes_stocked;
        places.with_label_values(&["process"]).set(i64::try_from(kept).unwrap_or(i64::MAX));
        if let Some(stock) = &self.stock {
            let mut count = 0;
            for length in LENGTHS {
                count += stock.count(length).await.unwrap_or(0);
            }
            places.with_label_values(&["redis"]).set(count);
        }
        Ok(())
    }
}
