//! Links, as the control plane reads and writes them. Look-ups on the way of a redirect stand apart.

use tokio_postgres::Row;
use tokio_postgres::types::Json;

use super::{Error, Store, Transaction, redirects};
use crate::link::model::{Behaviour, Counted, Draft, Labels, Link};
use crate::link::routing::Rule;
use crate::link::{DomainId, LinkId, RedirectStatus};

mod reuse;

pub use reuse::{find_alike, lock_targets};

/// `count` positions of the slug permutation that nobody had before.
pub async fn next_positions(
    transaction: &Transaction<'_>,
    count: usize,
) -> Result<Vec<u64>, Error> {
    let count = i64::try_from(count).expect("fits");
    let rows = transaction
        .query(
            "SELECT nextval('slug_position') FROM generate_series(1, $1::bigint /* count */)
             /* next_positions */",
            &[&count],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let position: i64 = row.try_get(0)?;
            u64::try_from(position)
                .map_err(|error| Error::Corrupt("slug_position", error.to_string()))
        })
        .collect()
}

/// Stores new links, each a draft with its slug, in one statement. Returns those that were stored:
/// where a slug is taken, nothing happens.
pub async fn insert(
    transaction: &Transaction<'_>,
    actor: &str,
    links: &[(&Draft, &str)],
) -> Result<Vec<Link>, Error> {
    // All transactions take the slugs in one order, so that no two wait for each other.
    let mut links = links.to_vec();
    links.sort_unstable_by_key(|(draft, slug)| (draft.domain.id, *slug));
    let columns = Columns::of(links.iter().map(|(draft, _)| *draft));
    let slugs: Vec<&str> = links.iter().map(|(_, slug)| *slug).collect();
    let rows = transaction
        .query(
            "WITH made AS (
                 INSERT INTO link (domain_id, slug, target, status, cache_seconds, valid_from,
                     expires_at, forward_query, fallback, rules, max_clicks, title, description,
                     image, tags, created_by)
                 SELECT domain_id, slug, target, status, cache_seconds, valid_from, expires_at,
                     forward_query, fallback, rules, max_clicks, title, description, image,
                     ARRAY(SELECT jsonb_array_elements_text(tags)), $16 /* actor */
                 FROM unnest($1::integer[], $2::text[], $3::text[], $4::smallint[], $5::integer[],
                     $6::timestamptz[], $7::timestamptz[], $8::boolean[], $9::text[], $10::jsonb[],
                     $11::bigint[], $12::text[], $13::text[], $14::text[], $15::jsonb[])
                     AS given (domain_id, slug, target, status, cache_seconds, valid_from,
                     expires_at, forward_query, fallback, rules, max_clicks, title, description,
                     image, tags)
                 ON CONFLICT (domain_id, slug) DO NOTHING
                 RETURNING *)
             SELECT made.*, domain.host, 0::bigint AS total, 0::bigint AS people, 0::bigint AS bots
             FROM made JOIN domain ON domain.id = made.domain_id /* insert_links */",
            &[
                &columns.domains,
                &slugs,
                &columns.targets,
                &columns.statuses,
                &columns.cache_seconds,
                &columns.valid_from,
                &columns.expires_at,
                &columns.forward_query,
                &columns.fallbacks,
                &columns.rules,
                &columns.max_clicks,
                &columns.titles,
                &columns.descriptions,
                &columns.images,
                &columns.tags,
                &actor,
            ],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// The drafts of a set, column by column.
struct Columns<'a> {
    domains: Vec<i32>,
    targets: Vec<&'a str>,
    statuses: Vec<i16>,
    cache_seconds: Vec<Option<i32>>,
    valid_from: Vec<Option<jiff::Timestamp>>,
    expires_at: Vec<Option<jiff::Timestamp>>,
    forward_query: Vec<bool>,
    fallbacks: Vec<Option<&'a str>>,
    rules: Vec<Option<Json<&'a [Rule]>>>,
    max_clicks: Vec<Option<i64>>,
    titles: Vec<Option<&'a str>>,
    descriptions: Vec<Option<&'a str>>,
    images: Vec<Option<&'a str>>,
    tags: Vec<Json<&'a [String]>>,
}

impl<'a> Columns<'a> {
    fn of(drafts: impl Iterator<Item = &'a Draft> + Clone) -> Self {
        let behaviours = drafts.clone().map(|draft| &draft.behaviour);
        let labels = drafts.clone().map(|draft| &draft.labels);
        Self {
            domains: drafts.map(|draft| draft.domain.id.0).collect(),
            targets: behaviours.clone().map(|it| it.target.as_str()).collect(),
            statuses: behaviours.clone().map(|it| status_column(it.status)).collect(),
            cache_seconds: behaviours.clone().map(|it| cache_column(it.cache_seconds)).collect(),
            valid_from: behaviours.clone().map(|it| it.valid_from).collect(),
            expires_at: behaviours.clone().map(|it| it.expires_at).collect(),
            forward_query: behaviours.clone().map(|it| it.forward_query).collect(),
            fallbacks: behaviours.clone().map(|it| it.fallback.as_deref()).collect(),
            rules: behaviours.clone().map(|it| rules_column(&it.rules)).collect(),
            max_clicks: behaviours.map(|it| it.max_clicks).collect(),
            titles: labels.clone().map(|it| it.title.as_deref()).collect(),
            descriptions: labels.clone().map(|it| it.description.as_deref()).collect(),
            images: labels.clone().map(|it| it.image.as_deref()).collect(),
            tags: labels.map(|it| Json(it.tags.as_slice())).collect(),
        }
    }
}

fn status_column(status: RedirectStatus) -> i16 {
    i16::try_from(status.code()).expect("a status has three digits")
}

/// No rules are NULL.
fn rules_column(rules: &[Rule]) -> Option<Json<&[Rule]>> {
    (!rules.is_empty()).then_some(Json(rules))
}

fn cache_column(seconds: Option<u32>) -> Option<i32> {
    seconds.map(|seconds| i32::try_from(seconds).expect("the rules allow a year"))
}

/// The link with this slug.
pub async fn find(store: &Store, domain: DomainId, slug: &str) -> Result<Option<Link>, Error> {
    let connection = store.connection().await?;
    let row = connection
        .query_opt(
            "SELECT link.*, domain.host, link_clicks.total, link_clicks.people, link_clicks.bots
             FROM link
             JOIN domain ON domain.id = link.domain_id
             LEFT JOIN link_clicks ON link_clicks.link_id = link.id
             WHERE link.domain_id = $1 /* domain */ AND link.slug = $2 /* slug */ /* find_link */",
            &[&domain.0, &slug],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// The link with this slug, locked until the transaction ends.
pub async fn find_for_change(
    transaction: &Transaction<'_>,
    domain: DomainId,
    slug: &str,
) -> Result<Option<Link>, Error> {
    let row = transaction
        .query_opt(
            "SELECT link.*, domain.host, link_clicks.total, link_clicks.people, link_clicks.bots
             FROM link
             JOIN domain ON domain.id = link.domain_id
             LEFT JOIN link_clicks ON link_clicks.link_id = link.id
             WHERE link.domain_id = $1 /* domain */ AND link.slug = $2 /* slug */
             FOR UPDATE OF link /* find_link_for_change */",
            &[&domain.0, &slug],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// Writes all that an edit can change of `link`, under a new version, and leaves word for the shared
/// cache. Returns the link as it now stands.
pub async fn update(transaction: &Transaction<'_>, link: &Link) -> Result<Link, Error> {
    let it = &link.behaviour;
    let row = transaction
        .query_one(
            "UPDATE link SET target = $3 /* target */, status = $4 /* status */,
                 cache_seconds = $5 /* cache_seconds */, valid_from = $6 /* valid_from */,
                 expires_at = $7 /* expires_at */, forward_query = $8 /* forward_query */,
                 fallback = $9 /* fallback */, disabled = $10 /* disabled */,
                 title = $11 /* title */, tags = $12 /* tags */,
                 rules = $13 /* rules */, max_clicks = $14 /* max_clicks */,
                 description = $15 /* description */, image = $16 /* image */,
                 version = nextval('link_version'), updated_at = now()
             WHERE domain_id = $1 /* domain */ AND slug = $2 /* slug */
             RETURNING version, updated_at /* update_link */",
            &[
                &link.domain.0,
                &link.slug,
                &it.target,
                &status_column(it.status),
                &cache_column(it.cache_seconds),
                &it.valid_from,
                &it.expires_at,
                &it.forward_query,
                &it.fallback,
                &link.disabled,
                &link.labels.title,
                &link.labels.tags,
                &rules_column(&it.rules),
                &it.max_clicks,
                &link.labels.description,
                &link.labels.image,
            ],
        )
        .await?;
    let changed = Link {
        version: row.try_get("version")?,
        updated_at: row.try_get("updated_at")?,
        ..link.clone()
    };
    redirects::queue_change(transaction, &changed.key(), changed.version).await?;
    Ok(changed)
}

/// Deletes the link with this slug, and leaves word for the shared cache. Returns what was deleted.
pub async fn delete(
    transaction: &Transaction<'_>,
    domain: DomainId,
    slug: &str,
) -> Result<Option<Link>, Error> {
    let row = transaction
        .query_opt(
            "WITH gone AS (
                 DELETE FROM link WHERE domain_id = $1 /* domain */ AND slug = $2 /* slug */
                 RETURNING *)
             SELECT gone.*, domain.host, link_clicks.total, link_clicks.people, link_clicks.bots
             FROM gone
             JOIN domain ON domain.id = gone.domain_id
             LEFT JOIN link_clicks ON link_clicks.link_id = gone.id /* delete_link */",
            &[&domain.0, &slug],
        )
        .await?;
    let Some(link) = row.as_ref().map(read).transpose()? else { return Ok(None) };
    redirects::queue_change(transaction, &link.key(), link.version).await?;
    Ok(Some(link))
}

/// Which links a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those in this domain.
    pub domain: Option<DomainId>,
    /// Only those with this text in slug, target or title, whatever its case.
    pub text: Option<String>,
    /// Only those with all of these tags.
    pub tags: Vec<String>,
    /// Only those older than this one.
    pub before: Option<LinkId>,
}

/// Up to `limit` links, newest first.
pub async fn list(store: &Store, filter: &Filter, limit: u32) -> Result<Vec<Link>, Error> {
    let connection = store.connection().await?;
    let domain = filter.domain.map(|domain| domain.0);
    let pattern = filter.text.as_deref().map(pattern_with);
    let before = filter.before.map(|link| link.0);
    let rows = connection
        .query(
            "SELECT link.*, domain.host, link_clicks.total, link_clicks.people, link_clicks.bots
             FROM link
             JOIN domain ON domain.id = link.domain_id
             LEFT JOIN link_clicks ON link_clicks.link_id = link.id
             WHERE ($1::integer /* domain */ IS NULL OR link.domain_id = $1)
               AND ($2::text /* text */ IS NULL
                    OR (slug || ' ' || target || ' ' || coalesce(title, '')) ILIKE $2)
               AND (cardinality($3::text[] /* tags */) = 0 OR link.tags @> $3)
               AND ($4::bigint /* before */ IS NULL OR link.id < $4)
             ORDER BY link.id DESC LIMIT $5 /* limit */ /* list_links */",
            &[&domain, &pattern, &filter.tags, &before, &i64::from(limit)],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// The pattern of ILIKE that finds `text` anywhere, taken literally.
fn pattern_with(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len() + 2);
    pattern.push('%');
    for character in text.chars() {
        if matches!(character, '%' | '_' | '\\') {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern.push('%');
    pattern
}

/// Reads a row of `link` that was joined with its domain's host and its clicks.
fn read(row: &Row) -> Result<Link, Error> {
    let corrupt = |what: String| Error::Corrupt("link", what);
    let status: i16 = row.try_get("status")?;
    let cache_seconds: Option<i32> = row.try_get("cache_seconds")?;
    let behaviour = Behaviour {
        target: row.try_get("target")?,
        status: u16::try_from(status)
            .ok()
            .and_then(RedirectStatus::from_code)
            .ok_or_else(|| corrupt(format!("status {status}")))?,
        cache_seconds: cache_seconds
            .map(u32::try_from)
            .transpose()
            .map_err(|error| corrupt(error.to_string()))?,
        valid_from: row.try_get("valid_from")?,
        expires_at: row.try_get("expires_at")?,
        forward_query: row.try_get("forward_query")?,
        fallback: row.try_get("fallback")?,
        max_clicks: row.try_get("max_clicks")?,
        rules: row.try_get::<_, Option<Json<_>>>("rules")?.map(|Json(it)| it).unwrap_or_default(),
    };
    Ok(Link {
        id: LinkId(row.try_get("id")?),
        domain: DomainId(row.try_get("domain_id")?),
        host: row.try_get("host")?,
        slug: row.try_get("slug")?,
        version: row.try_get("version")?,
        behaviour,
        disabled: row.try_get("disabled")?,
        labels: Labels {
            title: row.try_get("title")?,
            description: row.try_get("description")?,
            image: row.try_get("image")?,
            tags: row.try_get("tags")?,
        },
        counted: Counted {
            visits: count(row, "total")?,
            people: count(row, "people")?,
            bots: count(row, "bots")?,
        },
        clicks_used: row.try_get("clicks_used")?,
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
        created_by: row.try_get("created_by")?,
    })
}

/// A sum of clicks; a link that nobody opened has none.
fn count(row: &Row, column: &str) -> Result<i64, Error> {
    Ok(row.try_get::<_, Option<i64>>(column)?.unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_search_takes_its_text_literally() {
        assert_eq!(pattern_with(r"50%_off\"), r"%50\%\_off\\%");
    }
}
