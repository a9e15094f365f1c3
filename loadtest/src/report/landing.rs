//! Landing pages beside a static file, in a table.

use std::fmt;

use crate::bench::Measured;
use crate::landing::Landings;
use crate::wrk::CONNECTIONS;

pub(super) fn write(
    f: &mut fmt::Formatter<'_>,
    landings: &Landings,
    (seconds, warm_up): (u32, u32),
) -> fmt::Result {
    let place = if landings.stores_on_measured_core { "measured" } else { "generator's" };
    writeln!(
        f,
        "\n## Landing pages on one core\n\nThe demo campaign and {} codes, {CONNECTIONS} keep-alive \
         connections, the headers of a browser on Android that prefers Indonesian. One core for the \
         server, one for wrk. Medians of rounds of {seconds} s, each after {warm_up} s of traffic; the \
         servers take turns. Ratios are medians of the ratios within a turn, with the lowest and the \
         highest in brackets. Waypost's private PostgreSQL and Redis ran on the {place} core.",
        landings.codes,
    )?;
    for word in &landings.left_out {
        writeln!(f, "Left out: {word}.")?;
    }
    super::write_series(f, &landings.series, "nginx's read")?;
    write_verdicts(f, &landings.series.servers)?;
    writeln!(f, "\n| one answer | bytes of the head | bytes of the page |\n|---|---:|---:|")?;
    for size in &landings.sizes {
        writeln!(f, "| {} | {} | {} |", size.name, size.head_bytes, size.body_bytes)?;
    }
    super::outage::write_books(f, &landings.books)?;
    writeln!(
        f,
        "{:.0} visits in PostgreSQL have numbers of their own, {:.0} of them from before.",
        landings.numbered_visits, landings.numbered_visits_before,
    )
}

/// Waypost beside each nginx, by answers in a time, and by the time that the processor had to work for
/// one. The latter is what counts on a machine that others use as well.
fn write_verdicts(f: &mut fmt::Formatter<'_>, servers: &[Measured]) -> fmt::Result {
    let Some(waypost) = servers.iter().find(|server| server.name == "Waypost") else {
        return Ok(());
    };
    writeln!(f, "\n| Waypost, of … | by requests/s | by processor's time each |\n|---|---:|---:|")?;
    for other in servers.iter().filter(|server| server.name != waypost.name) {
        let by_time = super::ratio(other, Some(waypost), |round| round.processor_microseconds);
        let by_requests = super::ratio(waypost, Some(other), super::REQUESTS);
        writeln!(f, "| {} | {by_requests} | {by_time} |", other.name)?;
    }
    Ok(())
}
