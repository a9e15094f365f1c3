//! The part of the report about rewards: ratios first, then where the time goes.

use std::fmt;

use crate::bench::median;
use crate::rewards::triggers::{BATCH, BATCH_CALLERS, CALLERS};
use crate::rewards::{Cost, Crash, Promise, Rewards, Run, Series, Way, Work};

pub(super) fn write(f: &mut fmt::Formatter<'_>, rewards: &Rewards) -> fmt::Result {
    writeln!(
        f,
        "\n## Rewards\n\nEverything on the same cores: PostgreSQL, which writes its log to disk as usual, one \
         `waypost serve`, the payment service, which answers after 5 ms, and this program. Each run has a \
         fresh database. Medians over the rounds; ratios are medians of the ratios within a round, with \
         the lowest and the highest in brackets."
    )?;
    for series in &rewards.triggers {
        write_triggers(f, rewards.bindings, series)?;
    }
    write_work(f, rewards)?;
    write_crashes(f, &rewards.crashes)
}

fn write_triggers(
    f: &mut fmt::Formatter<'_>,
    bindings: u32,
    Series { promise, ways }: &Series,
) -> fmt::Result {
    let what = match promise {
        Promise::One => "one reward",
        Promise::Two => "two rewards",
    };
    writeln!(
        f,
        "\n### Triggers, {what} each\n\n{bindings} bindings. No payment service: rewards are granted, \
         and wait.\n\n| triggers | {HEAD} of one row at a time |{COSTS}\n|---|---:|---:|{LINES}"
    )?;
    let baseline = ways.iter().find(|(way, _)| *way == Way::OneByOne);
    for (way, runs) in ways {
        let name = match way {
            Way::OneByOne => "one row at a time, 16 connections".to_owned(),
            Way::Singly => format!("through the API, singly, {CALLERS} callers"),
            Way::Batches => format!("through the API, {BATCH} at a time, {BATCH_CALLERS} callers"),
        };
        write_runs(f, &name, runs, baseline.map(|(_, runs)| runs.as_slice()))?;
    }
    Ok(())
}

fn write_work(f: &mut fmt::Formatter<'_>, rewards: &Rewards) -> fmt::Result {
    writeln!(
        f,
        "\n### Rewards, from CREATE to NEW\n\nA backlog of {}, each drawn, recorded, allotted by the payment \
         service and recorded again; from the first to the last line of the log.\n\n\
         | rewards | {HEAD} of one row at a time |{COSTS}\n|---|---:|---:|{LINES}",
        rewards.backlog
    )?;
    let of = |wanted: Work| {
        let found = rewards.work.iter().find(|(work, _)| *work == wanted);
        found.map(|(_, runs)| runs.as_slice())
    };
    for (work, runs) in &rewards.work {
        let name = match work {
            Work::OneByOne => "one row at a time, 16 workers",
            Work::Few => "Waypost, little history",
            Work::Many => "Waypost, much history",
        };
        write_runs(f, name, runs, of(Work::OneByOne))?;
    }
    if let (Some(few), Some(many)) = (of(Work::Few), of(Work::Many)) {
        writeln!(
            f,
            "\nWith {} finished rewards in the database the rate is {} of that with {}.",
            rewards.finished.1,
            ratio(many, few),
            rewards.finished.0
        )?;
    }
    Ok(())
}

const HEAD: &str = "a second |";
const COSTS: &str = " in a set | µs of Waypost each | of PostgreSQL | of the payment service | of this program \
                     | KiB written ahead each | others busy |";
const LINES: &str = "---:|---:|---:|---:|---:|---:|---:|";

fn write_runs(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    runs: &[Run],
    baseline: Option<&[Run]>,
) -> fmt::Result {
    let middle = |of: &dyn Fn(&Run) -> f64| median(runs.iter().map(of));
    let each = |of: fn(&Cost) -> f64, unit: f64| {
        middle(&|run| of(&run.cost) * unit / f64::from(run.items))
    };
    writeln!(
        f,
        "| {name} | {:.0} | {} | {:.0} | {:.0} | {:.0} | {:.0} | {:.0} | {:.2} | {:.1} % |",
        middle(&Run::rate),
        baseline.map_or_else(|| "–".to_owned(), |baseline| ratio(runs, baseline)),
        middle(&|run| run.set),
        each(|cost| cost.waypost, 1e6),
        each(|cost| cost.postgres, 1e6),
        each(|cost| cost.payment_service, 1e6),
        each(|cost| cost.benchmark, 1e6),
        each(|cost| cost.wal_bytes, 1.0 / 1_024.0),
        middle(&|run| run.cost.others_busy * 100.0),
    )
}

/// The median of the ratios within each round, with the lowest and the highest.
fn ratio(runs: &[Run], to: &[Run]) -> String {
    let ratios = || runs.iter().zip(to).map(|(run, to)| run.rate() / to.rate());
    let (least, most) = (ratios().fold(f64::INFINITY, f64::min), ratios().fold(0.0, f64::max));
    format!("{:.2} ({least:.2}–{most:.2})", median(ratios()))
}

fn write_crashes(f: &mut fmt::Formatter<'_>, crashes: &[Crash]) -> fmt::Result {
    writeln!(
        f,
        "\n### After a crash\n\nThe worker is killed after a quarter of the backlog, and another one is \
         started at once.\n\n| crash | rewards interrupted | first one moves, s | last one moves, s |\n\
         |---:|---:|---:|---:|"
    )?;
    for (number, crash) in (1..).zip(crashes) {
        let Crash { interrupted, first_seconds, last_seconds } = crash;
        writeln!(f, "| {number} | {interrupted} | {first_seconds:.1} | {last_seconds:.1} |")?;
    }
    Ok(())
}
