//! Settings: a TOML file, environment variables over it, valid values out of it. The only place that
//! knows TOML and the environment.
//!
//! A value is judged while it is read, so that a message can show the file, the line and the remedy.
//! `config/waypost.toml` shows every setting with its default; a test keeps it so.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};

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
    /// What is written to standard error.
    pub log: Log,
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
    pub allowed_hosts: Vec<String>,
    /// Hosts that a target must not have. `example.com` blocks its subdomains too.
    pub blocked_hosts: Vec<String>,
    /// How long browsers keep a 301 or 308 when its link does not say.
    #[serde(deserialize_with = "cache_seconds")]
    pub permanent_cache_seconds: u32,
}

/// `[clicks]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Clicks {
    /// How often counted clicks are written; what a `kill -9` can lose.
    #[serde(rename = "write_milliseconds", deserialize_with = "milliseconds")]
    pub write: Duration,
    /// Clicks that each serving thread holds between two writes; more are dropped and metered.
    #[serde(deserialize_with = "from_to::<1, 16_777_216, _>")]
    pub buffer: usize,
    /// Links whose clicks are held while the database is away; more are dropped and metered.
    #[serde(deserialize_with = "at_least::<1, _>")]
    pub pending_links: usize,
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

impl Default for Edge {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            public_url: url::Url::parse("http://127.0.0.1:8080/").expect("a URL written here"),
            workers: 0,
            unknown_host: UnknownHost::DefaultDomain,
        }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8081)) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_read: Duration::from_secs(5),
            header_bytes: 8_192,
            headers: 64,
            control_body_bytes: 64 * 1_024,
            batch_body_bytes: 8 * 1_024 * 1_024,
            request: Duration::from_secs(10),
            keep_alive: Duration::from_mins(1),
            connection_age: Duration::from_mins(5),
            connections_per_client: 256,
            connections: 16_384,
        }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { announce: Duration::from_secs(5), limit: Duration::from_secs(25) }
    }
}

impl Default for Postgres {
    fn default() -> Self {
        Self {
            url: Secret::default(),
            read_connections: 8,
            connections: 8,
            pool_wait: Duration::from_millis(50),
            read_timeout: Duration::from_millis(250),
            startup_wait: Duration::from_secs(30),
        }
    }
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            cluster: false,
            response: Duration::from_millis(50),
            connect: Duration::from_millis(100),
            expected_links: 1_000_000,
            bucket: Duration::from_hours(24),
            prefix: "wl".to_owned(),
        }
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            bytes: 256 * 1_024 * 1_024,
            fresh: Duration::from_secs(10),
            stale: Duration::from_hours(24),
            missing_entries: 100_000,
            missing: Duration::from_secs(5),
            front_entries: 65_536,
        }
    }
}

impl Default for Links {
    fn default() -> Self {
        Self {
            slug_length: 7,
            slashes: false,
            schemes: vec!["http".to_owned(), "https".to_owned()],
            allowed_hosts: Vec::new(),
            blocked_hosts: Vec::new(),
            permanent_cache_seconds: 90,
        }
    }
}

impl Default for Clicks {
    fn default() -> Self {
        Self { write: Duration::from_millis(500), buffer: 65_536, pending_links: 1_000_000 }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}

/// A setting that may hold a password: it never shows itself.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Wraps a value.
    pub fn new(value: impl Into<String>) -> Self {
        Self(value.into())
    }

    /// The value, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Whether nothing was set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_empty() { "(not set)" } else { "(hidden)" })
    }
}

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
            message: without_passwords(error.to_string().trim_end()),
        };
        // Read on its own first: only then does a message know the line.
        let mut config: Self = toml::from_str(&text).map_err(|error| content(&error))?;
        let mut table: toml::Table = toml::from_str(&text).map_err(|error| content(&error))?;
        for (name, value) in environment {
            if let Some(place) = name.strip_prefix("WAYPOST_").and_then(|n| n.split_once("__")) {
                config = set(&mut table, place, value).map_err(|message| Error::Environment {
                    name: name.clone(),
                    message: without_passwords(&message),
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

fn public_url<'de, D: Deserializer<'de>>(from: D) -> Result<url::Url, D::Error> {
    let text = String::deserialize(from)?;
    let url = url::Url::parse(&text).map_err(|error| {
        D::Error::custom(format!("{error}; write it like https://go.example.com/"))
    })?;
    if !matches!(url.scheme(), "http" | "https") || !url.has_host() {
        return Err(D::Error::custom("must start with http:// or https:// and name a host"));
    }
    if url.path() != "/" || url.query().is_some() || url.fragment().is_some() {
        return Err(D::Error::custom("must end after the host: slugs stand at the root of it"));
    }
    Ok(url)
}

/// The longest that any wait can be set to: a year.
const LONGEST: u64 = 31_536_000;

fn seconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    bounded(from, 1, LONGEST).map(Duration::from_secs)
}

fn seconds_or_zero<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    bounded(from, 0, LONGEST).map(Duration::from_secs)
}

fn milliseconds<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    bounded(from, 1, LONGEST).map(Duration::from_millis)
}

fn bounded<'de, D: Deserializer<'de>>(from: D, least: u64, most: u64) -> Result<u64, D::Error> {
    let value = u64::deserialize(from)?;
    if (least..=most).contains(&value) {
        Ok(value)
    } else {
        Err(D::Error::custom(format!("must be from {least} to {most}, not {value}")))
    }
}

fn at_least<'de, const LEAST: usize, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    let value = usize::deserialize(from)?;
    if value >= LEAST {
        Ok(value)
    } else {
        Err(D::Error::custom(format!("must be {LEAST} or more, not {value}")))
    }
}

fn from_to<'de, const LEAST: usize, const MOST: usize, D: Deserializer<'de>>(
    from: D,
) -> Result<usize, D::Error> {
    let value = usize::deserialize(from)?;
    if (LEAST..=MOST).contains(&value) {
        Ok(value)
    } else {
        Err(D::Error::custom(format!("must be from {LEAST} to {MOST}, not {value}")))
    }
}

fn header_count<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    // hyper reads up to 100 headers without allocating; more are refused before we count them.
    bounded(from, 1, 100).map(|count| usize::try_from(count).expect("at most 100"))
}

fn slug_length<'de, D: Deserializer<'de>>(from: D) -> Result<u8, D::Error> {
    bounded(from, 5, 10).map(|length| u8::try_from(length).expect("at most 10"))
}

fn cache_seconds<'de, D: Deserializer<'de>>(from: D) -> Result<u32, D::Error> {
    bounded(from, 0, LONGEST).map(|seconds| u32::try_from(seconds).expect("at most a year"))
}

fn power_of_two<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    let value = usize::deserialize(from)?;
    if value.is_power_of_two() && value <= 1 << 24 {
        Ok(value)
    } else {
        Err(D::Error::custom(format!("must be a power of two up to 16777216, not {value}")))
    }
}

fn key_prefix<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let prefix = String::deserialize(from)?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
    if (1..=16).contains(&prefix.len()) && prefix.bytes().all(plain) {
        Ok(prefix)
    } else {
        Err(D::Error::custom("must be 1 to 16 letters, digits, '-' or '_'"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), text).expect("written");
        let environment =
            environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        Config::load(Some(file.path()), &environment).map_err(|error| {
            error.to_string().replace(&file.path().display().to_string(), "waypost.toml")
        })
    }

    #[test]
    fn the_shipped_file_shows_every_setting_with_its_default() {
        let shipped = include_str!("../config/waypost.toml");
        // A setting is shown as a comment, `# name = value`; the text has a space more.
        let uncommented: String = shipped
            .lines()
            .map(|line| line.strip_prefix("#= ").unwrap_or(line))
            .fold(String::new(), |all, line| all + line + "\n");
        let shown = load(&uncommented, &[]).expect("valid");
        assert_eq!(format!("{shown:?}"), format!("{:?}", Config::default()));
        assert_eq!(
            format!("{:?}", load(shipped, &[]).expect("valid")),
            format!("{:?}", Config::default())
        );
        // Ten sections hold all other fields, and each of those is shown.
        let settings = shipped.lines().filter(|line| line.starts_with("#= ")).count();
        let fields = format!("{:#?}", Config::default())
            .lines()
            .filter(|line| line.starts_with("        ") && !line.starts_with("         "))
            .filter(|line| line.contains(": "))
            .count();
        assert_eq!(settings, fields);
    }

    #[test]
    fn an_unknown_key_is_refused_with_file_and_line() {
        let message = load("[edge]\nlissten = \"0.0.0.0:80\"\n", &[]).expect_err("refused");
        let first = message.lines().next();
        assert_eq!(first, Some("in waypost.toml: TOML parse error at line 2, column 1"));
        assert!(message.contains("unknown field `lissten`, expected one of `listen`"), "{message}");
    }

    #[test]
    fn a_value_out_of_range_is_refused_with_its_bounds() {
        let message = load("[limits]\nheader_read_seconds = 0\n", &[]).expect_err("refused");
        insta::assert_snapshot!(message, @r"
        in waypost.toml: TOML parse error at line 2, column 23
          |
        2 | header_read_seconds = 0
          |                       ^
        must be from 1 to 31536000, not 0
        ");
    }

    #[test]
    fn the_environment_stands_above_the_file() {
        let config = load(
            "[edge]\nworkers = 3\n",
            &[
                ("WAYPOST_EDGE__WORKERS", "5"),
                ("WAYPOST_EDGE__LISTEN", "127.0.0.1:9"),
                ("REDIS_URL", "redis://a,redis://b"),
                ("DATABASE_URL", "postgresql://secret"),
            ],
        )
        .expect("valid");
        assert_eq!(config.edge.workers, 5);
        assert_eq!(config.edge.listen, SocketAddr::from(([127, 0, 0, 1], 9)));
        assert!(config.redis.cluster);
        assert_eq!(config.postgres.url.expose(), "postgresql://secret");
        assert!(!format!("{config:?}").contains("secret"), "a secret shows itself");
    }

    #[test]
    fn a_message_shows_no_password() {
        let file = load("[postgres]\nurl = postgresql://me:secret@host/waypost\n", &[]);
        let variable = load("", &[("WAYPOST_REDIS__URLS", "redis://:secret@host/")]);
        for message in [file.expect_err("not quoted"), variable.expect_err("not a list")] {
            assert!(message.contains("://…@host/") && !message.contains("secret"), "{message}");
        }
    }

    #[test]
    fn no_size_is_too_large_to_start_with() {
        for name in [
            "CLICKS__BUFFER",
            "LIMITS__HEADER_BYTES",
            "POSTGRES__CONNECTIONS",
            "POSTGRES__READ_CONNECTIONS",
        ] {
            let name = format!("WAYPOST_{name}");
            let message = load("", &[(&name, "9223372036854775807")]).expect_err("refused");
            assert!(message.contains("must be from"), "{message}");
        }
    }

    #[test]
    fn a_bad_variable_is_named() {
        let message = load("", &[("WAYPOST_EDGE__WORKRES", "5")]).expect_err("refused");
        assert!(
            message.starts_with("in the environment variable WAYPOST_EDGE__WORKRES"),
            "{message}"
        );
        let message = load("", &[("WAYPOST_CACHE__FRONT_ENTRIES", "3")]).expect_err("refused");
        assert!(message.contains("power of two"), "{message}");
    }
}
