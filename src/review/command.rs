//! The only door to a case: what somebody wants, and what happens then, or why it does not.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::case::{Attachment, Case, Event, Opening, Place, Task, What, Why};
use super::chain::{self, Facts, Verdict};
use super::flow::{EXECUTE, Flow, Node, REJECTED};

mod entering;
mod refusal;

use entering::Steps;
pub use refusal::Refusal;

/// The longest history of a case. Beyond it only decisions are possible, so that it comes to an end.
pub const MOST_EVENTS: i32 = 1_000;

/// Who does something, with the roles that they have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// Their name.
    pub name: String,
    /// Their roles.
    pub roles: BTreeSet<String>,
}

impl Actor {
    /// Whether they have one of these roles.
    pub fn has(&self, roles: &[String]) -> bool {
        roles.iter().any(|role| self.roles.contains(role))
    }
}

/// What somebody wants to do to a case.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// Take one of its open tasks.
    Claim,
    /// Give that task back.
    Release,
    /// Give that task to somebody else.
    Delegate {
        /// To whom, with their roles.
        to: Actor,
    },
    /// Approve it in the node in which it is.
    Approve {
        /// What there is to say about it.
        note: String,
    },
    /// Reject it; whoever asked for it takes it back so.
    Reject {
        /// Why.
        reason: String,
    },
    /// Ask for evidence.
    AskEvidence {
        /// What.
        question: String,
    },
    /// Add evidence.
    AddEvidence {
        /// What it says.
        text: String,
        /// What it consists of besides.
        attachment: Option<Attachment>,
    },
    /// Move it to another node.
    Jump {
        /// From which one: the one in which it is.
        from: String,
        /// To which one.
        to: String,
        /// Why.
        reason: String,
    },
    /// Move on what has waited for too long.
    Escalate,
    /// Say that the subject is not what it was.
    SubjectChanged {
        /// Its SHA-256 now, in hexadecimal.
        hash: String,
        /// What checks can ask for now.
        facts: Facts,
    },
    /// Say that there is nothing left to decide on.
    Withdraw {
        /// What became of it.
        reason: String,
    },
    /// Say that it was carried out.
    Executed,
    /// Say that it could not be carried out, and that nothing was done.
    ExecutionFailed {
        /// Why.
        reason: String,
    },
}

/// A command: what, by whom, when, and on the ground of which version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Command {
    /// By whom.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
    /// How many events the case had when they looked at it.
    pub expected_version: i32,
    /// What.
    pub act: Act,
}

/// The history of a case that begins.
pub fn open(flow: &Flow, opening: Opening, at: Timestamp, by: &str) -> Vec<Event> {
    let first = Event { version: 1, at, by: by.to_owned(), what: What::Opened(opening) };
    let case = Case::opened(&first).expect("it is the first event");
    let mut steps = Steps::new(flow, case, at, by);
    steps.enter(&flow.start, Why::Start);
    let mut events = vec![first];
    events.extend(steps.into_events());
    events
}

/// What happens if the command is carried out. Nothing is changed: a dry run is this and no more.
pub fn decide(flow: &Flow, case: &Case, command: &Command) -> Result<Vec<Event>, Refusal> {
    if command.expected_version != case.version {
        let (expected, current) = (command.expected_version, case.version);
        return Err(Refusal::StaleVersion { expected, current });
    }
    if case.place.is_end() {
        return Err(Refusal::Closed(case.place.state()));
    }
    let deciding = Deciding { flow, case, by: &command.by, at: command.at };
    let steps = match &command.act {
        Act::Claim => deciding.claim()?,
        Act::Release => deciding.release()?,
        Act::Delegate { to } => deciding.delegate(to)?,
        Act::Approve { note: words } => deciding.approve(words)?,
        Act::Reject { reason } => deciding.reject(reason)?,
        Act::AskEvidence { question } => deciding.ask_evidence(question)?,
        Act::AddEvidence { text, attachment } => {
            deciding.add_evidence(text, attachment.as_ref())?
        }
        Act::Jump { from, to, reason } => deciding.jump((from, to), reason)?,
        Act::Escalate => deciding.escalate()?,
        Act::SubjectChanged { hash, facts } => deciding.subject_changed(hash, facts)?,
        Act::Withdraw { reason } => deciding.single(What::Withdrawn { reason: reason.clone() }),
        Act::Executed => deciding.executed()?,
        Act::ExecutionFailed { reason } => deciding.execution_failed(reason)?,
    };
    Ok(steps.into_events())
}

/// A command that is looked at.
pub(super) struct Deciding<'a> {
    pub(super) flow: &'a Flow,
    pub(super) case: &'a Case,
    pub(super) by: &'a Actor,
    pub(super) at: Timestamp,
}

impl<'a> Deciding<'a> {
    fn steps(&self) -> Steps<'a> {
        Steps::new(self.flow, self.case.clone(), self.at, &self.by.name)
    }

    fn single(&self, what: What) -> Steps<'a> {
        let mut steps = self.steps();
        steps.push(what);
        steps
    }

    /// The node in which people have to decide.
    fn here(&self) -> Result<(&'a str, &'a Node), Refusal> {
        match &self.case.place {
            Place::Node(name) => {
                let node = self.flow.node(name).ok_or(Refusal::NoSuchNode)?;
                Ok((name.as_str(), node))
            }
            Place::Execute => Err(Refusal::InFlight),
            Place::Executed | Place::Rejected | Place::Withdrawn => {
                Err(Refusal::Closed(self.case.place.state()))
            }
        }
    }

    fn is_requester(&self, name: &str) -> bool {
        self.case.opening.requester.as_deref() == Some(name)
    }

    /// The node, if this person may decide in it.
    fn may(&self, who: &Actor) -> Result<(&'a str, &'a Node), Refusal> {
        let (name, node) = self.here()?;
        if self.is_requester(&who.name) {
            return Err(Refusal::OwnRequest);
        }
        if !who.has(&node.roles) {
            return Err(Refusal::NoRole(node.roles.join(", ")));
        }
        Ok((name, node))
    }

    /// Only decisions are possible once the history is very long.
    fn is_short(&self) -> Result<(), Refusal> {
        if self.case.version < MOST_EVENTS { Ok(()) } else { Err(Refusal::TooLong(MOST_EVENTS)) }
    }

    fn held_by(&self, name: &str) -> Option<&'a Task> {
        self.case.open_tasks().find(|task| task.holder.as_deref() == Some(name))
    }

    /// A task that this person can take: not twice in a node.
    fn free(&self, who: &str, node: &str) -> Result<&'a Task, Refusal> {
        if self.case.approvers(node).contains(who) {
            return Err(Refusal::AlreadyApproved);
        }
        if self.held_by(who).is_some() {
            return Err(Refusal::AlreadyClaimed);
        }
        self.case.open_tasks().find(|task| task.holder.is_none()).ok_or_else(|| {
            let holders = self.case.open_tasks().filter_map(|task| task.holder.as_deref());
            Refusal::Taken(holders.collect::<Vec<&str>>().join(", "))
        })
    }

    fn claim(&self) -> Result<Steps<'a>, Refusal> {
        self.is_short()?;
        let (node, _) = self.may(self.by)?;
        let task = self.free(&self.by.name, node)?.number;
        Ok(self.single(What::Claimed { task }))
    }

    fn release(&self) -> Result<Steps<'a>, Refusal> {
        self.is_short()?;
        self.here()?;
        let task = self.held_by(&self.by.name).ok_or(Refusal::NotYours)?.number;
        Ok(self.single(What::Released { task }))
    }

    fn delegate(&self, to: &Actor) -> Result<Steps<'a>, Refusal> {
        self.is_short()?;
        let (node, _) = self.may(self.by)?;
        let task = self.held_by(&self.by.name).ok_or(Refusal::NotYours)?.number;
        self.may(to)?;
        if self.case.approvers(node).contains(to.name.as_str()) {
            return Err(Refusal::AlreadyApproved);
        }
        if self.held_by(&to.name).is_some() {
            return Err(Refusal::AlreadyClaimed);
        }
        Ok(self.single(What::Delegated { task, to: to.name.clone() }))
    }

    fn approve(&self, words: &str) -> Result<Steps<'a>, Refusal> {
        let (name, node) = self.may(self.by)?;
        if self.flow.is_evidence(name) {
            return Err(Refusal::EvidenceWanted);
        }
        let who = &self.by.name;
        let task = match self.held_by(who) {
            Some(task) => task,
            None => self.free(who, name)?,
        };
        let mut steps = self.single(What::Approved { task: task.number, note: words.to_owned() });
        if steps.case().open_tasks().next().is_none() {
            let next = node.next.as_deref().ok_or(Refusal::NoSuchNode)?;
            steps.enter(next, Why::Next);
        }
        Ok(steps)
    }

    fn reject(&self, reason: &str) -> Result<Steps<'a>, Refusal> {
        self.here()?;
        // Whoever asked for something may take it back, and needs no role for it.
        if !self.is_requester(&self.by.name) {
            self.may(self.by)?;
        }
        Ok(self.single(What::Rejected { reason: reason.to_owned() }))
    }

    fn ask_evidence(&self, question: &str) -> Result<Steps<'a>, Refusal> {
        self.is_short()?;
        let (name, _) = self.may(self.by)?;
        if self.flow.is_evidence(name) {
            return Err(Refusal::EvidenceWanted);
        }
        let mut steps = self.single(What::EvidenceAsked { question: question.to_owned() });
        if let Some(evidence) = &self.flow.evidence {
            steps.enter(evidence, Why::Question);
        }
        Ok(steps)
    }

    fn add_evidence(
        &self,
        text: &str,
        attachment: Option<&Attachment>,
    ) -> Result<Steps<'a>, Refusal> {
        self.is_short()?;
        let (name, node) = self.here()?;
        let is_wanted = self.flow.is_evidence(name);
        let roles = if is_wanted { &node.roles } else { &self.flow.roles };
        if !self.is_requester(&self.by.name) && !self.by.has(roles) {
            return Err(Refusal::NoRole(roles.join(", ")));
        }
        let attachment = attachment.cloned();
        let mut steps = self.single(What::EvidenceAdded { text: text.to_owned(), attachment });
        if is_wanted && let Some(back) = &self.case.back_to {
            steps.enter(back, Why::Answer);
        }
        Ok(steps)
    }

    fn jump(&self, (from, to): (&str, &str), reason: &str) -> Result<Steps<'a>, Refusal> {
        self.is_short()?;
        let (here, _) = self.here()?;
        if from != here {
            return Err(Refusal::NotHere(here.to_owned()));
        }
        self.may_jump(here, to)?;
        let epoch = self.case.epoch + i32::from(!self.keeps_epoch(here, to));
        let (from, to, reason) = (from.to_owned(), to.to_owned(), reason.to_owned());
        let target = to.clone();
        let mut steps = self.single(What::Jumped { from, to, reason, epoch });
        steps.enter(&target, Why::Jump);
        Ok(steps)
    }

    /// Whether this person may move the case from the node in which it is to that one.
    pub(super) fn may_jump(&self, from: &str, to: &str) -> Result<(), Refusal> {
        if self.is_requester(&self.by.name) {
            return Err(Refusal::OwnRequest);
        }
        if to == EXECUTE {
            return Err(Refusal::IntoExecute);
        }
        if to == REJECTED {
            return Err(Refusal::NotAJump);
        }
        if self.flow.node(to).is_none() {
            return Err(Refusal::NoSuchNode);
        }
        if from == to {
            return Err(Refusal::SameNode);
        }
        let is_rule = |role: &str| {
            let mut rules = self.flow.jumps.iter();
            rules.any(|rule| rule.role == role && rule.fits(from, to))
        };
        if self.by.roles.iter().any(|role| is_rule(role)) {
            Ok(())
        } else {
            Err(Refusal::JumpForbidden)
        }
    }

    /// Whether approvals go on counting after a jump: on the way of the flow, and while evidence is asked for.
    pub(super) fn keeps_epoch(&self, from: &str, to: &str) -> bool {
        let from = self.case.back_to.as_deref().unwrap_or(from);
        from == to || self.flow.is_evidence(to) || self.flow.leads(from, to)
    }

    fn escalate(&self) -> Result<Steps<'a>, Refusal> {
        let (name, node) = self.here()?;
        let is_due = self.case.due_at.is_some_and(|due| due <= self.at);
        let to = node.escalate_to.as_deref().filter(|_| is_due).ok_or(Refusal::NotDue)?;
        let mut steps = self.single(What::Escalated { from: name.to_owned(), to: to.to_owned() });
        steps.enter(to, Why::Escalation);
        Ok(steps)
    }

    fn subject_changed(&self, hash: &str, facts: &Facts) -> Result<Steps<'a>, Refusal> {
        if self.case.opening.hash == hash {
            return Ok(self.steps());
        }
        self.here()?;
        let (hash, facts, epoch) = (hash.to_owned(), facts.clone(), self.case.epoch + 1);
        let mut steps = self.single(What::SubjectChanged { hash, facts, epoch });
        steps.enter(&self.flow.start, Why::Subject);
        Ok(steps)
    }

    fn is_executing(&self) -> Result<(), Refusal> {
        if self.case.place == Place::Execute { Ok(()) } else { Err(Refusal::NotExecuting) }
    }

    fn executed(&self) -> Result<Steps<'a>, Refusal> {
        self.is_executing()?;
        Ok(self.single(What::Executed))
    }

    fn execution_failed(&self, reason: &str) -> Result<Steps<'a>, Refusal> {
        self.is_executing()?;
        let epoch = self.case.epoch + 1;
        let mut steps = self.single(What::ExecutionFailed { reason: reason.to_owned(), epoch });
        steps.enter(&self.flow.start, Why::Failure);
        Ok(steps)
    }
}

/// Until when a case may stay in a node that it enters now.
fn due(node: &Node, at: Timestamp) -> Option<Timestamp> {
    let minutes = SignedDuration::from_mins(i64::from(node.sla_minutes?));
    Some(at.checked_add(minutes).unwrap_or(Timestamp::MAX))
}

/// What the checks of a node say of a case, and how many people it takes here.
fn looked<'a>(node: &'a Node, case: &Case) -> (Verdict<'a>, u8) {
    let verdict = chain::ask(&node.checks, &case.opening.facts);
    // A check that holds a case asks for somebody, where nobody would be asked.
    let least = u8::from(matches!(verdict, Verdict::Hold(_)));
    (verdict, node.quorum.max(least))
}
