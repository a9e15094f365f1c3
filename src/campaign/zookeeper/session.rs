//! One session with `ZooKeeper`: the only place that knows its client.
//!
//! The client would keep a session through a lost connection, and has a back-off without much jitter for
//! that. Nothing of ours depends on the session, so it is given up with its connection: there is one way
//! back, whatever happened, and it begins with reading everything.

use std::time::Duration;

use tokio::time::timeout;
use zookeeper_client::{Client, Error, OneshotWatcher, StateWatcher};

use crate::config;

/// The connection is gone, or no good: with the reason.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Lost(String);

impl From<Error> for Lost {
    fn from(error: Error) -> Self {
        Self(error.to_string())
    }
}

/// What a node says.
#[derive(Debug)]
pub(super) enum Node {
    /// This, until the watch fires.
    Content(Vec<u8>, Watch),
    /// There is no such node.
    Missing,
    /// We may not read it.
    Forbidden,
}

/// Fires once, when what it was made for changes, or when the session ends.
#[derive(Debug)]
pub(super) struct Watch(OneshotWatcher);

impl Watch {
    /// Waits until it fires.
    pub(super) async fn fires(self) {
        self.0.changed().await;
    }
}

/// See the module. Dropping it ends the session.
#[derive(Debug)]
pub(super) struct Session {
    client: Client,
    state: StateWatcher,
    /// How long an answer may take.
    patience: Duration,
}

impl Session {
    /// Connects to one of the servers, of which each is tried once.
    pub(super) async fn open(settings: &config::Zookeeper) -> Result<Self, Lost> {
        let mut connector =
            Client::connector().with_session_timeout(settings.session).with_fail_eagerly();
        if !settings.authorization.is_empty() {
            let authorization = settings.authorization.expose().as_bytes();
            connector = connector.with_auth("digest", authorization);
        }
        let servers = settings.servers.join(",");
        let patience = settings.session;
        let client = within(patience, connector.connect(&servers)).await?;
        let state = client.state_watcher();
        Ok(Self { client, state, patience })
    }

    /// Waits until the connection is gone. One that came back since counts as gone too.
    pub(super) async fn ends(&mut self) -> Lost {
        let state = self.state.changed().await;
        Lost(format!("the session became {state}"))
    }

    /// Has the server catch up with all changes that were made anywhere before now: what is read after
    /// this is at least so new.
    pub(super) async fn catch_up(&self, path: &str) -> Result<(), Lost> {
        within(self.patience, self.client.sync(path)).await
    }

    /// The names of the children of a node; the watch is for their coming and going. `None`: there is no
    /// such node.
    pub(super) async fn children(&self, path: &str) -> Result<Option<(Vec<String>, Watch)>, Lost> {
        let listed = timeout(self.patience, self.client.list_and_watch_children(path)).await;
        match listed.map_err(|_elapsed| late(self.patience))? {
            Ok((names, watch)) => Ok(Some((names, Watch(watch)))),
            Err(Error::NoNode) => Ok(None),
            Err(Error::NoAuth) => Err(Lost(format!(
                "{path} may not be read: give [zookeeper] authorization a user who may"
            ))),
            Err(error) => Err(error.into()),
        }
    }

    /// Watches for a node that is not there yet. `None`: it is there.
    pub(super) async fn appears(&self, path: &str) -> Result<Option<Watch>, Lost> {
        let found = within(self.patience, self.client.check_and_watch_stat(path)).await?;
        let (None, watch) = found else { return Ok(None) };
        Ok(Some(Watch(watch)))
    }

    /// Reads a node and watches it.
    pub(super) async fn read(&self, path: &str) -> Result<Node, Lost> {
        let read = timeout(self.patience, self.client.get_and_watch_data(path)).await;
        match read.map_err(|_elapsed| late(self.patience))? {
            Ok((content, _, watch)) => Ok(Node::Content(content, Watch(watch))),
            Err(Error::NoNode) => Ok(Node::Missing),
            Err(Error::NoAuth) => Ok(Node::Forbidden),
            Err(error) => Err(error.into()),
        }
    }
}

async fn within<T>(
    patience: Duration,
    answer: impl Future<Output = Result<T, Error>>,
) -> Result<T, Lost> {
    Ok(timeout(patience, answer).await.map_err(|_elapsed| late(patience))??)
}

fn late(patience: Duration) -> Lost {
    Lost(format!("no answer in {} s", patience.as_secs()))
}
