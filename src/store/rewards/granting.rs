//! From triggers to rewards, in sets: whatever comes together is looked up, counted and stored together.
//!
//! All of it runs in a transaction that holds the locks of the users whom it is about (see
//! [`crate::store::user_locks`]), taken before anything is read.

use std::collections::HashMap;

use jiff::Timestamp;

use super::side;
use crate::campaign::{CampaignId, Version};
use crate::planted::{Bug, planted};
use crate::store::user_locks::LockKey;
use crate::store::{Error, Prepared, expect_rows};

pub use crate::reward::rationing::{Bound, Key, Tally};

/// The bindings of these users, each in a campaign; in their order.
pub async fn bindings(
    transaction: &Prepared<'_>,
    users: &[(&CampaignId, &str)],
) -> Result<Vec<Option<Bound>>, Error> {
    if planted(Bug::LockInReadingStatement) {
        return bindings_locked_too_late(transaction, users).await;
    }
    let statement = transaction
        .prepare_cached(
            "SELECT u.place, b.inviter, b.campaign_version, b.state = 'held'
             FROM unnest($1::text[] /* campaigns */, $2::text[] /* users */)
                  WITH ORDINALITY AS u (campaign_id, invitee, place)
             JOIN binding b USING (campaign_id, invitee) /* bindings_of_users */",
        )
        .await?;
    let (campaigns, names) = columns(users);
    let rows = transaction.query(&statement, &[&campaigns, &names]).await?;
    let mut found = vec![None; users.len()];
    for row in rows {
        let place: i64 = row.try_get(0)?;
        let place = usize::try_from(place - 1).expect("counted from 1");
        if let Some(slot) = found.get_mut(place) {
            let version = Version(row.try_get(2)?);
            *slot = Some(Bound { inviter: row.try_get(1)?, version, held: row.try_get(3)? });
        }
    }
    Ok(found)
}

/// [`Bug::LockInReadingStatement`]: the snapshot of the statement is older than the lock that it waits for.
async fn bindings_locked_too_late(
    transaction: &Prepared<'_>,
    users: &[(&CampaignId, &str)],
) -> Result<Vec<Option<Bound>>, Error> {
    let mut found = Vec::with_capacity(users.len());
    for (campaign, user) in users {
        let key = LockKey::user(campaign, user).number();
        let row = transaction
            .query_opt(
                "WITH locked AS MATERIALIZED (SELECT pg_advisory_xact_lock($3))
                 SELECT b.inviter, b.campaign_version, b.state = 'held' FROM locked
                 JOIN binding b ON b.campaign_id = $1 AND b.invitee = $2 /* late_lock */",
                &[&campaign.as_str(), user, &key],
            )
            .await?;
        found.push(match row {
            None => None,
            Some(row) => Some(Bound {
                inviter: row.try_get(0)?,
                version: Version(row.try_get(1)?),
                held: row.try_get(2)?,
            }),
        });
    }
    Ok(found)
}

/// What a trigger said that was stored before.
#[derive(Clone, Debug)]
pub struct Told {
    /// Its number.
    pub id: i64,
    /// In which campaign.
    pub campaign: CampaignId,
    /// What was reached.
    pub kind: String,
    /// By whom.
    pub user: String,
    /// When.
    pub occurred_at: Timestamp,
}

/// Triggers by their numbers.
pub async fn told(transaction: &Prepared<'_>, ids: &[i64]) -> Result<Vec<Told>, Error> {
    let statement = transaction
        .prepare_cached(
            "SELECT id, campaign_id, kind, user_id, occurred_at FROM trigger_event
             WHERE id = ANY($1::bigint[] /* ids */) ORDER BY id /* told_triggers */",
        )
        .await?;
    let rows = transaction.query(&statement, &[&ids]).await?;
    rows.iter()
        .map(|row| {
            let campaign: &str = row.try_get(1)?;
            let campaign = campaign
                .parse()
                .map_err(|_bad| Error::Corrupt("trigger_event", "its campaign".to_owned()))?;
            Ok(Told {
                id: row.try_get(0)?,
                campaign,
                kind: row.try_get(2)?,
                user: row.try_get(3)?,
                occurred_at: row.try_get(4)?,
            })
        })
        .collect()
}

/// Which rewards these invitees' bindings have brought already, with their numbers. Each is looked up by itself
/// (`OFFSET 0` keeps the planner from joining): while a table is new and without figures, it would read all
/// rewards that there are for a few.
pub async fn existing(
    transaction: &Prepared<'_>,
    invitees: &[(&CampaignId, &str)],
) -> Result<HashMap<Key, i64>, Error> {
    let statement = transaction
        .prepare_cached(
            "SELECT r.campaign_id, r.invitee, r.kind, r.side, r.id
             FROM (SELECT DISTINCT * FROM unnest($1::text[] /* campaigns */, $2::text[] /* invitees */)
                   AS u (campaign_id, invitee)) u
             CROSS JOIN LATERAL (
                 SELECT * FROM reward r
                 WHERE r.campaign_id = u.campaign_id AND r.invitee = u.invitee OFFSET 0) r /* existing_rewards */",
        )
        .await?;
    let (campaigns, names) = columns(invitees);
    let rows = transaction.query(&statement, &[&campaigns, &names]).await?;
    rows.iter()
        .map(|row| {
            let campaign: &str = row.try_get(0)?;
            let key = Key {
                campaign: parsed(campaign)?,
                invitee: row.try_get(1)?,
                kind: row.try_get(2)?,
                side: side(row.try_get(3)?)?,
            };
            Ok((key, row.try_get(4)?))
        })
        .collect()
}

/// Locks the tallies of these inviters, in one order, and reads them. They are made where there are none.
pub async fn lock_tallies(
    transaction: &Prepared<'_>,
    inviters: &[(&CampaignId, &str)],
) -> Result<HashMap<(CampaignId, String), Tally>, Error> {
    if planted(Bug::CapBySumThenInsert) {
        return sum_rewards(transaction, inviters).await;
    }
    let (campaigns, names) = columns(inviters);
    let make = transaction
        .prepare_cached(
            "INSERT INTO inviter_tally (campaign_id, inviter)
             SELECT DISTINCT campaign_id, inviter
             FROM unnest($1::text[] /* campaigns */, $2::text[] /* inviters */) AS u (campaign_id, inviter)
             ORDER BY campaign_id, inviter
             ON CONFLICT (campaign_id, inviter) DO NOTHING /* make_tallies */",
        )
        .await?;
    // May well change no row: most inviters have a tally.
    transaction.execute(&make, &[&campaigns, &names]).await?;
    let lock = transaction
        .prepare_cached(
            "SELECT t.campaign_id, t.inviter, t.rewards, t.lifted
             FROM inviter_tally t
             JOIN (SELECT DISTINCT * FROM unnest($1::text[] /* campaigns */, $2::text[] /* inviters */)
                   AS u (campaign_id, inviter)) u USING (campaign_id, inviter)
             ORDER BY t.campaign_id, t.inviter FOR UPDATE OF t /* lock_tallies */",
        )
        .await?;
    let rows = transaction.query(&lock, &[&campaigns, &names]).await?;
    rows.iter()
        .map(|row| {
            let campaign: &str = row.try_get(0)?;
            let tally = Tally { rewards: row.try_get(2)?, lifted: row.try_get(3)? };
            Ok(((parsed(campaign)?, row.try_get(1)?), tally))
        })
        .collect()
}

/// [`Bug::CapBySumThenInsert`]: others may be counting the same rewards at this moment.
async fn sum_rewards(
    transaction: &Prepared<'_>,
    inviters: &[(&CampaignId, &str)],
) -> Result<HashMap<(CampaignId, String), Tally>, Error> {
    let mut tallies = HashMap::new();
    for (campaign, inviter) in inviters {
        let row = transaction
            .query_one(
                "SELECT count(*)::int FROM reward WHERE campaign_id = $1 AND beneficiary = $2
                 AND side = 'inviter' AND state NOT IN ('REVIEW', 'DENIED') /* sum_rewards */",
                &[&campaign.as_str(), inviter],
            )
            .await?;
        let tally = Tally { rewards: row.try_get(0)?, lifted: 0 };
        tallies.insert(((*campaign).clone(), (*inviter).to_owned()), tally);
    }
    Ok(tallies)
}

/// Locks the accounts of these campaigns, in one order; what is left of each budget, in minor units. A campaign
/// whose budget was never set is not there.
pub async fn lock_budgets(
    transaction: &Prepared<'_>,
    campaigns: &[&CampaignId],
) -> Result<HashMap<CampaignId, i64>, Error> {
    let statement = transaction
        .prepare_cached(
            "SELECT campaign_id, budget_minor FROM campaign_account
             WHERE campaign_id = ANY($1::text[] /* campaigns */)
             ORDER BY campaign_id FOR UPDATE /* lock_budgets */",
        )
        .await?;
    let names: Vec<&str> = campaigns.iter().map(|it| it.as_str()).collect();
    let rows = transaction.query(&statement, &[&names]).await?;
    rows.iter()
        .map(|row| {
            let campaign: &str = row.try_get(0)?;
            Ok((parsed(campaign)?, row.try_get(1)?))
        })
        .collect()
}

/// So many more rewards of an inviter, under this cap.
#[derive(Clone, Debug)]
pub struct Counted<'a> {
    /// In which campaign.
    pub campaign: &'a CampaignId,
    /// Whose.
    pub inviter: &'a str,
    /// How many more.
    pub more: i32,
    /// How many an inviter may have.
    pub cap: i32,
}

/// Counts rewards of inviters. Each must fit under its cap, or none is counted.
pub async fn count(transaction: &Prepared<'_>, counted: &[Counted<'_>]) -> Result<(), Error> {
    if planted(Bug::CapBySumThenInsert) {
        return Ok(());
    }
    let statement = transaction
        .prepare_cached(
            "UPDATE inviter_tally t SET rewards = t.rewards + c.more, allowed = c.cap
             FROM unnest($1::text[] /* campaigns */, $2::text[] /* inviters */, $3::int[] /* more */,
                         $4::int[] /* caps */) AS c (campaign_id, inviter, more, cap)
             WHERE t.campaign_id = c.campaign_id AND t.inviter = c.inviter
               AND t.rewards + c.more <= c.cap + t.lifted /* count_rewards */",
        )
        .await?;
    let campaigns: Vec<&str> = counted.iter().map(|it| it.campaign.as_str()).collect();
    let inviters: Vec<&str> = counted.iter().map(|it| it.inviter).collect();
    let more: Vec<i32> = counted.iter().map(|it| it.more).collect();
    let caps: Vec<i32> = counted.iter().map(|it| it.cap).collect();
    let changed = transaction.execute(&statement, &[&campaigns, &inviters, &more, &caps]).await?;
    expect_rows("count_rewards", u64::try_from(counted.len()).unwrap_or(u64::MAX), changed)
}

/// A reward that begins.
#[derive(Clone, Debug)]
pub struct NewReward {
    /// What it is for.
    pub key: Key,
    /// The version that was promised.
    pub version: Version,
    /// Who gets it.
    pub beneficiary: String,
    /// What it is owed for; `None`: granted by hand.
    pub trigger_id: Option<i64>,
    /// What amounts are in.
    pub currency: String,
    /// The most that it can come to, in minor units.
    pub most_minor: i64,
    /// Why people have to look at it first; `None`: they have not.
    pub held: Option<&'static str>,
    /// The id of the draw and the request for it, where the payment service draws.
    pub draw: Option<Operation>,
}

/// The id of an operation, and the bytes of its request.
pub type Operation = (String, Vec<u8>);

const INSERT: &str = "WITH fresh AS MATERIALIZED (
     SELECT * FROM unnest(
         $1::text[] /* campaigns */, $2::int[] /* versions */, $3::text[] /* invitees */,
         $4::text[] /* kinds */, $5::text[] /* sides */, $6::text[] /* beneficiaries */,
         $7::bigint[] /* triggers */, $8::text[] /* currencies */, $9::bigint[] /* most */,
         $10::text[] /* reasons */)
     AS f (campaign_id, campaign_version, invitee, kind, side, beneficiary, trigger_id, currency,
           most_minor, reason)),
 stored AS (
     INSERT INTO reward (campaign_id, campaign_version, invitee, kind, side, beneficiary,
                         trigger_id, currency, most_minor, state, event, reason, actor)
     SELECT campaign_id, campaign_version, invitee, kind, side, beneficiary, trigger_id, currency,
            most_minor, CASE WHEN reason IS NULL THEN 'CREATE' ELSE 'REVIEW' END,
            CASE WHEN reason IS NULL THEN 'grant' ELSE 'hold' END, reason, $11 /* actor */
     FROM fresh
     ON CONFLICT ON CONSTRAINT reward_key DO NOTHING
     RETURNING id, campaign_id, invitee, kind, side, state)
 SELECT id, campaign_id, invitee, kind, side FROM stored WHERE state = 'CREATE'
 UNION ALL SELECT NULL, NULL, NULL, NULL, NULL FROM stored WHERE state <> 'CREATE' /* insert_rewards */";

/// Stores rewards, and for those that nobody has to look at the task of drawing. There is none for the same
/// key yet, or this fails.
pub async fn insert(
    transaction: &Prepared<'_>,
    actor: &str,
    rewards: &[NewReward],
) -> Result<(), Error> {
    let statement = if planted(Bug::MissingUniqueKey) {
        let careless = INSERT.replace("ON CONFLICT ON CONSTRAINT reward_key DO NOTHING", "");
        transaction.prepare_cached(&careless).await?
    } else {
        transaction.prepare_cached(INSERT).await?
    };
    let text = |of: fn(&NewReward) -> &str| rewards.iter().map(of).collect::<Vec<&str>>();
    let versions: Vec<i32> = rewards.iter().map(|it| it.version.0).collect();
    let triggers: Vec<Option<i64>> = rewards.iter().map(|it| it.trigger_id).collect();
    let most: Vec<i64> = rewards.iter().map(|it| it.most_minor).collect();
    let held: Vec<Option<&str>> = rewards.iter().map(|it| it.held).collect();
    let rows = transaction
        .query(
            &statement,
            &[
                &text(|it| it.key.campaign.as_str()),
                &versions,
                &text(|it| &it.key.invitee),
                &text(|it| &it.key.kind),
                &text(|it| it.key.side.name()),
                &text(|it| &it.beneficiary),
                &triggers,
                &text(|it| &it.currency),
                &most,
                &held,
                &actor,
            ],
        )
        .await?;
    let expected = u64::try_from(rewards.len()).unwrap_or(u64::MAX);
    expect_rows("insert_rewards", expected, u64::try_from(rows.len()).unwrap_or(u64::MAX))?;
    let mut draws: HashMap<&Key, _> =
        rewards.iter().map(|it| (&it.key, it.draw.as_ref())).collect();
    let mut tasks = Vec::new();
    for row in rows {
        let Some(id) = row.try_get::<_, Option<i64>>(0)? else { continue };
        let campaign: &str = row.try_get(1)?;
        let key = Key {
            campaign: parsed(campaign)?,
            invitee: row.try_get(2)?,
            kind: row.try_get(3)?,
            side: side(row.try_get(4)?)?,
        };
        tasks.push((id, draws.remove(&key).flatten()));
    }
    insert_draws(transaction, &tasks).await
}

/// Stores the tasks of drawing. Joined to the rewards in one statement, they would be compared each with each:
/// nobody knows how many there are.
async fn insert_draws(
    transaction: &Prepared<'_>,
    tasks: &[(i64, Option<&Operation>)],
) -> Result<(), Error> {
    let statement = transaction
        .prepare_cached(
            "INSERT INTO reward_task (reward_id, step, operation_id, request)
             SELECT id, 'draw', operation_id, request
             FROM unnest($1::bigint[] /* rewards */, $2::text[] /* operations */, $3::bytea[] /* requests */)
                  AS t (id, operation_id, request) /* insert_draws */",
        )
        .await?;
    let ids: Vec<i64> = tasks.iter().map(|(id, _)| *id).collect();
    let operations: Vec<Option<&str>> =
        tasks.iter().map(|(_, draw)| draw.map(|it| it.0.as_str())).collect();
    let requests: Vec<Option<&[u8]>> =
        tasks.iter().map(|(_, draw)| draw.map(|it| it.1.as_slice())).collect();
    let stored = transaction.execute(&statement, &[&ids, &operations, &requests]).await?;
    expect_rows("insert_draws", u64::try_from(tasks.len()).unwrap_or(u64::MAX), stored)
}

fn parsed(campaign: &str) -> Result<CampaignId, Error> {
    campaign.parse().map_err(|_bad| Error::Corrupt("reward", format!("campaign {campaign}")))
}

fn columns<'a>(pairs: &[(&'a CampaignId, &'a str)]) -> (Vec<&'a str>, Vec<&'a str>) {
    pairs.iter().map(|(campaign, name)| (campaign.as_str(), *name)).unzip()
}
