//! What operators see of rewards, and do about them: `/v1/rewards`.

use hyper::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::cases::CaseView;
use super::query::{Query, refuse};
use super::{Api, Call, Reply, body};
use crate::campaign::{BadId, CampaignId};
use crate::http::problem::{Kind, Problem};
use crate::reward::desk::service::Error;
use crate::reward::desk::{Act, Decision, ReplayRequest};
use crate::reward::explain::chain::{
    BindingLink, ClaimLink, ClickLink, DecisionLink, EntryLink, StepLink, TaskLink, TriggerLink,
};
use crate::reward::explain::service::{self as explain, RewardChain, UserChain, standing};
use crate::reward::explain::{Code, Counted, Finding};
use crate::reward::machine::State;
use crate::store::rewards::desk::StoredReward;
use crate::store::rewards::desk::list::{Filter, Listed};

/// How many rewards a page has, if nobody says.
pub(super) const USUAL_REWARDS: u32 = 100;
/// How many it has at most.
pub(super) const MOST_REWARDS: u32 = 1_000;

/// A reward, as operators see it.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Reward)]
pub struct RewardView {
    /// Its number.
    pub id: i64,
    /// In which campaign.
    pub campaign: String,
    /// The version of the campaign whose promise it is.
    pub campaign_version: i32,
    /// Who was invited.
    pub invitee: String,
    /// By whom.
    pub inviter: String,
    /// For which kind of trigger.
    #[schema(example = "credit_granted")]
    pub kind: String,
    /// For whom of the two: `inviter` or `invitee`.
    #[schema(example = "inviter")]
    pub side: &'static str,
    /// Who gets it.
    pub beneficiary: String,
    /// The number of the trigger that it is owed for; absent: it was granted by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<i64>,
    /// What amounts are in: three letters of ISO 4217.
    #[schema(example = "IDR")]
    pub currency: String,
    /// The most that it can come to, in minor units.
    pub most_minor: i64,
    /// What it came to, in minor units; absent until it is drawn. Operators see it before its owner does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_minor: Option<i64>,
    /// Where it stands.
    #[schema(example = "NEW")]
    pub state: &'static str,
    /// Where it goes on, if it is parked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parked_in: Option<&'static str>,
    /// Why it stands there, as a stable word for programs.
    #[schema(example = "card-waits")]
    pub code: &'static str,
    /// Why the last step was taken: a stable word, or the words of a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who took the last step.
    pub actor: String,
    /// How many steps it has taken.
    pub version: i32,
    /// When it began.
    pub created_at: Timestamp,
    /// When it took its last step.
    pub changed_at: Timestamp,
    /// Its card; absent until it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card: Option<CardView>,
    /// How the amount was drawn; absent until it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub draw: Option<Value>,
}

/// The scratch card of a reward.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = RewardCard)]
pub struct CardView {
    /// When something is next to be done about it, as long as it waits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// When it expires, or would have expired.
    pub expires_at: Timestamp,
    /// How often its owner was reminded.
    pub reminders: i16,
}

impl RewardView {
    /// A reward as it is shown.
    pub fn new(reward: StoredReward) -> Self {
        let code = Code::of(reward.state, reward.reason.as_deref()).name();
        let card = reward.card_expires_at.map(|expires_at| CardView {
            due_at: reward.card_due_at.filter(|_| reward.state == State::New),
            expires_at,
            reminders: reward.reminders,
        });
        Self {
            id: reward.id,
            campaign: reward.campaign.to_string(),
            campaign_version: reward.campaign_version.0,
            invitee: reward.invitee,
            inviter: reward.inviter,
            kind: reward.kind,
            side: reward.side.name(),
            beneficiary: reward.beneficiary,
            trigger: reward.trigger_id,
            currency: reward.currency,
            most_minor: reward.most_minor,
            amount_minor: reward.amount_minor,
            state: reward.state.name(),
            parked_in: reward.parked_in.map(State::name),
            code,
            reason: reward.reason,
            actor: reward.actor,
            version: reward.version,
            created_at: reward.created_at,
            changed_at: reward.changed_at,
            card,
            draw: reward.draw,
        }
    }
}

/// Some rewards, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct RewardPage {
    /// The rewards. A page may have fewer than were asked for, and yet not be the last.
    pub rewards: Vec<RewardView>,
    /// Give it as `cursor` to have the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

impl RewardPage {
    /// A page as it is shown.
    pub fn new(listed: Listed) -> Self {
        Self {
            rewards: listed.rewards.into_iter().map(RewardView::new).collect(),
            next_cursor: listed.next.map(|id| id.to_string()),
        }
    }
}

/// The chain from the click to where a reward stands.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = RewardExplanation)]
pub struct RewardChainView {
    /// Why it stands where it stands.
    pub why: Finding,
    /// The reward.
    pub reward: RewardView,
    /// The visit of the inviter's page, if the binding came by a click that is still kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub click: Option<ClickLink>,
    /// The click that the app handed back, if the binding came by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimLink>,
    /// What was decided when a binding was asked for, the latest first.
    pub decisions: Vec<DecisionLink>,
    /// The binding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binding: Option<BindingLink>,
    /// What it is owed for; absent: it was granted by hand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<TriggerLink>,
    /// Every step that it took.
    pub log: Vec<StepLink>,
    /// Every entry in the books.
    pub ledger: Vec<EntryLink>,
    /// What is to be done, or stopped.
    pub tasks: Vec<TaskLink>,
    /// The latest case in which people decide, or decided, on it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub case: Option<CaseView>,
}

impl RewardChainView {
    /// A chain as it is shown.
    pub fn new(chain: RewardChain) -> Self {
        let RewardChain { reward, way, trigger, story, case } = chain;
        Self {
            why: Finding::of(&standing(&reward)),
            reward: RewardView::new(reward),
            click: way.click,
            claim: way.claim,
            decisions: way.decisions,
            binding: way.binding,
            trigger,
            log: story.steps,
            ledger: story.entries,
            tasks: story.tasks,
            case: case.map(CaseView::new),
        }
    }
}

/// Why a user has, or has not, earned something.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = UserExplanation)]
pub struct UserChainView {
    /// In which campaign.
    pub campaign: String,
    /// Who.
    pub user: String,
    /// Why the user has, or has not, earned something: as an inviter, by the user's own binding, and by
    /// each invitee.
    pub why: Vec<Finding>,
    /// The code that the user shares; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// The visit that led to the user's binding, if that came by a click that is still kept.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub click: Option<ClickLink>,
    /// The click that the app handed back, if the binding came by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim: Option<ClaimLink>,
    /// What was decided when a binding of the user was asked for, the latest first.
    pub decisions: Vec<DecisionLink>,
    /// Who invited the user; absent if nobody did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binding: Option<BindingLink>,
    /// The latest trigger of each kind that the user reached.
    pub triggers: Vec<TriggerLink>,
    /// How many rewards the user was granted as an inviter.
    pub tally: Counted,
    /// Whom the user invited; up to 100.
    pub invitees: Vec<BindingLink>,
    /// What the user gets, and what the user's own binding brought anybody, the latest first; up to 100.
    pub rewards: Vec<RewardView>,
}

impl UserChainView {
    /// A chain as it is shown.
    pub fn new(campaign: &str, user: &str, chain: UserChain) -> Self {
        let UserChain { findings, code, way, triggers, counted, invitees, rewards } = chain;
        Self {
            campaign: campaign.to_owned(),
            user: user.to_owned(),
            why: findings,
            code,
            click: way.click,
            claim: way.claim,
            decisions: way.decisions,
            binding: way.binding,
            triggers,
            tally: counted,
            invitees,
            rewards: rewards.into_iter().map(RewardView::new).collect(),
        }
    }
}

impl Api {
    pub(super) async fn list_rewards(&self, call: &Call) -> Result<Reply, Problem> {
        let known = ["campaign", "state", "user", "invitee", "kind", "cursor", "limit"];
        let query = Query::parse(call.raw_query(), &known)?;
        let limit = query.number("limit", 1..=MOST_REWARDS, USUAL_REWARDS)?;
        let filter = filter(&query)?;
        let listed = self.rewards.desk.list(&filter, limit).await?;
        Ok(Reply::json(StatusCode::OK, &RewardPage::new(listed)))
    }

    pub(super) async fn get_reward(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let reward = self.rewards.desk.get(call.number("reward")?).await?;
        Ok(Reply::json(StatusCode::OK, &RewardView::new(reward)))
    }

    pub(super) async fn explain_reward(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let chain = self.rewards.explainer.reward(call.number("reward")?).await?;
        Ok(Reply::json(StatusCode::OK, &RewardChainView::new(chain)))
    }

    pub(super) async fn explain_user(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let (campaign, user) = (call.path.get("campaign"), call.path.get("user"));
        let chain = self.rewards.explainer.user(campaign, user).await?;
        Ok(Reply::json(StatusCode::OK, &UserChainView::new(campaign, user, chain)))
    }

    /// Approves, denies or reverses.
    pub(super) async fn decide_on_reward(&self, call: &Call, act: Act) -> Result<Reply, Problem> {
        let id = call.number("reward")?;
        Query::parse(call.raw_query(), &[])?;
        let request: Decision = body::decode(body::text(&call.body)?)?;
        let done = self.rewards.desk.act(&call.caller()?.actor, id, act, &request.reason).await?;
        Ok(Reply::json(StatusCode::OK, &RewardView::new(done)))
    }

    pub(super) async fn replay_reward(&self, call: &Call) -> Result<Reply, Problem> {
        let id = call.number("reward")?;
        Query::parse(call.raw_query(), &[])?;
        let request: ReplayRequest = body::decode(body::text(&call.body)?)?;
        let act = request.judge().map_err(Problem::invalid_body)?;
        let done = self.rewards.desk.act(&call.caller()?.actor, id, act, &request.reason).await?;
        Ok(Reply::json(StatusCode::OK, &RewardView::new(done)))
    }
}

impl Call {
    /// The number in the path, of a `what`. What is no number is not there.
    pub(super) fn number(&self, what: &str) -> Result<i64, Problem> {
        self.path.get("id").parse().map_err(|_not_a_number| {
            Problem::new(Kind::NotFound, format!("the id of a {what} is a whole number"))
        })
    }
}

/// The campaign that a query names.
pub(super) fn campaign_of(query: &Query) -> Result<Option<CampaignId>, Problem> {
    let campaign = query.one("campaign")?.map(str::parse::<CampaignId>).transpose();
    campaign.map_err(|bad: BadId| refuse(format!("'campaign': {bad}")))
}

/// The number after which a page begins.
pub(super) fn cursor_of(query: &Query) -> Result<Option<i64>, Problem> {
    let before = query.one("cursor")?.map(str::parse).transpose();
    before.map_err(|_not_a_number| refuse("'cursor' must be the next_cursor of the page before"))
}

/// Which rewards a query asks for.
fn filter(query: &Query) -> Result<Filter, Problem> {
    let owned = |value: Option<&str>| value.map(str::to_owned);
    let campaign = campaign_of(query)?;
    let state = query.one("state")?.map(|name| {
        let names = || State::ALL.map(State::name).join(", ");
        State::named(name).ok_or_else(|| refuse(format!("'state' must be one of: {}", names())))
    });
    let (user, invitee) = (owned(query.one("user")?), owned(query.one("invitee")?));
    if campaign.is_none() && (user.is_some() || invitee.is_some()) {
        let detail = "'user' and 'invitee' are names within a campaign: give 'campaign' as well";
        return Err(refuse(detail));
    }
    let (state, before) = (state.transpose()?, cursor_of(query)?);
    Ok(Filter { campaign, state, user, invitee, kind: owned(query.one("kind")?), before })
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let words = error.to_string();
        match error {
            Error::NotFound(_) => Self::new(Kind::NotFound, words),
            Error::Invalid(faults) => Self::invalid_body(faults),
            Error::OtherState(state, _) => {
                Self::new(Kind::RewardInOtherState, words).because(state.name())
            }
            Error::UnderReview(_) => Self::new(Kind::UnderReview, words),
            Error::BudgetExhausted { .. } => Self::new(Kind::BudgetExhausted, words),
            Error::Store(error) => error.into(),
        }
    }
}

impl From<explain::Error> for Problem {
    fn from(error: explain::Error) -> Self {
        let words = error.to_string();
        match error {
            explain::Error::NoReward(_) | explain::Error::NoCampaign => {
                Self::new(Kind::NotFound, words)
            }
            explain::Error::Store(error) => error.into(),
        }
    }
}
