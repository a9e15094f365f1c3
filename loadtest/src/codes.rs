//! Referral codes: how fast they are generated into the pool and what one takes on disk, and how many
//! users a second get theirs, one by one and in batches.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use serde::Serialize;
use waypost::campaign::CampaignId;
use waypost::campaign::document::Format;
use waypost::campaign::service::{CampaignService, Draft};
use waypost::clock::Stopwatch;
use waypost::code::referral::{Alphabet, ReferralCode};
use waypost::config::Config;
use waypost::store::codes::pool;

use crate::bench::Cores;
use crate::client::Connection;
use crate::corpus;
use crate::database::{Database, broken};
use crate::peers::{self, Place};
use crate::{Error, Options, say};

/// What the benchmark of codes found.
#[derive(Serialize)]
pub(crate) struct Codes {
    /// Codes generated into the pool.
    pub(crate) generated: usize,
    /// Codes of one batch.
    pub(crate) batch: usize,
    /// Codes drawn and screened a second, on one core, stored by nobody.
    pub(crate) drawn_per_second: f64,
    /// Codes drawn, screened and stored in the pool a second.
    pub(crate) stored_per_second: f64,
    /// Bytes of the pool on disk for each code, indexes included.
    pub(crate) bytes_per_code: f64,
    /// Users a second who get a code, asked for one by one by [`CALLERS`] at once.
    pub(crate) issued_singly_per_second: f64,
    /// The same by batches of [`USERS`], by [`BATCH_CALLERS`] at once.
    pub(crate) issued_in_batches_per_second: f64,
    /// Users a second who are told the code that they have, by [`CALLERS`] at once.
    pub(crate) told_again_per_second: f64,
    /// Codes that were answered, which all differ.
    pub(crate) different: i64,
}

/// Callers at once, each on a connection of its own.
pub(crate) const CALLERS: usize = 64;
/// Callers of batches at once.
pub(crate) const BATCH_CALLERS: usize = 4;
/// Users of one batch.
pub(crate) const USERS: usize = 1_000;

/// Codes of one batch of the pool, as released.
const POOL_BATCH: usize = 20_000;
/// Symbols of a code.
const LENGTH: u8 = 6;
/// Requests of each caller.
const EACH: usize = 200;
/// Batches of each caller of batches.
const EACH_BATCHES: usize = 25;

/// The campaign of the documentation.
const DEMO: &str = include_str!("../../config/campaigns/demo.toml");

/// Generates `--codes` codes, and gives some to users.
pub(crate) fn measure(options: &Options) -> Result<Codes, Error> {
    let directory = peers::directory()?;
    let core = Cores::of(options)?.server;
    let place = Place { core, directory: directory.path(), counted: false };
    say("Starting Waypost, to generate codes.");
    let waypost = peers::waypost(options, place, &corpus::links(1), &[])?;
    let database = Database::at(&waypost.whereabouts.database_url)?;
    let (drawn_seconds, stored_seconds) = generate(&database, options.codes)?;
    let size = "/* size_of_pool */ SELECT pg_total_relation_size('pooled_code')";
    let generated = "/* count_pool */ SELECT count(*) FROM pooled_code";
    let bytes_per_code = number(database.number(size)?) / number(database.number(generated)?);

    activate(&database)?;
    let desk = Desk { control: waypost.whereabouts.control, key: &waypost.whereabouts.api_key };
    desk.wait_for_campaign()?;
    say("Giving codes to users.");
    let before = database.number("/* count_codes */ SELECT count(*) FROM referral_code")?;
    let singly = desk.ask(CALLERS, EACH, single)?;
    let again = desk.ask(CALLERS, EACH, single)?;
    let in_batches = desk.ask(BATCH_CALLERS, EACH_BATCHES, batch)?;
    let (one_by_one, batches) = (CALLERS * EACH, BATCH_CALLERS * EACH_BATCHES * USERS);
    let different =
        database.number("/* count_codes */ SELECT count(*) FROM referral_code")? - before;
    if usize::try_from(different).ok() != Some(one_by_one + batches) {
        return Err(broken(format!("{different} codes for {} users", one_by_one + batches)));
    }
    Ok(Codes {
        generated: options.codes,
        batch: POOL_BATCH,
        drawn_per_second: count(options.codes) / drawn_seconds,
        stored_per_second: count(options.codes) / (drawn_seconds + stored_seconds),
        bytes_per_code,
        issued_singly_per_second: count(one_by_one) / singly,
        issued_in_batches_per_second: count(batches) / in_batches,
        told_again_per_second: count(one_by_one) / again,
        different,
    })
}

/// Generates codes batch by batch, as Waypost does; the seconds of drawing them, and of storing them.
fn generate(database: &Database, wanted: usize) -> Result<(f64, f64), Error> {
    say(&format!("Generating {wanted} codes."));
    let alphabet = Alphabet::shuffled(&[7; 32]);
    let enough = i64::try_from(wanted).unwrap_or(i64::MAX);
    let (mut drawn, mut stored) = (0.0, 0.0);
    loop {
        let stopwatch = Stopwatch::start();
        let codes: Vec<ReferralCode> =
            (0..POOL_BATCH).map(|_| alphabet.generate(LENGTH, &mut rand::rng())).collect();
        drawn += stopwatch.elapsed().as_secs_f64();
        let stopwatch = Stopwatch::start();
        let added = pool::add(&database.store, LENGTH, &codes, enough);
        let added = database.runtime.block_on(added).map_err(broken)?;
        stored += stopwatch.elapsed().as_secs_f64();
        if added == 0 {
            return Ok((drawn, stored));
        }
    }
}

fn activate(database: &Database) -> Result<(), Error> {
    database.runtime.block_on(async {
        let service = CampaignService::new(database.store.clone(), &Config::default());
        let campaign: CampaignId = "bench".parse().map_err(broken)?;
        let draft = Draft { campaign: &campaign, text: DEMO, format: Format::Toml };
        let (version, _) = service.put("the benchmark", draft).await.map_err(broken)?;
        let version = version.record.version;
        service.activate("the benchmark", &campaign, version).await.map_err(broken)?;
        Ok(())
    })
}

/// What the n-th request of a caller asks for: the rest of the path, and the body.
type Request = fn(caller: usize, n: usize) -> (&'static str, String);

fn single(caller: usize, n: usize) -> (&'static str, String) {
    ("", format!(r#"{{"user":"single-{caller}-{n}","name":"Rina Sari"}}"#))
}

fn batch(caller: usize, n: usize) -> (&'static str, String) {
    let users: Vec<String> =
        (0..USERS).map(|user| format!(r#"{{"user":"batch-{caller}-{n}-{user}"}}"#)).collect();
    ("/batch", format!(r#"{{"users":[{}]}}"#, users.join(",")))
}

/// Where users ask for their codes.
#[derive(Clone, Copy)]
struct Desk<'a> {
    control: SocketAddr,
    key: &'a str,
}

impl Desk<'_> {
    /// A campaign is known to a running process within a second.
    fn wait_for_campaign(self) -> Result<(), Error> {
        let begun = Stopwatch::start();
        while begun.elapsed() < Duration::from_mins(1) {
            if self.post(&mut self.connect()?, "", r#"{"user":"first"}"#)? == 201 {
                return Ok(());
            }
            thread::sleep(Duration::from_millis(50));
        }
        Err(broken("the campaign does not begin"))
    }

    /// So many callers at once, each with so many requests; the seconds until all are answered.
    fn ask(self, callers: usize, each: usize, request: Request) -> Result<f64, Error> {
        let stopwatch = Stopwatch::start();
        thread::scope(|scope| {
            let caller = |caller| {
                scope.spawn(move || {
                    let mut connection = self.connect()?;
                    for n in 0..each {
                        let (path, body) = request(caller, n);
                        let status = self.post(&mut connection, path, &body)?;
                        if !matches!(status, 200 | 201) {
                            return Err(broken(format!("a request was answered with {status}")));
                        }
                    }
                    Ok(())
                })
            };
            let callers: Vec<_> = (0..callers).map(caller).collect();
            callers.into_iter().try_for_each(|caller| {
                caller.join().unwrap_or_else(|_panicked| Err(broken("a caller panicked")))
            })
        })?;
        Ok(stopwatch.elapsed().as_secs_f64())
    }

    fn connect(self) -> Result<Connection, Error> {
        Connection::open(self.control).map_err(Error::io("connect to Waypost's API"))
    }

    fn post(self, connection: &mut Connection, path: &str, body: &str) -> Result<u16, Error> {
        let path = format!("/v1/campaigns/bench/codes{path}");
        let answer = connection.post(&path, self.key, body);
        Ok(answer.map_err(Error::io("ask Waypost for a code"))?.status)
    }
}

fn count(number: usize) -> f64 {
    f64::from(u32::try_from(number).unwrap_or(u32::MAX))
}

/// Sizes of up to four terabytes, to the kilobyte.
fn number(number: i64) -> f64 {
    match u32::try_from(number) {
        Ok(small) => f64::from(small),
        Err(_large) => u32::try_from(number / 1_024).map_or(f64::NAN, f64::from) * 1_024.0,
    }
}
