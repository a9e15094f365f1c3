//! Rewards: what is owed, the work for it, and what became of it. `migrations/0006_rewards.sql` says what
//! the database sees to by itself: the log, the books, the balances.

pub mod books;
pub mod cards;
pub mod compensations;
pub mod consent;
pub mod desk;
pub mod explain;
pub mod granting;
pub mod reconcile;
pub mod simulate;
pub mod sweep;
pub mod tasks;

use super::Error;
use crate::reward::machine::{Side, State, StepKind};

/// The state that stands in a row.
pub(super) fn state(name: &str) -> Result<State, Error> {
    State::named(name).ok_or_else(|| Error::Corrupt("reward", format!("state {name}")))
}

/// The side that stands in a row.
pub(super) fn side(name: &str) -> Result<Side, Error> {
    Side::named(name).ok_or_else(|| Error::Corrupt("reward", format!("side {name}")))
}

/// The step that stands in a row.
pub(super) fn step(name: &str) -> Result<StepKind, Error> {
    StepKind::named(name).ok_or_else(|| Error::Corrupt("reward_task", format!("step {name}")))
}
