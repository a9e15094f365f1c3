//! Triggers a second: one row at a time, and through the API, singly and in batches.

use std::net::SocketAddr;
use std::thread;

use jiff::Timestamp;
use serde::Serialize;
use waypost::clock::{Clock, Stopwatch};

use super::Run;
use super::meter::Meter;
use super::one_by_one;
use super::stage::{BASE, Served, Stage};
use crate::client::Connection;
use crate::database::{Database, broken};
use crate::{Error, Options, meters, say};

/// What a campaign promises for a trigger.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Promise {
    /// A reward of the inviter, drawn from prizes.
    One,
    /// The same, and a fixed one of the invitee.
    Two,
}

impl Promise {
    /// Both.
    pub(crate) const ALL: [Self; 2] = [Self::One, Self::Two];

    /// The name of the campaign.
    pub(crate) fn campaign(self) -> &'static str {
        match self {
            Self::One => "one",
            Self::Two => "two",
        }
    }

    /// Rewards for one trigger.
    pub(crate) fn rewards(self) -> u32 {
        match self {
            Self::One => 1,
            Self::Two => 2,
        }
    }
}

/// How triggers are sent.
#[derive(Clone, Copy, PartialEq, Eq, Serialize)]
pub(crate) enum Way {
    /// Waypost's own statements, a transaction for each trigger.
    OneByOne,
    /// Through the API, one in a request.
    Singly,
    /// Through the API, many in a request.
    Batches,
}

impl Way {
    const ALL: [Self; 3] = [Self::OneByOne, Self::Singly, Self::Batches];

    /// How many of so many users are sent this way: slow ways get fewer, so that all take seconds.
    fn share(self, users: u32) -> u32 {
        match self {
            Self::OneByOne => users / 4,
            Self::Singly => users / 2,
            Self::Batches => users,
        }
    }
}

/// Callers at once, each on a connection of its own.
pub(crate) const CALLERS: u32 = 256;
/// Callers of batches at once.
pub(crate) const BATCH_CALLERS: u32 = 4;
/// Triggers of one batch.
pub(crate) const BATCH: u32 = 1_000;

/// What users reach.
pub(super) const KIND: &str = "loan_disbursed";

/// The runs of one promise.
#[derive(Serialize)]
pub(crate) struct Series {
    /// What a trigger earned.
    pub(crate) promise: Promise,
    /// The ways to send triggers, and the runs of each, in order.
    pub(crate) ways: Vec<(Way, Vec<Run>)>,
}

/// Lets the ways take turns, each on a fresh database.
pub(super) fn measure(stage: &Stage, options: &Options) -> Result<Vec<Series>, Error> {
    let series = |promise| Series { promise, ways: Way::ALL.map(|way| (way, Vec::new())).into() };
    let mut all: Vec<Series> = Promise::ALL.map(series).into();
    for round in 1..=options.rounds {
        for Series { promise, ways } in &mut all {
            say(&format!("Round {round} of triggers, {} rewards each.", promise.rewards()));
            for (way, runs) in ways {
                let run = run(stage, *promise, *way, options.triggers)?;
                say(&format!("{:.0} triggers a second.", run.rate()));
                runs.push(run);
            }
        }
    }
    Ok(all)
}

fn run(stage: &Stage, promise: Promise, way: Way, users: u32) -> Result<Run, Error> {
    let items = way.share(users);
    let database = stage.fresh(BASE, one_by_one::WORKERS)?;
    let run = if way == Way::OneByOne {
        let meter = Meter::start(&database, None, None)?;
        let seconds = one_by_one::take_triggers(&database, promise, items)?;
        Run { items, seconds, set: 1.0, cost: meter.stop()? }
    } else {
        through_the_api(stage, &database, (promise, way), items)?
    };
    let begun = database.number("/* count_begun */ SELECT count(*) FROM reward_task")?;
    if begun != i64::from(items * promise.rewards()) {
        return Err(broken(format!("{begun} rewards were begun for {items} triggers")));
    }
    Ok(run)
}

fn through_the_api(
    stage: &Stage,
    database: &Database,
    (promise, way): (Promise, Way),
    items: u32,
) -> Result<Run, Error> {
    let served = stage.serve_run(None)?;
    let groups =
        |what| meters::total(served.control, &format!("waypost_trigger_group_size_{what}"));
    let (triggers, transactions) = (groups("sum")?, groups("count")?);
    let caller = Caller { served: &served, key: &stage.api_key, promise, now: now() };
    let meter = Meter::start(database, Some(served.process.id()), None)?;
    let seconds = match way {
        Way::Batches => caller.send(BATCH_CALLERS, items / BATCH, Caller::batch)?,
        Way::OneByOne | Way::Singly => caller.send(CALLERS, items, Caller::single)?,
    };
    let cost = meter.stop()?;
    let set = (groups("sum")? - triggers) / (groups("count")? - transactions);
    Ok(Run { items, seconds, set, cost })
}

/// The moment at which everything happened.
pub(super) fn now() -> Timestamp {
    Timestamp::from(Clock::system().now())
}

/// Sends triggers.
struct Caller<'a> {
    served: &'a Served,
    key: &'a str,
    promise: Promise,
    now: Timestamp,
}

/// Sends the request with this number.
type Send<'a> = fn(&Caller<'a>, &mut Connection, u32) -> Result<(), Error>;

impl<'a> Caller<'a> {
    /// So many requests by so many callers at once; the seconds until all are answered.
    fn send(&self, callers: u32, requests: u32, send: Send<'a>) -> Result<f64, Error> {
        let stopwatch = Stopwatch::start();
        thread::scope(|scope| {
            let caller = |first| {
                scope.spawn(move || {
                    let mut connection = open(self.served.control)?;
                    let step = usize::try_from(callers).expect("a few");
                    (first..requests).step_by(step).try_for_each(|n| send(self, &mut connection, n))
                })
            };
            let callers: Vec<_> = (0..callers).map(caller).collect();
            callers.into_iter().try_for_each(|caller| {
                caller.join().unwrap_or_else(|_panicked| Err(broken("a caller panicked")))
            })
        })?;
        Ok(stopwatch.elapsed().as_secs_f64())
    }

    fn single(&self, connection: &mut Connection, n: u32) -> Result<(), Error> {
        let path = format!("/v1/campaigns/{}/triggers", self.promise.campaign());
        let answer = connection.post(&path, self.key, &self.trigger(n));
        match answer.map_err(Error::io("send a trigger"))? {
            answer if answer.status == 201 => Ok(()),
            answer => Err(broken(format!("a trigger: {} {}", answer.status, answer.body))),
        }
    }

    fn batch(&self, connection: &mut Connection, n: u32) -> Result<(), Error> {
        let path = format!("/v1/campaigns/{}/triggers/batch", self.promise.campaign());
        let lines: Vec<String> = (n * BATCH..(n + 1) * BATCH).map(|n| self.trigger(n)).collect();
        let body = lines.join("\n");
        let answer = connection.post_as("application/x-ndjson", &path, self.key, &body);
        let answer = answer.map_err(Error::io("send triggers"))?;
        let taken = answer.body.lines().filter(|line| line.contains("\"status\":201"));
        match taken.count() {
            taken if u32::try_from(taken).ok() == Some(BATCH) => Ok(()),
            taken => {
                let begin: String = answer.body.chars().take(300).collect();
                let what = format!("{taken} of {BATCH} were taken: {} {begin}", answer.status);
                Err(broken(what))
            }
        }
    }

    fn trigger(&self, n: u32) -> String {
        format!(
            r#"{{"event_id":"event-{n}","kind":"{KIND}","user":"invitee-{n}","occurred_at":"{}","amount_minor":100000000}}"#,
            self.now
        )
    }
}

fn open(control: SocketAddr) -> Result<Connection, Error> {
    Connection::open(control).map_err(Error::io("connect to Waypost's API"))
}
