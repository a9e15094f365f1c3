//! Scratching a card: `POST /v1/rewards/{id}/reveal`.

use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::query::Query;
use super::{Api, Call, Reply, body};
use crate::http::problem::{Kind, Problem};
use crate::reward::cards::service::Error;

/// Who scratches a card.
#[derive(Clone, Debug, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevealRequest {
    /// Its owner.
    #[schema(min_length = 1, max_length = 128)]
    pub user: String,
}

/// A card that was scratched.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = RevealedCard)]
pub struct RevealedView {
    /// Its number.
    pub id: i64,
    /// In which campaign.
    pub campaign: String,
    /// `revealed`: the money is on its way; or `paid`.
    pub state: &'static str,
    /// What it has come to, in minor units.
    pub amount_minor: i64,
    /// What that is in.
    #[schema(example = "IDR")]
    pub currency: String,
}

impl Api {
    pub(super) async fn reveal_card(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let RevealRequest { user } = body::decode(body::text(&call.body)?)?;
        // What is no number is the number of no card.
        let id: i64 = call.path.get("id").parse().map_err(|_bad| Error::NoCard)?;
        let revealed = self.cards.reveal(id, &user, &call.caller()?.actor).await?;
        let view = RevealedView {
            id: revealed.id,
            campaign: revealed.campaign.to_string(),
            state: revealed.shown.name(),
            amount_minor: revealed.amount_minor,
            currency: revealed.currency,
        };
        Ok(Reply::json(StatusCode::OK, &view))
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let words = error.to_string();
        match error {
            Error::NoCard => Self::new(Kind::NotFound, words),
            Error::Expired => Self::new(Kind::CardExpired, words),
            Error::NotReady(shown) => Self::new(Kind::CardNotReady, words).because(shown.name()),
            Error::Store(error) => error.into(),
        }
    }
}
