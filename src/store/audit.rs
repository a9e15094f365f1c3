//! Who changed what. Append only.

use tokio_postgres::types::Json;

use super::{Error, Transaction, expect_rows};

/// One thing that somebody did.
#[derive(Debug)]
pub struct Entry<'a> {
    /// Who did it: the actor of an API key, or `cli:<user>`.
    pub actor: &'a str,
    /// What was done, such as `link.edit`.
    pub action: &'static str,
    /// What it was done to, such as `link:AbC123`.
    pub subject: &'a str,
    /// What changed.
    pub detail: serde_json::Value,
}

/// Records an entry, in the transaction of what it tells.
pub async fn record(transaction: &Transaction<'_>, entry: &Entry<'_>) -> Result<(), Error> {
    let recorded = transaction
        .execute(
            "INSERT INTO audit (actor, action, subject, detail)
             VALUES ($1 /* actor */, $2 /* action */, $3 /* subject */, $4 /* detail */)
             /* record_audit */",
            &[&entry.actor, &entry.action, &entry.subject, &Json(&entry.detail)],
        )
        .await?;
    expect_rows("record_audit", 1, recorded)
}
