//! Versions of campaigns, by the API and by the command line.

use serde_json::{Value, json};

use super::command_line::run;
use super::support::{Answer, TestApi, TestDatabase};

/// A good document.
pub(crate) const DEMO: &str = include_str!("../../config/campaigns/demo.toml");

/// An API whose key may change campaigns.
pub(crate) async fn campaigns_api() -> TestApi {
    let mut api = TestApi::new().await;
    api.key = api.add_key("boss", &["campaigns"]).await;
    api
}

/// Sends a document.
pub(crate) async fn put(api: &TestApi, path: &str, content_type: &str, text: &str) -> Answer {
    let authorization = format!("Bearer {}", api.key);
    let headers = [("authorization", authorization.as_str()), ("content-type", content_type)];
    api.send("POST", path, &headers, text.to_owned()).await
}

async fn put_toml(api: &TestApi, text: &str) -> Answer {
    put(api, "/v1/campaigns/spring/versions", "application/toml", text).await
}

fn kind(answer: &Answer) -> (u16, String) {
    let body = answer.json();
    let uri = body.get("type").and_then(Value::as_str).unwrap_or_default();
    (answer.status, uri.replace("urn:waypost:problem:", ""))
}

async fn states(api: &TestApi) -> Vec<String> {
    let page = api.call("GET", "/v1/campaigns/spring/versions", "").await.json();
    let versions = page.get("versions").and_then(Value::as_array).expect("versions");
    let part = |it: &Value, name: &str| it.get(name).map(Value::to_string).unwrap_or_default();
    let state = |it| format!("{} {}", part(it, "version"), part(it, "state").replace('"', ""));
    versions.iter().map(state).collect()
}

#[tokio::test]
async fn a_version_is_a_draft_then_active_then_retired_and_can_be_active_again() {
    let api = campaigns_api().await;
    let first = put_toml(&api, DEMO).await;
    assert_eq!((first.status, first.header("location")), (201, "/v1/campaigns/spring/versions/1"));
    let view = first.json();
    assert_eq!((&view["state"], &view["document"]), (&json!("draft"), &json!(DEMO)));
    assert_eq!((&view["created_by"], &view["format"]), (&json!("boss"), &json!("toml")));
    let summary = json!({
        "name": "Bring a friend", "starts_at": "2026-01-01T00:00:00+07:00",
        "ends_at": "2031-01-01T00:00:00+07:00", "currency": "IDR",
        "budget_minor": 50_000_000_000_i64, "code_length": 6,
        "triggers": ["credit_granted", "loan_disbursed"],
        "languages": ["en", "es", "hi", "id", "zh"],
    });
    assert_eq!(view["summary"], summary);
    let again = put_toml(&api, DEMO).await;
    assert_eq!((again.status, again.json()), (200, view));
    let second = put_toml(&api, &DEMO.replace("code_length = 6", "code_length = 8")).await;
    assert_eq!(
        (second.status, second.header("location")),
        (201, "/v1/campaigns/spring/versions/2")
    );
    assert_eq!(states(&api).await, ["2 draft", "1 draft"]);

    for (version, expected) in [
        (1, ["2 draft", "1 active"]),
        (2, ["2 active", "1 retired"]),
        // Going back is activating an older one, and doing it twice changes nothing.
        (1, ["2 retired", "1 active"]),
        (1, ["2 retired", "1 active"]),
    ] {
        let path = format!("/v1/campaigns/spring/versions/{version}/activate");
        let activated = api.call("POST", &path, "").await;
        assert_eq!((activated.status, &activated.json()["state"]), (200, &json!("active")));
        assert_eq!(states(&api).await, expected);
        let current = api.call("GET", "/v1/campaigns/spring", "").await.json();
        assert_eq!(current["version"], version);
    }
    let retired = api.call("POST", "/v1/campaigns/spring/retire", "").await.json();
    assert_eq!((&retired["version"], &retired["state"]), (&json!(1), &json!("retired")));
    let again = api.call("POST", "/v1/campaigns/spring/retire", "").await;
    assert_eq!(kind(&again), (409, "campaign-not-active".to_owned()));
    let list = api.call("GET", "/v1/campaigns", "").await.json();
    assert_eq!(list["campaigns"].as_array().map(Vec::len), Some(1));
    assert_eq!(list["campaigns"][0]["version"], 1);

    let database = api.database.connect().await;
    let trail = "SELECT actor || ' ' || action || ' ' || subject || ' ' || (detail->>'version') || \
                 coalesce(' after ' || (detail->>'before'), '') FROM audit ORDER BY id";
    let rows = database.query(trail, &[]).await.expect("rows");
    let trail: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let expected = ["put", "put", "activate", "activate", "activate", "retire"]
        .into_iter()
        .zip(["1", "2", "1", "2 after 1", "1 after 2", "1"])
        .map(|(action, rest)| format!("boss campaign.{action} campaign:spring {rest}"));
    assert_eq!(trail, expected.collect::<Vec<_>>());
}

#[tokio::test]
async fn versions_are_listed_in_pages_and_compared() {
    let api = campaigns_api().await;
    for cap in 1..=5 {
        let text = DEMO.replace("per_inviter = 20", &format!("per_inviter = {cap}"));
        assert_eq!(put_toml(&api, &text).await.status, 201);
    }
    let mut seen = Vec::new();
    let mut path = "/v1/campaigns/spring/versions?limit=2".to_owned();
    loop {
        let page = api.call("GET", &path, "").await.json();
        let versions = page["versions"].as_array().expect("versions");
        assert!(versions.iter().all(|it| it["document"] == Value::Null));
        seen.extend(versions.iter().map(|it| it["version"].as_i64().expect("a number")));
        let Some(cursor) = page["next_cursor"].as_str() else { break };
        path = format!("/v1/campaigns/spring/versions?limit=2&cursor={cursor}");
    }
    assert_eq!(seen, [5, 4, 3, 2, 1]);
    let diff = api.call("GET", "/v1/campaigns/spring/diff?from=2&to=4", "").await.json();
    let change = json!({ "pointer": "/caps/rewards_per_inviter", "from": 2, "to": 4 });
    assert_eq!(diff, json!({ "changes": [change] }));
    let same = api.call("GET", "/v1/campaigns/spring/diff?from=2&to=2", "").await.json();
    assert_eq!(same, json!({ "changes": [] }));
    let shown = api.call("GET", "/v1/campaigns/spring/versions/3", "").await.json();
    assert!(shown["document"].as_str().expect("a text").contains("per_inviter = 3"));
}

#[tokio::test]
async fn a_dry_run_says_what_a_put_would_and_stores_nothing() {
    let api = campaigns_api().await;
    let path = "/v1/campaigns/spring/versions?dry_run=true";
    let good = put(&api, path, "application/toml", DEMO).await;
    assert_eq!((good.status, &good.json()["summary"]["currency"]), (200, &json!("IDR")));
    assert_eq!(good.json()["version"], Value::Null);
    let bad = put(&api, path, "application/toml", "name = 1").await;
    assert_eq!(kind(&bad), (422, "invalid-body".to_owned()));
    assert_eq!(api.count("SELECT count(*) FROM campaign").await, 0);
    assert_eq!(api.count("SELECT count(*) FROM audit").await, 0);
    assert_eq!(put_toml(&api, DEMO).await.status, 201);
    let same = put(&api, path, "application/toml", DEMO).await;
    assert_eq!(same.json()["version"], 1);
}

#[tokio::test]
async fn what_is_not_there_or_not_understood_is_told() {
    let api = campaigns_api().await;
    assert_eq!(put_toml(&api, DEMO).await.status, 201);
    for (method, path, expected) in [
        ("GET", "/v1/campaigns/summer", (404, "not-found")),
        ("GET", "/v1/campaigns/summer/versions", (404, "not-found")),
        ("GET", "/v1/campaigns/spring/versions/2", (404, "not-found")),
        ("GET", "/v1/campaigns/spring/versions/x", (404, "not-found")),
        ("GET", "/v1/campaigns/spring/versions/99999999999", (404, "not-found")),
        ("GET", "/v1/campaigns/Spring", (404, "not-found")),
        ("POST", "/v1/campaigns/summer/retire", (404, "not-found")),
        ("POST", "/v1/campaigns/spring/retire", (409, "campaign-not-active")),
        ("POST", "/v1/campaigns/summer/versions/1/activate", (404, "not-found")),
        ("POST", "/v1/campaigns/spring/versions/0/activate", (404, "not-found")),
        ("POST", "/v1/campaigns/spring/versions/2/activate", (404, "not-found")),
        ("GET", "/v1/campaigns/spring/diff?from=1&to=2", (404, "not-found")),
        ("GET", "/v1/campaigns/spring/diff?from=1", (400, "invalid-query")),
        ("GET", "/v1/campaigns/spring/diff?from=1&to=x", (400, "invalid-query")),
        ("GET", "/v1/campaigns/spring/versions?limit=0", (400, "invalid-query")),
        ("GET", "/v1/campaigns/spring/versions?cursor=x", (400, "invalid-query")),
        ("GET", "/v1/campaigns?x=1", (400, "invalid-query")),
        ("POST", "/v1/campaigns/spring/versions?dry_run=yes", (400, "invalid-query")),
        ("POST", "/v1/campaigns/Spring/versions", (404, "not-found")),
        ("POST", "/v1/campaigns/spring/versions", (400, "malformed-body")),
        ("DELETE", "/v1/campaigns/spring", (405, "method-not-allowed")),
    ] {
        let answer = api.call(method, path, "").await;
        assert_eq!(kind(&answer), (expected.0, expected.1.to_owned()), "{method} {path}");
    }
    let path = "/v1/campaigns/spring/versions";
    for content_type in ["text/plain", "application/x-www-form-urlencoded", "application/yaml"] {
        let answer = put(&api, path, content_type, DEMO).await;
        assert_eq!(kind(&answer), (415, "unsupported-media-type".to_owned()), "{content_type}");
    }
    for content_type in ["application/toml", "application/json"] {
        let answer = put(&api, path, content_type, &"a".repeat(300 * 1024)).await;
        assert_eq!(kind(&answer), (413, "body-too-large".to_owned()), "{content_type}");
    }
    let mut links = campaigns_api().await;
    links.key = links.add_key("shop", &["links", "referrals"]).await;
    let refused = links.call("GET", "/v1/campaigns", "").await;
    assert_eq!(kind(&refused), (403, "forbidden".to_owned()));
}

#[tokio::test]
async fn a_document_must_fit_the_service_and_what_the_campaign_was() {
    let mut api = campaigns_api().await;
    let admin = api.add_key("admin", &["admin"]).await;
    let there = DEMO.replace("# domain = ", "domain = ");
    let refused = put_toml(&api, &there).await;
    let fault = &refused.json()["errors"][0];
    assert_eq!((refused.status, &fault["reason"]), (422, &json!("unknown-domain")));
    assert_eq!((&fault["pointer"], &fault["line"]), (&json!("/domain"), &json!(17)));
    assert_eq!(api.count("SELECT count(*) FROM campaign").await, 0);

    let boss = std::mem::replace(&mut api.key, admin);
    let added = api.call("POST", "/v1/domains", r#"{"host": "go.example.com"}"#).await;
    assert_eq!(added.status, 201);
    assert_eq!(put_toml(&api, &there).await.status, 201);
    assert_eq!(api.call("DELETE", "/v1/domains/go.example.com", "").await.status, 204);
    api.key = boss;
    // The version is there, and what it needs is not any more.
    let activate = "/v1/campaigns/spring/versions/1/activate";
    let refused = api.call("POST", activate, "").await;
    assert_eq!(kind(&refused), (409, "campaign-not-valid".to_owned()));
    assert_eq!(refused.json()["errors"][0]["line"], 17);

    // Another currency is another campaign, once there was one.
    let dollars = DEMO.replace("currency = \"IDR\"", "currency = \"USD\"");
    assert_eq!(put_toml(&api, &dollars).await.status, 201);
    assert_eq!(put_toml(&api, DEMO).await.status, 201);
    let activated = api.call("POST", "/v1/campaigns/spring/versions/3/activate", "").await;
    assert_eq!(activated.status, 200);
    let refused = api.call("POST", "/v1/campaigns/spring/versions/2/activate", "").await;
    assert_eq!(kind(&refused), (409, "campaign-not-valid".to_owned()));
    let euros = DEMO.replace("currency = \"IDR\"", "currency = \"EUR\"");
    let refused = put_toml(&api, &euros).await;
    let fault = &refused.json()["errors"][0];
    assert_eq!((refused.status, &fault["reason"]), (422, &json!("cannot-be-changed")));
    assert_eq!((&fault["pointer"], &fault["line"]), (&json!("/currency"), &json!(22)));
    assert_eq!(states(&api).await, ["3 active", "2 draft", "1 draft"]);
}

#[tokio::test]
async fn sixteen_callers_who_activate_at_once_leave_one_active_version() {
    let api = campaigns_api().await;
    for cap in 1..=4 {
        let text = DEMO.replace("per_inviter = 20", &format!("per_inviter = {cap}"));
        assert_eq!(put_toml(&api, &text).await.status, 201);
    }
    let calls = (0..16).map(|caller| {
        let path = format!("/v1/campaigns/spring/versions/{}/activate", caller % 4 + 1);
        let api = &api;
        async move { api.call("POST", &path, "").await }
    });
    for answer in futures_util::future::join_all(calls).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    assert_eq!(api.count("SELECT count(*) FROM campaign_version WHERE state = 'active'").await, 1);
    // Each change was counted, and the trail leads from each version to the one after it.
    let changes = api.count("SELECT number FROM campaign_change").await;
    let activations = "SELECT count(*) FROM audit WHERE action = 'campaign.activate'";
    assert_eq!(api.count(activations).await, changes);
    let broken = "SELECT count(*) FROM (
                      SELECT detail->'before' AS before, lag(detail->'version') OVER (ORDER BY id) AS last
                      FROM audit WHERE action = 'campaign.activate') steps
                  WHERE last IS NOT NULL AND before IS DISTINCT FROM last";
    assert_eq!(api.count(broken).await, 0);
}

#[tokio::test]
async fn the_command_line_does_what_the_api_does() {
    let database = TestDatabase::new().await;
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("a plain path").to_owned()
    };
    let first = path("first.toml", DEMO);
    let second = path("second.toml", &DEMO.replace("life_days = 9", "life_days = 12"));
    let broken = path("broken.toml", &DEMO.replace("life_days = 9", "life_days = 0"));

    let (good, said) = run(&database, &["campaign", "put", "spring", &first, "--activate"]).await;
    assert!(good && said.starts_with("stored version 1 of 'spring'; it is active"), "{said}");
    let (good, said) = run(&database, &["campaign", "put", "spring", &first]).await;
    assert!(good && said == "version 1 of 'spring' has this content already", "{said}");
    let (good, said) = run(&database, &["campaign", "put", "spring", &second]).await;
    assert!(good && said.contains("'waypost campaign activate spring 2'"), "{said}");
    let (good, said) = run(&database, &["campaign", "put", "spring", &broken]).await;
    let line = DEMO.lines().position(|line| line.starts_with("life_days")).expect("a line") + 1;
    let expected = format!("{broken}:{line}: /scratch_card/life_days: must be from 1 to 365 days");
    assert!(!good && said.contains(&expected), "{said}");
    let (good, said) = run(&database, &["campaign", "diff", "spring", "1", "2"]).await;
    let expected = "- /scratch_card/life_days: 9\n+ /scratch_card/life_days: 12";
    assert_eq!((good, said.as_str()), (true, expected));
    assert!(run(&database, &["campaign", "activate", "spring", "2"]).await.0);
    let (_, said) = run(&database, &["campaign", "list"]).await;
    let expected = "spring  version 2  active  'Bring a friend', 2026-01-01T00:00:00+07:00 to \
                    2031-01-01T00:00:00+07:00";
    assert_eq!(said, expected);
    let (_, said) = run(&database, &["campaign", "list", "spring"]).await;
    let states: Vec<&str> = said.lines().filter_map(|it| it.split("  ").nth(1)).collect();
    assert_eq!(states, ["active", "retired"]);
    let (_, said) =
        run(&database, &["campaign", "show", "spring", "--version", "1", "--document"]).await;
    assert_eq!(said, DEMO.trim_end());
    let (_, said) = run(&database, &["campaign", "show", "spring", "--json"]).await;
    let shown: Value = serde_json::from_str(&said).expect("JSON");
    assert_eq!((&shown["version"], &shown["state"]), (&json!(2), &json!("active")));
    let (good, said) = run(&database, &["campaign", "retire", "spring"]).await;
    assert!(good && said == "retired 'spring', which was at version 2", "{said}");
    let (good, said) = run(&database, &["campaign", "retire", "spring"]).await;
    assert_eq!(
        (good, said.as_str()),
        (false, "waypost: no version of the campaign 'spring' is active")
    );
    let (good, said) = run(&database, &["campaign", "show", "summer"]).await;
    assert_eq!((good, said.as_str()), (false, "waypost: there is no campaign 'summer'"));
    let (good, said) = run(&database, &["campaign", "put", "Spring", &first]).await;
    assert!(!good && said.contains("small letters"), "{said}");
}
