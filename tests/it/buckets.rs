//! Whatever the links are, their buckets in Redis stay in the compact encoding.

use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use tokio::runtime::Handle;
use waypost::clock::UnixMillis;
use waypost::link::{DomainId, LinkId, LinkKey, Redirect, RedirectStatus};
use waypost::metrics::Metrics;
use waypost::resolve::record::Field;
use waypost::resolve::shared::{Settings, Shared};

use super::support::TestRedis;

/// Hashes that are no listpack, or have more fields than they may.
const COUNT_SPOILT: &str = "
    local spoilt = 0
    for _, key in ipairs(redis.call('KEYS', '*')) do
      if redis.call('TYPE', key).ok == 'hash' then
        local encoding = redis.call('OBJECT', 'ENCODING', key)
        if (encoding ~= 'listpack' and encoding ~= 'ziplist') or redis.call('HLEN', key) > 128 then
          spoilt = spoilt + 1
        end
      end
    end
    return spoilt";

fn any_link() -> impl Strategy<Value = (LinkKey, Redirect)> {
    let key = (1_i32..4, "[A-Za-z0-9_.~-]{1,64}")
        .prop_map(|(domain, slug)| LinkKey::new(DomainId(domain), &slug));
    let moments = (any::<Option<u32>>(), any::<Option<u32>>());
    let url = "https://[a-z]{1,12}\\.example/[a-zA-Z0-9/?=&%._~-]{0,160}";
    let rest = (any::<u32>(), 0..4_usize, any::<Option<u16>>(), any::<(bool, bool)>());
    (key, url, moments, proptest::option::of(url), rest).prop_map(
        |(key, target, (from, until), fallback, (version, status, cache, (forward, disabled)))| {
            let moment = |at: u32| UnixMillis(u64::from(at) * 1_000);
            let link = Redirect {
                link: LinkId(i64::from(version)),
                version: u64::from(version),
                status: *RedirectStatus::ALL.get(status).expect("four"),
                cache_seconds: cache.map(u32::from),
                valid_from: from.map(moment),
                expires_at: until.map(moment),
                forward_query: forward,
                disabled,
                fallback: fallback.map(String::into_boxed_str),
                target: target.into_boxed_str(),
            };
            (key, link)
        },
    )
}

#[tokio::test(flavor = "multi_thread")]
async fn no_link_takes_its_bucket_out_of_the_compact_encoding() {
    let redis = TestRedis::start().await;
    let settings = Settings {
        urls: vec![redis.url()],
        cluster: false,
        response: Duration::from_secs(10),
        connect: Duration::from_secs(10),
        // Two buckets, so that they are full soon.
        expected_links: 200,
        bucket: Duration::from_hours(1),
        prefix: "wl".to_owned(),
    };
    let shared = Shared::new(settings, Arc::new(Metrics::new())).expect("an address");
    shared.check().await.expect("it answers");
    shared.breaker().close();
    let check = |links: Vec<(LinkKey, Redirect)>| {
        Handle::current().block_on(async {
            for (key, link) in &links {
                shared.put(key, link).await.expect("written");
                if link.version % 8 == 0 {
                    shared.bury(key, link.version).await.expect("buried");
                }
                match shared.get(key).await.expect("readable") {
                    Some(Field::Link(found)) => assert!(found.version >= link.version),
                    Some(Field::Tombstone { version }) => assert!(version >= link.version),
                    Some(Field::Overflow { version: _ }) => panic!("half an answer"),
                    // A key that is itself too long is never kept.
                    None => assert!(key.as_str().len() > 64, "{key}"),
                }
            }
        });
        assert_eq!(redis.ask(&["EVAL", COUNT_SPOILT, "0"]), "0");
        Ok(())
    };
    let links = proptest::collection::vec(any_link(), 1..100);
    tokio::task::block_in_place(|| TestRunner::default().run(&links, check)).expect("all compact");
}
