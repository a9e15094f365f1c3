//! Compensations: what a binding was owed, granted by hand. One person asks for it, another one approves it, and then
//! all of it is done at once, by the same keys and within the same cap and budget as by a trigger. So it
//! cannot pay what was paid. Pure, but for [`service`].

use std::collections::HashSet;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::desk::judge_reason;
use super::machine::Side;
use crate::fault::{Fault, Reason};

pub mod service;

/// The most that is asked for together.
pub const MOST_ITEMS: usize = 1_000;
/// The longest name of an invitee, in characters.
const LONGEST_NAME: usize = 128;
/// The most faults that are told at once.
pub const MOST_FAULTS: usize = 50;

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewCompensation {
    /// In which campaign.
    #[schema(example = "spring-2027")]
    pub campaign: String,
    /// Why, in a sentence for whoever approves it.
    #[schema(min_length = 1, max_length = 500, example = "the bank told of these too late")]
    pub reason: String,
    /// What is to be granted.
    #[schema(min_items = 1, max_items = 1_000)]
    pub items: Vec<NewItem>,
}

/// One reward that is to be granted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct NewItem {
    /// Whose binding it is owed for.
    #[schema(min_length = 1, max_length = 128)]
    pub invitee: String,
    /// For which kind of trigger.
    #[schema(example = "credit_granted")]
    pub kind: String,
    /// For whom of the two: `inviter` or `invitee`.
    #[schema(example = "inviter")]
    pub side: String,
}

impl NewCompensation {
    /// Judges all that can be judged without looking; answers the sides of the items.
    pub fn judge(&self) -> Result<Vec<Side>, Vec<Fault>> {
        let mut faults: Vec<Fault> = judge_reason(&self.reason).err().into_iter().collect();
        match self.items.len() {
            0 => faults.push(Fault::new("/items", Reason::Empty, "give at least one item")),
            count if count > MOST_ITEMS => {
                let detail = format!("are {count}; at most {MOST_ITEMS} are allowed");
                faults.push(Fault::new("/items", Reason::TooMany, detail));
                return Err(faults);
            }
            _ => {}
        }
        let mut seen = HashSet::new();
        let mut sides = Vec::with_capacity(self.items.len());
        for (place, item) in self.items.iter().enumerate() {
            let fault = |field: &str, reason, detail: &str| {
                Fault::new(format!("/items/{place}/{field}"), reason, detail)
            };
            if item.invitee.trim().is_empty() {
                faults.push(fault("invitee", Reason::Empty, "must not be empty"));
            } else if item.invitee.chars().count() > LONGEST_NAME {
                let detail = "is longer than 128 characters, which no name is";
                faults.push(fault("invitee", Reason::TooLong, detail));
            } else if item.invitee.chars().any(char::is_control) {
                let detail = "has a control character; remove it";
                faults.push(fault("invitee", Reason::ControlCharacter, detail));
            }
            if let Some(side) = Side::named(&item.side) {
                sides.push(side);
            } else {
                let detail = "must be inviter or invitee";
                faults.push(fault("side", Reason::OutOfRange, detail));
            }
            if !seen.insert(item) {
                let detail = "is asked for twice, with the same kind and side; leave one out";
                faults.push(fault("invitee", Reason::Conflict, detail));
            }
        }
        faults.truncate(MOST_FAULTS);
        if faults.is_empty() { Ok(sides) } else { Err(faults) }
    }
}

/// Where a compensation stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Nobody has decided on it.
    Requested,
    /// It was approved, and done.
    Executed,
    /// It was rejected, or taken back by whoever asked for it.
    Rejected,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Requested, Self::Executed, Self::Rejected];

    /// Its name, in the API and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Executed => "executed",
            Self::Rejected => "rejected",
        }
    }

    /// The state with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }
}

/// What became of an item. The names are part of the API: they never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ItemOutcome {
    /// There is a reward now.
    Granted,
    /// There is a reward now, and people have to look at it: the cap or the budget is in the way, or the
    /// binding is held. Its own reason says which.
    InReview,
    /// The reward had been denied, and is granted now.
    GrantedAfterDenial,
    /// The reward had expired, and has a new card now.
    CardRenewed,
    /// There is a reward already, on its way or at its end. Nothing was changed.
    AlreadyThere,
    /// The reward had been denied or had expired, and the budget does not suffice. Nothing was changed.
    BudgetExhausted,
}

impl ItemOutcome {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Granted,
        Self::InReview,
        Self::GrantedAfterDenial,
        Self::CardRenewed,
        Self::AlreadyThere,
        Self::BudgetExhausted,
    ];

    /// Its stable name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Granted => "granted",
            Self::InReview => "in-review",
            Self::GrantedAfterDenial => "granted-after-denial",
            Self::CardRenewed => "card-renewed",
            Self::AlreadyThere => "already-there",
            Self::BudgetExhausted => "budget-exhausted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn item(invitee: &str, side: &str) -> NewItem {
        let kind = "credit_granted".to_owned();
        NewItem { invitee: invitee.to_owned(), kind, side: side.to_owned() }
    }

    fn told(items: Vec<NewItem>) -> Vec<(String, Reason)> {
        let (campaign, reason) = ("spring".to_owned(), "told too late".to_owned());
        let judged = NewCompensation { campaign, reason, items }.judge();
        judged.err().unwrap_or_default().into_iter().map(|it| (it.pointer, it.reason)).collect()
    }

    #[test]
    fn each_fault_has_its_place() {
        let good = || item("budi", "inviter");
        for (items, expected) in [
            (vec![good(), item("budi", "invitee"), item("siti", "inviter")], vec![]),
            (vec![], vec![("/items", Reason::Empty)]),
            (vec![good(); MOST_ITEMS + 1], vec![("/items", Reason::TooMany)]),
            (vec![good(), good()], vec![("/items/1/invitee", Reason::Conflict)]),
            (
                vec![item(" ", "both"), item("a\nb", "inviter"), item(&"x".repeat(129), "invitee")],
                vec![
                    ("/items/0/invitee", Reason::Empty),
                    ("/items/0/side", Reason::OutOfRange),
                    ("/items/1/invitee", Reason::ControlCharacter),
                    ("/items/2/invitee", Reason::TooLong),
                ],
            ),
        ] {
            let expected: Vec<(String, Reason)> =
                expected.into_iter().map(|(at, why)| (at.to_owned(), why)).collect();
            assert_eq!(told(items), expected);
        }
        assert_eq!(told(vec![item("", "x"); MOST_ITEMS]).len(), MOST_FAULTS);
    }

    #[test]
    fn every_outcome_stands_in_the_documentation() {
        let page = include_str!("../../docs/rewards.md");
        for outcome in ItemOutcome::ALL {
            assert!(page.contains(&format!("| `{}` |", outcome.name())), "{}", outcome.name());
        }
        assert!(State::ALL.iter().all(|it| State::named(it.name()) == Some(*it)));
    }
}
