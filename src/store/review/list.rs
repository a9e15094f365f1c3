//! Cases as people look for them, and figures about them.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::subject_ref;
use crate::review::case::SubjectRef;
use crate::review::flow::Subject;
use crate::store::{Error, Store, Transaction};

/// Which cases a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those about this.
    pub subject: Option<Subject>,
    /// Only those about the one of these with this name; needs `subject`.
    pub key: Option<String>,
    /// Only those in this state.
    pub state: Option<String>,
    /// Only those in this node.
    pub node: Option<String>,
    /// Only those in which this person has an open task.
    pub holder: Option<String>,
    /// Only those older than this one.
    pub before: Option<i64>,
}

/// A case in a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its number.
    pub id: i64,
    /// What it is about.
    pub subject: SubjectRef,
    /// Which version of the flow it follows.
    pub flow_version: i32,
    /// Who asked for it; none: the service itself.
    pub requester: Option<String>,
    /// Its state.
    pub state: String,
    /// The node in which it is.
    pub node: String,
    /// Its epoch.
    pub epoch: i32,
    /// How many events it has had.
    pub version: i32,
    /// When it began.
    pub opened_at: Timestamp,
    /// Since when it is in this node.
    pub entered_at: Timestamp,
    /// Until when it may stay there.
    pub due_at: Option<Timestamp>,
}

impl Listed {
    /// Whether it is still to be decided on, or carried out.
    pub fn is_open(&self) -> bool {
        matches!(self.state.as_str(), "open" | "executing")
    }
}

/// Up to `limit` cases, newest first.
pub async fn list(
    transaction: &Transaction<'_>,
    filter: &Filter,
    limit: u32,
) -> Result<Vec<Listed>, Error> {
    let rows = transaction
        .query(
            "SELECT * FROM review_case c
             WHERE ($1::text IS NULL OR subject = $1 /* subject */)
               AND ($2::text IS NULL OR subject_key = $2 /* key */)
               AND ($3::text IS NULL OR state = $3 /* state */)
               AND ($4::text IS NULL OR node = $4 /* node */)
               AND ($5::text IS NULL OR EXISTS (
                    SELECT FROM review_task t
                    WHERE t.case_id = c.id AND t.state = 'open' AND t.holder = $5 /* holder */))
               AND id < $6 /* before */
             ORDER BY id DESC LIMIT $7 /* limit, list_cases */",
            &[
                &filter.subject.map(Subject::name),
                &filter.key,
                &filter.state,
                &filter.node,
                &filter.holder,
                &filter.before.unwrap_or(i64::MAX),
                &i64::from(limit),
            ],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// The latest case of a subject, open or not.
pub async fn latest(
    transaction: &Transaction<'_>,
    subject: &SubjectRef,
) -> Result<Option<Listed>, Error> {
    let row = transaction
        .query_opt(
            "SELECT * FROM review_case
             WHERE subject = $1 /* subject */ AND subject_key = $2 /* key */
             ORDER BY id DESC LIMIT 1 /* latest_case */",
            &[&subject.subject.name(), &subject.key],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<Listed, Error> {
    Ok(Listed {
        id: row.try_get("id")?,
        subject: subject_ref(row.try_get("subject")?, row.try_get("subject_key")?)?,
        flow_version: row.try_get("flow_version")?,
        requester: row.try_get("requester")?,
        state: row.try_get("state")?,
        node: row.try_get("node")?,
        epoch: row.try_get("epoch")?,
        version: row.try_get("version")?,
        opened_at: row.try_get("opened_at")?,
        entered_at: row.try_get("entered_at")?,
        due_at: row.try_get("due_at")?,
    })
}

/// Up to `limit` cases that are being carried out since before `before`; any of them, so that none is always behind
/// those that cannot be helped.
pub async fn executing(
    transaction: &Transaction<'_>,
    before: Timestamp,
    limit: u32,
) -> Result<Vec<i64>, Error> {
    let rows = transaction
        .query(
            "SELECT id FROM review_case WHERE state = 'executing' AND entered_at < $1 /* before */
             ORDER BY random() LIMIT $2 /* limit, executing_cases */",
            &[&before, &i64::from(limit)],
        )
        .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// Up to `limit` cases that have waited too long by now.
pub async fn overdue(
    transaction: &Transaction<'_>,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<i64>, Error> {
    let rows = transaction
        .query(
            "SELECT id FROM review_case WHERE due_at <= $1 /* now */
             ORDER BY due_at LIMIT $2 /* limit, overdue_cases */",
            &[&now, &i64::from(limit)],
        )
        .await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

/// How many cases wait in a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Waiting {
    /// About what.
    pub subject: String,
    /// In which node.
    pub node: String,
    /// How many.
    pub cases: i64,
    /// For how many seconds the oldest one has been there.
    pub oldest_seconds: i64,
}

/// How many cases wait in which nodes.
pub async fn waiting(store: &Store) -> Result<Vec<Waiting>, Error> {
    let connection = store.connection().await?;
    let rows = connection
        .query(
            "SELECT subject, node, count(*),
                    greatest(0, extract(epoch FROM now() - min(entered_at)))::bigint
             FROM review_case WHERE state IN ('open', 'executing')
             GROUP BY subject, node /* waiting_cases */",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Waiting {
                subject: row.try_get(0)?,
                node: row.try_get(1)?,
                cases: row.try_get(2)?,
                oldest_seconds: row.try_get(3)?,
            })
        })
        .collect()
}
