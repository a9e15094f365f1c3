//! The keys of click tokens: made, rotated, dropped.

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::watch;
use waypost::clock::{Clock, UnixMillis};
use waypost::referral::keys::{self, Keys};
use waypost::referral::token::{ClickToken, TokenFault, TokenKeys};

use super::support::referrals::click;
use super::support::{TestDatabase, Waypost};

const DAY: Duration = Duration::from_hours(24);
const MONTH: Duration = Duration::from_hours(30 * 24);

fn signer(keys: &TokenKeys, now: UnixMillis) -> i32 {
    keys.current_at(now).expect("a key").id
}

fn known(keys: &TokenKeys) -> Vec<i32> {
    keys.all().map(|key| key.id).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_follow_each_other_and_what_they_signed_stays_good() {
    let database = TestDatabase::new().await;
    let store = database.store();
    let start = Clock::system().now();
    // Any number of processes that start at once make one key.
    let renewals = (0..6).map(|_| keys::renew(&store, start, MONTH));
    let made = futures_util::future::join_all(renewals).await;
    let first = made.into_iter().next().expect("six").expect("keys");
    let first_id = signer(&first, start);
    assert_eq!(known(&keys::read(&store).await.expect("keys")), [first_id]);
    let renewed = keys::renew(&store, start.after(29 * DAY), MONTH).await.expect("keys");
    assert_eq!(known(&renewed), [first_id]);

    // A month later there is the next one. It signs a minute later, when every process knows it.
    let month = start.after(MONTH);
    let second = keys::renew(&store, month, MONTH).await.expect("keys");
    let ids = known(&second);
    assert_eq!(ids.len(), 2);
    assert_eq!(signer(&second, month.after(Duration::from_secs(59))), first_id);
    let later = month.after(Duration::from_mins(1));
    assert_eq!(signer(&second, later), ids[1]);

    // A token of the first key is good for its seven days, and one of the second where only the first
    // is known: then the table is read.
    let at =
        |now: UnixMillis| ClickToken { clicked_at_seconds: now.0 / 1_000, ..click("7KQ2MX", 1) };
    let old = at(month).mint(first.by_id(first_id).expect("it"));
    let new = at(later).mint(second.by_id(ids[1]).expect("it"));
    let (_, only_first) = watch::channel(Arc::new(first));
    let reader = Keys::new(store.clone(), only_first);
    for (token, now) in [(&old, month.after(6 * DAY)), (&new, later)] {
        let read = reader.read_token(token, now).await.expect("a database");
        assert!(read.is_ok(), "{read:?}");
    }
    // Eight days after the second began to sign nothing depends on the first.
    let kept = keys::renew(&store, later.after(7 * DAY), MONTH).await.expect("keys");
    assert_eq!(known(&kept), ids);
    let end = later.after(8 * DAY);
    let left = keys::renew(&store, end, MONTH).await.expect("keys");
    assert_eq!(known(&left), [ids[1]]);
    assert_eq!(ClickToken::read(&old, &left, end), Err(TokenFault::Expired));
}

#[tokio::test]
async fn an_operator_sees_the_keys_and_makes_the_next_one() {
    let database = TestDatabase::new().await;
    let (store, url) = (database.store(), database.url());
    let environment = [("DATABASE_URL", url.as_str())];
    keys::renew(&store, Clock::system().now(), MONTH).await.expect("a first key");
    let (code, text) = Waypost::run(&["token-key", "rotate"], &environment).await;
    assert!(code == Some(0) && text.contains("signs from"), "{text}");
    let (code, text) = Waypost::run(&["token-key", "rotate"], &environment).await;
    assert!(code == Some(1) && text.contains("rotate again after that"), "{text}");
    let (code, text) = Waypost::run(&["token-key", "list", "--json"], &environment).await;
    assert_eq!(code, Some(0), "{text}");
    let states: Vec<String> = text
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).expect("JSON")["state"].to_string())
        .collect();
    assert_eq!(states, ["\"signs\"", "\"waits\""]);
    let (_, text) = Waypost::run(&["token-key", "list"], &environment).await;
    assert_eq!(text.lines().count(), 2, "{text}");
    let audit = "SELECT count(*) FROM audit WHERE action = 'token-key.rotate'";
    let count: i64 = database.connect().await.query_one(audit, &[]).await.expect("a row").get(0);
    assert_eq!(count, 1);
}
