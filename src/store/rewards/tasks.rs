//! The work that is due: claimed in sets, recorded in sets, and each row of a set fenced by its own lease,
//! state and version.
//!
//! `due_at` of a task is when it may be taken up; while somebody has it, when that lease ends. Both are on
//! the database's clock. Taking up adds one to the epoch: who comes with an older one is too late.

use std::time::Duration;

use jiff::Timestamp;

use super::{side, state, step};
use crate::campaign::{CampaignId, Version};
use crate::planted::{Bug, planted};
use crate::reward::machine::{Event, Side, State, StepKind};
use crate::store::{Connection, Error, Store};

/// A task that is ours until its lease ends, with the reward that it is about.
#[derive(Clone, Debug)]
pub struct Claimed {
    /// The reward.
    pub reward_id: i64,
    /// What is to be done.
    pub step: StepKind,
    /// Our lease.
    pub epoch: i32,
    /// How often it was begun, this time included.
    pub attempts: i32,
    /// Whether the request may have been sent before.
    pub sent_before: bool,
    /// For how long it may have been known to the payment service, at most.
    pub known_for: Duration,
    /// The operation and its request; `None`: nobody has to be asked.
    pub operation: Option<(String, Vec<u8>)>,
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
    /// Who gets it.
    pub beneficiary: String,
    /// What amounts are in.
    pub currency: String,
    /// The most that it can come to, in minor units.
    pub most_minor: i64,
    /// What it came to, once it was drawn.
    pub amount_minor: Option<i64>,
    /// Where the reward stands.
    pub state: State,
    /// How far its log goes.
    pub log_version: i32,
}

/// Kinds of tasks, each with an index of its own: the backlog of one is not in the way of the other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// Those that the payment service has to do with.
    Payments,
    /// Reminders.
    Reminders,
}

impl Work {
    /// Which tasks these are, in words that the index has, too.
    fn tasks(self) -> &'static str {
        match self {
            Self::Payments => "step <> 'remind'",
            Self::Reminders => "step = 'remind'",
        }
    }

    /// The statement that claims them.
    fn claim(self) -> String {
        format!(
            "WITH due AS MATERIALIZED (
                 SELECT reward_id, step, first_sent_at FROM reward_task
                 WHERE due_at <= now() AND {}
                 ORDER BY due_at LIMIT $1 /* most */ FOR UPDATE SKIP LOCKED),
             claimed AS (
                 UPDATE reward_task t
                 SET due_at = now() + $2::float8 /* lease */ * interval '1 second', epoch = t.epoch + 1,
                     attempts = t.attempts + 1,
                     first_sent_at = CASE WHEN t.operation_id IS NOT NULL THEN coalesce(t.first_sent_at, now()) END
                 FROM due WHERE t.reward_id = due.reward_id AND t.step = due.step
                 RETURNING t.*, due.first_sent_at AS sent_before)
             SELECT c.reward_id, c.step, c.epoch, c.attempts, c.sent_before IS NOT NULL AS sent_before,
                    coalesce(extract(epoch FROM now() - c.first_sent_at), 0)::float8 AS known_for,
                    c.operation_id, c.request, r.campaign_id, r.campaign_version, r.invitee, r.kind, r.side,
                    r.beneficiary, r.currency, r.most_minor, r.amount_minor, r.state, r.version
             FROM claimed c JOIN reward r ON r.id = c.reward_id /* claim_tasks */",
            self.tasks()
        )
    }
}

/// Takes up to `most` tasks that are due, the oldest first, for as long as `lease`.
pub async fn claim(
    store: &Store,
    work: Work,
    most: usize,
    lease: Duration,
) -> Result<Vec<Claimed>, Error> {
    let connection = store.rewards().await?;
    if planted(Bug::ClaimWithoutLock) {
        return claim_carelessly(&connection, (work, most), lease).await;
    }
    let statement = connection.prepare_cached(&work.claim()).await?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = connection.query(&statement, &[&most, &lease.as_secs_f64()]).await?;
    rows.iter().map(claimed).collect()
}

/// [`Bug::ClaimWithoutLock`]: what one statement has read, others have read as well before the next one
/// marks it.
async fn claim_carelessly(
    connection: &Connection,
    (work, most): (Work, usize),
    lease: Duration,
) -> Result<Vec<Claimed>, Error> {
    let due = format!(
        "SELECT t.reward_id, t.step, t.attempts + 1 AS attempts, t.operation_id, t.request,
                t.first_sent_at IS NOT NULL AS sent_before, t.epoch + 1 AS epoch, 0::float8 AS known_for,
                r.campaign_id, r.campaign_version, r.invitee, r.kind, r.side, r.beneficiary, r.currency,
                r.most_minor, r.amount_minor, r.state, r.version
         FROM reward_task t JOIN reward r ON r.id = t.reward_id
         WHERE t.due_at <= now() AND t.{} LIMIT $1 /* read_due */",
        work.tasks()
    );
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = connection.query(&due, &[&most]).await?;
    let read: Vec<Claimed> = rows.iter().map(claimed).collect::<Result<_, Error>>()?;
    for task in &read {
        connection
            .execute(
                "UPDATE reward_task SET due_at = now() + $4::float8 * interval '1 second', epoch = $3,
                        attempts = attempts + 1,
                        first_sent_at = CASE WHEN operation_id IS NOT NULL THEN coalesce(first_sent_at, now()) END
                 WHERE reward_id = $1 AND step = $2 /* mark_due */",
                &[&task.reward_id, &task.step.name(), &task.epoch, &lease.as_secs_f64()],
            )
            .await?;
    }
    Ok(read)
}

fn claimed(row: &tokio_postgres::Row) -> Result<Claimed, Error> {
    let campaign: &str = row.try_get("campaign_id")?;
    let corrupt = |_bad| Error::Corrupt("reward", format!("campaign {campaign}"));
    let operation: Option<String> = row.try_get("operation_id")?;
    let request: Option<Vec<u8>> = row.try_get("request")?;
    let known_for: f64 = row.try_get("known_for")?;
    Ok(Claimed {
        reward_id: row.try_get("reward_id")?,
        step: step(row.try_get("step")?)?,
        epoch: row.try_get("epoch")?,
        attempts: row.try_get("attempts")?,
        sent_before: row.try_get("sent_before")?,
        known_for: Duration::try_from_secs_f64(known_for).unwrap_or_default(),
        operation: operation.zip(request),
        campaign: campaign.parse().map_err(corrupt)?,
        version: Version(row.try_get("campaign_version")?),
        invitee: row.try_get("invitee")?,
        kind: row.try_get("kind")?,
        side: side(row.try_get("side")?)?,
        beneficiary: row.try_get("beneficiary")?,
        currency: row.try_get("currency")?,
        most_minor: row.try_get("most_minor")?,
        amount_minor: row.try_get("amount_minor")?,
        state: state(row.try_get("state")?)?,
        log_version: row.try_get("version")?,
    })
}

/// What a step has come to: a move of its reward.
#[derive(Clone, Debug)]
pub struct Finished {
    /// The reward.
    pub reward_id: i64,
    /// What was done.
    pub step: StepKind,
    /// Under which lease.
    pub epoch: i32,
    /// Where the reward stood.
    pub from: State,
    /// How far its log went.
    pub log_version: i32,
    /// What happened.
    pub event: Event,
    /// Where that leads.
    pub to: State,
    /// Why, where that needs saying.
    pub reason: Option<String>,
    /// What was drawn, in minor units, and how.
    pub drawn: Option<(i64, String)>,
    /// When something is next to be done about the card, and when it expires.
    pub card: Option<(Timestamp, Timestamp)>,
    /// The step that comes at once, under the same lease begun anew: its operation and request.
    pub next: Option<(StepKind, String, Vec<u8>)>,
}

/// A reward that went on, by which step of it, and under which lease.
pub type WentOn = (i64, StepKind, i32);

impl Finished {
    /// What has come of a task: a move with nothing more to it.
    pub fn bare(task: &Claimed, event: Event, to: State) -> Self {
        Self {
            reward_id: task.reward_id,
            step: task.step,
            epoch: task.epoch,
            from: task.state,
            log_version: task.log_version,
            event,
            to,
            reason: None,
            drawn: None,
            card: None,
            next: None,
        }
    }
}

/// Owns the tasks whose lease is still the one, moves their rewards if those are where they were, and makes the
/// tasks go on, end, or be parked.
const FINISH: &str = "WITH input AS MATERIALIZED (
     SELECT * FROM unnest(
         $1::bigint[] /* rewards */, $2::text[] /* steps */, $3::int[] /* epochs */,
         $4::text[] /* from */, $5::int[] /* versions */, $6::text[] /* events */,
         $7::text[] /* to */, $8::text[] /* reasons */, $9::bigint[] /* amounts */,
         $10::text[] /* draws */, $11::timestamptz[] /* card_due */,
         $12::timestamptz[] /* card_expires */, $13::text[] /* next_steps */,
         $14::text[] /* next_operations */, $15::bytea[] /* next_requests */)
     AS i (reward_id, step, epoch, from_state, version, event, to_state, reason, amount_minor,
           draw, card_due_at, card_expires_at, next_step, next_operation, next_request)),
 owned AS MATERIALIZED (
     SELECT i.*, t.epoch AS lease_epoch, t.operation_id, t.request, t.attempts, t.first_sent_at
     FROM input i JOIN reward_task t USING (reward_id, step)
     WHERE t.epoch = i.epoch
     ORDER BY t.reward_id, t.step FOR UPDATE OF t),
 moved AS (
     UPDATE reward r
     SET state = o.to_state, version = r.version + 1, event = o.event, reason = o.reason,
         parked_in = CASE WHEN o.to_state = 'PARKED' THEN o.from_state END,
         actor = $16 /* actor */, operation_id = o.operation_id, epoch = o.epoch,
         lease_epoch = o.lease_epoch, changed_at = now(),
         amount_minor = coalesce(o.amount_minor, r.amount_minor),
         draw = coalesce(o.draw::jsonb, r.draw),
         card_due_at = coalesce(o.card_due_at, r.card_due_at),
         card_expires_at = coalesce(o.card_expires_at, r.card_expires_at),
         reminders = r.reminders + CASE o.event WHEN 'remind' THEN 1 ELSE 0 END
     FROM owned o
     WHERE r.id = o.reward_id AND r.state = o.from_state AND r.version = o.version
     RETURNING r.id, o.step, o.lease_epoch, o.to_state, o.next_step, o.next_operation, o.next_request, o.attempts,
               o.first_sent_at, o.operation_id, o.request),
 advanced AS (
     UPDATE reward_task t
     SET step = m.next_step, operation_id = m.next_operation, request = m.next_request,
         attempts = 1, first_sent_at = now(),
         due_at = now() + $17::float8 /* lease */ * interval '1 second'
     FROM moved m
     WHERE t.reward_id = m.id AND t.step = m.step AND m.next_step IS NOT NULL),
 done AS (
     DELETE FROM reward_task t USING moved m
     WHERE t.reward_id = m.id AND t.step = m.step AND m.next_step IS NULL),
 parked AS (
     INSERT INTO parked_task (reward_id, step, attempts, first_sent_at, operation_id, request)
     SELECT id, step, attempts, first_sent_at, operation_id, request FROM moved
     WHERE to_state = 'PARKED')
 SELECT id, step, lease_epoch FROM moved /* finish_tasks */";

/// Records what steps have come to, each reward by itself: those whose lease is another's meanwhile, or
/// which have gone on, stay as they are. Says which went on, and under which lease: a process that was away for
/// long may have claimed a task anew, and come with both of what it did.
pub async fn finish(
    store: &Store,
    actor: &str,
    lease: Duration,
    finished: &[Finished],
) -> Result<Vec<WentOn>, Error> {
    let connection = store.rewards().await?;
    let statement = if planted(Bug::NoEpochCheck) {
        connection.prepare_cached(&FINISH.replace("t.epoch = i.epoch", "true")).await?
    } else {
        connection.prepare_cached(FINISH).await?
    };
    let texts = |of: fn(&Finished) -> &str| finished.iter().map(of).collect::<Vec<&str>>();
    let ids: Vec<i64> = finished.iter().map(|it| it.reward_id).collect();
    let epochs: Vec<i32> = finished.iter().map(|it| it.epoch).collect();
    let versions: Vec<i32> = finished.iter().map(|it| it.log_version).collect();
    let reasons: Vec<Option<&str>> = finished.iter().map(|it| it.reason.as_deref()).collect();
    let drawn = || finished.iter().map(|it| it.drawn.as_ref());
    let amounts: Vec<Option<i64>> = drawn().map(|it| Some(it?.0)).collect();
    let evidence: Vec<Option<&str>> = drawn().map(|it| Some(it?.1.as_str())).collect();
    let due: Vec<Option<Timestamp>> = finished.iter().map(|it| Some(it.card?.0)).collect();
    let expires: Vec<Option<Timestamp>> = finished.iter().map(|it| Some(it.card?.1)).collect();
    let next = || finished.iter().map(|it| it.next.as_ref());
    let next_steps: Vec<Option<&str>> = next().map(|it| Some(it?.0.name())).collect();
    let next_operations: Vec<Option<&str>> = next().map(|it| Some(it?.1.as_str())).collect();
    let next_requests: Vec<Option<&[u8]>> = next().map(|it| Some(it?.2.as_slice())).collect();
    let rows = connection
        .query(
            &statement,
            &[
                &ids,
                &texts(|it| it.step.name()),
                &epochs,
                &texts(|it| it.from.name()),
                &versions,
                &texts(|it| it.event.name()),
                &texts(|it| it.to.name()),
                &reasons,
                &amounts,
                &evidence,
                &due,
                &expires,
                &next_steps,
                &next_operations,
                &next_requests,
                &actor,
                &lease.as_secs_f64(),
            ],
        )
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, step(row.try_get(1)?)?, row.try_get(2)?))).collect()
}

/// A task that is given back: to be taken up again, or by somebody else.
#[derive(Clone, Debug, PartialEq)]
pub struct GivenBack {
    /// The reward.
    pub reward_id: i64,
    /// What was to be done.
    pub step: StepKind,
    /// Under which lease.
    pub epoch: i32,
    /// In how long it is due again.
    pub wait: Duration,
    /// Whether this attempt counts. One that reached nobody does not.
    pub counts: bool,
    /// Whether the payment service surely knows nothing of it: neither by this attempt nor by an earlier one.
    pub unknown: bool,
}

/// Gives tasks back, those that are still ours; says how many were.
pub async fn give_back(store: &Store, given: &[GivenBack]) -> Result<u64, Error> {
    let connection = store.rewards().await?;
    let statement = connection
        .prepare_cached(
            "WITH owned AS MATERIALIZED (
                 SELECT g.* FROM unnest($1::bigint[] /* rewards */, $2::text[] /* steps */, $3::int[] /* epochs */,
                     $4::float8[] /* waits */, $5::bool[] /* counts */, $6::bool[] /* unknown */)
                 AS g (reward_id, step, epoch, wait, counts, unknown)
                 JOIN reward_task t USING (reward_id, step)
                 WHERE t.epoch = g.epoch
                 ORDER BY t.reward_id, t.step FOR UPDATE OF t)
             UPDATE reward_task t
             SET due_at = now() + o.wait * interval '1 second',
                 attempts = t.attempts - CASE WHEN o.counts THEN 0 ELSE 1 END,
                 first_sent_at = CASE WHEN o.unknown THEN NULL ELSE t.first_sent_at END
             FROM owned o WHERE t.reward_id = o.reward_id AND t.step = o.step /* give_back_tasks */",
        )
        .await?;
    let ids: Vec<i64> = given.iter().map(|it| it.reward_id).collect();
    let steps: Vec<&str> = given.iter().map(|it| it.step.name()).collect();
    let epochs: Vec<i32> = given.iter().map(|it| it.epoch).collect();
    let waits: Vec<f64> = given.iter().map(|it| it.wait.as_secs_f64()).collect();
    let counts: Vec<bool> = given.iter().map(|it| it.counts).collect();
    let unknown: Vec<bool> = given.iter().map(|it| it.unknown).collect();
    Ok(connection.execute(&statement, &[&ids, &steps, &epochs, &waits, &counts, &unknown]).await?)
}

/// Gives up reminders for good; says how many were still ours.
pub async fn drop_reminders(store: &Store, dropped: &[(i64, i32)]) -> Result<u64, Error> {
    let connection = store.rewards().await?;
    let statement = connection
        .prepare_cached(
            "DELETE FROM reward_task t
             USING unnest($1::bigint[] /* rewards */, $2::int[] /* epochs */) AS d (reward_id, epoch)
             WHERE t.reward_id = d.reward_id AND t.step = 'remind' AND t.epoch = d.epoch /* drop_reminders */",
        )
        .await?;
    let (ids, epochs): (Vec<i64>, Vec<i32>) = dropped.iter().copied().unzip();
    Ok(connection.execute(&statement, &[&ids, &epochs]).await?)
}
