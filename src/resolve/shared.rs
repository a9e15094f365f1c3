//! Tier 2: Redis, as hashes that never leave the compact (listpack) encoding. The only place that
//! knows the `redis` crate, together with [`feed`](super::feed).
//!
//! A link is a field of the bucket `wl:{<hash of its key, modulo the number of buckets>}`. A bucket
//! has at most 128 fields of at most 64 bytes: the script that fills it sees to that, and refuses a
//! version older than the one that stands there. What does not fit stands under a key of its own in
//! the same hash slot, with a mark in the bucket, so that a plain miss stays one round trip.

use std::sync::{Arc, OnceLock, RwLock};
use std::time::Duration;

use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::{Client, Cmd, Pipeline, RedisError, RedisFuture, Script, Value, cmd};

use super::dictionary::Dictionary;
use super::record::{self, Dictionaries, Field, MAX_FIELD, Unreadable};
use crate::breaker::Breaker;
use crate::clock::whole_millis;
use crate::link::{LinkKey, Redirect};
use crate::metrics::Metrics;

mod instance;

/// Fields in a bucket when as many links are cached as were expected.
const USUAL_FIELDS: usize = 100;
/// More fields than this are not kept: they cost the server more work and save no memory.
const MAX_FIELDS: usize = 128;

/// How to reach Redis, and how the buckets are laid out.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Its addresses: one, or some nodes of a cluster.
    pub urls: Vec<String>,
    /// Whether they are a Redis Cluster's.
    pub cluster: bool,
    /// How long one command may take.
    pub response: Duration,
    /// How long connecting may take.
    pub connect: Duration,
    /// How many links the buckets are laid out for.
    pub expected_links: usize,
    /// How long a bucket lives.
    pub bucket: Duration,
    /// Stands before every key.
    pub prefix: String,
}

/// Why Redis did not help.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It said no, or the connection broke.
    #[error("Redis: {0}")]
    Redis(#[from] RedisError),
    /// No answer in time.
    #[error("Redis did not answer within {0:?}")]
    TimedOut(Duration),
    /// It is known to be away, or was never there.
    #[error("Redis is not asked until it answers again")]
    Open,
    /// What stood there is not a record.
    #[error("a record in Redis is unreadable: {0}")]
    Unreadable(#[from] Unreadable),
}

impl Error {
    /// Whether this says that Redis is away, and not just that it refuses one command.
    fn is_outage(&self) -> bool {
        match self {
            Self::Redis(error) => !matches!(
                error.code(),
                Some("ERR" | "NOPERM" | "NOSCRIPT" | "OOM" | "READONLY" | "WRONGTYPE")
            ),
            Self::TimedOut(_) => true,
            Self::Open | Self::Unreadable(_) => false,
        }
    }
}

/// The connection, single or cluster: both are handles that many tasks share.
#[derive(Clone)]
enum Handle {
    Single(ConnectionManager),
    Cluster(ClusterConnection),
}

impl ConnectionLike for Handle {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Single(connection) => connection.req_packed_command(cmd),
            Self::Cluster(connection) => connection.req_packed_command(cmd),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        pipeline: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Single(connection) => connection.req_packed_commands(pipeline, offset, count),
            Self::Cluster(connection) => connection.req_packed_commands(pipeline, offset, count),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Single(connection) => connection.get_db(),
            Self::Cluster(connection) => connection.get_db(),
        }
    }
}

/// What a bucket of the connected server can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limits {
    fields: usize,
    bytes: usize,
}

/// The dictionaries that this process knows; new records are written with the last.
#[derive(Debug)]
struct Known(Vec<Dictionary>);

impl Dictionaries for Known {
    fn by_id(&self, id: u8) -> Option<&Dictionary> {
        self.0.iter().find(|dictionary| dictionary.id() == id)
    }
}

impl Known {
    fn current(&self) -> &Dictionary {
        self.0.last().expect("the built-in dictionary is always there")
    }
}

/// The second tier.
pub struct Shared {
    settings: Settings,
    buckets: u64,
    handle: OnceLock<Handle>,
    limits: RwLock<Limits>,
    known: RwLock<Arc<Known>>,
    fill: Script,
    breaker: Breaker,
    metrics: Arc<Metrics>,
}

impl Shared {
    /// Prepares the tier; connects to nothing yet. Nobody asks it before [`Shared::check`] succeeded
    /// and the breaker was closed.
    pub fn new(settings: Settings, metrics: Arc<Metrics>) -> Result<Self, Error> {
        for url in &settings.urls {
            drop(Client::open(url.as_str())?);
        }
        let buckets = settings.expected_links.div_ceil(USUAL_FIELDS).max(1);
        Ok(Self {
            buckets: u64::try_from(buckets).unwrap_or(u64::MAX),
            settings,
            handle: OnceLock::new(),
            limits: RwLock::new(Limits { fields: MAX_FIELDS, bytes: MAX_FIELD }),
            known: RwLock::new(Arc::new(Known(vec![Dictionary::built_in()]))),
            fill: Script::new(FILL),
            breaker: Breaker::open("redis"),
            metrics,
        })
    }

    /// Whether Redis is asked at all.
    pub fn breaker(&self) -> &Breaker {
        &self.breaker
    }

    /// The addresses, for the one who subscribes.
    pub(super) fn urls(&self) -> &[String] {
        &self.settings.urls
    }

    /// What stands before every key.
    pub(super) fn prefix(&self) -> &str {
        &self.settings.prefix
    }

    /// The channel on which changed keys are told.
    pub(super) fn channel(&self) -> String {
        format!("{}:changed", self.settings.prefix)
    }

    /// Takes over the dictionaries of the deployment; unusable ones are left out.
    pub fn learn(&self, dictionaries: Vec<(u8, Vec<String>)>) {
        let mut known = vec![Dictionary::built_in()];
        known.extend(dictionaries.into_iter().filter_map(|(id, entries)| {
            Dictionary::from_entries(id, entries.into_iter().map(String::into_boxed_str).collect())
        }));
        *self.known.write().unwrap_or_else(std::sync::PoisonError::into_inner) =
            Arc::new(Known(known));
    }

    fn known(&self) -> Arc<Known> {
        Arc::clone(&self.known.read().unwrap_or_else(std::sync::PoisonError::into_inner))
    }

    fn limits(&self) -> Limits {
        *self.limits.read().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Finds a link: `None` when the bucket does not have it.
    pub async fn get(&self, key: &LinkKey) -> Result<Option<Field>, Error> {
        if self.breaker.is_open() {
            return Err(Error::Open);
        }
        if key.as_str().len() > self.limits().bytes {
            return Ok(None);
        }
        let Some(bytes) = self.ask::<Option<Vec<u8>>>(&self.hget(key)).await? else {
            return Ok(None);
        };
        match record::decode(&bytes, &*self.known())? {
            Field::Overflow { version: _ } => {
                let mut get = cmd("GET");
                get.arg(self.places(key).1);
                match self.ask::<Option<Vec<u8>>>(&get).await? {
                    None => Ok(None),
                    Some(bytes) => Ok(Some(record::decode(&bytes, &*self.known())?)),
                }
            }
            field @ (Field::Link(_) | Field::Tombstone { .. }) => Ok(Some(field)),
        }
    }

    /// The versions of the links that stand in the buckets in full, in the order of `keys`; `None` for
    /// what takes a second look. One message and one answer for all of them, or one for each in a
    /// cluster.
    pub async fn versions(&self, keys: &[LinkKey]) -> Result<Vec<Option<u64>>, Error> {
        if self.breaker.is_open() {
            return Err(Error::Open);
        }
        let mut handle = self.handle()?;
        let answers: Vec<Option<Vec<u8>>> = if self.settings.cluster {
            let gets = keys.iter().map(|key| {
                let mut handle = handle.clone();
                async move { self.hget(key).query_async(&mut handle).await }
            });
            self.timed(futures_util::future::try_join_all(gets)).await?
        } else {
            let mut pipeline = Pipeline::with_capacity(keys.len());
            for key in keys {
                pipeline.cmd("HGET").arg(self.bucket_of(key)).arg(key.as_str());
            }
            self.timed(pipeline.query_async(&mut handle)).await?
        };
        Ok(answers.iter().map(|answer| record::link_version(answer.as_deref()?)).collect())
    }

    fn hget(&self, key: &LinkKey) -> Cmd {
        let mut get = cmd("HGET");
        get.arg(self.bucket_of(key)).arg(key.as_str());
        get
    }

    /// Writes a link, unless a later version stands there already.
    pub async fn put(&self, key: &LinkKey, link: &Redirect) -> Result<(), Error> {
        let Some(bytes) = record::encode(link, self.known().current()) else { return Ok(()) };
        if bytes.len() <= self.limits().bytes {
            self.metrics.records.with_label_values(&["bucket"]).inc();
            self.write(key, &bytes, link.version, &[]).await
        } else {
            self.metrics.records.with_label_values(&["overflow"]).inc();
            self.write(key, &record::overflow(link.version), link.version, &bytes).await
        }
    }

    /// Writes that a link was deleted, unless a later version stands there already.
    pub async fn bury(&self, key: &LinkKey, version: u64) -> Result<(), Error> {
        self.write(key, &record::tombstone(version), version, &[]).await
    }

    async fn write(
        &self,
        key: &LinkKey,
        field: &[u8],
        version: u64,
        overflow: &[u8],
    ) -> Result<(), Error> {
        let limits = self.limits();
        if key.as_str().len() > limits.bytes {
            return Ok(());
        }
        let (bucket, own) = self.places(key);
        let life = whole_millis(self.settings.bucket);
        let jittered = life - life / 10 + rand::random_range(0..=life / 5);
        let mut call = self.fill.prepare_invoke();
        call.key(bucket).key(own).arg(key.as_str()).arg(field).arg(version);
        call.arg(limits.fields).arg(jittered).arg(overflow);
        let mut handle = self.handle()?;
        self.timed(call.invoke_async::<i64>(&mut handle)).await.map(drop)
    }

    /// Tells every process that links changed.
    pub async fn publish(&self, keys: &[LinkKey]) -> Result<(), Error> {
        for some in keys.chunks(500) {
            let keys: Vec<&str> = some.iter().map(LinkKey::as_str).collect();
            let mut publish = cmd("PUBLISH");
            publish.arg(self.channel()).arg(keys.join("\n"));
            self.ask::<i64>(&publish).await?;
            self.metrics.invalidations.with_label_values(&["published"]).inc();
        }
        Ok(())
    }

    /// The bucket of a key, and the key of its own for the case that it does not fit.
    fn places(&self, key: &LinkKey) -> (String, String) {
        let bucket = self.bucket_of(key);
        let own = format!("{bucket}:{key}");
        (bucket, own)
    }

    fn bucket_of(&self, key: &LinkKey) -> String {
        format!("{}:{{{}}}", self.settings.prefix, hash(key.as_str()) % self.buckets)
    }

    fn handle(&self) -> Result<Handle, Error> {
        self.handle.get().cloned().ok_or(Error::Open)
    }

    /// Sends one command, and waits for its answer as long as the settings allow. Does not look at the
    /// breaker.
    pub(super) async fn ask<T: redis::FromRedisValue>(&self, cmd: &Cmd) -> Result<T, Error> {
        let mut handle = self.handle()?;
        self.timed(cmd.query_async(&mut handle)).await
    }

    /// Waits for an answer, but not for long, and lets the breaker know how it went.
    async fn timed<T>(
        &self,
        answer: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, Error> {
        let outcome = match tokio::time::timeout(self.settings.response, answer).await {
            Ok(outcome) => outcome.map_err(Error::from),
            Err(_elapsed) => Err(Error::TimedOut(self.settings.response)),
        };
        match &outcome {
            Err(error) if error.is_outage() => self.breaker.failed(error),
            Ok(_) | Err(_) => self.breaker.succeeded(),
        }
        outcome
    }

    /// Connects if need be, sees whether the server answers, and reads its limits if it was away. Does not close the breaker: the caller
    /// does, once changes that were missed have been written.
    pub async fn check(&self) -> Result<(), Error> {
        self.connect_if_need_be().await?;
        self.ask::<String>(&cmd("PING")).await?;
        self.recognize().await?;
        if self.breaker.is_open() {
            // It may be another server by now.
            let limits = self.read_limits().await;
            *self.limits.write().unwrap_or_else(std::sync::PoisonError::into_inner) = limits;
        }
        Ok(())
    }

    /// Sees whether the server answers, and changes nothing there. What it does when its memory is full,
    /// its `maxmemory-policy`; `None` if it keeps that to itself, and for a cluster.
    pub async fn look(&self) -> Result<Option<String>, Error> {
        self.connect_if_need_be().await?;
        self.ask::<String>(&cmd("PING")).await?;
        match self.about_memory("maxmemory_policy:").await {
            Err(error) if !error.is_outage() => Ok(None),
            policy => policy,
        }
    }

    async fn connect_if_need_be(&self) -> Result<(), Error> {
        if self.handle.get().is_none() {
            let handle = self.connect().await?;
            // Losing a race against another caller leaves the other's connection in place.
            drop(self.handle.set(handle));
        }
        Ok(())
    }

    async fn connect(&self) -> Result<Handle, Error> {
        let settings = &self.settings;
        if settings.cluster {
            let client = ClusterClient::builder(settings.urls.iter().map(String::as_str))
                .connection_timeout(settings.connect)
                .response_timeout(settings.response)
                .retries(1)
                .build()?;
            let patience = settings.connect * 20;
            return match tokio::time::timeout(patience, client.get_async_connection()).await {
                Ok(connection) => Ok(Handle::Cluster(connection?)),
                Err(_elapsed) => Err(Error::TimedOut(patience)),
            };
        }
        let url = settings.urls.first().map_or("", String::as_str);
        // Without retries: the breaker decides when to try again, not a request.
        let config = ConnectionManagerConfig::new()
            .set_number_of_retries(0)
            .set_connection_timeout(Some(settings.connect))
            .set_response_timeout(Some(settings.response));
        Ok(Handle::Single(ConnectionManager::new_lazy_with_config(Client::open(url)?, config)?))
    }

    /// What a bucket can hold before this server turns it into a hash table. A server that refuses
    /// to tell is taken to have its defaults.
    async fn read_limits(&self) -> Limits {
        let mut limits = Limits { fields: MAX_FIELDS, bytes: MAX_FIELD };
        // The older names are understood by every version.
        for (name, limit) in [
            ("hash-max-ziplist-entries", &mut limits.fields),
            ("hash-max-ziplist-value", &mut limits.bytes),
        ] {
            let mut get = cmd("CONFIG");
            get.arg("GET").arg(name);
            match self.ask::<Vec<String>>(&get).await {
                Ok(answer) => {
                    if let Some(most) = answer.get(1).and_then(|text| text.parse().ok()) {
                        *limit = (*limit).min(most);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, name, "the server keeps its limits to itself");
                }
            }
        }
        let wanted = Limits { fields: MAX_FIELDS, bytes: MAX_FIELD };
        if limits != wanted {
            tracing::warn!(
                fields = limits.fields,
                bytes = limits.bytes,
                "the server's hash-max-listpack limits are lower than {MAX_FIELDS} fields of \
                 {MAX_FIELD} bytes: fewer links fit into a bucket"
            );
        }
        limits
    }

    /// The share of some buckets, chosen by chance, that are listpacks; `None` if there are none.
    pub async fn sample_listpacks(&self, samples: usize) -> Result<Option<f64>, Error> {
        let (mut seen, mut compact) = (0_u32, 0_u32);
        for _ in 0..samples {
            let bucket = rand::random_range(0..self.buckets);
            let mut object = cmd("OBJECT");
            object.arg("ENCODING").arg(format!("{}:{{{bucket}}}", self.settings.prefix));
            // A bucket that does not exist is an empty answer, or an error, by version.
            if let Some(encoding) = self.ask::<Option<String>>(&object).await.ok().flatten() {
                seen += 1;
                compact += u32::from(encoding == "listpack" || encoding == "ziplist");
            }
        }
        Ok((seen > 0).then(|| f64::from(compact) / f64::from(seen)))
    }

    /// Memory that the server uses, in bytes. A cluster's nodes are not added up.
    pub async fn used_memory(&self) -> Result<Option<i64>, Error> {
        Ok(self.about_memory("used_memory:").await?.and_then(|bytes| bytes.parse().ok()))
    }

    /// What the server tells of its memory under a name. A cluster's nodes are not asked.
    async fn about_memory(&self, name: &str) -> Result<Option<String>, Error> {
        if self.settings.cluster {
            return Ok(None);
        }
        let mut info = cmd("INFO");
        info.arg("memory");
        let text: String = self.ask(&info).await?;
        Ok(text.lines().find_map(|line| line.strip_prefix(name)).map(|text| text.trim().to_owned()))
    }
}

/// The bucket of a key must be the same in every process and every build: FNV-1a, mixed once more
/// because its low bits alone are weak.
fn hash(key: &str) -> u64 {
    let hash = key.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let mixed = (hash ^ (hash >> 32)).wrapping_mul(0xd6e8_feb8_6659_fd93);
    mixed ^ (mixed >> 32)
}

/// Fills one field of a bucket.
///
/// Keys: the bucket, the key of the link's own. Arguments: field, value, version, most fields, life
/// in milliseconds, and what goes under the key of its own (empty: nothing). Answers 1 if it wrote,
/// 0 if a later version stands there. A deletion wins over a link of the same version.
const FILL: &str = r"
local function version_of(value)
  local version, unit = 0, 1
  for i = 2, #value do
    local byte = string.byte(value, i)
    version = version + (byte % 128) * unit
    if byte < 128 then break end
    unit = unit * 128
  end
  return version
end
local function deletes(value) return string.byte(value, 1) == 1 end

local bucket, own = KEYS[1], KEYS[2]
local field, value, version = ARGV[1], ARGV[2], tonumber(ARGV[3])
local standing = redis.call('HGET', bucket, field)
if standing then
  local its = version_of(standing)
  if its > version or (its == version and deletes(standing) and not deletes(value)) then
    return 0
  end
elseif redis.call('HLEN', bucket) >= tonumber(ARGV[4]) then
  redis.call('HDEL', bucket, redis.call('HRANDFIELD', bucket))
end
redis.call('HSET', bucket, field, value)
if redis.call('PTTL', bucket) == -1 then
  redis.call('PEXPIRE', bucket, ARGV[5])
end
if ARGV[6] ~= '' then
  redis.call('SET', own, ARGV[6], 'PX', ARGV[5])
elseif standing then
  redis.call('DEL', own)
end
return 1
";
