//! What happens by itself when a case comes to a node: its checks, and the nodes in which nobody decides.

use jiff::Timestamp;

use super::{due, looked};
use crate::review::case::{Case, Event, What, Why};
use crate::review::chain::Verdict;
use crate::review::flow::{EXECUTE, Flow};

/// The events of a command, and the case as it is after them.
pub(super) struct Steps<'a> {
    flow: &'a Flow,
    case: Case,
    at: Timestamp,
    by: String,
    events: Vec<Event>,
}

impl<'a> Steps<'a> {
    pub(super) fn new(flow: &'a Flow, case: Case, at: Timestamp, by: &str) -> Self {
        Self { flow, case, at, by: by.to_owned(), events: Vec::new() }
    }

    pub(super) fn case(&self) -> &Case {
        &self.case
    }

    pub(super) fn into_events(self) -> Vec<Event> {
        self.events
    }

    pub(super) fn push(&mut self, what: What) {
        let event =
            Event { version: self.case.version + 1, at: self.at, by: self.by.clone(), what };
        self.case.apply(&event).expect("it was made for this case");
        self.events.push(event);
    }

    /// Lets the case come to a node, and go on from there as far as nobody has to decide.
    ///
    /// It ends: a flow has no circles, and from `execute` it goes back at most once, to a guard in which
    /// people are missing and in which no check sends it on.
    pub(super) fn enter(&mut self, node: &str, why: Why) {
        let (mut name, mut why) = (node.to_owned(), why);
        loop {
            if name == EXECUTE {
                match self.case.missing_guard(self.flow) {
                    None => return self.stop(EXECUTE, why, 0, None),
                    Some(guard) => {
                        (name, why) = (guard.to_owned(), Why::Guard);
                        continue;
                    }
                }
            }
            let node = self.flow.node(&name).expect("judged flows lead to nodes that are there");
            let (verdict, people) = looked(node, &self.case);
            let held = match verdict {
                Verdict::Reject(reason) => {
                    return self.push(What::Rejected { reason: reason.to_owned() });
                }
                Verdict::Route(to) if why.routes() => {
                    self.push(What::Passed { node: name, to: to.to_owned() });
                    (name, why) = (to.to_owned(), Why::Route);
                    continue;
                }
                Verdict::Hold(reason) => Some(reason.to_owned()),
                Verdict::Pass | Verdict::Route(_) => None,
            };
            let approved = u8::try_from(self.case.approvers(&name).len()).unwrap_or(u8::MAX);
            let missing = people.saturating_sub(approved);
            let Some(next) = node.next.as_ref().filter(|_| missing == 0) else {
                return self.stop(&name, why, missing, held);
            };
            self.push(What::Passed { node: name, to: next.clone() });
            (name, why) = (next.clone(), Why::Next);
        }
    }

    /// Lets the case stay in a node until so many people have done something.
    fn stop(&mut self, name: &str, why: Why, tasks: u8, held: Option<String>) {
        let due_at = self.flow.node(name).and_then(|node| due(node, self.at));
        let back_to = self.flow.is_evidence(name).then(|| self.case.place.node().to_owned());
        self.push(What::Entered { node: name.to_owned(), why, tasks, due_at, held, back_to });
    }
}
