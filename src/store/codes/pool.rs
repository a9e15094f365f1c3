//! Codes that were generated in advance and wait for a user.
//!
//! They stand in the order in which they were drawn, each at a position; the pool of a length remembers
//! how many were generated and up to which position they were handed out. Whoever wants codes moves
//! that position first, and reads the codes before it afterwards: two processes never get the same
//! ones, and one that ends in between wastes some.

use std::collections::HashSet;

use super::super::{Error, Store, Transaction, expect_rows};
use super::read_code;
use crate::code::referral::ReferralCode;

/// Sets the locks of generating apart from other advisory locks; the second number is the length.
const GENERATING: i32 = 0x636F_6465;

/// How a pool stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pool {
    /// How many symbols its codes have.
    pub length: u8,
    /// Codes that were ever generated.
    pub generated: i64,
    /// Codes that were handed out.
    pub handed_out: i64,
}

impl Pool {
    /// Codes that wait.
    pub fn left(&self) -> i64 {
        self.generated - self.handed_out
    }
}

/// Codes out of a pool: nobody else gets them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Taken {
    /// The codes.
    pub codes: Vec<ReferralCode>,
    /// How many are left in the pool.
    pub left: i64,
}

/// All pools, by length.
pub async fn all(store: &Store) -> Result<Vec<Pool>, Error> {
    let connection = store.connection().await?;
    let rows = connection
        .query(
            "SELECT length, generated, position FROM code_pool ORDER BY length /* list_pools */",
            &[],
        )
        .await?;
    rows.iter()
        .map(|row| {
            Ok(Pool {
                length: u8::try_from(row.try_get::<_, i16>("length")?)
                    .map_err(|error| Error::Corrupt("code_pool", error.to_string()))?,
                generated: row.try_get("generated")?,
                handed_out: row.try_get("position")?,
            })
        })
        .collect()
}

/// Takes the next `count` codes of a pool; `None` if there are not as many.
pub async fn take(store: &Store, length: u8, count: usize) -> Result<Option<Taken>, Error> {
    let count = i64::try_from(count).unwrap_or(i64::MAX);
    let connection = store.connection().await?;
    let moving = connection
        .prepare_cached(
            "UPDATE code_pool SET position = position + $2::bigint /* count */
             WHERE length = $1 /* length */ AND generated - position >= $2
             RETURNING position, generated - position AS left /* move_position */",
        )
        .await?;
    let length = i16::from(length);
    let Some(row) = connection.query_opt(&moving, &[&length, &count]).await? else {
        return Ok(None);
    };
    let (end, left): (i64, i64) = (row.try_get("position")?, row.try_get("left")?);
    // A statement of its own: the one before may have waited for a batch that was generated
    // meanwhile, whose codes it would not see.
    let reading = connection
        .prepare_cached(
            "SELECT code FROM pooled_code
             WHERE length = $1 /* length */ AND position >= $2 /* begin */ AND position < $3 /* end */
             ORDER BY position /* read_stride */",
        )
        .await?;
    let rows = connection.query(&reading, &[&length, &(end - count), &end]).await?;
    expect_rows("read_stride", count.unsigned_abs(), u64::try_from(rows.len()).unwrap_or(0))?;
    let codes = rows.iter().map(|row| read_code(row.try_get(0)?)).collect::<Result<_, Error>>()?;
    Ok(Some(Taken { codes, left }))
}

/// Adds codes to the pool of their length, in the order in which they come, unless it has `enough`
/// already by the time that it is our turn: one process generates at a time. Codes that are in the pool
/// or in use are left out. Returns how many were added.
pub async fn add(
    store: &Store,
    length: u8,
    candidates: &[ReferralCode],
    enough: i64,
) -> Result<u64, Error> {
    let mut connection = store.connection().await?;
    let transaction = connection.transaction().await?;
    let length = i16::from(length);
    let (generated, left) = lock(&transaction, length).await?;
    if left >= enough {
        return Ok(0);
    }
    let mut seen = HashSet::new();
    let codes: Vec<&str> =
        candidates.iter().map(ReferralCode::as_str).filter(|code| seen.insert(*code)).collect();
    let added = transaction
        .execute(
            "INSERT INTO pooled_code (length, position, code)
             SELECT $1 /* length */, $2::bigint /* generated */ - 1 + row_number() OVER (ORDER BY place),
                    code
             FROM unnest($3::text[] /* codes */) WITH ORDINALITY AS given (code, place)
             WHERE NOT EXISTS (SELECT 1 FROM pooled_code WHERE pooled_code.code = given.code)
               AND NOT EXISTS (SELECT 1 FROM referral_code WHERE referral_code.code = given.code)
             /* add_to_pool */",
            &[&length, &generated, &codes],
        )
        .await?;
    let count = i64::try_from(added).unwrap_or(i64::MAX);
    let updated = transaction
        .execute(
            "UPDATE code_pool SET generated = generated + $2::bigint /* count */
             WHERE length = $1 /* length */ /* extend_pool */",
            &[&length, &count],
        )
        .await?;
    expect_rows("extend_pool", 1, updated)?;
    transaction.commit().await?;
    Ok(added)
}

/// Keeps others from generating codes of this length until the transaction ends; those who take codes
/// go on. Returns how many were generated, and how many of them are left.
async fn lock(transaction: &Transaction<'_>, length: i16) -> Result<(i64, i64), Error> {
    transaction
        .execute(
            "SELECT pg_advisory_xact_lock($1 /* class */, $2 /* length */) /* lock_pool */",
            &[&GENERATING, &i32::from(length)],
        )
        .await?;
    // May well change no row: the pool is there after the first time.
    transaction
        .execute(
            "INSERT INTO code_pool (length) VALUES ($1 /* length */)
             ON CONFLICT (length) DO NOTHING /* make_pool */",
            &[&length],
        )
        .await?;
    let row = transaction
        .query_one(
            "SELECT generated, generated - position AS left FROM code_pool
             WHERE length = $1 /* length */ /* read_pool */",
            &[&length],
        )
        .await?;
    Ok((row.try_get("generated")?, row.try_get("left")?))
}
