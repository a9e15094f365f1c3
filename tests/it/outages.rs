//! Redirects go on while servers that they come from are stopped, killed or frozen, and nobody has to
//! restart anything afterwards.

use std::time::Duration;

use tokio::time::Instant;

use super::support::deployment::{add_links, call, links_key};
use super::support::{Client, TestPostgres, TestRedis, Waypost, eventually, get, quiet};

const PATIENCE: Duration = Duration::from_secs(20);

/// A PostgreSQL and a Redis of their own, and a service that finds its links stale after half a
/// second: an outage that lasts is longer than that.
struct Deployment {
    postgres: TestPostgres,
    redis: TestRedis,
    waypost: Waypost,
}

impl Deployment {
    async fn start() -> Self {
        let postgres = TestPostgres::start().await;
        let redis = TestRedis::start().await;
        let links: Vec<(String, String)> =
            (0..300).map(|n| (format!("link{n}"), format!("https://a.example/{n}"))).collect();
        let links: Vec<(&str, &str)> =
            links.iter().map(|(slug, target)| (slug.as_str(), target.as_str())).collect();
        add_links(&postgres.store(), &links).await;
        let waypost = Waypost::start(&[
            ("DATABASE_URL", &postgres.url()),
            ("REDIS_URL", &redis.url()),
            ("WAYPOST_CACHE__FRESH_MILLISECONDS", "500"),
        ])
        .await;
        Self { postgres, redis, waypost }
    }

    async fn status(&self, slug: &str) -> u16 {
        get(self.waypost.edge(), &format!("/{slug}"), &[]).await.status
    }

    /// Opens some links, so that they are cached in the process and in Redis.
    async fn warm(&self, slugs: std::ops::Range<u32>) {
        for n in slugs.clone() {
            assert_eq!(self.status(&format!("link{n}")).await, 302);
        }
        eventually("the links are in Redis", PATIENCE, async || {
            let buckets = self.redis.ask(&["DBSIZE"]).parse::<u32>().ok()?;
            (buckets >= slugs.end - slugs.start - 5).then_some(())
        })
        .await;
    }

    /// Asks for cached links for as long as it takes them to be stale twice, and then some; each must
    /// redirect. Answers how long each took, the longest last.
    async fn ask_cached(&self) -> Vec<Duration> {
        let mut client = Client::connect(self.waypost.edge()).await.expect("a connection");
        let mut times = Vec::new();
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end {
            for n in 0..20 {
                let began = Instant::now();
                let answer = client.get(&format!("/link{n}"), &[]).await.expect("an answer");
                times.push(began.elapsed());
                assert_eq!(answer.status, 302, "link{n}");
                assert_eq!(answer.header("location"), format!("https://a.example/{n}"));
            }
        }
        times.sort();
        times
    }

    /// Waits until the service calls itself this.
    async fn becomes(&self, status: &str) {
        eventually(status, PATIENCE, async || {
            let ready = get(self.waypost.control(), "/readyz", &[]).await;
            assert_eq!(ready.status, 200, "a degraded service still takes requests");
            (ready.json().get("status")? == status).then_some(())
        })
        .await;
    }

    /// Waits until a link that nobody has asked for yet redirects.
    async fn recovers(&self, slug: &str) {
        eventually("a link that was never cached redirects", PATIENCE, async || {
            (self.status(slug).await == 302).then_some(())
        })
        .await;
        self.becomes("ready").await;
    }
}

fn assert_quick(times: &[Duration]) {
    let p99 = *times.get(times.len() * 99 / 100).expect("some requests");
    assert!(p99 < Duration::from_millis(60), "p99 of {} requests: {p99:?}", times.len());
}

#[tokio::test]
async fn cached_links_redirect_while_postgres_is_frozen() {
    let _quiet = quiet().await;
    let deployment = Deployment::start().await;
    deployment.warm(0..20).await;
    deployment.postgres.pause();
    assert_quick(&deployment.ask_cached().await);
    deployment.becomes("degraded").await;
    assert_eq!(deployment.status("link200").await, 503);
    deployment.postgres.resume();
    deployment.recovers("link201").await;
}

#[tokio::test]
async fn cached_links_redirect_while_postgres_is_dead() {
    let _quiet = quiet().await;
    let mut deployment = Deployment::start().await;
    deployment.warm(0..20).await;
    deployment.postgres.kill();
    assert_quick(&deployment.ask_cached().await);
    deployment.becomes("degraded").await;
    let answer = get(deployment.waypost.edge(), "/link200", &[]).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "5"));
    deployment.postgres.restart();
    deployment.recovers("link201").await;
}

#[tokio::test]
async fn links_redirect_while_redis_is_frozen_and_99_of_100_within_60_milliseconds() {
    let _quiet = quiet().await;
    let deployment = Deployment::start().await;
    deployment.warm(0..20).await;
    deployment.redis.pause();
    // Cached links, and with them links that have to be found in PostgreSQL, behind a frozen Redis.
    let mut client = Client::connect(deployment.waypost.edge()).await.expect("a connection");
    let mut times = Vec::new();
    for n in 20..220 {
        for slug in [n, n % 20] {
            let began = Instant::now();
            let answer = client.get(&format!("/link{slug}"), &[]).await.expect("an answer");
            times.push(began.elapsed());
            assert_eq!(answer.status, 302, "link{slug}");
        }
    }
    times.sort();
    assert_quick(&times);
    assert_quick(&deployment.ask_cached().await);
    deployment.becomes("degraded").await;
    deployment.redis.resume();
    deployment.becomes("ready").await;
}

#[tokio::test]
async fn links_redirect_while_redis_is_dead() {
    let _quiet = quiet().await;
    let mut deployment = Deployment::start().await;
    deployment.warm(0..20).await;
    deployment.redis.kill();
    assert_quick(&deployment.ask_cached().await);
    deployment.becomes("degraded").await;
    assert_eq!(deployment.status("link200").await, 302);
    deployment.redis.restart();
    deployment.becomes("ready").await;
    deployment.warm(0..20).await;
}

#[tokio::test]
async fn cached_links_redirect_while_both_are_dead_or_frozen() {
    let _quiet = quiet().await;
    let mut deployment = Deployment::start().await;
    deployment.warm(0..20).await;
    deployment.postgres.pause();
    deployment.redis.pause();
    assert_quick(&deployment.ask_cached().await);
    deployment.postgres.resume();
    deployment.redis.resume();
    deployment.becomes("ready").await;
    deployment.postgres.kill();
    deployment.redis.kill();
    assert_quick(&deployment.ask_cached().await);
    deployment.becomes("degraded").await;
    deployment.redis.restart();
    deployment.postgres.restart();
    deployment.recovers("link201").await;
}

#[tokio::test]
async fn redis_alone_is_enough_for_links_that_it_has() {
    let _quiet = quiet().await;
    let mut deployment = Deployment::start().await;
    deployment.warm(0..20).await;
    // A second process, whose own cache is empty.
    let second = Waypost::start(&[
        ("DATABASE_URL", &deployment.postgres.url()),
        ("REDIS_URL", &deployment.redis.url()),
    ])
    .await;
    deployment.postgres.kill();
    for n in 0..20 {
        assert_eq!(get(second.edge(), &format!("/link{n}"), &[]).await.status, 302, "link{n}");
    }
}

#[tokio::test]
async fn a_frozen_database_leaves_no_request_to_the_api_without_an_answer() {
    let _quiet = quiet().await;
    let postgres = TestPostgres::start().await;
    let key = links_key(&postgres.store()).await;
    let waypost = Waypost::start(&[
        ("DATABASE_URL", &postgres.url()),
        ("WAYPOST_LIMITS__REQUEST_SECONDS", "1"),
    ])
    .await;
    let list = async || call(waypost.control(), &key, ("GET", "/v1/links"), None).await;
    assert_eq!(list().await.status, 200);
    postgres.pause();
    let answer = list().await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "1"), "{answer:?}");
    assert_eq!(answer.json()["type"], "urn:waypost:problem:unavailable");
    let id = answer.header("x-request-id");
    eventually("it is logged with its id", PATIENCE, async || {
        waypost.log().contains(id).then_some(())
    })
    .await;
    postgres.resume();
    eventually("the API is back", PATIENCE, async || (list().await.status == 200).then_some(()))
        .await;
}

#[tokio::test]
async fn a_start_that_waits_for_postgres_says_why_and_ends_at_sigterm() {
    let _quiet = quiet().await;
    let nowhere = [
        ("DATABASE_URL", "postgresql://waypost@127.0.0.1:1/waypost"),
        ("WAYPOST_POSTGRES__STARTUP_WAIT_SECONDS", "3600"),
    ];
    assert_eq!(Waypost::end_at_the_start(&nowhere, "Connection refused").await, Some(0));
}

#[tokio::test]
async fn a_start_without_redis_says_so() {
    let _quiet = quiet().await;
    let postgres = TestPostgres::start().await;
    let waypost = Waypost::start(&[
        ("DATABASE_URL", &postgres.url()),
        ("REDIS_URL", "redis://:secret@127.0.0.1:1/"),
    ])
    .await;
    eventually("a warning", PATIENCE, async || {
        waypost.log().contains("starting without Redis").then_some(())
    })
    .await;
    assert!(!waypost.log().contains("secret"), "{}", waypost.log());
}
