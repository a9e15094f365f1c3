//! Where somebody may let a case jump to, and why not elsewhere.

use jiff::Timestamp;

use super::case::{Case, Place};
use super::command::{Actor, Deciding, Refusal};
use super::flow::{Flow, REJECTED};

/// A node, and whether somebody may jump there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target<'a> {
    /// Which node.
    pub node: &'a str,
    /// Why not; none: it is legal.
    pub barred: Option<Refusal>,
    /// Whether approvals go on counting after it.
    pub keeps_approvals: bool,
}

/// All nodes of the flow but the one in which the case is.
pub fn targets<'a>(flow: &'a Flow, case: &Case, by: &Actor, at: Timestamp) -> Vec<Target<'a>> {
    let deciding = Deciding { flow, case, by, at };
    let here = case.place.node();
    let others = flow.nodes.keys().map(String::as_str).filter(|node| *node != here);
    let judged = others.map(|node| {
        let barred = match &case.place {
            Place::Node(from) => deciding.may_jump(from, node).err(),
            Place::Execute => Some(Refusal::InFlight),
            Place::Executed | Place::Rejected | Place::Withdrawn => {
                Some(Refusal::Closed(case.place.state()))
            }
        };
        Target { node, barred, keeps_approvals: deciding.keeps_epoch(here, node) }
    });
    let rejected =
        Target { node: REJECTED, barred: Some(Refusal::NotAJump), keeps_approvals: false };
    judged.chain([rejected].into_iter().filter(|_| here != REJECTED)).collect()
}
