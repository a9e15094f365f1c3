//! Every visitor of `tests/data/visitors.toml` opens a link of its own in the real program, and is
//! counted as the table says.

use std::collections::BTreeMap;

use serde::Deserialize;
use waypost::local::Signal;

use super::support::deployment::add_links;
use super::support::{Client, TestDatabase, Waypost};

#[derive(Deserialize)]
struct Table {
    visitor: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    what: String,
    method: Option<String>,
    user_agent: Option<String>,
    #[serde(default)]
    headers: Vec<(String, String)>,
    kind: String,
    device: String,
    browser: String,
}

impl Row {
    fn headers(&self) -> Vec<(&str, &str)> {
        let agent = self.user_agent.iter().map(|text| ("user-agent", text.as_str()));
        let others = self.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        agent.chain(others).collect()
    }

    fn asks_for_privacy(&self) -> bool {
        let is_signal =
            |name: &str| ["dnt", "sec-gpc"].contains(&name.to_ascii_lowercase().as_str());
        self.headers.iter().any(|(name, value)| is_signal(name) && value == "1")
    }

    /// What the database must have of a visitor that came once.
    fn expected(&self) -> Counted {
        let visit = (self.kind.clone(), self.device.clone(), self.browser.clone());
        let (totals, stored) = match self.kind.as_str() {
            "head" => (None, false),
            "person" => (Some((1, 1, 0)), true),
            "bot" | "preview" => (Some((1, 0, 1)), true),
            "prefetch" => (Some((1, 0, 0)), true),
            other => panic!("{}: there is no kind {other:?}", self.what),
        };
        let visits = if stored && !self.asks_for_privacy() { vec![visit] } else { Vec::new() };
        Counted { totals, visits }
    }
}

/// What the database has of a link.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counted {
    /// All visits, those of people, those of bots; none if the link was never counted.
    totals: Option<(i64, i64, i64)>,
    /// Kind, device and browser of each visit.
    visits: Vec<(String, String, String)>,
}

/// What was counted, by the slugs of the links.
async fn counted(client: &tokio_postgres::Client) -> BTreeMap<String, Counted> {
    let mut links: BTreeMap<String, Counted> = BTreeMap::new();
    let totals = "SELECT slug, total, people, bots FROM link_clicks JOIN link ON id = link_id";
    for row in client.query(totals, &[]).await.expect("totals") {
        links.entry(row.get(0)).or_default().totals = Some((row.get(1), row.get(2), row.get(3)));
    }
    let visits = "SELECT slug, kind, device, browser FROM visit JOIN link ON link.id = link_id";
    for row in client.query(visits, &[]).await.expect("visits") {
        let visit = (row.get(1), row.get(2), row.get(3));
        links.entry(row.get(0)).or_default().visits.push(visit);
    }
    links
}

#[tokio::test]
async fn every_visitor_of_the_table_is_counted_as_the_table_says() {
    let table: Table = toml::from_str(include_str!("../data/visitors.toml")).expect("a table");
    let database = TestDatabase::new().await;
    let slugs: Vec<String> = (0..table.visitor.len()).map(|row| format!("row{row}")).collect();
    let links: Vec<(&str, &str)> =
        slugs.iter().map(|slug| (slug.as_str(), "https://a.example/")).collect();
    add_links(&database.store(), &links).await;
    let waypost = Waypost::start(&[("DATABASE_URL", &database.url())]).await;

    let mut client = Client::connect(waypost.edge()).await.expect("a connection");
    for (row, slug) in table.visitor.iter().zip(&slugs) {
        let method = row.method.as_deref().unwrap_or("GET");
        let answer = client.send(method, &format!("/{slug}"), &row.headers(), "").await;
        let answer = answer.unwrap_or_else(|error| panic!("{}: {error}", row.what));
        assert_eq!(answer.status, 302, "{}: {answer:?}", row.what);
        assert_eq!(answer.header("location"), "https://a.example/", "{}", row.what);
    }
    // A stop in order stores everything first, so what is not there now was not counted.
    waypost.signal(Signal::TERM);
    assert_eq!(waypost.ended().await, Some(0), "{}", waypost.log());

    let mut found = counted(&database.connect().await).await;
    let wrong: Vec<String> = table
        .visitor
        .iter()
        .zip(&slugs)
        .filter_map(|(row, slug)| {
            let (found, right) = (found.remove(slug).unwrap_or_default(), row.expected());
            (found != right).then(|| format!("{}: {found:?}, not {right:?}", row.what))
        })
        .collect();
    assert!(wrong.is_empty(), "{} are wrong:\n{}", wrong.len(), wrong.join("\n"));
}
