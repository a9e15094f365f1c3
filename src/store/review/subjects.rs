//! What cases are about, as far as a review has to know it: held rewards and requested compensations.

use crate::review::chain::Facts;
use crate::review::flow::Subject;
use crate::store::{Error, Transaction};

/// A subject as it is now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// What makes it this one and no other: the text that is hashed.
    pub identity: String,
    /// Who asked for it; none: the service itself.
    pub requester: Option<String>,
    /// What checks can ask for.
    pub facts: Facts,
    /// Whether it waits for a decision.
    pub waits: bool,
}

/// A reward. What is approved is who gets how much, for what, and why it was held.
pub async fn reward(transaction: &Transaction<'_>, id: i64) -> Result<Option<Found>, Error> {
    let row = transaction
        .query_opt(
            "SELECT jsonb_build_array(r.id, r.campaign_id, r.campaign_version, r.invitee, r.kind, r.side,
                                      r.beneficiary, r.currency, r.most_minor, r.created_at)::text,
                    r.most_minor, r.reason, t.rewards, r.campaign_id, r.state = 'REVIEW'
             FROM reward r
             LEFT JOIN inviter_tally t ON r.side = 'inviter' AND t.campaign_id = r.campaign_id
                                      AND t.inviter = r.beneficiary
             WHERE r.id = $1 /* reward, reward_under_review */",
            &[&id],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let facts = Facts {
        amount_minor: row.try_get(1)?,
        hold_reason: row.try_get(2)?,
        inviter_rewards: row.try_get(3)?,
        items: None,
        campaign: row.try_get(4)?,
    };
    Ok(Some(Found { identity: row.try_get(0)?, requester: None, facts, waits: row.try_get(5)? }))
}

/// A compensation. What is approved is all of its items, and the reason.
pub async fn compensation(transaction: &Transaction<'_>, id: i64) -> Result<Option<Found>, Error> {
    let row = transaction
        .query_opt(
            "SELECT jsonb_build_array(c.id, c.campaign_id, c.reason, c.requested_by,
                        (SELECT jsonb_agg(jsonb_build_array(i.number, i.invitee, i.kind, i.side) ORDER BY i.number)
                         FROM compensation_item i WHERE i.compensation_id = c.id))::text,
                    c.requested_by, c.campaign_id, c.state = 'requested',
                    (SELECT count(*) FROM compensation_item i WHERE i.compensation_id = c.id)::int
             FROM compensation c WHERE c.id = $1 /* compensation, compensation_under_review */",
            &[&id],
        )
        .await?;
    let Some(row) = row else { return Ok(None) };
    let facts =
        Facts { campaign: row.try_get(2)?, items: Some(row.try_get(4)?), ..Facts::default() };
    Ok(Some(Found {
        identity: row.try_get(0)?,
        requester: Some(row.try_get(1)?),
        facts,
        waits: row.try_get(3)?,
    }))
}

/// Up to `limit` of what waits for a decision and has no open case: held rewards, compensations that were asked
/// for.
pub async fn without_case(
    transaction: &Transaction<'_>,
    subject: Subject,
    limit: u32,
) -> Result<Vec<i64>, Error> {
    let waiting = match subject {
        Subject::Reward => "reward s WHERE state = 'REVIEW'",
        Subject::Compensation => "compensation s WHERE state = 'requested'",
        // Nobody opens cases about these.
        Subject::CapLift | Subject::Reversal | Subject::Activation => return Ok(Vec::new()),
    };
    let query = format!(
        "SELECT id FROM {waiting} AND NOT EXISTS (
             SELECT FROM review_case c
             WHERE c.subject = $1 /* subject */ AND c.subject_key = s.id::text
               AND c.state IN ('open', 'executing'))
         ORDER BY id LIMIT $2 /* limit, without_case */"
    );
    let rows = transaction.query(&query, &[&subject.name(), &i64::from(limit)]).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}
