//! Making, finding, editing and deleting links: rules, then one transaction, then word to the caches.

use jiff::Timestamp;
use serde_json::json;
use tokio::sync::OnceCell;

use super::model::{Domain, Link};
use super::request::{LinkEdit, NewLink};
use super::rules::{LONGEST_SLUG, Rules};
use super::target::TargetRules;
use super::{LinkId, LinkKey};
use crate::clock::Clock;
use crate::code::slug::SlugGenerators;
use crate::code::{BASE62, base62, number_in_base};
use crate::config::Config;
use crate::fault::Fault;
use crate::resolve::announce::Announcer;
use crate::store::{self, Connection, Store, Transaction, audit, domains, links, secrets};

mod making;

/// Why a link was not made, found or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request breaks rules.
    #[error("the request is not valid")]
    Invalid(Vec<Fault>),
    /// There is no such domain.
    #[error("'{0}' is no domain of this service")]
    UnknownDomain(String),
    /// There is no such link.
    #[error("there is no link '{0}'")]
    NotFound(String),
    /// Another link has this slug.
    #[error("the slug '{0}' is taken")]
    SlugTaken(String),
    /// All slugs of the domain's length are used up.
    #[error(
        "no free slug was found: raise the domain's slug_length, or the setting links.slug_length"
    )]
    SlugsExhausted,
    /// A cursor that no list has given out.
    #[error("the cursor is not one that a list has given")]
    BadCursor,
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A link that was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The link.
    pub link: Link,
    /// Whether it was there before.
    pub reused: bool,
}

/// Which links to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListRequest {
    /// Only those of the domain with this host.
    pub domain: Option<String>,
    /// Only those with this text in slug, target or title.
    pub text: Option<String>,
    /// Only those with all of these tags.
    pub tags: Vec<String>,
    /// Go on after the page that gave this cursor.
    pub cursor: Option<String>,
    /// At most this many.
    pub limit: u32,
}

/// Some links, newest first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The links.
    pub links: Vec<Link>,
    /// The cursor of the next page, if there is one.
    pub next: Option<String>,
}

/// See the module.
#[derive(Debug)]
pub struct LinkService {
    store: Store,
    announcer: Announcer,
    rules: Rules,
    clock: Clock,
    slug_length: u8,
    slugs: OnceCell<SlugGenerators>,
}

impl LinkService {
    /// A service under the settings `[links]` and `edge.public_url`.
    pub fn new(store: Store, announcer: Announcer, config: &Config, clock: Clock) -> Self {
        let (rules, slug_length) = (rules(config), config.links.slug_length);
        Self { store, announcer, rules, clock, slug_length, slugs: OnceCell::new() }
    }

    /// The time that links are judged by.
    pub fn clock(&self) -> &Clock {
        &self.clock
    }

    /// A connection for a transaction that makes links. What making needs besides is at hand then:
    /// within the transaction no second connection is asked for.
    pub async fn connection(&self) -> Result<Connection, Error> {
        self.slugs().await?;
        Ok(self.store.connection().await?)
    }

    /// Makes a link in a transaction of its own.
    pub async fn create(&self, actor: &str, request: &NewLink) -> Result<Made, Error> {
        let mut connection = self.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        let made = self.create_within(&transaction, actor, request).await?;
        transaction.commit().await.map_err(store::Error::from)?;
        self.announce_made([&made]).await;
        Ok(made)
    }

    /// Makes a link. Once the transaction is committed, call [`LinkService::announce_made`].
    pub async fn create_within(
        &self,
        transaction: &Transaction<'_>,
        actor: &str,
        request: &NewLink,
    ) -> Result<Made, Error> {
        let domains = domains::all(transaction).await?;
        let draft = self.rules.judge_new(request, &domains, self.now()).map_err(Error::Invalid)?;
        let slugs = self.slugs().await?;
        let mut made = making::make(transaction, slugs, actor, &[&draft]).await?;
        let made = made.pop().unwrap_or(Err(Error::SlugsExhausted))?;
        if !made.reused {
            let subject = format!("link:{}", made.link.key());
            let detail = json!({ "target": made.link.behaviour.target });
            record(transaction, actor, "link.create", (&subject, detail)).await?;
        }
        Ok(made)
    }

    /// Makes many links; what is wrong with one leaves the others alone. The answers stand in the
    /// order of the requests. Once the transaction is committed, call
    /// [`LinkService::announce_made`].
    pub async fn create_batch_within(
        &self,
        transaction: &Transaction<'_>,
        actor: &str,
        requests: &[&NewLink],
    ) -> Result<Vec<Result<Made, Error>>, Error> {
        let domains = domains::all(transaction).await?;
        let now = self.now();
        let judged: Vec<_> =
            requests.iter().map(|request| self.rules.judge_new(request, &domains, now)).collect();
        let drafts: Vec<_> = judged.iter().filter_map(|draft| draft.as_ref().ok()).collect();
        let slugs = self.slugs().await?;
        let mut made = making::make(transaction, slugs, actor, &drafts).await?.into_iter();
        let answers: Vec<_> = judged
            .into_iter()
            .map(|draft| match draft {
                Err(faults) => Err(Error::Invalid(faults)),
                Ok(_) => made.next().unwrap_or(Err(Error::SlugsExhausted)),
            })
            .collect();
        let keys: Vec<LinkKey> = new_keys(answers.iter().flatten());
        if !keys.is_empty() {
            let keys: Vec<&str> = keys.iter().map(LinkKey::as_str).collect();
            let detail = json!({ "count": keys.len(), "links": keys });
            record(transaction, actor, "link.create_batch", ("links", detail)).await?;
        }
        Ok(answers)
    }

    /// Tells the caches about links that were made.
    pub async fn announce_made(&self, made: impl IntoIterator<Item = &Made>) {
        let keys = new_keys(made);
        if !keys.is_empty() {
            self.announcer.created(&keys).await;
        }
    }

    /// The link with this slug in the domain with this host; `None` is the default domain.
    pub async fn get(&self, host: Option<&str>, slug: &str) -> Result<Link, Error> {
        let domains = domains::list(&self.store).await?;
        let domain = self.domain(host, &domains)?;
        let found = links::find(&self.store, domain.id, &stored(domain, slug)?).await?;
        found.ok_or_else(|| Error::NotFound(slug.to_owned()))
    }

    /// Edits a link. An edit that changes nothing leaves the version as it is.
    pub async fn edit(
        &self,
        actor: &str,
        host: Option<&str>,
        slug: &str,
        edit: &LinkEdit,
    ) -> Result<Link, Error> {
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        let domains = domains::all(&transaction).await?;
        let domain = self.domain(host, &domains)?;
        let before = links::find_for_change(&transaction, domain.id, &stored(domain, slug)?)
            .await?
            .ok_or_else(|| Error::NotFound(slug.to_owned()))?;
        let wanted =
            self.rules.judge_edit(&before, edit, &domains, self.now()).map_err(Error::Invalid)?;
        if wanted == before {
            return Ok(before);
        }
        let after = links::update(&transaction, &wanted).await?;
        let detail = json!({ "before": told(&before), "after": told(&after) });
        let subject = format!("link:{}", after.key());
        record(&transaction, actor, "link.edit", (&subject, detail)).await?;
        transaction.commit().await.map_err(store::Error::from)?;
        self.announcer.changed(&[after.key()]).await;
        Ok(after)
    }

    /// Deletes a link.
    pub async fn delete(&self, actor: &str, host: Option<&str>, slug: &str) -> Result<(), Error> {
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        let domains = domains::all(&transaction).await?;
        let domain = self.domain(host, &domains)?;
        let gone = links::delete(&transaction, domain.id, &stored(domain, slug)?)
            .await?
            .ok_or_else(|| Error::NotFound(slug.to_owned()))?;
        let subject = format!("link:{}", gone.key());
        let detail = json!({ "before": told(&gone) });
        record(&transaction, actor, "link.delete", (&subject, detail)).await?;
        transaction.commit().await.map_err(store::Error::from)?;
        self.announcer.changed(&[gone.key()]).await;
        Ok(())
    }

    /// Lists links, newest first.
    pub async fn list(&self, request: &ListRequest) -> Result<Page, Error> {
        let domain = match &request.domain {
            None => None,
            Some(host) => Some(self.domain(Some(host), &domains::list(&self.store).await?)?.id),
        };
        let before = match &request.cursor {
            None => None,
            Some(cursor) => Some(read_cursor(cursor).ok_or(Error::BadCursor)?),
        };
        let filter = links::Filter {
            domain,
            text: request.text.clone().filter(|text| !text.is_empty()),
            tags: request.tags.clone(),
            before,
        };
        // One more than asked for tells whether there is another page.
        let mut links = links::list(&self.store, &filter, request.limit.saturating_add(1)).await?;
        let limit = usize::try_from(request.limit).unwrap_or(usize::MAX);
        let more = links.len() > limit;
        links.truncate(limit);
        let next = links.last().filter(|_| more).map(|last| cursor_after(last.id));
        Ok(Page { links, next })
    }

    fn domain<'a>(&self, host: Option<&str>, domains: &'a [Domain]) -> Result<&'a Domain, Error> {
        self.rules
            .find_domain(host, domains)
            .ok_or_else(|| Error::UnknownDomain(host.unwrap_or_default().to_owned()))
    }

    fn now(&self) -> Timestamp {
        let millis = i64::try_from(self.clock.now().0).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
    }

    /// The generators, made with the deployment's key when they are first needed.
    async fn slugs(&self) -> Result<&SlugGenerators, Error> {
        let make = async || -> Result<_, store::Error> {
            let name = secrets::SLUG_PERMUTATION;
            let key = secrets::get_or_make(&self.store, name, &rand::random()).await?;
            Ok(SlugGenerators::new(&key, self.slug_length))
        };
        Ok(self.slugs.get_or_try_init(make).await?)
    }
}

/// The rules of the settings `[links]` and `edge.public_url`.
pub(crate) fn rules(config: &Config) -> Rules {
    let (links, public_url) = (&config.links, &config.edge.public_url);
    let (allowed, blocked) = (&links.allowed_hosts, &links.blocked_hosts);
    let targets = TargetRules::new(&links.schemes, allowed, blocked, public_url);
    Rules::new(links.slashes, targets, public_url, config.clicks.country_file.is_some())
}

/// A slug as it would be stored. What could not be stored cannot be found either.
fn stored(domain: &Domain, slug: &str) -> Result<String, Error> {
    if slug.len() > LONGEST_SLUG || !slug.is_ascii() || slug.contains(|c: char| c.is_control()) {
        return Err(Error::NotFound(slug.chars().take(LONGEST_SLUG).collect()));
    }
    Ok(domain.fold(slug))
}

fn new_keys<'a>(made: impl IntoIterator<Item = &'a Made>) -> Vec<LinkKey> {
    made.into_iter().filter(|made| !made.reused).map(|made| made.link.key()).collect()
}

async fn record(
    transaction: &Transaction<'_>,
    actor: &str,
    action: &'static str,
    (subject, detail): (&str, serde_json::Value),
) -> Result<(), store::Error> {
    audit::record(transaction, &audit::Entry { actor, action, subject, detail }).await
}

/// What the audit remembers of a link.
fn told(link: &Link) -> serde_json::Value {
    let it = &link.behaviour;
    json!({
        "version": link.version,
        "target": it.target,
        "status": it.status.code(),
        "cache_seconds": it.cache_seconds,
        "valid_from": it.valid_from,
        "expires_at": it.expires_at,
        "forward_query": it.forward_query,
        "fallback": it.fallback,
        "max_clicks": it.max_clicks,
        "rules": it.rules,
        "disabled": link.disabled,
        "title": link.labels.title,
        "description": link.labels.description,
        "image": link.labels.image,
        "tags": link.labels.tags,
    })
}

fn cursor_after(link: LinkId) -> String {
    base62(&link.0.to_be_bytes(), 11)
}

fn read_cursor(cursor: &str) -> Option<LinkId> {
    let id = i64::try_from(number_in_base(BASE62, cursor)?).ok().map(LinkId)?;
    (cursor_after(id) == cursor).then_some(id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back_and_nothing_else_does() {
        for id in [0, 1, 61, 62, i64::MAX] {
            assert_eq!(read_cursor(&cursor_after(LinkId(id))), Some(LinkId(id)));
        }
        for other in ["", "1", "zzzzzzzzzzz", "000000000-1", "0000000000001"] {
            assert_eq!(read_cursor(other), None, "{other}");
        }
    }
}
