//! Scratching a card.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::Notify;

use super::Shown;
use crate::campaign::CampaignId;
use crate::clock::Clock;
use crate::metrics::Metrics;
use crate::reward::machine::{Event, State, StepKind};
use crate::reward::operation::{OperationIds, RewardKey};
use crate::store::rewards::cards::{self, Card};
use crate::store::{self, Store};

/// Why a card was not scratched.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no such card, or not of this user.
    #[error("this user has no such card")]
    NoCard,
    /// It was not scratched in time.
    #[error("the card was not scratched in time, and has expired")]
    Expired,
    /// It is not there to be scratched: not yet, or not any more.
    #[error("{}", explain(*.0))]
    NotReady(Shown),
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

fn explain(shown: Shown) -> &'static str {
    match shown {
        Shown::Preparing => "the card is not ready to be scratched yet; ask again later",
        Shown::NoPrize => "the draw gave nothing: there is nothing to scratch",
        Shown::Withdrawn => "the card was taken back",
        Shown::Hidden | Shown::Revealed | Shown::Paid | Shown::Expired => {
            "the card is in another state meanwhile; ask again"
        }
    }
}

/// A card that was scratched, now or before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revealed {
    /// Its number.
    pub id: i64,
    /// In which campaign.
    pub campaign: CampaignId,
    /// What it has come to, in minor units.
    pub amount_minor: i64,
    /// What that is in.
    pub currency: String,
    /// What it is shown as.
    pub shown: Shown,
}

/// See the module.
#[derive(Debug)]
pub struct CardService {
    store: Store,
    operations: OperationIds,
    wake: Arc<Notify>,
    clock: Clock,
    metrics: Arc<Metrics>,
}

/// How often a card is looked at again that went on while it was to be scratched: each move is one that
/// leads nearer to the end.
const LOOKS: u32 = 4;

impl CardService {
    /// A service on this database, whose operations have these ids. `wake` tells the engine that there is work.
    pub fn new(
        store: Store,
        (operations, wake): (OperationIds, Arc<Notify>),
        (clock, metrics): (Clock, Arc<Metrics>),
    ) -> Self {
        Self { store, operations, wake, clock, metrics }
    }

    /// Scratches a card of a user. What was scratched before is answered again; its payout is made once.
    pub async fn reveal(&self, id: i64, user: &str, actor: &str) -> Result<Revealed, Error> {
        for _ in 0..LOOKS {
            let card = cards::find(&self.store, id).await?;
            let card = card.filter(|card| card.beneficiary == user).ok_or(Error::NoCard)?;
            let now = Timestamp::from(self.clock.now());
            match shown(&card, now) {
                Shown::Hidden => {
                    let payout = self.payout(&card)?;
                    if cards::reveal(&self.store, (id, now), actor, &payout).await? {
                        let event = Event::Reveal.name();
                        self.metrics.rewards.moves.with_label_values(&[event]).inc();
                        self.wake.notify_one();
                    }
                    // Looked at again, whoever scratched it.
                }
                told @ (Shown::Revealed | Shown::Paid) => return revealed(card, told),
                Shown::Expired => return Err(Error::Expired),
                other @ (Shown::Preparing | Shown::NoPrize | Shown::Withdrawn) => {
                    return Err(Error::NotReady(other));
                }
            }
        }
        Err(Error::NotReady(Shown::Hidden))
    }

    /// The payout of a card: its id, and the bytes of the request, the same each time.
    fn payout(&self, card: &Card) -> Result<(String, Vec<u8>), store::Error> {
        let key = RewardKey {
            campaign: &card.campaign,
            invitee: &card.invitee,
            kind: &card.kind,
            side: card.side,
        };
        let money = (card.currency.as_str(), amount(card)?);
        Ok(self.operations.operation(&key, StepKind::Pay, &card.beneficiary, money))
    }
}

/// What a card is shown as at this moment: one whose time is over has expired, even if that is not booked yet.
pub fn shown(card: &Card, now: Timestamp) -> Shown {
    let is_over = card.state == State::New && card.expires_at.is_some_and(|end| end <= now);
    if is_over { Shown::Expired } else { Shown::of(card.state, card.parked_in) }
}

fn revealed(card: Card, shown: Shown) -> Result<Revealed, Error> {
    let amount_minor = amount(&card)?;
    let Card { id, campaign, currency, .. } = card;
    Ok(Revealed { id, campaign, amount_minor, currency, shown })
}

fn amount(card: &Card) -> Result<i64, store::Error> {
    let missing = || store::Error::Corrupt("reward", format!("no amount of {}", card.id));
    card.amount_minor.ok_or_else(missing)
}
