//! Migrations: embedded, ordered, checksummed, each in a transaction of its own, one process at a time.

use sha2::{Digest, Sha256};

use super::{Error, Store, expect_rows};

/// One migration: its number is its place in the list, from 1.
struct Migration {
    name: &'static str,
    sql: &'static str,
}

/// All migrations, oldest first. One that was released is never edited: add another.
const MIGRATIONS: &[Migration] = &[
    Migration { name: "0001_links", sql: include_str!("../../migrations/0001_links.sql") },
    Migration { name: "0002_clicks", sql: include_str!("../../migrations/0002_clicks.sql") },
    Migration { name: "0003_domains", sql: include_str!("../../migrations/0003_domains.sql") },
    Migration { name: "0004_routing", sql: include_str!("../../migrations/0004_routing.sql") },
    Migration { name: "0005_referrals", sql: include_str!("../../migrations/0005_referrals.sql") },
    Migration { name: "0006_rewards", sql: include_str!("../../migrations/0006_rewards.sql") },
    Migration {
        name: "0007_message_consent",
        sql: include_str!("../../migrations/0007_message_consent.sql"),
    },
    Migration {
        name: "0008_late_triggers",
        sql: include_str!("../../migrations/0008_late_triggers.sql"),
    },
    Migration { name: "0009_review", sql: include_str!("../../migrations/0009_review.sql") },
    Migration { name: "0010_console", sql: include_str!("../../migrations/0010_console.sql") },
];

/// Any number, the same in all processes: who holds it may migrate.
const ADVISORY_LOCK: i64 = 0x5741_5950_4f53_5431;

/// Why a database does not fit this program.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Mismatch {
    /// The database has no tables of ours yet, or fewer than we need.
    #[error(
        "the database is at migration {applied}, this program needs {known}: run 'waypost migrate'"
    )]
    Behind {
        /// The last migration that was applied.
        applied: usize,
        /// The last one that this program knows.
        known: usize,
    },
    /// A newer program migrated the database.
    #[error(
        "the database comes from the future: it is at migration {applied}, this program knows only \
         {known}. Run the newer waypost, or restore a backup from before its 'waypost migrate'"
    )]
    Future {
        /// The last migration that was applied.
        applied: usize,
        /// The last one that this program knows.
        known: usize,
    },
    /// An applied migration is not the one in this program.
    #[error(
        "migration {number} ('{name}') was applied with another text than this program has: \
         the database belongs to a different build. Run the build that migrated it"
    )]
    Different {
        /// Its number.
        number: usize,
        /// The name under which it was applied.
        name: String,
    },
}

/// Applies what is missing; returns the names of what was applied.
pub async fn migrate(store: &Store) -> Result<Vec<&'static str>, Error> {
    let mut connection = store.connection().await?;
    // Building an index on a large table may take its time; a second process waits for the first.
    connection.batch_execute("SET statement_timeout = 0").await?;
    connection.execute("SELECT pg_advisory_lock($1 /* migrations */)", &[&ADVISORY_LOCK]).await?;
    let outcome = apply_missing(&mut connection).await;
    // The session ends here, and with it the lock and the changed setting, whatever happened.
    drop(deadpool_postgres::Object::take(connection));
    outcome
}

async fn apply_missing(
    connection: &mut deadpool_postgres::Object,
) -> Result<Vec<&'static str>, Error> {
    connection
        .batch_execute(
            "CREATE TABLE IF NOT EXISTS schema_migration (
                 number     integer     PRIMARY KEY,
                 name       text        NOT NULL,
                 checksum   bytea       NOT NULL,
                 applied_at timestamptz NOT NULL DEFAULT now()
             )",
        )
        .await?;
    let applied = match compare(&applied(connection).await?) {
        Ok(()) => MIGRATIONS.len(),
        Err(Mismatch::Behind { applied, known: _ }) => applied,
        Err(other @ (Mismatch::Future { .. } | Mismatch::Different { .. })) => {
            return Err(other.into());
        }
    };
    let mut names = Vec::new();
    for (number, migration) in (1_i32..).zip(MIGRATIONS).skip(applied) {
        let transaction = connection.transaction().await?;
        transaction.batch_execute(migration.sql).await?;
        let recorded = transaction
            .execute(
                "INSERT INTO schema_migration (number, name, checksum)
                 VALUES ($1 /* number */, $2 /* name */, $3 /* checksum */)",
                &[&number, &migration.name, &checksum(migration.sql)],
            )
            .await?;
        expect_rows("record_migration", 1, recorded)?;
        transaction.commit().await?;
        names.push(migration.name);
    }
    Ok(names)
}

/// Fails unless the database is exactly at the last migration that this program knows.
pub async fn check(store: &Store) -> Result<(), Error> {
    let connection = store.connection().await?;
    let exists: bool = connection
        .query_one("SELECT to_regclass('schema_migration') IS NOT NULL", &[])
        .await?
        .try_get(0)?;
    let applied = if exists { applied(&connection).await? } else { Vec::new() };
    Ok(compare(&applied)?)
}

async fn applied(connection: &deadpool_postgres::Object) -> Result<Vec<(String, Vec<u8>)>, Error> {
    connection
        .query("SELECT name, checksum FROM schema_migration ORDER BY number", &[])
        .await?
        .iter()
        .map(|row| Ok((row.try_get(0)?, row.try_get(1)?)))
        .collect()
}

/// Compares what was applied with what this program knows.
fn compare(applied: &[(String, Vec<u8>)]) -> Result<(), Mismatch> {
    for (number, ((name, sum), known)) in (1..).zip(applied.iter().zip(MIGRATIONS)) {
        if *sum != checksum(known.sql) {
            return Err(Mismatch::Different { number, name: name.clone() });
        }
    }
    let (applied, known) = (applied.len(), MIGRATIONS.len());
    match applied.cmp(&known) {
        std::cmp::Ordering::Less => Err(Mismatch::Behind { applied, known }),
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Greater => Err(Mismatch::Future { applied, known }),
    }
}

fn checksum(sql: &str) -> Vec<u8> {
    Sha256::digest(sql.as_bytes()).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history() -> Vec<(String, Vec<u8>)> {
        MIGRATIONS.iter().map(|known| (known.name.to_owned(), checksum(known.sql))).collect()
    }

    #[test]
    fn a_database_from_the_future_is_told_from_one_that_lags() {
        let known = MIGRATIONS.len();
        assert_eq!(compare(&history()), Ok(()));
        assert_eq!(compare(&[]), Err(Mismatch::Behind { applied: 0, known }));
        let mut future = history();
        future.push(("9999_tomorrow".to_owned(), vec![0; 32]));
        assert_eq!(compare(&future), Err(Mismatch::Future { applied: known + 1, known }));
    }

    #[test]
    fn an_edited_migration_is_noticed() {
        let mut edited = history();
        if let Some(first) = edited.first_mut() {
            first.1 = vec![0; 32];
        }
        assert!(matches!(compare(&edited), Err(Mismatch::Different { number: 1, .. })));
    }
}
