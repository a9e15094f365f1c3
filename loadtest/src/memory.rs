//! Bytes per link in Redis: plain keys, and Waypost's buckets.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use serde::Serialize;
use tokio::task::JoinSet;
use waypost::link::{DomainId, LinkId, LinkKey, Redirect, RedirectStatus};
use waypost::metrics::Metrics;
use waypost::resolve::dictionary::Dictionary;
use waypost::resolve::record::Field;
use waypost::resolve::shared::{Settings, Shared};

use crate::corpus::{self, Link};
use crate::process::{Process, find, free_address};
use crate::{Error, Options, peers, say};

/// What the memory benchmark found.
#[derive(Serialize)]
pub(crate) struct Memory {
    /// Links that were stored, each way.
    pub(crate) links: usize,
    /// The median length of the targets, in bytes.
    pub(crate) median_target_bytes: usize,
    /// Bytes per link with `SET l:<slug> <target>`.
    pub(crate) plain_bytes_per_link: f64,
    /// Waypost's buckets, with one dictionary after the other.
    pub(crate) buckets: Vec<Buckets>,
}

/// Links in Waypost's buckets.
#[derive(Serialize)]
pub(crate) struct Buckets {
    /// Which dictionary made the targets small.
    pub(crate) dictionary: &'static str,
    /// Bytes per link.
    pub(crate) bytes_per_link: f64,
    /// The share of records that fit into a field of a bucket.
    pub(crate) fitting: f64,
    /// The share of sampled buckets in the compact encoding.
    pub(crate) listpack: f64,
    /// The share of sampled links that were found again; the others gave way in a full bucket.
    pub(crate) found: f64,
}

/// Commands that are sent together, and writers at a time.
const PIPELINE: usize = 1_000;
const WRITERS: usize = 64;
/// Targets that a dictionary is learned from.
const SAMPLE: usize = 5_000;
/// Buckets whose encoding is looked at, and links that are looked for.
const LOOKS: usize = 5_000;

/// Fills a private Redis once for each way to store the links.
pub(crate) fn measure(options: &Options) -> Result<Memory, Error> {
    let links: Arc<[Link]> = corpus::links(options.redis_links).into();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::io("start the runtime of the memory benchmark"))?;
    say(&format!("Storing {} links in a private Redis, as plain keys.", links.len()));
    let plain_bytes_per_link = runtime.block_on(plain(&links))?;
    let mut filled = Vec::new();
    for (name, dictionaries) in [("built-in", Vec::new()), ("learned", vec![learn(&links)?])] {
        say(&format!("Storing them in Waypost's buckets, with the {name} dictionary."));
        filled.push(runtime.block_on(buckets(name, dictionaries, &links))?);
    }
    Ok(Memory {
        links: links.len(),
        median_target_bytes: median_length(&links),
        plain_bytes_per_link,
        buckets: filled,
    })
}

fn median_length(links: &[Link]) -> usize {
    let mut lengths: Vec<usize> = links.iter().map(|link| link.target.len()).collect();
    lengths.sort_unstable();
    lengths.get(lengths.len() / 2).copied().unwrap_or_default()
}

/// A Redis of our own, with nothing saved and nothing but what we store.
struct PrivateRedis {
    url: String,
    connection: MultiplexedConnection,
    empty: f64,
    _process: Process,
    _directory: tempfile::TempDir,
}

impl PrivateRedis {
    async fn start() -> Result<Self, Error> {
        let Some(program) = find("redis-server", &["/usr/sbin", "/usr/local/bin"]) else {
            let remedy = "apt-get install redis-server, or --skip redis";
            return Err(Error::Missing { program: "redis-server", remedy });
        };
        let directory = peers::directory()?;
        let address = free_address()?;
        let mut command = crate::process::watched(program);
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
        command.args(["--save", "", "--appendonly", "no", "--dir"]).arg(directory.path());
        let mut process = Process::start("redis-server", command, directory.path())?;
        process.wait_for_port(address)?;
        let url = format!("redis://{address}/");
        let connection =
            redis::Client::open(url.as_str())?.get_multiplexed_async_connection().await?;
        let mut redis =
            Self { url, connection, empty: 0.0, _process: process, _directory: directory };
        redis.empty = redis.used_memory().await?;
        Ok(redis)
    }

    /// Bytes in use, once they no longer change: a hash table that grows is moved bit by bit.
    async fn used_memory(&mut self) -> Result<f64, Error> {
        let mut before = 0.0;
        for _ in 0..50 {
            let info: String =
                redis::cmd("INFO").arg("memory").query_async(&mut self.connection).await?;
            let now: f64 = info
                .lines()
                .find_map(|line| line.strip_prefix("used_memory:")?.parse().ok())
                .ok_or_else(|| Error::broken("redis-server", "INFO has no used_memory"))?;
            if (now - before).abs() < 65_536.0 {
                return Ok(now);
            }
            before = now;
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        Ok(before)
    }

    async fn bytes_per_link(&mut self, links: &[Link]) -> Result<f64, Error> {
        let links = u32::try_from(links.len()).expect("far fewer links than four billion");
        Ok((self.used_memory().await? - self.empty) / f64::from(links))
    }
}

/// One key for each link, as short as it can be and still share the server with other keys.
async fn plain(links: &[Link]) -> Result<f64, Error> {
    let mut redis = PrivateRedis::start().await?;
    for chunk in links.chunks(PIPELINE) {
        let mut pipeline = redis::pipe();
        for link in chunk {
            pipeline.set(format!("l:{}", link.slug), &link.target).ignore();
        }
        let () = pipeline.query_async(&mut redis.connection).await?;
    }
    redis.bytes_per_link(links).await
}

/// A dictionary such as Waypost learns from the links of a deployment.
fn learn(links: &[Link]) -> Result<(u8, Vec<String>), Error> {
    let apart = (links.len() / SAMPLE).max(1);
    let sample: Vec<&str> =
        links.iter().step_by(apart).take(SAMPLE).map(|link| link.target.as_str()).collect();
    let dictionary = Dictionary::learn(1, &sample)
        .ok_or_else(|| Error::broken("waypost", "no dictionary could be learned"))?;
    let entries = dictionary.entries().iter().map(|entry| entry.clone().into_string()).collect();
    Ok((dictionary.id(), entries))
}

/// The links as Waypost itself stores them: through its own writer, buckets, script and all.
async fn buckets(
    dictionary: &'static str,
    dictionaries: Vec<(u8, Vec<String>)>,
    links: &Arc<[Link]>,
) -> Result<Buckets, Error> {
    let mut redis = PrivateRedis::start().await?;
    let metrics = Arc::new(Metrics::new());
    let settings = Settings {
        urls: vec![redis.url.clone()],
        cluster: false,
        response: Duration::from_secs(10),
        connect: Duration::from_secs(10),
        expected_links: links.len(),
        bucket: Duration::from_hours(24),
        prefix: "wl".to_owned(),
    };
    let shared = Arc::new(Shared::new(settings, Arc::clone(&metrics)).map_err(broken)?);
    shared.learn(dictionaries);
    shared.check().await.map_err(broken)?;
    shared.breaker().close();
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let (shared, links) = (Arc::clone(&shared), Arc::clone(links));
        writers.spawn(async move {
            for (number, link) in (1..).zip(links.iter()).skip(writer).step_by(WRITERS) {
                shared.put(&key(link), &record(number, link)).await.map_err(broken)?;
            }
            Ok::<(), Error>(())
        });
    }
    while let Some(written) = writers.join_next().await {
        written.map_err(broken)??;
    }
    let bytes_per_link = redis.bytes_per_link(links).await?;
    let listpack = shared.sample_listpacks(LOOKS).await.map_err(broken)?.unwrap_or_default();
    let fits = metrics.records.with_label_values(&["bucket"]).get();
    let overflows = metrics.records.with_label_values(&["overflow"]).get();
    let found = found(&shared, links).await?;
    Ok(Buckets {
        dictionary,
        bytes_per_link,
        fitting: share(fits, fits + overflows),
        listpack,
        found,
    })
}

/// Looks for some of the links, and checks that what is found leads where it should.
async fn found(shared: &Shared, links: &[Link]) -> Result<f64, Error> {
    let apart = (links.len() / LOOKS).max(1);
    let (mut looked, mut found) = (0_u64, 0_u64);
    for link in links.iter().step_by(apart) {
        looked += 1;
        match shared.get(&key(link)).await.map_err(broken)? {
            None => {}
            Some(Field::Link(record)) if *record.target == *link.target => found += 1,
            Some(field) => {
                let what = format!("/{} came back as {field:?}", link.slug);
                return Err(Error::broken("waypost", what));
            }
        }
    }
    Ok(share(found, looked))
}

fn key(link: &Link) -> LinkKey {
    LinkKey::new(DomainId::DEFAULT, &link.slug)
}

/// What a plain link becomes: ids and versions count up from one, as the database hands them out.
fn record(number: u32, link: &Link) -> Redirect {
    Redirect {
        link: LinkId(number.into()),
        version: number.into(),
        status: RedirectStatus::Found,
        cache_seconds: None,
        valid_from: None,
        expires_at: None,
        forward_query: false,
        disabled: false,
        fallback: None,
        limited: false,
        preview: false,
        rules: Vec::new(),
        target: link.target.as_str().into(),
    }
}

fn share(part: u64, whole: u64) -> f64 {
    let number = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
    if whole == 0 { 0.0 } else { number(part) / number(whole) }
}

fn broken(error: impl std::fmt::Display) -> Error {
    Error::broken("waypost's way to Redis", error.to_string())
}
