//! Clicks on their way in and out: how fast visits are stored, how long adding a day up takes, what a
//! visit takes on disk, and whether the reports about a busy link stay quick as its history grows.

use std::sync::Arc;
use std::time::Duration;

use jiff::civil::Date;
use serde::Serialize;
use waypost::clicks::keeper::Keeper;
use waypost::clock::{Clock, Stopwatch};
use waypost::link::{DomainId, LinkId};
use waypost::metrics::Metrics;
use waypost::store::clicks::{days, rollup};
use waypost::store::links;

use self::queries::{Asked, Latency, Times};
use self::visitors::Visitors;
use crate::bench::{Cores, median};
use crate::corpus::{self, Link};
use crate::database::{Database, broken};
use crate::peers::{self, Place};
use crate::{Error, Options, say};

mod queries;
mod visitors;

/// What the click benchmark found.
#[derive(Serialize)]
pub(crate) struct Pipeline {
    /// Links that were clicked.
    pub(crate) links: usize,
    /// Clicks of one day.
    pub(crate) clicks_a_day: u32,
    /// Visits in a batch.
    pub(crate) batch: usize,
    /// Each day as it was stored: the first is yesterday, and each other one the day before.
    pub(crate) days: Vec<Stored>,
    /// What is on disk at the end.
    pub(crate) disk: Disk,
    /// Each question, asked when there was one day, and when there were all.
    pub(crate) questions: Vec<Question>,
}

/// How one day of clicks was stored.
#[derive(Serialize)]
pub(crate) struct Stored {
    /// Clicks per second of one batch, at the median of all batches.
    pub(crate) median_clicks_per_second: f64,
    /// Clicks per second over all batches, one after the other.
    pub(crate) clicks_per_second: f64,
    /// How long it took to add the day up by the hour and by what visits have in common.
    pub(crate) roll_up_seconds: f64,
    /// Attempts to do so that ran out of time, and took a part of these seconds.
    pub(crate) roll_ups_failed: u32,
}

/// What is on disk, for all days together.
#[derive(Serialize)]
pub(crate) struct Disk {
    /// Visits with a row: all but those of visitors who ask not to be tracked.
    pub(crate) visits: i64,
    /// Bytes of the rows, for each visit with a row.
    pub(crate) row_bytes_per_visit: f64,
    /// Bytes of their indexes, for each visit with a row.
    pub(crate) index_bytes_per_visit: f64,
    /// Bytes of what the visits add up to, and of its indexes, for each day.
    pub(crate) sum_bytes_per_day: f64,
}

/// One question about one link.
#[derive(Serialize)]
pub(crate) struct Question {
    /// Which link: `busiest` or `middle`.
    pub(crate) link: &'static str,
    /// Clicks that the link has at the end, over all days.
    pub(crate) clicks: u32,
    /// What was asked.
    pub(crate) asked: Asked,
    /// How long it took with one day of history.
    pub(crate) one_day: Latency,
    /// How long it took with all days.
    pub(crate) all_days: Latency,
}

/// Links that are clicked.
const LINKS: usize = 1_000;

/// Days of clicks: one, and those before it, by which the history grows.
const DAYS: usize = 5;

/// How long one batch may take.
const BUDGET: Duration = Duration::from_mins(1);

/// Attempts to roll up that may run out of time, for each day.
const ATTEMPTS: u32 = 5;

/// How long visits are kept: as released.
const RETENTION: Duration = Duration::from_hours(90 * 24);

/// Waypost itself adds clicks up so seldom that it never does here: only we do, to measure it.
const NEVER_ROLL_UP: (&str, &str) = ("WAYPOST_CLICKS__ROLL_UP_MILLISECONDS", "31536000");

/// Stores the days of clicks in a fresh Waypost, and asks about them.
pub(crate) fn measure(options: &Options) -> Result<Pipeline, Error> {
    let directory = peers::directory()?;
    let links = corpus::links(LINKS);
    let core = Cores::of(options)?.server;
    let place = Place { core, directory: directory.path(), counted: false };
    say(&format!("Starting Waypost with {LINKS} links, to store clicks."));
    let waypost = peers::waypost(options, place, &links, &[NEVER_ROLL_UP])?;
    let clock = Clock::system();
    let last = days::day_of(clock.now()).yesterday().map_err(broken)?;
    let times = Times::of(last)?;
    let database = Database::at(&waypost.whereabouts.database_url)?;
    let visitors = Visitors::of(link_ids(&database, &links)?);
    let keeper = Keeper::new(database.store.clone(), clock, Arc::new(Metrics::new()), RETENTION);
    let mut history = History { database, keeper, visitors, clicks: options.clicks };

    let mut stored = Vec::with_capacity(DAYS);
    let mut day = last;
    stored.push(history.store(day)?);
    let watched = [("busiest", 0), ("middle", LINKS / 2)].map(|(name, rank)| {
        let slug = links.get(rank).map_or("", |link| link.slug.as_str());
        queries::Watched { name, slug, rank }
    });
    let desk = queries::Desk { waypost: &waypost.whereabouts, times };
    say("Asking about the busiest link and one in the middle.");
    let of_last = watched.map(|link| history.visitors.clicks(link.rank));
    let one_day = desk.ask(&watched, of_last, of_last)?;
    while stored.len() < DAYS {
        day = day.yesterday().map_err(broken)?;
        stored.push(history.store(day)?);
    }
    say("Asking the same again.");
    let of_all = watched.map(|link| history.visitors.clicks(link.rank));
    let all_days = desk.ask(&watched, of_last, of_all)?;

    let clicks = |name| {
        watched.iter().zip(of_all).find(|(link, _)| link.name == name).map_or(0, |(_, of)| of)
    };
    let questions = one_day
        .into_iter()
        .zip(all_days)
        .map(|((link, asked, one_day), (_, _, all_days))| Question {
            link,
            clicks: clicks(link),
            asked,
            one_day,
            all_days,
        })
        .collect();
    Ok(Pipeline {
        links: LINKS,
        clicks_a_day: options.clicks,
        batch: waypost::clicks::writer::BATCH,
        days: stored,
        disk: history.disk()?,
        questions,
    })
}

/// The ids of the links, in their order.
fn link_ids(database: &Database, links: &[Link]) -> Result<Vec<LinkId>, Error> {
    database.runtime.block_on(async {
        let mut ids = Vec::with_capacity(links.len());
        for link in links {
            let found = links::find(&database.store, DomainId::DEFAULT, &link.slug).await;
            let found = found.map_err(broken)?;
            ids.push(found.ok_or_else(|| broken("a link is not there"))?.id);
        }
        Ok(ids)
    })
}

/// The clicks that are stored, day by day.
struct History {
    database: Database,
    keeper: Keeper,
    visitors: Visitors,
    /// Clicks of a day.
    clicks: u32,
}

impl History {
    /// Stores the clicks of a day, in the order in which they come, and adds them up.
    fn store(&mut self, day: Date) -> Result<Stored, Error> {
        say(&format!("Storing {} clicks of {day}.", self.clicks));
        let mut rates = Vec::new();
        let mut seconds = 0.0;
        for batch in self.visitors.day(day, self.clicks)? {
            let size = u32::try_from(batch.visits.len()).expect("a batch is small");
            let stopwatch = Stopwatch::start();
            let kept = self.keeper.keep(&batch, BUDGET);
            self.database.runtime.block_on(kept).map_err(broken)?;
            let elapsed = stopwatch.elapsed().as_secs_f64();
            seconds += elapsed;
            rates.push(f64::from(size) / elapsed);
        }
        say("Adding them up.");
        let (roll_up_seconds, roll_ups_failed) = self.roll_up()?;
        Ok(Stored {
            median_clicks_per_second: median(rates),
            clicks_per_second: f64::from(self.clicks) / seconds,
            roll_up_seconds,
            roll_ups_failed,
        })
    }

    /// Rolls all batches up; says how many seconds that took, and how many attempts failed on the way.
    fn roll_up(&self) -> Result<(f64, u32), Error> {
        let mut failed = 0;
        let stopwatch = Stopwatch::start();
        loop {
            let rolled_up = rollup::roll_up(&self.database.store, rollup::MOST_BATCHES);
            match self.database.runtime.block_on(rolled_up) {
                Ok(0) => break,
                Ok(_batches) => {}
                // Waypost tries again as well.
                Err(error) if error.is_outage() && failed < ATTEMPTS => {
                    say(&format!("Trying again: {error}."));
                    failed += 1;
                }
                Err(error) => return Err(broken(error)),
            }
        }
        let seconds = stopwatch.elapsed().as_secs_f64();
        let left = "/* count_batches_left */ SELECT count(*) FROM click_batch WHERE NOT rolled_up";
        match self.database.number(left)? {
            0 => Ok((seconds, failed)),
            left => Err(broken(format!("{left} batches were not rolled up"))),
        }
    }

    fn disk(&self) -> Result<Disk, Error> {
        let of_days = |size: &str| {
            self.database.number(&format!(
                "/* size_of_visits */
                 SELECT coalesce(sum({size}(inhrelid)), 0)::bigint FROM pg_inherits
                 WHERE inhparent = 'visit'::regclass"
            ))
        };
        let (rows, indexes) = (of_days("pg_table_size")?, of_days("pg_indexes_size")?);
        let sums = self.database.number(
            "/* size_of_sums */
             SELECT pg_total_relation_size('click_hour') + pg_total_relation_size('click_day')",
        )?;
        let visits = self.database.number("/* count_visits */ SELECT count(*) FROM visit")?;
        let number =
            |bytes: i64| u32::try_from(bytes / 1_024).map_or(f64::NAN, f64::from) * 1_024.0;
        let each = f64::from(u32::try_from(visits).unwrap_or(u32::MAX).max(1));
        let days = f64::from(u32::try_from(DAYS).expect("a few days"));
        Ok(Disk {
            visits,
            row_bytes_per_visit: number(rows) / each,
            index_bytes_per_visit: number(indexes) / each,
            sum_bytes_per_day: number(sums) / days,
        })
    }
}
