//! What was counted for a link: `/v1/links/{slug}/clicks` and `/v1/links/{slug}/visits`.

use std::net::IpAddr;

use hyper::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::query::{Query, refuse};
use super::{Api, Call, Reply};
use crate::clicks::report::{By, Error, Key, Refused, Report, VisitPage};
use crate::http::problem::Problem;
use crate::store::clicks::Sums;
use crate::store::clicks::report::VisitRow;

/// The most values of a dimension in one report, and how many one has when nobody says.
pub const LARGEST_REPORT: usize = 1_000;
pub(super) const USUAL_REPORT: usize = 100;
/// The most visits of one page, and how many one has when nobody says.
pub const LARGEST_VISIT_PAGE: u32 = 1_000;
pub(super) const USUAL_VISIT_PAGE: u32 = 100;

/// How often something was opened, and by whom.
#[derive(Clone, Copy, Debug, Serialize, ToSchema)]
pub struct Counts {
    /// By people.
    pub clicks: i64,
    /// By bots, those that render previews included.
    pub bots: i64,
    /// By browsers that fetched ahead.
    pub prefetches: i64,
    /// All of these.
    pub visits: i64,
}

impl From<Sums> for Counts {
    fn from(sums: Sums) -> Self {
        Self {
            clicks: sums.people,
            bots: sums.bots,
            prefetches: sums.total - sums.people - sums.bots,
            visits: sums.total,
        }
    }
}

/// What was counted for a link.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ClickReport {
    /// What the groups are: `hour`, `day`, `referrer`, `country`, `device` or `browser`.
    pub by: &'static str,
    /// The first moment that the report is about.
    pub from: Timestamp,
    /// The first moment after it.
    pub to: Timestamp,
    /// All groups together.
    #[serde(flatten)]
    pub counts: Counts,
    /// Each hour or day, the empty ones too; or each value, the most clicked first.
    pub groups: Vec<ClickGroup>,
}

/// One group of a report.
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct ClickGroup {
    /// The beginning of the hour, the day (UTC), or the value: `null` when it is not known or not told,
    /// `*` for all values beyond the limit, and all referrers beyond the first hundred of a day.
    pub key: Option<String>,
    /// How often, and by whom.
    #[serde(flatten)]
    pub counts: Counts,
}

impl From<Report> for ClickReport {
    fn from(report: Report) -> Self {
        let group = |(key, sums): (Key, Sums)| ClickGroup {
            key: match key {
                Key::Hour(hour) => Some(hour.to_string()),
                Key::Day(day) => Some(day.to_string()),
                Key::Value(value) => value,
            },
            counts: sums.into(),
        };
        Self {
            by: report.by.name(),
            from: report.range.from,
            to: report.range.to,
            counts: report.sums.into(),
            groups: report.groups.into_iter().map(group).collect(),
        }
    }
}

/// Some visits, the latest first.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = VisitPage)]
pub struct VisitPageView {
    /// The visits.
    pub visits: Vec<VisitView>,
    /// Give it as `cursor` to have the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// One opening of a link.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Visit)]
pub struct VisitView {
    /// When.
    pub at: Timestamp,
    /// By whom: `person`, `bot`, `preview` or `prefetch`.
    pub kind: String,
    /// On what.
    pub device: String,
    /// With what.
    pub browser: String,
    /// From where: the two letters of ISO 3166-1; `null` when it is not known.
    pub country: Option<String>,
    /// From which site; `null` when it is not told.
    pub referrer: Option<String>,
    /// From which network: the address, cut as the settings say.
    #[schema(value_type = Option<String>)]
    pub network: Option<IpAddr>,
}

impl From<VisitRow> for VisitView {
    fn from(row: VisitRow) -> Self {
        let VisitRow { id: _, at, kind, device, browser, country, referrer, network } = row;
        Self { at, kind, device, browser, country, referrer, network }
    }
}

impl From<VisitPage> for VisitPageView {
    fn from(page: VisitPage) -> Self {
        let visits = page.visits.into_iter().map(VisitView::from).collect();
        Self { visits, next_cursor: page.next }
    }
}

impl Api {
    pub(super) async fn get_clicks(&self, call: &Call) -> Result<Reply, Problem> {
        let query = Query::parse(call.raw_query(), &["domain", "from", "to", "by", "limit"])?;
        let by = match query.one("by")? {
            None => By::Day,
            Some(name) => By::named(name).ok_or_else(|| {
                let names = By::ALL.map(By::name).join(", ");
                refuse(format!("'by' must be one of {names}; left out, it is day"))
            })?,
        };
        let most = query.number("limit", 1..=LARGEST_REPORT, USUAL_REPORT)?;
        let range = self.reports.range(by, query.one("from")?, query.one("to")?)?;
        let link = self.links.get(query.one("domain")?, call.slug()).await?;
        let report = self.reports.report(link.id, by, range, most).await?;
        Ok(Reply::json(StatusCode::OK, &ClickReport::from(report)))
    }

    pub(super) async fn list_visits(&self, call: &Call) -> Result<Reply, Problem> {
        let known = ["domain", "from", "to", "limit", "cursor"];
        let query = Query::parse(call.raw_query(), &known)?;
        let limit = query.number("limit", 1..=LARGEST_VISIT_PAGE, USUAL_VISIT_PAGE)?;
        let range = (query.one("from")?, query.one("to")?);
        let link = self.links.get(query.one("domain")?, call.slug()).await?;
        let page = self.reports.visits(link.id, range, query.one("cursor")?, limit).await?;
        Ok(Reply::json(StatusCode::OK, &VisitPageView::from(page)))
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        refuse(refused.to_string())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Refused(refused) => refused.into(),
            Error::BadCursor => refuse(error.to_string()),
            Error::Store(error) => error.into(),
        }
    }
}
