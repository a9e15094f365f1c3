//! The hosts under which links are found.

use tokio_postgres::Row;

use super::{Error, Store, Transaction, expect_rows};
use crate::code::slug::LetterCase;
use crate::link::DomainId;
use crate::link::domains::{DomainDraft, DomainUrls, FullDomain};
use crate::link::model::Domain;

/// All domains, the default one first, as links need to know them. None of them changes before the
/// transaction ends: what was judged by them is stored under them.
pub async fn all(transaction: &Transaction<'_>) -> Result<Vec<Domain>, Error> {
    // A statement of its own: the look comes after the lock, and sees what the last change committed.
    transaction.batch_execute("LOCK TABLE domain IN ROW SHARE MODE /* hold_domains */").await?;
    let rows = transaction
        .query(
            "SELECT id, host, case_insensitive, slug_length FROM domain
             ORDER BY id /* all_domains */",
            &[],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// All domains as links need to know them, outside of any transaction.
pub async fn list(store: &Store) -> Result<Vec<Domain>, Error> {
    let connection = store.connection().await?;
    let rows = connection
        .query(
            "SELECT id, host, case_insensitive, slug_length FROM domain
             ORDER BY id /* list_domains */",
            &[],
        )
        .await?;
    rows.iter().map(read).collect()
}

/// All domains with all that is known of them, the default one first.
pub async fn list_full(store: &Store) -> Result<Vec<FullDomain>, Error> {
    let connection = store.connection().await?;
    let rows =
        connection.query("SELECT * FROM domain ORDER BY id /* list_full_domains */", &[]).await?;
    rows.iter().map(read_full).collect()
}

/// The same, for a change of one of them: until the transaction ends nobody else changes a domain, and
/// nobody makes, edits or deletes a link. What waits for that waits for a moment: domains are changed
/// a few times a year.
pub async fn all_for_change(transaction: &Transaction<'_>) -> Result<Vec<FullDomain>, Error> {
    transaction.batch_execute("LOCK TABLE domain IN EXCLUSIVE MODE /* lock_domains */").await?;
    let rows = transaction
        .query("SELECT * FROM domain ORDER BY id /* all_domains_for_change */", &[])
        .await?;
    rows.iter().map(read_full).collect()
}

/// Adds a domain whose host no other has.
pub async fn add(transaction: &Transaction<'_>, draft: &DomainDraft) -> Result<FullDomain, Error> {
    let row = transaction
        .query_one(
            "INSERT INTO domain (host, case_insensitive, slug_length, root_url, unknown_url, gone_url)
             VALUES ($1 /* host */, $2 /* case_insensitive */, $3 /* slug_length */,
                     $4 /* root_url */, $5 /* unknown_url */, $6 /* gone_url */)
             RETURNING * /* add_domain */",
            &[
                &draft.host,
                &(draft.case == LetterCase::Folded),
                &draft.slug_length.map(i16::from),
                &draft.urls.root,
                &draft.urls.unknown,
                &draft.urls.gone,
            ],
        )
        .await?;
    read_full(&row)
}

/// Writes all that an edit can change of a domain. Returns the domain as it now stands.
pub async fn update(transaction: &Transaction<'_>, full: &FullDomain) -> Result<FullDomain, Error> {
    let row = transaction
        .query_one(
            "UPDATE domain SET case_insensitive = $2 /* case_insensitive */,
                 slug_length = $3 /* slug_length */, root_url = $4 /* root_url */,
                 unknown_url = $5 /* unknown_url */, gone_url = $6 /* gone_url */,
                 updated_at = now()
             WHERE id = $1 /* domain */
             RETURNING * /* update_domain */",
            &[
                &full.domain.id.0,
                &(full.domain.case == LetterCase::Folded),
                &full.domain.slug_length.map(i16::from),
                &full.urls.root,
                &full.urls.unknown,
                &full.urls.gone,
            ],
        )
        .await?;
    read_full(&row)
}

/// Deletes a domain that is there. Answers `false` if something, such as a link, still belongs to it;
/// the transaction is of no use then.
pub async fn delete(transaction: &Transaction<'_>, domain: DomainId) -> Result<bool, Error> {
    let deleted = transaction
        .execute("DELETE FROM domain WHERE id = $1 /* domain, delete_domain */", &[&domain.0])
        .await
        .map_err(Error::from);
    match deleted {
        Err(error) if error.is_foreign_key_violation() => Ok(false),
        Err(error) => Err(error),
        Ok(deleted) => expect_rows("delete_domain", 1, deleted).map(|()| true),
    }
}

/// A slug with capitals in a domain, if there is one: nobody would find it if the domain folded.
pub async fn slug_with_capitals(
    transaction: &Transaction<'_>,
    domain: DomainId,
) -> Result<Option<String>, Error> {
    let row = transaction
        .query_opt(
            "SELECT slug FROM link WHERE domain_id = $1 /* domain */ AND slug <> lower(slug)
             LIMIT 1 /* slug_with_capitals */",
            &[&domain.0],
        )
        .await?;
    row.map(|row| Ok(row.try_get(0)?)).transpose()
}

fn read(row: &Row) -> Result<Domain, Error> {
    let folds: bool = row.try_get("case_insensitive")?;
    let length: Option<i16> = row.try_get("slug_length")?;
    Ok(Domain {
        id: DomainId(row.try_get("id")?),
        host: row.try_get("host")?,
        case: if folds { LetterCase::Folded } else { LetterCase::Exact },
        slug_length: length
            .map(u8::try_from)
            .transpose()
            .map_err(|error| Error::Corrupt("domain", error.to_string()))?,
    })
}

fn read_full(row: &Row) -> Result<FullDomain, Error> {
    Ok(FullDomain {
        domain: read(row)?,
        urls: DomainUrls {
            root: row.try_get("root_url")?,
            unknown: row.try_get("unknown_url")?,
            gone: row.try_get("gone_url")?,
        },
        created_at: row.try_get("created_at")?,
        updated_at: row.try_get("updated_at")?,
    })
}
