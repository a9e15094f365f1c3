//! Clicks are conserved: what was sent is counted, or metered as lost, whatever dies in between.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;
use tokio_postgres::Client;
use waypost::clicks::spool::Spool;
use waypost::clock::Clock;
use waypost::link::LinkId;
use waypost::local::Signal;
use waypost::store::Store;
use waypost::store::clicks::{Batch, Visit, rollup};
use waypost::visitor::agent::Browser;
use waypost::visitor::{Device, Kind};

use super::support::deployment::{add_links, metric};
use super::support::load::{load, watched_load};
use super::support::{TestPostgres, Waypost, eventually, quiet};

const PATIENCE: Duration = Duration::from_mins(1);

/// How many links are clicked.
const LINKS: usize = 50;

/// A browser's, and a site that it came from.
const HEADERS: &str = "User-Agent: Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 \
    Firefox/140.0\r\nReferer: https://News.example/today\r\n";

fn paths() -> Vec<String> {
    (0..LINKS).map(|n| format!("/link{n}")).collect()
}

/// A PostgreSQL of its own with links in it, and a directory for the spool.
async fn deployment() -> (TestPostgres, TempDir) {
    let postgres = TestPostgres::start().await;
    let links: Vec<(String, String)> =
        (0..LINKS).map(|n| (format!("link{n}"), format!("https://a.example/{n}"))).collect();
    let links: Vec<(&str, &str)> = links.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    add_links(&postgres.store(), &links).await;
    (postgres, tempfile::tempdir().expect("a directory"))
}

async fn start(postgres: &TestPostgres, spool: &Path) -> Waypost {
    let spool = spool.to_str().expect("a plain path");
    Waypost::start(&[
        ("DATABASE_URL", &postgres.url()),
        ("WAYPOST_CLICKS__SPOOL_DIRECTORY", spool),
        ("WAYPOST_LIMITS__CONNECTIONS_PER_CLIENT", "1000"),
    ])
    .await
}

async fn connect(url: &str) -> Client {
    let connected = tokio_postgres::connect(url, tokio_postgres::NoTls).await;
    let (client, connection) = connected.expect("a connection");
    tokio::spawn(connection);
    client
}

async fn number(client: &Client, query: &str) -> usize {
    let number: i64 = client.query_one(query, &[]).await.expect("a row").get(0);
    usize::try_from(number).expect("not negative")
}

const TOTAL: &str = "SELECT coalesce(sum(total), 0)::bigint FROM link_clicks";

/// Waits until this many clicks are counted, and sees that every table has them.
async fn assert_counted(store: &Store, url: &str, expected: usize) {
    let client = connect(url).await;
    eventually("all clicks are counted", PATIENCE, async || {
        let total = number(&client, TOTAL).await;
        assert!(total <= expected, "{total} were counted, and {expected} were sent");
        (total == expected).then_some(())
    })
    .await;
    // A running process may be at it as well.
    eventually("all batches are rolled up", PATIENCE, async || {
        rollup::roll_up(store, rollup::MOST_BATCHES).await.expect("rolled up");
        let open = "SELECT count(*) FROM click_batch WHERE NOT rolled_up";
        (number(&client, open).await == 0).then_some(())
    })
    .await;
    assert_sums(&client, expected).await;
}

async fn spool_is_empty(spool: &TempDir) {
    eventually("the spool is empty", PATIENCE, async || {
        let mut files = std::fs::read_dir(spool.path()).expect("readable");
        files.next().is_none().then_some(())
    })
    .await;
}

/// All sums over the same clicks are the same.
async fn assert_sums(client: &Client, expected: usize) {
    for query in [
        TOTAL,
        "SELECT sum(people)::bigint FROM link_clicks",
        "SELECT count(*) FROM visit WHERE referrer = 'news.example'",
        "SELECT sum(total)::bigint FROM click_hour",
        "SELECT sum(total)::bigint FROM click_day WHERE dimension = 'all'",
        "SELECT sum(people)::bigint FROM click_day WHERE dimension = 'referrer'",
        "SELECT sum(total)::bigint FROM click_day WHERE dimension = 'browser'",
    ] {
        assert_eq!(number(client, query).await, expected, "{query}");
    }
}

#[tokio::test]
async fn two_hundred_thousand_clicks_are_counted_although_postgres_dies_in_the_middle() {
    let _quiet = quiet().await;
    let (mut postgres, spool) = deployment().await;
    let waypost = start(&postgres, spool.path()).await;
    let paths = paths();
    assert_eq!(load(waypost.edge(), (1, LINKS), &paths, HEADERS).await.redirects, LINKS);
    let first = load(waypost.edge(), (8, 8_000), &paths, HEADERS).await.redirects;
    let edge = waypost.edge();
    let second = tokio::spawn({
        let paths = paths.clone();
        async move { load(edge, (8, 9_000), &paths, HEADERS).await.redirects }
    });
    postgres.kill();
    let second = second.await.expect("no panic");
    eventually("clicks are spooled", PATIENCE, async || {
        (metric(waypost.control(), "waypost_clicks_spooled_total").await > 0.5).then_some(())
    })
    .await;
    postgres.restart();
    let third = load(waypost.edge(), (8, 8_000), &paths, HEADERS).await.redirects;
    assert_eq!((first, second, third), (64_000, 72_000, 64_000), "a redirect never fails");
    let sent = LINKS + first + second + third;
    assert_counted(&postgres.store(), &postgres.url(), sent).await;
    let counted = metric(waypost.control(), "waypost_clicks_counted_total").await;
    assert!((counted - f64::from(u32::try_from(sent).expect("few"))).abs() < 0.5, "{counted}");
    for reason in ["buffer_full", "queue_full", "stopped", "spool_too_old"] {
        let series = format!("waypost_clicks_dropped_total{{reason=\"{reason}\"}}");
        assert!(metric(waypost.control(), &series).await < 0.5, "{reason}");
    }
    spool_is_empty(&spool).await;
}

#[tokio::test]
async fn a_stop_by_sigterm_loses_no_click() {
    let _quiet = quiet().await;
    let (mut postgres, spool) = deployment().await;
    let waypost = start(&postgres, spool.path()).await;
    let paths = paths();
    let edge = waypost.edge();
    let clicks = tokio::spawn({
        let paths = paths.clone();
        async move { load(edge, (8, 1_000_000), &paths, HEADERS).await.redirects }
    });
    eventually("traffic", PATIENCE, async || {
        (metric(waypost.control(), "waypost_clicks_counted_total").await > 500.5).then_some(())
    })
    .await;
    waypost.signal(Signal::TERM);
    let mut sent = clicks.await.expect("no panic");
    assert_eq!(waypost.ended().await, Some(0), "{}", waypost.log());
    assert_counted(&postgres.store(), &postgres.url(), sent).await;

    // Once more, with the database away: the spool has them until there is one again.
    let waypost = start(&postgres, spool.path()).await;
    sent += load(waypost.edge(), (1, LINKS), &paths, HEADERS).await.redirects;
    postgres.kill();
    sent += load(waypost.edge(), (8, 500), &paths, HEADERS).await.redirects;
    waypost.signal(Signal::TERM);
    assert_eq!(waypost.ended().await, Some(0), "{}", waypost.log());
    postgres.restart();
    let waypost = start(&postgres, spool.path()).await;
    assert_counted(&postgres.store(), &postgres.url(), sent).await;
    drop(waypost);
}

#[tokio::test]
async fn a_kill_loses_no_more_than_an_interval_and_counts_nothing_twice() {
    let _quiet = quiet().await;
    let (mut postgres, spool) = deployment().await;
    let paths = paths();
    let mut sent_at_most = 0;
    let mut counted_at_least = 0;
    for round in 0..3 {
        let waypost = start(&postgres, spool.path()).await;
        let figure = async |name: &str| metric(waypost.control(), name).await;
        let reaches = async |name: &str, clicks: f64| {
            eventually("the clicks are kept", PATIENCE, async || {
                (figure(name).await > clicks - 0.5).then_some(())
            })
            .await;
        };
        // What the round before left in the spool counts in this one.
        spool_is_empty(&spool).await;
        let replayed = figure("waypost_clicks_counted_total").await;
        load(waypost.edge(), (1, LINKS), &paths, HEADERS).await;
        reaches("waypost_clicks_counted_total", replayed + 50.0).await;
        if round == 1 {
            // The last interval before the kill falls into an outage.
            postgres.kill();
        }
        let early = load(waypost.edge(), (8, 1_000), &paths, HEADERS).await;
        assert_eq!(early.redirects, 8_000);
        // Nothing else comes, so all of these are out of a kill's reach.
        if round == 1 {
            reaches("waypost_clicks_spooled_total", 8_000.0).await;
        } else {
            reaches("waypost_clicks_counted_total", replayed + 8_050.0).await;
        }
        counted_at_least += LINKS + 8_000;
        let edge = waypost.edge();
        let answered = Arc::new(AtomicUsize::new(0));
        let late = tokio::spawn({
            let (paths, answered) = (paths.clone(), Arc::clone(&answered));
            async move { watched_load(edge, (4, 1_000_000), &paths, HEADERS, &answered).await }
        });
        // Steady traffic, until what was answered some intervals before the kill is known.
        let interval = Duration::from_millis(500);
        let mut history = Vec::new();
        let began = Instant::now();
        let safe = eventually("some intervals of traffic", PATIENCE, async || {
            history.push((Instant::now(), answered.load(Ordering::Acquire)));
            let kept = history.iter().rfind(|(at, _)| at.elapsed() > interval * 4)?;
            (began.elapsed() > interval * 8 && kept.1 > 500).then_some(kept.1)
        })
        .await;
        waypost.kill().await;
        // A request may be counted whose answer the kill cut off: a run on each connection.
        sent_at_most += LINKS + 8_000 + late.await.expect("no panic").answered + 4 * 100;
        // An interval for the batch, one for storing or spooling it, and one or two because the
        // machine is busy.
        counted_at_least += safe;
        if round == 1 {
            postgres.restart();
        }
    }
    let waypost = start(&postgres, spool.path()).await;
    let client = connect(&postgres.url()).await;
    spool_is_empty(&spool).await;
    let total = number(&client, TOTAL).await;
    assert!(
        (counted_at_least..=sent_at_most).contains(&total),
        "{total} of {counted_at_least} to {sent_at_most}"
    );
    assert_counted(&postgres.store(), &postgres.url(), total).await;
    drop(waypost);
}

/// A batch of so many visits of one link.
fn batch(link: i64, visits: usize) -> Batch {
    let visit = Visit {
        link: LinkId(link),
        at: Clock::system().now(),
        kind: Kind::Person,
        device: Device::Desktop,
        browser: Browser::Firefox,
        country: None,
        referrer: Some("news.example".into()),
        network: None,
        private: false,
        click_id: None,
    };
    Batch { id: rand::random(), visits: vec![visit; visits] }
}

#[tokio::test]
async fn a_spool_cut_in_the_middle_or_full_of_noise_costs_only_what_was_cut() {
    let _quiet = quiet().await;
    let (postgres, spool) = deployment().await;
    let client = connect(&postgres.url()).await;
    let link = client.query_one("SELECT min(id) FROM link", &[]).await.expect("a link").get(0);
    let now = Clock::system().now();
    // What a file of the spool has in it, with batches of so many visits.
    let text_of = |batches: &[usize]| {
        let directory = tempfile::tempdir().expect("a directory");
        let writer = Spool::open(directory.path(), 1 << 30).expect("a spool");
        for visits in batches {
            writer.append(&batch(link, *visits), now).expect("room");
        }
        std::fs::read(writer.segments().pop().expect("a file")).expect("readable")
    };
    let write = |name: &str, text: &[u8]| {
        let path = spool.path().join(name);
        std::fs::write(&path, text).expect("written");
        path
    };
    let mut noise = vec![0; 300_000];
    rand::fill(&mut noise[..]);
    let whole = write("0-whole.spool", &text_of(&[100]));
    let two = text_of(&[200, 300]);
    let cut = write("1-cut.spool", &two[..two.len() - 5_000]);
    let behind_noise = [&noise[..], b"\n", &text_of(&[400, 500])].concat();
    let half_noise = write("2-half-noise.spool", &behind_noise);
    let only_noise = write("3-noise.spool", &noise);

    let waypost = start(&postgres, spool.path()).await;
    let figure = async |name: &str| metric(waypost.control(), name).await;
    eventually("what is good is stored", PATIENCE, async || {
        (figure("waypost_clicks_counted_total").await > 1_199.5).then_some(())
    })
    .await;
    // A batch of 300 was cut; all others are whole.
    assert_counted(&postgres.store(), &postgres.url(), 100 + 200 + 400 + 500).await;
    eventually("the damage is measured", PATIENCE, async || {
        (figure("waypost_click_spool_damaged_bytes_total").await > 600_000.0
            && figure("waypost_click_spool_bytes").await < 0.5)
            .then_some(())
    })
    .await;
    assert!(!whole.exists());
    let log = waypost.log();
    for file in [&cut, &half_noise, &only_noise] {
        let aside = file.with_extension("damaged");
        assert!(!file.exists() && aside.exists(), "{}", aside.display());
        assert!(log.contains(file.to_str().expect("plain")), "{log}");
    }
    assert!(log.contains("is no clicks: it was cut, or overwritten"), "{log}");
    // It goes on as if nothing had happened.
    let paths = paths();
    assert_eq!(load(waypost.edge(), (1, LINKS), &paths, HEADERS).await.redirects, LINKS);
    assert_counted(&postgres.store(), &postgres.url(), 1_200 + LINKS).await;
}

#[tokio::test]
async fn without_a_spool_clicks_wait_in_memory_and_what_finds_no_room_is_metered() {
    let _quiet = quiet().await;
    let (mut postgres, _spool) = deployment().await;
    let waypost = Waypost::start(&[
        ("DATABASE_URL", &postgres.url()),
        ("WAYPOST_CLICKS__SPOOL_DIRECTORY", "/dev/null/nowhere"),
        ("WAYPOST_CLICKS__QUEUE", "3000"),
    ])
    .await;
    let paths = paths();
    assert_eq!(load(waypost.edge(), (1, LINKS), &paths, HEADERS).await.redirects, LINKS);
    postgres.kill();
    let sent = LINKS + load(waypost.edge(), (4, 2_000), &paths, HEADERS).await.redirects;
    assert_eq!(sent, LINKS + 8_000);
    postgres.restart();
    let lost = "waypost_clicks_dropped_total{reason=\"queue_full\"}";
    let conserved = eventually("sent is counted or metered", PATIENCE, async || {
        let lost = metric(waypost.control(), lost).await;
        let counted = metric(waypost.control(), "waypost_clicks_counted_total").await;
        let sent = f64::from(u32::try_from(sent).expect("few"));
        (lost > 0.5 && (lost + counted - sent).abs() < 0.1).then_some(lost)
    })
    .await;
    assert!(conserved > 4_000.0, "{conserved}: there was room for 3,000");
    let client = connect(&postgres.url()).await;
    let counted = number(&client, TOTAL).await;
    assert!((f64::from(u32::try_from(sent - counted).expect("few")) - conserved).abs() < 0.1);
    let log = waypost.log();
    assert!(log.contains("give [clicks] spool_directory a directory"), "{log}");
}
