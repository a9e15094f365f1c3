//! The machines of a run: a PostgreSQL, a Redis and two workers, with a proxy before each thing that a worker talks to.

use std::sync::{Arc, Mutex, PoisonError};

use waypost::local::{Durability, Place, PostgresServer};
use waypost::store::migrate::migrate;

use super::preset::Preset;
use super::shared::support::servers::{new_directory, store};
use super::shared::support::{Endpoint, Proxy, TestRedis, Waypost};

/// What all workers of a run are set to.
pub(crate) fn settings(preset: &Preset) -> impl Iterator<Item = (String, String)> {
    let settings = [
        ("EDGE__WORKERS", 1),
        ("PAYMENT__DEADLINE_MILLISECONDS", preset.deadline_milliseconds),
        ("REWARDS__LEASE_SECONDS", preset.lease_seconds),
        // How often what was forgotten is looked for, and how old it is then: twice within the patience of a run.
        ("REWARDS__SWEEP_SECONDS", 4),
        ("REFERRALS__POOL_BATCH", 1_000),
    ];
    settings.into_iter().map(|(name, value)| (format!("WAYPOST_{name}"), value.to_string()))
}

/// A worker, and the ways that lead out of it.
pub(crate) struct Worker {
    pub(crate) to_database: Proxy,
    pub(crate) to_payments: Proxy,
    environment: Vec<(String, String)>,
    process: tokio::sync::Mutex<Option<Arc<Waypost>>>,
}

impl Worker {
    async fn new(
        room: (&PostgresServer, &TestRedis),
        payments: Endpoint,
        (preset, planted): (&Preset, &str),
    ) -> Self {
        let to_database = Proxy::start(Endpoint::Unix(room.0.socket())).await;
        let to_payments = Proxy::start(payments).await;
        let environment = [
            ("DATABASE_URL", format!("postgresql://waypost@{}/waypost", to_database.address())),
            ("REDIS_URL", room.1.url()),
            ("WAYPOST_PAYMENT__URL", format!("http://{}/", to_payments.address())),
            ("WAYPOST_PLANTED", planted.to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let environment = environment.into_iter().chain(settings(preset)).collect();
        let mut worker =
            Self { to_database, to_payments, environment, process: tokio::sync::Mutex::new(None) };
        worker.start().await;
        // From now on always at the same address.
        let control = worker.process().await.control().to_string();
        worker.environment.push(("WAYPOST_CONTROL__LISTEN".to_owned(), control));
        worker
    }

    /// The process that runs now.
    pub(crate) async fn process(&self) -> Arc<Waypost> {
        Arc::clone(self.process.lock().await.as_ref().expect("it was started"))
    }

    /// SIGKILL.
    pub(crate) async fn kill(&self) {
        self.process().await.kill().await;
    }

    /// Starts it, after it ended in whatever way.
    pub(crate) async fn start(&self) {
        let texts = self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let environment: Vec<_> = texts.collect();
        // PostgreSQL may be away for longer than a start waits: then once more.
        let mut last = String::new();
        for _ in 0..3 {
            match Waypost::try_start(&environment).await {
                Ok(started) => {
                    *self.process.lock().await = Some(Arc::new(started));
                    return;
                }
                Err(log) => last = log,
            }
        }
        panic!("a worker does not start:\n{last}");
    }
}

/// See the module.
pub(crate) struct Room {
    postgres: Arc<Mutex<PostgresServer>>,
    redis: tokio::sync::Mutex<TestRedis>,
    pub(crate) workers: [Worker; 2],
    /// The database, by the way that nothing stands in.
    pub(crate) database: String,
}

impl Room {
    /// Starts all of it. The bugs in `planted` are in the program only in a build that has them.
    pub(crate) async fn start(payments: Endpoint, told: (&Preset, &str)) -> Self {
        let start = || {
            let place = Place::prepare(&new_directory()).expect("a directory for servers");
            let server = PostgresServer::start(&Arc::new(place), Durability::Thrown);
            let server = server.unwrap_or_else(|error| panic!("{error}"));
            server.ensure_database("waypost").expect("a new database");
            server
        };
        let postgres = tokio::task::spawn_blocking(start).await.expect("a server that starts");
        let database = postgres.url("waypost");
        migrate(&store(&database)).await.expect("migrations that apply");
        let redis = TestRedis::start().await;
        let both = (&postgres, &redis);
        let workers = [
            Worker::new(both, payments.clone(), told).await,
            Worker::new(both, payments, told).await,
        ];
        let postgres = Arc::new(Mutex::new(postgres));
        Self { postgres, redis: tokio::sync::Mutex::new(redis), workers, database }
    }

    /// Ends every process of PostgreSQL at once, and starts it again: it recovers as after a crash.
    pub(crate) async fn crash_postgres(&self) {
        let postgres = Arc::clone(&self.postgres);
        let crash = move || {
            let mut server = postgres.lock().unwrap_or_else(PoisonError::into_inner);
            server.kill().expect("a server to kill");
            server.restart().expect("a server that starts again");
        };
        tokio::task::spawn_blocking(crash).await.expect("a server that starts again");
    }

    /// SIGKILL to Redis.
    pub(crate) async fn kill_redis(&self) {
        self.redis.lock().await.kill();
    }

    /// Starts Redis again, empty.
    pub(crate) async fn restart_redis(&self) {
        self.redis.lock().await.restart();
    }
}
