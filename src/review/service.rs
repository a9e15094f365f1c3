//! Keeps flows, roles and cases, each change in one transaction, and has what was approved carried out.
//!
//! A case that is approved is `executing` from the commit of its last approval on. Only then is its subject
//! touched, in a transaction of its own, which can be repeated; and then the case is told. If the process dies
//! in between, [`Reviews::round`] does the rest.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::case::{Case, Event, Opening, SubjectRef};
use super::command::{self, Act, Actor, Command, Refusal};
use super::flow::{self, Flow, Subject};
use super::request::Wanted;
use super::targets;
use crate::campaign::document::Format;
use crate::clock::Clock;
use crate::fault::Fault;
use crate::metrics::Metrics;
use crate::reward::services::Services;
use crate::store::review::flows::{self, NewFlow, StoredFlow};
use crate::store::review::list::{self, Filter, Listed};
use crate::store::review::subjects::{self, Found};
use crate::store::review::{self as rows, StoredCase};
use crate::store::{self, Prepared, Store, audit};

mod carrying;
mod people;

/// Who does what nobody else does.
const SERVICE: &str = "waypost";

/// Why something was not done.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such case.
    #[error("there is no case {0}")]
    NotFound(i64),
    /// There is no such version of a flow.
    #[error("there is no version {} of the flow for '{}'", .1, .0.name())]
    NoFlow(Subject, i32),
    /// Fields are wrong.
    #[error("the request is not valid")]
    Invalid(Vec<Fault>),
    /// The rules of the flow say no.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A case, and the flow that it follows.
#[derive(Clone, Debug)]
pub struct Full {
    /// The case with its history.
    pub stored: StoredCase,
    /// Its flow.
    pub flow: Flow,
}

/// A page of cases, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The cases.
    pub cases: Vec<Listed>,
    /// The one after which the next page begins, if there is one.
    pub next: Option<i64>,
}

/// A node, as somebody sees it who may want to jump there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Which.
    pub node: String,
    /// Why not; none: it is legal.
    pub barred: Option<Refusal>,
    /// Whether approvals go on counting after it.
    pub keeps_approvals: bool,
}

/// See the module.
#[derive(Debug)]
pub struct Reviews {
    store: Store,
    rewards: Arc<Services>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl Reviews {
    /// Reviews of these rewards.
    pub fn new(
        store: Store,
        rewards: Arc<Services>,
        (clock, metrics): (Clock, Arc<Metrics>),
    ) -> Self {
        Self { store, rewards, clock, metrics }
    }

    fn now(&self) -> Timestamp {
        Timestamp::from(self.clock.now())
    }

    /// A page of cases, newest first.
    pub async fn list(&self, filter: &Filter, limit: u32) -> Result<Page, Error> {
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        // One more than asked for tells whether there is another page.
        let mut cases = list::list(&transaction, filter, limit.saturating_add(1)).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let is_last = cases.len() <= limit;
        cases.truncate(limit);
        let next = cases.last().filter(|_| !is_last).map(|last| last.id);
        Ok(Page { cases, next })
    }

    /// A case with its history.
    pub async fn get(&self, id: i64) -> Result<Full, Error> {
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        let stored = rows::find(&transaction, id).await?.ok_or(Error::NotFound(id))?;
        let flow = flow_of(&transaction, &stored).await?;
        Ok(Full { stored, flow })
    }

    /// The open case of a subject, if it has one.
    pub async fn open_case_of(&self, subject: &SubjectRef) -> Result<Option<i64>, Error> {
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        Ok(rows::open_case_of(&transaction, subject).await?)
    }

    /// Where somebody may let a case jump to, and why not elsewhere.
    pub async fn targets(&self, actor: &str, id: i64) -> Result<Vec<Target>, Error> {
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        let stored = rows::find(&transaction, id).await?.ok_or(Error::NotFound(id))?;
        let flow = flow_of(&transaction, &stored).await?;
        let by = person(&transaction, actor).await?;
        let all = targets::targets(&flow, &stored.case, &by, self.now());
        let owned = all.into_iter().map(|it| Target {
            node: it.node.to_owned(),
            barred: it.barred,
            keeps_approvals: it.keeps_approvals,
        });
        Ok(owned.collect())
    }

    /// Opens the case of a subject that waits for a decision, in the transaction of whoever found it; its number.
    /// `None`: it has one, or does not wait.
    pub async fn open_within(
        &self,
        transaction: &Prepared<'_>,
        subject: &SubjectRef,
    ) -> Result<Option<i64>, Error> {
        let Some(found) = find_subject(transaction, subject).await? else { return Ok(None) };
        if !found.waits {
            return Ok(None);
        }
        let (flow_version, flow) = flow_in_force(transaction, subject.subject).await?;
        let hash = hash(&found.identity);
        let Found { requester, facts, .. } = found;
        let opening = Opening { flow_version, hash, requester, facts };
        let history = command::open(&flow, opening.clone(), self.now(), SERVICE);
        let case = rebuilt(&history)?;
        let id = rows::open(transaction, subject, &opening, (&history, &case)).await?;
        if let Some(id) = id {
            let detail = json!({ "subject": subject.subject.name(), "key": subject.key, "flow": flow_version });
            record(transaction, (SERVICE, "case.open"), id, detail).await?;
        }
        Ok(id)
    }

    /// Does something to a case; answers what happened, and the case as it then is. With `dry_run` nothing
    /// changes, and the case is as it would be. What was decided by that is carried out before this returns, if
    /// that is possible now.
    pub async fn act(
        &self,
        actor: &str,
        id: i64,
        wanted: Wanted,
        (expected_version, dry_run): (Option<i32>, bool),
    ) -> Result<(Vec<Event>, Full), Error> {
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        let by = person(&transaction, actor).await?;
        let other = match wanted.other() {
            Some(other) => Some(person(&transaction, other).await?),
            None => None,
        };
        let act = wanted.with(other);
        if !dry_run
            && matches!(act, Act::Approve { .. })
            && let Some(current) = self.refresh(&transaction, id).await?
        {
            // That approvals have lapsed must be kept, though nothing is approved.
            transaction.commit().await.map_err(store::Error::from)?;
            let expected = expected_version.unwrap_or_default();
            return Err(Refusal::StaleVersion { expected, current }.into());
        }
        let (events, full) =
            self.decide(&transaction, id, (by, act), (expected_version, dry_run)).await?;
        if dry_run {
            return Ok((events, full));
        }
        transaction.commit().await.map_err(store::Error::from)?;
        drop(connection);
        if !full.stored.case.place.is_end() && full.stored.case.place.state() != "executing" {
            return Ok((events, full));
        }
        if let Err(error) = self.carry_out(id).await {
            // The loop does it again, a little later.
            tracing::warn!(case = id, %error, "what was decided is carried out a little later");
        }
        Ok((events, self.get(id).await?))
    }

    /// Decides within a transaction, and writes what comes of it unless it is a dry run.
    async fn decide(
        &self,
        transaction: &Prepared<'_>,
        id: i64,
        (by, act): (Actor, Act),
        (expected_version, dry_run): (Option<i32>, bool),
    ) -> Result<(Vec<Event>, Full), Error> {
        let mut stored = rows::lock(transaction, id).await?.ok_or(Error::NotFound(id))?;
        let flow = flow_of(transaction, &stored).await?;
        let expected_version = expected_version.unwrap_or(stored.case.version);
        let (actor, before) = (by.name.clone(), stored.case.version);
        let command = Command { by, at: self.now(), expected_version, act };
        let events = command::decide(&flow, &stored.case, &command)?;
        append(&mut stored, &events)?;
        if !dry_run && !events.is_empty() {
            rows::write(transaction, id, before, (&events, &stored.case)).await?;
            let names: Vec<&str> = events.iter().map(|event| event.what.name()).collect();
            let detail = json!({ "events": names, "node": stored.case.place.node(), "version": stored.case.version });
            record(transaction, (&actor, "case.act"), id, detail).await?;
        }
        Ok((events, Full { stored, flow }))
    }

    /// Looks whether the subject of a case is what it was: if it is not, approvals lapse. Says whether they did;
    /// the case is locked.
    async fn refresh(&self, transaction: &Prepared<'_>, id: i64) -> Result<Option<i32>, Error> {
        let mut stored = rows::lock(transaction, id).await?.ok_or(Error::NotFound(id))?;
        if stored.case.place.state() != "open" {
            return Ok(None);
        }
        let Some(found) = find_subject(transaction, &stored.subject).await? else {
            return Ok(None);
        };
        let flow = flow_of(transaction, &stored).await?;
        let act = Act::SubjectChanged { hash: hash(&found.identity), facts: found.facts };
        let before = stored.case.version;
        let command = Command { by: nobody(), at: self.now(), expected_version: before, act };
        let events = command::decide(&flow, &stored.case, &command)?;
        if events.is_empty() {
            return Ok(None);
        }
        append(&mut stored, &events)?;
        rows::write(transaction, id, before, (&events, &stored.case)).await?;
        let detail = json!({ "node": stored.case.place.node(), "epoch": stored.case.epoch });
        record(transaction, (SERVICE, "case.subject_changed"), id, detail).await?;
        Ok(Some(stored.case.version))
    }
}

fn append(stored: &mut StoredCase, events: &[Event]) -> Result<(), store::Error> {
    for event in events {
        stored.case.apply(event).map_err(|bad| bad_history(&bad))?;
        stored.history.push(event.clone());
    }
    Ok(())
}

fn rebuilt(history: &[Event]) -> Result<Case, store::Error> {
    Case::rebuilt(history).map_err(|bad| bad_history(&bad))
}

fn bad_history(bad: &super::case::BadHistory) -> store::Error {
    store::Error::Corrupt("review_event", bad.to_string())
}

/// The service itself, which has no roles.
fn nobody() -> Actor {
    Actor { name: SERVICE.to_owned(), roles: std::collections::BTreeSet::new() }
}

/// Somebody with the roles that they have now.
async fn person(transaction: &Prepared<'_>, name: &str) -> Result<Actor, store::Error> {
    let roles = rows::roles_of(transaction, name).await?;
    Ok(Actor { name: name.to_owned(), roles })
}

fn hash(text: &str) -> String {
    let digest = Sha256::digest(text);
    digest.iter().fold(String::new(), |all, byte| all + &format!("{byte:02x}"))
}

/// What a case is about, as it is now.
async fn find_subject(
    transaction: &Prepared<'_>,
    subject: &SubjectRef,
) -> Result<Option<Found>, store::Error> {
    let Ok(id) = subject.key.parse() else { return Ok(None) };
    match subject.subject {
        Subject::Reward => subjects::reward(transaction, id).await,
        Subject::Compensation => subjects::compensation(transaction, id).await,
        // Nobody opens cases about these.
        Subject::CapLift | Subject::Reversal | Subject::Activation => Ok(None),
    }
}

/// The flow that a case follows.
async fn flow_of(transaction: &Prepared<'_>, stored: &StoredCase) -> Result<Flow, store::Error> {
    let (subject, version) = (stored.subject.subject, stored.case.opening.flow_version);
    let found = flows::find(transaction, subject, version).await?;
    let found = found.ok_or_else(|| {
        store::Error::Corrupt("review_case", format!("its flow {} {version}", subject.name()))
    })?;
    read_flow(&found)
}

fn read_flow(stored: &StoredFlow) -> Result<Flow, store::Error> {
    flow::parse(&stored.document, stored.format).map_err(|faults| {
        let first = faults.first().map(|fault| format!("{} {}", fault.pointer, fault.detail));
        let what = format!("{} {}: {first:?}", stored.subject.name(), stored.version);
        store::Error::Corrupt("review_flow", what)
    })
}

/// The flow that new cases follow: what somebody activated, or the one that comes with the program, which is
/// stored when it is first needed.
async fn flow_in_force(
    transaction: &Prepared<'_>,
    subject: Subject,
) -> Result<(i32, Flow), store::Error> {
    if let Some(version) = flows::in_force(transaction, subject).await? {
        let found = flows::find(transaction, subject, version).await?;
        let found = found.ok_or_else(|| {
            store::Error::Corrupt("review_flow_in_force", format!("version {version}"))
        })?;
        return Ok((version, read_flow(&found)?));
    }
    let usual = subject.usual_flow();
    let flow = flow::parse(usual, Format::Toml).expect("a test reads them all");
    let new = NewFlow {
        subject,
        format: Format::Toml,
        document: usual,
        hash: Sha256::digest(usual).into(),
        actor: SERVICE,
    };
    let (version, _) = keep_flow(transaction, &new).await?;
    Ok((version, flow))
}

/// Stores a flow, unless there is one with this content; its number, and whether it is new.
async fn keep_flow(
    transaction: &Prepared<'_>,
    new: &NewFlow<'_>,
) -> Result<(i32, bool), store::Error> {
    if let Some(version) = flows::find_same(transaction, new.subject, &new.hash).await? {
        return Ok((version, false));
    }
    flows::lock(transaction, new.subject).await?;
    if let Some(version) = flows::find_same(transaction, new.subject, &new.hash).await? {
        return Ok((version, false));
    }
    Ok((flows::add(transaction, new).await?, true))
}

async fn record(
    transaction: &Prepared<'_>,
    (actor, action): (&str, &'static str),
    id: i64,
    detail: serde_json::Value,
) -> Result<(), store::Error> {
    record_setting(transaction, (actor, action), &format!("case:{id}"), detail).await
}

/// Records what somebody set.
async fn record_setting(
    transaction: &Prepared<'_>,
    (actor, action): (&str, &'static str),
    subject: &str,
    detail: serde_json::Value,
) -> Result<(), store::Error> {
    audit::record(transaction, &audit::Entry { actor, action, subject, detail }).await
}
