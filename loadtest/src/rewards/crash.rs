//! The worker is killed in the middle of its work, and another one started: how long do the rewards that it
//! had begun stand still?

use serde::Serialize;

use super::stage::Stage;
use super::work::{self, number, wait_for_the_end, wait_until};
use crate::{Error, Options, say};

/// What happened when the worker was killed.
#[derive(Serialize)]
pub(crate) struct Crash {
    /// Rewards that it was working on.
    pub(crate) interrupted: i64,
    /// Until the first of them moved again, in seconds.
    pub(crate) first_seconds: f64,
    /// Until the last one did.
    pub(crate) last_seconds: f64,
}

/// Kills a worker that has done a quarter of the backlog.
pub(super) fn measure(stage: &Stage, options: &Options) -> Result<Crash, Error> {
    say("Killing the worker in the middle of its work, and starting another one.");
    let database = stage.fresh(work::FEW, 1)?;
    let payments = stage.pay()?;
    let killed = stage.serve_run(Some(&payments))?;
    let quarter = i64::from(options.backlog / 4);
    let done = "/* count_cards */ SELECT count(*) FROM reward WHERE state = 'NEW'";
    wait_until(|| Ok(database.number(done)? >= quarter))?;
    killed.process.kill()?;
    database.run(&["CREATE TABLE killed AS SELECT clock_timestamp() AS at"])?;
    // What was on its way to PostgreSQL is still done.
    let others = "/* count_others */ SELECT count(*) FROM pg_stat_activity
                  WHERE datname = current_database() AND pid <> pg_backend_pid()
                    AND backend_type = 'client backend'";
    wait_until(|| Ok(database.number(others)? == 0))?;
    database.run(&["CREATE TABLE interrupted AS
                    SELECT DISTINCT reward_id, r.version
                    FROM reward_task t JOIN reward r ON r.id = t.reward_id WHERE t.epoch > 0"])?;
    let _successor = stage.serve_run(Some(&payments))?;
    wait_for_the_end(&database)?;
    let later = |which: &str| {
        database.number(&format!(
            "/* how_much_later */ SELECT (extract(epoch FROM {which}(l.at) - k.at) * 1000)::bigint
             FROM killed k, interrupted i
             JOIN reward_log l ON l.reward_id = i.reward_id AND l.version = i.version + 1
             GROUP BY k.at"
        ))
    };
    Ok(Crash {
        interrupted: database.number("/* count */ SELECT count(*) FROM interrupted")?,
        first_seconds: number(later("min")?) / 1e3,
        last_seconds: number(later("max")?) / 1e3,
    })
}
