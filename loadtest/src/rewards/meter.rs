//! What a run costs: processors' time by program, and what PostgreSQL writes ahead.

use serde::Serialize;
use std::iter::once;

use crate::Error;
use crate::database::Database;
use crate::machine::{CpuTimes, Processes};
use crate::peers;

/// What a run cost.
#[derive(Serialize)]
pub(crate) struct Cost {
    /// Waypost's processors' time, in seconds.
    pub(crate) waypost: f64,
    /// PostgreSQL's.
    pub(crate) postgres: f64,
    /// The payment service's.
    pub(crate) payment_service: f64,
    /// That of this program: of whoever sends triggers, or works one by one.
    pub(crate) benchmark: f64,
    /// What PostgreSQL wrote ahead, in bytes.
    pub(crate) wal_bytes: f64,
    /// The share of all cores' time that other programs used.
    pub(crate) others_busy: f64,
}

/// A run that goes on.
pub(super) struct Meter<'a> {
    database: &'a Database,
    waypost: Option<u32>,
    payment_service: Option<u32>,
    before: (Cost, CpuTimes),
}

impl<'a> Meter<'a> {
    /// Begins to measure these processes, and PostgreSQL.
    pub(super) fn start(
        database: &'a Database,
        waypost: Option<u32>,
        payment_service: Option<u32>,
    ) -> Result<Self, Error> {
        let before = (so_far(database, waypost, payment_service)?, CpuTimes::read()?);
        Ok(Self { database, waypost, payment_service, before })
    }

    /// What was used since.
    pub(super) fn stop(self) -> Result<Cost, Error> {
        let after = so_far(self.database, self.waypost, self.payment_service)?;
        let (before, times) = &self.before;
        Ok(Cost {
            waypost: after.waypost - before.waypost,
            postgres: after.postgres - before.postgres,
            payment_service: after.payment_service - before.payment_service,
            benchmark: after.benchmark - before.benchmark,
            wal_bytes: after.wal_bytes - before.wal_bytes,
            others_busy: CpuTimes::read()?.others_since(times),
        })
    }
}

/// What was used since the processes began.
fn so_far(
    database: &Database,
    waypost: Option<u32>,
    payment_service: Option<u32>,
) -> Result<Cost, Error> {
    let here = std::process::id();
    let kilobytes = database
        .number("/* written_ahead */ SELECT ((pg_current_wal_lsn() - '0/0') / 1024)::bigint")?;
    let postgres = peers::stores(here, &["postgres"])?;
    let processes = Processes::read().map_err(Error::io("list the processes"))?;
    Ok(Cost {
        waypost: processes.seconds(waypost.into_iter()),
        postgres: processes.seconds(postgres.into_iter()),
        payment_service: processes.seconds(payment_service.into_iter()),
        benchmark: processes.seconds(once(here)),
        wal_bytes: u32::try_from(kilobytes).map_or(f64::NAN, f64::from) * 1_024.0,
        others_busy: 0.0,
    })
}
