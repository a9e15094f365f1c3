//! Rewards a second, from CREATE to NEW: by Waypost, with little history and with much, and by the same
//! statements one row at a time.

use std::time::Duration;

use serde::Serialize;
use waypost::clock::Stopwatch;

use super::meter::Meter;
use super::stage::Stage;
use super::{Run, history, one_by_one};
use crate::database::{Database, broken};
use crate::{Error, Options, say};

/// Who does the work, and where.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Work {
    /// One row at a time, with little history.
    OneByOne,
    /// Waypost, with little history.
    Few,
    /// Waypost, with much history.
    Many,
}

impl Work {
    const ALL: [Self; 3] = [Self::OneByOne, Self::Few, Self::Many];

    /// The database that the work is done in a copy of.
    fn template(self) -> &'static str {
        match self {
            Self::OneByOne | Self::Few => FEW,
            Self::Many => MANY,
        }
    }
}

/// The database with few finished rewards, and a backlog.
pub(super) const FEW: &str = "few";
/// The one with many.
const MANY: &str = "many";

/// One row at a time, this part of the backlog is enough.
const PART: u32 = 5;

/// Between two looks at how far it is.
pub(super) const PAUSE: Duration = Duration::from_millis(200);
/// How long all of the work may take.
pub(super) const PATIENCE: Duration = Duration::from_mins(15);

/// Makes the databases, and lets the ways take turns.
pub(super) fn measure(stage: &Stage, options: &Options) -> Result<Vec<(Work, Vec<Run>)>, Error> {
    history::make(stage, options, FEW, history::FEW)?;
    history::make(stage, options, MANY, options.history)?;
    let mut all: Vec<(Work, Vec<Run>)> = Work::ALL.map(|work| (work, Vec::new())).into();
    for round in 1..=options.rounds {
        say(&format!("Round {round} of rewards: one by one, little history, much history."));
        for (work, runs) in &mut all {
            let run = run(stage, *work, options.backlog)?;
            say(&format!("{:.0} rewards a second.", run.rate()));
            runs.push(run);
        }
    }
    Ok(all)
}

fn run(stage: &Stage, work: Work, backlog: u32) -> Result<Run, Error> {
    let database = stage.fresh(work.template(), one_by_one::WORKERS)?;
    let first = database.number("/* first_that_waits */ SELECT min(reward_id) FROM reward_task")?;
    let payments = stage.pay()?;
    let (items, cost) = if work == Work::OneByOne {
        let items = backlog / PART;
        let meter = Meter::start(&database, None, Some(payments.process.id()))?;
        one_by_one::draw_and_allot(&database, &payments, items)?;
        (items, meter.stop()?)
    } else {
        let served = stage.serve_run(Some(&payments))?;
        let waypost = Some(served.process.id());
        let meter = Meter::start(&database, waypost, Some(payments.process.id()))?;
        wait_for_the_end(&database)?;
        (backlog, meter.stop()?)
    };
    let told = |what: &str| {
        database.number(&format!(
            "/* what_the_log_says */ SELECT {what} FROM reward_log WHERE reward_id >= {first} AND version > 1"
        ))
    };
    let allotted = told("count(*) FILTER (WHERE to_state = 'NEW')")?;
    if allotted != i64::from(items) {
        return Err(broken(format!("{allotted} rewards were allotted, and not {items}")));
    }
    let seconds = told("(extract(epoch FROM max(at) - min(at)) * 1000)::bigint")?;
    let sets = told("count(DISTINCT at) FILTER (WHERE to_state = 'NEW')")?;
    Ok(Run { items, seconds: number(seconds) / 1e3, set: f64::from(items) / number(sets), cost })
}

/// Waits until no task is left.
pub(super) fn wait_for_the_end(database: &Database) -> Result<(), Error> {
    let left = "/* is_work_left */ SELECT EXISTS (SELECT FROM reward_task)::int::bigint";
    wait_until(|| Ok(database.number(left)? == 0))
}

/// Looks again and again.
pub(super) fn wait_until(mut done: impl FnMut() -> Result<bool, Error>) -> Result<(), Error> {
    let waited = Stopwatch::start();
    while !done()? {
        if waited.elapsed() > PATIENCE {
            return Err(broken(format!("the work is not done in {PATIENCE:?}")));
        }
        std::thread::sleep(PAUSE);
    }
    Ok(())
}

pub(super) fn number(number: i64) -> f64 {
    u32::try_from(number).map_or(f64::NAN, f64::from)
}
