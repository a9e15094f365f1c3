//! What was asked for by hand, what was decided on it, and what became of each item.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::side;
use crate::campaign::CampaignId;
use crate::reward::compensations::State;
use crate::reward::machine::Side;
use crate::store::{Error, Transaction, expect_rows};

/// A compensation, as it is stored, without its items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// Its number.
    pub id: i64,
    /// In which campaign.
    pub campaign: CampaignId,
    /// Why it was asked for.
    pub reason: String,
    /// Where it stands.
    pub state: State,
    /// Who asked for it.
    pub requested_by: String,
    /// When.
    pub requested_at: Timestamp,
    /// Who decided on it, when, and why; none: nobody did.
    pub decided: Option<Decided>,
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decided {
    /// By whom.
    pub by: String,
    /// When.
    pub at: Timestamp,
    /// Why.
    pub reason: String,
}

/// An item of a compensation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredItem {
    /// Its place, from 1.
    pub number: i32,
    /// Whose binding.
    pub invitee: String,
    /// For which kind of trigger.
    pub kind: String,
    /// For whom of the two.
    pub side: Side,
    /// What became of it; none: nobody has decided.
    pub outcome: Option<String>,
    /// The reward that it is about, once it is known.
    pub reward_id: Option<i64>,
}

/// A compensation to be stored.
#[derive(Clone, Copy, Debug)]
pub struct New<'a> {
    /// In which campaign.
    pub campaign: &'a CampaignId,
    /// Why.
    pub reason: &'a str,
    /// Who asks for it.
    pub actor: &'a str,
    /// Invitee, kind and side of each item.
    pub items: &'a [(&'a str, &'a str, Side)],
}

/// Which compensations a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those of this campaign.
    pub campaign: Option<CampaignId>,
    /// Only those that stand here.
    pub state: Option<State>,
    /// Only those older than this one.
    pub before: Option<i64>,
}

/// Stores a compensation that somebody asks for; its number.
pub async fn insert(transaction: &Transaction<'_>, new: &New<'_>) -> Result<i64, Error> {
    let row = transaction
        .query_one(
            "INSERT INTO compensation (campaign_id, reason, requested_by)
             VALUES ($1 /* campaign */, $2 /* reason */, $3 /* actor */)
             RETURNING id /* insert_compensation */",
            &[&new.campaign.as_str(), &new.reason, &new.actor],
        )
        .await?;
    let id: i64 = row.try_get(0)?;
    let invitees: Vec<&str> = new.items.iter().map(|(invitee, _, _)| *invitee).collect();
    let kinds: Vec<&str> = new.items.iter().map(|(_, kind, _)| *kind).collect();
    let sides: Vec<&str> = new.items.iter().map(|(_, _, side)| side.name()).collect();
    let inserted = transaction
        .execute(
            "INSERT INTO compensation_item (compensation_id, number, invitee, kind, side)
             SELECT $1 /* compensation */, place, invitee, kind, side
             FROM unnest($2::text[] /* invitees */, $3::text[] /* kinds */, $4::text[] /* sides */)
                  WITH ORDINALITY AS i (invitee, kind, side, place) /* insert_items */",
            &[&id, &invitees, &kinds, &sides],
        )
        .await?;
    expect_rows("insert_items", u64::try_from(new.items.len()).unwrap_or(u64::MAX), inserted)?;
    Ok(id)
}

/// The compensation with this number.
pub async fn find(transaction: &Transaction<'_>, id: i64) -> Result<Option<Stored>, Error> {
    let row = transaction
        .query_opt(
            "SELECT * FROM compensation WHERE id = $1 /* compensation, find_compensation */",
            &[&id],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// The same, and nobody else decides on it until the transaction ends.
pub async fn lock(transaction: &Transaction<'_>, id: i64) -> Result<Option<Stored>, Error> {
    let row = transaction
        .query_opt(
            "SELECT * FROM compensation
             WHERE id = $1 /* compensation */ FOR UPDATE /* lock_compensation */",
            &[&id],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// The items of a compensation, in their order.
pub async fn items(transaction: &Transaction<'_>, id: i64) -> Result<Vec<StoredItem>, Error> {
    let rows = transaction
        .query(
            "SELECT number, invitee, kind, side, outcome, reward_id FROM compensation_item
             WHERE compensation_id = $1 /* compensation */ ORDER BY number /* items */",
            &[&id],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(StoredItem {
                number: row.try_get("number")?,
                invitee: row.try_get("invitee")?,
                kind: row.try_get("kind")?,
                side: side(row.try_get("side")?)?,
                outcome: row.try_get("outcome")?,
                reward_id: row.try_get("reward_id")?,
            })
        })
        .collect()
}

/// Up to `limit` compensations, newest first.
pub async fn list(
    transaction: &Transaction<'_>,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<Stored>, Error> {
    let rows = transaction
        .query(
            "SELECT * FROM compensation
             WHERE ($1::text IS NULL OR campaign_id = $1 /* campaign */)
               AND ($2::text IS NULL OR state = $2 /* state */) AND id < $3 /* before */
             ORDER BY id DESC LIMIT $4 /* limit, list_compensations */",
            &[
                &filter.campaign.as_ref().map(CampaignId::as_str),
                &filter.state.map(State::name),
                &filter.before.unwrap_or(i64::MAX),
                &i64::from(limit),
            ],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// Decides on a compensation that is locked and on which nobody has decided.
pub async fn decide(
    transaction: &Transaction<'_>,
    id: i64,
    state: State,
    (actor, reason): (&str, &str),
) -> Result<(), Error> {
    let decided = transaction
        .execute(
            "UPDATE compensation
             SET state = $2 /* state */, decided_by = $3 /* actor */, decision = $4 /* reason */,
                 decided_at = now()
             WHERE id = $1 /* compensation */ AND state = 'requested' /* decide_compensation */",
            &[&id, &state.name(), &actor, &reason],
        )
        .await?;
    expect_rows("decide_compensation", 1, decided)
}

/// Keeps what became of items: their numbers, the outcome, the reward.
pub async fn record_outcomes(
    transaction: &Transaction<'_>,
    id: i64,
    outcomes: &[(i32, &str, i64)],
) -> Result<(), Error> {
    let numbers: Vec<i32> = outcomes.iter().map(|(number, _, _)| *number).collect();
    let names: Vec<&str> = outcomes.iter().map(|(_, name, _)| *name).collect();
    let rewards: Vec<i64> = outcomes.iter().map(|(_, _, reward)| *reward).collect();
    let recorded = transaction
        .execute(
            "UPDATE compensation_item i SET outcome = o.outcome, reward_id = o.reward_id
             FROM unnest($2::int[] /* numbers */, $3::text[] /* outcomes */, $4::bigint[] /* rewards */)
                  AS o (number, outcome, reward_id)
             WHERE i.compensation_id = $1 /* compensation */ AND i.number = o.number
             /* record_outcomes */",
            &[&id, &numbers, &names, &rewards],
        )
        .await?;
    expect_rows("record_outcomes", u64::try_from(outcomes.len()).unwrap_or(u64::MAX), recorded)
}

fn read(row: &Row) -> Result<Stored, Error> {
    let corrupt = |what: String| Error::Corrupt("compensation", what);
    let campaign: String = row.try_get("campaign_id")?;
    let state: String = row.try_get("state")?;
    let by: Option<String> = row.try_get("decided_by")?;
    let at: Option<Timestamp> = row.try_get("decided_at")?;
    let reason: Option<String> = row.try_get("decision")?;
    let decided = by.zip(at).map(|(by, at)| Decided { by, at, reason: reason.unwrap_or_default() });
    Ok(Stored {
        id: row.try_get("id")?,
        campaign: campaign.parse().map_err(|_bad| corrupt(format!("campaign {campaign}")))?,
        reason: row.try_get("reason")?,
        state: State::named(&state).ok_or_else(|| corrupt(format!("the state '{state}'")))?,
        requested_by: row.try_get("requested_by")?,
        requested_at: row.try_get("requested_at")?,
        decided,
    })
}
