//! Compensations are asked for, decided on and done, each in one transaction with its audit.
//!
//! What is done is done under the locks that a trigger takes, in the same order: the users of the bindings, the
//! inviters' tallies, the rewards, the account. So a trigger that comes at the same moment finds the reward,
//! or leaves one to be found.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::{Mutex, watch};

use super::{MOST_FAULTS, NewCompensation, State};
use crate::campaign::CampaignId;
use crate::campaign::live::{Campaigns, Current};
use crate::campaign::pinned::Pinned;
use crate::fault::{Fault, Reason};
use crate::review::case::SubjectRef;
use crate::review::flow::Subject;
use crate::reward::desk::judge_reason;
use crate::reward::machine::Side;
use crate::store::rewards::compensations::{self, Filter, New, Stored, StoredItem};
use crate::store::rewards::granting as rows;
use crate::store::user_locks::{self, LockKey};
use crate::store::{self, Connection, Prepared, Store, audit, review};

use execution::Execution;

pub mod execution;

/// Why something was not done about a compensation.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such compensation.
    #[error("there is no compensation {0}")]
    NotFound(i64),
    /// Fields are wrong.
    #[error("the request is not valid")]
    Invalid(Vec<Fault>),
    /// Nobody approves what they asked for.
    #[error("you asked for it yourself: somebody else has to approve it; you may reject it")]
    OwnRequest,
    /// A case decides on it.
    #[error(
        "case {0} decides on it: approve or reject that, by POST /v1/cases/{0}/approve or /reject"
    )]
    UnderReview(i64),
    /// It was decided on, and the other way.
    #[error("it was {} already, by {}; look at it, and ask for another one if that is needed", .0.name(), .1)]
    Decided(State, String),
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A compensation with its items.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Full {
    /// The compensation.
    pub stored: Stored,
    /// Its items, in their order.
    pub items: Vec<StoredItem>,
}

/// Some compensations, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The compensations.
    pub compensations: Vec<Stored>,
    /// The one after which the next page begins, if there is one.
    pub next: Option<i64>,
}

/// See the module.
#[derive(Debug)]
pub struct Compensations {
    store: Store,
    campaigns: watch::Receiver<Arc<Campaigns>>,
    pinned: Arc<Pinned>,
    execution: Execution,
    /// One at a time in a process: each takes up to a thousand locks.
    executing: Mutex<()>,
}

impl Compensations {
    /// Compensations in these campaigns.
    pub fn new(
        store: Store,
        campaigns: watch::Receiver<Arc<Campaigns>>,
        pinned: Arc<Pinned>,
        execution: Execution,
    ) -> Self {
        Self { store, campaigns, pinned, execution, executing: Mutex::new(()) }
    }

    /// A connection for a transaction in which something is asked for.
    pub async fn connection(&self) -> Result<Connection, Error> {
        Ok(self.store.connection().await?)
    }

    /// Keeps what somebody asks for. Nothing is granted yet.
    pub async fn request_within(
        &self,
        transaction: &Prepared<'_>,
        actor: &str,
        request: &NewCompensation,
    ) -> Result<Full, Error> {
        let sides = request.judge();
        let campaigns = Arc::clone(&self.campaigns.borrow());
        let current = campaigns.named(&request.campaign);
        let (current, sides) = match (current, sides) {
            (Some(current), Ok(sides)) => (current, sides),
            (current, judged) => {
                let unknown = Fault::new(
                    "/campaign",
                    Reason::OutOfRange,
                    "is no campaign that is or was active",
                );
                let unknown = current.is_none().then_some(unknown);
                let faults = unknown.into_iter().chain(judged.err().unwrap_or_default());
                return Err(Error::Invalid(faults.collect()));
            }
        };
        let faults = self.judge_items(transaction, current, request, &sides).await?;
        if !faults.is_empty() {
            return Err(Error::Invalid(faults));
        }
        let items: Vec<(&str, &str, Side)> = request
            .items
            .iter()
            .zip(&sides)
            .map(|(item, side)| (item.invitee.as_str(), item.kind.as_str(), *side))
            .collect();
        let new = New { campaign: &current.id, reason: &request.reason, actor, items: &items };
        let id = compensations::insert(transaction, &new).await?;
        let detail = json!({ "reason": request.reason, "items": items.len() });
        record(transaction, (actor, "compensation.request"), id, detail).await?;
        full(transaction, id).await
    }

    /// The same in a transaction of its own.
    pub async fn request(&self, actor: &str, request: &NewCompensation) -> Result<Full, Error> {
        let mut connection = self.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        let requested = self.request_within(&transaction, actor, request).await?;
        transaction.commit().await.map_err(store::Error::from)?;
        Ok(requested)
    }

    /// What is wrong with items, by what is stored: whom nothing can be owed.
    async fn judge_items(
        &self,
        transaction: &Prepared<'_>,
        current: &Current,
        request: &NewCompensation,
        sides: &[Side],
    ) -> Result<Vec<Fault>, Error> {
        let users: Vec<(&CampaignId, &str)> =
            request.items.iter().map(|item| (&current.id, item.invitee.as_str())).collect();
        let bindings = rows::bindings(transaction, &users).await?;
        let mut faults = Vec::new();
        let items = request.items.iter().zip(sides).zip(bindings).enumerate();
        for (place, ((item, side), bound)) in items {
            let mut fault = |field: &str, detail: String| {
                let pointer = format!("/items/{place}/{field}");
                faults.push(Fault::new(pointer, Reason::OutOfRange, detail));
            };
            let Some(bound) = bound else {
                let detail = "is bound to nobody in this campaign, so that nothing can be owed";
                fault("invitee", detail.to_owned());
                continue;
            };
            let said = self.pinned.get(transaction, &current.id, bound.version).await?;
            let version = bound.version;
            if !said.rewards.contains_key(&item.kind) {
                let known: Vec<&str> = said.rewards.keys().map(String::as_str).collect();
                let detail = format!(
                    "earns nothing in version {version}, under which the invitee was bound; it has: {}",
                    known.join(", ")
                );
                fault("kind", detail);
            } else if said.earned(&item.kind, *side).is_none() {
                let detail = format!(
                    "earns nothing for this kind in version {version}, under which the invitee was bound"
                );
                fault("side", detail);
            }
        }
        faults.truncate(MOST_FAULTS);
        Ok(faults)
    }

    /// A page of compensations, newest first.
    pub async fn list(&self, filter: &Filter, limit: u32) -> Result<Page, Error> {
        let mut connection = self.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        // One more than asked for tells whether there is another page.
        let more = limit.saturating_add(1);
        let mut found = compensations::list(&transaction, filter, more).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let is_last = found.len() <= limit;
        found.truncate(limit);
        let next = found.last().filter(|_| !is_last).map(|last| last.id);
        Ok(Page { compensations: found, next })
    }

    /// The compensation with this number.
    pub async fn get(&self, id: i64) -> Result<Full, Error> {
        let mut connection = self.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        full(&transaction, id).await
    }

    /// Approves what somebody else asked for, and does all of it. Approved again, it is answered again. What a
    /// case decides on is left to that.
    pub async fn approve(&self, actor: &str, id: i64, reason: &str) -> Result<Full, Error> {
        self.has_no_case(id).await?;
        self.approve_case(actor, id, reason).await
    }

    /// The same for what a case has decided.
    pub async fn approve_case(&self, actor: &str, id: i64, reason: &str) -> Result<Full, Error> {
        judge_reason(reason).map_err(|fault| Error::Invalid(vec![fault]))?;
        // Neither its campaign nor its items ever change, so this may be read before there is a lock.
        let Full { stored: Stored { campaign, requested_by, .. }, items } = self.get(id).await?;
        if requested_by == actor {
            return Err(Error::OwnRequest);
        }
        let users = items.iter().map(|item| LockKey::user(&campaign, &item.invitee));
        let first = users.clone().min().unwrap_or_else(|| LockKey::user(&campaign, ""));
        let _one = self.executing.lock().await;
        let _turn = self.store.turns().next(first).await?;
        let mut connection = self.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        if let Some(decided) = decided(&transaction, id, State::Executed).await? {
            return Ok(decided);
        }
        user_locks::take(&transaction, users).await?;
        let by = (actor, reason);
        let done = self.execution.run(&transaction, &campaign, &items, by).await?;
        let outcomes: Vec<(i32, &str, i64)> =
            done.outcomes.iter().map(|(number, it, id)| (*number, it.name(), *id)).collect();
        compensations::record_outcomes(&transaction, id, &outcomes).await?;
        compensations::decide(&transaction, id, State::Executed, by).await?;
        let detail = json!({ "reason": reason, "outcomes": done.counted(), "lifted": done.lifted });
        record(&transaction, (actor, "compensation.approve"), id, detail).await?;
        let executed = full(&transaction, id).await?;
        transaction.commit().await.map_err(store::Error::from)?;
        self.execution.count(&done);
        Ok(executed)
    }

    async fn has_no_case(&self, id: i64) -> Result<(), Error> {
        let mut connection = self.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        let subject = SubjectRef { subject: Subject::Compensation, key: id.to_string() };
        match review::open_case_of(&transaction, &subject).await? {
            None => Ok(()),
            Some(case) => Err(Error::UnderReview(case)),
        }
    }

    /// Rejects what was asked for, or takes it back. Rejected again, it is answered again. What a case decides
    /// on is left to that.
    pub async fn reject(&self, actor: &str, id: i64, reason: &str) -> Result<Full, Error> {
        self.has_no_case(id).await?;
        self.reject_case(actor, id, reason).await
    }

    /// The same for what a case has decided.
    pub async fn reject_case(&self, actor: &str, id: i64, reason: &str) -> Result<Full, Error> {
        judge_reason(reason).map_err(|fault| Error::Invalid(vec![fault]))?;
        let mut connection = self.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        if let Some(decided) = decided(&transaction, id, State::Rejected).await? {
            return Ok(decided);
        }
        compensations::decide(&transaction, id, State::Rejected, (actor, reason)).await?;
        let detail = json!({ "reason": reason });
        record(&transaction, (actor, "compensation.reject"), id, detail).await?;
        let rejected = full(&transaction, id).await?;
        transaction.commit().await.map_err(store::Error::from)?;
        Ok(rejected)
    }
}

/// Locks a compensation: `None`, if nobody has decided on it; the whole of it, if this was decided already.
async fn decided(
    transaction: &Prepared<'_>,
    id: i64,
    wanted: State,
) -> Result<Option<Full>, Error> {
    let stored = compensations::lock(transaction, id).await?.ok_or(Error::NotFound(id))?;
    match stored.decided {
        None => Ok(None),
        Some(_) if stored.state == wanted => full(transaction, id).await.map(Some),
        Some(decided) => Err(Error::Decided(stored.state, decided.by)),
    }
}

async fn full(transaction: &Prepared<'_>, id: i64) -> Result<Full, Error> {
    let stored = compensations::find(transaction, id).await?.ok_or(Error::NotFound(id))?;
    Ok(Full { stored, items: compensations::items(transaction, id).await? })
}

async fn record(
    transaction: &Prepared<'_>,
    (actor, action): (&str, &'static str),
    id: i64,
    detail: Value,
) -> Result<(), store::Error> {
    let subject = &format!("compensation:{id}");
    audit::record(transaction, &audit::Entry { actor, action, subject, detail }).await
}
