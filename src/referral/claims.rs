//! Claims: an installed app hands a click token back, once. The first installation has it for ever.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use super::keys::Keys;
use super::requests::{ClaimRequest, JudgedClaim};
use super::token::{ClickToken, TokenFault, from_referrer, is_missing};
use crate::campaign::live::Campaigns;
use crate::clock::Clock;
use crate::config::Config;
use crate::fault::{Fault, Reason};
use crate::link::DomainId;
use crate::link::rules::Rules;
use crate::link::service;
use crate::metrics::Metrics;
use crate::store::claims::{self, NewClaim, StoredClaim};
use crate::store::{self, Store, domains};

/// Why there is no claim.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Fields are wrong.
    #[error("the request is not valid")]
    Invalid(Vec<Fault>),
    /// The token does not count.
    #[error("{0}")]
    Token(TokenFault),
    /// The token was made for links of another domain.
    #[error(
        "the token comes from a link of '{minted}', and the claim is for '{claimed}': send \
         'domain' with the host whose links the app opens"
    )]
    AnotherDomain {
        /// The host of the token.
        minted: String,
        /// The host of the claim.
        claimed: String,
    },
    /// Another installation was first.
    #[error(
        "another installation has claimed this click; ask the person for the code, or to open the \
         link again"
    )]
    AnotherInstall,
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A claim, and whether it was made just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claimed {
    /// What is stored.
    pub claim: StoredClaim,
    /// Where in the app it leads.
    pub deep_link_path: String,
    /// Whether it is new.
    pub new: bool,
}

/// See the module.
#[derive(Debug)]
pub struct ClaimService {
    store: Store,
    keys: Keys,
    campaigns: watch::Receiver<Arc<Campaigns>>,
    rules: Rules,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl ClaimService {
    /// A service that reads tokens by these keys.
    pub fn new(
        keys: Keys,
        campaigns: watch::Receiver<Arc<Campaigns>>,
        config: &Config,
        (clock, metrics): (Clock, Arc<Metrics>),
    ) -> Self {
        let rules = service::rules(config);
        Self { store: keys.store().clone(), keys, campaigns, rules, clock, metrics }
    }

    /// Claims the click of a token.
    pub async fn claim(&self, request: &ClaimRequest) -> Result<Claimed, Error> {
        let outcome = self.try_claim(request).await;
        let label = match &outcome {
            Ok(claimed) if claimed.new => "claimed",
            Ok(_) => "replayed",
            Err(Error::Invalid(_)) => "invalid",
            Err(Error::Token(TokenFault::Missing)) => "missing",
            Err(Error::Token(TokenFault::Malformed)) => "malformed",
            Err(Error::Token(TokenFault::UnknownKey(_) | TokenFault::Forged)) => "forged",
            Err(Error::Token(TokenFault::Expired)) => "expired",
            Err(Error::Token(TokenFault::FromTheFuture)) => "from_the_future",
            Err(Error::AnotherDomain { .. }) => "another_domain",
            Err(Error::AnotherInstall) => "another_install",
            Err(Error::Store(_)) => "error",
        };
        self.metrics.referrals.claims.with_label_values(&[label]).inc();
        outcome
    }

    async fn try_claim(&self, request: &ClaimRequest) -> Result<Claimed, Error> {
        let judged = request.judge().map_err(Error::Invalid)?;
        let now = self.clock.now();
        if is_missing(&request.token) {
            return Err(Error::Token(TokenFault::Missing));
        }
        let text = from_referrer(&request.token);
        let token = self.keys.read_token(&text, now).await?.map_err(Error::Token)?;
        self.check_domain(&token, request.domain.as_deref()).await?;
        let campaigns = Arc::clone(&self.campaigns.borrow());
        let current = campaigns.numbered(token.campaign).ok_or_else(|| {
            // Each process reads the campaigns again within a second of a change.
            store::Error::Unavailable("the token's campaign is not known here yet".to_owned())
        })?;
        let JudgedClaim { source, store_opened_at, install_began_at } = judged;
        let new = NewClaim {
            click_id: token.click_id,
            campaign: &current.id,
            version: token.version,
            code: &token.code,
            domain: token.domain,
            clicked_at: timestamp(token.clicked_at_seconds),
            install_id: &request.install_id,
            source: source.name(),
            store_opened_at,
            install_began_at,
            claimed_at: now.into(),
        };
        let (claim, is_new) = claims::put(&self.store, &new).await?;
        if claim.install_id != request.install_id {
            return Err(Error::AnotherInstall);
        }
        let path = current.campaign.deep_link_path.replace("{code}", claim.code.as_str());
        Ok(Claimed { claim, deep_link_path: path, new: is_new })
    }

    /// Fails unless the token was minted under the domain that the app belongs to.
    async fn check_domain(&self, token: &ClickToken, host: Option<&str>) -> Result<(), Error> {
        if host.is_none() && token.domain == DomainId::DEFAULT {
            return Ok(());
        }
        let known = domains::list(&self.store).await?;
        let Some(claimed) = self.rules.find_domain(host, &known) else {
            let detail = "is no domain of this service; GET /v1/domains lists those that are";
            return Err(Error::Invalid(vec![Fault::new("/domain", Reason::UnknownDomain, detail)]));
        };
        if claimed.id == token.domain {
            return Ok(());
        }
        let name = |host: Option<&String>| host.unwrap_or(&self.rules.default_host).clone();
        let minted = known.iter().find(|domain| domain.id == token.domain);
        Err(Error::AnotherDomain {
            // A domain that was deleted meanwhile has no name any more.
            minted: minted.map_or_else(|| "?".to_owned(), |domain| name(domain.host.as_ref())),
            claimed: name(claimed.host.as_ref()),
        })
    }
}

/// A moment in whole seconds; a signed token has none that does not fit.
fn timestamp(seconds: u64) -> Timestamp {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).unwrap_or(Timestamp::MAX)
}
