//! What a campaign would have cost under another document: `POST /v1/campaigns/{campaign}/simulate` and
//! `POST /v1/campaigns/{campaign}/versions/{version}/simulate`.

use std::collections::BTreeMap;

use hyper::StatusCode;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use utoipa::ToSchema;

use super::query::{Query, refuse, wrong};
use super::{Api, Call, Reply, body};
use crate::campaign::Campaign;
use crate::campaign::service::Draft;
use crate::http::problem::{Kind, Problem};
use crate::reward::simulate::report::{Report, Sums};
use crate::reward::simulate::service::{API, Error, Question, span};
use crate::reward::simulate::{Amount, Draws, Judged, Outcome};

/// What a campaign would have cost. Amounts are in minor units of the currency.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Simulation)]
pub struct SimulationView {
    /// Which campaign.
    pub campaign: String,
    /// What amounts are in: three letters of ISO 4217.
    pub currency: String,
    /// All that may be promised by the document, in minor units.
    pub budget_minor: i64,
    /// How many rewards the document allows an inviter.
    pub rewards_per_inviter: u32,
    /// The first moment that counts; absent: the beginning.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Timestamp>,
    /// The first moment after it; absent: now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// What draws that never happened count as in the budget: `expected` or `most`.
    #[schema(example = "expected")]
    pub draws: &'static str,
    /// When the budget did not suffice for the first time; absent if it always did.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget_ended_at: Option<Timestamp>,
    /// What became of the bindings.
    pub bindings: SimulatedBindings,
    /// What became of the triggers.
    pub triggers: SimulatedTriggers,
    /// All rewards. `most_minor` is not more than the budget here: a campaign never promises more.
    pub all: SimulatedSums,
    /// The rewards by kind and side, each that the document has.
    pub rewards: Vec<SimulatedRewards>,
    /// The rewards by the day of UTC, each on which something was owed.
    pub days: Vec<SimulatedDay>,
}

/// How often something was so, for one reason or one check.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SimulatedCount {
    /// The reason or the check.
    #[schema(example = "device-already-used")]
    pub name: String,
    /// How often.
    pub count: u64,
}

/// What became of the bindings.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SimulatedBindings {
    /// All that were made.
    pub replayed: u64,
    /// Those that the document's checks let pass.
    pub bound: u64,
    /// Those that they hold, by the reason.
    pub held: Vec<SimulatedCount>,
    /// Those that they refuse, by the reason.
    pub refused: Vec<SimulatedCount>,
    /// For how many bindings a check had nothing to go by, and let them pass: it was not made then, or not in this
    /// way.
    pub checks_not_replayed: Vec<SimulatedCount>,
    /// Users whom the checks of then refused, and who were never bound: whether the document would have bound
    /// them is not known.
    pub refused_then: Vec<SimulatedCount>,
}

/// What became of the triggers.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct SimulatedTriggers {
    /// Those of users who are bound.
    pub replayed: u64,
    /// Those for which something is owed, if the binding is not refused.
    pub earning: u64,
    /// Those of a kind that the user had reached before.
    pub repeated: u64,
    /// Those of a kind for which the document gives nothing.
    pub earning_nothing: u64,
    /// Those of what happened before `starts_at` of the document.
    pub before_start: u64,
    /// Those of users who are bound to nobody: they are not replayed.
    pub without_binding: u64,
}

/// What rewards add up to.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct SimulatedSums {
    /// How many are granted.
    pub granted: u64,
    /// Of these, how many give nothing: on average, where it is not known.
    pub no_prize: u64,
    /// What those that are granted come to at least, in minor units.
    pub least_minor: i64,
    /// What they come to on average, in minor units. What the payment service would draw counts in full.
    pub expected_minor: i64,
    /// What they come to at most, in minor units.
    pub most_minor: i64,
    /// Of `most_minor`, what the payment service would be asked for: it draws up to that, in minor units.
    pub payment_service_up_to_minor: i64,
    /// Of those that are granted, how many were really drawn, under the same promise: their amounts are exact.
    pub drawn: u64,
    /// Of those that are granted, how many would be drawn from a table of prizes.
    pub from_tables: u64,
    /// For how many the payment service would be asked.
    pub asked: u64,
    /// How many people would have to look at: the next three together.
    pub in_review: u64,
    /// Stopped by the cap of an inviter.
    pub over_cap: u64,
    /// Stopped by the budget.
    pub over_budget: u64,
    /// Stopped because their binding is held.
    pub held: u64,
    /// The most that those in review can come to, in minor units.
    pub in_review_up_to_minor: i64,
    /// Not owed at all, because the checks refuse the binding.
    pub refused: u64,
}

/// The rewards of one kind and side.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SimulatedRewards {
    /// The kind of trigger.
    pub kind: String,
    /// `inviter` or `invitee`.
    pub side: &'static str,
    /// What they add up to.
    #[serde(flatten)]
    pub sums: SimulatedSums,
}

/// The rewards of one day.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct SimulatedDay {
    /// The day, in UTC.
    #[schema(value_type = String, format = "date")]
    pub day: Date,
    /// What they add up to.
    #[serde(flatten)]
    pub sums: SimulatedSums,
}

/// One reward, as it would have been.
#[derive(Clone, Debug, Serialize)]
pub struct SimulatedReward<'a> {
    /// When it would have been granted.
    pub at: Timestamp,
    /// The number of the trigger.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<i64>,
    /// Whose binding.
    pub invitee: &'a str,
    /// For which kind of trigger.
    pub kind: &'a str,
    /// For whom of the two.
    pub side: &'static str,
    /// Who would get it.
    pub beneficiary: &'a str,
    /// `granted`, `review` or `refused`.
    pub outcome: &'static str,
    /// Why people look at it, or why there is no binding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// What it comes to, in minor units, where that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub amount_minor: Option<i64>,
    /// What it comes to at most, in minor units, where it is granted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most_minor: Option<i64>,
}

impl<'a> SimulatedReward<'a> {
    /// A reward as it is shown.
    pub fn new(judged: &Judged<'a>) -> Self {
        let Judged { owed, at, outcome } = *judged;
        let (outcome, reason, amounts) = match outcome {
            Outcome::Granted(amount) => ("granted", None, Some(amount)),
            Outcome::Review(reason) => ("review", Some(reason), None),
            Outcome::Refused(reason) => ("refused", Some(reason.name()), None),
        };
        let (amount_minor, most_minor) = match amounts {
            Some(Amount::Fixed(minor) | Amount::Drawn(minor)) => (Some(minor), Some(minor)),
            Some(Amount::Table { most, .. } | Amount::UpTo(most)) => (None, Some(most)),
            None => (None, None),
        };
        Self {
            at,
            trigger: owed.trigger_id,
            invitee: &owed.key.invitee,
            kind: &owed.key.kind,
            side: owed.key.side.name(),
            beneficiary: &owed.beneficiary,
            outcome,
            reason,
            amount_minor,
            most_minor,
        }
    }
}

impl SimulationView {
    /// A report as it is shown.
    pub fn new(asked: Asked, report: Report) -> Self {
        let Report { bindings, triggers, all, rewards, days, budget_ended_at } = report;
        let all = SimulatedSums::from(all);
        let most_minor = all.most_minor.min(asked.budget_minor);
        let rewards = rewards.into_iter().map(|((kind, side), sums)| SimulatedRewards {
            kind,
            side: side.name(),
            sums: sums.into(),
        });
        let days = days.into_iter().map(|(day, sums)| SimulatedDay { day, sums: sums.into() });
        Self {
            campaign: asked.campaign,
            currency: asked.currency,
            budget_minor: asked.budget_minor,
            rewards_per_inviter: asked.rewards_per_inviter,
            from: asked.from,
            to: asked.to,
            draws: asked.draws.name(),
            budget_ended_at,
            bindings: SimulatedBindings {
                replayed: bindings.replayed,
                bound: bindings.bound(),
                held: counts(bindings.held),
                refused: counts(bindings.refused),
                checks_not_replayed: counts(bindings.not_replayed),
                refused_then: counts(bindings.refused_then),
            },
            triggers: SimulatedTriggers {
                replayed: triggers.replayed,
                earning: triggers.earning,
                repeated: triggers.repeated,
                earning_nothing: triggers.earning_nothing,
                before_start: triggers.before_start,
                without_binding: triggers.without_binding,
            },
            all: SimulatedSums { most_minor, ..all },
            rewards: rewards.collect(),
            days: days.collect(),
        }
    }
}

/// What was asked for, as far as the answer repeats it.
#[derive(Clone, Debug)]
pub struct Asked {
    campaign: String,
    currency: String,
    budget_minor: i64,
    rewards_per_inviter: u32,
    from: Option<Timestamp>,
    to: Option<Timestamp>,
    draws: Draws,
}

impl Asked {
    /// Notes what a question is.
    pub fn of(question: &Question<'_>) -> Self {
        let Question { campaign, said, draws, span, limits: _ } = question;
        Self {
            campaign: campaign.to_string(),
            currency: said.currency.code().to_owned(),
            budget_minor: said.budget_minor,
            rewards_per_inviter: said.caps.rewards_per_inviter,
            from: span.from,
            to: span.to,
            draws: *draws,
        }
    }
}

fn counts<K: Into<String>>(counts: BTreeMap<K, u64>) -> Vec<SimulatedCount> {
    counts.into_iter().map(|(name, count)| SimulatedCount { name: name.into(), count }).collect()
}

impl From<Sums> for SimulatedSums {
    fn from(sums: Sums) -> Self {
        Self {
            granted: sums.granted,
            no_prize: sums.no_prize(),
            least_minor: sums.least_minor,
            expected_minor: sums.expected_minor(),
            most_minor: sums.most_minor,
            payment_service_up_to_minor: sums.asked_most_minor,
            drawn: sums.drawn,
            from_tables: sums.from_tables,
            asked: sums.asked,
            in_review: sums.in_review(),
            over_cap: sums.over_cap,
            over_budget: sums.over_budget,
            held: sums.held,
            in_review_up_to_minor: sums.review_most_minor,
            refused: sums.refused,
        }
    }
}

impl Api {
    pub(super) async fn simulate_document(&self, call: &Call) -> Result<Reply, Problem> {
        let campaign = &call.campaign()?;
        let format = body::document_format(&call.parts.headers)?;
        let draft = Draft { campaign, text: body::text(&call.body)?, format };
        let said = self.campaigns.suppose(draft).await?;
        self.simulate(call, said).await
    }

    pub(super) async fn simulate_version(&self, call: &Call) -> Result<Reply, Problem> {
        let said = self.campaigns.suppose_version(&call.campaign()?, call.version()?).await?;
        self.simulate(call, said).await
    }

    async fn simulate(&self, call: &Call, said: Campaign) -> Result<Reply, Problem> {
        let query = Query::parse(call.raw_query(), &["from", "to", "draws"])?;
        let usual = Draws::default();
        let draws = match query.one("draws")? {
            None => usual,
            Some(name) => Draws::named(name).ok_or_else(|| {
                let names = Draws::ALL.map(Draws::name).join(" or ");
                wrong("draws", format!("must be {names}"), name, usual.name())
            })?,
        };
        let span = span(query.one("from")?, query.one("to")?)?;
        let campaign = &call.campaign()?;
        let question = Question { campaign, said, draws, span, limits: API };
        let asked = Asked::of(&question);
        let report = self.simulator.simulate(question, &mut |_| {}).await?;
        Ok(Reply::json(StatusCode::OK, &SimulationView::new(asked, report)))
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused { .. } | Error::TooMany { .. } => refuse(error.to_string()),
            Error::TooSlow { .. } | Error::Busy => Self::new(Kind::Unavailable, error.to_string()),
            Error::Store(error) => error.into(),
        }
    }
}
