//! Rewards as operators find them, and the moves that operators make.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{side, state};
use crate::campaign::{CampaignId, Version};
use crate::reward::machine::{Event, Side, State, StepKind};
use crate::store::{Error, Transaction, expect_rows};

pub mod list;

/// A reward, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredReward {
    /// Its number.
    pub id: i64,
    /// In which campaign.
    pub campaign: CampaignId,
    /// The version whose promise it is.
    pub campaign_version: Version,
    /// Whose binding it hangs on.
    pub invitee: String,
    /// By whom that invitee was invited.
    pub inviter: String,
    /// For which kind of trigger.
    pub kind: String,
    /// For whom of the two.
    pub side: Side,
    /// Who gets it.
    pub beneficiary: String,
    /// What it is owed for; none: granted by hand.
    pub trigger_id: Option<i64>,
    /// What the amounts are in.
    pub currency: String,
    /// The most that it can come to, in minor units.
    pub most_minor: i64,
    /// What it came to, in minor units, once that is known.
    pub amount_minor: Option<i64>,
    /// How the amount was drawn.
    pub draw: Option<serde_json::Value>,
    /// Where it stands.
    pub state: State,
    /// Where it goes on, if it is parked.
    pub parked_in: Option<State>,
    /// How many steps it has taken.
    pub version: i32,
    /// Why the last step was taken.
    pub reason: Option<String>,
    /// By whom.
    pub actor: String,
    /// When it began.
    pub created_at: Timestamp,
    /// When it took its last step.
    pub changed_at: Timestamp,
    /// When something is next to be done about its card.
    pub card_due_at: Option<Timestamp>,
    /// When its card expires.
    pub card_expires_at: Option<Timestamp>,
    /// How often its owner was reminded.
    pub reminders: i16,
}

/// A move that a person makes.
#[derive(Clone, Copy, Debug)]
pub struct HandMove<'a> {
    /// From where.
    pub from: State,
    /// By what.
    pub event: Event,
    /// To where.
    pub to: State,
    /// Why, in the person's words.
    pub reason: &'a str,
    /// Who.
    pub actor: &'a str,
    /// Which operation it is about.
    pub operation_id: Option<&'a str>,
    /// The moments of a new card: the next thing to be done, and its end.
    pub card: Option<(Timestamp, Timestamp)>,
}

/// A task that begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTask {
    /// Of which reward.
    pub reward_id: i64,
    /// What is to be done.
    pub step: StepKind,
    /// Under which operation, and with which bytes; none: nobody else is asked.
    pub request: Option<(String, Vec<u8>)>,
}

/// The reward with this number.
pub async fn find(transaction: &Transaction<'_>, id: i64) -> Result<Option<StoredReward>, Error> {
    let row = transaction
        .query_opt(
            "SELECT r.*, b.inviter FROM reward r
             JOIN binding b ON b.campaign_id = r.campaign_id AND b.invitee = r.invitee
             WHERE r.id = $1 /* reward, find_reward */",
            &[&id],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// Keeps others from moving these rewards until the transaction ends. They are locked in one order.
pub async fn lock(transaction: &Transaction<'_>, ids: &[i64]) -> Result<(), Error> {
    transaction
        .execute(
            "SELECT FROM reward WHERE id = ANY($1::bigint[] /* rewards */)
             ORDER BY id FOR NO KEY UPDATE /* lock_rewards */",
            &[&ids],
        )
        .await?;
    Ok(())
}

/// Counts rewards that people approved beyond an inviter's cap: so many more are allowed, too. The tally
/// is locked and there.
pub async fn lift(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    inviter: &str,
    more: i32,
) -> Result<(), Error> {
    let lifted = transaction
        .execute(
            "UPDATE inviter_tally
             SET rewards = rewards + $3 /* more */, lifted = lifted + $3
             WHERE campaign_id = $1 /* campaign */ AND inviter = $2 /* inviter, lift_cap */",
            &[&campaign.as_str(), &inviter, &more],
        )
        .await?;
    expect_rows("lift_cap", 1, lifted)
}

/// Lets tasks begin.
pub async fn insert_tasks(transaction: &Transaction<'_>, tasks: &[NewTask]) -> Result<(), Error> {
    let rewards: Vec<i64> = tasks.iter().map(|task| task.reward_id).collect();
    let steps: Vec<&str> = tasks.iter().map(|task| task.step.name()).collect();
    let request = |task: &NewTask| task.request.clone().unzip();
    let (operations, requests): (Vec<Option<String>>, Vec<Option<Vec<u8>>>) =
        tasks.iter().map(request).unzip();
    let inserted = transaction
        .execute(
            "INSERT INTO reward_task (reward_id, step, operation_id, request)
             SELECT * FROM unnest($1::bigint[] /* rewards */, $2::text[] /* steps */,
                                  $3::text[] /* operations */, $4::bytea[] /* requests */)
             /* insert_tasks */",
            &[&rewards, &steps, &operations, &requests],
        )
        .await?;
    expect_rows("insert_tasks", u64::try_from(tasks.len()).unwrap_or(u64::MAX), inserted)
}

/// Ends the reminder of a card that goes.
pub async fn drop_reminder(transaction: &Transaction<'_>, id: i64) -> Result<(), Error> {
    // May well change no row: no reminder may be due.
    transaction
        .execute(
            "DELETE FROM reward_task
             WHERE reward_id = $1 /* reward */ AND step = 'remind' /* drop_reminder */",
            &[&id],
        )
        .await?;
    Ok(())
}

/// Moves a reward, unless it has gone somewhere else meanwhile: then the answer is no.
pub async fn make_move(
    transaction: &Transaction<'_>,
    id: i64,
    it: &HandMove<'_>,
) -> Result<bool, Error> {
    let (due_at, expires_at) = it.card.unzip();
    let moved = transaction
        .execute(
            "UPDATE reward
             SET state = $3 /* to */, parked_in = NULL, version = version + 1, event = $4 /* event */,
                 reason = $5 /* reason */, actor = $6 /* actor */, operation_id = $7 /* operation */,
                 epoch = NULL, lease_epoch = NULL, changed_at = now(),
                 card_due_at = coalesce($8 /* due_at */, card_due_at),
                 card_expires_at = coalesce($9 /* expires_at */, card_expires_at)
             WHERE id = $1 /* reward */ AND state = $2 /* from, make_move */",
            &[
                &id,
                &it.from.name(),
                &it.to.name(),
                &it.event.name(),
                &it.reason,
                &it.actor,
                &it.operation_id,
                &due_at,
                &expires_at,
            ],
        )
        .await?;
    Ok(moved == 1)
}

/// A reward that goes on after it had come to an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Renewed {
    /// Its number.
    pub id: i64,
    /// Where it stood.
    pub from: State,
    /// Where it goes on.
    pub to: State,
    /// The moments of a new card: the next thing to be done, and its end.
    pub card: Option<(Timestamp, Timestamp)>,
}

/// Lets rewards go on that had come to an end; they are locked, and stand where it is said.
pub async fn compensate(
    transaction: &Transaction<'_>,
    renewed: &[Renewed],
    (actor, reason): (&str, &str),
) -> Result<(), Error> {
    let ids: Vec<i64> = renewed.iter().map(|it| it.id).collect();
    let from: Vec<&str> = renewed.iter().map(|it| it.from.name()).collect();
    let to: Vec<&str> = renewed.iter().map(|it| it.to.name()).collect();
    let (due, expires): (Vec<Option<Timestamp>>, Vec<Option<Timestamp>>) =
        renewed.iter().map(|it| it.card.unzip()).unzip();
    let moved = transaction
        .execute(
            "UPDATE reward r
             SET state = n.to_state, version = r.version + 1, event = 'compensate',
                 reason = $6 /* reason */, actor = $7 /* actor */, operation_id = NULL, epoch = NULL,
                 lease_epoch = NULL, changed_at = now(),
                 card_due_at = coalesce(n.due_at, r.card_due_at),
                 card_expires_at = coalesce(n.expires_at, r.card_expires_at)
             FROM unnest($1::bigint[] /* rewards */, $2::text[] /* from */, $3::text[] /* to */,
                         $4::timestamptz[] /* due */, $5::timestamptz[] /* expires */)
                  AS n (id, from_state, to_state, due_at, expires_at)
             WHERE r.id = n.id AND r.state = n.from_state /* compensate */",
            &[&ids, &from, &to, &due, &expires, &reason, &actor],
        )
        .await?;
    expect_rows("compensate", u64::try_from(renewed.len()).unwrap_or(u64::MAX), moved)
}

/// The task of a parked reward, given back to the workers with all attempts before it: its operation, if
/// it has one. `asked_first`: it may have been sent, so that it has to be asked for before it is sent again.
///
/// It goes on with the epoch after which it stopped, so that no lease of the time before is ever good again.
pub async fn restore_task(
    transaction: &Transaction<'_>,
    id: i64,
    asked_first: bool,
) -> Result<Option<String>, Error> {
    let row = transaction
        .query_opt(
            "WITH parked AS (DELETE FROM parked_task WHERE reward_id = $1 /* reward */ RETURNING *)
             INSERT INTO reward_task (reward_id, step, epoch, first_sent_at, operation_id, request)
             SELECT reward_id, step,
                    coalesce((SELECT max(epoch) FROM reward_log WHERE reward_id = $1), 0),
                    CASE WHEN $2 /* asked_first */ THEN first_sent_at END, operation_id, request
             FROM parked RETURNING operation_id /* restore_task */",
            &[&id, &asked_first],
        )
        .await?;
    let row = row.ok_or_else(|| no_parked_task(id))?;
    Ok(row.try_get(0)?)
}

/// Ends the task of a parked reward: its operation, if it has one.
pub async fn settle_task(transaction: &Transaction<'_>, id: i64) -> Result<Option<String>, Error> {
    let row = transaction
        .query_opt(
            "DELETE FROM parked_task WHERE reward_id = $1 /* reward */
             RETURNING operation_id /* settle_task */",
            &[&id],
        )
        .await?;
    let row = row.ok_or_else(|| no_parked_task(id))?;
    Ok(row.try_get(0)?)
}

fn no_parked_task(id: i64) -> Error {
    Error::Corrupt("reward", format!("{id} is parked, but its task is not there"))
}

/// What people last did to a reward, and who, if anybody did anything.
pub async fn last_by_hand(
    transaction: &Transaction<'_>,
    id: i64,
    by_hand: &[Event],
) -> Result<Option<(Event, String)>, Error> {
    let events: Vec<&str> = by_hand.iter().map(|event| event.name()).collect();
    let row = transaction
        .query_opt(
            "SELECT event, actor FROM reward_log
             WHERE reward_id = $1 /* reward */ AND event = ANY($2::text[] /* events */)
             ORDER BY version DESC LIMIT 1 /* last_by_hand */",
            &[&id, &events],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let event: String = row.try_get(0)?;
    let known = Event::named(&event);
    let known =
        known.ok_or_else(|| Error::Corrupt("reward_log", format!("the event '{event}'")))?;
    Ok(Some((known, row.try_get(1)?)))
}

/// With which outcome a reward was last replayed, by the audit.
pub async fn last_outcome(
    transaction: &Transaction<'_>,
    subject: &str,
) -> Result<Option<String>, Error> {
    let row = transaction
        .query_opt(
            "SELECT detail ->> 'outcome' FROM audit
             WHERE subject = $1 /* subject */ AND action = 'reward.replay'
             ORDER BY id DESC LIMIT 1 /* last_outcome */",
            &[&subject],
        )
        .await?;
    row.map_or(Ok(None), |row| Ok(row.try_get(0)?))
}

/// Reads a row of `reward` that was joined with the inviter of its binding.
pub(super) fn read(row: &Row) -> Result<StoredReward, Error> {
    let campaign: String = row.try_get("campaign_id")?;
    let named = campaign.parse();
    Ok(StoredReward {
        id: row.try_get("id")?,
        campaign: named.map_err(|_bad| Error::Corrupt("reward", format!("campaign {campaign}")))?,
        campaign_version: Version(row.try_get("campaign_version")?),
        invitee: row.try_get("invitee")?,
        inviter: row.try_get("inviter")?,
        kind: row.try_get("kind")?,
        side: side(row.try_get("side")?)?,
        beneficiary: row.try_get("beneficiary")?,
        trigger_id: row.try_get("trigger_id")?,
        currency: row.try_get("currency")?,
        most_minor: row.try_get("most_minor")?,
        amount_minor: row.try_get("amount_minor")?,
        draw: row.try_get("draw")?,
        state: state(row.try_get("state")?)?,
        parked_in: row.try_get::<_, Option<&str>>("parked_in")?.map(state).transpose()?,
        version: row.try_get("version")?,
        reason: row.try_get("reason")?,
        actor: row.try_get("actor")?,
        created_at: row.try_get("created_at")?,
        changed_at: row.try_get("changed_at")?,
        card_due_at: row.try_get("card_due_at")?,
        card_expires_at: row.try_get("card_expires_at")?,
        reminders: row.try_get("reminders")?,
    })
}
