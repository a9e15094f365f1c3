//! What people do about a reward: they approve or deny one that waits for them, send a parked one on, take
//! one back. What is possible follows from [`machine::MOVES`](super::machine::MOVES). Pure, but for
//! [`service`].

use serde::Deserialize;
use utoipa::ToSchema;

use super::machine::{Event, State};
use crate::fault::{Fault, Reason};

pub mod service;

/// What happens to a reward by people alone.
pub const BY_HAND: [Event; 5] =
    [Event::Approve, Event::Deny, Event::Compensate, Event::Replay, Event::Reverse];

/// The longest reason that people give, in characters.
pub const LONGEST_REASON: usize = 500;

/// Something that a person does to a reward.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Grant what was held.
    Approve,
    /// Refuse what was held.
    Deny,
    /// Send on what was parked.
    Replay(Outcome),
    /// Take back.
    Reverse,
}

/// What became of the operation at which a reward was parked, as far as a person knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Nobody knows: the payment service is asked for it first.
    Ask,
    /// It was surely not applied: it is sent again, without asking.
    NotApplied,
    /// It was surely applied: the reward goes on as if that had been answered.
    Applied,
}

impl Act {
    /// What happens to the reward.
    pub fn event(self) -> Event {
        match self {
            Self::Approve => Event::Approve,
            Self::Deny => Event::Deny,
            Self::Replay(_) => Event::Replay,
            Self::Reverse => Event::Reverse,
        }
    }

    /// What the audit calls it.
    pub fn action(self) -> &'static str {
        match self {
            Self::Approve => "reward.approve",
            Self::Deny => "reward.deny",
            Self::Replay(_) => "reward.replay",
            Self::Reverse => "reward.reverse",
        }
    }

    /// With which outcome, for a replay.
    pub fn outcome(self) -> Option<Outcome> {
        match self {
            Self::Replay(outcome) => Some(outcome),
            Self::Approve | Self::Deny | Self::Reverse => None,
        }
    }

    /// Whether it can be done to a reward that stands here. An amount that nobody knows cannot have been
    /// drawn, so a draw is never vouched for.
    pub fn fits(self, state: State, parked_in: Option<State>) -> bool {
        let vouched_for_a_draw =
            self == Self::Replay(Outcome::Applied) && parked_in == Some(State::Create);
        state.after(self.event()).next().is_some() && !vouched_for_a_draw
    }
}

impl Outcome {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Ask, Self::NotApplied, Self::Applied];

    /// Its name, in the API and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ask => "ask",
            Self::NotApplied => "not_applied",
            Self::Applied => "applied",
        }
    }

    /// The outcome with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|outcome| outcome.name() == name)
    }
}

/// What people can do to a reward that stands here, for a refusal that says so.
pub fn possible(state: State, parked_in: Option<State>) -> String {
    let acts = BY_HAND.into_iter().filter(|event| state.after(*event).next().is_some());
    let names: Vec<&str> = acts
        .map(|event| match event {
            Event::Compensate => "grant it by a compensation",
            Event::Replay if parked_in == Some(State::Create) => {
                "replay it with the outcome ask or not_applied"
            }
            Event::Replay => "replay it with the outcome ask, not_applied or applied",
            Event::Approve
            | Event::Deny
            | Event::Reverse
            | Event::Grant
            | Event::Hold
            | Event::Draw
            | Event::Blank
            | Event::Allot
            | Event::Remind
            | Event::Reveal
            | Event::Expire
            | Event::Pay
            | Event::Park => event.name(),
        })
        .collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", or ") }
}

/// Why a person does something.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Decision {
    /// Why, in a sentence for whoever asks later.
    #[schema(min_length = 1, max_length = 500, example = "checked by phone")]
    pub reason: String,
}

/// A parked reward is to go on.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ReplayRequest {
    /// Why, in a sentence for whoever asks later.
    #[schema(min_length = 1, max_length = 500, example = "their outage is over")]
    pub reason: String,
    /// What became of the operation: `ask` the payment service (left out, this), `not_applied` or
    /// `applied`. The last two are believed.
    #[serde(default)]
    #[schema(value_type = Option<String>, example = "ask")]
    pub outcome: Option<String>,
}

impl ReplayRequest {
    /// What is to be done, and why.
    pub fn judge(&self) -> Result<Act, Vec<Fault>> {
        let mut faults: Vec<Fault> = judge_reason(&self.reason).err().into_iter().collect();
        let outcome = self.outcome.as_deref().map_or(Some(Outcome::Ask), Outcome::named);
        if outcome.is_none() {
            let names = Outcome::ALL.map(Outcome::name).join(", ");
            let detail = format!("must be one of: {names}; left out, it is ask");
            faults.push(Fault::new("/outcome", Reason::OutOfRange, detail));
        }
        match outcome {
            Some(outcome) if faults.is_empty() => Ok(Act::Replay(outcome)),
            Some(_) | None => Err(faults),
        }
    }
}

/// Judges why a person does something.
pub fn judge_reason(reason: &str) -> Result<(), Fault> {
    let fault = |reason, detail: String| Err(Fault::new("/reason", reason, detail));
    let count = reason.chars().count();
    if reason.trim().is_empty() {
        let detail = "must not be empty: say why, for whoever asks later";
        fault(Reason::Empty, detail.to_owned())
    } else if count > LONGEST_REASON {
        let detail = format!("has {count} characters; at most {LONGEST_REASON} are allowed");
        fault(Reason::TooLong, detail)
    } else if reason.chars().any(char::is_control) {
        fault(Reason::ControlCharacter, "has a control character; remove it".to_owned())
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_possible_is_said_for_every_state() {
        let said = |state, parked_in| possible(state, parked_in);
        for (state, expected) in [
            (State::Review, "approve, or deny"),
            (State::Create, "nothing"),
            (State::Drawn, "nothing"),
            (State::New, "reverse"),
            (State::Revealed, "nothing"),
            (State::Paid, "reverse"),
            (State::NoPrize, "nothing"),
            (State::Expired, "grant it by a compensation"),
            (State::Denied, "grant it by a compensation"),
            (State::Reversed, "nothing"),
        ] {
            assert_eq!(said(state, None), expected, "{state}");
        }
        let parked = |state| said(State::Parked, Some(state));
        assert_eq!(parked(State::Create), "replay it with the outcome ask or not_applied");
        let any = "replay it with the outcome ask, not_applied or applied";
        assert_eq!((parked(State::Drawn), parked(State::Revealed)), (any.into(), any.into()));
    }

    #[test]
    fn a_draw_is_never_vouched_for() {
        for (parked_in, fits) in
            [(State::Create, false), (State::Drawn, true), (State::Revealed, true)]
        {
            let act = Act::Replay(Outcome::Applied);
            assert_eq!(act.fits(State::Parked, Some(parked_in)), fits, "{parked_in}");
            assert!(Act::Replay(Outcome::NotApplied).fits(State::Parked, Some(parked_in)));
        }
    }

    #[test]
    fn a_reason_is_a_sentence() {
        for (reason, good) in [
            ("checked", true),
            ("", false),
            (" \u{a0}", false),
            ("a\nb", false),
            (&"ä".repeat(500), true),
            (&"ä".repeat(501), false),
        ] {
            assert_eq!(judge_reason(reason).is_ok(), good, "{reason}");
        }
    }
}
