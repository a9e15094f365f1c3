//! A flow: which nodes a case of one kind of subject goes through, who decides in them, and which jumps
//! are legal. Made by [`parse`] alone, so that it is always a good one.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::chain::Check;
use crate::campaign::document::{self, Format};
use crate::fault::Fault;

mod graph;
mod rules;

/// The node in which an approved subject is carried out. Every flow has it.
pub const EXECUTE: &str = "execute";
/// Where a rejected case ends. Every flow has it without saying so.
pub const REJECTED: &str = "rejected";
/// Stands for every node in the list of a jump.
pub const ANY: &str = "*";

/// The most people that a node can ask for.
pub const MOST_PEOPLE: u8 = 20;

/// What a flow decides on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Subject {
    /// A reward that is held.
    Reward,
    /// Rewards that somebody asked for by hand.
    Compensation,
    /// More rewards for an inviter than the campaign's cap allows.
    CapLift,
    /// A reward that is to be taken back.
    Reversal,
    /// A version of a campaign that is to become the active one.
    Activation,
}

impl Subject {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Reward, Self::Compensation, Self::CapLift, Self::Reversal, Self::Activation];

    /// Its name, in documents, in the API and in the database.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reward => "reward",
            Self::Compensation => "compensation",
            Self::CapLift => "cap_lift",
            Self::Reversal => "reversal",
            Self::Activation => "activation",
        }
    }

    /// The subject with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|subject| subject.name() == name)
    }

    /// The flow that holds until somebody activates another one.
    pub fn usual_flow(self) -> &'static str {
        match self {
            Self::Reward => include_str!("../../config/flows/reward.toml"),
            Self::Compensation => include_str!("../../config/flows/compensation.toml"),
            Self::CapLift => include_str!("../../config/flows/cap_lift.toml"),
            Self::Reversal => include_str!("../../config/flows/reversal.toml"),
            Self::Activation => include_str!("../../config/flows/activation.toml"),
        }
    }
}

/// A flow, read and judged.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Flow {
    /// What people call it.
    pub name: String,
    /// What it decides on.
    pub subject: Subject,
    /// The roles that people can have in it.
    pub roles: Vec<String>,
    /// The node in which a case begins.
    pub start: String,
    /// The node to which a case goes while somebody is asked for evidence, and from which it comes back.
    #[serde(default)]
    pub evidence: Option<String>,
    /// Its nodes, by their names.
    pub nodes: BTreeMap<String, Node>,
    /// The jumps that are legal.
    #[serde(default)]
    pub jumps: Vec<JumpRule>,
}

/// One node of a flow.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Node {
    /// What looks first, one after the other, until one of them has an answer.
    pub checks: Vec<Check>,
    /// Who may act here.
    pub roles: Vec<String>,
    /// How many different people have to approve. None: the checks alone decide.
    pub quorum: u8,
    /// The node after this one.
    pub next: Option<String>,
    /// How many minutes a case may stay here.
    pub sla_minutes: Option<u32>,
    /// The node to which it goes then.
    pub escalate_to: Option<String>,
    /// The node for which an approval here counts as well, such as a senior's in place of a junior's.
    pub stands_for: Option<String>,
    /// In `execute`: the nodes that must have been approved in the present epoch.
    pub guards: Vec<String>,
}

/// Who may jump, from where, and to where.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JumpRule {
    /// Who.
    pub role: String,
    /// From these nodes; `*` is every one.
    pub from: Vec<String>,
    /// To these nodes; `*` is every one but `execute`.
    pub to: Vec<String>,
}

impl JumpRule {
    /// Whether it is about this jump.
    pub fn fits(&self, from: &str, to: &str) -> bool {
        let has = |list: &[String], node: &str| list.iter().any(|it| it == node || it == ANY);
        has(&self.from, from) && has(&self.to, to)
    }
}

impl Flow {
    /// The node with this name.
    pub fn node(&self, name: &str) -> Option<&Node> {
        self.nodes.get(name)
    }

    /// The nodes that must have been approved before anything is carried out.
    pub fn guards(&self) -> &[String] {
        self.nodes.get(EXECUTE).map_or(&[], |node| &node.guards)
    }

    /// The nodes by whose approval this one is approved: itself, and those that stand for it.
    pub fn approved_by<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a str, &'a Node)> {
        let stands = move |it: &(&'a String, &'a Node)| {
            it.0 == name || it.1.stands_for.as_deref() == Some(name)
        };
        self.nodes.iter().filter(stands).map(|(name, node)| (name.as_str(), node))
    }

    /// Whether the way of the flow leads from the one node to the other, without a jump.
    pub fn leads(&self, from: &str, to: &str) -> bool {
        graph::reached(self, from).contains(to)
    }

    /// Whether this node is the one for evidence.
    pub fn is_evidence(&self, node: &str) -> bool {
        self.evidence.as_deref() == Some(node)
    }
}

/// Reads a flow and judges it.
pub fn parse(text: &str, format: Format) -> Result<Flow, Vec<Fault>> {
    document::read_judged(text, format, rules::judge)
}

#[cfg(test)]
mod tests;
