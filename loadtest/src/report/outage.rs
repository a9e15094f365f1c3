//! Redirects while PostgreSQL stands still, in tables.

use std::fmt::{self, Write as _};

use crate::bench::{Round, median};
use crate::books::Books;
use crate::outage::Outage;
use crate::wrk::CONNECTIONS;

pub(super) fn write(f: &mut fmt::Formatter<'_>, outage: &Outage) -> fmt::Result {
    writeln!(
        f,
        "\n## Redirects while PostgreSQL stands still\n\n{} links, all of them in Waypost's memory, Zipf; \
         {CONNECTIONS} keep-alive connections. {} rounds of {} s by turns, with PostgreSQL running and \
         frozen (SIGSTOP to all its processes, as the round begins); {} more turns disturbed and \
         repeated. Running, PostgreSQL shared {} core. Medians, with the lowest and the highest round in \
         brackets. {} wrong answers.\n\n\
         | PostgreSQL | requests/s | p50 ms | p99 ms | its core busy | wrk's core busy | others busy \
         |\n|---|---:|---:|---:|---:|---:|---:|",
        outage.links,
        outage.running.len(),
        outage.round_seconds,
        outage.repeated,
        if outage.stores_on_measured_core { "Waypost's" } else { "wrk's" },
        outage.errors,
    )?;
    for (name, rounds) in [("running", &outage.running), ("frozen", &outage.frozen)] {
        let figures = |of: fn(&Round) -> f64| Spread::of(rounds, of);
        writeln!(
            f,
            "| {name} | {:.0} | {:.2} | {:.2} | {:.0} % | {:.0} % | {:.1} % |",
            figures(|round| round.requests_per_second),
            figures(|round| round.p50_microseconds / 1e3),
            figures(|round| round.p99_microseconds / 1e3),
            figures(|round| round.server_core_busy * 100.0).middle,
            figures(|round| round.generator_core_busy * 100.0).middle,
            figures(|round| round.others_busy * 100.0).middle,
        )?;
    }
    writeln!(f)?;
    write_verdict(f, outage, "p50", |round| round.p50_microseconds)?;
    write_verdict(f, outage, "p99", |round| round.p99_microseconds)?;
    write_rounds(f, outage)?;
    write_books(f, &outage.books)
}

/// Whether a latency is as it was, measured by how far the rounds with PostgreSQL running are apart.
fn write_verdict(
    f: &mut fmt::Formatter<'_>,
    outage: &Outage,
    name: &str,
    of: fn(&Round) -> f64,
) -> fmt::Result {
    let (running, frozen) = (Spread::of(&outage.running, of), Spread::of(&outage.frozen, of));
    let verdict = if frozen.middle <= running.highest {
        "no longer than the noise"
    } else {
        "**longer than the noise**"
    };
    writeln!(
        f,
        "- {name}: frozen is {:.2} of running, at the medians: {verdict}. (Rounds with PostgreSQL running \
         are {:.2}–{:.2} of their own median.)",
        frozen.middle / running.middle,
        running.lowest / running.middle,
        running.highest / running.middle,
    )
}

/// The median of some rounds, and how far they are apart.
struct Spread {
    middle: f64,
    lowest: f64,
    highest: f64,
}

impl Spread {
    fn of(rounds: &[Round], of: fn(&Round) -> f64) -> Self {
        Self {
            middle: median(rounds.iter().map(of)),
            lowest: rounds.iter().map(of).fold(f64::INFINITY, f64::min),
            highest: rounds.iter().map(of).fold(f64::NEG_INFINITY, f64::max),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = f.precision().unwrap_or(2);
        let Self { middle, lowest, highest } = self;
        write!(f, "{middle:.digits$} ({lowest:.digits$}–{highest:.digits$})")
    }
}

fn write_rounds(f: &mut fmt::Formatter<'_>, outage: &Outage) -> fmt::Result {
    writeln!(
        f,
        "\n| round | running, p50 ms | frozen, p50 ms | running, p99 ms | frozen, p99 ms |\n\
         |---:|---:|---:|---:|---:|"
    )?;
    for (number, (running, frozen)) in (1..).zip(outage.running.iter().zip(&outage.frozen)) {
        writeln!(
            f,
            "| {number} | {:.2} | {:.2} | {:.2} | {:.2} |",
            running.p50_microseconds / 1e3,
            frozen.p50_microseconds / 1e3,
            running.p99_microseconds / 1e3,
            frozen.p99_microseconds / 1e3,
        )?;
    }
    Ok(())
}

/// What became of the clicks, in a sentence.
pub(super) fn write_books(f: &mut fmt::Formatter<'_>, books: &Books) -> fmt::Result {
    let mut dropped = String::new();
    for (reason, clicks) in books.dropped.iter().filter(|(_, clicks)| **clicks > 0.0) {
        write!(dropped, ", {clicks:.0} as {reason}")?;
    }
    let verdict = if books.balance() {
        "Each answer became one click, or one that is said to be dropped"
    } else {
        "**Answers and clicks do not match**"
    };
    writeln!(
        f,
        "\n{verdict}: of {:.0} requests with an answer ({:.0} by Waypost's count; up to {} were in flight when wrk \
         stopped) {:.0} were counted and {:.0} dropped{dropped}. The totals in PostgreSQL grew by {:.0}; \
         {:.0} of the clicks had waited in the spool, where {:.0} bytes are left.",
        books.sent,
        books.answered,
        books.in_flight_at_most,
        books.counted,
        books.all_dropped(),
        books.stored,
        books.spooled,
        books.spool_bytes,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spread_is_shown_with_as_many_digits_as_asked_for() {
        let spread = Spread { middle: 2.0, lowest: 1.26, highest: 3.0 };
        assert_eq!(format!("{spread:.1}"), "2.0 (1.3–3.0)");
    }
}
