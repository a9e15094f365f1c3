//! The same over a Redis Cluster of three masters: what is found, what is told, what is deleted.

use std::time::Duration;

use serde_json::json;
use tokio::time::Instant;

use super::support::deployment::{add_links, call, links_key, metric};
use super::support::{TestCluster, TestDatabase, TestPostgres, Waypost, eventually, get, quiet};

const PATIENCE: Duration = Duration::from_secs(20);

/// A process with this database and this cluster.
async fn start(database: &str, cluster: &TestCluster) -> Waypost {
    Waypost::start(&[
        ("DATABASE_URL", database),
        ("REDIS_URL", &cluster.url()),
        ("WAYPOST_REDIS__PREFIX", cluster.prefix()),
        // One link in a bucket, so that they are on all nodes.
        ("WAYPOST_REDIS__EXPECTED_LINKS", "100000"),
    ])
    .await
}

#[tokio::test]
async fn a_cluster_alone_is_enough_for_links_that_it_has() {
    let mut postgres = TestPostgres::start().await;
    let cluster = TestCluster::shared().await;
    // Every third is too long for a bucket.
    let target = |n: usize| format!("https://a.example/{n}/{}", "x1-".repeat(n % 3 * 40));
    let links: Vec<(String, String)> = (0..60).map(|n| (format!("link{n}"), target(n))).collect();
    let links: Vec<(&str, &str)> =
        links.iter().map(|(slug, target)| (slug.as_str(), target.as_str())).collect();
    add_links(&postgres.store(), &links).await;
    let one = start(&postgres.url(), &cluster).await;
    let two = start(&postgres.url(), &cluster).await;
    for (slug, target) in &links {
        let answer = get(one.edge(), &format!("/{slug}"), &[]).await;
        assert_eq!((answer.status, answer.header("location")), (302, *target));
    }
    // As many keys of this test in all nodes together as there are buckets in use.
    eventually("they are in the cluster", PATIENCE, async || {
        let bucket = metric(one.control(), "waypost_records_total{fit=\"bucket\"}").await;
        let overflow = metric(one.control(), "waypost_records_total{fit=\"overflow\"}").await;
        (bucket + overflow > 59.5 && overflow > 19.5).then_some(())
    })
    .await;
    postgres.kill();
    eventually("the last ones are there too", PATIENCE, async || {
        for (slug, target) in &links {
            let answer = get(two.edge(), &format!("/{slug}"), &[]).await;
            if (answer.status, answer.header("location")) != (302, *target) {
                return None;
            }
        }
        Some(())
    })
    .await;
}

#[tokio::test]
async fn edits_and_deletions_are_seen_through_a_cluster() {
    let _quiet = quiet().await;
    let database = TestDatabase::new().await;
    let cluster = TestCluster::shared().await;
    let links: Vec<String> = (0..20).map(|n| format!("link{n}")).collect();
    let pairs: Vec<(&str, &str)> =
        links.iter().map(|slug| (slug.as_str(), "https://a.example/")).collect();
    add_links(&database.store(), &pairs).await;
    let key = links_key(&database.store()).await;
    let one = start(&database.url(), &cluster).await;
    let two = start(&database.url(), &cluster).await;
    for slug in &links {
        let path = format!("/{slug}");
        assert_eq!(get(one.edge(), &path, &[]).await.status, 302);
        assert_eq!(get(two.edge(), &path, &[]).await.status, 302);
        let api = format!("/v1/links/{slug}");
        let body = json!({ "target": "https://b.example/" });
        let edited = call(one.control(), &key, ("PATCH", &api), Some(body)).await;
        assert_eq!(edited.status, 200, "{}", edited.text());
        let done = Instant::now();
        eventually("the other process sees the edit", PATIENCE, async || {
            let answer = get(two.edge(), &path, &[]).await;
            (answer.header("location") == "https://b.example/").then_some(())
        })
        .await;
        assert!(done.elapsed() < Duration::from_millis(100), "{slug}: {:?}", done.elapsed());
        let deleted = call(one.control(), &key, ("DELETE", &api), None).await;
        assert_eq!(deleted.status, 204);
        eventually("the other process sees the deletion", PATIENCE, async || {
            (get(two.edge(), &path, &[]).await.status == 404).then_some(())
        })
        .await;
    }
}
