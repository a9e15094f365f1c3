//! Redirects per second on one core: the servers take turns in short rounds.

use std::time::Duration;

use serde::Serialize;

use crate::client::Connection;
use crate::corpus::{self, Link};
use crate::machine::CpuTimes;
use crate::meters::Meters;
use crate::peers::{self, Peer, Place};
use crate::wrk::{Care, Choice, Generator, Outcome, Wanted};
use crate::{Beside, Error, Options, Part, say};

/// All that the redirect benchmark found.
#[derive(Serialize)]
pub(crate) struct Redirects {
    /// Links that each server knew.
    pub(crate) links: usize,
    /// Whether PostgreSQL and Redis shared the measured core.
    pub(crate) stores_on_measured_core: bool,
    /// One for each way to choose slugs.
    pub(crate) series: Vec<Series>,
    /// What was left out, and why.
    pub(crate) left_out: Vec<String>,
    /// Clicks that Waypost counted, beside the requests that it got meanwhile.
    pub(crate) clicks: Option<Clicks>,
}

/// The rounds of all servers with one way to choose slugs.
#[derive(Serialize)]
pub(crate) struct Series {
    /// How slugs were chosen.
    pub(crate) choice: Choice,
    /// Turns that were measured again because other programs were busy.
    pub(crate) repeated: u32,
    /// The servers, the bare one first.
    pub(crate) servers: Vec<Measured>,
}

impl Series {
    /// The rounds of nginx, if it took part.
    pub(crate) fn nginx(&self) -> Option<&Measured> {
        self.servers.iter().find(|server| server.name.starts_with("nginx"))
    }
}

/// The rounds of one server.
#[derive(Serialize)]
pub(crate) struct Measured {
    /// Its name.
    pub(crate) name: &'static str,
    /// In order; the rounds of one index follow each other directly.
    pub(crate) rounds: Vec<Round>,
    /// Wrong answers and broken connections, in measured rounds and in checks. More than none: the
    /// figures do not count.
    pub(crate) errors: f64,
}

/// One measured round.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Round {
    /// Answers per second.
    pub(crate) requests_per_second: f64,
    /// The median latency.
    pub(crate) p50_microseconds: f64,
    /// The latency that 99 % stayed under.
    pub(crate) p99_microseconds: f64,
    /// Processor's time that the server itself took for a request, in microseconds. Others who use the
    /// same core make rounds slower, and change this least.
    pub(crate) processor_microseconds: f64,
    /// The share of the time that the server's core was busy.
    pub(crate) server_core_busy: f64,
    /// The share of the time that the generator's core was busy.
    pub(crate) generator_core_busy: f64,
    /// The share of all cores' time that other programs used.
    pub(crate) others_busy: f64,
}

/// Whether counting was at work while it was measured.
#[derive(Serialize)]
pub(crate) struct Clicks {
    /// Requests that the generator had answers for.
    pub(crate) requests: f64,
    /// Clicks that were written to PostgreSQL.
    pub(crate) counted: f64,
    /// Clicks that were dropped.
    pub(crate) dropped: f64,
}

/// Seconds of a run that looks at every answer.
pub(crate) const CHECK_SECONDS: u32 = 2;

/// How often a link that cannot be looked up in time is asked for again, before anything is measured.
const RETRIES: u32 = 25;

/// A turn is measured again when other programs use more than this share of the machine meanwhile.
pub(crate) const DISTURBED: f64 = 0.03;

/// Starts the servers, lets them take turns, and stops them.
pub(crate) fn redirects(options: &Options) -> Result<Redirects, Error> {
    let directory = peers::directory()?;
    let links = corpus::links(options.links);
    let wanted = Wanted::redirects(&links);
    let generator = Generator::prepare(options.generator_core, directory.path(), &wanted)?;
    let mut left_out = Vec::new();
    let cores = Cores::of(options)?;
    let place = Place { core: cores.server, directory: directory.path(), counted: false };
    let servers = start(options, place, &links, &mut left_out)?;
    for server in servers.iter().filter(|server| server.knows_links) {
        say(&format!("Checking where every link of {} leads.", server.name));
        check_targets(server, &links)?;
    }
    let metered = servers.iter().find_map(|server| server.metrics);
    let before = metered.map(Meters::read).transpose()?;
    let mut tally = Tally::new(options, &generator, cores);
    let mut series = Vec::new();
    for choice in Choice::ALL {
        say(&format!("Measuring: {} slugs, {} rounds.", choice.name(), options.rounds));
        series.push(tally.series(choice, &servers)?);
    }
    let clicks = match (metered, before) {
        (Some(address), Some(before)) => {
            // Twice the default time between two writes of the click counters, and a little more.
            std::thread::sleep(Duration::from_millis(1_500));
            let after = Meters::read(address)?;
            Some(Clicks {
                requests: tally.waypost_requests,
                counted: after.counted - before.counted,
                dropped: after.all_dropped() - before.all_dropped(),
            })
        }
        _ => None,
    };
    Ok(Redirects {
        links: options.links,
        stores_on_measured_core: options.stores == Beside::Server,
        series,
        left_out,
        clicks,
    })
}

/// The two cores that matter.
#[derive(Clone, Copy)]
pub(crate) struct Cores {
    /// The one of the server that is measured.
    pub(crate) server: usize,
    /// The one of the load generator.
    pub(crate) generator: usize,
}

impl Cores {
    /// Those that were asked for, or the last one and the first one.
    pub(crate) fn of(options: &Options) -> Result<Self, Error> {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let server = options.server_core.unwrap_or_else(|| cores.saturating_sub(1));
        if server == options.generator_core {
            let what = "the server and the generator need a core each; this machine has one, or \
                        --server-core and --generator-core are the same";
            return Err(Error::broken("loadtest", what));
        }
        Ok(Self { server, generator: options.generator_core })
    }

    /// What came of one run of the generator, and what the machine did meanwhile.
    pub(crate) fn watch(
        self,
        server: &Peer,
        run: impl FnOnce() -> Result<Outcome, Error>,
    ) -> Result<(Outcome, Round), Error> {
        let (before, seconds_before) = (CpuTimes::read()?, server.seconds()?);
        let outcome = run()?;
        let (after, seconds) = (CpuTimes::read()?, server.seconds()?);
        let round = Round {
            requests_per_second: outcome.requests * 1e6 / outcome.microseconds,
            p50_microseconds: outcome.p50,
            p99_microseconds: outcome.p99,
            processor_microseconds: (seconds - seconds_before) * 1e6 / outcome.requests,
            server_core_busy: after.busy_since(&before, self.server),
            generator_core_busy: after.busy_since(&before, self.generator),
            others_busy: after.others_since(&before),
        };
        Ok((outcome, round))
    }
}

fn start(
    options: &Options,
    place: Place<'_>,
    links: &[Link],
    left_out: &mut Vec<String>,
) -> Result<Vec<Peer>, Error> {
    let mut servers = vec![peers::bare(place)?];
    if options.skips(Part::Waypost) {
        left_out.push("Waypost: not asked for".to_owned());
    } else {
        say(&format!("Starting Waypost and giving it {} links.", links.len()));
        servers.push(peers::waypost(options, place, links, &[])?.peer);
    }
    if options.skips(Part::Nginx) {
        left_out.push("nginx: not asked for".to_owned());
    } else if let Some(nginx) = peers::nginx(place, links)? {
        servers.push(nginx);
    } else {
        left_out.push("nginx: not installed (apt-get install nginx-light)".to_owned());
    }
    for word in &*left_out {
        say(&format!("Left out: {word}."));
    }
    Ok(servers)
}

/// Asks for every link once, which warms the caches too.
pub(crate) fn check_targets(server: &Peer, links: &[Link]) -> Result<(), Error> {
    let ask = Error::io(format!("ask {} for a link", server.name));
    let wrong = (|| {
        let mut connection = Connection::open(server.address)?;
        for link in links {
            let path = format!("/{}", link.slug);
            let mut answer = connection.get(&path)?;
            // A link that is not cached yet may miss its budget while the machine is busy.
            for _ in 0..RETRIES {
                if answer.status != 503 {
                    break;
                }
                std::thread::sleep(Duration::from_millis(200));
                answer = connection.get(&path)?;
            }
            if answer.status != 302 || answer.location.as_ref() != Some(&link.target) {
                return Ok(Some((link, answer)));
            }
        }
        Ok(None)
    })()
    .map_err(ask)?;
    match wrong {
        None => Ok(()),
        Some((link, answer)) => Err(Error::broken(
            server.name,
            format!(
                "/{} was answered with {} and {:?}, not with a 302 to {}: {}",
                link.slug, answer.status, answer.location, link.target, answer.body
            ),
        )),
    }
}

/// Runs the rounds, and keeps count of what Waypost was asked.
pub(crate) struct Tally<'a> {
    options: &'a Options,
    generator: &'a Generator,
    cores: Cores,
    /// Requests that Waypost answered, as far as the generator saw it.
    pub(crate) waypost_requests: f64,
    /// How often the generator was started for Waypost.
    pub(crate) waypost_runs: u32,
}

impl<'a> Tally<'a> {
    /// Nothing was asked yet.
    pub(crate) fn new(options: &'a Options, generator: &'a Generator, cores: Cores) -> Self {
        Self { options, generator, cores, waypost_requests: 0.0, waypost_runs: 0 }
    }

    /// All rounds of all servers, with a look at every answer before and after them.
    pub(crate) fn series(&mut self, choice: Choice, servers: &[Peer]) -> Result<Series, Error> {
        let mut measured: Vec<Measured> = servers
            .iter()
            .map(|server| Measured { name: server.name, rounds: Vec::new(), errors: 0.0 })
            .collect();
        self.check(choice, servers, &mut measured)?;
        let (mut turns, mut repeated) = (0, 0);
        while turns < self.options.rounds {
            let turn = self.turn(choice, servers, &mut measured)?;
            let disturbed = turn.iter().any(|round| round.others_busy > DISTURBED);
            if disturbed && repeated < self.options.repeats {
                repeated += 1;
                continue;
            }
            turns += 1;
            for (round, into) in turn.into_iter().zip(&mut measured) {
                into.rounds.push(round);
            }
        }
        self.check(choice, servers, &mut measured)?;
        Ok(Series { choice, repeated, servers: measured })
    }

    /// A run in which every status is looked at.
    fn check(
        &mut self,
        choice: Choice,
        servers: &[Peer],
        measured: &mut [Measured],
    ) -> Result<(), Error> {
        for (server, into) in servers.iter().zip(measured) {
            let outcome = self.send(choice, server, CHECK_SECONDS, Care::Check)?;
            into.errors += outcome.errors;
        }
        Ok(())
    }

    /// One round of each server.
    fn turn(
        &mut self,
        choice: Choice,
        servers: &[Peer],
        measured: &mut [Measured],
    ) -> Result<Vec<Round>, Error> {
        let mut turn = Vec::with_capacity(servers.len());
        for (server, into) in servers.iter().zip(measured) {
            let warm_up = self.send(choice, server, self.options.warm_up_seconds, Care::Measure)?;
            let (cores, seconds) = (self.cores, self.options.seconds);
            let (outcome, round) =
                cores.watch(server, || self.send(choice, server, seconds, Care::Measure))?;
            into.errors += warm_up.errors + outcome.errors;
            turn.push(round);
        }
        Ok(turn)
    }

    fn send(
        &mut self,
        choice: Choice,
        server: &Peer,
        seconds: u32,
        care: Care,
    ) -> Result<Outcome, Error> {
        let outcome = self.generator.run(server.address, choice, seconds, care)?;
        if server.metrics.is_some() {
            self.waypost_requests += outcome.requests;
            self.waypost_runs += 1;
        }
        Ok(outcome)
    }
}

/// The value in the middle; of an even number of values, the upper one of the two in the middle.
pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut sorted: Vec<f64> = values.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied().unwrap_or(f64::NAN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_does_not_mind_one_wild_round() {
        assert!((median([3.0, 1_000.0, 2.0]) - 3.0).abs() < f64::EPSILON);
    }
}
