//! Sums over all links and campaigns, for people who look at them now and then. No index gives them, so
//! each has two seconds; in a large deployment some are not had then, and Prometheus has them.

use jiff::civil::Date;
use tokio_postgres::Row;

use super::clicks::Sums;
use super::{Error, Store};

/// How long the server may take for one sum.
const LIMIT: &str = "SET LOCAL statement_timeout = '2s' /* limit_sum */";

/// A sum for each of some days, in their order; `None`: it would have taken too long.
pub type Days<T> = Option<Vec<(Date, T)>>;

/// What was clicked on each day from `from` until before `to` on which anything was, over all links.
pub async fn clicks(store: &Store, from: Date, to: Date) -> Result<Days<Sums>, Error> {
    let query = "SELECT day, sum(total)::bigint AS total, sum(people)::bigint AS people,
                        sum(bots)::bigint AS bots
                 FROM click_day WHERE dimension = 'all' AND day >= $1 /* from */ AND day < $2 /* to */
                 GROUP BY day ORDER BY day /* sum_clicks */";
    let rows = sum(store, query, Some((from, to))).await?;
    let read = |row: &Row| {
        let (total, people) = (row.try_get("total")?, row.try_get("people")?);
        Ok((row.try_get("day")?, Sums { total, people, bots: row.try_get("bots")? }))
    };
    rows.map(|rows| rows.iter().map(read).collect()).transpose()
}

/// How many invitees were bound on each day (UTC) on which any were, over all campaigns.
pub async fn bindings(store: &Store, from: Date, to: Date) -> Result<Days<i64>, Error> {
    let query = "SELECT (bound_at AT TIME ZONE 'UTC')::date AS day, count(*) AS bindings
                 FROM binding
                 WHERE bound_at >= $1::date::timestamp AT TIME ZONE 'UTC' /* from */
                   AND bound_at < $2::date::timestamp AT TIME ZONE 'UTC' /* to */
                 GROUP BY 1 ORDER BY 1 /* sum_bindings */";
    let rows = sum(store, query, Some((from, to))).await?;
    let read = |row: &Row| Ok((row.try_get("day")?, row.try_get("bindings")?));
    rows.map(|rows| rows.iter().map(read).collect()).transpose()
}

/// How many rewards stand in each state, over all campaigns; `None`: it would have taken too long.
pub async fn rewards(store: &Store) -> Result<Option<Vec<(String, i64)>>, Error> {
    let query = "SELECT state, count(*) AS rewards FROM reward GROUP BY state /* sum_rewards */";
    let rows = sum(store, query, None).await?;
    let read = |row: &Row| Ok((row.try_get("state")?, row.try_get("rewards")?));
    rows.map(|rows| rows.iter().map(read).collect()).transpose()
}

/// What is in the accounts of a campaign, in minor units of its currency.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Whose.
    pub campaign: String,
    /// What nobody was promised.
    pub left_minor: i64,
    /// What somebody was promised and has not been paid.
    pub promised_minor: i64,
    /// What was paid.
    pub paid_minor: i64,
}

/// All accounts, by campaign.
pub async fn accounts(store: &Store) -> Result<Vec<Account>, Error> {
    let connection = store.connection().await?;
    let rows = connection
        .query(
            "SELECT campaign_id, budget_minor, promised_minor, paid_minor
             FROM campaign_account ORDER BY campaign_id /* list_accounts */",
            &[],
        )
        .await?;
    let read = |row: &Row| {
        Ok(Account {
            campaign: row.try_get("campaign_id")?,
            left_minor: row.try_get("budget_minor")?,
            promised_minor: row.try_get("promised_minor")?,
            paid_minor: row.try_get("paid_minor")?,
        })
    };
    rows.iter().map(read).collect()
}

/// The rows of a sum, unless the server's time for it runs out.
async fn sum(
    store: &Store,
    query: &str,
    days: Option<(Date, Date)>,
) -> Result<Option<Vec<Row>>, Error> {
    let mut connection = store.connection().await?;
    let transaction = connection.transaction().await?;
    transaction.batch_execute(LIMIT).await?;
    let rows = match &days {
        Some((from, to)) => transaction.query(query, &[from, to]).await,
        None => transaction.query(query, &[]).await,
    };
    match rows.map_err(Error::from) {
        Ok(rows) => Ok(Some(rows)),
        Err(error) if error.is_out_of_time() => Ok(None),
        Err(error) => Err(error),
    }
}
