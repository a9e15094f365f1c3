//! A case: one subject on its way through a flow. It is its history and nothing else.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::chain::Facts;
use super::flow::{EXECUTE, Flow, Node, REJECTED, Subject};

/// What a case is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opening {
    /// Which version of the flow of its subject it follows to its end.
    pub flow_version: i32,
    /// The SHA-256 of what is to be approved, in hexadecimal.
    pub hash: String,
    /// Who asked for it; none: the service itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub requester: Option<String>,
    /// What checks can ask for.
    pub facts: Facts,
}

/// Why a case came to a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It began.
    Start,
    /// The node before was approved.
    Next,
    /// A check sent it here.
    Route,
    /// Somebody jumped.
    Jump,
    /// It had waited too long elsewhere.
    Escalation,
    /// Everything else was done, and this approval was missing.
    Guard,
    /// Somebody asked for evidence.
    Question,
    /// The evidence is there.
    Answer,
    /// What is to be approved has changed.
    Subject,
    /// It was approved, and could not be carried out.
    Failure,
}

impl Why {
    /// Whether a check may send the case on to another node: not where it came for a reason of its own.
    pub(super) fn routes(self) -> bool {
        match self {
            Self::Guard | Self::Answer => false,
            Self::Start
            | Self::Next
            | Self::Route
            | Self::Jump
            | Self::Escalation
            | Self::Question
            | Self::Subject
            | Self::Failure => true,
        }
    }
}

/// What a piece of evidence consists of besides its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Attachment {
    /// Somewhere on the web.
    Url(String),
    /// A file that is kept elsewhere.
    File {
        /// Its name.
        name: String,
        /// The SHA-256 of its content, in hexadecimal.
        sha256: String,
    },
}

/// Something that happened to a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// It began.
    Opened(Opening),
    /// It came to a node in which people have to decide, or to `execute`.
    Entered {
        /// Which.
        node: String,
        /// Why.
        why: Why,
        /// How many people have to approve it here: so many tasks are open now.
        tasks: u8,
        /// Until when.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        due_at: Option<Timestamp>,
        /// What a check found.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        held: Option<String>,
        /// In the node for evidence: where it goes back to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        back_to: Option<String>,
    },
    /// It went through a node in which nobody has to decide (any more).
    Passed {
        /// Which.
        node: String,
        /// To which one next.
        to: String,
    },
    /// Somebody took a task.
    Claimed {
        /// Its number.
        task: i32,
    },
    /// They gave it back.
    Released {
        /// Its number.
        task: i32,
    },
    /// They gave it to somebody else.
    Delegated {
        /// Its number.
        task: i32,
        /// To whom.
        to: String,
    },
    /// Somebody approved it in the node in which it is.
    Approved {
        /// The number of the task that is done by that.
        task: i32,
        /// What they say about it.
        note: String,
    },
    /// It was rejected, by somebody or by a check.
    Rejected {
        /// Why.
        reason: String,
    },
    /// Somebody wants to know more.
    EvidenceAsked {
        /// What.
        question: String,
    },
    /// Somebody added evidence.
    EvidenceAdded {
        /// What it says.
        text: String,
        /// What it consists of besides.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        attachment: Option<Attachment>,
    },
    /// Somebody moved it to another node.
    Jumped {
        /// From which one.
        from: String,
        /// To which one.
        to: String,
        /// Why.
        reason: String,
        /// The epoch from here on.
        epoch: i32,
    },
    /// It had waited too long.
    Escalated {
        /// In this node.
        from: String,
        /// It goes to this one.
        to: String,
    },
    /// What is to be approved is not what it was.
    SubjectChanged {
        /// Its SHA-256 now, in hexadecimal.
        hash: String,
        /// What checks can ask for now.
        facts: Facts,
        /// The epoch from here on.
        epoch: i32,
    },
    /// There is nothing left to be approved: it was decided on elsewhere.
    Withdrawn {
        /// What became of it.
        reason: String,
    },
    /// It was carried out.
    Executed,
    /// It could not be carried out, and nothing was done.
    ExecutionFailed {
        /// Why.
        reason: String,
        /// The epoch from here on.
        epoch: i32,
    },
}

impl What {
    /// Its name, in the API and in the database.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Opened(_) => "opened",
            Self::Entered { .. } => "entered",
            Self::Passed { .. } => "passed",
            Self::Claimed { .. } => "claimed",
            Self::Released { .. } => "released",
            Self::Delegated { .. } => "delegated",
            Self::Approved { .. } => "approved",
            Self::Rejected { .. } => "rejected",
            Self::EvidenceAsked { .. } => "evidence_asked",
            Self::EvidenceAdded { .. } => "evidence_added",
            Self::Jumped { .. } => "jumped",
            Self::Escalated { .. } => "escalated",
            Self::SubjectChanged { .. } => "subject_changed",
            Self::Withdrawn { .. } => "withdrawn",
            Self::Executed => "executed",
            Self::ExecutionFailed { .. } => "execution_failed",
        }
    }
}

/// One line of a case's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// Its place in the history, from 1, without gaps.
    pub version: i32,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// What happened.
    pub what: What,
}

/// Where a case stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// People have to decide, in this node.
    Node(String),
    /// It is being carried out: nothing leads out of here but its end.
    Execute,
    /// It was carried out.
    Executed,
    /// It was rejected.
    Rejected,
    /// There was nothing left to decide on.
    Withdrawn,
}

impl Place {
    /// The names of all states.
    pub const STATES: [&'static str; 5] =
        ["open", "executing", "executed", "rejected", "withdrawn"];

    /// The name of its state, in the API and in the database.
    pub fn state(&self) -> &'static str {
        match self {
            Self::Node(_) => "open",
            Self::Execute => "executing",
            Self::Executed => "executed",
            Self::Rejected => "rejected",
            Self::Withdrawn => "withdrawn",
        }
    }

    /// The node in which it is.
    pub fn node(&self) -> &str {
        match self {
            Self::Node(name) => name,
            Self::Execute | Self::Executed => EXECUTE,
            Self::Rejected => REJECTED,
            Self::Withdrawn => "withdrawn",
        }
    }

    /// Whether nothing can happen to it any more.
    pub fn is_end(&self) -> bool {
        match self {
            Self::Node(_) | Self::Execute => false,
            Self::Executed | Self::Rejected | Self::Withdrawn => true,
        }
    }
}

/// What has become of a task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TaskState {
    /// Somebody has to do it.
    Open,
    /// Somebody has done it.
    Done,
    /// The case went elsewhere before anybody had done it.
    Superseded,
}

impl TaskState {
    /// Its name, in the API and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Done => "done",
            Self::Superseded => "superseded",
        }
    }
}

/// What one person has to do. Tasks never vanish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Task {
    /// Its number in the case, from 1.
    pub number: i32,
    /// In which node.
    pub node: String,
    /// In which epoch.
    pub epoch: i32,
    /// Who has it, or had it last.
    pub holder: Option<String>,
    /// What has become of it.
    pub state: TaskState,
    /// Since when.
    pub opened_at: Timestamp,
    /// Until when.
    pub due_at: Option<Timestamp>,
    /// When it was done or superseded.
    pub closed_at: Option<Timestamp>,
}

/// That somebody approved a case in a node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// In which epoch.
    pub epoch: i32,
    /// In which node.
    pub node: String,
    /// Who.
    pub by: String,
}

/// A history that cannot be one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the history of the case cannot be: {0}")]
pub struct BadHistory(String);

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    /// What it is about. Hash and facts are those of now.
    pub opening: Opening,
    /// How many events there are.
    pub version: i32,
    /// Only approvals of this epoch count.
    pub epoch: i32,
    /// Where it stands.
    pub place: Place,
    /// Since when.
    pub entered_at: Timestamp,
    /// Until when.
    pub due_at: Option<Timestamp>,
    /// What a check found in the node in which it is.
    pub held: Option<String>,
    /// In the node for evidence: where it goes back to.
    pub back_to: Option<String>,
    /// All tasks there ever were.
    pub tasks: Vec<Task>,
    /// All approvals there ever were.
    pub approvals: Vec<Approval>,
}

impl Case {
    /// The case with this history.
    pub fn rebuilt(history: &[Event]) -> Result<Self, BadHistory> {
        let mut events = history.iter();
        let first = events.next().ok_or_else(|| BadHistory("it is empty".to_owned()))?;
        let mut case = Self::opened(first)?;
        for event in events {
            case.apply(event)?;
        }
        Ok(case)
    }

    /// A case that begins.
    pub fn opened(event: &Event) -> Result<Self, BadHistory> {
        let What::Opened(opening) = &event.what else {
            return Err(BadHistory(format!("it begins with '{}'", event.what.name())));
        };
        if event.version != 1 {
            return Err(BadHistory(format!("it begins with version {}", event.version)));
        }
        Ok(Self {
            opening: opening.clone(),
            version: 1,
            epoch: 1,
            // Never seen: whoever opens a case enters a node by the same command.
            place: Place::Node(String::new()),
            entered_at: event.at,
            due_at: None,
            held: None,
            back_to: None,
            tasks: Vec::new(),
            approvals: Vec::new(),
        })
    }

    /// Adds what happened.
    pub fn apply(&mut self, event: &Event) -> Result<(), BadHistory> {
        if event.version != self.version + 1 {
            let gap = format!("version {} follows on {}", event.version, self.version);
            return Err(BadHistory(gap));
        }
        match &event.what {
            What::Opened(_) => return Err(BadHistory("it begins twice".to_owned())),
            What::Entered { node, tasks, due_at, held, back_to, why: _ } => {
                self.supersede(event.at);
                let execute = node == EXECUTE;
                self.place = if execute { Place::Execute } else { Place::Node(node.clone()) };
                (self.entered_at, self.due_at) = (event.at, *due_at);
                (self.held, self.back_to) = (held.clone(), back_to.clone());
                for _ in 0..*tasks {
                    self.open_task(node, event.at);
                }
            }
            What::Claimed { task } => self.task(*task)?.holder = Some(event.by.clone()),
            What::Released { task } => self.task(*task)?.holder = None,
            What::Delegated { task, to } => self.task(*task)?.holder = Some(to.clone()),
            What::Approved { task, .. } => {
                let task = self.task(*task)?;
                task.holder = Some(event.by.clone());
                (task.state, task.closed_at) = (TaskState::Done, Some(event.at));
                let (epoch, node) = (task.epoch, task.node.clone());
                self.approvals.push(Approval { epoch, node, by: event.by.clone() });
            }
            What::Rejected { .. } => self.end(Place::Rejected, event.at),
            What::Withdrawn { .. } => self.end(Place::Withdrawn, event.at),
            What::Executed => self.end(Place::Executed, event.at),
            What::SubjectChanged { hash, facts, epoch } => {
                (self.opening.hash, self.opening.facts) = (hash.clone(), facts.clone());
                self.epoch = *epoch;
            }
            What::Jumped { epoch, .. } | What::ExecutionFailed { epoch, .. } => self.epoch = *epoch,
            What::Passed { .. }
            | What::EvidenceAsked { .. }
            | What::EvidenceAdded { .. }
            | What::Escalated { .. } => {}
        }
        self.version = event.version;
        Ok(())
    }

    fn open_task(&mut self, node: &str, at: Timestamp) {
        let number = self.tasks.last().map_or(1, |task| task.number + 1);
        self.tasks.push(Task {
            number,
            node: node.to_owned(),
            epoch: self.epoch,
            holder: None,
            state: TaskState::Open,
            opened_at: at,
            due_at: self.due_at,
            closed_at: None,
        });
    }

    fn task(&mut self, number: i32) -> Result<&mut Task, BadHistory> {
        let mut open = self.tasks.iter_mut().filter(|task| task.state == TaskState::Open);
        let found = open.find(|task| task.number == number);
        found.ok_or_else(|| BadHistory(format!("there is no open task {number}")))
    }

    fn supersede(&mut self, at: Timestamp) {
        for task in self.tasks.iter_mut().filter(|task| task.state == TaskState::Open) {
            (task.state, task.closed_at) = (TaskState::Superseded, Some(at));
        }
    }

    fn end(&mut self, place: Place, at: Timestamp) {
        self.supersede(at);
        (self.place, self.entered_at, self.due_at) = (place, at, None);
    }

    /// The tasks that are open.
    pub fn open_tasks(&self) -> impl Iterator<Item = &Task> {
        self.tasks.iter().filter(|task| task.state == TaskState::Open)
    }

    /// Who approved it in this node, in the present epoch.
    pub fn approvers(&self, node: &str) -> BTreeSet<&str> {
        let of_now = |it: &&Approval| it.epoch == self.epoch && it.node == node;
        self.approvals.iter().filter(of_now).map(|it| it.by.as_str()).collect()
    }

    /// The first guard that lacks its approvals in the present epoch.
    pub fn missing_guard<'a>(&self, flow: &'a Flow) -> Option<&'a str> {
        let is_full =
            |(name, node): (&str, &Node)| self.approvers(name).len() >= usize::from(node.quorum);
        let is_missing = |guard: &&String| !flow.approved_by(guard).any(is_full);
        flow.guards().iter().find(is_missing).map(String::as_str)
    }
}

/// What a case is about, by the words with which others know it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SubjectRef {
    /// What it is.
    pub subject: Subject,
    /// Which one of these: its number, or a name.
    pub key: String,
}
