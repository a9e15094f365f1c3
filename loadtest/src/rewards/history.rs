//! Databases with finished rewards, and with rewards that wait.

use super::stage::{BASE, EACH, Stage};
use crate::database::broken;
use crate::{Error, Options, say};

/// Finished rewards in the database that has few of them.
pub(crate) const FEW: u32 = 10_000;

/// Invitees whose rewards are made at a time.
const CHUNK: u32 = 100_000;

/// Makes the database `name`: so many finished rewards, and then those that wait.
pub(super) fn make(
    stage: &Stage,
    options: &Options,
    name: &str,
    finished: u32,
) -> Result<(), Error> {
    say(&format!("Making a database with {finished} finished rewards."));
    stage.copy(BASE, name)?;
    let database = stage.database(name, 1)?;
    let guards = |state: &str| {
        format!(
            "ALTER TABLE reward {state} TRIGGER USER; ALTER TABLE reward_log {state} TRIGGER USER"
        )
    };
    database.run(&[&guards("DISABLE")])?;
    // Two for each invitee.
    let invitees = finished / 2;
    let mut first = 0;
    while first < invitees {
        let last = invitees.min(first + CHUNK) - 1;
        database.run(&[&past(first, last)])?;
        first = last + 1;
    }
    database.run(&[&guards("ENABLE"), &balance(), &backlog(options.backlog), TALLIES])?;
    database.run(&["VACUUM ANALYZE", "CHECKPOINT"])?;
    let off = database.number(OFF)?;
    if off != 0 {
        return Err(broken(format!("the books of {name} do not balance in {off} campaigns")));
    }
    Ok(())
}

/// Rewards of these invitees, from the grant to the payout, with their log and their books.
fn past(first: u32, last: u32) -> String {
    format!(
        "/* past_rewards */
         INSERT INTO referral_code (code, campaign_id, user_id)
         SELECT 'C' || lpad(n::text, 9, '0'), 'two', 'earlier-inviter-' || n
         FROM generate_series({first} / {EACH}, {last} / {EACH}) AS n ON CONFLICT DO NOTHING;
         INSERT INTO binding (campaign_id, invitee, inviter, code, campaign_version, state)
         SELECT 'two', 'earlier-invitee-' || n, 'earlier-inviter-' || n / {EACH},
                'C' || lpad((n / {EACH})::text, 9, '0'), 1, 'bound'
         FROM generate_series({first}, {last}) AS n;
         WITH made AS (
             INSERT INTO reward (
                 campaign_id, campaign_version, invitee, kind, side, beneficiary, currency,
                 most_minor, amount_minor, draw, state, version, event, actor, operation_id, epoch,
                 lease_epoch, created_at, changed_at, card_due_at, card_expires_at)
             SELECT 'two', 1, 'earlier-invitee-' || n, 'loan_disbursed', side,
                    CASE side WHEN 'inviter' THEN 'earlier-inviter-' || n / {EACH}
                              ELSE 'earlier-invitee-' || n END,
                    'IDR', CASE side WHEN 'inviter' THEN 10000000 ELSE 2500000 END, 2500000,
                    CASE side WHEN 'inviter'
                         THEN '{{\"by\": \"table\", \"number\": 300000, \"prize\": 2, \"per_million\": 700000}}'
                         ELSE '{{\"by\": \"amount\"}}' END::jsonb,
                    'PAID', 5, 'pay', 'waypost', md5(side || n) || '-pay', 1, 1,
                    now() - interval '30 days', now() - interval '29 days',
                    now() - interval '27 days', now() - interval '21 days'
             FROM generate_series({first}, {last}) AS n,
                  (VALUES ('inviter'), ('invitee')) AS s (side)
             RETURNING id, operation_id, amount_minor, most_minor, created_at),
         logged AS (
             INSERT INTO reward_log (reward_id, version, from_state, event, to_state, actor,
                                     operation_id, epoch, lease_epoch, amount_minor, at)
             SELECT id, version, from_state, event, to_state, 'waypost', operation_id, epoch, epoch,
                    CASE WHEN version > 1 THEN amount_minor END,
                    created_at + version * interval '1 hour'
             FROM made, (VALUES (1, '', 'grant', 'CREATE', NULL), (2, 'CREATE', 'draw', 'DRAWN', 1),
                                (3, 'DRAWN', 'allot', 'NEW', 1), (4, 'NEW', 'reveal', 'REVEALED', NULL),
                                (5, 'REVEALED', 'pay', 'PAID', 1))
                        AS m (version, from_state, event, to_state, epoch))
         INSERT INTO ledger (campaign_id, reward_id, reward_version, debit, credit, amount_minor, at)
         SELECT 'two', id, version, debit, credit, amount, created_at
         FROM made, LATERAL (VALUES (1, 'budget', 'promised', most_minor),
                                    (2, 'promised', 'budget', most_minor - amount_minor),
                                    (5, 'promised', 'paid', amount_minor))
                            AS e (version, debit, credit, amount)
         WHERE amount > 0"
    )
}

/// What was paid, in the accounts; and those who look for what was forgotten have looked at all of it.
fn balance() -> String {
    "/* balance_past */
     UPDATE campaign_account a
     SET budget_minor = budget_minor - paid, paid_minor = paid
     FROM (SELECT campaign_id, sum(paid_minor)::bigint AS paid FROM reward GROUP BY 1) r
     WHERE r.campaign_id = a.campaign_id;
     UPDATE sweep_position
     SET position = CASE what WHEN 'binding' THEN (SELECT max(id) FROM binding)
                              WHEN 'reward' THEN (SELECT coalesce(max(id), 0) FROM reward)
                              ELSE position END"
        .to_owned()
}

/// Rewards that nobody has worked on, two for each invitee.
fn backlog(count: u32) -> String {
    format!(
        "/* backlog */
         INSERT INTO reward (campaign_id, campaign_version, invitee, kind, side, beneficiary,
                             currency, most_minor, state, event, actor)
         SELECT campaign_id, campaign_version, invitee, 'loan_disbursed', side,
                CASE side WHEN 'inviter' THEN inviter ELSE invitee END, 'IDR',
                CASE side WHEN 'inviter' THEN 10000000 ELSE 2500000 END, 'CREATE', 'grant', 'waypost'
         FROM generate_series(0, {count} / 2 - 1) AS n
         JOIN binding ON campaign_id = 'two' AND invitee = 'invitee-' || n,
              (VALUES ('inviter'), ('invitee')) AS s (side)
         ORDER BY n;
         INSERT INTO reward_task (reward_id, step)
         SELECT id, 'draw' FROM reward WHERE state = 'CREATE' ORDER BY id"
    )
}

const TALLIES: &str = "/* tallies */
     INSERT INTO inviter_tally (campaign_id, inviter, rewards, allowed)
     SELECT campaign_id, beneficiary, count(*), 20 FROM reward WHERE side = 'inviter' GROUP BY 1, 2";

/// Campaigns whose accounts are not the sum of their ledger.
const OFF: &str = "/* unbalanced_campaigns */
     SELECT count(*) FROM campaign_account a
     JOIN (SELECT campaign_id,
                  sum(CASE 'budget' WHEN credit THEN amount_minor WHEN debit THEN -amount_minor ELSE 0 END) AS budget,
                  sum(CASE 'promised' WHEN credit THEN amount_minor WHEN debit THEN -amount_minor ELSE 0 END) AS promised,
                  sum(CASE 'paid' WHEN credit THEN amount_minor WHEN debit THEN -amount_minor ELSE 0 END) AS paid
           FROM ledger GROUP BY 1) l USING (campaign_id)
     WHERE (l.budget, l.promised, l.paid)
           IS DISTINCT FROM (a.budget_minor, a.promised_minor, a.paid_minor)";
