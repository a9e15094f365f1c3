//! Triggers: what backends told us that users reached.

use std::collections::HashMap;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{Error, Prepared, Transaction};
use crate::campaign::CampaignId;

/// A trigger that may have been told before.
#[derive(Clone, Debug)]
pub struct NewTrigger {
    /// In which campaign.
    pub campaign: CampaignId,
    /// Who tells it. Event ids are unique within a source.
    pub source: String,
    /// Names the event.
    pub event_id: String,
    /// What was reached.
    pub kind: String,
    /// By whom.
    pub user: String,
    /// When.
    pub occurred_at: Timestamp,
    /// When we heard of it.
    pub received_at: Timestamp,
    /// SHA-256 of all that was told, in one form.
    pub body_hash: [u8; 32],
    /// All that was told.
    pub body: serde_json::Value,
}

/// What is stored under the name of a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its number.
    pub id: i64,
    /// When it was first told.
    pub received_at: Timestamp,
    /// What was told then.
    pub body_hash: [u8; 32],
}

type Found = HashMap<(CampaignId, String, String), Stored>;

impl NewTrigger {
    /// What it is known by.
    pub fn name(&self) -> (CampaignId, String, String) {
        (self.campaign.clone(), self.source.clone(), self.event_id.clone())
    }
}

/// Stores triggers, each once: those that are new are answered. Of two with one name, the first one counts.
pub async fn put(transaction: &Prepared<'_>, new: &[&NewTrigger]) -> Result<Found, Error> {
    let statement = transaction
        .prepare_cached(
            "INSERT INTO trigger_event (campaign_id, source, event_id, kind, user_id, occurred_at,
                                        received_at, body_hash, body)
             SELECT * FROM unnest($1::text[] /* campaigns */, $2::text[] /* sources */, $3::text[] /* events */,
                                  $4::text[] /* kinds */, $5::text[] /* users */,
                                  $6::timestamptz[] /* occurred_at */, $7::timestamptz[] /* received_at */,
                                  $8::bytea[] /* body_hashes */, $9::jsonb[] /* bodies */)
             ON CONFLICT (campaign_id, source, event_id) DO NOTHING
             RETURNING campaign_id, source, event_id, id, received_at, body_hash /* put_triggers */",
        )
        .await?;
    let occurred_at: Vec<Timestamp> = new.iter().map(|it| it.occurred_at).collect();
    let received_at: Vec<Timestamp> = new.iter().map(|it| it.received_at).collect();
    let hashes: Vec<&[u8]> = new.iter().map(|it| it.body_hash.as_slice()).collect();
    let bodies: Vec<&serde_json::Value> = new.iter().map(|it| &it.body).collect();
    let rows = transaction
        .query(
            &statement,
            &[
                &texts(new, |it| it.campaign.as_str()),
                &texts(new, |it| &it.source),
                &texts(new, |it| &it.event_id),
                &texts(new, |it| &it.kind),
                &texts(new, |it| &it.user),
                &occurred_at,
                &received_at,
                &hashes,
                &bodies,
            ],
        )
        .await?;
    rows.iter().map(found).collect()
}

/// What is stored under the names of triggers, where there is something.
pub async fn find(transaction: &Prepared<'_>, new: &[&NewTrigger]) -> Result<Found, Error> {
    let statement = transaction
        .prepare_cached(
            "SELECT t.campaign_id, t.source, t.event_id, t.id, t.received_at, t.body_hash
             FROM (SELECT DISTINCT * FROM unnest($1::text[] /* campaigns */, $2::text[] /* sources */,
                                                 $3::text[] /* events */)
                   AS n (campaign_id, source, event_id)) n
             JOIN trigger_event t USING (campaign_id, source, event_id) /* find_triggers */",
        )
        .await?;
    let rows = transaction
        .query(
            &statement,
            &[
                &texts(new, |it| it.campaign.as_str()),
                &texts(new, |it| &it.source),
                &texts(new, |it| &it.event_id),
            ],
        )
        .await?;
    rows.iter().map(found).collect()
}

fn texts<'a>(new: &[&'a NewTrigger], of: fn(&NewTrigger) -> &str) -> Vec<&'a str> {
    new.iter().map(|it| of(it)).collect()
}

fn found(row: &Row) -> Result<((CampaignId, String, String), Stored), Error> {
    let campaign: &str = row.try_get(0)?;
    let corrupt = || Error::Corrupt("trigger_event", format!("of campaign {campaign}"));
    let name = (campaign.parse().map_err(|_bad| corrupt())?, row.try_get(1)?, row.try_get(2)?);
    let hash: &[u8] = row.try_get(5)?;
    let body_hash = hash.try_into().map_err(|_bad| corrupt())?;
    Ok((name, Stored { id: row.try_get(3)?, received_at: row.try_get(4)?, body_hash }))
}

/// Whether a user has reached one of these kinds, since a moment or ever.
pub async fn reached_any(
    transaction: &Transaction<'_>,
    (campaign, user): (&CampaignId, &str),
    kinds: &[String],
    since: Option<Timestamp>,
) -> Result<bool, Error> {
    let row = transaction
        .query_one(
            "SELECT EXISTS (
                 SELECT FROM trigger_event
                 WHERE campaign_id = $1 /* campaign */ AND user_id = $2 /* user */
                   AND kind = ANY($3::text[] /* kinds */)
                   AND ($4::timestamptz IS NULL OR occurred_at >= $4 /* since */)
             ) /* reached_any */",
            &[&campaign.as_str(), &user, &kinds, &since],
        )
        .await?;
    Ok(row.try_get(0)?)
}
