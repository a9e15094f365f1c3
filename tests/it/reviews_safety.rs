//! What must not go wrong in reviews: races, changed subjects, processes that die, what the database forbids.

use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;
use serde_json::{Value, json};
use waypost::campaign::document::Format;
use waypost::review::case::{Case, SubjectRef};
use waypost::review::command::{Act, Actor, Command, decide};
use waypost::review::flow::{Subject, parse};
use waypost::store::review;
use waypost::store::user_locks::{self, LockKey};

use crate::support::desk::{Desk, field, told, with};
use crate::support::reviews::Reviewers;

async fn reviewers() -> Reviewers {
    Reviewers::at(Desk::open(&with(|_| {})).await).await
}

async fn held(people: &Reviewers) -> (i64, i64) {
    people.desk.bind(&["ben"]).await;
    let reward = people.desk.held("ben", "inviter-cap").await;
    (reward, people.case_of(reward).await)
}

/// Somebody decides on a case; it is committed, and the process dies before anything is carried out.
async fn dies_after(people: &Reviewers, case: i64, (name, role): (&str, &str), act: Act) {
    let flow = parse(Subject::Reward.usual_flow(), Format::Toml).expect("a flow");
    let mut connection = people.api().store.connection().await.expect("a connection");
    let transaction = connection.transaction().await.expect("a transaction");
    let mut stored = review::lock(&transaction, case).await.expect("rows").expect("a case");
    let before = stored.case.version;
    let command = Command {
        by: Actor { name: name.to_owned(), roles: [role.to_owned()].into() },
        at: Timestamp::from(people.api().clock.now()),
        expected_version: before,
        act,
    };
    let events = decide(&flow, &stored.case, &command).expect("they may");
    for event in &events {
        stored.case.apply(event).expect("it follows");
    }
    review::write(&transaction, case, before, (&events, &stored.case)).await.expect("written");
    transaction.commit().await.expect("committed");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_many_who_decide_at_once_on_one_version_one_wins() {
    let people = reviewers().await;
    let (_, case) = held(&people).await;
    let version = field(&people.case(case).await, "version");
    let path = format!("/v1/cases/{case}/approve");
    let body = json!({ "expected_version": version, "reason": "checked" });
    let all = (0..12).map(|number| {
        let name = if number % 2 == 0 { "rae" } else { "ron" };
        people.call(name, "POST", &path, body.clone())
    });
    let answers = join_all(all).await;
    let mut told: Vec<String> = answers.iter().map(told).collect();
    told.sort();
    assert_eq!(told.remove(0), "200");
    assert!(told.iter().all(|it| it == "409 case-refused stale-version"), "{told:?}");
    assert_eq!(people.place(case).await, "open finance 1");
}

#[tokio::test]
async fn what_a_process_did_not_finish_another_one_finishes() {
    let people = reviewers().await;
    let (reward, case) = held(&people).await;
    assert_eq!(people.approve("rae", case).await, "200");
    dies_after(&people, case, ("fin", "finance"), Act::Approve { note: "checked".to_owned() })
        .await;
    assert_eq!(people.place(case).await, "executing execute 1");
    // It is in flight: nothing leads out of it.
    let body = json!({ "from": "execute", "to": "risk", "reason": "stop" });
    let jump = people.act("lea", case, "jumps", body).await;
    assert_eq!(told(&jump), "409 case-refused in-flight");
    let rejected = people.act("rae", case, "reject", json!({ "reason": "stop" })).await;
    assert_eq!(told(&rejected), "409 case-refused in-flight");
    people.api().rewards.reviews.round().await.expect("a round");
    assert_eq!(people.place(case).await, "executing execute 1", "it is left alone for a minute");
    people.api().clock.advance(Duration::from_secs(61));
    people.api().rewards.reviews.round().await.expect("a round");
    assert_eq!(people.place(case).await, "executed execute 1");
    assert_eq!(people.desk.state(reward).await, "CREATE");
    people.api().rewards.reviews.carry_out(case).await.expect("again");
    let granted = "SELECT count(*) FROM reward_log WHERE event = 'approve'";
    assert_eq!(people.api().count(granted).await, 1);
}

#[tokio::test]
async fn a_rejection_that_was_not_carried_out_is_and_no_case_begins_anew() {
    let people = reviewers().await;
    let (reward, case) = held(&people).await;
    dies_after(&people, case, ("rae", "risk"), Act::Reject { reason: "no".to_owned() }).await;
    assert_eq!(people.desk.state(reward).await, "REVIEW");
    assert_eq!(people.api().rewards.reviews.round().await.expect("a round"), 0);
    assert_eq!(people.desk.state(reward).await, "DENIED");
}

#[tokio::test]
async fn approvals_lapse_when_what_they_approve_changes() {
    let people = reviewers().await;
    let flow = include_str!("../../config/flows/compensation.toml");
    let reviews = &people.api().rewards.reviews;
    let (flow, _) = reviews.put_flow("ops", (flow, Format::Toml)).await.expect("a flow");
    reviews.activate_flow("ops", flow.subject, flow.version).await.expect("an active flow");
    people.desk.bind(&["ben"]).await;
    let body = json!({ "campaign": "spring", "reason": "told too late",
                       "items": [{ "invitee": "ben", "kind": "loan_disbursed", "side": "inviter" }] });
    let asked = people.desk.call(&people.desk.ada, "POST", "/v1/compensations", body).await;
    let id = field(&asked.json(), "id").as_i64().expect("a number");
    let subject = SubjectRef { subject: Subject::Compensation, key: id.to_string() };
    let case = reviews.open_case_of(&subject).await.expect("an answer").expect("at once");
    // The old way is one decision of the case, and takes the role for it.
    let decide = async |key: &str| {
        let path = format!("/v1/compensations/{id}/approve");
        people.desk.call(key, "POST", &path, json!({ "reason": "right" })).await
    };
    assert_eq!(told(&decide(&people.desk.ada).await), "409 own-request");
    assert_eq!(told(&decide(&people.desk.bob).await), "409 case-refused no-role");
    reviews.set_role("ops", ("bob", "risk"), true).await.expect("a role");
    let first = decide(&people.desk.bob).await;
    assert_eq!((told(&first), field(&first.json(), "state")), ("200".into(), json!("requested")));
    let database = people.api().database.connect().await;
    let change = "UPDATE compensation SET reason = 'something else'";
    database.execute(change, &[]).await.expect("changed behind everybody's back");
    assert_eq!(people.approve("fin", case).await, "409 case-refused stale-version");
    assert_eq!(people.place(case).await, "open risk 2");
    assert_eq!(people.approve("rae", case).await, "200");
    assert_eq!(people.approve("fin", case).await, "200");
    assert_eq!(people.place(case).await, "executed execute 2");
    let done = "SELECT state || ' ' || decided_by FROM compensation";
    assert_eq!(people.desk.text(done).await, "executed fin");
}

#[tokio::test]
async fn what_waits_too_long_is_escalated_by_the_clock() {
    let people = reviewers().await;
    let (reward, case) = held(&people).await;
    let reviews = &people.api().rewards.reviews;
    people.api().clock.advance(Duration::from_mins(1_439));
    reviews.round().await.expect("a round");
    assert_eq!(people.place(case).await, "open risk 1");
    people.api().clock.advance(Duration::from_mins(1));
    reviews.round().await.expect("a round");
    assert_eq!(people.place(case).await, "open senior-risk 1");
    assert_eq!(people.approve("rae", case).await, "409 case-refused no-role");
    // A senior stands for a junior: the guard 'risk' holds.
    assert_eq!(people.approve("sue", case).await, "200");
    assert_eq!(people.approve("fin", case).await, "200");
    assert_eq!(people.desk.state(reward).await, "CREATE");
    reviews.round().await.expect("a round");
    let text = people.api().metrics.text();
    assert!(!text.contains("waypost_review_open_cases{"), "nothing is open");
}

#[tokio::test]
async fn the_database_keeps_histories_whole() {
    let people = reviewers().await;
    let (reward, case) = held(&people).await;
    let database = people.api().database.connect().await;
    for (statement, expected) in [
        ("UPDATE review_event SET actor = 'x'", "never changed"),
        ("DELETE FROM review_event", "never changed"),
        ("UPDATE review_flow SET document = 'x'", "never changed"),
        ("DELETE FROM review_task", "none is deleted"),
        (
            "INSERT INTO review_event (case_id, version, at, actor, event, detail)
             SELECT id, 40, now(), 'x', 'x', '{}' FROM review_case",
            "has a gap",
        ),
        (
            "INSERT INTO review_case (subject, subject_key, flow_version, state, node, epoch, version, opened_at, entered_at)
             SELECT subject, subject_key, flow_version, 'open', 'risk', 1, 1, now(), now() FROM review_case",
            "review_case_of_subject",
        ),
    ] {
        let refused = database.execute(statement, &[]).await.expect_err(statement);
        assert!(format!("{refused:?}").contains(expected), "{statement}: {refused:?}");
    }
    // What stands in the row is what the history comes to.
    let mut connection = people.api().store.connection().await.expect("a connection");
    let transaction = connection.transaction().await.expect("a transaction");
    let stored = review::find(&transaction, case).await.expect("rows").expect("a case");
    assert_eq!(Case::rebuilt(&stored.history).expect("a history"), stored.case);
    let gone = people.call("rae", "GET", "/v1/cases/4711", Value::Null).await;
    assert_eq!(told(&gone), "404 not-found");
    assert_eq!(people.case_of(reward).await, case, "one subject, one case");
}

#[tokio::test]
async fn a_locked_user_holds_up_nobody_elses_review() {
    let people = reviewers().await;
    let (reward, case) = held(&people).await;
    people.desk.bind(&["cleo"]).await;
    let other = people.desk.held("cleo", "inviter-cap").await;
    let other_case = people.case_of(other).await;
    for case in [case, other_case] {
        assert_eq!(people.approve("rae", case).await, "200");
        let act = Act::Approve { note: "checked".to_owned() };
        dies_after(&people, case, ("fin", "finance"), act).await;
    }
    people.api().clock.advance(Duration::from_secs(61));
    let mut connection = people.api().store.connection().await.expect("a connection");
    let transaction = connection.transaction().await.expect("a transaction");
    let lock = LockKey::user(&"spring".parse().expect("a name"), "ben");
    user_locks::take(&transaction, [lock]).await.expect("locked");
    people.api().rewards.reviews.round().await.expect("a round");
    let states = (people.desk.state(reward).await, people.desk.state(other).await);
    assert_eq!(states, ("REVIEW".to_owned(), "CREATE".to_owned()));
    transaction.rollback().await.expect("given up");
    people.api().rewards.reviews.round().await.expect("a round");
    assert_eq!(people.desk.state(reward).await, "CREATE");
}
