//! PostgreSQL: the only place that knows `tokio-postgres`, and the only one with SQL in it.
//!
//! Each statement is a literal beside the function that runs it, named in its first line, and every
//! statement that changes something has its rows counted.

use std::time::Duration;

use deadpool_postgres::{
    Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime, Timeouts,
};
use tokio_postgres::NoTls;
use tokio_postgres::error::SqlState;

pub mod audit;
pub mod bindings;
pub mod campaigns;
pub mod claims;
pub mod clicks;
pub mod codes;
pub mod console;
pub mod domains;
pub mod idempotency;
pub mod keys;
pub mod links;
pub mod migrate;
pub mod overview;
pub mod redirects;
pub mod review;
pub mod rewards;
pub mod secrets;
pub mod token_keys;
pub mod triggers;
pub mod user_locks;

/// A transaction that knows statements which were prepared before on its connection.
pub use deadpool_postgres::Transaction as Prepared;
pub use tokio_postgres::Transaction;
use user_locks::Turns;

/// What can go wrong between here and PostgreSQL.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The address of the database cannot be read.
    #[error("the PostgreSQL address is not understood: {0}")]
    Address(String),
    /// No connection could be had: the server is away, refuses, or all connections are in use.
    #[error("no connection to PostgreSQL: {0}")]
    Unavailable(String),
    /// The answer did not come within the budget; the connection was discarded.
    #[error("PostgreSQL did not answer within {0:?}")]
    TimedOut(Duration),
    /// A statement failed.
    #[error("PostgreSQL refused a statement: {}", describe(.0))]
    Statement(#[from] tokio_postgres::Error),
    /// A statement that must change exactly one row changed another number of them.
    #[error("the statement '{statement}' changed {changed} rows, expected {expected}")]
    WrongRowCount {
        /// The statement's name.
        statement: &'static str,
        /// How many rows had to change.
        expected: u64,
        /// How many did.
        changed: u64,
    },
    /// A row holds what the schema forbids.
    #[error("the row of {0} cannot be understood: {1}")]
    Corrupt(&'static str, String),
    /// The schema is not the one that this program knows.
    #[error(transparent)]
    Schema(#[from] migrate::Mismatch),
}

impl Error {
    /// Whether the same request may well succeed a little later.
    pub fn is_outage(&self) -> bool {
        match self {
            Self::Unavailable(_) | Self::TimedOut(_) => true,
            Self::Statement(error) => match error.code() {
                // 08: the connection; 40: another transaction stood in the way; 53: too little of
                // something; 55P03: a lock that others hold; 57: the server is stopping, or the
                // statement's time ran out; 25P03: we were away too long in a transaction.
                Some(code) => {
                    let known = ["08", "40", "53", "55P03", "57", "25P03"];
                    known.iter().any(|class| code.code().starts_with(class))
                }
                // No code: the connection broke, or a value did not fit its column.
                None => {
                    error.is_closed()
                        || std::error::Error::source(error)
                            .is_some_and(<dyn std::error::Error>::is::<std::io::Error>)
                }
            },
            Self::Address(_) | Self::WrongRowCount { .. } | Self::Corrupt(..) | Self::Schema(_) => {
                false
            }
        }
    }

    /// Whether the server gave a statement up, because its time ran out.
    pub fn is_out_of_time(&self) -> bool {
        let Self::Statement(error) = self else { return false };
        error.code() == Some(&SqlState::QUERY_CANCELED)
    }

    /// Whether a row could not go, or not come, because of what other rows refer to.
    pub fn is_foreign_key_violation(&self) -> bool {
        let Self::Statement(error) = self else { return false };
        error.code() == Some(&SqlState::FOREIGN_KEY_VIOLATION)
    }

    /// The name of the unique constraint that a statement ran into, if that is what happened.
    pub fn unique_violation(&self) -> Option<&str> {
        let Self::Statement(error) = self else { return None };
        let database = error.as_db_error()?;
        (*database.code() == SqlState::UNIQUE_VIOLATION)
            .then(|| database.constraint().unwrap_or(""))
    }
}

/// The pool prints only that it could not connect; this says why.
fn unavailable(error: &PoolError) -> Error {
    let PoolError::Backend(cause) = error else { return Error::Unavailable(error.to_string()) };
    Error::Unavailable(describe(cause))
}

/// tokio-postgres prints only "db error"; this says which.
fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(database) => format!("{} ({})", database.message(), database.code().code()),
        None => match std::error::Error::source(error) {
            Some(source) => format!("{error}: {source}"),
            None => error.to_string(),
        },
    }
}

/// How to reach PostgreSQL, and how long to wait for it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// `postgresql://user@host/database`, or `host=… user=…`.
    pub url: String,
    /// Connections for link look-ups on the way of a redirect.
    pub read_connections: usize,
    /// Connections for everything else.
    pub connections: usize,
    /// Connections for granting and moving rewards.
    pub reward_connections: usize,
    /// How long a look-up may wait for a free connection.
    pub pool_wait: Duration,
    /// The `statement_timeout` of look-ups.
    pub read_timeout: Duration,
}

/// A connection out of a pool; it returns there when it is dropped.
pub type Connection = Object;

/// The database, as three pools: look-ups on the way of a redirect never queue behind other work, and
/// neither do rewards.
#[derive(Clone, Debug)]
pub struct Store {
    reads: Pool,
    main: Pool,
    rewards: Pool,
    read_budget: Duration,
    turns: Turns,
}

/// How long a connection attempt may take.
const CONNECT: Duration = Duration::from_secs(2);
/// How long work off the redirect's way may wait for a connection.
const MAIN_WAIT: Duration = Duration::from_secs(5);
/// How long such work may keep the server waiting between two statements of a transaction.
const MAIN_IDLE: Duration = Duration::from_secs(5);
/// The `statement_timeout` of work off the redirect's way.
const MAIN_STATEMENT: Duration = Duration::from_secs(20);

impl Store {
    /// Makes the pools; connects to nothing yet.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let reads = Timeouts {
            wait: Some(settings.pool_wait),
            create: Some(settings.read_timeout),
            recycle: Some(settings.pool_wait),
        };
        let main =
            Timeouts { wait: Some(MAIN_WAIT), create: Some(CONNECT), recycle: Some(MAIN_WAIT) };
        let timeout = |limit: Duration| format!("-c statement_timeout={}", limit.as_millis());
        // Look-ups go by the index, always. A plan made when the table was nearly empty would scan
        // it, and be kept for thousands of look-ups after a million links were added.
        let read_options = format!("{} -c enable_seqscan=off", timeout(settings.read_timeout));
        // A process that freezes in the middle of a transaction must not keep its locks.
        let idle = format!("-c idle_in_transaction_session_timeout={}", MAIN_IDLE.as_millis());
        let main_options = format!("{} {idle}", timeout(MAIN_STATEMENT));
        // Sets of rows are found by the index, always: see the look-ups.
        let rewards = &main_options;
        // Their plans are made once: they are the same for few rows and for many, and making one takes longer than
        // carrying it out. What the planner is told to avoid looks so dear to it that it would compile it, too.
        let plans = "-c plan_cache_mode=force_generic_plan -c jit=off";
        let rewards_options =
            format!("{rewards} -c enable_seqscan=off -c random_page_cost=1.1 {plans}");
        Ok(Self {
            rewards: pool(&settings.url, settings.reward_connections, main, &rewards_options)?,
            reads: pool(&settings.url, settings.read_connections, reads, &read_options)?,
            main: pool(&settings.url, settings.connections, main, &main_options)?,
            // A stopped server does not obey its own statement_timeout, so we count as well.
            read_budget: settings.read_timeout + Duration::from_millis(50),
            turns: Turns::of(settings.connections),
        })
    }

    /// A connection for look-ups.
    pub async fn reader(&self) -> Result<Connection, Error> {
        self.reads.get().await.map_err(|error| unavailable(&error))
    }

    /// A connection for everything else.
    pub async fn connection(&self) -> Result<Connection, Error> {
        self.main.get().await.map_err(|error| unavailable(&error))
    }

    /// A connection for granting and moving rewards.
    pub async fn rewards(&self) -> Result<Connection, Error> {
        self.rewards.get().await.map_err(|error| unavailable(&error))
    }

    /// Who may wait for locks on users.
    pub fn turns(&self) -> &Turns {
        &self.turns
    }

    /// The longest that one look-up may take once it has its connection.
    pub fn read_budget(&self) -> Duration {
        self.read_budget
    }

    /// Whether the server answers at all, within the budget of a look-up.
    pub async fn ping(&self) -> Result<(), Error> {
        let connection = self.reader().await?;
        within(self.read_budget, connection, async |connection| {
            connection.simple_query("SELECT 1 /* ping */").await.map(drop)
        })
        .await
    }

    /// Connections in use and their limit, for look-ups and for the rest, by the pool's name.
    pub fn pool_use(&self) -> [(&'static str, usize, usize); 3] {
        let pools = [("reads", &self.reads), ("main", &self.main), ("rewards", &self.rewards)];
        pools.map(|(name, pool)| {
            let status = pool.status();
            (name, status.size.saturating_sub(status.available), status.max_size)
        })
    }
}

/// Runs `work` on `connection` within `budget`. When time runs out, the connection is thrown away:
/// dropping a query does not cancel it, and the next user would wait for its answer.
pub async fn within<T>(
    budget: Duration,
    connection: Connection,
    work: impl AsyncFnOnce(&Connection) -> Result<T, tokio_postgres::Error>,
) -> Result<T, Error> {
    match tokio::time::timeout(budget, work(&connection)).await {
        Ok(answer) => Ok(answer?),
        Err(_elapsed) => {
            drop(Object::take(connection));
            Err(Error::TimedOut(budget))
        }
    }
}

/// Runs a transaction on a connection of its own within `budget`, waiting for the connection included.
/// When time runs out, the connection is thrown away, and nobody knows what became of its work.
pub async fn transact_within<T>(
    store: &Store,
    budget: Duration,
    work: impl AsyncFnOnce(&mut Connection) -> Result<T, Error>,
) -> Result<T, Error> {
    let late = |_elapsed| Error::TimedOut(budget);
    let begun = tokio::time::Instant::now();
    let mut connection = tokio::time::timeout(budget, store.connection()).await.map_err(late)??;
    let left = budget.saturating_sub(begun.elapsed());
    match tokio::time::timeout(left, work(&mut connection)).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => {
            drop(Object::take(connection));
            Err(Error::TimedOut(budget))
        }
    }
}

/// Fails unless a statement changed exactly `expected` rows.
pub fn expect_rows(statement: &'static str, expected: u64, changed: u64) -> Result<(), Error> {
    if expected == changed {
        Ok(())
    } else {
        Err(Error::WrongRowCount { statement, expected, changed })
    }
}

fn pool(url: &str, size: usize, timeouts: Timeouts, options: &str) -> Result<Pool, Error> {
    let mut config: tokio_postgres::Config =
        url.parse().map_err(|error: tokio_postgres::Error| Error::Address(describe(&error)))?;
    if config.get_application_name().is_none() {
        config.application_name("waypost");
    }
    let options = match config.get_options() {
        Some(given) => format!("{given} {options}"),
        None => options.to_owned(),
    };
    config.options(options).connect_timeout(CONNECT);
    let recycling = ManagerConfig { recycling_method: RecyclingMethod::Fast };
    Pool::builder(Manager::from_config(config, NoTls, recycling))
        .max_size(size)
        .timeouts(timeouts)
        .runtime(Runtime::Tokio1)
        .build()
        .map_err(|error| Error::Address(error.to_string()))
}
