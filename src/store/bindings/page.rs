//! What an app's campaign page shows of a user.

use super::{StoredBinding, read};
use crate::campaign::CampaignId;
use crate::store::codes::{StoredCode, code_of};
use crate::store::rewards::cards::{self, Card};
use crate::store::rewards::consent;
use crate::store::{Error, Store};

/// One code of a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserCode {
    /// The code.
    pub code: StoredCode,
    /// How often people opened it.
    pub opened: i64,
}

/// How many invitees a user has, and how far they came.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Invited {
    /// Bound, and nothing stands against it.
    pub bound: i64,
    /// Bound, and people look at it.
    pub held: i64,
    /// How many of both reached each kind of trigger.
    pub reached: Vec<(String, i64)>,
}

/// All that is known of a user in a campaign.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct UserPage {
    /// All codes, the current one first, then the latest.
    pub codes: Vec<UserCode>,
    /// Whom the user was invited by.
    pub bound: Option<StoredBinding>,
    /// Whom the user invited.
    pub invited: Invited,
    /// The user's scratch cards, the latest first.
    pub cards: Vec<Card>,
    /// What the user said about messages, if anything.
    pub messages: Option<bool>,
}

/// The most codes that a page shows: operators give somebody another one now and then.
const MOST_CODES: i64 = 100;
/// The most cards.
const MOST_CARDS: i64 = 100;

/// The page of a user; an empty one for somebody who is not known.
pub async fn get(store: &Store, campaign: &CampaignId, user: &str) -> Result<UserPage, Error> {
    let mut connection = store.connection().await?;
    let transaction = connection.transaction().await?;
    let codes = transaction
        .query(
            "SELECT c.*, coalesce(k.people, 0) AS opened
             FROM referral_code c LEFT JOIN link_clicks k ON k.link_id = c.id
             WHERE c.campaign_id = $1 /* campaign */ AND c.user_id = $2 /* user */
             ORDER BY c.current DESC, c.created_at DESC LIMIT $3 /* most */ /* codes_of_user */",
            &[&campaign.as_str(), &user, &MOST_CODES],
        )
        .await?;
    let counts = transaction
        .query_one(
            "SELECT count(*) FILTER (WHERE state = 'bound'), count(*) FILTER (WHERE state = 'held')
             FROM binding
             WHERE campaign_id = $1 /* campaign */ AND inviter = $2 /* user, count_invitees */",
            &[&campaign.as_str(), &user],
        )
        .await?;
    let reached = transaction
        .query(
            "SELECT t.kind, count(DISTINCT t.user_id) FROM binding b
             JOIN trigger_event t ON t.campaign_id = b.campaign_id AND t.user_id = b.invitee
             WHERE b.campaign_id = $1 /* campaign */ AND b.inviter = $2 /* user */
             GROUP BY t.kind ORDER BY t.kind /* count_reached */",
            &[&campaign.as_str(), &user],
        )
        .await?;
    let bound = transaction
        .query_opt(
            "SELECT b.*, c.shown_name FROM binding b JOIN referral_code c ON c.code = b.code
             WHERE b.campaign_id = $1 /* campaign */ AND b.invitee = $2 /* user, binding_of_user */",
            &[&campaign.as_str(), &user],
        )
        .await?;
    let cards = cards::of_user(&transaction, campaign, user, MOST_CARDS).await?;
    let messages = consent::allowed(&transaction, campaign, user).await?;
    let codes = codes
        .iter()
        .map(|row| Ok(UserCode { code: code_of(row)?, opened: row.try_get("opened")? }));
    let reached = reached.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    Ok(UserPage {
        codes: codes.collect::<Result<_, Error>>()?,
        bound: bound.as_ref().map(read).transpose()?,
        invited: Invited {
            bound: counts.try_get(0)?,
            held: counts.try_get(1)?,
            reached: reached.collect::<Result<_, Error>>()?,
        },
        cards,
        messages,
    })
}
