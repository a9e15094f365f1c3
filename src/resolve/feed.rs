//! Hearing from other processes that links changed.
//!
//! A subscription that breaks may have missed messages, so everything is doubted when it stands
//! again. A peer that went silent without a word is noticed by a ping.

use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt;
use redis::{Client, Msg, RedisError};
use tokio::time::{interval, sleep, timeout};

use super::local::Local;
use super::shared::Shared;
use crate::link::LinkKey;
use crate::metrics::Metrics;

/// How often a quiet subscription is checked, and how long the answer may take.
const PING: Duration = Duration::from_secs(3);
const PONG: Duration = Duration::from_secs(1);
/// How long to wait before the next address is tried.
const RETRY: Duration = Duration::from_millis(250);

/// Follows the channel for ever.
pub async fn follow(shared: Arc<Shared>, local: Arc<Local>, metrics: Arc<Metrics>) {
    for url in shared.urls().iter().cycle() {
        if let Err(error) = listen(url, &shared, &local, &metrics).await {
            tracing::debug!(%error, "the channel of changed links broke");
        }
        sleep(RETRY).await;
    }
}

async fn listen(
    url: &str,
    shared: &Shared,
    local: &Local,
    metrics: &Metrics,
) -> Result<(), RedisError> {
    let late = |_elapsed| RedisError::from(std::io::Error::from(std::io::ErrorKind::TimedOut));
    let client = Client::open(url)?;
    let pubsub = timeout(PONG, client.get_async_pubsub()).await.map_err(late)??;
    let (mut sink, mut messages) = pubsub.split();
    timeout(PONG, sink.subscribe(shared.channel())).await.map_err(late)??;
    local.doubt_all();
    metrics.invalidations.with_label_values(&["flush"]).inc();
    let mut pings = interval(PING);
    loop {
        tokio::select! {
            message = messages.next() => match message {
                Some(message) => hear(&message, local, metrics),
                None => return Ok(()),
            },
            _ = pings.tick() => {
                timeout(PONG, sink.ping::<redis::Value>()).await.map_err(late)??;
            }
        }
    }
}

fn hear(message: &Msg, local: &Local, metrics: &Metrics) {
    metrics.invalidations.with_label_values(&["received"]).inc();
    let text = String::from_utf8_lossy(message.get_payload_bytes()).into_owned();
    for line in text.lines() {
        match LinkKey::parse(line) {
            Some(key) => local.doubt(&key),
            None => local.doubt_all(),
        }
    }
}
