//! What an app's campaign page shows of a user: `GET /v1/campaigns/{campaign}/users/{user}`, and whether
//! they want messages: `PUT /v1/campaigns/{campaign}/users/{user}/messages`.

use std::collections::BTreeMap;

use hyper::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::query::Query;
use super::{Api, Call, Reply, body};
use crate::http::problem::{Kind, Problem};
use crate::referral::users::{Error, UserCard};
use crate::store::bindings::page::UserCode;

/// All that an app's campaign page shows of a user.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = User)]
pub struct UserView {
    /// In which campaign.
    pub campaign: String,
    /// Whose page it is.
    pub user: String,
    /// The code that the user shares; absent if there is none yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "7KQ2MX")]
    pub code: Option<String>,
    /// What the user shares.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "uri")]
    pub share_url: Option<String>,
    /// All codes that lead to the user, the one that is shared first.
    pub codes: Vec<UserCodeView>,
    /// Whom the user was invited by; absent if by nobody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound: Option<InvitedByView>,
    /// Whom the user invited.
    pub invited: InvitedView,
    /// The user's scratch cards, the latest first; at most 100.
    pub cards: Vec<UserCardView>,
    /// Whether the user is reminded of cards that wait.
    pub messages: MessagesView,
}

/// A scratch card of a user.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = UserCard)]
pub struct UserCardView {
    /// Its number, to scratch it by.
    pub id: i64,
    /// For which kind of trigger it is.
    #[schema(example = "loan_disbursed")]
    pub kind: String,
    /// `inviter` or `invitee`: as which of the two the user gets it.
    pub side: &'static str,
    /// `preparing`, `hidden` (there to be scratched), `revealed`, `paid`, `no_prize`, `expired` or `withdrawn`.
    pub state: &'static str,
    /// When it expires; absent before it is there to be scratched.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// What it has come to, in minor units; only when it is `revealed` or `paid`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_minor: Option<i64>,
    /// What that is in.
    #[schema(example = "IDR")]
    pub currency: String,
    /// When the reward was granted.
    pub created_at: Timestamp,
}

/// Whether a user wants messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = Messages)]
pub struct MessagesView {
    /// Whether they may be sent.
    pub allowed: bool,
}

/// A code that leads to a user.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = UserCode)]
pub struct UserCodeView {
    /// The code.
    #[schema(example = "7KQ2MX")]
    pub code: String,
    /// Whether it is the one that the user shares.
    pub current: bool,
    /// Whether it is switched off.
    pub disabled: bool,
    /// How often people opened it; up to a second behind.
    pub opened: i64,
    /// When the user got it.
    pub created_at: Timestamp,
}

/// Who invited a user.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = InvitedBy)]
pub struct InvitedByView {
    /// What is shown of the inviter's name; absent if none is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub inviter: Option<String>,
    /// With which code.
    pub code: String,
    /// `bound`, or `held`: people look at it before anything is paid.
    pub state: &'static str,
    /// When they were bound.
    pub bound_at: Timestamp,
}

/// Whom a user invited, added up.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Invited)]
pub struct InvitedView {
    /// How often people opened one of the user's links; up to a second behind.
    pub opened: i64,
    /// How many signed up with the user's codes, and nothing stands against it.
    pub bound: i64,
    /// How many more did, and people look at it first.
    pub held: i64,
    /// How many of both reached each kind of trigger.
    pub reached: BTreeMap<String, i64>,
}

impl Api {
    pub(super) async fn get_user(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let (campaign, user) = (call.path.get("campaign"), call.path.get("user"));
        let page = self.referrals.users.page(campaign, user).await?;
        let (cards, allowed) = (page.cards, page.messages_allowed);
        let page = page.stored;
        let current = page.codes.iter().find(|it| it.code.current);
        let view = UserView {
            campaign: campaign.to_owned(),
            user: user.to_owned(),
            code: current.map(|it| it.code.code.to_string()),
            share_url: current.map(|it| self.codes.share_url(&it.code)),
            bound: page.bound.map(|binding| InvitedByView {
                inviter: binding.shown_name,
                code: binding.code,
                state: if binding.held { "held" } else { "bound" },
                bound_at: binding.bound_at,
            }),
            invited: InvitedView {
                opened: page.codes.iter().map(|it| it.opened).sum(),
                bound: page.invited.bound,
                held: page.invited.held,
                reached: page.invited.reached.into_iter().collect(),
            },
            codes: page.codes.into_iter().map(view_code).collect(),
            cards: cards.into_iter().map(view_card).collect(),
            messages: MessagesView { allowed },
        };
        Ok(Reply::json(StatusCode::OK, &view))
    }

    pub(super) async fn allow_messages(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let wanted: MessagesView = body::decode(body::text(&call.body)?)?;
        let who = (call.path.get("campaign"), call.path.get("user"));
        let actor = &call.caller()?.actor;
        self.referrals.users.allow_messages(who, wanted.allowed, actor).await?;
        Ok(Reply::json(StatusCode::OK, &wanted))
    }
}

fn view_card(card: UserCard) -> UserCardView {
    UserCardView {
        id: card.id,
        kind: card.kind,
        side: card.side.name(),
        state: card.shown.name(),
        expires_at: card.expires_at,
        amount_minor: card.amount_minor,
        currency: card.currency,
        created_at: card.created_at,
    }
}

fn view_code(UserCode { code, opened }: UserCode) -> UserCodeView {
    UserCodeView {
        code: code.code.to_string(),
        current: code.current,
        disabled: code.disabled,
        opened,
        created_at: code.created_at,
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let words = error.to_string();
        match error {
            Error::NoCampaign | Error::Invalid(_) => Self::new(Kind::NotFound, words),
            Error::Store(error) => error.into(),
        }
    }
}
