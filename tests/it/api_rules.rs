//! Rules, limits and previews over the API: what is good is kept, what is bad is named.

use serde_json::{Value, json};

use crate::api::problem;
use crate::support::{Answer, TestApi};

const TARGET: &str = "https://example.com/";

/// An API that can tell countries, and takes bodies larger than rules may be.
async fn with_countries() -> TestApi {
    TestApi::with(|config| {
        config.limits.control_body_bytes = 1 << 20;
        config.clicks.country_file = Some("tests/data/countries.mmdb".into());
    })
    .await
}

fn link(fields: &Value) -> Value {
    let mut body = json!({ "target": TARGET });
    let into = body.as_object_mut().expect("an object");
    into.extend(fields.as_object().cloned().expect("an object"));
    body
}

/// A rule that leads to an address of its own.
fn rule(conditions: &Value) -> Value {
    let mut rule = json!({ "target": "https://rule.example/" });
    let into = rule.as_object_mut().expect("an object");
    into.extend(conditions.as_object().cloned().expect("an object"));
    rule
}

/// A link with one rule.
fn with_rule(conditions: &Value) -> Value {
    link(&json!({ "rules": [rule(conditions)] }))
}

/// A link with rules.
fn with_rules(conditions: &[Value]) -> Value {
    link(&json!({ "rules": conditions.iter().map(rule).collect::<Vec<_>>() }))
}

/// The details of a refusal, one after the other.
fn details(answer: &Answer) -> String {
    let body = answer.json();
    let errors = body.get("errors").and_then(Value::as_array).cloned().unwrap_or_default();
    let detail = |error: &Value| error.get("detail").and_then(Value::as_str).map(str::to_owned);
    errors.iter().filter_map(detail).collect::<Vec<_>>().join("; ")
}

/// Each body is refused for one reason at one place, with these words, and nothing is stored.
async fn refuses(api: &TestApi, table: &[(Value, &str, &str, &str)]) {
    for (body, pointer, reason, words) in table {
        let answer = api.create(body).await;
        let expected = vec![((*pointer).to_owned(), (*reason).to_owned())];
        assert_eq!(problem(&answer), (422, "invalid-body".to_owned(), expected), "{body}");
        let details = details(&answer);
        assert!(details.contains(words), "'{words}' in '{details}' for {body}");
    }
    assert_eq!(api.count("SELECT count(*) FROM link").await, 0);
    assert_eq!(api.count("SELECT count(*) FROM audit").await, 0);
}

#[tokio::test]
async fn a_condition_that_means_nothing_is_named() {
    let api = with_countries().await;
    let many = |count: usize| (0..count).map(|n| format!("aa-{n}")).collect::<Vec<_>>();
    refuses(
        &api,
        &[
            (
                with_rule(&json!({ "device": ["ios", "fridge"] })),
                "/rules/0/device/1",
                "out-of-range",
                "use one of: ios, android, desktop, mobile",
            ),
            (
                with_rule(&json!({ "device": ["iOS"] })),
                "/rules/0/device/0",
                "out-of-range",
                "use one of",
            ),
            (with_rule(&json!({ "device": [] })), "/rules/0/device", "empty", "leave it out"),
            (
                with_rule(&json!({ "language": ["german_de"] })),
                "/rules/0/language/0",
                "not-a-language",
                "like de or pt-BR",
            ),
            (
                with_rule(&json!({ "language": ["de", ""] })),
                "/rules/0/language/1",
                "not-a-language",
                "like de or pt-BR",
            ),
            (
                with_rule(&json!({ "language": many(65) })),
                "/rules/0/language",
                "too-many",
                "at most 64",
            ),
            (
                with_rule(&json!({ "country": ["DE", "XX"] })),
                "/rules/0/country/1",
                "out-of-range",
                "ISO 3166-1",
            ),
            (
                with_rule(&json!({ "country": ["UK"] })),
                "/rules/0/country/0",
                "out-of-range",
                "ISO 3166-1",
            ),
            (with_rule(&json!({ "country": [] })), "/rules/0/country", "empty", "leave it out"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_parameter_a_share_or_a_time_that_means_nothing_is_named() {
    let api = TestApi::new().await;
    let query = |condition: Value| with_rule(&json!({ "query": [condition] }));
    let long = "q".repeat(201);
    refuses(
        &api,
        &[
            (query(json!({ "name": "" })), "/rules/0/query/0/name", "empty", "name a parameter"),
            (query(json!({ "name": long })), "/rules/0/query/0/name", "too-long", "at most 200"),
            (
                query(json!({ "name": "a", "value": long })),
                "/rules/0/query/0/value",
                "too-long",
                "at most 200",
            ),
            (
                query(json!({ "name": "a", "value": "b\u{0}" })),
                "/rules/0/query/0/value",
                "control-character",
                "remove it",
            ),
            (
                with_rule(&json!({ "percent": 0 })),
                "/rules/0/percent",
                "out-of-range",
                "from 1 to 100, not 0",
            ),
            (
                with_rule(&json!({ "percent": 101 })),
                "/rules/0/percent",
                "out-of-range",
                "from 1 to 100, not 101",
            ),
            (
                with_rule(&json!({ "after": "tomorrow" })),
                "/rules/0/after",
                "not-a-time",
                "write it like 2030-01-31T12:00:00Z",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_rule_that_could_never_match_is_named() {
    let api = with_countries().await;
    let outside = |rule_time: Value, link_time: Value| {
        let mut body = with_rule(&rule_time);
        body.as_object_mut()
            .expect("an object")
            .extend(link_time.as_object().cloned().expect("it"));
        body
    };
    let never = "never-matches";
    let by = |conditions: [Value; 2]| (with_rules(&conditions), "/rules/1", never, "/rules/0");
    refuses(
        &api,
        &[
            (
                with_rule(
                    &json!({ "after": "2030-06-01T00:00:00Z", "before": "2030-06-01T00:00:00Z" }),
                ),
                "/rules/0/before",
                "wrong-order",
                "later than 'after'",
            ),
            (
                with_rule(&json!({ "before": "2029-12-31T23:59:59Z" })),
                "/rules/0/before",
                "in-the-past",
                "could never match",
            ),
            (
                outside(
                    json!({ "after": "2031-01-01T00:00:00Z" }),
                    json!({ "expires_at": "2031-01-01T00:00:00Z" }),
                ),
                "/rules/0/after",
                never,
                "expires_at",
            ),
            (
                outside(
                    json!({ "before": "2031-01-01T00:00:00Z" }),
                    json!({ "valid_from": "2031-01-01T00:00:00Z" }),
                ),
                "/rules/0/before",
                never,
                "valid_from",
            ),
            by([json!({ "device": ["ios"] }), json!({ "device": ["ios"] })]),
            by([json!({ "device": ["mobile"] }), json!({ "device": ["ios"], "country": ["DE"] })]),
            by([json!({ "language": ["de"] }), json!({ "language": ["de-AT"] })]),
            by([
                json!({ "query": [{ "name": "src" }] }),
                json!({ "query": [{ "name": "src", "value": "qr" }] }),
            ]),
            by([json!({ "country": ["AT", "DE"] }), json!({ "country": ["de"] })]),
            by([json!({ "percent": 100 }), json!({ "device": ["ios"] })]),
            (
                with_rules(&[
                    json!({ "percent": 60 }),
                    json!({ "device": ["ios"] }),
                    json!({ "percent": 40 }),
                    json!({ "language": ["de"] }),
                ]),
                "/rules/3",
                never,
                "/rules/2 stands before it",
            ),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_rule_of_the_wrong_form_is_named() {
    let api = with_countries().await;
    let targeted = |target: Value| link(&json!({ "rules": [{ "percent": 5, "target": target }] }));
    let rules = |rules: Value| link(&json!({ "rules": rules }));
    let thirty_three =
        (0..33).map(|n| rule(&json!({ "query": [{ "name": format!("q{n}") }] }))).collect();
    let fat = (0..32).map(|n| {
        let path = "p".repeat(3_000);
        json!({ "query": [{ "name": format!("q{n}") }], "target": format!("{TARGET}{path}") })
    });
    let positional = json!([["ios"], null, null, null, null, null, null, TARGET]);
    let need = "needs a condition";
    refuses(
        &api,
        &[
            (with_rule(&json!({})), "/rules/0", "required", need),
            (rules(json!([{ "percent": 5 }])), "/rules/0/target", "required", "where the rule"),
            (targeted(json!("javascript:x")), "/rules/0/target", "scheme-not-allowed", "http"),
            (targeted(json!("https://go.example/a")), "/rules/0/target", "loop", "service"),
            (targeted(json!("/local")), "/rules/0/target", "not-a-url", "absolute"),
            (targeted(json!(7)), "/rules/0/target", "wrong-type", "string"),
            (rules(Value::Array(thirty_three)), "/rules", "too-many", "at most 32"),
            (rules(fat.collect()), "/rules", "too-long", "at most 65536"),
            (with_rule(&json!({ "colour": "red" })), "/rules/0/colour", "unknown-field", "colour"),
            (
                with_rule(&json!({ "query": [{ "name": "a", "is": "b" }] })),
                "/rules/0/query/0/is",
                "unknown-field",
                "is",
            ),
            (
                with_rule(&json!({ "query": [{ "value": "b" }] })),
                "/rules/0/query/0/name",
                "required",
                "name",
            ),
            (rules(json!({})), "/rules", "wrong-type", "sequence"),
            (rules(json!([1])), "/rules/0", "wrong-type", "object"),
            (rules(json!([positional])), "/rules/0", "wrong-type", "object"),
            (
                with_rule(&json!({ "query": [["a", "b"]] })),
                "/rules/0/query/0",
                "wrong-type",
                "object",
            ),
            (with_rule(&json!({ "device": "ios" })), "/rules/0/device", "wrong-type", "sequence"),
            (
                with_rule(&json!({ "device": ["ios", 5] })),
                "/rules/0/device/1",
                "wrong-type",
                "string",
            ),
            (with_rule(&json!({ "percent": "50" })), "/rules/0/percent", "wrong-type", "i64"),
            (with_rule(&json!({ "percent": 0.5 })), "/rules/0/percent", "wrong-type", "i64"),
            (with_rule(&json!({ "after": 5 })), "/rules/0/after", "wrong-type", "string"),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_limit_or_a_preview_that_cannot_be_kept_is_named() {
    let api = TestApi::new().await;
    let range = "from 1 to 9007199254740992";
    let limited = |fields: Value| {
        let mut body = link(&fields);
        body["max_clicks"] = json!(5);
        body
    };
    let conflict = |fields: Value| (limited(fields), "/max_clicks", "conflict", "302 or 307");
    refuses(
        &api,
        &[
            (link(&json!({ "max_clicks": 0 })), "/max_clicks", "out-of-range", range),
            (link(&json!({ "max_clicks": -1 })), "/max_clicks", "out-of-range", range),
            (
                link(&json!({ "max_clicks": 9_007_199_254_740_993_u64 })),
                "/max_clicks",
                "out-of-range",
                range,
            ),
            (link(&json!({ "max_clicks": "5" })), "/max_clicks", "wrong-type", "i64"),
            conflict(json!({ "status": 301 })),
            conflict(json!({ "status": 308 })),
            conflict(json!({ "cache_seconds": 0 })),
            conflict(json!({ "status": 307, "cache_seconds": 60 })),
            (
                link(&json!({ "description": "d".repeat(501) })),
                "/description",
                "too-long",
                "at most 500",
            ),
            (link(&json!({ "description": " " })), "/description", "empty", "leave it out"),
            (
                link(&json!({ "description": "a\u{7}" })),
                "/description",
                "control-character",
                "remove it",
            ),
            (
                link(&json!({ "image": "data:image/png;base64,AA==" })),
                "/image",
                "scheme-not-allowed",
                "http",
            ),
            (link(&json!({ "image": "picture.png" })), "/image", "not-a-url", "absolute"),
            (
                with_rule(&json!({ "country": ["DE"] })),
                "/rules/0/country",
                "not-configured",
                "clicks.country_file",
            ),
        ],
    )
    .await;
    let most = api.create(&link(&json!({ "max_clicks": 9_007_199_254_740_992_u64 }))).await;
    assert_eq!(most.json().get("clicks_left"), Some(&json!(9_007_199_254_740_992_u64)));
}

#[tokio::test]
async fn all_that_is_wrong_with_rules_is_said_at_once() {
    let api = TestApi::new().await;
    let body = link(&json!({
        "max_clicks": 0,
        "rules": [
            { "device": ["tv"], "percent": 200, "target": "x" },
            { "target": "https://go.example/a" },
        ],
    }));
    let (status, _, faults) = problem(&api.create(&body).await);
    let faults: Vec<String> =
        faults.into_iter().map(|(pointer, reason)| format!("{pointer} {reason}")).collect();
    assert_eq!(status, 422);
    let expected = [
        "/max_clicks out-of-range",
        "/rules/0/device/0 out-of-range",
        "/rules/0/percent out-of-range",
        "/rules/0/target not-a-url",
        "/rules/1/target loop",
        "/rules/1 required",
    ];
    let mut sorted = faults.clone();
    sorted.sort();
    let mut wanted = expected.to_vec();
    wanted.sort_unstable();
    assert_eq!(sorted, wanted, "{faults:?}");
}

#[tokio::test]
async fn good_rules_are_kept_in_their_normal_form() {
    let api = with_countries().await;
    let body = link(&json!({ "slug": "x", "rules": [{
        "device": ["ios", "ios"], "language": ["pt-BR"], "query": [{ "name": "a b", "value": "" }],
        "country": ["de", "DE"], "after": "2030-06-01T02:00:00+02:00",
        "before": "2031-01-01T00:00:00Z", "percent": 100, "target": "https://Rule.Example",
    }] }));
    let made = api.create(&body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let expected = json!([{
        "device": ["ios"], "language": ["pt-br"], "query": [{ "name": "a b", "value": "" }],
        "country": ["DE"], "after": "2030-06-01T00:00:00Z",
        "before": "2031-01-01T00:00:00Z", "percent": 100, "target": "https://rule.example/",
    }]);
    assert_eq!(made.json().get("rules"), Some(&expected));
    assert_eq!(api.call("GET", "/v1/links/x", "").await.json().get("rules"), Some(&expected));
    let none = api.create(&link(&json!({ "rules": [], "slug": "none" }))).await;
    assert_eq!((none.status, none.json().get("rules")), (201, None));
}

#[tokio::test]
async fn an_edit_replaces_rules_clears_them_and_leaves_old_ones_in_peace() {
    let api = TestApi::new().await;
    let edit = async |body: Value| api.call("PATCH", "/v1/links/x", body.to_string()).await;
    let made = with_rules(&[json!({ "device": ["ios"] }), json!({ "percent": 50 })]);
    let mut made_at_x = made.clone();
    made_at_x["slug"] = "x".into();
    assert_eq!(api.create(&made_at_x).await.status, 201);
    let one = json!([rule(&json!({ "language": ["de"] }))]);
    let edited = edit(json!({ "rules": one })).await.json();
    assert_eq!((edited.get("rules"), edited.get("target")), (Some(&one), Some(&json!(TARGET))));
    let again = edit(json!({ "rules": one })).await.json();
    assert_eq!(again.get("version"), edited.get("version"), "nothing changed");
    for cleared in [json!({ "rules": null }), json!({ "rules": [] })] {
        assert_eq!(edit(json!({ "rules": one })).await.json().get("rules"), Some(&one));
        assert_eq!(edit(cleared).await.json().get("rules"), None);
    }
    // Rules that were good once: their country can no longer be told, and one has ended since.
    let old = json!([
        rule(&json!({ "before": "2029-01-01T00:00:00Z" })),
        rule(&json!({ "country": ["DE"] })),
    ]);
    let client = api.database.connect().await;
    let set = "UPDATE link SET rules = $1::text::jsonb";
    client.execute(set, &[&old.to_string()]).await.expect("old rules");
    let elsewhere = edit(json!({ "title": "Edited", "expires_at": "2031-01-01T00:00:00Z" })).await;
    assert_eq!(elsewhere.json().get("rules"), Some(&old), "{}", elsewhere.text());
    // What is sent again is judged: what has ended may stay, what is new must not have.
    let first = old.get(0).cloned().expect("a rule");
    let kept = edit(json!({ "rules": [first] })).await;
    assert_eq!(kept.status, 200, "{}", kept.text());
    for (rules, pointer, reason) in [
        (
            json!([first, rule(&json!({ "before": "2028-01-01T00:00:00Z" }))]),
            "1/before",
            "in-the-past",
        ),
        (json!([rule(&json!({ "country": ["DE"] }))]), "0/country", "not-configured"),
        (json!([rule(&json!({ "after": "2031-01-01T00:00:00Z" }))]), "0/after", "never-matches"),
        (json!([rule(&json!({}))]), "0", "required"),
        (json!([["ios"]]), "0", "wrong-type"),
    ] {
        let refused = problem(&edit(json!({ "rules": rules })).await);
        let expected = vec![(format!("/rules/{pointer}"), reason.to_owned())];
        assert_eq!(refused, (422, "invalid-body".to_owned(), expected));
    }
    let after = api.call("GET", "/v1/links/x", "").await.json();
    assert_eq!(after.get("rules"), Some(&json!([first])));
}

#[tokio::test]
async fn an_edit_must_leave_a_limit_that_can_be_kept() {
    let api = TestApi::new().await;
    let edit = async |body: Value| api.call("PATCH", "/v1/links/x", body.to_string()).await;
    assert_eq!(api.create(&link(&json!({ "slug": "x", "status": 301 }))).await.status, 201);
    let conflict =
        (422, "invalid-body".to_owned(), vec![("/max_clicks".into(), "conflict".into())]);
    assert_eq!(problem(&edit(json!({ "max_clicks": 5 })).await), conflict);
    assert_eq!(edit(json!({ "max_clicks": 5, "status": 307 })).await.status, 200);
    assert_eq!(problem(&edit(json!({ "status": 308 })).await), conflict);
    assert_eq!(problem(&edit(json!({ "cache_seconds": 10 })).await), conflict);
    let cleared = edit(json!({ "max_clicks": null, "status": 308 })).await.json();
    assert_eq!((cleared.get("max_clicks"), cleared.get("clicks_left")), (None, None));
}

#[tokio::test]
async fn a_bad_rule_in_a_batch_spoils_only_its_row() {
    let api = TestApi::new().await;
    let rows = json!({ "links": [
        link(&json!({ "slug": "a", "rules": [rule(&json!({ "device": ["ios"] }))] })),
        link(&json!({ "slug": "b", "rules": [rule(&json!({ "device": ["tv"] }))] })),
        link(&json!({ "slug": "c", "rules": [[["ios"]]] })),
        link(&json!({ "slug": "d", "max_clicks": 3, "description": "D", "image": TARGET })),
    ] });
    let answer = api.call("POST", "/v1/links/batch", rows.to_string()).await.json();
    let result = |row: usize, field: &str| {
        answer.pointer(&format!("/results/{row}/{field}")).cloned().unwrap_or_default()
    };
    let statuses: Vec<Value> = (0..4).map(|row| result(row, "status")).collect();
    assert_eq!(statuses, [201, 422, 422, 201], "{answer}");
    assert_eq!(result(1, "problem/errors/0/pointer"), "/links/1/rules/0/device/0");
    assert_eq!(result(2, "problem/errors/0/pointer"), "/links/2/rules/0");
    assert_eq!(result(0, "link/rules/0/device/0"), "ios");
    let fields =
        ["clicks_left", "description", "image"].map(|field| result(3, &format!("link/{field}")));
    assert_eq!(fields, [json!(3), json!("D"), json!(TARGET)]);
    assert_eq!(api.count("SELECT count(*) FROM link").await, 2);
}

#[tokio::test]
async fn reuse_takes_only_a_link_that_leads_everybody_alike() {
    let api = TestApi::new().await;
    let reuse = async |fields: Value| {
        let mut body = link(&fields);
        body["reuse"] = json!(true);
        let answer = api.create(&body).await;
        (answer.status, answer.json().get("slug").cloned())
    };
    let ios = || rule(&json!({ "device": ["ios"] }));
    let german = || rule(&json!({ "language": ["de"] }));
    let variants = [
        json!({}),
        json!({ "rules": [ios()] }),
        json!({ "rules": [ios(), german()] }),
        json!({ "rules": [german(), ios()] }),
        json!({ "max_clicks": 5 }),
        json!({ "max_clicks": 6 }),
    ];
    let mut slugs = Vec::new();
    for variant in &variants {
        let (status, slug) = reuse(variant.clone()).await;
        assert_eq!(status, 201, "{variant}");
        slugs.push(slug);
    }
    for (variant, slug) in variants.iter().zip(&slugs) {
        let (status, found) = reuse(variant.clone()).await;
        assert_eq!((status, &found), (200, slug), "{variant}");
    }
    // A link that somebody has opened grants less than was asked for.
    let client = api.database.connect().await;
    let used = "UPDATE link SET clicks_used = 1 WHERE max_clicks = 5";
    client.execute(used, &[]).await.expect("a click");
    assert_eq!(reuse(json!({ "max_clicks": 5 })).await.0, 201);
    // What only people read does not matter.
    let titled = reuse(json!({ "rules": [ios()], "title": "T", "description": "D" })).await;
    assert_eq!(Some(&titled.1), slugs.get(1));
}
