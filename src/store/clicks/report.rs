//! Reading what was counted: what the visits of a link add up to, and the visits themselves.

use std::net::IpAddr;

use jiff::Timestamp;
use jiff::civil::Date;
use tokio_postgres::Row;

use super::Sums;
use crate::link::LinkId;
use crate::store::{Error, Store};

/// What a day's visits can be told apart by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dimension {
    /// The site that they came from.
    Referrer,
    /// The country that they came from.
    Country,
    /// The device.
    Device,
    /// The browser.
    Browser,
}

impl Dimension {
    /// Its name, in the database and in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Referrer => "referrer",
            Self::Country => "country",
            Self::Device => "device",
            Self::Browser => "browser",
        }
    }
}

/// The sums of those hours from `from` until before `to` that have any, in their order.
pub async fn hours(
    store: &Store,
    link: LinkId,
    from: Timestamp,
    to: Timestamp,
) -> Result<Vec<(Timestamp, Sums)>, Error> {
    let connection = store.connection().await?;
    let rows = connection
        .query(
            "/* click_hours */
             SELECT hour, total, people, bots FROM click_hour
             WHERE link_id = $1 /* link */ AND hour >= $2 /* from */ AND hour < $3 /* to */
             ORDER BY hour",
            &[&link.0, &from, &to],
        )
        .await?;
    rows.iter().map(|row| Ok((row.try_get("hour")?, sums(row)?))).collect()
}

/// The sums of those days from `from` until before `to` that have any, in their order.
pub async fn days(
    store: &Store,
    link: LinkId,
    from: Date,
    to: Date,
) -> Result<Vec<(Date, Sums)>, Error> {
    let connection = store.connection().await?;
    let rows = connection
        .query(
            "/* click_days */
             SELECT day, total, people, bots FROM click_day
             WHERE link_id = $1 /* link */ AND dimension = 'all'
               AND day >= $2 /* from */ AND day < $3 /* to */
             ORDER BY day",
            &[&link.0, &from, &to],
        )
        .await?;
    rows.iter().map(|row| Ok((row.try_get("day")?, sums(row)?))).collect()
}

/// The sums of each value that visits of these days had in a dimension, the most clicked first.
pub async fn values(
    store: &Store,
    link: LinkId,
    dimension: Dimension,
    (from, to): (Date, Date),
) -> Result<Vec<(String, Sums)>, Error> {
    let connection = store.connection().await?;
    let rows = connection
        .query(
            "/* click_values */
             SELECT value, sum(total)::bigint AS total, sum(people)::bigint AS people,
                    sum(bots)::bigint AS bots
             FROM click_day
             WHERE link_id = $1 /* link */ AND dimension = $2 /* dimension */
               AND day >= $3 /* from */ AND day < $4 /* to */
             GROUP BY value
             ORDER BY people DESC, total DESC, value",
            &[&link.0, &dimension.name(), &from, &to],
        )
        .await?;
    rows.iter().map(|row| Ok((row.try_get("value")?, sums(row)?))).collect()
}

fn sums(row: &Row) -> Result<Sums, Error> {
    Ok(Sums {
        total: row.try_get("total")?,
        people: row.try_get("people")?,
        bots: row.try_get("bots")?,
    })
}

/// Where a list of visits goes on: behind this visit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// When it was, in microseconds since 1970.
    pub at: i64,
    /// Its id.
    pub id: i64,
}

/// A stored visit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VisitRow {
    /// Identifies it.
    pub id: i64,
    /// When.
    pub at: Timestamp,
    /// By whom, roughly.
    pub kind: String,
    /// On what.
    pub device: String,
    /// With what.
    pub browser: String,
    /// From where.
    pub country: Option<String>,
    /// From which site.
    pub referrer: Option<String>,
    /// From which network.
    pub network: Option<IpAddr>,
}

/// Up to `limit` visits of a link from `from` until before `to`, the latest first, behind `after`.
pub async fn visits(
    store: &Store,
    link: LinkId,
    (from, to): (Timestamp, Timestamp),
    after: Option<Place>,
    limit: u32,
) -> Result<Vec<VisitRow>, Error> {
    let connection = store.connection().await?;
    // The end of the range is a place too: before all visits at that moment.
    let start = after.unwrap_or(Place { at: to.as_microsecond(), id: i64::MIN });
    let start_at = Timestamp::from_microsecond(start.at)
        .map_err(|error| Error::Corrupt("cursor", error.to_string()))?;
    let rows = connection
        .query(
            "/* list_visits */
             SELECT id, at, kind, device, browser, country, referrer, network FROM visit
             WHERE link_id = $1 /* link */ AND at >= $2 /* from */ AND at <= $3 /* start_at */
               AND (at, id) < ($3, $4 /* start_id */)
             ORDER BY at DESC, id DESC LIMIT $5 /* limit */",
            &[&link.0, &from, &start_at, &start.id, &i64::from(limit)],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(VisitRow {
                id: row.try_get("id")?,
                at: row.try_get("at")?,
                kind: row.try_get("kind")?,
                device: row.try_get("device")?,
                browser: row.try_get("browser")?,
                country: row.try_get("country")?,
                referrer: row.try_get("referrer")?,
                network: row.try_get("network")?,
            })
        })
        .collect()
}
