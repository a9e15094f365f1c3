//! Campaigns that a real `ZooKeeper` steers: what its nodes say counts, whatever they say.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::Instant;
use waypost::campaign::document::Format;
use waypost::campaign::service::{CampaignService, Draft, Steered};
use waypost::campaign::zookeeper::Watcher;
use waypost::campaign::{CampaignId, Version};
use waypost::clock::Clock;
use waypost::config::{self, Config};
use waypost::http::auth::Scope;
use waypost::metrics::Metrics;
use zookeeper_client::{Acls, CreateMode};

use super::campaigns::DEMO;
use super::support::deployment::{call, key_for, metric};
use super::support::{Nodes, TestDatabase, TestZookeeper, Waypost, eventually, quiet, send};

/// How long changes may take on a machine that is busy with other tests.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// The good document with another cap: another version.
pub(crate) fn with_cap(cap: u32) -> String {
    DEMO.replace("per_inviter = 20", &format!("per_inviter = {cap}"))
}

/// Starts a process that follows a path.
pub(crate) async fn start(
    database_url: &str,
    server: SocketAddr,
    nodes: &Nodes,
    more: &[(&str, &str)],
) -> Waypost {
    let servers = format!("[\"{server}\"]");
    let mut environment = vec![
        ("DATABASE_URL", database_url),
        ("WAYPOST_CAMPAIGNS__SOURCE", "zookeeper"),
        ("WAYPOST_ZOOKEEPER__SERVERS", &servers),
        ("WAYPOST_ZOOKEEPER__PATH", nodes.path()),
    ];
    environment.extend(more);
    Waypost::start(&environment).await
}

/// Waits until a process works with a version of a campaign.
pub(crate) async fn soon_in_use(waypost: &Waypost, campaign: &str, version: u32) {
    let series = format!("waypost_campaign_version{{campaign=\"{campaign}\"}}");
    soon_is(waypost, &series, version).await;
}

/// Waits until a figure has a value.
pub(crate) async fn soon_is(waypost: &Waypost, series: &str, value: u32) {
    let what = format!("{series} {value}");
    eventually(&what, PATIENCE, async || {
        let found = metric(waypost.control(), series).await;
        (found.to_string() == value.to_string()).then_some(())
    })
    .await;
}

/// Waits until a process has said something; the line.
pub(crate) async fn soon_says(waypost: &Waypost, sign: &str) -> String {
    eventually(sign, PATIENCE, async || {
        waypost.log().lines().find(|line| line.contains(sign)).map(str::to_owned)
    })
    .await
}

/// The versions of a campaign in the order in which they were activated.
pub(crate) async fn activations(database: &TestDatabase, campaign: &str) -> Vec<i64> {
    let rows = database
        .connect()
        .await
        .query(
            "SELECT (detail ->> 'version')::bigint FROM audit
             WHERE action = 'campaign.activate' AND subject = 'campaign:' || $1 ORDER BY id",
            &[&campaign],
        )
        .await
        .expect("the audit");
    rows.iter().map(|row| row.get(0)).collect()
}

#[tokio::test]
async fn a_change_of_a_node_reaches_two_processes_within_a_second_and_is_made_once() {
    let _quiet = quiet().await;
    let (database, server) = (TestDatabase::new().await, TestZookeeper::shared().await);
    let nodes = Nodes::somewhere(server).await;
    nodes.make_path().await;
    let url = database.url();
    let (one, other) =
        tokio::join!(start(&url, server, &nodes, &[]), start(&url, server, &nodes, &[]));
    let mut slowest = Duration::ZERO;
    let mut times = Vec::new();
    // New content, content that is there already, and back again.
    let changes = [1, 2, 1, 2, 3, 1, 3, 2, 1];
    for cap in changes {
        let began = Instant::now();
        nodes.put("spring", with_cap(cap)).await;
        tokio::join!(soon_in_use(&one, "spring", cap), soon_in_use(&other, "spring", cap));
        times.push(began.elapsed());
        slowest = slowest.max(began.elapsed());
    }
    times.sort_unstable();
    let median = times[times.len() / 2];
    writeln!(std::io::stderr(), "a change reached both within {median:?}, at most {slowest:?}")
        .expect("a line");
    // A machine that is busy with other tests may hold one of them up.
    assert!(median <= Duration::from_secs(1), "{times:?}");
    assert_eq!(activations(&database, "spring").await, changes.map(i64::from));
    let made = |it| metric(it, "waypost_zookeeper_changes_total{outcome=\"activated\"}");
    let (by_one, by_other) = (made(one.control()).await, made(other.control()).await);
    assert_eq!((by_one + by_other).to_string(), changes.len().to_string());
    let key = key_for(&database.store(), Scope::Campaigns).await;
    let shown = call(one.control(), &key, ("GET", "/v1/campaigns/spring/versions/3"), None).await;
    assert_eq!(shown.json()["created_by"], "zookeeper");
}

#[tokio::test]
async fn content_that_cannot_be_used_leaves_the_version_before_and_is_told_once() {
    let (database, server) = (TestDatabase::new().await, TestZookeeper::shared().await);
    let nodes = Nodes::somewhere(server).await;
    nodes.make_path().await;
    nodes.put("spring", with_cap(1)).await;
    nodes.put("Not-A-Name", with_cap(1)).await;
    let often = [("WAYPOST_ZOOKEEPER__READ_SECONDS", "1")];
    let waypost = start(&database.url(), server, &nodes, &often).await;
    soon_in_use(&waypost, "spring", 1).await;
    soon_says(&waypost, "such_as=[\"Not-A-Name\"]").await;
    soon_is(&waypost, "waypost_zookeeper_ignored_nodes{reason=\"name\"}", 1).await;
    let bad = "waypost_zookeeper_bad_content{campaign=\"spring\"}";
    let refused = "waypost_zookeeper_changes_total{outcome=\"refused\"}";
    let line = 1 + DEMO.lines().position(|it| it.starts_with("life_days")).expect("a line");
    let wrong = DEMO.replace("life_days = 9", "life_days = 0");
    let of_a_host = DEMO.replace("\ncurrency =", "\ndomain = \"go.other.example\"\ncurrency =");
    let in_json = "{\n\"name\": 5}";
    let too_long = format!("{DEMO}\n#{}", "x".repeat(262_144));
    let cases: [(&[u8], &str); 6] = [
        (wrong.as_bytes(), &format!("line {line}: /scratch_card/life_days must be from 1 to 365")),
        (in_json.as_bytes(), "line 2: /name"),
        (of_a_host.as_bytes(), "/domain is no domain of this service"),
        (too_long.as_bytes(), "at most 262144 are allowed"),
        (b"name = \"\xff\"", "it is not UTF-8 after byte 8"),
        (b"", "it is empty"),
    ];
    for (number, (content, problem)) in (1..).zip(cases) {
        nodes.put("spring", content).await;
        soon_is(&waypost, refused, number).await;
        soon_is(&waypost, bad, 1).await;
        let line = soon_says(&waypost, problem).await;
        assert!(line.contains("ERROR") && line.contains("spring"), "{line}");
        soon_in_use(&waypost, "spring", 1).await;
    }
    // It is read again each second, which tells nothing new.
    let path =
        format!("waypost_zookeeper_last_read_timestamp_seconds{{path=\"{}\"}}", nodes.path());
    let before = metric(waypost.control(), &path).await;
    eventually("everything is read again", PATIENCE, async || {
        (metric(waypost.control(), &path).await > before + 1.5).then_some(())
    })
    .await;
    assert_eq!(waypost.log().matches("the version before stays").count(), cases.len());
    assert_eq!(metric(waypost.control(), refused).await.to_string(), cases.len().to_string());
    // A domain that is there now makes it good, without a change of the node.
    nodes.put("spring", &of_a_host).await;
    soon_is(&waypost, refused, 7).await;
    let (code, said) =
        Waypost::run(&["domain", "add", "go.other.example"], &[("DATABASE_URL", &database.url())])
            .await;
    assert_eq!(code, Some(0), "{said}");
    soon_in_use(&waypost, "spring", 2).await;
    soon_is(&waypost, bad, 0).await;
    nodes.put("spring", with_cap(1)).await;
    soon_in_use(&waypost, "spring", 1).await;
    assert_eq!(activations(&database, "spring").await, [1, 2, 1]);
}

#[tokio::test]
async fn a_node_that_is_deleted_leaves_its_campaign_and_a_new_one_is_followed() {
    let (database, server) = (TestDatabase::new().await, TestZookeeper::shared().await);
    let nodes = Nodes::somewhere(server).await;
    let waypost = start(&database.url(), server, &nodes, &[]).await;
    soon_says(&waypost, "waiting until somebody makes it").await;
    nodes.make_path().await;
    nodes.put("spring", with_cap(1)).await;
    soon_in_use(&waypost, "spring", 1).await;
    nodes.delete("spring").await;
    soon_is(&waypost, "waypost_zookeeper_changes_total{outcome=\"deleted\"}", 1).await;
    soon_says(&waypost, "its node is gone: the campaign stays as it is").await;
    nodes.put("autumn", with_cap(2)).await;
    soon_in_use(&waypost, "autumn", 1).await;
    soon_in_use(&waypost, "spring", 1).await;
    let key = key_for(&database.store(), Scope::Campaigns).await;
    let shown = call(waypost.control(), &key, ("GET", "/v1/campaigns/spring"), None).await;
    assert_eq!(shown.json()["state"], "active");
    nodes.put("spring", with_cap(3)).await;
    soon_in_use(&waypost, "spring", 2).await;
    // The whole path goes and comes back.
    for name in ["spring", "autumn"] {
        nodes.delete(name).await;
    }
    nodes.client().delete(nodes.path(), None).await.expect("an empty path");
    soon_is(&waypost, "waypost_zookeeper_changes_total{outcome=\"deleted\"}", 3).await;
    nodes.make_path().await;
    nodes.put("spring", with_cap(1)).await;
    soon_in_use(&waypost, "spring", 1).await;
}

#[tokio::test]
async fn people_cannot_activate_or_retire_what_zookeeper_steers() {
    let (database, server) = (TestDatabase::new().await, TestZookeeper::shared().await);
    let nodes = Nodes::somewhere(server).await;
    nodes.make_path().await;
    nodes.put("spring", with_cap(1)).await;
    let waypost = start(&database.url(), server, &nodes, &[]).await;
    soon_in_use(&waypost, "spring", 1).await;
    let key = key_for(&database.store(), Scope::Campaigns).await;
    for path in ["versions/1/activate", "retire"] {
        let path = format!("/v1/campaigns/spring/{path}");
        let refused = call(waypost.control(), &key, ("POST", &path), None).await;
        let kind = refused.json()["type"].clone();
        assert_eq!((refused.status, kind), (409, "urn:waypost:problem:campaigns-steered".into()));
        assert!(refused.text().contains("change the node of 'spring' instead"), "{refused:?}");
    }
    // Drafts harm nobody, and say whether a document is good.
    let headers = [("authorization", key.as_str()), ("content-type", "application/toml")];
    let path = "/v1/campaigns/spring/versions";
    let draft = send(waypost.control(), "POST", path, &headers, with_cap(2)).await;
    assert_eq!((draft.status, draft.json()["state"].as_str()), (201, Some("draft")));

    let (url, retire) = (database.url(), ["campaign", "retire", "spring"]);
    let steered = [("DATABASE_URL", &*url), ("WAYPOST_CAMPAIGNS__SOURCE", "zookeeper")];
    let (code, said) = Waypost::run(&retire, &steered).await;
    assert_eq!((code, said.contains("ZooKeeper steers the campaigns")), (Some(1), true), "{said}");
    // Whoever means it says so. As long as the node says otherwise, it comes back.
    let (code, said) = Waypost::run(&retire, &steered[..1]).await;
    assert_eq!(code, Some(0), "{said}");
    nodes.put("spring", with_cap(2)).await;
    soon_in_use(&waypost, "spring", 2).await;
}

#[tokio::test]
async fn a_zookeeper_that_is_not_named_is_refused_before_the_start() {
    for arguments in [&["check-config"][..], &["serve"]] {
        let environment = [
            ("WAYPOST_CAMPAIGNS__SOURCE", "zookeeper"),
            ("DATABASE_URL", "postgresql://nobody@x/"),
        ];
        let (code, said) = Waypost::run(arguments, &environment).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains("name them in [zookeeper] servers, for example"), "{said}");
    }
}

#[tokio::test]
async fn a_node_that_not_everybody_may_read_is_read_by_a_user_who_may() {
    let (database, server) = (TestDatabase::new().await, TestZookeeper::shared().await);
    let nodes = Nodes::somewhere(server).await;
    nodes.make_path().await;
    nodes.client().auth("digest", b"waypost:secret").await.expect("a user");
    let options = CreateMode::Persistent.with_acls(Acls::creator_all());
    let path = format!("{}/spring", nodes.path());
    nodes.client().create(&path, with_cap(1).as_bytes(), &options).await.expect("a node");
    let stranger = start(&database.url(), server, &nodes, &[]).await;
    soon_says(&stranger, "give [zookeeper] authorization a user who may").await;
    soon_is(&stranger, "waypost_zookeeper_bad_content{campaign=\"spring\"}", 1).await;
    let known = [("WAYPOST_ZOOKEEPER__AUTHORIZATION", "waypost:secret")];
    let waypost = start(&database.url(), server, &nodes, &known).await;
    soon_in_use(&waypost, "spring", 1).await;
    soon_is(&waypost, "waypost_zookeeper_bad_content{campaign=\"spring\"}", 0).await;
    assert!(!waypost.log().contains("secret"), "{}", waypost.log());
}

/// A watcher in this process.
fn watcher(database: &TestDatabase, server: SocketAddr, nodes: &Nodes) -> Watcher {
    let config = Config {
        zookeeper: config::Zookeeper {
            servers: vec![server.to_string()],
            path: nodes.path().to_owned(),
            ..config::Zookeeper::default()
        },
        ..Config::default()
    };
    let service = CampaignService::new(database.store(), &config);
    Watcher::new(service, config.zookeeper, Clock::system(), Arc::new(Metrics::new()))
}

#[tokio::test]
async fn many_watchers_never_put_something_old_in_the_place_of_something_newer() {
    let (database, server) = (TestDatabase::new().await, TestZookeeper::shared().await);
    let nodes = Nodes::somewhere(server).await;
    nodes.make_path().await;
    let mut watchers = JoinSet::new();
    for _ in 0..6 {
        watchers.spawn(watcher(&database, server, &nodes).run());
    }
    // Faster than anybody can follow, each content later than the one before.
    for cap in 1..=60 {
        nodes.put("spring", with_cap(cap)).await;
    }
    let last = with_cap(60);
    let connection = database.connect().await;
    eventually("the last content is active", PATIENCE, async || {
        let active = "SELECT document FROM campaign_version WHERE state = 'active'";
        let row = connection.query_opt(active, &[]).await.expect("an answer")?;
        (row.get::<_, String>(0) == last).then_some(())
    })
    .await;
    watchers.shutdown().await;
    // Versions are numbered as they are stored: whoever went back would have activated a lower one.
    let order = activations(&database, "spring").await;
    assert!(order.is_sorted_by(|one, next| one < next), "{order:?}");
    let documents = "SELECT document FROM campaign_version ORDER BY version";
    let rows = connection.query(documents, &[]).await.expect("documents");
    let caps: Vec<u32> = rows.iter().map(|row| cap_of(&row.get::<_, String>(0))).collect();
    assert!(caps.is_sorted_by(|one, next| one < next), "{caps:?}");
    assert_eq!(order.len(), caps.len());
}

fn cap_of(document: &str) -> u32 {
    let (_, rest) = document.split_once("per_inviter = ").expect("a cap");
    rest.lines().next().and_then(|cap| cap.parse().ok()).expect("a number")
}

#[tokio::test]
async fn whoever_was_overtaken_changes_nothing() {
    let database = TestDatabase::new().await;
    let service = CampaignService::new(database.store(), &Config::default());
    let id: CampaignId = "spring".parse().expect("a name");
    let texts = [with_cap(1), with_cap(2), with_cap(3)];
    let [one, two, three] =
        texts.each_ref().map(|text| Draft { campaign: &id, text, format: Format::Toml });
    let standing = async || service.standings(Some(&id)).await.expect("an answer").pop();
    let steer = async |draft, seen: &Option<_>| {
        service.steer("a test", draft, seen.as_ref()).await.expect("a good document")
    };
    let never = standing().await;
    assert_eq!(never, None);
    assert_eq!(steer(one, &never).await, Steered::Activated(Version(1)));
    // Two who saw nothing come too late; so does one who saw the first and finds the second.
    assert_eq!(steer(one, &never).await, Steered::Overtaken);
    assert_eq!(steer(two, &never).await, Steered::Overtaken);
    let first = standing().await;
    assert_eq!(steer(one, &first).await, Steered::Same(Version(1)));
    assert_eq!(steer(two, &first).await, Steered::Activated(Version(2)));
    assert_eq!(steer(three, &first).await, Steered::Overtaken);
    // There and back again is another standing, though the version is the same.
    let second = standing().await;
    assert_eq!(steer(one, &second).await, Steered::Activated(Version(1)));
    assert_eq!(steer(three, &first).await, Steered::Overtaken);
    service.retire("a test", &id).await.expect("an active version");
    let retired = standing().await;
    assert_eq!(steer(one, &retired).await, Steered::Activated(Version(1)));
    assert_eq!(steer(three, &retired).await, Steered::Overtaken);
    // Whoever was overtaken left no draft.
    let versions = service.versions(&id, None, 10).await.expect("versions");
    assert_eq!(versions.len(), 2);
    let states: Vec<Value> = versions.iter().map(|it| it.state.name().into()).collect();
    assert_eq!(states, ["retired", "active"]);
}
