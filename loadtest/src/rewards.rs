//! Rewards: how many triggers a second are taken, how many rewards a second are drawn and allotted, beside
//! the same statements one row at a time; whether a long history slows that down; and how long rewards
//! stand still whose worker was killed.

use serde::Serialize;

use self::stage::Stage;
use crate::{Error, Options, say};

mod crash;
mod history;
mod meter;
mod one_by_one;
mod stage;
pub(crate) mod triggers;
pub(crate) mod work;

pub(crate) use self::crash::Crash;
pub(crate) use self::meter::Cost;
pub(crate) use self::triggers::{Promise, Series, Way};
pub(crate) use self::work::Work;

/// What the benchmark of rewards found.
#[derive(Serialize)]
pub(crate) struct Rewards {
    /// Users with a binding in each campaign, ready to reach something.
    pub(crate) bindings: u32,
    /// Rewards that waited when work began.
    pub(crate) backlog: u32,
    /// Finished rewards in the database with few of them, and in the one with many.
    pub(crate) finished: (u32, u32),
    /// Triggers taken, for each promise.
    pub(crate) triggers: Vec<Series>,
    /// Rewards drawn and allotted.
    pub(crate) work: Vec<(Work, Vec<Run>)>,
    /// What happened when the worker was killed.
    pub(crate) crashes: Vec<Crash>,
}

/// One measured run.
#[derive(Serialize)]
pub(crate) struct Run {
    /// Triggers or rewards.
    pub(crate) items: u32,
    /// How long they took, in seconds.
    pub(crate) seconds: f64,
    /// How many went into one statement, on average.
    pub(crate) set: f64,
    /// What it cost.
    pub(crate) cost: Cost,
}

impl Run {
    /// Triggers or rewards per second.
    pub(crate) fn rate(&self) -> f64 {
        f64::from(self.items) / self.seconds
    }
}

/// Crashes that are measured, unless there are fewer rounds.
const CRASHES: u32 = 3;

/// Measures all of it, in rounds in which the ways take turns.
pub(crate) fn measure(options: &Options) -> Result<Rewards, Error> {
    if options.backlog / 2 > options.triggers {
        let what = "two rewards of the backlog need one user: --backlog may be twice --triggers, and no more";
        return Err(Error::broken("loadtest", what));
    }
    say(&format!("Starting PostgreSQL, with {} bindings in each campaign.", options.triggers));
    let stage = Stage::open(options)?;
    let triggers = triggers::measure(&stage, options)?;
    let work = work::measure(&stage, options)?;
    let crashes = (0..options.rounds.min(CRASHES))
        .map(|_| crash::measure(&stage, options))
        .collect::<Result<_, Error>>()?;
    Ok(Rewards {
        bindings: options.triggers,
        backlog: options.backlog,
        finished: (history::FEW, options.history),
        triggers,
        work,
        crashes,
    })
}
