//! The client of the payment protocol against the real sandbox: what it sends, and what it makes of
//! each fault.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::json;
use waypost::config::{Config, Secret};
use waypost::reward::payment::request::{self, Message, Money};
use waypost::reward::payment::{Asked, Call, Payment, Sent};

use super::support::Other;
use super::support::other::{Reply, nobody_listens};
use super::support::sandbox::{Sandbox, times_applied};

/// Long enough for every answer that comes, and short enough to be waited for.
const SHORT: Duration = Duration::from_secs(1);

/// Settings with the payment service at this address, and enough patience for a busy machine.
pub(crate) fn settings(address: SocketAddr) -> Config {
    let mut config = Config::default();
    config.payment.url = Some(format!("http://{address}/").parse().expect("a URL"));
    config.payment.deadline = Duration::from_secs(20);
    config.notifications.deadline = Duration::from_secs(20);
    config
}

/// The client for these settings.
pub(crate) fn client(config: &Config) -> Payment {
    Payment::new(config).expect("good settings").expect("a payment service")
}

/// So much for Rina.
pub(crate) fn money(minor: i64) -> Money<'static> {
    Money { campaign: "demo", reward: "r-1", beneficiary: "rina", currency: "IDR", minor }
}

fn reminder() -> Bytes {
    request::message(&Message {
        campaign: "demo",
        user: "rina",
        kind: "scratch-card-reminder",
        language: Some("id"),
        reward: Some("r-1"),
        values: BTreeMap::from([("days_left", "3")]),
    })
}

/// One operation of each kind.
fn operations() -> [(Call, &'static str, Bytes); 4] {
    [
        (Call::Draw, "draw-1", request::draw(&money(2_500_000))),
        (Call::Allot, "allot-1", request::allotment(&money(5))),
        (Call::Pay, "pay-1", request::payout(&money(5))),
        (Call::Message, "message-1", reminder()),
    ]
}

#[tokio::test]
async fn each_call_is_applied_once_and_known_afterwards() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = directory.path().join("journal");
    let sandbox = Sandbox::with_journal(&journal, &[]).await;
    let payment = client(&settings(sandbox.address()));
    for (call, id, request) in operations() {
        assert_eq!(payment.ask(call, id, &request).await, Asked::NotKnown, "{call:?}");
        let sent = payment.send(call, id, request.clone()).await;
        let Sent::Applied { amount_minor } = sent else { panic!("{call:?}: {sent:?}") };
        let drawn = amount_minor.is_some_and(|minor| (0..=2_500_000).contains(&minor));
        assert_eq!(drawn, call == Call::Draw, "{amount_minor:?}");
        for _ in 0..3 {
            let again = payment.send(call, id, request.clone()).await;
            assert_eq!(again, Sent::Applied { amount_minor }, "{call:?}");
        }
        assert_eq!(times_applied(&journal, id), 1, "{call:?}");
        let known = match call {
            Call::Draw => amount_minor,
            Call::Allot | Call::Pay => Some(5),
            Call::Message => None,
        };
        let asked = payment.ask(call, id, &request).await;
        assert_eq!(asked, Asked::Applied { amount_minor: known }, "{call:?}");
    }
}

#[tokio::test]
async fn an_operation_with_other_bytes_or_of_another_kind_differs() {
    let sandbox = Sandbox::start(&[]).await;
    let payment = client(&settings(sandbox.address()));
    let (five, six) = (request::payout(&money(5)), request::payout(&money(6)));
    payment.send(Call::Pay, "p", five.clone()).await;
    for (call, request, said) in [
        (Call::Pay, &six, "SHA-256"),
        (Call::Allot, &five, "\"allotment\", and the service has \"payout\""),
    ] {
        let asked = payment.ask(call, "p", request).await;
        let Asked::Differs { detail } = asked else { panic!("{call:?}: {asked:?}") };
        assert!(detail.contains(said), "{detail}");
        let sent = payment.send(call, "p", request.clone()).await;
        let Sent::Refused { problem, .. } = &sent else { panic!("{call:?}: {sent:?}") };
        assert_eq!(problem, "operation-differs");
    }
}

#[tokio::test]
async fn a_refusal_has_the_name_of_the_protocol_and_the_words_of_the_service() {
    let sandbox = Sandbox::start(&[]).await;
    let payment = client(&settings(sandbox.address()));
    let good = money(5);
    for (money, problem, said) in [
        (Money { beneficiary: "unknown-joe", ..good }, "beneficiary-unknown", "/beneficiary"),
        (Money { currency: "XXX", ..good }, "currency-not-supported", "/currency"),
        (money(0), "amount-out-of-range", "/amount_minor"),
        (Money { campaign: "", ..good }, "invalid-body", "/campaign"),
    ] {
        let sent = payment.send(Call::Pay, "p", request::payout(&money)).await;
        let Sent::Refused { problem: named, detail } = &sent else { panic!("{sent:?}") };
        assert_eq!(named, problem);
        assert!(detail.starts_with(said), "{detail}");
    }
    let used = payment.ask(Call::Pay, "p", &request::payout(&good)).await;
    assert_eq!(used, Asked::NotKnown, "a refusal used up the id");
}

#[tokio::test]
async fn each_fault_is_told_apart_by_what_may_be_done_next() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = directory.path().join("journal");
    let sandbox = Sandbox::with_journal(&journal, &[]).await;
    let payment = client(&settings(sandbox.address()));
    let mut hasty = settings(sandbox.address());
    hasty.payment.deadline = SHORT;
    let hasty = client(&hasty);
    let request = request::payout(&money(5));
    let applied = Asked::Applied { amount_minor: Some(5) };
    for (fault, expected, then) in [
        ("drop-before", "unknown", Asked::NotKnown),
        ("drop-after", "unknown", applied.clone()),
        ("delay", "unknown", applied.clone()),
        ("error-before", "later", Asked::NotKnown),
        ("error-after", "unknown", applied.clone()),
        ("forget", "applied", applied.clone()),
        ("not-idempotent", "applied", applied),
    ] {
        sandbox.set_faults(&json!({ fault: 1, "delay-ms": 600_000 })).await;
        let asking = if fault == "delay" { &hasty } else { &payment };
        let sent = asking.send(Call::Pay, fault, request.clone()).await;
        let said = match &sent {
            Sent::Applied { .. } => "applied",
            Sent::Refused { .. } => "refused",
            Sent::Later { after, .. } => {
                assert_eq!(*after, Some(Duration::from_secs(1)), "{sent:?}");
                "later"
            }
            Sent::Unknown { .. } => "unknown",
        };
        assert_eq!(said, expected, "{fault}: {sent:?}");
        let asked = asking.ask(Call::Pay, fault, &request).await;
        match fault {
            "forget" => assert_eq!(asked, Asked::NotKnown),
            "not-idempotent" => assert!(matches!(asked, Asked::Applied { .. }), "{asked:?}"),
            _ => assert!(matches!(asked, Asked::NoAnswer { .. }), "{fault}: {asked:?}"),
        }
        sandbox.set_faults(&json!({})).await;
        assert_eq!(payment.ask(Call::Pay, fault, &request).await, then, "{fault}");
        let again = payment.send(Call::Pay, fault, request.clone()).await;
        assert_eq!(again, Sent::Applied { amount_minor: None }, "{fault}");
        assert_eq!(times_applied(&journal, fault), 1, "{fault}");
    }
}

#[tokio::test]
async fn nobody_there_means_later_and_nothing_applied() {
    let (_taken, address) = nobody_listens();
    let payment = client(&settings(address));
    for (call, id, request) in operations() {
        let sent = payment.send(call, id, request.clone()).await;
        let Sent::Later { after: None, why } = &sent else { panic!("{call:?}: {sent:?}") };
        assert!(why.starts_with("no connection"), "{why}");
        let asked = payment.ask(call, id, &request).await;
        assert!(matches!(asked, Asked::NoAnswer { .. }), "{call:?}: {asked:?}");
    }
    let today = Timestamp::UNIX_EPOCH.to_zoned(TimeZone::UTC).date();
    assert!(payment.day(today, None).await.expect_err("nobody").starts_with("no connection"));
    assert!(payment.about().await.expect_err("nobody").starts_with("no connection"));
}

#[tokio::test]
async fn without_a_payment_service_there_is_no_client() {
    let mut config = Config::default();
    config.notifications.url = Some("http://127.0.0.1:9/".parse().expect("a URL"));
    assert!(Payment::new(&config).expect("good settings").is_none());
}

#[tokio::test]
async fn the_dedupe_window_must_be_a_minute_at_least() {
    let about = async |seconds: &str| {
        let sandbox = Sandbox::start(&["--dedupe-window", seconds]).await;
        client(&settings(sandbox.address())).about().await
    };
    let window = about("60").await.expect("long enough").dedupe_window;
    assert_eq!(window, Duration::from_mins(1));
    let said = about("59").await.expect_err("too short");
    assert!(said.contains("for 59 seconds only") && said.contains("60 or more"), "{said}");
}

#[tokio::test]
async fn the_payouts_of_a_day_are_read_page_by_page() {
    let sandbox = Sandbox::start(&[]).await;
    let payment = client(&settings(sandbox.address()));
    let pay = async |number: i64| {
        let request = request::payout(&money(1 + number));
        let sent = payment.send(Call::Pay, &format!("p{number}"), request).await;
        assert_eq!(sent, Sent::Applied { amount_minor: None });
    };
    for number in 0..501 {
        pay(number).await;
    }
    let known = sandbox.get("/operations/p0").await.expect("an answer").json();
    let first: Timestamp = known["applied_at"].as_str().expect("a time").parse().expect("a time");
    let day = first.to_zoned(TimeZone::UTC).date();
    let (mut seen, mut pages) = (Vec::new(), 0);
    // Midnight may pass in the middle: whatever is missing then stands in the next day.
    for day in [day, day.tomorrow().expect("a day")] {
        let mut after = None;
        loop {
            let page = payment.day(day, after.as_deref()).await.expect("a page");
            pages += 1;
            for payout in page.payouts {
                assert_eq!(payout.applied_at.to_zoned(TimeZone::UTC).date(), day);
                let names = [&*payout.campaign, &*payout.reward, &*payout.beneficiary];
                assert_eq!((names, &*payout.currency), (["demo", "r-1", "rina"], "IDR"));
                seen.push((payout.operation_id, payout.amount_minor));
            }
            after = page.next;
            if after.is_none() {
                break;
            }
        }
    }
    let expected: Vec<_> = (0..501).map(|number| (format!("p{number}"), 1 + number)).collect();
    assert_eq!(seen, expected);
    assert!(pages >= 3, "501 payouts in {pages} pages of two days");
}

/// An answer to every call and question that fits it.
fn agreeable(request: &str) -> Reply {
    let id = request
        .lines()
        .find_map(|line| line.strip_prefix("idempotency-key: "))
        .expect("an operation id");
    let body = json!({ "operation_id": id, "status": "applied", "amount_minor": 5 });
    Reply::whole("200 OK", "", &body.to_string())
}

#[tokio::test]
async fn each_service_gets_its_own_address_bytes_and_authorization() {
    let (money, own) = (Other::start(agreeable).await, Other::start(agreeable).await);
    let mut config = settings(money.address());
    let below = format!("http://{}/lender/v1/", money.address());
    config.payment.url = Some(below.parse().expect("a URL"));
    config.payment.authorization = Secret::new("Bearer for-money");
    let send_all = async |config: &Config| {
        let payment = client(config);
        assert!(!format!("{payment:?}").contains("for-"), "a secret shows itself");
        for (call, id, request) in operations() {
            let sent = payment.send(call, id, request).await;
            assert!(matches!(sent, Sent::Applied { .. }), "{call:?}: {sent:?}");
        }
    };
    send_all(&config).await;
    let heard = money.heard();
    let paths = ["draws", "allotments", "payouts", "messages"];
    for (((_, id, request), path), (_, text)) in operations().iter().zip(paths).zip(&heard) {
        assert!(text.starts_with(&format!("POST /lender/v1/{path} HTTP/1.1\r\n")), "{text}");
        let body = String::from_utf8_lossy(request);
        assert!(text.ends_with(&format!("\r\n\r\n{body}")), "{text}");
        let key = format!("idempotency-key: {id}");
        for header in [&*key, "content-type: application/json", "authorization: Bearer for-money"] {
            assert_eq!(text.matches(&format!("\r\n{header}\r\n")).count(), 1, "{header}: {text}");
        }
    }
    // At the same service, with an authorization of its own.
    config.notifications.authorization = Secret::new("Bearer for-messages");
    send_all(&config).await;
    let heard: Vec<String> = money.heard().into_iter().map(|(_, text)| text).collect();
    let with = |words: &str| heard.iter().filter(|text| text.contains(words)).count();
    assert_eq!((with("Bearer for-money"), with("Bearer for-messages")), (7, 1));
    // At another service, which does not get the key of the first one.
    config.notifications.authorization = Secret::default();
    let elsewhere = format!("http://{}/", own.address());
    config.notifications.url = Some(elsewhere.parse().expect("a URL"));
    send_all(&config).await;
    let [(_, message)] = &own.heard()[..] else { panic!("{:?}", own.heard()) };
    assert!(message.starts_with("POST /messages HTTP/1.1\r\n"), "{message}");
    assert!(!message.to_ascii_lowercase().contains("authorization"), "{message}");
}

#[tokio::test]
async fn questions_about_an_operation_go_to_the_service_that_it_was_sent_to() {
    let not_known = |_: &str| {
        let body = json!({ "type": "urn:waypost:payment:unknown-operation" });
        Reply::whole("404 Not Found", "", &body.to_string())
    };
    let (money, own) = (Other::start(not_known).await, Other::start(not_known).await);
    let mut config = settings(money.address());
    let elsewhere = format!("http://{}/", own.address());
    config.notifications.url = Some(elsewhere.parse().expect("a URL"));
    let payment = client(&config);
    for (call, id, request) in operations() {
        assert_eq!(payment.ask(call, id, &request).await, Asked::NotKnown);
    }
    let lines = |other: &Other| {
        let heard = other.heard().into_iter();
        heard.map(|(_, text)| text.lines().next().unwrap_or_default().to_owned()).collect()
    };
    let (asked, asked_own): (Vec<String>, Vec<String>) = (lines(&money), lines(&own));
    let line = |id: &str| format!("GET /operations/{id} HTTP/1.1");
    assert_eq!(asked, ["draw-1", "allot-1", "pay-1"].map(line));
    assert_eq!(asked_own, [line("message-1")]);
}

#[tokio::test]
async fn what_is_no_operation_id_is_sent_to_nobody() {
    let other = Other::start(agreeable).await;
    let payment = client(&settings(other.address()));
    let long = "x".repeat(65);
    for bad in ["", "a b", "a/b", "..", "ä", "a\r\nx: y", &long] {
        let request = request::payout(&money(5));
        let sent = payment.send(Call::Pay, bad, request.clone()).await;
        let Sent::Refused { problem, detail } = &sent else { panic!("{bad:?}: {sent:?}") };
        assert_eq!(problem, "invalid-key", "{bad:?}");
        assert!(detail.contains("1 to 64 of the characters"), "{detail}");
        let asked = payment.ask(Call::Pay, bad, &request).await;
        assert!(matches!(asked, Asked::NoAnswer { .. }), "{bad:?}: {asked:?}");
    }
    assert_eq!(other.heard(), []);
}

#[tokio::test]
async fn sixty_four_calls_at_a_time_use_their_connections_again() {
    let other = Other::start(agreeable).await;
    let payment = client(&settings(other.address()));
    for round in 0..10 {
        let calls = (0..64).map(async |number| {
            let id = format!("p-{round}-{number}");
            payment.send(Call::Pay, &id, request::payout(&money(5))).await
        });
        for sent in join_all(calls).await {
            assert_eq!(sent, Sent::Applied { amount_minor: Some(5) });
        }
    }
    let heard = other.heard();
    let connections: BTreeSet<usize> = heard.iter().map(|(number, _)| *number).collect();
    let count = connections.len();
    assert_eq!(heard.len(), 640);
    // With eight idle ones kept, 56 of each round would connect anew: more than five hundred.
    assert!((1..=96).contains(&count), "{count} connections for 640 calls, 64 at a time");
}
