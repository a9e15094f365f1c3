//! What explains a reward, or that there is none: the links from a click to the money. Each is found by an
//! index, and each list has a bound.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::desk::{StoredReward, read as read_reward};
use crate::campaign::CampaignId;
use crate::reward::explain::Counted;
use crate::reward::explain::chain::{
    BindingLink, ClaimLink, ClickLink, DecisionLink, EntryLink, StepLink, Story, TaskLink,
    TriggerLink, Way,
};
use crate::store::{Error, Transaction};

/// How many invitees of a user are shown.
pub const MOST_INVITEES: i64 = 100;
/// How many rewards of a user are shown.
pub const MOST_REWARDS: i64 = 100;
/// How many decisions, and how many steps of a reward, are shown.
const MOST_LINKS: i64 = 1_000;

/// Makes the other statements of a transaction find what they look for by an index, always: a plan that was
/// made when a table was nearly empty would look at all of it.
pub async fn by_index_only(transaction: &Transaction<'_>) -> Result<(), Error> {
    transaction.batch_execute("SET LOCAL enable_seqscan = off /* by_index_only */").await?;
    Ok(())
}

/// How somebody came to be bound, or came not to be.
pub async fn way(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    user: &str,
) -> Result<Way, Error> {
    let binding = transaction
        .query_opt(
            "SELECT invitee, inviter, code, state, campaign_version, bound_at, click_id::text
             FROM binding
             WHERE campaign_id = $1 /* campaign */ AND invitee = $2 /* user, explain_binding */",
            &[&campaign.as_str(), &user],
        )
        .await?;
    let binding = binding.as_ref().map(read_binding).transpose()?;
    let decisions = transaction
        .query(
            "SELECT decided_at, outcome, reason, code, campaign_version, checks
             FROM binding_decision
             WHERE campaign_id = $1 /* campaign */ AND invitee = $2 /* user */
             ORDER BY id DESC LIMIT $3 /* most, explain_decisions */",
            &[&campaign.as_str(), &user, &MOST_LINKS],
        )
        .await?;
    let claim = match binding.as_ref().and_then(|binding| binding.claim.as_deref()) {
        Some(name) => claim(transaction, name).await?,
        None => None,
    };
    let click = match &claim {
        Some(claim) => click(transaction, &claim.claim, claim.clicked_at).await?,
        None => None,
    };
    let decisions = decisions.iter().map(read_decision).collect::<Result<_, Error>>()?;
    Ok(Way { click, claim, decisions, binding })
}

async fn claim(transaction: &Transaction<'_>, name: &str) -> Result<Option<ClaimLink>, Error> {
    let row = transaction
        .query_opt(
            "SELECT click_id::text AS name, code, campaign_version, clicked_at, source,
                    install_began_at, claimed_at
             FROM claim WHERE click_id = $1::text::uuid /* claim, explain_claim */",
            &[&name],
        )
        .await?;
    row.map(|row| {
        Ok(ClaimLink {
            claim: row.try_get("name")?,
            code: row.try_get("code")?,
            campaign_version: row.try_get("campaign_version")?,
            clicked_at: row.try_get("clicked_at")?,
            source: row.try_get("source")?,
            install_began_at: row.try_get("install_began_at")?,
            claimed_at: row.try_get("claimed_at")?,
        })
    })
    .transpose()
}

/// The visit that was a click. Visits have a table for each day: only those around the click are looked at.
async fn click(
    transaction: &Transaction<'_>,
    name: &str,
    clicked_at: Timestamp,
) -> Result<Option<ClickLink>, Error> {
    let row = transaction
        .query_opt(
            "SELECT at, kind, device, browser, country, referrer FROM visit
             WHERE click_id = $1::text::uuid /* click */
               AND at BETWEEN $2::timestamptz /* clicked_at */ - interval '1 hour'
                          AND $2::timestamptz + interval '1 hour'
             LIMIT 1 /* explain_click */",
            &[&name, &clicked_at],
        )
        .await?;
    row.map(|row| {
        Ok(ClickLink {
            at: row.try_get("at")?,
            kind: row.try_get("kind")?,
            device: row.try_get("device")?,
            browser: row.try_get("browser")?,
            country: row.try_get("country")?,
            referrer: row.try_get("referrer")?,
        })
    })
    .transpose()
}

/// The trigger with this number.
pub async fn trigger(transaction: &Transaction<'_>, id: i64) -> Result<Option<TriggerLink>, Error> {
    let row = transaction
        .query_opt(
            "SELECT id, source, event_id, kind, user_id, occurred_at, received_at
             FROM trigger_event WHERE id = $1 /* trigger, explain_trigger */",
            &[&id],
        )
        .await?;
    row.as_ref().map(read_trigger).transpose()
}

/// The latest trigger of each kind of each of these users.
pub async fn triggers(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    users: &[&str],
) -> Result<Vec<TriggerLink>, Error> {
    let rows = transaction
        .query(
            "SELECT DISTINCT ON (user_id, kind)
                    id, source, event_id, kind, user_id, occurred_at, received_at
             FROM trigger_event
             WHERE campaign_id = $1 /* campaign */ AND user_id = ANY($2::text[] /* users */)
             ORDER BY user_id, kind, occurred_at DESC /* explain_triggers */",
            &[&campaign.as_str(), &users],
        )
        .await?;
    rows.iter().map(read_trigger).collect()
}

/// Every step of a reward, its entries in the books, and the work that is due or stopped.
pub async fn story(transaction: &Transaction<'_>, id: i64) -> Result<Story, Error> {
    let steps = transaction
        .query(
            "SELECT version, at, nullif(from_state, '') AS from_state, event, to_state, reason, actor,
                    operation_id, epoch, amount_minor
             FROM reward_log WHERE reward_id = $1 /* reward */
             ORDER BY version LIMIT $2 /* most, explain_steps */",
            &[&id, &MOST_LINKS],
        )
        .await?;
    let entries = transaction
        .query(
            "SELECT reward_version, debit, credit, amount_minor, at
             FROM ledger WHERE reward_id = $1 /* reward */
             ORDER BY reward_version LIMIT $2 /* most, explain_entries */",
            &[&id, &MOST_LINKS],
        )
        .await?;
    let tasks = transaction
        .query(
            "SELECT step, due_at, NULL::timestamptz AS parked_at, attempts, first_sent_at, operation_id
             FROM reward_task WHERE reward_id = $1 /* reward */
             UNION ALL
             SELECT step, NULL, parked_at, attempts, first_sent_at, operation_id
             FROM parked_task WHERE reward_id = $1 /* explain_tasks */",
            &[&id],
        )
        .await?;
    Ok(Story {
        steps: steps.iter().map(read_step).collect::<Result<_, Error>>()?,
        entries: entries.iter().map(read_entry).collect::<Result<_, Error>>()?,
        tasks: tasks.iter().map(read_task).collect::<Result<_, Error>>()?,
    })
}

/// The code that a user shares.
pub async fn code(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    user: &str,
) -> Result<Option<String>, Error> {
    let row = transaction
        .query_opt(
            "SELECT code FROM referral_code
             WHERE campaign_id = $1 /* campaign */ AND user_id = $2 /* user */ AND current
             /* explain_code */",
            &[&campaign.as_str(), &user],
        )
        .await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// How many rewards an inviter has; none, if none was ever counted. The cap is the campaign's to say.
pub async fn tally(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    inviter: &str,
) -> Result<Counted, Error> {
    let row = transaction
        .query_opt(
            "SELECT rewards, lifted FROM inviter_tally
             WHERE campaign_id = $1 /* campaign */ AND inviter = $2 /* inviter, explain_tally */",
            &[&campaign.as_str(), &inviter],
        )
        .await?;
    row.map_or(Ok(Counted::default()), |row| {
        Ok(Counted { rewards: row.try_get(0)?, lifted: row.try_get(1)?, cap: 0 })
    })
}

/// Whom a user invited. Of an inviter with very many invitees some are shown, not the latest ones: to find
/// those, all would have to be looked at.
pub async fn invitees(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    user: &str,
) -> Result<Vec<BindingLink>, Error> {
    let rows = transaction
        .query(
            "SELECT invitee, inviter, code, state, campaign_version, bound_at, click_id::text
             FROM (SELECT * FROM binding
                   WHERE campaign_id = $1 /* campaign */ AND inviter = $2 /* user */
                   LIMIT $3 /* looked_at */) b
             ORDER BY id DESC LIMIT $4 /* most, explain_invitees */",
            &[&campaign.as_str(), &user, &MOST_LINKS, &MOST_INVITEES],
        )
        .await?;
    rows.iter().map(read_binding).collect()
}

/// What the bindings of these invitees brought.
pub async fn brought(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    invitees: &[&str],
) -> Result<Vec<StoredReward>, Error> {
    let rows = transaction
        .query(
            "SELECT r.*, b.inviter FROM reward r
             JOIN binding b ON b.campaign_id = r.campaign_id AND b.invitee = r.invitee
             WHERE r.campaign_id = $1 /* campaign */ AND r.invitee = ANY($2::text[] /* invitees */)
             ORDER BY r.id /* explain_brought */",
            &[&campaign.as_str(), &invitees],
        )
        .await?;
    rows.iter().map(read_reward).collect()
}

/// What a user gets, and what the user's binding brought anybody, the latest first.
pub async fn rewards_of(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    user: &str,
) -> Result<Vec<StoredReward>, Error> {
    let rows = transaction
        .query(
            "SELECT r.*, b.inviter FROM (
                 (SELECT * FROM reward
                  WHERE campaign_id = $1 /* campaign */ AND beneficiary = $2 /* user */
                  ORDER BY id DESC LIMIT $3 /* most */)
                 UNION
                 (SELECT * FROM reward WHERE campaign_id = $1 AND invitee = $2)) r
             JOIN binding b ON b.campaign_id = r.campaign_id AND b.invitee = r.invitee
             ORDER BY r.id DESC LIMIT $3 /* explain_rewards */",
            &[&campaign.as_str(), &user, &MOST_REWARDS],
        )
        .await?;
    rows.iter().map(read_reward).collect()
}

fn read_binding(row: &Row) -> Result<BindingLink, Error> {
    Ok(BindingLink {
        invitee: row.try_get("invitee")?,
        inviter: row.try_get("inviter")?,
        code: row.try_get("code")?,
        state: row.try_get("state")?,
        campaign_version: row.try_get("campaign_version")?,
        bound_at: row.try_get("bound_at")?,
        claim: row.try_get("click_id")?,
    })
}

fn read_decision(row: &Row) -> Result<DecisionLink, Error> {
    Ok(DecisionLink {
        decided_at: row.try_get("decided_at")?,
        outcome: row.try_get("outcome")?,
        reason: row.try_get("reason")?,
        code: row.try_get("code")?,
        campaign_version: row.try_get("campaign_version")?,
        checks: row.try_get("checks")?,
    })
}

fn read_trigger(row: &Row) -> Result<TriggerLink, Error> {
    Ok(TriggerLink {
        id: row.try_get("id")?,
        source: row.try_get("source")?,
        event_id: row.try_get("event_id")?,
        kind: row.try_get("kind")?,
        user: row.try_get("user_id")?,
        occurred_at: row.try_get("occurred_at")?,
        received_at: row.try_get("received_at")?,
    })
}

fn read_step(row: &Row) -> Result<StepLink, Error> {
    Ok(StepLink {
        version: row.try_get("version")?,
        at: row.try_get("at")?,
        from: row.try_get("from_state")?,
        event: row.try_get("event")?,
        to: row.try_get("to_state")?,
        reason: row.try_get("reason")?,
        actor: row.try_get("actor")?,
        operation_id: row.try_get("operation_id")?,
        epoch: row.try_get("epoch")?,
        amount_minor: row.try_get("amount_minor")?,
    })
}

fn read_entry(row: &Row) -> Result<EntryLink, Error> {
    Ok(EntryLink {
        version: row.try_get("reward_version")?,
        debit: row.try_get("debit")?,
        credit: row.try_get("credit")?,
        amount_minor: row.try_get("amount_minor")?,
        at: row.try_get("at")?,
    })
}

fn read_task(row: &Row) -> Result<TaskLink, Error> {
    Ok(TaskLink {
        step: row.try_get("step")?,
        due_at: row.try_get("due_at")?,
        parked_at: row.try_get("parked_at")?,
        attempts: row.try_get("attempts")?,
        first_sent_at: row.try_get("first_sent_at")?,
        operation_id: row.try_get("operation_id")?,
    })
}
