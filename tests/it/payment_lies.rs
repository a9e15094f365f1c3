//! The client of the payment protocol against services that do not keep to it: no lie becomes money,
//! and no mishap becomes a refusal.

use std::time::Duration;

use jiff::civil::date;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use waypost::reward::payment::request;
use waypost::reward::payment::{AMOUNT_OUT_OF_RANGE, Asked, Call, Sent};

use super::payment::{client, money, settings};
use super::support::Other;
use super::support::other::Reply;

/// What a service that answers everything like this makes of a payout of 5.
async fn pay(status: &'static str, headers: &'static str, body: &str) -> Sent {
    send(Call::Pay, status, headers, body).await
}

async fn send(call: Call, status: &'static str, headers: &'static str, body: &str) -> Sent {
    let body = body.to_owned();
    let other = Other::start(move |_| Reply::whole(status, headers, &body)).await;
    let request = match call {
        Call::Draw => request::draw(&money(100)),
        Call::Allot | Call::Pay | Call::Message => request::payout(&money(5)),
    };
    let sent = client(&settings(other.address())).send(call, "op", request).await;
    assert_eq!(other.heard().len(), 1, "{status}: it is sent once");
    sent
}

async fn ask(call: Call, status: &'static str, body: &str) -> Asked {
    let body = body.to_owned();
    let other = Other::start(move |_| Reply::whole(status, "", &body)).await;
    let request = match call {
        Call::Draw => request::draw(&money(100)),
        Call::Allot | Call::Pay | Call::Message => request::payout(&money(5)),
    };
    client(&settings(other.address())).ask(call, "op", &request).await
}

fn problem(name: &str) -> String {
    let kind = format!("urn:waypost:payment:{name}");
    json!({ "type": kind, "title": "No", "detail": "so it is" }).to_string()
}

/// The number of a status line.
fn code(status: &str) -> &str {
    status.split(' ').next().unwrap_or_default()
}

#[tokio::test]
async fn each_status_means_what_the_protocol_says() {
    let applied = json!({ "operation_id": "op", "status": "applied" }).to_string();
    let sent = pay("200 OK", "", &applied).await;
    assert_eq!(sent, Sent::Applied { amount_minor: None });
    for status in [
        "400 Bad Request",
        "401 Unauthorized",
        "403 Forbidden",
        "404 Not Found",
        "405 Method Not Allowed",
        "409 Conflict",
        "410 Gone",
        "413 Payload Too Large",
        "415 Unsupported Media Type",
        "422 Unprocessable Content",
        "425 Too Early",
        "499 Closed",
    ] {
        let sent = pay(status, "", &problem("beneficiary-unknown")).await;
        let detail = "so it is".to_owned();
        assert_eq!(sent, Sent::Refused { problem: "beneficiary-unknown".to_owned(), detail });
        // Even if the body says that it was applied.
        let sent = pay(status, "", &applied).await;
        let Sent::Refused { problem, detail } = &sent else { panic!("{status}: {sent:?}") };
        assert_eq!(*problem, format!("status-{}", code(status)));
        assert_eq!(*detail, applied);
    }
    for status in ["429 Too Many Requests", "503 Service Unavailable"] {
        for body in [applied.clone(), problem("unavailable"), String::new()] {
            let sent = pay(status, "", &body).await;
            let Sent::Later { after: None, why } = &sent else { panic!("{status}: {sent:?}") };
            assert!(why.contains(code(status)), "{why}");
        }
    }
    for status in [
        "201 Created",
        "202 Accepted",
        "204 No Content",
        "301 Moved Permanently",
        "307 Temporary Redirect",
        "408 Request Timeout",
        "500 Internal Server Error",
        "502 Bad Gateway",
        "504 Gateway Timeout",
        "507 Insufficient Storage",
        "599 Odd",
    ] {
        let body = if status.starts_with("204") { "" } else { &applied };
        let sent = pay(status, "retry-after: 1\r\n", body).await;
        let Sent::Unknown { why } = &sent else { panic!("{status}: {sent:?}") };
        assert!(why.contains(code(status)), "{why}");
    }
}

#[tokio::test]
async fn a_pause_is_read_in_seconds_and_has_a_bound() {
    for (header, after) in [
        ("retry-after: 0\r\n", Some(0)),
        ("retry-after: 7\r\n", Some(7)),
        ("retry-after: 900\r\n", Some(900)),
        ("retry-after: 901\r\n", Some(900)),
        ("retry-after: 99999999999999999999999999\r\n", Some(900)),
        ("", None),
        ("retry-after:\r\n", None),
        ("retry-after: -1\r\n", None),
        ("retry-after: +5\r\n", None),
        ("retry-after: 1.5\r\n", None),
        ("retry-after: soon\r\n", None),
        ("retry-after: Tue, 24 Nov 2026 10:02:31 GMT\r\n", None),
    ] {
        for status in ["429 Too Many Requests", "503 Service Unavailable"] {
            let sent = pay(status, header, &problem("unavailable")).await;
            let why =
                format!("it answered with the status {} (unavailable): so it is", code(status));
            let after = after.map(Duration::from_secs);
            assert_eq!(sent, Sent::Later { after, why }, "{header:?}");
        }
    }
}

#[tokio::test]
async fn a_200_that_is_not_understood_is_unknown() {
    let whole = json!({ "operation_id": "op", "status": "applied" });
    let with = |field: &str, value: Value| {
        let mut body = whole.clone();
        body[field] = value;
        body.to_string()
    };
    for (body, said) in [
        (String::new(), "no JSON object: it said nothing"),
        ("OK".to_owned(), "no JSON object: OK"),
        ("null".to_owned(), "no JSON object"),
        ("[\"op\",\"applied\",5]".to_owned(), "no JSON object"),
        ("{\"operation_id\":\"op\",".to_owned(), "EOF"),
        (format!("{whole} and more"), "trailing"),
        ("{\"operation_id\":\"op\",\"operation_id\":\"op\"}".to_owned(), "duplicate field"),
        ("{}".to_owned(), "missing field `operation_id`"),
        (with("operation_id", json!("another")), "names another operation"),
        (with("operation_id", json!("OP")), "names another operation"),
        (with("operation_id", json!(5)), "invalid type"),
        (with("status", json!("pending")), "'status' is not \"applied\""),
        (with("status", json!("Applied")), "'status' is not \"applied\""),
        (with("status", Value::Null), "'status' is not \"applied\""),
        (with("amount_minor", json!("5")), "invalid type"),
        ("[".repeat(60_000), "no JSON object"),
        ("{\"more\":".repeat(6_000), "EOF"),
    ] {
        let sent = pay("200 OK", "", &body).await;
        let Sent::Unknown { why } = &sent else { panic!("{body}: {sent:?}") };
        assert!(why.starts_with("its answer is not understood: ") && why.contains(said), "{why}");
        assert!(why.chars().count() < 500, "{} characters", why.len());
    }
    let draw = json!({ "operation_id": "op" }).to_string();
    let sent = send(Call::Draw, "200 OK", "", &draw).await;
    let Sent::Unknown { why } = &sent else { panic!("{sent:?}") };
    assert!(why.contains("it lacks 'amount_minor'"), "{why}");
    let pending = json!({ "operation_id": "op", "status": "pending", "amount_minor": 5 });
    let sent = send(Call::Draw, "200 OK", "", &pending.to_string()).await;
    assert!(matches!(sent, Sent::Unknown { .. }), "{sent:?}");
}

/// Amounts of answers, for a draw of up to 100 and a payout of 5, and whether they are believed.
const AMOUNTS: [(Call, &str, bool); 16] = [
    (Call::Draw, "0", true),
    (Call::Draw, "1", true),
    (Call::Draw, "100", true),
    (Call::Draw, "101", false),
    (Call::Draw, "-1", false),
    (Call::Draw, "50.5", false),
    (Call::Draw, "50.0", false),
    (Call::Draw, "1e2", false),
    (Call::Draw, "9223372036854775807", false),
    (Call::Draw, "9223372036854775808", false),
    (Call::Draw, "99999999999999999999999999", false),
    (Call::Pay, "5", true),
    (Call::Pay, "6", false),
    (Call::Pay, "4", false),
    (Call::Pay, "-5", false),
    (Call::Allot, "0", false),
];

#[tokio::test]
async fn an_amount_that_was_not_asked_for_never_becomes_money() {
    for (call, amount, believed) in AMOUNTS {
        let body =
            format!("{{\"operation_id\":\"op\",\"status\":\"applied\",\"amount_minor\":{amount}}}");
        let sent = send(call, "200 OK", "", &body).await;
        if believed {
            let amount_minor = Some(amount.parse().expect("a number"));
            assert_eq!(sent, Sent::Applied { amount_minor }, "{call:?} {amount}");
        } else {
            let Sent::Refused { problem, detail } = &sent else { panic!("{amount}: {sent:?}") };
            assert_eq!(problem, AMOUNT_OUT_OF_RANGE);
            let asked = if call == Call::Draw { "from 0 to 100 was" } else { "5 was asked for" };
            assert!(detail.contains(asked), "{detail}");
        }
    }
}

/// What a service knows of the payout or draw `op`, with its bytes.
fn known(call: Call, kind: &str) -> Value {
    let request = match call {
        Call::Draw => request::draw(&money(100)),
        Call::Allot | Call::Pay | Call::Message => request::payout(&money(5)),
    };
    let digest = Sha256::digest(&request);
    let sha256 = digest.iter().fold(String::new(), |all, byte| all + &format!("{byte:02x}"));
    json!({
        "operation_id": "op", "kind": kind, "status": "applied", "request_sha256": sha256,
        "applied_at": "2026-11-24T10:02:31.402Z", "amount_minor": 5,
    })
}

#[tokio::test]
async fn what_is_known_of_an_operation_is_judged_like_the_answer_to_it() {
    for (call, amount, believed) in AMOUNTS {
        let kind = match call {
            Call::Draw => "draw",
            Call::Allot => "allotment",
            Call::Pay | Call::Message => "payout",
        };
        let body = known(call, kind).to_string();
        let body = body.replace("\"amount_minor\":5", &format!("\"amount_minor\":{amount}"));
        let asked = ask(call, "200 OK", &body).await;
        if believed {
            let amount_minor = Some(amount.parse().expect("a number"));
            assert_eq!(asked, Asked::Applied { amount_minor }, "{call:?} {amount}");
        } else {
            let Asked::Differs { detail } = &asked else { panic!("{amount}: {asked:?}") };
            assert!(detail.contains("the answer has the amount"), "{detail}");
        }
    }
    let upper = known(Call::Pay, "payout");
    let mut upper = upper.clone();
    let sha256 = upper["request_sha256"].as_str().expect("a text").to_ascii_uppercase();
    upper["request_sha256"] = json!(sha256);
    let asked = ask(Call::Pay, "200 OK", &upper.to_string()).await;
    assert_eq!(asked, Asked::Applied { amount_minor: Some(5) }, "digits are digits");
}

#[tokio::test]
async fn only_a_plain_word_about_this_operation_is_an_answer() {
    let with = |field: &str, value: Value| {
        let mut body = known(Call::Pay, "payout");
        body[field] = value;
        body.to_string()
    };
    let not_known = problem("unknown-operation");
    let unknown_elsewhere = json!({ "type": "about:blank", "title": "unknown-operation" });
    let nothing = Asked::NoAnswer { why: String::new() };
    let other = Asked::Differs { detail: String::new() };
    for (status, body, expected) in [
        ("404 Not Found", not_known.clone(), Asked::NotKnown),
        ("404 Not Found", problem("not-found"), nothing.clone()),
        ("404 Not Found", unknown_elsewhere.to_string(), nothing.clone()),
        ("404 Not Found", "<html>no such page</html>".to_owned(), nothing.clone()),
        ("404 Not Found", String::new(), nothing.clone()),
        ("410 Gone", not_known.clone(), nothing.clone()),
        ("200 OK", not_known.clone(), nothing.clone()),
        ("503 Service Unavailable", problem("unavailable"), nothing.clone()),
        ("500 Internal Server Error", problem("internal"), nothing.clone()),
        ("200 OK", String::new(), nothing.clone()),
        ("200 OK", "{}".to_owned(), nothing.clone()),
        ("200 OK", with("operation_id", json!("another")), nothing.clone()),
        ("200 OK", with("status", json!("pending")), nothing),
        ("200 OK", with("kind", json!("allotment")), other.clone()),
        ("200 OK", with("request_sha256", json!("00")), other.clone()),
        ("200 OK", with("request_sha256", json!("0".repeat(64))), other),
    ] {
        let asked = ask(Call::Pay, status, &body).await;
        let kind = std::mem::discriminant::<Asked>;
        assert_eq!(kind(&asked), kind(&expected), "{status} {body}: {asked:?}");
    }
}

#[tokio::test]
async fn a_huge_answer_is_not_read_to_its_end() {
    let fits = |length: usize| {
        let body = json!({ "operation_id": "op", "status": "applied" }).to_string();
        let room = " ".repeat(length.saturating_sub(body.len()));
        body + &room
    };
    let sent = pay("200 OK", "", &fits(64 * 1_024)).await;
    assert_eq!(sent, Sent::Applied { amount_minor: None });
    let sent = pay("200 OK", "", &fits(64 * 1_024 + 1)).await;
    let longer = "the answer is longer than 65536 bytes".to_owned();
    assert_eq!(sent, Sent::Unknown { why: longer.clone() });
    // What refuses at length may have done something: nobody has read what it says.
    let sent = pay("422 Unprocessable Content", "", &"x".repeat(1 << 20)).await;
    assert_eq!(sent, Sent::Unknown { why: longer.clone() });
    let asked = ask(Call::Pay, "200 OK", &"x".repeat(1 << 20)).await;
    assert_eq!(asked, Asked::NoAnswer { why: longer });
}

#[tokio::test]
async fn the_words_of_others_are_short_and_plain() {
    let rude = format!("no\r\n\u{1b}[31m{}", "x".repeat(10_000));
    for body in [rude.clone(), json!({ "detail": rude, "type": rude }).to_string()] {
        let sent = pay("422 Unprocessable Content", "", &body).await;
        let Sent::Refused { problem, detail } = &sent else { panic!("{sent:?}") };
        assert_eq!(problem, "status-422");
        assert_eq!(detail.chars().count(), 200, "{detail}");
        assert!(!detail.chars().any(char::is_control), "{detail:?}");
    }
    let long = problem(&"x".repeat(65));
    let odd = problem("Beneficiary Unknown");
    for body in [long, odd, problem("")] {
        let sent = pay("422 Unprocessable Content", "", &body).await;
        let Sent::Refused { problem, .. } = &sent else { panic!("{sent:?}") };
        assert_eq!(problem, "status-422");
    }
}

#[tokio::test]
async fn an_answer_that_does_not_come_whole_in_time_is_unknown() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{\"operation_id\":\"op\",";
    for (what, said) in [("silence", "no answer"), ("half", "no answer"), ("cut", "broke off")] {
        let other = Other::start(move |_| match what {
            "silence" => Reply::Nothing,
            "half" => Reply::Bytes(half.into()),
            _ => Reply::Last(half.into()),
        })
        .await;
        let mut config = settings(other.address());
        config.payment.deadline =
            if what == "cut" { config.payment.deadline } else { Duration::from_millis(100) };
        let payment = client(&config);
        let request = request::payout(&money(5));
        let sent = payment.send(Call::Pay, "op", request.clone()).await;
        let Sent::Unknown { why } = &sent else { panic!("{what}: {sent:?}") };
        assert!(why.contains(said), "{what}: {why}");
        let asked = payment.ask(Call::Pay, "op", &request).await;
        assert!(matches!(asked, Asked::NoAnswer { .. }), "{what}: {asked:?}");
        assert_eq!(other.heard().len(), 2, "{what}: one call and one question");
    }
}

#[tokio::test]
async fn a_service_that_says_nothing_good_about_itself_is_not_relied_on() {
    for (status, body, said) in [
        ("200 OK", json!({ "dedupe_window_seconds": 0 }), Err("must be 60 or more")),
        ("200 OK", json!({ "dedupe_window_seconds": -1 }), Err("not understood")),
        ("200 OK", json!({ "dedupe_window_seconds": "1 day" }), Err("not understood")),
        ("200 OK", json!({}), Err("missing field `dedupe_window_seconds`")),
        ("200 OK", json!([86_400]), Err("no JSON object")),
        ("401 Unauthorized", json!({ "dedupe_window_seconds": 86_400 }), Err("401 (status-401)")),
        ("200 OK", json!({ "dedupe_window_seconds": 86_400 }), Ok(86_400)),
        ("200 OK", json!({ "dedupe_window_seconds": u64::MAX }), Ok(365 * 86_400)),
    ] {
        let text = body.to_string();
        let other = Other::start(move |_| Reply::whole(status, "", &text)).await;
        let about = client(&settings(other.address())).about().await;
        let window = about.map(|about| about.dedupe_window.as_secs());
        match said {
            Ok(seconds) => assert_eq!(window, Ok(seconds), "{body}"),
            Err(said) => {
                let words = window.expect_err("refused");
                assert!(words.contains(said), "{body}: {words}");
            }
        }
        let asked = other.heard().remove(0).1;
        assert!(asked.starts_with("GET / HTTP/1.1\r\n"), "{asked}");
    }
}

#[tokio::test]
async fn a_page_of_payouts_must_be_the_one_that_was_asked_for() {
    let payout = json!({
        "operation_id": "p", "campaign": "demo", "reward": "r-1", "beneficiary": "rina",
        "currency": "IDR", "amount_minor": 5, "applied_at": "2026-11-24T10:02:31.402Z",
    });
    let page = |day: &str, next: Value| json!({ "day": day, "payouts": [payout], "next": next });
    let many = vec![payout.clone(); 40_000];
    for (body, said) in [
        (page("2026-11-24", json!("c&d ä")), None),
        (page("2026-11-24", Value::Null), None),
        (page("2026-11-25", Value::Null), Some("it is about another day")),
        (page("2026-11-24", json!("a b+c")), Some("leads to the same page again")),
        (page("2026-11-24", json!("")), Some("its 'next' must have 1 to 1024 bytes")),
        (page("2026-11-24", json!("x".repeat(1_025))), Some("must have 1 to 1024 bytes")),
        (json!({ "day": "2026-11-24" }), Some("missing field `payouts`")),
        (json!({ "day": "2026-11-24", "payouts": [{}] }), Some("missing field `operation_id`")),
        (json!({ "day": "2026-11-24", "payouts": many }), Some("longer than 4194304 bytes")),
    ] {
        let text = body.to_string();
        let other = Other::start(move |_| Reply::whole("200 OK", "", &text)).await;
        let payment = client(&settings(other.address()));
        let read = payment.day(date(2026, 11, 24), Some("a b+c")).await;
        match said {
            None => {
                let read = read.expect("a page");
                assert_eq!((read.payouts.len(), read.payouts[0].amount_minor), (1, 5));
                assert_eq!(read.next.as_deref(), body["next"].as_str());
            }
            Some(said) => {
                let words = read.expect_err(said);
                assert!(words.contains(said), "{words}");
            }
        }
        let asked = other.heard().remove(0).1;
        assert!(asked.starts_with("GET /days/2026-11-24?after=a+b%2Bc HTTP/1.1\r\n"), "{asked}");
    }
    let other =
        Other::start(|_| Reply::whole("400 Bad Request", "", &problem("invalid-query"))).await;
    let read = client(&settings(other.address())).day(date(2026, 11, 24), None).await;
    let words = read.expect_err("refused");
    assert_eq!(words, "it answered with the status 400 (invalid-query): so it is");
}
