//! What was counted for a link, as its owner asks for it: by the hour, by the day, or by what its
//! visitors have in common.

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan, Unit};

use crate::clock::{Clock, UnixMillis};
use crate::code::{BASE62, base62, number_in_base};
use crate::link::LinkId;
use crate::store::clicks::Sums;
use crate::store::clicks::report::{self as rows, Dimension, Place, VisitRow};
use crate::store::{Error as StoreError, Store};

/// The most hours that one report has: a month.
pub const MOST_HOURS: i64 = 31 * 24;
/// The most days that one report is about: a year.
pub const MOST_DAYS: i64 = 366;
/// How many hours and days a report has when nobody says.
const USUAL_HOURS: i64 = 24;
const USUAL_DAYS: i64 = 30;

/// The group of everything that has no group of its own.
pub const REST: &str = "*";

/// What the clicks of a report are grouped by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Hours.
    Hour,
    /// Days, of UTC.
    Day,
    /// What visitors have in common.
    Dimension(Dimension),
}

impl By {
    /// All of them.
    pub const ALL: [Self; 6] = [
        Self::Hour,
        Self::Day,
        Self::Dimension(Dimension::Referrer),
        Self::Dimension(Dimension::Country),
        Self::Dimension(Dimension::Device),
        Self::Dimension(Dimension::Browser),
    ];

    /// Its name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Dimension(dimension) => dimension.name(),
        }
    }

    /// The one with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|by| by.name() == name)
    }
}

/// From a moment until before another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    /// Its first moment.
    pub from: Timestamp,
    /// The first moment after it.
    pub to: Timestamp,
}

/// Why there is no such report: the parameter at fault, and what would be right.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{parameter}' {detail}")]
pub struct Refused {
    /// The parameter.
    pub parameter: &'static str,
    /// What is wrong with it and what would be right.
    pub detail: String,
}

fn refused<T>(parameter: &'static str, detail: impl Into<String>) -> Result<T, Refused> {
    Err(Refused { parameter, detail: detail.into() })
}

/// What was counted in a range.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// What the groups are.
    pub by: By,
    /// When it was.
    pub range: Range,
    /// All of it.
    pub sums: Sums,
    /// Each hour or day, the empty ones too; or each value, the most clicked first, and the rest.
    pub groups: Vec<(Key, Sums)>,
}

/// What a group has in common.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    /// The hour that begins then.
    Hour(Timestamp),
    /// The day.
    Day(Date),
    /// The value; `None` when it is not known, or the visitor asked not to be tracked.
    Value(Option<String>),
}

/// Some visits, the latest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisitPage {
    /// The visits.
    pub visits: Vec<VisitRow>,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
}

/// Reads reports.
#[derive(Clone, Debug)]
pub struct Reports {
    store: Store,
    clock: Clock,
    retention: std::time::Duration,
}

impl Reports {
    /// Reports about hours that are kept for `retention`.
    pub fn new(store: Store, clock: Clock, retention: std::time::Duration) -> Self {
        Self { store, clock, retention }
    }

    /// The range that `from` and `to` name, if a report by `by` can be about it.
    pub fn range(&self, by: By, from: Option<&str>, to: Option<&str>) -> Result<Range, Refused> {
        let now = timestamp(self.clock.now());
        let (unit, most, usual, name) = match by {
            By::Hour => (Unit::Hour, MOST_HOURS, USUAL_HOURS, "hour"),
            By::Day | By::Dimension(_) => (Unit::Day, MOST_DAYS, USUAL_DAYS, "day"),
        };
        let step = if unit == Unit::Hour { 3_600 } else { 86_400 };
        let given = |parameter, text: Option<&str>| match text {
            None => Ok(None),
            Some(text) => moment(parameter, text).and_then(|at| {
                if at.as_second().rem_euclid(step) == 0 && at.subsec_nanosecond() == 0 {
                    Ok(Some(at))
                } else {
                    refused(parameter, format!("must be a whole {name} of UTC"))
                }
            }),
        };
        let next = now.as_second() - now.as_second().rem_euclid(step) + step;
        let (from, to) = (given("from", from)?, given("to", to)?);
        let to = to.map_or(next, Timestamp::as_second);
        let from = from.map_or(to - usual * step, Timestamp::as_second);
        if from >= to {
            return refused("from", "must be before 'to'");
        }
        if (to - from) / step > most {
            return refused("from", format!("must be at most {most} {name}s before 'to'"));
        }
        if by == By::Hour && from < now.as_second() - seconds(self.retention) {
            let days = seconds(self.retention) / 86_400;
            return refused(
                "from",
                format!("is too long ago: hours are kept for {days} days; ask by=day"),
            );
        }
        let at = |second| Timestamp::from_second(second).unwrap_or(Timestamp::MAX);
        Ok(Range { from: at(from), to: at(to) })
    }

    /// The report about a link in a range that [`Reports::range`] allowed, with at most `most` values
    /// of a dimension.
    pub async fn report(
        &self,
        link: LinkId,
        by: By,
        range: Range,
        most: usize,
    ) -> Result<Report, StoreError> {
        let days = (day(range.from), day(range.to));
        let groups: Vec<(Key, Sums)> = match by {
            By::Hour => {
                let known = rows::hours(&self.store, link, range.from, range.to).await?;
                let all = range.from.series(1.hour()).take_while(|hour| *hour < range.to);
                filled(all, known).map(|(hour, sums)| (Key::Hour(hour), sums)).collect()
            }
            By::Day => {
                let known = rows::days(&self.store, link, days.0, days.1).await?;
                let all = days.0.series(1.day()).take_while(|day| *day < days.1);
                filled(all, known).map(|(day, sums)| (Key::Day(day), sums)).collect()
            }
            By::Dimension(dimension) => {
                let known = rows::values(&self.store, link, dimension, days).await?;
                folded(known, most)
            }
        };
        let mut sums = Sums::default();
        for (_, of_group) in &groups {
            sums += *of_group;
        }
        Ok(Report { by, range, sums, groups })
    }

    /// The visits of a link, the latest first: those from `from` until before `to`, behind `cursor`.
    pub async fn visits(
        &self,
        link: LinkId,
        (from, to): (Option<&str>, Option<&str>),
        cursor: Option<&str>,
        limit: u32,
    ) -> Result<VisitPage, Error> {
        let given = |parameter, text: Option<&str>| text.map(|text| moment(parameter, text));
        // Another instance's clock may be ahead.
        let tomorrow = timestamp(self.clock.now().after(std::time::Duration::from_hours(24)));
        let to = given("to", to).transpose()?.unwrap_or(tomorrow);
        let from = given("from", from).transpose()?.unwrap_or(Timestamp::UNIX_EPOCH);
        if from >= to {
            return Err(Error::Refused(Refused {
                parameter: "from",
                detail: "must be before 'to'".to_owned(),
            }));
        }
        let after = match cursor {
            None => None,
            Some(cursor) => Some(read_cursor(cursor).ok_or(Error::BadCursor)?),
        };
        // One more than asked for tells whether there is another page.
        let more = limit.saturating_add(1);
        let mut visits = rows::visits(&self.store, link, (from, to), after, more).await?;
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let more = visits.len() > limit;
        visits.truncate(limit);
        let next = visits
            .last()
            .filter(|_| more)
            .map(|last| cursor_after(Place { at: last.at.as_microsecond(), id: last.id }));
        Ok(VisitPage { visits, next })
    }
}

/// Why there are no visits to show.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A parameter is wrong.
    #[error(transparent)]
    Refused(#[from] Refused),
    /// A cursor that no list has given out.
    #[error("the cursor is not one that a list has given")]
    BadCursor,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A moment, or the beginning of a day of UTC.
fn moment(parameter: &'static str, text: &str) -> Result<Timestamp, Refused> {
    let day = || Some(text.parse::<Date>().ok()?.to_zoned(TimeZone::UTC).ok()?.timestamp());
    // The parser of dates would take a time as well, and forget it.
    let parsed = if text.len() == 10 { day() } else { text.parse().ok() };
    match parsed.filter(|at| (Timestamp::UNIX_EPOCH..Timestamp::MAX).contains(at)) {
        Some(at) => Ok(at),
        None => refused(
            parameter,
            "is not a time after 1970; write it like 2030-01-31 or 2030-01-31T12:00:00Z",
        ),
    }
}

fn timestamp(at: UnixMillis) -> Timestamp {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
}

fn day(at: Timestamp) -> Date {
    at.to_zoned(TimeZone::UTC).date()
}

fn seconds(duration: std::time::Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// All steps of a range, those without a row with nothing in them.
fn filled<T: PartialEq>(
    steps: impl Iterator<Item = T>,
    known: Vec<(T, Sums)>,
) -> impl Iterator<Item = (T, Sums)> {
    let mut known = known.into_iter().peekable();
    steps.map(move |step| {
        let sums = known.next_if(|(at, _)| *at == step).map(|(_, sums)| sums);
        (step, sums.unwrap_or_default())
    })
}

/// The first `most` values, and behind them one group for the rest.
fn folded(known: Vec<(String, Sums)>, most: usize) -> Vec<(Key, Sums)> {
    let mut rest = Sums::default();
    let mut groups = Vec::new();
    for (value, sums) in known {
        if value == REST || groups.len() >= most {
            rest += sums;
        } else {
            groups.push((Key::Value(Some(value).filter(|value| !value.is_empty())), sums));
        }
    }
    if rest != Sums::default() {
        groups.push((Key::Value(Some(REST.to_owned())), rest));
    }
    groups
}

fn cursor_after(place: Place) -> String {
    let [at, id] = [place.at, place.id].map(|number| base62(&number.to_be_bytes(), 11));
    format!("{at}{id}")
}

fn read_cursor(cursor: &str) -> Option<Place> {
    let (at, id) = cursor.split_at_checked(11)?;
    let number = |text| i64::try_from(number_in_base(BASE62, text)?).ok();
    let place = Place { at: number(at)?, id: number(id)? };
    Timestamp::from_microsecond(place.at).ok()?;
    (cursor_after(place) == cursor).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reports() -> (Reports, Clock) {
        let clock = Clock::by_hand(UnixMillis(1_893_501_000_000)); // 2030-01-01T12:30:00Z
        let settings = crate::store::Settings {
            url: "host=/nowhere user=nobody".to_owned(),
            read_connections: 1,
            reward_connections: 1,
            connections: 1,
            pool_wait: std::time::Duration::from_secs(1),
            read_timeout: std::time::Duration::from_secs(1),
        };
        let store = Store::new(&settings).expect("an address");
        let retention = std::time::Duration::from_hours(90 * 24);
        (Reports::new(store, clock.clone(), retention), clock)
    }

    #[test]
    fn a_range_is_what_was_asked_for_or_the_last_day_or_month() {
        let (reports, _clock) = reports();
        let referrer = By::Dimension(Dimension::Referrer);
        for (by, from, to, range) in [
            (By::Hour, None, None, "2029-12-31T13:00:00Z 2030-01-01T13:00:00Z"),
            (By::Day, None, None, "2029-12-03T00:00:00Z 2030-01-02T00:00:00Z"),
            (
                referrer,
                Some("2029-01-01"),
                Some("2029-02-01"),
                "2029-01-01T00:00:00Z 2029-02-01T00:00:00Z",
            ),
            (
                By::Hour,
                Some("2030-01-01T02:00:00+01:00"),
                Some("2030-01-01T02:00:00Z"),
                "2030-01-01T01:00:00Z 2030-01-01T02:00:00Z",
            ),
            (By::Day, None, Some("2029-12-31"), "2029-12-01T00:00:00Z 2029-12-31T00:00:00Z"),
        ] {
            let found = reports.range(by, from, to).expect("a range");
            assert_eq!(format!("{} {}", found.from, found.to), range);
        }
    }

    #[test]
    fn a_range_that_cannot_be_is_refused_with_the_remedy() {
        let (reports, _clock) = reports();
        for (by, from, to, refusal) in [
            (By::Day, Some("2029-02-01"), Some("2029-01-01"), "'from' must be before 'to'"),
            (By::Day, Some("2029-02-01"), Some("2029-02-01"), "'from' must be before 'to'"),
            (
                By::Day,
                Some("2028-01-01"),
                Some("2029-12-01"),
                "'from' must be at most 366 days before 'to'",
            ),
            (By::Day, Some("2029-12-01T01:00:00Z"), None, "'from' must be a whole day of UTC"),
            (By::Hour, None, Some("2029-12-31T01:30:00Z"), "'to' must be a whole hour of UTC"),
            (By::Hour, Some("2029-11-01"), None, "'from' must be at most 744 hours before 'to'"),
            (
                By::Hour,
                Some("2029-09-01"),
                Some("2029-09-02"),
                "'from' is too long ago: hours are kept for 90 days; ask by=day",
            ),
            (
                By::Day,
                Some("yesterday"),
                None,
                "'from' is not a time after 1970; write it like 2030-01-31 or 2030-01-31T12:00:00Z",
            ),
            (
                By::Day,
                Some("2029-02-30"),
                None,
                "'from' is not a time after 1970; write it like 2030-01-31 or 2030-01-31T12:00:00Z",
            ),
            (
                By::Day,
                Some("1969-01-01"),
                None,
                "'from' is not a time after 1970; write it like 2030-01-31 or 2030-01-31T12:00:00Z",
            ),
        ] {
            let found = reports.range(by, from, to).expect_err("refused");
            assert_eq!(found.to_string(), refusal);
        }
    }

    #[test]
    fn values_beyond_the_limit_are_the_rest() {
        let sums = |total| Sums { total, people: total, bots: 0 };
        let known = vec![
            ("a".to_owned(), sums(5)),
            ("*".to_owned(), sums(4)),
            (String::new(), sums(3)),
            ("b".to_owned(), sums(2)),
        ];
        let value = |text: &str| Key::Value(Some(text.to_owned()));
        let all = vec![
            (value("a"), sums(5)),
            (Key::Value(None), sums(3)),
            (value("b"), sums(2)),
            (value("*"), sums(4)),
        ];
        assert_eq!(folded(known.clone(), 10), all);
        assert_eq!(folded(known, 1), [(value("a"), sums(5)), (value("*"), sums(9))]);
        assert_eq!(folded(Vec::new(), 1), []);
    }

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        let place = Place { at: 1_893_456_000_000_001, id: 77 };
        assert_eq!(read_cursor(&cursor_after(place)), Some(place));
        for other in [
            "",
            "1",
            "0000000000000000000000x",
            "zzzzzzzzzzzzzzzzzzzzzz",
            "äöüäöüäöü",
            "AzL8n0Y58m700000000001",
        ] {
            assert_eq!(read_cursor(other), None, "{other}");
        }
    }
}
