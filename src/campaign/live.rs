//! The campaigns as they are now: each process has a table of them, and reads it again within a second
//! of a change.

use std::collections::HashMap;
use std::sync::Arc;

use super::document;
use super::{Campaign, CampaignId, CampaignNumber, State, Version};
use crate::store::campaigns::{self, StoredVersion};
use crate::store::{Error, Store};

/// A campaign, in the version that counts.
#[derive(Clone, Debug, PartialEq)]
pub struct Current {
    /// Its name.
    pub id: CampaignId,
    /// What stands for it in records and tokens.
    pub number: CampaignNumber,
    /// The version.
    pub version: Version,
    /// Whether it is active, or the last one that was. Never a draft.
    pub state: State,
    /// What it says.
    pub campaign: Campaign,
}

impl Current {
    /// Whether codes can be bound at this moment.
    pub fn runs_at(&self, now: jiff::Timestamp) -> bool {
        self.state == State::Active && self.campaign.runs_at(now)
    }
}

/// All campaigns that are or were active.
#[derive(Debug, Default)]
pub struct Campaigns {
    /// [`campaigns::change_number`] when they were read: they are at least as new as that.
    change: i64,
    by_number: HashMap<CampaignNumber, Arc<Current>>,
    by_id: HashMap<CampaignId, CampaignNumber>,
}

impl Campaigns {
    /// The campaigns as they are in the database; those of `before` are kept where the version is the
    /// same.
    pub async fn read(store: &Store, before: &Self) -> Result<Self, Error> {
        let change = campaigns::change_number(store).await?;
        let mut read = Self { change, ..Self::default() };
        for stored in campaigns::current(store).await? {
            let known = before.by_number.get(&stored.number);
            let same = known
                .filter(|known| known.version == stored.version && known.state == stored.state);
            let current = same.map(Arc::clone).or_else(|| current(&stored).map(Arc::new));
            // What cannot be read any more, by a newer or older program's doing, stays as it was.
            if let Some(current) = current.or_else(|| known.map(Arc::clone)) {
                read.by_id.insert(current.id.clone(), current.number);
                read.by_number.insert(current.number, current);
            }
        }
        Ok(read)
    }

    /// Whether a version was activated or retired since they were read.
    pub async fn are_old(&self, store: &Store) -> Result<bool, Error> {
        Ok(campaigns::change_number(store).await? != self.change)
    }

    /// The campaign with this name.
    pub fn named(&self, id: &str) -> Option<&Arc<Current>> {
        let id: CampaignId = id.parse().ok()?;
        self.numbered(*self.by_id.get(&id)?)
    }

    /// The campaign that this number stands for.
    pub fn numbered(&self, number: CampaignNumber) -> Option<&Arc<Current>> {
        self.by_number.get(&number)
    }

    /// All of them.
    pub fn all(&self) -> impl Iterator<Item = &Arc<Current>> {
        self.by_number.values()
    }
}

fn current(stored: &StoredVersion) -> Option<Current> {
    if stored.state == State::Draft {
        return None;
    }
    match document::parse(&stored.document, stored.format) {
        Ok(campaign) => Some(Current {
            id: stored.campaign.clone(),
            number: stored.number,
            version: stored.version,
            state: stored.state,
            campaign,
        }),
        Err(faults) => {
            tracing::error!(
                campaign = %stored.campaign,
                version = stored.version.0,
                ?faults,
                "the active version cannot be read: the one before it stays"
            );
            None
        }
    }
}
