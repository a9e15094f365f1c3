//! Landing pages while servers that they come from are away, after a change of their campaign, and for
//! those who try codes.

use std::time::Duration;

use tokio::time::Instant;
use waypost::clock::Clock;
use waypost::http::auth::Scope;
use waypost::referral::keys;
use waypost::referral::token::ClickToken;

use super::support::deployment::{add_links, key_for};
use super::support::html::Page;
use super::support::invitations::{self, CODE, Invitations, NAME, knows, running, token_in};
use super::support::{
    Answer, Client, TestDatabase, TestPostgres, TestRedis, Waypost, eventually, quiet,
};
use super::support::{get, send};

/// How long a change of a campaign may take to be shown everywhere.
const SOON: Duration = Duration::from_secs(1);
/// How long servers may take to come and go.
const PATIENCE: Duration = Duration::from_secs(20);

/// A PostgreSQL and a Redis of their own with a campaign and codes in them, and a process that finds
/// what it has stale after a moment.
struct Deployment {
    postgres: TestPostgres,
    redis: TestRedis,
    waypost: Waypost,
}

impl Deployment {
    async fn start() -> Self {
        let (postgres, redis) = (TestPostgres::start().await, TestRedis::start().await);
        let store = postgres.store();
        let key = key_for(&store, Scope::Campaigns).await;
        let waypost = Self::process(&postgres, &redis).await;
        invitations::activate(waypost.control(), &key, "demo", &running()).await;
        for code in [CODE, "8ABCDE", "9ABCDE"] {
            invitations::give_code(&store, "demo", code, Some(NAME)).await;
        }
        Self { postgres, redis, waypost }
    }

    async fn process(postgres: &TestPostgres, redis: &TestRedis) -> Waypost {
        let redis = redis.url();
        let settings =
            [("REDIS_URL", redis.as_str()), ("WAYPOST_CACHE__FRESH_MILLISECONDS", "300")];
        invitations::start_on(&postgres.url(), &settings).await
    }
}

/// Whether this is the page of the code.
fn shows(answer: &Answer, code: &str) -> bool {
    answer.status == 200 && {
        let text = Page::read(&answer.text()).text;
        text.contains(code) && text.contains(NAME)
    }
}

/// Asks for a known code for as long as it takes it to be stale several times; each time its page must
/// be shown.
async fn assert_shown_for_a_while(waypost: &Waypost, code: &str) {
    let mut client = Client::connect(waypost.edge()).await.expect("a connection");
    let end = Instant::now() + Duration::from_secs(1);
    while Instant::now() < end {
        let answer = client.get(&format!("/r/{code}"), &[]).await.expect("an answer");
        assert!(shows(&answer, code), "{answer:?}");
    }
}

async fn assert_not_to_be_had(waypost: &Waypost, code: &str) {
    let answer = get(waypost.edge(), &format!("/r/{code}"), &[]).await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "5"), "{answer:?}");
}

#[tokio::test]
async fn codes_show_their_pages_from_whichever_tier_is_left() {
    let _quiet = quiet().await;
    let mut it = Deployment::start().await;
    knows(it.waypost.edge(), CODE).await;
    assert!(shows(&get(it.waypost.edge(), "/r/7kq2mx", &[]).await, CODE));
    eventually("the code is in Redis", PATIENCE, async || {
        (it.redis.ask(&["DBSIZE"]).parse::<u32>().ok()? >= 1).then_some(())
    })
    .await;
    // A second process, which has never seen the code.
    let second = Deployment::process(&it.postgres, &it.redis).await;
    it.postgres.kill();
    assert_shown_for_a_while(&it.waypost, CODE).await;
    assert!(shows(&get(second.edge(), "/r/7KQ2-MX", &[]).await, CODE), "Redis has it");
    for waypost in [&it.waypost, &second] {
        assert_not_to_be_had(waypost, "8ABCDE").await;
    }
    it.redis.kill();
    for waypost in [&it.waypost, &second] {
        assert_shown_for_a_while(waypost, CODE).await;
        assert_not_to_be_had(waypost, "9ABCDE").await;
    }
    it.redis.restart();
    it.postgres.restart();
    for code in ["8ABCDE", "9ABCDE"] {
        eventually("a code that was never cached is shown", PATIENCE, async || {
            shows(&get(second.edge(), &format!("/r/{code}"), &[]).await, code).then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn codes_show_their_pages_while_postgres_and_redis_are_frozen() {
    let _quiet = quiet().await;
    let it = Deployment::start().await;
    knows(it.waypost.edge(), CODE).await;
    it.postgres.pause();
    it.redis.pause();
    assert_shown_for_a_while(&it.waypost, CODE).await;
    assert_not_to_be_had(&it.waypost, "8ABCDE").await;
    it.redis.resume();
    it.postgres.resume();
    eventually("a code that was never cached is shown", PATIENCE, async || {
        shows(&get(it.waypost.edge(), "/r/8ABCDE", &[]).await, "8ABCDE").then_some(())
    })
    .await;
}

#[tokio::test]
async fn two_processes_show_a_new_version_and_the_old_one_again_within_a_second() {
    let _quiet = quiet().await;
    let service = Invitations::start().await;
    let other = invitations::start_on(&service.database.url(), &[]).await;
    let keys = keys::read(&service.database.store()).await.expect("keys");
    let texts = ["Rp 25.000 off the first loan", "Rp 30.000 off the first loan"];
    let documents = texts.map(|text| running().replace(texts[0], text));
    let shown = async |waypost: &Waypost| {
        let answer = get(waypost.edge(), "/r/7KQ2MX", &[]).await;
        let page = Page::read(&answer.text());
        let mut links = page.links().into_iter();
        let store = links.find(|link| link.contains("referrer=")).expect("a store");
        let token = ClickToken::read(&token_in(store), &keys, Clock::system().now());
        let text = page.text.replace('\u{a0}', " ");
        let gets = texts.iter().position(|gets| text.contains(gets));
        (token.expect("one of ours").version.0, gets.expect("one of the two"))
    };
    for waypost in [&service.waypost, &other] {
        assert_eq!(shown(waypost).await, (1, 0));
    }
    let mut times = Vec::new();
    for (version, gets) in [(2, 1), (1, 0), (2, 1), (1, 0), (2, 1)] {
        service.activate("demo", &documents[gets]).await;
        let began = Instant::now();
        let shows_it = async |waypost: &Waypost| {
            eventually(&format!("version {version} is shown"), PATIENCE, async || {
                let now = shown(waypost).await;
                // What was promised and the version in the token never differ.
                assert_eq!(usize::try_from(now.0), Ok(now.1 + 1));
                (now == (version, gets)).then_some(())
            })
            .await;
        };
        tokio::join!(shows_it(&service.waypost), shows_it(&other));
        times.push(began.elapsed());
    }
    // Not each of them: somebody else may need the machine at that moment.
    times.sort();
    assert!(times.get(1).is_some_and(|second| *second < SOON), "{times:?}");
}

/// What a client is told, and when it may try again.
async fn told(waypost: &Waypost, path: &str) -> (u16, String) {
    let answer = get(waypost.edge(), path, &[]).await;
    (answer.status, answer.header("retry-after").to_owned())
}

#[tokio::test]
async fn who_tries_codes_is_shown_none_any_more_and_links_still_lead_on() {
    let _quiet = quiet().await;
    let limit = [("WAYPOST_LIMITS__MISSES_PER_CLIENT", "20")];
    let service = Invitations::start_with(TestDatabase::new().await, &limit).await;
    let links = [("known", "https://a.example/"), ("later", "https://a.example/")];
    add_links(&service.database.store(), &links).await;
    let found = (302, String::new());
    let nowhere = (404, String::new());
    let wait = (429, "600".to_owned());
    assert_eq!(told(&service.waypost, "/known").await, found);
    for number in 10..29 {
        // The same code twice is one miss, and what cannot be a code is none.
        for path in [format!("/r/ZZZZ{number}"), format!("/r/ZZZZ{number}"), "/r/x".to_owned()] {
            assert_eq!(told(&service.waypost, &path).await, nowhere, "{path}");
        }
        assert_eq!(told(&service.waypost, "/known").await, found);
    }
    assert_eq!(told(&service.waypost, "/r/7KQ2MX").await.0, 200, "one miss is left");
    assert_eq!(told(&service.waypost, "/r/ZZZZ29").await, nowhere);
    for path in ["/r/ZZZZ30", "/r/ZZZZ10", "/r/7KQ2MX", "/r/7KQ2MX/qr.svg", "/unknown", "/later"] {
        assert_eq!(told(&service.waypost, path).await, wait, "{path}");
    }
    let head = send(service.waypost.edge(), "HEAD", "/r/7KQ2MX", &[], "").await;
    assert_eq!(head.status, 429);
    let json = [("accept", "application/json")];
    let told_in_json = get(service.waypost.edge(), "/r/7KQ2MX", &json).await.json();
    assert_eq!(told_in_json["type"], "urn:waypost:problem:too-many-misses");
    assert_eq!(told(&service.waypost, "/known").await, found, "it is in the cache");
}

#[tokio::test]
async fn who_tries_slugs_waits_and_nobody_else_does() {
    let _quiet = quiet().await;
    let settings = [
        ("WAYPOST_LIMITS__MISSES_PER_CLIENT", "20"),
        ("WAYPOST_EDGE__TRUSTED_PROXIES", "[\"127.0.0.1\"]"),
    ];
    let service = Invitations::start_with(TestDatabase::new().await, &settings).await;
    let links = [("known", "https://a.example/"), ("later", "https://a.example/")];
    add_links(&service.database.store(), &links).await;
    let ask = async |client: &str, path: &str| {
        get(service.waypost.edge(), path, &[("x-forwarded-for", client)]).await.status
    };
    assert_eq!(ask("192.0.2.1", "/known").await, 302);
    for number in 0..20 {
        assert_eq!(ask("192.0.2.1", &format!("/unknown{number}")).await, 404);
    }
    for (path, mine, others) in [
        ("/unknown20", 429, 404),
        ("/later", 429, 302),
        // Now it is in the cache.
        ("/later", 302, 302),
        ("/known", 302, 302),
        ("/r/7KQ2MX", 429, 200),
    ] {
        assert_eq!(ask("192.0.2.1", path).await, mine, "{path}");
        assert_eq!(ask("192.0.2.2", path).await, others, "{path} for somebody else");
    }
}
