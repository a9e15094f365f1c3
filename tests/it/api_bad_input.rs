//! Bad input: each a problem document that says what and where, and nothing is stored.

use serde_json::{Value, json};

use crate::api::problem;
use crate::support::{TestApi, TestPostgres};

#[tokio::test]
async fn a_bad_field_is_named_and_nothing_is_stored() {
    let api = TestApi::new().await;
    let good = json!({ "target": "https://example.com/" });
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body
    };
    for (body, pointer, reason) in [
        (json!({}), "/target", "required"),
        (json!({ "target": null }), "/target", "required"),
        (with("target", json!("javascript:alert(1)")), "/target", "scheme-not-allowed"),
        (with("target", json!("data:text/html,x")), "/target", "scheme-not-allowed"),
        (with("target", json!("https://go.example/abc")), "/target", "loop"),
        (with("target", json!("http://go.example:443/abc")), "/target", "loop"),
        (with("target", json!("https://a:b@example.com/")), "/target", "userinfo-not-allowed"),
        (with("target", json!("https://example.com/\r\nx")), "/target", "control-character"),
        (with("target", json!("//example.com")), "/target", "not-a-url"),
        (with("target", json!(7)), "/target", "wrong-type"),
        (with("fallback", json!("ftp://example.com/")), "/fallback", "scheme-not-allowed"),
        (with("slug", json!("api")), "/slug", "reserved"),
        (with("slug", json!("Metrics")), "/slug", "reserved"),
        (with("slug", json!("a".repeat(8_192))), "/slug", "too-long"),
        (with("slug", json!("a\u{0}b")), "/slug", "control-character"),
        (with("slug", json!("a/b")), "/slug", "bad-path"),
        (with("slug", json!("..")), "/slug", "bad-path"),
        (with("domain", json!("other.example")), "/domain", "unknown-domain"),
        (with("status", json!(200)), "/status", "out-of-range"),
        (with("status", json!("302")), "/status", "wrong-type"),
        (with("cache_seconds", json!(31_536_001)), "/cache_seconds", "out-of-range"),
        (with("expires_at", json!("2029-12-31T23:59:59Z")), "/expires_at", "in-the-past"),
        (with("valid_from", json!("soon")), "/valid_from", "not-a-time"),
        (with("title", json!("a\u{1b}b")), "/title", "control-character"),
        (with("tags", json!([""])), "/tags/0", "empty"),
        (with("tags", json!(["a", 1])), "/tags/1", "wrong-type"),
        (with("colour", json!("red")), "/colour", "unknown-field"),
    ] {
        let expected = vec![(pointer.to_owned(), reason.to_owned())];
        let answer = api.create(&body).await;
        assert_eq!(problem(&answer), (422, "invalid-body".to_owned(), expected), "{body}");
    }
    assert_eq!(api.count("SELECT count(*) FROM link").await, 0);
    assert_eq!(api.count("SELECT count(*) FROM audit").await, 0);
}

#[tokio::test]
async fn a_bad_edit_changes_nothing() {
    let api = TestApi::new().await;
    let made = api.create(&json!({ "target": "https://example.com/", "slug": "x" })).await;
    for (body, pointer, reason) in [
        (r#"{"slug": "y"}"#, "/slug", "cannot-be-changed"),
        (r#"{"target": null}"#, "/target", "cannot-be-cleared"),
        (r#"{"target": "javascript:x"}"#, "/target", "scheme-not-allowed"),
        (r#"{"disabled": "yes"}"#, "/disabled", "wrong-type"),
        (r#"{"reuse": true}"#, "/reuse", "unknown-field"),
    ] {
        let expected = vec![(pointer.to_owned(), reason.to_owned())];
        let answer = api.call("PATCH", "/v1/links/x", body).await;
        assert_eq!(problem(&answer), (422, "invalid-body".to_owned(), expected), "{body}");
    }
    assert_eq!(api.call("GET", "/v1/links/x", "").await.json(), made.json());
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_refused_whole() {
    let api = TestApi::new().await;
    let long = format!("{{\"title\": \"{}\"}}", "a".repeat(70_000));
    let bodies: [(&[u8], u16, &str); 6] = [
        (b"", 400, "malformed-body"),
        (b"{", 400, "malformed-body"),
        (b"{\"target\": \"\xFF\xFE\"}", 400, "malformed-body"),
        (b"{} trailing", 400, "malformed-body"),
        (b"[]", 422, "invalid-body"),
        (long.as_bytes(), 413, "body-too-large"),
    ];
    for path in ["/v1/links", "/v1/links/batch"] {
        for (body, status, name) in bodies {
            let answer = api.call("POST", path, body.to_vec()).await;
            let answer = problem(&answer);
            // A batch may be larger; then its unknown field is what is wrong.
            if path.ends_with("batch") && status == 413 {
                assert_eq!(answer.2, [("/title".to_owned(), "unknown-field".to_owned())]);
            } else {
                assert_eq!((answer.0, answer.1.as_str()), (status, name));
            }
        }
    }
    let missing = problem(&api.call("POST", "/v1/links/batch", "{}").await).2;
    assert_eq!(missing, [("/links".to_owned(), "required".to_owned())]);
    let authorization = format!("Bearer {}", api.key);
    let headers = [("authorization", authorization.as_str()), ("content-type", "text/plain")];
    let answer = api.send("POST", "/v1/links", &headers, "{}").await;
    assert_eq!(problem(&answer).0, 415);
    assert_eq!(api.count("SELECT count(*) FROM link").await, 0);
}

#[tokio::test]
async fn a_body_that_grows_past_the_limit_is_cut_off() {
    let api = TestApi::with(|config| config.limits.batch_body_bytes = 2_048).await;
    let rows = vec![json!({ "target": "https://example.com/" }); 100];
    let answer = api.call("POST", "/v1/links/batch", json!({ "links": rows }).to_string()).await;
    assert_eq!(problem(&answer).0, 413);
}

#[tokio::test]
async fn only_keys_that_hold_and_suffice_are_let_in() {
    let api = TestApi::new().await;
    let ask = async |authorization: &str| {
        let answer = api.send("GET", "/v1/links", &[("authorization", authorization)], "").await;
        (answer.status, answer.header("www-authenticate").to_owned())
    };
    let refused = (401, "Bearer realm=\"waypost\"".to_owned());
    assert_eq!(ask(&format!("Bearer {}", api.key)).await.0, 200);
    assert_eq!(api.send("GET", "/v1/links", &[], "").await.status, 401);
    let last = api.key.chars().last().expect("a character");
    let other = if last == 'x' { 'y' } else { 'x' };
    let wrong = format!("{}{other}", api.key.trim_end_matches(last));
    for bad in ["", "Bearer", "Bearer x", "Basic eDp5", &format!("Bearer {wrong}")] {
        assert_eq!(ask(bad).await, refused, "{bad}");
    }
    let narrow = api.add_key("narrow", &["rewards"]).await;
    let narrow = format!("Bearer {narrow}");
    let answer = api.send("GET", "/v1/links", &[("authorization", &narrow)], "").await;
    assert_eq!(problem(&answer).0, 403);
    assert!(answer.text().contains("'links'"), "{answer:?}");
    let admin = api.add_key("admin", &["admin"]).await;
    assert_eq!(ask(&format!("Bearer {admin}")).await.0, 200);
    let revoke = "UPDATE api_key SET revoked_at = now()";
    api.database.connect().await.execute(revoke, &[]).await.expect("revoked");
    assert_eq!(ask(&format!("Bearer {}", api.key)).await, refused);
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_apart() {
    let api = TestApi::new().await;
    assert_eq!(problem(&api.call("GET", "/v2/links", "").await).0, 404);
    let answer = api.call("PUT", "/v1/links", "{}").await;
    assert_eq!((problem(&answer).0, answer.header("allow")), (405, "GET, HEAD, POST"));
    let answer = api.call("POST", "/v1/links?dry_run=1", "{}").await;
    assert_eq!(problem(&answer).1, "invalid-query");
    assert_eq!(api.call("GET", "/v1/links/%00", "").await.status, 404);
    assert_eq!(api.call("GET", "/v1/links/%FF", "").await.status, 404);
    let long = format!("/v1/links/{}", "a".repeat(8_192));
    assert_eq!(api.call("GET", &long, "").await.status, 404);
}

#[tokio::test]
async fn a_database_that_is_away_is_not_the_callers_fault() {
    let mut postgres = TestPostgres::start().await;
    let api = TestApi::on(&postgres).await;
    assert_eq!(api.create(&json!({ "target": "https://example.com/" })).await.status, 201);
    postgres.kill();
    for method in ["POST", "GET"] {
        let answer = api.call(method, "/v1/links", r#"{"target": "https://example.com/"}"#).await;
        assert_eq!((problem(&answer).0, answer.header("retry-after")), (503, "1"), "{answer:?}");
        assert!(!answer.text().to_lowercase().contains("postgres"), "{answer:?}");
    }
}
