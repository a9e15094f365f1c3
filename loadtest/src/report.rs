//! What people read: a table on the terminal, and the same in `results/` with the machine beside it.

use std::fmt::{self, Write as _};
use std::fs;

use serde::Serialize;

use crate::bench::{Clicks, Measured, Redirects, Round, Series, median};
use crate::clicks::Pipeline;
use crate::codes::Codes;
use crate::instructions::Counted;
use crate::landing::Landings;
use crate::machine::Machine;
use crate::memory::Memory;
use crate::outage::Outage;
use crate::rewards::Rewards;
use crate::wrk::CONNECTIONS;
use crate::{Error, Options, say};

mod clicks;
mod codes;
mod landing;
mod outage;
mod rewards;

/// Everything that was found.
#[derive(Serialize)]
pub(crate) struct Report {
    /// The day, in UTC.
    pub(crate) date: String,
    /// The length of a measured round in seconds, and of the traffic before it.
    pub(crate) round_seconds: (u32, u32),
    /// What it was measured on.
    pub(crate) machine: Machine,
    /// Redirects per second.
    pub(crate) redirects: Option<Redirects>,
    /// Landing pages per second.
    pub(crate) landings: Option<Landings>,
    /// Redirects with PostgreSQL running and frozen.
    pub(crate) outage: Option<Outage>,
    /// Clicks stored, added up and asked about.
    pub(crate) clicks: Option<Pipeline>,
    /// Referral codes generated and given.
    pub(crate) codes: Option<Codes>,
    /// Triggers and rewards per second.
    pub(crate) rewards: Option<Rewards>,
    /// Bytes per link.
    pub(crate) memory: Option<Memory>,
    /// Instructions per request; empty if they were not asked for.
    pub(crate) instructions: Vec<Counted>,
}

impl Report {
    /// A report without results yet.
    pub(crate) fn new(machine: Machine, options: &Options) -> Self {
        let now = waypost::clock::Clock::system().now();
        let date = i64::try_from(now.0)
            .ok()
            .and_then(|millis| jiff::Timestamp::from_millisecond(millis).ok())
            .map_or_else(|| "undated".to_owned(), |at| at.strftime("%Y-%m-%d").to_string());
        let round_seconds = (options.seconds, options.warm_up_seconds);
        Self {
            date,
            round_seconds,
            machine,
            redirects: None,
            landings: None,
            outage: None,
            clicks: None,
            codes: None,
            rewards: None,
            memory: None,
            instructions: Vec::new(),
        }
    }

    /// Whether all answers were right, and no click was lost without a word.
    pub(crate) fn is_clean(&self) -> bool {
        let right = self.redirects.as_ref().is_none_or(|redirects| {
            redirects.series.iter().flat_map(|series| &series.servers).all(|it| it.errors == 0.0)
        });
        let kept = self
            .outage
            .as_ref()
            .is_none_or(|outage| outage.errors == 0.0 && outage.books.balance());
        right && kept && self.landings.as_ref().is_none_or(Landings::is_clean)
    }

    /// Prints the report and writes its two files.
    pub(crate) fn publish(&self, options: &Options) -> Result<(), Error> {
        let text = self.to_string();
        say(&format!("\n{text}"));
        if options.dry_run {
            return Ok(());
        }
        let json = serde_json::to_string_pretty(self).expect("plain data is JSON");
        let write = || {
            fs::create_dir_all(&options.results)?;
            let name = format!("{}-{}", self.date, options.description);
            let file = options.results.join(&name);
            fs::write(file.with_extension("md"), &text)?;
            fs::write(file.with_extension("json"), json + "\n")?;
            std::io::Result::Ok(name)
        };
        let name = write().map_err(Error::io("write the results"))?;
        say(&format!("Written to the results as {name}.md and {name}.json."));
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let machine = &self.machine;
        writeln!(f, "# Benchmark of {}\n", self.date)?;
        if !self.is_clean() {
            writeln!(
                f,
                "**FAILED: some answers were wrong, or clicks lost; the figures do not count.**\n"
            )?;
        }
        writeln!(
            f,
            "Measured on: {}, {} cores, {} GiB, Linux {}; commit {}.  \nWith: {}.",
            machine.processor,
            machine.cores,
            machine.memory_gib,
            machine.kernel,
            machine.commit.as_deref().unwrap_or("unknown"),
            machine.programs.join("; "),
        )?;
        if let Some(redirects) = &self.redirects {
            write_redirects(f, redirects, self.round_seconds)?;
        }
        if let Some(landings) = &self.landings {
            landing::write(f, landings, self.round_seconds)?;
        }
        if let Some(outage) = &self.outage {
            outage::write(f, outage)?;
        }
        if let Some(clicks) = &self.clicks {
            clicks::write(f, clicks)?;
        }
        if let Some(codes) = &self.codes {
            codes::write(f, codes)?;
        }
        if let Some(rewards) = &self.rewards {
            rewards::write(f, rewards)?;
        }
        if let Some(memory) = &self.memory {
            write_memory(f, memory)?;
        }
        if !self.instructions.is_empty() {
            write_instructions(f, &self.instructions)?;
        }
        Ok(())
    }
}

fn write_redirects(
    f: &mut fmt::Formatter<'_>,
    redirects: &Redirects,
    (seconds, warm_up): (u32, u32),
) -> fmt::Result {
    writeln!(
        f,
        "\n## Redirects on one core\n\n{} links, {CONNECTIONS} keep-alive connections, a browser's \
         headers. One core for the server, one for wrk. Medians of rounds of {seconds} s, each \
         after {warm_up} s of traffic; the servers take turns. Ratios are medians of the ratios \
         within a turn, with the lowest and the highest in brackets.",
        redirects.links,
    )?;
    let place = if redirects.stores_on_measured_core { "measured" } else { "generator's" };
    writeln!(f, "Waypost's private PostgreSQL and Redis ran on the {place} core.")?;
    for word in &redirects.left_out {
        writeln!(f, "Left out: {word}.")?;
    }
    for series in &redirects.series {
        let name = series.choice.name();
        writeln!(f, "\n### {name} choice of links")?;
        write_series(f, series, "nginx's map")?;
    }
    redirects.clicks.as_ref().map_or(Ok(()), |clicks| write_clicks(f, clicks))
}

/// The servers of a series, beside the bare one and beside nginx, which does `what`.
fn write_series(f: &mut fmt::Formatter<'_>, series: &Series, what: &str) -> fmt::Result {
    writeln!(
        f,
        "\n{} rounds, {} more turns disturbed and repeated:\n\n\
         | server | requests/s | of bare hyper | of {what} | p50 ms | p99 ms | µs of processor each \
         | its core busy | wrk's core busy | others busy | errors \
         |\n|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
        series.servers.first().map_or(0, |server| server.rounds.len()),
        series.repeated,
    )?;
    let bare = series.servers.first();
    let nginx = series.nginx();
    for server in &series.servers {
        let middle = |of: fn(&Round) -> f64| median(server.rounds.iter().map(of));
        writeln!(
            f,
            "| {} | {:.0} | {} | {} | {:.2} | {:.2} | {:.1} | {:.0} % | {:.0} % | {:.1} % | {} |",
            server.name,
            middle(|round| round.requests_per_second),
            ratio(server, bare, REQUESTS),
            ratio(server, nginx, REQUESTS),
            middle(|round| round.p50_microseconds) / 1e3,
            middle(|round| round.p99_microseconds) / 1e3,
            middle(|round| round.processor_microseconds),
            middle(|round| round.server_core_busy) * 100.0,
            middle(|round| round.generator_core_busy) * 100.0,
            middle(|round| round.others_busy) * 100.0,
            server.errors,
        )?;
    }
    Ok(())
}

/// A figure of a round.
type Figure = fn(&Round) -> f64;

const REQUESTS: Figure = |round| round.requests_per_second;

/// The median of the ratios within each turn, which a slow drift of the machine leaves alone.
fn ratio(server: &Measured, to: Option<&Measured>, of: Figure) -> String {
    let Some(to) = to else { return "–".to_owned() };
    let ratios: Vec<f64> =
        server.rounds.iter().zip(&to.rounds).map(|(one, other)| of(one) / of(other)).collect();
    let mut text = format!("{:.2}", median(ratios.iter().copied()));
    if server.name != to.name {
        let least = ratios.iter().copied().fold(f64::INFINITY, f64::min);
        let most = ratios.iter().copied().fold(0.0, f64::max);
        write!(text, " ({least:.2}–{most:.2})").expect("a String takes all text");
    }
    text
}

fn write_clicks(f: &mut fmt::Formatter<'_>, clicks: &Clicks) -> fmt::Result {
    writeln!(
        f,
        "\nCounting was on: of {:.0} requests with an answer Waypost counted {:.0} as clicks and \
         dropped {:.0}. (Requests in flight when wrk stops are counted too.)",
        clicks.requests, clicks.counted, clicks.dropped,
    )
}

fn write_memory(f: &mut fmt::Formatter<'_>, memory: &Memory) -> fmt::Result {
    writeln!(
        f,
        "\n## Redis, bytes per link\n\n{} links, targets of 60–100 bytes, {} at the median.\n\n\
         | how | bytes per link | of plain | records of at most 64 bytes | buckets in listpack \
         | links found again |\n|---|---:|---:|---:|---:|---:|\n\
         | `SET l:<slug> <target>` | {:.1} | 1.00 | – | – | – |",
        memory.links, memory.median_target_bytes, memory.plain_bytes_per_link,
    )?;
    for buckets in &memory.buckets {
        writeln!(
            f,
            "| Waypost's buckets, {} dictionary | {:.1} | {:.2} | {:.1} % | {:.2} % | {:.2} % |",
            buckets.dictionary,
            buckets.bytes_per_link,
            buckets.bytes_per_link / memory.plain_bytes_per_link,
            buckets.fitting * 100.0,
            buckets.listpack * 100.0,
            buckets.found * 100.0,
        )?;
    }
    Ok(())
}

fn write_instructions(f: &mut fmt::Formatter<'_>, counted: &[Counted]) -> fmt::Result {
    writeln!(
        f,
        "\n## Instructions per request\n\nCounted by callgrind in the server's process: {CONNECTIONS} \
         keep-alive connections, a browser's headers, warm caches.\n\n\
         | server | instructions |\n|---|---:|"
    )?;
    for server in counted {
        writeln!(f, "| {} | {:.0} |", server.name, server.instructions_per_request)?;
    }
    Ok(())
}
