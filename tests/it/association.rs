//! The files by which Android and iOS believe that an app may open the links of a domain.

use std::path::PathBuf;

use serde_json::json;

use crate::support::{TestDatabase, Waypost, get, send};

/// Settings with two apps: one for the default domain, and one for a second.
pub(crate) const APPS: &str = r#"
[[apps]]
domains = ["go.example"]
android_package = "com.example.app"
android_sha256_fingerprints = [
    "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF:00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF",
]
ios_app_ids = ["ABCDE12345.com.example.app"]
paths = ["/r/*", "/app/*"]

[[apps]]
domains = ["s.example", "away.example"]
ios_app_ids = ["ABCDE12345.com.example.second"]
"#;

/// Writes a file of settings; it lives as long as the directory.
pub(crate) fn settings(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("waypost.toml");
    std::fs::write(&path, text).expect("written");
    (directory, path)
}

async fn start(database: &TestDatabase, text: &str) -> Waypost {
    let (_directory, path) = settings(text);
    Waypost::start(&[
        ("DATABASE_URL", &database.url()),
        ("WAYPOST_EDGE__PUBLIC_URL", "https://go.example/"),
        ("WAYPOST_CONFIG", path.to_str().expect("a plain path")),
    ])
    .await
}

const ASSET_LINKS: &str = "/.well-known/assetlinks.json";
const APPLE: &str = "/.well-known/apple-app-site-association";

#[tokio::test]
async fn each_domain_shows_the_stores_its_own_apps() {
    let database = TestDatabase::new().await;
    let environment = [("DATABASE_URL", database.url())];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    // Whoever goes astray in this domain is sent elsewhere; the stores are not.
    let add = ["domain", "add", "s.example", "--unknown-url", "https://example.com/404"];
    assert_eq!(Waypost::run(&add, &environment).await.0, Some(0));
    let waypost = start(&database, APPS).await;
    let fetch = async |host: &str, path: &str| get(waypost.edge(), path, &[("host", host)]).await;

    let links = fetch("go.example", ASSET_LINKS).await;
    assert_eq!(links.status, 200);
    assert_eq!(links.header("content-type"), "application/json");
    assert_eq!(links.header("cache-control"), "public, max-age=3600");
    let target = &links.json()[0]["target"];
    assert_eq!(target["package_name"], "com.example.app");
    assert_eq!(target["sha256_cert_fingerprints"].as_array().expect("a list").len(), 1);
    let apple = fetch("GO.example:8080", APPLE).await;
    assert_eq!((apple.status, apple.header("content-type")), (200, "application/json"));
    let components = json!([{ "/": "/r/*" }, { "/": "/app/*" }]);
    let ids = ["ABCDE12345.com.example.app"];
    let detail = json!({ "appIDs": ids, "components": components });
    assert_eq!(apple.json(), json!({ "applinks": { "details": [detail] } }));

    let detail = &fetch("s.example", APPLE).await.json()["applinks"]["details"][0];
    assert_eq!(detail["appIDs"], json!(["ABCDE12345.com.example.second"]));
    assert_eq!(detail["components"], json!([{ "/": "/r/*" }]));
    for nothing in [ASSET_LINKS, "/.well-known/security.txt"] {
        let answer = fetch("s.example", nothing).await;
        assert_eq!((answer.status, answer.header("location")), (404, ""), "{nothing}");
    }
    assert_eq!(fetch("s.example", "/nothing").await.status, 302);

    let head = send(waypost.edge(), "HEAD", APPLE, &[("host", "go.example")], "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    let post = send(waypost.edge(), "POST", APPLE, &[("host", "go.example")], "").await;
    assert_eq!(post.status, 405);

    let log = waypost.log();
    assert!(log.contains("[[apps]] names a domain") && log.contains("away.example"), "{log}");
    assert!(!log.contains("host=s.example") && !log.contains("host=go.example"), "{log}");
}

#[tokio::test]
async fn without_apps_there_are_no_files() {
    let database = TestDatabase::new().await;
    let waypost = start(&database, "").await;
    for path in [ASSET_LINKS, APPLE] {
        assert_eq!(get(waypost.edge(), path, &[]).await.status, 404);
    }
    assert!(!waypost.log().contains("[[apps]]"));
}

#[tokio::test]
async fn an_app_that_names_no_domain_is_every_domains() {
    let database = TestDatabase::new().await;
    let text = "[[apps]]\nios_app_ids = [\"ABCDE12345.com.example.app\"]\n";
    let waypost = start(&database, text).await;
    for host in ["go.example", "unknown.example"] {
        let answer = get(waypost.edge(), APPLE, &[("host", host)]).await;
        assert_eq!(answer.status, 200, "{host}");
    }
}
