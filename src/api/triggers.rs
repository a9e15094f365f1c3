//! Triggers: `POST /v1/campaigns/{campaign}/triggers`.

use hyper::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::query::Query;
use super::{Api, Call, Reply, body};
use crate::http::problem::{Kind, Problem};
use crate::referral::requests::TriggerRequest;
use crate::referral::triggers::Error;

/// A trigger that is stored.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Trigger)]
pub struct TriggerView {
    /// Its number.
    pub id: i64,
    /// In which campaign.
    pub campaign: String,
    /// Who told it.
    pub source: String,
    /// The name of the event.
    pub event_id: String,
    /// What was reached.
    #[schema(example = "credit_granted")]
    pub kind: String,
    /// By whom.
    pub user: String,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When it was first told.
    pub received_at: Timestamp,
}

impl Api {
    pub(super) async fn take_trigger(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let request: TriggerRequest = body::decode(body::text(&call.body)?)?;
        let (campaign, actor) = (call.path.get("campaign"), &call.caller()?.actor);
        let taken = self.referrals.triggers.take(campaign, actor, &request).await?;
        let status = if taken.new { StatusCode::CREATED } else { StatusCode::OK };
        let view = TriggerView {
            id: taken.id,
            campaign: campaign.to_owned(),
            source: taken.source,
            event_id: request.event_id,
            kind: request.kind,
            user: request.user,
            occurred_at: taken.occurred_at,
            received_at: taken.received_at,
        };
        Ok(Reply::json(status, &view))
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let words = error.to_string();
        match error {
            Error::NoCampaign => Self::new(Kind::NotFound, words),
            Error::Invalid(faults) => Self::invalid_body(faults),
            Error::Differs => Self::new(Kind::EventDiffers, words),
            Error::Retired => Self::new(Kind::CampaignRetired, words),
            Error::Store(error) => (&*error).into(),
        }
    }
}
