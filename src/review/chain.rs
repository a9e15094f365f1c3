//! The chain of responsibility in front of people: small checks over the facts of a subject, asked one
//! after the other. The first that fits answers; if none does, the subject passes.

use serde::{Deserialize, Serialize};

/// What is known of a subject, as far as checks ask for it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// What it may cost at most, in minor units of the campaign's currency.
    #[serde(default)]
    pub amount_minor: i64,
    /// Why it was held: a stable code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_reason: Option<String>,
    /// How many rewards the inviter was granted so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inviter_rewards: Option<i32>,
    /// How many rewards are asked for together.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub items: Option<i32>,
    /// In which campaign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub campaign: Option<String>,
}

/// What a check looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckKind {
    /// Whether it may cost more than `minor`.
    AmountAbove,
    /// Whether it was held for one of the reasons in `any_of`.
    HoldReason,
    /// Whether the inviter has more than `rewards` rewards already.
    InviterRewardsAbove,
    /// Whether more than `items` rewards are asked for together.
    ItemsAbove,
    /// Whether it is in one of the campaigns in `any_of`.
    Campaign,
}

/// What a check that fits answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Answer {
    /// Nobody else is asked: it passes.
    Pass,
    /// People have to look at it here, even where nobody would be asked otherwise.
    Hold,
    /// It is rejected.
    Reject,
    /// It goes to another node at once.
    Route,
}

/// One check of a node.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Check {
    /// What it looks at.
    pub check: CheckKind,
    /// The amount that it compares with, in minor units.
    #[serde(default)]
    pub minor: Option<i64>,
    /// The number of rewards that it compares with.
    #[serde(default)]
    pub rewards: Option<i32>,
    /// The number of items that it compares with.
    #[serde(default)]
    pub items: Option<i32>,
    /// The names that it compares with.
    #[serde(default)]
    pub any_of: Option<Vec<String>>,
    /// What it answers if it fits.
    pub answer: Answer,
    /// Why, for whoever reads the history.
    #[serde(default)]
    pub reason: Option<String>,
    /// Where it routes to.
    #[serde(default)]
    pub to: Option<String>,
}

/// What a chain found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<'a> {
    /// Nothing is in the way.
    Pass,
    /// People have to look at it, for this reason.
    Hold(&'a str),
    /// It is rejected, for this reason.
    Reject(&'a str),
    /// It goes to this node.
    Route(&'a str),
}

impl Check {
    /// Whether it has something to say about a subject. What is not known does not fit.
    pub fn fits(&self, facts: &Facts) -> bool {
        let is_named = |name: &Option<String>| {
            let list = self.any_of.as_deref().unwrap_or_default();
            name.as_ref().is_some_and(|name| list.contains(name))
        };
        let is_above = |known: Option<i32>, most: Option<i32>| {
            known.zip(most).is_some_and(|(known, most)| known > most)
        };
        match self.check {
            CheckKind::AmountAbove => self.minor.is_some_and(|minor| facts.amount_minor > minor),
            CheckKind::ItemsAbove => is_above(facts.items, self.items),
            CheckKind::HoldReason => is_named(&facts.hold_reason),
            CheckKind::InviterRewardsAbove => is_above(facts.inviter_rewards, self.rewards),
            CheckKind::Campaign => is_named(&facts.campaign),
        }
    }

    fn verdict(&self) -> Verdict<'_> {
        let reason = self.reason.as_deref().unwrap_or("a check of the flow says so");
        match (self.answer, self.to.as_deref()) {
            (Answer::Pass, _) => Verdict::Pass,
            (Answer::Reject, _) => Verdict::Reject(reason),
            (Answer::Route, Some(to)) => Verdict::Route(to),
            // A route without a target is none; the judge of flows lets none through.
            (Answer::Hold, _) | (Answer::Route, None) => Verdict::Hold(reason),
        }
    }
}

/// Asks the checks in their order.
pub fn ask<'a>(checks: &'a [Check], facts: &Facts) -> Verdict<'a> {
    checks.iter().find(|check| check.fits(facts)).map_or(Verdict::Pass, Check::verdict)
}
