//! Waypost's private PostgreSQL, asked directly: for sizes and sums that no interface shows.

use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use waypost::store::{Settings, Store};

use crate::Error;

/// A way into the database, through Waypost's own code, and the runtime that it needs.
pub(crate) struct Database {
    pub(crate) runtime: Runtime,
    pub(crate) store: Store,
}

impl Database {
    /// Connects to nothing yet.
    pub(crate) fn at(url: &str) -> Result<Self, Error> {
        Self::on(Builder::new_current_thread(), url, 1)
    }

    /// The same, for many transactions at once: so many connections for rewards, and a thread for each core.
    pub(crate) fn for_rewards(url: &str, connections: usize) -> Result<Self, Error> {
        Self::on(Builder::new_multi_thread(), url, connections)
    }

    fn on(mut runtime: Builder, url: &str, reward_connections: usize) -> Result<Self, Error> {
        let runtime = runtime.enable_all().build();
        let runtime = runtime.map_err(Error::io("start a runtime for the database"))?;
        let settings = Settings {
            url: url.to_owned(),
            read_connections: 1,
            reward_connections,
            connections: 2,
            pool_wait: Duration::from_secs(5),
            read_timeout: Duration::from_secs(5),
        };
        // The connections' tasks belong to the runtime.
        let store = runtime.block_on(async { Store::new(&settings) }).map_err(broken)?;
        Ok(Self { runtime, store })
    }

    /// The one whole number that `statement` answers with.
    pub(crate) fn number(&self, statement: &str) -> Result<i64, Error> {
        self.runtime.block_on(async {
            let connection = self.store.connection().await.map_err(broken)?;
            let row = connection.query_one(statement, &[]).await.map_err(broken)?;
            row.try_get(0).map_err(broken)
        })
    }

    /// Runs statements, one after the other and however long they take.
    pub(crate) fn run(&self, statements: &[&str]) -> Result<(), Error> {
        self.runtime.block_on(async {
            let connection = self.store.connection().await.map_err(broken)?;
            let patient = "SET statement_timeout = 0";
            for statement in [patient].iter().chain(statements) {
                let done = connection.batch_execute(statement).await;
                let done = done.map_err(waypost::store::Error::from);
                done.map_err(|error| broken(format!("{error}, in: {statement}")))?;
            }
            Ok(())
        })
    }
}

/// Waypost's code or PostgreSQL said no.
pub(crate) fn broken(error: impl std::fmt::Display) -> Error {
    Error::broken("Waypost's database", error.to_string())
}
