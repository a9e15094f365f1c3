//! What makes a flow good, beyond the types of its fields: every fault is told, each with its place.

use std::collections::BTreeSet;

use super::{ANY, EXECUTE, Flow, JumpRule, MOST_PEOPLE, Node, REJECTED, graph};
use crate::fault::{Fault, Reason, escaped};
use crate::review::chain::{Answer, Check, CheckKind};

/// The longest name of a node or a role, in bytes.
const LONGEST_NAME: usize = 40;
/// The most nodes, roles, jumps, checks in a node and names in a check.
const MOST_NODES: usize = 50;
const MOST_ROLES: usize = 20;
const MOST_JUMPS: usize = 100;
const MOST_CHECKS: usize = 20;
const MOST_NAMES: usize = 100;
/// The longest time that a case may stay in a node: a year, in minutes.
const LONGEST_SLA: u32 = 527_040;

/// All that is wrong with a flow.
pub(super) fn judge(flow: &Flow) -> Vec<Fault> {
    let mut judge = Judge { flow, faults: Vec::new() };
    judge.frame();
    for (name, node) in &flow.nodes {
        let pointer = format!("/nodes/{}", escaped(name));
        judge.name(&pointer, name);
        if name == REJECTED {
            let detail = "is in every flow by itself; remove it";
            judge.fault(pointer, Reason::Reserved, detail);
        } else if name == EXECUTE {
            judge.execute(&pointer, node);
        } else {
            judge.node(&pointer, name, node);
        }
    }
    judge.jumps();
    // The ways are looked at only when all names on them are good.
    if judge.faults.is_empty() {
        judge.ways();
    }
    judge.faults
}

struct Judge<'a> {
    flow: &'a Flow,
    faults: Vec<Fault>,
}

impl Judge<'_> {
    fn fault(&mut self, pointer: impl Into<String>, reason: Reason, detail: impl Into<String>) {
        self.faults.push(Fault::new(pointer, reason, detail));
    }

    fn name(&mut self, pointer: &str, name: &str) {
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let begins = name.starts_with(|letter: char| letter.is_ascii_lowercase());
        if !begins || !name.bytes().all(plain) || name.len() > LONGEST_NAME {
            let detail = "a name is 1 to 40 small letters, digits and '-', such as 'senior-risk', \
                          and begins with a letter";
            self.fault(pointer, Reason::BadCharacter, detail);
        }
    }

    fn text(&mut self, pointer: &str, text: &str, longest: usize) {
        if text.trim().is_empty() {
            self.fault(pointer, Reason::Empty, "must say something");
        } else if text.chars().count() > longest {
            let detail = format!("is too long; at most {longest} characters are allowed");
            self.fault(pointer, Reason::TooLong, detail);
        } else if text.chars().any(char::is_control) {
            let detail = "has a control character or a line break; remove it";
            self.fault(pointer, Reason::ControlCharacter, detail);
        }
    }

    /// A list may have so many elements.
    fn count(&mut self, pointer: &str, count: usize, least: usize, most: usize) {
        if count < least {
            self.fault(pointer, Reason::Empty, format!("needs at least {least}"));
        } else if count > most {
            let detail = format!("has {count}; at most {most} are allowed");
            self.fault(pointer, Reason::TooMany, detail);
        }
    }

    /// A node that is there and in which a case can be: not `execute`, unless that is allowed here.
    fn target(&mut self, pointer: &str, name: &str, execute: bool) {
        if name == EXECUTE && !execute {
            let detail = "nothing goes to 'execute' but an approval, by 'next'; name another node";
            self.fault(pointer, Reason::OutOfRange, detail);
        } else if !self.flow.nodes.contains_key(name) {
            let known: Vec<&str> = self.flow.nodes.keys().map(String::as_str).collect();
            let name: String = name.chars().take(LONGEST_NAME).collect();
            let detail = format!("there is no node '{name}'; there are: {}", known.join(", "));
            self.fault(pointer, Reason::UnknownName, detail);
        }
    }

    fn roles(&mut self, pointer: &str, roles: &[String]) {
        let mut seen = BTreeSet::new();
        for (at, role) in roles.iter().enumerate() {
            let pointer = format!("{pointer}/{at}");
            if !self.flow.roles.contains(role) {
                let name: String = role.chars().take(LONGEST_NAME).collect();
                let detail =
                    format!("there is no role '{name}'; roles has: {}", self.flow.roles.join(", "));
                self.fault(pointer, Reason::UnknownName, detail);
            } else if !seen.insert(role) {
                self.fault(pointer, Reason::Conflict, "stands here twice; remove one of them");
            }
        }
    }

    fn frame(&mut self) {
        let flow = self.flow;
        self.text("/name", &flow.name, 100);
        self.count("/roles", flow.roles.len(), 1, MOST_ROLES);
        let mut seen = BTreeSet::new();
        for (at, role) in flow.roles.iter().enumerate() {
            let pointer = format!("/roles/{at}");
            self.name(&pointer, role);
            if !seen.insert(role) {
                self.fault(pointer, Reason::Conflict, "stands here twice; remove one of them");
            }
        }
        self.count("/nodes", flow.nodes.len(), 2, MOST_NODES);
        self.count("/jumps", flow.jumps.len(), 0, MOST_JUMPS);
        if !flow.nodes.contains_key(EXECUTE) {
            let detail = "needs the node 'execute', with its guards";
            self.fault("/nodes/execute", Reason::Required, detail);
        }
        self.target("/start", &flow.start, false);
        if let Some(evidence) = &flow.evidence {
            self.target("/evidence", evidence, false);
            if *evidence == flow.start {
                let detail = "must be another node than start: nobody was asked anything yet";
                self.fault("/evidence", Reason::Conflict, detail);
            }
        }
    }

    fn execute(&mut self, pointer: &str, node: &Node) {
        let Node { checks, roles, quorum, next, sla_minutes, escalate_to, stands_for, guards } =
            node;
        for (field, given) in [
            ("checks", !checks.is_empty()),
            ("roles", !roles.is_empty()),
            ("quorum", *quorum != 0),
            ("next", next.is_some()),
            ("sla_minutes", sla_minutes.is_some()),
            ("escalate_to", escalate_to.is_some()),
            ("stands_for", stands_for.is_some()),
        ] {
            if given {
                let detail = "means nothing in 'execute', in which nobody decides; remove it";
                self.fault(format!("{pointer}/{field}"), Reason::Conflict, detail);
            }
        }
        let pointer = format!("{pointer}/guards");
        if guards.is_empty() {
            let detail = "must name the nodes without whose approval nothing is carried out";
            self.fault(&pointer, Reason::Required, detail);
        }
        let mut seen = BTreeSet::new();
        for (at, guard) in guards.iter().enumerate() {
            let pointer = format!("{pointer}/{at}");
            self.target(&pointer, guard, false);
            if !seen.insert(guard) {
                let detail = "stands here twice; remove one of them";
                self.fault(&pointer, Reason::Conflict, detail);
            }
            let node = self.flow.nodes.get(guard);
            if node.is_some_and(|node| node.quorum == 0) || self.flow.is_evidence(guard) {
                let detail = format!(
                    "'{guard}' asks nobody for approval, so that it can never be fulfilled; give it a \
                     quorum, or name another node"
                );
                self.fault(&pointer, Reason::Unreachable, detail);
            }
        }
    }

    fn node(&mut self, pointer: &str, name: &str, node: &Node) {
        let at = |field: &str| format!("{pointer}/{field}");
        let is_evidence = self.flow.is_evidence(name);
        if !node.guards.is_empty() {
            self.fault(at("guards"), Reason::Conflict, "only 'execute' has guards; remove them");
        }
        self.count(&at("checks"), node.checks.len(), 0, MOST_CHECKS);
        for (number, check) in node.checks.iter().enumerate() {
            self.check(&format!("{pointer}/checks/{number}"), node, check);
        }
        self.roles(&at("roles"), &node.roles);
        if node.quorum > MOST_PEOPLE {
            let detail = format!("must be from 0 to {MOST_PEOPLE} people");
            self.fault(at("quorum"), Reason::OutOfRange, detail);
        }
        if node.quorum > 0 && node.roles.is_empty() {
            let detail = "must say who decides here, since quorum asks for people";
            self.fault(at("roles"), Reason::Required, detail);
        }
        match &node.next {
            Some(_) if is_evidence => {
                let detail = "means nothing here: from evidence a case goes back to where it was";
                self.fault(at("next"), Reason::Conflict, detail);
            }
            Some(next) => self.target(&at("next"), next, true),
            None if is_evidence => {}
            None => {
                let detail = "must name the node after this one; the last one names 'execute'";
                self.fault(at("next"), Reason::Required, detail);
            }
        }
        if is_evidence && (node.quorum != 1 || !node.checks.is_empty()) {
            let detail = "must be 1 in the node for evidence, which has no checks";
            self.fault(at("quorum"), Reason::OutOfRange, detail);
        }
        if let Some(other) = &node.stands_for {
            self.target(&at("stands_for"), other, false);
            if other == name || is_evidence || node.quorum == 0 {
                let detail = "needs another node, and people who approve here";
                self.fault(at("stands_for"), Reason::Conflict, detail);
            }
        }
        self.escalation(pointer, node);
    }

    fn escalation(&mut self, pointer: &str, node: &Node) {
        let at = |field: &str| format!("{pointer}/{field}");
        match (node.sla_minutes, &node.escalate_to) {
            (None, None) => {}
            (Some(_), None) => {
                let detail = "must say where a case goes when sla_minutes are over";
                self.fault(at("escalate_to"), Reason::Required, detail);
            }
            (None, Some(_)) => {
                let detail = "must say after how many minutes a case is escalated";
                self.fault(at("sla_minutes"), Reason::Required, detail);
            }
            (Some(minutes), Some(to)) => {
                if !(1..=LONGEST_SLA).contains(&minutes) {
                    let detail =
                        format!("must be from 1 to {LONGEST_SLA} minutes, which is a year");
                    self.fault(at("sla_minutes"), Reason::OutOfRange, detail);
                }
                self.target(&at("escalate_to"), to, false);
            }
        }
    }

    fn check(&mut self, pointer: &str, node: &Node, check: &Check) {
        let of_amount = check.check == CheckKind::AmountAbove;
        let of_rewards = check.check == CheckKind::InviterRewardsAbove;
        let of_names = matches!(check.check, CheckKind::HoldReason | CheckKind::Campaign);
        let routes = check.answer == Answer::Route;
        for (field, given, wanted) in [
            ("minor", check.minor.is_some(), of_amount),
            ("rewards", check.rewards.is_some(), of_rewards),
            ("items", check.items.is_some(), check.check == CheckKind::ItemsAbove),
            ("any_of", check.any_of.is_some(), of_names),
            ("to", check.to.is_some(), routes),
        ] {
            let pointer = format!("{pointer}/{field}");
            if wanted && !given {
                self.fault(pointer, Reason::Required, "is needed by this check");
            } else if given && !wanted {
                let detail = "means nothing to this check; remove it";
                self.fault(pointer, Reason::Conflict, detail);
            }
        }
        let negative = check.minor.is_some_and(|minor| minor < 0);
        let is_negative = |number: Option<i32>| number.is_some_and(|number| number < 0);
        for (field, bad) in [
            ("minor", negative),
            ("rewards", is_negative(check.rewards)),
            ("items", is_negative(check.items)),
        ] {
            if bad {
                let detail = "must not be less than 0";
                self.fault(format!("{pointer}/{field}"), Reason::OutOfRange, detail);
            }
        }
        if let Some(names) = &check.any_of {
            self.count(&format!("{pointer}/any_of"), names.len(), 1, MOST_NAMES);
        }
        if let Some(reason) = &check.reason {
            self.text(&format!("{pointer}/reason"), reason, 200);
        }
        if let Some(to) = check.to.as_ref().filter(|_| routes) {
            self.target(&format!("{pointer}/to"), to, false);
        }
        if check.answer == Answer::Hold && node.roles.is_empty() {
            let detail = "holds a case for people, but the node has no roles; give it some";
            self.fault(format!("{pointer}/answer"), Reason::Conflict, detail);
        }
    }

    fn jumps(&mut self) {
        for (at, jump) in self.flow.jumps.iter().enumerate() {
            let pointer = format!("/jumps/{at}");
            let JumpRule { role, from, to } = jump;
            if !self.flow.roles.contains(role) {
                let known = self.flow.roles.join(", ");
                let detail = format!("is none of the roles of this flow: {known}");
                self.fault(format!("{pointer}/role"), Reason::UnknownName, detail);
            }
            for (field, list) in [("from", from), ("to", to)] {
                let pointer = format!("{pointer}/{field}");
                self.count(&pointer, list.len(), 1, MOST_NODES);
                for (at, name) in list.iter().enumerate().filter(|(_, name)| *name != ANY) {
                    self.target(&format!("{pointer}/{at}"), name, false);
                }
            }
        }
    }

    /// Every node must be reachable, every guard on the way, and no way may lead back.
    fn ways(&mut self) {
        let flow = self.flow;
        if let Some(name) = graph::circle(flow) {
            let (field, _) = flow
                .nodes
                .get(name)
                .into_iter()
                .flat_map(graph::ways)
                .find(|(_, to)| *to == name || flow.leads(to, name))
                .unwrap_or_default();
            let detail = format!(
                "leads back to '{name}', so that a case could go round for ever; who wants it back, \
                 jumps"
            );
            self.fault(format!("/nodes/{name}/{field}"), Reason::GoesInCircles, detail);
        }
        let reached = graph::reached_somehow(flow);
        for name in flow.nodes.keys().filter(|name| !reached.contains(name.as_str())) {
            let detail =
                format!("no way and no jump leads to '{name}'; add one, or remove the node");
            self.fault(format!("/nodes/{name}"), Reason::Unreachable, detail);
        }
        for (at, guard) in flow.guards().iter().enumerate() {
            if *guard != flow.start && !flow.leads(&flow.start, guard) {
                let detail = format!(
                    "no way leads from start through '{guard}' without a jump; put it on the way"
                );
                self.fault(format!("/nodes/execute/guards/{at}"), Reason::Unreachable, detail);
            }
        }
        let ends_in = |name: &&String| flow.is_evidence(name) && flow.leads(&flow.start, name);
        if let Some(name) = flow.evidence.as_ref().filter(ends_in) {
            let detail =
                format!("'{name}' is beside the way, not on it: only questions lead there");
            self.fault("/evidence", Reason::Conflict, detail);
        }
    }
}
