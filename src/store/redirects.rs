//! What the edge reads of links, and what it writes beside its way: the outbox of changes, added-up
//! clicks, and the dictionaries of the compact record.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Json;

use super::{Connection, Error, Store, within};
use crate::clock::UnixMillis;
use crate::link::{DomainId, LinkId, LinkKey, Redirect, RedirectStatus};

/// A change that the shared cache has yet to take.
#[derive(Clone, Debug)]
pub struct Change {
    /// Which link.
    pub key: LinkKey,
    /// The version that was queued.
    pub version: u64,
    /// The link as it is now; `None`: it was deleted.
    pub redirect: Option<Redirect>,
}

/// Finds the links behind some keys; the answers come in the keys' order.
pub async fn find_redirects(
    store: &Store,
    keys: &[LinkKey],
) -> Result<Vec<Option<Redirect>>, Error> {
    let connection = store.reader().await?;
    let parts: Vec<(DomainId, &str)> = keys.iter().filter_map(LinkKey::parts).collect();
    let domains: Vec<i32> = parts.iter().map(|(domain, _)| domain.0).collect();
    let slugs: Vec<&str> = parts.iter().map(|(_, slug)| *slug).collect();
    let rows = within(store.read_budget(), connection, async |connection| {
        let statement = connection
            .prepare_cached(
                "/* find_redirects */
                 SELECT link.domain_id, link.slug, link.id, link.version, link.status,
                        link.cache_seconds, link.valid_from, link.expires_at, link.forward_query,
                        link.disabled, link.fallback, link.rules,
                        link.max_clicks IS NOT NULL AS limited,
                        num_nonnulls(link.title, link.description, link.image) > 0 AS preview,
                        link.target
                 FROM unnest($1::integer[] /* domains */, $2::text[] /* slugs */)
                      AS wanted (domain_id, slug),
                      -- One index look-up for each: a plain join is read as a scan of the whole
                      -- table when the planner has no statistics yet.
                      LATERAL (SELECT * FROM link
                               WHERE link.domain_id = wanted.domain_id
                                 AND link.slug = wanted.slug
                               LIMIT 1) AS link",
            )
            .await?;
        connection.query(&statement, &[&domains, &slugs]).await
    })
    .await?;
    let mut found = std::collections::HashMap::with_capacity(rows.len());
    for row in &rows {
        found.insert(key_of(row)?, redirect_of(row)?);
    }
    Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
}

/// Changes that wait in the outbox, the latest first, at most `limit`.
pub async fn pending_changes(store: &Store, limit: i64) -> Result<Vec<Change>, Error> {
    let connection = store.connection().await?;
    let rows = within(OUTBOX_BUDGET, connection, async |connection| {
        connection
            .query(
                "/* pending_changes */
                 SELECT outbox.domain_id, outbox.slug, outbox.version AS queued_version,
                        link.id, link.version, link.status, link.cache_seconds, link.valid_from,
                        link.expires_at, link.forward_query, link.disabled, link.fallback,
                        link.rules, link.max_clicks IS NOT NULL AS limited,
                        num_nonnulls(link.title, link.description, link.image) > 0 AS preview,
                        link.target
                 FROM link_outbox AS outbox
                 LEFT JOIN link USING (domain_id, slug)
                 ORDER BY outbox.queued_at DESC
                 LIMIT $1 /* limit */",
                &[&limit],
            )
            .await
    })
    .await?;
    rows.iter()
        .map(|row| {
            let exists = row.try_get::<_, Option<i64>>("id")?.is_some();
            Ok(Change {
                key: key_of(row)?,
                version: unsigned(row, "queued_version")?,
                redirect: exists.then(|| redirect_of(row)).transpose()?,
            })
        })
        .collect()
}

/// How long one statement about the outbox may take.
const OUTBOX_BUDGET: Duration = Duration::from_secs(3);

/// Removes changes that were carried out, unless a later one took their place meanwhile.
pub async fn settle_changes(store: &Store, changes: &[Change]) -> Result<(), Error> {
    let connection = store.connection().await?;
    let parts: Vec<(DomainId, &str)> =
        changes.iter().filter_map(|change| change.key.parts()).collect();
    let domains: Vec<i32> = parts.iter().map(|(domain, _)| domain.0).collect();
    let slugs: Vec<&str> = parts.iter().map(|(_, slug)| *slug).collect();
    let versions: Vec<i64> =
        changes.iter().filter_map(|change| i64::try_from(change.version).ok()).collect();
    // Fewer rows than changes: another process carried them out as well, which does no harm.
    within(OUTBOX_BUDGET, connection, async |connection| {
        connection
            .execute(
                "/* settle_changes */
                 DELETE FROM link_outbox AS outbox
                 USING unnest($1::integer[] /* domains */, $2::text[] /* slugs */,
                              $3::bigint[] /* versions */) AS done (domain_id, slug, version)
                 WHERE outbox.domain_id = done.domain_id AND outbox.slug = done.slug
                   AND outbox.version = done.version",
                &[&domains, &slugs, &versions],
            )
            .await
    })
    .await
    .map(drop)
}

/// Removes changes older than an hour: for deployments without Redis, where nobody waits for them.
pub async fn drop_old_changes(store: &Store) -> Result<u64, Error> {
    let connection = store.connection().await?;
    Ok(connection
        .execute(
            "/* drop_old_changes */
             DELETE FROM link_outbox WHERE queued_at < now() - interval '1 hour'",
            &[],
        )
        .await?)
}

/// How many changes wait.
pub async fn count_pending(store: &Store) -> Result<i64, Error> {
    let connection = store.connection().await?;
    let row = connection.query_one("SELECT count(*) /* count_pending */ FROM link_outbox", &[]);
    Ok(row.await?.try_get(0)?)
}

/// Adds clicks to their links' totals, once for each batch: repeating a batch changes nothing.
pub async fn add_clicks(
    store: &Store,
    batch: u128,
    clicks: &[(LinkId, i64)],
    budget: Duration,
) -> Result<(), Error> {
    let mut connection = store.connection().await?;
    match tokio::time::timeout(budget, add_clicks_on(&mut connection, batch, clicks)).await {
        Ok(outcome) => outcome,
        Err(_elapsed) => {
            drop(deadpool_postgres::Object::take(connection));
            Err(Error::TimedOut(budget))
        }
    }
}

async fn add_clicks_on(
    connection: &mut Connection,
    batch: u128,
    clicks: &[(LinkId, i64)],
) -> Result<(), Error> {
    let links: Vec<i64> = clicks.iter().map(|(link, _)| link.0).collect();
    let counts: Vec<i64> = clicks.iter().map(|(_, count)| *count).collect();
    let transaction = connection.transaction().await?;
    let new = transaction
        .execute(
            "/* begin_click_batch */
             INSERT INTO click_batch (id) VALUES ($1::text::uuid /* batch */)
             ON CONFLICT (id) DO NOTHING",
            &[&format!("{batch:032x}")],
        )
        .await?;
    if new == 1 {
        // In the order of the links, so that two processes never wait for each other in a circle.
        let changed = transaction
            .execute(
                "/* add_clicks */
                 INSERT INTO link_clicks AS clicks (link_id, total)
                 SELECT link_id, total
                 FROM unnest($1::bigint[] /* links */, $2::bigint[] /* counts */)
                      AS added (link_id, total)
                 ORDER BY link_id
                 ON CONFLICT (link_id) DO UPDATE SET total = clicks.total + excluded.total",
                &[&links, &counts],
            )
            .await?;
        let expected = u64::try_from(clicks.len()).unwrap_or(u64::MAX);
        super::expect_rows("add_clicks", expected, changed)?;
    }
    Ok(transaction.commit().await?)
}

/// Forgets click batches that nobody will repeat any more.
pub async fn forget_click_batches(store: &Store) -> Result<u64, Error> {
    let connection = store.connection().await?;
    Ok(connection
        .execute(
            "/* forget_click_batches */
             DELETE FROM click_batch WHERE applied_at < now() - interval '1 day'",
            &[],
        )
        .await?)
}

/// All dictionaries: their numbers and entries.
pub async fn dictionaries(store: &Store) -> Result<Vec<(u8, Vec<String>)>, Error> {
    let connection = store.connection().await?;
    let rows = connection
        .query("SELECT id, entries /* dictionaries */ FROM record_dictionary ORDER BY id", &[])
        .await?;
    rows.iter()
        .map(|row| {
            let id: i16 = row.try_get("id")?;
            let id = u8::try_from(id)
                .map_err(|error| Error::Corrupt("record_dictionary", error.to_string()))?;
            Ok((id, row.try_get("entries")?))
        })
        .collect()
}

/// Keeps a new dictionary under the next number, unless another process was faster or the numbers
/// are used up.
pub async fn add_dictionary(
    store: &Store,
    after: u8,
    entries: &[&str],
) -> Result<Option<u8>, Error> {
    let Some(id) = after.checked_add(1) else { return Ok(None) };
    let connection = store.connection().await?;
    let added = connection
        .execute(
            "/* add_dictionary */
             INSERT INTO record_dictionary (id, entries) VALUES ($1 /* id */, $2 /* entries */)
             ON CONFLICT (id) DO NOTHING",
            &[&i16::from(id), &entries],
        )
        .await?;
    Ok((added == 1).then_some(id))
}

/// Targets of links anywhere in the table, about `wanted` of them; fewer when there are fewer.
pub async fn sample_targets(store: &Store, wanted: i64) -> Result<Vec<String>, Error> {
    let connection = store.connection().await?;
    let rows = connection
        .query(
            "/* sample_targets */
             SELECT target FROM link TABLESAMPLE SYSTEM (
                 (SELECT least(100, greatest(0.01, 100.0 * $1::bigint / greatest(1, reltuples)))
                  FROM pg_class WHERE oid = 'link'::regclass))
             ORDER BY random()
             LIMIT $1 /* wanted */",
            &[&wanted],
        )
        .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

fn key_of(row: &Row) -> Result<LinkKey, Error> {
    Ok(LinkKey::new(DomainId(row.try_get("domain_id")?), row.try_get("slug")?))
}

fn redirect_of(row: &Row) -> Result<Redirect, Error> {
    let corrupt = |why: &str| Error::Corrupt("link", why.to_owned());
    let status: i16 = row.try_get("status")?;
    let cache: Option<i32> = row.try_get("cache_seconds")?;
    Ok(Redirect {
        link: LinkId(row.try_get("id")?),
        version: unsigned(row, "version")?,
        status: u16::try_from(status)
            .ok()
            .and_then(RedirectStatus::from_code)
            .ok_or_else(|| corrupt("its status is no redirect"))?,
        cache_seconds: cache
            .map(|seconds| u32::try_from(seconds).map_err(|_negative| corrupt("cache_seconds")))
            .transpose()?,
        valid_from: moment(row, "valid_from")?,
        expires_at: moment(row, "expires_at")?,
        forward_query: row.try_get("forward_query")?,
        disabled: row.try_get("disabled")?,
        fallback: row.try_get::<_, Option<String>>("fallback")?.map(String::into_boxed_str),
        limited: row.try_get("limited")?,
        preview: row.try_get("preview")?,
        rules: row.try_get::<_, Option<Json<_>>>("rules")?.map(|Json(it)| it).unwrap_or_default(),
        target: row.try_get::<_, String>("target")?.into_boxed_str(),
    })
}

fn moment(row: &Row, column: &str) -> Result<Option<UnixMillis>, Error> {
    Ok(row.try_get::<_, Option<jiff::Timestamp>>(column)?.map(UnixMillis::from))
}

fn unsigned(row: &Row, column: &'static str) -> Result<u64, Error> {
    let number: i64 = row.try_get(column)?;
    u64::try_from(number).map_err(|error| Error::Corrupt("link", error.to_string()))
}
