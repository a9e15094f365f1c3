//! Bytes per link in Redis: plain keys, and Waypost's buckets.

use std::time::Duration;

use redis::aio::MultiplexedConnection;
use serde::Serialize;

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
}

/// Commands that are sent together.
const PIPELINE: usize = 1_000;

/// Fills a private Redis once for each way to store the links.
pub(crate) fn measure(options: &Options) -> Result<Memory, Error> {
    say(&format!("Storing {} links in a private Redis.", options.redis_links));
    let links = corpus::links(options.redis_links);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(Error::io("start the runtime of the memory benchmark"))?;
    runtime.block_on(async {
        let plain_bytes_per_link = plain(&links).await?;
        Ok(Memory {
            links: links.len(),
            median_target_bytes: median_length(&links),
            plain_bytes_per_link,
        })
    })
}

fn median_length(links: &[Link]) -> usize {
    let mut lengths: Vec<usize> = links.iter().map(|link| link.target.len()).collect();
    lengths.sort_unstable();
    lengths.get(lengths.len() / 2).copied().unwrap_or_default()
}

/// A Redis of our own, with nothing saved and nothing but what we store.
struct PrivateRedis {
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
        let client = redis::Client::open(format!("redis://{address}/"))?;
        let connection = client.get_multiplexed_async_connection().await?;
        let mut redis = Self { connection, empty: 0.0, _process: process, _directory: directory };
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
