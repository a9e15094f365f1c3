//! Many requests, several processes, one truth.

use std::time::Duration;

use serde_json::json;
use tokio::sync::Barrier;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::support::deployment::{add_links, call, links_key, metric};
use super::support::{
    Client, Proxy, TestCluster, TestDatabase, TestRedis, Traffic, Waypost, eventually, get,
};

const PATIENCE: Duration = Duration::from_secs(20);

/// The `Location` that a process answers with.
async fn location(waypost: &Waypost, slug: &str) -> String {
    get(waypost.edge(), &format!("/{slug}"), &[]).await.header("location").to_owned()
}

/// Edits a link through a process, and asserts that it was done.
async fn edit(waypost: &Waypost, key: &str, slug: &str, target: &str) {
    let path = format!("/v1/links/{slug}");
    let body = json!({ "target": target });
    let answer = call(waypost.control(), key, ("PATCH", &path), Some(body)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
}

#[tokio::test]
async fn ten_thousand_requests_for_one_cold_slug_make_one_query() {
    const REQUESTS: usize = 10_000;
    rlimits();
    let database = TestDatabase::new().await;
    add_links(&database.store(), &[("cold", "https://a.example/")]).await;
    // The answer of the database takes a while, so that all of them wait for it.
    let proxy = Proxy::start(database.endpoint()).await;
    let waypost = Waypost::start(&[
        ("DATABASE_URL", &database.url_through(&proxy)),
        ("WAYPOST_LIMITS__CONNECTIONS_PER_CLIENT", "20000"),
        ("WAYPOST_LIMITS__CONNECTIONS", "20000"),
        ("WAYPOST_LIMITS__HEADER_READ_SECONDS", "60"),
        ("WAYPOST_POSTGRES__READ_TIMEOUT_MILLISECONDS", "10000"),
    ])
    .await;
    let mut clients = Vec::new();
    for _ in 0..REQUESTS {
        clients.push(Client::connect(waypost.edge()).await.expect("a connection"));
    }
    proxy.set(Traffic::Delayed(Duration::from_millis(500)));
    let start = std::sync::Arc::new(Barrier::new(REQUESTS));
    let mut asking = JoinSet::new();
    for mut client in clients {
        let start = std::sync::Arc::clone(&start);
        asking.spawn(async move {
            start.wait().await;
            client.get("/cold", &[]).await.expect("an answer").status
        });
    }
    let mut redirects = 0;
    while let Some(status) = asking.join_next().await {
        assert_eq!(status.expect("a client that ends"), 302);
        redirects += 1;
    }
    assert_eq!(redirects, REQUESTS);
    let queries = "waypost_resolve_load_seconds_count{tier=\"postgres\"}";
    assert!((metric(waypost.control(), queries).await - 1.0).abs() < 0.1, "more than one query");
}

/// As many open files as the system lets us have.
fn rlimits() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    setrlimit(Resource::Nofile, limit).expect("a limit that may be raised");
}

#[tokio::test]
async fn an_edit_through_one_process_is_seen_by_another_within_100_milliseconds() {
    let redis = TestRedis::start().await;
    changes_are_seen_by_another_process(&[("REDIS_URL", &redis.url())]).await;
}

#[tokio::test]
async fn an_edit_is_seen_as_soon_when_redis_is_a_cluster() {
    let cluster = TestCluster::shared().await;
    let redis = [("REDIS_URL", &*cluster.url()), ("WAYPOST_REDIS__PREFIX", cluster.prefix())];
    changes_are_seen_by_another_process(&redis).await;
}

async fn changes_are_seen_by_another_process(redis: &[(&str, &str)]) {
    let database = TestDatabase::new().await;
    add_links(&database.store(), &[("link", "https://a.example/0")]).await;
    let key = links_key(&database.store()).await;
    let url = database.url();
    let environment = [&[("DATABASE_URL", &*url)], redis].concat();
    let (one, two) = (Waypost::start(&environment).await, Waypost::start(&environment).await);
    for round in 1..=20 {
        let target = format!("https://a.example/{round}");
        // Both have it, fresh for ten seconds.
        location(&one, "link").await;
        location(&two, "link").await;
        edit(&one, &key, "link", &target).await;
        let edited = Instant::now();
        assert_eq!(location(&one, "link").await, target, "the editing process itself");
        eventually("the other process sees it", PATIENCE, async || {
            (location(&two, "link").await == target).then_some(())
        })
        .await;
        let took = edited.elapsed();
        assert!(took < Duration::from_millis(100), "round {round}: {took:?}");
    }
    let deleted = call(one.control(), &key, ("DELETE", "/v1/links/link"), None).await;
    assert_eq!(deleted.status, 204);
    eventually("the other process sees that it is gone", PATIENCE, async || {
        (get(two.edge(), "/link", &[]).await.status == 404).then_some(())
    })
    .await;
    let body = json!({ "slug": "link", "target": "https://a.example/again" });
    let made = call(one.control(), &key, ("POST", "/v1/links"), Some(body)).await;
    assert_eq!(made.status, 201, "{}", made.text());
    eventually("the other process sees that it is back", PATIENCE, async || {
        (location(&two, "link").await == "https://a.example/again").then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_edit_is_seen_within_12_seconds_when_every_message_is_lost() {
    let database = TestDatabase::new().await;
    let redis = TestRedis::start().await;
    add_links(&database.store(), &[("link", "https://a.example/0")]).await;
    let key = links_key(&database.store()).await;
    let proxy = Proxy::start(redis.endpoint()).await;
    let through = format!("redis://{}/", proxy.address());
    let one =
        Waypost::start(&[("DATABASE_URL", &database.url()), ("REDIS_URL", &redis.url())]).await;
    let two = Waypost::start(&[("DATABASE_URL", &database.url()), ("REDIS_URL", &through)]).await;
    eventually("both listen", PATIENCE, async || {
        let listening = redis.ask(&["PUBLISH", "wl:changed", "nothing"]);
        (listening == "2").then_some(())
    })
    .await;
    proxy.set(Traffic::Swallowing(b"wl:changed".to_vec()));
    assert_eq!(location(&two, "link").await, "https://a.example/0");
    edit(&one, &key, "link", "https://a.example/1").await;
    let edited = Instant::now();
    assert_eq!(location(&two, "link").await, "https://a.example/0", "no message came through");
    eventually("the other process sees it", PATIENCE, async || {
        (location(&two, "link").await == "https://a.example/1").then_some(())
    })
    .await;
    let took = edited.elapsed();
    assert!(took < Duration::from_secs(12), "{took:?}");
}

#[tokio::test]
async fn a_redis_that_was_away_does_not_come_back_with_the_old_target() {
    let database = TestDatabase::new().await;
    let redis = TestRedis::start().await;
    add_links(
        &database.store(),
        &[("edited", "https://a.example/0"), ("gone", "https://a.example/")],
    )
    .await;
    let key = links_key(&database.store()).await;
    let environment: [(&str, &str); 2] =
        [("DATABASE_URL", &database.url()), ("REDIS_URL", &redis.url())];
    let one = Waypost::start(&environment).await;
    for slug in ["edited", "gone"] {
        location(&one, slug).await;
    }
    eventually("both are in Redis", PATIENCE, async || {
        (redis.ask(&["DBSIZE"]) == "3").then_some(())
    })
    .await;
    redis.pause();
    edit(&one, &key, "edited", "https://a.example/1").await;
    let deleted = call(one.control(), &key, ("DELETE", "/v1/links/gone"), None).await;
    assert_eq!(deleted.status, 204);
    redis.resume();
    // A process that has cached nothing believes what Redis says.
    let two = Waypost::start(&environment).await;
    assert_eq!(location(&two, "edited").await, "https://a.example/1");
    assert_eq!(get(two.edge(), "/gone", &[]).await.status, 404);
    assert_eq!(location(&one, "edited").await, "https://a.example/1");
    let outbox = database.connect().await;
    eventually("the outbox is empty", PATIENCE, async || {
        let row = outbox.query_one("SELECT count(*) FROM link_outbox", &[]).await.expect("a count");
        (row.get::<_, i64>(0) == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn an_edit_is_seen_though_redis_takes_no_writes() {
    let database = TestDatabase::new().await;
    let redis = TestRedis::start().await;
    add_links(&database.store(), &[("link", "https://a.example/0")]).await;
    let key = links_key(&database.store()).await;
    let environment: [(&str, &str); 2] =
        [("DATABASE_URL", &database.url()), ("REDIS_URL", &redis.url())];
    let one = Waypost::start(&environment).await;
    location(&one, "link").await;
    eventually("it is in Redis", PATIENCE, async || (redis.ask(&["DBSIZE"]) == "2").then_some(()))
        .await;
    // Full: it is read as before, and refuses to be written.
    redis.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    redis.ask(&["CONFIG", "SET", "maxmemory", "1kb"]);
    edit(&one, &key, "link", "https://a.example/1").await;
    assert_eq!(location(&one, "link").await, "https://a.example/1");
    let two = Waypost::start(&environment).await;
    assert_eq!(location(&two, "link").await, "https://a.example/1");
    let ready = get(one.control(), "/readyz", &[]).await.json();
    assert_eq!(ready.get("status"), Some(&json!("degraded")));
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    eventually("all is well again", PATIENCE, async || {
        let ready = get(one.control(), "/readyz", &[]).await.json();
        (ready.get("status")? == "ready").then_some(())
    })
    .await;
    assert_eq!(location(&two, "link").await, "https://a.example/1");
}

#[tokio::test]
async fn a_redis_that_restarts_from_a_snapshot_does_not_bring_old_targets_back() {
    let database = TestDatabase::new().await;
    let mut redis = TestRedis::start().await;
    add_links(&database.store(), &[("link", "https://a.example/0")]).await;
    let key = links_key(&database.store()).await;
    let environment: [(&str, &str); 2] =
        [("DATABASE_URL", &database.url()), ("REDIS_URL", &redis.url())];
    let one = Waypost::start(&environment).await;
    location(&one, "link").await;
    eventually("it is in Redis", PATIENCE, async || (redis.ask(&["DBSIZE"]) == "2").then_some(()))
        .await;
    assert_eq!(redis.ask(&["SAVE"]), "OK");
    edit(&one, &key, "link", "https://a.example/1").await;
    one.kill().await;
    redis.kill();
    redis.restart();
    assert_eq!(redis.ask(&["DBSIZE"]), "2", "the snapshot was loaded");
    let two = Waypost::start(&environment).await;
    assert_eq!(location(&two, "link").await, "https://a.example/1");
    assert_eq!(
        get(two.control(), "/readyz", &[]).await.json().get("status"),
        Some(&json!("ready"))
    );
}
