//! Why somebody has, or has not, earned something: the chain from the click to the money, each link of it
//! as it is stored, and what it comes to in one word and one sentence. Pure, but for [`service`].

use serde::Serialize;
use utoipa::ToSchema;

use super::granting::reasons;
use super::machine::{Side, State};
use crate::campaign::Campaign;

pub mod chain;
pub mod service;

use chain::{BindingLink, DecisionLink, TriggerLink};

/// Why something is as it is. The names are part of the API: they never change their meaning. Those of
/// rewards that are held stand in `reason` of the reward, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Code {
    /// The user was given no code.
    NoCode,
    /// The user has a code, and nobody was bound by it.
    NobodyInvited,
    /// Nobody ever asked for a binding of the user.
    NoBinding,
    /// A binding was asked for, and refused.
    BindingRefused,
    /// The binding is held.
    BindingHeld,
    /// The user reached something, but is bound to nobody.
    TriggerWithoutBinding,
    /// The invitee has not reached it.
    NoTrigger,
    /// What the invitee reached earns this side nothing.
    NoRewardForSide,
    /// The invitee reached it before the campaign began.
    OccurredBeforeCampaign,
    /// All is there, and the reward is still to be granted.
    NotGrantedYet,
    /// The inviter has as many rewards as the cap allows.
    InviterCap,
    /// The campaign's budget did not suffice.
    BudgetExhausted,
    /// People have to look at it, for another reason.
    InReview,
    /// People said no.
    Denied,
    /// The amount is being drawn.
    BeingDrawn,
    /// The amount is being recorded.
    BeingAllotted,
    /// The card waits for its owner.
    CardWaits,
    /// The money is being moved.
    BeingPaid,
    /// The money was moved.
    Paid,
    /// The draw gave nothing.
    NoPrize,
    /// Nobody scratched the card in time.
    CardExpired,
    /// It stopped.
    Parked,
    /// It was taken back.
    Reversed,
}

impl Code {
    /// All of them.
    pub const ALL: [Self; 23] = [
        Self::NoCode,
        Self::NobodyInvited,
        Self::NoBinding,
        Self::BindingRefused,
        Self::BindingHeld,
        Self::TriggerWithoutBinding,
        Self::NoTrigger,
        Self::NoRewardForSide,
        Self::OccurredBeforeCampaign,
        Self::NotGrantedYet,
        Self::InviterCap,
        Self::BudgetExhausted,
        Self::InReview,
        Self::Denied,
        Self::BeingDrawn,
        Self::BeingAllotted,
        Self::CardWaits,
        Self::BeingPaid,
        Self::Paid,
        Self::NoPrize,
        Self::CardExpired,
        Self::Parked,
        Self::Reversed,
    ];

    /// Its stable name.
    pub fn name(self) -> &'static str {
        self.words().0
    }

    /// What it means, in a sentence.
    pub fn explain(self) -> &'static str {
        self.words().1
    }

    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::NoCode => ("no-code", "The user was given no code in this campaign."),
            Self::NobodyInvited => {
                ("nobody-invited", "The user has a code, and nobody was bound by it.")
            }
            Self::NoBinding => {
                ("no-binding", "The user is bound to nobody: no code and no claim was brought.")
            }
            Self::BindingRefused => {
                ("binding-refused", "A binding was asked for and refused; 'reason' says why.")
            }
            Self::BindingHeld => (
                reasons::BINDING_HELD,
                "The binding is held: people look at it before anything is paid.",
            ),
            Self::TriggerWithoutBinding => (
                "trigger-without-binding",
                "The user reached this, but is bound to nobody, so nobody earns anything.",
            ),
            Self::NoTrigger => ("no-trigger", "The invitee has not reached this yet."),
            Self::NoRewardForSide => (
                "no-reward-for-side",
                "The campaign promises this side nothing for what the invitee reached.",
            ),
            Self::OccurredBeforeCampaign => {
                ("occurred-before-campaign", "The invitee reached this before the campaign began.")
            }
            Self::NotGrantedYet => (
                "not-granted-yet",
                "Binding and trigger are there, and the reward comes within some minutes.",
            ),
            Self::InviterCap => (
                reasons::INVITER_CAP,
                "The inviter has had as many rewards as the campaign's cap allows; people look at it.",
            ),
            Self::BudgetExhausted => (
                reasons::BUDGET_EXHAUSTED,
                "What was left of the campaign's budget did not suffice; people look at it.",
            ),
            Self::InReview => ("in-review", "People have to look at it; 'reason' says why."),
            Self::Denied => ("denied", "People said no; 'reason' has their words."),
            Self::BeingDrawn => ("being-drawn", "It is promised, and the amount is being drawn."),
            Self::BeingAllotted => (
                "being-allotted",
                "The amount is drawn, and the payment service is being told to record it.",
            ),
            Self::CardWaits => ("card-waits", "The card waits for its owner to scratch it."),
            Self::BeingPaid => {
                ("being-paid", "The owner has seen the amount, and the money is being moved.")
            }
            Self::Paid => ("paid", "The money was moved."),
            Self::NoPrize => ("no-prize", "The draw gave nothing."),
            Self::CardExpired => ("card-expired", "Nobody scratched the card in time."),
            Self::Parked => {
                ("parked", "It stopped, and an operator has to send it on; 'reason' says why.")
            }
            Self::Reversed => {
                ("reversed", "It was taken back; 'reason' has the words of whoever did.")
            }
        }
    }

    /// Why a reward stands where it stands.
    pub fn of(state: State, reason: Option<&str>) -> Self {
        match state {
            State::Review => {
                let held = [Self::InviterCap, Self::BudgetExhausted, Self::BindingHeld];
                let named = held.into_iter().find(|code| Some(code.name()) == reason);
                named.unwrap_or(Self::InReview)
            }
            State::Create => Self::BeingDrawn,
            State::Drawn => Self::BeingAllotted,
            State::New => Self::CardWaits,
            State::Revealed => Self::BeingPaid,
            State::Paid => Self::Paid,
            State::NoPrize => Self::NoPrize,
            State::Expired => Self::CardExpired,
            State::Denied => Self::Denied,
            State::Reversed => Self::Reversed,
            State::Parked => Self::Parked,
        }
    }
}

/// One thing that explains why somebody has, or has not, earned something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Finding {
    /// A stable word for programs.
    #[schema(example = "inviter-cap")]
    pub code: &'static str,
    /// The same in a sentence.
    pub text: &'static str,
    /// Whose binding it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invitee: Option<String>,
    /// Which kind of trigger it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// For which side, `inviter` or `invitee`, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub side: Option<&'static str>,
    /// Which reward it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reward: Option<i64>,
    /// What was written down as the reason, if anything was: a stable word, or the words of a person.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Finding {
    fn new(code: Code) -> Self {
        Self {
            code: code.name(),
            text: code.explain(),
            invitee: None,
            kind: None,
            side: None,
            reward: None,
            reason: None,
        }
    }

    /// Why a reward stands where it stands.
    pub fn of(reward: &Standing<'_>) -> Self {
        Self {
            invitee: Some(reward.invitee.to_owned()),
            kind: Some(reward.kind.to_owned()),
            side: Some(reward.side.name()),
            reward: Some(reward.id),
            reason: reward.reason.map(str::to_owned),
            ..Self::new(Code::of(reward.state, reward.reason))
        }
    }
}

/// Where a reward stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing<'a> {
    /// Its number.
    pub id: i64,
    /// Whose binding it hangs on.
    pub invitee: &'a str,
    /// For which kind of trigger.
    pub kind: &'a str,
    /// For whom of the two.
    pub side: Side,
    /// Where it stands.
    pub state: State,
    /// Why.
    pub reason: Option<&'a str>,
}

/// What is known of somebody who may be an invitee.
#[derive(Clone, Copy, Debug)]
pub struct Invitee<'a> {
    /// Who.
    pub user: &'a str,
    /// What was decided when a binding was asked for, the latest first.
    pub decisions: &'a [DecisionLink],
    /// The binding, if there is one.
    pub binding: Option<&'a BindingLink>,
    /// What was promised: by the version of the binding, or else by the one that counts now.
    pub promise: &'a Campaign,
    /// The latest trigger of each kind.
    pub triggers: &'a [TriggerLink],
    /// What the binding brought.
    pub rewards: &'a [Standing<'a>],
}

impl Invitee<'_> {
    /// Why these sides have, or have not, earned something by this invitee.
    pub fn findings(&self, sides: &[Side]) -> Vec<Finding> {
        let Some(binding) = self.binding else { return self.without_binding() };
        let held = Some(Code::BindingHeld).filter(|_| binding.state == "held");
        let mut findings: Vec<Finding> =
            held.into_iter().map(|code| self.about(Finding::new(code))).collect();
        findings.extend(self.rewards.iter().filter(|it| sides.contains(&it.side)).map(Finding::of));
        for side in sides {
            let missing = self
                .kinds()
                .filter(|kind| !self.rewards.iter().any(|it| it.side == *side && it.kind == *kind));
            for kind in missing {
                findings.extend(self.missing(kind, *side));
            }
        }
        findings
    }

    fn without_binding(&self) -> Vec<Finding> {
        let refused = self.decisions.iter().find(|it| it.outcome == "refused");
        let first = match refused {
            Some(refused) => {
                Finding { reason: refused.reason.clone(), ..Finding::new(Code::BindingRefused) }
            }
            None => Finding::new(Code::NoBinding),
        };
        let triggers = self.triggers.iter().map(|trigger| Finding {
            kind: Some(trigger.kind.clone()),
            ..Finding::new(Code::TriggerWithoutBinding)
        });
        std::iter::once(first).chain(triggers).map(|finding| self.about(finding)).collect()
    }

    /// Every kind that earns something, or that was reached.
    fn kinds(&self) -> impl Iterator<Item = &str> {
        let promised = self.promise.rewards.keys().map(String::as_str);
        let reached = self.triggers.iter().map(|trigger| trigger.kind.as_str());
        promised.chain(reached.filter(|kind| !self.promise.rewards.contains_key(*kind)))
    }

    /// Why there is no reward for a kind and a side; `None`: there is nothing to say about it.
    fn missing(&self, kind: &str, side: Side) -> Option<Finding> {
        let trigger = self.triggers.iter().find(|trigger| trigger.kind == kind);
        let promised = self.promise.earned(kind, side).is_some();
        let code = match (promised, trigger) {
            (true, None) => Code::NoTrigger,
            (true, Some(trigger)) if trigger.occurred_at < self.promise.starts_at.at() => {
                Code::OccurredBeforeCampaign
            }
            (true, Some(_)) => Code::NotGrantedYet,
            (false, Some(_)) => Code::NoRewardForSide,
            (false, None) => return None,
        };
        let kind = Some(kind.to_owned());
        Some(self.about(Finding { kind, side: Some(side.name()), ..Finding::new(code) }))
    }

    fn about(&self, finding: Finding) -> Finding {
        Finding { invitee: Some(self.user.to_owned()), ..finding }
    }
}

/// How many rewards an inviter has been granted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = InviterTally)]
pub struct Counted {
    /// Granted so far.
    pub rewards: i32,
    /// Granted beyond the cap, because people approved them.
    pub lifted: i32,
    /// The cap of the campaign as it is now.
    pub cap: i32,
}

impl Counted {
    /// Whether the next one would be beyond the cap.
    pub fn is_full(self) -> bool {
        self.rewards >= self.cap.saturating_add(self.lifted)
    }
}

/// What keeps somebody from earning something as an inviter, whoever the invitees are.
pub fn of_inviter(has_code: bool, invited_any: bool, counted: Counted) -> Vec<Finding> {
    let codes = [
        Some(Code::NoCode).filter(|_| !has_code),
        Some(Code::NobodyInvited).filter(|_| has_code && !invited_any),
        Some(Code::InviterCap).filter(|_| counted.is_full()),
    ];
    let side = Some(Side::Inviter.name());
    codes.into_iter().flatten().map(|code| Finding { side, ..Finding::new(code) }).collect()
}

#[cfg(test)]
mod tests;
