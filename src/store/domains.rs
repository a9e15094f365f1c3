//! The hosts under which links are found.

use tokio_postgres::Row;

use super::{Error, Store, Transaction};
use crate::code::slug::LetterCase;
use crate::link::DomainId;
use crate::link::model::Domain;

/// All domains, the default one first.
pub async fn all(transaction: &Transaction<'_>) -> Result<Vec<Domain>, Error> {
    let rows = transaction
        .query("SELECT id, host, case_insensitive FROM domain ORDER BY id /* all_domains */", &[])
        .await?;
    rows.iter().map(read).collect()
}

/// All domains, outside of any transaction.
pub async fn list(store: &Store) -> Result<Vec<Domain>, Error> {
    let connection = store.connection().await?;
    let rows = connection
        .query("SELECT id, host, case_insensitive FROM domain ORDER BY id /* list_domains */", &[])
        .await?;
    rows.iter().map(read).collect()
}

/// Adds a domain; `None` if its host is there already.
pub async fn add(
    transaction: &Transaction<'_>,
    host: &str,
    case: LetterCase,
) -> Result<Option<Domain>, Error> {
    let row = transaction
        .query_opt(
            "INSERT INTO domain (host, case_insensitive)
             VALUES ($1 /* host */, $2 /* case_insensitive */)
             ON CONFLICT (host) DO NOTHING
             RETURNING id, host, case_insensitive /* add_domain */",
            &[&host, &(case == LetterCase::Folded)],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

fn read(row: &Row) -> Result<Domain, Error> {
    let folds: bool = row.try_get("case_insensitive")?;
    Ok(Domain {
        id: DomainId(row.try_get("id")?),
        host: row.try_get("host")?,
        case: if folds { LetterCase::Folded } else { LetterCase::Exact },
    })
}
