//! What happens beside the requests: finding out whether servers answer again, carrying changes out,
//! keeping figures current, throwing away what is old.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::{Parts, read_domains};
use crate::clicks::writer;
use crate::edge::domains::Domains;
use crate::referral::keys;
use crate::resolve::announce::{self, Announcer};
use crate::resolve::{feed, learning, shared::Shared};
use crate::store::clicks::{self, rollup};
use crate::store::{self, idempotency, redirects};

/// How often servers are looked at.
const WATCH: Duration = Duration::from_millis(250);
/// How often the outbox is looked at.
const OUTBOX: Duration = Duration::from_secs(1);
/// How often domains, dictionaries and slow figures are read again.
const REFRESH: Duration = Duration::from_secs(5);
/// How often the keys of click tokens are read again. A new one signs a minute after it was made.
const TOKEN_KEYS: Duration = Duration::from_secs(10);
/// How often old rows are thrown away.
const SWEEP: Duration = Duration::from_mins(10);
/// Buckets looked at for the share of listpacks.
const SAMPLES: usize = 20;

/// Starts all loops. The first look at Redis happens before this returns, so that a service that has
/// just started does not begin without its second tier.
pub(super) async fn start(parts: &Arc<Parts>, domains: watch::Sender<Arc<Domains>>) -> JoinSet<()> {
    let mut loops = JoinSet::new();
    if let Some(shared) = &parts.shared {
        learn(parts, shared).await;
        if let Err(error) = revive_redis(shared, &parts.announcer).await {
            tracing::warn!(%error, "starting without Redis: it is asked as soon as it answers");
        }
        let (shared, local) = (Arc::clone(shared), Arc::clone(&parts.local));
        loops.spawn(feed::follow(Arc::clone(&shared), local, Arc::clone(&parts.metrics)));
        loops.spawn(watch_redis(Arc::clone(parts), shared));
    }
    loops.spawn(watch_postgres(Arc::clone(parts)));
    loops.spawn(carry_out(Arc::clone(parts)));
    loops.spawn(writer::replay(Arc::clone(&parts.clicks)));
    loops.spawn(roll_up(Arc::clone(parts)));
    loops.spawn(refresh(Arc::clone(parts), domains));
    loops.spawn(keep_token_keys(Arc::clone(parts)));
    loops.spawn(supply_codes(Arc::clone(parts)));
    loops.spawn(sweep(Arc::clone(parts)));
    loops
}

fn every(period: Duration) -> tokio::time::Interval {
    let mut ticks = interval(period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    ticks
}

async fn watch_redis(parts: Arc<Parts>, shared: Arc<Shared>) {
    let mut ticks = every(WATCH);
    loop {
        ticks.tick().await;
        if let Err(error) = revive_redis(&shared, &parts.announcer).await {
            tracing::debug!(%error, "Redis does not answer, or does not take what it missed");
        }
        show_breaker(&parts, "redis", shared.breaker().is_open());
    }
}

/// Sees whether Redis answers. One that was away is asked for links again only when it has taken
/// every change that it missed, or when nobody can say what these are.
async fn revive_redis(shared: &Shared, announcer: &Announcer) -> Result<(), announce::Error> {
    shared.check().await?;
    if shared.breaker().is_open() {
        match announcer.carry_out_all().await {
            Ok(()) | Err(announce::Error::Store(_)) => shared.breaker().close(),
            Err(error @ announce::Error::Shared(_)) => return Err(error),
        }
    }
    Ok(())
}

async fn watch_postgres(parts: Arc<Parts>) {
    let breaker = parts.resolver.database().breaker();
    let mut ticks = every(WATCH);
    loop {
        ticks.tick().await;
        match parts.store.ping().await {
            Ok(()) => {
                parts.postgres_up.store(true, Ordering::Release);
                if breaker.is_open() {
                    breaker.close();
                }
            }
            Err(error) => {
                parts.postgres_up.store(false, Ordering::Release);
                breaker.failed(&error);
            }
        }
        show_breaker(&parts, "postgres", breaker.is_open());
    }
}

fn show_breaker(parts: &Parts, dependency: &str, open: bool) {
    parts.metrics.breaker_open.with_label_values(&[dependency]).set(i64::from(open));
}

/// Repeats what an edit could not finish.
async fn carry_out(parts: Arc<Parts>) {
    let mut ticks = every(OUTBOX);
    loop {
        ticks.tick().await;
        let redis_is_away = parts.shared.as_ref().is_some_and(|shared| shared.breaker().is_open());
        if redis_is_away || !parts.postgres_up.load(Ordering::Acquire) {
            continue;
        }
        if let Err(error) = parts.announcer.carry_out_all().await {
            tracing::debug!(%error, "changes wait");
        }
    }
}

/// Adds stored clicks up, for the reports. A set that takes too long is tried again as a smaller one.
async fn roll_up(parts: Arc<Parts>) {
    let mut ticks = every(parts.config.clicks.roll_up);
    let mut most = rollup::MOST_BATCHES;
    loop {
        ticks.tick().await;
        while parts.postgres_up.load(Ordering::Acquire) {
            match rollup::roll_up(&parts.store, most).await {
                Ok(0) => break,
                Ok(batches) => {
                    parts.metrics.click_batches_rolled_up.inc_by(batches);
                    most = (most * 2).min(rollup::MOST_BATCHES);
                }
                Err(error) => {
                    if most == rollup::MOST_BATCHES {
                        tracing::warn!(%error, "clicks are added up later, fewer at a time");
                    }
                    most = (most / 2).max(1);
                    break;
                }
            }
        }
    }
}

/// Keeps what changes seldom current, and the figures that have to be asked for.
async fn refresh(parts: Arc<Parts>, domains: watch::Sender<Arc<Domains>>) {
    let mut ticks = every(REFRESH);
    loop {
        ticks.tick().await;
        read_countries_again(&parts).await;
        let (entries, bytes) = parts.local.size();
        parts.metrics.cache_entries.set(i64::try_from(entries).unwrap_or(i64::MAX));
        parts.metrics.cache_bytes.set(i64::try_from(bytes).unwrap_or(i64::MAX));
        for (pool, in_use, limit) in parts.store.pool_use() {
            for (state, connections) in [("in_use", in_use), ("limit", limit)] {
                parts
                    .metrics
                    .postgres_connections
                    .with_label_values(&[pool, state])
                    .set(i64::try_from(connections).unwrap_or(i64::MAX));
            }
        }
        if let Some(shared) = parts.shared.as_ref().filter(|shared| !shared.breaker().is_open()) {
            if let Ok(Some(share)) = shared.sample_listpacks(SAMPLES).await {
                parts.metrics.listpack_ratio.set(share);
            }
            if let Ok(Some(bytes)) = shared.used_memory().await {
                parts.metrics.redis_used_memory.set(bytes);
            }
        }
        if parts.postgres_up.load(Ordering::Acquire)
            && let Err(error) = read_again(&parts, &domains).await
        {
            tracing::debug!(%error, "domains and figures stay as they were");
        }
    }
}

async fn read_countries_again(parts: &Parts) {
    let countries = Arc::clone(&parts.clicks.countries);
    match tokio::task::spawn_blocking(move || countries.read_again()).await {
        Ok(Ok(false)) => {}
        Ok(Ok(true)) => tracing::info!("the file of countries changed, and was read again"),
        Ok(Err(error)) => tracing::error!(%error, "the countries known before stay in use"),
        Err(panicked) => tracing::error!(error = %panicked, "the file of countries"),
    }
}

async fn read_again(
    parts: &Parts,
    domains: &watch::Sender<Arc<Domains>>,
) -> Result<(), store::Error> {
    let now = Arc::new(read_domains(parts).await?);
    domains.send_if_modified(|before| {
        let changed = *before != now;
        *before = now;
        changed
    });
    parts.metrics.outbox_pending.set(redirects::count_pending(&parts.store).await?);
    parts.metrics.click_batches_to_roll_up.set(rollup::count_waiting(&parts.store).await?);
    if let Some(shared) = &parts.shared {
        learn(parts, shared).await;
    }
    Ok(())
}

async fn learn(parts: &Parts, shared: &Shared) {
    match redirects::dictionaries(&parts.store).await {
        Ok(dictionaries) => shared.learn(dictionaries),
        Err(error) => tracing::debug!(%error, "dictionaries stay as they were"),
    }
}

/// Keeps the keys of click tokens current: those that others made, and the next one when its time has
/// come.
async fn keep_token_keys(parts: Arc<Parts>) {
    let mut ticks = every(TOKEN_KEYS);
    loop {
        ticks.tick().await;
        if !parts.postgres_up.load(Ordering::Acquire) {
            continue;
        }
        let age = parts.config.referrals.token_key;
        match keys::renew(&parts.store, parts.clock.now(), age).await {
            Ok(keys) => drop(parts.token_keys.send_replace(Arc::new(keys))),
            Err(error) => tracing::warn!(%error, "the keys of click tokens stay as they were"),
        }
    }
}

/// Generates referral codes before they are needed.
async fn supply_codes(parts: Arc<Parts>) {
    parts.codes.keep_supplied(|| parts.postgres_up.load(Ordering::Acquire)).await;
}

async fn sweep(parts: Arc<Parts>) {
    let mut ticks = every(SWEEP);
    let mut records = Records::default();
    loop {
        ticks.tick().await;
        records.learn_if_many_overflow(&parts).await;
        throw_away(&parts).await;
    }
}

/// Records written to Redis until the last look.
#[derive(Default)]
struct Records {
    bucket: u64,
    overflow: u64,
}

impl Records {
    /// When more than a twentieth of the records written since the last look did not fit into their
    /// buckets, the dictionary no longer knows the links: a new one is learned.
    async fn learn_if_many_overflow(&mut self, parts: &Parts) {
        let written = |fit| parts.metrics.records.with_label_values(&[fit]).get();
        let now = Self { bucket: written("bucket"), overflow: written("overflow") };
        let (bucket, overflow) = (now.bucket - self.bucket, now.overflow - self.overflow);
        *self = now;
        if overflow < 1_000 || overflow * 20 < bucket + overflow {
            return;
        }
        match learning::learn(&parts.store).await {
            Ok(lesson) => tracing::info!(?lesson, "looked for a better dictionary"),
            Err(error) => tracing::debug!(%error, "no dictionary was learned"),
        }
    }
}

/// Each step is on its own: what holds one up does not keep the others from their promises.
async fn throw_away(parts: &Parts) {
    let keeper = &parts.clicks.keeper;
    let told = |what: &str, outcome: Result<(), store::Error>| {
        if let Err(error) = outcome {
            tracing::warn!(%error, "{what}: tried again in ten minutes");
        }
    };
    told("the partitions of the next days", keeper.prepare_coming_days().await);
    told("dropping days that are too old", keeper.drop_old_days().await);
    let remembered = parts.clock.now().before(writer::REMEMBERED);
    let forgotten = clicks::forget_batches(&parts.store, remembered).await;
    told("forgetting old batches", forgotten.map(drop_count));
    told("forgetting old answers", idempotency::forget_old(&parts.store).await.map(drop_count));
    if parts.shared.is_none() {
        let dropped = redirects::drop_old_changes(&parts.store).await;
        told("dropping old changes", dropped.map(drop_count));
    }
}

fn drop_count(_rows: u64) {}
