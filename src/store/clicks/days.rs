//! The days that rows of visits are kept by: a partition for each, made ahead of time and dropped
//! when its day is too old.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::moment;
use crate::clock::UnixMillis;
use crate::store::{Connection, Error, Store, transact_within};

/// Any number, the same in all processes: who holds it may make partitions.
const ADVISORY_LOCK: i64 = 0x5741_5950_4f53_5433;

/// The day (UTC) of a moment.
pub fn day_of(at: UnixMillis) -> Date {
    moment(at).to_zoned(TimeZone::UTC).date()
}

/// Makes the partitions of these days, where there are none.
pub async fn make(store: &Store, days: &BTreeSet<Date>, budget: Duration) -> Result<(), Error> {
    transact_within(store, budget, async |connection| make_on(connection, days).await).await
}

async fn make_on(connection: &mut Connection, days: &BTreeSet<Date>) -> Result<(), Error> {
    for day in days {
        let Ok(next) = day.tomorrow() else { continue };
        let transaction = connection.transaction().await?;
        transaction
            .execute(
                "SELECT pg_advisory_xact_lock($1 /* lock */) /* lock_days */",
                &[&ADVISORY_LOCK],
            )
            .await?;
        let name = table(*day);
        let exists: bool = transaction
            .query_one("SELECT to_regclass($1 /* table */) IS NOT NULL /* find_day */", &[&name])
            .await?
            .try_get(0)?;
        if exists {
            continue;
        }
        // Attached rather than made as a partition: that would wait for, and hold up, all who read
        // or write visits.
        transaction
            .batch_execute(&format!(
                "/* make_day */
                 CREATE TABLE {name} (LIKE visit INCLUDING CONSTRAINTS);
                 ALTER TABLE visit ATTACH PARTITION {name}
                     FOR VALUES FROM ('{day} 00:00Z') TO ('{next} 00:00Z')"
            ))
            .await?;
        transaction.commit().await?;
    }
    Ok(())
}

/// Hours that are deleted at a time.
const HOURS: i64 = 50_000;

/// Drops the rows of all visits before `oldest`, day by day; answers how many days it dropped, and why
/// others were left for the next time: somebody may be reading them just now.
pub async fn drop_before(store: &Store, oldest: Date) -> Result<(usize, Option<Error>), Error> {
    let mut connection = store.connection().await?;
    let rows = connection
        .query(
            "/* find_days */
             SELECT inhrelid::regclass::text AS name FROM pg_inherits
             WHERE inhparent = 'visit'::regclass ORDER BY 1",
            &[],
        )
        .await?;
    let limit = table(oldest);
    let (mut dropped, mut left) = (0, None);
    for row in &rows {
        let name: String = row.try_get("name")?;
        // The names of days are as long as each other, and in their order.
        if name < limit {
            match drop_day(&mut connection, &name).await {
                Ok(()) => dropped += 1,
                Err(error) => left = Some(error),
            }
        }
    }
    Ok((dropped, left))
}

/// Another process may have been faster; whoever reads the day is waited for, but not for long: those
/// who come later wait behind us.
async fn drop_day(connection: &mut Connection, name: &str) -> Result<(), Error> {
    let transaction = connection.transaction().await?;
    transaction
        .batch_execute(&format!(
            "/* drop_day */ SET LOCAL lock_timeout = '2s'; DROP TABLE IF EXISTS {name}"
        ))
        .await?;
    Ok(transaction.commit().await?)
}

/// Drops the sums of hours before `oldest`, some at a time.
pub async fn drop_hours_before(store: &Store, oldest: Date) -> Result<(), Error> {
    let connection = store.connection().await?;
    loop {
        let deleted = connection
            .execute(
                "/* drop_hours */
                 DELETE FROM click_hour WHERE ctid = ANY (ARRAY(
                     SELECT ctid FROM click_hour
                     WHERE hour < $1::date::timestamp AT TIME ZONE 'UTC' /* oldest */
                     LIMIT $2 /* most */))",
                &[&oldest, &HOURS],
            )
            .await?;
        if deleted < HOURS.unsigned_abs() {
            return Ok(());
        }
    }
}

fn table(day: Date) -> String {
    format!("visit_{:04}{:02}{:02}", day.year(), day.month(), day.day())
}
