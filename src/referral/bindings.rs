//! Bindings: an invitee is bound to an inviter, once and for ever, or it is said why not.
//!
//! # Why nothing slips through
//!
//! Everything is decided and written in one transaction, after locks that are statements of their own.
//!
//! - *One binding for each invitee, and only new users*: the lock of (campaign, invitee) is taken first.
//!   A trigger of the same user takes the same lock, so it comes before the look or after the end.
//! - *No circles*: the invitee, not being bound, stands at the top of a tree of its own. A circle closes
//!   if and only if the inviter is in that tree: if the top above the inviter *is* the invitee. That top
//!   changes only when whoever stands there is bound, and for that one needs the lock of whoever stands
//!   there. So the lock of the top is taken as well, and the way up is walked again under the locks: if it
//!   ends at the same top, it will until the end of the transaction. Otherwise all is rolled back, and
//!   tried again with the locks of the new top. (Locks of the pair alone let four bindings at the same
//!   time close a circle of four.)
//! - *Counts*: bindings under one top come one after the other, which makes the count of an inviter's
//!   invitees exact. Where a check of the device holds or blocks, its lock is taken too. Counts by network
//!   are not exact: whoever asks at the same moment is not seen. A lock would make whole providers wait.
//!
//! Locks are taken in one order everywhere, so that nobody waits in a circle.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use sha2::Sha256;
use tokio::sync::watch;

use super::attempts::Attempts;
use super::eligibility;
use super::requests::{BindingRequest, Brought, JudgedBinding};
use super::screening::{self, Decision, Eligibility, Outcome, Reason, Subject};
use crate::campaign::live::{Campaigns, Current};
use crate::campaign::{CheckKind, Version};
use crate::clicks::network::Addresses;
use crate::clock::{Clock, UnixMillis};
use crate::code::referral::ReferralCode;
use crate::config::Config;
use crate::fault::Fault;
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::reward::sweeper::Sweeper;
use crate::store::bindings::{self, NewBinding, NewDecision, StoredBinding};
use crate::store::user_locks::{self, LockKey};
use crate::store::{self, Store, Transaction};

use facts::Seen;

mod facts;

/// How often a binding is tried again when the tree above the inviter changes meanwhile.
const TRIES: u32 = 10;

/// Why nobody was bound.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such campaign.
    #[error("there is no campaign of this name that is or was active")]
    NoCampaign,
    /// Fields are wrong.
    #[error("the request is not valid")]
    Invalid(Vec<Fault>),
    /// The invitee, or the address, tried too many codes that nobody has.
    #[error("too many unknown codes were tried; the next attempt is fine in {} s", .0.as_secs() + 1)]
    TooManyAttempts(Duration),
    /// The invitee is bound to somebody else.
    #[error("the invitee is bound to another inviter, and stays so")]
    AlreadyBound,
    /// The checks say no.
    #[error("{}", .0.explain())]
    Refused(Reason),
    /// The eligibility service did not answer, and the campaign does without nobody's word.
    #[error("the eligibility service does not answer; try again in a moment")]
    TryLater,
    /// Others changed the same tree all the time.
    #[error("too many bindings around the same inviter at once; try again in a moment")]
    Busy,
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// A binding, and whether it was made just now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Bound {
    /// What is stored.
    pub binding: StoredBinding,
    /// Whether it is new.
    pub new: bool,
}

/// See the module.
pub struct BindingService {
    store: Store,
    campaigns: watch::Receiver<Arc<Campaigns>>,
    sweeper: Arc<Sweeper>,
    outbound: Outbound,
    device_key: Hmac<Sha256>,
    attempts: Attempts,
    /// How many unknown codes an invitee may try in an hour.
    unknown_codes: u32,
    clock: Clock,
    metrics: Arc<Metrics>,
}

impl std::fmt::Debug for BindingService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BindingService").finish_non_exhaustive()
    }
}

/// So many times as many unknown codes may come from one address as from one invitee.
const PHONES: u32 = 10;

/// What is asked for, judged as far as it can be without looking.
struct Ask<'a> {
    current: &'a Current,
    invitee: &'a str,
    brought: Brought,
    code: Option<ReferralCode>,
    device: Option<[u8; 16]>,
    network: Option<IpAddr>,
    now: Timestamp,
}

/// What came of one try.
enum Step {
    Done(Bound),
    Refused(Reason),
    /// The eligibility service has to be asked, or the top above the inviter has changed.
    Again,
}

impl BindingService {
    /// A service for these campaigns. `device_key` is the secret by which devices are hashed.
    pub fn new(
        (store, clock, metrics): (Store, Clock, Arc<Metrics>),
        (campaigns, sweeper): (watch::Receiver<Arc<Campaigns>>, Arc<Sweeper>),
        outbound: Outbound,
        device_key: &[u8; 32],
        config: &Config,
    ) -> Self {
        let device_key = Hmac::new_from_slice(device_key).expect("HMAC takes keys of any length");
        let most = u32::try_from(config.referrals.unknown_codes_per_hour).unwrap_or(u32::MAX);
        let attempts = Attempts::new();
        Self {
            store,
            campaigns,
            sweeper,
            outbound,
            device_key,
            attempts,
            unknown_codes: most,
            clock,
            metrics,
        }
    }

    /// Binds an invitee, or says why not.
    pub async fn bind(&self, campaign: &str, request: &BindingRequest) -> Result<Bound, Error> {
        let outcome = self.limited(campaign, request).await;
        let (label, reason) = match &outcome {
            Ok(bound) if !bound.new => ("replayed", ""),
            Ok(bound) if bound.binding.held => ("held", ""),
            Ok(_) => ("bound", ""),
            Err(Error::NoCampaign | Error::Invalid(_)) => ("invalid", ""),
            Err(Error::TooManyAttempts(_)) => ("limited", ""),
            Err(Error::AlreadyBound) => ("refused", Reason::AlreadyBound.name()),
            Err(Error::Refused(reason)) => ("refused", reason.name()),
            Err(Error::TryLater | Error::Busy) => ("try_later", ""),
            Err(Error::Store(_)) => ("error", ""),
        };
        self.metrics.referrals.bindings.with_label_values(&[label, reason]).inc();
        outcome
    }

    /// The same, unless too many unknown codes were tried.
    async fn limited(&self, campaign: &str, request: &BindingRequest) -> Result<Bound, Error> {
        let campaigns = Arc::clone(&self.campaigns.borrow());
        let current = campaigns.named(campaign).ok_or(Error::NoCampaign)?;
        let JudgedBinding { brought, address } = request.judge().map_err(Error::Invalid)?;
        let now = self.clock.now();
        let invitee = format!("invitee {} {}", current.id, request.invitee);
        // Of IPv6, the 64 bits that one customer has. Phones share addresses.
        let shared = address.and_then(|it| Addresses::Full.kept(it));
        let shared = shared.map(|address| format!("address {address}"));
        let most = self.unknown_codes;
        if let Some(wait) = self.attempts.begin(&invitee, most, now) {
            return Err(Error::TooManyAttempts(wait));
        }
        let shared_most = most.saturating_mul(PHONES);
        let wait = shared.as_ref().and_then(|who| self.attempts.begin(who, shared_most, now));
        if let Some(wait) = wait {
            self.attempts.take_back(&invitee, now);
            return Err(Error::TooManyAttempts(wait));
        }
        let ask = self.ask(current, request, (brought, address), now);
        let outcome = self.decided(ask).await;
        if !matches!(outcome, Err(Error::Refused(Reason::UnknownCode | Reason::UnknownClaim))) {
            for who in std::iter::once(&invitee).chain(&shared) {
                self.attempts.take_back(who, now);
            }
        }
        outcome
    }

    fn ask<'a>(
        &self,
        current: &'a Current,
        request: &'a BindingRequest,
        (brought, address): (Brought, Option<IpAddr>),
        now: UnixMillis,
    ) -> Ask<'a> {
        let code = match &brought {
            Brought::Code(typed) => ReferralCode::normalise(typed),
            Brought::Claim(_) => None,
        };
        Ask {
            current,
            invitee: &request.invitee,
            brought,
            code,
            device: request.device.as_deref().map(|device| self.hash(device)),
            network: address.and_then(|address| Addresses::Truncated.kept(address)),
            now: now.into(),
        }
    }

    /// What is stored of a device.
    fn hash(&self, device: &str) -> [u8; 16] {
        let mut keyed = self.device_key.clone();
        keyed.update(device.as_bytes());
        let whole: [u8; 32] = keyed.finalize().into_bytes().into();
        *whole.first_chunk().expect("32 bytes have 16")
    }

    async fn decided(&self, mut ask: Ask<'_>) -> Result<Bound, Error> {
        let mut asked = (Eligibility::NotAsked, None);
        for _ in 0..TRIES {
            let seen = self.look(&mut ask).await?;
            // Bindings are for ever: who is bound to the same inviter needs no locks to be told.
            if let Some(binding) = seen.same_binding() {
                return Ok(Bound { binding: binding.clone(), new: false });
            }
            if asked.0 == Eligibility::NotAsked && seen.existing.is_none() {
                let decision = seen.decide(&ask, &asked);
                if decision.outcome == Outcome::Ask {
                    asked = self.ask_service(&ask, &seen.subject(&ask)).await;
                }
            }
            match self.attempt(&ask, seen.root.as_deref(), &asked).await? {
                Step::Done(bound) => {
                    if bound.new {
                        self.reward(&ask).await;
                    }
                    return Ok(bound);
                }
                Step::Refused(Reason::AlreadyBound) => return Err(Error::AlreadyBound),
                Step::Refused(reason) => return Err(Error::Refused(reason)),
                Step::Again => {}
            }
        }
        Err(Error::Busy)
    }

    /// Grants what an invitee reached before being bound. If that fails, the sweeper does it within minutes.
    async fn reward(&self, ask: &Ask<'_>) {
        if let Err(error) = self.sweeper.bound(&ask.current.id, ask.invitee).await {
            tracing::warn!(%error, "what was reached before a binding is rewarded later");
        }
    }

    /// Looks without locks: what is seen may be old a moment later.
    async fn look(&self, ask: &mut Ask<'_>) -> Result<Seen, Error> {
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        let seen = Seen::gather(&transaction, ask).await?;
        if ask.device.is_none() {
            ask.device = seen.claim.as_ref().map(|claim| self.hash(&claim.install_id));
        }
        Ok(seen)
    }

    /// Asks the campaign's service. No connection to the database is held meanwhile.
    async fn ask_service(
        &self,
        ask: &Ask<'_>,
        subject: &Subject<'_>,
    ) -> (Eligibility, Option<String>) {
        let screens = ask.current.campaign.screening.iter();
        let url = screens
            .filter(|it| it.check == CheckKind::Eligibility)
            .find_map(|it| it.url.as_deref());
        let with = (&self.outbound, &*self.metrics);
        match url {
            Some(url) => eligibility::ask(with, url, &ask.current.id, subject).await,
            None => (Eligibility::NoAnswer, None),
        }
    }

    /// Decides and writes, under the locks of the invitee, of `root`, and of the device if its count has
    /// to be exact.
    async fn attempt(
        &self,
        ask: &Ask<'_>,
        root: Option<&str>,
        asked: &(Eligibility, Option<String>),
    ) -> Result<Step, Error> {
        let (campaign, id) = (&ask.current.campaign, &ask.current.id);
        let counts = [CheckKind::Device, CheckKind::DeviceVelocity];
        let exact = counts.into_iter().any(|kind| screening::is_enforced(campaign, kind));
        let device = ask.device.filter(|_| exact);
        // All bindings under one top wait for each other anyway.
        let top = LockKey::user(id, root.unwrap_or(ask.invitee));
        let _turn = self.store.turns().next(top).await?;
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        let users = [Some(ask.invitee), root].into_iter().flatten();
        let keys = users.map(|user| LockKey::user(id, user));
        let keys = keys.chain(device.map(|device| LockKey::device(id, &device)));
        user_locks::take(&transaction, keys).await?;
        let seen = Seen::gather(&transaction, ask).await?;
        if let Some(binding) = seen.same_binding() {
            return Ok(Step::Done(Bound { binding: binding.clone(), new: false }));
        }
        if seen.root.as_deref() != root {
            return Ok(Step::Again);
        }
        let decision = match &seen.existing {
            Some(_) => {
                Decision { outcome: Outcome::Refused(Reason::AlreadyBound), findings: vec![] }
            }
            None => seen.decide(ask, asked),
        };
        let step = match decision.outcome {
            Outcome::Ask => return Ok(Step::Again),
            Outcome::TryLater => return Err(Error::TryLater),
            Outcome::Refused(reason) => Step::Refused(reason),
            Outcome::Bound => Step::Done(write(&transaction, ask, &seen, false).await?),
            Outcome::Held(_) => Step::Done(write(&transaction, ask, &seen, true).await?),
        };
        record(&transaction, ask, &seen, &decision).await?;
        transaction.commit().await.map_err(store::Error::from)?;
        Ok(step)
    }
}

/// Writes the binding.
async fn write(
    transaction: &Transaction<'_>,
    ask: &Ask<'_>,
    seen: &Seen,
    held: bool,
) -> Result<Bound, Error> {
    let code = seen.code.as_ref().expect("without a code the first check refuses");
    let new = NewBinding {
        campaign: &ask.current.id,
        version: promised(ask, seen),
        invitee: ask.invitee,
        inviter: &code.user,
        code: code.code.as_str(),
        click_id: seen.claim.as_ref().map(|claim| claim.click_id),
        held,
        device: ask.device,
        network: ask.network,
        bound_at: ask.now,
    };
    Ok(Bound { binding: bindings::insert(transaction, &new).await?, new: true })
}

/// What was promised on the page that led here counts, and else what is promised now.
fn promised(ask: &Ask<'_>, seen: &Seen) -> Version {
    seen.claim.as_ref().map_or(ask.current.version, |claim| claim.version)
}

/// Keeps what was decided, and by which rules.
async fn record(
    transaction: &Transaction<'_>,
    ask: &Ask<'_>,
    seen: &Seen,
    decision: &Decision,
) -> Result<(), store::Error> {
    let (outcome, reason) = match decision.outcome {
        Outcome::Bound => ("bound", None),
        Outcome::Held(reason) => ("held", Some(reason)),
        Outcome::Refused(reason) => ("refused", Some(reason)),
        // Nothing was decided.
        Outcome::TryLater | Outcome::Ask => return Ok(()),
    };
    let checks = serde_json::to_value(&decision.findings).expect("texts and numbers");
    let found = seen.code.as_ref().map(|code| &code.code);
    let click_id = match ask.brought {
        Brought::Claim(click_id) => Some(click_id),
        Brought::Code(_) => None,
    };
    let new = NewDecision {
        campaign: &ask.current.id,
        version: ask.current.version,
        invitee: ask.invitee,
        inviter: seen.code.as_ref().map(|code| code.user.as_str()),
        code: found.or(ask.code.as_ref()).map(ReferralCode::as_str),
        click_id,
        outcome,
        reason: reason.map(Reason::name),
        checks: &checks,
        device: ask.device,
        network: ask.network,
        decided_at: ask.now,
    };
    bindings::record(transaction, &new).await
}
