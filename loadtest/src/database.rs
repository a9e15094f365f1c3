//! Waypost's private PostgreSQL, asked directly: for sizes and sums that no interface shows.

use std::time::Duration;

use tokio::runtime::Runtime;
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
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(Error::io("start a runtime for the database"))?;
        let settings = Settings {
            url: url.to_owned(),
            read_connections: 1,
            reward_connections: 4,
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
}

/// Waypost's code or PostgreSQL said no.
pub(crate) fn broken(error: impl std::fmt::Display) -> Error {
    Error::broken("Waypost's database", error.to_string())
}
