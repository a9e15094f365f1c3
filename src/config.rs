//! Settings: a TOML file, environment variables over it, valid values out of it. The only place that
//! knows TOML and the environment.
//!
//! A value is judged while it is read, so that a message can show the file, the line and the remedy.
//! `config/waypost.toml` shows every setting with its default; a test keeps it so.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

use crate::address::AddressRange;

pub use apps::{Android, App};
pub use campaigns::{CampaignSource, Campaigns, Zookeeper};
pub use values::Secret;
use values::{
    at_least, authorization, cache_seconds, call_milliseconds, days, from_to, header_count, hosts,
    key_prefix, milliseconds, optional_path, power_of_two, public_url, ranges, seconds,
    seconds_or_zero, service_url, slug_length,
};

mod apps;
mod campaigns;
mod defaults;
mod values;

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be read.
    #[error("cannot read the configuration file {path}: {source}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file has something in it that is not understood.
    #[error("in {path}: {message}")]
    Content {
        /// Which file.
        path: PathBuf,
        /// The line, what is wrong with it, and what would be right.
        message: String,
    },
    /// An environment variable has a value that is not understood.
    #[error("in the environment variable {name}: {message}")]
    Environment {
        /// Which variable.
        name: String,
        /// What is wrong with it.
        message: String,
    },
}

/// All settings.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The listener that faces the internet.
    pub edge: Edge,
    /// The listener for operators, backends and Prometheus.
    pub control: Control,
    /// What a client may cost.
    pub limits: Limits,
    /// How a stop goes.
    pub shutdown: Shutdown,
    /// The database.
    pub postgres: Postgres,
    /// The shared cache.
    pub redis: Redis,
    /// The cache in the process.
    pub cache: Cache,
    /// Rules for links.
    pub links: Links,
    /// Counting.
    pub clicks: Clicks,
    /// Where campaigns come from.
    pub campaigns: Campaigns,
    /// The `ZooKeeper` that they may come from.
    pub zookeeper: Zookeeper,
    /// Referrals.
    pub referrals: Referrals,
    /// The work for rewards.
    pub rewards: Rewards,
    /// The service that moves the money.
    pub payment: Payment,
    /// The service that tells the users.
    pub notifications: Notifications,
    /// Asking other services.
    pub outbound: Outbound,
    /// What is written to standard error.
    pub log: Log,
    /// Apps that open links by themselves.
    pub apps: Vec<App>,
}

/// `[edge]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Edge {
    /// Where redirects are served.
    pub listen: SocketAddr,
    /// How people reach the edge from outside; its host is the default domain.
    #[serde(deserialize_with = "public_url")]
    pub public_url: url::Url,
    /// Threads that serve; 0 is one for each core.
    pub workers: usize,
    /// What a request for a host gets that is no domain of ours.
    pub unknown_host: UnknownHost,
    /// Proxies in front whose `X-Forwarded-For` is believed.
    #[serde(deserialize_with = "ranges")]
    pub trusted_proxies: Vec<AddressRange>,
}

/// What a request for an unknown host gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum UnknownHost {
    /// The links of the default domain.
    DefaultDomain,
    /// 404.
    NotFound,
}

/// `[control]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Control {
    /// Where the API, `/metrics`, `/healthz` and `/readyz` are served. Not for the internet.
    pub listen: SocketAddr,
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Limits {
    /// From the first byte of a request to the end of its headers.
    #[serde(rename = "header_read_seconds", deserialize_with = "seconds")]
    pub header_read: Duration,
    /// The size of a request's line and headers.
    #[serde(deserialize_with = "from_to::<8_192, 1_048_576, _>")]
    pub header_bytes: usize,
    /// How many headers a request may have.
    #[serde(deserialize_with = "header_count")]
    pub headers: usize,
    /// The body of a request to the control listener.
    #[serde(deserialize_with = "at_least::<1_024, _>")]
    pub control_body_bytes: usize,
    /// The body of a batch.
    #[serde(deserialize_with = "at_least::<1_024, _>")]
    pub batch_body_bytes: usize,
    /// From the end of a request's headers to the answer.
    #[serde(rename = "request_seconds", deserialize_with = "seconds")]
    pub request: Duration,
    /// How long a connection may be idle between requests.
    #[serde(rename = "keep_alive_seconds", deserialize_with = "seconds")]
    pub keep_alive: Duration,
    /// How long a connection may live.
    #[serde(rename = "connection_age_seconds", deserialize_with = "seconds")]
    pub connection_age: Duration,
    /// Connections at a time from one IPv4 address or IPv6 /64.
    #[serde(deserialize_with = "at_least::<1, _>")]
    pub connections_per_client: usize,
    /// Unknown slugs and codes that one client may have looked up in ten minutes.
    #[serde(deserialize_with = "from_to::<1, 1_000_000_000, _>")]
    pub misses_per_client: usize,
    /// Connections at a time to one listener.
    #[serde(deserialize_with = "at_least::<1, _>")]
    pub connections: usize,
}

/// `[shutdown]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Shutdown {
    /// How long requests are still answered, each with `Connection: close`, while `/readyz` already
    /// says no: the time that balancers need to look elsewhere.
    #[serde(rename = "announce_seconds", deserialize_with = "seconds_or_zero")]
    pub announce: Duration,
    /// After which the process ends, whatever is still open.
    #[serde(rename = "limit_seconds", deserialize_with = "seconds")]
    pub limit: Duration,
}

/// `[postgres]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Postgres {
    /// Where the database is; `DATABASE_URL` stands above it.
    pub url: Secret,
    /// Connections for link look-ups.
    #[serde(deserialize_with = "from_to::<1, 10_000, _>")]
    pub read_connections: usize,
    /// Connections for everything else.
    #[serde(deserialize_with = "from_to::<1, 10_000, _>")]
    pub connections: usize,
    /// Connections for granting and moving rewards.
    #[serde(deserialize_with = "from_to::<1, 10_000, _>")]
    pub reward_connections: usize,
    /// How long a look-up waits for a connection.
    #[serde(rename = "pool_wait_milliseconds", deserialize_with = "milliseconds")]
    pub pool_wait: Duration,
    /// How long a look-up may take.
    #[serde(rename = "read_timeout_milliseconds", deserialize_with = "milliseconds")]
    pub read_timeout: Duration,
    /// How long a start waits for the database.
    #[serde(rename = "startup_wait_seconds", deserialize_with = "seconds_or_zero")]
    pub startup_wait: Duration,
}

/// `[redis]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Redis {
    /// Where Redis is; several addresses are the nodes of a cluster; none is no second tier.
    /// `REDIS_URL` stands above it, its addresses separated by commas.
    pub urls: Vec<Secret>,
    /// Whether the addresses are those of a Redis Cluster.
    pub cluster: bool,
    /// How long one command may take.
    #[serde(rename = "response_milliseconds", deserialize_with = "milliseconds")]
    pub response: Duration,
    /// How long connecting may take.
    #[serde(rename = "connect_milliseconds", deserialize_with = "milliseconds")]
    pub connect: Duration,
    /// How many links the buckets are laid out for. All processes must agree on it.
    #[serde(deserialize_with = "at_least::<1, _>")]
    pub expected_links: usize,
    /// How long a bucket lives, give or take a tenth.
    #[serde(rename = "bucket_seconds", deserialize_with = "seconds")]
    pub bucket: Duration,
    /// Stands before every key and channel, so that deployments can share a server.
    #[serde(deserialize_with = "key_prefix")]
    pub prefix: String,
}

/// `[cache]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Cache {
    /// Memory for links in the process.
    #[serde(deserialize_with = "at_least::<65_536, _>")]
    pub bytes: usize,
    /// How long a link is believed without asking again, give or take a tenth.
    #[serde(rename = "fresh_milliseconds", deserialize_with = "milliseconds")]
    pub fresh: Duration,
    /// How long a link is served when nobody can be asked.
    #[serde(rename = "stale_seconds", deserialize_with = "seconds")]
    pub stale: Duration,
    /// How many unknown slugs are remembered.
    #[serde(deserialize_with = "at_least::<1, _>")]
    pub missing_entries: usize,
    /// How long an unknown slug is remembered.
    #[serde(rename = "missing_milliseconds", deserialize_with = "milliseconds")]
    pub missing: Duration,
    /// Links that each serving thread keeps at hand, in front of the cache; a power of two.
    #[serde(deserialize_with = "power_of_two")]
    pub front_entries: usize,
}

/// `[links]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Links {
    /// Length of generated slugs.
    #[serde(deserialize_with = "slug_length")]
    pub slug_length: u8,
    /// Whether a chosen slug may contain `/`.
    pub slashes: bool,
    /// Schemes that a target may have.
    pub schemes: Vec<String>,
    /// Hosts that a target must have; empty: any. `example.com` allows its subdomains too.
    #[serde(deserialize_with = "hosts")]
    pub allowed_hosts: Vec<String>,
    /// Hosts that a target must not have. `example.com` blocks its subdomains too.
    #[serde(deserialize_with = "hosts")]
    pub blocked_hosts: Vec<String>,
    /// How long browsers keep a 301 or 308 when its link does not say.
    #[serde(deserialize_with = "cache_seconds")]
    pub permanent_cache_seconds: u32,
}

/// `[clicks]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clicks {
    /// How often clicks are stored; what a `kill -9` can lose.
    #[serde(rename = "write_milliseconds", deserialize_with = "milliseconds")]
    pub write: Duration,
    /// Clicks that each serving thread holds between two ticks, a tenth of a second; more are dropped
    /// and metered.
    #[serde(deserialize_with = "from_to::<1, 16_777_216, _>")]
    pub buffer: usize,
    /// Clicks that wait in memory while neither the database nor the spool takes them; more are
    /// dropped and metered.
    #[serde(deserialize_with = "at_least::<1, _>")]
    pub queue: usize,
    /// Where clicks wait on disk while the database is away; empty: in memory only.
    pub spool_directory: PathBuf,
    /// How much may wait there.
    #[serde(deserialize_with = "at_least::<1_048_576, _>")]
    pub spool_bytes: usize,
    /// How often stored clicks are added up by the hour and the day.
    #[serde(rename = "roll_up_milliseconds", deserialize_with = "milliseconds")]
    pub roll_up: Duration,
    /// How long visits and the sums of hours are kept; the sums of days stay.
    #[serde(rename = "retention_days", deserialize_with = "days")]
    pub retention: Duration,
    /// How much of a visitor's address is stored.
    pub addresses: Addresses,
    /// A MaxMind country or city database; without it no country is known, and no rule of a link can
    /// ask for one.
    #[serde(deserialize_with = "optional_path")]
    pub country_file: Option<PathBuf>,
}

/// How much of a visitor's address is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Addresses {
    /// The network: 24 bits of IPv4, 48 bits of IPv6.
    Truncated,
    /// All of IPv4, 64 bits of IPv6.
    Full,
    /// Nothing.
    None,
}

/// `[referrals]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Referrals {
    /// How many codes are generated at a time.
    #[serde(deserialize_with = "from_to::<1_000, 1_000_000, _>")]
    pub pool_batch: usize,
    /// How many codes wait at least: below it, the next batch is generated.
    #[serde(deserialize_with = "from_to::<1_000, 10_000_000, _>")]
    pub pool_low: usize,
    /// How long a key signs click tokens until the next one takes its place.
    #[serde(rename = "token_key_days", deserialize_with = "days")]
    pub token_key: Duration,
    /// How many codes that nobody has somebody can try in an hour.
    #[serde(deserialize_with = "from_to::<1, 1_000_000, _>")]
    pub unknown_codes_per_hour: usize,
}

/// `[rewards]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rewards {
    /// How long a process has a task to itself. If it dies meanwhile, others wait for so long before they
    /// take the task up.
    #[serde(rename = "lease_seconds", deserialize_with = "seconds")]
    pub lease: Duration,
    /// How often what was forgotten is looked for: among what came at least so long ago.
    #[serde(rename = "sweep_seconds", deserialize_with = "seconds")]
    pub sweep: Duration,
}

/// `[payment]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Payment {
    /// Where the payment service is, which `docs/payment-protocol.md` describes; without one nothing
    /// is paid, and rewards wait. Its path ends with `/`.
    #[serde(deserialize_with = "service_url")]
    pub url: Option<url::Url>,
    /// What is sent in the header `Authorization`; empty: the header is not sent.
    #[serde(deserialize_with = "authorization")]
    pub authorization: Secret,
    /// From the start of one call to the end of its answer: finding the address and connecting
    /// included.
    #[serde(rename = "deadline_milliseconds", deserialize_with = "call_milliseconds")]
    pub deadline: Duration,
    /// Calls that each process makes at a time.
    #[serde(deserialize_with = "from_to::<1, 1_024, _>")]
    pub calls: usize,
}

/// `[notifications]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Notifications {
    /// Where the notification service is, which takes `POST /messages` of the payment protocol;
    /// without one the payment service takes them. Its path ends with `/`.
    #[serde(deserialize_with = "service_url")]
    pub url: Option<url::Url>,
    /// What is sent in the header `Authorization`; empty: the header is not sent, or that of the
    /// payment service is, if that one takes the messages.
    #[serde(deserialize_with = "authorization")]
    pub authorization: Secret,
    /// From the start of one call to the end of its answer.
    #[serde(rename = "deadline_milliseconds", deserialize_with = "call_milliseconds")]
    pub deadline: Duration,
}

/// `[outbound]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Outbound {
    /// A PEM file with certificate authorities that are believed besides Mozilla's.
    #[serde(deserialize_with = "optional_path")]
    pub ca_file: Option<PathBuf>,
}

/// `[log]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Log {
    /// How log lines look.
    pub format: LogFormat,
    /// What is logged: `error`, `warn`, `info`, `debug`, `trace`, or directives like `waypost=debug`.
    pub level: String,
}

/// How log lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// The setting whose value no message shows, in whichever section.
const SECRET_SETTING: &str = "authorization";

/// `(name, value)` of the environment variables that matter.
pub type Environment = Vec<(String, String)>;

/// The environment variables of this process that matter here.
pub fn environment() -> Environment {
    std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
        .filter(|(name, _)| {
            name == "DATABASE_URL" || name == "REDIS_URL" || name.starts_with("WAYPOST_")
        })
        .collect()
}

impl Config {
    /// Reads the file, if there is one, then the environment variables over it:
    /// `WAYPOST_EDGE__LISTEN` is `listen` in `[edge]`; `DATABASE_URL` and `REDIS_URL` are what they
    /// are everywhere.
    pub fn load(path: Option<&Path>, environment: &Environment) -> Result<Self, Error> {
        let text = match path {
            None => String::new(),
            Some(path) => std::fs::read_to_string(path)
                .map_err(|source| Error::File { path: path.to_owned(), source })?,
        };
        let content = |error: &toml::de::Error| Error::Content {
            path: path.map_or_else(|| PathBuf::from("the configuration"), Path::to_owned),
            message: without_secrets(error.to_string().trim_end()),
        };
        // Read on its own first: only then does a message know the line.
        let mut config: Self = toml::from_str(&text).map_err(|error| content(&error))?;
        let mut table: toml::Table = toml::from_str(&text).map_err(|error| content(&error))?;
        for (name, value) in environment {
            if let Some(place) = name.strip_prefix("WAYPOST_").and_then(|n| n.split_once("__")) {
                config = set(&mut table, place, value).map_err(|message| Error::Environment {
                    name: name.clone(),
                    message: without_secrets(&message),
                })?;
            }
        }
        config.set_servers(environment);
        Ok(config)
    }

    /// `DATABASE_URL` and `REDIS_URL`, when they are set to something.
    fn set_servers(&mut self, environment: &Environment) {
        for (name, value) in environment.iter().filter(|(_, value)| !value.is_empty()) {
            match name.as_str() {
                "DATABASE_URL" => self.postgres.url = Secret::new(value),
                "REDIS_URL" => {
                    self.redis.urls = value.split(',').map(|url| Secret::new(url.trim())).collect();
                    self.redis.cluster |= self.redis.urls.len() > 1;
                }
                _ => {}
            }
        }
    }
}

/// Puts one variable's value into its place and reads everything again, so that a refusal is known
/// to be this variable's. What does not read as a TOML value is text.
fn set(table: &mut toml::Table, place: (&str, &str), value: &str) -> Result<Config, String> {
    let (section, key) = (place.0.to_ascii_lowercase(), place.1.to_ascii_lowercase());
    let read = toml::from_str::<toml::Table>(&format!("value = {value}"))
        .ok()
        .and_then(|mut parsed| parsed.remove("value"))
        .unwrap_or_else(|| toml::Value::String(value.to_owned()));
    match table.entry(section.clone()).or_insert_with(|| toml::Table::new().into()) {
        toml::Value::Table(settings) => settings.insert(key, read),
        toml::Value::String(_)
        | toml::Value::Integer(_)
        | toml::Value::Float(_)
        | toml::Value::Boolean(_)
        | toml::Value::Datetime(_)
        | toml::Value::Array(_) => return Err(format!("[{section}] is not a section")),
    };
    Config::deserialize(table.clone()).map_err(|error| error.to_string().trim_end().to_owned())
}

/// A message that may show a line of the file, without what nobody should read in a log.
fn without_secrets(message: &str) -> String {
    let shown = without_passwords(message);
    let hide = |line: &str| match line.split_once('=') {
        Some((setting, _)) if setting.trim_end().ends_with(SECRET_SETTING) => {
            format!("{setting}= …")
        }
        Some(_) | None => line.to_owned(),
    };
    shown.lines().map(hide).collect::<Vec<String>>().join("\n")
}

/// A message that may show an address, without the name and password in it.
fn without_passwords(message: &str) -> String {
    let mut parts = message.split("://");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |shown, part| {
        let end = part.find([' ', '\n', '"', '\'', '`', ',']).unwrap_or(part.len());
        let (address, rest) = part.split_at(end);
        let address = match address.rsplit_once('@') {
            Some((_, host)) => format!("…@{host}"),
            None => address.to_owned(),
        };
        format!("{shown}://{address}{rest}")
    })
}

#[cfg(test)]
mod tests;
