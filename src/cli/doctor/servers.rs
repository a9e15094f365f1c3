//! Are the servers there that Waypost works with?

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use super::report::{Check, Finding};
use crate::app;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::store::{Error as StoreError, Store, domains, migrate};

/// How long PostgreSQL may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// The database; and the hosts of the domains in it besides the default one, if it has said them.
pub(super) async fn postgres(config: &Config) -> (Finding, Option<Vec<String>>) {
    let finding = Finding::of(Check::Postgres, "PostgreSQL");
    let store = match app::store(config) {
        Ok(store) => store,
        Err(error) => return (finding.failed(error.to_string(), "name a database"), None),
    };
    match timeout(PATIENCE, ask(&store)).await {
        Ok(Ok(hosts)) => {
            let words = "it answers, and is at this program's migration";
            (finding.good(words), Some(hosts))
        }
        Ok(Err(error)) => {
            let remedy = match &error {
                StoreError::Schema(_) => "bring program and database to the same version",
                StoreError::Address(_)
                | StoreError::Unavailable(_)
                | StoreError::TimedOut(_)
                | StoreError::Statement(_)
                | StoreError::WrongRowCount { .. }
                | StoreError::Corrupt(..) => {
                    "start it, or correct DATABASE_URL or [postgres] url, and see that its user may \
                     use the database"
                }
            };
            (finding.failed(error.to_string(), remedy), None)
        }
        Err(_elapsed) => {
            let words = format!("it did not answer within {PATIENCE:?}");
            (finding.failed(words, "see what keeps it; its log and its load may tell"), None)
        }
    }
}

async fn ask(store: &Store) -> Result<Vec<String>, StoreError> {
    migrate::check(store).await?;
    Ok(domains::list(store).await?.into_iter().filter_map(|domain| domain.host).collect())
}

/// The second tier.
pub(super) async fn redis(config: &Config) -> Finding {
    let finding = Finding::of(Check::Redis, "Redis");
    let remedy = "start it, or correct REDIS_URL or [redis] urls; until then links are read from \
                  PostgreSQL";
    let shared = match app::shared(config, &Arc::new(Metrics::new())) {
        Ok(Some(shared)) => shared,
        Ok(None) => return finding.skipped("none is set: links are read from PostgreSQL"),
        Err(error) => return finding.failed(error.to_string(), remedy),
    };
    match shared.look().await {
        Ok(Some(policy)) => finding.good(format!("it answers; its maxmemory-policy is '{policy}'")),
        Ok(None) => finding.good("it answers"),
        Err(error) => finding.failed(error.to_string(), remedy),
    }
}
