//! Assembly: settings in, a running service out, and its orderly end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use crate::api::operations::Operations;
use crate::api::{Api, Services};
use crate::campaign::live::Campaigns;
use crate::clicks::countries::{self, Countries};
use crate::clicks::keeper::Keeper;
use crate::clicks::network::Addresses;
use crate::clicks::queue::{Buffer, Queue};
use crate::clicks::spool::Spool;
use crate::clicks::writer;
use crate::clock::{Clock, whole_millis};
use crate::config::{self, Config, UnknownHost};
use crate::console::{self, Console};
use crate::edge::association::{App, Associations};
use crate::edge::domains::Domains;
use crate::edge::landing::places::Places;
use crate::edge::redirect::Edge;
use crate::http::client::TrustedProxies;
use crate::http::misses::Misses;
use crate::http::server::{self, Server};
use crate::link::routing::Split;
use crate::link::service::LinkService;
use crate::metrics::Metrics;
use crate::outbound::{self, Outbound};
use crate::referral::codes::{self, CodeService};
use crate::referral::keys;
use crate::referral::services;
use crate::referral::token::TokenKeys;
use crate::resolve::Resolver;
use crate::resolve::announce::Announcer;
use crate::resolve::database::Database;
use crate::resolve::front::Front;
use crate::resolve::local::{self, Local};
use crate::resolve::shared::{self, Shared};
use crate::resolve::stock::Stock;
use crate::store::{self, Store, domains, migrate, secrets};

use crate::visitor::agent::Agents;
use control::Control;

pub(crate) mod campaigns;
mod control;
mod housekeeping;
mod landing;
pub mod rewards;

/// `User-Agent`s that each serving thread remembers.
const AGENTS: usize = 1_024;

/// Why the service does not start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No database is named.
    #[error(
        "no database is set: name it in DATABASE_URL or as [postgres] url, for example \
         postgresql://waypost@localhost/waypost; or try 'waypost dev', which brings its own"
    )]
    NoDatabase,
    /// The database is away, or not ours.
    #[error(transparent)]
    Store(#[from] store::Error),
    /// The address of Redis is not understood.
    #[error("the Redis address is not understood: {0}")]
    Shared(#[from] shared::Error),
    /// A listener cannot be opened.
    #[error("cannot listen on {address} ({setting}): {source}")]
    Listen {
        /// Where.
        address: SocketAddr,
        /// The setting that says so.
        setting: &'static str,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The file of countries cannot be used.
    #[error(transparent)]
    Countries(#[from] countries::Error),
    /// The certificate authorities cannot be used.
    #[error(transparent)]
    Outbound(#[from] outbound::Error),
    /// The work for a reward would be given to others while it is still done.
    #[error(
        "[rewards] lease_seconds must be more than twice [payment] deadline_milliseconds: raise the \
         one, or lower the other"
    )]
    Lease,
    /// Campaigns come from a `ZooKeeper` that nobody could find.
    #[error(
        "[campaigns] source is \"zookeeper\", but no server of it is named: name them in [zookeeper] \
         servers, for example [\"zk1.example.com:2181\"], or set the source to \"database\""
    )]
    NoZookeeper,
    /// Threads cannot be started.
    #[error("the serving threads cannot be started: {0}")]
    Threads(std::io::Error),
}

/// What the parts of a running service share.
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) clock: Clock,
    pub(crate) store: Store,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) local: Arc<Local>,
    pub(crate) shared: Option<Arc<Shared>>,
    pub(crate) resolver: Arc<Resolver>,
    pub(crate) announcer: Announcer,
    pub(crate) clicks: Arc<writer::Parts>,
    /// Referral codes.
    pub(crate) codes: Arc<CodeService>,
    /// Claims, bindings, triggers and users.
    pub(crate) referrals: Arc<services::Services>,
    /// Rewards.
    pub(crate) rewards: rewards::Rewards,
    /// The campaigns as they were within the last second.
    pub(crate) campaigns: watch::Receiver<Arc<Campaigns>>,
    /// The keys of click tokens, read again every few seconds.
    pub(crate) token_keys: watch::Sender<Arc<TokenKeys>>,
    pub(crate) postgres_up: Arc<AtomicBool>,
    pub(crate) draining: AtomicBool,
}

/// A running service.
pub struct Running {
    /// Where the edge listens.
    pub edge: SocketAddr,
    /// Where the control plane listens.
    pub control: SocketAddr,
    parts: Arc<Parts>,
    servers: (Server, Server),
    background: JoinSet<()>,
    writer: rewards::Stoppable,
    engine: Option<rewards::Stoppable>,
}

/// The settings of the store.
pub fn store(config: &Config) -> Result<Store, Error> {
    if config.postgres.url.is_empty() {
        return Err(Error::NoDatabase);
    }
    Ok(Store::new(&store::Settings {
        url: config.postgres.url.expose().to_owned(),
        read_connections: config.postgres.read_connections,
        reward_connections: config.postgres.reward_connections,
        connections: config.postgres.connections,
        pool_wait: config.postgres.pool_wait,
        read_timeout: config.postgres.read_timeout,
    })?)
}

/// The second tier, if there is one in the settings.
pub fn shared(config: &Config, metrics: &Arc<Metrics>) -> Result<Option<Arc<Shared>>, Error> {
    let redis = &config.redis;
    let urls: Vec<String> = redis
        .urls
        .iter()
        .filter(|url| !url.is_empty())
        .map(|url| url.expose().to_owned())
        .collect();
    if urls.is_empty() {
        return Ok(None);
    }
    let settings = shared::Settings {
        urls,
        cluster: redis.cluster,
        response: redis.response,
        connect: redis.connect,
        expected_links: redis.expected_links,
        bucket: redis.bucket,
        prefix: redis.prefix.clone(),
    };
    Ok(Some(Arc::new(Shared::new(settings, Arc::clone(metrics))?)))
}

/// The client for other services, which reads at most `body_bytes` of a body.
pub fn outbound(config: &Config, body_bytes: usize) -> Result<Outbound, Error> {
    let settings = outbound::Settings {
        ca_file: config.outbound.ca_file.clone(),
        body_bytes,
        idle_connections: outbound::FEW_CONNECTIONS,
    };
    Ok(Outbound::new(&settings)?)
}

/// The files for apps that open links by themselves.
pub fn associations(config: &Config) -> Associations {
    let apps = config.apps.iter().map(|app| App {
        domains: app.domains.clone(),
        android: app.android.clone().map(|android| (android.package, android.fingerprints)),
        ios_app_ids: app.ios_app_ids.clone(),
        paths: app.paths.clone(),
    });
    Associations::new(&apps.collect::<Vec<App>>())
}

/// Says which domains have apps but are none of this service. They may still be added.
fn warn_of_unknown_domains(config: &Config, domains: &Domains) {
    for host in config.apps.iter().flat_map(|app| &app.domains) {
        if !domains.have(host) {
            tracing::warn!(
                %host,
                "[[apps]] names a domain that this service does not have: add it with \
                 'waypost domain add', or correct 'domains'"
            );
        }
    }
}

fn local(config: &Config, clock: &Clock) -> Local {
    let cache = &config.cache;
    let size = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let settings = local::Settings {
        bytes: size(cache.bytes),
        fresh: cache.fresh,
        stale: cache.stale,
        missing_entries: size(cache.missing_entries),
        missing: cache.missing,
        permanent_cache_seconds: config.links.permanent_cache_seconds,
    };
    Local::new(settings, clock.clone())
}

/// What counting works with. A spool that cannot be used does not keep the service from starting.
fn clicks(
    config: &Config,
    store: &Store,
    metrics: &Arc<Metrics>,
    database_up: &Arc<AtomicBool>,
) -> Result<writer::Parts, Error> {
    let it = &config.clicks;
    let directory = Some(&it.spool_directory).filter(|path| !path.as_os_str().is_empty());
    let limit = u64::try_from(it.spool_bytes).unwrap_or(u64::MAX);
    let spool = directory.and_then(|directory| {
        Spool::open(directory, limit)
            .map_err(|error| {
                tracing::warn!(
                    %error,
                    "clicks will wait in memory while the database is away: give [clicks] \
                     spool_directory a directory that can be written, or leave it empty"
                );
            })
            .ok()
    });
    let clock = Clock::system();
    Ok(writer::Parts {
        queue: Arc::new(Queue::new(it.queue, writer::BATCH, Arc::clone(metrics))),
        keeper: Arc::new(Keeper::new(
            store.clone(),
            clock.clone(),
            Arc::clone(metrics),
            it.retention,
        )),
        spool: spool.map(Arc::new),
        countries: Arc::new(Countries::open(it.country_file.as_deref())?),
        addresses: match it.addresses {
            config::Addresses::Truncated => Addresses::Truncated,
            config::Addresses::Full => Addresses::Full,
            config::Addresses::None => Addresses::None,
        },
        every: it.write,
        database_up: Arc::clone(database_up),
        clock,
        metrics: Arc::clone(metrics),
    })
}

/// Starts everything; returns once both listeners are open.
pub async fn start(config: Config) -> Result<Running, Error> {
    let (parts, campaigns_sender) = assemble(config).await?;
    let domains = read_domains(&parts).await?;
    warn_of_unknown_domains(&parts.config, &domains);
    let (domains, known_domains) = watch::channel(Arc::new(domains));
    let mut background = housekeeping::start(&parts, domains).await;
    background.spawn(campaigns::follow(Arc::clone(&parts), campaigns_sender));
    if let Some(watcher) = campaigns::watcher(&parts) {
        background.spawn(watcher.run());
    }
    let first = landing::places(&parts, &known_domains.borrow(), &Places::none());
    let (shown, places) = watch::channel(Arc::new(first));
    background.spawn(landing::follow(Arc::clone(&parts), known_domains.clone(), shown));
    let name = secrets::VISITOR_SPLIT;
    let split = Split::new(&secrets::get_or_make(&parts.store, name, &rand::random()).await?);
    let edge = start_edge(&parts, (known_domains, places), split)?;
    let control = start_control(&parts)?;
    let (stop_writer, stopped) = watch::channel(false);
    let writer = tokio::spawn(writer::write(Arc::clone(&parts.clicks), stopped));
    rewards::start_loops(&parts, &mut background)?;
    let engine = rewards::start_engine(&parts)?;
    Ok(Running {
        engine,
        edge: edge.address,
        control: control.address,
        parts,
        servers: (edge, control),
        background,
        writer: (stop_writer, writer),
    })
}

/// Makes all that the parts of the service share, once the database is there; and says who tells them of
/// changed campaigns.
async fn assemble(config: Config) -> Result<(Arc<Parts>, watch::Sender<Arc<Campaigns>>), Error> {
    campaigns::check_source(&config)?;
    let clock = Clock::system();
    // A bad file of authorities is known now, not when the first question is asked.
    let outbound = outbound(&config, services::ANSWER_BYTES)?;
    let store = store(&config)?;
    wait_for_schema(&store, config.postgres.startup_wait).await?;
    let metrics = Arc::new(Metrics::new());
    let local = Arc::new(local(&config, &clock));
    let shared = shared(&config, &metrics)?;
    let database =
        Database::start(store.clone(), config.postgres.read_connections, Arc::clone(&metrics));
    let resolver =
        Arc::new(Resolver::new(Arc::clone(&local), shared.clone(), database, Arc::clone(&metrics)));
    let announcer = Announcer::new(store.clone(), Some(Arc::clone(&local)), shared.clone());
    let postgres_up = Arc::new(AtomicBool::new(true));
    let clicks = clicks(&config, &store, &metrics, &postgres_up)?;
    clicks.keeper.prepare_coming_days().await?;
    let known_campaigns = Campaigns::read(&store, &Campaigns::default()).await?;
    campaigns::show(&metrics, &known_campaigns);
    let (campaigns_sender, campaigns) = watch::channel(Arc::new(known_campaigns));
    let token_keys = keys::renew(&store, clock.now(), config.referrals.token_key).await?;
    let token_keys = watch::Sender::new(Arc::new(token_keys));
    let codes = Arc::new(CodeService::new(
        codes::Parts {
            store: store.clone(),
            stock: shared.clone().map(Stock::new),
            announcer: announcer.clone(),
            campaigns: campaigns.clone(),
            clock: clock.clone(),
            metrics: Arc::clone(&metrics),
        },
        &config,
    ));
    let rewards =
        rewards::assemble(&store, &campaigns, &clock, (config.rewards.sweep, &metrics)).await?;
    let referral_parts = services::Parts {
        store: store.clone(),
        granting: Arc::clone(&rewards.granting),
        sweeper: Arc::clone(&rewards.sweeper),
        keys: token_keys.subscribe(),
        campaigns: campaigns.clone(),
        outbound,
        device_key: secrets::get_or_make(&store, secrets::DEVICE_HASH, &rand::random()).await?,
        clock: clock.clone(),
        metrics: Arc::clone(&metrics),
    };
    let parts = Arc::new(Parts {
        clock,
        store,
        metrics,
        local,
        shared,
        resolver,
        announcer,
        clicks: Arc::new(clicks),
        codes,
        referrals: Arc::new(services::Services::new(referral_parts, &config)),
        campaigns,
        rewards,
        token_keys,
        postgres_up,
        draining: AtomicBool::new(false),
        config,
    });
    Ok((parts, campaigns_sender))
}

/// Waits for the database, but not for one that is not ours.
async fn wait_for_schema(store: &Store, patience: Duration) -> Result<(), Error> {
    let begin = Instant::now();
    loop {
        match migrate::check(store).await {
            Err(error) if error.is_outage() && begin.elapsed() < patience => {
                tracing::warn!(%error, "waiting for the database");
                sleep(Duration::from_millis(500)).await;
            }
            outcome => return Ok(outcome?),
        }
    }
}

/// The table of domains, as it is in the database now.
pub(crate) async fn read_domains(parts: &Parts) -> Result<Domains, store::Error> {
    let edge = &parts.config.edge;
    let host = edge.public_url.host_str().unwrap_or_default();
    let lenient = edge.unknown_host == UnknownHost::DefaultDomain;
    Ok(Domains::new(host, lenient, domains::list_full(&parts.store).await?))
}

fn start_edge(
    parts: &Arc<Parts>,
    (domains, places): (watch::Receiver<Arc<Domains>>, watch::Receiver<Arc<Places>>),
    split: Split,
) -> Result<Server, Error> {
    let config = &parts.config;
    let listener = listen(config.edge.listen, "[edge] listen")?;
    let threads = match config.edge.workers {
        0 => std::thread::available_parallelism().map_or(1, usize::from),
        workers => workers,
    };
    let parts = Arc::clone(parts);
    let metrics = Arc::clone(&parts.metrics);
    let public_url = Arc::new(config.edge.public_url.clone());
    let associations = Arc::new(associations(config));
    let most_misses = u32::try_from(config.limits.misses_per_client).unwrap_or(u32::MAX);
    let misses = Arc::new(Misses::new(most_misses));
    let make = move || Edge {
        resolver: Arc::clone(&parts.resolver),
        front: Front::new(parts.config.cache.front_entries).into(),
        figures: parts.metrics.edge(),
        clicks: Buffer::new(parts.config.clicks.buffer, Arc::clone(&parts.clicks.queue)),
        due: Vec::new().into(),
        domains: domains.clone().into(),
        places: places.clone().into(),
        token_keys: parts.token_keys.subscribe().into(),
        associations: Arc::clone(&associations),
        last_host: None.into(),
        agents: Agents::new(AGENTS).into(),
        countries: Arc::clone(&parts.clicks.countries),
        split: split.clone(),
        public_url: Arc::clone(&public_url),
        clock: parts.clock.clone(),
        most_headers: parts.config.limits.headers,
        proxies: TrustedProxies::new(&parts.config.edge.trusted_proxies),
        misses: Arc::clone(&misses),
    };
    Server::start(("edge", listener), limits(config, 1), threads, metrics, make)
        .map_err(Error::Threads)
}

fn start_control(parts: &Arc<Parts>) -> Result<Server, Error> {
    let config = &parts.config;
    let listener = listen(config.control.listen, "[control] listen")?;
    let (store, announcer, clock) =
        (parts.store.clone(), parts.announcer.clone(), parts.clock.clone());
    let links = Arc::new(LinkService::new(store.clone(), announcer, config, clock));
    let operations: Arc<dyn Operations> = Arc::<Parts>::clone(parts);
    let (live_campaigns, codes) = (parts.campaigns.clone(), Arc::clone(&parts.codes));
    let referrals = Arc::clone(&parts.referrals);
    let cards = parts.rewards.cards(&parts.store, &parts.clock, &parts.metrics);
    let rewards = Arc::clone(&parts.rewards.services);
    let console = console::Services {
        store: store.clone(),
        links: Arc::clone(&links),
        rewards: Arc::clone(&rewards),
    };
    let console = Arc::new(Console::new(console, config));
    let reviews = Arc::clone(&parts.rewards.reviews);
    let services = Services {
        store,
        links,
        live_campaigns,
        codes,
        referrals,
        cards,
        rewards,
        reviews,
        operations,
    };
    let api = Arc::new(Api::new(services, config));
    let (main, metrics) = (Handle::current(), Arc::clone(&parts.metrics));
    let most_headers = config.limits.headers;
    let patience = config.limits.request * 9 / 10;
    let make = move || Control {
        api: Arc::clone(&api),
        console: Arc::clone(&console),
        main: main.clone(),
        metrics: Arc::clone(&metrics),
        most_headers,
        patience,
    };
    let metrics = Arc::clone(&parts.metrics);
    // Slugs that are far too long deserve an answer that says so: more room than on the edge.
    Server::start(("control", listener), limits(config, 4), 1, metrics, make)
        .map_err(Error::Threads)
}

/// The limits of a listener whose request heads may be `heads` times as long as the setting.
fn limits(config: &Config, heads: usize) -> server::Limits {
    let limits = &config.limits;
    server::Limits {
        header_read: limits.header_read,
        header_bytes: limits.header_bytes * heads,
        request: limits.request,
        keep_alive: limits.keep_alive,
        connection_age: limits.connection_age,
        connections_per_client: limits.connections_per_client,
        connections: limits.connections,
        trusted_proxies: TrustedProxies::new(&config.edge.trusted_proxies),
    }
}

/// Opens a listener with a long queue: a burst of new connections must not be refused.
fn listen(address: SocketAddr, setting: &'static str) -> Result<TcpListener, Error> {
    let open = || -> std::io::Result<TcpListener> {
        let domain = socket2::Domain::for_address(address);
        let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(4_096)?;
        TcpListener::from_std(socket.into())
    };
    open().map_err(|source| Error::Listen { address, setting, source })
}

impl Running {
    /// The service that gives codes to users.
    pub fn codes(&self) -> &CodeService {
        &self.parts.codes
    }

    /// Serves until `stop`, then ends in order: says so, waits until balancers have looked
    /// elsewhere, lets requests under way end, writes the last clicks.
    pub async fn run_until(mut self, stop: impl Future<Output = ()>) {
        stop.await;
        let began = Instant::now();
        let shutdown = self.parts.config.shutdown.clone();
        let left = || shutdown.limit.saturating_sub(began.elapsed());
        tracing::info!(milliseconds = whole_millis(shutdown.announce), "ending");
        self.parts.draining.store(true, Ordering::Release);
        let (edge, control) = self.servers;
        edge.announce_end();
        sleep(shutdown.announce.min(shutdown.limit)).await;
        control.announce_end();
        if timeout(left(), async { tokio::join!(edge.drain(), control.drain()) }).await.is_err() {
            tracing::warn!("some connections were still open at the limit");
        }
        self.background.shutdown().await;
        if let Some((stop_engine, engine)) = self.engine {
            stop_engine.send_replace(true);
            // What it cannot finish in time is taken up again by whoever comes next.
            drop(timeout(left().max(Duration::from_secs(1)), engine).await);
        }
        let (stop_writer, writer) = self.writer;
        stop_writer.send_replace(true);
        // At least a moment, even when connections used the limit up: clicks are worth it.
        match timeout(left().max(Duration::from_secs(1)), writer).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::error!(%error, "the writer of clicks failed"),
            Err(_elapsed) => tracing::error!("the last clicks could not be written in time"),
        }
        tracing::info!("ended");
    }
}
