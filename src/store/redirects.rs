//! What the edge reads of links, and what it writes beside its way: the outbox of changes,
//! and the dictionaries of the compact record.

use std::time::Duration;

use tokio_postgres::Row;
use tokio_postgres::types::Json;

use super::{Connection, Error, Store, Transaction, expect_rows, within};
use crate::campaign::CampaignNumber;
use crate::clock::UnixMillis;
use crate::link::{DomainId, LinkId, LinkKey, Redirect, RedirectStatus};
use crate::referral::landing::{self, Landing};

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

/// Finds the links and codes behind some keys; the answers come in the keys' order.
pub async fn find_redirects(
    store: &Store,
    keys: &[LinkKey],
) -> Result<Vec<Option<Redirect>>, Error> {
    let connection = store.reader().await?;
    let (links, codes) = within(store.read_budget(), connection, async |connection| {
        rows_behind(connection, keys).await
    })
    .await?;
    redirects_in(keys, &links, &codes)
}

/// The rows of links and of codes that some keys name.
async fn rows_behind(
    connection: &Connection,
    keys: &[LinkKey],
) -> Result<(Vec<Row>, Vec<Row>), tokio_postgres::Error> {
    let codes: Vec<&str> = keys.iter().filter_map(landing::code_of).collect();
    let of_codes =
        if codes.is_empty() { Vec::new() } else { code_rows(connection, &codes).await? };
    let is_link = |key: &&LinkKey| landing::code_of(key).is_none();
    let parts: Vec<(DomainId, &str)> =
        keys.iter().filter(is_link).filter_map(LinkKey::parts).collect();
    let of_links =
        if parts.is_empty() { Vec::new() } else { link_rows(connection, &parts).await? };
    Ok((of_links, of_codes))
}

async fn link_rows(
    connection: &Connection,
    parts: &[(DomainId, &str)],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let domains: Vec<i32> = parts.iter().map(|(domain, _)| domain.0).collect();
    let slugs: Vec<&str> = parts.iter().map(|(_, slug)| *slug).collect();
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
}

async fn code_rows(
    connection: &Connection,
    codes: &[&str],
) -> Result<Vec<Row>, tokio_postgres::Error> {
    let statement = connection
        .prepare_cached(
            "/* find_codes */
             SELECT code.code, code.id, code.version, code.disabled, code.shown_name,
                    campaign.number AS campaign
             FROM unnest($1::text[] /* codes */) AS wanted (code),
                  LATERAL (SELECT * FROM referral_code WHERE code = wanted.code LIMIT 1) AS code,
                  LATERAL (SELECT number FROM campaign WHERE id = code.campaign_id LIMIT 1)
                      AS campaign",
        )
        .await?;
    connection.query(&statement, &[&codes]).await
}

/// The redirects in the order of their keys.
fn redirects_in(
    keys: &[LinkKey],
    links: &[Row],
    codes: &[Row],
) -> Result<Vec<Option<Redirect>>, Error> {
    let mut found = std::collections::HashMap::with_capacity(links.len() + codes.len());
    for row in links {
        found.insert(key_of(row)?, redirect_of(row)?);
    }
    for row in codes {
        found.insert(landing::key(row.try_get("code")?), redirect_of_code(row)?);
    }
    Ok(keys.iter().map(|key| found.get(key).cloned()).collect())
}

/// What PostgreSQL grants of a link that can be opened only so often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Granted {
    /// So many of those who asked may open it.
    pub granted: i64,
    /// So many clicks were left before.
    pub left_before: i64,
}

/// Uses up to `wanted` clicks of a limited link up, as far as there are any; with none wanted it only
/// looks, and locks nothing. `None`: there is no such link in this version, or it has no limit.
pub async fn take_clicks(
    store: &Store,
    key: &LinkKey,
    (link, version): (LinkId, u64),
    wanted: i64,
) -> Result<Option<Granted>, Error> {
    let Some((domain, slug)) = key.parts() else { return Ok(None) };
    let version = i64::try_from(version).unwrap_or(i64::MAX);
    let connection = store.reader().await?;
    if wanted == 0 {
        return look_for_clicks(store, connection, (domain, slug), (link.0, version)).await;
    }
    let row = within(store.read_budget(), connection, async |connection| {
        // The row is locked in its latest version before anything is decided; the rest is one
        // conditional change of that version.
        let statement = connection
            .prepare_cached(
                "/* take_clicks */
                 WITH before AS MATERIALIZED (
                     SELECT domain_id, slug, clicks_used,
                            greatest(0, max_clicks - clicks_used) AS left_before
                     FROM link
                     WHERE domain_id = $1 /* domain */ AND slug = $2 /* slug */
                       AND id = $3 /* link */ AND version = $4 /* version */
                       AND max_clicks IS NOT NULL
                     FOR NO KEY UPDATE
                 ),
                 taken AS (
                     UPDATE link
                     SET clicks_used = before.clicks_used
                                     + least($5::bigint /* wanted */, before.left_before)
                     FROM before
                     WHERE link.domain_id = before.domain_id AND link.slug = before.slug
                       AND least($5, before.left_before) > 0
                     RETURNING link.clicks_used - before.clicks_used AS granted
                 )
                 SELECT left_before, coalesce((SELECT granted FROM taken), 0) AS granted
                 FROM before",
            )
            .await?;
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&domain.0, &slug, &link.0, &version, &wanted];
        connection.query_opt(&statement, &parameters).await
    })
    .await?;
    row.map(|row| {
        Ok(Granted { granted: row.try_get("granted")?, left_before: row.try_get("left_before")? })
    })
    .transpose()
}

async fn look_for_clicks(
    store: &Store,
    connection: Connection,
    (domain, slug): (DomainId, &str),
    (link, version): (i64, i64),
) -> Result<Option<Granted>, Error> {
    let row = within(store.read_budget(), connection, async |connection| {
        let statement = connection
            .prepare_cached(
                "/* look_for_clicks */
                 SELECT greatest(0, max_clicks - clicks_used) AS left_before FROM link
                 WHERE domain_id = $1 /* domain */ AND slug = $2 /* slug */
                   AND id = $3 /* link */ AND version = $4 /* version */
                   AND max_clicks IS NOT NULL",
            )
            .await?;
        connection.query_opt(&statement, &[&domain.0, &slug, &link, &version]).await
    })
    .await?;
    row.map(|row| Ok(Granted { granted: 0, left_before: row.try_get("left_before")? })).transpose()
}

/// What programs that render previews are shown of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preview {
    /// Its name.
    pub title: Option<String>,
    /// What is behind it.
    pub description: Option<String>,
    /// The URL of a picture.
    pub image: Option<String>,
}

/// What there is to show of a link in this version.
pub async fn find_preview(
    store: &Store,
    key: &LinkKey,
    version: u64,
) -> Result<Option<Preview>, Error> {
    let Some((domain, slug)) = key.parts() else { return Ok(None) };
    let version = i64::try_from(version).unwrap_or(i64::MAX);
    let connection = store.reader().await?;
    let row = within(store.read_budget(), connection, async |connection| {
        let statement = connection
            .prepare_cached(
                "/* find_preview */
                 SELECT title, description, image FROM link
                 WHERE domain_id = $1 /* domain */ AND slug = $2 /* slug */
                   AND version = $3 /* version */",
            )
            .await?;
        connection.query_opt(&statement, &[&domain.0, &slug, &version]).await
    })
    .await?;
    row.map(|row| {
        Ok(Preview {
            title: row.try_get("title")?,
            description: row.try_get("description")?,
            image: row.try_get("image")?,
        })
    })
    .transpose()
}

/// Puts a change into the outbox, from which the shared cache is told until it has taken it.
pub async fn queue_change(
    transaction: &Transaction<'_>,
    key: &LinkKey,
    version: i64,
) -> Result<(), Error> {
    let Some((domain, slug)) = key.parts() else {
        return Err(Error::Corrupt("link", format!("the key '{key}'")));
    };
    let queued = transaction
        .execute(
            "INSERT INTO link_outbox (domain_id, slug, version)
             VALUES ($1 /* domain */, $2 /* slug */, $3 /* version */)
             ON CONFLICT (domain_id, slug) DO UPDATE
             SET version = greatest(link_outbox.version, excluded.version), queued_at = now()
             /* queue_change */",
            &[&domain.0, &slug, &version],
        )
        .await?;
    expect_rows("queue_change", 1, queued)
}

/// Changes that wait in the outbox, the latest first, at most `limit`.
pub async fn pending_changes(store: &Store, limit: i64) -> Result<Vec<Change>, Error> {
    let connection = store.connection().await?;
    // What stands behind the keys is read after them: it is as late as the queued change, or later.
    let (queued, links, codes) = within(OUTBOX_BUDGET, connection, async |connection| {
        let queued = connection
            .query(
                "/* pending_changes */
                 SELECT domain_id, slug, version FROM link_outbox
                 ORDER BY queued_at DESC
                 LIMIT $1 /* limit */",
                &[&limit],
            )
            .await?;
        let keys: Vec<LinkKey> = queued.iter().filter_map(|row| key_of(row).ok()).collect();
        let (links, codes) = rows_behind(connection, &keys).await?;
        Ok((queued, links, codes))
    })
    .await?;
    let keys = queued.iter().map(key_of).collect::<Result<Vec<LinkKey>, Error>>()?;
    let redirects = redirects_in(&keys, &links, &codes)?;
    keys.into_iter()
        .zip(&queued)
        .zip(redirects)
        .map(|((key, row), redirect)| {
            Ok(Change { key, version: unsigned(row, "version")?, redirect })
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

/// A code, as the tiers keep it.
fn redirect_of_code(row: &Row) -> Result<Redirect, Error> {
    let shown = Landing {
        campaign: CampaignNumber(row.try_get("campaign")?),
        shown_name: row.try_get("shown_name")?,
    };
    Ok(Redirect {
        link: LinkId(row.try_get("id")?),
        version: unsigned(row, "version")?,
        status: RedirectStatus::Found,
        cache_seconds: None,
        valid_from: None,
        expires_at: None,
        forward_query: false,
        disabled: row.try_get("disabled")?,
        fallback: None,
        limited: false,
        preview: false,
        rules: Vec::new(),
        target: shown.to_target().into_boxed_str(),
    })
}

fn moment(row: &Row, column: &str) -> Result<Option<UnixMillis>, Error> {
    Ok(row.try_get::<_, Option<jiff::Timestamp>>(column)?.map(UnixMillis::from))
}

fn unsigned(row: &Row, column: &'static str) -> Result<u64, Error> {
    let number: i64 = row.try_get(column)?;
    u64::try_from(number).map_err(|error| Error::Corrupt("link", error.to_string()))
}
