//! What people notice while PostgreSQL stands still: redirects of links that are in the cache, with
//! PostgreSQL running and frozen by turns; and whether all clicks are counted afterwards.

use rustix::process::{Pid, Signal, kill_process};
use serde::Serialize;

use crate::bench::{self, CHECK_SECONDS, Cores, DISTURBED, Round};
use crate::books::{Books, Ledger};
use crate::corpus;
use crate::meters::Meters;
use crate::peers::{self, Place, Waypost};
use crate::wrk::{Care, Choice, Generator, Outcome, Wanted};
use crate::{Beside, Error, Options, say};

/// What the outage benchmark found.
#[derive(Serialize)]
pub(crate) struct Outage {
    /// Links that got traffic.
    pub(crate) links: usize,
    /// Whether PostgreSQL and Redis shared the measured core, not the generator's.
    pub(crate) stores_on_measured_core: bool,
    /// The length of a measured round, in seconds.
    pub(crate) round_seconds: u32,
    /// Turns that were measured again because other programs were busy.
    pub(crate) repeated: u32,
    /// Rounds with PostgreSQL running, in order.
    pub(crate) running: Vec<Round>,
    /// Rounds in which PostgreSQL stood still from the beginning to the end; each follows the one of
    /// the same index in `running`.
    pub(crate) frozen: Vec<Round>,
    /// Wrong answers and broken connections. More than none: the figures do not count.
    pub(crate) errors: f64,
    /// What became of the clicks.
    pub(crate) books: Books,
}

/// Few enough links that all of them stay in the first tier, and are asked for all the time.
const LINKS: usize = 1_000;

/// A round is no shorter than this: a link is believed for ten seconds, give or take a tenth, and
/// after that Waypost asks. In a shorter round the outage would not reach most of the links.
const LEAST_SECONDS: u32 = 12;

/// How slugs are chosen.
const CHOICE: Choice = Choice::Zipf;

/// How often processes are listed until there are no more to stop.
const LISTINGS: usize = 20;

/// Starts Waypost, measures it in rounds that take turns, and stops it.
pub(crate) fn measure(options: &Options) -> Result<Outage, Error> {
    let directory = peers::directory()?;
    let links = corpus::links(LINKS);
    let cores = Cores::of(options)?;
    let generator =
        Generator::prepare(cores.generator, directory.path(), &Wanted::redirects(&links))?;
    let place = Place { core: cores.server, directory: directory.path(), counted: false };
    say(&format!("Starting Waypost with {LINKS} links, to stop its PostgreSQL now and then."));
    let waypost = peers::waypost(options, place, &links, &[])?;
    bench::check_targets(&waypost.peer, &links)?;
    let mut trial = Trial {
        generator: &generator,
        cores,
        waypost: &waypost,
        seconds: options.seconds.max(LEAST_SECONDS),
        warm_up_seconds: options.warm_up_seconds,
        ledger: Ledger::open(&waypost.whereabouts)?,
        sent: 0.0,
        runs: 0,
        errors: 0.0,
    };
    trial.check()?;
    let (mut running, mut frozen, mut repeated) = (Vec::new(), Vec::new(), 0);
    while running.len() < usize::try_from(options.rounds).unwrap_or(usize::MAX) {
        say(&format!("Round {} with PostgreSQL running, then frozen.", running.len() + 1));
        let turn = [trial.round_running()?, trial.round_frozen()?];
        let disturbed = turn.iter().any(|round| round.others_busy > DISTURBED);
        if disturbed && repeated < options.repeats {
            repeated += 1;
            continue;
        }
        let [with, without] = turn;
        running.push(with);
        frozen.push(without);
    }
    Ok(Outage {
        links: LINKS,
        stores_on_measured_core: options.stores == Beside::Server,
        round_seconds: trial.seconds,
        repeated,
        running,
        frozen,
        errors: trial.errors,
        books: trial.ledger.close(trial.sent, trial.runs)?,
    })
}

/// Runs the rounds, and keeps count of what was sent.
struct Trial<'a> {
    generator: &'a Generator,
    cores: Cores,
    waypost: &'a Waypost,
    seconds: u32,
    warm_up_seconds: u32,
    ledger: Ledger<'a>,
    sent: f64,
    runs: u32,
    errors: f64,
}

impl Trial<'_> {
    /// Looks at every answer, with PostgreSQL running and frozen.
    fn check(&mut self) -> Result<(), Error> {
        self.send(CHECK_SECONDS, Care::Check)?;
        let frozen = Frozen::below(self.waypost.peer.id())?;
        self.send(LEAST_SECONDS, Care::Check)?;
        drop(frozen);
        self.ledger.settle().map(drop)
    }

    fn round_running(&mut self) -> Result<Round, Error> {
        self.send(self.warm_up_seconds, Care::Measure)?;
        self.watch()
    }

    /// PostgreSQL stops between the traffic that warms up and the one that is measured: the moment
    /// in which Waypost notices is part of the round.
    fn round_frozen(&mut self) -> Result<Round, Error> {
        self.send(self.warm_up_seconds, Care::Measure)?;
        let spooled = Meters::read(self.waypost.whereabouts.control)?.spooled;
        let frozen = Frozen::below(self.waypost.peer.id())?;
        let round = self.watch()?;
        drop(frozen);
        // What waits is stored before anything else is measured: it would be that round's burden.
        if self.ledger.settle()?.spooled > spooled {
            Ok(round)
        } else {
            let what = "no click waited for it: it went on though it was told to stand still";
            Err(Error::broken("PostgreSQL", what))
        }
    }

    fn watch(&mut self) -> Result<Round, Error> {
        let (cores, seconds, waypost) = (self.cores, self.seconds, self.waypost);
        let (_, round) = cores.watch(&waypost.peer, || self.send(seconds, Care::Measure))?;
        Ok(round)
    }

    fn send(&mut self, seconds: u32, care: Care) -> Result<Outcome, Error> {
        let outcome = self.generator.run(self.waypost.peer.address, CHOICE, seconds, care)?;
        self.sent += outcome.requests;
        self.runs += 1;
        self.errors += outcome.errors;
        Ok(outcome)
    }
}

/// PostgreSQL, standing still as long as this is there.
struct Frozen(Vec<Pid>);

impl Frozen {
    /// Stops all processes of the PostgreSQL that Waypost started. Until the first of them stands
    /// still it may start others, so they are listed again until there are no more.
    fn below(waypost: u32) -> Result<Self, Error> {
        let mut frozen = Self(Vec::new());
        for _ in 0..LISTINGS {
            let ids = peers::stores(waypost, &["postgres"])?;
            let known: Vec<Pid> = std::mem::take(&mut frozen.0);
            let pids = ids.into_iter().filter_map(|id| Pid::from_raw(i32::try_from(id).ok()?));
            let (old, new): (Vec<Pid>, Vec<Pid>) = pids.partition(|pid| known.contains(pid));
            frozen.0 = old;
            if new.is_empty() && !frozen.0.is_empty() {
                return Ok(frozen);
            }
            for pid in new {
                frozen.0.push(pid);
                match kill_process(pid, Signal::STOP) {
                    // One that has ended meanwhile stands still.
                    Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                    Err(error) => return Err(Error::io("stop PostgreSQL")(error.into())),
                }
            }
        }
        Err(Error::broken("PostgreSQL", "it cannot be found below Waypost, or not stopped"))
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        for pid in &self.0 {
            match kill_process(*pid, Signal::CONT) {
                Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                Err(error) => say(&format!("PostgreSQL may still stand still: {error}")),
            }
        }
    }
}
