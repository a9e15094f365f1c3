//! Referral codes in Redis: a few of each length that are ready to be given to users, so that not each
//! one costs a look into the pool. Lists under keys of their own, without an end of life; what is lost
//! with them is some codes out of billions.

use std::sync::Arc;

use redis::cmd;

use super::shared::{Error, Shared};

/// The codes in Redis.
#[derive(Clone)]
pub struct Stock {
    shared: Arc<Shared>,
}

impl std::fmt::Debug for Stock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stock").finish_non_exhaustive()
    }
}

impl Stock {
    /// The stock in this Redis, under its prefix, time limits and breaker.
    pub fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// Takes one code of this length; `None` if there is none.
    pub async fn take(&self, length: u8) -> Result<Option<String>, Error> {
        self.look()?;
        let mut pop = cmd("LPOP");
        pop.arg(self.place(length));
        self.shared.ask(&pop).await
    }

    /// Adds codes of this length. When no answer comes, they may be there or not.
    pub async fn add(&self, length: u8, codes: &[&str]) -> Result<(), Error> {
        self.look()?;
        let mut push = cmd("RPUSH");
        push.arg(self.place(length)).arg(codes);
        self.shared.ask::<i64>(&push).await.map(drop)
    }

    /// Throws all codes of this length away.
    pub async fn clear(&self, length: u8) -> Result<(), Error> {
        self.look()?;
        let mut unlink = cmd("UNLINK");
        unlink.arg(self.place(length));
        self.shared.ask::<i64>(&unlink).await.map(drop)
    }

    /// How many codes of this length there are.
    pub async fn count(&self, length: u8) -> Result<i64, Error> {
        self.look()?;
        let mut count = cmd("LLEN");
        count.arg(self.place(length));
        self.shared.ask(&count).await
    }

    fn look(&self) -> Result<(), Error> {
        if self.shared.breaker().is_open() { Err(Error::Open) } else { Ok(()) }
    }

    /// The braces put each length into one slot of a cluster.
    fn place(&self, length: u8) -> String {
        format!("{}:codes:{{{length}}}", self.shared.prefix())
    }
}
