//! Signing in to the console, who may do what there, and what every page must have.

use std::time::Duration;

use serde_json::json;

use crate::support::Answer;
use crate::support::console::{ANYBODY, Browser, HOST, Operators, PROXY, cookie_of, encoded};
use crate::support::html::Page;

/// What a form of the console is sent with.
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

/// Names and values.
type Lines<'a> = &'a [(&'a str, &'a str)];

#[tokio::test]
async fn whoever_has_a_key_signs_in_and_out_and_both_are_written_down() {
    let operators = Operators::open().await;
    let asked = operators.send(("GET", "/console"), &[("host", HOST)], "").await;
    assert_eq!(asked.status, 200);
    assert_eq!(Page::read(&asked.text()).text_of("h1"), "Sign in");
    let browser = operators.sign_in(&operators.desk.ada).await;
    let page = browser.page("/console").await;
    assert_eq!(page.text_of("h1"), "Overview");
    assert!(page.text.contains("ada"), "{}", page.text);
    let left = browser.submit("/console/sign-out", &[]).await;
    assert_eq!((left.status, left.header("location")), (303, "/console"));
    assert!(left.header("set-cookie").contains("Max-Age=0"), "{left:?}");
    // The id is worth nothing any more, whoever kept it.
    let page = Page::read(&browser.get("/console").await.text());
    assert_eq!(page.text_of("h1"), "Sign in");
    assert!(page.text.contains("Your session has ended"), "{}", page.text);
    let audit = "SELECT string_agg(concat_ws(' ', actor, action), ', ' ORDER BY id) FROM audit
                 WHERE action LIKE 'console.%'";
    assert_eq!(operators.desk.text(audit).await, "ada console.sign-in, ada console.sign-out");
    // Neither the id nor the key stands in the database.
    let stored = "SELECT count(*)::text FROM console_session";
    assert_eq!(operators.desk.text(stored).await, "0");
}

#[tokio::test]
async fn a_key_that_does_not_hold_signs_nobody_in() {
    let operators = Operators::open().await;
    let api = &operators.desk.test.api;
    let revoked = api.add_key("gone", &["links"]).await;
    api.count(
        "WITH gone AS (UPDATE api_key SET revoked_at = now() WHERE actor = 'gone' RETURNING 1) \
               SELECT count(*) FROM gone",
    )
    .await;
    let (start, _) = operators.desk.ada.rsplit_once('_').expect("a key");
    let wrong = format!("{start}_{}", "x".repeat(43));
    let unknown = format!("wp_{}_{}", "x".repeat(12), "x".repeat(43));
    for key in [revoked.as_str(), wrong.as_str(), unknown.as_str(), "wp_short", "", "<script>"] {
        let answer = operators.submit("/console/sign-in", "", &[("key", key)]).await;
        assert_eq!((answer.status, answer.header("set-cookie")), (403, ""), "{key}");
        let page = Page::read(&answer.text());
        let field =
            page.elements.iter().find(|it| it.attributes.get("id").is_some_and(|it| it == "key"));
        let field = &field.expect("the field").attributes;
        assert_eq!(field["aria-invalid"], "true");
        assert!(field["aria-describedby"].contains("key-error"));
        // What was sent is not repeated: it may be most of a key.
        assert_eq!(field["value"], "");
        assert!(key.is_empty() || !answer.text().contains(key), "{key}");
    }
}

#[tokio::test]
async fn whoever_tries_too_many_keys_has_to_wait_and_nobody_else() {
    let operators = Operators::open().await;
    for _ in 0..20 {
        let answer = operators.submit("/console/sign-in", "", &[("key", "wp_no")]).await;
        assert_eq!(answer.status, 403);
    }
    let good = [("key", operators.desk.ada.as_str())];
    let refused = operators.submit("/console/sign-in", "", &good).await;
    assert_eq!(refused.status, 429, "{refused:?}");
    assert!(refused.text().contains("Try again in"), "{}", refused.text());
    let origin = format!("http://{HOST}");
    let headers = [("host", HOST), ("origin", origin.as_str()), FORM];
    let other = operators
        .send_from("192.0.2.2", ("POST", "/console/sign-in"), &headers, &encoded(&good))
        .await;
    assert_eq!(other.status, 303, "{other:?}");
    operators.desk.test.api.clock.advance(Duration::from_mins(10));
    assert_eq!(operators.submit("/console/sign-in", "", &good).await.status, 303);
}

#[tokio::test]
async fn a_session_ends_with_its_time_when_it_is_left_alone_and_with_its_key() {
    let operators = Operators::open().await;
    let clock = &operators.desk.test.api.clock;
    let minutes = |count: u64| Duration::from_mins(count);
    let heading = async |browser: &Browser<'_>| {
        Page::read(&browser.get("/console").await.text()).text_of("h1").to_owned()
    };
    let used = operators.sign_in(&operators.desk.ada).await;
    let left_alone = operators.sign_in(&operators.desk.bob).await;
    clock.advance(minutes(59));
    assert_eq!(heading(&used).await, "Overview");
    clock.advance(minutes(1));
    assert_eq!(heading(&left_alone).await, "Sign in", "an hour alone");
    assert_eq!(heading(&used).await, "Overview");
    for _ in 0..8 {
        clock.advance(minutes(50));
        assert_eq!(heading(&used).await, "Overview");
    }
    clock.advance(minutes(20));
    assert_eq!(heading(&used).await, "Sign in", "eight hours");
    let revoked = operators.sign_in(&operators.desk.ada).await;
    assert_eq!(heading(&revoked).await, "Overview");
    let revoke =
        "WITH gone AS (UPDATE api_key SET revoked_at = now() WHERE actor = 'ada' RETURNING 1)
                  SELECT count(*)::text FROM gone";
    assert_eq!(operators.desk.text(revoke).await, "1");
    assert_eq!(heading(&revoked).await, "Sign in", "the key was revoked");
    let form = [("key", operators.desk.bob.as_str())];
    assert_eq!(operators.submit("/console/sign-in", "", &form).await.status, 303);
    // What has ended is forgotten with the next sign-in; the one of the revoked key ends by itself.
    assert_eq!(operators.desk.text("SELECT count(*)::text FROM console_session").await, "2");
}

#[tokio::test]
async fn an_id_that_a_browser_brings_along_is_never_taken_up() {
    let operators = Operators::open().await;
    let planted = format!("waypost_console={}", "x".repeat(43));
    let key = [("key", operators.desk.ada.as_str())];
    let first = operators.submit("/console/sign-in", &planted, &key).await;
    let first = cookie_of(&first);
    assert_ne!(first, planted);
    let headers = [("host", HOST), ("cookie", planted.as_str())];
    let page = operators.send(("GET", "/console"), &headers, "").await;
    assert_eq!(Page::read(&page.text()).text_of("h1"), "Sign in");
    // Signing in once more makes a new id, and ends the session that was there.
    let second = cookie_of(&operators.submit("/console/sign-in", &first, &key).await);
    assert_ne!(second, first);
    for (cookie, heading) in [(first, "Sign in"), (second, "Overview")] {
        let headers = [("host", HOST), ("cookie", cookie.as_str())];
        let page = operators.send(("GET", "/console"), &headers, "").await;
        assert_eq!(Page::read(&page.text()).text_of("h1"), heading);
    }
}

#[tokio::test]
async fn a_form_counts_only_from_a_page_of_the_same_session() {
    let operators = Operators::open().await;
    let (browser, other) =
        (operators.sign_in_with(&["links"]).await, operators.sign_in_with(&["links"]).await);
    let (token, foreign) = (browser.token().await, other.token().await);
    assert_ne!(token, foreign);
    let own = format!("http://{HOST}");
    let origin = ("origin", own.as_str());
    let cases: &[(&str, Lines<'_>, u16)] = &[
        ("", &[origin], 403),
        (&foreign, &[origin], 403),
        (token.get(1..).expect("letters"), &[origin], 403),
        (&token, &[], 403),
        (&token, &[("origin", "http://evil.example")], 403),
        (&token, &[("origin", "null")], 403),
        (&token, &[origin, ("sec-fetch-site", "cross-site")], 403),
        (&token, &[origin, ("sec-fetch-site", "same-site")], 403),
        (&token, &[origin, ("sec-fetch-site", "same-origin")], 303),
        (&token, &[origin], 303),
        (&token, &[("sec-fetch-site", "same-origin")], 303),
    ];
    let mut made = 0;
    for (token, headers, status) in cases {
        let body = encoded(&[("token", token), ("target", "https://example.com/")]);
        let mut all = vec![("host", HOST), ("cookie", browser.cookie.as_str()), FORM];
        all.extend_from_slice(headers);
        let answer = operators.send(("POST", "/console/links/new"), &all, &body).await;
        assert_eq!(answer.status, *status, "{token} {headers:?}: {}", answer.text());
        made += i64::from(*status == 303);
        assert_eq!(operators.desk.test.api.count("SELECT count(*) FROM link").await, made);
        if *status == 403 {
            let text = answer.text();
            assert!(text.contains("nothing was changed"), "{text}");
        }
    }
    // Whoever is not signed in changes nothing either, and other bodies are no forms.
    let fields = [("token", token.as_str()), ("target", "https://example.com/")];
    assert_eq!(operators.submit("/console/links/new", "", &fields).await.status, 403);
    let headers = [
        ("host", HOST),
        ("cookie", browser.cookie.as_str()),
        origin,
        ("content-type", "text/plain"),
    ];
    let answer = operators.send(("POST", "/console/links/new"), &headers, &encoded(&fields)).await;
    assert_eq!(answer.status, 415);
    let answer = operators.send(("PUT", "/console/links/new"), &headers, "").await;
    assert_eq!(answer.status, 405);
    assert_eq!(operators.desk.test.api.count("SELECT count(*) FROM link").await, made);
}

#[tokio::test]
async fn behind_a_trusted_proxy_with_https_the_cookie_belongs_to_the_host_alone() {
    let operators = Operators::open().await;
    let body = encoded(&[("key", operators.desk.ada.as_str())]);
    let origin = format!("https://{HOST}");
    for (peer, name) in [(PROXY, "__Host-waypost"), (ANYBODY, "waypost_console")] {
        let headers = [
            ("host", HOST),
            ("origin", origin.as_str()),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-for", "203.0.113.5"),
            FORM,
        ];
        let answer = operators.send_from(peer, ("POST", "/console/sign-in"), &headers, &body).await;
        let cookie = answer.header("set-cookie");
        assert!(cookie.starts_with(&format!("{name}=")), "{peer}: {answer:?}");
        assert!(cookie.contains("; HttpOnly") && cookie.contains("; SameSite=Strict"), "{cookie}");
        assert_eq!(cookie.contains("; Secure"), peer == PROXY, "{cookie}");
        let (cookie, secure) = (cookie_of(&answer), ("x-forwarded-proto", "https"));
        let headers = [("host", HOST), ("cookie", cookie.as_str()), secure];
        let page = operators.send_from(peer, ("GET", "/console"), &headers, "").await;
        assert_eq!(Page::read(&page.text()).text_of("h1"), "Overview", "{peer}");
    }
}

#[tokio::test]
async fn whoever_asks_for_a_page_first_is_led_there_after_signing_in_and_nowhere_else() {
    let operators = Operators::open().await;
    let asked = operators.send(("GET", "/console/links?q=a%20b"), &[("host", HOST)], "").await;
    assert_eq!(asked.status, 403);
    assert!(asked.text().contains("name=\"to\" value=\"/console/links?q=a%20b\""));
    for (to, place) in [
        ("/console/links?q=a%20b", "/console/links?q=a%20b"),
        ("https://evil.example/", "/console"),
    ] {
        let form = [("key", operators.desk.ada.as_str()), ("to", to)];
        let answer = operators.submit("/console/sign-in", "", &form).await;
        assert_eq!((answer.status, answer.header("location")), (303, place));
    }
}

/// Pages, with the scopes of which one is needed.
const PAGES: [(&str, &[&str]); 9] = [
    ("/console", &["links", "rewards", "reviews", "campaigns", "triggers", "admin"]),
    ("/console/links", &["links", "admin"]),
    ("/console/links/new", &["links", "admin"]),
    ("/console/rewards", &["rewards", "reviews", "admin"]),
    ("/console/compensations", &["rewards", "reviews", "admin"]),
    ("/console/compensations/new", &["rewards", "admin"]),
    ("/console/campaigns", &["campaigns", "admin"]),
    ("/console/campaigns/spring", &["campaigns", "admin"]),
    ("/console/campaigns/spring/1/activate", &["campaigns", "admin"]),
];

#[tokio::test]
async fn scopes_decide_what_is_shown_and_what_is_refused() {
    let operators = Operators::open().await;
    for scope in ["links", "rewards", "reviews", "campaigns", "triggers", "admin"] {
        let browser = operators.sign_in_with(&[scope]).await;
        let home = browser.page("/console").await;
        for (path, needed) in PAGES {
            let answer = browser.get(path).await;
            let may = needed.contains(&scope);
            assert_eq!(answer.status, if may { 200 } else { 403 }, "{scope}: {path}");
            let in_bar = path.matches('/').count() == 2;
            assert!(!in_bar || home.links().contains(&path) == may, "{scope}: {path}");
            let says = answer.text().contains("lacks the scope");
            assert_eq!(says, !may, "{scope}: {path}");
        }
    }
    // Who may only look decides nothing.
    let id = operators.desk.held("somebody", "inviter-cap");
    operators.desk.bind(&["somebody"]).await;
    let id = id.await;
    let reviewer = operators.sign_in_with(&["reviews"]).await;
    let path = format!("/console/rewards/{id}");
    assert!(!reviewer.get(&path).await.text().contains("Decide"));
    let answer =
        reviewer.submit(&format!("{path}/approve"), &[("reason-approve", "I want to")]).await;
    assert_eq!(answer.status, 403);
    assert_eq!(operators.desk.state(id).await, "REVIEW");
}

/// Every page that there is, with its path, and some that there are not.
async fn every_page(operators: &Operators) -> Vec<(String, Answer)> {
    let browser = operators.sign_in_with(&["admin"]).await;
    let made = browser
        .submit("/console/links/new", &[("target", "https://example.com/"), ("slug", "a")])
        .await;
    assert_eq!(made.status, 303, "{}", made.text());
    let reward = operators.desk.reward("PARKED REVEALED").await;
    let asked = operators
        .desk
        .call(
            &operators.desk.ada,
            "POST",
            "/v1/compensations",
            json!({
                "campaign": "spring", "reason": "told late",
                "items": [{ "invitee": "invitee 1", "kind": "loan_disbursed", "side": "inviter" }],
            }),
        )
        .await;
    assert_eq!(asked.status, 201, "{asked:?}");
    let paths = PAGES.map(|(path, _)| path.to_owned());
    let more = [
        "/console/links/of/a".to_owned(),
        format!("/console/rewards/{reward}"),
        "/console/rewards/user?campaign=spring&user=ann".to_owned(),
        "/console/rewards?state=NOWHERE".to_owned(),
        "/console/compensations/1".to_owned(),
        "/console/campaigns/spring/1".to_owned(),
        "/console/campaigns/spring/diff?from=1&to=1".to_owned(),
        "/console/nowhere".to_owned(),
        "/console/rewards/999999".to_owned(),
    ];
    let signed_out = operators.send(("GET", "/console"), &[("host", HOST)], "").await;
    let mut answers = vec![("signed out".to_owned(), signed_out)];
    for path in paths.into_iter().chain(more) {
        answers.push((path.clone(), browser.get(&path).await));
    }
    answers
}

#[tokio::test]
async fn every_page_has_the_policy_and_nothing_inline() {
    let operators = Operators::open().await;
    for (path, answer) in every_page(&operators).await {
        for (name, value) in [
            (
                "content-security-policy",
                "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; \
                 form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
            ),
            ("cache-control", "no-store"),
            ("referrer-policy", "same-origin"),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
        ] {
            assert_eq!(answer.header(name), value, "{path}: {name}");
        }
        let page = Page::read(&answer.text());
        assert_eq!(page.elements.iter().filter(|it| it.name == "h1").count(), 1, "{path}");
        for element in &page.elements {
            let inline = element.attributes.keys().any(|it| it.starts_with("on") || it == "style");
            assert!(!inline && element.name != "style", "{path}: {element:?}");
            let is_script = element.name == "script";
            assert!(!is_script || element.attributes.contains_key("src"), "{path}: {element:?}");
            assert!(!is_script || element.text.trim().is_empty(), "{path}: {element:?}");
        }
        // The files that it names are there, for good.
        for element in page.elements.iter().filter(|it| it.name == "link" || it.name == "script") {
            let place = element.attributes.get("href").or_else(|| element.attributes.get("src"));
            let place = place.expect("a place");
            if place == "data:," {
                continue;
            }
            let file = operators.send(("GET", place), &[("host", HOST)], "").await;
            assert_eq!(file.status, 200, "{place}");
            assert!(file.header("cache-control").contains("immutable"), "{place}");
        }
    }
}
