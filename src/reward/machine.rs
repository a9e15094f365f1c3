//! What can become of a reward: its states, what happens to it, and the only moves that there are. Pure.
//!
//! ```text
//! grant ▶ CREATE ──draw──▶ DRAWN ──allot──▶ NEW ──reveal──▶ REVEALED ──pay──▶ PAID ──reverse──▶ REVERSED
//!  hold ▶ REVIEW ─approve▶ CREATE             │ remind ▶ NEW
//!            └── deny ──▶ DENIED ─compensate▶ CREATE
//!         CREATE ──blank─▶ NO_PRIZE           │ expire ▶ EXPIRED ──compensate──▶ NEW
//!                                             └ reverse ▶ REVERSED
//! CREATE, DRAWN, REVEALED ── park ──▶ PARKED ── replay ──▶ where it was
//! ```
//!
//! [`MOVES`] is the whole of it. The database has the same list in a constraint of `reward_log`, and a
//! test compares the two.

use std::fmt;

pub use crate::campaign::Side;

/// Where a reward stands. `CREATE` and `NEW` are the names that payment and app teams use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum State {
    /// People have to look at it before anything is promised.
    Review,
    /// It is promised, up to the most that it can come to. Nobody else knows of it yet.
    Create,
    /// The amount is known, and stays.
    Drawn,
    /// The payment service has recorded it for the user, who has a card to scratch.
    New,
    /// The user has seen the amount.
    Revealed,
    /// The money was moved.
    Paid,
    /// The draw gave nothing.
    NoPrize,
    /// Nobody scratched the card in time.
    Expired,
    /// People said no.
    Denied,
    /// It was taken back.
    Reversed,
    /// It stopped, and a person has to look at it.
    Parked,
}

impl State {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Review,
        Self::Create,
        Self::Drawn,
        Self::New,
        Self::Revealed,
        Self::Paid,
        Self::NoPrize,
        Self::Expired,
        Self::Denied,
        Self::Reversed,
        Self::Parked,
    ];

    /// Its name, in the API and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Review => "REVIEW",
            Self::Create => "CREATE",
            Self::Drawn => "DRAWN",
            Self::New => "NEW",
            Self::Revealed => "REVEALED",
            Self::Paid => "PAID",
            Self::NoPrize => "NO_PRIZE",
            Self::Expired => "EXPIRED",
            Self::Denied => "DENIED",
            Self::Reversed => "REVERSED",
            Self::Parked => "PARKED",
        }
    }

    /// The state with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.name() == name)
    }

    /// Where one that happens to a reward in this state may lead. Only [`Event::Replay`] leads to several:
    /// there it is the state in which the reward was parked.
    pub fn after(self, event: Event) -> impl Iterator<Item = Self> {
        let fits = move |(from, what, _): &&Move| *from == Some(self) && *what == event;
        MOVES.iter().filter(fits).map(|(_, _, to)| *to)
    }

    /// The step that a worker has to do next; `None`: nothing, or nothing before somebody else acts.
    pub fn step(self) -> Option<&'static Step> {
        STEPS.iter().find(|step| step.from == self)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What happens to a reward.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Event {
    /// It is owed, and within cap and budget.
    Grant,
    /// It is owed, but people have to look at it.
    Hold,
    /// They said yes.
    Approve,
    /// They said no.
    Deny,
    /// It is granted by hand after all.
    Compensate,
    /// The amount was drawn.
    Draw,
    /// The draw gave nothing.
    Blank,
    /// The payment service has recorded it.
    Allot,
    /// Its owner was reminded.
    Remind,
    /// Its owner scratched the card.
    Reveal,
    /// Nobody scratched the card in time.
    Expire,
    /// The money was moved.
    Pay,
    /// It stopped.
    Park,
    /// A person sends it on from where it stopped.
    Replay,
    /// It is taken back.
    Reverse,
}

impl Event {
    /// All of them.
    pub const ALL: [Self; 15] = [
        Self::Grant,
        Self::Hold,
        Self::Approve,
        Self::Deny,
        Self::Compensate,
        Self::Draw,
        Self::Blank,
        Self::Allot,
        Self::Remind,
        Self::Reveal,
        Self::Expire,
        Self::Pay,
        Self::Park,
        Self::Replay,
        Self::Reverse,
    ];

    /// Its name, in the API and in the database.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Grant => "grant",
            Self::Hold => "hold",
            Self::Approve => "approve",
            Self::Deny => "deny",
            Self::Compensate => "compensate",
            Self::Draw => "draw",
            Self::Blank => "blank",
            Self::Allot => "allot",
            Self::Remind => "remind",
            Self::Reveal => "reveal",
            Self::Expire => "expire",
            Self::Pay => "pay",
            Self::Park => "park",
            Self::Replay => "replay",
            Self::Reverse => "reverse",
        }
    }

    /// The event with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|event| event.name() == name)
    }
}

/// From where, by what, to where. From nowhere: a reward begins.
pub type Move = (Option<State>, Event, State);

/// All moves that there are.
pub const MOVES: [Move; 21] = [
    (None, Event::Grant, State::Create),
    (None, Event::Hold, State::Review),
    (Some(State::Review), Event::Approve, State::Create),
    (Some(State::Review), Event::Deny, State::Denied),
    (Some(State::Denied), Event::Compensate, State::Create),
    (Some(State::Create), Event::Draw, State::Drawn),
    (Some(State::Create), Event::Blank, State::NoPrize),
    (Some(State::Drawn), Event::Allot, State::New),
    (Some(State::New), Event::Remind, State::New),
    (Some(State::New), Event::Reveal, State::Revealed),
    (Some(State::New), Event::Expire, State::Expired),
    (Some(State::Expired), Event::Compensate, State::New),
    (Some(State::Revealed), Event::Pay, State::Paid),
    (Some(State::Create), Event::Park, State::Parked),
    (Some(State::Drawn), Event::Park, State::Parked),
    (Some(State::Revealed), Event::Park, State::Parked),
    (Some(State::Parked), Event::Replay, State::Create),
    (Some(State::Parked), Event::Replay, State::Drawn),
    (Some(State::Parked), Event::Replay, State::Revealed),
    (Some(State::New), Event::Reverse, State::Reversed),
    (Some(State::Paid), Event::Reverse, State::Reversed),
];

/// What a worker does for a reward, one call of another service at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Step {
    /// Which.
    pub kind: StepKind,
    /// Where the reward stands before it.
    pub from: State,
    /// What has happened when it is done. (A draw may also be [`Event::Blank`].)
    pub event: Event,
    /// How it is made undone once it is done: another entry each time, never an edit. None: it promised
    /// nothing that was not promised before.
    ///
    /// A step that was interrupted is never made undone but finished: the operation is asked for, and
    /// sent again with the same bytes if nobody knows it.
    pub undone_by: &'static [Event],
}

/// The steps, in their order, beside what makes each undone.
pub const STEPS: [Step; 3] = [
    Step { kind: StepKind::Draw, from: State::Create, event: Event::Draw, undone_by: &[] },
    Step {
        kind: StepKind::Allot,
        from: State::Drawn,
        event: Event::Allot,
        undone_by: &[Event::Expire, Event::Reverse],
    },
    Step {
        kind: StepKind::Pay,
        from: State::Revealed,
        event: Event::Pay,
        undone_by: &[Event::Reverse],
    },
];

/// A kind of work: one of [`STEPS`], or a reminder, which moves no money and no state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum StepKind {
    /// Decide on the amount.
    Draw,
    /// Have the amount recorded for the user.
    Allot,
    /// Have the money moved.
    Pay,
    /// Tell the owner of a card that it waits.
    Remind,
}

impl StepKind {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Draw, Self::Allot, Self::Pay, Self::Remind];

    /// Its name, in the database and in the ids of operations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Draw => "draw",
            Self::Allot => "allot",
            Self::Pay => "pay",
            Self::Remind => "remind",
        }
    }

    /// The kind with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fmt::Write as _;

    use super::*;

    const MIGRATION: &str = include_str!("../../migrations/0006_rewards.sql");

    /// Every state against every event, one row a state.
    fn grid() -> String {
        let mut grid = String::new();
        for from in std::iter::once(None).chain(State::ALL.map(Some)) {
            let name = from.map_or("(nothing)", State::name);
            for event in Event::ALL {
                let to = MOVES.iter().filter(|it| it.0 == from && it.1 == event);
                let to: Vec<&str> = to.map(|it| it.2.name()).collect();
                let to = if to.is_empty() { "-".to_owned() } else { to.join(" | ") };
                writeln!(grid, "{name:9} {:10} {to}", event.name()).expect("memory");
            }
        }
        grid
    }

    #[test]
    fn grid_is_as_it_was_looked_at() {
        let grid = grid();
        assert_eq!(grid.lines().count(), (State::ALL.len() + 1) * Event::ALL.len());
        insta::assert_snapshot!(grid);
    }

    #[test]
    fn the_database_allows_the_same_moves() {
        let list = MIGRATION.split("reward_log_moves CHECK").nth(1).expect("the constraint");
        let list = list.split("IN (").nth(1).expect("its list");
        let list = list.split("'))").next().expect("its end");
        let allowed: BTreeSet<&str> = list.split('\'').filter(|it| it.contains(' ')).collect();
        let allowed: BTreeSet<&str> = allowed
            .into_iter()
            .filter(|it| !it.trim_matches([',', ' ', '\n']).is_empty())
            .collect();
        let name = |state: Option<State>| state.map_or("", State::name);
        let moves =
            MOVES.map(|(from, event, to)| format!("{} {} {}", name(from), event.name(), to.name()));
        assert_eq!(allowed, moves.iter().map(String::as_str).collect());
    }

    #[test]
    fn names_lead_back() {
        assert!(State::ALL.iter().all(|it| State::named(it.name()) == Some(*it)));
        assert!(Event::ALL.iter().all(|it| Event::named(it.name()) == Some(*it)));
        assert!(StepKind::ALL.iter().all(|it| StepKind::named(it.name()) == Some(*it)));
        assert!(Side::ALL.iter().all(|it| Side::named(it.name()) == Some(*it)));
        for state in State::ALL {
            assert!(MIGRATION.contains(&format!("'{state}'")), "{state}");
        }
    }

    #[test]
    fn every_step_is_a_move_and_can_be_made_undone() {
        for step in STEPS {
            let to: Vec<State> = step.from.after(step.event).collect();
            let [to] = to[..] else { panic!("{step:?} leads to {to:?}") };
            for undo in step.undone_by {
                assert_eq!(to.after(*undo).count(), 1, "{step:?} by {undo:?}");
            }
            assert_eq!(step.from.after(Event::Park).count(), 1, "{step:?} can be parked");
            assert!(State::Parked.after(Event::Replay).any(|it| it == step.from));
        }
    }

    #[test]
    fn every_state_is_reached_and_none_but_the_last_ones_is_a_dead_end() {
        for state in State::ALL {
            assert!(MOVES.iter().any(|(_, _, to)| *to == state), "{state}");
            let last = matches!(state, State::NoPrize | State::Reversed);
            assert_eq!(MOVES.iter().all(|(from, _, _)| *from != Some(state)), last, "{state}");
        }
    }
}
