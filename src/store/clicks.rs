//! Clicks: batches of visits and the totals of their links, what visits add up to, and the days that
//! their rows are kept by.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::pin::pin;
use std::time::Duration;

use bytes::{BufMut, BytesMut};
use deadpool_postgres::Transaction;
use jiff::Timestamp;
use tokio_postgres::binary_copy::BinaryCopyInWriter;
use tokio_postgres::types::{IsNull, ToSql, Type, accepts, to_sql_checked};

use super::{Connection, Error, Store, expect_rows};
use crate::clock::UnixMillis;
use crate::link::LinkId;
use crate::visitor::agent::Browser;
use crate::visitor::country::Country;
use crate::visitor::{Device, Kind};

pub mod days;
pub mod report;
pub mod rollup;

/// Visits have ids of their batch's number times this, plus their place in the batch: a batch must
/// have fewer.
pub const BATCH_SPAN: i64 = 16_384;

/// One opening of a link, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Visit {
    /// Which link.
    pub link: LinkId,
    /// When.
    pub at: UnixMillis,
    /// By whom, roughly.
    pub kind: Kind,
    /// On what.
    pub device: Device,
    /// With what.
    pub browser: Browser,
    /// From where, if that is known.
    pub country: Option<Country>,
    /// From which site, in lower case.
    pub referrer: Option<Box<str>>,
    /// From which network: the address, cut as the settings say.
    pub network: Option<IpAddr>,
    /// The visitor asked not to be tracked: counted, but no row is stored.
    pub private: bool,
    /// The number that the click goes by on its way through an app store.
    pub click_id: Option<u128>,
}

/// Visits that are stored together, and once, however often they are sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Batch {
    /// Any number that no other batch has.
    pub id: u128,
    /// Fewer than [`BATCH_SPAN`].
    pub visits: Vec<Visit>,
}

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stored {
    /// It was stored.
    Now,
    /// It had been stored before: nothing happened.
    Before,
}

/// Visits of one link, added up.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sums {
    /// All of them.
    pub total: i64,
    /// By people.
    pub people: i64,
    /// By bots, those that render previews included.
    pub bots: i64,
}

impl std::ops::AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.total += other.total;
        self.people += other.people;
        self.bots += other.bots;
    }
}

impl Sums {
    fn add(&mut self, kind: Kind) {
        self.total += 1;
        match kind {
            Kind::Person => self.people += 1,
            Kind::Bot | Kind::Preview => self.bots += 1,
            Kind::Prefetch => {}
        }
    }
}

/// Stores a batch: its visits, and the totals of their links, in one transaction. Visits before
/// `rows_from` get no row, because their day is not kept any more; they count all the same.
///
/// After `budget` without an answer nobody knows what became of the batch: send it again.
pub async fn write(
    store: &Store,
    batch: &Batch,
    rows_from: UnixMillis,
    budget: Duration,
) -> Result<Stored, Error> {
    super::transact_within(store, budget, async |connection| {
        write_on(connection, batch, rows_from).await
    })
    .await
}

async fn write_on(
    connection: &mut Connection,
    batch: &Batch,
    rows_from: UnixMillis,
) -> Result<Stored, Error> {
    let times = batch.visits.iter().map(|visit| visit.at);
    let Some(first) = times.clone().min() else { return Ok(Stored::Before) };
    let last = times.max().unwrap_or(first);
    let transaction = connection.transaction().await?;
    let statement = transaction
        .prepare_cached(
            "/* begin_click_batch */
             INSERT INTO click_batch (id, first_at, last_at)
             VALUES ($1::text::uuid /* id */, $2 /* first_at */, $3 /* last_at */)
             ON CONFLICT (id) DO NOTHING
             RETURNING number",
        )
        .await?;
    let id = format!("{:032x}", batch.id);
    let begun = transaction.query_opt(&statement, &[&id, &moment(first), &moment(last)]).await?;
    let Some(begun) = begun else { return Ok(Stored::Before) };
    let number: i64 = begun.try_get("number")?;
    let (with_row, without): (Vec<&Visit>, Vec<&Visit>) =
        batch.visits.iter().partition(|visit| !visit.private && visit.at >= rows_from);
    copy_visits(&transaction, number, &with_row).await?;
    add_without_row(&transaction, number, &without).await?;
    add_totals(&transaction, &batch.visits).await?;
    transaction.commit().await?;
    Ok(Stored::Now)
}

/// The types of the columns that a visit is copied into.
const COLUMNS: [Type; 10] = [
    Type::INT8,
    Type::INT8,
    Type::TIMESTAMPTZ,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::TEXT,
    Type::INET,
    Type::UUID,
];

async fn copy_visits(
    transaction: &Transaction<'_>,
    number: i64,
    visits: &[&Visit],
) -> Result<(), Error> {
    if visits.is_empty() {
        return Ok(());
    }
    let sink = transaction
        .copy_in(
            "/* copy_visits */
             COPY visit (id, link_id, at, kind, device, browser, country, referrer, network,
                         click_id)
             FROM STDIN BINARY",
        )
        .await?;
    let mut rows = pin!(BinaryCopyInWriter::new(sink, &COLUMNS));
    let first = number.saturating_mul(BATCH_SPAN);
    for (place, visit) in (0..BATCH_SPAN).zip(visits) {
        rows.as_mut()
            .write(&[
                &first.saturating_add(place),
                &visit.link.0,
                &Millis(visit.at),
                &visit.kind.name(),
                &visit.device.name(),
                &visit.browser.name(),
                &visit.country.as_ref().map(Country::code),
                &visit.referrer.as_deref(),
                &visit.network,
                &visit.click_id.map(ClickNumber),
            ])
            .await?;
    }
    let copied = rows.finish().await?;
    expect_rows("copy_visits", u64::try_from(visits.len()).unwrap_or(u64::MAX), copied)
}

async fn add_without_row(
    transaction: &Transaction<'_>,
    number: i64,
    visits: &[&Visit],
) -> Result<(), Error> {
    let mut sums: BTreeMap<(LinkId, UnixMillis, Kind), i64> = BTreeMap::new();
    for visit in visits {
        let hour = UnixMillis(visit.at.0 - visit.at.0 % 3_600_000);
        *sums.entry((visit.link, hour, visit.kind)).or_default() += 1;
    }
    if sums.is_empty() {
        return Ok(());
    }
    let links: Vec<i64> = sums.keys().map(|(link, _, _)| link.0).collect();
    let hours: Vec<Timestamp> = sums.keys().map(|(_, hour, _)| moment(*hour)).collect();
    let kinds: Vec<&str> = sums.keys().map(|(_, _, kind)| kind.name()).collect();
    let counts: Vec<i64> = sums.values().copied().collect();
    let added = transaction
        .execute(
            "/* add_visits_without_row */
             INSERT INTO visit_without_row (batch, link_id, hour, kind, visits)
             SELECT $1 /* batch */, link_id, hour, kind, visits
             FROM unnest($2::bigint[], $3::timestamptz[], $4::text[], $5::bigint[])
                  AS added (link_id, hour, kind, visits)",
            &[&number, &links, &hours, &kinds, &counts],
        )
        .await?;
    expect_rows("add_visits_without_row", u64::try_from(sums.len()).unwrap_or(u64::MAX), added)
}

async fn add_totals(transaction: &Transaction<'_>, visits: &[Visit]) -> Result<(), Error> {
    // In the order of the links, so that two processes never wait for each other in a circle.
    let mut sums: BTreeMap<LinkId, Sums> = BTreeMap::new();
    for visit in visits {
        sums.entry(visit.link).or_default().add(visit.kind);
    }
    let links: Vec<i64> = sums.keys().map(|link| link.0).collect();
    let column = |of: fn(&Sums) -> i64| sums.values().map(of).collect::<Vec<i64>>();
    let statement = transaction
        .prepare_cached(
            "/* add_click_totals */
             INSERT INTO link_clicks AS clicks (link_id, total, people, bots)
             SELECT link_id, total, people, bots
             FROM unnest($1::bigint[] /* links */, $2::bigint[] /* totals */,
                         $3::bigint[] /* people */, $4::bigint[] /* bots */)
                  AS added (link_id, total, people, bots)
             ORDER BY link_id
             ON CONFLICT (link_id) DO UPDATE
             SET total = clicks.total + excluded.total, people = clicks.people + excluded.people,
                 bots = clicks.bots + excluded.bots",
        )
        .await?;
    let changed = transaction
        .execute(
            &statement,
            &[
                &links,
                &column(|sums| sums.total),
                &column(|sums| sums.people),
                &column(|sums| sums.bots),
            ],
        )
        .await?;
    expect_rows("add_click_totals", u64::try_from(sums.len()).unwrap_or(u64::MAX), changed)
}

/// Forgets batches that nobody will send again: those stored before `before`.
pub async fn forget_batches(store: &Store, before: UnixMillis) -> Result<u64, Error> {
    let connection = store.connection().await?;
    Ok(connection
        .execute(
            "/* forget_click_batches */
             DELETE FROM click_batch WHERE applied_at < $1 /* before */ AND rolled_up",
            &[&moment(before)],
        )
        .await?)
}

/// A moment in a visit's row: as many conversions as there are clicks, so it goes straight to the eight
/// bytes that PostgreSQL wants, microseconds since 2000.
#[derive(Debug)]
struct Millis(UnixMillis);

impl ToSql for Millis {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        const YEAR_2000: i64 = 946_684_800_000;
        let millis = i64::try_from(self.0.0)?.checked_sub(YEAR_2000);
        out.put_i64(millis.and_then(|millis| millis.checked_mul(1_000)).ok_or("too far away")?);
        Ok(IsNull::No)
    }

    accepts!(TIMESTAMPTZ);
    to_sql_checked!();
}

/// The number of a click, in its row.
#[derive(Debug)]
struct ClickNumber(u128);

impl ToSql for ClickNumber {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        out.put_u128(self.0);
        Ok(IsNull::No)
    }

    accepts!(UUID);
    to_sql_checked!();
}

/// A moment as PostgreSQL has it.
fn moment(at: UnixMillis) -> Timestamp {
    let millis = i64::try_from(at.0).unwrap_or(i64::MAX);
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
}
