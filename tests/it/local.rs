//! The private servers: faults can be injected into them, and nothing is left of them.

use std::time::Duration;

use crate::support::{
    Endpoint, Proxy, TestCluster, TestDatabase, TestPostgres, TestRedis, Traffic, store,
};

#[tokio::test]
async fn postgres_survives_a_pause_and_a_kill_with_its_data() {
    let mut postgres = TestPostgres::start().await;
    let store = postgres.store();
    store.ping().await.expect("it answers");
    postgres.pause();
    let silent = tokio::time::timeout(Duration::from_millis(200), store.ping()).await;
    assert!(silent.is_err(), "a paused server answered");
    postgres.resume();
    store.ping().await.expect("it answers again");
    postgres.kill();
    store.ping().await.expect_err("nobody is there");
    postgres.restart();
    postgres.store().ping().await.expect("it is back");
    waypost::store::migrate::check(&postgres.store()).await.expect("the tables are back too");
}

#[tokio::test]
async fn redis_survives_a_pause_and_comes_back_empty_from_a_kill() {
    let mut redis = TestRedis::start().await;
    assert_eq!(redis.ask(&["SET", "key", "value"]), "OK");
    redis.pause();
    redis.resume();
    assert_eq!(redis.ask(&["GET", "key"]), "value");
    redis.kill();
    redis.restart();
    assert_eq!(redis.ask(&["DBSIZE"]), "0");
}

#[tokio::test]
async fn a_redis_cluster_comes_together() {
    let cluster = TestCluster::shared().await;
    assert_eq!(cluster.urls().len(), 3);
    assert_ne!(cluster.prefix(), TestCluster::shared().await.prefix());
}

#[tokio::test]
async fn databases_of_two_tests_are_apart() {
    let (one, other) = (TestDatabase::new().await, TestDatabase::new().await);
    one.connect().await.batch_execute("CREATE TABLE only_here ()").await.expect("made");
    let found = other.connect().await.query_one("SELECT to_regclass('only_here')::text", &[]).await;
    assert_eq!(found.expect("a row").get::<_, Option<&str>>(0), None);
}

#[tokio::test]
async fn a_proxy_flows_stalls_and_cuts() {
    let database = TestDatabase::new().await;
    let proxy = Proxy::start(database.endpoint()).await;
    let store = store(&database.url_through(&proxy));
    store.ping().await.expect("it flows");
    proxy.set(Traffic::Stalled);
    let silent = tokio::time::timeout(Duration::from_millis(100), store.ping()).await;
    assert!(silent.is_err(), "a stalled server answered");
    proxy.set(Traffic::Cut);
    store.ping().await.expect_err("it is cut");
    proxy.set(Traffic::Flows);
    store.ping().await.expect("it flows again");
    let nowhere = Proxy::start(Endpoint::Tcp(proxy.address())).await;
    nowhere.set(Traffic::Delayed(Duration::from_millis(1)));
    crate::support::store(&database.url_through(&nowhere)).ping().await.expect("slow but sure");
}
