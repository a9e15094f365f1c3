//! Compensations: `/v1/compensations`.

use hyper::StatusCode;
use hyper::header::{HeaderValue, LOCATION};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::query::{Query, refuse};
use super::rewards::{MOST_REWARDS, USUAL_REWARDS, campaign_of, cursor_of};
use super::{Api, Call, Reply, body, once};
use crate::http::problem::{Kind, Problem};
use crate::review::case::SubjectRef;
use crate::review::command::{Act, Refusal};
use crate::review::flow::Subject;
use crate::review::request::{Wanted, judge_text};
use crate::review::service as review;
use crate::reward::compensations::service::{Error, Full, Page};
use crate::reward::compensations::{NewCompensation, State};
use crate::reward::desk::Decision;
use crate::store::rewards::compensations::{Filter, Stored, StoredItem};
use crate::store::{self, idempotency};

/// Something that is to be granted by hand.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Compensation)]
pub struct CompensationView {
    /// Its number.
    pub id: i64,
    /// In which campaign.
    pub campaign: String,
    /// Why it was asked for.
    pub reason: String,
    /// `requested`, `executed` or `rejected`.
    #[schema(example = "requested")]
    pub state: &'static str,
    /// Who asked for it.
    pub requested_by: String,
    /// When.
    pub requested_at: Timestamp,
    /// Who decided on it; absent: nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// When.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<Timestamp>,
    /// Why it was decided so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decision: Option<String>,
}

impl CompensationView {
    /// A compensation as it is shown.
    pub fn new(stored: Stored) -> Self {
        let decided = stored.decided;
        Self {
            id: stored.id,
            campaign: stored.campaign.to_string(),
            reason: stored.reason,
            state: stored.state.name(),
            requested_by: stored.requested_by,
            requested_at: stored.requested_at,
            decided_by: decided.as_ref().map(|it| it.by.clone()),
            decided_at: decided.as_ref().map(|it| it.at),
            decision: decided.map(|it| it.reason),
        }
    }
}

/// A compensation with its items.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = FullCompensation)]
pub struct FullCompensationView {
    /// The compensation.
    #[serde(flatten)]
    pub compensation: CompensationView,
    /// What is to be granted, in the order of the request.
    pub items: Vec<ItemView>,
}

impl FullCompensationView {
    /// A compensation as it is shown.
    pub fn new(full: Full) -> Self {
        let items = full.items.into_iter().map(ItemView::new).collect();
        Self { compensation: CompensationView::new(full.stored), items }
    }
}

/// One item of a compensation.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CompensationItem)]
pub struct ItemView {
    /// Whose binding it is owed for.
    pub invitee: String,
    /// For which kind of trigger.
    pub kind: String,
    /// For whom of the two.
    pub side: &'static str,
    /// What became of it; absent: nobody has approved it.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "granted")]
    pub outcome: Option<String>,
    /// The number of the reward that it is about, once that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reward: Option<i64>,
}

impl ItemView {
    fn new(item: StoredItem) -> Self {
        let StoredItem { invitee, kind, side, outcome, reward_id, number: _ } = item;
        Self { invitee, kind, side: side.name(), outcome, reward: reward_id }
    }
}

/// Some compensations, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct CompensationPage {
    /// The compensations, without their items.
    pub compensations: Vec<CompensationView>,
    /// Give it as `cursor` to have the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl Api {
    pub(super) async fn request_compensation(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let request: NewCompensation = body::decode(body::text(&call.body)?)?;
        let actor = &call.caller()?.actor;
        let name = once::name(call)?;
        let compensations = &self.rewards.compensations;
        let mut connection = compensations.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        if let Some(name) = &name
            && let Some(reply) = once::answered(&transaction, name).await?
        {
            return Ok(located(reply));
        }
        let requested = compensations.request_within(&transaction, actor, &request).await?;
        self.reviews.open_within(&transaction, &subject(requested.stored.id)).await?;
        let status = StatusCode::CREATED;
        let reply = Reply::json(status, &FullCompensationView::new(requested));
        if let Some(name) = &name {
            idempotency::keep(&transaction, name, status.as_u16(), &reply.body).await?;
        }
        transaction.commit().await.map_err(store::Error::from)?;
        Ok(located(reply))
    }

    pub(super) async fn list_compensations(&self, call: &Call) -> Result<Reply, Problem> {
        let query = Query::parse(call.raw_query(), &["campaign", "state", "cursor", "limit"])?;
        let limit = query.number("limit", 1..=MOST_REWARDS, USUAL_REWARDS)?;
        let state = query.one("state")?.map(|name| {
            let names = || State::ALL.map(State::name).join(", ");
            State::named(name).ok_or_else(|| refuse(format!("'state' must be one of: {}", names())))
        });
        let (campaign, before) = (campaign_of(&query)?, cursor_of(&query)?);
        let filter = Filter { campaign, state: state.transpose()?, before };
        let Page { compensations, next } = self.rewards.compensations.list(&filter, limit).await?;
        let page = CompensationPage {
            compensations: compensations.into_iter().map(CompensationView::new).collect(),
            next_cursor: next.map(|id| id.to_string()),
        };
        Ok(Reply::json(StatusCode::OK, &page))
    }

    pub(super) async fn get_compensation(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let found = self.rewards.compensations.get(call.number("compensation")?).await?;
        Ok(Reply::json(StatusCode::OK, &FullCompensationView::new(found)))
    }

    pub(super) async fn approve_compensation(&self, call: &Call) -> Result<Reply, Problem> {
        let (id, actor, reason) = deciding(call)?;
        let act = Act::Approve { note: reason.clone() };
        if let Some(done) = self.decide_by_case((actor, id), act, &reason).await? {
            return Ok(Reply::json(StatusCode::OK, &FullCompensationView::new(done)));
        }
        let done = self.rewards.compensations.approve(actor, id, &reason).await?;
        Ok(Reply::json(StatusCode::OK, &FullCompensationView::new(done)))
    }

    pub(super) async fn reject_compensation(&self, call: &Call) -> Result<Reply, Problem> {
        let (id, actor, reason) = deciding(call)?;
        let act = Act::Reject { reason: reason.clone() };
        if let Some(done) = self.decide_by_case((actor, id), act, &reason).await? {
            return Ok(Reply::json(StatusCode::OK, &FullCompensationView::new(done)));
        }
        let rejected = self.rewards.compensations.reject(actor, id, &reason).await?;
        Ok(Reply::json(StatusCode::OK, &FullCompensationView::new(rejected)))
    }

    /// Decides on a compensation by its open case, of which this is then one decision; the compensation as it
    /// is after that. `None`: it has no open case.
    async fn decide_by_case(
        &self,
        (actor, id): (&str, i64),
        act: Act,
        reason: &str,
    ) -> Result<Option<Full>, Problem> {
        judge_text("/reason", reason).map_err(|fault| Problem::invalid_body(vec![fault]))?;
        let Some(case) = self.reviews.open_case_of(&subject(id)).await? else { return Ok(None) };
        match self.reviews.act(actor, case, Wanted::Act(act), (None, false)).await {
            // Somebody else was faster, and it is answered as what was decided already.
            Ok(_) | Err(review::Error::Refused(Refusal::Closed(_))) => {}
            Err(review::Error::Refused(Refusal::InFlight)) => self.reviews.carry_out(case).await?,
            Err(error) => return Err(error.into()),
        }
        Ok(Some(self.rewards.compensations.get(id).await?))
    }
}

/// What a review calls a compensation.
fn subject(id: i64) -> SubjectRef {
    SubjectRef { subject: Subject::Compensation, key: id.to_string() }
}

/// On what somebody decides, who, and why.
fn deciding(call: &Call) -> Result<(i64, &str, String), Problem> {
    let id = call.number("compensation")?;
    Query::parse(call.raw_query(), &[])?;
    let Decision { reason } = body::decode(body::text(&call.body)?)?;
    Ok((id, &call.caller()?.actor, reason))
}

/// Adds where the compensation of a body is found, to the answer that made it.
fn located(reply: Reply) -> Reply {
    #[derive(Deserialize)]
    struct Place {
        id: i64,
    }
    let place = serde_json::from_slice::<Place>(&reply.body).ok();
    let place = place.map(|it| format!("/v1/compensations/{}", it.id));
    match place.and_then(|place| HeaderValue::try_from(place).ok()) {
        Some(location) => reply.with(LOCATION, location),
        None => reply,
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let words = error.to_string();
        match error {
            Error::NotFound(_) => Self::new(Kind::NotFound, words),
            Error::Invalid(faults) => Self::invalid_body(faults),
            Error::OwnRequest => Self::new(Kind::OwnRequest, words),
            Error::UnderReview(_) => Self::new(Kind::UnderReview, words),
            Error::Decided(state, _) => {
                Self::new(Kind::CompensationDecided, words).because(state.name())
            }
            Error::Store(error) => error.into(),
        }
    }
}
