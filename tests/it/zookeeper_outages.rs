//! `ZooKeeper` comes late, goes, comes back with other content, does not answer, forgets the session.

use std::time::Duration;

use waypost::local::Signal;

use super::support::deployment::metric;
use super::support::eventually;
use super::support::{
    Nodes, Proxy, TestDatabase, TestPostgres, TestZookeeper, Traffic, Waypost, get,
};
use super::zookeeper::{PATIENCE, activations, soon_in_use, soon_is, soon_says, start, with_cap};

fn connected(nodes: &Nodes) -> String {
    format!("waypost_zookeeper_connected{{path=\"{}\"}}", nodes.path())
}

/// Sessions that end soon.
const SHORT: [(&str, &str); 1] = [("WAYPOST_ZOOKEEPER__SESSION_SECONDS", "2")];

#[tokio::test]
async fn a_zookeeper_that_comes_late_or_was_killed_or_has_other_content_is_followed() {
    let database = TestDatabase::new().await;
    let (mut server, elsewhere) = (TestZookeeper::prepare(), TestZookeeper::shared().await);
    // Only for the path: the server of this test is not there yet.
    let mut nodes = Nodes::somewhere(elsewhere).await;
    let waypost = start(&database.url(), server.address(), &nodes, &SHORT).await;
    soon_says(&waypost, "ZooKeeper does not answer: campaigns stay as they are").await;
    assert_eq!(metric(waypost.control(), &connected(&nodes)).await.to_string(), "0");
    assert_eq!(get(waypost.edge(), "/nothing", &[]).await.status, 404);

    server.start().await;
    nodes.again(server.address()).await;
    nodes.make_path().await;
    nodes.put("spring", with_cap(1)).await;
    soon_in_use(&waypost, "spring", 1).await;
    soon_is(&waypost, &connected(&nodes), 1).await;

    server.kill();
    soon_is(&waypost, &connected(&nodes), 0).await;
    soon_says(&waypost, "ZooKeeper is lost: campaigns stay as they are").await;
    soon_in_use(&waypost, "spring", 1).await;
    // On its old data; what changes right after it is back is seen, by watches or by reading everything.
    server.start().await;
    nodes.again(server.address()).await;
    nodes.put("spring", with_cap(2)).await;
    soon_in_use(&waypost, "spring", 2).await;

    server.kill();
    server.forget_all();
    server.start().await;
    nodes.again(server.address()).await;
    nodes.make_path().await;
    nodes.put("spring", with_cap(1)).await;
    nodes.put("autumn", with_cap(1)).await;
    soon_in_use(&waypost, "spring", 1).await;
    soon_in_use(&waypost, "autumn", 1).await;
    soon_is(&waypost, &connected(&nodes), 1).await;
    assert_eq!(activations(&database, "spring").await, [1, 2, 1]);
}

#[tokio::test]
async fn a_session_that_expired_is_replaced_and_what_was_missed_is_read() {
    let database = TestDatabase::new().await;
    let mut server = TestZookeeper::prepare();
    server.start().await;
    let nodes = Nodes::somewhere(server.address()).await;
    nodes.make_path().await;
    nodes.put("spring", with_cap(1)).await;
    let waypost = start(&database.url(), server.address(), &nodes, &SHORT).await;
    soon_in_use(&waypost, "spring", 1).await;
    let sessions = async |expected| {
        eventually(&format!("{expected} sessions"), PATIENCE, async || {
            (server.sessions().await? == expected).then_some(())
        })
        .await;
    };
    // That of the test, and that of the process.
    sessions(2).await;
    for (cap, version) in [(2, 2), (1, 1)] {
        waypost.signal(Signal::STOP);
        sessions(1).await;
        nodes.put("spring", with_cap(cap)).await;
        waypost.signal(Signal::CONT);
        soon_in_use(&waypost, "spring", version).await;
        sessions(2).await;
    }
    assert_eq!(activations(&database, "spring").await, [1, 2, 1]);
}

#[tokio::test]
async fn a_partition_is_noticed_and_what_was_missed_is_read_when_it_ends() {
    let (database, server) = (TestDatabase::new().await, TestZookeeper::shared().await);
    let nodes = Nodes::somewhere(server).await;
    nodes.make_path().await;
    nodes.put("spring", with_cap(1)).await;
    let proxy = Proxy::start(super::support::Endpoint::Tcp(server)).await;
    let waypost = start(&database.url(), proxy.address(), &nodes, &SHORT).await;
    soon_in_use(&waypost, "spring", 1).await;
    for (cap, trouble) in [(2, Traffic::Stalled), (3, Traffic::Cut), (1, Traffic::Stalled)] {
        proxy.set(trouble);
        soon_is(&waypost, &connected(&nodes), 0).await;
        nodes.put("spring", with_cap(cap)).await;
        assert_eq!(in_use(&waypost).await, activations(&database, "spring").await.last().copied());
        proxy.set(Traffic::Flows);
        soon_in_use(&waypost, "spring", cap).await;
        soon_is(&waypost, &connected(&nodes), 1).await;
    }
    assert_eq!(activations(&database, "spring").await, [1, 2, 3, 1]);
}

async fn in_use(waypost: &Waypost) -> Option<i64> {
    let version = metric(waypost.control(), "waypost_campaign_version{campaign=\"spring\"}").await;
    version.to_string().parse().ok()
}

#[tokio::test]
async fn an_event_that_got_lost_is_made_up_for_by_reading_everything_from_time_to_time() {
    let (database, server) = (TestDatabase::new().await, TestZookeeper::shared().await);
    let nodes = Nodes::somewhere(server).await;
    nodes.make_path().await;
    nodes.put("spring", with_cap(1)).await;
    let proxy = Proxy::start(super::support::Endpoint::Tcp(server)).await;
    let often = [("WAYPOST_ZOOKEEPER__READ_SECONDS", "3")];
    let waypost = start(&database.url(), proxy.address(), &nodes, &often).await;
    soon_in_use(&waypost, "spring", 1).await;
    // A message of the server about a changed node has the number -1 in it, where answers have theirs.
    proxy.set(Traffic::Swallowing(vec![0xff; 4]));
    nodes.put("spring", with_cap(2)).await;
    soon_in_use(&waypost, "spring", 2).await;
    assert!(!waypost.log().contains("ZooKeeper is lost"), "{}", waypost.log());
}

#[tokio::test]
async fn a_change_that_the_database_missed_is_made_when_it_is_back() {
    let mut postgres = TestPostgres::start().await;
    let server = TestZookeeper::shared().await;
    let nodes = Nodes::somewhere(server).await;
    nodes.make_path().await;
    nodes.put("spring", with_cap(1)).await;
    let waypost = start(&postgres.url(), server, &nodes, &[]).await;
    soon_in_use(&waypost, "spring", 1).await;
    postgres.kill();
    nodes.put("spring", with_cap(2)).await;
    nodes.put("autumn", with_cap(1)).await;
    eventually("the process notices", Duration::from_secs(20), async || {
        let ready = get(waypost.control(), "/readyz", &[]).await;
        (ready.json().get("status")? == "degraded").then_some(())
    })
    .await;
    postgres.restart();
    soon_in_use(&waypost, "spring", 2).await;
    soon_in_use(&waypost, "autumn", 1).await;
    assert!(!waypost.log().contains("ZooKeeper is lost"), "{}", waypost.log());
}
