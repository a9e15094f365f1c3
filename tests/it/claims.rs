//! Click tokens on their way back: claimed once, and refused with a reason of their own.

use futures_util::future::join_all;
use serde_json::{Value, json};
use waypost::clock::UnixMillis;
use waypost::link::DomainId;
use waypost::referral::token::{ClickToken, TokenKey};

use super::api::problem;
use super::support::Answer;
use super::support::api::NOW;
use super::support::referrals::{Referrals, click, minted, refusal};

fn body(token: &str, install: &str) -> Value {
    json!({ "token": token, "install_id": install, "source": "play_store" })
}

#[tokio::test]
async fn a_claim_is_made_once_and_answered_the_same_to_the_same_install() {
    let test = Referrals::screened(json!([])).await;
    let code = test.code("ann").await;
    let token = minted(&click(&code, 77));
    let mut request = body(&format!("wp_click={token}&utm_source=waypost"), "install-1");
    request["install_began_at"] = "2030-01-01T00:30:00+01:00".into();
    let first = test.claim(request).await;
    let expected = json!({
        "claim": "00000000-0000-0000-0000-00000000004d", "campaign": "spring", "code": code,
        "inviter": "a•••", "deep_link_path": format!("/invite/{code}"),
        "clicked_at": "2029-12-31T23:00:00Z", "claimed_at": "2030-01-01T00:00:00Z",
    });
    assert_eq!((first.status, first.json()), (201, expected.clone()));
    // Later, in another of the forms in which stores hand it over.
    let escaped = format!("wp_click%3D{token}%26utm_source%3Dwaypost");
    test.api.clock.advance(std::time::Duration::from_mins(5));
    let again = test.claim(body(&escaped, "install-1")).await;
    assert_eq!((again.status, again.json()), (200, expected));
    let other = test.claim(body(&token, "install-2")).await;
    assert_eq!(refusal(&other), (409, "claimed-by-another-install".to_owned()));
    let stored = "SELECT count(*) FROM claim WHERE source = 'play_store'
                  AND install_began_at = '2029-12-31 23:30Z'";
    assert_eq!(test.api.count(stored).await, 1);
    let figures = test.api.metrics.text();
    for outcome in ["claimed", "replayed", "another_install"] {
        let line = format!("waypost_claims_total{{outcome=\"{outcome}\"}} 1");
        assert!(figures.contains(&line), "{figures}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_64_installs_at_once_one_wins() {
    let test = Referrals::screened(json!([])).await;
    let code = test.code("ann").await;
    for round in 0..5 {
        let token = minted(&click(&code, round));
        let claims = (0..64).map(|install| test.claim(body(&token, &format!("install-{install}"))));
        let answers: Vec<Answer> = join_all(claims).await;
        let with = |status| answers.iter().filter(|it| it.status == status).count();
        assert_eq!((with(201), with(409)), (1, 63), "{answers:?}");
        let winner = answers.iter().position(|it| it.status == 201).expect("one");
        let again = test.claim(body(&token, &format!("install-{winner}"))).await;
        assert_eq!(again.status, 200);
    }
}

#[tokio::test]
async fn each_bad_token_has_its_own_clear_answer() {
    let test = Referrals::screened(json!([])).await;
    let code = test.code("ann").await;
    let added = test.api.call("POST", "/v1/domains", r#"{"host": "s.example"}"#).await;
    assert_eq!(added.status, 201);
    let good = click(&code, 1);
    let at = |seconds: u64| ClickToken { clicked_at_seconds: seconds, ..good.clone() };
    let now = NOW.0 / 1_000;
    let elsewhere = ClickToken { domain: DomainId(2), ..good.clone() };
    let guessed = TokenKey::new(1, UnixMillis(0), &[9; 32]);
    let unknown = TokenKey::new(9, UnixMillis(0), &[9; 32]);
    let whole = minted(&good);
    let cut = whole.get(..whole.len() - 5).expect("plain").to_owned();
    let claim = |token: String, domain: Option<&str>| {
        let mut request = body(&token, "install-1");
        request["domain"] = json!(domain);
        test.claim(request)
    };
    for (token, domain, status, name, word) in [
        (cut, None, 422, "token-malformed", "exactly as the store gave it"),
        (String::new(), None, 422, "token-missing", "ask for it"),
        ("utm_source=google-play".to_owned(), None, 422, "token-missing", "no 'wp_click'"),
        (
            "https://go.example/r/7KQ2MX".to_owned(),
            None,
            422,
            "token-missing",
            "code from the link",
        ),
        ("wp_click=&utm_source=waypost".to_owned(), None, 422, "token-malformed", "exactly"),
        (good.mint(&guessed), None, 422, "token-forged", "not one of ours"),
        (good.mint(&unknown), None, 422, "token-forged", "not one of ours"),
        (minted(&at(now - 604_800)), None, 422, "token-expired", "7 days"),
        (minted(&at(now + 3_600)), None, 503, "unavailable", "moment"),
        (minted(&elsewhere), None, 422, "token-of-another-domain", "'s.example'"),
        (whole.clone(), Some("s.example"), 422, "token-of-another-domain", "'domain'"),
    ] {
        let answer = claim(token, domain).await;
        assert_eq!(refusal(&answer), (status, name.to_owned()), "{answer:?}");
        assert!(answer.text().contains(word), "{answer:?}");
    }
    assert_eq!(test.api.count("SELECT count(*) FROM claim").await, 0);
    assert_eq!(claim(minted(&elsewhere), Some("S.example")).await.status, 201);
    let used = ClickToken { click_id: 2, ..good };
    assert_eq!(claim(minted(&used), Some("go.example")).await.status, 201);
}

#[tokio::test]
async fn a_bad_field_of_a_claim_is_named() {
    let test = Referrals::screened(json!([])).await;
    let token = minted(&click(&test.code("ann").await, 1));
    for (field, value, reason) in [
        ("install_id", json!(""), "empty"),
        ("install_id", json!("x".repeat(129)), "too-long"),
        ("install_id", json!("a\u{0}b"), "control-character"),
        ("source", json!("windows"), "out-of-range"),
        ("store_opened_at", json!("yesterday"), "not-a-time"),
        ("install_began_at", json!("1893456000"), "not-a-time"),
        ("domain", json!("unknown.example"), "unknown-domain"),
        ("token", json!(7), "wrong-type"),
        ("colour", json!("red"), "unknown-field"),
    ] {
        let mut request = body(&token, "install-1");
        request[field] = value.clone();
        let answer = test.claim(request).await;
        let expected = vec![(format!("/{field}"), reason.to_owned())];
        assert_eq!(problem(&answer), (422, "invalid-body".to_owned(), expected), "{value}");
    }
}
