use url::Url;

use super::*;
use crate::link::DomainId;
use crate::link::target::TargetRules;

fn rules() -> Rules {
    let url = Url::parse("https://go.example/").expect("a URL");
    let schemes = ["http".to_owned(), "https".to_owned()];
    let blocked = ["bad.example".to_owned()];
    Rules::new(false, TargetRules::new(&schemes, &[], &blocked, &url), &url, true)
}

fn domain(id: i32, host: Option<&str>) -> Domain {
    let host = host.map(str::to_owned);
    Domain { id: DomainId(id), host, case: LetterCase::Exact, slug_length: None }
}

fn domains() -> Vec<Domain> {
    vec![domain(1, None), domain(2, Some("links.example"))]
}

fn pairs(faults: Vec<Fault>) -> String {
    let lines: Vec<String> =
        faults.into_iter().map(|fault| format!("{} {:?}", fault.pointer, fault.reason)).collect();
    lines.join("\n")
}

fn add(json: &str) -> Result<DomainDraft, String> {
    let request: NewDomain = serde_json::from_str(json).expect("a request");
    judge_new(&rules(), &request, &domains()).map_err(pairs)
}

#[test]
fn a_host_is_stored_in_its_normal_form() {
    for (text, host) in [
        ("s.example", "s.example"),
        ("S.Example", "s.example"),
        ("bücher.example", "xn--bcher-kva.example"),
        ("a_b-c.example", "a_b-c.example"),
        ("localhost", "localhost"),
    ] {
        assert_eq!(judge_host(text).as_deref(), Ok(host), "{text}");
    }
}

#[test]
fn what_is_no_host_name_is_refused_with_the_remedy() {
    let long_label = format!("{}.example", "a".repeat(64));
    let long = format!("{}example", "a.".repeat(130));
    for text in [
        "",
        ".",
        "s.example.",
        "s..example",
        ".example",
        "s.example:80",
        "https://s.example",
        "s.example/x",
        "user@s.example",
        "*.example",
        "a b",
        "a\u{0}b",
        "127.0.0.1",
        "2130706433",
        "[::1]",
        "::1",
        "a,b",
        &long_label,
        &long,
    ] {
        let detail = judge_host(text).expect_err(text);
        assert!(detail.contains("write a name like links.example.com"), "{text}: {detail}");
        assert!(detail.len() < 300, "{text}: {detail}");
    }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let request = r#"{
        "host": "a:80", "slug_length": 4, "root_url": "javascript:alert(1)",
        "unknown_url": "https://links.example/x", "gone_url": ""
    }"#;
    insta::assert_snapshot!(add(request).expect_err("faulty"), @r"
    /host NotAHost
    /slug_length OutOfRange
    /root_url SchemeNotAllowed
    /unknown_url Loop
    /gone_url Empty
    ");
    assert_eq!(add("{}"), Err("/host Required".to_owned()));
}

#[test]
fn no_url_of_a_domain_leads_back_to_the_service() {
    for url in [
        "https://new.example/",
        "http://NEW.example:8080/x",
        "https://links.example/",
        "https://go.example/x",
        "http://go.example./",
    ] {
        for field in ["root_url", "unknown_url", "gone_url"] {
            let request = format!(r#"{{"host": "New.example", "{field}": "{url}"}}"#);
            assert_eq!(add(&request), Err(format!("/{field} Loop")), "{url}");
        }
    }
    assert!(add(r#"{"host": "new.example", "root_url": "https://www.new.example/"}"#).is_ok());
}

#[test]
fn a_new_domain_has_what_was_said_and_the_usual_otherwise() {
    let plain = add(r#"{"host": "new.example"}"#).expect("valid");
    assert_eq!(plain.case, LetterCase::Exact);
    assert_eq!((plain.slug_length, plain.urls), (None, DomainUrls::default()));
    let request = r#"{
        "host": "new.example", "case_insensitive": true, "slug_length": 10,
        "gone_url": "https://Example.com/ä"
    }"#;
    let full = add(request).expect("valid");
    assert_eq!((full.case, full.slug_length), (LetterCase::Folded, Some(10)));
    assert_eq!(full.urls.gone.as_deref(), Some("https://example.com/%C3%A4"));
}

fn before() -> FullDomain {
    FullDomain {
        domain: Domain { slug_length: Some(6), ..domain(2, Some("links.example")) },
        urls: DomainUrls {
            // The settings forbid it by now.
            root: Some("https://bad.example/".to_owned()),
            unknown: Some("https://example.com/".to_owned()),
            gone: None,
        },
        created_at: Timestamp::UNIX_EPOCH,
        updated_at: Timestamp::UNIX_EPOCH,
    }
}

fn edit(json: &str) -> Result<FullDomain, String> {
    let edit: DomainEdit = serde_json::from_str(json).expect("an edit");
    judge_edit(&rules(), &before(), &edit, &domains()).map_err(pairs)
}

#[test]
fn an_edit_changes_what_it_names_and_clears_what_is_null() {
    assert_eq!(edit("{}"), Ok(before()));
    let mut expected = before();
    expected.domain.slug_length = None;
    expected.domain.case = LetterCase::Folded;
    expected.urls.unknown = None;
    expected.urls.gone = Some("https://example.org/".to_owned());
    let after = edit(
        r#"{
            "slug_length": null, "case_insensitive": true, "unknown_url": null,
            "gone_url": "https://example.org"
        }"#,
    );
    assert_eq!(after, Ok(expected));
    let exact = edit(r#"{"case_insensitive": null}"#).map(|after| after.domain.case);
    assert_eq!(exact, Ok(LetterCase::Exact));
}

#[test]
fn an_edit_is_judged_as_a_new_domain_is() {
    let faults = edit(
        r#"{
            "host": "other.example", "slug_length": 11, "root_url": "https://bad.example/",
            "unknown_url": "https://links.example/", "gone_url": "https://me@example.com/"
        }"#,
    );
    insta::assert_snapshot!(faults.expect_err("faulty"), @r"
    /host CannotBeChanged
    /slug_length OutOfRange
    /root_url HostBlocked
    /unknown_url Loop
    /gone_url UserinfoNotAllowed
    ");
}
