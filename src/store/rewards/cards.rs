//! Scratch cards: what their owners see of them, scratching them, and what is due about them.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{side, state};
use crate::campaign::{CampaignId, Version};
use crate::reward::machine::{Side, State};
use crate::store::{Error, Store, Transaction};

/// A reward as a card.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Card {
    /// Its number.
    pub id: i64,
    /// In which campaign.
    pub campaign: CampaignId,
    /// The version that was promised.
    pub version: Version,
    /// Whose binding.
    pub invitee: String,
    /// For which kind of trigger.
    pub kind: String,
    /// For whom of the two.
    pub side: Side,
    /// Who owns it.
    pub beneficiary: String,
    /// What the amount is in.
    pub currency: String,
    /// What it came to, in minor units, once that is known.
    pub amount_minor: Option<i64>,
    /// Where it stands.
    pub state: State,
    /// Where a parked one goes on.
    pub parked_in: Option<State>,
    /// When it expires, once it is there to be scratched.
    pub expires_at: Option<Timestamp>,
    /// When the reward was granted.
    pub created_at: Timestamp,
}

fn card(row: &Row) -> Result<Card, Error> {
    let campaign: &str = row.try_get("campaign_id")?;
    let corrupt = |_bad| Error::Corrupt("reward", format!("campaign {campaign}"));
    let parked_in: Option<&str> = row.try_get("parked_in")?;
    Ok(Card {
        id: row.try_get("id")?,
        campaign: campaign.parse().map_err(corrupt)?,
        version: Version(row.try_get("campaign_version")?),
        invitee: row.try_get("invitee")?,
        kind: row.try_get("kind")?,
        side: side(row.try_get("side")?)?,
        beneficiary: row.try_get("beneficiary")?,
        currency: row.try_get("currency")?,
        amount_minor: row.try_get("amount_minor")?,
        state: state(row.try_get("state")?)?,
        parked_in: parked_in.map(state).transpose()?,
        expires_at: row.try_get("card_expires_at")?,
        created_at: row.try_get("created_at")?,
    })
}

/// The card with this number; `None`: there is none.
pub async fn find(store: &Store, id: i64) -> Result<Option<Card>, Error> {
    let connection = store.rewards().await?;
    let statement = connection
        .prepare_cached("SELECT * FROM reward WHERE id = $1 /* reward, find_card */")
        .await?;
    connection.query_opt(&statement, &[&id]).await?.as_ref().map(card).transpose()
}

/// The cards of a user, the latest first.
pub async fn of_user(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    user: &str,
    most: i64,
) -> Result<Vec<Card>, Error> {
    let rows = transaction
        .query(
            "SELECT * FROM reward
             WHERE campaign_id = $1 /* campaign */ AND beneficiary = $2 /* user */
             ORDER BY id DESC LIMIT $3 /* most, cards_of_user */",
            &[&campaign.as_str(), &user, &most],
        )
        .await?;
    rows.iter().map(card).collect()
}

/// Scratches a card that is there to be scratched at this moment, and has its payout made: `payout` is the
/// operation and its request. Answers whether that happened; if not, the card is in another state, or has
/// expired. A reminder that waits goes: nobody needs it any more.
pub async fn reveal(
    store: &Store,
    (id, now): (i64, Timestamp),
    actor: &str,
    payout: &(String, Vec<u8>),
) -> Result<bool, Error> {
    let connection = store.rewards().await?;
    // One statement: tasks are locked before rewards, as everywhere.
    let statement = connection
        .prepare_cached(
            "WITH unneeded AS (
                 DELETE FROM reward_task WHERE reward_id = $1 /* reward */ AND step = 'remind'
                 RETURNING reward_id),
             revealed AS (
                 UPDATE reward
                 SET state = 'REVEALED', version = version + 1, event = 'reveal', reason = NULL,
                     actor = $2 /* actor */, operation_id = NULL, epoch = NULL, lease_epoch = NULL,
                     changed_at = now()
                 WHERE id = $1 AND state = 'NEW' AND card_expires_at > $3 /* now */
                   AND (SELECT count(*) FROM unneeded) >= 0
                 RETURNING id)
             INSERT INTO reward_task (reward_id, step, operation_id, request)
             SELECT id, 'pay', $4 /* operation */, $5 /* request */ FROM revealed /* reveal_card */",
        )
        .await?;
    let (operation, request) = payout;
    let revealed = connection.execute(&statement, &[&id, &actor, &now, operation, request]).await?;
    Ok(revealed == 1)
}

/// A card about which something is due.
#[derive(Clone, Debug)]
pub struct DueCard {
    /// The card.
    pub card: Card,
    /// Since when.
    pub due_at: Timestamp,
    /// When it expires.
    pub expires_at: Timestamp,
    /// Whether its owner may be written to, if they said.
    pub consent: Option<bool>,
    /// How often the card was given back to its owner after it had expired.
    pub given_back: i64,
}

/// Locks up to `most` cards that are due and that nobody else is at, with the reminders that wait for them,
/// and reads them.
pub async fn lock_due(
    transaction: &Transaction<'_>,
    now: Timestamp,
    most: i64,
) -> Result<Vec<DueCard>, Error> {
    let rows = transaction
        .query(
            "SELECT id FROM reward WHERE state = 'NEW' AND card_due_at <= $1 /* now */
             ORDER BY card_due_at LIMIT $2 /* most, due_cards */",
            &[&now, &most],
        )
        .await?;
    let due = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
    if due.is_empty() {
        return Ok(Vec::new());
    }
    // Tasks before rewards, as everywhere. A reminder that is being worked at keeps its card for later.
    let rows = transaction
        .query(
            "SELECT reward_id FROM reward_task
             WHERE reward_id = ANY($1::bigint[] /* cards */) AND step = 'remind'
             ORDER BY reward_id FOR UPDATE SKIP LOCKED /* lock_reminders */",
            &[&due],
        )
        .await?;
    let locked = rows.iter().map(|row| row.try_get(0)).collect::<Result<Vec<i64>, _>>()?;
    let rows = transaction
        .query(
            "SELECT r.*, c.allowed,
                    (SELECT count(*) FROM reward_log l
                     WHERE l.reward_id = r.id AND l.event = 'compensate' AND l.to_state = 'NEW') AS given_back
             FROM reward r
             LEFT JOIN message_consent c ON c.campaign_id = r.campaign_id AND c.user_id = r.beneficiary
             WHERE r.id = ANY($1::bigint[] /* cards */) AND r.state = 'NEW' AND r.card_due_at <= $2 /* now */
               AND (r.id = ANY($3::bigint[] /* with_reminders */)
                    OR NOT EXISTS (SELECT FROM reward_task t WHERE t.reward_id = r.id AND t.step = 'remind'))
             ORDER BY r.id FOR NO KEY UPDATE OF r SKIP LOCKED /* lock_due_cards */",
            &[&due, &now, &locked],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(DueCard {
                card: card(row)?,
                due_at: row.try_get("card_due_at")?,
                expires_at: row.try_get("card_expires_at")?,
                consent: row.try_get("allowed")?,
                given_back: row.try_get("given_back")?,
            })
        })
        .collect()
}

/// Expires cards that are locked. What was promised for them is the campaign's again.
pub async fn expire(transaction: &Transaction<'_>, cards: &[i64]) -> Result<u64, Error> {
    drop_reminders(transaction, cards).await?;
    Ok(transaction
        .execute(
            "UPDATE reward
             SET state = 'EXPIRED', version = version + 1, event = 'expire', reason = NULL,
                 actor = 'waypost', operation_id = NULL, epoch = NULL, lease_epoch = NULL,
                 changed_at = now()
             WHERE id = ANY($1::bigint[] /* cards */) AND state = 'NEW' /* expire_cards */",
            &[&cards],
        )
        .await?)
}

/// A reminder of a card that is due now.
#[derive(Clone, Debug)]
pub struct Reminder {
    /// The card.
    pub card: i64,
    /// The id that the notification service knows it by.
    pub operation: String,
    /// The message.
    pub request: Vec<u8>,
}

/// Has the owners of cards that are locked reminded, now. A reminder that still waits is replaced: whoever
/// may be at it has lost its lease.
pub async fn remind(transaction: &Transaction<'_>, reminders: &[Reminder]) -> Result<u64, Error> {
    let cards: Vec<i64> = reminders.iter().map(|it| it.card).collect();
    let operations: Vec<&str> = reminders.iter().map(|it| it.operation.as_str()).collect();
    let requests: Vec<&[u8]> = reminders.iter().map(|it| it.request.as_slice()).collect();
    Ok(transaction
        .execute(
            "INSERT INTO reward_task AS t (reward_id, step, operation_id, request)
             SELECT card, 'remind', operation_id, request
             FROM unnest($1::bigint[] /* cards */, $2::text[] /* operations */, $3::bytea[] /* requests */)
                  AS r (card, operation_id, request)
             ON CONFLICT (reward_id, step) DO UPDATE
             SET operation_id = excluded.operation_id, request = excluded.request, epoch = t.epoch + 1,
                 attempts = 0, first_sent_at = NULL, due_at = now() /* remind */",
            &[&cards, &operations, &requests],
        )
        .await?)
}

/// Takes back reminders of cards that are locked; says how many there were.
pub async fn drop_reminders(transaction: &Transaction<'_>, cards: &[i64]) -> Result<u64, Error> {
    Ok(transaction
        .execute(
            "DELETE FROM reward_task
             WHERE reward_id = ANY($1::bigint[] /* cards */) AND step = 'remind' /* drop_reminders_of_cards */",
            &[&cards],
        )
        .await?)
}

/// Says when something is next to be done about cards that are locked.
pub async fn plan(
    transaction: &Transaction<'_>,
    planned: &[(i64, Timestamp)],
) -> Result<u64, Error> {
    let (cards, due): (Vec<i64>, Vec<Timestamp>) = planned.iter().copied().unzip();
    Ok(transaction
        .execute(
            "UPDATE reward r SET card_due_at = p.due_at
             FROM unnest($1::bigint[] /* cards */, $2::timestamptz[] /* due */) AS p (card, due_at)
             WHERE r.id = p.card AND r.state = 'NEW' /* plan_cards */",
            &[&cards, &due],
        )
        .await?)
}
