//! `waypost campaign simulate`

use std::path::PathBuf;

use clap::Args;
use clap::builder::PossibleValuesParser;
use serde_json::json;

use super::{explain, id, in_words, lines, read};
use crate::api::simulation::{
    Asked, SimulatedCount, SimulatedReward, SimulatedSums, SimulationView,
};
use crate::campaign::service::{self, Draft};
use crate::campaign::{Campaign, CampaignId, Version};
use crate::cli::context::Context;
use crate::cli::fields::say_json;
use crate::cli::{Error, say};
use crate::reward::simulate::service::{self as simulation, COMMAND_LINE, Question, Simulator};
use crate::reward::simulate::{Draws, Judged};

/// Say what the past triggers of a campaign would have cost under another document.
#[derive(Debug, Args)]
pub(crate) struct Simulate {
    /// The campaign's name
    campaign: String,
    /// The document, `.toml` or `.json`
    #[arg(long, value_name = "FILE", required_unless_present = "version")]
    document: Option<PathBuf>,
    /// Take a version that is stored instead
    #[arg(long, value_name = "NUMBER", conflicts_with = "document")]
    version: Option<i32>,
    /// The first day (UTC) that counts, such as 2030-01-31
    #[arg(long, value_name = "DAY")]
    from: Option<String>,
    /// The first day (UTC) that does not belong to it any more
    #[arg(long, value_name = "DAY")]
    to: Option<String>,
    /// What draws that never happened count as in the budget: what they give on average, or the most
    #[arg(long, default_value = Draws::Expected.name(), value_parser = PossibleValuesParser::new(Draws::ALL.map(Draws::name)))]
    draws: String,
    /// Print each reward instead, a line of JSON for each
    #[arg(long, conflicts_with = "json")]
    rewards: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Simulate {
    /// Simulates, and says what came of it.
    pub(super) async fn run(self, context: &Context) -> Result<(), Error> {
        let campaign = &id(&self.campaign)?;
        let span =
            simulation::span(self.from.as_deref(), self.to.as_deref()).map_err(in_options)?;
        let said = self.said(context, campaign).await?;
        let draws = Draws::named(&self.draws).unwrap_or_default();
        let question = Question { campaign, said, draws, span, limits: COMMAND_LINE };
        let asked = Asked::of(&question);
        let mut failed = None;
        let mut tell = |judged: &Judged<'_>| {
            if self.rewards && failed.is_none() {
                failed = say(&json!(SimulatedReward::new(judged)).to_string()).err();
            }
        };
        let simulator = Simulator::new(context.store.clone());
        let report = simulator.simulate(question, &mut tell).await.map_err(in_options)?;
        let view = SimulationView::new(asked, report);
        match (failed, self.rewards, self.json) {
            (Some(error), _, _) => Err(error),
            (None, true, _) => Ok(()),
            (None, false, true) => say_json(&view),
            (None, false, false) => say(&table(&view)),
        }
    }

    async fn said(&self, context: &Context, campaign: &CampaignId) -> Result<Campaign, Error> {
        let campaigns = context.campaigns();
        let Some(path) = &self.document else {
            let version = Version(self.version.unwrap_or_default());
            return campaigns.suppose_version(campaign, version).await.map_err(in_words);
        };
        let (text, format) = read(path)?;
        let file = path.display().to_string();
        let said = campaigns.suppose(Draft { campaign, text: &text, format }).await;
        said.map_err(|error| match error {
            service::Error::Invalid(faults) => {
                Error::Message(format!("nothing was simulated:\n{}", lines(&file, &faults)))
            }
            service::Error::StoredInvalid { .. }
            | service::Error::NotFound(_)
            | service::Error::NoVersion(..)
            | service::Error::NotActive(_)
            | service::Error::Steered(_)
            | service::Error::Store(_) => explain(&error, &file),
        })
    }
}

/// Says what is wrong in the words of the command line.
fn in_options(error: simulation::Error) -> Error {
    match error {
        simulation::Error::Refused { parameter, detail } => {
            Error::Message(format!("--{parameter} {detail}"))
        }
        simulation::Error::Store(error) => error.into(),
        simulation::Error::TooMany { .. }
        | simulation::Error::TooSlow { .. }
        | simulation::Error::Busy => Error::Message(error.to_string()),
    }
}

fn table(view: &SimulationView) -> String {
    let mut lines = Vec::new();
    heading(view, &mut lines);
    let width = view.rewards.iter().map(|it| it.kind.len()).max().unwrap_or(0).max(10) + 9;
    let column = |name: &str, sums: &SimulatedSums| {
        format!(
            "{name:width$}  {:>9}  {:>9}  {:>9}  {:>9}  {:>15}  {:>15}  {:>15}",
            sums.granted,
            sums.no_prize,
            sums.in_review,
            sums.refused,
            sums.least_minor,
            sums.expected_minor,
            sums.most_minor,
        )
    };
    lines.push(String::new());
    lines.push(format!(
        "{:width$}  {:>9}  {:>9}  {:>9}  {:>9}  {:>15}  {:>15}  {:>15}",
        "", "granted", "no prize", "in review", "refused", "least", "expected", "most"
    ));
    for it in &view.rewards {
        lines.push(column(&format!("{} {}", it.kind, it.side), &it.sums));
    }
    lines.extend(view.days.iter().map(|it| column(&it.day.to_string(), &it.sums)));
    lines.push(column("all", &view.all));
    lines.push(String::new());
    notes(view, &mut lines);
    lines.join("\n")
}

/// What was replayed.
fn heading(view: &SimulationView, lines: &mut Vec<String>) {
    let SimulationView { campaign, currency, bindings, triggers, .. } = view;
    lines.push(format!(
        "{campaign}: {currency}, in minor units; a budget of {}, a cap of {}",
        view.budget_minor, view.rewards_per_inviter
    ));
    if view.from.is_some() || view.to.is_some() {
        let from = view.from.map_or_else(|| "the beginning".to_owned(), |it| it.to_string());
        let to = view.to.map_or_else(|| "now".to_owned(), |it| it.to_string());
        lines.push(format!("from {from} to {to}"));
    }
    lines.push(format!(
        "bindings: {}, of which {} bound, held: {}, refused: {}",
        bindings.replayed,
        bindings.bound,
        named(&bindings.held),
        named(&bindings.refused)
    ));
    lines.push(format!(
        "triggers: {}, of which {} earn something, {} repeat what was reached, {} earn nothing, {} came before \
         the start; besides, {} of users who are bound to nobody",
        triggers.replayed,
        triggers.earning,
        triggers.repeated,
        triggers.earning_nothing,
        triggers.before_start,
        triggers.without_binding
    ));
}

/// What stopped rewards, and how sure all of it is.
fn notes(view: &SimulationView, lines: &mut Vec<String>) {
    let SimulationView { all, bindings, .. } = view;
    lines.push(format!(
        "in review: {} over the cap, {} over the budget, {} of held bindings; up to {} together",
        all.over_cap, all.over_budget, all.held, all.in_review_up_to_minor
    ));
    if let Some(at) = view.budget_ended_at {
        lines.push(format!("the budget did not suffice for the first time at {at}"));
    }
    if all.drawn > 0 {
        lines.push(format!("{} amounts are those that were really drawn", all.drawn));
    }
    if all.from_tables > 0 {
        let counted = format!("draws of {} rewards never happened", all.from_tables);
        lines.push(format!("{counted}; in the budget they count as '{}'", view.draws));
    }
    if all.asked > 0 {
        let (asked, most) = (all.asked, all.payment_service_up_to_minor);
        lines.push(format!(
            "the payment service would draw {asked} rewards, up to {most}: that is in 'expected' and 'most'"
        ));
    }
    if !bindings.checks_not_replayed.is_empty() {
        lines.push(format!(
            "not replayed, as nothing was stored to go by, in so many bindings: {}",
            named(&bindings.checks_not_replayed)
        ));
    }
    if !bindings.refused_then.is_empty() {
        lines.push(format!(
            "not replayed, as they were refused then and never bound, so many users: {}",
            named(&bindings.refused_then)
        ));
    }
    lines.push("not replayed: what people decided, and cards that expired".to_owned());
}

fn named(counts: &[SimulatedCount]) -> String {
    if counts.is_empty() {
        return "0".to_owned();
    }
    let each = counts.iter().map(|it| format!("{} {}", it.count, it.name));
    each.collect::<Vec<_>>().join(", ")
}
