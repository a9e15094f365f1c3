//! Keeps the process's table of campaigns current.
//!
//! PostgreSQL is the only place that campaigns are read from. The watcher of `ZooKeeper` is a loop beside
//! this one: it activates versions by `campaign::service`, and this loop finds them in every process, as
//! it finds those of the API.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::sleep;

use super::{Error as StartError, Parts};
use crate::campaign::live::Campaigns;
use crate::campaign::service::CampaignService;
use crate::campaign::zookeeper::Watcher;
use crate::config::{CampaignSource, Config};
use crate::metrics::Metrics;
use crate::store::Error;

/// How often the table is compared with the database, in milliseconds: twice a second or more often, so
/// that a change is everywhere within a second. Processes that were started together do not stay in step.
const EVERY: std::ops::RangeInclusive<u64> = 350..=450;

/// Fails if the source of campaigns is one that nobody could find.
pub(crate) fn check_source(config: &Config) -> Result<(), StartError> {
    match config.campaigns.source {
        CampaignSource::Zookeeper if config.zookeeper.servers.is_empty() => {
            Err(StartError::NoZookeeper)
        }
        CampaignSource::Zookeeper | CampaignSource::Database => Ok(()),
    }
}

/// What watches `ZooKeeper`, if that steers the campaigns.
pub(super) fn watcher(parts: &Parts) -> Option<Watcher> {
    let config = &parts.config;
    if config.campaigns.source != CampaignSource::Zookeeper {
        return None;
    }
    let service = CampaignService::new(parts.store.clone(), config);
    let (clock, metrics) = (parts.clock.clone(), Arc::clone(&parts.metrics));
    Some(Watcher::new(service, config.zookeeper.clone(), clock, metrics))
}

/// Reads the campaigns again whenever one changed. While nobody can say, the table stays as it is.
pub(super) async fn follow(parts: Arc<Parts>, campaigns: watch::Sender<Arc<Campaigns>>) {
    loop {
        sleep(Duration::from_millis(rand::random_range(EVERY))).await;
        if let Err(error) = read_again(&parts, &campaigns).await {
            tracing::debug!(%error, "campaigns stay as they were");
        }
    }
}

async fn read_again(parts: &Parts, campaigns: &watch::Sender<Arc<Campaigns>>) -> Result<(), Error> {
    let before = Arc::clone(&campaigns.borrow());
    if before.are_old(&parts.store).await? {
        let now = Campaigns::read(&parts.store, &before).await?;
        show(&parts.metrics, &now);
        campaigns.send_replace(Arc::new(now));
    }
    Ok(())
}

/// Which versions are in use, in figures.
pub(super) fn show(metrics: &Metrics, campaigns: &Campaigns) {
    for current in campaigns.all() {
        let version = i64::from(current.version.0);
        metrics.campaign_version.with_label_values(&[current.id.as_str()]).set(version);
    }
    metrics.campaigns_unreadable.set(campaigns.unreadable());
}
