//! What a campaign would have cost: its past bindings and triggers, replayed against another document. Pure, but
//! for [`service`].
//!
//! First come the bindings: [`facts`] sends each through the checks of the document, with the facts that were
//! stored when it was decided. Then come the triggers of those who are bound, in the order in which they
//! counted: [`Replay::reach`] asks [`rationing`], as a live run does, what is owed, and what cap and budget
//! allow. [`report`] adds up.
//!
//! What people decided is not replayed: nothing is approved, denied, compensated or taken back, and no card
//! expires.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap, HashSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};

use super::draw::WHOLE;
use super::machine::Side;
use super::rationing::{self, Bound, Owed, Rationing, Reached};
use crate::campaign::{Campaign, CampaignId, Reward, Version};
use crate::referral::screening::{Outcome as Screening, Reason};

use facts::{PastBinding, Screened};
use report::Report;

pub mod facts;
pub mod report;
pub mod service;

/// What stands for the number of a version: a document that is only tried has none.
const NO_VERSION: Version = Version(0);

/// A trigger of somebody who is bound, and what it really led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastTrigger {
    /// Its number.
    pub id: i64,
    /// What was reached.
    pub kind: String,
    /// By whom.
    pub user: String,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When it counted: when both it and the binding were there.
    pub at: Timestamp,
    /// The number of the user's binding.
    pub binding: i64,
    /// Who invited the user.
    pub inviter: String,
    /// What was drawn for the inviter, if anything was.
    pub inviter_draw: Option<PastDraw>,
    /// What was drawn for the invitee, if anything was.
    pub invitee_draw: Option<PastDraw>,
}

/// An amount that was really drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PastDraw {
    /// The version that promised it.
    pub version: Version,
    /// What it came to, in minor units.
    pub amount_minor: i64,
    /// How long after the reward was granted.
    pub after: SignedDuration,
}

/// What a draw that never happened counts as in the budget, until the end.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Draws {
    /// What a table of prizes gives on average, as if it had been drawn at once: the budget lasts as long as it
    /// does in a live run, give or take luck. What the payment service draws counts in full.
    #[default]
    Expected,
    /// The most that it can come to: what is granted then fits the budget whatever is drawn.
    Most,
}

impl Draws {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Expected, Self::Most];

    /// Its name, in the API and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Expected => "expected",
            Self::Most => "most",
        }
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|draws| draws.name() == name)
    }
}

/// What a reward would come to, in minor units.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// The document has one amount.
    Fixed(i64),
    /// It was really drawn, under the same promise.
    Drawn(i64),
    /// It would be drawn from a table of prizes.
    Table {
        /// The smallest prize.
        least: i64,
        /// What is drawn on average, in millionths of a minor unit.
        expected_millionths: i128,
        /// The largest prize.
        most: i64,
        /// How many of a million draws give nothing.
        blank_per_million: u32,
    },
    /// The payment service would be asked: up to this.
    UpTo(i64),
}

impl Amount {
    /// What a reward would come to of which nobody knows what was drawn.
    fn of(reward: &Reward) -> Self {
        if let Some(amount_minor) = reward.amount_minor {
            return Self::Fixed(amount_minor);
        }
        let Some(prizes) = &reward.prizes else { return Self::UpTo(reward.most_minor()) };
        let blanks = prizes.iter().filter(|prize| prize.amount_minor == 0);
        let shares = prizes
            .iter()
            .map(|prize| i128::from(prize.amount_minor) * i128::from(prize.per_million));
        Self::Table {
            least: prizes.iter().map(|prize| prize.amount_minor).min().unwrap_or(0),
            expected_millionths: shares.sum(),
            most: reward.most_minor(),
            blank_per_million: blanks.map(|prize| prize.per_million).sum(),
        }
    }
}

/// What would have become of something that is owed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is granted.
    Granted(Amount),
    /// People look at it first, for this reason.
    Review(&'static str),
    /// There is no binding by the checks of the document, for this reason.
    Refused(Reason),
}

/// A reward as it would have been.
#[derive(Clone, Copy, Debug)]
pub struct Judged<'a> {
    /// What is owed.
    pub owed: &'a Owed,
    /// When.
    pub at: Timestamp,
    /// What becomes of it.
    pub outcome: Outcome,
}

/// What follows from the checks for a binding; of those that are simply bound nothing is kept.
#[derive(Clone, Copy, Debug)]
enum Stands {
    Held,
    Refused(Reason),
}

/// See the module.
#[derive(Debug)]
pub struct Replay {
    campaign: CampaignId,
    said: Arc<Campaign>,
    draws: Draws,
    /// Before this moment nothing counts, but what was earned then is not earned again.
    from: Timestamp,
    /// What versions said under which something really happened; `None`: that cannot be read any more.
    versions: HashMap<Version, Option<Arc<Campaign>>>,
    screened: HashMap<i64, Stands>,
    /// What there is a reward for: the binding, and the place of the kind among those of the document. One
    /// trigger earns for both sides.
    seen: HashSet<(i64, usize)>,
    rationing: Rationing,
    /// What goes back to the budget, and when.
    due_back: BinaryHeap<Reverse<(Timestamp, i64)>>,
    report: Report,
}

impl Replay {
    /// Begins with a full budget and without any reward. `from` is the first moment that counts.
    pub fn new(
        campaign: &CampaignId,
        said: Campaign,
        draws: Draws,
        from: Option<Timestamp>,
    ) -> Self {
        let budgets = HashMap::from([(campaign.clone(), said.budget_minor)]);
        Self {
            campaign: campaign.clone(),
            report: Report::of(&said),
            said: Arc::new(said),
            draws,
            from: from.unwrap_or(Timestamp::MIN),
            versions: HashMap::new(),
            screened: HashMap::new(),
            seen: HashSet::new(),
            rationing: Rationing::new(HashMap::new(), budgets),
            due_back: BinaryHeap::new(),
        }
    }

    /// Whether this version has to be learned before what happened under it can be replayed.
    pub fn lacks(&self, version: Version) -> bool {
        !self.versions.contains_key(&version)
    }

    /// What a version said; `None`: that cannot be read any more.
    pub fn learn(&mut self, version: Version, said: Option<Arc<Campaign>>) {
        self.versions.insert(version, said);
    }

    /// Sends a binding through the checks of the document.
    pub fn bind(&mut self, past: &PastBinding) {
        let then = past.rules.and_then(|version| self.versions.get(&version)?.as_deref());
        let Screened { outcome, not_replayed } = facts::screen(past, then, &self.said);
        let stands = match outcome {
            Screening::Held(_) => Some(Stands::Held),
            Screening::Refused(reason) => Some(Stands::Refused(reason)),
            // Who is told to try again later is not bound.
            Screening::TryLater => Some(Stands::Refused(Reason::EligibilityUnknown)),
            Screening::Bound | Screening::Ask => None,
        };
        if let Some(stands) = stands {
            self.screened.insert(past.id, stands);
        }
        if past.bound_at >= self.from {
            self.report.bindings.add(outcome, &not_replayed);
        }
    }

    /// Says what a trigger would have led to. Triggers come in the order of `at`, after all bindings.
    pub fn reach(&mut self, past: &PastTrigger, tell: &mut dyn FnMut(&Judged<'_>)) {
        self.give_back(past.at);
        let stands = self.screened.get(&past.binding).copied();
        let reached = Reached {
            trigger_id: past.id,
            campaign: &self.campaign,
            kind: &past.kind,
            user: &past.user,
            occurred_at: past.occurred_at,
        };
        let bound = Bound {
            inviter: past.inviter.clone(),
            version: NO_VERSION,
            held: matches!(stands, Some(Stands::Held)),
        };
        let owed = rationing::owed(&reached, &bound, &self.said);
        let counts = past.at >= self.from;
        let triggers = &mut self.report.triggers;
        triggers.replayed += u64::from(counts);
        let kind = self.said.rewards.keys().position(|kind| *kind == past.kind);
        let Some(kind) = kind.filter(|_| !owed.is_empty()) else {
            let is_early = !rationing::is_due(past.occurred_at, &self.said);
            triggers.before_start += u64::from(counts && is_early);
            triggers.earning_nothing += u64::from(counts && !is_early);
            return;
        };
        if !self.seen.insert((past.binding, kind)) {
            triggers.repeated += u64::from(counts);
            return;
        }
        if !counts {
            return;
        }
        triggers.earning += 1;
        for owed in &owed {
            let outcome = match stands {
                Some(Stands::Refused(reason)) => Outcome::Refused(reason),
                Some(Stands::Held) | None => self.judge(past, owed),
            };
            let judged = Judged { owed, at: past.at, outcome };
            self.report.add(&judged);
            tell(&judged);
        }
    }

    /// Ends the replay.
    pub fn finish(self) -> Report {
        self.report
    }

    fn judge(&mut self, past: &PastTrigger, owed: &Owed) -> Outcome {
        if let Some(reason) = self.rationing.judge(owed, rationing::cap(&self.said)) {
            return Outcome::Review(reason);
        }
        let earned = self.said.earned(&owed.key.kind, owed.key.side).expect("only that is owed");
        let most = earned.most_minor();
        let drawn = match owed.key.side {
            Side::Inviter => past.inviter_draw,
            Side::Invitee => past.invitee_draw,
        };
        let drawn = drawn.filter(|drawn| self.is_same_promise(drawn.version, owed, earned));
        let (amount, back) = match (drawn, Amount::of(earned)) {
            (_, known @ (Amount::Fixed(_) | Amount::Drawn(_))) => (known, None),
            (Some(drawn), Amount::Table { .. } | Amount::UpTo(_)) => {
                let after = drawn.after.max(SignedDuration::ZERO);
                let at = past.at.checked_add(after).unwrap_or(Timestamp::MAX);
                (Amount::Drawn(drawn.amount_minor), Some((at, most - drawn.amount_minor)))
            }
            (None, table @ Amount::Table { expected_millionths, .. }) => {
                let reckoned = match self.draws {
                    Draws::Expected => whole_above(expected_millionths),
                    Draws::Most => most,
                };
                (table, Some((past.at, most - reckoned)))
            }
            (None, asked @ Amount::UpTo(_)) => (asked, None),
        };
        self.due_back.extend(back.filter(|(_, minor)| *minor > 0).map(Reverse));
        Outcome::Granted(amount)
    }

    /// Whether a version promised what the document promises.
    fn is_same_promise(&self, version: Version, owed: &Owed, earned: &Reward) -> bool {
        let then = self.versions.get(&version).and_then(Option::as_deref);
        then.is_some_and(|then| then.earned(&owed.key.kind, owed.key.side) == Some(earned))
    }

    /// Gives back to the budget what was drawn by now.
    fn give_back(&mut self, now: Timestamp) {
        while let Some(Reverse((at, minor))) = self.due_back.peek().copied()
            && at <= now
        {
            self.due_back.pop();
            self.rationing.give_back(&self.campaign, minor);
        }
    }
}

/// The smallest whole number of minor units that is not below so many millionths of one.
fn whole_above(millionths: i128) -> i64 {
    let whole = i128::from(WHOLE);
    i64::try_from((millionths + whole - 1) / whole).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
