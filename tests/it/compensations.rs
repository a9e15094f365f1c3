//! Compensations: asked for by one person, approved by another, done at once and once.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::api::problem;
use super::support::desk::{Desk, field, states, told, with};
use super::support::{Answer, TestApi};

const PATH: &str = "/v1/compensations";

fn item(invitee: &str, kind: &str, side: &str) -> Value {
    json!({ "invitee": invitee, "kind": kind, "side": side })
}

/// An item of ann's, for this invitee's loan.
fn loan(invitee: &str) -> Value {
    item(invitee, "loan_disbursed", "inviter")
}

fn wanted(items: &[Value]) -> Value {
    json!({ "campaign": "spring", "reason": "told too late", "items": items })
}

/// Asks for items as ada; the number of what was asked for.
async fn ask(desk: &Desk, items: &[Value]) -> i64 {
    let answer = desk.call(&desk.ada, "POST", PATH, wanted(items)).await;
    assert_eq!(told(&answer), "201", "{answer:?}");
    let id = field(&answer.json(), "id").as_i64().expect("a number");
    let location = answer.headers.get("location").and_then(|it| it.to_str().ok());
    assert_eq!(location, Some(format!("{PATH}/{id}").as_str()));
    id
}

async fn decide(desk: &Desk, key: &str, id: i64, what: &str) -> Answer {
    let path = format!("{PATH}/{id}/{what}");
    desk.call(key, "POST", &path, json!({ "reason": "they are right" })).await
}

/// Approves as bob; the outcomes.
async fn approve(desk: &Desk, id: i64) -> Vec<String> {
    let answer = decide(desk, &desk.bob, id, "approve").await;
    assert_eq!(told(&answer), "200", "{answer:?}");
    outcomes(&answer)
}

fn outcomes(answer: &Answer) -> Vec<String> {
    let items = field(&answer.json(), "items");
    let items = items.as_array().expect("items").iter();
    items.map(|it| field(it, "outcome").as_str().unwrap_or("none").to_owned()).collect()
}

#[tokio::test]
async fn what_becomes_of_an_item_follows_from_where_its_reward_stands() {
    let desk = Desk::open(&with(|_| {})).await;
    let mut items = vec![loan("nothing yet")];
    desk.bind(&["nothing yet"]).await;
    for state in states() {
        desk.bind(&[state]).await;
        desk.reward_for(state, state).await;
        items.push(loan(state));
    }
    let (_, promised, paid) = desk.accounts().await;
    let id = ask(&desk, &items).await;
    assert_eq!(desk.accounts().await, (1_000_000_000 - promised - paid, promised, paid));
    let outcomes = approve(&desk, id).await;
    let expected = |state: &str| match state {
        "DENIED" => "granted-after-denial",
        "EXPIRED" => "card-renewed",
        _ => "already-there",
    };
    let names = std::iter::once("granted").chain(states().map(expected)).collect::<Vec<_>>();
    assert_eq!(outcomes, names);
    let moved = "SELECT string_agg(invitee || ': ' || state || ' ' || event || ' ' || actor, ', ' ORDER BY id)
                 FROM reward WHERE actor = 'bob'";
    let expected = "DENIED: CREATE compensate bob, EXPIRED: NEW compensate bob, \
                    nothing yet: CREATE grant bob";
    assert_eq!(desk.text(moved).await, expected);
    // Three promises more, of which the two that begin have a draw to be done.
    let (_, now_promised, now_paid) = desk.accounts().await;
    assert_eq!((now_promised, now_paid), (promised + 6_000, paid));
    let draws = "SELECT count(*) FROM reward_task t JOIN reward r ON r.id = t.reward_id
                 WHERE t.step = 'draw' AND r.actor = 'bob'";
    assert_eq!(desk.test.api.count(draws).await, 2);
    let card = "SELECT to_char(card_expires_at AT TIME ZONE 'UTC', 'YYYY-MM-DD') FROM reward
                WHERE invitee = 'EXPIRED'";
    assert_eq!(desk.text(card).await, "2030-01-10");
    // The one that was granted and the one that had been denied are counted.
    let tally = "SELECT rewards || ' ' || lifted FROM inviter_tally";
    assert_eq!(desk.text(tally).await, "2 0");
    let granted = "SELECT count(*) FROM reward WHERE actor = 'bob' AND trigger_id IS NULL";
    assert_eq!(desk.test.api.count(granted).await, 3);
    let audit = "SELECT string_agg(action || ' ' || actor, ', ' ORDER BY id) FROM audit
                 WHERE action LIKE 'compensation.%'";
    assert_eq!(desk.text(audit).await, "compensation.request ada, compensation.approve bob");
}

#[tokio::test]
async fn nobody_approves_what_they_asked_for() {
    let desk = Desk::open(&with(|_| {})).await;
    desk.bind(&["ben"]).await;
    let id = ask(&desk, &[loan("ben")]).await;
    // Another key of the same person is the same person.
    let second = desk.test.api.add_key("ada", &["rewards", "admin"]).await;
    for key in [&desk.ada, &second] {
        let answer = decide(&desk, key, id, "approve").await;
        assert_eq!(told(&answer), "409 own-request");
    }
    assert_eq!(desk.test.api.count("SELECT count(*) FROM reward").await, 0);
    let database = desk.test.api.database.connect().await;
    let forced = database
        .execute(
            "UPDATE compensation SET state = 'executed', decided_by = 'ada', decided_at = now()",
            &[],
        )
        .await;
    let forced = forced.expect_err("the database does not let them either");
    assert!(format!("{forced:?}").contains("nobody_approves_their_own"), "{forced:?}");
    assert_eq!(approve(&desk, id).await, ["granted"]);
}

#[tokio::test]
async fn what_was_decided_is_answered_again_and_not_turned_round() {
    let desk = Desk::open(&with(|_| {})).await;
    desk.bind(&["ben", "eve"]).await;
    let (good, bad) = (ask(&desk, &[loan("ben")]).await, ask(&desk, &[loan("eve")]).await);
    let approved = decide(&desk, &desk.bob, good, "approve").await;
    let rejected = decide(&desk, &desk.ada, bad, "reject").await;
    assert_eq!((told(&approved), told(&rejected)), ("200".to_owned(), "200".to_owned()));
    for (id, what, first) in [(good, "approve", &approved), (bad, "reject", &rejected)] {
        let again = decide(&desk, &desk.bob, id, what).await;
        assert_eq!((again.status, again.json()), (200, first.json()), "{what}");
        assert_eq!(desk.get(&format!("{PATH}/{id}")).await, first.json());
    }
    for (id, what, expected) in [
        (good, "reject", "409 compensation-decided executed"),
        (bad, "approve", "409 compensation-decided rejected"),
    ] {
        assert_eq!(told(&decide(&desk, &desk.bob, id, what).await), expected);
    }
    assert_eq!(desk.test.api.count("SELECT count(*) FROM reward").await, 1);
    assert_eq!(outcomes(&rejected), ["none"]);
    let gone = decide(&desk, &desk.bob, 4_711, "approve").await;
    assert_eq!(told(&gone), "404 not-found");
}

#[tokio::test]
async fn cap_and_budget_hold_what_is_new_and_people_lift_what_was_denied() {
    let document = with(|it| {
        it["caps"] = json!({ "rewards_per_inviter": 2 });
        it["budget_minor"] = json!(10_000);
    });
    let desk = Desk::open(&document).await;
    let people = ["a", "b", "c", "d", "e", "f", "g"];
    desk.bind(&people).await;
    desk.reward_for("d", "DENIED").await;
    desk.reward_for("e", "EXPIRED").await;
    desk.reward_for("f", "EXPIRED").await;
    desk.reward_for("g", "DENIED").await;
    let items: Vec<Value> = people.iter().map(|it| loan(it)).collect();
    let id = ask(&desk, &items).await;
    // Two are within the cap, the third is not; then the budget is left for three of the other four.
    let expected = [
        "granted",
        "granted",
        "in-review",
        "granted-after-denial",
        "card-renewed",
        "card-renewed",
        "budget-exhausted",
    ];
    assert_eq!(approve(&desk, id).await, expected);
    assert_eq!(desk.accounts().await, (0, 10_000, 0));
    let tally = "SELECT rewards || ' ' || lifted || ' ' || allowed FROM inviter_tally";
    assert_eq!(desk.text(tally).await, "3 1 2");
    let held = "SELECT state || ' ' || reason FROM reward WHERE invitee = 'c'";
    assert_eq!(desk.text(held).await, "REVIEW inviter-cap");
    let again = ask(&desk, &[loan("g"), item("a", "credit_granted", "invitee")]).await;
    assert_eq!(approve(&desk, again).await, ["budget-exhausted", "in-review"]);
    let held = "SELECT state || ' ' || reason FROM reward WHERE kind = 'credit_granted'";
    assert_eq!(desk.text(held).await, "REVIEW budget-exhausted");
}

#[tokio::test]
async fn a_held_binding_is_held_for_compensations_too() {
    let desk = Desk::open(&with(|_| {})).await;
    desk.bind(&["ben"]).await;
    let database = desk.test.api.database.connect().await;
    database.execute("UPDATE binding SET state = 'held'", &[]).await.expect("a held binding");
    let id = ask(&desk, &[loan("ben")]).await;
    assert_eq!(approve(&desk, id).await, ["in-review"]);
    let held = "SELECT state || ' ' || reason FROM reward";
    assert_eq!(desk.text(held).await, "REVIEW binding-held");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_thousand_items_are_done_at_once_and_once_however_often_they_are_approved() {
    let api = TestApi::with_connections(16).await;
    let desk = Desk::on(api, &with(|it| it["caps"] = json!({ "rewards_per_inviter": 900 }))).await;
    let people: Vec<String> = (0..1_000).map(|number| format!("invitee-{number}")).collect();
    let names: Vec<&str> = people.iter().map(String::as_str).collect();
    desk.bind(&names).await;
    let items: Vec<Value> = names.iter().map(|it| loan(it)).collect();
    let id = ask(&desk, &items).await;
    // A trigger of one of them comes meanwhile.
    let (approved, trigger) = tokio::join!(
        join_all((0..3).map(|_| decide(&desk, &desk.bob, id, "approve"))),
        desk.test.reached("invitee-7", "loan_disbursed"),
    );
    assert_eq!(trigger.status, 201, "{trigger:?}");
    let first = approved.first().expect("three");
    assert!(approved.iter().all(|it| it.status == 200 && it.json() == first.json()));
    let outcomes = outcomes(first);
    let count = |name: &str| outcomes.iter().filter(|it| *it == name).count();
    let there = count("already-there");
    assert!(there <= 1, "the trigger was first, or the compensation");
    assert_eq!(count("granted") + there, 900);
    assert_eq!(count("in-review"), 100);
    assert_eq!(desk.accounts().await, (1_000_000_000 - 900 * 2_000, 900 * 2_000, 0));
    assert_eq!(desk.text("SELECT rewards || ' ' || lifted FROM inviter_tally").await, "900 0");
    let shape = "SELECT count(*) || ' ' || count(DISTINCT invitee) FROM reward";
    assert_eq!(desk.text(shape).await, "1000 1000");
    assert_eq!(desk.test.api.count("SELECT count(*) FROM reward_task").await, 900);
}

#[tokio::test]
async fn a_bad_item_is_named_and_nothing_is_kept() {
    let desk = Desk::open(&with(|_| {})).await;
    desk.bind(&["ben"]).await;
    let good = loan("ben");
    for (body, pointer, reason) in [
        (wanted(&[loan("nobody")]), "/items/0/invitee", "out-of-range"),
        (wanted(&[good.clone(), loan("nobody")]), "/items/1/invitee", "out-of-range"),
        (wanted(&[item("ben", "first_loan", "inviter")]), "/items/0/kind", "out-of-range"),
        (wanted(&[item("ben", "loan_disbursed", "invitee")]), "/items/0/side", "out-of-range"),
        (wanted(&[item("ben", "loan_disbursed", "both")]), "/items/0/side", "out-of-range"),
        (wanted(&[good.clone(), good.clone()]), "/items/1/invitee", "conflict"),
        (wanted(&[]), "/items", "empty"),
        (wanted(&vec![good.clone(); 1_001]), "/items", "too-many"),
        (wanted(&[json!({ "invitee": "ben", "kind": "x" })]), "/items/0/side", "required"),
        (
            json!({ "campaign": "autumn", "reason": "x", "items": [good] }),
            "/campaign",
            "out-of-range",
        ),
        (json!({ "campaign": "spring", "reason": "", "items": [good] }), "/reason", "empty"),
        (json!({ "campaign": "spring", "items": [good] }), "/reason", "required"),
    ] {
        let answer = desk.call(&desk.ada, "POST", PATH, body).await;
        let expected = vec![(pointer.to_owned(), reason.to_owned())];
        assert_eq!(problem(&answer), (422, "invalid-body".to_owned(), expected));
    }
    let unknown = desk.call(&desk.ada, "POST", PATH, wanted(&[item("ben", "x", "inviter")])).await;
    let words = "it has: credit_granted, loan_disbursed";
    assert!(unknown.text().contains(words), "{unknown:?}");
    assert_eq!(desk.test.api.count("SELECT count(*) FROM compensation").await, 0);
}

#[tokio::test]
async fn a_request_with_the_same_key_is_kept_once() {
    let desk = Desk::open(&with(|_| {})).await;
    desk.bind(&["ben"]).await;
    let send = async |key: &str, body: Value| {
        let authorization = format!("Bearer {}", desk.ada);
        let headers = [
            ("authorization", authorization.as_str()),
            ("content-type", "application/json"),
            ("idempotency-key", key),
        ];
        desk.test.api.send("POST", PATH, &headers, body.to_string()).await
    };
    let first = send("k-1", wanted(&[loan("ben")])).await;
    let again = send("k-1", wanted(&[loan("ben")])).await;
    assert_eq!((first.status, again.status), (201, 201));
    assert_eq!(first.json(), again.json());
    assert_eq!(first.headers.get("location"), again.headers.get("location"));
    assert!(again.headers.contains_key("idempotency-replayed"));
    let other = send("k-1", wanted(&[item("ben", "credit_granted", "invitee")])).await;
    assert_eq!(told(&other), "422 idempotency-key-reused");
    assert_eq!(desk.test.api.count("SELECT count(*) FROM compensation").await, 1);
}

#[tokio::test]
async fn compensations_are_listed_newest_first() {
    let desk = Desk::open(&with(|_| {})).await;
    desk.bind(&["ben"]).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.insert(0, ask(&desk, &[loan("ben")]).await);
    }
    decide(&desk, &desk.bob, ids[0], "reject").await;
    let listed = async |query: &str| {
        let page = desk.get(&format!("{PATH}?{query}")).await;
        let all = page["compensations"].as_array().expect("a list").iter();
        let ids: Vec<i64> = all.filter_map(|it| it["id"].as_i64()).collect();
        (ids, page["next_cursor"].as_str().map(str::to_owned))
    };
    assert_eq!(listed("").await, (ids.clone(), None));
    assert_eq!(listed("state=rejected").await, (vec![ids[0]], None));
    assert_eq!(listed("campaign=autumn").await, (vec![], None));
    let (first, cursor) = listed("campaign=spring&state=requested&limit=2").await;
    assert_eq!(first, ids[1..3]);
    let query = format!("state=requested&limit=2&cursor={}", cursor.expect("more"));
    assert_eq!(listed(&query).await, (ids[3..5].to_vec(), None));
    for bad in ["state=done", "campaign=A_b", "cursor=x", "limit=0", "user=ann"] {
        let answer = desk.call(&desk.ada, "GET", &format!("{PATH}?{bad}"), Value::Null).await;
        assert_eq!(told(&answer), "400 invalid-query", "{bad}");
    }
}

#[tokio::test]
async fn who_reviews_may_look_at_compensations_and_not_decide() {
    let desk = Desk::open(&with(|_| {})).await;
    desk.bind(&["ben"]).await;
    let id = ask(&desk, &[loan("ben")]).await;
    let reviewer = desk.test.api.add_key("rea", &["reviews"]).await;
    for path in [PATH.to_owned(), format!("{PATH}/{id}")] {
        assert_eq!(desk.call(&reviewer, "GET", &path, Value::Null).await.status, 200, "{path}");
    }
    for what in ["approve", "reject"] {
        assert_eq!(told(&decide(&desk, &reviewer, id, what).await), "403 forbidden");
    }
    let asked = desk.call(&reviewer, "POST", PATH, wanted(&[loan("ben")])).await;
    assert_eq!(told(&asked), "403 forbidden");
}
