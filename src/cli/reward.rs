//! `waypost reward`

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::context::{Context, actor};
use super::fields::{self, say_fields, say_json};
use super::{Error, say};
use crate::api::rewards::{RewardChainView, RewardView, UserChainView};
use crate::campaign::{BadId, CampaignId};
use crate::reward::desk::service::{self, Desk};
use crate::reward::desk::{Act, Outcome};
use crate::reward::explain::Finding;
use crate::reward::explain::chain::{EntryLink, StepLink, TaskLink};
use crate::reward::explain::service as explain;
use crate::reward::machine::State;
use crate::reward::services::Services;
use crate::store::rewards::desk::list::Filter;

mod compensate;

/// Find rewards, have them explained, and decide on them.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List rewards, newest first
    List(List),
    /// List the rewards that stopped, with the reason
    ParkList {
        /// Only those of this campaign
        #[arg(long)]
        campaign: Option<String>,
        /// Print JSON, a line for each
        #[arg(long)]
        json: bool,
    },
    /// Show a reward
    Show {
        /// Its number
        id: i64,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say why a reward stands where it stands, or why a user has, or has not, earned something
    Explain(Explain),
    /// Grant a reward that was held
    Approve(Decide),
    /// Refuse a reward that was held
    Deny(Decide),
    /// Send a parked reward on from where it stopped
    Replay {
        #[command(flatten)]
        decide: Decide,
        /// What became of the operation: `ask` the payment service, or vouch for `not_applied` or `applied`
        #[arg(long, default_value = "ask")]
        outcome: String,
    },
    /// Take a reward back, by another entry in the books
    Reverse(Decide),
    /// Grant by hand what was owed: one asks, another approves
    Compensate(compensate::Compensate),
}

/// Which rewards are listed.
#[derive(Debug, Args)]
pub(crate) struct List {
    /// Only those of this campaign
    #[arg(long)]
    campaign: Option<String>,
    /// Only those in this state, such as REVIEW
    #[arg(long)]
    state: Option<String>,
    /// Only those that this user gets
    #[arg(long, requires = "campaign")]
    user: Option<String>,
    /// Only those for this invitee's binding
    #[arg(long, requires = "campaign")]
    invitee: Option<String>,
    /// Only those for this kind of trigger
    #[arg(long)]
    kind: Option<String>,
    /// Print JSON, a line for each
    #[arg(long)]
    json: bool,
}

/// What is explained.
#[derive(Debug, Args)]
pub(crate) struct Explain {
    /// The number of the reward
    #[arg(required_unless_present = "user", conflicts_with_all = ["user", "campaign"])]
    id: Option<i64>,
    /// The campaign's name
    #[arg(long, requires = "user")]
    campaign: Option<String>,
    /// The name that your backend has for the user
    #[arg(long, requires = "campaign")]
    user: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// On what somebody decides.
#[derive(Debug, Args)]
pub(crate) struct Decide {
    /// The number of the reward
    id: i64,
    /// Why, in a sentence for whoever asks later
    #[arg(long)]
    reason: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Rewards that are read at a time.
const PAGE: u32 = 1_000;

/// Runs one of them.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Error> {
    let services = context.rewards().await?;
    let desk = &services.desk;
    match command {
        Command::List(List { campaign, state, user, invitee, kind, json }) => {
            let state = state.as_deref().map(state_named).transpose()?;
            let campaign = campaign.as_deref().map(campaign_named).transpose()?;
            let filter = Filter { campaign, state, user, invitee, kind, before: None };
            list(desk, filter, json).await
        }
        Command::ParkList { campaign, json } => {
            let campaign = campaign.as_deref().map(campaign_named).transpose()?;
            let state = Some(State::Parked);
            list(desk, Filter { campaign, state, ..Filter::default() }, json).await
        }
        Command::Show { id, json } => {
            let view = RewardView::new(desk.get(id).await.map_err(in_words)?);
            if json { say_json(&view) } else { say_fields(&view, "id") }
        }
        Command::Explain(which) => which.run(&services).await,
        Command::Approve(decide) => decide.run(desk, Act::Approve).await,
        Command::Deny(decide) => decide.run(desk, Act::Deny).await,
        Command::Reverse(decide) => decide.run(desk, Act::Reverse).await,
        Command::Replay { decide, outcome } => {
            let names = || Outcome::ALL.map(Outcome::name).join(", ");
            let known = Outcome::named(&outcome);
            let known = known.ok_or_else(|| refuse("--outcome must be one of: ", &names()))?;
            decide.run(desk, Act::Replay(known)).await
        }
        Command::Compensate(compensate) => compensate.run(&services.compensations).await,
    }
}

impl Decide {
    async fn run(self, desk: &Desk, act: Act) -> Result<(), Error> {
        let done = desk.act(&actor(), self.id, act, &self.reason).await.map_err(in_words)?;
        let view = RewardView::new(done);
        if self.json { say_json(&view) } else { say(&line(&view)) }
    }
}

impl Explain {
    async fn run(self, services: &Services) -> Result<(), Error> {
        let explainer = &services.explainer;
        if let (Some(campaign), Some(user)) = (self.campaign, self.user) {
            let chain = explainer.user(&campaign, &user).await.map_err(explain_in_words)?;
            let view = UserChainView::new(&campaign, &user, chain);
            return if self.json { say_json(&view) } else { say_user(&view) };
        }
        let chain = explainer.reward(self.id.unwrap_or_default()).await;
        let view = RewardChainView::new(chain.map_err(explain_in_words)?);
        if self.json { say_json(&view) } else { say_chain(&view) }
    }
}

async fn list(desk: &Desk, mut filter: Filter, json: bool) -> Result<(), Error> {
    loop {
        let page = desk.list(&filter, PAGE).await.map_err(in_words)?;
        for view in page.rewards.into_iter().map(RewardView::new) {
            say(&if json { json!(view).to_string() } else { line(&view) })?;
        }
        if page.next.is_none() {
            return Ok(());
        }
        filter.before = page.next;
    }
}

/// A reward on one line.
fn line(view: &RewardView) -> String {
    let parked = view.parked_in.map(|before| format!(" (was in {before})")).unwrap_or_default();
    let amount = view.amount_minor.map_or_else(
        || format!("up to {}", view.most_minor),
        |amount_minor| amount_minor.to_string(),
    );
    let reason = view.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    format!(
        "{}  {}{parked}  {amount} {}  {} for {} of {}  {}{reason}",
        view.id, view.state, view.currency, view.beneficiary, view.kind, view.invitee, view.code
    )
}

fn say_chain(view: &RewardChainView) -> Result<(), Error> {
    say(&line(&view.reward))?;
    say(&finding(&view.why))?;
    if let Some(click) = &view.click {
        let (at, device, browser) = (click.at, &click.device, &click.browser);
        say(&format!("  {at}  clicked  {device}, {browser}"))?;
    }
    if let Some(claim) = &view.claim {
        say(&format!("  {}  claimed  {} by {}", claim.claimed_at, claim.claim, claim.source))?;
    }
    for decision in view.decisions.iter().rev() {
        let reason = decision.reason.as_deref().unwrap_or("nothing stood against it");
        let (at, outcome) = (decision.decided_at, &decision.outcome);
        say(&format!("  {at}  binding {outcome}  {reason}{}", checks(&decision.checks)))?;
    }
    if let Some(trigger) = &view.trigger {
        let (at, kind, source) = (trigger.occurred_at, &trigger.kind, &trigger.source);
        say(&format!("  {at}  reached {kind}  told by {source} as {}", trigger.event_id))?;
    }
    view.log.iter().map(step).try_for_each(|line| say(&line))?;
    view.ledger.iter().map(entry).try_for_each(|line| say(&line))?;
    view.tasks.iter().map(task).try_for_each(|line| say(&line))
}

fn say_user(view: &UserChainView) -> Result<(), Error> {
    let code = view.code.as_deref().unwrap_or("no code");
    say(&format!("{} in {}: {code}", view.user, view.campaign))?;
    view.why.iter().map(finding).try_for_each(|line| say(&line))?;
    view.rewards.iter().map(line).try_for_each(|line| say(&format!("  {line}")))
}

/// What each check said.
fn checks(checks: &Value) -> String {
    let text = |check: &Value, field: &str| {
        check.get(field).and_then(Value::as_str).unwrap_or_default().to_owned()
    };
    let checks = checks.as_array().into_iter().flatten();
    let said = checks.map(|it| format!("{} {}", text(it, "check"), text(it, "said")));
    let said = said.collect::<Vec<String>>().join(", ");
    if said.is_empty() { said } else { format!("; {said}") }
}

fn finding(it: &Finding) -> String {
    let about = [
        it.invitee.as_deref().map(|invitee| format!("invitee {invitee}")),
        it.kind.clone(),
        it.side.map(|side| format!("side {side}")),
        it.reward.map(|reward| format!("reward {reward}")),
    ];
    let about = about.into_iter().flatten().collect::<Vec<String>>().join(", ");
    let about = if about.is_empty() { about } else { format!(" ({about})") };
    let reason = it.reason.as_ref().map(|reason| format!(" [{reason}]")).unwrap_or_default();
    format!("  {}{about}: {}{reason}", it.code, it.text)
}

fn step(it: &StepLink) -> String {
    let from = it.from.as_deref().unwrap_or("nothing");
    let reason = it.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let operation = it.operation_id.as_ref().map(|id| format!("  {id}")).unwrap_or_default();
    format!("  {}  {from} > {}  {} by {}{reason}{operation}", it.at, it.to, it.event, it.actor)
}

fn entry(it: &EntryLink) -> String {
    format!("  {}  {} {} > {}  step {}", it.at, it.amount_minor, it.debit, it.credit, it.version)
}

fn task(it: &TaskLink) -> String {
    let operation = it.operation_id.as_deref().unwrap_or("nobody is asked");
    let when = match (it.due_at, it.parked_at) {
        (Some(due_at), _) => format!("due {due_at}"),
        (None, Some(parked_at)) => format!("parked {parked_at}"),
        (None, None) => String::new(),
    };
    let sent = it.first_sent_at.map(|at| format!(", first sent {at}")).unwrap_or_default();
    format!("  {} {when}, {} attempts{sent}  {operation}", it.step, it.attempts)
}

fn campaign_named(text: &str) -> Result<CampaignId, Error> {
    text.parse().map_err(|bad: BadId| Error::Message(bad.to_string()))
}

fn state_named(name: &str) -> Result<State, Error> {
    let names = || State::ALL.map(State::name).join(", ");
    State::named(name).ok_or_else(|| refuse("--state must be one of: ", &names()))
}

fn refuse(what: &str, names: &str) -> Error {
    Error::Message(format!("{what}{names}"))
}

fn in_words(error: service::Error) -> Error {
    match error {
        service::Error::Invalid(faults) => fields::explain(faults, |_, _| None),
        service::Error::Store(error) => Error::Store(error),
        service::Error::NotFound(_)
        | service::Error::OtherState(..)
        | service::Error::UnderReview(_)
        | service::Error::BudgetExhausted { .. } => Error::Message(error.to_string()),
    }
}

fn explain_in_words(error: explain::Error) -> Error {
    match error {
        explain::Error::Store(error) => Error::Store(error),
        explain::Error::NoReward(_) | explain::Error::NoCampaign => {
            Error::Message(error.to_string())
        }
    }
}
