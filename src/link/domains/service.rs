//! Adding, finding, editing and deleting domains: rules, then one transaction. Running processes read
//! the domains again every few seconds; links can be made in a new one at once.

use serde_json::json;

use super::{DomainEdit, FullDomain, NewDomain, judge_edit, judge_new};
use crate::campaign::{CampaignId, State, document};
use crate::code::slug::LetterCase;
use crate::config::Config;
use crate::fault::{Fault, Reason};
use crate::link::model::Domain;
use crate::link::rules::Rules;
use crate::link::service;
use crate::store::campaigns::{self, StoredVersion};
use crate::store::{self, Connection, Store, Transaction, audit, domains};

/// Why a domain was not added, found, changed or deleted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request breaks rules.
    #[error("the request is not valid")]
    Invalid(Vec<Fault>),
    /// There is no such domain.
    #[error("'{0}' is no domain of this service; add it first")]
    NotFound(String),
    /// There is such a domain already.
    #[error("the domain '{0}' is there already; edit it instead")]
    Exists(String),
    /// The default domain need not be added.
    #[error("'{0}' is the host of edge.public_url: the default domain, which is always there")]
    AlwaysThere(String),
    /// The default domain cannot be deleted.
    #[error("'{0}' is the host of edge.public_url: the default domain, which cannot be deleted")]
    NeverDeleted(String),
    /// Something belongs to the domain.
    #[error("the domain '{0}' still has links; delete them first")]
    InUse(String),
    /// People share codes under the domain.
    #[error(
        "the active version of the campaign '{1}' is shared under '{0}'; retire the campaign, or activate a version with another domain, first"
    )]
    HasCampaign(String, CampaignId),
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// See the module.
#[derive(Debug)]
pub struct DomainService {
    store: Store,
    rules: Rules,
    usual_slug_length: u8,
}

impl DomainService {
    /// A service under the settings `[links]` and `edge.public_url`.
    pub fn new(store: Store, config: &Config) -> Self {
        let (rules, usual_slug_length) = (service::rules(config), config.links.slug_length);
        Self { store, rules, usual_slug_length }
    }

    /// A connection for a transaction that adds a domain.
    pub async fn connection(&self) -> Result<Connection, Error> {
        Ok(self.store.connection().await?)
    }

    /// Adds a domain in a transaction of its own.
    pub async fn create(&self, actor: &str, request: &NewDomain) -> Result<FullDomain, Error> {
        let mut connection = self.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        let added = self.create_within(&transaction, actor, request).await?;
        transaction.commit().await.map_err(store::Error::from)?;
        Ok(added)
    }

    /// Adds a domain.
    pub async fn create_within(
        &self,
        transaction: &Transaction<'_>,
        actor: &str,
        request: &NewDomain,
    ) -> Result<FullDomain, Error> {
        let known = links_view(&domains::all_for_change(transaction).await?);
        let draft = judge_new(&self.rules, request, &known).map_err(Error::Invalid)?;
        match self.rules.find_domain(Some(&draft.host), &known) {
            None => {}
            Some(same) if same.host.is_none() => return Err(Error::AlwaysThere(draft.host)),
            Some(_) => return Err(Error::Exists(draft.host)),
        }
        let added = domains::add(transaction, &draft).await?;
        self.record(transaction, actor, "domain.add", (&added, told(&added))).await?;
        Ok(added)
    }

    /// All domains, the default one first.
    pub async fn list(&self) -> Result<Vec<FullDomain>, Error> {
        Ok(domains::list_full(&self.store).await?)
    }

    /// The domain with this host.
    pub async fn get(&self, host: &str) -> Result<FullDomain, Error> {
        self.find(host, domains::list_full(&self.store).await?)
    }

    /// Edits a domain. An edit that changes nothing is none.
    pub async fn edit(
        &self,
        actor: &str,
        host: &str,
        edit: &DomainEdit,
    ) -> Result<FullDomain, Error> {
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        let all = domains::all_for_change(&transaction).await?;
        let known = links_view(&all);
        let before = self.find(host, all)?;
        let wanted = judge_edit(&self.rules, &before, edit, &known).map_err(Error::Invalid)?;
        if wanted == before {
            return Ok(before);
        }
        let folds = |domain: &Domain| domain.case == LetterCase::Folded;
        if folds(&wanted.domain)
            && !folds(&before.domain)
            && let Some(slug) = domains::slug_with_capitals(&transaction, before.domain.id).await?
        {
            let detail = format!(
                "would hide slugs with capitals, such as '{slug}': delete them, or make them again \
                 in small letters, first"
            );
            let fault = Fault::new("/case_insensitive", Reason::SlugsWithCapitals, detail);
            return Err(Error::Invalid(vec![fault]));
        }
        let after = domains::update(&transaction, &wanted).await?;
        let detail = json!({ "before": told(&before), "after": told(&after) });
        self.record(&transaction, actor, "domain.edit", (&after, detail)).await?;
        transaction.commit().await.map_err(store::Error::from)?;
        Ok(after)
    }

    /// Deletes a domain to which no link belongs, and under which no campaign's codes are shared.
    pub async fn delete(&self, actor: &str, host: &str) -> Result<(), Error> {
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        let gone = self.find(host, domains::all_for_change(&transaction).await?)?;
        let host = self.host(&gone.domain);
        if gone.domain.host.is_none() {
            return Err(Error::NeverDeleted(host.to_owned()));
        }
        if let Some(campaign) = shared_under(&transaction, host).await? {
            return Err(Error::HasCampaign(host.to_owned(), campaign));
        }
        if !domains::delete(&transaction, gone.domain.id).await? {
            return Err(Error::InUse(host.to_owned()));
        }
        let detail = json!({ "before": told(&gone) });
        self.record(&transaction, actor, "domain.delete", (&gone, detail)).await?;
        Ok(transaction.commit().await.map_err(store::Error::from)?)
    }

    /// The host of a domain; that of the default domain has its port, if that is not the scheme's.
    pub fn host<'a>(&'a self, domain: &'a Domain) -> &'a str {
        domain.host.as_deref().unwrap_or(&self.rules.default_host)
    }

    /// How many characters the slugs have that are generated in a domain.
    pub fn slug_length(&self, domain: &Domain) -> u8 {
        domain.slug_length.unwrap_or_else(|| domain.case.usual_length(self.usual_slug_length))
    }

    fn find(&self, host: &str, all: Vec<FullDomain>) -> Result<FullDomain, Error> {
        let known = links_view(&all);
        let found = self.rules.find_domain(Some(host), &known).map(|domain| domain.id);
        all.into_iter()
            .find(|full| Some(full.domain.id) == found)
            .ok_or_else(|| Error::NotFound(host.chars().take(LONGEST_ECHO).collect()))
    }

    async fn record(
        &self,
        transaction: &Transaction<'_>,
        actor: &str,
        action: &'static str,
        (full, detail): (&FullDomain, serde_json::Value),
    ) -> Result<(), store::Error> {
        let subject = &format!("domain:{}", self.host(&full.domain));
        audit::record(transaction, &audit::Entry { actor, action, subject, detail }).await
    }
}

/// A campaign whose active version names this host. (Whoever activates one keeps the domains as they
/// are until that is stored.)
async fn shared_under(
    transaction: &Transaction<'_>,
    host: &str,
) -> Result<Option<CampaignId>, store::Error> {
    let all = campaigns::current(transaction, None).await?;
    let names_it = |version: &StoredVersion| {
        let document = document::parse(&version.document, version.record.format);
        version.record.state == State::Active
            && document.is_ok_and(|campaign| campaign.domain.as_deref() == Some(host))
    };
    Ok(all.into_iter().find(names_it).map(|version| version.record.campaign))
}

/// The most characters that an error repeats of a host.
const LONGEST_ECHO: usize = 253;

/// The domains, as the rules know them.
fn links_view(all: &[FullDomain]) -> Vec<Domain> {
    all.iter().map(|full| full.domain.clone()).collect()
}

/// What the audit remembers of a domain.
fn told(full: &FullDomain) -> serde_json::Value {
    json!({
        "case_insensitive": full.domain.case == LetterCase::Folded,
        "slug_length": full.domain.slug_length,
        "root_url": full.urls.root,
        "unknown_url": full.urls.unknown,
        "gone_url": full.urls.gone,
    })
}
