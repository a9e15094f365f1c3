//! Bindings: each way to get one, and each reason to get none.

use std::time::Duration;

use futures_util::future::join_all;
use serde_json::{Value, json};

use super::api::problem;
use super::support::TestApi;
use super::support::other::{Other, Reply};
use super::support::quiet;
use super::support::referrals::{Referrals, click, document, refusal};
use waypost::store::user_locks::LockKey;

fn screen(check: &str, mode: &str, fields: &Value) -> Value {
    let mut screen = json!({ "check": check, "mode": mode });
    let fields = fields.as_object().cloned().unwrap_or_default();
    screen.as_object_mut().expect("an object").extend(fields);
    screen
}

/// A campaign with one check.
async fn with_check(check: &str, mode: &str, fields: &Value) -> Referrals {
    Referrals::screened(json!([screen(check, mode, fields)])).await
}

fn by_code(code: &str, invitee: &str) -> Value {
    json!({ "code": code, "invitee": invitee })
}

async fn outcome(test: &Referrals, body: Value) -> (u16, String) {
    let answer = test.bind(body).await;
    let state = answer.json().get("state").and_then(Value::as_str).map(str::to_owned);
    state.map_or_else(|| refusal(&answer), |state| (answer.status, state))
}

fn said(status: u16, word: &str) -> (u16, String) {
    (status, word.to_owned())
}

#[tokio::test]
async fn an_invitee_is_bound_once_and_for_ever() {
    let test = Referrals::screened(json!([])).await;
    let (ann, old) = (test.code("ann").await, test.code("ann").await);
    let eve = test.code("eve").await;
    let first = test.bind(by_code(&ann.to_lowercase(), "ben")).await;
    let expected = json!({
        "campaign": "spring", "invitee": "ben", "inviter": "a•••", "code": ann, "state": "bound",
        "bound_at": "2030-01-01T00:00:00Z",
    });
    assert_eq!((first.status, first.json()), (201, expected.clone()));
    test.api.clock.advance(Duration::from_mins(1));
    // The same again, also by another code of the same inviter.
    for code in [&ann, &old] {
        let again = test.bind(by_code(code, "ben")).await;
        assert_eq!((again.status, again.json()), (200, expected.clone()));
    }
    assert_eq!(outcome(&test, by_code(&eve, "ben")).await, said(409, "already-bound"));
    assert_eq!(test.decisions("ben").await, ["bound", "refused already-bound"]);
    // When all is over, what is bound stays bound.
    test.api.clock.advance(Duration::from_hours(24 * 90));
    assert_eq!(test.bind(by_code(&ann, "ben")).await.status, 200);
    assert_eq!(outcome(&test, by_code(&ann, "cat")).await, said(422, "campaign-not-running"));
    let figures = test.api.metrics.text();
    let line = "waypost_bindings_total{outcome=\"refused\",reason=\"already-bound\"} 1";
    assert!(figures.contains(line), "{figures}");
}

#[tokio::test]
async fn what_is_always_refused_has_its_reason() {
    let test = Referrals::screened(json!([])).await;
    let (ann, ben) = (test.code("ann").await, test.code("ben").await);
    let off = test.code("off").await;
    let database = test.api.database.connect().await;
    let switch = "UPDATE referral_code SET disabled = true WHERE code = $1";
    database.execute(switch, &[&off]).await.expect("a code");
    assert_eq!(outcome(&test, by_code("ZZZZZZ", "cat")).await, said(422, "unknown-code"));
    assert_eq!(outcome(&test, by_code("?", "cat")).await, said(422, "unknown-code"));
    assert_eq!(outcome(&test, by_code(&off, "cat")).await, said(422, "code-disabled"));
    assert_eq!(outcome(&test, by_code(&ann, "ann")).await, said(422, "self-referral"));
    assert_eq!(outcome(&test, by_code(&ann, "ben")).await, said(201, "bound"));
    assert_eq!(outcome(&test, by_code(&ben, "ann")).await, said(422, "cycle"));
    assert_eq!(outcome(&test, by_code(&ben, "cat")).await, said(201, "bound"));
    let cat = test.code("cat").await;
    assert_eq!(outcome(&test, by_code(&cat, "ann")).await, said(422, "cycle"));
    let kept = ["refused self-referral", "refused cycle", "refused cycle"];
    assert_eq!(test.decisions("ann").await, kept);
    let mut early = document(&json!([]));
    early["starts_at"] = "2030-01-01T00:00:01Z".into();
    test.activate(&early).await;
    assert_eq!(outcome(&test, by_code(&ann, "dan")).await, said(422, "campaign-not-running"));
    assert_eq!(test.api.call("POST", "/v1/campaigns/spring/retire", "").await.status, 200);
    test.api.read_campaigns().await;
    assert_eq!(outcome(&test, by_code(&ann, "eli")).await, said(422, "campaign-not-running"));
    let unknown = by_code(&ann, "eli").to_string();
    let unknown = test.api.call("POST", "/v1/campaigns/autumn/bindings", unknown).await;
    assert_eq!(refusal(&unknown), said(404, "not-found"));
}

#[tokio::test]
async fn a_chain_is_followed_as_far_as_it_goes_and_no_further_than_a_thousand() {
    let test = Referrals::screened(json!([])).await;
    let database = test.api.database.connect().await;
    let people = "INSERT INTO referral_code (code, campaign_id, user_id)
         SELECT 'C' || lpad(n::text, 5, '0'), 'spring', 'u' || n FROM generate_series(0, 1010) n";
    database.execute(people, &[]).await.expect("codes");
    // u0 was invited by u1, who was invited by u2, and so on.
    let chain = "INSERT INTO binding (campaign_id, invitee, inviter, code, campaign_version, state)
         SELECT 'spring', 'u' || n, 'u' || n + 1, 'C' || lpad((n + 1)::text, 5, '0'), 1, 'bound'
         FROM generate_series(0, 1005) n";
    database.execute(chain, &[]).await.expect("a chain");
    assert_eq!(outcome(&test, by_code("C00500", "u1006")).await, said(422, "cycle"));
    assert_eq!(outcome(&test, by_code("C00006", "new")).await, said(201, "bound"));
    assert_eq!(outcome(&test, by_code("C00005", "newer")).await, said(422, "chain-too-long"));
}

#[tokio::test]
async fn who_was_a_customer_since_the_start_is_not_new() {
    let test = with_check("new_user", "block", &json!({})).await;
    let ann = test.code("ann").await;
    assert_eq!(test.reached("ben", "credit_granted").await.status, 201);
    assert_eq!(outcome(&test, by_code(&ann, "ben")).await, said(422, "not-a-new-user"));
    // What the rule does not name makes nobody a customer.
    assert_eq!(test.reached("cat", "loan_disbursed").await.status, 201);
    assert_eq!(outcome(&test, by_code(&ann, "cat")).await, said(201, "bound"));
    let before = json!({
        "event_id": "old", "kind": "credit_granted", "user": "dan",
        "occurred_at": "2029-11-30T23:59:59Z",
    });
    assert_eq!(test.trigger(before).await.status, 201);
    assert_eq!(outcome(&test, by_code(&ann, "dan")).await, said(201, "bound"));
    let mut ever = document(&json!([screen("new_user", "block", &json!({}))]));
    ever["new_user"] = json!({ "without": ["credit_granted"], "since": "ever" });
    test.activate(&ever).await;
    let before = json!({
        "event_id": "older", "kind": "credit_granted", "user": "eli",
        "occurred_at": "2020-01-01T00:00:00Z",
    });
    assert_eq!(test.trigger(before).await.status, 201);
    assert_eq!(outcome(&test, by_code(&ann, "eli")).await, said(422, "not-a-new-user"));
}

#[tokio::test]
async fn the_mode_says_what_follows() {
    for (mode, expected, kept) in [
        ("observe", said(201, "bound"), "bound"),
        ("hold", said(201, "held"), "held not-a-new-user"),
        ("block", said(422, "not-a-new-user"), "refused not-a-new-user"),
    ] {
        let test = with_check("new_user", mode, &json!({})).await;
        let ann = test.code("ann").await;
        assert_eq!(test.reached("ben", "credit_granted").await.status, 201);
        assert_eq!(outcome(&test, by_code(&ann, "ben")).await, expected, "{mode}");
        assert_eq!(test.decisions("ben").await, [kept], "{mode}");
        let checks = "SELECT count(*) FROM binding_decision WHERE campaign_version = 1
                      AND checks -> 4 ->> 'said' = 'not-a-new-user'";
        assert_eq!(test.api.count(checks).await, 1, "what the check said is kept: {mode}");
    }
}

#[tokio::test]
async fn devices_and_networks_are_counted_and_stored_only_as_hashes() {
    let test = with_check("device", "block", &json!({})).await;
    let ann = test.code("ann").await;
    let on = |device: &str, invitee: &str| json!({ "code": ann, "invitee": invitee, "device": device, "address": "203.0.113.77" });
    assert_eq!(outcome(&test, on("phone", "ben")).await, said(201, "bound"));
    assert_eq!(outcome(&test, on("phone", "cat")).await, said(422, "device-already-used"));
    assert_eq!(outcome(&test, on("tablet", "dan")).await, said(201, "bound"));
    assert_eq!(test.bind(on("phone", "ben")).await.status, 200);
    let stored = "SELECT count(*) FROM binding WHERE octet_length(device) = 16
                  AND network = '203.0.113.0' AND position('phone'::bytea in device) = 0";
    assert_eq!(test.api.count(stored).await, 2);

    let velocity = json!({ "most": 2, "hours": 1 });
    let test = with_check("device_velocity", "block", &velocity).await;
    let ann = test.code("ann").await;
    let on =
        |device: &str, invitee: &str| json!({ "code": ann, "invitee": invitee, "device": device });
    for (invitee, expected) in [
        ("ben", said(201, "bound")),
        ("cat", said(201, "bound")),
        ("dan", said(422, "device-velocity")),
        // Who tries again is not somebody else.
        ("dan", said(422, "device-velocity")),
    ] {
        assert_eq!(outcome(&test, on("phone", invitee)).await, expected, "{invitee}");
    }
    assert_eq!(outcome(&test, on("tablet", "eli")).await, said(201, "bound"));
    test.api.clock.advance(Duration::from_hours(1));
    assert_eq!(outcome(&test, on("phone", "dan")).await, said(201, "bound"));

    let test = with_check("network_velocity", "hold", &velocity).await;
    let ann = test.code("ann").await;
    let from = |address: &str, invitee: &str| json!({ "code": ann, "invitee": invitee, "address": address });
    for (address, invitee, expected) in [
        ("203.0.113.1", "ben", "bound"),
        ("::ffff:203.0.113.2", "cat", "bound"),
        ("203.0.113.3", "dan", "held"),
        ("203.0.114.3", "eli", "bound"),
        ("2001:db8:1:2::1", "fay", "bound"),
        ("2001:db8:1:3::1", "gus", "bound"),
        ("2001:db8:1:4::1", "hal", "held"),
    ] {
        assert_eq!(outcome(&test, from(address, invitee)).await, said(201, expected), "{invitee}");
    }
    assert_eq!(test.decisions("dan").await, ["held network-velocity"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn counts_hold_when_everybody_comes_at_once() {
    let api = TestApi::with_connections(12).await;
    let screening = json!([
        screen("device", "block", &json!({ "most": 2 })),
        screen("inviter_velocity", "block", &json!({ "most": 5, "hours": 1 })),
    ]);
    let test = Referrals::on(api, &document(&screening)).await;
    let ann = test.code("ann").await;
    for round in 0..10 {
        // Each with an inviter of its own: only the device brings them together.
        let mut bodies = Vec::new();
        for number in 0..8 {
            let code = test.code(&format!("inviter-{round}-{number}")).await;
            let (invitee, device) = (format!("r{round}-{number}"), format!("phone-{round}"));
            bodies.push(json!({ "code": code, "invitee": invitee, "device": device }));
        }
        let answers = join_all(bodies.into_iter().map(|body| test.bind(body))).await;
        let bound = answers.iter().filter(|it| it.status == 201).count();
        assert_eq!(bound, 2, "two to a device, in round {round}: {answers:?}");
    }
    let bodies = (0..24).map(|number| by_code(&ann, &format!("invitee-{number}")));
    let answers = join_all(bodies.map(|body| test.bind(body))).await;
    assert_eq!(answers.iter().filter(|it| it.status == 201).count(), 5, "{answers:?}");
    let refused = answers.iter().filter(|it| it.status == 422).map(refusal);
    assert!(refused.clone().all(|it| it == said(422, "inviter-velocity")));
    assert_eq!(refused.count(), 19);
}

#[tokio::test]
async fn a_claim_binds_once_and_brings_its_device_and_its_time() {
    let screening = json!([
        screen("install_order", "block", &json!({})),
        screen("device", "block", &json!({})),
    ]);
    let test = Referrals::screened(screening).await;
    let ann = test.code("ann").await;
    let claimed = test.claimed(&click(&ann, 1), "install-1").await;
    let bound = test.bind(json!({ "claim": claimed, "invitee": "ben" })).await;
    assert_eq!((bound.status, &bound.json()["code"]), (201, &json!(ann)), "{bound:?}");
    assert_eq!(test.bind(json!({ "claim": claimed, "invitee": "ben" })).await.status, 200);
    let used = json!({ "claim": claimed, "invitee": "cat" });
    assert_eq!(outcome(&test, used).await, said(422, "claim-used"));
    // The installation counts as the device, however the next one comes.
    let same = json!({ "code": ann, "invitee": "dan", "device": "install-1" });
    assert_eq!(outcome(&test, same).await, said(422, "device-already-used"));
    let unknown = "00000000-0000-0000-0000-00000000ffff";
    let unknown = json!({ "claim": unknown, "invitee": "eli" });
    assert_eq!(outcome(&test, unknown).await, said(422, "unknown-claim"));
    // An installation that began before the click did not come by it.
    for (number, began, expected) in [
        (2, "2029-12-31T22:59:59Z", said(422, "installed-before-click")),
        (3, "2029-12-31T23:00:00Z", said(201, "bound")),
    ] {
        let token = super::support::referrals::minted(&click(&ann, number));
        let request = json!({
            "token": token, "install_id": format!("install-{number}"), "source": "play_store",
            "install_began_at": began,
        });
        let claim = test.claim(request).await.json()["claim"].clone();
        let body = json!({ "claim": claim, "invitee": format!("fay-{number}") });
        assert_eq!(outcome(&test, body).await, expected, "{began}");
    }
    let pinned = "SELECT count(*) FROM binding WHERE click_id IS NOT NULL AND campaign_version = 1";
    assert_eq!(test.api.count(pinned).await, 2);
}

#[tokio::test]
async fn a_claim_pins_the_version_that_its_page_promised() {
    let test = Referrals::screened(json!([])).await;
    let ann = test.code("ann").await;
    let claimed = test.claimed(&click(&ann, 1), "install-1").await;
    test.activate(&document(&json!([screen("device", "observe", &json!({}))]))).await;
    assert_eq!(test.bind(json!({ "claim": claimed, "invitee": "ben" })).await.status, 201);
    assert_eq!(test.bind(by_code(&ann, "cat")).await.status, 201);
    let versions =
        "SELECT count(*) FROM binding b JOIN binding_decision d USING (campaign_id, invitee)
         WHERE d.campaign_version = 2
           AND b.campaign_version = CASE b.invitee WHEN 'ben' THEN 1 ELSE 2 END";
    assert_eq!(test.api.count(versions).await, 2);
}

#[tokio::test]
async fn a_bad_field_of_a_binding_is_named() {
    let test = Referrals::screened(json!([])).await;
    let ann = test.code("ann").await;
    let with = |field: &str, value: Value| {
        let mut body = by_code(&ann, "ben");
        body[field] = value;
        body
    };
    for (body, pointer, reason) in [
        (json!({ "code": ann }), "/invitee", "required"),
        (json!({ "invitee": "ben" }), "/code", "required"),
        (with("claim", json!("00000000-0000-0000-0000-000000000001")), "/code", "conflict"),
        (json!({ "invitee": "ben", "claim": "x" }), "/claim", "bad-character"),
        (with("invitee", json!("")), "/invitee", "empty"),
        (with("invitee", json!("x".repeat(129))), "/invitee", "too-long"),
        (with("invitee", json!("a\u{0}b")), "/invitee", "control-character"),
        (with("device", json!("")), "/device", "empty"),
        (with("address", json!("somewhere")), "/address", "bad-character"),
        (with("address", json!("203.0.113.0/24")), "/address", "bad-character"),
        (with("inviter", json!("ann")), "/inviter", "unknown-field"),
    ] {
        let expected = vec![(pointer.to_owned(), reason.to_owned())];
        let answer = test.bind(body.clone()).await;
        assert_eq!(problem(&answer), (422, "invalid-body".to_owned(), expected), "{body}");
    }
    assert_eq!(test.api.count("SELECT count(*) FROM binding_decision").await, 0);
}

#[tokio::test]
async fn whoever_guesses_codes_has_to_wait() {
    let api = TestApi::with(|config| config.referrals.unknown_codes_per_hour = 3).await;
    let test = Referrals::on(api, &document(&json!([]))).await;
    let ann = test.code("ann").await;
    let guess = |invitee: &str, address: &str| json!({ "code": "ZZZZZZ", "invitee": invitee, "address": address });
    for _ in 0..3 {
        let refused = outcome(&test, guess("ben", "203.0.113.1")).await;
        assert_eq!(refused, said(422, "unknown-code"));
    }
    // From one address ten times as many may come.
    for guesser in 0..27 {
        let refused = outcome(&test, guess(&format!("guesser {guesser}"), "203.0.113.1")).await;
        assert_eq!(refused, said(422, "unknown-code"));
    }
    // Even with a good code; by the invitee's name, and by the address.
    for body in [by_code(&ann, "ben"), guess("cat", "203.0.113.1")] {
        let limited = test.bind(body).await;
        assert_eq!(refusal(&limited), said(429, "too-many-attempts"));
        let seconds: u64 = limited.header("retry-after").parse().expect("seconds");
        assert!((3_599..=3_601).contains(&seconds), "{seconds}");
    }
    assert_eq!(outcome(&test, guess("dan", "203.0.113.2")).await, said(422, "unknown-code"));
    test.api.clock.advance(Duration::from_hours(1));
    assert_eq!(outcome(&test, by_code(&ann, "ben")).await, said(201, "bound"));
}

#[tokio::test]
async fn a_lock_that_somebody_keeps_holds_up_nobody_else() {
    let _quiet = quiet().await;
    let test = Referrals::screened(json!([])).await;
    let (ann, eve) = (test.code("ann").await, test.code("eve").await);
    let mut holder = test.api.database.connect().await;
    let held = holder.transaction().await.expect("a transaction");
    let campaign = "spring".parse().expect("a name");
    held.execute("SELECT pg_advisory_xact_lock($1)", &[&LockKey::user(&campaign, "ann").number()])
        .await
        .expect("the lock");
    // More than there are connections, and all of them want what is held.
    let many =
        join_all((0..40).map(|friend| test.bind(by_code(&ann, &format!("friend {friend}")))));
    let (refused, others) = tokio::join!(many, async {
        let page = test.api.call("GET", "/v1/campaigns/spring/users/eve", "").await;
        (page.status, outcome(&test, by_code(&eve, "fay")).await)
    });
    assert_eq!(others, (200, said(201, "bound")));
    assert!(refused.iter().all(|answer| answer.status == 503), "{refused:?}");
    drop(held);
    assert_eq!(outcome(&test, by_code(&ann, "ben")).await, said(201, "bound"));
}

/// A campaign that asks `service`.
async fn asking(service: &Other, without_answer: &str) -> Referrals {
    let url = format!("http://{}/check", service.address());
    let more = json!({ "url": url, "without_answer": without_answer });
    with_check("eligibility", "block", &more).await
}

#[tokio::test]
async fn the_eligibility_service_is_asked_once_and_only_when_it_matters() {
    let service = Other::start(|request| {
        let no = request.contains("\"invitee\":\"bad\"");
        let answer = json!({ "eligible": !no, "reason": "on a\u{0} list", "more": 1 });
        Reply::whole("200 OK", "", &answer.to_string())
    })
    .await;
    let test = asking(&service, "try_later").await;
    let ann = test.code("ann").await;
    assert_eq!(outcome(&test, by_code(&ann, "ben")).await, said(201, "bound"));
    assert_eq!(outcome(&test, by_code(&ann, "bad")).await, said(422, "not-eligible"));
    let heard = service.heard();
    let question = r#"{"campaign":"spring","invitee":"ben","inviter":"ann"}"#;
    assert!(heard[0].1.starts_with("POST /check ") && heard[0].1.ends_with(question), "{heard:?}");
    // Not for those of whom all is known.
    assert_eq!(test.bind(by_code(&ann, "ben")).await.status, 200);
    assert_eq!(outcome(&test, by_code("ZZZZZZ", "cat")).await, said(422, "unknown-code"));
    assert_eq!(outcome(&test, by_code(&ann, "ann")).await, said(422, "self-referral"));
    assert_eq!(service.heard().len(), 2);
    let kept = "SELECT count(*) FROM binding_decision
                WHERE checks -> 4 ->> 'detail' = 'on a list' AND invitee = 'bad'";
    assert_eq!(test.api.count(kept).await, 1);
    let figures = test.api.metrics.text();
    for outcome in ["yes", "no"] {
        let line = format!("waypost_eligibility_questions_total{{outcome=\"{outcome}\"}} 1");
        assert!(figures.contains(&line), "{figures}");
    }
}

#[tokio::test]
async fn without_an_answer_the_setting_decides() {
    let slow = Other::start(|_| Reply::Nothing).await;
    let broken = Other::start(|_| Reply::Last(b"HTTP/1.1 200 OK\r\ncontent-le".to_vec())).await;
    let refusing = Other::start(|_| Reply::whole("500 Oh", "", r#"{"eligible": true}"#)).await;
    let babbling = Other::start(|_| Reply::whole("200 OK", "", r#"{"eligible": "yes"}"#)).await;
    let long = Other::start(|_| {
        let body = format!(r#"{{"eligible": true, "reason": "{}"}}"#, "x".repeat(2_000));
        Reply::whole("200 OK", "", &body)
    })
    .await;
    for service in [&slow, &broken, &refusing, &babbling, &long] {
        for (setting, expected, kept) in [
            ("pass", said(201, "bound"), &["bound"][..]),
            ("hold", said(201, "held"), &["held eligibility-unknown"]),
            ("try_later", said(503, "unavailable"), &[]),
        ] {
            let test = asking(service, setting).await;
            let ann = test.code("ann").await;
            let begun = tokio::time::Instant::now();
            let answer = test.bind(by_code(&ann, "ben")).await;
            assert!(begun.elapsed() < Duration::from_secs(6), "{setting}");
            if answer.status == 503 {
                assert_eq!(answer.header("retry-after"), "1");
            }
            let state = answer.json().get("state").and_then(Value::as_str).map(str::to_owned);
            let got = state.map_or_else(|| refusal(&answer), |state| (answer.status, state));
            assert_eq!(got, expected, "{setting}");
            assert_eq!(test.decisions("ben").await, kept, "{setting}");
        }
    }
}

#[tokio::test]
async fn a_users_page_has_all_that_an_app_shows() {
    let test = Referrals::screened(json!([screen("new_user", "hold", &json!({}))])).await;
    let page = async |user: &str| {
        let path = format!("/v1/campaigns/spring/users/{user}");
        test.api.call("GET", &path, "").await
    };
    let (old, ann) = (test.code("ann").await, test.code("ann").await);
    for (invitee, code) in [("ben", &old), ("cat", &ann), ("a b/c", &ann)] {
        assert_eq!(test.bind(by_code(code, invitee)).await.status, 201);
    }
    for user in ["ben", "cat", "dan"] {
        assert_eq!(test.reached(user, "credit_granted").await.status, 201);
    }
    assert_eq!(test.reached("ben", "loan_disbursed").await.status, 201);
    assert_eq!(outcome(&test, by_code(&ann, "dan")).await, said(201, "held"));
    let clicks = "INSERT INTO link_clicks (link_id, total, people)
         SELECT id, 10, CASE WHEN current THEN 5 ELSE 2 END FROM referral_code";
    test.api.database.connect().await.execute(clicks, &[]).await.expect("clicks");
    let shown = page("ann").await;
    assert_eq!(shown.status, 200, "{shown:?}");
    let mut shown = shown.json();
    let [codes, cards] =
        ["codes", "cards"].map(|name| shown.as_object_mut().and_then(|it| it.remove(name)));
    let (codes, cards) = (codes.expect("codes"), cards.expect("cards"));
    assert_eq!(
        (&cards[0]["kind"], &cards[0]["state"]),
        (&json!("loan_disbursed"), &json!("preparing"))
    );
    let expected = json!({
        "campaign": "spring", "user": "ann", "code": ann,
        "share_url": format!("https://go.example/r/{ann}"),
        "invited": {
            "opened": 7, "bound": 3, "held": 1,
            "reached": { "credit_granted": 3, "loan_disbursed": 1 },
        },
        "messages": { "allowed": true },
    });
    assert_eq!(shown, expected);
    assert_eq!((&codes[0]["code"], &codes[0]["opened"]), (&json!(ann), &json!(5)));
    assert_eq!((&codes[1]["code"], &codes[1]["current"]), (&json!(old), &json!(false)));
    let invited = page("a%20b%2Fc").await.json();
    let bound = json!({
        "inviter": "a•••", "code": ann, "state": "bound", "bound_at": "2030-01-01T00:00:00Z",
    });
    assert_eq!((&invited["user"], &invited["bound"]), (&json!("a b/c"), &bound));
    let nobody = page("nobody").await.json();
    let empty = json!({ "opened": 0, "bound": 0, "held": 0, "reached": {} });
    assert_eq!((&nobody["invited"], &nobody["codes"]), (&empty, &json!([])));
    assert_eq!(nobody["cards"], json!([]));
    assert!(nobody.get("code").is_none() && nobody.get("bound").is_none(), "{nobody}");
    let unknown = test.api.call("GET", "/v1/campaigns/autumn/users/ann", "").await;
    assert_eq!(refusal(&unknown), said(404, "not-found"));
}
