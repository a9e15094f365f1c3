//! `waypost doctor` says of a good deployment that it is good, and of each fault which it is and what
//! to do about it.

use std::path::PathBuf;

use serde_json::Value;

use crate::association::{APPS, settings};
use crate::support::other::{Reply, nobody_listens};
use crate::support::{Other, TestAuthority, TestDatabase, TestRedis, Waypost};

/// What doctor works with: a database, and settings with apps for `go.example` and `s.example`.
struct Deployment {
    database: TestDatabase,
    config: PathBuf,
    directory: tempfile::TempDir,
}

impl Deployment {
    async fn new() -> Self {
        let (directory, config) = settings(APPS);
        Self { database: TestDatabase::new().await, config, directory }
    }

    /// The variables of its environment, and others above them.
    fn environment(&self, others: &[(&str, &str)]) -> Vec<(String, String)> {
        let config = self.config.to_str().expect("a plain path").to_owned();
        let mut all = vec![
            ("DATABASE_URL".to_owned(), self.database.url()),
            ("WAYPOST_EDGE__PUBLIC_URL".to_owned(), "https://go.example/".to_owned()),
            ("WAYPOST_CONFIG".to_owned(), config),
            // Nothing here is measured, and the machine may be busy.
            ("WAYPOST_REDIS__RESPONSE_MILLISECONDS".to_owned(), "10000".to_owned()),
            ("WAYPOST_REDIS__CONNECT_MILLISECONDS".to_owned(), "10000".to_owned()),
        ];
        all.extend(others.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
        all
    }

    /// Runs a command: whether it succeeded, and what it printed.
    async fn run(&self, arguments: &[&str], others: &[(&str, &str)]) -> (bool, String) {
        let all = self.environment(others);
        let all: Vec<(&str, &str)> =
            all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let (code, said) = Waypost::run(arguments, &all).await;
        (code == Some(0), said)
    }

    /// Has the edge at `address` checked as that of `go.example` alone.
    async fn check(&self, address: impl std::fmt::Display) -> (bool, String) {
        let edge = format!("http://{address}");
        self.run(&["doctor", "--domain", "go.example", "--edge", &edge], &[]).await
    }

    async fn start(&self, others: &[(&str, &str)]) -> Waypost {
        let all = self.environment(others);
        let all: Vec<(&str, &str)> =
            all.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        Waypost::start(&all).await
    }
}

/// The line of a check, and its remedy if it has one.
fn finding<'a>(said: &'a str, subject: &str) -> (&'a str, &'a str) {
    let subject = format!(" {subject}: ");
    // What goes to standard error may come between any two lines of standard output.
    let lines = said.lines().filter(|line| !line.starts_with("waypost: "));
    let mut lines = lines.skip_while(|line| !line.contains(&subject));
    let line = lines.next().unwrap_or_else(|| panic!("no line of '{subject}' in\n{said}"));
    (line, lines.next().and_then(|line| line.strip_prefix("    → ")).unwrap_or(""))
}

const ASSET_LINKS: &str = "go.example/.well-known/assetlinks.json";
const APPLE: &str = "go.example/.well-known/apple-app-site-association";

#[tokio::test]
async fn a_good_deployment_is_found_good() {
    let deployment = Deployment::new().await;
    let redis = TestRedis::start().await;
    assert!(deployment.run(&["domain", "add", "s.example"], &[]).await.0);
    let waypost = deployment.start(&[]).await;
    let edge = format!("http://{}", waypost.edge());
    let redis = [("REDIS_URL", redis.url())];
    let redis = redis.each_ref().map(|(name, value)| (*name, value.as_str()));
    let (good, said) = deployment.run(&["doctor", "--edge", &edge], &redis).await;
    assert!(good, "{said}");
    let away = "! away.example: [[apps]] names it, but it is no domain of this service";
    for line in [
        "✓ settings: they are good",
        "✓ PostgreSQL: it answers, and is at this program's migration",
        "✓ Redis: it answers; its maxmemory-policy is 'allkeys-lru'",
        "✓ public URL: https://go.example/",
        "✓ go.example: the edge answers",
        "✓ go.example/.well-known/assetlinks.json: it says what [[apps]] says",
        "✓ go.example/.well-known/apple-app-site-association: it says what [[apps]] says",
        away,
        "    → run 'waypost domain add away.example', or correct 'domains' there",
        "✓ s.example: the edge answers",
        "– s.example/.well-known/assetlinks.json: [[apps]] has no app for Android in this domain",
        "✓ s.example/.well-known/apple-app-site-association: it says what [[apps]] says",
    ] {
        assert!(said.lines().any(|said| said == line), "'{line}' in\n{said}");
    }
    assert_eq!(said.lines().count(), 12, "{said}");
}

#[tokio::test]
async fn the_default_domain_is_asked_where_the_settings_say() {
    let deployment = Deployment::new().await;
    let apps = APPS.replace("go.example", "127.0.0.1");
    std::fs::write(&deployment.config, apps).expect("written");
    let waypost = deployment.start(&[("WAYPOST_EDGE__PUBLIC_URL", "http://127.0.0.1/")]).await;
    let url = format!("http://{}/", waypost.edge());
    let (good, said) = deployment.run(&["doctor"], &[("WAYPOST_EDGE__PUBLIC_URL", &url)]).await;
    assert!(good, "{said}");
    let url_line = format!("✓ public URL: {url} is for this machine alone");
    assert_eq!(finding(&said, "public URL").0, url_line);
    assert!(finding(&said, "Redis").0.starts_with("– "), "{said}");
    for subject in [
        "127.0.0.1/.well-known/assetlinks.json",
        "127.0.0.1/.well-known/apple-app-site-association",
    ] {
        assert!(finding(&said, subject).0.starts_with("✓ "), "{said}");
    }
}

/// A file for Android with one package and one fingerprint.
fn asset_links(package: &str, fingerprint: &str) -> String {
    format!(
        "[{{\"relation\":[\"delegate_permission/common.handle_all_urls\"],\"target\":{{\
         \"namespace\":\"android_app\",\"package_name\":\"{package}\",\
         \"sha256_cert_fingerprints\":[\"{fingerprint}\"]}}}}]"
    )
}

#[tokio::test]
async fn each_fault_of_an_edge_is_named_with_a_remedy() {
    let deployment = Deployment::new().await;
    let json = "content-type: application/json; charset=utf-8\r\n";
    let fingerprint = "00:11:22:33:44:55:66:77:88:99:AA:BB:CC:DD:EE:FF";
    let fingerprint = format!("{fingerprint}:{fingerprint}");
    let right = asset_links("com.example.app", &fingerprint);
    let other_print = asset_links("com.example.app", &fingerprint.replace("AA", "AB"));
    let more = right.replace("]}}]", ",\"AA:BB\"]}}]");
    let long = format!("{}{right}", " ".repeat(128 * 1_024));
    let away = "location: https://www.go.example/\r\n";
    for (status, headers, body, sign, part) in [
        ("200 OK", json, right.as_str(), "✓", "it says what [[apps]] says"),
        ("200 OK", json, &more, "!", "also has the fingerprint AA:BB of com.example.app"),
        ("301 Moved Permanently", away, "", "✗", "301, a redirect to https://www.go.example/"),
        ("404 Not Found", json, &right, "✗", "it is 404, not 200"),
        ("200 OK", "content-type: text/html\r\n", &right, "✗", "Content-Type is \"text/html\""),
        ("200 OK", "", &right, "✗", "Content-Type is \"\", not \"application/json\""),
        ("200 OK", json, "<!doctype html>", "✗", "not what stores can read: expected value"),
        ("200 OK", json, "[]", "✗", "it lacks the package com.example.app"),
        ("200 OK", json, &asset_links("a.b", ""), "✗", "it lacks the package com.example.app"),
        ("200 OK", json, &other_print, "✗", "it lacks the fingerprint 00:11:22"),
        ("200 OK", json, &long, "✗", "longer than 131072 bytes, the most that Apple reads"),
    ] {
        let says = (status.to_owned(), headers.to_owned(), body.to_owned());
        let other = Other::start(move |request| {
            let (status, headers, body) = &says;
            if request.contains("assetlinks.json") {
                Reply::whole(status, headers, body)
            } else {
                Reply::whole("200 OK", "", "")
            }
        })
        .await;
        let (good, said) = deployment.check(other.address()).await;
        let (line, remedy) = finding(&said, ASSET_LINKS);
        assert!(line.starts_with(sign) && line.contains(part), "{part} in {said}");
        assert_eq!(remedy.is_empty(), sign == "✓", "{said}");
        assert!(finding(&said, "go.example").0.starts_with("✓"), "{said}");
        // The file for iOS is of no content type here.
        let failures = if sign == "✗" { "2 checks failed" } else { "1 check failed" };
        assert!(!good && said.contains(failures), "{said}");
    }
}

#[tokio::test]
async fn an_app_that_is_missing_for_ios_is_named() {
    let deployment = Deployment::new().await;
    let other = Other::start(|_| {
        let body = "{\"applinks\":{\"details\":[{\"appIDs\":[\"ABCDE12345.com.other\"]}]}}";
        Reply::whole("200 OK", "content-type: application/json\r\n", body)
    })
    .await;
    let (_, said) = deployment.check(other.address()).await;
    let (line, remedy) = finding(&said, APPLE);
    assert!(line.starts_with("✗") && line.ends_with("ABCDE12345.com.example.app"), "{said}");
    assert!(remedy.contains("restart Waypost"), "{said}");
    for (_, request) in other.heard() {
        assert!(request.contains("\r\nhost: go.example\r\n"), "{request}");
    }
}

#[tokio::test]
async fn an_edge_that_does_not_answer_is_not_waited_for() {
    let deployment = Deployment::new().await;
    let other = Other::start(|_| Reply::Nothing).await;
    let (good, said) = deployment.check(other.address()).await;
    assert!(!good, "{said}");
    for subject in ["go.example", ASSET_LINKS, APPLE] {
        assert!(finding(&said, subject).0.ends_with("no answer within 5s"), "{said}");
    }
    let (_taken, gone) = nobody_listens();
    let (good, said) = deployment.check(gone).await;
    assert!(!good, "{said}");
    let (line, remedy) = finding(&said, "go.example");
    assert!(line.starts_with("✗ go.example: no connection: Connection refused"), "{said}");
    assert!(remedy.contains("correct --edge"), "{said}");
}

#[tokio::test]
async fn a_certificate_that_only_we_believe_is_not_good_enough_for_stores() {
    let deployment = Deployment::new().await;
    let file = deployment.directory.path().join("authorities.pem");
    let authority = TestAuthority::default();
    authority.write(&file);
    let other =
        Other::start_tls(&authority, "go.example", |_| Reply::whole("200 OK", "", "")).await;
    let edge = format!("https://{}", other.address());
    let ca_file = [("WAYPOST_OUTBOUND__CA_FILE", file.to_str().expect("a plain path"))];
    let arguments = ["doctor", "--domain", "go.example", "--edge", &edge];
    let (good, said) = deployment.run(&arguments, &ca_file).await;
    assert!(!good && finding(&said, "go.example").0.starts_with("✓"), "{said}");
    let (line, remedy) = finding(&said, ASSET_LINKS);
    assert!(line.starts_with("✗") && line.contains("no TLS connection"), "{said}");
    assert!(remedy.contains("a certificate for go.example from a public authority"), "{said}");
}

#[tokio::test]
async fn servers_that_are_away_are_named() {
    let deployment = Deployment::new().await;
    let other = Other::start(|_| Reply::whole("200 OK", "", "")).await;
    let edge = format!("http://{}", other.address());
    let arguments = ["doctor", "--edge", &edge];
    let away = [
        ("DATABASE_URL", "postgresql://waypost@127.0.0.1:1/waypost"),
        ("REDIS_URL", "redis://127.0.0.1:1/"),
        ("WAYPOST_EDGE__PUBLIC_URL", "http://go.example/"),
    ];
    let (good, said) = deployment.run(&arguments, &away).await;
    assert!(!good, "{said}");
    let (line, remedy) = finding(&said, "PostgreSQL");
    assert!(line.starts_with("✗") && line.contains("Connection refused"), "{said}");
    assert!(remedy.contains("DATABASE_URL"), "{said}");
    let (line, remedy) = finding(&said, "Redis");
    assert!(line.starts_with("✗") && remedy.contains("REDIS_URL"), "{said}");
    let (line, remedy) = finding(&said, "public URL");
    assert!(line.starts_with("! ") && remedy.contains("[edge] public_url"), "{said}");
    // Without the database the settings know of some domains at least.
    assert!(finding(&said, "s.example").0.starts_with("✓"), "{said}");

    let empty = TestDatabase::empty().await;
    let (good, said) = deployment.run(&arguments, &[("DATABASE_URL", &empty.url())]).await;
    let line = finding(&said, "PostgreSQL").0;
    assert!(!good && line.starts_with("✗") && line.contains("run 'waypost migrate'"), "{said}");
}

#[tokio::test]
async fn settings_that_cannot_be_read_end_the_check() {
    let deployment = Deployment::new().await;
    std::fs::write(&deployment.config, "[edge]\nlissten = 1\n").expect("written");
    let (good, said) = deployment.run(&["doctor"], &[]).await;
    assert!(!good && finding(&said, "settings").0.starts_with("✗ settings: in "), "{said}");
    assert!(said.contains("unknown field `lissten`"), "{said}");
    assert!(said.contains("1 check failed") && !said.contains("PostgreSQL"), "{said}");
    std::fs::write(&deployment.config, "[log]\nlevel = \"a=b=c\"\n").expect("written");
    let (_, said) = deployment.run(&["doctor"], &[]).await;
    assert!(finding(&said, "settings").0.starts_with("✗ settings: [log] level"), "{said}");
}

#[tokio::test]
async fn options_that_make_no_sense_are_explained() {
    let deployment = Deployment::new().await;
    for (arguments, part) in [
        (["doctor", "--edge", "10.0.0.5:8080"], "like http://10.0.0.5:8080"),
        (["doctor", "--edge", "http://10.0.0.5/path"], "without a path"),
        (["doctor", "--domain", "https://go.example"], "like go.example.com"),
    ] {
        let (good, said) = deployment.run(&arguments, &[]).await;
        assert!(!good && said.contains(part), "{said}");
    }
    let other = Other::start(|_| Reply::whole("200 OK", "", "")).await;
    let edge = format!("http://{}", other.address());
    let arguments = ["doctor", "--edge", &edge, "--domain", "no.example"];
    let (good, said) = deployment.run(&arguments, &[]).await;
    let (line, remedy) = finding(&said, "no.example");
    assert_eq!(line, "✗ no.example: it is no domain of this service");
    assert!(!good && remedy.starts_with("run 'waypost domain add no.example'"), "{said}");
}

#[tokio::test]
async fn programs_get_a_line_of_json_for_each_check() {
    let deployment = Deployment::new().await;
    let waypost = deployment.start(&[]).await;
    let edge = format!("http://{}", waypost.edge());
    let arguments = ["doctor", "--json", "--edge", &edge];
    let (good, said) = deployment.run(&arguments, &[]).await;
    let lines: Vec<Value> =
        said.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert!(good, "{said}");
    let checks: Vec<&str> = lines.iter().filter_map(|line| line["check"].as_str()).collect();
    let outcomes: Vec<&str> = lines.iter().filter_map(|line| line["outcome"].as_str()).collect();
    assert_eq!(
        checks,
        [
            "settings",
            "postgres",
            "redis",
            "public_url",
            "edge",
            "domain",
            "domain",
            "asset_links",
            "apple_app_site_association"
        ]
    );
    let expected =
        ["good", "good", "skipped", "good", "good", "warning", "warning", "good", "good"];
    assert_eq!(outcomes, expected);
    assert_eq!(lines[7]["subject"], ASSET_LINKS);
    assert_eq!(lines[7]["remedy"], Value::Null);
    assert!(lines[5]["remedy"].as_str().is_some_and(|remedy| remedy.contains("domain add")));
}
