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

/// Whether a domain tells capitals from small letters, from now on; `None` is the default domain.
/// Answers `false` if there is no such domain.
pub async fn set_case(
    transaction: &Transaction<'_>,
    host: Option<&str>,
    case: LetterCase,
) -> Result<bool, Error> {
    let changed = transaction
        .execute(
            "UPDATE domain SET case_insensitive = $2 /* case_insensitive */
             WHERE host IS NOT DISTINCT FROM $1 /* host, set_case */",
            &[&host, &(case == LetterCase::Folded)],
        )
        .await?;
    Ok(changed == 1)
}

/// A slug with capitals in a domain, if there is one: nobody would find it if the domain folded.
pub async fn slug_with_capitals(
    transaction: &Transaction<'_>,
    host: Option<&str>,
) -> Result<Option<String>, Error> {
    let row = transaction
        .query_opt(
            "SELECT slug FROM link JOIN domain ON domain.id = link.domain_id
             WHERE domain.host IS NOT DISTINCT FROM $1 /* host */ AND slug <> lower(slug)
             LIMIT 1 /* slug_with_capitals */",
            &[&host],
        )
        .await?;
    row.map(|row| Ok(row.try_get(0)?)).transpose()
}

fn read(row: &Row) -> Result<Domain, Error> {
    let folds: bool = row.try_get("case_insensitive")?;
    Ok(Domain {
        id: DomainId(row.try_get("id")?),
        host: row.try_get("host")?,
        case: if folds { LetterCase::Folded } else { LetterCase::Exact },
    })
}
