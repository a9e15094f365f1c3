//! Dictionaries: learned from the links, used by every process.

use std::time::Duration;

use super::support::deployment::add_links;
use super::support::{TestDatabase, TestRedis, Waypost, eventually, get};

#[tokio::test]
async fn a_learned_dictionary_makes_long_targets_fit_and_old_records_stay_readable() {
    let database = TestDatabase::new().await;
    let redis = TestRedis::start().await;
    let target = |n: u32| {
        let id = n.wrapping_mul(2_654_435_761);
        format!("https://catalogue.shop.example/garden-furniture/benches/oak/{id}?lang=en-GB&src=k")
    };
    let links: Vec<(String, String)> = (0..400).map(|n| (format!("s{n}"), target(n))).collect();
    let links: Vec<(&str, &str)> =
        links.iter().map(|(slug, target)| (slug.as_str(), target.as_str())).collect();
    add_links(&database.store(), &links).await;
    let environment: [(&str, &str); 2] =
        [("DATABASE_URL", &database.url()), ("REDIS_URL", &redis.url())];
    let before = Waypost::start(&environment).await;
    assert_eq!(get(before.edge(), "/s1", &[]).await.header("location"), target(1));
    eventually(
        "a bucket, the record that does not fit, and the name of the server",
        PATIENCE,
        async || (redis.ask(&["DBSIZE"]) == "3").then_some(()),
    )
    .await;
    let (code, said) = Waypost::run(&["dictionary", "learn"], &environment).await;
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("by dictionary 1."), "{said}");
    let (_, again) = Waypost::run(&["dictionary", "learn"], &environment).await;
    assert!(again.contains("nothing was changed"), "{again}");

    // A new process knows both dictionaries: one more link is one more bucket, and nothing beside.
    let after = Waypost::start(&environment).await;
    assert_eq!(get(after.edge(), "/s1", &[]).await.header("location"), target(1));
    assert_eq!(get(after.edge(), "/s2", &[]).await.header("location"), target(2));
    eventually("one more bucket", PATIENCE, async || (redis.ask(&["DBSIZE"]) == "4").then_some(()))
        .await;
    // The old one, which has not cached it, reads the new record, or else the database.
    assert_eq!(get(before.edge(), "/s2", &[]).await.header("location"), target(2));
}

const PATIENCE: Duration = Duration::from_secs(20);
