//! Documents that are not good: each fault is told with its place, its line and its reason, in both
//! formats, by the API and by `waypost campaign check`.

use std::path::Path;

use serde_json::Value;
use waypost::campaign::document::{Format, value};

use super::campaigns::{DEMO, campaigns_api, put};
use super::support::{TestApi, Waypost};

/// What is changed in the good document, and what is found then: the pointer, the reason, and a sign of
/// the line in each format.
struct Case {
    from: &'static str,
    to: &'static str,
    pointer: &'static str,
    reason: &'static str,
    line: &'static str,
}

const fn case(
    (from, to): (&'static str, &'static str),
    pointer: &'static str,
    reason: &'static str,
    line: &'static str,
) -> Case {
    Case { from, to, pointer, reason, line }
}

const CASES: [Case; 28] = [
    case(("ends_at = 2031", "ends_at = 2025"), "/ends_at", "wrong-order", "ends_at"),
    case(
        ("ends_at = 2031-01-01T00:00:00+07:00", "ends_at = 2031-01-01"),
        "/ends_at",
        "wrong-type",
        "ends_at",
    ),
    case(
        ("per_million = 50_000 ", "per_million = 60_000 "),
        "/rewards/loan_disbursed/inviter/prizes",
        "does-not-add-up",
        "prizes",
    ),
    case(
        ("amount_minor = 10_000_000, per", "amount_minor = -1, per"),
        "/rewards/loan_disbursed/inviter/prizes/0/amount_minor",
        "out-of-range",
        "amount_minor",
    ),
    case(
        (
            "[rewards.credit_granted.invitee]\namount_minor = 2_500_000",
            "[rewards.credit_granted.invitee]",
        ),
        "/rewards/credit_granted/invitee",
        "conflict",
        "invitee",
    ),
    case(
        ("default_language = \"en\"", "default_language = \"fr\""),
        "/default_language",
        "no-texts",
        "default_language",
    ),
    case(("[texts.id]", "[texts.fr]"), "/texts/fr", "no-texts", "fr"),
    case(("[texts.id]", "[texts.ID]"), "/texts/ID", "not-a-language", "ID"),
    case(("accent_color", "accent_colour"), "/accent_colour", "unknown-field", "accent_colour"),
    case(("life_days", "live_days"), "/scratch_card/live_days", "unknown-field", "live_days"),
    case(("code_length = 6", "code_length = \"six\""), "/code_length", "wrong-type", "code_length"),
    case(("code_length = 6", "code_length = -6"), "/code_length", "out-of-range", "code_length"),
    case(("code_length = 6", "code_length = 5"), "/code_length", "out-of-range", "code_length"),
    case(("code_length = 6", "code_length = 6.5"), "/code_length", "wrong-type", "code_length"),
    case(("mode = \"hold\"", "mode = \"stop\""), "/screening/2/mode", "out-of-range", "stop"),
    case(("inviter_gets = \"Up to", "# \""), "/texts/en/inviter_gets", "required", "en"),
    case(
        ("\"{inviter} invites you\"", "\"A friend\""),
        "/texts/en/invitation",
        "place-holder",
        "invitation",
    ),
    case(("since = \"campaign_start\"", "since = 5"), "/new_user/since", "wrong-type", "since"),
    case(("code_length = 6", "code_lenght = 6"), "/code_lenght", "unknown-field", "code_lenght"),
    case(("#0b6e4f", "#ffee00"), "/accent_color", "out-of-range", "accent_color"),
    case(("#0b6e4f", "green"), "/accent_color", "wrong-type", "accent_color"),
    case(("\"IDR\"", "\"Rp\""), "/currency", "wrong-type", "currency"),
    case(
        ("check = \"device\"\n", "check = \"device\"\nhours = 1\n"),
        "/screening/1/hours",
        "conflict",
        "hours",
    ),
    case(("to = \"09:00\"", "to = \"21:00\""), "/scratch_card/quiet_hours/to", "conflict", "to"),
    case(("to = \"09:00\"", "to = \"9 am\""), "/scratch_card/quiet_hours/to", "wrong-type", "to"),
    case(
        ("to = \"09:00\"", "until = \"09:00\""),
        "/scratch_card/quiet_hours/until",
        "unknown-field",
        "until",
    ),
    case(
        ("Asia/Jakarta", "Asia/Djakarta "),
        "/scratch_card/quiet_hours/time_zone",
        "wrong-type",
        "time_zone",
    ),
    case(("\"C1234567\"", "\"1234567\""), "/apps/stores/0/app_id", "bad-character", "app_id"),
];

/// The document of a case in both formats, each with a name and a type.
fn documents(case: &Case) -> [(String, &'static str, &'static str); 2] {
    assert!(DEMO.contains(case.from), "{}", case.from);
    let toml = DEMO.replacen(case.from, case.to, 1);
    let json = value(&toml, Format::Toml).expect("TOML");
    let json = serde_json::to_string_pretty(&json).expect("JSON");
    [(toml, "toml", "application/toml"), (json, "json", "application/json")]
}

/// Where a refusal says that a document is wrong.
async fn refusal(api: &TestApi, content_type: &str, text: &str) -> (String, String, usize) {
    let answer = put(api, "/v1/campaigns/spring/versions", content_type, text).await;
    assert_eq!(answer.status, 422, "{answer:?}");
    the_only_fault(&answer.json())
}

/// Pointer, reason and line of the only fault in an answer.
fn the_only_fault(answer: &Value) -> (String, String, usize) {
    let faults = answer.get("errors").and_then(Value::as_array).map(Vec::as_slice);
    let Some([fault]) = faults else { panic!("not one fault: {answer}") };
    let text = |name: &str| {
        let text = fault.get(name).and_then(Value::as_str);
        text.unwrap_or_else(|| panic!("no {name}: {fault}")).to_owned()
    };
    assert!(!text("detail").is_empty() && !text("detail").contains('`'), "{fault}");
    let line = fault.get("line").and_then(Value::as_u64).and_then(|it| usize::try_from(it).ok());
    (text("pointer"), text("reason"), line.unwrap_or_else(|| panic!("no line: {fault}")))
}

/// What `waypost campaign check` says of files, in JSON, by their names.
async fn check(directory: &Path, names: &[String]) -> Vec<Value> {
    let paths = names.iter().map(|name| directory.join(name).to_str().expect("plain").to_owned());
    let paths: Vec<String> = paths.collect();
    let mut arguments = vec!["campaign", "check", "--json"];
    arguments.extend(paths.iter().map(String::as_str));
    let (code, said) = Waypost::run(&arguments, &[]).await;
    assert_eq!(code, Some(1), "{said}");
    let lines = said.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[tokio::test]
async fn each_fault_has_its_place_its_line_and_its_reason() {
    let api = campaigns_api().await;
    let directory = tempfile::tempdir().expect("a directory");
    let (mut names, mut expected) = (Vec::new(), Vec::new());
    for (number, case) in CASES.iter().enumerate() {
        for (text, extension, content_type) in documents(case) {
            let found = refusal(&api, content_type, &text).await;
            let place = (found.0.as_str(), found.1.as_str());
            assert_eq!(place, (case.pointer, case.reason), "{} {extension}", case.to);
            let line = text.lines().nth(found.2 - 1).unwrap_or_default();
            assert!(line.contains(case.line), "{} {extension}: line {}: {line}", case.to, found.2);
            let name = format!("{number}.{extension}");
            std::fs::write(directory.path().join(&name), text).expect("a file");
            names.push(name);
            expected.push(found);
        }
    }
    assert_eq!(api.count("SELECT count(*) FROM campaign").await, 0);
    let said = check(directory.path(), &names).await;
    let told: Vec<_> = said.iter().map(the_only_fault).collect();
    assert_eq!(told, expected);
}

#[tokio::test]
async fn what_is_no_document_at_all_is_told_with_its_line() {
    let api = campaigns_api().await;
    let json = value(DEMO, Format::Toml).expect("TOML");
    let json = serde_json::to_string_pretty(&json).expect("JSON");
    let doubled = json.replacen("\"life_days\": 9,", "\"life_days\": 9,\n\"life_days\": 8,", 1);
    let in_a_map = json.replacen("\"texts\": {", "\"texts\": {\n\"en\": {},", 1);
    let (toml, cut) = ("application/toml", json.get(..500).expect("a beginning"));
    let (json_type, two) = ("application/json", format!("{json}\n{json}"));
    for (content_type, text, pointer, reason, line) in [
        (toml, "name = \"a\"\nthis is not TOML\n", "", "malformed", 2),
        (toml, "name = \"a\"\nname = \"b\"\n", "", "malformed", 2),
        (toml, "name = \"a\n", "", "malformed", 1),
        (toml, "{\"name\": \"a\"}", "", "malformed", 1),
        (json_type, "name = \"a\"", "", "malformed", 1),
        (json_type, "[]", "", "wrong-type", 1),
        (json_type, cut, "", "malformed", cut.lines().count()),
        (json_type, &two, "", "malformed", json.lines().count() + 1),
        (
            json_type,
            &doubled,
            "/scratch_card/life_days",
            "wrong-type",
            line_of(&doubled, "\"life_days\": 8"),
        ),
        (json_type, &in_a_map, "/texts/en", "wrong-type", line_of_second(&in_a_map, "\"en\": {")),
    ] {
        let found = refusal(&api, content_type, text).await;
        let place = (found.0.as_str(), found.1.as_str(), found.2);
        assert_eq!(place, (pointer, reason, line), "{content_type} {text:.60}");
    }
}

fn line_of(text: &str, sign: &str) -> usize {
    text.lines().position(|line| line.contains(sign)).expect("the sign") + 1
}

fn line_of_second(text: &str, sign: &str) -> usize {
    let mut lines = (1..).zip(text.lines()).filter(|(_, line)| line.contains(sign));
    lines.nth(1).expect("two of them").0
}

#[tokio::test]
async fn check_lists_every_fault_as_an_editor_wants_it() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str, text: &str| {
        let path = directory.path().join(name);
        std::fs::write(&path, text).expect("a file");
        path.to_str().expect("a plain path").to_owned()
    };
    let bad =
        DEMO.replace("life_days = 9", "life_days = 0").replace("reminders = 3", "reminders = 11");
    let (good, bad) = (path("good.toml", DEMO), path("bad.toml", &bad));
    let (code, said) = Waypost::run(&["campaign", "check", &good, &bad], &[]).await;
    assert_eq!(code, Some(1));
    let line = line_of(DEMO, "life_days");
    for expected in [
        format!("{good}: good: 'Bring a friend'"),
        format!("{bad}:{line}: /scratch_card/life_days: must be from 1 to 365 days"),
        format!("{bad}:{}: /scratch_card/reminders: must be from 0 to 10", line + 1),
        "waypost: not good: 1 of 2".to_owned(),
    ] {
        assert!(said.lines().any(|line| line == expected), "{expected} in {said}");
    }
    let (code, said) = Waypost::run(&["campaign", "check", &good], &[]).await;
    assert_eq!((code, said.lines().count()), (Some(0), 1), "{said}");

    let (long, text) = (path("long.toml", &"#".repeat(300 * 1024)), path("demo.txt", DEMO));
    let missing = directory.path().join("missing.json");
    for (file, expected) in [
        (long.as_str(), "is too long; at most 262144 bytes are allowed"),
        (text.as_str(), "ends in .toml or .json"),
        (missing.to_str().expect("a plain path"), "cannot be read"),
    ] {
        let (code, said) = Waypost::run(&["campaign", "check", file], &[]).await;
        assert!(code == Some(1) && said.contains(expected) && said.contains(file), "{said}");
    }
}

#[tokio::test]
async fn a_document_with_thousands_of_faults_is_refused_at_once() {
    let api = campaigns_api().await;
    let prize = "    { amount_minor = -1, per_million = 0 },\n";
    let toml = DEMO.replace("prizes = [\n", &format!("prizes = [\n{}", prize.repeat(5_000)));
    let path = "/v1/campaigns/spring/versions";
    let answer = put(&api, path, "application/toml", &toml).await;
    assert_eq!(answer.status, 422);
    let errors = answer.json()["errors"].as_array().cloned().unwrap_or_default();
    assert_eq!(errors.len(), 51);
    assert!(errors.iter().take(50).all(|fault| fault["line"].is_u64()));
    assert!(answer.body.len() < 20_000, "{}", answer.body.len());
}
