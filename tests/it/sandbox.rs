//! The sandbox payment service: what `docs/payment-protocol.md` promises.

use std::collections::HashSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::support::sandbox::{Sandbox, draw, lines, times_applied, transfer};
use super::support::{Client, Waypost, eventually, raw, send};

fn sha256(text: &str) -> String {
    use sha2::{Digest, Sha256};
    Sha256::digest(text).iter().fold(String::new(), |all, byte| all + &format!("{byte:02x}"))
}

#[tokio::test]
async fn the_sandbox_answers_each_address_as_the_protocol_says() {
    let sandbox = Sandbox::start(&["--dedupe-window", "77"]).await;
    let about = sandbox.get("/").await.expect("an answer").json();
    assert_eq!(about["dedupe_window_seconds"], 77);
    assert!(about["currencies"].as_array().expect("a list").contains(&json!("IDR")), "{about}");
    let drawn = sandbox.post("/draws", "d", &draw(1_000)).await.expect("an answer").json();
    let amount = drawn["amount_minor"].as_i64().expect("a number");
    assert!((0..=1_000).contains(&amount), "{drawn}");
    let message = json!({
        "campaign": "demo", "user": "rina", "kind": "reminder", "language": "id",
        "values": { "days": "3" },
    });
    for (path, id, body) in [
        ("/allotments", "a", transfer("rina", amount.max(1))),
        ("/payouts", "p", transfer("rina", amount.max(1))),
        ("/messages", "m", message),
    ] {
        let answer = sandbox.post(path, id, &body).await.expect("an answer");
        assert_eq!(answer.status, 200, "{answer:?}");
        assert_eq!(answer.json(), json!({ "operation_id": id, "status": "applied" }));
        let known = sandbox.get(&format!("/operations/{id}")).await.expect("an answer").json();
        assert_eq!(known["status"], "applied", "{known}");
        assert_eq!(known["kind"], path.trim_matches('/').trim_end_matches('s'));
        assert_eq!(known["request_sha256"], sha256(&body.to_string()));
        assert_eq!(known.get("amount_minor").is_some(), id != "m", "{known}");
    }
    let known = sandbox.get("/operations/d").await.expect("an answer").json();
    assert_eq!(known["amount_minor"], amount, "what was drawn stays");
    let unknown = sandbox.get("/operations/never").await.expect("an answer");
    assert_eq!(unknown.status, 404);
    assert!(unknown.text().contains("unknown-operation"), "{unknown:?}");
}

#[tokio::test]
async fn the_same_bytes_get_the_same_answer_and_others_a_conflict() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = directory.path().join("journal");
    let sandbox = Sandbox::with_journal(&journal, &[]).await;
    let first = sandbox.post("/draws", "one", &draw(1_000_000_000)).await.expect("an answer");
    for _ in 0..5 {
        let again = sandbox.post("/draws", "one", &draw(1_000_000_000)).await.expect("an answer");
        assert_eq!((again.status, &again.body), (200, &first.body));
    }
    for (path, body) in
        [("/draws", draw(999)), ("/payouts", transfer("rina", 5)), ("/payouts", draw(1))]
    {
        let answer = sandbox.post(path, "one", &body).await.expect("an answer");
        let expected = if path == "/payouts" && body.get("up_to_minor").is_some() {
            (422, "invalid-body")
        } else {
            (409, "operation-differs")
        };
        assert_eq!(answer.status, expected.0, "{answer:?}");
        assert!(answer.text().contains(expected.1), "{answer:?}");
    }
    assert_eq!(times_applied(&journal, "one"), 1);
    let decisions: Vec<Value> =
        lines(&journal).into_iter().filter_map(|line| line.get("decision").cloned()).collect();
    assert_eq!(
        json!(decisions),
        json!([
            "applied", "repeated", "repeated", "repeated", "repeated", "repeated", "refused",
            "refused", "refused"
        ])
    );
}

#[tokio::test]
async fn sixty_four_repeats_at_the_same_time_apply_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = directory.path().join("journal");
    let sandbox = Sandbox::with_journal(&journal, &[]).await;
    let body = draw(1_000_000_000);
    let repeats = (0..64).map(|_| sandbox.post("/draws", "same", &body));
    let answers = futures_util::future::join_all(repeats).await;
    let bodies: HashSet<String> =
        answers.into_iter().map(|answer| answer.expect("an answer").text()).collect();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    assert_eq!(times_applied(&journal, "same"), 1);
}

#[tokio::test]
async fn a_refusal_does_not_use_up_the_id() {
    let sandbox = Sandbox::start(&[]).await;
    let refused = sandbox.post("/payouts", "k", &transfer("unknown-joe", 5)).await;
    assert_eq!(refused.expect("an answer").status, 422);
    let answer = sandbox.post("/payouts", "k", &transfer("joe", 5)).await.expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn an_operation_is_new_again_after_the_dedupe_window() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = directory.path().join("journal");
    let sandbox = Sandbox::with_journal(&journal, &["--dedupe-window", "1"]).await;
    let pay =
        async || sandbox.post("/payouts", "w", &transfer("rina", 5)).await.expect("an answer");
    pay().await;
    assert_eq!(times_applied(&journal, "w"), 1);
    eventually("it is applied again", Duration::from_secs(10), async || {
        pay().await;
        (times_applied(&journal, "w") == 2).then_some(())
    })
    .await;
    let applied = lines(&journal).into_iter().filter(|line| line["line"] == "applied");
    let times: Vec<jiff::Timestamp> =
        applied.map(|line| line["at"].as_str().expect("a time").parse().expect("a time")).collect();
    let between = times[1].duration_since(times[0]);
    assert!(between.as_millis() > 1_000, "after {between:?} already");
}

#[tokio::test]
async fn the_payouts_of_a_day_are_listed_page_by_page() {
    let sandbox = Sandbox::start(&[]).await;
    let mut client = Client::connect(sandbox.address()).await.expect("a connection");
    for number in 0..501 {
        let id = format!("p{number}");
        let headers = [("content-type", "application/json"), ("idempotency-key", id.as_str())];
        let body = transfer("rina", 1 + number).to_string();
        let answer = client.send("POST", "/payouts", &headers, body).await.expect("an answer");
        assert_eq!(answer.status, 200);
    }
    let known = sandbox.get("/operations/p0").await.expect("an answer").json();
    let day = known["applied_at"].as_str().expect("a time").split('T').next().expect("a day");
    // Midnight may pass in the middle: whatever is missing then stands in the next day.
    let tomorrow = day.parse::<jiff::civil::Date>().expect("a day").tomorrow().expect("a day");
    let (mut seen, mut pages) = (Vec::new(), 0);
    for day in [day.to_owned(), tomorrow.to_string()] {
        let mut query = String::new();
        loop {
            let page = sandbox.get(&format!("/days/{day}{query}")).await.expect("an answer").json();
            assert_eq!(page["day"], day);
            pages += 1;
            seen.extend(page["payouts"].as_array().expect("a list").iter().map(|payout| {
                assert_eq!(payout["beneficiary"], "rina");
                (payout["operation_id"].to_string(), payout["amount_minor"].as_i64())
            }));
            match page.get("next").and_then(Value::as_str) {
                Some(next) => query = format!("?after={next}"),
                None => break,
            }
        }
    }
    let expected: Vec<_> = (0..501).map(|it| (format!("\"p{it}\""), Some(1 + it))).collect();
    assert_eq!(seen, expected);
    assert!(pages >= 3, "501 payouts in {pages} pages of two days");
}

#[tokio::test]
async fn a_bad_request_is_told_what_is_wrong_and_applies_nothing() {
    let sandbox = Sandbox::start(&[]).await;
    let good = transfer("rina", 5);
    let with = |field: &str, value: Value| {
        let mut body = good.clone();
        body[field] = value;
        body.to_string().into_bytes()
    };
    let without = |field: &str| {
        let mut body = good.clone();
        body.as_object_mut().expect("an object").remove(field);
        body.to_string().into_bytes()
    };
    let text = good.to_string();
    let double = text.replacen('{', "{\"reward\": \"x\", ", 1).into_bytes();
    for (body, status, kind, said) in [
        (with("amount_minor", json!(-5)), 422, "amount-out-of-range", "/amount_minor"),
        (with("amount_minor", json!(0)), 422, "amount-out-of-range", "/amount_minor"),
        (with("amount_minor", json!(i64::MAX)), 422, "amount-out-of-range", "1000000000000"),
        (with("amount_minor", json!(1.5)), 422, "invalid-body", "/amount_minor"),
        (with("amount_minor", json!("5")), 422, "invalid-body", "/amount_minor"),
        (with("amount_minor", json!(u64::MAX)), 422, "invalid-body", "/amount_minor"),
        (with("currency", json!("XXX")), 422, "currency-not-supported", "/currency"),
        (with("currency", json!("idr")), 422, "currency-not-supported", "IDR"),
        (with("beneficiary", json!("unknown-joe")), 422, "beneficiary-unknown", "/beneficiary"),
        (with("beneficiary", json!("")), 422, "invalid-body", "/beneficiary"),
        (with("campaign", json!("a\u{0}b")), 422, "invalid-body", "/campaign"),
        (with("reward", json!("x".repeat(129))), 422, "invalid-body", "/reward"),
        (with("colour", json!(1)), 422, "invalid-body", "/colour"),
        (without("reward"), 422, "invalid-body", "/reward"),
        (double, 422, "invalid-body", "/reward"),
        (b"[]".to_vec(), 422, "invalid-body", "object"),
        (b"{".to_vec(), 400, "malformed-body", "JSON"),
        (Vec::new(), 400, "malformed-body", "JSON"),
        (b"{\"campaign\": \"\xff\"}".to_vec(), 400, "malformed-body", "UTF-8"),
        (vec![b' '; 17_000], 413, "body-too-large", "16384"),
    ] {
        let headers = [("content-type", "application/json"), ("idempotency-key", "bad")];
        let shown: String = String::from_utf8_lossy(&body).chars().take(80).collect();
        let answer = send(sandbox.address(), "POST", "/payouts", &headers, body).await;
        let text = answer.text();
        assert_eq!(answer.status, status, "{shown}: {text}");
        assert_eq!(answer.header("content-type"), "application/problem+json", "{shown}");
        assert!(text.contains(&format!("urn:waypost:payment:{kind}")), "{shown}: {text}");
        assert!(text.contains(said), "{shown} should name {said}: {text}");
    }
    let unknown = sandbox.get("/operations/bad").await.expect("an answer");
    assert_eq!(unknown.status, 404, "something was applied: {unknown:?}");
}

#[tokio::test]
async fn bad_heads_and_addresses_are_told_what_is_wrong() {
    let sandbox = Sandbox::start(&[]).await;
    let json_type = ("content-type", "application/json");
    let long = "k".repeat(65);
    let key = |text| [json_type, ("idempotency-key", text)];
    for (method, path, headers, status, kind) in [
        ("POST", "/draws", &[json_type][..], 400, "invalid-key"),
        ("POST", "/draws", &key("a b"), 400, "invalid-key"),
        ("POST", "/draws", &key(&long), 400, "invalid-key"),
        ("POST", "/draws", &[key("a"), [json_type; 2]].concat(), 415, "unsupported-media-type"),
        ("POST", "/draws", &[key("a")[1]], 415, "unsupported-media-type"),
        ("POST", "/draws", &[key("a")[1], ("content-type", "text/plain")], 415, "media-type"),
        ("POST", "/draws", &[key("a")[1], key("b")[1], json_type], 400, "invalid-key"),
        ("GET", "/draws", &[], 405, "method-not-allowed"),
        ("DELETE", "/operations/a", &[], 405, "method-not-allowed"),
        ("POST", "/", &[], 405, "method-not-allowed"),
        ("GET", "/nothing", &[], 404, "not-found"),
        ("GET", "/operations/", &[], 404, "unknown-operation"),
        ("GET", "/days/20261124", &[], 400, "invalid-query"),
        ("GET", "/days/2026-02-30", &[], 400, "invalid-query"),
        ("GET", "/days/2026-11-24?after=x", &[], 400, "invalid-query"),
        ("GET", "/days/2026-11-24?before=1", &[], 400, "invalid-query"),
        ("GET", "/", &[("host", "a b")], 400, "invalid-header"),
        ("PUT", "/faults", &[], 415, "unsupported-media-type"),
    ] {
        let body = draw(5).to_string();
        let answer = send(sandbox.address(), method, path, headers, body).await;
        assert_eq!(answer.status, status, "{method} {path} {headers:?}: {answer:?}");
        assert!(answer.text().contains(kind), "{method} {path} {headers:?}: {answer:?}");
    }
    let answer = raw(sandbox.address(), b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.1 400"), "without a host: {answer}");
}

#[tokio::test]
async fn bad_arguments_are_told_what_is_wrong() {
    for (arguments, said) in [
        (&["--fault", "drop=0.1"][..], "drop-before"),
        (&["--fault", "delay=2"], "from 0 to 1"),
        (&["--dedupe-window", "0"], "dedupe-window"),
        (&["--delay-ms", "9999999"], "delay-ms"),
        (&["--listen", "nowhere"], "listen"),
        (&["--journal", "/"], "journal"),
    ] {
        let arguments = [&["sandbox", "--listen=127.0.0.1:0"], arguments].concat();
        let (code, output) = Waypost::run(&arguments, &[]).await;
        assert_ne!(code, Some(0), "{arguments:?}: {output}");
        assert!(output.contains(said), "{arguments:?} should name {said}: {output}");
    }
}
