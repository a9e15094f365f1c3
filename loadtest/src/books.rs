//! Whether what Waypost answered with became clicks: what was sent beside what was counted and stored.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use waypost::clock::Stopwatch;

use crate::database::Database;
use crate::meters::Meters;
use crate::peers::Whereabouts;
use crate::wrk::CONNECTIONS;
use crate::{Error, say};

/// Requests beside the clicks that they became, over all rounds.
#[derive(Serialize)]
pub(crate) struct Books {
    /// Requests that the generator had answers for.
    pub(crate) sent: f64,
    /// Requests that were in flight when the generator stopped: the most that there can be.
    pub(crate) in_flight_at_most: u32,
    /// Requests that Waypost answered with a redirect or a landing page.
    pub(crate) answered: f64,
    /// Clicks that Waypost says it counted.
    pub(crate) counted: f64,
    /// What the totals in PostgreSQL grew by.
    pub(crate) stored: f64,
    /// Those of the clicks that waited in the spool meanwhile.
    pub(crate) spooled: f64,
    /// Clicks that were dropped, by reason.
    pub(crate) dropped: BTreeMap<String, f64>,
    /// Bytes left in the spool at the end.
    pub(crate) spool_bytes: f64,
}

impl Books {
    /// Whether each answer became one click in PostgreSQL, or one that Waypost says it dropped.
    pub(crate) fn balance(&self) -> bool {
        let unanswered = self.answered - self.sent;
        (0.0..=f64::from(self.in_flight_at_most)).contains(&unanswered)
            && same(self.answered, self.counted + self.all_dropped())
            && same(self.counted, self.stored)
            && same(self.spool_bytes, 0.0)
    }

    /// Clicks that were dropped, whatever for.
    pub(crate) fn all_dropped(&self) -> f64 {
        self.dropped.values().sum()
    }
}

/// Whether two whole numbers are the same.
pub(crate) fn same(one: f64, other: f64) -> bool {
    (one - other).abs() < 0.5
}

/// How long Waypost may take to store what waits.
const PATIENCE: Duration = Duration::from_mins(1);

/// Between two looks at Waypost's figures: longer than its threads keep figures of their own.
const PAUSE: Duration = Duration::from_millis(300);

/// Books that are open: how things stood when they were opened.
pub(crate) struct Ledger<'a> {
    waypost: &'a Whereabouts,
    database: Database,
    before: (Meters, f64),
}

impl<'a> Ledger<'a> {
    /// Opens the books of a Waypost that nobody asks for anything at the moment.
    pub(crate) fn open(waypost: &'a Whereabouts) -> Result<Self, Error> {
        let database = Database::at(&waypost.database_url)?;
        let before = (settle(waypost)?, stored(&database)?);
        Ok(Self { waypost, database, before })
    }

    /// Waits until everything that was answered is a click in PostgreSQL or was dropped.
    pub(crate) fn settle(&self) -> Result<Meters, Error> {
        settle(self.waypost)
    }

    /// Closes the books over what the generator sent in so many runs.
    pub(crate) fn close(&self, sent: f64, runs: u32) -> Result<Books, Error> {
        let (later, stored) = (self.settle()?, stored(&self.database)?);
        let (earlier, stored_before) = &self.before;
        let dropped = later.dropped.iter().map(|(reason, clicks)| {
            (reason.clone(), clicks - earlier.dropped.get(reason).copied().unwrap_or_default())
        });
        Ok(Books {
            sent,
            in_flight_at_most: runs.saturating_mul(CONNECTIONS),
            answered: later.answered - earlier.answered,
            counted: later.counted - earlier.counted,
            stored: stored - stored_before,
            spooled: later.spooled - earlier.spooled,
            dropped: dropped.collect(),
            spool_bytes: later.spool_bytes,
        })
    }

    /// How many visits in the database have a number of their own.
    pub(crate) fn numbered_visits(&self) -> Result<f64, Error> {
        let statement = "/* count_of_numbered_visits */ SELECT count(*) FROM visit \
                         WHERE click_id IS NOT NULL";
        Ok(float(self.database.number(statement)?))
    }
}

/// Waits until everything that was answered is a click in PostgreSQL or was dropped. When that does not
/// happen in time, the books will show it.
fn settle(waypost: &Whereabouts) -> Result<Meters, Error> {
    let waited = Stopwatch::start();
    loop {
        std::thread::sleep(PAUSE);
        let meters = Meters::read(waypost.control)?;
        let done =
            meters.spool_bytes == 0.0 && meters.counted + meters.all_dropped() >= meters.answered;
        if done {
            return Ok(meters);
        }
        if waited.elapsed() > PATIENCE {
            say(&format!("Clicks still wait after {PATIENCE:?}; going on."));
            return Ok(meters);
        }
    }
}

/// All clicks that are in the database.
fn stored(database: &Database) -> Result<f64, Error> {
    let statement = "/* sum_of_clicks */ SELECT coalesce(sum(total), 0)::bigint FROM link_clicks";
    Ok(float(database.number(statement)?))
}

/// No benchmark sends more than `u32::MAX` requests: what is not a number is no balance either.
fn float(number: i64) -> f64 {
    u32::try_from(number).map_or(f64::NAN, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn books() -> Books {
        Books {
            sent: 990.0,
            in_flight_at_most: 64,
            answered: 1_000.0,
            counted: 998.0,
            stored: 998.0,
            spooled: 500.0,
            dropped: BTreeMap::from([("queue_full".to_owned(), 2.0)]),
            spool_bytes: 0.0,
        }
    }

    #[test]
    fn the_books_balance_only_when_each_answer_became_one_click() {
        type Spoil = fn(&mut Books);
        assert!(books().balance());
        let wrong: [(&str, Spoil); 6] = [
            ("a click that nobody counted", |it| it.answered += 1.0),
            ("a click that is said to be counted and is not stored", |it| it.stored -= 1.0),
            ("a click that is stored twice", |it| it.stored += 1.0),
            ("a click that was dropped and not said to be", |it| it.dropped.clear()),
            ("a click that waits", |it| it.spool_bytes = 90.0),
            ("more answers than Waypost gave", |it| it.sent = 1_001.0),
        ];
        for (name, spoil) in wrong {
            let mut spoilt = books();
            spoil(&mut spoilt);
            assert!(!spoilt.balance(), "{name}");
        }
    }
}
