//! Referral codes when things break: Redis in every condition, and processes that are killed.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use waypost::http::auth::Scope;

use super::support::campaign::{DEMO, activate};
use super::support::deployment::{key_for, metric};
use super::support::{Client, TestDatabase, TestRedis, Waypost, eventually, get, quiet};

const PATIENCE: Duration = Duration::from_mins(1);

/// The codes that were answered, by user.
#[derive(Clone, Default)]
struct Answered(Arc<Mutex<BTreeMap<String, String>>>);

impl Answered {
    fn add(&self, code: &Value) {
        let field = |name: &str| code.get(name).and_then(Value::as_str).expect("a text").to_owned();
        let (user, code) = (field("user"), field("code"));
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = all.insert(user.clone(), code.clone());
        assert!(before.is_none_or(|before| before == code), "{user} has two codes");
    }

    fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Everybody has a code of their own, and it stands in the table.
    async fn are_unique_and_stored(&self, database: &TestDatabase) {
        let answered = self.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let codes: HashSet<&String> = answered.values().collect();
        assert_eq!(codes.len(), answered.len(), "a code was given twice");
        let rows = database
            .connect()
            .await
            .query("SELECT user_id, code FROM referral_code WHERE current", &[])
            .await
            .expect("rows");
        let stored: BTreeMap<String, String> =
            rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        for (user, code) in &answered {
            assert_eq!(stored.get(user), Some(code), "{user}");
        }
    }
}

async fn send(client: &mut Client, key: &str, path: &str, body: &Value) -> Result<Value, String> {
    let headers = [("authorization", key), ("content-type", "application/json")];
    let path = format!("/v1/campaigns/demo/codes{path}");
    let answer = client.send("POST", &path, &headers, body.to_string()).await?;
    assert!(matches!(answer.status, 200 | 201), "{}", answer.text());
    Ok(answer.json())
}

/// Asks for one code after the other, as so many callers at once.
async fn issue(
    control: SocketAddr,
    key: &str,
    (callers, each): (usize, usize),
    (round, answered): (&str, &Answered),
) {
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let (key, round, answered) = (key.to_owned(), round.to_owned(), answered.clone());
        tasks.spawn(async move {
            let mut client = Client::connect(control).await.expect("a connection");
            for n in 0..each {
                let body = json!({ "user": format!("{round}-{caller}-{n}") });
                answered.add(&send(&mut client, &key, "", &body).await.expect("an answer"));
            }
        });
    }
    tasks.join_all().await;
}

#[tokio::test]
async fn codes_are_issued_whatever_becomes_of_redis() {
    let _quiet = quiet().await;
    let database = TestDatabase::new().await;
    let mut redis = TestRedis::start().await;
    activate(&database.store(), "demo", DEMO).await;
    let key = key_for(&database.store(), Scope::Referrals).await;
    let environment: [(&str, &str); 2] =
        [("DATABASE_URL", &database.url()), ("REDIS_URL", &redis.url())];
    let (one, two) = (Waypost::start(&environment).await, Waypost::start(&environment).await);
    let answered = Answered::default();
    let ask = async |round: &str| {
        for process in [&one, &two] {
            // More than a stride, so that codes are put away in every condition.
            let round = format!("{round}-{}", process.control().port());
            issue(process.control(), &key, (8, 20), (&round, &answered)).await;
        }
    };
    let stock = || redis.ask(&["LLEN", "wl:codes:{6}"]).parse::<i64>().expect("a number");
    ask("well").await;
    assert!(stock() > 0, "codes of a stride are in Redis");
    assert_eq!(redis.ask(&["FLUSHALL"]), "OK");
    ask("empty").await;
    redis.ask(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    redis.ask(&["CONFIG", "SET", "maxmemory", "1mb"]);
    ask("full").await;
    assert_eq!(stock(), 0, "it takes nothing");
    redis.ask(&["CONFIG", "SET", "maxmemory", "0"]);
    redis.ask(&["REPLICAOF", "127.0.0.1", "1"]);
    ask("read-only").await;
    redis.ask(&["REPLICAOF", "NO", "ONE"]);
    redis.ask(&["SET", "wl:codes:{6}", "something else"]);
    ask("another-type").await;
    redis.ask(&["DEL", "wl:codes:{6}"]);
    redis.pause();
    ask("frozen").await;
    redis.resume();
    redis.kill();
    ask("away").await;
    redis.restart();
    eventually("it is asked again", PATIENCE, async || {
        let ready = get(one.control(), "/readyz", &[]).await.json();
        (ready.get("status")? == "ready").then_some(())
    })
    .await;
    ask("back").await;
    assert_eq!(answered.count(), 8 * 2 * 8 * 20);
    answered.are_unique_and_stored(&database).await;
    let kept = "waypost_codes_stocked{place=\"process\"}";
    eventually("what is at hand is shown", PATIENCE, async || {
        (metric(one.control(), kept).await < 1_000.5).then_some(())
    })
    .await;
    // Wasted were at most some strides of each process.
    let handed: i64 = database
        .connect()
        .await
        .query_one("SELECT position FROM code_pool WHERE length = 6", &[])
        .await
        .expect("a pool")
        .get(0);
    assert!(handed < 8 * 2 * 8 * 20 + 2_000, "{handed} were handed out");
}

#[tokio::test]
async fn codes_of_an_old_snapshot_are_not_given_again() {
    let database = TestDatabase::new().await;
    let mut redis = TestRedis::start().await;
    activate(&database.store(), "demo", DEMO).await;
    let key = key_for(&database.store(), Scope::Referrals).await;
    let environment: [(&str, &str); 2] =
        [("DATABASE_URL", &database.url()), ("REDIS_URL", &redis.url())];
    let one = Waypost::start(&environment).await;
    let answered = Answered::default();
    issue(one.control(), &key, (1, 5), ("before", &answered)).await;
    assert_eq!(redis.ask(&["LLEN", "wl:codes:{6}"]), "95");
    assert_eq!(redis.ask(&["SAVE"]), "OK");
    issue(one.control(), &key, (1, 95), ("meanwhile", &answered)).await;
    assert_eq!(redis.ask(&["LLEN", "wl:codes:{6}"]), "0");
    redis.kill();
    redis.restart();
    assert_eq!(redis.ask(&["LLEN", "wl:codes:{6}"]), "95", "the snapshot was loaded");
    eventually("it is asked again", PATIENCE, async || {
        let ready = get(one.control(), "/readyz", &[]).await.json();
        (ready.get("status")? == "ready").then_some(())
    })
    .await;
    issue(one.control(), &key, (16, 10), ("after", &answered)).await;
    answered.are_unique_and_stored(&database).await;
    assert_eq!(answered.count(), 260);
    assert!(one.log().contains("codes at hand were in use already"), "{}", one.log());
}

#[tokio::test]
async fn a_hundred_thousand_codes_of_two_processes_and_a_kill_are_all_different() {
    const BATCHES: usize = 80;
    const SINGLE: usize = 1_250;
    let _quiet = quiet().await;
    let database = TestDatabase::new().await;
    let redis = TestRedis::start().await;
    activate(&database.store(), "demo", DEMO).await;
    let key = key_for(&database.store(), Scope::Referrals).await;
    let environment: [(&str, &str); 2] =
        [("DATABASE_URL", &database.url()), ("REDIS_URL", &redis.url())];
    let (one, two) =
        (Arc::new(Waypost::start(&environment).await), Waypost::start(&environment).await);
    let answered = Answered::default();
    let singly = Arc::new(AtomicUsize::new(0));
    let mut tasks = JoinSet::new();
    for worker in 0..4 {
        // Two workers by batches and sixteen one by one for each process; whoever loses the first
        // process goes on with the other one, and asks for the same users again.
        let (key, answered) = (key.clone(), answered.clone());
        let ways =
            if worker % 2 == 0 { [one.control(), two.control()] } else { [two.control(); 2] };
        tasks.spawn(async move {
            for batch in (worker..BATCHES).step_by(4) {
                let user = |n: usize| json!({ "user": format!("b{batch}-{n}") });
                let users: Vec<Value> = (0..1_000).map(user).collect();
                let results = ask(ways, &key, "/batch", &json!({ "users": users })).await;
                let results = results.get("results").and_then(Value::as_array).expect("results");
                for result in results {
                    answered.add(result.get("code").expect("a code"));
                }
            }
        });
    }
    for worker in 0..16 {
        let (key, answered, singly) = (key.clone(), answered.clone(), Arc::clone(&singly));
        let ways =
            if worker % 2 == 0 { [one.control(), two.control()] } else { [two.control(); 2] };
        tasks.spawn(async move {
            for n in 0..SINGLE {
                let body = json!({ "user": format!("s{worker}-{n}") });
                answered.add(&ask(ways, &key, "", &body).await);
                singly.fetch_add(1, Ordering::Relaxed);
            }
        });
    }
    // In the middle of those who ask one by one: they go through Redis and the strides.
    let middle = || singly.load(Ordering::Relaxed) > 4_000 && answered.count() > 30_000;
    eventually("they are in the middle of it", PATIENCE, async || middle().then_some(())).await;
    assert!(singly.load(Ordering::Relaxed) < 16 * SINGLE, "some are still to be asked for");
    one.kill().await;
    tasks.join_all().await;
    assert_eq!(answered.count(), BATCHES * 1_000 + 16 * SINGLE);
    answered.are_unique_and_stored(&database).await;
    // Issuing goes on.
    issue(two.control(), &key, (4, 10), ("afterwards", &answered)).await;
    answered.are_unique_and_stored(&database).await;
}

/// Asks the first of two processes, or, if it does not answer, the second.
async fn ask([first, second]: [SocketAddr; 2], key: &str, path: &str, body: &Value) -> Value {
    for control in [first, second] {
        let Ok(mut client) = Client::connect(control).await else { continue };
        if let Ok(answer) = send(&mut client, key, path, body).await {
            return answer;
        }
    }
    panic!("nobody answers");
}
