//! What happened in a campaign, to be replayed: bindings and triggers in pages, out of one snapshot.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio_postgres::{IsolationLevel, Portal, Row};

use crate::campaign::{CampaignId, NewUser, Version};
use crate::reward::simulate::facts::{PastBinding, PastCheck};
use crate::reward::simulate::{PastDraw, PastTrigger};
use crate::store::{Connection, Error, Prepared};

/// How many rows come at a time.
const PAGE: i32 = 5_000;

/// From a moment until before another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first moment; `None`: from the beginning.
    pub from: Option<Timestamp>,
    /// The first moment after it; `None`: until now.
    pub to: Option<Timestamp>,
}

/// Begins to read: nothing can be written, and all that is read is as of one moment. No statement may take longer
/// than `budget`.
pub async fn begin(connection: &mut Connection, budget: Duration) -> Result<Prepared<'_>, Error> {
    let isolation = IsolationLevel::RepeatableRead;
    let transaction =
        connection.build_transaction().isolation_level(isolation).read_only(true).start().await?;
    // Whoever reads the answer line by line may be slow. Triggers are sorted once, with some memory.
    let settings = format!(
        "SET LOCAL statement_timeout = {}; SET LOCAL idle_in_transaction_session_timeout = '60s';
         SET LOCAL work_mem = '64MB' /* begin_simulation */",
        budget.as_millis()
    );
    transaction.batch_execute(&settings).await?;
    Ok(transaction)
}

/// How many bindings and how many triggers there are before the end of `span`, each counted up to `most`.
pub async fn count(
    transaction: &Prepared<'_>,
    campaign: &CampaignId,
    span: Span,
    most: i64,
) -> Result<(i64, i64), Error> {
    let row = transaction
        .query_one(
            "SELECT (SELECT count(*) FROM (
                         SELECT FROM binding
                         WHERE campaign_id = $1 /* campaign */
                           AND bound_at < coalesce($2 /* to */, 'infinity'::timestamptz)
                         LIMIT $3 /* most */) b),
                    (SELECT count(*) FROM (
                         SELECT FROM trigger_event
                         WHERE campaign_id = $1
                           AND received_at < coalesce($2, 'infinity'::timestamptz)
                         LIMIT $3) t) /* count_simulated */",
            &[&campaign.as_str(), &span.to, &most],
        )
        .await?;
    Ok((row.try_get(0)?, row.try_get(1)?))
}

/// What happened, page by page.
pub struct Past<'t, T> {
    transaction: &'t Prepared<'t>,
    portal: Portal,
    read: fn(&Row) -> Result<T, Error>,
}

impl<T> std::fmt::Debug for Past<'_, T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Past").finish_non_exhaustive()
    }
}

impl<T> Past<'_, T> {
    /// The next page; an empty one is the end.
    pub async fn next(&self) -> Result<Vec<T>, Error> {
        let rows = self.transaction.query_portal(&self.portal, PAGE).await?;
        rows.iter().map(self.read).collect()
    }
}

/// The bindings that were made before the end of `span`, and what was known of them. Who had been a customer by
/// then is said by the rule `new_user`, of a campaign that begins at `starts_at`.
pub async fn bindings<'t>(
    transaction: &'t Prepared<'t>,
    campaign: &CampaignId,
    span: Span,
    (new_user, since): (&NewUser, Option<Timestamp>),
) -> Result<Past<'t, PastBinding>, Error> {
    let statement = transaction
        .prepare(
            "SELECT b.id, b.invitee, b.inviter, b.bound_at, d.campaign_version, d.checks,
                    coalesce(k.told_at < b.bound_at, false) AS was_customer,
                    c.install_began_at < c.clicked_at AS installed_before_click
             FROM binding b
             LEFT JOIN binding_decision d
                 ON d.campaign_id = b.campaign_id AND d.invitee = b.invitee AND d.outcome <> 'refused'
             LEFT JOIN claim c ON c.click_id = b.click_id
             LEFT JOIN (
                 SELECT user_id, min(received_at) AS told_at FROM trigger_event
                 WHERE campaign_id = $1 AND kind = ANY($3::text[] /* without */)
                   AND ($4::timestamptz IS NULL OR occurred_at >= $4 /* since */)
                 GROUP BY user_id) k ON k.user_id = b.invitee
             WHERE b.campaign_id = $1 /* campaign */
               AND b.bound_at < coalesce($2 /* to */, 'infinity'::timestamptz)
             /* past_bindings */",
        )
        .await?;
    let portal = transaction
        .bind(&statement, &[&campaign.as_str(), &span.to, &new_user.without, &since])
        .await?;
    Ok(Past { transaction, portal, read: read_binding })
}

/// The triggers of users who are bound, in the order in which they counted: a trigger that was told before the
/// binding counted with it.
pub async fn triggers<'t>(
    transaction: &'t Prepared<'t>,
    campaign: &CampaignId,
    span: Span,
) -> Result<Past<'t, PastTrigger>, Error> {
    let statement = transaction
        .prepare(
            "SELECT t.id, t.kind, t.user_id, t.occurred_at,
                    greatest(t.received_at, b.bound_at) AS counted_at, b.id AS binding, b.inviter,
                    r.campaign_version AS inviter_version, r.amount_minor AS inviter_minor,
                    (extract(epoch FROM rl.at - r.created_at) * 1000000)::bigint AS inviter_micros,
                    e.campaign_version AS invitee_version, e.amount_minor AS invitee_minor,
                    (extract(epoch FROM el.at - e.created_at) * 1000000)::bigint AS invitee_micros
             FROM trigger_event t
             JOIN binding b ON b.campaign_id = t.campaign_id AND b.invitee = t.user_id
             LEFT JOIN reward r ON r.campaign_id = t.campaign_id AND r.invitee = t.user_id
                 AND r.kind = t.kind AND r.side = 'inviter'
             LEFT JOIN reward_log rl ON rl.reward_id = r.id AND rl.event IN ('draw', 'blank')
             LEFT JOIN reward e ON e.campaign_id = t.campaign_id AND e.invitee = t.user_id
                 AND e.kind = t.kind AND e.side = 'invitee'
             LEFT JOIN reward_log el ON el.reward_id = e.id AND el.event IN ('draw', 'blank')
             WHERE t.campaign_id = $1 /* campaign */
               AND t.received_at < coalesce($2 /* to */, 'infinity'::timestamptz)
               AND b.bound_at < coalesce($2, 'infinity'::timestamptz)
             ORDER BY counted_at, t.id /* past_triggers */",
        )
        .await?;
    let portal = transaction.bind(&statement, &[&campaign.as_str(), &span.to]).await?;
    Ok(Past { transaction, portal, read: read_trigger })
}

/// How many triggers of `span` are of users who were not bound by its end.
pub async fn triggers_without_binding(
    transaction: &Prepared<'_>,
    campaign: &CampaignId,
    span: Span,
) -> Result<i64, Error> {
    let row = transaction
        .query_one(
            "SELECT count(*) FROM trigger_event t
             WHERE t.campaign_id = $1 /* campaign */
               AND t.received_at >= coalesce($2 /* from */, '-infinity'::timestamptz)
               AND t.received_at < coalesce($3 /* to */, 'infinity'::timestamptz)
               AND NOT EXISTS (
                   SELECT FROM binding b
                   WHERE b.campaign_id = $1 AND b.invitee = t.user_id
                     AND b.bound_at < coalesce($3, 'infinity'::timestamptz))
             /* triggers_without_binding */",
            &[&campaign.as_str(), &span.from, &span.to],
        )
        .await?;
    Ok(row.try_get(0)?)
}

/// How many users asked for a binding in `span`, were refused, and were not bound by its end, by the reason. Who was
/// refused for several is counted for each.
pub async fn refused(
    transaction: &Prepared<'_>,
    campaign: &CampaignId,
    span: Span,
) -> Result<BTreeMap<String, i64>, Error> {
    let rows = transaction
        .query(
            "SELECT d.reason, count(DISTINCT d.invitee) FROM binding_decision d
             WHERE d.campaign_id = $1 /* campaign */ AND d.outcome = 'refused'
               AND d.decided_at >= coalesce($2 /* from */, '-infinity'::timestamptz)
               AND d.decided_at < coalesce($3 /* to */, 'infinity'::timestamptz)
               AND NOT EXISTS (
                   SELECT FROM binding b
                   WHERE b.campaign_id = $1 AND b.invitee = d.invitee
                     AND b.bound_at < coalesce($3, 'infinity'::timestamptz))
             GROUP BY d.reason /* refused_then */",
            &[&campaign.as_str(), &span.from, &span.to],
        )
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

fn read_binding(row: &Row) -> Result<PastBinding, Error> {
    let rules: Option<i32> = row.try_get("campaign_version")?;
    let checks: Option<serde_json::Value> = row.try_get("checks")?;
    // What a newer program may have written is as if it were not there.
    let checks = checks.and_then(|it| serde_json::from_value::<Vec<PastCheck>>(it).ok());
    Ok(PastBinding {
        id: row.try_get("id")?,
        invitee: row.try_get("invitee")?,
        inviter: row.try_get("inviter")?,
        bound_at: row.try_get("bound_at")?,
        rules: rules.map(Version),
        checks: checks.unwrap_or_default(),
        was_customer: row.try_get("was_customer")?,
        installed_before_click: row.try_get("installed_before_click")?,
    })
}

fn read_trigger(row: &Row) -> Result<PastTrigger, Error> {
    let draw = |[version, minor, micros]: [&str; 3]| -> Result<Option<PastDraw>, Error> {
        let amount: Option<i64> = row.try_get(minor)?;
        let micros: Option<i64> = row.try_get(micros)?;
        let Some((amount_minor, micros)) = amount.zip(micros) else { return Ok(None) };
        let after = SignedDuration::from_micros(micros);
        Ok(Some(PastDraw { version: Version(row.try_get(version)?), amount_minor, after }))
    };
    Ok(PastTrigger {
        id: row.try_get("id")?,
        kind: row.try_get("kind")?,
        user: row.try_get("user_id")?,
        occurred_at: row.try_get("occurred_at")?,
        at: row.try_get("counted_at")?,
        binding: row.try_get("binding")?,
        inviter: row.try_get("inviter")?,
        inviter_draw: draw(["inviter_version", "inviter_minor", "inviter_micros"])?,
        invitee_draw: draw(["invitee_version", "invitee_minor", "invitee_micros"])?,
    })
}
