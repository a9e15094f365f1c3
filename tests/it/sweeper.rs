//! The sweeper finds what was forgotten, whatever made it so.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::json;
use waypost::campaign::ScratchCard;
use waypost::store::rewards::sweep;
use waypost::store::user_locks;

use super::support::TestApi;
use super::support::cards::{DRAW, card, granted, log, tasks};
use super::support::referrals::{Referrals, document};

/// A trigger behind the service's back: stored, and nothing granted for it.
async fn overlooked(test: &Referrals, user: &str, kind: &str, received_at: &str) {
    let received_at: Timestamp = received_at.parse().expect("a moment");
    let statement = "INSERT INTO trigger_event (campaign_id, source, event_id, kind, user_id, occurred_at,
                                                received_at, body_hash, body)
                     VALUES ('spring', 'test', $1 || $2, $2, $1, '2029-12-31T00:00:00Z', $3, $4, '{}')";
    let database = test.api.database.connect().await;
    let hash = [0_u8; 32].as_slice();
    let stored = database.execute(statement, &[&user, &kind, &received_at, &hash]).await;
    assert_eq!(stored.expect("a trigger"), 1);
}

/// A binding behind the service's back.
async fn bound(test: &Referrals, invitee: &str, bound_at: &str) {
    let bound_at: Timestamp = bound_at.parse().expect("a moment");
    let code = test.code("ann").await;
    let statement = "INSERT INTO binding (campaign_id, invitee, inviter, code, campaign_version, state, bound_at)
                     VALUES ('spring', $1, 'ann', $2, 1, 'bound', $3)";
    let database = test.api.database.connect().await;
    let stored = database.execute(statement, &[&invitee, &code, &bound_at]).await;
    assert_eq!(stored.expect("a binding"), 1);
}

/// One round; whether it was ours to do.
async fn sweep(test: &Referrals) -> bool {
    test.api.rewards.sweeper.sweep(test.api.clock.now().into()).await.expect("swept")
}

async fn rewards(test: &Referrals) -> i64 {
    test.api.count("SELECT count(*) FROM reward").await
}

/// How often something of a kind was found.
fn found(test: &Referrals, what: &str) -> String {
    let figures = test.api.metrics.text();
    let name = format!("waypost_reward_swept_total{{what=\"{what}\"}} ");
    let line = figures.lines().find_map(|line| line.strip_prefix(&name));
    line.unwrap_or("0").to_owned()
}

#[tokio::test]
async fn a_trigger_whose_reward_was_forgotten_is_granted_within_two_minutes_and_once() {
    let test = Referrals::screened(json!([])).await;
    bound(&test, "ben", "2029-12-31T00:00:00Z").await;
    overlooked(&test, "ben", "loan_disbursed", "2030-01-01T00:00:00Z").await;
    // Somebody who is not bound, and a kind that earns nothing.
    overlooked(&test, "cleo", "loan_disbursed", "2030-01-01T00:00:00Z").await;
    assert!(sweep(&test).await);
    // Its own transaction might still be under way.
    assert_eq!(rewards(&test).await, 1, "the binding is old enough, and leads to the trigger");
    let test = Referrals::screened(json!([])).await;
    overlooked(&test, "ben", "loan_disbursed", "2030-01-01T00:00:00Z").await;
    test.api.clock.advance(Duration::from_secs(61));
    assert!(sweep(&test).await);
    assert_eq!(rewards(&test).await, 0, "nobody is bound");
}

#[tokio::test]
async fn what_is_too_young_is_left_and_so_is_what_comes_after_it() {
    let test = Referrals::screened(json!([])).await;
    for user in ["ben", "cleo"] {
        bound(&test, user, "2029-12-31T00:00:00Z").await;
    }
    assert!(sweep(&test).await);
    // Looked at before they had anything: from now on it is their triggers that lead to them.
    overlooked(&test, "ben", "loan_disbursed", "2030-01-01T00:00:00Z").await;
    overlooked(&test, "cleo", "loan_disbursed", "2029-12-31T00:00:00Z").await;
    assert!(sweep(&test).await);
    assert_eq!(rewards(&test).await, 0);
    test.api.clock.advance(Duration::from_secs(61));
    for _ in 0..2 {
        assert!(sweep(&test).await);
        assert_eq!(rewards(&test).await, 2);
    }
    assert_eq!(found(&test, "trigger"), "2");
    let positions = "SELECT count(*) FROM sweep_position WHERE
        (what = 'trigger' AND position = (SELECT max(id) FROM trigger_event))
        OR (what = 'binding' AND position = (SELECT max(id) FROM binding))";
    assert_eq!(test.api.count(positions).await, 2);
}

#[tokio::test]
async fn a_binding_leads_to_what_was_reached_before_it() {
    let test = Referrals::screened(json!([])).await;
    overlooked(&test, "ben", "loan_disbursed", "2029-12-01T00:00:00Z").await;
    overlooked(&test, "ben", "credit_granted", "2029-12-01T00:00:00Z").await;
    assert!(sweep(&test).await);
    bound(&test, "ben", "2029-12-31T00:00:00Z").await;
    assert!(sweep(&test).await);
    assert_eq!(rewards(&test).await, 2);
    assert_eq!(found(&test, "binding"), "2");
    assert_eq!(found(&test, "trigger"), "0");
}

#[tokio::test]
async fn a_lost_task_is_made_again_as_it_was() {
    let test = Referrals::on(TestApi::new().await, &{
        let mut document = document(&json!([]));
        document["rewards"]["credit_granted"]["invitee"] =
            json!({ "payment_service_up_to_minor": 1_000 });
        document
    })
    .await;
    let database = test.api.database.connect().await;
    let task = "SELECT step || ' ' || coalesce(operation_id, '-') || ' ' || coalesce(convert_from(request, 'UTF8'), '-')
                FROM reward_task WHERE reward_id = $1";
    let told = async |id: i64| -> String {
        database.query_one(task, &[&id]).await.expect("a task").get(0)
    };
    let age = "UPDATE reward SET changed_at = now() - interval '61 seconds' WHERE id = $1";
    let (drawn, revealed) =
        (granted(&test, "ben").await, card(&test, "cleo", &ScratchCard::default()).await);
    assert_eq!(super::support::cards::reveal(&test, revealed, "cleo").await.status, 200);
    let before = (told(drawn).await, told(revealed).await);
    assert!(before.0.starts_with("draw ") && before.1.starts_with("pay "), "{before:?}");
    database.execute("DELETE FROM reward_task", &[]).await.expect("lost");
    assert!(sweep(&test).await);
    assert_eq!(tasks(&test, drawn).await, "", "whoever made it may still be at it");
    for id in [drawn, revealed] {
        assert_eq!(database.execute(age, &[&id]).await.expect("aged"), 1);
    }
    for _ in 0..2 {
        assert!(sweep(&test).await);
        assert_eq!((told(drawn).await, told(revealed).await), before);
    }
    assert_eq!(found(&test, "task"), "2");
    let asked_first = "SELECT count(*) FROM reward_task t JOIN reward r ON r.id = t.reward_id
                       WHERE t.first_sent_at = r.changed_at AND t.attempts = 0 AND t.due_at <= now()";
    assert_eq!(test.api.count(asked_first).await, 2);
}

#[tokio::test]
async fn a_draw_that_asks_nobody_is_made_again_without_an_operation() {
    let test = Referrals::screened(json!([])).await;
    let id = granted(&test, "ben").await;
    let database = test.api.database.connect().await;
    database.execute("DELETE FROM reward_task", &[]).await.expect("lost");
    let age = "UPDATE reward SET changed_at = now() - interval '61 seconds' WHERE id = $1";
    assert_eq!(database.execute(age, &[&id]).await.expect("aged"), 1);
    assert!(sweep(&test).await);
    assert_eq!(tasks(&test, id).await, "draw");
    let bare =
        "SELECT count(*) FROM reward_task WHERE operation_id IS NULL AND first_sent_at IS NULL";
    assert_eq!(test.api.count(bare).await, 1);
}

#[tokio::test]
async fn a_task_that_nobody_needs_is_dropped() {
    let test = Referrals::screened(json!([])).await;
    let (id, waiting) =
        (granted(&test, "ben").await, card(&test, "cleo", &ScratchCard::default()).await);
    let database = test.api.database.connect().await;
    let add = "INSERT INTO reward_task (reward_id, step, operation_id, request) VALUES ($1, $2, 'a', 'b')";
    for (id, step) in [(id, "remind"), (id, "pay"), (waiting, "allot"), (waiting, "remind")] {
        database.execute(add, &[&id, &step]).await.expect("a task");
    }
    assert!(sweep(&test).await);
    assert_eq!(
        (tasks(&test, id).await, tasks(&test, waiting).await),
        ("draw".into(), "remind".into())
    );
    // One whose reward has gone on: it is neither needed nor made again at once.
    assert_eq!(database.execute(DRAW, &[&id]).await.expect("a move"), 1);
    assert!(sweep(&test).await);
    assert_eq!(tasks(&test, id).await, "");
    assert_eq!(log(&test, id).await, "grant>CREATE draw>DRAWN");
}

#[tokio::test]
async fn a_tally_that_has_not_counted_all_is_raised_and_no_other() {
    let test = Referrals::screened(json!([])).await;
    let code = test.code("ann").await;
    for invitee in ["ben", "cleo", "dan"] {
        let answer = test.bind(json!({ "code": code, "invitee": invitee })).await;
        assert_eq!(answer.status, 201);
        assert_eq!(test.reached(invitee, "loan_disbursed").await.status, 201);
    }
    let database = test.api.database.connect().await;
    let tally = async || -> (i32, i32, i32) {
        let query = "SELECT rewards, lifted, allowed FROM inviter_tally WHERE inviter = 'ann'";
        let row = database.query_one(query, &[]).await.expect("a tally");
        (row.get(0), row.get(1), row.get(2))
    };
    let again = "UPDATE sweep_position SET position = 0 WHERE what = 'reward'";
    for (change, mended) in [
        ("UPDATE inviter_tally SET rewards = 1", (3, 0, 20)),
        ("UPDATE inviter_tally SET rewards = 1, allowed = 2", (3, 0, 3)),
        ("UPDATE inviter_tally SET rewards = 5, allowed = 20, lifted = 0", (5, 0, 20)),
    ] {
        database.execute(change, &[]).await.expect("changed");
        database.execute(again, &[]).await.expect("to be looked at again");
        assert!(sweep(&test).await);
        // Rewards are granted by the database's clock, and this one by the test's: they are old enough.
        assert_eq!(tally().await, mended, "{change}");
    }
    assert_eq!(found(&test, "cap"), "2");
    database.execute("DELETE FROM inviter_tally", &[]).await.expect("lost");
    database.execute(again, &[]).await.expect("to be looked at again");
    assert!(sweep(&test).await);
    assert_eq!(tally().await, (3, 0, 3));
}

#[tokio::test]
async fn one_process_at_a_time_sweeps() {
    let test = Referrals::screened(json!([])).await;
    let mut connection = test.api.store.connection().await.expect("a connection");
    let transaction = connection.transaction().await.expect("a transaction");
    assert!(sweep::begin(&transaction).await.expect("an answer"));
    assert!(!sweep(&test).await);
    transaction.rollback().await.expect("given up");
    assert!(sweep(&test).await);
}

#[tokio::test]
async fn figures_say_how_rewards_stand() {
    let test = Referrals::screened(json!([])).await;
    granted(&test, "ben").await;
    card(&test, "cleo", &ScratchCard::default()).await;
    let database = test.api.database.connect().await;
    let difference = "INSERT INTO reconciliation_difference (day, operation_id, difference, detail)
                      VALUES ('2030-01-01', 'a', 'paid-twice', '{}')";
    database.execute(difference, &[]).await.expect("a difference");
    let sweeper = &test.api.rewards.sweeper;
    sweeper.show_figures(true).await.expect("figures");
    let has = |line: &str| {
        let figures = test.api.metrics.text();
        assert!(figures.lines().any(|it| it == line), "{line} in {figures}");
    };
    has("waypost_rewards_open{state=\"CREATE\"} 1");
    has("waypost_rewards_open{state=\"NEW\"} 1");
    has("waypost_rewards_open{state=\"PARKED\"} 0");
    has("waypost_reward_tasks_due 1");
    has("waypost_campaign_account_minor{account=\"budget\",campaign=\"spring\"} 999998000");
    has("waypost_campaign_account_minor{account=\"promised\",campaign=\"spring\"} 2000");
    has("waypost_reconciliation_differences{difference=\"paid-twice\"} 1");
    database.execute("DELETE FROM reconciliation_difference", &[]).await.expect("settled");
    database.execute("DELETE FROM reward_task", &[]).await.expect("none");
    sweeper.show_figures(false).await.expect("figures");
    has("waypost_rewards_open{state=\"NEW\"} 1");
    has("waypost_reward_tasks_due 0");
    has("waypost_reward_oldest_due_seconds 0");
    assert!(!test.api.metrics.text().contains("paid-twice"));
}

#[tokio::test]
async fn what_cannot_be_granted_is_tried_again_and_holds_up_nobody() {
    let test = Referrals::screened(json!([])).await;
    for user in ["ben", "cleo"] {
        bound(&test, user, "2029-12-31T00:00:00Z").await;
    }
    assert!(sweep(&test).await);
    // Hours before: how old it is does not matter.
    overlooked(&test, "ben", "loan_disbursed", "2029-12-31T20:00:00Z").await;
    overlooked(&test, "cleo", "loan_disbursed", "2029-12-31T20:00:00Z").await;
    let mut connection = test.api.store.connection().await.expect("a connection");
    let transaction = connection.transaction().await.expect("a transaction");
    let campaign = "spring".parse().expect("a name");
    let lock = user_locks::LockKey::user(&campaign, "ben");
    user_locks::take(&transaction, [lock]).await.expect("locked");
    let late = "SELECT count(*) FROM late_trigger l JOIN trigger_event t ON t.id = l.trigger_id
                WHERE t.user_id = 'ben' AND l.reason <> ''";
    for _ in 0..2 {
        assert!(sweep(&test).await);
        assert_eq!(rewards(&test).await, 1, "that of cleo");
        assert_eq!(test.api.count(late).await, 1);
    }
    let all = "SELECT count(*) FROM sweep_position
               WHERE what = 'trigger' AND position = (SELECT max(id) FROM trigger_event)";
    assert_eq!(test.api.count(all).await, 1, "it holds up nobody");
    test.api.rewards.sweeper.show_figures(false).await.expect("figures");
    assert!(test.api.metrics.text().contains("waypost_reward_late_triggers 1"));
    transaction.rollback().await.expect("given up");
    assert!(sweep(&test).await);
    assert_eq!((rewards(&test).await, test.api.count(late).await), (2, 0));
}

#[tokio::test]
async fn thousands_of_triggers_of_one_kind_hide_no_other() {
    let test = Referrals::screened(json!([])).await;
    let many = "INSERT INTO trigger_event (campaign_id, source, event_id, kind, user_id, occurred_at, received_at,
                                           body_hash, body)
                SELECT 'spring', 'test', 'app' || n, 'app_opened', 'ben', '2029-12-31T00:00:00Z',
                       '2029-12-31T00:00:00Z', decode(repeat('00', 32), 'hex'), '{}'
                FROM generate_series(1, 2000) AS s (n)";
    test.api.database.connect().await.execute(many, &[]).await.expect("triggers");
    // Before the campaign began, and once more since.
    overlooked(&test, "ben", "loan_disbursed", "2029-12-31T00:00:00Z").await;
    let early = "UPDATE trigger_event SET occurred_at = '2029-01-01T00:00:00Z', event_id = 'early'
                 WHERE kind = 'loan_disbursed'";
    test.api.database.connect().await.execute(early, &[]).await.expect("an early one");
    overlooked(&test, "ben", "loan_disbursed", "2029-12-31T00:00:00Z").await;
    bound(&test, "ben", "2029-12-31T00:00:00Z").await;
    assert!(sweep(&test).await);
    assert_eq!(rewards(&test).await, 1);
    let test = Referrals::screened(json!([])).await;
    test.api.database.connect().await.execute(many, &[]).await.expect("triggers");
    overlooked(&test, "ben", "loan_disbursed", "2029-12-31T00:00:00Z").await;
    let code = test.code("ann").await;
    assert_eq!(test.bind(json!({ "code": code, "invitee": "ben" })).await.status, 201);
    assert_eq!(rewards(&test).await, 1, "with the binding itself");
}
