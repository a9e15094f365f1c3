//! Questions about clicks, as the owner of a link asks them: over HTTP, with an API key.

use std::fmt;

use jiff::ToSpan;
use jiff::civil::Date;
use serde::{Deserialize, Serialize};
use waypost::clicks::report::By;
use waypost::clock::Stopwatch;

use crate::Error;
use crate::client::Connection;
use crate::database::broken;
use crate::peers::Whereabouts;

/// How often each question is asked: first without being measured, then measured.
const WARM_UP: u32 = 20;
const TIMES: u32 = 200;

/// Days of the long range.
const MANY_DAYS: i32 = 30;

/// A link that is asked about.
#[derive(Clone, Copy)]
pub(super) struct Watched<'a> {
    /// Its name in the report.
    pub(super) name: &'static str,
    /// Its slug.
    pub(super) slug: &'a str,
    /// Its place among the links, from 0 for the most popular.
    pub(super) rank: usize,
}

/// What is asked.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase", tag = "about")]
pub(crate) enum Asked {
    /// Clicks, added up.
    Clicks {
        /// By what.
        by: &'static str,
        /// Over so many days.
        days: i32,
    },
    /// The latest visits.
    Visits,
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Clicks { by, days: 1 } => write!(f, "clicks by {by}, one day"),
            Self::Clicks { by, days } => write!(f, "clicks by {by}, {days} days"),
            Self::Visits => f.write_str("the latest visits, first page"),
        }
    }
}

/// How long the answers took, and what a yardstick took meanwhile: a request for the link itself, which
/// no history makes longer. What a busy machine does to the one, it does to the other.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Latency {
    /// At the median.
    pub(crate) p50_milliseconds: f64,
    /// The latency that 99 % stayed under.
    pub(crate) p99_milliseconds: f64,
    /// How many times as long as the yardstick, at the medians.
    pub(crate) times_the_yardstick: f64,
}

impl Latency {
    fn of(seconds: Vec<f64>, yardstick: Vec<f64>) -> Self {
        let [p50_milliseconds, p99_milliseconds] = percentiles(seconds, [50, 99]);
        let [own] = percentiles(yardstick, [50]);
        Self { p50_milliseconds, p99_milliseconds, times_the_yardstick: p50_milliseconds / own }
    }
}

/// The times in milliseconds that so many percent stayed at or under.
fn percentiles<const N: usize>(mut seconds: Vec<f64>, percents: [usize; N]) -> [f64; N] {
    seconds.sort_by(f64::total_cmp);
    percents.map(|percent| {
        let place = (seconds.len() * percent).div_ceil(100).saturating_sub(1);
        seconds.get(place).map_or(f64::NAN, |seconds| seconds * 1e3)
    })
}

/// The days that questions are about.
#[derive(Clone, Copy)]
pub(super) struct Times {
    last: Date,
    next: Date,
    first_of_many: Date,
}

impl Times {
    /// The day `last`, and the days until then.
    pub(super) fn of(last: Date) -> Result<Self, Error> {
        let next = last.tomorrow().map_err(broken)?;
        let first_of_many = next.checked_sub(MANY_DAYS.days()).map_err(broken)?;
        Ok(Self { last, next, first_of_many })
    }
}

/// Who asks.
pub(super) struct Desk<'a> {
    pub(super) waypost: &'a Whereabouts,
    pub(super) times: Times,
}

/// The part of an answer that is compared with what was stored.
#[derive(Deserialize)]
struct Report {
    visits: u32,
}

impl Desk<'_> {
    /// Asks everything about each of the links; answers the link, the question, and how long it took.
    ///
    /// The links have `of_last` clicks on the last day and `of_all` altogether: reports that add up to
    /// something else are errors.
    pub(super) fn ask<const LINKS: usize>(
        &self,
        links: &[Watched<'_>; LINKS],
        of_last: [u32; LINKS],
        of_all: [u32; LINKS],
    ) -> Result<Vec<(&'static str, Asked, Latency)>, Error> {
        let mut answers = Vec::new();
        for ((link, of_last), of_all) in links.iter().zip(of_last).zip(of_all) {
            for (days, from, expected) in
                [(1, self.times.last, of_last), (MANY_DAYS, self.times.first_of_many, of_all)]
            {
                for by in By::ALL.map(By::name) {
                    let path = format!("/clicks?by={by}&from={from}&to={}", self.times.next);
                    let latency = self.measure(link, &path, Some(expected))?;
                    answers.push((link.name, Asked::Clicks { by, days }, latency));
                }
            }
            let latency = self.measure(link, "/visits", None)?;
            answers.push((link.name, Asked::Visits, latency));
        }
        Ok(answers)
    }

    /// Asks one question again and again over one connection, each time followed by the yardstick.
    fn measure(
        &self,
        link: &Watched<'_>,
        path: &str,
        expected: Option<u32>,
    ) -> Result<Latency, Error> {
        let mut connection = Connection::open(self.waypost.control)
            .map_err(Error::io("connect to Waypost's API"))?;
        let own = format!("/v1/links/{}", link.slug);
        let path = format!("{own}{path}");
        let (_, body) = self.ask_once(&mut connection, &path)?;
        if let Some(expected) = expected {
            let report: Report = serde_json::from_str(&body).map_err(broken)?;
            if report.visits != expected {
                let what = format!("{path} has {} visits, not {expected}", report.visits);
                return Err(Error::broken("Waypost", what));
            }
        }
        let (mut seconds, mut yardstick) = (Vec::new(), Vec::new());
        for time in 0..WARM_UP + TIMES {
            let (took, _) = self.ask_once(&mut connection, &path)?;
            let (own_took, _) = self.ask_once(&mut connection, &own)?;
            if time >= WARM_UP {
                seconds.push(took);
                yardstick.push(own_took);
            }
        }
        Ok(Latency::of(seconds, yardstick))
    }

    /// The seconds until the answer was there, and its body.
    fn ask_once(&self, connection: &mut Connection, path: &str) -> Result<(f64, String), Error> {
        let stopwatch = Stopwatch::start();
        let answer = connection
            .get_with_key(path, &self.waypost.api_key)
            .map_err(Error::io(format!("ask Waypost for {path}")))?;
        let took = stopwatch.elapsed().as_secs_f64();
        if answer.status == 200 {
            Ok((took, answer.body))
        } else {
            let what = format!("{path} was answered with {}: {}", answer.status, answer.body);
            Err(Error::broken("Waypost", what))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_two_hundred_answers_two_may_take_longer_than_p99() {
        let seconds = (1..=200).rev().map(f64::from).collect();
        let latency = Latency::of(seconds, vec![80.0, 50.0, 10.0]);
        assert!((latency.p50_milliseconds - 100_000.0).abs() < 1e-6);
        assert!((latency.p99_milliseconds - 198_000.0).abs() < 1e-6);
        assert!((latency.times_the_yardstick - 2.0).abs() < 1e-6);
    }

    #[test]
    fn the_long_range_ends_with_the_last_day() {
        let times = Times::of(Date::constant(2030, 1, 31)).expect("a day");
        assert_eq!(times.next, Date::constant(2030, 2, 1));
        assert_eq!(times.first_of_many, Date::constant(2030, 1, 2));
    }
}
