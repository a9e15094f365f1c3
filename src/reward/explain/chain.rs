//! The links of the chain from a click to the money, as they are stored and as they are shown. Pure.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A visit of the inviter's page. Visits are kept for as long as `clicks.retention_days` says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ClickLink)]
pub struct ClickLink {
    /// When.
    pub at: Timestamp,
    /// What it looked like: `person`, `bot`, `preview` or `prefetch`.
    pub kind: String,
    /// On what device.
    pub device: String,
    /// In what browser.
    pub browser: String,
    /// From which country, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub country: Option<String>,
    /// From which site, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referrer: Option<String>,
}

/// An app that handed a click token back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ClaimLink)]
pub struct ClaimLink {
    /// Its name.
    #[schema(format = "uuid")]
    pub claim: String,
    /// By which code.
    pub code: String,
    /// The version of the campaign that the page was made by.
    pub campaign_version: i32,
    /// When the link was opened.
    pub clicked_at: Timestamp,
    /// How the token came into the app.
    #[schema(example = "play_store")]
    pub source: String,
    /// When the installation began, by what the store said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub install_began_at: Option<Timestamp>,
    /// When the token was handed back.
    pub claimed_at: Timestamp,
}

/// What was decided when a binding was asked for.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = DecisionLink)]
pub struct DecisionLink {
    /// When.
    pub decided_at: Timestamp,
    /// `bound`, `held` or `refused`.
    #[schema(example = "bound")]
    pub outcome: String,
    /// What decided it, as in the table of reasons of bindings; absent: nothing stood against it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The code that was brought, if it could be one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// By the rules of which version of the campaign.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub campaign_version: Option<i32>,
    /// What each check said, in order.
    pub checks: Value,
}

/// Who was invited by whom.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = BindingLink)]
pub struct BindingLink {
    /// Who was invited.
    pub invitee: String,
    /// By whom.
    pub inviter: String,
    /// With which code.
    pub code: String,
    /// `bound`, or `held`: people look at it before anything is paid.
    #[schema(example = "bound")]
    pub state: String,
    /// The version of the campaign whose promise counts.
    pub campaign_version: i32,
    /// When.
    pub bound_at: Timestamp,
    /// The claim that led to it, if one did.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(format = "uuid")]
    pub claim: Option<String>,
}

/// What a backend told that a user reached.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = TriggerLink)]
pub struct TriggerLink {
    /// Its number.
    pub id: i64,
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

/// A step of a reward.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RewardStep)]
pub struct StepLink {
    /// The number of the step, from 1.
    pub version: i32,
    /// When.
    pub at: Timestamp,
    /// Where the reward stood; absent: it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// What happened.
    #[schema(example = "approve")]
    pub event: String,
    /// Where that led.
    #[schema(example = "CREATE")]
    pub to: String,
    /// Why: a stable word, or the words of a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Who did it.
    pub actor: String,
    /// The operation that it was about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<String>,
    /// The lease under which it was done, if a worker did it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub epoch: Option<i32>,
    /// What the reward came to by then, in minor units.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_minor: Option<i64>,
}

/// An entry of the books.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = LedgerEntry)]
pub struct EntryLink {
    /// The number of the step that it belongs to.
    pub version: i32,
    /// From which account of the campaign.
    #[schema(example = "budget")]
    pub debit: String,
    /// To which.
    #[schema(example = "promised")]
    pub credit: String,
    /// How much, in minor units.
    pub amount_minor: i64,
    /// When.
    pub at: Timestamp,
}

/// Work that is to be done, or that stopped. The bytes of its request are nobody's business here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = RewardTask)]
pub struct TaskLink {
    /// What is to be done: `draw`, `allot`, `pay` or `remind`.
    #[schema(example = "pay")]
    pub step: String,
    /// When it may be taken up, or when the lease of whoever has it ends; absent: it is parked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
    /// When it was parked; absent: it is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parked_at: Option<Timestamp>,
    /// How often it was begun.
    pub attempts: i32,
    /// When its request may have been sent first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_sent_at: Option<Timestamp>,
    /// By which name the payment service knows it; absent: nobody is asked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operation_id: Option<String>,
}

/// How an invitee came to be bound.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Way {
    /// The visit of the inviter's page.
    pub click: Option<ClickLink>,
    /// The claim.
    pub claim: Option<ClaimLink>,
    /// What was decided, the latest first.
    pub decisions: Vec<DecisionLink>,
    /// The binding.
    pub binding: Option<BindingLink>,
}

/// What became of a reward.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// Every step.
    pub steps: Vec<StepLink>,
    /// Every entry of the books.
    pub entries: Vec<EntryLink>,
    /// What is to be done, or stopped.
    pub tasks: Vec<TaskLink>,
}
