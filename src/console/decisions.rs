//! What people decide about one reward, by forms on its page. The desk does it, and says what is possible.

use maud::{Markup, html};

use super::form::Form;
use super::page::{Input, choice, errors, input};
use super::rewards::reward_id;
use super::{Console, Outcome, ROOT, Visit, nowhere};
use crate::fault::Fault;
use crate::http::auth::Scope;
use crate::http::problem::Problem;
use crate::reward::desk::service::Error;
use crate::reward::desk::{Act, Outcome as Became, ReplayRequest};
use crate::store::rewards::desk::StoredReward;

/// What can be decided: its name in the path, as a button, in a sentence, and what is done.
const ACTS: [(&str, &str, &str, Act); 4] = [
    (
        "approve",
        "Approve",
        "It is granted, beyond the cap if need be, within the budget.",
        Act::Approve,
    ),
    ("deny", "Deny", "It is refused. A compensation can still grant it.", Act::Deny),
    (
        "replay",
        "Send on",
        "It goes on where it stopped, under the same operation. What you say became of that is believed.",
        Act::Replay(Became::Ask),
    ),
    ("reverse", "Take back", "Its amount is taken back; this cannot be undone.", Act::Reverse),
];

/// The forms for all that can be decided about a reward just now; `came_back` is one that had faults.
pub(super) fn forms(
    visit: &Visit<'_>,
    reward: &StoredReward,
    (values, faults): (&Form, &[Fault]),
) -> Markup {
    let possible = ACTS.iter().filter(|(.., act)| act.fits(reward.state, reward.parked_in));
    let possible: Vec<_> = possible.collect();
    let came_back = values.text("act");
    html! {
        @if !possible.is_empty() {
            section {
                h2 { "Decide" }
                (errors(&renamed(faults, came_back)))
                div.cards {
                    @for (name, button, sentence, act) in possible {
                        @let is_it = *name == came_back;
                        @let field = reason_of(name);
                        @let none = Form::default();
                        @let given = none.with(&field, if is_it { values.text("reason") } else { "" })
                            .with("outcome", values.text("outcome"));
                        @let faults = renamed(if is_it { faults } else { &[] }, name);
                        form.card method="post" action={ (ROOT) "/rewards/" (reward.id) "/" (name) } {
                            h3 { (button) }
                            p { (sentence) }
                            (visit.token())
                            @if matches!(act, Act::Replay(_)) { (outcomes(&given, reward)) }
                            (input(&given, &faults, &Input {
                                name: &field,
                                label: "Reason",
                                hint: "A sentence for whoever asks later.",
                                kind: "text",
                                needed: true,
                            }))
                            @let class = matches!(act, Act::Deny | Act::Reverse).then_some("risky");
                            button class=[class] { (button) }
                        }
                    }
                }
            }
        }
    }
}

/// The name of the field for a reason: each form on the page has its own.
fn reason_of(act: &str) -> String {
    format!("reason-{act}")
}

/// Faults with the names of the fields on the page.
fn renamed(faults: &[Fault], act: &str) -> Vec<Fault> {
    let rename = |fault: &Fault| {
        let pointer = match fault.pointer.as_str() {
            "/reason" => format!("/{}", reason_of(act)),
            other => other.to_owned(),
        };
        Fault { pointer, ..fault.clone() }
    };
    faults.iter().map(rename).collect()
}

/// What became of the operation at which a reward stopped.
fn outcomes(values: &Form, reward: &StoredReward) -> Markup {
    let words = |became| match became {
        Became::Ask => "Not known: ask first",
        Became::NotApplied => "Not applied: send again",
        Became::Applied => "Applied: go on",
    };
    let fits = |it: &Became| Act::Replay(*it).fits(reward.state, reward.parked_in);
    let of = Became::ALL.into_iter().filter(fits).map(|it| (it.name(), words(it)));
    choice(values, ("outcome", "What became of the operation"), &of.collect::<Vec<_>>())
}

impl Console {
    /// Decides something about a reward.
    pub(super) async fn decide_on_reward(
        &self,
        visit: &Visit<'_>,
        id: &str,
        name: &str,
    ) -> Result<Outcome, Problem> {
        visit.need(&[Scope::Rewards])?;
        let id = reward_id(id)?;
        let (.., act) = ACTS.iter().find(|(known, ..)| *known == name).ok_or_else(nowhere)?;
        let reason = visit.form.text(&reason_of(name)).trim().to_owned();
        let values = visit.form.clone().with("reason", &reason).with("act", name);
        let act = match act {
            Act::Replay(_) => {
                let outcome = visit.form.given("outcome");
                let replay = ReplayRequest { reason: reason.clone(), outcome };
                match replay.judge() {
                    Ok(act) => act,
                    Err(faults) => return self.reward_page(visit, id, &values, &faults).await,
                }
            }
            Act::Approve | Act::Deny | Act::Reverse => *act,
        };
        match self.rewards.desk.act(visit.actor(), id, act, &reason).await {
            Ok(_) => Ok(Outcome::Goes(format!("{ROOT}/rewards/{id}?done={name}"))),
            Err(Error::Invalid(faults)) => self.reward_page(visit, id, &values, &faults).await,
            Err(error) => Err(error.into()),
        }
    }
}
