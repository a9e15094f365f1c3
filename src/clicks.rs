//! Counting clicks, beside the way of the redirect.
//!
//! Each serving thread keeps its latest clicks in memory of its own ([`queue::Buffer`]) and hands them
//! over on its tick, ten times a second: no lock and no wake-up for a click. A [`writer`] stores them
//! in batches, twice a second, that count once however often they are sent. While PostgreSQL is away
//! or hangs, batches go into a [`spool`] on disk, and are sent again afterwards.
//!
//! What can be lost, and is metered: clicks that do not fit a thread's buffer; clicks that find the
//! queue full, because the spool is full too. What can be lost unmetered, by a `kill -9`: what came
//! since the last batch was stored or spooled. A stop by SIGTERM stores or spools everything first.

use std::net::IpAddr;

use crate::clock::UnixMillis;
use crate::link::LinkId;
use crate::visitor::Kind;
use crate::visitor::agent::Agent;

pub mod countries;
pub mod keeper;
pub mod network;
pub mod queue;
pub mod report;
pub mod spool;
pub mod writer;

/// The number of a click on a landing page: 128 random bits.
pub type ClickId = u128;

/// One opening of a link, as the edge saw it.
#[derive(Clone, Copy, Debug)]
pub struct Opening<'a> {
    /// Which link.
    pub link: LinkId,
    /// When.
    pub at: UnixMillis,
    /// Where from. Cut before it is stored, as the settings say.
    pub client: IpAddr,
    /// By whom, roughly.
    pub kind: Kind,
    /// What the `User-Agent` said.
    pub agent: Agent,
    /// The host of the site that the visitor came from.
    pub referrer: Option<&'a str>,
    /// The visitor asks not to be tracked.
    pub private: bool,
    /// The number that this click goes by on its way through an app store, if it was one of a landing
    /// page.
    pub click_id: Option<ClickId>,
}
