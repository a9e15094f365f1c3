//! Triggers: what backends told us that users reached.

use jiff::Timestamp;

use super::{Error, Transaction};
use crate::campaign::CampaignId;

/// A trigger that may have been told before.
#[derive(Clone, Copy, Debug)]
pub struct NewTrigger<'a> {
    /// In which campaign.
    pub campaign: &'a CampaignId,
    /// Who tells it. Event ids are unique within a source.
    pub source: &'a str,
    /// Names the event.
    pub event_id: &'a str,
    /// What was reached.
    pub kind: &'a str,
    /// By whom.
    pub user: &'a str,
    /// When.
    pub occurred_at: Timestamp,
    /// When we heard of it.
    pub received_at: Timestamp,
    /// SHA-256 of all that was told, in one form.
    pub body_hash: [u8; 32],
    /// All that was told.
    pub body: &'a serde_json::Value,
}

/// What became of a trigger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Put {
    /// It is stored now, under this number and at this moment.
    Stored(i64, Timestamp),
    /// It was stored before.
    Known(i64, Timestamp),
    /// Another one was stored under its name before.
    Differs,
}

/// Stores a trigger once.
pub async fn put(transaction: &Transaction<'_>, new: &NewTrigger<'_>) -> Result<Put, Error> {
    let inserted = transaction
        .query_opt(
            "INSERT INTO trigger_event (campaign_id, source, event_id, kind, user_id, occurred_at,
                                        received_at, body_hash, body)
             VALUES ($1 /* campaign */, $2 /* source */, $3 /* event */, $4 /* kind */, $5 /* user */,
                     $6 /* occurred_at */, $7 /* received_at */, $8 /* body_hash */, $9 /* body */)
             ON CONFLICT (campaign_id, source, event_id) DO NOTHING
             RETURNING id, received_at /* put_trigger */",
            &[
                &new.campaign.as_str(),
                &new.source,
                &new.event_id,
                &new.kind,
                &new.user,
                &new.occurred_at,
                &new.received_at,
                &new.body_hash.as_slice(),
                &new.body,
            ],
        )
        .await?;
    if let Some(row) = inserted {
        return Ok(Put::Stored(row.try_get(0)?, row.try_get(1)?));
    }
    let stood_in_the_way = find(transaction, new).await?;
    stood_in_the_way.ok_or(Error::WrongRowCount {
        statement: "put_trigger",
        expected: 1,
        changed: 0,
    })
}

/// What was stored under the name of a trigger: the same one, or another; `None`: nothing.
pub async fn find(
    transaction: &Transaction<'_>,
    new: &NewTrigger<'_>,
) -> Result<Option<Put>, Error> {
    let row = transaction
        .query_opt(
            "SELECT id, received_at, body_hash FROM trigger_event
             WHERE campaign_id = $1 /* campaign */ AND source = $2 /* source */
               AND event_id = $3 /* event, find_trigger */",
            &[&new.campaign.as_str(), &new.source, &new.event_id],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let hash: Vec<u8> = row.try_get(2)?;
    let same = hash == new.body_hash;
    Ok(Some(if same { Put::Known(row.try_get(0)?, row.try_get(1)?) } else { Put::Differs }))
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
