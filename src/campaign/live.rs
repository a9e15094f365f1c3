//! The campaigns as they are now: each process has a table of them, and reads it again within a second
//! of a change.

use std::collections::HashMap;
use std::sync::Arc;

use super::document;
use super::{Campaign, CampaignId, CampaignNumber, State, Version};
use crate::store::campaigns::{self, VersionRecord};
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
    fn new(record: &VersionRecord, version: Version, campaign: Campaign) -> Self {
        let (id, number) = (record.campaign.clone(), record.number);
        Self { id, number, version, state: record.state, campaign }
    }

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
    unreadable: i64,
}

impl Campaigns {
    /// The campaigns as they are in the database; those of `before` are kept where the version is the
    /// same.
    pub async fn read(store: &Store, before: &Self) -> Result<Self, Error> {
        let snapshot = campaigns::snapshot(store).await?;
        let mut read = Self { change: snapshot.change, ..Self::default() };
        for stored in snapshot.current {
            let record = &stored.record;
            if record.state == State::Draft {
                continue;
            }
            let known = before.by_number.get(&record.number);
            let current = match known {
                Some(known) if known.version == record.version && known.state == record.state => {
                    Some(Arc::clone(known))
                }
                Some(_) | None => match document::parse(&stored.document, record.format) {
                    Ok(campaign) => Some(Arc::new(Current::new(record, record.version, campaign))),
                    Err(faults) => {
                        tracing::error!(
                            campaign = %record.campaign,
                            version = record.version.0,
                            ?faults,
                            "this version cannot be read: the last good one stays"
                        );
                        read.unreadable += 1;
                        last_good(store, record, known).await?.map(Arc::new)
                    }
                },
            };
            if let Some(current) = current {
                read.by_id.insert(current.id.clone(), current.number);
                read.by_number.insert(current.number, current);
            }
        }
        Ok(read)
    }

    /// How many campaigns run on an older version than the active one, or not at all, because its
    /// document cannot be read.
    pub fn unreadable(&self) -> i64 {
        self.unreadable
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

/// What takes the place of a version that this program cannot read, as a newer or an older one may have
/// left it: the one that was active before it, in memory or in the database. It is as active as the
/// other one is.
async fn last_good(
    store: &Store,
    unreadable: &VersionRecord,
    known: Option<&Arc<Current>>,
) -> Result<Option<Current>, Error> {
    if let Some(known) = known {
        return Ok(Some(Current { state: unreadable.state, ..Current::clone(known) }));
    }
    let earlier = campaigns::earlier(store, &unreadable.campaign).await?;
    Ok(earlier.into_iter().find_map(|stored| {
        let campaign = document::parse(&stored.document, stored.record.format).ok()?;
        Some(Current::new(unreadable, stored.record.version, campaign))
    }))
}
