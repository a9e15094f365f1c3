//! The ways through a flow.

use std::collections::BTreeSet;

use super::{ANY, EXECUTE, Flow, Node};
use crate::review::chain::Answer;

/// The nodes to which a case can go from this one by itself or by approval, with the field that says so.
pub(super) fn ways(node: &Node) -> impl Iterator<Item = (&'static str, &str)> {
    let routes = node.checks.iter().filter(|check| check.answer == Answer::Route);
    let routes = routes.filter_map(|check| check.to.as_deref().map(|to| ("checks", to)));
    let next = node.next.as_deref().map(|to| ("next", to));
    let escalation = node.escalate_to.as_deref().map(|to| ("escalate_to", to));
    next.into_iter().chain(escalation).chain(routes)
}

/// All nodes that the flow's own way reaches from this one, without jumps.
pub(super) fn reached<'a>(flow: &'a Flow, from: &str) -> BTreeSet<&'a str> {
    let after = |name: &str| flow.nodes.get(name).into_iter().flat_map(ways).map(|(_, to)| to);
    let mut open: Vec<&str> = after(from).collect();
    let mut found = BTreeSet::new();
    while let Some(name) = open.pop() {
        if found.insert(name) {
            open.extend(after(name));
        }
    }
    found
}

/// All nodes that a case can get to at all.
pub(super) fn reached_somehow(flow: &Flow) -> BTreeSet<&str> {
    let mut all: BTreeSet<&str> = BTreeSet::from([flow.start.as_str()]);
    loop {
        let mut more: BTreeSet<&str> = all.iter().flat_map(|from| reached(flow, from)).collect();
        more.extend(flow.evidence.as_deref());
        for rule in &flow.jumps {
            if rule.from.iter().any(|from| from == ANY || all.contains(from.as_str())) {
                let every = rule.to.iter().any(|to| to == ANY);
                more.extend(rule.to.iter().map(String::as_str).filter(|to| *to != ANY));
                more.extend(
                    flow.nodes.keys().map(String::as_str).filter(|to| every && *to != EXECUTE),
                );
            }
        }
        more.extend(&all);
        if more.len() == all.len() {
            return all;
        }
        all = more;
    }
}

/// A node from which the flow's own way leads back to it, if there is one.
pub(super) fn circle(flow: &Flow) -> Option<&str> {
    let mut names = flow.nodes.keys().map(String::as_str);
    names.find(|name| reached(flow, name).contains(name))
}
