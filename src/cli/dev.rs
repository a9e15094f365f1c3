//! `waypost dev`: everything on this machine, private and ready to be played with.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;

use self::files::DevFile;
use self::payments::Payments;
use self::screen::Screen;
use super::serve::{raise_file_limit, stop_signal};
use super::{Error, say, start_logging};
use crate::app;
use crate::config::{Config, Secret};
use crate::local::{self, Durability, Place, PostgresServer, RedisServer};
use crate::store::{Store, migrate};

mod demo;
mod files;
mod payments;
mod screen;

/// The database in the private PostgreSQL.
const DATABASE: &str = "waypost";

/// Run everything on this machine: a private PostgreSQL and Redis, a sandbox for payments, demo links, an API key
#[derive(Debug, Args)]
pub(super) struct Dev {
    /// Where the data is kept from one start to the next
    #[arg(long, value_name = "DIR", default_value = ".waypost")]
    data: PathBuf,
    /// Where redirects are served [default: 127.0.0.1:8080, or a free port]
    #[arg(long, value_name = "ADDR")]
    edge: Option<SocketAddr>,
    /// Where the API is served [default: 127.0.0.1:8081, or a free port]
    #[arg(long, value_name = "ADDR")]
    control: Option<SocketAddr>,
}

/// The private servers that were started. Dropping them stops them, Redis first.
struct Servers {
    _redis: Option<RedisServer>,
    _postgres: Option<PostgresServer>,
    place: Arc<Place>,
}

impl Dev {
    pub(super) async fn run(self, mut config: Config) -> Result<(), Error> {
        if config.log.level == Config::default().log.level {
            // The screen is for the screen.
            "warn".clone_into(&mut config.log.level);
        }
        start_logging(&config.log)?;
        self.choose_addresses(&mut config)?;
        if config.clicks.spool_directory == Config::default().clicks.spool_directory {
            config.clicks.spool_directory = self.data.join("spool");
        }
        // Nobody has to be told beforehand that this one stops.
        config.shutdown.announce = Duration::ZERO;
        let (servers, mut config, notes) = self.start_servers(config).await?;
        raise_file_limit();
        let stop = stop_signal()?;
        let file = DevFile::open(&self.data)?;
        let payments = Payments::start(&mut config, &self.data).await?;
        let payment_url = config.payment.url.as_ref().map(ToString::to_string).unwrap_or_default();
        let store = app::store(&config)?;
        prepare_database(&store).await?;
        demo::make_links(&store, &config).await?;
        demo::make_campaign(&store, &config).await?;
        let api_key = demo::api_key(&store, file.api_key()).await?;
        let (database_url, redis_url) = (config.postgres.url.clone(), redis_url(&config));
        let running = app::start(config).await?;
        let invitation = demo::invitation(running.codes()).await?;
        let screen = Screen {
            edge: running.edge,
            control: running.control,
            api_key: &api_key,
            invitation: invitation.as_deref(),
            payments: (&payment_url, payments.is_some()),
            data: servers.place.root(),
            file: file.path(),
            notes: &notes,
        };
        file.write(&files::Content {
            edge: running.edge,
            control: running.control,
            api_key: api_key.clone(),
            database_url: database_url.expose().to_owned(),
            redis_url,
            payment_url: payment_url.clone(),
        })?;
        say(&screen.to_string())?;
        // Connections that outlive their server complain.
        drop(store);
        running.run_until(stop).await;
        file.remove();
        if let Some(payments) = payments {
            payments.stop().await?;
        }
        stop_servers(servers).await
    }

    /// The addresses of the command line, else those of the settings; and where nobody asked for one
    /// and the usual one is taken, a free one.
    fn choose_addresses(&self, config: &mut Config) -> Result<(), Error> {
        let usual = Config::default();
        let (edge, control) = (usual.edge.listen, usual.control.listen);
        let edge = choose(("--edge", self.edge), config.edge.listen, edge)?;
        let control = choose(("--control", self.control), config.control.listen, control)?;
        config.edge.listen = edge;
        config.control.listen = control;
        if config.edge.public_url == usual.edge.public_url {
            let url = format!("http://{}/", screen::reachable(edge));
            config.edge.public_url = url
                .parse()
                .map_err(|error| Error::Message(format!("{url} is no address: {error}")))?;
        }
        Ok(())
    }

    /// Starts those servers that no setting names.
    async fn start_servers(&self, config: Config) -> Result<(Servers, Config, Vec<String>), Error> {
        let data = self.data.clone();
        let started = tokio::task::spawn_blocking(move || start_servers(&data, config));
        started
            .await
            .map_err(|panic| Error::Message(format!("starting servers failed: {panic}")))?
    }
}

fn start_servers(data: &Path, mut config: Config) -> Result<(Servers, Config, Vec<String>), Error> {
    let mut notes = Vec::new();
    let place = Arc::new(Place::prepare(data).map_err(message)?);
    let mut postgres = None;
    if config.postgres.url.is_empty() {
        let server = PostgresServer::start(&place, Durability::Kept).map_err(|error| {
            let hint = "or set DATABASE_URL to use a PostgreSQL that runs elsewhere";
            Error::Message(if error.is_missing() {
                format!("{error}; {hint}")
            } else {
                error.to_string()
            })
        })?;
        server.ensure_database(DATABASE).map_err(message)?;
        config.postgres.url = Secret::new(server.url(DATABASE));
        postgres = Some(server);
    }
    let mut redis = None;
    if config.redis.urls.is_empty() {
        match RedisServer::start(&place, "redis") {
            Ok(server) => {
                config.redis.urls = vec![Secret::new(server.url())];
                redis = Some(server);
            }
            Err(error) => notes.push(format!("No Redis, so no second tier: {error}")),
        }
    }
    if let Some(moved) = place.moved_to() {
        notes.push(format!(
            "The servers' own user cannot enter {}: their files are in {}",
            data.display(),
            moved.display()
        ));
    }
    Ok((Servers { _redis: redis, _postgres: postgres, place }, config, notes))
}

async fn stop_servers(servers: Servers) -> Result<(), Error> {
    let stopped = tokio::task::spawn_blocking(move || drop(servers)).await;
    stopped.map_err(|panic| Error::Message(format!("stopping servers failed: {panic}")))?;
    say("Stopped. The data is kept for the next start.")
}

async fn prepare_database(store: &Store) -> Result<(), Error> {
    migrate::migrate(store).await?;
    Ok(())
}

/// The address to listen on: what the command line or a setting asks for, else the usual port of the
/// loopback, else a free one.
fn choose(
    (argument, asked): (&str, Option<SocketAddr>),
    set: SocketAddr,
    default: SocketAddr,
) -> Result<SocketAddr, Error> {
    let asked = asked.or_else(|| (set != default).then_some(set));
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, default.port()));
    let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let listener = match asked {
        Some(asked) => TcpListener::bind(asked),
        None => TcpListener::bind(usual).or_else(|_taken| free()),
    };
    listener.and_then(|listener| listener.local_addr()).map_err(|error| {
        let address = asked.unwrap_or(usual);
        Error::Message(format!(
            "cannot listen on {address}: {error}. Choose another with {argument} 127.0.0.1:PORT"
        ))
    })
}

fn redis_url(config: &Config) -> Option<String> {
    let urls: Vec<&str> = config.redis.urls.iter().map(Secret::expose).collect();
    (!urls.is_empty()).then(|| urls.join(","))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn message(error: local::Error) -> Error {
    Error::Message(error.to_string())
}
