//! Our side of the books, for the comparison with the payment service's, and what came of it.

use std::collections::HashMap;

use jiff::Timestamp;
use jiff::civil::Date;

use crate::store::{Error, Store, expect_rows};

/// A payout of ours.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Paid {
    /// The reward.
    pub reward: i64,
    /// In which campaign.
    pub campaign: String,
    /// Who got it.
    pub beneficiary: String,
    /// What the amount is in.
    pub currency: String,
    /// How much, in minor units.
    pub amount_minor: i64,
}

/// Those of these operations that are payouts in our books.
pub async fn paid(store: &Store, operations: &[&str]) -> Result<HashMap<String, Paid>, Error> {
    let connection = store.rewards().await?;
    let statement = connection
        .prepare_cached(
            "SELECT l.operation_id, l.reward_id, l.amount_minor, r.campaign_id, r.beneficiary, r.currency
             FROM reward_log l JOIN reward r ON r.id = l.reward_id
             WHERE l.event = 'pay' AND l.operation_id = ANY($1::text[] /* operations, paid */)",
        )
        .await?;
    let rows = connection.query(&statement, &[&operations]).await?;
    rows.iter()
        .map(|row| {
            let paid = Paid {
                reward: row.try_get("reward_id")?,
                campaign: row.try_get("campaign_id")?,
                beneficiary: row.try_get("beneficiary")?,
                currency: row.try_get("currency")?,
                amount_minor: row.try_get("amount_minor")?,
            };
            Ok((row.try_get("operation_id")?, paid))
        })
        .collect()
}

/// A payout of ours that is on its way, or stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unpaid {
    /// The reward.
    pub reward: i64,
    /// Whether its task is open; otherwise it is parked.
    pub open: bool,
}

/// Those of these operations that are payouts of ours which are not finished. Asked for few: the tables that
/// have them are small.
pub async fn unpaid(store: &Store, operations: &[&str]) -> Result<HashMap<String, Unpaid>, Error> {
    let connection = store.rewards().await?;
    let rows = connection
        .query(
            "SELECT operation_id, reward_id, true AS open FROM reward_task
             WHERE step = 'pay' AND operation_id = ANY($1::text[] /* operations */)
             UNION ALL
             SELECT operation_id, reward_id, false FROM parked_task
             WHERE step = 'pay' AND operation_id = ANY($1::text[]) /* unpaid */",
            &[&operations],
        )
        .await?;
    rows.iter()
        .map(|row| {
            let unpaid = Unpaid { reward: row.try_get("reward_id")?, open: row.try_get("open")? };
            Ok((row.try_get("operation_id")?, unpaid))
        })
        .collect()
}

/// A payout of ours, as it stands in the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Logged {
    /// The reward.
    pub reward: i64,
    /// What the payment service knows it by.
    pub operation: String,
    /// How much, in minor units.
    pub amount_minor: i64,
    /// When it was noted.
    pub at: Timestamp,
}

/// Up to `most` payouts that were noted before `end`, those after the moment and the reward of `after`.
pub async fn logged(
    store: &Store,
    after: (Timestamp, i64),
    end: Timestamp,
    most: i64,
) -> Result<Vec<Logged>, Error> {
    let connection = store.rewards().await?;
    // What stands there without an operation is none that the payment service could know.
    let statement = connection
        .prepare_cached(
            "SELECT reward_id, coalesce(operation_id, 'reward-' || reward_id) AS operation,
                    amount_minor, at
             FROM reward_log
             WHERE event = 'pay' AND (at, reward_id) > ($1 /* at */, $2 /* reward */) AND at < $3 /* end */
             ORDER BY at, reward_id LIMIT $4 /* most, logged_payouts */",
        )
        .await?;
    let rows = connection.query(&statement, &[&after.0, &after.1, &end, &most]).await?;
    rows.iter()
        .map(|row| {
            Ok(Logged {
                reward: row.try_get("reward_id")?,
                operation: row.try_get("operation")?,
                amount_minor: row.try_get("amount_minor")?,
                at: row.try_get("at")?,
            })
        })
        .collect()
}

/// When the first of these rewards was revealed: none of their payouts is older.
pub async fn first_revealed(store: &Store, rewards: &[i64]) -> Result<Option<Timestamp>, Error> {
    let connection = store.rewards().await?;
    let row = connection
        .query_one(
            "SELECT min(at) FROM reward_log
             WHERE reward_id = ANY($1::bigint[] /* rewards */) AND to_state = 'REVEALED' /* first_revealed */",
            &[&rewards],
        )
        .await?;
    Ok(row.try_get(0)?)
}

/// A difference between the books.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// What the payment service knows the payout by.
    pub operation: String,
    /// What is wrong: a stable word.
    pub difference: &'static str,
    /// The reward, where it is known.
    pub reward: Option<i64>,
    /// What both sides say.
    pub detail: serde_json::Value,
}

/// What came of comparing a day.
#[derive(Clone, Debug, PartialEq)]
pub struct Compared {
    /// The day, in UTC.
    pub day: Date,
    /// How many payouts the payment service has.
    pub payouts: i64,
    /// What they add up to, in minor units, whatever they are in.
    pub amount_minor: i64,
    /// Where the books differ.
    pub differences: Vec<Difference>,
}

/// Keeps what came of comparing a day, in place of what came of it before. Differences that were seen before
/// keep the moment at which they were.
pub async fn keep(store: &Store, compared: &Compared, now: Timestamp) -> Result<(), Error> {
    let mut connection = store.rewards().await?;
    let transaction = connection.transaction().await?;
    let found = &compared.differences;
    let operations: Vec<&str> = found.iter().map(|it| it.operation.as_str()).collect();
    let differences: Vec<&str> = found.iter().map(|it| it.difference).collect();
    let rewards: Vec<Option<i64>> = found.iter().map(|it| it.reward).collect();
    let details: Vec<&serde_json::Value> = found.iter().map(|it| &it.detail).collect();
    let count = i32::try_from(found.len()).unwrap_or(i32::MAX);
    let kept = transaction
        .execute(
            "INSERT INTO reconciled_day (day, payouts, amount_minor, differences, reconciled_at)
             VALUES ($1 /* day */, $2 /* payouts */, $3 /* amount */, $4 /* differences */, $5 /* now */)
             ON CONFLICT (day) DO UPDATE
             SET payouts = excluded.payouts, amount_minor = excluded.amount_minor,
                 differences = excluded.differences, reconciled_at = excluded.reconciled_at
             /* keep_day */",
            &[&compared.day, &compared.payouts, &compared.amount_minor, &count, &now],
        )
        .await?;
    expect_rows("keep_day", 1, kept)?;
    // May well drop none: most days have no difference.
    transaction
        .execute(
            "DELETE FROM reconciliation_difference d
             WHERE d.day = $1 /* day */ AND NOT EXISTS (
                 SELECT FROM unnest($2::text[] /* operations */, $3::text[] /* differences */)
                        AS f (operation_id, difference)
                 WHERE f.operation_id = d.operation_id AND f.difference = d.difference)
             /* drop_settled_differences */",
            &[&compared.day, &operations, &differences],
        )
        .await?;
    let kept = transaction
        .execute(
            "INSERT INTO reconciliation_difference (day, operation_id, difference, reward_id, detail, seen_at)
             SELECT $1 /* day */, f.* , $6 /* now */
             FROM unnest($2::text[] /* operations */, $3::text[] /* differences */, $4::bigint[] /* rewards */,
                         $5::jsonb[] /* details */) AS f
             ON CONFLICT (day, operation_id, difference) DO UPDATE
             SET reward_id = excluded.reward_id, detail = excluded.detail /* keep_differences */",
            &[&compared.day, &operations, &differences, &rewards, &details, &now],
        )
        .await?;
    expect_rows("keep_differences", u64::try_from(found.len()).unwrap_or(u64::MAX), kept)?;
    Ok(transaction.commit().await?)
}

/// A day that was compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Day {
    /// The day, in UTC.
    pub day: Date,
    /// How many payouts the payment service had.
    pub payouts: i64,
    /// What they add up to, in minor units, whatever they are in.
    pub amount_minor: i64,
    /// How many differences there are.
    pub differences: i32,
    /// When it was compared last.
    pub reconciled_at: Timestamp,
}

/// The days from `from` to `to`, the latter not included, that were compared; in their order.
pub async fn days(store: &Store, from: Date, to: Date) -> Result<Vec<Day>, Error> {
    let connection = store.rewards().await?;
    let rows = connection
        .query(
            "SELECT day, payouts, amount_minor, differences, reconciled_at FROM reconciled_day
             WHERE day >= $1 /* from */ AND day < $2 /* to */ ORDER BY day /* reconciled_days */",
            &[&from, &to],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Day {
                day: row.try_get("day")?,
                payouts: row.try_get("payouts")?,
                amount_minor: row.try_get("amount_minor")?,
                differences: row.try_get("differences")?,
                reconciled_at: row.try_get("reconciled_at")?,
            })
        })
        .collect()
}

/// A difference, as it is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredDifference {
    /// The day, in UTC, that it belongs to.
    pub day: Date,
    /// What the payment service knows the payout by.
    pub operation: String,
    /// What is wrong: a stable word.
    pub difference: String,
    /// The reward, where it is known.
    pub reward: Option<i64>,
    /// What both sides say.
    pub detail: serde_json::Value,
    /// When it was seen first.
    pub seen_at: Timestamp,
}

/// Up to `most` differences of these days, the first of `to` not included.
pub async fn differences(
    store: &Store,
    (from, to): (Date, Date),
    most: i64,
) -> Result<Vec<StoredDifference>, Error> {
    let connection = store.rewards().await?;
    let rows = connection
        .query(
            "SELECT day, operation_id, difference, reward_id, detail, seen_at FROM reconciliation_difference
             WHERE day >= $1 /* from */ AND day < $2 /* to */
             ORDER BY day, operation_id, difference LIMIT $3 /* most, differences */",
            &[&from, &to, &most],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(StoredDifference {
                day: row.try_get("day")?,
                operation: row.try_get("operation_id")?,
                difference: row.try_get("difference")?,
                reward: row.try_get("reward_id")?,
                detail: row.try_get("detail")?,
                seen_at: row.try_get("seen_at")?,
            })
        })
        .collect()
}
