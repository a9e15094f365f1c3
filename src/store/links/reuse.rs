//! Finding a link that does already what a new one would do.

use sha2::{Digest, Sha256};

use super::{Columns, read};
use crate::link::model::{Draft, Link};
use crate::store::{Error, Transaction};

/// How many locks all targets share: few enough for a batch of any size to hold them all.
const LOCKS: u16 = 1_024;

/// Sets these locks apart from other advisory locks.
const LOCK_CLASS: i32 = 0x5265_7573;

/// Lets one transaction at a time look for links to these targets, and make them. A statement of its
/// own, before the look: the look must see what the last holder of the lock committed.
pub async fn lock_targets(transaction: &Transaction<'_>, drafts: &[&Draft]) -> Result<(), Error> {
    let mut locks: Vec<i32> = drafts.iter().map(|draft| lock(draft)).collect();
    // One order for all, so that no two transactions wait for each other.
    locks.sort_unstable();
    locks.dedup();
    transaction
        .execute(
            "SELECT pg_advisory_xact_lock($1 /* class */, target)
             FROM unnest($2::integer[] /* targets */) AS target /* lock_targets */",
            &[&LOCK_CLASS, &locks],
        )
        .await?;
    Ok(())
}

fn lock(draft: &Draft) -> i32 {
    let hash = Sha256::new()
        .chain_update(draft.domain.id.0.to_be_bytes())
        .chain_update(&draft.behaviour.target)
        .finalize();
    let first = hash.first_chunk().expect("a hash has 32 bytes");
    i32::from(u16::from_be_bytes(*first) % LOCKS)
}

/// For each draft the oldest link in its domain, not switched off, that does the same, and has its
/// slug if it has one. Title, description, picture and tags may differ. A link that can be opened only
/// so often does the same only as long as nobody has opened it.
pub async fn find_alike(
    transaction: &Transaction<'_>,
    drafts: &[&Draft],
) -> Result<Vec<Option<Link>>, Error> {
    let columns = Columns::of(drafts.iter().copied());
    let slugs: Vec<Option<&str>> = drafts.iter().map(|draft| draft.slug.as_deref()).collect();
    let rows = transaction
        .query(
            "SELECT given.place, alike.*, domain.host, link_clicks.total, link_clicks.people,
                 link_clicks.bots
             FROM unnest($1::integer[], $2::text[], $3::text[], $4::smallint[], $5::integer[],
                 $6::timestamptz[], $7::timestamptz[], $8::boolean[], $9::text[], $10::jsonb[],
                 $11::bigint[]) WITH ORDINALITY
                 AS given (domain_id, slug, target, status, cache_seconds, valid_from, expires_at,
                 forward_query, fallback, rules, max_clicks, place)
             CROSS JOIN LATERAL (
                 -- OFFSET 0 keeps the planner from walking all links by id until one fits.
                 SELECT * FROM (SELECT * FROM link WHERE link.target = given.target OFFSET 0) AS link
                 WHERE link.domain_id = given.domain_id
                   AND (given.slug IS NULL OR link.slug = given.slug)
                   AND link.status = given.status
                   AND link.cache_seconds IS NOT DISTINCT FROM given.cache_seconds
                   AND link.valid_from IS NOT DISTINCT FROM given.valid_from
                   AND link.expires_at IS NOT DISTINCT FROM given.expires_at
                   AND link.forward_query = given.forward_query
                   AND link.fallback IS NOT DISTINCT FROM given.fallback
                   AND link.rules IS NOT DISTINCT FROM given.rules
                   AND link.max_clicks IS NOT DISTINCT FROM given.max_clicks
                   AND (link.max_clicks IS NULL OR link.clicks_used = 0)
                   AND NOT link.disabled
                 ORDER BY link.id LIMIT 1) AS alike
             JOIN domain ON domain.id = alike.domain_id
             LEFT JOIN link_clicks ON link_clicks.link_id = alike.id /* find_alike */",
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
            ],
        )
        .await?;
    let mut found = vec![None; drafts.len()];
    for row in &rows {
        let place: i64 = row.try_get("place")?;
        let index = usize::try_from(place).ok().and_then(|place| place.checked_sub(1));
        let slot = index
            .and_then(|index| found.get_mut(index))
            .ok_or_else(|| Error::Corrupt("find_alike", format!("place {place}")))?;
        *slot = Some(read(row)?);
    }
    Ok(found)
}
