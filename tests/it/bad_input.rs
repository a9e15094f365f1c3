//! Bad input over the wire: each a problem document that says what and where, and nothing is stored.

use serde_json::json;

use super::support::deployment::links_key;
use super::support::{TestDatabase, Waypost, send};

#[tokio::test]
async fn bad_input_over_the_wire_is_told_what_and_where_and_stores_nothing() {
    let database = TestDatabase::new().await;
    let key = links_key(&database.store()).await;
    let waypost = Waypost::start(&[("DATABASE_URL", &database.url())]).await;
    let good = "https://a.example/";
    let long = "s".repeat(8_192);
    let body = |value: serde_json::Value| value.to_string().into_bytes();
    let invalid_utf8 = [&b"{\"target\":\"https://a.example/"[..], b"\xff\xfe", b"\"}"].concat();
    for (method, path, sent, status, said) in [
        ("POST", "/v1/links", body(json!({ "target": good, "tilte": "x" })), 422, "/tilte"),
        ("POST", "/v1/links", body(json!({ "target": 5 })), 422, "/target"),
        ("POST", "/v1/links", body(json!({ "target": "javascript:alert(1)" })), 422, "/target"),
        ("POST", "/v1/links", body(json!({ "target": "http://127.0.0.1:8080/x" })), 422, "/target"),
        ("POST", "/v1/links", body(json!({ "target": good, "slug": "metrics" })), 422, "/slug"),
        ("POST", "/v1/links", body(json!({ "target": good, "slug": long })), 422, "/slug"),
        ("POST", "/v1/links", body(json!({ "target": "https://a.example/\u{1}" })), 422, "/target"),
        ("POST", "/v1/links", body(json!({ "target": good, "title": "a\u{0}b" })), 422, "/title"),
        ("POST", "/v1/links", invalid_utf8, 400, "malformed-body"),
        ("POST", "/v1/links", vec![b' '; 70_000], 413, "body-too-large"),
        ("GET", &format!("/v1/links/{long}"), Vec::new(), 404, "not-found"),
        ("GET", "/v1/links/%ff%fe", Vec::new(), 404, "not-found"),
        ("GET", "/v1/links?limit=0", Vec::new(), 400, "limit"),
    ] {
        let shown: String = path.chars().take(60).collect();
        let headers = [("authorization", &*key), ("content-type", "application/json")];
        let answer = send(waypost.control(), method, path, &headers, sent).await;
        let text = answer.text();
        assert_eq!(answer.status, status, "{method} {shown}: {text}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{shown}: {text}");
        assert!(text.contains(said), "{method} {shown} should name {said}: {text}");
        assert!(text.len() < 4_096, "{method} {shown}: {} bytes", text.len());
    }
    let client = database.connect().await;
    let row = client.query_one("SELECT count(*) FROM link", &[]).await.expect("a count");
    assert_eq!(row.get::<_, i64>(0), 0, "something was stored");
}
