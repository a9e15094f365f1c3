//! Looking for what was forgotten, a bounded piece at a time, and the figures that have to be asked for.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{side, state};
use crate::campaign::{CampaignId, Version};
use crate::reward::machine::{Side, State, StepKind};
use crate::store::{Error, Store, Transaction, expect_rows};

/// Any number, the same in all processes: who holds it may sweep.
const ADVISORY_LOCK: i64 = 0x5741_5950_5357_4550;

/// Whether this transaction may sweep until it ends. If not, another process does.
pub async fn begin(transaction: &Transaction<'_>) -> Result<bool, Error> {
    // Rewards are granted on other connections meanwhile; who freezes keeps nobody but other sweepers.
    transaction
        .batch_execute("SET LOCAL idle_in_transaction_session_timeout = '60s' /* sweep_slowly */")
        .await?;
    let row = transaction
        .query_one("SELECT pg_try_advisory_xact_lock($1 /* key, begin_sweep */)", &[&ADVISORY_LOCK])
        .await?;
    Ok(row.try_get(0)?)
}

/// What is looked at once more, in the order of its numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// Triggers.
    Trigger,
    /// Bindings.
    Binding,
    /// Rewards.
    Reward,
}

impl What {
    /// Its name, in the database and in the figures.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Trigger => "trigger",
            Self::Binding => "binding",
            Self::Reward => "reward",
        }
    }
}

/// How far it was looked at: everything up to this number.
pub async fn position(transaction: &Transaction<'_>, what: What) -> Result<i64, Error> {
    let row = transaction
        .query_one(
            "SELECT position FROM sweep_position WHERE what = $1 /* what, sweep_position */",
            &[&what.name()],
        )
        .await?;
    Ok(row.try_get(0)?)
}

/// Notes how far it was looked at.
pub async fn advance(
    transaction: &Transaction<'_>,
    what: What,
    (from, to): (i64, i64),
) -> Result<(), Error> {
    let advanced = transaction
        .execute(
            "UPDATE sweep_position SET position = $3 /* to */
             WHERE what = $1 /* what */ AND position = $2 /* from, advance_sweep */",
            &[&what.name(), &from, &to],
        )
        .await?;
    expect_rows("advance_sweep", 1, advanced)
}

/// A trigger or a binding that was looked at. A binding stands there once for each trigger of its invitee.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Looked {
    /// Its number.
    pub id: i64,
    /// When it came.
    pub came_at: Timestamp,
    /// The trigger of somebody who is bound; `None`: there is none, or nobody is.
    pub earned: Option<Earned>,
}

/// A trigger of somebody who is bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Earned {
    /// The trigger.
    pub trigger: i64,
    /// In which campaign.
    pub campaign: CampaignId,
    /// The version that was promised.
    pub version: Version,
    /// What was reached.
    pub kind: String,
    /// When.
    pub occurred_at: Timestamp,
    /// For whom there is a reward already.
    pub rewarded: Vec<Side>,
}

fn looked(row: &Row) -> Result<Looked, Error> {
    let (trigger, version): (Option<i64>, Option<i32>) =
        (row.try_get("trigger")?, row.try_get("campaign_version")?);
    let earned = match trigger.zip(version) {
        None => None,
        Some((trigger, version)) => Some(earned(row, trigger, Version(version))?),
    };
    Ok(Looked { id: row.try_get("id")?, came_at: row.try_get("came_at")?, earned })
}

fn earned(row: &Row, trigger: i64, version: Version) -> Result<Earned, Error> {
    let campaign: &str = row.try_get("campaign_id")?;
    let corrupt = |_bad| Error::Corrupt("trigger_event", format!("campaign {campaign}"));
    let sides: Vec<&str> = row.try_get("sides")?;
    Ok(Earned {
        trigger,
        campaign: campaign.parse().map_err(corrupt)?,
        version,
        kind: row.try_get("kind")?,
        occurred_at: row.try_get("occurred_at")?,
        rewarded: sides.into_iter().map(side).collect::<Result<_, _>>()?,
    })
}

/// Up to `most` triggers that come after this one.
pub async fn triggers_after(
    transaction: &Transaction<'_>,
    after: i64,
    most: i64,
) -> Result<Vec<Looked>, Error> {
    let rows = transaction
        .query(
            "WITH looked AS MATERIALIZED (
                 SELECT id, received_at, occurred_at, campaign_id, user_id, kind FROM trigger_event
                 WHERE id > $1 /* after */ ORDER BY id LIMIT $2 /* most */)
             SELECT l.id, l.received_at AS came_at, l.id AS trigger, l.campaign_id, l.kind, l.occurred_at,
                    b.campaign_version,
                    ARRAY(SELECT r.side FROM reward r WHERE r.campaign_id = l.campaign_id
                          AND r.invitee = l.user_id AND r.kind = l.kind) AS sides
             FROM looked l
             LEFT JOIN binding b ON b.campaign_id = l.campaign_id AND b.invitee = l.user_id
             ORDER BY l.id /* triggers_after */",
            &[&after, &most],
        )
        .await?;
    rows.iter().map(looked).collect()
}

/// Up to `most` triggers for which nothing could be granted before; any of them, so that none is always behind
/// the others.
pub async fn late_triggers(transaction: &Transaction<'_>, most: i64) -> Result<Vec<Looked>, Error> {
    let rows = transaction
        .query(
            "WITH late AS MATERIALIZED (
                 SELECT trigger_id FROM late_trigger ORDER BY random() LIMIT $1 /* most */)
             SELECT t.id, t.received_at AS came_at, t.id AS trigger, t.campaign_id, t.kind, t.occurred_at,
                    b.campaign_version,
                    ARRAY(SELECT r.side FROM reward r WHERE r.campaign_id = t.campaign_id
                          AND r.invitee = t.user_id AND r.kind = t.kind) AS sides
             FROM late l JOIN trigger_event t ON t.id = l.trigger_id
             LEFT JOIN binding b ON b.campaign_id = t.campaign_id AND b.invitee = t.user_id
             ORDER BY t.id /* late_triggers */",
            &[&most],
        )
        .await?;
    rows.iter().map(looked).collect()
}

/// Notes for which triggers nothing could be granted yet, and why: they are tried again.
pub async fn note_late(transaction: &Transaction<'_>, late: &[(i64, String)]) -> Result<(), Error> {
    if late.is_empty() {
        return Ok(());
    }
    let (triggers, reasons): (Vec<i64>, Vec<&str>) =
        late.iter().map(|(trigger, reason)| (*trigger, reason.as_str())).unzip();
    transaction
        .execute(
            "INSERT INTO late_trigger (trigger_id, reason)
             SELECT DISTINCT ON (trigger_id) * FROM unnest($1::bigint[] /* triggers */, $2::text[] /* reasons */)
                  AS l (trigger_id, reason)
             ON CONFLICT (trigger_id) DO UPDATE SET reason = excluded.reason /* note_late */",
            &[&triggers, &reasons],
        )
        .await?;
    Ok(())
}

/// Settles those of these triggers that are not late any more.
pub async fn settle_late(
    transaction: &Transaction<'_>,
    tried: &[i64],
    left: &[(i64, String)],
) -> Result<(), Error> {
    let left: Vec<i64> = left.iter().map(|(trigger, _)| *trigger).collect();
    transaction
        .execute(
            "DELETE FROM late_trigger WHERE trigger_id = ANY($1::bigint[] /* tried */)
             AND trigger_id <> ALL($2::bigint[] /* left */) /* settle_late */",
            &[&tried, &left],
        )
        .await?;
    Ok(())
}

/// Up to `most` bindings that come after this one, with the last trigger of each kind of their invitees: if any
/// of a kind is due, that one is.
pub async fn bindings_after(
    transaction: &Transaction<'_>,
    after: i64,
    most: i64,
) -> Result<Vec<Looked>, Error> {
    let rows = transaction
        .query(
            "WITH looked AS MATERIALIZED (
                 SELECT id, bound_at, campaign_id, invitee, campaign_version FROM binding
                 WHERE id > $1 /* after */ ORDER BY id LIMIT $2 /* most */)
             SELECT l.id, l.bound_at AS came_at, t.id AS trigger, l.campaign_id, t.kind, t.occurred_at,
                    l.campaign_version,
                    ARRAY(SELECT r.side FROM reward r WHERE r.campaign_id = l.campaign_id
                          AND r.invitee = l.invitee AND r.kind = t.kind) AS sides
             FROM looked l
             LEFT JOIN LATERAL (
                 SELECT DISTINCT ON (e.kind) e.id, e.kind, e.occurred_at FROM trigger_event e
                 WHERE e.campaign_id = l.campaign_id AND e.user_id = l.invitee
                 ORDER BY e.kind, e.occurred_at DESC) t ON true
             ORDER BY l.id, t.id /* bindings_after */",
            &[&after, &most],
        )
        .await?;
    rows.iter().map(looked).collect()
}

/// The binding of one invitee, with the last trigger of each kind.
pub async fn binding_of(
    store: &Store,
    campaign: &CampaignId,
    invitee: &str,
) -> Result<Vec<Looked>, Error> {
    let connection = store.rewards().await?;
    let statement = connection
        .prepare_cached(
            "SELECT b.id, b.bound_at AS came_at, t.id AS trigger, b.campaign_id, t.kind, t.occurred_at,
                    b.campaign_version,
                    ARRAY(SELECT r.side FROM reward r WHERE r.campaign_id = b.campaign_id
                          AND r.invitee = b.invitee AND r.kind = t.kind) AS sides
             FROM binding b JOIN LATERAL (
                 SELECT DISTINCT ON (e.kind) e.id, e.kind, e.occurred_at FROM trigger_event e
                 WHERE e.campaign_id = b.campaign_id AND e.user_id = b.invitee
                 ORDER BY e.kind, e.occurred_at DESC) t ON true
             WHERE b.campaign_id = $1 /* campaign */ AND b.invitee = $2 /* invitee */
             ORDER BY t.id /* binding_of */",
        )
        .await?;
    let rows = connection.query(&statement, &[&campaign.as_str(), &invitee]).await?;
    rows.iter().map(looked).collect()
}

/// A reward that waits for a step, and has no task.
#[derive(Clone, Debug)]
pub struct Stuck {
    /// The reward.
    pub id: i64,
    /// In which campaign.
    pub campaign: CampaignId,
    /// The version that was promised.
    pub campaign_version: Version,
    /// Whose binding.
    pub invitee: String,
    /// For which kind of trigger.
    pub kind: String,
    /// For whom of the two.
    pub side: Side,
    /// Who gets it.
    pub beneficiary: String,
    /// What amounts are in.
    pub currency: String,
    /// The most that it can come to, in minor units.
    pub most_minor: i64,
    /// What it came to, in minor units, once that is known.
    pub amount_minor: Option<i64>,
    /// Where it stands.
    pub state: State,
    /// How far its log goes.
    pub version: i32,
}

/// Where the search for rewards without a task goes on: after this state and number.
pub type Place = (String, i64);

/// Of up to `most` open rewards that come after a place, those that have waited for a step for so long, and
/// have no task; and where to go on, if there may be more.
pub async fn stuck(
    transaction: &Transaction<'_>,
    quiet: Duration,
    after: &Place,
    most: i64,
) -> Result<(Vec<Stuck>, Option<Place>), Error> {
    let rows = transaction
        .query(
            "WITH looked AS MATERIALIZED (
                 SELECT * FROM reward
                 WHERE state IN ('CREATE', 'DRAWN', 'REVEALED') AND (state, id) > ($1 /* state */, $2 /* id */)
                 ORDER BY state, id LIMIT $4 /* most */),
             judged AS (
                 SELECT l.*, l.changed_at < now() - $3::float8 /* quiet */ * interval '1 second'
                        AND NOT EXISTS (SELECT FROM reward_task t
                                        WHERE t.reward_id = l.id AND t.step <> 'remind') AS stuck,
                        row_number() OVER (ORDER BY l.state, l.id) AS place
                 FROM looked l)
             SELECT * FROM judged WHERE stuck OR place = $4 ORDER BY place /* stuck_rewards */",
            &[&after.0, &after.1, &quiet.as_secs_f64(), &most],
        )
        .await?;
    let (mut found, mut next) = (Vec::new(), None);
    for row in &rows {
        let place: i64 = row.try_get("place")?;
        if place == most {
            next = Some((row.try_get("state")?, row.try_get("id")?));
        }
        if row.try_get("stuck")? {
            found.push(stuck_reward(row)?);
        }
    }
    Ok((found, next))
}

fn stuck_reward(row: &Row) -> Result<Stuck, Error> {
    let campaign: &str = row.try_get("campaign_id")?;
    let corrupt = |_bad| Error::Corrupt("reward", format!("campaign {campaign}"));
    Ok(Stuck {
        id: row.try_get("id")?,
        campaign: campaign.parse().map_err(corrupt)?,
        campaign_version: Version(row.try_get("campaign_version")?),
        invitee: row.try_get("invitee")?,
        kind: row.try_get("kind")?,
        side: side(row.try_get("side")?)?,
        beneficiary: row.try_get("beneficiary")?,
        currency: row.try_get("currency")?,
        most_minor: row.try_get("most_minor")?,
        amount_minor: row.try_get("amount_minor")?,
        state: state(row.try_get("state")?)?,
        version: row.try_get("version")?,
    })
}

/// A task to be made again.
#[derive(Clone, Debug)]
pub struct Remade {
    /// The reward.
    pub id: i64,
    /// How far its log went.
    pub version: i32,
    /// The step that it waits for.
    pub step: StepKind,
    /// The operation and its request, as they were; `None`: the step asks nobody.
    pub operation: Option<(String, Vec<u8>)>,
}

/// Makes tasks again, of rewards that stand where they stood. They may have been sent ever since the reward
/// came to where it is: so they are asked for first. Says how many were made.
pub async fn remake(transaction: &Transaction<'_>, remade: &[Remade]) -> Result<u64, Error> {
    let ids: Vec<i64> = remade.iter().map(|it| it.id).collect();
    let versions: Vec<i32> = remade.iter().map(|it| it.version).collect();
    let steps: Vec<&str> = remade.iter().map(|it| it.step.name()).collect();
    let operations = || remade.iter().map(|it| it.operation.as_ref());
    let names: Vec<Option<&str>> = operations().map(|it| Some(it?.0.as_str())).collect();
    let requests: Vec<Option<&[u8]>> = operations().map(|it| Some(it?.1.as_slice())).collect();
    Ok(transaction
        .execute(
            "INSERT INTO reward_task (reward_id, step, operation_id, request, first_sent_at)
             SELECT r.id, m.step, m.operation_id, m.request,
                    CASE WHEN m.operation_id IS NOT NULL THEN r.changed_at END
             FROM unnest($1::bigint[] /* rewards */, $2::int[] /* versions */, $3::text[] /* steps */,
                         $4::text[] /* operations */, $5::bytea[] /* requests */)
                  AS m (reward_id, version, step, operation_id, request)
             JOIN reward r ON r.id = m.reward_id AND r.version = m.version
             ON CONFLICT (reward_id, step) DO NOTHING /* remake_tasks */",
            &[&ids, &versions, &steps, &names, &requests],
        )
        .await?)
}

/// Drops those of up to `most` tasks, of the rewards from this number on, that their rewards do not wait for.
/// Says which, and from where to go on, if there may be more.
pub async fn drop_needless(
    transaction: &Transaction<'_>,
    from: i64,
    most: i64,
) -> Result<(Vec<(i64, String)>, Option<i64>), Error> {
    let last = transaction
        .query_one(
            "SELECT max(reward_id), count(*) FROM (
                 SELECT reward_id FROM reward_task WHERE reward_id >= $1 /* from */
                 ORDER BY reward_id, step LIMIT $2 /* most */) looked /* last_task */",
            &[&from, &most],
        )
        .await?;
    let (last, count): (Option<i64>, i64) = (last.try_get(0)?, last.try_get(1)?);
    let Some(last) = last else { return Ok((Vec::new(), None)) };
    let rows = transaction
        .query(
            "DELETE FROM reward_task t USING reward r
             WHERE t.reward_id BETWEEN $1 /* from */ AND $2 /* last */ AND r.id = t.reward_id
               AND (t.step, r.state) NOT IN (('draw', 'CREATE'), ('allot', 'DRAWN'),
                                             ('pay', 'REVEALED'), ('remind', 'NEW'))
             RETURNING t.reward_id, t.step /* drop_needless_tasks */",
            &[&from, &last],
        )
        .await?;
    let dropped = rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?)));
    // All tasks of the last one were looked at, too.
    let next = (count == most).then_some(last.saturating_add(1));
    Ok((dropped.collect::<Result<_, Error>>()?, next))
}

/// A reward that was looked at: its number, when it was granted, and, where it counts for an inviter's cap,
/// the campaign and the inviter.
pub type Counting = (i64, Timestamp, Option<(String, String)>);

/// Up to `most` rewards that come after this one.
pub async fn rewards_after(
    transaction: &Transaction<'_>,
    after: i64,
    most: i64,
) -> Result<Vec<Counting>, Error> {
    let rows = transaction
        .query(
            "SELECT id, created_at, campaign_id, beneficiary, side = 'inviter' AS counts FROM reward
             WHERE id > $1 /* after */ ORDER BY id LIMIT $2 /* most, rewards_after */",
            &[&after, &most],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let counts: bool = row.try_get("counts")?;
            let inviter = (row.try_get("campaign_id")?, row.try_get("beneficiary")?);
            Ok((row.try_get("id")?, row.try_get("created_at")?, counts.then_some(inviter)))
        })
        .collect()
}

/// Raises tallies that are lower than the number of rewards that inviters were granted; says which, and to
/// how many. What then is beyond the cap counts as allowed: it was granted.
pub async fn raise_tallies(
    transaction: &Transaction<'_>,
    inviters: &[(String, String)],
) -> Result<Vec<(String, i32)>, Error> {
    let (campaigns, names): (Vec<&str>, Vec<&str>) =
        inviters.iter().map(|(campaign, name)| (campaign.as_str(), name.as_str())).unzip();
    let rows = transaction
        .query(
            "WITH counted AS MATERIALIZED (
                 SELECT u.campaign_id, u.inviter,
                        (SELECT count(*)::int FROM reward r
                         WHERE r.campaign_id = u.campaign_id AND r.beneficiary = u.inviter
                           AND r.side = 'inviter' AND r.state NOT IN ('REVIEW', 'DENIED')) AS granted
                 FROM unnest($1::text[] /* campaigns */, $2::text[] /* inviters */)
                      AS u (campaign_id, inviter))
             INSERT INTO inviter_tally AS t (campaign_id, inviter, rewards, allowed)
             SELECT c.campaign_id, c.inviter, c.granted, c.granted FROM counted c
             LEFT JOIN inviter_tally known
                  ON known.campaign_id = c.campaign_id AND known.inviter = c.inviter
             WHERE c.granted > coalesce(known.rewards, 0)
             ORDER BY c.campaign_id, c.inviter
             ON CONFLICT (campaign_id, inviter) DO UPDATE
             SET rewards = excluded.rewards, allowed = greatest(t.allowed, excluded.rewards - t.lifted)
             WHERE t.rewards < excluded.rewards
             RETURNING t.campaign_id, t.rewards /* raise_tallies */",
            &[&campaigns, &names],
        )
        .await?;
    rows.iter().map(|row| Ok((row.try_get(0)?, row.try_get(1)?))).collect()
}

/// How rewards stand, of all processes.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Figures {
    /// Unfinished rewards by state. Cards that wait for their owners are counted only when that was wanted.
    pub open: BTreeMap<State, i64>,
    /// Tasks that are due now.
    pub tasks_due: i64,
    /// For how long the oldest of them has been due, in seconds.
    pub oldest_due_seconds: f64,
    /// Triggers for which nothing could be granted yet.
    pub late_triggers: i64,
    /// By campaign: what is left of the budget, what is promised, what was paid, in minor units.
    pub accounts: Vec<(String, [i64; 3])>,
    /// Differences of the books that nobody has settled, by kind.
    pub differences: Vec<(String, i64)>,
}

/// Counts; never through whole tables. `cards` says whether cards that wait are counted, too: there may be
/// many of them.
pub async fn figures(store: &Store, cards: bool) -> Result<Figures, Error> {
    let connection = store.rewards().await?;
    let open = "SELECT state, count(*) FROM reward
                WHERE state IN ('REVIEW', 'CREATE', 'DRAWN', 'REVEALED', 'PARKED')
                GROUP BY state /* count_open_rewards */";
    let mut figures = Figures::default();
    for row in connection.query(&connection.prepare_cached(open).await?, &[]).await? {
        figures.open.insert(state(row.try_get(0)?)?, row.try_get(1)?);
    }
    if cards {
        let waiting = "SELECT count(*) FROM reward WHERE state = 'NEW' /* count_cards */";
        let waiting = connection.query_one(&connection.prepare_cached(waiting).await?, &[]).await?;
        figures.open.insert(State::New, waiting.try_get(0)?);
    }
    let due = "SELECT count(*), coalesce(extract(epoch FROM now() - min(due_at)), 0)::float8
               FROM reward_task WHERE due_at <= now() /* count_due_tasks */";
    let due = connection.query_one(&connection.prepare_cached(due).await?, &[]).await?;
    (figures.tasks_due, figures.oldest_due_seconds) = (due.try_get(0)?, due.try_get(1)?);
    let late = "SELECT count(*) FROM late_trigger /* count_late */";
    let late = connection.query_one(&connection.prepare_cached(late).await?, &[]).await?;
    figures.late_triggers = late.try_get(0)?;
    let accounts = "SELECT campaign_id, budget_minor, promised_minor, paid_minor
                    FROM campaign_account /* all_accounts */";
    for row in connection.query(&connection.prepare_cached(accounts).await?, &[]).await? {
        let balances = [row.try_get(1)?, row.try_get(2)?, row.try_get(3)?];
        figures.accounts.push((row.try_get(0)?, balances));
    }
    let differences = "SELECT difference, count(*) FROM reconciliation_difference
                       GROUP BY difference /* count_differences */";
    for row in connection.query(&connection.prepare_cached(differences).await?, &[]).await? {
        figures.differences.push((row.try_get(0)?, row.try_get(1)?));
    }
    Ok(figures)
}
