//! Sums of everything: what was clicked, who was bound, where rewards stand, and what is spent.

use std::collections::BTreeMap;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan};
use maud::{Markup, html};

use super::chart;
use super::form::escaped;
use super::page::{Page, Section, amount, number, said, state, table, to};
use super::{Console, Outcome, Visit};
use crate::campaign::document;
use crate::http::auth::Scope;
use crate::http::problem::Problem;
use crate::reward::machine::State;
use crate::store::campaigns::StoredVersion;
use crate::store::overview::{self, Account};

/// How many days the charts show, today included.
pub(super) const DAYS: i64 = 30;

/// The days of a chart: the first one, and the first one after them.
fn days(now: Timestamp) -> (Date, Date) {
    let tomorrow = now.to_zoned(TimeZone::UTC).date().saturating_add(1.day());
    (tomorrow.saturating_sub(DAYS.days()), tomorrow)
}

/// Each of the days, with nothing on those that are not known.
fn filled(known: Vec<(Date, i64)>, (from, to): (Date, Date)) -> Vec<(Date, i64)> {
    let known: BTreeMap<Date, i64> = known.into_iter().collect();
    let all = from.series(1.day()).take_while(|day| *day < to);
    all.map(|day| (day, known.get(&day).copied().unwrap_or(0))).collect()
}

/// A chart of sums, or why there is none.
fn by_day(what: &str, sums: Option<Vec<(Date, i64)>>, range: (Date, Date)) -> Markup {
    html! {
        @match sums {
            Some(sums) => (chart::days(what, &filled(sums, range))),
            None => (too_many()),
        }
    }
}

fn too_many() -> Markup {
    html! { p.soft { "There are too many to be added up here; Prometheus has the figures." } }
}

impl Console {
    /// The first page.
    pub(super) async fn overview(&self, visit: &Visit<'_>) -> Result<Outcome, Problem> {
        let range = days(self.clock.now().into());
        let (sees_links, sees_campaigns) =
            (visit.may(Section::Links.scopes()), visit.may(Section::Campaigns.scopes()));
        let sees_rewards = visit.may(Section::Rewards.scopes());
        let main = html! {
            @if sees_links {
                section.card {
                    h2 { "Clicks" }
                    @let sums = overview::clicks(&self.store, range.0, range.1).await?;
                    @let people = sums.map(|it| it.into_iter().map(|(day, sums)| (day, sums.people)).collect());
                    (by_day("Clicks by people", people, range))
                    p { (to("/links", "All links")) }
                }
            }
            @if sees_campaigns || sees_rewards || visit.may(&[Scope::Referrals]) {
                section.card {
                    h2 { "Bindings" }
                    @let sums = overview::bindings(&self.store, range.0, range.1).await?;
                    (by_day("Invitees bound", sums, range))
                }
            }
            @if sees_rewards { (self.rewards_by_state().await?) }
            @if sees_campaigns || sees_rewards { (self.spend(sees_campaigns).await?) }
            @if !sees_links && !sees_campaigns && !sees_rewards {
                p { "The key that you signed in with opens no more pages than this one." }
            }
        };
        let main = html! { div.sums { (main) } };
        Ok(Page::new("Overview", Section::Overview, main).into())
    }

    async fn rewards_by_state(&self) -> Result<Markup, Problem> {
        let counted = overview::rewards(&self.store).await?;
        let counted: Option<BTreeMap<String, i64>> = counted.map(|it| it.into_iter().collect());
        Ok(html! {
            section.card {
                h2 { "Rewards" }
                @match counted {
                    None => (too_many()),
                    Some(counted) => {
                        @let most = counted.values().copied().max().unwrap_or(0);
                        @let row = |it: State| {
                            let count = counted.get(it.name()).copied().unwrap_or(0);
                            let list = format!("/rewards?state={}", it.name());
                            vec![
                                html! { a href={ (super::ROOT) (list) } { (state(it.name())) } },
                                chart::line(count, most),
                                said(number(count)),
                            ]
                        };
                        @let rows: Vec<Vec<Markup>> = State::ALL.into_iter().map(row).collect();
                        (table("Rewards by state", &[("State", false), ("Share", false), ("Number", true)], &rows))
                    }
                }
            }
        })
    }

    /// What each campaign has spent of its budget.
    async fn spend(&self, sees_campaigns: bool) -> Result<Markup, Problem> {
        let accounts = overview::accounts(&self.store).await?;
        let currencies: BTreeMap<String, String> =
            self.campaigns.list().await?.iter().filter_map(currency).collect();
        Ok(html! {
            section.card {
                h2 { "Spend" }
                @if accounts.is_empty() { p { "No campaign was ever active." } }
                @for account in &accounts {
                    @let currency = currencies.get(&account.campaign).map_or("", String::as_str);
                    h3 {
                        @if sees_campaigns {
                            (to(&format!("/campaigns/{}", escaped(&account.campaign)), &account.campaign))
                        } @else { (account.campaign) }
                    }
                    (spent(account, currency))
                }
                p.soft { "Amounts are in minor units of the currency." }
            }
        })
    }
}

/// A campaign's account as a chart.
pub(super) fn spent(account: &Account, currency: &str) -> Markup {
    let Account { campaign, left_minor, promised_minor, paid_minor } = account;
    let part = |name, minor: &i64| (name, *minor, amount(*minor, currency));
    let parts =
        [part("Paid", paid_minor), part("Promised", promised_minor), part("Left", left_minor)];
    chart::parts(&format!("Budget of {campaign}"), &parts)
}

/// What the amounts of a campaign are in.
fn currency(stored: &StoredVersion) -> Option<(String, String)> {
    let campaign = document::parse(&stored.document, stored.record.format).ok()?;
    Some((stored.record.campaign.to_string(), campaign.currency.code().to_owned()))
}
