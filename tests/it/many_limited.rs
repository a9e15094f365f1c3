//! Many links that can be opened only so often, at the same time.

use std::sync::Arc;

use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::support::deployment::add_links;
use super::support::{Client, Proxy, TestDatabase, Traffic, Waypost, quiet};

/// What a browser says that it is: programs use no clicks up.
const BROWSER: (&str, &str) =
    ("user-agent", "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0");

#[tokio::test]
async fn many_limited_links_at_once_are_all_opened_and_keep_no_other_link_from_being_found() {
    const LINKS: usize = 200;
    let _quiet = quiet().await;
    let database = TestDatabase::new().await;
    add_links(&database.store(), &[("plain", "https://a.example/plain")]).await;
    let made = format!(
        "INSERT INTO link (domain_id, slug, target, max_clicks, created_by)
         SELECT 1, 'once' || n, 'https://a.example/' || n, 1, 't'
         FROM generate_series(0, {}) AS n",
        LINKS - 1
    );
    database.connect().await.batch_execute(&made).await.expect("links");
    // A database some way off: with a statement for each link, all connections are busy for longer than
    // a look-up waits for one.
    let proxy = Proxy::start(database.endpoint()).await;
    proxy.set(Traffic::Delayed(std::time::Duration::from_millis(10)));
    let waypost = Waypost::start(&[("DATABASE_URL", &database.url_through(&proxy))]).await;
    let edge = waypost.edge();
    let start = Arc::new(Barrier::new(LINKS));
    let mut asking = JoinSet::new();
    for n in 0..LINKS {
        let start = Arc::clone(&start);
        asking.spawn(async move {
            let mut client = Client::connect(edge).await.expect("a connection");
            // Known to the process: what is left to ask for is the click.
            let path = format!("/once{n}");
            let head = client.send("HEAD", &path, &[BROWSER], "").await.expect("an answer");
            start.wait().await;
            let opened = client.get(&path, &[BROWSER]).await.expect("an answer");
            (head.status, opened.status)
        });
    }
    let mut answers = Vec::new();
    while let Some(answer) = asking.join_next().await {
        answers.push(answer.expect("no client fails"));
    }
    answers.retain(|answer| *answer != (302, 302));
    assert_eq!(answers, [], "{} of {LINKS} could not be opened", answers.len());
    let mut client = Client::connect(edge).await.expect("a connection");
    assert_eq!(client.get("/plain", &[BROWSER]).await.expect("an answer").status, 302);
}
