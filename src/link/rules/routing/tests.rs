use serde_json::{Value, json};

use crate::code::slug::LetterCase;
use crate::fault::{Fault, Reason};
use crate::link::model::{Counted, Domain, Labels, Link};
use crate::link::request::{LinkEdit, NewLink};
use crate::link::routing::Rule;
use crate::link::rules::Rules;
use crate::link::target::TargetRules;
use crate::link::{DomainId, LinkId};

fn rules(knows_countries: bool) -> Rules {
    let url = "https://go.example/".parse().expect("a URL");
    let schemes = ["http".to_owned(), "https".to_owned()];
    Rules::new(false, TargetRules::new(&schemes, &[], &[], &url), &url, knows_countries)
}

fn domains() -> [Domain; 1] {
    [Domain { id: DomainId::DEFAULT, host: None, case: LetterCase::Exact, slug_length: None }]
}

fn now() -> jiff::Timestamp {
    "2030-01-01T00:00:00Z".parse().expect("a time")
}

/// The link with these fields besides its target, or what is wrong with it.
fn judge(knows_countries: bool, fields: &Value) -> Result<Link, Vec<Fault>> {
    let mut request = fields.clone();
    request["target"] = json!("https://example.com/");
    let request: NewLink = serde_json::from_value(request).expect("a request");
    let draft = rules(knows_countries).judge_new(&request, &domains(), now())?;
    Ok(Link {
        id: LinkId(1),
        domain: DomainId::DEFAULT,
        host: None,
        slug: "x".to_owned(),
        version: 1,
        behaviour: draft.behaviour,
        disabled: false,
        labels: Labels::default(),
        counted: Counted::default(),
        clicks_used: 0,
        created_at: now(),
        updated_at: now(),
        created_by: "somebody".to_owned(),
    })
}

/// The rules of a link with these, or where and why they are wrong.
fn judge_rules(given: &Value) -> Result<Vec<Rule>, Vec<(String, Reason)>> {
    match judge(true, &json!({ "rules": given })) {
        Ok(link) => Ok(link.behaviour.rules),
        Err(faults) => Err(faults.into_iter().map(|it| (it.pointer, it.reason)).collect()),
    }
}

/// A rule with these conditions.
fn rule(mut conditions: Value) -> Value {
    conditions["target"] = json!("https://a.example/");
    conditions
}

#[test]
fn a_rule_is_kept_in_its_normal_form() {
    let given = json!([{
        "device": ["ios", "ios"], "language": ["pt-BR", "DE"], "country": ["de"],
        "query": [{ "name": "a", "value": "" }], "after": "2030-01-01T01:00:00+01:00",
        "before": "2031-01-01T00:00:00Z", "percent": 50, "target": "HTTPS://A.example",
    }]);
    let kept = judge_rules(&given).expect("good rules");
    assert_eq!(
        serde_json::to_value(kept).expect("JSON"),
        json!([{
            "device": ["ios"], "language": ["pt-br", "de"], "country": ["DE"],
            "query": [{ "name": "a", "value": "" }], "after": "2030-01-01T00:00:00Z",
            "before": "2031-01-01T00:00:00Z", "percent": 50, "target": "https://a.example/",
        }])
    );
    assert_eq!(judge_rules(&json!([])), Ok(Vec::new()));
}

#[test]
fn what_is_wrong_with_a_rule_has_its_place() {
    let long = "x".repeat(201);
    for (conditions, pointer, reason) in [
        (json!({}), "", Reason::Required),
        (json!({ "device": [] }), "/device", Reason::Empty),
        (json!({ "device": ["ios", "tv"] }), "/device/1", Reason::OutOfRange),
        (json!({ "device": vec!["ios"; 65] }), "/device", Reason::TooMany),
        (json!({ "language": [] }), "/language", Reason::Empty),
        (json!({ "language": ["d"] }), "/language/0", Reason::NotALanguage),
        (json!({ "language": ["de", "de_DE"] }), "/language/1", Reason::NotALanguage),
        (json!({ "language": ["de-"] }), "/language/0", Reason::NotALanguage),
        (json!({ "language": ["*"] }), "/language/0", Reason::NotALanguage),
        (json!({ "language": ["de-123456789"] }), "/language/0", Reason::NotALanguage),
        (json!({ "query": [] }), "/query", Reason::Empty),
        (json!({ "query": [{ "name": "" }] }), "/query/0/name", Reason::Empty),
        (json!({ "query": [{ "name": long }] }), "/query/0/name", Reason::TooLong),
        (
            json!({ "query": [{ "name": "a", "value": "\u{0}" }] }),
            "/query/0/value",
            Reason::ControlCharacter,
        ),
        (json!({ "country": ["DE", "UK"] }), "/country/1", Reason::OutOfRange),
        (json!({ "percent": 0 }), "/percent", Reason::OutOfRange),
        (json!({ "percent": 101 }), "/percent", Reason::OutOfRange),
        (json!({ "after": "soon" }), "/after", Reason::NotATime),
        (json!({ "before": "2029-12-31T23:59:59Z" }), "/before", Reason::InThePast),
        (json!({ "before": "2030-01-01T00:00:00Z" }), "/before", Reason::InThePast),
        (
            json!({ "after": "2031-01-01T00:00:00Z", "before": "2031-01-01T00:00:00Z" }),
            "/before",
            Reason::WrongOrder,
        ),
    ] {
        let given = json!([rule(json!({ "query": [{ "name": "other" }] })), rule(conditions)]);
        let expected = Err(vec![(format!("/rules/1{pointer}"), reason)]);
        assert_eq!(judge_rules(&given), expected, "{given}");
    }
    for (target, reason) in [
        (json!(null), Reason::Required),
        (json!("javascript:alert(1)"), Reason::SchemeNotAllowed),
        (json!("https://go.example/x"), Reason::Loop),
    ] {
        let given = json!([{ "percent": 1, "target": target }]);
        assert_eq!(judge_rules(&given), Err(vec![("/rules/0/target".to_owned(), reason)]));
    }
}

#[test]
fn there_is_a_most_of_rules_and_of_their_bytes() {
    let rules = |count: u32, target: &str| {
        let each = |n: u32| json!({ "query": [{ "name": n.to_string() }], "target": target });
        judge_rules(&(0..count).map(each).collect())
    };
    assert_eq!(rules(32, "https://a.example/").map(|rules| rules.len()), Ok(32));
    let too_many = Err(vec![("/rules".to_owned(), Reason::TooMany)]);
    assert_eq!(rules(33, "https://a.example/"), too_many);
    let long = format!("https://a.example/{}", "x".repeat(4_000));
    assert_eq!(rules(32, &long), Err(vec![("/rules".to_owned(), Reason::TooLong)]));
}

#[test]
fn a_rule_that_can_never_match_is_told_what_hides_it() {
    let given = json!([
        rule(json!({ "language": ["fr"] })),
        rule(json!({ "device": ["mobile"] })),
        rule(json!({ "device": ["ios"], "percent": 50 })),
    ]);
    let faults = judge(true, &json!({ "rules": given })).expect_err("hidden");
    let [fault] = faults.as_slice() else { panic!("{faults:?}") };
    assert_eq!((fault.pointer.as_str(), fault.reason), ("/rules/2", Reason::NeverMatches));
    assert!(fault.detail.contains("/rules/1 stands before it"), "{}", fault.detail);
}

#[test]
fn a_rule_lives_within_the_life_of_its_link() {
    let (from, end) = ("2031-01-01T00:00:00Z", "2032-01-01T00:00:00Z");
    for (conditions, pointer) in [
        (json!({ "after": end }), "/rules/0/after"),
        (json!({ "before": from }), "/rules/0/before"),
    ] {
        let fields = json!({ "valid_from": from, "expires_at": end, "rules": [rule(conditions)] });
        let faults = judge(true, &fields).expect_err("outside");
        let faults: Vec<_> = faults.iter().map(|it| (it.pointer.as_str(), it.reason)).collect();
        assert_eq!(faults, [(pointer, Reason::NeverMatches)]);
    }
    let inside = rule(json!({ "after": from, "before": end }));
    let fields = json!({ "valid_from": from, "expires_at": end, "rules": [inside] });
    assert!(judge(true, &fields).is_ok());
}

#[test]
fn a_country_needs_a_file_that_tells_countries() {
    let faults = judge(false, &json!({ "rules": [rule(json!({ "country": ["DE"] }))] }));
    let faults = faults.expect_err("no file");
    let [fault] = faults.as_slice() else { panic!("{faults:?}") };
    assert_eq!((fault.pointer.as_str(), fault.reason), ("/rules/0/country", Reason::NotConfigured));
    assert!(fault.detail.contains("clicks.country_file"), "{}", fault.detail);
}

fn edit(link: &Link, edit: Value) -> Result<Link, Vec<(String, Reason)>> {
    let edit: LinkEdit = serde_json::from_value(edit).expect("an edit");
    let later = "2030-06-01T00:00:00Z".parse().expect("a time");
    rules(true)
        .judge_edit(link, &edit, &domains(), later)
        .map_err(|faults| faults.into_iter().map(|it| (it.pointer, it.reason)).collect())
}

#[test]
fn an_edit_replaces_rules_and_may_keep_one_that_has_ended() {
    let ended = rule(json!({ "before": "2030-05-01T00:00:00Z" }));
    let link = judge(true, &json!({ "rules": [ended] })).expect("good");
    let more = json!([ended, rule(json!({ "device": ["ios"] }))]);
    let after = edit(&link, json!({ "rules": more })).expect("good");
    assert_eq!(after.behaviour.rules.len(), 2);
    let other = json!([rule(json!({ "before": "2030-04-01T00:00:00Z" }))]);
    let past = Err(vec![("/rules/0/before".to_owned(), Reason::InThePast)]);
    assert_eq!(edit(&link, json!({ "rules": other })), past);
    let cleared = edit(&after, json!({ "rules": null })).expect("good");
    assert_eq!(cleared.behaviour.rules, []);
    // A link may be made to end before its rules begin.
    assert!(edit(&link, json!({ "expires_at": "2030-01-01T00:00:00Z" })).is_ok());
}

#[test]
fn a_limit_does_not_go_together_with_what_browsers_remember() {
    let conflict = Err(vec![("/max_clicks".to_owned(), Reason::Conflict)]);
    let judged = |fields: Value| {
        judge(true, &fields)
            .map(|link| link.behaviour.max_clicks)
            .map_err(|it| it.into_iter().map(|it| (it.pointer, it.reason)).collect::<Vec<_>>())
    };
    assert_eq!(judged(json!({ "max_clicks": 1, "status": 307 })), Ok(Some(1)));
    assert_eq!(judged(json!({ "max_clicks": 9_007_199_254_740_992_i64 })), Ok(Some(1 << 53)));
    assert_eq!(judged(json!({ "max_clicks": 1, "status": 301 })), conflict);
    assert_eq!(judged(json!({ "max_clicks": 1, "cache_seconds": 0 })), conflict);
    for most in [0, -1, (1_i64 << 53) + 1] {
        let faults = Err(vec![("/max_clicks".to_owned(), Reason::OutOfRange)]);
        assert_eq!(judged(json!({ "max_clicks": most })), faults);
    }
    let limited = judge(true, &json!({ "max_clicks": 5 })).expect("good");
    let conflict = Err(vec![("/max_clicks".to_owned(), Reason::Conflict)]);
    assert_eq!(edit(&limited, json!({ "status": 308 })), conflict);
    assert_eq!(edit(&limited, json!({ "cache_seconds": 60 })), conflict);
    assert!(edit(&limited, json!({ "max_clicks": null, "status": 308 })).is_ok());
}
