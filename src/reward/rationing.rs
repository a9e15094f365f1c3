//! What somebody has earned, and whether cap and budget allow it. Pure.
//!
//! [`granting`](super::granting) asks here for rewards that are granted, and
//! [`simulate`](super::simulate) for those that would be: both decide by the same functions.

use std::collections::HashMap;
use std::sync::Arc;

use jiff::Timestamp;

use super::machine::Side;
use crate::campaign::{Campaign, CampaignId, Version};
use crate::planted::{Bug, planted};

/// Why people have to look at a reward before anything is promised. Stable codes: they are in the log.
pub mod reasons {
    /// The inviter has as many rewards as the campaign's cap allows.
    pub const INVITER_CAP: &str = "inviter-cap";
    /// What is left of the campaign's budget is less than the reward may come to.
    pub const BUDGET_EXHAUSTED: &str = "budget-exhausted";
    /// The binding is held: its screening found something.
    pub const BINDING_HELD: &str = "binding-held";
}

/// Somebody reached something.
#[derive(Clone, Copy, Debug)]
pub struct Reached<'a> {
    /// The number of the trigger that says so.
    pub trigger_id: i64,
    /// In which campaign.
    pub campaign: &'a CampaignId,
    /// What.
    pub kind: &'a str,
    /// Who.
    pub user: &'a str,
    /// When.
    pub occurred_at: Timestamp,
}

/// A binding, as far as rewards are concerned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// Who invited.
    pub inviter: String,
    /// The version that was promised.
    pub version: Version,
    /// Whether people have to look at it first.
    pub held: bool,
}

/// What there is one reward for at most.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key {
    /// In which campaign.
    pub campaign: CampaignId,
    /// Whose binding.
    pub invitee: String,
    /// For which kind of trigger.
    pub kind: String,
    /// For whom of the two.
    pub side: Side,
}

/// A reward that somebody has earned, before anybody looked at cap and budget.
#[derive(Clone, Debug)]
pub struct Owed {
    /// What it is for.
    pub key: Key,
    /// The version that was promised, and what it says.
    pub version: (Version, Arc<Campaign>),
    /// Who gets it.
    pub beneficiary: String,
    /// What it is owed for; `None`: granted by hand.
    pub trigger_id: Option<i64>,
    /// Whether the binding is held.
    pub held: bool,
}

/// What somebody who is bound has earned by reaching something: for each side to which the version that was
/// promised gives something.
pub fn owed(reached: &Reached<'_>, bound: &Bound, said: &Arc<Campaign>) -> Vec<Owed> {
    if !is_due(reached.occurred_at, said) {
        return Vec::new();
    }
    let sides = [(Side::Inviter, bound.inviter.as_str()), (Side::Invitee, reached.user)];
    let earning = sides.into_iter().filter(|(side, _)| said.earned(reached.kind, *side).is_some());
    let owed = earning.map(|(side, beneficiary)| Owed {
        key: Key {
            campaign: reached.campaign.clone(),
            invitee: reached.user.to_owned(),
            kind: reached.kind.to_owned(),
            side,
        },
        version: (bound.version, Arc::clone(said)),
        beneficiary: beneficiary.to_owned(),
        trigger_id: Some(reached.trigger_id),
        held: bound.held,
    });
    owed.collect()
}

/// Whether something counts for a campaign: what happened before it began does not. Whether somebody was a
/// customer before the binding is the business of its screening.
pub fn is_due(occurred_at: Timestamp, said: &Campaign) -> bool {
    occurred_at >= said.starts_at.at()
}

/// How many rewards an inviter may have, by what a campaign says.
pub fn cap(said: &Campaign) -> i32 {
    i32::try_from(said.caps.rewards_per_inviter).unwrap_or(i32::MAX)
}

/// How many rewards an inviter was granted, and how many beyond the cap people allowed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Granted.
    pub rewards: i32,
    /// Allowed by people beyond the cap.
    pub lifted: i32,
}

/// What is left for those who come next, in the same transaction or in the same simulation. Nobody else counts
/// or spends meanwhile.
#[derive(Debug)]
pub struct Rationing {
    tallies: HashMap<(CampaignId, String), Tally>,
    budgets: HashMap<CampaignId, i64>,
    /// How many more an inviter has now, under which cap.
    counted: HashMap<(CampaignId, String), (i32, i32)>,
}

impl Rationing {
    /// Begins with these tallies of inviters, and with what is left of each campaign's budget, in minor units. A
    /// campaign that is not among them has nothing to spend.
    pub fn new(
        tallies: HashMap<(CampaignId, String), Tally>,
        budgets: HashMap<CampaignId, i64>,
    ) -> Self {
        Self { tallies, budgets, counted: HashMap::new() }
    }

    /// Why people have to look at a reward first; `None`: it is granted, and counted.
    pub fn judge(&mut self, owed: &Owed, cap: i32) -> Option<&'static str> {
        if owed.held {
            return Some(reasons::BINDING_HELD);
        }
        let (_, said) = &owed.version;
        let earned = said.earned(&owed.key.kind, owed.key.side);
        let most = earned.map_or(0, crate::campaign::Reward::most_minor);
        let inviter = (owed.key.campaign.clone(), owed.beneficiary.clone());
        let counts = owed.key.side == Side::Inviter;
        let more = self.counted.get(&inviter).map_or(0, |(more, _)| *more);
        if counts {
            let tally = self.tallies.get(&inviter).copied().unwrap_or_default();
            if tally.rewards.saturating_add(more) >= cap.saturating_add(tally.lifted) {
                return Some(reasons::INVITER_CAP);
            }
        }
        let left = self.budgets.get_mut(&owed.key.campaign);
        match left {
            Some(left) if *left >= most => *left -= most,
            // Let the database say so, and do not listen.
            Some(_) if planted(Bug::SwallowedSqlError) => {}
            Some(_) | None => return Some(reasons::BUDGET_EXHAUSTED),
        }
        if counts {
            self.counted.insert(inviter, (more + 1, cap));
        }
        None
    }

    /// Gives back what a reward was promised and did not come to, in minor units.
    pub fn give_back(&mut self, campaign: &CampaignId, minor: i64) {
        if let Some(left) = self.budgets.get_mut(campaign) {
            *left = left.saturating_add(minor);
        }
    }

    /// How many more rewards inviters have now than when this began, under which cap.
    pub fn counted(&self) -> &HashMap<(CampaignId, String), (i32, i32)> {
        &self.counted
    }
}
