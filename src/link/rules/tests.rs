use super::*;
use crate::code::slug::LetterCase;
use crate::link::{DomainId, LinkId};

fn rules() -> Rules {
    let url = Url::parse("https://go.example/").expect("a URL");
    let schemes = ["http".to_owned(), "https".to_owned()];
    Rules::new(false, TargetRules::new(&schemes, &[], &[], &url), &url, false)
}

fn domains() -> Vec<Domain> {
    let folded = Domain {
        id: DomainId(2),
        host: Some("links.example".to_owned()),
        case: LetterCase::Folded,
        slug_length: None,
    };
    let default =
        Domain { id: DomainId::DEFAULT, host: None, case: LetterCase::Exact, slug_length: None };
    vec![default, folded]
}

fn now() -> Timestamp {
    "2030-01-01T00:00:00Z".parse().expect("a time")
}

fn judge(request: &NewLink) -> Result<Draft, Vec<(String, Reason)>> {
    rules().judge_new(request, &domains(), now()).map_err(pairs)
}

fn pairs(faults: Vec<Fault>) -> Vec<(String, Reason)> {
    faults.into_iter().map(|fault| (fault.pointer, fault.reason)).collect()
}

#[expect(clippy::unnecessary_wraps, reason = "fields of a request are optional")]
fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn to_example() -> NewLink {
    NewLink { target: text("https://example.com"), ..NewLink::default() }
}

#[test]
fn all_that_is_wrong_is_said_at_once() {
    let request = NewLink {
        target: text("javascript:alert(1)"),
        slug: text("a b"),
        domain: text("other.example"),
        status: Some(200),
        cache_seconds: Some(-1),
        valid_from: text("tomorrow"),
        expires_at: text("2029-01-01T00:00:00Z"),
        fallback: text("https://go.example/x"),
        title: text(""),
        tags: Some(vec!["good".to_owned(), "b\u{0}d".to_owned()]),
        ..NewLink::default()
    };
    let faults: Vec<String> = judge(&request)
        .expect_err("faulty")
        .into_iter()
        .map(|(pointer, reason)| format!("{pointer} {reason:?}"))
        .collect();
    insta::assert_snapshot!(faults.join("\n"), @r"
    /domain UnknownDomain
    /slug BadCharacter
    /target SchemeNotAllowed
    /status OutOfRange
    /cache_seconds OutOfRange
    /valid_from NotATime
    /fallback Loop
    /expires_at InThePast
    /title Empty
    /tags/1 ControlCharacter
    ");
}

#[test]
fn a_slug_that_could_not_be_opened_is_refused() {
    for (slug, reason) in [
        ("", Reason::Empty),
        (".", Reason::BadPath),
        ("..", Reason::BadPath),
        ("a/b", Reason::BadPath),
        ("API", Reason::Reserved),
        ("r", Reason::Reserved),
        ("ä", Reason::BadCharacter),
        ("a\r\nb", Reason::ControlCharacter),
        (&"a".repeat(65), Reason::TooLong),
        (&"a".repeat(8_192), Reason::TooLong),
    ] {
        let faults = judge(&NewLink { slug: text(slug), ..to_example() });
        assert_eq!(faults, Err(vec![("/slug".to_owned(), reason)]), "{slug}");
    }
    assert!(judge(&NewLink { slug: text(&"a".repeat(64)), ..to_example() }).is_ok());
}

#[test]
fn inner_slashes_are_a_setting() {
    for (slug, good) in [
        ("a/b", true),
        ("a/b/c", true),
        ("/a", false),
        ("a/", false),
        ("a//b", false),
        ("a/../b", false),
        ("r/b", false),
    ] {
        assert_eq!(judge_slug(slug, true).is_ok(), good, "{slug}");
    }
}

#[test]
fn a_slug_is_folded_where_the_domain_folds() {
    let slug = |domain: Option<&str>| {
        let request =
            NewLink { slug: text("AbC"), domain: domain.map(str::to_owned), ..to_example() };
        judge(&request).map(|draft| (draft.domain.id, draft.slug))
    };
    assert_eq!(slug(None), Ok((DomainId::DEFAULT, text("AbC"))));
    assert_eq!(slug(Some("Go.Example")), Ok((DomainId::DEFAULT, text("AbC"))));
    assert_eq!(slug(Some("LINKS.example")), Ok((DomainId(2), text("abc"))));
}

#[test]
fn times_stand_in_order() {
    let request = NewLink {
        valid_from: text("2031-01-01T00:00:00+01:00"),
        expires_at: text("2030-12-31T23:00:00Z"),
        ..to_example()
    };
    assert_eq!(judge(&request), Err(vec![("/expires_at".to_owned(), Reason::WrongOrder)]));
}

#[test]
fn tags_are_kept_once_and_bounded() {
    let tags = |count: usize| (0..count).map(|n| n.to_string()).collect::<Vec<_>>();
    let twice = [tags(32), tags(32)].concat();
    let draft = judge(&NewLink { tags: Some(twice), ..to_example() }).expect("valid");
    assert_eq!(draft.labels.tags, tags(32));
    let faults = judge(&NewLink { tags: Some(tags(33)), ..to_example() });
    assert_eq!(faults, Err(vec![("/tags".to_owned(), Reason::TooMany)]));
}

fn link() -> Link {
    let draft = judge(&to_example()).expect("valid");
    Link {
        id: LinkId(1),
        domain: DomainId::DEFAULT,
        host: None,
        slug: "AbC".to_owned(),
        version: 1,
        behaviour: draft.behaviour,
        disabled: false,
        labels: Labels {
            title: text("a title"),
            tags: vec!["tag".to_owned()],
            ..Labels::default()
        },
        counted: crate::link::model::Counted::default(),
        clicks_used: 0,
        created_at: now(),
        updated_at: now(),
        created_by: "somebody".to_owned(),
    }
}

fn edit(json: &str) -> Result<Link, Vec<(String, Reason)>> {
    let edit: LinkEdit = serde_json::from_str(json).expect("an edit");
    rules().judge_edit(&link(), &edit, &domains(), now()).map_err(pairs)
}

#[test]
fn an_edit_changes_what_it_names_and_clears_what_is_null() {
    assert_eq!(edit("{}"), Ok(link()));
    let after = edit(r#"{"title": null, "tags": null, "disabled": true, "status": 301}"#);
    let mut expected = link();
    expected.labels = Labels::default();
    expected.disabled = true;
    expected.behaviour.status = RedirectStatus::MovedPermanently;
    assert_eq!(after, Ok(expected));
    // A link may be made to end now, or to have ended.
    assert!(edit(r#"{"expires_at": "2029-01-01T00:00:00Z"}"#).is_ok());
}

#[test]
fn an_edit_cannot_rename_a_link_or_take_its_target() {
    assert_eq!(
        edit(r#"{"slug": "x", "domain": "y", "target": null}"#),
        Err(vec![
            ("/slug".to_owned(), Reason::CannotBeChanged),
            ("/domain".to_owned(), Reason::CannotBeChanged),
            ("/target".to_owned(), Reason::CannotBeCleared),
        ])
    );
}

proptest::proptest! {
    #[test]
    fn what_is_accepted_can_be_stored_and_sent(
        slug in "\\PC{0,70}|[A-Za-z0-9_.~/-]{1,66}",
        target in "\\PC{0,60}|https?://[a-z.:@0-9-]{1,30}/\\PC{0,40}",
        title in ".{0,210}",
    ) {
        let request =
            NewLink { slug: text(&slug), target: text(&target), title: text(&title), ..to_example() };
        if let Ok(draft) = judge(&request) {
            let slug = draft.slug.expect("it was given");
            proptest::prop_assert!((1..=64).contains(&slug.len()) && slug.is_ascii());
            let target = draft.behaviour.target;
            proptest::prop_assert!(target.len() <= 8_192 && hyper::header::HeaderValue::from_str(&target).is_ok());
            // The normal form is its own normal form.
            let again = NewLink { target: text(&target), ..to_example() };
            proptest::prop_assert_eq!(judge(&again).map(|it| it.behaviour.target), Ok(target));
        }
    }
}

#[test]
fn a_time_is_one_of_rfc_3339_and_nothing_else() {
    let judge_time = |time: &str| judge(&NewLink { expires_at: text(time), ..to_example() });
    for good in [
        "2030-01-31T12:00:00Z",
        "2030-01-31t12:00:00z",
        "2030-01-31T12:00:00.123456789+01:00",
        "2030-01-31T12:00:00-11:30",
    ] {
        assert!(judge_time(good).is_ok(), "{good}");
    }
    for (bad, reason) in [
        ("2030-01-31", Reason::NotATime),
        ("2030-01-31 12:00:00Z", Reason::NotATime),
        ("2030-01-31T12:00Z", Reason::NotATime),
        ("2030-01-31T12Z", Reason::NotATime),
        ("20300131T120000Z", Reason::NotATime),
        ("2030-01-31T12:00:00", Reason::NotATime),
        ("2030-01-31T12:00:00.Z", Reason::NotATime),
        ("2030-01-31T12:00:00,5Z", Reason::NotATime),
        ("2030-01-31T12:00:00+01", Reason::NotATime),
        ("2030-01-31T12:00:00Z[UTC]", Reason::NotATime),
        ("+002030-01-31T12:00:00Z", Reason::NotATime),
        ("2030-02-30T12:00:00Z", Reason::NotATime),
        ("2030-01-31T12:00:0\u{e4}Z", Reason::NotATime),
        ("9999-12-31T23:59:59Z", Reason::OutOfRange),
    ] {
        assert_eq!(judge_time(bad), Err(vec![("/expires_at".to_owned(), reason)]), "{bad}");
    }
}
