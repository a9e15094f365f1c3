//! What goes wrong around a reward: it waits or stops, and nobody else's does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use waypost::campaign::ScratchCard;
use waypost::campaign::pinned::Pinned;
use waypost::reward::machine::{Event, State, StepKind};
use waypost::store::rewards::tasks::{self, Finished, Work};
use waypost::store::user_locks::{self, LockKey};

use super::support::cards::{card, granted, log, reveal, tasks as tasks_of};
use super::support::engine::{payment, work, work_for, work_with};
use super::support::other::Reply;
use super::support::referrals::{Referrals, document};
use super::support::sandbox::Sandbox;
use super::support::{Other, eventually};

const PATIENCE: Duration = Duration::from_secs(30);

async fn until(what: &str, test: &Referrals, query: &str) {
    let met = async || (test.api.count(query).await == 1).then_some(());
    eventually(what, PATIENCE, met).await;
}

/// The document of the active version, as no program can read it.
async fn spoil_documents(test: &Referrals) {
    let database = test.api.database.connect().await;
    let spoiled = "ALTER TABLE campaign_version DISABLE TRIGGER campaign_document_is_kept;
                   UPDATE campaign_version SET document = '{\"from\": \"the future\"}';
                   ALTER TABLE campaign_version ENABLE TRIGGER campaign_document_is_kept";
    database.batch_execute(spoiled).await.expect("spoiled");
}

#[tokio::test]
async fn a_promise_that_cannot_be_read_stops_the_draw_and_no_payout() {
    let test = Referrals::screened(json!([])).await;
    let payment_service = Sandbox::start(&[]).await;
    let (drawn, paid) =
        (granted(&test, "ben").await, card(&test, "cleo", &ScratchCard::default()).await);
    assert_eq!(reveal(&test, paid, "cleo").await.status, 200);
    spoil_documents(&test).await;
    let fresh = Arc::new(Pinned::default());
    let _working = work_with(&test, payment(&payment_service), &fresh);
    until("it is paid", &test, "SELECT count(*) FROM reward WHERE state = 'PAID'").await;
    let counted = "SELECT count(*) FROM reward_task WHERE step = 'draw' AND attempts = 1
                   AND due_at > now() + interval '30 seconds'";
    until("the draw is given back, and counted", &test, counted).await;
    let last = "UPDATE reward_task SET attempts = 24, due_at = now()";
    test.api.database.connect().await.execute(last, &[]).await.expect("the last attempt");
    test.api.rewards.wake.notify_one();
    let parked = "SELECT count(*) FROM reward r JOIN parked_task t ON t.reward_id = r.id
                  WHERE r.state = 'PARKED' AND r.reason = 'promise-unreadable' AND t.step = 'draw'";
    until("people look at it", &test, parked).await;
    assert_eq!(log(&test, drawn).await, "grant>CREATE park>PARKED");
}

#[tokio::test]
async fn each_kind_of_work_is_claimed_by_itself() {
    let test = Referrals::screened(json!([])).await;
    let (ben, cleo) =
        (granted(&test, "ben").await, card(&test, "cleo", &ScratchCard::default()).await);
    let database = test.api.database.connect().await;
    let remind = "INSERT INTO reward_task (reward_id, step, operation_id, request) VALUES ($1, 'remind', 'a', 'b')";
    database.execute(remind, &[&cleo]).await.expect("a reminder");
    let lease = Duration::from_secs(30);
    for (kind, id) in [(Work::Reminders, cleo), (Work::Payments, ben)] {
        let claimed = tasks::claim(&test.api.store, kind, 10, lease).await.expect("claimed");
        let ids: Vec<i64> = claimed.iter().map(|it| it.reward_id).collect();
        assert_eq!(ids, [id], "{kind:?}");
        let again = tasks::claim(&test.api.store, kind, 10, lease).await.expect("claimed");
        assert!(again.is_empty(), "it is leased");
    }
}

#[tokio::test]
async fn of_two_results_of_one_process_the_one_whose_lease_it_is_goes_on() {
    let test = Referrals::screened(json!([])).await;
    let id = granted(&test, "ben").await;
    let store = &test.api.store;
    let claim = async || {
        let claimed = tasks::claim(store, Work::Payments, 1, Duration::ZERO).await;
        claimed.expect("claimed").pop().expect("a lease that is over at once")
    };
    // It stood still for longer than its lease, and has claimed the same task again.
    let drawn = [claim().await, claim().await].map(|task| Finished {
        drawn: Some((i64::from(task.epoch) * 100, "{}".to_owned())),
        ..Finished::bare(&task, Event::Draw, State::Drawn)
    });
    let went_on = tasks::finish(store, "waypost", Duration::ZERO, &drawn).await.expect("stored");
    assert_eq!(went_on, [(id, StepKind::Draw, 2)]);
    let amount = "SELECT amount_minor FROM reward WHERE side = 'invitee'";
    assert_eq!(test.api.count(amount).await, 200);
}

#[tokio::test]
async fn a_reminder_whose_card_was_scratched_is_dropped_and_holds_up_no_other() {
    let test = Referrals::screened(json!([])).await;
    let payment_service = Sandbox::start(&[]).await;
    let scratched = granted(&test, "ben").await;
    let database = test.api.database.connect().await;
    let remind = "INSERT INTO reward_task (reward_id, step, operation_id, request) VALUES ($1, 'remind', 'a', 'b')";
    database.execute(remind, &[&scratched]).await.expect("a reminder of no card");
    let _working = work(&test, &payment_service);
    until("its reward goes on", &test, "SELECT count(*) FROM reward WHERE state = 'NEW'").await;
    let gone = "SELECT (count(*) = 0)::int::bigint FROM reward_task WHERE step = 'remind'";
    until("the reminder is dropped", &test, gone).await;
    assert_eq!(tasks_of(&test, scratched).await, "");
    assert_eq!(log(&test, scratched).await, "grant>CREATE draw>DRAWN allot>NEW");
}

fn is_there() -> Reply {
    Reply::whole("200 OK", "", &json!({ "dedupe_window_seconds": 86_400 }).to_string())
}

#[tokio::test]
async fn reminders_that_take_long_hold_up_no_payment() {
    let test = Referrals::screened(json!([])).await;
    let database = test.api.database.connect().await;
    let remind = "INSERT INTO reward_task (reward_id, step, operation_id, request) VALUES ($1, 'remind', $2, 'b')";
    for number in 0..70 {
        let id = card(&test, &format!("invitee-{number}"), &ScratchCard::default()).await;
        database.execute(remind, &[&id, &format!("remind-{number}")]).await.expect("a reminder");
    }
    let other = Other::start(|request| {
        if request.starts_with("GET / ") {
            return is_there();
        }
        if request.starts_with("POST /messages") {
            return Reply::Nothing;
        }
        Reply::whole("422 Unprocessable Content", "", "{}")
    })
    .await;
    let _working = work_for(&test, other.address());
    let messages = || {
        let heard = other.heard();
        heard.iter().filter(|(_, it)| it.starts_with("POST /messages")).count()
    };
    let asked = async || (messages() > 0).then_some(());
    eventually("a reminder is on its way", PATIENCE, asked).await;
    granted(&test, "ben").await;
    let answered = "SELECT count(*) FROM reward WHERE state = 'PARKED' AND reason = 'status-422'";
    until("its allotment is answered", &test, answered).await;
    // It did not stand behind all reminders that were due before it.
    assert!(messages() < 40, "{}", messages());
}

/// A payment service that answers operations like this, and says that it is there.
async fn answers(status: &'static str) -> Other {
    Other::start(move |request| {
        if request.starts_with("GET / ") {
            return is_there();
        }
        Reply::whole(status, "", "{}")
    })
    .await
}

#[tokio::test]
async fn who_is_refused_is_parked_and_who_is_not_let_in_waits() {
    let test = Referrals::screened(json!([])).await;
    let refused = granted(&test, "ben").await;
    {
        let other = answers("403 Forbidden").await;
        let _working = work_for(&test, other.address());
        let parked = "SELECT count(*) FROM reward WHERE state = 'PARKED' AND reason = 'status-403'";
        until("it is parked", &test, parked).await;
        assert_eq!(log(&test, refused).await, "grant>CREATE draw>DRAWN park>PARKED");
    }
    granted(&test, "cleo").await;
    let other = answers("401 Unauthorized").await;
    let _working = work_for(&test, other.address());
    let waits = "SELECT count(*) FROM reward_task WHERE step = 'allot' AND attempts = 0
                 AND first_sent_at IS NULL";
    until("it waits, and no attempt is spent", &test, waits).await;
    assert_eq!(test.api.count("SELECT count(*) FROM reward WHERE state = 'PARKED'").await, 1);
}

#[tokio::test]
async fn an_outage_parks_nobody_beyond_those_that_it_was_noticed_by() {
    const REWARDS: i64 = 12;
    let test = Referrals::screened(json!([])).await;
    for number in 0..REWARDS {
        granted(&test, &format!("invitee-{number}")).await;
    }
    {
        let busy = answers("503 Service Unavailable").await;
        let _working = work_for(&test, busy.address());
        let drawn = "SELECT (count(*) = 12)::int::bigint FROM reward_task WHERE step = 'allot'";
        until("all are drawn", &test, drawn).await;
    }
    let last = "UPDATE reward_task SET attempts = 100, first_sent_at = NULL, due_at = now()";
    test.api.database.connect().await.execute(last, &[]).await.expect("the last attempts");
    let down = AtomicBool::new(false);
    let other = Other::start(move |request| {
        if !request.starts_with("GET / ") {
            down.store(true, Ordering::Release);
        } else if !down.load(Ordering::Acquire) {
            return is_there();
        }
        Reply::whole("500 Internal Server Error", "", "{}")
    })
    .await;
    let _working = work_for(&test, other.address());
    let open = async || {
        let figures = test.api.metrics.text();
        figures.contains("waypost_breaker_open{dependency=\"payment\"} 1").then_some(())
    };
    let asked = async || (other.heard().len() > 4).then_some(());
    eventually("it is asked", PATIENCE, asked).await;
    eventually("the breaker opens", PATIENCE, open).await;
    let parked = test.api.count("SELECT count(*) FROM reward WHERE state = 'PARKED'").await;
    assert!(parked < 5, "the fifth failure is an outage, and {parked} are parked");
}

#[tokio::test]
async fn a_campaign_can_be_changed_while_its_rewards_are_being_stored() {
    let test = Referrals::screened(json!([])).await;
    let mut connection = test.api.store.connection().await.expect("a connection");
    let transaction = connection.transaction().await.expect("a transaction");
    // What storing a row that names the campaign does.
    let refer = "SELECT FROM campaign WHERE id = 'spring' FOR KEY SHARE";
    transaction.execute(refer, &[]).await.expect("referred to");
    let mut changed = document(&json!([]));
    changed["name"] = Value::from("Late spring");
    test.activate(&changed).await;
    transaction.rollback().await.expect("given up");
}

#[tokio::test]
async fn a_locked_user_keeps_nobody_elses_trigger() {
    let test = Arc::new(Referrals::screened(json!([])).await);
    let mut connection = test.api.store.connection().await.expect("a connection");
    let transaction = connection.transaction().await.expect("a transaction");
    let lock = LockKey::user(&"spring".parse().expect("a name"), "ben");
    user_locks::take(&transaction, [lock]).await.expect("locked");
    let waiting = tokio::spawn({
        let test = Arc::clone(&test);
        async move { test.reached("ben", "loan_disbursed").await.status }
    });
    let begun = "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
                 WHERE l.locktype = 'advisory' AND NOT l.granted AND a.datname = current_database()";
    until("ben's trigger waits", &test, begun).await;
    for user in ["cleo", "dan", "eve"] {
        assert_eq!(test.reached(user, "loan_disbursed").await.status, 201);
    }
    assert!(!waiting.is_finished());
    transaction.rollback().await.expect("given up");
    assert_eq!(waiting.await.expect("an answer"), 201);
}
