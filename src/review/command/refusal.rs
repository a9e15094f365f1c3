//! Why a command is not carried out.

/// See the module. The codes are part of the API: they never change their meaning.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Somebody else was faster.
    #[error(
        "the case has version {current} by now, and you looked at {expected}; look at it again first"
    )]
    StaleVersion {
        /// What they looked at.
        expected: i32,
        /// What it is.
        current: i32,
    },
    /// Nothing happens to it any more.
    #[error("the case is {0}: nothing happens to it any more")]
    Closed(&'static str),
    /// It is being carried out.
    #[error(
        "what was approved is being carried out, and nothing leads out of that; afterwards only a \
         reversal takes it back"
    )]
    InFlight,
    /// Nobody acts on their own request.
    #[error("you asked for it yourself: somebody else has to decide; you may reject it")]
    OwnRequest,
    /// They have none of the roles of the node.
    #[error("this takes one of these roles: {0}; 'waypost review role grant' gives them")]
    NoRole(String),
    /// Nobody approves twice.
    #[error("this person has approved it in this node already: somebody else has to")]
    AlreadyApproved,
    /// Nobody takes two tasks.
    #[error("this person has a task of this node already")]
    AlreadyClaimed,
    /// All tasks are taken.
    #[error("all open tasks are taken, by {0}; they have to release one first")]
    Taken(String),
    /// They have no task.
    #[error("you have no task in this node; claim one first")]
    NotYours,
    /// It is somewhere else.
    #[error("the case is in '{0}'; jump from there")]
    NotHere(String),
    /// The flow has no such node.
    #[error("the flow of this case has no such node")]
    NoSuchNode,
    /// It is there already.
    #[error("the case is in this node already")]
    SameNode,
    /// Nobody jumps into execution.
    #[error("nothing jumps into 'execute': it is reached when every guard is approved")]
    IntoExecute,
    /// Cases are rejected, they do not jump there.
    #[error("a case gets there by rejecting it")]
    NotAJump,
    /// No rule allows it.
    #[error("no rule of the flow lets any of your roles jump from here to there")]
    JumpForbidden,
    /// It has not waited too long.
    #[error("the case has not waited too long, or there is nowhere to escalate it to")]
    NotDue,
    /// Evidence is wanted, and not a decision.
    #[error("evidence was asked for: add it, reject the case, or jump")]
    EvidenceWanted,
    /// The history is too long.
    #[error("the case has had {0} events: approve or reject it")]
    TooLong(i32),
    /// It is not being carried out.
    #[error("the case is not being carried out")]
    NotExecuting,
}

impl Refusal {
    /// A stable word for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::StaleVersion { .. } => "stale-version",
            Self::Closed(_) => "case-closed",
            Self::InFlight => "in-flight",
            Self::OwnRequest => "own-request",
            Self::NoRole(_) => "no-role",
            Self::AlreadyApproved => "already-approved",
            Self::AlreadyClaimed => "already-claimed",
            Self::Taken(_) => "tasks-taken",
            Self::NotYours => "no-task",
            Self::NotHere(_) => "not-here",
            Self::NoSuchNode => "no-such-node",
            Self::SameNode => "same-node",
            Self::IntoExecute => "into-execute",
            Self::NotAJump => "not-a-jump",
            Self::JumpForbidden => "jump-forbidden",
            Self::NotDue => "not-due",
            Self::EvidenceWanted => "evidence-wanted",
            Self::TooLong(_) => "history-too-long",
            Self::NotExecuting => "not-executing",
        }
    }
}
