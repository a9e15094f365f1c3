//! Referral codes: who gets which, however they are asked for and typed.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use waypost::code::referral::{Alphabet, ReferralCode};
use waypost::http::auth::Scope;
use waypost::store::codes::pool;

use super::command_line::run;
use super::support::campaign::{DEMO, activate};
use super::support::deployment::{call, key_for, metric};
use super::support::{Answer, TestDatabase, TestRedis, Waypost, eventually};

const PATIENCE: Duration = Duration::from_secs(30);

/// The campaign's routes, and keys for them.
struct Campaign {
    database: TestDatabase,
    referrals: String,
    campaigns: String,
}

impl Campaign {
    async fn new() -> Self {
        let database = TestDatabase::new().await;
        let store = database.store();
        activate(&store, "demo", DEMO).await;
        let referrals = key_for(&store, Scope::Referrals).await;
        let campaigns = key_for(&store, Scope::Campaigns).await;
        Self { database, referrals, campaigns }
    }

    async fn process(&self) -> Waypost {
        Waypost::start(&[
            ("DATABASE_URL", &self.database.url()),
            ("WAYPOST_EDGE__PUBLIC_URL", "https://go.example/"),
        ])
        .await
    }

    async fn issue(&self, control: SocketAddr, body: Value) -> Answer {
        call(control, &self.referrals, ("POST", "/v1/campaigns/demo/codes"), Some(body)).await
    }

    async fn number(&self, query: &str) -> i64 {
        self.database.connect().await.query_one(query, &[]).await.expect("a row").get(0)
    }
}

fn text(answer: &Answer, field: &str) -> String {
    let json = answer.json();
    json.get(field)
        .and_then(Value::as_str)
        .unwrap_or_else(|| panic!("{field} in {json}"))
        .to_owned()
}

#[tokio::test]
async fn many_callers_for_one_user_get_one_code() {
    let campaign = Campaign::new().await;
    let redis = TestRedis::start().await;
    let environment: [(&str, &str); 2] =
        [("DATABASE_URL", &campaign.database.url()), ("REDIS_URL", &redis.url())];
    let processes = [Waypost::start(&environment).await, Waypost::start(&environment).await];
    let mut calls = JoinSet::new();
    for caller in 0..64 {
        let control = processes.get(caller % 2).expect("two").control();
        let key = campaign.referrals.clone();
        calls.spawn(async move {
            let body = json!({ "user": "rina", "name": "Rina Sari" });
            call(control, &key, ("POST", "/v1/campaigns/demo/codes"), Some(body)).await
        });
    }
    let answers = calls.join_all().await;
    let codes: HashSet<String> = answers.iter().map(|answer| text(answer, "code")).collect();
    assert_eq!(codes.len(), 1, "{codes:?}");
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!((made, answers.iter().filter(|it| it.status == 200).count()), (1, 63));
    assert_eq!(campaign.number("SELECT count(*) FROM referral_code").await, 1);
    // What the others had in their hands went back: no process moved the position more than once.
    let moved = campaign.number("SELECT position FROM code_pool WHERE length = 6").await;
    assert!(moved <= 200, "{moved}");
    let first = answers.first().expect("64 answers");
    assert_eq!(text(first, "shown_name"), "R••• S•••");
    let names = "SELECT count(*) FROM referral_code WHERE shown_name LIKE '%ari%'";
    assert_eq!(campaign.number(names).await, 0, "the name itself is not stored");
}

#[tokio::test]
async fn a_batch_gives_each_user_the_code_that_is_theirs() {
    let campaign = Campaign::new().await;
    let process = campaign.process().await;
    let control = process.control();
    let known = campaign.issue(control, json!({ "user": "u1" })).await;
    assert_eq!((known.status, text(&known, "user").as_str()), (201, "u1"));
    assert_eq!(text(&known, "share_url"), format!("https://go.example/r/{}", text(&known, "code")));
    let users = json!({ "users": [
        { "user": "u0" }, { "user": "u1", "name": "Any" }, { "user": "" }, { "user": "u2", "x": 1 },
        { "user": "u0" }, 7,
    ] });
    let path = ("POST", "/v1/campaigns/demo/codes/batch");
    let answer = call(control, &campaign.referrals, path, Some(users)).await;
    let results = answer.json();
    let results = results.get("results").and_then(Value::as_array).expect("results");
    let at = |place: usize, pointer: &str| {
        results.get(place).and_then(|it| it.pointer(pointer)).cloned().unwrap_or_default()
    };
    let statuses: Vec<Value> = (0..6).map(|place| at(place, "/status")).collect();
    assert_eq!(statuses, [201, 200, 422, 422, 200, 422]);
    assert_eq!(at(1, "/code/code"), json!(text(&known, "code")));
    assert_eq!(at(0, "/code/code"), at(4, "/code/code"));
    assert_eq!(at(2, "/problem/errors/0/pointer"), json!("/users/2/user"));
    assert_eq!(at(3, "/problem/errors/0/pointer"), json!("/users/3/x"));
    let issued = metric(control, "waypost_codes_issued_total").await;
    assert!((1.5..2.5).contains(&issued), "{issued}");
    let many: Vec<Value> = (0..1_001).map(|n| json!({ "user": format!("m{n}") })).collect();
    for (users, status) in [(json!({ "users": many }), 422), (json!({ "users": [] }), 422)] {
        let refused = call(control, &campaign.referrals, path, Some(users)).await;
        assert_eq!(refused.status, status, "{}", refused.text());
    }
}

#[tokio::test]
async fn a_code_is_found_however_it_is_typed() {
    let campaign = Campaign::new().await;
    let process = campaign.process().await;
    let control = process.control();
    let path = "/v1/campaigns/demo/users/a%2Fb/code";
    let body = json!({ "code": "rio-1027" });
    let chosen = call(control, &campaign.campaigns, ("PUT", path), Some(body)).await;
    assert_eq!((chosen.status, text(&chosen, "user").as_str()), (201, "a/b"));
    for typed in ["R101027", "r-i-o%20i027", "RIO1O27", "%EF%BC%B2101027", "*rio1027*", "r10.1027"]
    {
        let path = format!("/v1/codes/{typed}");
        let found = call(control, &campaign.referrals, ("GET", &path), None).await;
        assert_eq!(found.status, 200, "{typed}: {}", found.text());
        assert_eq!(
            (text(&found, "code").as_str(), text(&found, "user").as_str()),
            ("R101027", "a/b")
        );
    }
    for typed in ["R101028", "R1", "R10102%C3%84"] {
        let path = format!("/v1/codes/{typed}");
        let unknown = call(control, &campaign.referrals, ("GET", &path), None).await;
        assert_eq!(unknown.status, 404, "{typed}: {}", unknown.text());
    }
}

#[tokio::test]
async fn an_operator_chooses_a_code_and_the_old_one_still_leads_to_the_user() {
    let campaign = Campaign::new().await;
    let process = campaign.process().await;
    let control = process.control();
    let first =
        text(&campaign.issue(control, json!({ "user": "rina", "name": "Rina" })).await, "code");
    let choose = async |user: &str, body: Value| {
        let path = format!("/v1/campaigns/demo/users/{user}/code");
        call(control, &campaign.campaigns, ("PUT", &path), Some(body)).await
    };
    let chosen = choose("rina", json!({ "code": "Rina-2027" })).await;
    assert_eq!((chosen.status, text(&chosen, "code").as_str()), (201, "R1NA2027"));
    assert_eq!(text(&chosen, "shown_name"), "R•••");
    assert_eq!(choose("rina", json!({ "code": "RINA2027" })).await.status, 200);
    let asked = campaign.issue(control, json!({ "user": "rina" })).await;
    assert_eq!((asked.status, text(&asked, "code").as_str()), (200, "R1NA2027"));
    let path = format!("/v1/codes/{first}");
    let old = call(control, &campaign.referrals, ("GET", &path), None).await.json();
    assert_eq!((old.get("user"), old.get("current")), (Some(&json!("rina")), Some(&json!(false))));
    for (user, code) in [("budi", "rina 2027"), ("budi", first.as_str())] {
        let taken = choose(user, json!({ "code": code })).await;
        assert_eq!(text(&taken, "type"), "urn:waypost:problem:code-taken", "{code}");
    }
    let back = choose("rina", json!({ "code": first })).await;
    assert_eq!((back.status, text(&back, "code")), (201, first));
    // Somebody who has no code yet gets the chosen one as well.
    assert_eq!(choose("budi", json!({ "code": "CLASS" })).await.status, 422);
    let allowed = choose("budi", json!({ "code": "CLASS", "allow_bad_words": true })).await;
    assert_eq!((allowed.status, text(&allowed, "code").as_str()), (201, "CLASS"));
    let audit = "SELECT count(*) FROM audit WHERE action = 'code.choose'";
    assert_eq!(campaign.number(audit).await, 3);
    let current = "SELECT count(*) FROM referral_code WHERE current";
    assert_eq!(campaign.number(current).await, 2);
}

#[tokio::test]
async fn a_code_is_switched_off_and_on_and_the_caches_hear_of_it() {
    let campaign = Campaign::new().await;
    let redis = TestRedis::start().await;
    let process =
        Waypost::start(&[("DATABASE_URL", &campaign.database.url()), ("REDIS_URL", &redis.url())])
            .await;
    let control = process.control();
    let code = text(&campaign.issue(control, json!({ "user": "rina" })).await, "code");
    let mut versions = Vec::new();
    for (step, disabled) in [("disable", true), ("disable", true), ("enable", false)] {
        let path = format!("/v1/codes/{}/{step}", code.to_lowercase());
        let answer = call(control, &campaign.campaigns, ("POST", &path), None).await;
        assert_eq!(answer.json().get("disabled"), Some(&json!(disabled)), "{}", answer.text());
        versions.push(campaign.number("SELECT version FROM referral_code").await);
    }
    let [once, twice, back] = versions.as_slice() else { panic!("{versions:?}") };
    assert!(once == twice && twice < back, "{versions:?}");
    assert_eq!(campaign.number("SELECT count(*) FROM audit WHERE subject LIKE 'code:%'").await, 2);
    eventually("Redis took the changes", PATIENCE, async || {
        (campaign.number("SELECT count(*) FROM link_outbox").await == 0).then_some(())
    })
    .await;
    let unknown = ("POST", "/v1/codes/NEVER9/disable");
    assert_eq!(call(control, &campaign.campaigns, unknown, None).await.status, 404);
    let forbidden = format!("/v1/codes/{code}/disable");
    let refused = call(control, &campaign.referrals, ("POST", &forbidden), None).await;
    assert_eq!(refused.status, 403);
}

#[tokio::test]
async fn what_is_wrong_is_named_with_its_remedy() {
    let campaign = Campaign::new().await;
    let over = DEMO.replace("ends_at = 2031", "ends_at = 2026");
    activate(
        &campaign.database.store(),
        "over",
        &over.replace("2026-01-01T00:00:00+07:00\nends", "2025-01-01T00:00:00+07:00\nends"),
    )
    .await;
    let process = campaign.process().await;
    let control = process.control();
    let issue = "/v1/campaigns/demo/codes";
    let vanity = "/v1/campaigns/demo/users/u/code";
    for (key, (method, path), body, kind, said) in [
        (&campaign.referrals, ("POST", issue), json!({}), "invalid-body", "/user missing"),
        (&campaign.referrals, ("POST", issue), json!({ "user": 1 }), "invalid-body", "/user"),
        (&campaign.referrals, ("POST", issue), json!({ "user": "" }), "invalid-body", "backend"),
        (
            &campaign.referrals,
            ("POST", issue),
            json!({ "user": "u", "name": "n".repeat(201) }),
            "invalid-body",
            "/name is longer than 200 characters",
        ),
        (
            &campaign.referrals,
            ("POST", "/v1/campaigns/none/codes"),
            json!({ "user": "u" }),
            "not-found",
            "there is no campaign 'none'",
        ),
        (
            &campaign.referrals,
            ("POST", "/v1/campaigns/over/codes"),
            json!({ "user": "u" }),
            "campaign-not-running",
            "later ends_at",
        ),
        (&campaign.campaigns, ("PUT", vanity), json!({ "code": "A" }), "invalid-body", "4 to 20"),
        (
            &campaign.campaigns,
            ("PUT", vanity),
            json!({ "code": "SH1T99" }),
            "invalid-body",
            "'SHIT' can be read in SH1T99",
        ),
        (
            &campaign.campaigns,
            ("PUT", "/v1/campaigns/demo/users/%01/code"),
            json!({ "code": "GOOD77" }),
            "invalid-body",
            "the user in the path has a control character",
        ),
        (&campaign.campaigns, ("POST", issue), json!({ "user": "u" }), "forbidden", "referrals"),
        (&campaign.referrals, ("PUT", vanity), json!({ "code": "A" }), "forbidden", "campaigns"),
    ] {
        let answer = call(control, key, (method, path), Some(body.clone())).await;
        let (type_uri, detail) = (text(&answer, "type"), text(&answer, "detail"));
        assert_eq!(type_uri, format!("urn:waypost:problem:{kind}"), "{path} {body}: {detail}");
        assert!(detail.contains(said), "{path} {body}: {detail}");
    }
    assert_eq!(campaign.number("SELECT count(*) FROM referral_code").await, 0);
}

#[tokio::test]
async fn a_pool_below_its_watermark_is_filled_before_it_is_empty() {
    let campaign = Campaign::new().await;
    let process = Waypost::start(&[
        ("DATABASE_URL", &campaign.database.url()),
        ("WAYPOST_REFERRALS__POOL_BATCH", "1000"),
        ("WAYPOST_REFERRALS__POOL_LOW", "1500"),
    ])
    .await;
    let control = process.control();
    let left = "waypost_codes_left{length=\"6\"}";
    eventually("it is filled to begin with", PATIENCE, async || {
        (metric(control, left).await > 1_999.5).then_some(())
    })
    .await;
    let users: Vec<Value> = (0..600).map(|n| json!({ "user": format!("u{n}") })).collect();
    let path = ("POST", "/v1/campaigns/demo/codes/batch");
    let answer = call(control, &campaign.referrals, path, Some(json!({ "users": users }))).await;
    assert_eq!(answer.status, 200);
    eventually("it is filled again", PATIENCE, async || {
        let generated = campaign.number("SELECT generated FROM code_pool").await;
        (generated == 3_000 && metric(control, left).await > 2_399.5).then_some(())
    })
    .await;
}

#[tokio::test]
async fn positions_have_no_gaps_and_no_code_is_handed_out_twice() {
    let campaign = Campaign::new().await;
    let store = campaign.database.store();
    let alphabet = Alphabet::shuffled(&[5; 32]);
    let codes = |count: usize| -> Vec<ReferralCode> {
        (0..count).map(|_| alphabet.generate(6, &mut rand::rng())).collect()
    };
    let known = codes(40);
    assert_eq!(pool::add(&store, 6, &known, 1_000).await.expect("added"), 40);
    // One of the next batch is in the pool, one stands twice, and one is somebody's already.
    let mut next = codes(60);
    next.extend(known.first().cloned());
    next.extend(next.first().cloned());
    let somebodys = next.get(1).expect("60").to_string();
    campaign
        .database
        .connect()
        .await
        .execute(
            "INSERT INTO referral_code (code, campaign_id, user_id) VALUES ($1, 'demo', 'u')",
            &[&somebodys],
        )
        .await
        .expect("a code that an operator chose");
    assert_eq!(pool::add(&store, 6, &next, 1_000).await.expect("added"), 59);
    assert_eq!(pool::add(&store, 6, &next, 99).await.expect("enough"), 0);
    let gaps = "SELECT count(*) FROM (SELECT position - lag(position, 1, -1::bigint)
                OVER (ORDER BY position) AS step FROM pooled_code) AS steps WHERE step <> 1";
    assert_eq!(campaign.number(gaps).await, 0);
    let mut takers = JoinSet::new();
    for _ in 0..12 {
        let store = store.clone();
        takers.spawn(async move { pool::take(&store, 6, 10).await.expect("an answer") });
    }
    let taken: Vec<String> = takers
        .join_all()
        .await
        .into_iter()
        .flatten()
        .flat_map(|taken| taken.codes)
        .map(|code| code.to_string())
        .collect();
    // 99 are there: nine got ten each, and the others none rather than fewer.
    assert_eq!((taken.len(), taken.iter().collect::<HashSet<_>>().len()), (90, 90));
    assert!(!taken.contains(&somebodys));
    let taken = pool::take(&store, 6, 9).await.expect("an answer").expect("nine are left");
    assert_eq!((taken.codes.len(), taken.left), (9, 0));
}

#[tokio::test]
async fn the_command_line_does_the_same() {
    let campaign = Campaign::new().await;
    let database = &campaign.database;
    let (good, shown) =
        run(database, &["code", "issue", "demo", "rina", "--name", "Rina Sari", "--json"]).await;
    assert!(good, "{shown}");
    let shown: Value = serde_json::from_str(&shown).expect("JSON");
    let code = shown.get("code").and_then(Value::as_str).expect("a code");
    let share = format!("https://go.example/r/{code}");
    assert_eq!(shown.get("share_url"), Some(&json!(share)));
    let (good, chosen) = run(database, &["code", "vanity", "demo", "rina", "rina-27"]).await;
    assert!(
        good && chosen.starts_with("R1NA27\n") && chosen.contains("  vanity: true"),
        "{chosen}"
    );
    let (good, shown) = run(database, &["code", "show", &code.to_lowercase()]).await;
    assert!(
        good && shown.contains("  user: rina") && shown.contains("  current: false"),
        "{shown}"
    );
    let off = "disabled R1NA27; running instances follow within seconds";
    assert_eq!(run(database, &["code", "disable", "RINA27"]).await, (true, off.to_owned()));
    let on = "enabled R1NA27; running instances follow within seconds";
    assert_eq!(run(database, &["code", "enable", "RINA27"]).await, (true, on.to_owned()));
    // Two of 20,000 random codes are the same in one of eight pools, and stand there once.
    let (good, pool) = run(database, &["code", "pool"]).await;
    let generated = pool.strip_prefix("6 symbols: ").and_then(|it| it.split(' ').next());
    let generated: i64 = generated.and_then(|it| it.parse().ok()).unwrap_or_default();
    assert!(good && (19_980..=20_000).contains(&generated), "{pool}");
    let rest = format!("{generated} generated, 1 handed out, {} left", generated - 1);
    assert_eq!(pool, format!("6 symbols: {rest}"));
    for (arguments, said) in [
        (["code", "show", "NEVER9"].as_slice(), "waypost: there is no code 'NEVER9'"),
        (
            &["code", "issue", "none", "u"],
            "waypost: there is no campaign 'none', or it was never active",
        ),
        (
            &["code", "vanity", "demo", "budi", "rina27"],
            "waypost: the code R1NA27 belongs to somebody else; choose another",
        ),
    ] {
        assert_eq!(run(database, arguments).await, (false, said.to_owned()));
    }
    let (good, said) = run(database, &["code", "vanity", "demo", "budi", "a"]).await;
    assert!(!good && said.starts_with("waypost: the code 'a' is no code: give 4 to 20"), "{said}");
}
