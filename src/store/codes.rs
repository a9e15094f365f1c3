//! Referral codes: who has which, and what an operator does to them. The codes that wait for a user
//! stand apart, in [`pool`].

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{Error, Store, Transaction, redirects};
use crate::campaign::CampaignId;
use crate::code::referral::ReferralCode;
use crate::link::LinkKey;
use crate::referral::landing;

pub mod pool;

/// A code that somebody has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredCode {
    /// The code.
    pub code: ReferralCode,
    /// In which campaign.
    pub campaign: CampaignId,
    /// Whose it is, by the name that the app's backend has for them.
    pub user: String,
    /// What a landing page shows of the user's name.
    pub shown_name: Option<String>,
    /// Whether an operator chose it.
    pub vanity: bool,
    /// Whether it is the one that the user is told. Earlier ones lead to the user as well.
    pub current: bool,
    /// Whether it is switched off.
    pub disabled: bool,
    /// Grows with every change that its landing page shows.
    pub version: i64,
    /// When it was given to the user.
    pub created_at: Timestamp,
}

impl StoredCode {
    /// Names the code wherever links and codes are cached.
    pub fn key(&self) -> LinkKey {
        landing::key(self.code.as_str())
    }
}

/// A code on its way to a user.
#[derive(Clone, Copy, Debug)]
pub struct NewCode<'a> {
    /// The code.
    pub code: &'a ReferralCode,
    /// Who gets it.
    pub user: &'a str,
    /// What is shown of the user's name.
    pub shown_name: Option<&'a str>,
}

/// Gives a user a code, unless the user has one or somebody else has the code: then `None`.
pub async fn issue(
    store: &Store,
    campaign: &CampaignId,
    new: NewCode<'_>,
) -> Result<Option<StoredCode>, Error> {
    let connection = store.connection().await?;
    let statement = connection
        .prepare_cached(
            "INSERT INTO referral_code (code, campaign_id, user_id, shown_name)
             VALUES ($1 /* code */, $2 /* campaign */, $3 /* user */, $4 /* shown_name */)
             ON CONFLICT DO NOTHING
             RETURNING * /* issue_code */",
        )
        .await?;
    let (code, campaign) = (new.code.as_str(), campaign.as_str());
    let row =
        connection.query_opt(&statement, &[&code, &campaign, &new.user, &new.shown_name]).await?;
    row.as_ref().map(code_of).transpose()
}

/// The same for many users at once, in one transaction; returns those codes that were given.
pub async fn issue_many(
    store: &Store,
    campaign: &CampaignId,
    new: &[NewCode<'_>],
) -> Result<Vec<StoredCode>, Error> {
    // All transactions take the users in one order, so that no two wait for each other.
    let mut new = new.to_vec();
    new.sort_unstable_by_key(|it| it.user);
    let codes: Vec<&str> = new.iter().map(|it| it.code.as_str()).collect();
    let users: Vec<&str> = new.iter().map(|it| it.user).collect();
    let names: Vec<Option<&str>> = new.iter().map(|it| it.shown_name).collect();
    let connection = store.connection().await?;
    let rows = connection
        .query(
            "INSERT INTO referral_code (code, campaign_id, user_id, shown_name)
             SELECT given.code, $1 /* campaign */, given.user_id, given.shown_name
             FROM unnest($2::text[] /* codes */, $3::text[] /* users */, $4::text[] /* names */)
                 AS given (code, user_id, shown_name)
             ON CONFLICT DO NOTHING
             RETURNING * /* issue_codes */",
            &[&campaign.as_str(), &codes, &users, &names],
        )
        .await?;
    rows.iter().map(code_of).collect()
}

/// The code that a user is told.
pub async fn current(
    store: &Store,
    campaign: &CampaignId,
    user: &str,
) -> Result<Option<StoredCode>, Error> {
    let connection = store.connection().await?;
    let statement = connection
        .prepare_cached(
            "SELECT * FROM referral_code
             WHERE campaign_id = $1 /* campaign */ AND user_id = $2 /* user */ AND current
             /* current_code */",
        )
        .await?;
    let row = connection.query_opt(&statement, &[&campaign.as_str(), &user]).await?;
    row.as_ref().map(code_of).transpose()
}

/// The codes that these users are told, as far as they have one, in no order.
pub async fn current_of(
    store: &Store,
    campaign: &CampaignId,
    users: &[&str],
) -> Result<Vec<StoredCode>, Error> {
    let connection = store.connection().await?;
    let rows = connection
        .query(
            "SELECT * FROM referral_code
             WHERE campaign_id = $1 /* campaign */ AND user_id = ANY($2::text[] /* users */)
               AND current /* current_codes */",
            &[&campaign.as_str(), &users],
        )
        .await?;
    rows.iter().map(code_of).collect()
}

/// Who has a code, and in which campaign.
pub async fn find(store: &Store, code: &ReferralCode) -> Result<Option<StoredCode>, Error> {
    let connection = store.connection().await?;
    let statement = connection
        .prepare_cached("SELECT * FROM referral_code WHERE code = $1 /* find_code */")
        .await?;
    let row = connection.query_opt(&statement, &[&code.as_str()]).await?;
    row.as_ref().map(code_of).transpose()
}

/// Who has a code, and in which campaign, as a transaction sees it.
pub async fn find_within(
    transaction: &Transaction<'_>,
    code: &ReferralCode,
) -> Result<Option<StoredCode>, Error> {
    let row = transaction
        .query_opt(
            "SELECT * FROM referral_code WHERE code = $1 /* code, find_code_within */",
            &[&code.as_str()],
        )
        .await?;
    row.as_ref().map(code_of).transpose()
}

/// What became of a code that an operator chose for a user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Chosen {
    /// The user has it now, and had the other one before.
    Given(StoredCode, Option<ReferralCode>),
    /// The user had it already.
    AlreadySo(StoredCode),
    /// Somebody else has it, or had it.
    Taken,
    /// Somebody did something to the user's codes meanwhile: begin again.
    Raced,
}

/// Gives a user a code that an operator chose. The code before leads to the user as well, as before.
pub async fn choose(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    user: &str,
    code: &ReferralCode,
) -> Result<Chosen, Error> {
    // One after the other in a campaign: of two who want each other's codes neither waits for the other.
    // (Giving codes out of the pool does not wait for this.)
    transaction
        .query_opt(
            "SELECT 1 FROM campaign WHERE id = $1 /* campaign */ FOR NO KEY UPDATE
             /* lock_chosen_codes */",
            &[&campaign.as_str()],
        )
        .await?;
    let known = find_for_change(transaction, code).await?;
    if let Some(known) = &known {
        if known.campaign != *campaign || known.user != user {
            return Ok(Chosen::Taken);
        }
        if known.current {
            return Ok(Chosen::AlreadySo(known.clone()));
        }
    }
    let before = set_aside(transaction, campaign, user).await?;
    let now = if known.is_some() {
        bring_back(transaction, code).await?
    } else {
        let name = before.as_ref().and_then(|before| before.shown_name.as_deref());
        insert_chosen(transaction, campaign, NewCode { code, user, shown_name: name }).await?
    };
    Ok(match now {
        Some(now) => Chosen::Given(now, before.map(|before| before.code)),
        None => Chosen::Raced,
    })
}

/// The code as it is, kept from others' changes until the transaction ends.
async fn find_for_change(
    transaction: &Transaction<'_>,
    code: &ReferralCode,
) -> Result<Option<StoredCode>, Error> {
    let row = transaction
        .query_opt(
            "SELECT * FROM referral_code WHERE code = $1 /* code */ FOR UPDATE
             /* find_code_for_change */",
            &[&code.as_str()],
        )
        .await?;
    row.as_ref().map(code_of).transpose()
}

/// Makes the code that a user is told an earlier one, if there is one.
async fn set_aside(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    user: &str,
) -> Result<Option<StoredCode>, Error> {
    let row = transaction
        .query_opt(
            "UPDATE referral_code SET current = false
             WHERE campaign_id = $1 /* campaign */ AND user_id = $2 /* user */ AND current
             RETURNING * /* set_code_aside */",
            &[&campaign.as_str(), &user],
        )
        .await?;
    row.as_ref().map(code_of).transpose()
}

/// Makes an earlier code of a user the one that the user is told.
async fn bring_back(
    transaction: &Transaction<'_>,
    code: &ReferralCode,
) -> Result<Option<StoredCode>, Error> {
    let brought = transaction
        .query_opt(
            "UPDATE referral_code AS it SET current = true
             WHERE code = $1 /* code */ AND NOT EXISTS (
                 SELECT 1 FROM referral_code AS other
                 WHERE other.campaign_id = it.campaign_id AND other.user_id = it.user_id
                   AND other.current)
             RETURNING * /* bring_code_back */",
            &[&code.as_str()],
        )
        .await?;
    brought.as_ref().map(code_of).transpose()
}

async fn insert_chosen(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    new: NewCode<'_>,
) -> Result<Option<StoredCode>, Error> {
    let row = transaction
        .query_opt(
            "INSERT INTO referral_code (code, campaign_id, user_id, shown_name, vanity)
             VALUES ($1 /* code */, $2 /* campaign */, $3 /* user */, $4 /* shown_name */, true)
             ON CONFLICT DO NOTHING
             RETURNING * /* insert_chosen_code */",
            &[&new.code.as_str(), &campaign.as_str(), &new.user, &new.shown_name],
        )
        .await?;
    row.as_ref().map(code_of).transpose()
}

/// Switches a code off or on. Returns it, and whether that changed anything; `None` if nobody has it. A
/// change is left in the outbox for the caches.
pub async fn set_disabled(
    transaction: &Transaction<'_>,
    code: &ReferralCode,
    disabled: bool,
) -> Result<Option<(StoredCode, bool)>, Error> {
    let Some(before) = find_for_change(transaction, code).await? else { return Ok(None) };
    if before.disabled == disabled {
        return Ok(Some((before, false)));
    }
    let row = transaction
        .query_one(
            "UPDATE referral_code
             SET disabled = $2 /* disabled */, version = nextval('link_version')
             WHERE code = $1 /* code */
             RETURNING * /* set_code_disabled */",
            &[&code.as_str(), &disabled],
        )
        .await?;
    let after = code_of(&row)?;
    redirects::queue_change(transaction, &after.key(), after.version).await?;
    Ok(Some((after, true)))
}

pub(super) fn code_of(row: &Row) -> Result<StoredCode, Error> {
    let campaign: String = row.try_get("campaign_id")?;
    Ok(StoredCode {
        code: read_code(row.try_get("code")?)?,
        campaign: campaign.parse().map_err(|_bad| {
            Error::Corrupt("referral_code", format!("the campaign's name '{campaign}'"))
        })?,
        user: row.try_get("user_id")?,
        shown_name: row.try_get("shown_name")?,
        vanity: row.try_get("vanity")?,
        current: row.try_get("current")?,
        disabled: row.try_get("disabled")?,
        version: row.try_get("version")?,
        created_at: row.try_get("created_at")?,
    })
}

fn read_code(text: &str) -> Result<ReferralCode, Error> {
    ReferralCode::exactly(text)
        .ok_or_else(|| Error::Corrupt("referral_code", format!("the code '{text}'")))
}
