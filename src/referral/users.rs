//! What an app's campaign page shows of a user.

use std::sync::Arc;

use tokio::sync::watch;

use super::requests::judge_user;
use crate::campaign::live::Campaigns;
use crate::fault::Fault;
use crate::store::bindings::page::{self, UserPage};
use crate::store::{self, Store};

/// Why there is no page.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such campaign.
    #[error("there is no campaign of this name that is or was active")]
    NoCampaign,
    /// Nobody can have this name.
    #[error("the user's name is not valid")]
    Invalid(Vec<Fault>),
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// See the module.
#[derive(Debug)]
pub struct UserService {
    store: Store,
    campaigns: watch::Receiver<Arc<Campaigns>>,
}

impl UserService {
    /// A service for these campaigns.
    pub fn new(store: Store, campaigns: watch::Receiver<Arc<Campaigns>>) -> Self {
        Self { store, campaigns }
    }

    /// The page of a user; an empty one for somebody who is not known.
    pub async fn page(&self, campaign: &str, user: &str) -> Result<UserPage, Error> {
        let campaigns = Arc::clone(&self.campaigns.borrow());
        let current = campaigns.named(campaign).ok_or(Error::NoCampaign)?;
        judge_user(user).map_err(Error::Invalid)?;
        Ok(page::get(&self.store, &current.id, user).await?)
    }
}
