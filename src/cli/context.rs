//! What commands work with: the database itself, by the same services as the API.

use std::sync::Arc;

use serde_json::Value;
use tokio::sync::watch;

use super::Error;
use crate::app;
use crate::campaign::live::Campaigns;
use crate::campaign::service::CampaignService;
use crate::clicks::report::Reports;
use crate::clock::Clock;
use crate::config::Config;
use crate::link::domains::service::DomainService;
use crate::link::service::LinkService;
use crate::metrics::Metrics;
use crate::referral::codes::{self, CodeService};
use crate::resolve::announce::Announcer;
use crate::review::service::Reviews;
use crate::reward::services::Services;
use crate::store::{Error as StoreError, Store, Transaction, audit, migrate};

/// See the module.
#[derive(Debug)]
pub(crate) struct Context {
    /// The settings.
    pub(crate) config: Config,
    /// The database.
    pub(crate) store: Store,
    /// What time it is.
    pub(crate) clock: Clock,
    /// How running processes hear of changes.
    pub(crate) announcer: Announcer,
}

impl Context {
    /// Opens the database of these settings; it must be of this version.
    pub(crate) async fn open(config: Config) -> Result<Self, Error> {
        let store = app::store(&config)?;
        migrate::check(&store).await?;
        let shared = app::shared(&config, &Arc::new(Metrics::new()))?;
        if let Some(shared) = &shared {
            // Without Redis the running processes carry the change out, a little later.
            if let Err(error) = shared.check().await {
                tracing::debug!(%error, "Redis does not answer");
            }
        }
        let announcer = Announcer::new(store.clone(), None, shared);
        Ok(Self { config, store, clock: Clock::system(), announcer })
    }

    /// Links.
    pub(crate) fn links(&self) -> LinkService {
        let (store, announcer) = (self.store.clone(), self.announcer.clone());
        LinkService::new(store, announcer, &self.config, self.clock.clone())
    }

    /// The hosts under which links are found.
    pub(crate) fn domains(&self) -> DomainService {
        DomainService::new(self.store.clone(), &self.config)
    }

    /// Campaigns.
    pub(crate) fn campaigns(&self) -> CampaignService {
        CampaignService::new(self.store.clone(), &self.config)
    }

    /// Referral codes, in the campaigns as they are now.
    pub(crate) async fn codes(&self) -> Result<CodeService, StoreError> {
        let campaigns = Campaigns::read(&self.store, &Campaigns::default()).await?;
        let (_, campaigns) = watch::channel(Arc::new(campaigns));
        let parts = codes::Parts {
            store: self.store.clone(),
            stock: None,
            announcer: self.announcer.clone(),
            campaigns,
            clock: self.clock.clone(),
            metrics: Arc::new(Metrics::new()),
        };
        Ok(CodeService::new(parts, &self.config))
    }

    /// What people see of rewards, and do about them, in the campaigns as they are now.
    pub(crate) async fn rewards(&self) -> Result<Arc<Services>, StoreError> {
        let campaigns = Campaigns::read(&self.store, &Campaigns::default()).await?;
        let (_, campaigns) = watch::channel(Arc::new(campaigns));
        let with = (self.config.rewards.sweep, &Arc::new(Metrics::new()));
        let rewards = app::rewards::assemble(&self.store, &campaigns, &self.clock, with).await?;
        Ok(rewards.services)
    }

    /// What people have to approve.
    pub(crate) async fn reviews(&self) -> Result<Arc<Reviews>, StoreError> {
        let rewards = self.rewards().await?;
        let with = (self.clock.clone(), Arc::new(Metrics::new()));
        Ok(Arc::new(Reviews::new(self.store.clone(), rewards, with)))
    }

    /// What was counted.
    pub(crate) fn reports(&self) -> Reports {
        Reports::new(self.store.clone(), self.clock.clone(), self.config.clicks.retention)
    }

    /// Records in the audit what the user of this command did.
    pub(crate) async fn record(
        &self,
        transaction: &Transaction<'_>,
        action: &'static str,
        subject: &str,
        detail: Value,
    ) -> Result<(), StoreError> {
        let actor = actor();
        audit::record(transaction, &audit::Entry { actor: &actor, action, subject, detail }).await
    }
}

/// Who runs this command, for the audit: `cli:` and the name of the Unix user, or its number.
pub(crate) fn actor() -> String {
    let user = rustix::process::getuid().as_raw().to_string();
    let accounts = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = accounts.lines().find_map(|account| {
        let mut fields = account.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == user).then(|| name.to_owned())
    });
    format!("cli:{}", name.unwrap_or(user))
}
