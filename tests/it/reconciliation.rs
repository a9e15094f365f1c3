//! The books are compared with the payment service's, day by day.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use waypost::campaign::ScratchCard;
use waypost::clock::Clock;
use waypost::reward::reconciliation::Reconciliation;

use super::support::cards::{card, reveal};
use super::support::engine::payment;
use super::support::referrals::{Referrals, refusal};
use super::support::sandbox::Sandbox;

/// What the sandbox and the database go by.
fn now() -> Timestamp {
    Clock::system().now().into()
}

fn reconciliation(test: &Referrals, service: &Sandbox) -> Reconciliation {
    Reconciliation::new(test.api.store.clone(), payment(service))
}

/// A card that was scratched: the operation of its payout, and the request.
async fn scratched(test: &Referrals, user: &str) -> (i64, String, Value) {
    let id = card(test, user, &ScratchCard::default()).await;
    assert_eq!(reveal(test, id, user).await.status, 200);
    let query =
        "SELECT operation_id, convert_from(request, 'UTF8') FROM reward_task WHERE reward_id = $1";
    let row = test.api.database.connect().await.query_one(query, &[&id]).await.expect("a task");
    let request: String = row.get(1);
    (id, row.get(0), serde_json::from_str(&request).expect("JSON"))
}

/// Notes a payout as made, some minutes ago.
async fn paid(test: &Referrals, id: i64, operation: &str, minutes_ago: i32) {
    let database = test.api.database.connect().await;
    let moved = database
        .execute(
            "UPDATE reward SET state = 'PAID', event = 'pay', version = version + 1, operation_id = $2,
                    actor = 'waypost', changed_at = now() - $3 * interval '1 minute' WHERE id = $1",
            &[&id, &operation, &f64::from(minutes_ago)],
        )
        .await;
    assert_eq!(moved.expect("a move"), 1);
    let done = database.execute("DELETE FROM reward_task WHERE reward_id = $1", &[&id]).await;
    assert_eq!(done.expect("done"), 1);
}

async fn post(service: &Sandbox, operation: &str, request: &Value) {
    let answer = service.post("/payouts", operation, request).await.expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
}

/// Compares what is due; all differences that stand afterwards, as `paid-twice ben`.
async fn differences(test: &Referrals, service: &Sandbox, at: Timestamp) -> BTreeSet<String> {
    reconciliation(test, service).reconcile_due(at).await.expect("compared");
    let answer = test.api.call("GET", &all_days(), "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let answer = answer.json();
    let found = answer.get("differences").and_then(Value::as_array).cloned().expect("a list");
    let whose = |it: &Value| {
        let sides = ["/detail/theirs/beneficiary", "/reward"].map(|side| it.pointer(side));
        let whose = sides.into_iter().flatten().next().cloned().unwrap_or_default();
        whose.as_str().map_or_else(|| whose.to_string(), str::to_owned)
    };
    let word =
        |it: &Value| it.get("difference").and_then(Value::as_str).unwrap_or_default().to_owned();
    found.iter().map(|it| format!("{} {}", word(it), whose(it))).collect()
}

/// The days that the tests live in; the API's clock is elsewhere.
fn all_days() -> String {
    "/v1/reconciliation?from=2020-01-01&to=2100-01-01".to_owned()
}

fn set(differences: &[&str]) -> BTreeSet<String> {
    differences.iter().map(|it| (*it).to_owned()).collect()
}

#[tokio::test]
async fn books_that_agree_have_no_differences() {
    let service = Sandbox::start(&[]).await;
    let test = Referrals::screened(json!([])).await;
    for user in ["ben", "cleo"] {
        let (id, operation, request) = scratched(&test, user).await;
        post(&service, &operation, &request).await;
        paid(&test, id, &operation, 2).await;
    }
    assert_eq!(differences(&test, &service, now()).await, set(&[]));
    let view = test.api.call("GET", &all_days(), "").await.json();
    let days = view["days"].as_array().expect("days");
    let sum = |field: &str| days.iter().filter_map(|it| it[field].as_i64()).sum::<i64>();
    assert_eq!((sum("payouts"), sum("amount_minor"), sum("differences")), (2, 2_000, 0), "{view}");
    assert_eq!(days.len(), 2, "yesterday, and today");
    // A few minutes later it is not time again.
    let again = reconciliation(&test, &service).reconcile_due(now()).await.expect("compared");
    assert_eq!(again, []);
}

#[tokio::test]
async fn every_difference_is_found_and_goes_when_it_is_settled() {
    let service = Sandbox::start(&[]).await;
    let test = Referrals::screened(json!([])).await;
    // The service paid more; somebody else; what we never asked for.
    let (id, operation, mut request) = scratched(&test, "amount").await;
    request["amount_minor"] = json!(1_001);
    post(&service, &operation, &request).await;
    paid(&test, id, &operation, 2).await;
    let (id, operation, mut request) = scratched(&test, "whose").await;
    request["beneficiary"] = json!("thief");
    post(&service, &operation, &request).await;
    paid(&test, id, &operation, 2).await;
    request["beneficiary"] = json!("stranger");
    post(&service, "stranger-pay", &request).await;
    // Paid twice.
    let (id, operation, request) = scratched(&test, "twice").await;
    post(&service, &operation, &request).await;
    service.set_faults(&json!({ "not-idempotent": 1.0 })).await;
    post(&service, &operation, &request).await;
    service.set_faults(&json!({})).await;
    paid(&test, id, &operation, 2).await;
    // We have it, and the service has not.
    let (lost, lost_operation, lost_request) = scratched(&test, "lost").await;
    paid(&test, lost, &lost_operation, 2).await;
    // Applied, and we do not know of it yet: under way, and stopped.
    let (_open, open_operation, request) = scratched(&test, "under-way").await;
    post(&service, &open_operation, &request).await;
    let (parked, parked_operation, request) = scratched(&test, "parked").await;
    post(&service, &parked_operation, &request).await;
    let database = test.api.database.connect().await;
    database
        .batch_execute(&format!(
            "INSERT INTO parked_task (reward_id, step, attempts, operation_id, request)
             SELECT reward_id, step, attempts, operation_id, request FROM reward_task WHERE reward_id = {parked};
             DELETE FROM reward_task WHERE reward_id = {parked};
             UPDATE reward SET state = 'PARKED', parked_in = 'REVEALED', event = 'park', version = version + 1
             WHERE id = {parked};"
        ))
        .await
        .expect("parked");
    let lost_line = format!("not-at-service {lost}");
    let mut expected = set(&[
        "amount-differs amount",
        "beneficiary-differs thief",
        "not-in-books stranger",
        "not-in-books parked",
        "paid-twice twice",
        &lost_line,
    ]);
    assert_eq!(differences(&test, &service, now()).await, expected);
    let row = "SELECT count(*) FROM reconciliation_difference WHERE reward_id IS NULL";
    assert_eq!(test.api.count(row).await, 1, "whose the stranger's is, nobody knows");
    // An hour later one has been under way for too long, and another was paid after all.
    post(&service, &lost_operation, &lost_request).await;
    let later = now() + SignedDuration::from_mins(61);
    expected.remove(&lost_line);
    expected.insert("not-in-books under-way".to_owned());
    assert_eq!(differences(&test, &service, later).await, expected);
}

#[tokio::test]
async fn what_we_heard_of_days_later_is_looked_up_on_the_day_on_which_it_was_paid() {
    let service = Sandbox::start(&[]).await;
    let test = Referrals::screened(json!([])).await;
    let (id, operation, request) = scratched(&test, "ben").await;
    post(&service, &operation, &request).await;
    // As if we had heard of it in three days.
    paid(&test, id, &operation, -3 * 24 * 60).await;
    let day = now() + SignedDuration::from_hours(3 * 24 + 1);
    let day = day.to_zoned(jiff::tz::TimeZone::UTC).date();
    let then = now() + SignedDuration::from_hours(4 * 24);
    let reconciliation = reconciliation(&test, &service);
    let days = [day.yesterday().expect("a day"), day];
    for day in days {
        let compared = reconciliation.compare(day, then).await.expect("compared");
        assert_eq!((compared.payouts, compared.differences), (0, vec![]), "{day}");
    }
}

#[tokio::test]
async fn a_service_that_does_not_tell_is_no_difference() {
    let service = Sandbox::start(&[]).await;
    let test = Referrals::screened(json!([])).await;
    let reconciliation = reconciliation(&test, &service);
    service.kill().await;
    let error = reconciliation.reconcile_due(now()).await.expect_err("it is away").to_string();
    assert!(error.contains("cannot be read"), "{error}");
    assert_eq!(test.api.count("SELECT count(*) FROM reconciled_day").await, 0);
}

#[tokio::test]
async fn days_are_asked_for_strictly() {
    let test = Referrals::screened(json!([])).await;
    let empty = test.api.call("GET", "/v1/reconciliation", "").await;
    assert_eq!((empty.status, empty.json()), (200, json!({ "days": [], "differences": [] })));
    for query in ["from=2030-1-1", "to=2030-01-01T00:00:00Z", "from=x", "day=2030-01-01"] {
        let refused = test.api.call("GET", &format!("/v1/reconciliation?{query}"), "").await;
        assert_eq!(refusal(&refused), (400, "invalid-query".to_owned()), "{query}");
    }
    let key = test.api.add_key("app", &["referrals"]).await;
    let authorization = format!("Bearer {key}");
    let headers = [("authorization", authorization.as_str())];
    let refused = test.api.send("GET", "/v1/reconciliation", &headers, "").await;
    assert_eq!(refusal(&refused), (403, "forbidden".to_owned()));
}
