//! What a campaign may spend. The database keeps the books: see `migrations/0006_rewards.sql`.

use crate::campaign::CampaignId;
use crate::store::{Error, Transaction};

/// Sets what a campaign may spend in all; fails where more than that is promised or paid already.
pub async fn fund(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    budget_minor: i64,
) -> Result<(), Error> {
    transaction
        .execute(
            "SELECT fund_campaign($1 /* campaign */, $2 /* budget, fund_campaign */)",
            &[&campaign.as_str(), &budget_minor],
        )
        .await?;
    Ok(())
}

/// Like [`fund`], where it was never done.
pub async fn fund_first(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    budget_minor: i64,
) -> Result<(), Error> {
    transaction
        .execute(
            "SELECT fund_campaign($1 /* campaign */, $2 /* budget */)
             WHERE NOT EXISTS (SELECT FROM campaign_account WHERE campaign_id = $1) /* fund_first */",
            &[&campaign.as_str(), &budget_minor],
        )
        .await?;
    Ok(())
}

/// What was promised and paid by a campaign so far, in minor units.
pub async fn spent(transaction: &Transaction<'_>, campaign: &CampaignId) -> Result<i64, Error> {
    let row = transaction
        .query_opt(
            "SELECT promised_minor + paid_minor FROM campaign_account
             WHERE campaign_id = $1 /* campaign */ FOR UPDATE /* spent */",
            &[&campaign.as_str()],
        )
        .await?;
    row.map_or(Ok(0), |row| Ok(row.try_get(0)?))
}
