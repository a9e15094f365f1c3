//! Noticing that Redis restarted, or that another server took its place. What such a server loads
//! from a snapshot, or had from a replication that lagged, may be older than what this one had taken:
//! nobody would write the newer changes again. So all of it is forgotten; and also when the buckets
//! were laid out for another number of links, because changes went to other buckets meanwhile.

use redis::cmd;

use super::{Error, Shared};

/// Keys looked at in one step.
const STEP: usize = 1_000;

impl Shared {
    /// Compares the server with the one that the records were written to, whose name stands beside
    /// them, and forgets all records if it is another. A server that does not tell its name is
    /// believed, and so are a cluster's nodes.
    pub(super) async fn recognize(&self) -> Result<(), Error> {
        if self.settings.cluster {
            return Ok(());
        }
        let Some(run_id) = self.run_id().await? else { return Ok(()) };
        let name = format!("{run_id} {}", self.buckets);
        let place = format!("{}:server", self.settings.prefix);
        let mut get = cmd("GET");
        get.arg(&place);
        match self.ask::<Option<String>>(&get).await? {
            Some(known) if known == name => return Ok(()),
            Some(_another) => {
                self.breaker
                    .trip(&"it restarted, or was laid out anew: its records may be out of date");
                self.forget_all().await?;
            }
            // Empty, as a cache should be after a restart.
            None => {}
        }
        let mut set = cmd("SET");
        set.arg(&place).arg(&name);
        self.ask::<String>(&set).await.map(drop)
    }

    async fn run_id(&self) -> Result<Option<String>, Error> {
        let mut info = cmd("INFO");
        info.arg("server");
        match self.ask::<String>(&info).await {
            Ok(text) => Ok(text
                .lines()
                .find_map(|line| line.strip_prefix("run_id:"))
                .map(|name| name.trim().to_owned())),
            Err(error) if error.is_outage() => Err(error),
            Err(error) => {
                tracing::debug!(%error, "the server keeps its name to itself");
                Ok(None)
            }
        }
    }

    /// Removes all buckets and what stands beside them.
    async fn forget_all(&self) -> Result<(), Error> {
        let mut cursor = 0_u64;
        loop {
            let mut scan = cmd("SCAN");
            scan.arg(cursor).arg("MATCH").arg(format!("{}:{{*", self.settings.prefix));
            scan.arg("COUNT").arg(STEP);
            let (next, keys) = self.ask::<(u64, Vec<Vec<u8>>)>(&scan).await?;
            if !keys.is_empty() {
                let mut unlink = cmd("UNLINK");
                unlink.arg(keys);
                self.ask::<i64>(&unlink).await?;
            }
            if next == 0 {
                return Ok(());
            }
            cursor = next;
        }
    }
}
