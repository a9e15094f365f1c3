//! Who wants to be written to.

use crate::campaign::CampaignId;
use crate::store::{Connection, Error, Transaction, expect_rows};

/// What a user said about messages of a campaign; `None`: nothing.
pub async fn allowed(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    user: &str,
) -> Result<Option<bool>, Error> {
    let row = transaction
        .query_opt(
            "SELECT allowed FROM message_consent
             WHERE campaign_id = $1 /* campaign */ AND user_id = $2 /* user, find_consent */",
            &[&campaign.as_str(), &user],
        )
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Keeps what a user said. When they want no messages, those that wait for them go.
pub async fn set(
    connection: &mut Connection,
    (campaign, user): (&CampaignId, &str),
    allowed: bool,
    actor: &str,
) -> Result<(), Error> {
    let transaction = connection.transaction().await?;
    let set = transaction
        .execute(
            "INSERT INTO message_consent (campaign_id, user_id, allowed, actor)
             VALUES ($1 /* campaign */, $2 /* user */, $3 /* allowed */, $4 /* actor */)
             ON CONFLICT (campaign_id, user_id)
             DO UPDATE SET allowed = excluded.allowed, actor = excluded.actor, changed_at = now()
             /* set_consent */",
            &[&campaign.as_str(), &user, &allowed, &actor],
        )
        .await?;
    expect_rows("set_consent", 1, set)?;
    if !allowed {
        // May well change no row: few have a message on its way just now.
        transaction
            .execute(
                "WITH waiting AS MATERIALIZED (
                     SELECT t.reward_id FROM reward r
                     JOIN reward_task t ON t.reward_id = r.id AND t.step = 'remind'
                     WHERE r.campaign_id = $1 /* campaign */ AND r.beneficiary = $2 /* user */
                     ORDER BY t.reward_id FOR UPDATE OF t)
                 DELETE FROM reward_task t USING waiting w
                 WHERE t.reward_id = w.reward_id AND t.step = 'remind' /* drop_messages_of_user */",
                &[&campaign.as_str(), &user],
            )
            .await?;
    }
    Ok(transaction.commit().await?)
}
