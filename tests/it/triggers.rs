//! Triggers: what backends tell, stored once.

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::api::problem;
use super::support::referrals::{Referrals, refusal};

fn event() -> Value {
    json!({
        "event_id": "e-1", "kind": "credit_granted", "user": "ben",
        "occurred_at": "2030-01-01T00:00:00Z", "amount_minor": 5_000,
    })
}

fn with(field: &str, value: Value) -> Value {
    let mut event = event();
    event.as_object_mut().expect("an object").insert(field.to_owned(), value);
    event
}

#[tokio::test]
async fn the_same_event_is_the_same_trigger_and_another_one_is_refused() {
    let test = Referrals::screened(json!([])).await;
    let first = test.trigger(event()).await;
    let view = first.json();
    assert_eq!((first.status, &view["source"]), (201, &json!("backend")), "{view}");
    assert_eq!(view["received_at"], "2030-01-01T00:00:00Z");
    test.api.clock.advance(std::time::Duration::from_mins(1));
    // The same in other words: another offset, the currency that goes without saying.
    for same in [
        event(),
        with("occurred_at", json!("2030-01-01T07:00:00+07:00")),
        with("currency", json!("IDR")),
        with("source", json!("backend")),
    ] {
        let again = test.trigger(same).await;
        assert_eq!((again.status, again.json()), (200, view.clone()));
    }
    for other in [
        with("user", json!("ann")),
        with("kind", json!("loan_disbursed")),
        with("amount_minor", json!(5_001)),
        with("amount_minor", Value::Null),
        with("occurred_at", json!("2030-01-01T00:00:00.1Z")),
    ] {
        let refused = test.trigger(other.clone()).await;
        assert_eq!(refusal(&refused), (409, "event-differs".to_owned()), "{other}");
    }
    // Another source has names of its own.
    assert_eq!(test.trigger(with("source", json!("loans"))).await.status, 201);
    assert_eq!(test.api.count("SELECT count(*) FROM trigger_event").await, 2);
    let figures = test.api.metrics.text();
    let line = "waypost_triggers_total{kind=\"credit_granted\",outcome=\"stored\"} 2";
    assert!(figures.contains(line), "{figures}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_event_sent_many_times_at_once_is_stored_once() {
    let test = Referrals::screened(json!([])).await;
    let answers = join_all((0..32).map(|_| test.trigger(event()))).await;
    let created = answers.iter().filter(|it| it.status == 201).count();
    assert_eq!(created, 1);
    assert!(answers.iter().all(|it| it.json() == answers[0].json()), "{answers:?}");
}

#[tokio::test]
async fn a_bad_field_of_a_trigger_is_named() {
    let test = Referrals::screened(json!([])).await;
    for (field, value, reason, word) in [
        ("kind", json!("paid"), "out-of-range", "credit_granted, loan_disbursed"),
        ("user", json!(" "), "empty", "empty"),
        ("user", json!("x".repeat(129)), "too-long", "128"),
        ("event_id", json!(""), "empty", "empty"),
        ("source", json!("x".repeat(101)), "too-long", "100"),
        ("occurred_at", json!("2030-01-01"), "not-a-time", "2030-01-31T12:00:00Z"),
        ("occurred_at", json!("2030-01-01T00:05:01Z"), "out-of-range", "5 minutes"),
        ("amount_minor", json!(-1), "out-of-range", "0 or more"),
        ("amount_minor", json!(1.5), "wrong-type", "i64"),
        ("currency", json!("EUR"), "out-of-range", "IDR"),
        ("colour", json!(1), "unknown-field", "unknown"),
    ] {
        let answer = test.trigger(with(field, value.clone())).await;
        let expected = vec![(format!("/{field}"), reason.to_owned())];
        assert_eq!(problem(&answer), (422, "invalid-body".to_owned(), expected), "{value}");
        assert!(answer.text().contains(word), "{answer:?}");
    }
    let mut bare = with("currency", json!("IDR"));
    bare.as_object_mut().expect("an object").remove("amount_minor");
    let expected = vec![("/currency".to_owned(), "conflict".to_owned())];
    assert_eq!(problem(&test.trigger(bare).await).2, expected);
    assert_eq!(test.trigger(with("occurred_at", json!("2030-01-01T00:05:00Z"))).await.status, 201);
}

#[tokio::test]
async fn a_retired_campaign_takes_no_more_triggers_but_repeats_its_answers() {
    let test = Referrals::screened(json!([])).await;
    let view = test.trigger(event()).await.json();
    assert_eq!(test.api.call("POST", "/v1/campaigns/spring/retire", "").await.status, 200);
    test.api.read_campaigns().await;
    let fresh = test.trigger(with("event_id", json!("e-2"))).await;
    assert_eq!(refusal(&fresh), (409, "campaign-retired".to_owned()));
    let again = test.trigger(event()).await;
    assert_eq!((again.status, again.json()), (200, view));
    let unknown = test.api.call("POST", "/v1/campaigns/autumn/triggers", event().to_string()).await;
    assert_eq!(refusal(&unknown), (404, "not-found".to_owned()));
}

/// Sends lines; their results.
async fn batch(test: &Referrals, body: impl Into<Vec<u8>>) -> Vec<Value> {
    let authorization = format!("Bearer {}", test.api.key);
    let headers =
        [("authorization", authorization.as_str()), ("content-type", "application/x-ndjson")];
    let path = "/v1/campaigns/spring/triggers/batch";
    let answer = test.api.send("POST", path, &headers, body.into()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.text().lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_broken_line_in_a_batch_spoils_no_other() {
    let test = Referrals::screened(json!([])).await;
    let line = |field: &str, value: Value| with(field, value).to_string();
    let lines = [
        line("event_id", json!("a")),
        "{\"event_id\": \"b\", ".to_owned(),
        line("kind", json!("paid")),
        String::new(),
        line("event_id", json!("a")),
        line("amount_minor", json!(-1)),
        line("currency", json!("EUR")),
        line("occurred_at", json!("2031-01-01T00:00:00Z")),
        "[1]".to_owned(),
        with("event_id", json!("a")).to_string().replace("5000", "5001"),
        line("event_id", json!("c")),
    ];
    let mut body = lines.join("\n").into_bytes();
    body.extend(b"\n\xff\xfe\n");
    // Lines are stored in no particular order: which of two that differ is refused is only known if one is
    // there already.
    assert_eq!(test.trigger(with("event_id", json!("a"))).await.status, 201);
    let results = batch(&test, body).await;
    let told: Vec<(u64, u64, String)> = results
        .iter()
        .map(|it| {
            let number = |name: &str| it[name].as_u64().expect("a number");
            let problem = it["problem"]["type"].as_str().unwrap_or_default();
            (number("line"), number("status"), problem.replace("urn:waypost:problem:", ""))
        })
        .collect();
    let told: Vec<(u64, u64, &str)> = told.iter().map(|it| (it.0, it.1, it.2.as_str())).collect();
    assert_eq!(
        told,
        [
            (1, 200, ""),
            (2, 400, "malformed-body"),
            (3, 422, "invalid-body"),
            (5, 200, ""),
            (6, 422, "invalid-body"),
            (7, 422, "invalid-body"),
            (8, 422, "invalid-body"),
            (9, 422, "invalid-body"),
            (10, 409, "event-differs"),
            (11, 201, ""),
            (12, 400, "malformed-body"),
        ]
    );
    assert_eq!(results[0]["trigger"], results[3]["trigger"]);
    assert_eq!(test.api.count("SELECT count(*) FROM trigger_event").await, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_large_batch_is_stored_in_few_transactions() {
    let test = Referrals::screened(json!([])).await;
    let lines: Vec<String> = (0..3_000)
        .map(|number| {
            let mut event = with("event_id", json!(format!("e-{number}")));
            event["user"] = json!(format!("user-{}", number % 700));
            event.to_string()
        })
        .collect();
    let results = batch(&test, lines.join("\n")).await;
    assert!(results.iter().all(|it| it["status"] == 201), "{results:?}");
    assert_eq!(test.api.count("SELECT count(*) FROM trigger_event").await, 3_000);
    let transactions =
        test.api.count("SELECT count(DISTINCT xmin::text::bigint) FROM trigger_event").await;
    assert!(transactions < 300, "{transactions} transactions");
    let wrong = test.api.call("POST", "/v1/campaigns/spring/triggers/batch", "{}").await;
    assert_eq!(refusal(&wrong), (415, "unsupported-media-type".to_owned()));
}
