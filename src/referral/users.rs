//! What an app's campaign page shows of a user, and what users say about messages.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::watch;

use super::requests::judge_user;
use crate::campaign::live::Campaigns;
use crate::clock::Clock;
use crate::fault::Fault;
use crate::reward::cards::Shown;
use crate::reward::cards::service::shown;
use crate::reward::machine::Side;
use crate::store::bindings::page::{self, UserPage};
use crate::store::rewards::cards::Card;
use crate::store::rewards::consent;
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

/// All that a campaign page shows of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// What is stored, but for the cards.
    pub stored: UserPage,
    /// The user's scratch cards, the latest first.
    pub cards: Vec<UserCard>,
    /// Whether the user may be written to: what they said, or else what the campaign says.
    pub messages_allowed: bool,
}

/// A scratch card, as its owner may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserCard {
    /// Its number.
    pub id: i64,
    /// For which kind of trigger.
    pub kind: String,
    /// For which of the two of a binding.
    pub side: Side,
    /// What it is shown as.
    pub shown: Shown,
    /// When it expires, once it is there to be scratched.
    pub expires_at: Option<Timestamp>,
    /// What it has come to, in minor units; only after it was scratched.
    pub amount_minor: Option<i64>,
    /// What that is in.
    pub currency: String,
    /// When the reward was granted.
    pub created_at: Timestamp,
}

impl UserCard {
    fn new(card: Card, now: Timestamp) -> Self {
        let shown = shown(&card, now);
        Self {
            id: card.id,
            kind: card.kind,
            side: card.side,
            shown,
            expires_at: card.expires_at,
            amount_minor: card.amount_minor.filter(|_| shown.tells_amount()),
            currency: card.currency,
            created_at: card.created_at,
        }
    }
}

/// See the module.
#[derive(Debug)]
pub struct UserService {
    store: Store,
    campaigns: watch::Receiver<Arc<Campaigns>>,
    clock: Clock,
}

impl UserService {
    /// A service for these campaigns.
    pub fn new(store: Store, campaigns: watch::Receiver<Arc<Campaigns>>, clock: Clock) -> Self {
        Self { store, campaigns, clock }
    }

    /// The page of a user; an empty one for somebody who is not known.
    pub async fn page(&self, campaign: &str, user: &str) -> Result<Page, Error> {
        let campaigns = Arc::clone(&self.campaigns.borrow());
        let current = campaigns.named(campaign).ok_or(Error::NoCampaign)?;
        judge_user(user).map_err(Error::Invalid)?;
        let mut stored = page::get(&self.store, &current.id, user).await?;
        let now = Timestamp::from(self.clock.now());
        let cards = std::mem::take(&mut stored.cards);
        let by_default = current.campaign.scratch_card.reminders_by_default;
        Ok(Page {
            cards: cards.into_iter().map(|card| UserCard::new(card, now)).collect(),
            messages_allowed: stored.messages.unwrap_or(by_default),
            stored,
        })
    }

    /// Keeps whether a user wants to be written to.
    pub async fn allow_messages(
        &self,
        (campaign, user): (&str, &str),
        allowed: bool,
        actor: &str,
    ) -> Result<(), Error> {
        let campaigns = Arc::clone(&self.campaigns.borrow());
        let current = campaigns.named(campaign).ok_or(Error::NoCampaign)?;
        judge_user(user).map_err(Error::Invalid)?;
        let mut connection = self.store.connection().await?;
        Ok(consent::set(&mut connection, (&current.id, user), allowed, actor).await?)
    }
}
