//! Reviews: the versions of flows, who has which roles, cases with their histories and their tasks.

use std::collections::BTreeSet;

use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::Json;

use super::{Error, Transaction, expect_rows};
use crate::review::case::{Case, Event, Opening, SubjectRef, What};
use crate::review::flow::Subject;

pub mod flows;
pub mod list;
pub mod subjects;

/// A case that is locked, with its history.
#[derive(Clone, Debug)]
pub struct StoredCase {
    /// Its number.
    pub id: i64,
    /// What it is about.
    pub subject: SubjectRef,
    /// Its history.
    pub history: Vec<Event>,
    /// What that comes to.
    pub case: Case,
}

/// Begins a case with this history; its number. `None`: its subject has an open one.
pub async fn open(
    transaction: &Transaction<'_>,
    subject: &SubjectRef,
    opening: &Opening,
    (history, case): (&[Event], &Case),
) -> Result<Option<i64>, Error> {
    let row = transaction
        .query_opt(
            "INSERT INTO review_case (subject, subject_key, flow_version, requester, state, node, epoch,
                                      version, opened_at, entered_at, due_at)
             VALUES ($1 /* subject */, $2 /* key */, $3 /* flow_version */, $4 /* requester */, $5 /* state */,
                     $6 /* node */, $7 /* epoch */, $8 /* version */, $9 /* opened_at */, $10 /* entered_at */,
                     $11 /* due_at */)
             ON CONFLICT (subject, subject_key) WHERE state IN ('open', 'executing') DO NOTHING
             RETURNING id /* open_case */",
            &[
                &subject.subject.name(),
                &subject.key,
                &opening.flow_version,
                &opening.requester,
                &case.place.state(),
                &case.place.node(),
                &case.epoch,
                &case.version,
                &history.first().map_or(case.entered_at, |event| event.at),
                &case.entered_at,
                &case.due_at,
            ],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let id = row.try_get(0)?;
    insert_events(transaction, id, history).await?;
    write_tasks(transaction, id, case).await?;
    Ok(Some(id))
}

/// Reads a case with its history.
pub async fn find(transaction: &Transaction<'_>, id: i64) -> Result<Option<StoredCase>, Error> {
    let row = transaction
        .query_opt(
            "SELECT id, subject, subject_key FROM review_case WHERE id = $1 /* case, find_case */",
            &[&id],
        )
        .await?;
    match row {
        None => Ok(None),
        Some(row) => with_history(transaction, &row).await.map(Some),
    }
}

/// The same, and nobody else does anything to it until the transaction ends.
pub async fn lock(transaction: &Transaction<'_>, id: i64) -> Result<Option<StoredCase>, Error> {
    let row = transaction
        .query_opt(
            "SELECT id, subject, subject_key FROM review_case
             WHERE id = $1 /* case */ FOR UPDATE /* lock_case */",
            &[&id],
        )
        .await?;
    match row {
        None => Ok(None),
        // A statement of its own: it sees what the last holder of the lock committed.
        Some(row) => with_history(transaction, &row).await.map(Some),
    }
}

/// The open case of a subject, if it has one: its number.
pub async fn open_case_of(
    transaction: &Transaction<'_>,
    subject: &SubjectRef,
) -> Result<Option<i64>, Error> {
    let row = transaction
        .query_opt(
            "SELECT id FROM review_case
             WHERE subject = $1 /* subject */ AND subject_key = $2 /* key */
               AND state IN ('open', 'executing') /* open_case_of */",
            &[&subject.subject.name(), &subject.key],
        )
        .await?;
    row.map_or(Ok(None), |row| Ok(Some(row.try_get(0)?)))
}

async fn with_history(transaction: &Transaction<'_>, row: &Row) -> Result<StoredCase, Error> {
    let id: i64 = row.try_get(0)?;
    let subject = subject_ref(row.try_get(1)?, row.try_get(2)?)?;
    let rows = transaction
        .query(
            "SELECT version, at, actor, detail FROM review_event
             WHERE case_id = $1 /* case */ ORDER BY version /* history */",
            &[&id],
        )
        .await?;
    let event = |row: &Row| -> Result<Event, Error> {
        let Json(what): Json<What> = row.try_get(3)?;
        let (version, at, by) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
        Ok(Event { version, at, by, what })
    };
    let history: Vec<Event> = rows.iter().map(event).collect::<Result<_, _>>()?;
    let case = Case::rebuilt(&history);
    let case = case.map_err(|bad| Error::Corrupt("review_event", format!("{id}: {bad}")))?;
    Ok(StoredCase { id, subject, history, case })
}

pub(super) fn subject_ref(name: &str, key: String) -> Result<SubjectRef, Error> {
    let subject = Subject::named(name);
    let subject =
        subject.ok_or_else(|| Error::Corrupt("review_case", format!("the subject {name}")))?;
    Ok(SubjectRef { subject, key })
}

/// Writes what happened to a case that is locked, and where it stands after that. It is fenced by the version
/// that the history began from: whoever was slower changes nothing.
pub async fn write(
    transaction: &Transaction<'_>,
    id: i64,
    before: i32,
    (events, case): (&[Event], &Case),
) -> Result<(), Error> {
    let moved = transaction
        .execute(
            "UPDATE review_case
             SET state = $3 /* state */, node = $4 /* node */, epoch = $5 /* epoch */,
                 version = $6 /* version */, entered_at = $7 /* entered_at */, due_at = $8 /* due_at */
             WHERE id = $1 /* case */ AND version = $2 /* before, write_case */",
            &[
                &id,
                &before,
                &case.place.state(),
                &case.place.node(),
                &case.epoch,
                &case.version,
                &case.entered_at,
                &case.due_at,
            ],
        )
        .await?;
    expect_rows("write_case", 1, moved)?;
    insert_events(transaction, id, events).await?;
    write_tasks(transaction, id, case).await
}

async fn insert_events(
    transaction: &Transaction<'_>,
    id: i64,
    events: &[Event],
) -> Result<(), Error> {
    let versions: Vec<i32> = events.iter().map(|event| event.version).collect();
    let moments: Vec<Timestamp> = events.iter().map(|event| event.at).collect();
    let actors: Vec<&str> = events.iter().map(|event| event.by.as_str()).collect();
    let names: Vec<&str> = events.iter().map(|event| event.what.name()).collect();
    let details: Vec<Json<&What>> = events.iter().map(|event| Json(&event.what)).collect();
    let inserted = transaction
        .execute(
            "INSERT INTO review_event (case_id, version, at, actor, event, detail)
             SELECT $1 /* case */, version, at, actor, event, detail
             FROM unnest($2::int[] /* versions */, $3::timestamptz[] /* moments */, $4::text[] /* actors */,
                         $5::text[] /* events */, $6::jsonb[] /* details */)
                  AS e (version, at, actor, event, detail)
             ORDER BY version /* insert_events */",
            &[&id, &versions, &moments, &actors, &names, &details],
        )
        .await?;
    expect_rows("insert_events", u64::try_from(events.len()).unwrap_or(u64::MAX), inserted)
}

/// Writes the tasks of a case that are open or were until now.
async fn write_tasks(transaction: &Transaction<'_>, id: i64, case: &Case) -> Result<(), Error> {
    let numbers: Vec<i32> = case.tasks.iter().map(|task| task.number).collect();
    let nodes: Vec<&str> = case.tasks.iter().map(|task| task.node.as_str()).collect();
    let epochs: Vec<i32> = case.tasks.iter().map(|task| task.epoch).collect();
    let holders: Vec<Option<&str>> = case.tasks.iter().map(|task| task.holder.as_deref()).collect();
    let states: Vec<&str> = case.tasks.iter().map(|task| task.state.name()).collect();
    let opened: Vec<Timestamp> = case.tasks.iter().map(|task| task.opened_at).collect();
    let due: Vec<Option<Timestamp>> = case.tasks.iter().map(|task| task.due_at).collect();
    let closed: Vec<Option<Timestamp>> = case.tasks.iter().map(|task| task.closed_at).collect();
    // May well change no row: an event need not touch a task.
    transaction
        .execute(
            "INSERT INTO review_task AS t (case_id, number, node, epoch, holder, state, opened_at, due_at, closed_at)
             SELECT $1 /* case */, u.*
             FROM unnest($2::int[] /* numbers */, $3::text[] /* nodes */, $4::int[] /* epochs */,
                         $5::text[] /* holders */, $6::text[] /* states */, $7::timestamptz[] /* opened */,
                         $8::timestamptz[] /* due */, $9::timestamptz[] /* closed */) AS u
             ON CONFLICT (case_id, number) DO UPDATE
             SET holder = excluded.holder, state = excluded.state, closed_at = excluded.closed_at
             WHERE t.state = 'open' /* write_tasks */",
            &[&id, &numbers, &nodes, &epochs, &holders, &states, &opened, &due, &closed],
        )
        .await?;
    Ok(())
}

/// The roles that somebody has.
pub async fn roles_of(
    transaction: &Transaction<'_>,
    actor: &str,
) -> Result<BTreeSet<String>, Error> {
    let rows = transaction
        .query("SELECT role FROM review_role WHERE actor = $1 /* actor, roles_of */", &[&actor])
        .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Gives somebody a role; says whether they did not have it.
pub async fn grant_role(
    transaction: &Transaction<'_>,
    (actor, role): (&str, &str),
    by: &str,
) -> Result<bool, Error> {
    let granted = transaction
        .execute(
            "INSERT INTO review_role (actor, role, granted_by)
             VALUES ($1 /* actor */, $2 /* role */, $3 /* by */)
             ON CONFLICT (actor, role) DO NOTHING /* grant_role */",
            &[&actor, &role, &by],
        )
        .await?;
    Ok(granted == 1)
}

/// Takes a role from somebody; says whether they had it.
pub async fn revoke_role(
    transaction: &Transaction<'_>,
    (actor, role): (&str, &str),
) -> Result<bool, Error> {
    let revoked = transaction
        .execute(
            "DELETE FROM review_role WHERE actor = $1 /* actor */ AND role = $2 /* role, revoke_role */",
            &[&actor, &role],
        )
        .await?;
    Ok(revoked == 1)
}

/// Somebody's role.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRole {
    /// Who has it.
    pub actor: String,
    /// Which.
    pub role: String,
    /// Who gave it.
    pub granted_by: String,
    /// When.
    pub granted_at: Timestamp,
}

/// All roles that people have, by name; at most 10,000.
pub async fn roles(transaction: &Transaction<'_>) -> Result<Vec<StoredRole>, Error> {
    let rows = transaction
        .query(
            "SELECT actor, role, granted_by, granted_at FROM review_role
             ORDER BY actor, role LIMIT 10000 /* list_roles */",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(StoredRole {
                actor: row.try_get(0)?,
                role: row.try_get(1)?,
                granted_by: row.try_get(2)?,
                granted_at: row.try_get(3)?,
            })
        })
        .collect()
}
