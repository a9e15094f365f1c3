//! A small model of what a review promises, against many random commands.
//!
//! The model knows nothing of tasks, events and nodes that are passed: only who approved what in which epoch. It
//! is told what was asked for and whether it was done, and says what must never have happened.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::case::{Case, Event, Opening, Place, TaskState};
use super::chain::Facts;
use super::command::{Act, Actor, Command, Refusal, decide, open};
use super::flow::{EXECUTE, Flow, parse};
use super::targets::targets;
use crate::campaign::document::Format;

const FLOW: &str = r#"
name = "Model"
subject = "reward"
roles = ["risk", "senior", "finance", "lead"]
start = "screen"
evidence = "evidence"

[nodes.screen]
roles = ["risk"]
next = "risk"
[[nodes.screen.checks]]
check = "hold_reason"
any_of = ["fraud"]
answer = "reject"
[[nodes.screen.checks]]
check = "hold_reason"
any_of = ["look"]
answer = "hold"
[[nodes.screen.checks]]
check = "amount_above"
minor = 1_000
answer = "route"
to = "senior"

[nodes.risk]
roles = ["risk", "senior"]
quorum = 2
next = "finance"
sla_minutes = 30
escalate_to = "senior"

[nodes.senior]
roles = ["senior"]
quorum = 1
next = "finance"
stands_for = "risk"

[nodes.finance]
roles = ["finance"]
quorum = 2
next = "execute"

[nodes.evidence]
roles = ["risk", "finance"]
quorum = 1

[nodes.execute]
guards = ["risk", "finance"]

[[jumps]]
role = "lead"
from = ["*"]
to = ["*"]
[[jumps]]
role = "senior"
from = ["finance"]
to = ["risk", "senior"]
"#;

/// The order of the nodes, written down by hand: a jump to a later one keeps the approvals.
const ORDER: [&str; 5] = ["screen", "risk", "senior", "finance", "execute"];

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from((self.0 >> 16) % u64::try_from(sides).expect("few")).expect("few")
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.roll(of.len())]
    }
}

const PEOPLE: [(&str, &[&str]); 8] = [
    ("ann", &["risk"]),
    ("bob", &["risk", "finance"]),
    ("cyd", &["senior"]),
    ("dan", &["finance"]),
    ("eve", &["lead"]),
    ("fay", &["lead", "finance", "risk"]),
    ("guy", &[]),
    ("req", &["risk", "senior", "finance", "lead"]),
];

fn actor((name, roles): (&str, &[&str])) -> Actor {
    let roles = roles.iter().map(|role| (*role).to_owned()).collect();
    Actor { name: name.to_owned(), roles }
}

fn moment(minute: i64) -> Timestamp {
    let begin: Timestamp = "2030-01-01T00:00:00Z".parse().expect("a moment");
    begin.checked_add(SignedDuration::from_mins(minute)).expect("not that late")
}

fn facts(dice: &mut Dice) -> Facts {
    Facts {
        amount_minor: dice.one(&[500, 500, 500, 5_000]),
        hold_reason: dice.one(&[None, None, None, Some("look"), Some("fraud")]).map(str::to_owned),
        ..Facts::default()
    }
}

/// What the naive model knows.
#[derive(Default)]
struct Model {
    epoch: u32,
    /// (epoch, node) → who approved there.
    approved: BTreeMap<(u32, String), BTreeSet<String>>,
    executions: u32,
    executing: bool,
    over: bool,
}

impl Model {
    fn people(&self, node: &str) -> usize {
        self.approved.get(&(self.epoch, node.to_owned())).map_or(0, BTreeSet::len)
    }

    fn guarded(&self) -> bool {
        (self.people("risk") >= 2 || self.people("senior") >= 1) && self.people("finance") >= 2
    }

    fn may(who: &Actor, node: &str) -> bool {
        let roles: &[&str] = match node {
            "screen" => &["risk"],
            "risk" => &["risk", "senior"],
            "senior" => &["senior"],
            "finance" => &["finance"],
            _ => &[],
        };
        roles.iter().any(|role| who.roles.contains(*role)) && who.name != "req"
    }

    /// Told of a command that was carried out on a case that was in `node`.
    fn done(&mut self, command: &Command, (node, back): (&str, Option<&str>), after: &Case) {
        match &command.act {
            Act::Approve { .. } => {
                assert!(Self::may(&command.by, node), "{command:?} in {node}");
                let there = self.approved.entry((self.epoch, node.to_owned())).or_default();
                assert!(there.insert(command.by.name.clone()), "twice: {command:?} in {node}");
            }
            Act::Jump { from, to, .. } => {
                assert!(!self.executing && to != EXECUTE && command.by.name != "req");
                assert_eq!(from, node);
                let place = |name: &str| ORDER.iter().position(|it| *it == name);
                let from = back.unwrap_or(from);
                if to != "evidence" && place(to) < place(from) {
                    self.epoch += 1;
                }
            }
            Act::SubjectChanged { .. } => {
                assert!(!self.executing, "changed while it was carried out");
                self.epoch += 1;
            }
            Act::Executed => {
                assert!(self.executing);
                self.executions += 1;
                self.over = true;
            }
            Act::ExecutionFailed { .. } => {
                assert!(self.executing);
                self.executing = false;
                self.epoch += 1;
            }
            Act::Reject { .. } => {
                assert!(!self.executing);
                self.over = true;
            }
            Act::Withdraw { .. } => self.over = true,
            Act::Claim
            | Act::Release
            | Act::Delegate { .. }
            | Act::AskEvidence { .. }
            | Act::AddEvidence { .. }
            | Act::Escalate => assert!(!self.executing),
        }
        assert!(self.executions <= 1);
        if after.place == Place::Execute {
            assert!(self.guarded(), "carried out without its guards: {command:?}");
            self.executing = true;
        } else if !after.place.is_end() {
            assert!(!self.executing, "left execute: {command:?}");
        }
        self.over |= after.place.is_end();
    }
}

fn random_act(dice: &mut Dice, case: &Case) -> Act {
    let text = || "because".to_owned();
    let nodes =
        ["screen", "risk", "senior", "finance", "evidence", "execute", "rejected", "nowhere"];
    match dice.roll(40) {
        0..=3 => Act::Claim,
        4 => Act::Release,
        5 => Act::Delegate { to: actor(dice.one(&PEOPLE)) },
        6..=21 => Act::Approve { note: text() },
        22 if dice.roll(4) == 0 => Act::Reject { reason: text() },
        22..=24 => Act::AskEvidence { question: text() },
        25..=27 => Act::AddEvidence { text: text(), attachment: None },
        28..=31 => {
            let here = case.place.node().to_owned();
            let from = if dice.roll(8) == 0 { "risk".to_owned() } else { here };
            Act::Jump { from, to: dice.one(&nodes).to_owned(), reason: text() }
        }
        32..=33 => Act::Escalate,
        34 => {
            Act::SubjectChanged { hash: format!("hash {}", dice.roll(1_000)), facts: facts(dice) }
        }
        35 if dice.roll(10) == 0 => Act::Withdraw { reason: text() },
        35..=37 => Act::Executed,
        _ => Act::ExecutionFailed { reason: text() },
    }
}

/// One case, from its beginning to its end or to `most` commands. Says how many commands there were, and whether it
/// was carried out.
fn live(flow: &Flow, dice: &mut Dice, most: usize) -> (usize, bool) {
    let opening = Opening {
        flow_version: 1,
        hash: "hash".to_owned(),
        requester: Some("req".to_owned()),
        facts: facts(dice),
    };
    let mut history: Vec<Event> = open(flow, opening, moment(0), "waypost");
    let mut case = Case::rebuilt(&history).expect("a history");
    let mut model = Model { over: case.place.is_end(), ..Model::default() };
    for step in 1..=most {
        // A crash: everything but the history is lost.
        if dice.roll(10) == 0 {
            let rebuilt = Case::rebuilt(&history).expect("a history");
            assert_eq!(rebuilt, case);
            case = rebuilt;
        }
        let stale = dice.roll(8) == 0;
        let command = Command {
            by: actor(dice.one(&PEOPLE)),
            at: moment(i64::try_from(step).expect("few") * 10),
            expected_version: if stale { case.version - 1 } else { case.version },
            act: random_act(dice, &case),
        };
        let node = case.place.node().to_owned();
        match decide(flow, &case, &command) {
            Err(refusal) => {
                assert!(stale == matches!(refusal, Refusal::StaleVersion { .. }));
                check_refusal(&model, &case, &command, &refusal);
            }
            Ok(events) => {
                assert!(!stale, "a stale version won");
                assert!(!model.over, "after its end: {command:?}");
                let same = matches!(&command.act, Act::SubjectChanged { hash, .. } if *hash == case.opening.hash);
                let before = case.clone();
                for event in &events {
                    case.apply(event).expect("it follows");
                }
                check_tasks(&before, &case);
                history.extend(events);
                if !same {
                    model.done(&command, (&node, before.back_to.as_deref()), &case);
                }
            }
        }
        if model.over && dice.roll(4) == 0 {
            return (step, model.executions == 1);
        }
    }
    assert_eq!(Case::rebuilt(&history).expect("a history"), case);
    (most, model.executions == 1)
}

/// Whoever may approve, and has not, is let.
fn check_refusal(model: &Model, case: &Case, command: &Command, refusal: &Refusal) {
    if let (Act::Approve { .. }, Place::Node(node)) = (&command.act, &case.place) {
        let key = (model.epoch, node.clone());
        let there = model.approved.get(&key);
        let again = there.is_some_and(|people| people.contains(&command.by.name));
        let open = matches!(refusal, Refusal::StaleVersion { .. } | Refusal::Taken(_));
        assert!(open || again || !Model::may(&command.by, node), "{command:?}: {refusal:?}");
    }
}

/// Tasks never vanish, and are open in the node in which the case is only.
fn check_tasks(before: &Case, after: &Case) {
    for (task, now) in before.tasks.iter().zip(&after.tasks) {
        assert_eq!(task.number, now.number);
        assert!(task.state == TaskState::Open || task == now, "a closed task was changed");
    }
    assert!(after.tasks.len() >= before.tasks.len());
    assert!(after.open_tasks().all(|task| task.node == after.place.node()));
}

#[test]
fn nothing_random_people_do_breaks_what_a_review_promises() {
    let flow = parse(FLOW, Format::Toml).expect("a good flow");
    let (mut steps, mut executed) = (0, 0);
    for seed in [7, 41, 1_893, 77_777, 0xfeed_beef] {
        let mut dice = Dice(seed);
        let mut here = 0;
        while here < 20_000 {
            let (took, carried_out) = live(&flow, &mut dice, 120);
            here += took;
            executed += u32::from(carried_out);
        }
        steps += here;
    }
    assert!(steps >= 100_000);
    assert!(executed > 100, "only {executed} were carried out: the test looks at too little");
}

/// A case of the flow, as it begins for this requester.
fn begun(flow: &Flow, facts: Facts) -> Case {
    let opening = Opening {
        flow_version: 1,
        hash: "hash".to_owned(),
        requester: Some("req".to_owned()),
        facts,
    };
    Case::rebuilt(&open(flow, opening, moment(0), "waypost")).expect("a history")
}

fn person(name: &str) -> Actor {
    actor(PEOPLE.into_iter().find(|(other, _)| *other == name).expect("somebody"))
}

fn act(flow: &Flow, case: &mut Case, name: &str, act: Act) -> Result<Vec<&'static str>, Refusal> {
    let command =
        Command { by: person(name), at: moment(1_000), expected_version: case.version, act };
    let events = decide(flow, case, &command)?;
    for event in &events {
        case.apply(event).expect("it follows");
    }
    Ok(events.iter().map(|event| event.what.name()).collect())
}

fn approve() -> Act {
    Act::Approve { note: "checked".to_owned() }
}

fn jump(case: &Case, to: &str) -> Act {
    let from = case.place.node().to_owned();
    Act::Jump { from, to: to.to_owned(), reason: "look again".to_owned() }
}

#[test]
fn a_case_goes_from_node_to_node_and_is_carried_out() {
    let flow = parse(FLOW, Format::Toml).expect("a good flow");
    let mut case = begun(&flow, Facts::default());
    assert_eq!(case.place, Place::Node("risk".to_owned()));
    let walk = [
        ("ann", approve(), "approved"),
        ("cyd", approve(), "approved entered"),
        ("bob", Act::Claim, "claimed"),
        ("bob", Act::Delegate { to: person("dan") }, "delegated"),
        ("fay", approve(), "approved"),
        ("dan", approve(), "approved entered"),
        ("ann", Act::Executed, "executed"),
    ];
    for (name, what, expected) in walk {
        let events = act(&flow, &mut case, name, what).expect("it may");
        assert_eq!(events.join(" "), expected);
    }
    assert_eq!(case.place, Place::Executed);
    assert_eq!(act(&flow, &mut case, "eve", approve()), Err(Refusal::Closed("executed")));
}

#[test]
fn a_jump_back_lets_approvals_lapse_and_one_ahead_is_sent_back_for_what_is_missing() {
    let flow = parse(FLOW, Format::Toml).expect("a good flow");
    let mut case = begun(&flow, Facts::default());
    let ahead = jump(&case, "finance");
    act(&flow, &mut case, "eve", ahead).expect("leads may");
    assert_eq!((case.place.node(), case.epoch), ("finance", 1));
    act(&flow, &mut case, "bob", approve()).expect("finance may");
    let events = act(&flow, &mut case, "dan", approve()).expect("finance may");
    // Not carried out: the guard 'risk' lacks its approvals.
    assert_eq!((events.join(" "), case.place.node()), ("approved entered".to_owned(), "risk"));
    act(&flow, &mut case, "ann", approve()).expect("risk may");
    let again = jump(&case, "screen");
    let events = act(&flow, &mut case, "eve", again).expect("leads may");
    assert_eq!(events.join(" "), "jumped passed entered");
    assert_eq!((case.place.node(), case.epoch), ("risk", 2));
    assert!(case.approvers("risk").is_empty() && case.approvers("finance").is_empty());
    let kept = case.tasks.iter().filter(|task| task.state == TaskState::Superseded).count();
    assert_eq!(kept, 3, "two of risk at first, one when it came back");
}

#[test]
fn a_check_rejects_routes_and_holds() {
    let flow = parse(FLOW, Format::Toml).expect("a good flow");
    let of = |amount_minor, reason: Option<&str>| {
        let hold_reason = reason.map(str::to_owned);
        begun(&flow, Facts { amount_minor, hold_reason, ..Facts::default() })
    };
    assert_eq!(of(1, Some("fraud")).place, Place::Rejected);
    assert_eq!(of(1_001, None).place.node(), "senior");
    assert_eq!(of(1_000, None).place.node(), "risk");
    let held = of(1, Some("look"));
    assert_eq!((held.place.node(), held.open_tasks().count()), ("screen", 1));
}

#[test]
fn evidence_is_beside_the_way_and_approvals_wait() {
    let flow = parse(FLOW, Format::Toml).expect("a good flow");
    let mut case = begun(&flow, Facts::default());
    act(&flow, &mut case, "ann", approve()).expect("risk may");
    let question = Act::AskEvidence { question: "who is it?".to_owned() };
    act(&flow, &mut case, "bob", question).expect("risk may");
    assert_eq!(case.place.node(), "evidence");
    assert_eq!(act(&flow, &mut case, "bob", approve()), Err(Refusal::EvidenceWanted));
    let answer = Act::AddEvidence { text: "a passport".to_owned(), attachment: None };
    // Whoever asked for the thing itself may answer.
    act(&flow, &mut case, "req", answer).expect("requesters may");
    assert_eq!((case.place.node(), case.epoch), ("risk", 1));
    act(&flow, &mut case, "bob", approve()).expect("risk may");
    assert_eq!(case.place.node(), "finance");
}

#[test]
fn targets_say_where_one_may_jump_and_why_not_elsewhere() {
    let flow = parse(FLOW, Format::Toml).expect("a good flow");
    let mut case = begun(&flow, Facts::default());
    let seen = |case: &Case, name: &str| {
        let all = targets(&flow, case, &person(name), moment(0));
        let line = all.iter().map(|it| {
            let why = it.barred.as_ref().map_or("legal", Refusal::code);
            format!("{} {why}{}", it.node, if it.keeps_approvals { " keeps" } else { "" })
        });
        line.collect::<Vec<String>>().join(", ")
    };
    assert_eq!(
        seen(&case, "eve"),
        "evidence legal keeps, execute into-execute keeps, finance legal keeps, screen legal, \
         senior legal keeps, rejected not-a-jump"
    );
    assert!(seen(&case, "ann").starts_with("evidence jump-forbidden keeps"));
    assert!(seen(&case, "req").starts_with("evidence own-request keeps"));
    let rejected = Act::Reject { reason: "no".to_owned() };
    act(&flow, &mut case, "req", rejected).expect("they take it back");
    assert!(seen(&case, "eve").starts_with("evidence case-closed"));
}
