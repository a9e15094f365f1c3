//! What came of comparing the books with the payment service's: `GET /v1/reconciliation`.

use hyper::StatusCode;
use jiff::civil::Date;
use jiff::{Span, Timestamp};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::query::{Query, wrong};
use super::{Api, Call, Reply};
use crate::http::problem::Problem;
use crate::store::rewards::reconcile::{self, Day, StoredDifference};

/// The most differences that are told at once.
const MOST_DIFFERENCES: i64 = 1_000;
/// So many days are told when nobody says how many.
const USUAL_DAYS: i8 = 31;

/// How the books compare with the payment service's.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Reconciliation)]
pub struct ReconciliationView {
    /// Each day that was compared, in their order.
    pub days: Vec<DayView>,
    /// Where the books differ; at most 1,000.
    pub differences: Vec<DifferenceView>,
}

/// A day that was compared.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ReconciledDay)]
pub struct DayView {
    /// The day, in UTC.
    #[schema(value_type = String, format = "date")]
    pub day: Date,
    /// How many payouts the payment service has.
    pub payouts: i64,
    /// What they add up to, in minor units, whatever they are in.
    pub amount_minor: i64,
    /// How many differences there are.
    pub differences: i32,
    /// When it was compared last.
    pub reconciled_at: Timestamp,
}

/// A difference between the books.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ReconciliationDifference)]
pub struct DifferenceView {
    /// The day, in UTC, that it belongs to.
    #[schema(value_type = String, format = "date")]
    pub day: Date,
    /// What the payment service knows the payout by.
    pub operation_id: String,
    /// `paid-twice`, `not-in-books`, `not-at-service`, `amount-differs` or `beneficiary-differs`.
    #[schema(example = "amount-differs")]
    pub difference: String,
    /// The reward; absent where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reward: Option<i64>,
    /// What both sides say.
    #[schema(value_type = Object)]
    pub detail: Value,
    /// When it was seen first.
    pub seen_at: Timestamp,
}

impl Api {
    pub(super) async fn get_reconciliation(&self, call: &Call) -> Result<Reply, Problem> {
        let query = Query::parse(call.raw_query(), &["from", "to"])?;
        let now = Timestamp::from(self.links.clock().now());
        let tomorrow =
            now.to_zoned(jiff::tz::TimeZone::UTC).date().saturating_add(Span::new().days(1));
        let to = day(&query, "to", tomorrow)?;
        let from = day(&query, "from", to.saturating_sub(Span::new().days(USUAL_DAYS)))?;
        let days = reconcile::days(&self.store, from, to).await?;
        let differences = reconcile::differences(&self.store, (from, to), MOST_DIFFERENCES).await?;
        let view = ReconciliationView {
            days: days.into_iter().map(DayView::from).collect(),
            differences: differences.into_iter().map(DifferenceView::from).collect(),
        };
        Ok(Reply::json(StatusCode::OK, &view))
    }
}

/// The day that a parameter says; left out, `usual`.
fn day(query: &Query, name: &'static str, usual: Date) -> Result<Date, Problem> {
    let Some(text) = query.one(name)? else { return Ok(usual) };
    let day = text.parse::<Date>().ok().filter(|day| day.to_string() == text);
    day.ok_or_else(|| wrong(name, "must be a day such as 2030-01-31", text, usual))
}

impl From<Day> for DayView {
    fn from(it: Day) -> Self {
        let Day { day, payouts, amount_minor, differences, reconciled_at } = it;
        Self { day, payouts, amount_minor, differences, reconciled_at }
    }
}

impl From<StoredDifference> for DifferenceView {
    fn from(it: StoredDifference) -> Self {
        let StoredDifference { day, operation, difference, reward, detail, seen_at } = it;
        Self { day, operation_id: operation, difference, reward, detail, seen_at }
    }
}
