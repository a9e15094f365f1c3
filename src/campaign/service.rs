//! Versions of campaigns: judged, stored, activated, retired, each in one transaction.
//!
//! This is the only door. The API and the command line come through it, and so does the watcher of
//! `ZooKeeper`, which calls [`CampaignService::steer`] with what it found. All of it may be repeated at
//! will, and the running processes hear of it in the same way whoever did it.

use std::time::Duration;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::changes::{self, Change};
use super::document::{self, Format};
use super::{Campaign, CampaignId, State, Version};
use crate::config::{CampaignSource, Config};
use crate::fault::{Fault, Reason};
use crate::link::rules::Rules;
use crate::link::service;
use crate::store::campaigns::{self, NewVersion, StoredVersion, VersionRecord};
use crate::store::rewards::books;
use crate::store::{self, Connection, Store, Transaction, audit, domains, transact_within};

/// Why something was not done with a campaign.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The document breaks rules.
    #[error("the document is not good")]
    Invalid(Vec<Fault>),
    /// A stored document breaks the rules of this program, which may be newer than the one that took it.
    #[error("version {version} of '{campaign}' breaks rules; put a better one, and use that")]
    StoredInvalid {
        /// Which campaign.
        campaign: CampaignId,
        /// Which version.
        version: Version,
        /// What is wrong with its document.
        faults: Vec<Fault>,
    },
    /// There is no such campaign.
    #[error("there is no campaign '{0}'")]
    NotFound(CampaignId),
    /// The campaign has no such version.
    #[error("the campaign '{0}' has no version {1}")]
    NoVersion(CampaignId, Version),
    /// There is nothing that could be retired.
    #[error("no version of the campaign '{0}' is active")]
    NotActive(CampaignId),
    /// `ZooKeeper` says which version is active, and would undo what others say.
    #[error(
        "ZooKeeper steers the campaigns ([campaigns] source): change the node of '{0}' instead, or set \
         the source to \"database\""
    )]
    Steered(CampaignId),
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A document that may become a version of a campaign.
#[derive(Clone, Copy, Debug)]
pub struct Draft<'a> {
    /// Which campaign.
    pub campaign: &'a CampaignId,
    /// The document.
    pub text: &'a str,
    /// How it is written.
    pub format: Format,
}

/// What a draft was found to be.
#[derive(Debug)]
pub struct Checked {
    /// What it says.
    pub campaign: Campaign,
    /// The version that has the same content already.
    pub same: Option<Version>,
}

/// What came of [`CampaignService::steer`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steered {
    /// This version was active already.
    Same(Version),
    /// This version is active now.
    Activated(Version),
    /// Another version was activated or retired since the caller looked: nothing was done.
    Overtaken,
}

/// How long [`CampaignService::steer`] may take, waiting for a connection and for others included.
const STEER: Duration = Duration::from_secs(10);

/// See the module.
#[derive(Debug)]
pub struct CampaignService {
    store: Store,
    rules: Rules,
    source: CampaignSource,
}

impl CampaignService {
    /// A service under the settings `edge.public_url` and `campaigns.source`.
    pub fn new(store: Store, config: &Config) -> Self {
        Self { store, rules: service::rules(config), source: config.campaigns.source }
    }

    /// Judges a document as [`Self::put`] would, and stores nothing.
    pub async fn check(&self, draft: Draft<'_>) -> Result<Checked, Error> {
        let campaign = document::parse(draft.text, draft.format).map_err(Error::Invalid)?;
        let mut connection = self.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        self.judge(&transaction, draft, &campaign).await?;
        let same = campaigns::find_same(&transaction, draft.campaign, &hash(draft.text)).await?;
        Ok(Checked { campaign, same })
    }

    /// Judges a document for a campaign that is there, to find out what would come of it. Its budget may be less
    /// than what was promised meanwhile: nothing is promised by it.
    pub async fn suppose(&self, draft: Draft<'_>) -> Result<Campaign, Error> {
        let campaign = document::parse(draft.text, draft.format).map_err(Error::Invalid)?;
        let mut connection = self.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        if !campaigns::exists(&transaction, draft.campaign).await? {
            return Err(Error::NotFound(draft.campaign.clone()));
        }
        let faults = self.faults_of_place(&transaction, draft, &campaign).await?;
        refuse(draft, faults)?;
        Ok(campaign)
    }

    /// The same with a document that is stored.
    pub async fn suppose_version(
        &self,
        id: &CampaignId,
        version: Version,
    ) -> Result<Campaign, Error> {
        let StoredVersion { record, document } = self.get(id, version).await?;
        let draft = Draft { campaign: id, text: &document, format: record.format };
        self.suppose(draft).await.map_err(|error| of_stored(error, &record))
    }

    /// Stores a document as a new version, which is a draft: nothing happens under it. Answers the
    /// version, and whether it is new: one with the same content is there once.
    pub async fn put(&self, actor: &str, draft: Draft<'_>) -> Result<(StoredVersion, bool), Error> {
        let campaign = document::parse(draft.text, draft.format).map_err(Error::Invalid)?;
        let mut connection = self.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        campaigns::make(&transaction, draft.campaign, actor).await?;
        campaigns::lock(&transaction, draft.campaign).await?;
        let (stored, is_new) = self.put_locked(&transaction, actor, draft, &campaign).await?;
        if is_new {
            transaction.commit().await.map_err(store::Error::from)?;
        }
        Ok((stored, is_new))
    }

    /// [`Self::put`] in a campaign that is locked.
    async fn put_locked(
        &self,
        transaction: &Transaction<'_>,
        actor: &str,
        draft: Draft<'_>,
        campaign: &Campaign,
    ) -> Result<(StoredVersion, bool), Error> {
        let hash = hash(draft.text);
        if let Some(same) = campaigns::find_same(transaction, draft.campaign, &hash).await? {
            return Ok((find(transaction, draft.campaign, same).await?, false));
        }
        self.judge(transaction, draft, campaign).await?;
        let Draft { campaign: id, text, format } = draft;
        let new = NewVersion { campaign: id, format, document: text, hash, actor };
        let version = campaigns::add(transaction, &new).await?;
        let detail = json!({ "version": version, "format": format.name() });
        record(transaction, (actor, "campaign.put"), id, detail).await?;
        Ok((find(transaction, id, version).await?, true))
    }

    /// Makes a version the active one, whatever it was before: going back is activating an older one.
    /// Its document is judged again. Activating the active one changes nothing.
    pub async fn activate(
        &self,
        actor: &str,
        id: &CampaignId,
        version: Version,
    ) -> Result<StoredVersion, Error> {
        self.refuse_if_steered(id)?;
        let mut connection = self.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        lock(&transaction, id).await?;
        let stored = find(&transaction, id, version).await?;
        let activated = self.activate_locked(&transaction, actor, stored).await?;
        transaction.commit().await.map_err(store::Error::from)?;
        Ok(activated)
    }

    /// [`Self::activate`] in a campaign that is locked.
    async fn activate_locked(
        &self,
        transaction: &Transaction<'_>,
        actor: &str,
        stored: StoredVersion,
    ) -> Result<StoredVersion, Error> {
        self.judge_again(transaction, &stored).await?;
        if stored.record.state == State::Active {
            return Ok(stored);
        }
        let (id, version) = (&stored.record.campaign, stored.record.version);
        let before = campaigns::activate(transaction, id, version).await?;
        if let Ok(campaign) = document::parse(&stored.document, stored.record.format) {
            books::fund(transaction, id, campaign.budget_minor).await?;
        }
        let detail = json!({ "version": version, "before": before });
        record(transaction, (actor, "campaign.activate"), id, detail).await?;
        find(transaction, id, version).await
    }

    /// Which version of each campaign, or of one, is active or was it last: what [`Self::steer`] compares.
    pub async fn standings(&self, only: Option<&CampaignId>) -> Result<Vec<VersionRecord>, Error> {
        Ok(campaigns::standings_now(&self.store, only).await?)
    }

    /// Makes what a source of documents says of a campaign the active version, storing it if it is new.
    ///
    /// Nothing is done if the campaign does not stand as it did when the caller saw it, by
    /// [`Self::standings`]. Whoever looks there first, reads the source after that, and comes here last,
    /// never puts something older in the place of something newer, however many do it at once.
    pub async fn steer(
        &self,
        actor: &str,
        draft: Draft<'_>,
        seen: Option<&VersionRecord>,
    ) -> Result<Steered, Error> {
        let campaign = document::parse(draft.text, draft.format).map_err(Error::Invalid)?;
        let steer = async |connection: &mut Connection| {
            Ok(self.steer_on(connection, actor, (draft, &campaign), seen).await)
        };
        transact_within(&self.store, STEER, steer).await?
    }

    async fn steer_on(
        &self,
        connection: &mut Connection,
        actor: &str,
        (draft, campaign): (Draft<'_>, &Campaign),
        seen: Option<&VersionRecord>,
    ) -> Result<Steered, Error> {
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        campaigns::make(&transaction, draft.campaign, actor).await?;
        campaigns::lock(&transaction, draft.campaign).await?;
        let stands = campaigns::standings(&transaction, Some(draft.campaign)).await?;
        if stands.first() != seen {
            return Ok(Steered::Overtaken);
        }
        let (stored, _) = self.put_locked(&transaction, actor, draft, campaign).await?;
        if stored.record.state == State::Active {
            return Ok(Steered::Same(stored.record.version));
        }
        let activated = self.activate_locked(&transaction, actor, stored).await?;
        transaction.commit().await.map_err(store::Error::from)?;
        Ok(Steered::Activated(activated.record.version))
    }

    /// Ends the active version: nothing is bound under the campaign any more. What was bound stays.
    pub async fn retire(&self, actor: &str, id: &CampaignId) -> Result<StoredVersion, Error> {
        self.refuse_if_steered(id)?;
        let mut connection = self.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        lock(&transaction, id).await?;
        let version = campaigns::retire(&transaction, id).await?;
        let version = version.ok_or_else(|| Error::NotActive(id.clone()))?;
        record(&transaction, (actor, "campaign.retire"), id, json!({ "version": version })).await?;
        let retired = find(&transaction, id, version).await?;
        transaction.commit().await.map_err(store::Error::from)?;
        Ok(retired)
    }

    /// Of each campaign the version that counts: the active one, or else the one that was retired last,
    /// or else the latest draft. By name.
    pub async fn list(&self) -> Result<Vec<StoredVersion>, Error> {
        let mut connection = self.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        Ok(campaigns::current(&transaction, None).await?)
    }

    /// The version of a campaign that counts.
    pub async fn current(&self, id: &CampaignId) -> Result<StoredVersion, Error> {
        let mut connection = self.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        let found = campaigns::current(&transaction, Some(id)).await?.pop();
        found.ok_or_else(|| Error::NotFound(id.clone()))
    }

    /// Up to `most` versions of a campaign, the latest first, from the one before `before` on.
    pub async fn versions(
        &self,
        id: &CampaignId,
        before: Option<Version>,
        most: u16,
    ) -> Result<Vec<VersionRecord>, Error> {
        let mut connection = self.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        if !campaigns::exists(&transaction, id).await? {
            return Err(Error::NotFound(id.clone()));
        }
        Ok(campaigns::versions(&transaction, id, before, most).await?)
    }

    /// A version of a campaign.
    pub async fn get(&self, id: &CampaignId, version: Version) -> Result<StoredVersion, Error> {
        let mut connection = self.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        find(&transaction, id, version).await
    }

    /// Every field in which two versions of a campaign differ.
    pub async fn diff(
        &self,
        id: &CampaignId,
        from: Version,
        to: Version,
    ) -> Result<Vec<Change>, Error> {
        let mut connection = self.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        let from = value(&find(&transaction, id, from).await?)?;
        let to = value(&find(&transaction, id, to).await?)?;
        Ok(changes::between(&from, &to))
    }

    fn refuse_if_steered(&self, id: &CampaignId) -> Result<(), Error> {
        match self.source {
            CampaignSource::Database => Ok(()),
            CampaignSource::Zookeeper => Err(Error::Steered(id.clone())),
        }
    }

    async fn connection(&self) -> Result<Connection, Error> {
        Ok(self.store.connection().await?)
    }

    /// What is wrong with a campaign here and now: beyond its document, it depends on the domains, which
    /// do not change before the transaction ends, and on what the campaign was before.
    async fn judge(
        &self,
        transaction: &Transaction<'_>,
        draft: Draft<'_>,
        campaign: &Campaign,
    ) -> Result<(), Error> {
        let mut faults = self.faults_of_place(transaction, draft, campaign).await?;
        let spent = books::spent(transaction, draft.campaign).await?;
        if campaign.budget_minor < spent {
            let detail = format!(
                "must be at least {spent}: so much is promised or paid already; retire the campaign to \
                 promise nothing more"
            );
            faults.push(Fault::new("/budget_minor", Reason::OutOfRange, detail));
        }
        refuse(draft, faults)
    }

    /// What does not fit the domains that there are, and what the campaign was before.
    async fn faults_of_place(
        &self,
        transaction: &Transaction<'_>,
        draft: Draft<'_>,
        campaign: &Campaign,
    ) -> Result<Vec<Fault>, Error> {
        let mut faults = Vec::new();
        let known = domains::all(transaction).await?;
        if let Some(host) = &campaign.domain
            && self.rules.find_domain(Some(host), &known).is_none()
        {
            let detail = "is no domain of this service; add it first with 'waypost domain add', or \
                          leave it out for the default domain";
            faults.push(Fault::new("/domain", Reason::UnknownDomain, detail));
        }
        let before = campaigns::activated(transaction, draft.campaign, 1).await?.pop();
        let before = before.and_then(|it| document::value(&it.document, it.record.format));
        let before = before.as_ref().and_then(|value| value.get("currency")?.as_str());
        if let Some(before) = before
            && before != campaign.currency.code()
        {
            let detail = format!(
                "was {before} when the campaign was active, and amounts are owed in it; start another \
                 campaign for another currency"
            );
            faults.push(Fault::new("/currency", Reason::CannotBeChanged, detail));
        }
        Ok(faults)
    }

    async fn judge_again(
        &self,
        transaction: &Transaction<'_>,
        stored: &StoredVersion,
    ) -> Result<(), Error> {
        let StoredVersion { record, document } = stored;
        let draft = Draft { campaign: &record.campaign, text: document, format: record.format };
        let judged = match document::parse(document, record.format) {
            Ok(campaign) => self.judge(transaction, draft, &campaign).await,
            Err(faults) => Err(Error::Invalid(faults)),
        };
        judged.map_err(|error| of_stored(error, record))
    }
}

/// Fails if there are faults, and says on which lines of the document they stand.
fn refuse(draft: Draft<'_>, mut faults: Vec<Fault>) -> Result<(), Error> {
    if faults.is_empty() {
        return Ok(());
    }
    document::add_lines(draft.text, draft.format, &mut faults);
    Err(Error::Invalid(faults))
}

/// What is wrong with a document, where it is that of a stored version.
fn of_stored(error: Error, record: &VersionRecord) -> Error {
    match error {
        Error::Invalid(faults) => stored_invalid(record, faults),
        other @ (Error::StoredInvalid { .. }
        | Error::NotFound(_)
        | Error::NoVersion(..)
        | Error::NotActive(_)
        | Error::Steered(_)
        | Error::Store(_)) => other,
    }
}

fn stored_invalid(record: &VersionRecord, faults: Vec<Fault>) -> Error {
    let (campaign, version) = (record.campaign.clone(), record.version);
    Error::StoredInvalid { campaign, version, faults }
}

fn value(stored: &StoredVersion) -> Result<Value, Error> {
    document::value(&stored.document, stored.record.format).ok_or_else(|| {
        let fault = Fault::new("", Reason::Malformed, "cannot be read any more");
        stored_invalid(&stored.record, vec![fault])
    })
}

fn hash(text: &str) -> [u8; 32] {
    Sha256::digest(text).into()
}

async fn lock(transaction: &Transaction<'_>, id: &CampaignId) -> Result<(), Error> {
    if campaigns::lock(transaction, id).await? { Ok(()) } else { Err(Error::NotFound(id.clone())) }
}

async fn find(
    transaction: &Transaction<'_>,
    id: &CampaignId,
    version: Version,
) -> Result<StoredVersion, Error> {
    if let Some(stored) = campaigns::get(transaction, id, version).await? {
        return Ok(stored);
    }
    let exists = campaigns::exists(transaction, id).await?;
    let id = id.clone();
    Err(if exists { Error::NoVersion(id, version) } else { Error::NotFound(id) })
}

async fn record(
    transaction: &Transaction<'_>,
    (actor, action): (&str, &'static str),
    campaign: &CampaignId,
    detail: Value,
) -> Result<(), Error> {
    let subject = &format!("campaign:{campaign}");
    Ok(audit::record(transaction, &audit::Entry { actor, action, subject, detail }).await?)
}
