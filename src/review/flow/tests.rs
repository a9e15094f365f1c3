use super::*;
use crate::fault::Reason;

const GOOD: &str = r#"
name = "Test"
subject = "reward"
roles = ["risk", "finance"]
start = "screen"
evidence = "evidence"
[nodes.screen]
next = "risk"
[nodes.risk]
roles = ["risk"]
quorum = 2
next = "finance"
[nodes.finance]
roles = ["finance"]
quorum = 1
next = "execute"
[nodes.evidence]
roles = ["risk"]
quorum = 1
[nodes.execute]
guards = ["risk", "finance"]
[[jumps]]
role = "risk"
from = ["*"]
to = ["*"]
"#;

#[test]
fn the_flows_that_hold_at_first_are_good() {
    for subject in Subject::ALL {
        let flow = parse(subject.usual_flow(), Format::Toml).expect("a good flow");
        assert_eq!(flow.subject, subject);
        assert_eq!(flow.guards(), ["risk", "finance"]);
        assert!(flow.is_evidence("evidence"));
    }
}

/// What is put in place of what, where the fault is then, of which kind, and what stands in its line.
const FAULTS: [(&str, &str, &str, Reason, &str); 24] = [
    ("start = \"screen\"", "start = \"x\"", "/start", Reason::UnknownName, "start"),
    ("start = \"screen\"", "start = \"execute\"", "/start", Reason::OutOfRange, "start"),
    ("evidence = \"e", "evidence = \"n", "/evidence", Reason::UnknownName, "evidence ="),
    ("quorum = 2", "quorum = 21", "/nodes/risk/quorum", Reason::OutOfRange, "quorum = 21"),
    ("quorum = 2", "quorum = 0", "/nodes/execute/guards/0", Reason::Unreachable, "guards"),
    ("[\"risk\"]\nquorum = 2", "[]\nquorum = 2", "/nodes/risk/roles", Reason::Required, "[]"),
    ("[\"risk\"]\nquorum = 2", "[\"x\"]", "/nodes/risk/roles/0", Reason::UnknownName, "[\"x\"]"),
    ("next = \"finance\"", "", "/nodes/risk/next", Reason::Required, "[nodes.risk]"),
    ("next = \"finance\"", "next = \"nobody\"", "/nodes/risk/next", Reason::UnknownName, "nobody"),
    (
        "next = \"finance\"",
        "next = \"screen\"",
        "/nodes/risk/next",
        Reason::GoesInCircles,
        "next = \"screen\"",
    ),
    (
        "next = \"finance\"",
        "next = \"execute\"",
        "/nodes/execute/guards/1",
        Reason::Unreachable,
        "guards",
    ),
    (
        "next = \"execute\"",
        "next = \"execute\"\nsla_minutes = 5\nescalate_to = \"risk\"",
        "/nodes/finance/escalate_to",
        Reason::GoesInCircles,
        "escalate_to",
    ),
    (
        "next = \"execute\"",
        "next = \"execute\"\nsla_minutes = 5",
        "/nodes/finance/escalate_to",
        Reason::Required,
        "[nodes.finance]",
    ),
    (
        "next = \"risk\"",
        "next = \"risk\"\nguards = [\"risk\"]",
        "/nodes/screen/guards",
        Reason::Conflict,
        "guards = [\"risk\"]",
    ),
    ("[\"risk\", \"finance\"]\n[[j", "[]\n[[j", "/nodes/execute/guards", Reason::Required, "[]"),
    (
        "[\"risk\", \"finance\"]\n[[j",
        "[\"evidence\"]\n[[j",
        "/nodes/execute/guards/0",
        Reason::Unreachable,
        "[\"evidence\"]",
    ),
    (
        "guards =",
        "roles = [\"risk\"]\nguards =",
        "/nodes/execute/roles",
        Reason::Conflict,
        "roles = [\"risk\"]",
    ),
    ("role = \"risk\"", "role = \"x\"", "/jumps/0/role", Reason::UnknownName, "role = \"x\""),
    ("to = [\"*\"]", "to = [\"execute\"]", "/jumps/0/to/0", Reason::OutOfRange, "to = ["),
    ("from = [\"*\"]", "from = [\"x\"]", "/jumps/0/from/0", Reason::UnknownName, "from = ["),
    ("from = [\"*\"]", "from = []", "/jumps/0/from", Reason::Empty, "from = []"),
    (
        "[nodes.screen]",
        "[nodes.screen]\nchecks = [{ check = \"amount_above\", answer = \"reject\" }]",
        "/nodes/screen/checks/0/minor",
        Reason::Required,
        "checks",
    ),
    (
        "[nodes.screen]",
        "[nodes.screen]\nchecks = [{ check = \"amount_above\", minor = 1, answer = \"hold\" }]",
        "/nodes/screen/checks/0/answer",
        Reason::Conflict,
        "checks",
    ),
    (
        "[[jumps]]\nrole = \"risk\"\nfrom = [\"*\"]\nto = [\"*\"]",
        "[nodes.island]\nroles = [\"risk\"]\nquorum = 1\nnext = \"execute\"",
        "/nodes/island",
        Reason::Unreachable,
        "[nodes.island]",
    ),
];

#[test]
fn every_fault_has_its_place_its_reason_and_its_line() {
    parse(GOOD, Format::Toml).expect("good");
    for (before, after, pointer, reason, line) in FAULTS {
        assert!(GOOD.contains(before), "{before}");
        let text = GOOD.replacen(before, after, 1);
        let faults = parse(&text, Format::Toml).expect_err(after);
        let found = faults.iter().find(|it| it.pointer == pointer && it.reason == reason);
        let fault = found.unwrap_or_else(|| panic!("{after}: {faults:?}"));
        let there = text.lines().nth(fault.line.expect("a line") - 1).expect("the line");
        assert!(there.contains(line), "{after}: {there}");
    }
}

#[test]
fn jumps_make_a_node_reachable_and_every_node_counts_once() {
    let island = "[nodes.island]\nroles = [\"risk\"]\nquorum = 1\nnext = \"finance\"\n";
    let flow = parse(&format!("{GOOD}{island}"), Format::Toml).expect("good");
    assert!(flow.leads("screen", "execute"));
    assert!(!flow.leads("finance", "risk"));
    assert!(!flow.leads("screen", "island"));
    let unknown = parse(&format!("{GOOD}x = 1"), Format::Toml).expect_err("no such field");
    assert_eq!(unknown.first().map(|it| it.reason), Some(Reason::UnknownField));
}

#[test]
fn every_field_is_explained_and_the_example_is_good() {
    let page = include_str!("../../../docs/review.md");
    let example = page.split("```toml\n").nth(1).and_then(|rest| rest.split("```").next());
    parse(example.expect("an example"), Format::Toml).expect("a good flow");
    for text in [
        "x = 1",
        "nodes = { a = { x = 1 } }",
        "nodes = { a = { checks = [{ x = 1 }] } }",
        "jumps = [{ x = 1 }]",
    ] {
        let faults = parse(text, Format::Toml).expect_err("no such field");
        let [fault] = faults.as_slice() else { panic!("{faults:?}") };
        let (_, names) = fault.detail.split_once("there are: ").expect("names");
        for name in names.split(", ") {
            assert!(page.contains(&format!("`{name}`")), "docs/review.md lacks {name}");
        }
    }
}
