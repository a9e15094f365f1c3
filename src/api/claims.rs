//! Claims: `POST /v1/claims`.

use hyper::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::query::Query;
use super::{Api, Call, Reply, body};
use crate::http::problem::{Kind, Problem};
use crate::referral::claims::{Claimed, Error};
use crate::referral::requests::ClaimRequest;
use crate::referral::token::{TokenFault, click_name};

/// A click token that was handed back.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Claim)]
pub struct ClaimView {
    /// Its name: what a binding can be asked for with.
    #[schema(format = "uuid")]
    pub claim: String,
    /// In which campaign.
    pub campaign: String,
    /// The code of whoever shared the link.
    #[schema(example = "7KQ2MX")]
    pub code: String,
    /// What is shown of the inviter's name; absent if none is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inviter: Option<String>,
    /// Where in the app the link leads.
    #[schema(example = "/r/7KQ2MX")]
    pub deep_link_path: String,
    /// When the link was opened.
    pub clicked_at: Timestamp,
    /// When the token was first handed back.
    pub claimed_at: Timestamp,
}

impl ClaimView {
    /// A claim as it is shown.
    pub fn new(claimed: Claimed) -> Self {
        let Claimed { claim, deep_link_path, new: _ } = claimed;
        Self {
            claim: click_name(claim.click_id),
            campaign: claim.campaign.to_string(),
            code: claim.code.to_string(),
            inviter: claim.shown_name,
            deep_link_path,
            clicked_at: claim.clicked_at,
            claimed_at: claim.claimed_at,
        }
    }
}

impl Api {
    pub(super) async fn claim(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let request: ClaimRequest = body::decode(body::text(&call.body)?)?;
        let claimed = self.referrals.claims.claim(&request).await?;
        let status = if claimed.new { StatusCode::CREATED } else { StatusCode::OK };
        Ok(Reply::json(status, &ClaimView::new(claimed)))
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let kind = match error {
            Error::Invalid(faults) => return Self::invalid_body(faults),
            Error::Store(error) => return error.into(),
            // Our own clocks differ: in a moment it is good.
            Error::Token(TokenFault::FromTheFuture) => return Self::unavailable(&error),
            Error::Token(TokenFault::Missing) => Kind::TokenMissing,
            Error::Token(TokenFault::Malformed) => Kind::TokenMalformed,
            Error::Token(TokenFault::UnknownKey(_) | TokenFault::Forged) => Kind::TokenForged,
            Error::Token(TokenFault::Expired) => Kind::TokenExpired,
            Error::AnotherDomain { .. } => Kind::TokenOfAnotherDomain,
            Error::AnotherInstall => Kind::ClaimedByAnotherInstall,
        };
        Self::new(kind, error.to_string())
    }
}
