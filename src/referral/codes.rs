//! Giving codes to users, and what operators do to them.
//!
//! One user has one code in a campaign, however often and by however many callers at once it is asked
//! for: the table decides. Where codes come from is the matter of `supply`.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::campaign::State;
use crate::campaign::live::{Campaigns, Current};
use crate::clock::Clock;
use crate::code::referral::ReferralCode;
use crate::config::Config;
use crate::fault::Fault;
use crate::link::LinkKey;
use crate::metrics::Metrics;
use crate::referral::names::mask_name;
use crate::resolve::announce::Announcer;
use crate::resolve::stock::Stock;
use crate::store::codes::pool::{self, Pool};
use crate::store::codes::{self, Chosen, StoredCode};
use crate::store::{self, Store, Transaction, audit};

pub mod request;
mod supply;

use request::{ChosenCode, NewCode, judge_user};
use supply::Supply;

/// The most users of one batch.
pub const LARGEST_BATCH: usize = 1_000;

/// How many codes are tried for one user. More than one is needed only when a code is in use already.
const TRIES: usize = 8;
/// After so many codes in use, one after the other, nothing at hand is trusted.
const TOO_MANY_IN_USE: usize = 2;
/// How often the pools are looked at, if nobody says before that one is low.
const WATCH: Duration = Duration::from_secs(5);

/// Why a code was not given, found or changed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The request breaks rules.
    #[error("the request is not valid")]
    Invalid(Vec<Fault>),
    /// There is no such campaign.
    #[error("there is no campaign '{0}', or it was never active")]
    UnknownCampaign(String),
    /// The campaign is over, or was retired.
    #[error("the campaign '{0}' gives no codes: {1}")]
    NotRunning(String, &'static str),
    /// Nobody has this code.
    #[error("there is no code '{0}'")]
    UnknownCode(String),
    /// Somebody has, or had, this code.
    #[error("the code {0} belongs to somebody else; choose another")]
    Taken(ReferralCode),
    /// Others change the codes of this user all the time.
    #[error("the codes of this user are being changed by others; try again")]
    Busy,
    /// No unused code was found.
    #[error("no unused code was found: raise code_length in the campaign")]
    NoCodes,
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A code that a user has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issued {
    /// The code.
    pub code: StoredCode,
    /// Whether the user had it before.
    pub known: bool,
}

/// What a [`CodeService`] works with.
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub store: Store,
    /// Codes at hand in Redis, if there is one.
    pub stock: Option<Stock>,
    /// Tells the caches.
    pub announcer: Announcer,
    /// The campaigns as they are now.
    pub campaigns: watch::Receiver<Arc<Campaigns>>,
    /// What time it is.
    pub clock: Clock,
    /// Figures.
    pub metrics: Arc<Metrics>,
}

/// See the module.
#[derive(Debug)]
pub struct CodeService {
    parts: Parts,
    supply: Supply,
    public_url: url::Url,
}

impl CodeService {
    /// A service under the settings `[referrals]` and `edge.public_url`.
    pub fn new(parts: Parts, config: &Config) -> Self {
        let (store, stock) = (parts.store.clone(), parts.stock.clone());
        let metrics = Arc::clone(&parts.metrics);
        let supply = Supply::new(store, stock, metrics, config.referrals.clone());
        Self { parts, supply, public_url: config.edge.public_url.clone() }
    }

    /// The code of a user in a campaign; the user gets one if there is none yet.
    pub async fn issue(&self, campaign: &str, request: &NewCode) -> Result<Issued, Error> {
        let campaign = self.giving(campaign)?;
        request.judge().map_err(Error::Invalid)?;
        let (store, user) = (&self.parts.store, request.user.as_str());
        if let Some(code) = codes::current(store, &campaign.id, user).await? {
            return Ok(Issued { code, known: true });
        }
        let shown_name = request.name.as_deref().and_then(mask_name);
        let length = campaign.campaign.code_length;
        for tried in 0..TRIES {
            let at_hand = self.supply.take(length).await?;
            let (code, shown_name) = (&at_hand.code, shown_name.as_deref());
            let new = codes::NewCode { code, user, shown_name };
            if let Some(code) = codes::issue(store, &campaign.id, new).await? {
                self.announce_new([&code]).await;
                return Ok(Issued { code, known: false });
            }
            if let Some(code) = codes::current(store, &campaign.id, user).await? {
                self.supply.give_back(length, [at_hand.code]);
                return Ok(Issued { code, known: true });
            }
            if tried + 1 == TOO_MANY_IN_USE {
                self.supply.clear(length, &at_hand).await;
            }
        }
        Err(Error::NoCodes)
    }

    /// The codes of many users; the answers stand in the order of the requests, and what is wrong with
    /// one leaves the others alone.
    pub async fn issue_batch(
        &self,
        campaign: &str,
        requests: &[&NewCode],
    ) -> Result<Vec<Result<Issued, Error>>, Error> {
        let campaign = self.giving(campaign)?;
        let judged: Vec<_> = requests.iter().map(|request| request.judge()).collect();
        let good = requests.iter().zip(&judged).filter(|(_, judged)| judged.is_ok());
        // Of requests for the same user, the first counts.
        let mut names: HashMap<&str, Option<String>> = HashMap::new();
        for (request, _) in good {
            let name = || request.name.as_deref().and_then(mask_name);
            names.entry(request.user.as_str()).or_insert_with(name);
        }
        let (mut have, new) = self.give(&campaign, &names).await?;
        self.announce_new(new.iter().filter_map(|user| have.get(user.as_str()))).await;
        let mut told = HashSet::new();
        let answer = |(request, judged): (&&NewCode, Result<(), Vec<Fault>>)| {
            judged.map_err(Error::Invalid)?;
            let user = request.user.as_str();
            // The first of several who ask for the same user is the one who made it.
            let known = !new.contains(user) || !told.insert(user.to_owned());
            match have.get_mut(user) {
                Some(code) => Ok(Issued { code: code.clone(), known }),
                None => Err(Error::NoCodes),
            }
        };
        Ok(requests.iter().zip(judged).map(answer).collect())
    }

    /// Gives codes to those of these users who have none. Returns the codes of all of them, and who got
    /// a new one.
    async fn give(
        &self,
        campaign: &Current,
        names: &HashMap<&str, Option<String>>,
    ) -> Result<(HashMap<String, StoredCode>, HashSet<String>), Error> {
        let (store, length) = (&self.parts.store, campaign.campaign.code_length);
        let by_user = |code: StoredCode| (code.user.clone(), code);
        let users: Vec<&str> = names.keys().copied().collect();
        let mut have: HashMap<_, _> = codes::current_of(store, &campaign.id, &users)
            .await?
            .into_iter()
            .map(by_user)
            .collect();
        let mut new = HashSet::new();
        for _ in 0..TRIES {
            let without: Vec<&str> =
                users.iter().copied().filter(|user| !have.contains_key(*user)).collect();
            if without.is_empty() {
                break;
            }
            let fresh = self.supply.take_many(length, without.len()).await?;
            let pairs: Vec<codes::NewCode<'_>> = without
                .iter()
                .zip(&fresh)
                .map(|(user, code)| {
                    let shown_name = names.get(user).and_then(Option::as_deref);
                    codes::NewCode { code, user, shown_name }
                })
                .collect();
            let given = codes::issue_many(store, &campaign.id, &pairs).await?;
            new.extend(given.iter().map(|code| code.user.clone()));
            have.extend(given.into_iter().map(by_user));
            let losers: Vec<codes::NewCode<'_>> =
                pairs.into_iter().filter(|pair| !have.contains_key(pair.user)).collect();
            if losers.is_empty() {
                break;
            }
            let users: Vec<&str> = losers.iter().map(|pair| pair.user).collect();
            let found = codes::current_of(store, &campaign.id, &users).await?;
            have.extend(found.into_iter().map(by_user));
            // Somebody else was first for these users, so their codes are unused.
            let unused = losers.iter().filter(|pair| have.contains_key(pair.user));
            self.supply.give_back(length, unused.map(|pair| pair.code.clone()));
        }
        Ok((have, new))
    }

    /// Who has a code, however it is typed.
    pub async fn find(&self, typed: &str) -> Result<StoredCode, Error> {
        let code = read(typed)?;
        let found = codes::find(&self.parts.store, &code).await?;
        found.ok_or_else(|| Error::UnknownCode(code.to_string()))
    }

    /// Gives a user a code that an operator chose. The one before goes on leading to the user.
    pub async fn choose(
        &self,
        actor: &str,
        (campaign, user): (&str, &str),
        request: &ChosenCode,
    ) -> Result<Issued, Error> {
        let campaign = self.giving(campaign)?;
        judge_user(user, "").map_err(|fault| {
            let detail = format!("the user in the path {}", fault.detail);
            Error::Invalid(vec![Fault::new("", fault.reason, detail)])
        })?;
        let code = request.judge().map_err(|fault| Error::Invalid(vec![fault]))?;
        for _ in 0..TRIES {
            let mut connection = self.parts.store.connection().await?;
            let transaction = connection.transaction().await.map_err(store::Error::from)?;
            match codes::choose(&transaction, &campaign.id, user, &code).await? {
                Chosen::AlreadySo(code) => return Ok(Issued { code, known: true }),
                Chosen::Taken => return Err(Error::Taken(code)),
                // Dropping the transaction takes everything back.
                Chosen::Raced => {}
                Chosen::Given(code, before) => {
                    let detail = json!({
                        "campaign": code.campaign,
                        "user": user,
                        "before": before,
                        "allow_bad_words": request.allow_bad_words,
                    });
                    record(&transaction, actor, "code.choose", (&code.code, detail)).await?;
                    transaction.commit().await.map_err(store::Error::from)?;
                    self.announce_new([&code]).await;
                    return Ok(Issued { code, known: false });
                }
            }
        }
        Err(Error::Busy)
    }

    /// Switches a code off, or on again. What is so already stays so.
    pub async fn set_disabled(
        &self,
        actor: &str,
        typed: &str,
        disabled: bool,
    ) -> Result<StoredCode, Error> {
        let code = read(typed)?;
        let mut connection = self.parts.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        let (code, changed) = codes::set_disabled(&transaction, &code, disabled)
            .await?
            .ok_or_else(|| Error::UnknownCode(code.to_string()))?;
        if changed {
            let action = if disabled { "code.disable" } else { "code.enable" };
            let detail = json!({ "campaign": code.campaign, "version": code.version });
            record(&transaction, actor, action, (&code.code, detail)).await?;
            transaction.commit().await.map_err(store::Error::from)?;
            self.parts.announcer.changed(&[code.key()]).await;
        }
        Ok(code)
    }

    /// How many codes wait in the pools, by length.
    pub async fn pools(&self) -> Result<Vec<Pool>, Error> {
        Ok(pool::all(&self.parts.store).await?)
    }

    /// What to share: the code's landing page under the campaign's host.
    pub fn share_url(&self, code: &StoredCode) -> String {
        let campaigns = self.parts.campaigns.borrow();
        let url = match campaigns.named(code.campaign.as_str()) {
            Some(current) => current.campaign.share_base(&self.public_url),
            None => self.public_url.clone(),
        };
        format!("{url}r/{}", code.code)
    }

    /// Keeps the pools of the running campaigns above their watermark, and the figures current; never
    /// ends. `database_up` says whether asking makes sense.
    pub async fn keep_supplied(&self, database_up: impl Fn() -> bool) {
        loop {
            if database_up() {
                let outcome = async {
                    let lengths = self.lengths();
                    self.supply.refill(&lengths).await?;
                    self.supply.show(&lengths).await
                };
                if let Err(error) = outcome.await {
                    tracing::debug!(%error, "the pools of codes stay as they are");
                }
            }
            // Either it is time, or a pool is low.
            let _either = timeout(WATCH, self.supply.low()).await;
        }
    }

    /// The lengths of the codes that may be asked for.
    fn lengths(&self) -> Vec<u8> {
        let now = self.now();
        let campaigns = self.parts.campaigns.borrow();
        let giving = campaigns.all().filter(|current| may_give(current, now).is_ok());
        let mut lengths: Vec<u8> = giving.map(|current| current.campaign.code_length).collect();
        lengths.sort_unstable();
        lengths.dedup();
        lengths
    }

    /// The campaign, if it gives codes now.
    fn giving(&self, campaign: &str) -> Result<Arc<Current>, Error> {
        let campaigns = self.parts.campaigns.borrow();
        let current =
            campaigns.named(campaign).ok_or_else(|| Error::UnknownCampaign(shown(campaign)))?;
        may_give(current, self.now())
            .map_err(|why| Error::NotRunning(current.id.to_string(), why))?;
        Ok(Arc::clone(current))
    }

    fn now(&self) -> Timestamp {
        let millis = i64::try_from(self.parts.clock.now().0).unwrap_or(i64::MAX);
        Timestamp::from_millisecond(millis).unwrap_or(Timestamp::MAX)
    }

    /// Counts codes that users got, and tells the caches: somebody may have looked for one before.
    async fn announce_new(&self, new: impl IntoIterator<Item = &StoredCode>) {
        let keys: Vec<LinkKey> = new.into_iter().map(StoredCode::key).collect();
        if !keys.is_empty() {
            self.parts.metrics.codes_issued.inc_by(u64::try_from(keys.len()).unwrap_or(u64::MAX));
            self.parts.announcer.created(&keys).await;
        }
    }
}

/// Whether codes are given in this campaign; they are before it starts, too.
fn may_give(current: &Current, now: Timestamp) -> Result<(), &'static str> {
    if current.state != State::Active {
        return Err("no version of it is active; activate one");
    }
    if now >= current.campaign.ends_at.at() {
        return Err("it is over; activate a version with a later ends_at");
    }
    Ok(())
}

/// The code that somebody typed. What cannot be a code is one that nobody has.
fn read(typed: &str) -> Result<ReferralCode, Error> {
    ReferralCode::normalise(typed).ok_or_else(|| Error::UnknownCode(shown(typed)))
}

/// As much of `text` as an answer should repeat.
fn shown(text: &str) -> String {
    text.chars().take(64).collect()
}

async fn record(
    transaction: &Transaction<'_>,
    actor: &str,
    action: &'static str,
    (code, detail): (&ReferralCode, Value),
) -> Result<(), store::Error> {
    let subject = format!("code:{code}");
    audit::record(transaction, &audit::Entry { actor, action, subject: &subject, detail }).await
}
