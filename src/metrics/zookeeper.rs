//! The figures of campaigns that `ZooKeeper` steers. A process whose campaigns come from elsewhere shows
//! none of them.

use prometheus::{IntCounterVec, IntGaugeVec, Registry};

use super::{counters, gauges};

/// The connection to `ZooKeeper`, and what came of its nodes.
#[derive(Debug)]
pub struct Zookeeper {
    /// 1 while there is a connection, by the path that is followed.
    pub connected: IntGaugeVec,
    /// When everything was last read, in seconds since 1970, by the path that is followed.
    pub last_read: IntGaugeVec,
    /// Changes of nodes that this process saw, by what came of them.
    pub changes: IntCounterVec,
    /// 1 for each campaign whose node has something in it that cannot be used, 0 for the others.
    pub bad_content: IntGaugeVec,
    /// Nodes that are not looked at, by reason.
    pub ignored: IntGaugeVec,
}

/// What can come of a change of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Its content is the active version now.
    Activated,
    /// Its content cannot be used; the version before stays.
    Refused,
    /// It is gone; the campaign stays.
    Deleted,
}

impl Outcome {
    fn label(self) -> &'static str {
        match self {
            Self::Activated => "activated",
            Self::Refused => "refused",
            Self::Deleted => "deleted",
        }
    }
}

impl Zookeeper {
    pub(super) fn new(r: &Registry) -> Self {
        Self {
            connected: gauges(
                r,
                "waypost_zookeeper_connected",
                "1 while this process is connected to the ZooKeeper that steers campaigns.",
                &["path"],
            ),
            last_read: gauges(
                r,
                "waypost_zookeeper_last_read_timestamp_seconds",
                "When this process last read all nodes, or began to try, in seconds since 1970.",
                &["path"],
            ),
            changes: counters(
                r,
                "waypost_zookeeper_changes_total",
                "Changes of nodes, by what this process did: activated, refused, deleted.",
                &["outcome"],
            ),
            bad_content: gauges(
                r,
                "waypost_zookeeper_bad_content",
                "1 while the content of a campaign's node cannot be used: the version before stays.",
                &["campaign"],
            ),
            ignored: gauges(
                r,
                "waypost_zookeeper_ignored_nodes",
                "Nodes that are not looked at: their name is no campaign's, or there are too many.",
                &["reason"],
            ),
        }
    }

    /// Counts a change of a node.
    pub fn changed(&self, outcome: Outcome) {
        self.changes.with_label_values(&[outcome.label()]).inc();
    }

    /// What alerts wait for is there from the start: an increase is not seen of a series that begins above
    /// zero.
    pub fn begin_at_zero(&self) {
        for outcome in [Outcome::Activated, Outcome::Refused, Outcome::Deleted] {
            drop(self.changes.with_label_values(&[outcome.label()]));
        }
    }
}
