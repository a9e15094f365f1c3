//! Rules lead each visitor where they say, wherever the link comes from: PostgreSQL, Redis or the
//! process's own cache.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use crate::support::deployment::{call, links_key, metric};
use crate::support::{
    Answer, Client, TestDatabase, TestPostgres, TestRedis, Waypost, eventually, get, send,
};

const PATIENCE: Duration = Duration::from_secs(30);

const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 \
                      (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1";
const ANDROID: &str = "Mozilla/5.0 (Linux; Android 15; Pixel 9) AppleWebKit/537.36 (KHTML, like \
                       Gecko) Chrome/140.0.0.0 Mobile Safari/537.36";
const KAIOS: &str =
    "Mozilla/5.0 (Mobile; Nokia_8110_4G; rv:48.0) Gecko/48.0 Firefox/48.0 KAIOS/2.5";
const DESKTOP: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const GOOGLEBOT: &str = "Mozilla/5.0 (Linux; Android 6.0.1) (compatible; Googlebot/2.1; \
                         +http://www.google.com/bot.html)";

const GERMANY: &str = "203.0.113.7";
const MEXICO: &str = "198.51.100.7";
const INDONESIA: &str = "198.51.100.200";
const NOWHERE: &str = "192.0.2.1";

/// Where links lead whom no rule fits.
const HOME: &str = "https://home.example/";

/// Who opens a link; empty: the header is not sent.
#[derive(Clone, Copy, Debug, Default)]
struct Visitor {
    agent: &'static str,
    language: &'static str,
    /// The address that a trusted proxy speaks for.
    client: &'static str,
    /// With its question mark.
    query: &'static str,
}

impl Visitor {
    const NOBODY: Self = Self { agent: "", language: "", client: "", query: "" };

    fn with(agent: &'static str) -> Self {
        Self { agent, ..Self::NOBODY }
    }

    fn speaking(language: &'static str) -> Self {
        Self { agent: DESKTOP, language, ..Self::NOBODY }
    }

    fn at(client: &'static str) -> Self {
        Self { agent: DESKTOP, client, ..Self::NOBODY }
    }

    fn asking(query: &'static str) -> Self {
        Self { agent: DESKTOP, query, ..Self::NOBODY }
    }

    fn headers(&self) -> Vec<(&'static str, &'static str)> {
        let all = [
            ("user-agent", self.agent),
            ("accept-language", self.language),
            ("x-forwarded-for", self.client),
        ];
        all.into_iter().filter(|(_, value)| !value.is_empty()).collect()
    }
}

/// The settings that all processes here have: they know countries, and believe whom we say we are.
async fn start(postgres: &str, redis: Option<&str>) -> Waypost {
    let mut environment = vec![
        ("DATABASE_URL", postgres),
        ("WAYPOST_CLICKS__COUNTRY_FILE", "tests/data/countries.mmdb"),
        ("WAYPOST_EDGE__TRUSTED_PROXIES", "[\"127.0.0.0/8\"]"),
        ("WAYPOST_EDGE__PUBLIC_URL", "https://go.example/"),
        // Nothing is asked again because of its age.
        ("WAYPOST_CACHE__FRESH_MILLISECONDS", "600000"),
    ];
    environment.extend(redis.map(|url| ("REDIS_URL", url)));
    Waypost::start(&environment).await
}

async fn make(waypost: &Waypost, key: &str, body: Value) -> Value {
    let made = call(waypost.control(), key, ("POST", "/v1/links"), Some(body)).await;
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()
}

/// A time so many seconds from now, as rules have it.
fn in_seconds(seconds: i64) -> String {
    (Timestamp::now() + SignedDuration::from_secs(seconds)).to_string()
}

/// One rule that leads to `https://rule.example/`, whom it leads there, and whom it does not.
type One = (Value, Vec<Visitor>, Vec<Visitor>);

fn conditions_alone() -> Vec<One> {
    let with = Visitor::with;
    let (speaking, at, asking) = (Visitor::speaking, Visitor::at, Visitor::asking);
    let query = |name: &str| json!({ "query": [{ "name": name }] });
    let valued = |name: &str, value: &str| json!({ "query": [{ "name": name, "value": value }] });
    vec![
        (
            json!({ "device": ["ios"] }),
            vec![with(IPHONE)],
            vec![with(ANDROID), with(KAIOS), with(DESKTOP), with(GOOGLEBOT), with("")],
        ),
        (
            json!({ "device": ["android", "desktop"] }),
            vec![with(ANDROID), with(DESKTOP)],
            vec![with(IPHONE), with(KAIOS), with(GOOGLEBOT), with("")],
        ),
        (
            json!({ "device": ["mobile"] }),
            vec![with(IPHONE), with(ANDROID), with(KAIOS)],
            vec![with(DESKTOP), with(GOOGLEBOT)],
        ),
        (
            json!({ "language": ["de"] }),
            vec![speaking("de"), speaking("DE-at,en;q=0.9"), speaking("en;q=0.5,de;q=0.7")],
            vec![speaking("en,de;q=0.9"), speaking("den"), speaking("*"), speaking("")],
        ),
        (
            json!({ "language": ["pt-BR", "fr"] }),
            vec![speaking("pt-br"), speaking("fr-CA")],
            vec![speaking("pt-PT"), speaking("pt")],
        ),
        (
            query("src"),
            vec![asking("?src"), asking("?a=1&src=qr"), asking("?%73rc=1"), asking("?src=")],
            vec![asking(""), asking("?source=src"), asking("?SRC=1"), asking("?a=src")],
        ),
        (
            valued("src", "a b"),
            vec![asking("?src=a+b"), asking("?src=a%20b"), asking("?src=x&src=a%20b")],
            vec![asking("?src=a"), asking("?src=A+b"), asking("?src"), asking("?src=a+b+c")],
        ),
        (valued("src", ""), vec![asking("?src"), asking("?src=")], vec![asking("?src=x")]),
        (
            json!({ "query": [{ "name": "a" }, { "name": "b", "value": "2" }] }),
            vec![asking("?b=2&a=1")],
            vec![asking("?a=1"), asking("?b=2"), asking("?a=1&b=3")],
        ),
        (
            json!({ "country": ["DE", "ID"] }),
            vec![at(GERMANY), at(INDONESIA), at("2001:db8:1::5"), at("2001:db8:2::5")],
            vec![at(MEXICO), at(NOWHERE), at("2001:db8:3::5"), at("")],
        ),
        (
            json!({ "country": ["DE"] }),
            vec![at("198.51.100.7, 203.0.113.7"), at("::ffff:203.0.113.7")],
            // What a client wrote itself stands at the left.
            vec![at("203.0.113.7, 198.51.100.7"), at("nonsense")],
        ),
        (json!({ "percent": 100 }), vec![at(GERMANY), with(IPHONE), with("")], vec![]),
    ]
}

fn times() -> Vec<One> {
    let anybody = Visitor::with(DESKTOP);
    let (past, soon, later) = (in_seconds(-3_600), in_seconds(3_600), in_seconds(7_200));
    vec![
        (json!({ "after": past }), vec![anybody], vec![]),
        (json!({ "after": soon }), vec![], vec![anybody]),
        (json!({ "before": soon }), vec![anybody], vec![]),
        (json!({ "after": past, "before": soon }), vec![anybody], vec![]),
        (json!({ "after": soon, "before": later }), vec![], vec![anybody]),
    ]
}

fn combined() -> Vec<One> {
    let all = Visitor { agent: IPHONE, language: "de-CH", client: GERMANY, query: "?src=qr" };
    let rule = json!({
        "device": ["ios"], "language": ["de"], "country": ["DE"], "percent": 100,
        "query": [{ "name": "src", "value": "qr" }],
        "after": in_seconds(-60), "before": in_seconds(3_600),
    });
    let lacking = vec![
        Visitor { agent: ANDROID, ..all },
        Visitor { language: "en", ..all },
        Visitor { client: MEXICO, ..all },
        Visitor { query: "?src=web", ..all },
    ];
    vec![(rule, vec![all], lacking)]
}

/// What is asked of each tier: which link, by whom, and where that must lead.
type Question = (String, Visitor, String);

/// Links for all of these rules, and questions for each.
fn links_and_questions() -> (Vec<Value>, Vec<Question>) {
    let mut links = Vec::new();
    let mut questions = Vec::new();
    let ones = [conditions_alone(), times(), combined()].concat();
    for (number, (mut rule, led, not_led)) in ones.into_iter().enumerate() {
        let slug = format!("one-{number}");
        let fields = rule.as_object_mut().expect("an object");
        fields.insert("target".to_owned(), "https://rule.example/".into());
        links.push(json!({ "slug": slug, "target": HOME, "rules": [rule] }));
        let to = |target: &str| {
            let (slug, target) = (slug.clone(), target.to_owned());
            move |visitor| (slug.clone(), visitor, target.clone())
        };
        questions.extend(led.into_iter().map(to("https://rule.example/")));
        questions.extend(not_led.into_iter().map(to(HOME)));
    }
    links.push(json!({ "slug": "order", "target": HOME, "forward_query": true, "rules": [
        { "query": [{ "name": "beta" }], "target": "https://beta.example/?v=1#top" },
        { "device": ["ios"], "country": ["DE"], "target": "https://ios-de.example/?v=1" },
        { "device": ["mobile"], "target": "https://mobile.example/" },
        { "country": ["DE"], "target": "https://de.example/" },
    ] }));
    let german = Visitor { agent: IPHONE, client: GERMANY, ..Visitor::NOBODY };
    for (visitor, target) in [
        (german, "https://ios-de.example/?v=1"),
        (Visitor { query: "?v=2&x=%20", ..german }, "https://ios-de.example/?v=2&x=%20"),
        (Visitor { query: "?beta", ..german }, "https://beta.example/?v=1&beta#top"),
        (Visitor { client: MEXICO, ..german }, "https://mobile.example/"),
        (Visitor { agent: ANDROID, ..german }, "https://mobile.example/"),
        (Visitor { agent: DESKTOP, ..german }, "https://de.example/"),
        (Visitor { agent: DESKTOP, query: "?q=1", ..german }, "https://de.example/?q=1"),
        (Visitor { agent: DESKTOP, client: MEXICO, ..german }, HOME),
        (
            Visitor { agent: DESKTOP, client: "", query: "?q=1", ..german },
            "https://home.example/?q=1",
        ),
    ] {
        questions.push(("order".to_owned(), visitor, target.to_owned()));
    }
    (links, questions)
}

async fn ask(edge: SocketAddr, method: &str, slug: &str, visitor: &Visitor) -> Answer {
    let path = format!("/{slug}{}", visitor.query);
    send(edge, method, &path, &visitor.headers(), "").await
}

/// How often a tier of a process found a link.
async fn found(waypost: &Waypost, tier: &str) -> f64 {
    let series = format!("waypost_resolve_total{{result=\"hit\",tier=\"{tier}\"}}");
    metric(waypost.control(), &series).await
}

#[tokio::test]
async fn a_rule_leads_whom_it_fits_from_whichever_tier_the_link_comes() {
    let mut postgres = TestPostgres::start().await;
    let redis = TestRedis::start().await;
    let key = links_key(&postgres.store()).await;
    let first = start(&postgres.url(), Some(&redis.url())).await;
    let second = start(&postgres.url(), Some(&redis.url())).await;
    let (links, questions) = links_and_questions();
    let count = links.len();
    let batch =
        call(first.control(), &key, ("POST", "/v1/links/batch"), Some(json!({ "links": links })))
            .await;
    let results = batch.json()["results"].as_array().cloned().expect("results");
    let refused: Vec<&Value> = results.iter().filter(|it| it["status"] != 201).collect();
    assert!(refused.is_empty(), "{refused:?}");

    // A link comes from PostgreSQL when it is asked for the first time, and then from the cache.
    for (slug, visitor, target) in &questions {
        for method in ["GET", "HEAD", "GET"] {
            let answer = ask(first.edge(), method, slug, visitor).await;
            let seen = (answer.status, answer.header("location"), answer.header("cache-control"));
            assert_eq!(seen, (302, target.as_str(), "private, no-cache"), "{slug} {visitor:?}");
        }
    }
    let wanted = f64::from(u32::try_from(count).expect("a few"));
    assert!((found(&first, "postgres").await - wanted).abs() < 0.1, "each once");
    assert!(found(&first, "redis").await < 0.5);

    // Another process has nothing, and only Redis to ask.
    postgres.stop();
    for (slug, visitor, target) in &questions {
        let answer = eventually("the link is in Redis", PATIENCE, async || {
            let answer = ask(second.edge(), "GET", slug, visitor).await;
            (answer.status != 503).then_some(answer)
        })
        .await;
        assert_eq!(answer.header("location"), target, "{slug} {visitor:?}");
    }
    assert!(found(&second, "redis").await > wanted - 0.5);
    assert!(found(&second, "postgres").await < 0.5);
}

#[tokio::test]
async fn a_rule_leads_in_its_own_domain_whatever_the_case() {
    let database = TestDatabase::new().await;
    let add = "INSERT INTO domain (host, case_insensitive) VALUES ('second.example', true)";
    database.connect().await.batch_execute(add).await.expect("a domain");
    let key = links_key(&database.store()).await;
    let waypost = start(&database.url(), None).await;
    let rules = |target: &str| json!([{ "device": ["ios"], "target": target }]);
    let body = json!({ "slug": "App", "target": HOME, "rules": rules("https://first.example/") });
    make(&waypost, &key, body).await;
    let body = json!({ "slug": "App", "domain": "second.example", "target": HOME,
                       "rules": rules("https://rule.example/") });
    make(&waypost, &key, body).await;
    for (host, path, agent, target) in [
        ("second.example", "/app", IPHONE, "https://rule.example/"),
        ("second.example", "/APP", IPHONE, "https://rule.example/"),
        ("second.example", "/aPP", ANDROID, HOME),
        ("go.example", "/App", IPHONE, "https://first.example/"),
        ("go.example", "/app", IPHONE, ""),
    ] {
        for _ in 0..2 {
            let answer = get(waypost.edge(), path, &[("host", host), ("user-agent", agent)]).await;
            assert_eq!(answer.header("location"), target, "{host}{path}");
        }
    }
}

#[tokio::test]
async fn a_rule_begins_and_ends_while_the_link_is_cached() {
    let database = TestDatabase::new().await;
    let key = links_key(&database.store()).await;
    let waypost = start(&database.url(), None).await;
    let moment = in_seconds(5);
    let elsewhere = "https://rule.example/";
    for (slug, limit) in [("begins", "after"), ("ends", "before")] {
        let rules = json!([{ limit: moment, "target": elsewhere }]);
        make(&waypost, &key, json!({ "slug": slug, "target": HOME, "rules": rules })).await;
    }
    let target = async |slug: &str| {
        get(waypost.edge(), &format!("/{slug}"), &[]).await.header("location").to_owned()
    };
    assert_eq!((target("begins").await.as_str(), target("ends").await.as_str()), (HOME, elsewhere));
    for (slug, then) in [("begins", elsewhere), ("ends", HOME)] {
        eventually(slug, PATIENCE, async || (target(slug).await == then).then_some(())).await;
    }
    assert!((found(&waypost, "postgres").await - 2.0).abs() < 0.1, "they were cached");
}

#[tokio::test]
async fn no_browser_remembers_an_answer_for_longer_than_it_is_right() {
    let database = TestDatabase::new().await;
    let key = links_key(&database.store()).await;
    let waypost = start(&database.url(), None).await;
    let link = |slug: &str, rule: Value| {
        json!({ "slug": slug, "target": HOME, "status": 301, "cache_seconds": 3_600,
                "rules": [rule] })
    };
    let elsewhere = "https://rule.example/";
    let begins = json!({ "after": in_seconds(30), "target": elsewhere });
    let ends = json!({ "device": ["ios"], "before": in_seconds(30), "target": elsewhere });
    let far = json!({ "before": in_seconds(7_200), "target": elsewhere });
    make(&waypost, &key, link("begins", begins)).await;
    make(&waypost, &key, link("ends", ends)).await;
    make(&waypost, &key, link("far", far)).await;
    let usual = json!({ "slug": "usual", "target": HOME, "status": 308,
                        "rules": [{ "device": ["ios"], "target": elsewhere }] });
    make(&waypost, &key, usual).await;
    let seconds = async |slug: &str| {
        let answer = get(waypost.edge(), &format!("/{slug}"), &[("user-agent", IPHONE)]).await;
        let cache = answer.header("cache-control").to_owned();
        let seconds = cache.strip_prefix("private, max-age=").and_then(|it| it.parse().ok());
        (answer.status, seconds.unwrap_or_else(|| panic!("{cache}")))
    };
    for slug in ["begins", "ends"] {
        let (status, seconds): (u16, u32) = seconds(slug).await;
        assert!(status == 301 && (1..=30).contains(&seconds), "{slug}: {seconds}");
    }
    assert_eq!(seconds("far").await, (301, 3_600));
    assert_eq!(seconds("usual").await, (308, 90));
}

#[tokio::test]
async fn an_edit_of_the_rules_is_followed_at_once() {
    let database = TestDatabase::new().await;
    let key = links_key(&database.store()).await;
    let waypost = start(&database.url(), None).await;
    make(&waypost, &key, json!({ "slug": "x", "target": HOME })).await;
    for (rules, target) in [
        (json!([{ "device": ["ios"], "target": "https://one.example/" }]), "https://one.example/"),
        (
            json!([{ "device": ["mobile"], "target": "https://two.example/" }]),
            "https://two.example/",
        ),
        (json!([{ "device": ["android"], "target": "https://three.example/" }]), HOME),
        (Value::Null, HOME),
    ] {
        let edit = Some(json!({ "rules": rules }));
        let edited = call(waypost.control(), &key, ("PATCH", "/v1/links/x"), edit).await;
        assert_eq!(edited.status, 200, "{}", edited.text());
        let answer = get(waypost.edge(), "/x", &[("user-agent", IPHONE)]).await;
        assert_eq!(answer.header("location"), target);
    }
}

/// How many visitors the shares are counted over.
const VISITORS: u32 = 2_000;

/// Where each of many visitors is led: each has an address and a browser of its own.
async fn where_all_are_led(edge: SocketAddr, slug: &str) -> Vec<String> {
    let mut client = Client::connect(edge).await.expect("a connection");
    let mut led = Vec::new();
    for number in 0..VISITORS {
        let address = Ipv4Addr::from(0x0a00_0000 + number * 7).to_string();
        let agent = format!("{DESKTOP} Build/{}", number % 13);
        let headers = [("x-forwarded-for", address.as_str()), ("user-agent", agent.as_str())];
        let answer = client.get(&format!("/{slug}"), &headers).await.expect("an answer");
        led.push(answer.header("location").to_owned());
    }
    led
}

fn count(led: &[String]) -> BTreeMap<&str, u32> {
    led.iter().fold(BTreeMap::new(), |mut counts, target| {
        *counts.entry(target.as_str()).or_default() += 1;
        counts
    })
}

/// Whether so many of [`VISITORS`] are what a share of `percent` may bring: no further from what is
/// expected than six deviations, which chance passes less than once in a million runs.
fn is_share(count: u32, percent: u32) -> bool {
    let expected = f64::from(VISITORS * percent) / 100.0;
    let deviation = (expected * f64::from(100 - percent) / 100.0).sqrt();
    (f64::from(count) - expected).abs() < 6.0 * deviation
}

#[tokio::test]
async fn shares_are_kept_by_visitors_processes_and_links() {
    let database = TestDatabase::new().await;
    let key = links_key(&database.store()).await;
    let waypost = start(&database.url(), None).await;
    let link = |slug: &str, shares: &[u32]| {
        let rule = |(place, percent): (usize, &u32)| json!({ "percent": percent, "target": format!("https://{place}.example/") });
        let rules: Vec<Value> = shares.iter().enumerate().map(rule).collect();
        json!({ "slug": slug, "target": HOME, "rules": rules })
    };
    for (slug, shares) in
        [("thirds", vec![30, 30]), ("half", vec![50]), ("other", vec![50]), ("rare", vec![2])]
    {
        make(&waypost, &key, link(slug, &shares)).await;
    }
    let thirds = where_all_are_led(waypost.edge(), "thirds").await;
    let counts = count(&thirds);
    for (target, percent) in [("https://0.example/", 30), ("https://1.example/", 30), (HOME, 40)] {
        let count = counts.get(target).copied().unwrap_or_default();
        assert!(is_share(count, percent), "{target}: {counts:?}");
    }
    let rare = count(&where_all_are_led(waypost.edge(), "rare").await)
        .get("https://0.example/")
        .copied()
        .unwrap_or_default();
    assert!(rare > 0 && is_share(rare, 2), "{rare}");

    // Halves of two links have half of each other in common.
    let half = where_all_are_led(waypost.edge(), "half").await;
    let other = where_all_are_led(waypost.edge(), "other").await;
    let both = half.iter().zip(&other).filter(|(one, other)| *one != HOME && *other != HOME);
    let both = u32::try_from(both.count()).expect("a few");
    assert!(is_share(both, 25), "{both}");

    // Whoever was led there once is led there by another process, and after a restart.
    let beside = start(&database.url(), None).await;
    assert_eq!(where_all_are_led(beside.edge(), "thirds").await, thirds);
    drop((waypost, beside));
    let again = start(&database.url(), None).await;
    assert_eq!(where_all_are_led(again.edge(), "thirds").await, thirds);
    assert_eq!(where_all_are_led(again.edge(), "half").await, half);
}

#[tokio::test]
async fn a_phone_that_changes_half_of_its_address_keeps_its_share() {
    let database = TestDatabase::new().await;
    let key = links_key(&database.store()).await;
    let waypost = start(&database.url(), None).await;
    let rules = json!([{ "percent": 50, "target": "https://rule.example/" }]);
    make(&waypost, &key, json!({ "slug": "x", "target": HOME, "rules": rules })).await;
    for network in 0..8 {
        let mut targets = Vec::new();
        for device in 1..20 {
            let client = format!("2001:db8:1:{network}:{device:x}::1");
            let headers = [("x-forwarded-for", client.as_str()), ("user-agent", IPHONE)];
            let answer = get(waypost.edge(), "/x", &headers).await;
            targets.push(answer.header("location").to_owned());
        }
        targets.dedup();
        assert_eq!(targets.len(), 1, "network {network}");
    }
}
