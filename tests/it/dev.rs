//! `waypost dev`: everything on one machine, and nothing left of it.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use waypost::campaign::CampaignId;
use waypost::campaign::document::Format;
use waypost::campaign::service::{CampaignService, Draft};
use waypost::config::Config;
use waypost::local::Signal;

use crate::campaigns::DEMO;
use crate::support::sandbox::{lines, transfer};
use crate::support::{Answer, TestDatabase, TestRedis, Waypost, eventually, get, send};

/// A directory that the servers' user can enter when the tests run as root.
fn data_directory() -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let open = fs::Permissions::from_mode(0o711);
    fs::set_permissions(directory.path(), open).expect("our own directory");
    directory
}

async fn make_link(waypost: &Waypost, file: &serde_json::Value, body: &'static str) -> Answer {
    let key = file.get("api_key").and_then(serde_json::Value::as_str).expect("a key");
    let bearer = format!("Bearer {key}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    send(waypost.control(), "POST", "/v1/links", &headers, body).await
}

/// What became of the demo campaign after this request about it.
async fn demo_campaign(
    waypost: &Waypost,
    file: &serde_json::Value,
    method: &str,
    end: &str,
) -> String {
    let key = file.get("api_key").and_then(serde_json::Value::as_str).expect("a key");
    let bearer = format!("Bearer {key}");
    let path = format!("/v1/campaigns/demo{end}");
    let headers = [("authorization", bearer.as_str())];
    let campaign = send(waypost.control(), method, &path, &headers, "").await.json();
    let part = |name| campaign.get(name).map(ToString::to_string).unwrap_or_default();
    format!("{} {} by {}", part("version"), part("state"), part("created_by")).replace('"', "")
}

/// The processes that work in `directory` or below it.
fn processes_in(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir("/proc").expect("processes");
    entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| {
            fs::read_link(format!("/proc/{name}/cwd")).is_ok_and(|at| at.starts_with(directory))
        })
        .collect()
}

async fn all_gone(directory: &Path) {
    eventually("no server is left", Duration::from_secs(30), async || {
        processes_in(directory).is_empty().then_some(())
    })
    .await;
}

#[tokio::test]
async fn dev_keeps_its_data_and_leaves_no_server_behind() {
    let data = data_directory();
    let (waypost, file) = Waypost::dev(data.path(), &[]).await;
    assert_eq!(get(waypost.edge(), "/hello", &[]).await.status, 302);
    let body = r#"{"slug": "mine", "target": "https://example.com/mine"}"#;
    let answer = make_link(&waypost, &file, body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    // What the screen shows to be pasted has no slug.
    let pasted =
        make_link(&waypost, &file, r#"{"target": "https://www.rust-lang.org/learn"}"#).await;
    assert_eq!(pasted.status, 201, "{pasted:?}");
    assert_eq!(demo_campaign(&waypost, &file, "GET", "").await, "1 active by waypost-dev");
    // What somebody changes stays changed.
    let retired = demo_campaign(&waypost, &file, "POST", "/retire").await;
    assert_eq!(retired, "1 retired by waypost-dev");
    assert!(!processes_in(data.path()).is_empty(), "servers run somewhere else");
    let mode = fs::metadata(data.path().join("dev.json")).expect("the file").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    waypost.signal(Signal::INT);
    assert_eq!(waypost.ended().await, Some(0), "{}", waypost.log());
    assert_eq!(processes_in(data.path()), Vec::<String>::new());

    let (waypost, second) = Waypost::dev(data.path(), &[]).await;
    assert_eq!(file.get("api_key"), second.get("api_key"));
    assert_eq!(demo_campaign(&waypost, &file, "GET", "").await, retired);
    let mine = get(waypost.edge(), "/mine", &[]).await;
    assert_eq!((mine.status, mine.header("location")), (302, "https://example.com/mine"));

    // A second one on the same data would ruin it.
    let data_text = data.path().to_str().expect("a plain path");
    let (code, said) = Waypost::run(&["dev", "--data", data_text], &[]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("another process runs its servers in"), "{said}");

    waypost.kill().await;
    all_gone(data.path()).await;
}

#[tokio::test]
async fn dev_starts_again_right_after_a_kill() {
    let data = data_directory();
    for _start in 0..3 {
        let (waypost, _file) = Waypost::dev(data.path(), &[]).await;
        assert_eq!(get(waypost.edge(), "/hello", &[]).await.status, 302);
        waypost.kill().await;
        fs::remove_file(data.path().join("dev.json")).expect("left by the kill");
    }
    all_gone(data.path()).await;
}

#[tokio::test]
async fn dev_uses_the_servers_that_the_environment_names() {
    let data = data_directory();
    let (database, redis) = (TestDatabase::empty().await, TestRedis::start().await);
    let environment = [("DATABASE_URL", &*database.url()), ("REDIS_URL", &*redis.url())];
    let (waypost, file) = Waypost::dev(data.path(), &environment).await;
    assert_eq!(file.get("database_url"), Some(&database.url().into()));
    assert_eq!(file.get("redis_url"), Some(&redis.url().into()));
    assert_eq!(get(waypost.edge(), "/hello", &[]).await.status, 302);
    assert_eq!(processes_in(data.path()), Vec::<String>::new());
}

#[tokio::test]
async fn dev_brings_a_demo_campaign_of_an_earlier_program_up_to_date() {
    let data = data_directory();
    let (database, redis) = (TestDatabase::new().await, TestRedis::start().await);
    let earlier = DEMO.replace("rewards_per_inviter = 20", "rewards_per_inviter = 10");
    let service = CampaignService::new(database.store(), &Config::default());
    let campaign: CampaignId = "demo".parse().expect("a name");
    let draft = Draft { campaign: &campaign, text: &earlier, format: Format::Toml };
    let (put, _) = service.put("waypost-dev", draft).await.expect("a version");
    let version = put.record.version;
    service.activate("waypost-dev", &campaign, version).await.expect("an active version");
    let environment = [("DATABASE_URL", &*database.url()), ("REDIS_URL", &*redis.url())];
    let (waypost, file) = Waypost::dev(data.path(), &environment).await;
    assert_eq!(demo_campaign(&waypost, &file, "GET", "").await, "2 active by waypost-dev");
    let before = demo_campaign(&waypost, &file, "GET", "/versions/1").await;
    assert_eq!(before, "1 retired by waypost-dev");
}

#[tokio::test]
async fn dev_has_a_payment_service_that_remembers_what_it_paid() {
    let data = data_directory();
    let (database, redis) = (TestDatabase::empty().await, TestRedis::start().await);
    let environment = [("DATABASE_URL", &*database.url()), ("REDIS_URL", &*redis.url())];
    let address = |file: &serde_json::Value| {
        let url = file.get("payment_url").and_then(serde_json::Value::as_str).expect("a URL");
        let address = url.strip_prefix("http://").and_then(|url| url.strip_suffix('/'));
        address.expect("a plain URL").parse::<std::net::SocketAddr>().expect("an address")
    };
    let body = transfer("rina", 5).to_string();
    let headers = [("content-type", "application/json"), ("idempotency-key", "pay-1")];
    for decision in ["applied", "repeated"] {
        let (waypost, file) = Waypost::dev(data.path(), &environment).await;
        let service = address(&file);
        assert!(service.ip().is_loopback(), "{service}");
        let line = format!("  Payments  http://{service}/  (a sandbox, which moves no money)");
        eventually("the screen", Duration::from_secs(30), async || {
            waypost.log().contains(&line).then_some(())
        })
        .await;
        let paid = send(service, "POST", "/payouts", &headers, body.clone()).await;
        assert_eq!(paid.status, 200, "{paid:?}");
        waypost.signal(Signal::INT);
        assert_eq!(waypost.ended().await, Some(0), "{}", waypost.log());
        let lines = lines(&data.path().join("payments.jsonl"));
        let last = lines.last().and_then(|line| line.get("decision"));
        assert_eq!(last, Some(&decision.into()), "{lines:?}");
        tokio::net::TcpStream::connect(service).await.expect_err("nobody is left there");
    }
}

#[tokio::test]
async fn dev_uses_the_payment_service_that_a_setting_names() {
    let data = data_directory();
    let (database, redis) = (TestDatabase::empty().await, TestRedis::start().await);
    let url = "https://payments.example/v1";
    let environment = [
        ("DATABASE_URL", &*database.url()),
        ("REDIS_URL", &*redis.url()),
        ("WAYPOST_PAYMENT__URL", url),
    ];
    let (waypost, file) = Waypost::dev(data.path(), &environment).await;
    assert_eq!(file.get("payment_url"), Some(&format!("{url}/").into()));
    assert!(!data.path().join("payments.jsonl").exists(), "a sandbox runs");
    eventually("the screen", Duration::from_secs(30), async || {
        waypost.log().contains(&format!("  Payments  {url}/\n")).then_some(())
    })
    .await;
}
