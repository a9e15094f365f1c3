//! Adding visits up, by the hour and by the day, so that a page about a busy link does not have to.

use super::BATCH_SPAN;
use crate::store::{Error, Store};

/// Any number, the same in all processes: who holds it may roll up.
const ADVISORY_LOCK: i64 = 0x5741_5950_4f53_5432;

/// The most batches that are rolled up together.
pub const MOST_BATCHES: i64 = 40;

/// Different referrers that a link has in one day; whatever comes after them is `*`. Anybody can make
/// referrers up.
const REFERRERS: i64 = 100;

/// How many batches wait.
pub async fn count_waiting(store: &Store) -> Result<i64, Error> {
    let connection = store.connection().await?;
    let row = connection
        .query_one(
            "SELECT count(*) /* count_to_roll_up */ FROM click_batch WHERE NOT rolled_up",
            &[],
        )
        .await?;
    Ok(row.try_get(0)?)
}

/// Rolls up to `most` batches up; answers how many, and none when another process is at it. Each batch
/// is rolled up once: it is marked in the same transaction.
pub async fn roll_up(store: &Store, most: i64) -> Result<u64, Error> {
    let mut connection = store.connection().await?;
    let transaction = connection.transaction().await?;
    let locked: bool = transaction
        .query_one(
            "SELECT pg_try_advisory_xact_lock($1 /* lock */) /* lock_roll_up */",
            &[&ADVISORY_LOCK],
        )
        .await?
        .try_get(0)?;
    if !locked {
        return Ok(0);
    }
    let taken = transaction
        .query(
            "/* take_batches */
             UPDATE click_batch SET rolled_up = true
             WHERE number IN (SELECT number FROM click_batch WHERE NOT rolled_up
                              ORDER BY number LIMIT $1 /* most */)
             RETURNING number",
            &[&most],
        )
        .await?;
    if taken.is_empty() {
        return Ok(0);
    }
    let numbers: Vec<i64> = taken.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?;
    // The sums of that many clicks fit into memory, and the statement is too short for compiling.
    transaction
        .batch_execute("/* room_for_sums */ SET LOCAL work_mem = '64MB'; SET LOCAL jit = off")
        .await?;
    let statement = transaction.prepare_cached(ROLL_UP).await?;
    transaction.execute(&statement, &[&numbers, &BATCH_SPAN, &REFERRERS]).await?;
    transaction
        .execute(
            "/* drop_visits_without_row */
             DELETE FROM visit_without_row WHERE batch = ANY($1 /* batches */)",
            &[&numbers],
        )
        .await?;
    transaction.commit().await?;
    Ok(u64::try_from(numbers.len()).unwrap_or(u64::MAX))
}

/// Adds the visits of some batches to `click_hour` and `click_day`. A visitor who asked not to be
/// tracked counts with nothing known, so that each dimension of a day adds up to the same.
const ROLL_UP: &str = "/* roll_up */
WITH seen AS MATERIALIZED (
    SELECT link_id, date_trunc('hour', at, 'UTC') AS hour, device, browser,
           coalesce(country, '') AS country, coalesce(referrer, '') AS referrer,
           -- Of a batch they fit into integers, which are added up several times as fast.
           count(*)::integer AS total,
           (count(*) FILTER (WHERE kind = 'person'))::integer AS people,
           (count(*) FILTER (WHERE kind IN ('bot', 'preview')))::integer AS bots
    FROM unnest($1::bigint[] /* batches */) AS batch (number)
    JOIN click_batch USING (number),
    LATERAL (SELECT * FROM visit
             WHERE visit.id >= batch.number * $2::bigint /* span */
               AND visit.id < (batch.number + 1) * $2
               AND visit.at BETWEEN click_batch.first_at AND click_batch.last_at) AS visit
    GROUP BY 1, 2, 3, 4, 5, 6
    UNION ALL
    SELECT link_id, hour, 'unknown', 'other', '', '', sum(visits)::integer,
           coalesce(sum(visits) FILTER (WHERE kind = 'person'), 0)::integer,
           coalesce(sum(visits) FILTER (WHERE kind IN ('bot', 'preview')), 0)::integer
    FROM visit_without_row WHERE batch = ANY($1)
    GROUP BY 1, 2
),
hours AS (
    INSERT INTO click_hour AS known (link_id, hour, total, people, bots)
    SELECT link_id, hour, sum(total), sum(people), sum(bots) FROM seen GROUP BY 1, 2
    ON CONFLICT (link_id, hour) DO UPDATE
    SET total = known.total + excluded.total, people = known.people + excluded.people,
        bots = known.bots + excluded.bots
),
parts AS MATERIALIZED (
    SELECT link_id, dimension, (hour AT TIME ZONE 'UTC')::date AS day, value,
           sum(total) AS total, sum(people) AS people, sum(bots) AS bots
    FROM seen, LATERAL (VALUES ('all', ''), ('device', device), ('browser', browser),
                               ('country', country), ('referrer', referrer))
               AS part (dimension, value)
    GROUP BY 1, 2, 3, 4
),
-- What is known of the day's referrers already, link by link: a join would read those of all days.
known_referrers AS MATERIALIZED (
    SELECT wanted.link_id, wanted.day, known.value
    FROM (SELECT DISTINCT link_id, day FROM parts WHERE dimension = 'referrer') AS wanted,
    LATERAL (SELECT value FROM click_day
             WHERE click_day.link_id = wanted.link_id AND click_day.dimension = 'referrer'
               AND click_day.day = wanted.day AND click_day.value NOT IN ('', '*')
             OFFSET 0) AS known
),
-- Those that are new, the most frequent first, counted on from those before them.
new_referrers AS (
    SELECT link_id, day, value,
           coalesce(before.count, 0)
           + row_number() OVER (PARTITION BY link_id, day ORDER BY total DESC, value) AS place
    FROM parts
    LEFT JOIN (SELECT link_id, day, count(*) FROM known_referrers GROUP BY 1, 2) AS before
        USING (link_id, day)
    WHERE dimension = 'referrer' AND value <> ''
      AND (link_id, day, value) NOT IN (SELECT link_id, day, value FROM known_referrers)
),
folded AS (
    SELECT parts.link_id, dimension, parts.day,
           CASE WHEN place > $3::bigint /* referrers */ THEN '*' ELSE parts.value END AS value,
           sum(total) AS total, sum(people) AS people, sum(bots) AS bots
    FROM parts
    LEFT JOIN new_referrers AS new
        ON dimension = 'referrer' AND new.link_id = parts.link_id AND new.day = parts.day
           AND new.value = parts.value
    GROUP BY 1, 2, 3, 4
)
INSERT INTO click_day AS known (link_id, dimension, day, value, total, people, bots)
SELECT link_id, dimension, day, value, total, people, bots FROM folded
ON CONFLICT (link_id, dimension, day, value) DO UPDATE
SET total = known.total + excluded.total, people = known.people + excluded.people,
    bots = known.bots + excluded.bots";
