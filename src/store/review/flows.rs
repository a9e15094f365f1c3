//! Versions of flows, and which of them new cases follow.

use jiff::Timestamp;
use tokio_postgres::Row;

use crate::campaign::document::Format;
use crate::review::flow::Subject;
use crate::store::{Error, Transaction, expect_rows};

/// A version of a flow, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredFlow {
    /// What it decides on.
    pub subject: Subject,
    /// Its number, from 1.
    pub version: i32,
    /// How its document is written.
    pub format: Format,
    /// The document, as it came.
    pub document: String,
    /// Who put it there.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// Whether new cases follow it because somebody activated it.
    pub active: bool,
}

/// A flow to be stored.
#[derive(Clone, Copy, Debug)]
pub struct NewFlow<'a> {
    /// What it decides on.
    pub subject: Subject,
    /// How the document is written.
    pub format: Format,
    /// The document.
    pub document: &'a str,
    /// The SHA-256 of the document.
    pub hash: [u8; 32],
    /// Who puts it there.
    pub actor: &'a str,
}

/// Nobody else adds or activates a flow for this subject until the transaction ends.
pub async fn lock(transaction: &Transaction<'_>, subject: Subject) -> Result<(), Error> {
    transaction
        .execute(
            "SELECT pg_advisory_xact_lock(hashtextextended('review_flow ' || $1 /* subject */, 0)) /* lock_flows */",
            &[&subject.name()],
        )
        .await?;
    Ok(())
}

/// The version with this content.
pub async fn find_same(
    transaction: &Transaction<'_>,
    subject: Subject,
    hash: &[u8; 32],
) -> Result<Option<i32>, Error> {
    let row = transaction
        .query_opt(
            "SELECT version FROM review_flow
             WHERE subject = $1 /* subject */ AND hash = $2 /* hash, find_same_flow */",
            &[&subject.name(), &hash.as_slice()],
        )
        .await?;
    row.map_or(Ok(None), |row| Ok(Some(row.try_get(0)?)))
}

/// Adds a version for a subject whose flows are locked, and which has none with this content: its number.
pub async fn add(transaction: &Transaction<'_>, new: &NewFlow<'_>) -> Result<i32, Error> {
    let row = transaction
        .query_one(
            "INSERT INTO review_flow (subject, version, format, document, hash, created_by)
             SELECT $1 /* subject */, coalesce(max(version), 0) + 1, $2 /* format */, $3 /* document */,
                    $4 /* hash */, $5 /* actor */
             FROM review_flow WHERE subject = $1
             RETURNING version /* add_flow */",
            &[
                &new.subject.name(),
                &new.format.name(),
                &new.document,
                &new.hash.as_slice(),
                &new.actor,
            ],
        )
        .await?;
    Ok(row.try_get(0)?)
}

/// A version of a flow.
pub async fn find(
    transaction: &Transaction<'_>,
    subject: Subject,
    version: i32,
) -> Result<Option<StoredFlow>, Error> {
    let row = transaction
        .query_opt(
            "SELECT f.*, a.version IS NOT NULL AS active FROM review_flow f
             LEFT JOIN review_flow_in_force a USING (subject, version)
             WHERE f.subject = $1 /* subject */ AND f.version = $2 /* version, find_flow */",
            &[&subject.name(), &version],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// All versions of all flows, by subject, the latest first; at most 1,000.
pub async fn list(transaction: &Transaction<'_>) -> Result<Vec<StoredFlow>, Error> {
    let rows = transaction
        .query(
            "SELECT f.*, a.version IS NOT NULL AS active FROM review_flow f
             LEFT JOIN review_flow_in_force a USING (subject, version)
             ORDER BY f.subject, f.version DESC LIMIT 1000 /* list_flows */",
            &[],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// The version that somebody activated for this subject.
pub async fn in_force(
    transaction: &Transaction<'_>,
    subject: Subject,
) -> Result<Option<i32>, Error> {
    let row = transaction
        .query_opt(
            "SELECT version FROM review_flow_in_force WHERE subject = $1 /* subject, flow_in_force */",
            &[&subject.name()],
        )
        .await?;
    row.map_or(Ok(None), |row| Ok(Some(row.try_get(0)?)))
}

/// Has new cases follow this version, which is there.
pub async fn activate(
    transaction: &Transaction<'_>,
    subject: Subject,
    version: i32,
) -> Result<(), Error> {
    let activated = transaction
        .execute(
            "INSERT INTO review_flow_in_force (subject, version) VALUES ($1 /* subject */, $2 /* version */)
             ON CONFLICT (subject) DO UPDATE SET version = excluded.version, since = now()
             /* activate_flow */",
            &[&subject.name(), &version],
        )
        .await?;
    expect_rows("activate_flow", 1, activated)
}

fn read(row: &Row) -> Result<StoredFlow, Error> {
    let corrupt = |what: String| Error::Corrupt("review_flow", what);
    let (subject, format): (&str, &str) = (row.try_get("subject")?, row.try_get("format")?);
    Ok(StoredFlow {
        subject: Subject::named(subject)
            .ok_or_else(|| corrupt(format!("the subject {subject}")))?,
        version: row.try_get("version")?,
        format: Format::named(format).ok_or_else(|| corrupt(format!("the format {format}")))?,
        document: row.try_get("document")?,
        created_by: row.try_get("created_by")?,
        created_at: row.try_get("created_at")?,
        active: row.try_get("active")?,
    })
}
