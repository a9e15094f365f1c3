//! Versions that something was promised under: they count for it after others have become active.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};

use super::{Campaign, CampaignId, Version, document};
use crate::store::{Error, Store, Transaction, campaigns};

/// Versions that were read once: they never change.
#[derive(Debug, Default)]
pub struct Pinned {
    read: RwLock<HashMap<(CampaignId, Version), Arc<Campaign>>>,
}

/// Versions that are kept. Of more, those that are needed are read again.
const MOST: usize = 1_024;

impl Pinned {
    /// What a version says. It was active once, so it is there and could be read.
    pub async fn get(
        &self,
        transaction: &Transaction<'_>,
        campaign: &CampaignId,
        version: Version,
    ) -> Result<Arc<Campaign>, Error> {
        let key = (campaign.clone(), version);
        if let Some(known) = self.known(&key) {
            return Ok(known);
        }
        let name = || format!("version {} of {campaign}", version.0);
        let stored = campaigns::get(transaction, campaign, version).await?;
        let stored =
            stored.ok_or_else(|| Error::Corrupt("campaign_version", format!("no {}", name())))?;
        let read = document::parse(&stored.document, stored.record.format);
        let read = Arc::new(read.map_err(|faults| {
            Error::Corrupt("campaign_version", format!("{}: {faults:?}", name()))
        })?);
        let mut kept = self.read.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= MOST {
            kept.clear();
        }
        kept.insert(key, Arc::clone(&read));
        Ok(read)
    }

    /// The same, outside of a transaction.
    pub async fn find(
        &self,
        store: &Store,
        campaign: &CampaignId,
        version: Version,
    ) -> Result<Arc<Campaign>, Error> {
        if let Some(known) = self.known(&(campaign.clone(), version)) {
            return Ok(known);
        }
        let mut connection = store.connection().await?;
        let transaction = connection.transaction().await?;
        self.get(&transaction, campaign, version).await
    }

    fn known(&self, key: &(CampaignId, Version)) -> Option<Arc<Campaign>> {
        self.read.read().unwrap_or_else(PoisonError::into_inner).get(key).cloned()
    }
}
