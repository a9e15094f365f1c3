//! Bindings: `POST /v1/campaigns/{campaign}/bindings`.

use hyper::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::query::Query;
use super::{Api, Call, Reply, body};
use crate::http::problem::{Kind, Problem};
use crate::referral::bindings::Error;
use crate::referral::requests::BindingRequest;
use crate::store::bindings::StoredBinding;

/// Who invited an invitee, for ever.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Binding)]
pub struct BindingView {
    /// In which campaign.
    pub campaign: String,
    /// Who was invited.
    pub invitee: String,
    /// What is shown of the inviter's name; absent if none is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inviter: Option<String>,
    /// With which of the inviter's codes.
    #[schema(example = "7KQ2MX")]
    pub code: String,
    /// `bound`, or `held`: people look at it before anything is paid.
    #[schema(example = "bound")]
    pub state: &'static str,
    /// When they were bound.
    pub bound_at: Timestamp,
}

impl BindingView {
    /// A binding as it is shown.
    pub fn new(campaign: String, binding: StoredBinding) -> Self {
        Self {
            campaign,
            invitee: binding.invitee,
            inviter: binding.shown_name,
            code: binding.code,
            state: if binding.held { "held" } else { "bound" },
            bound_at: binding.bound_at,
        }
    }
}

impl Api {
    pub(super) async fn bind(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let request: BindingRequest = body::decode(body::text(&call.body)?)?;
        let campaign = call.path.get("campaign");
        let bound = self.referrals.bindings.bind(campaign, &request).await?;
        let status = if bound.new { StatusCode::CREATED } else { StatusCode::OK };
        Ok(Reply::json(status, &BindingView::new(campaign.to_owned(), bound.binding)))
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let words = error.to_string();
        match error {
            Error::NoCampaign => Self::new(Kind::NotFound, words),
            Error::Invalid(faults) => Self::invalid_body(faults),
            Error::TooManyAttempts(wait) => Self::new(Kind::TooManyAttempts, words).after(wait),
            Error::AlreadyBound => Self::new(Kind::AlreadyBound, words),
            Error::Refused(reason) => Self::new(Kind::BindingRefused, words).because(reason.name()),
            Error::TryLater | Error::Busy => Self::unavailable(&error),
            Error::Store(error) => error.into(),
        }
    }
}
