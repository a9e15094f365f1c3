//! Campaigns that a `ZooKeeper` steers: each child of a node is a campaign, and its data the document.
//!
//! Whatever a node says becomes the active version of its campaign, by [`CampaignService::steer`]; content
//! that an older version has makes that one active again. What cannot be used is told, and the version
//! before stays; so it does when a node is deleted: a campaign ends by what its document says, not by an
//! accident. Campaigns without a node are left alone.
//!
//! Watches tell of changes at once. Everything is read again besides: after each new connection, whenever
//! nodes come or go, and from time to time. Every process does all of this. That no process puts something
//! old in the place of something newer is ensured by an order: first it sees how the campaigns stand in the
//! database, then it has its server catch up, then it reads the node; and `steer` does nothing if the
//! campaign does not stand so any more. Then it begins anew.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};

use super::service::{CampaignService, Draft, Error, Steered};
use super::{CampaignId, State, Version};
use crate::clock::Clock;
use crate::config;
use crate::metrics::Metrics;
use crate::metrics::zookeeper::Outcome;
use crate::store::campaigns::VersionRecord;
use session::{Lost, Node, Session};

mod content;
mod session;

/// Who put and activated what came from here, in the audit.
const ACTOR: &str = "zookeeper";

/// How many campaigns are followed at most. Of more nodes, those that come first by name are.
const MOST_CAMPAIGNS: usize = 1_000;

/// How often a node is read anew at once, when others were quicker to act on it.
const TURNS: usize = 5;

/// How long to wait before the next attempt: any time up to the first after one failure, up to twice as
/// long after each further one, and never longer than the last.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

/// What a watch was for.
#[derive(Debug)]
enum Changed {
    /// Which campaigns there are.
    Campaigns,
    /// What a campaign's node says.
    Campaign(CampaignId),
}

type Watches = JoinSet<Changed>;

/// What this process knows of a node.
#[derive(Debug)]
struct Known {
    /// The SHA-256 of its content.
    hash: [u8; 32],
    /// The version that this content is; `None`: it cannot be used.
    version: Option<Version>,
}

/// What came of looking at a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Settled {
    /// All that can be done was done.
    Yes,
    /// Somebody else changed the campaign meanwhile.
    Overtaken,
    /// The database does not answer.
    Later,
}

/// See the module.
#[derive(Debug)]
pub struct Watcher {
    service: CampaignService,
    settings: config::Zookeeper,
    clock: Clock,
    metrics: Arc<Metrics>,
    known: BTreeMap<CampaignId, Known>,
    /// How many nodes are not looked at: for their names, and because there are too many.
    ignored: (usize, usize),
    /// Whether the node above the campaigns is not there.
    is_missing: bool,
    /// Failures since everything was last read.
    failures: u32,
}

impl Watcher {
    /// A watcher with these settings.
    pub fn new(
        service: CampaignService,
        settings: config::Zookeeper,
        clock: Clock,
        metrics: Arc<Metrics>,
    ) -> Self {
        Self {
            service,
            settings,
            clock,
            metrics,
            known: BTreeMap::new(),
            ignored: (0, 0),
            is_missing: false,
            failures: 0,
        }
    }

    /// Follows the nodes for ever, over whatever happens to the connection.
    pub async fn run(mut self) {
        self.metrics.zookeeper.begin_at_zero();
        self.show_connected(false);
        self.show_read();
        let mut is_told = false;
        loop {
            match Session::open(&self.settings).await {
                Ok(mut session) => {
                    tracing::info!(path = self.settings.path, "connected to ZooKeeper");
                    is_told = false;
                    self.show_connected(true);
                    let Err(lost) = self.follow(&mut session).await;
                    self.show_connected(false);
                    tracing::warn!(%lost, "ZooKeeper is lost: campaigns stay as they are");
                }
                Err(lost) if is_told => tracing::debug!(%lost, "ZooKeeper is still away"),
                Err(lost) => {
                    tracing::warn!(%lost, "ZooKeeper does not answer: campaigns stay as they are");
                    is_told = true;
                }
            }
            let wait = self.wait_after_failure();
            sleep(wait).await;
        }
    }

    /// Reads everything, then what changes, until the connection is lost.
    async fn follow(&mut self, session: &mut Session) -> Result<Infallible, Lost> {
        let (mut due, mut watches) = self.read_all(session).await?;
        loop {
            let read_all = tokio::select! {
                Some(changed) = watches.join_next() => match changed {
                    Ok(Changed::Campaign(id)) => {
                        if !self.read_one(session, &id, &mut watches).await? {
                            due = due.min(Instant::now() + self.wait_after_failure());
                        }
                        false
                    }
                    Ok(Changed::Campaigns) | Err(_) => true,
                },
                lost = session.ends() => return Err(lost),
                () = sleep_until(due) => true,
            };
            if read_all {
                // The watches from before go when the new ones are armed: else the server would be told to
                // forget them.
                (due, watches) = self.read_all(session).await?;
            }
        }
    }

    /// Reads all nodes and watches them. Says when to do it again.
    async fn read_all(&mut self, session: &Session) -> Result<(Instant, Watches), Lost> {
        let mut watches = Watches::new();
        let standings = match self.service.standings(None).await {
            Ok(standings) => standings,
            Err(error) => {
                tell_failure(&error);
                return Ok((Instant::now() + self.wait_after_failure(), watches));
            }
        };
        let path = self.settings.path.clone();
        session.catch_up(&path).await?;
        let next = Instant::now() + self.settings.read.mul_f64(rand::random_range(0.8..=1.0));
        let Some((names, watch)) = session.children(&path).await? else {
            self.tell_missing();
            self.forget_others(&[]);
            let Some(watch) = session.appears(&path).await? else {
                return Ok((Instant::now(), watches));
            };
            watches.spawn(async move {
                watch.fires().await;
                Changed::Campaigns
            });
            return Ok((next, watches));
        };
        self.is_missing = false;
        watches.spawn(async move {
            watch.fires().await;
            Changed::Campaigns
        });
        let campaigns = self.choose(names);
        self.forget_others(&campaigns);
        let mut is_complete = true;
        for id in &campaigns {
            let stands = standings.iter().find(|it| it.campaign == *id).cloned();
            is_complete &= self.settle(session, id, stands, &mut watches).await?;
        }
        if !is_complete {
            return Ok((Instant::now() + self.wait_after_failure(), watches));
        }
        self.failures = 0;
        self.show_read();
        Ok((next, watches))
    }

    /// Reads a node that changed. Says whether all was done that can be done.
    async fn read_one(
        &mut self,
        session: &Session,
        id: &CampaignId,
        watches: &mut Watches,
    ) -> Result<bool, Lost> {
        match self.standing(id).await {
            Ok(stands) => {
                session.catch_up(&self.settings.path).await?;
                self.settle(session, id, stands, watches).await
            }
            Err(error) => {
                tell_failure(&error);
                Ok(false)
            }
        }
    }

    /// Reads a node and makes its campaign what it says; `stands` is how the campaign stood before the
    /// server caught up.
    async fn settle(
        &mut self,
        session: &Session,
        id: &CampaignId,
        mut stands: Option<VersionRecord>,
        watches: &mut Watches,
    ) -> Result<bool, Lost> {
        let path = format!("{}/{id}", self.settings.path);
        for _ in 0..TURNS {
            let content = match session.read(&path).await? {
                Node::Content(content, watch) => {
                    let id = id.clone();
                    watches.spawn(async move {
                        watch.fires().await;
                        Changed::Campaign(id)
                    });
                    content
                }
                Node::Missing => {
                    self.forget(id);
                    return Ok(true);
                }
                Node::Forbidden => {
                    self.refuse(id, [0; 32], content::FORBIDDEN);
                    return Ok(true);
                }
            };
            match self.act_on(id, &content, stands.as_ref()).await {
                Settled::Yes => return Ok(true),
                Settled::Later => return Ok(false),
                Settled::Overtaken => match self.standing(id).await {
                    Ok(now) => stands = now,
                    Err(error) => {
                        tell_failure(&error);
                        return Ok(false);
                    }
                },
            }
            session.catch_up(&self.settings.path).await?;
        }
        Ok(false)
    }

    async fn act_on(
        &mut self,
        id: &CampaignId,
        content: &[u8],
        stands: Option<&VersionRecord>,
    ) -> Settled {
        let hash: [u8; 32] = Sha256::digest(content).into();
        let active = stands.filter(|it| it.state == State::Active).map(|it| it.version);
        let known = self.known.get(id).filter(|known| known.hash == hash);
        if active.is_some() && known.is_some_and(|known| known.version == active) {
            return Settled::Yes;
        }
        let (text, format) = match content::understand(content) {
            Ok(document) => document,
            Err(problem) => {
                self.refuse(id, hash, &problem);
                return Settled::Yes;
            }
        };
        let draft = Draft { campaign: id, text, format };
        match self.service.steer(ACTOR, draft, stands).await {
            Ok(Steered::Same(version)) => self.accept(id, hash, version),
            Ok(Steered::Activated(version)) => {
                tracing::info!(campaign = %id, version = version.0, "activated what its node says");
                self.metrics.zookeeper.changed(Outcome::Activated);
                self.accept(id, hash, version);
            }
            Ok(Steered::Overtaken) => return Settled::Overtaken,
            Err(Error::Invalid(faults) | Error::StoredInvalid { faults, .. }) => {
                self.refuse(id, hash, &content::in_words(&faults));
            }
            Err(
                error @ (Error::NotFound(_)
                | Error::NoVersion(..)
                | Error::NotActive(_)
                | Error::Steered(_)
                | Error::Store(_)),
            ) => {
                tell_failure(&error);
                return Settled::Later;
            }
        }
        Settled::Yes
    }

    async fn standing(&self, id: &CampaignId) -> Result<Option<VersionRecord>, Error> {
        Ok(self.service.standings(Some(id)).await?.pop())
    }

    fn accept(&mut self, id: &CampaignId, hash: [u8; 32], version: Version) {
        self.known.insert(id.clone(), Known { hash, version: Some(version) });
        self.metrics.zookeeper.bad_content.with_label_values(&[id.as_str()]).set(0);
    }

    /// Content that cannot be used is told once, and judged again each time that everything is read: it may
    /// have become good, by a domain that was added.
    fn refuse(&mut self, id: &CampaignId, hash: [u8; 32], problem: &str) {
        let before = self.known.insert(id.clone(), Known { hash, version: None });
        if before.is_some_and(|known| known.hash == hash && known.version.is_none()) {
            return;
        }
        let path = &self.settings.path;
        tracing::error!(
            campaign = %id,
            problem,
            "the content of {path}/{id} cannot be used: the version before stays"
        );
        self.metrics.zookeeper.changed(Outcome::Refused);
        self.metrics.zookeeper.bad_content.with_label_values(&[id.as_str()]).set(1);
    }

    fn forget(&mut self, id: &CampaignId) {
        if self.known.remove(id).is_none() {
            return;
        }
        tracing::warn!(campaign = %id, "its node is gone: the campaign stays as it is");
        self.metrics.zookeeper.changed(Outcome::Deleted);
        // It has none if it was never judged.
        drop(self.metrics.zookeeper.bad_content.remove_label_values(&[id.as_str()]));
    }

    fn forget_others(&mut self, present: &[CampaignId]) {
        let gone: Vec<CampaignId> =
            self.known.keys().filter(|id| !present.contains(id)).cloned().collect();
        for id in &gone {
            self.forget(id);
        }
    }

    /// The campaigns among these names, by name; says so if others are among them, or too many.
    fn choose(&mut self, mut names: Vec<String>) -> Vec<CampaignId> {
        names.sort_unstable();
        let (mut campaigns, mut others) = (Vec::new(), Vec::new());
        for name in names {
            match name.parse() {
                Ok(id) => campaigns.push(id),
                Err(_bad) => others.push(name),
            }
        }
        let too_many = campaigns.len().saturating_sub(MOST_CAMPAIGNS);
        campaigns.truncate(MOST_CAMPAIGNS);
        let ignored = (others.len(), too_many);
        for (reason, count) in [("name", ignored.0), ("too_many", ignored.1)] {
            let count = i64::try_from(count).unwrap_or(i64::MAX);
            self.metrics.zookeeper.ignored.with_label_values(&[reason]).set(count);
        }
        if ignored != self.ignored && ignored != (0, 0) {
            others.truncate(5);
            tracing::warn!(
                names = ignored.0,
                such_as = ?others,
                too_many,
                "nodes are ignored: their names are no campaigns', or there are more than {MOST_CAMPAIGNS}"
            );
        }
        self.ignored = ignored;
        campaigns
    }

    fn tell_missing(&mut self) {
        if !self.is_missing {
            let path = &self.settings.path;
            tracing::warn!("there is no node {path} in ZooKeeper: waiting until somebody makes it");
        }
        self.is_missing = true;
    }

    fn show_connected(&self, is_connected: bool) {
        let connected = self.metrics.zookeeper.connected.with_label_values(&[&self.settings.path]);
        connected.set(i64::from(is_connected));
    }

    fn show_read(&self) {
        let seconds = i64::try_from(self.clock.now().0 / 1_000).unwrap_or(i64::MAX);
        self.metrics.zookeeper.last_read.with_label_values(&[&self.settings.path]).set(seconds);
    }

    /// Full jitter: processes that lost the same server do not come back all at once.
    fn wait_after_failure(&mut self) -> Duration {
        let most = FIRST_WAIT.saturating_mul(2_u32.saturating_pow(self.failures)).min(LONGEST_WAIT);
        self.failures = self.failures.saturating_add(1);
        most.mul_f64(rand::random_range(0.0..=1.0))
    }
}

/// While the database does not answer, its own figures tell of it.
fn tell_failure(error: &Error) {
    match error {
        Error::Store(outage) if outage.is_outage() => {
            tracing::debug!(%error, "what ZooKeeper says is done a little later");
        }
        Error::Invalid(_)
        | Error::StoredInvalid { .. }
        | Error::NotFound(_)
        | Error::NoVersion(..)
        | Error::NotActive(_)
        | Error::Steered(_)
        | Error::Store(_) => {
            tracing::error!(%error, "what ZooKeeper says cannot be done; it is tried again");
        }
    }
}
