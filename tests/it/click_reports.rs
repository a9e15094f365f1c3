//! What the API reports of clicks: by the hour, the day and what visitors have in common; the visits
//! themselves; and totals on the link.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use waypost::clicks::keeper::Keeper;
use waypost::clock::{Clock, UnixMillis};
use waypost::link::LinkId;
use waypost::metrics::Metrics;
use waypost::store::clicks::{Batch, Visit, days, rollup};
use waypost::visitor::agent::Browser;
use waypost::visitor::country::Country;
use waypost::visitor::{Device, Kind};

use crate::api::problem;
use crate::support::TestApi;
use crate::support::api::NOW;

const BUDGET: Duration = Duration::from_secs(20);
const HOUR: u64 = 3_600_000;

/// An API with one link called `x`, and what stores clicks for it.
struct Reports {
    api: TestApi,
    link: LinkId,
    keeper: Keeper,
    metrics: Arc<Metrics>,
}

impl Reports {
    async fn new() -> Self {
        let api = TestApi::new().await;
        api.create(&json!({ "target": "https://example.com/", "slug": "x" })).await;
        let link = LinkId(api.count("SELECT id FROM link").await);
        let store = api.database.store();
        let retention = Duration::from_hours(90 * 24);
        let metrics = Arc::new(Metrics::new());
        let clock = Clock::by_hand(NOW);
        let keeper = Keeper::new(store, clock, Arc::clone(&metrics), retention);
        Self { api, link, keeper, metrics }
    }

    /// A visit of a person so many hours ago.
    fn visit(&self, hours_ago: u64) -> Visit {
        Visit {
            link: self.link,
            at: UnixMillis(NOW.0 - hours_ago * HOUR - 1),
            kind: Kind::Person,
            device: Device::Android,
            browser: Browser::Chrome,
            country: Country::parse("NG"),
            referrer: Some("news.example".into()),
            network: Some([203, 0, 113, 0].into()),
            private: false,
            click_id: None,
        }
    }

    async fn store(&self, visits: Vec<Visit>) {
        let batch = Batch { id: rand::random(), visits };
        self.keeper.keep(&batch, BUDGET).await.expect("stored");
        // Sent again, it changes nothing.
        self.keeper.keep(&batch, BUDGET).await.expect("stored before");
        let store = self.api.database.store();
        while rollup::roll_up(&store, rollup::MOST_BATCHES).await.expect("rolled up") > 0 {}
    }

    async fn get(&self, path: &str) -> Value {
        let answer = self.api.call("GET", &format!("/v1/links/x{path}"), "").await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        answer.json()
    }

    /// The groups of a report that are not empty: key, clicks, bots, visits.
    async fn groups(&self, query: &str) -> Value {
        let report = self.get(&format!("/clicks?{query}")).await;
        let groups = report.get("groups").and_then(Value::as_array).expect("groups").iter();
        groups
            .filter(|group| group.get("visits") != Some(&json!(0)))
            .map(|it| json!([it["key"], it["clicks"], it["bots"], it["visits"]]))
            .collect()
    }
}

#[tokio::test]
async fn every_report_adds_up_to_the_same() {
    let reports = Reports::new().await;
    let bot = |hours| Visit {
        kind: Kind::Bot,
        device: Device::Unknown,
        browser: Browser::Other,
        referrer: None,
        country: None,
        ..reports.visit(hours)
    };
    let iphone = |hours| Visit {
        device: Device::Ios,
        browser: Browser::Safari,
        country: Country::parse("DE"),
        referrer: Some("chat.example".into()),
        ..reports.visit(hours)
    };
    reports
        .store(vec![
            reports.visit(0),
            reports.visit(0),
            iphone(1),
            bot(1),
            Visit { kind: Kind::Preview, ..bot(30) },
            Visit { kind: Kind::Prefetch, ..iphone(30) },
            Visit { private: true, ..iphone(31) },
        ])
        .await;
    let link = reports.get("").await;
    assert_eq!([&link["clicks"], &link["bots"], &link["visits"]], [4, 2, 7]);
    assert_eq!(
        reports.metrics.clicks_counted.get(),
        7,
        "a batch that is sent again is metered once"
    );
    for (by, groups) in [
        ("hour", json!([["2029-12-31T22:00:00Z", 1, 1, 2], ["2029-12-31T23:00:00Z", 2, 0, 2]])),
        ("day", json!([["2029-12-30", 1, 1, 3], ["2029-12-31", 3, 1, 4]])),
        (
            "referrer",
            json!([["news.example", 2, 0, 2], [null, 1, 2, 3], ["chat.example", 1, 0, 2]]),
        ),
        ("country", json!([["NG", 2, 0, 2], [null, 1, 2, 3], ["DE", 1, 0, 2]])),
        ("device", json!([["android", 2, 0, 2], ["unknown", 1, 2, 3], ["ios", 1, 0, 2]])),
        ("browser", json!([["chrome", 2, 0, 2], ["other", 1, 2, 3], ["safari", 1, 0, 2]])),
    ] {
        assert_eq!(reports.groups(&format!("by={by}")).await, groups, "{by}");
    }
    let whole = reports.get("/clicks?by=day").await;
    assert_eq!(whole["groups"].as_array().map(Vec::len), Some(30), "the empty days too");
    assert_eq!([&whole["clicks"], &whole["bots"], &whole["prefetches"]], [4, 2, 1]);
    assert_eq!(whole["visits"], json!(7));
    assert_eq!(whole["from"], json!("2029-12-03T00:00:00Z"));
    assert_eq!(whole["to"], json!("2030-01-02T00:00:00Z"));
    let bounded = "by=device&from=2029-12-31&to=2030-01-01&limit=1";
    assert_eq!(reports.groups(bounded).await, json!([["android", 2, 0, 2], ["*", 1, 1, 2]]));
}

#[tokio::test]
async fn visits_are_listed_the_latest_first_and_page_by_page() {
    let reports = Reports::new().await;
    // All at one moment, so that only their ids tell them apart; and some before it.
    let mut visits = vec![reports.visit(0); 25];
    visits.extend((1..=5).map(|hours| reports.visit(hours)));
    visits.push(Visit { private: true, ..reports.visit(2) });
    reports.store(visits).await;
    let first = reports.get("/visits?limit=1").await;
    assert_eq!(
        first["visits"],
        json!([{
            "at": "2029-12-31T23:59:59.999Z", "kind": "person", "device": "android",
            "browser": "chrome", "country": "NG", "referrer": "news.example",
            "network": "203.0.113.0",
        }])
    );
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    loop {
        let page = reports.get(&format!("/visits?limit=7{cursor}")).await;
        let visits = page["visits"].as_array().expect("visits").clone();
        seen.extend(visits.iter().map(|visit| visit["at"].as_str().expect("a time").to_owned()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen.len(), 30, "the one who asked not to be tracked has none");
    assert!(seen.is_sorted_by(|one, other| one >= other), "{seen:?}");
    let between = "/visits?from=2029-12-31T20:00:00Z&to=2029-12-31T22:00:00Z";
    assert_eq!(reports.get(between).await["visits"].as_array().map(Vec::len), Some(2));
}

#[tokio::test]
async fn a_flood_of_made_up_referrers_takes_a_hundred_rows_a_day() {
    let reports = Reports::new().await;
    let from = |host: String| Visit { referrer: Some(host.into()), ..reports.visit(1) };
    for round in 0..3 {
        let mut visits: Vec<Visit> =
            (0..500).map(|number| from(format!("{round}-{number}.example"))).collect();
        visits.extend(std::iter::repeat_n(from("real.example".to_owned()), 20));
        reports.store(visits).await;
    }
    let rows = "SELECT count(*) FROM click_day WHERE dimension = 'referrer'";
    assert_eq!(reports.api.count(rows).await, 101);
    let groups = reports.groups("by=referrer&limit=2").await;
    assert_eq!(groups[0], json!(["real.example", 60, 0, 60]));
    assert_eq!(groups[2], json!(["*", 1_499, 0, 1_499]), "{groups}");
}

#[tokio::test]
async fn days_that_are_too_old_are_dropped_and_their_sums_stay() {
    let reports = Reports::new().await;
    reports.store(vec![reports.visit(0), reports.visit(48), reports.visit(24 * 91)]).await;
    let rows = "SELECT count(*) FROM visit";
    assert_eq!(reports.api.count(rows).await, 2, "what is older than is kept has no row");
    reports.keeper.prepare_coming_days().await.expect("prepared");
    reports.keeper.drop_old_days().await.expect("dropped");
    let partitions = "SELECT count(*) FROM pg_inherits WHERE inhparent = 'visit'::regclass";
    assert_eq!(reports.api.count(partitions).await, 5, "two days with visits, and three to come");
    let yesterday = days::day_of(UnixMillis(NOW.0 - 1));
    let store = reports.api.database.store();
    let (dropped, left) = days::drop_before(&store, yesterday).await.expect("dropped");
    assert_eq!((dropped, left.is_none()), (1, true));
    days::drop_hours_before(&store, yesterday).await.expect("dropped");
    assert_eq!(reports.api.count(rows).await, 1);
    assert_eq!(
        reports.groups("by=day").await,
        json!([["2029-12-29", 1, 0, 1], ["2029-12-31", 1, 0, 1]])
    );
    assert_eq!(reports.get("").await["clicks"], json!(3));
    assert_eq!(reports.api.count("SELECT count(*) FROM click_hour").await, 1);
}

#[tokio::test]
async fn a_day_in_use_is_left_for_later_and_two_processes_drop_days_at_once() {
    let reports = Reports::new().await;
    reports.store((0..6).map(|days| reports.visit(days * 24)).collect()).await;
    let (one, other) = (reports.api.database.store(), reports.api.database.store());
    let day = |ago: u64| days::day_of(UnixMillis(NOW.0 - ago * 24 * HOUR - 1));
    let (first, second) =
        tokio::join!(days::drop_before(&one, day(4)), days::drop_before(&other, day(4)));
    for (_, left) in [first, second].map(|outcome| outcome.expect("dropped")) {
        assert!(left.is_none(), "{left:?}");
    }
    assert_eq!(reports.api.count("SELECT count(*) FROM visit").await, 5);
    let mut reader = reports.api.database.connect().await;
    let reading = reader.transaction().await.expect("a transaction");
    let name = day(3).strftime("visit_%Y%m%d").to_string();
    let lock = format!("LOCK TABLE {name} IN ACCESS SHARE MODE");
    reading.batch_execute(&lock).await.expect("locked");
    let (dropped, left) = days::drop_before(&one, day(2)).await.expect("one dropped, one left");
    assert!(dropped == 1 && left.is_some(), "{dropped}, {left:?}");
    reading.rollback().await.expect("ended");
    let (dropped, left) = days::drop_before(&one, day(2)).await.expect("dropped");
    assert!(dropped == 1 && left.is_none(), "{dropped}, {left:?}");
}

#[tokio::test]
async fn a_report_that_cannot_be_is_refused_with_the_remedy() {
    let reports = Reports::new().await;
    for (path, detail) in [
        ("clicks?by=week", "'by' must be one of hour, day, referrer, country, device, browser"),
        ("clicks?from=2029-12-31&to=2029-12-01", "'from' must be before 'to'"),
        ("clicks?by=hour&from=2029-12-01&to=2029-12-01", "'from' must be before 'to'"),
        ("clicks?from=2020-01-01&to=2029-12-01", "at most 366 days before"),
        ("clicks?by=hour&from=2029-10-01", "at most 744 hours before"),
        ("clicks?by=hour&from=2029-08-01&to=2029-08-02", "hours are kept for 90 days; ask by=day"),
        ("clicks?from=2029-12-01T12:00:00Z", "'from' must be a whole day of UTC"),
        ("clicks?from=soon", "write it like 2030-01-31 or 2030-01-31T12:00:00Z"),
        ("clicks?by=referrer&limit=0", "'limit' must be a whole number from 1 to 1000"),
        ("clicks?by=day&by=hour", "'by' stands more than once"),
        ("clicks?until=2029-12-01", "unknown parameter 'until'"),
        ("visits?from=2029-12-31&to=2029-12-30", "'from' must be before 'to'"),
        ("visits?cursor=abc", "the cursor is not one that a list has given"),
        ("visits?limit=1001", "'limit' must be a whole number from 1 to 1000"),
        ("visits?by=day", "unknown parameter 'by'"),
    ] {
        let answer = reports.api.call("GET", &format!("/v1/links/x/{path}"), "").await;
        assert_eq!(problem(&answer), (400, "invalid-query".to_owned(), Vec::new()), "{path}");
        assert!(answer.text().contains(detail), "{path}: {}", answer.text());
    }
    for path in ["clicks", "visits"] {
        let answer = reports.api.call("GET", &format!("/v1/links/nowhere/{path}"), "").await;
        assert_eq!(answer.status, 404);
    }
}
