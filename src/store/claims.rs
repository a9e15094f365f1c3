//! Claims: an installed app handed a click token back.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{Error, Store, Transaction};
use crate::campaign::{CampaignId, Version};
use crate::code::referral::ReferralCode;
use crate::link::DomainId;
use crate::referral::token::{click_name, click_named};

/// A claim that may be the first of its click.
#[derive(Clone, Copy, Debug)]
pub struct NewClaim<'a> {
    /// Which click.
    pub click_id: u128,
    /// In which campaign.
    pub campaign: &'a CampaignId,
    /// In which version of it.
    pub version: Version,
    /// By which code.
    pub code: &'a str,
    /// On which domain.
    pub domain: DomainId,
    /// When the click was.
    pub clicked_at: Timestamp,
    /// By which installation.
    pub install_id: &'a str,
    /// How the token came into the app.
    pub source: &'a str,
    /// When the store's page was opened, by what the store said.
    pub store_opened_at: Option<Timestamp>,
    /// When the installation began, by what the store said.
    pub install_began_at: Option<Timestamp>,
    /// When the claim came.
    pub claimed_at: Timestamp,
}

/// A claim, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredClaim {
    /// Which click.
    pub click_id: u128,
    /// In which campaign.
    pub campaign: CampaignId,
    /// In which version of it.
    pub version: Version,
    /// By which code.
    pub code: ReferralCode,
    /// What is shown of the name of whoever has the code.
    pub shown_name: Option<String>,
    /// When the click was.
    pub clicked_at: Timestamp,
    /// By which installation.
    pub install_id: String,
    /// When the installation began, by what the store said.
    pub install_began_at: Option<Timestamp>,
    /// When the claim came.
    pub claimed_at: Timestamp,
}

/// Writes a claim, unless the click has been claimed: of any number of claims at the same time one is
/// the first. Returns the first claim, and whether it is this one.
pub async fn put(store: &Store, new: &NewClaim<'_>) -> Result<(StoredClaim, bool), Error> {
    let connection = store.connection().await?;
    let statement = connection
        .prepare_cached(
            "INSERT INTO claim (click_id, campaign_id, campaign_version, code, domain_id, clicked_at,
                                install_id, source, store_opened_at, install_began_at, claimed_at)
             VALUES ($1::text::uuid /* click */, $2 /* campaign */, $3 /* version */, $4 /* code */,
                     $5 /* domain */, $6 /* clicked_at */, $7 /* install */, $8 /* source */,
                     $9 /* store_opened_at */, $10 /* install_began_at */, $11 /* claimed_at */)
             ON CONFLICT (click_id) DO NOTHING /* put_claim */",
        )
        .await?;
    let click = click_name(new.click_id);
    let written = connection
        .execute(
            &statement,
            &[
                &click,
                &new.campaign.as_str(),
                &new.version.0,
                &new.code,
                &new.domain.0,
                &new.clicked_at,
                &new.install_id,
                &new.source,
                &new.store_opened_at,
                &new.install_began_at,
                &new.claimed_at,
            ],
        )
        .await?;
    let statement = connection
        .prepare_cached(
            "SELECT claim.*, claim.click_id::text AS click, c.shown_name FROM claim
             JOIN referral_code c ON c.code = claim.code
             WHERE claim.click_id = $1::text::uuid /* click, get_claim */",
        )
        .await?;
    let row = connection.query_one(&statement, &[&click]).await?;
    Ok((read(&row)?, written == 1))
}

/// The claim of a click, if it has been claimed.
pub async fn find(
    transaction: &Transaction<'_>,
    click_id: u128,
) -> Result<Option<StoredClaim>, Error> {
    let row = transaction
        .query_opt(
            "SELECT claim.*, claim.click_id::text AS click, c.shown_name FROM claim
             JOIN referral_code c ON c.code = claim.code
             WHERE claim.click_id = $1::text::uuid /* click, find_claim */",
            &[&click_name(click_id)],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<StoredClaim, Error> {
    let corrupt =
        |what: &str, value: &str| Error::Corrupt("claim", format!("the {what} '{value}'"));
    let (click, campaign): (String, String) = (row.try_get("click")?, row.try_get("campaign_id")?);
    let code: String = row.try_get("code")?;
    Ok(StoredClaim {
        click_id: click_named(&click).ok_or_else(|| corrupt("click", &click))?,
        campaign: campaign.parse().map_err(|_bad| corrupt("campaign", &campaign))?,
        version: Version(row.try_get("campaign_version")?),
        code: ReferralCode::exactly(&code).ok_or_else(|| corrupt("code", &code))?,
        shown_name: row.try_get("shown_name")?,
        clicked_at: row.try_get("clicked_at")?,
        install_id: row.try_get("install_id")?,
        install_began_at: row.try_get("install_began_at")?,
        claimed_at: row.try_get("claimed_at")?,
    })
}
