//! The services of claims, bindings and triggers, put together.

use std::sync::Arc;

use tokio::sync::watch;

use super::bindings::BindingService;
use super::claims::ClaimService;
use super::keys::Keys;
use super::token::TokenKeys;
use super::triggers::TriggerService;
use super::users::UserService;
use crate::campaign::live::Campaigns;
use crate::clock::Clock;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::outbound::Outbound;
use crate::reward::granting::Granting;
use crate::reward::sweeper::Sweeper;
use crate::store::Store;

/// How much of an eligibility service's answer is read, in bytes.
pub const ANSWER_BYTES: usize = 65_536;

/// What they work with.
#[derive(Debug)]
pub struct Parts {
    /// The database.
    pub store: Store,
    /// The keys of click tokens.
    pub keys: watch::Receiver<Arc<TokenKeys>>,
    /// The campaigns as they are now.
    pub campaigns: watch::Receiver<Arc<Campaigns>>,
    /// Grants what triggers earn.
    pub granting: Arc<Granting>,
    /// Grants what was reached before a binding.
    pub sweeper: Arc<Sweeper>,
    /// Asks eligibility services; reads [`ANSWER_BYTES`] of an answer.
    pub outbound: Outbound,
    /// The secret by which devices are hashed.
    pub device_key: [u8; 32],
    /// What time it is.
    pub clock: Clock,
    /// Figures.
    pub metrics: Arc<Metrics>,
}

/// See the module.
#[derive(Debug)]
pub struct Services {
    /// Hand click tokens back.
    pub claims: ClaimService,
    /// Bind invitees to inviters.
    pub bindings: BindingService,
    /// Take what users reached.
    pub triggers: TriggerService,
    /// Show what is known of a user.
    pub users: UserService,
}

impl Services {
    /// Services under the settings `[referrals]` and `edge.public_url`.
    pub fn new(parts: Parts, config: &Config) -> Self {
        let Parts {
            store,
            keys,
            campaigns,
            granting,
            sweeper,
            outbound,
            device_key,
            clock,
            metrics,
        } = parts;
        let with = (clock.clone(), Arc::clone(&metrics));
        let keys = Keys::new(store.clone(), keys);
        Self {
            claims: ClaimService::new(keys, campaigns.clone(), config, with),
            triggers: TriggerService::new(
                store.clone(),
                campaigns.clone(),
                granting,
                clock.clone(),
                Arc::clone(&metrics),
            ),
            users: UserService::new(store.clone(), campaigns.clone(), clock.clone()),
            bindings: BindingService::new(
                (store, clock, metrics),
                (campaigns, sweeper),
                outbound,
                &device_key,
                config,
            ),
        }
    }
}
