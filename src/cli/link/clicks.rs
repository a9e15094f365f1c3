//! `waypost link clicks`

use clap::Args;
use clap::builder::PossibleValuesParser;

use super::Place;
use crate::api::clicks::{ClickReport, LARGEST_REPORT};
use crate::cli::context::Context;
use crate::cli::fields::say_json;
use crate::cli::{Error, say};
use crate::clicks::report::By;
use crate::link::LinkId;

/// Report how often a link was opened.
#[derive(Debug, Args)]
pub(crate) struct Clicks {
    #[command(flatten)]
    pub(super) place: Place,
    /// What to group by
    #[arg(long, default_value = "day", value_parser = PossibleValuesParser::new(By::ALL.map(By::name)))]
    by: String,
    /// The first day, such as 2030-01-31, or by the hour 2030-01-31T12:00:00Z
    #[arg(long, value_name = "TIME")]
    from: Option<String>,
    /// The first day or hour after it
    #[arg(long, value_name = "TIME")]
    to: Option<String>,
    /// At most this many values; the rest is one group, *
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u16).range(1..=1_000))]
    limit: u16,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Clicks {
    /// Reports about the link with this id.
    pub(super) async fn report(self, context: &Context, link: LinkId) -> Result<(), Error> {
        let by = By::named(&self.by).unwrap_or(By::Day);
        let reports = context.reports();
        let range =
            reports.range(by, self.from.as_deref(), self.to.as_deref()).map_err(|refused| {
                Error::Message(format!("--{} {}", refused.parameter, refused.detail))
            })?;
        let most = usize::from(self.limit).min(LARGEST_REPORT);
        let report = ClickReport::from(reports.report(link, by, range, most).await?);
        if self.json {
            return say_json(&report);
        }
        say(&format!("{:>10}  {:>8}  {:>10}  {}", "clicks", "bots", "prefetches", report.by))?;
        for group in &report.groups {
            let counts = group.counts;
            // Hours and days without anything would only take room here.
            if counts.visits > 0 {
                let key = group.key.as_deref().unwrap_or("(not known)");
                say(&line(counts.clicks, counts.bots, counts.prefetches, key))?;
            }
        }
        let counts = report.counts;
        let whole = format!("from {} to {}", report.from, report.to);
        say(&line(counts.clicks, counts.bots, counts.prefetches, &whole))
    }
}

fn line(clicks: i64, bots: i64, prefetches: i64, key: &str) -> String {
    format!("{clicks:>10}  {bots:>8}  {prefetches:>10}  {key}")
}
