//! The second tier by itself, on a single Redis and on a cluster of three masters.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use tokio::runtime::Runtime;
use waypost::link::{DomainId, LinkId, LinkKey, Redirect, RedirectStatus};
use waypost::metrics::Metrics;
use waypost::resolve::record::Field;
use waypost::resolve::shared::{Settings, Shared};

use super::support::{TestCluster, TestRedis};

/// The second tier over a server, laid out for `expected_links`.
async fn shared(urls: &[String], prefix: &str, expected_links: usize) -> Shared {
    let settings = Settings {
        urls: urls.to_vec(),
        cluster: urls.len() > 1,
        // Generous: these tests are about what is kept, not about how soon.
        response: Duration::from_secs(5),
        connect: Duration::from_secs(5),
        expected_links,
        bucket: Duration::from_hours(1),
        prefix: prefix.to_owned(),
    };
    let shared = Shared::new(settings, Arc::new(Metrics::new())).expect("addresses");
    shared.check().await.expect("a server that answers");
    shared.breaker().close();
    shared
}

fn link(version: u64, target: &str) -> Redirect {
    Redirect {
        link: LinkId(i64::try_from(version).expect("small")),
        version,
        status: RedirectStatus::Found,
        cache_seconds: None,
        valid_from: None,
        expires_at: None,
        forward_query: false,
        disabled: false,
        fallback: None,
        limited: false,
        preview: false,
        rules: Vec::new(),
        target: target.into(),
    }
}

/// The key of a slug in one of three domains, by its length: domains share buckets.
fn key(slug: &str) -> LinkKey {
    let domain = i32::try_from(slug.len() % 3).expect("small");
    LinkKey::new(DomainId(DomainId::DEFAULT.0 + domain), slug)
}

#[derive(Clone, Debug)]
enum Change {
    Put { slug: String, version: u64, target: String },
    Bury { slug: String, version: u64 },
}

fn changes() -> impl Strategy<Value = Vec<Change>> {
    // Few short slugs, so that they meet again, and some of the longest.
    let slug = prop_oneof![3 => "[a-z]{1,2}", 3 => "[A-Za-z0-9]{7}", 1 => "[A-Za-z0-9_.~-]{60,64}"];
    let target = prop_oneof![
        4 => "https://[a-z]{3,12}\\.example/[!-~]{0,40}",
        2 => "https://[a-z]{3,12}\\.example/[!-~]{40,120}",
        1 => "https://a\\.example/[!-~]{3000,8000}",
    ];
    let change = (slug, 1..50_u64, target, prop::bool::weighted(0.1)).prop_map(
        |(slug, version, target, bury)| {
            if bury {
                Change::Bury { slug, version }
            } else {
                Change::Put { slug, version, target }
            }
        },
    );
    prop::collection::vec(change, 1..350)
}

/// What a reader must find, if it finds anything: the change with the latest version of each slug;
/// of two with the same version the deletion, or else the later one.
fn expected(changes: &[Change]) -> BTreeMap<String, Change> {
    let mut latest = BTreeMap::<String, Change>::new();
    for change in changes {
        let (slug, version, buries) = match change {
            Change::Put { slug, version, target: _ } => (slug, *version, false),
            Change::Bury { slug, version } => (slug, *version, true),
        };
        let stays = latest.get(slug).is_some_and(|standing| match standing {
            Change::Put { version: its, .. } => *its > version,
            Change::Bury { version: its, .. } => *its > version || (*its == version && !buries),
        });
        if !stays {
            latest.insert(slug.clone(), change.clone());
        }
    }
    // A key that does not fit a field is not kept at all.
    latest.retain(|slug, _| key(slug).as_str().len() <= 64);
    latest
}

async fn apply(shared: &Shared, changes: &[Change]) {
    for change in changes {
        match change {
            Change::Put { slug, version, target } => {
                shared.put(&key(slug), &link(*version, target)).await.expect("a put");
            }
            Change::Bury { slug, version } => {
                shared.bury(&key(slug), *version).await.expect("a burial");
            }
        }
    }
}

/// Asserts that whatever is found is what was written last; answers how much was found.
async fn assert_found(shared: &Shared, expected: &BTreeMap<String, Change>) -> usize {
    let mut found = 0;
    for (slug, change) in expected {
        let Some(field) = shared.get(&key(slug)).await.expect("an answer") else { continue };
        found += 1;
        let right = match change {
            Change::Put { version, target, .. } => Field::Link(link(*version, target)),
            Change::Bury { version, .. } => Field::Tombstone { version: *version },
        };
        assert_eq!(field, right, "{slug}");
    }
    found
}

#[test]
fn a_bucket_is_a_listpack_of_at_most_128_fields_whatever_is_put_into_it() {
    let runtime = Runtime::new().expect("a runtime");
    let redis = runtime.block_on(TestRedis::start());
    let urls = [redis.url()];
    let mut runner = TestRunner::new(Config { cases: 12, ..Config::default() });
    let outcome = runner.run(&changes(), |changes| {
        runtime.block_on(async {
            redis.ask(&["FLUSHALL"]);
            // One bucket for all of them.
            let shared = shared(&urls, "wl", 1).await;
            apply(&shared, &changes).await;
            assert_eq!(redis.ask(&["OBJECT", "ENCODING", "wl:{0}"]), "listpack");
            let fields: usize = redis.ask(&["HLEN", "wl:{0}"]).parse().expect("a number");
            assert!(fields <= 128, "{fields} fields");
            let expected = expected(&changes);
            assert_eq!(fields, expected.len().min(128), "only a full bucket loses any");
            // One that was full forgets versions with the fields that it drops, so only what never
            // overflowed can be held to the order of versions.
            if expected.len() <= 128 {
                assert_eq!(assert_found(&shared, &expected).await, fields);
            }
        });
        Ok(())
    });
    outcome.expect("every sequence of changes");
}

#[tokio::test]
async fn a_cluster_of_three_masters_keeps_and_finds_links_like_a_single_redis() {
    let cluster = TestCluster::shared().await;
    let shared = shared(cluster.urls(), cluster.prefix(), 10_000).await;
    let rest = "x7~".repeat(40);
    let changes: Vec<Change> = (0..600_u64)
        .map(|n| Change::Put {
            slug: format!("slug{n}"),
            version: n + 1,
            // Only each third one fits into a bucket.
            target: format!("https://a.example/{n}/{}", if n % 3 == 0 { "" } else { &rest }),
        })
        .chain((0..50).map(|n| Change::Bury { slug: format!("slug{n}"), version: 1_000 }))
        .chain((0..50).map(|n| Change::Put {
            slug: format!("slug{n}"),
            version: 999,
            target: "https://too.late.example/".to_owned(),
        }))
        .collect();
    apply(&shared, &changes).await;
    let expected = expected(&changes);
    assert_eq!(assert_found(&shared, &expected).await, expected.len());
    let share = shared.sample_listpacks(300).await.expect("an answer").expect("buckets");
    assert!((share - 1.0).abs() < f64::EPSILON, "{share}");
}

#[tokio::test]
async fn a_server_with_lower_limits_is_obeyed() {
    let redis = TestRedis::start().await;
    redis.ask(&["CONFIG", "SET", "hash-max-listpack-entries", "10"]);
    redis.ask(&["CONFIG", "SET", "hash-max-listpack-value", "30"]);
    let shared = shared(&[redis.url()], "wl", 1).await;
    let changes: Vec<Change> = (0..40_u64)
        .map(|n| Change::Put {
            slug: format!("slug{n}"),
            version: n + 1,
            target: format!("https://a.example/{}", "x7~".repeat(15)),
        })
        .collect();
    apply(&shared, &changes).await;
    assert_eq!(redis.ask(&["OBJECT", "ENCODING", "wl:{0}"]), "listpack");
    assert_eq!(redis.ask(&["HLEN", "wl:{0}"]), "10");
    assert_eq!(assert_found(&shared, &expected(&changes)).await, 10);
}

#[tokio::test]
async fn a_bucket_expires_and_what_stands_beside_it_too() {
    let redis = TestRedis::start().await;
    let shared = shared(&[redis.url()], "wl", 1).await;
    let long = format!("https://a.example/{}", "x7~".repeat(100));
    shared.put(&key("lengthy-slug"), &link(1, &long)).await.expect("a put");
    for name in ["wl:{0}", "wl:{0}:lengthy-slug"] {
        let life: u64 = redis.ask(&["PTTL", name]).parse().expect("a life");
        assert!((3_000_000..4_000_000).contains(&life), "{name}: {life} ms");
    }
    shared.put(&key("lengthy-slug"), &link(2, "https://a.example/")).await.expect("a put");
    assert_eq!(redis.ask(&["EXISTS", "wl:{0}:lengthy-slug"]), "0", "it fits now");
}
