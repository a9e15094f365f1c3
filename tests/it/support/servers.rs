//! PostgreSQL and Redis for tests.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::sync::OnceCell;
use waypost::local::{Durability, Place, PostgresServer, RedisCluster, RedisServer};
use waypost::store::{Settings, Store, migrate::migrate};

/// The database that all tests' databases are copies of.
const TEMPLATE: &str = "template_waypost";

/// Runs blocking work beside the runtime.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    tokio::task::spawn_blocking(work).await.expect("blocking work that does not panic")
}

fn next_number() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// A [`Store`] on a database, with small pools and patient time-outs.
pub fn store(url: &str) -> Store {
    Store::new(&Settings {
        url: url.to_owned(),
        read_connections: 4,
        reward_connections: 4,
        connections: 4,
        pool_wait: Duration::from_secs(5),
        read_timeout: Duration::from_secs(5),
    })
    .expect("a readable address")
}

/// The directory of this run. What earlier runs left is removed first: they hold no lock any more.
fn run_directory() -> PathBuf {
    let base =
        base_directory().join(format!("waypost-test-{}", rustix::process::geteuid().as_raw()));
    fs::create_dir_all(&base).expect("a directory for test runs");
    let door = fs::File::create(base.join("door")).expect("a lock file");
    door.lock().expect("one run at a time goes through the door");
    for entry in fs::read_dir(&base).expect("readable").filter_map(Result::ok) {
        let abandoned = entry.path().is_dir()
            && fs::File::open(entry.path().join("held")).is_ok_and(|held| held.try_lock().is_ok());
        if abandoned {
            // Its servers may still be stopping and writing: then the next run removes it.
            drop(fs::remove_dir_all(entry.path()));
        }
    }
    let run = base.join(std::process::id().to_string());
    fs::create_dir_all(&run).expect("a directory for this run");
    open_to_servers(&base);
    open_to_servers(&run);
    let held = fs::File::create(run.join("held")).expect("a lock file");
    held.lock().expect("nobody else knows it yet");
    // Held until the process ends.
    std::mem::forget(held);
    run
}

/// The servers of a root user run as somebody else and must get through.
fn open_to_servers(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o711)).expect("our own directory");
}

/// Memory when there is enough of it.
fn base_directory() -> PathBuf {
    let memory = Path::new("/dev/shm");
    let roomy = rustix::fs::statvfs(memory)
        .is_ok_and(|space| space.f_bavail.saturating_mul(space.f_frsize) > 3_000_000_000);
    let writable = tempfile::tempfile_in(memory).is_ok();
    if roomy && writable { memory.to_owned() } else { std::env::temp_dir() }
}

/// An empty directory. It is removed by a later run, when this one has ended.
pub fn new_directory() -> PathBuf {
    use std::sync::LazyLock;
    static RUN: LazyLock<PathBuf> = LazyLock::new(run_directory);
    let directory = RUN.join(next_number().to_string());
    fs::create_dir(&directory).expect("a new directory");
    directory
}

fn new_place() -> Arc<Place> {
    Arc::new(Place::prepare(&new_directory()).expect("a directory for servers"))
}

/// The cluster that all tests share.
async fn shared_postgres() -> &'static PostgresServer {
    static SHARED: OnceCell<PostgresServer> = OnceCell::const_new();
    SHARED.get_or_init(|| start_postgres(TEMPLATE)).await
}

/// A cluster with one migrated database.
async fn start_postgres(database: &'static str) -> PostgresServer {
    let server = blocking(move || {
        let server = PostgresServer::start(&new_place(), Durability::Thrown);
        let server = server.unwrap_or_else(|error| panic!("{error}"));
        server.ensure_database(database).expect("a new database");
        server
    })
    .await;
    migrate(&store(&server.url(database))).await.expect("migrations that apply");
    server
}

/// A database of its own in the cluster that all tests share; dropped with this value.
pub struct TestDatabase {
    server: &'static PostgresServer,
    name: String,
}

impl TestDatabase {
    /// A migrated database.
    pub async fn new() -> Self {
        Self::create(TEMPLATE).await
    }

    /// A database with nothing in it.
    pub async fn empty() -> Self {
        Self::create("template0").await
    }

    async fn create(template: &'static str) -> Self {
        let server = shared_postgres().await;
        let name = format!("test_{}", next_number());
        // From version 15 on the default is to log every page, which is slower for small ones.
        let strategy = if server.major_version() >= Some(15) { "STRATEGY file_copy" } else { "" };
        let sql = format!("CREATE DATABASE {name} TEMPLATE {template} {strategy}");
        blocking(move || server.execute(&sql)).await.expect("a copy of the template");
        Self { server, name }
    }

    /// Its address.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// Its address through a [`super::Proxy`] before [`TestDatabase::endpoint`].
    pub fn url_through(&self, proxy: &super::Proxy) -> String {
        format!("postgresql://waypost@{}/{}", proxy.address(), self.name)
    }

    /// What a [`super::Proxy`] forwards to.
    pub fn endpoint(&self) -> super::Endpoint {
        super::Endpoint::Unix(self.server.socket())
    }

    /// A store on it.
    pub fn store(&self) -> Store {
        store(&self.url())
    }

    /// A connection of its own for what no function of the store does: looking into tables.
    pub async fn connect(&self) -> tokio_postgres::Client {
        let connected = tokio_postgres::connect(&self.url(), tokio_postgres::NoTls).await;
        let (client, connection) = connected.expect("a connection");
        tokio::spawn(connection);
        client
    }
}

impl Drop for TestDatabase {
    fn drop(&mut self) {
        // At worst it stays until the run ends.
        drop(self.server.execute(&format!("DROP DATABASE IF EXISTS {} WITH (FORCE)", self.name)));
    }
}

/// A PostgreSQL of its own, for tests that stop it or kill it. It has one migrated database.
pub struct TestPostgres(PostgresServer);

impl TestPostgres {
    /// Starts one; this takes a second.
    pub async fn start() -> Self {
        Self(start_postgres("waypost").await)
    }

    /// The address of its database.
    pub fn url(&self) -> String {
        self.0.url("waypost")
    }

    /// A store on its database.
    pub fn store(&self) -> Store {
        store(&self.url())
    }

    /// SIGSTOP to all its processes.
    pub fn pause(&self) {
        self.0.pause().expect("a server to pause");
    }

    /// SIGCONT to all its processes.
    pub fn resume(&self) {
        self.0.resume().expect("a server to resume");
    }

    /// SIGKILL to all its processes.
    pub fn kill(&mut self) {
        self.0.kill().expect("a server to kill");
    }

    /// Stops it in order.
    pub fn stop(&mut self) {
        self.0.stop().expect("a server to stop");
    }

    /// Starts it again on the same data and address.
    pub fn restart(&mut self) {
        self.0.restart().expect("a server that starts again");
    }
}

/// A Redis of its own.
pub struct TestRedis(RedisServer);

impl TestRedis {
    /// Starts one; this takes some milliseconds.
    pub async fn start() -> Self {
        let started = blocking(|| RedisServer::start(&new_place(), "redis")).await;
        Self(started.unwrap_or_else(|error| panic!("{error}")))
    }

    /// Its address.
    pub fn url(&self) -> String {
        self.0.url()
    }

    /// What a [`super::Proxy`] forwards to; its own address is then `redis://{proxy.address()}/`.
    pub fn endpoint(&self) -> super::Endpoint {
        super::Endpoint::Unix(self.0.socket().expect("a single server has a socket"))
    }

    /// One command whose answer is a string or a number.
    pub fn ask(&self, words: &[&str]) -> String {
        self.0.ask(words).expect("an answer")
    }

    /// SIGSTOP.
    pub fn pause(&self) {
        self.0.pause().expect("a server to pause");
    }

    /// SIGCONT.
    pub fn resume(&self) {
        self.0.resume().expect("a server to resume");
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        self.0.kill().expect("a server to kill");
    }

    /// Starts it again, empty, on the same address.
    pub fn restart(&mut self) {
        self.0.restart().expect("a server that starts again");
    }
}

/// A Redis Cluster of three masters. Tests share one: each needs a key prefix of its own
/// ([`TestCluster::prefix`]), and must leave the nodes alone.
pub struct TestCluster {
    urls: Vec<String>,
    prefix: String,
}

impl TestCluster {
    /// The shared cluster, started by the first who asks.
    pub async fn shared() -> Self {
        static SHARED: OnceCell<RedisCluster> = OnceCell::const_new();
        let start = || async {
            let started = blocking(|| RedisCluster::start(&new_place())).await;
            started.unwrap_or_else(|error| panic!("{error}"))
        };
        let urls = SHARED.get_or_init(start).await.urls();
        Self { urls, prefix: format!("t{}", next_number()) }
    }

    /// The addresses of its nodes, as `REDIS_URL` takes them.
    pub fn url(&self) -> String {
        self.urls.join(",")
    }

    /// The addresses of its nodes.
    pub fn urls(&self) -> &[String] {
        &self.urls
    }

    /// A prefix for keys and channels that no other test has: `WAYPOST_REDIS__PREFIX`.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }
}
