//! Figures for Prometheus: the only place that knows the `prometheus` crate.
//!
//! Handles are looked up once. What is counted on the way of a redirect is counted per thread
//! ([`EdgeFigures`]) and added up on a timer: a shared counter would make the cores fight for a line.

use prometheus::core::Collector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Opts, Registry, TextEncoder,
};

mod edge;
mod process;
pub mod referrals;
pub mod reviews;
pub mod rewards;
pub mod zookeeper;

pub use edge::{EdgeFigures, EdgeRoute};

use referrals::Referrals;
use reviews::Reviews;
use rewards::Rewards;
use zookeeper::Zookeeper;

/// All figures of the process.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: IntCounterVec,
    redirect_seconds: Histogram,
    resolved: IntCounterVec,
    /// Connections open, by listener.
    pub connections: IntGaugeVec,
    /// Connections refused, by listener and reason.
    pub connections_refused: IntCounterVec,
    /// Connections ended for being slow, by listener and phase.
    pub timeouts: IntCounterVec,
    /// How long a load took, by tier.
    pub load_seconds: HistogramVec,
    /// Links in the process's own cache.
    pub cache_entries: IntGauge,
    /// The bytes that they take, roughly.
    pub cache_bytes: IntGauge,
    /// The share of sampled buckets that are listpacks, in Redis.
    pub listpack_ratio: prometheus::Gauge,
    /// Memory that Redis uses, in bytes.
    pub redis_used_memory: IntGauge,
    /// 1 where a dependency is not asked because it does not answer.
    pub breaker_open: IntGaugeVec,
    /// Changes that the shared cache has yet to take.
    pub outbox_pending: IntGauge,
    /// The version of each campaign that this process works with.
    pub campaign_version: IntGaugeVec,
    /// Campaigns that run on an older version than the active one, or not at all.
    pub campaigns_unreadable: IntGauge,
    /// Messages about changed links, by event.
    pub invalidations: IntCounterVec,
    /// Records written to Redis, by whether they fit into a bucket.
    pub records: IntCounterVec,
    /// Clicks stored in the database.
    pub clicks_counted: IntCounter,
    /// Clicks lost, by reason.
    pub clicks_dropped: IntCounterVec,
    /// Clicks in memory that are not yet stored.
    pub clicks_pending: IntGauge,
    /// Clicks put into the spool.
    pub clicks_spooled: IntCounter,
    /// What waits in the spool, in bytes.
    pub click_spool_bytes: IntGauge,
    /// What may wait in the spool, in bytes.
    pub click_spool_limit_bytes: IntGauge,
    /// What was found in the spool and is no clicks, in bytes.
    pub click_spool_damaged_bytes: IntCounter,
    /// Batches of clicks that wait to be rolled up.
    pub click_batches_to_roll_up: IntGauge,
    /// Batches of clicks that were rolled up.
    pub click_batches_rolled_up: IntCounter,
    /// Referral codes in the pool that wait to be handed out, by length.
    pub codes_left: IntGaugeVec,
    /// Referral codes that this process gave to users.
    pub codes_issued: IntCounter,
    /// Referral codes out of the pool that are ready to be given, by place.
    pub codes_stocked: IntGaugeVec,
    /// Connections to PostgreSQL, by pool and state.
    pub postgres_connections: IntGaugeVec,
    /// Claims, bindings and triggers.
    pub referrals: Referrals,
    /// Rewards, and the work for them.
    pub rewards: Rewards,
    /// Cases of reviews.
    pub reviews: Reviews,
    /// Campaigns that `ZooKeeper` steers.
    pub zookeeper: Zookeeper,
}

/// Where an answer to "what is behind this slug" came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tier {
    /// The thread's or the process's own cache.
    Local,
    /// Redis.
    Redis,
    /// PostgreSQL.
    Postgres,
}

impl Tier {
    fn label(self) -> &'static str {
        match self {
            Self::Local => "local",
            Self::Redis => "redis",
            Self::Postgres => "postgres",
        }
    }
}

/// What a tier said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Said {
    /// The link.
    Hit,
    /// A link that should have been asked about, but nobody answered.
    Stale,
    /// It does not have it.
    Missing,
    /// Nothing in time.
    Error,
}

impl Said {
    fn label(self) -> &'static str {
        match self {
            Self::Hit => "hit",
            Self::Stale => "stale",
            Self::Missing => "missing",
            Self::Error => "error",
        }
    }
}

const SECONDS: [f64; 14] = [
    0.000_002, 0.000_005, 0.000_01, 0.000_025, 0.000_1, 0.000_5, 0.001, 0.002_5, 0.005, 0.01,
    0.025, 0.05, 0.1, 0.5,
];

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Metrics {
    /// All figures, at zero.
    #[expect(clippy::too_many_lines, reason = "one line or two for each figure, and nothing else")]
    pub fn new() -> Self {
        let registry = Registry::new();
        let r = &registry;
        let histogram =
            |name: &str, help: &str| HistogramOpts::new(name, help).buckets(SECONDS.to_vec());
        let redirect = histogram(
            "waypost_redirect_seconds",
            "Time from a parsed request on the edge to its built answer.",
        );
        let load = histogram(
            "waypost_resolve_load_seconds",
            "Time that a look-up of links took, by tier.",
        );
        Self {
            requests: counters(
                r,
                "waypost_http_requests_total",
                "Requests answered.",
                &["listener", "route", "status_class"],
            ),
            redirect_seconds: register(r, Histogram::with_opts(redirect)),
            resolved: counters(
                r,
                "waypost_resolve_total",
                "Look-ups of a slug, by the tier that was asked and what it said.",
                &["tier", "result"],
            ),
            connections: gauges(r, "waypost_http_connections", "Connections open.", &["listener"]),
            connections_refused: counters(
                r,
                "waypost_http_connections_refused_total",
                "Connections refused by a limit.",
                &["listener", "reason"],
            ),
            timeouts: counters(
                r,
                "waypost_http_timeouts_total",
                "Connections ended because the peer was too slow, by what it was doing.",
                &["listener", "phase"],
            ),
            load_seconds: register(r, HistogramVec::new(load, &["tier"])),
            cache_entries: gauge(r, "waypost_cache_entries", "Links in the process's own cache."),
            cache_bytes: gauge(
                r,
                "waypost_cache_bytes",
                "Memory of the process's own cache, roughly.",
            ),
            listpack_ratio: register(
                r,
                prometheus::Gauge::new(
                    "waypost_redis_listpack_ratio",
                    "Share of sampled Redis buckets in the compact encoding; should be 1.",
                ),
            ),
            redis_used_memory: gauge(
                r,
                "waypost_redis_used_memory_bytes",
                "Memory that the Redis server uses.",
            ),
            breaker_open: gauges(
                r,
                "waypost_breaker_open",
                "1 while a dependency is not asked because it does not answer.",
                &["dependency"],
            ),
            outbox_pending: gauge(
                r,
                "waypost_outbox_pending",
                "Changed links that the shared cache has yet to take.",
            ),
            campaign_version: gauges(
                r,
                "waypost_campaign_version",
                "The version of each campaign that this process works with.",
                &["campaign"],
            ),
            campaigns_unreadable: gauge(
                r,
                "waypost_campaigns_unreadable",
                "Campaigns whose active version this process cannot read: it uses an older one.",
            ),
            invalidations: counters(
                r,
                "waypost_invalidations_total",
                "Messages about changed links: received, published, and flushes after lost ones.",
                &["event"],
            ),
            records: counters(
                r,
                "waypost_records_total",
                "Records written to Redis: into a bucket, or under a key of their own.",
                &["fit"],
            ),
            clicks_counted: register(
                r,
                IntCounter::new(
                    "waypost_clicks_counted_total",
                    "Clicks stored in the database, those of bots included.",
                ),
            ),
            clicks_dropped: counters(
                r,
                "waypost_clicks_dropped_total",
                "Clicks lost, by reason.",
                &["reason"],
            ),
            clicks_pending: gauge(
                r,
                "waypost_clicks_pending",
                "Clicks in memory that are not yet stored: lost by a kill -9.",
            ),
            clicks_spooled: register(
                r,
                IntCounter::new(
                    "waypost_clicks_spooled_total",
                    "Clicks put into the spool because the database was away or slow.",
                ),
            ),
            click_spool_bytes: gauge(
                r,
                "waypost_click_spool_bytes",
                "Size of the spool: clicks that wait for the database on disk.",
            ),
            click_spool_limit_bytes: gauge(
                r,
                "waypost_click_spool_limit_bytes",
                "How large the spool may become; 0 without a spool.",
            ),
            click_spool_damaged_bytes: register(
                r,
                IntCounter::new(
                    "waypost_click_spool_damaged_bytes_total",
                    "Bytes found in the spool that are no clicks: cut or overwritten.",
                ),
            ),
            click_batches_to_roll_up: gauge(
                r,
                "waypost_click_batches_to_roll_up",
                "Batches of clicks that are missing in the reports so far, of all processes.",
            ),
            click_batches_rolled_up: register(
                r,
                IntCounter::new(
                    "waypost_click_batches_rolled_up_total",
                    "Batches of clicks added up by the hour and the day by this process.",
                ),
            ),
            codes_left: gauges(
                r,
                "waypost_codes_left",
                "Referral codes in the pool that wait to be handed out, by their length.",
                &["length"],
            ),
            codes_issued: register(
                r,
                IntCounter::new(
                    "waypost_codes_issued_total",
                    "Referral codes that this process gave to users who had none.",
                ),
            ),
            codes_stocked: gauges(
                r,
                "waypost_codes_stocked",
                "Referral codes out of the pool that are ready to be given: in Redis, for all \
                 processes, or in the memory of this one.",
                &["place"],
            ),
            postgres_connections: gauges(
                r,
                "waypost_postgres_connections",
                "Connections to PostgreSQL, by pool: in use, and their limit.",
                &["pool", "state"],
            ),
            referrals: Referrals::new(r),
            rewards: Rewards::new(r),
            reviews: Reviews::new(r),
            zookeeper: Zookeeper::new(r),
            registry,
        }
        .with_build()
    }

    fn with_build(self) -> Self {
        let build = gauges(
            &self.registry,
            "waypost_build_info",
            "1, labelled with the version.",
            &["version"],
        );
        build.with_label_values(&[env!("CARGO_PKG_VERSION")]).set(1);
        // There from the start: an alert on an increase does not see a series that begins above zero.
        for reason in ["buffer_full", "queue_full", "stopped", "spool_too_old"] {
            drop(self.clicks_dropped.with_label_values(&[reason]));
        }
        self.registry
            .register(Box::new(process::Figures::new()))
            .expect("the figures of the process are registered once");
        self
    }

    /// One more request answered.
    pub fn request(&self, listener: &str, route: &str, status: u16) {
        self.requests.with_label_values(&[listener, route, class_of(status)]).inc();
    }

    /// One more look-up.
    pub fn resolved(&self, tier: Tier, said: Said) {
        self.resolved_many(tier, said, 1);
    }

    /// So many more look-ups.
    pub fn resolved_many(&self, tier: Tier, said: Said, count: u64) {
        self.resolved.with_label_values(&[tier.label(), said.label()]).inc_by(count);
    }

    /// Everything in Prometheus' text format.
    pub fn text(&self) -> String {
        let mut text = Vec::new();
        match TextEncoder::new().encode(&self.registry.gather(), &mut text) {
            Ok(()) => String::from_utf8_lossy(&text).into_owned(),
            Err(error) => {
                tracing::error!(%error, "the metrics cannot be written out");
                String::new()
            }
        }
    }
}

const CLASSES: [&str; 5] = ["1xx", "2xx", "3xx", "4xx", "5xx"];

fn class_of(status: u16) -> &'static str {
    CLASSES.get(usize::from(status / 100).saturating_sub(1)).copied().unwrap_or("5xx")
}

fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: prometheus::Result<C>,
) -> C {
    let collector = collector.expect("the names and labels written here are valid");
    registry.register(Box::new(collector.clone())).expect("each name is registered once");
    collector
}

fn counters(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntCounterVec {
    register(registry, IntCounterVec::new(Opts::new(name, help), labels))
}

fn gauges(registry: &Registry, name: &str, help: &str, labels: &[&str]) -> IntGaugeVec {
    register(registry, IntGaugeVec::new(Opts::new(name, help), labels))
}

fn gauge(registry: &Registry, name: &str, help: &str) -> IntGauge {
    register(registry, IntGauge::new(name, help))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_of_a_thread_arrive_at_a_flush() {
        let metrics = Metrics::new();
        let edge = metrics.edge();
        edge.request(EdgeRoute::Redirect, 302, 0.000_003);
        edge.resolved(Said::Hit);
        let line = "waypost_http_requests_total{listener=\"edge\",route=\"redirect\",status_class=\"3xx\"}";
        assert!(metrics.text().contains(&format!("{line} 0")));
        edge.flush();
        let text = metrics.text();
        assert!(text.contains(&format!("{line} 1")), "{text}");
        assert!(text.contains("waypost_resolve_total{result=\"hit\",tier=\"local\"} 1"), "{text}");
        assert!(text.contains("waypost_redirect_seconds_count 1"), "{text}");
        assert!(text.contains("process_resident_memory_bytes "), "{text}");
        assert!(text.contains("waypost_build_info{version="), "{text}");
    }
}
