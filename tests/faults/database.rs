//! Looking into the database as a stranger does: with psql, not with the program's own store.

use std::path::Path;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::Instant;

use super::shared::support::wait::hold;

/// What the checker reads.
const TABLES: [&str; 11] = [
    "campaign_version",
    "trigger_event",
    "binding",
    "reward",
    "reward_log",
    "reward_task",
    "parked_task",
    "ledger",
    "campaign_account",
    "inviter_tally",
    "compensation_item",
];

/// How many things are still to be done: work that is open, and triggers that have not brought what they should.
const UNDONE: &str = "
    SELECT (SELECT count(*) FROM reward_task)
         + (SELECT count(*) FROM reward WHERE state IN ('CREATE', 'DRAWN', 'REVEALED'))
         + (SELECT count(*) FROM trigger_event t JOIN binding b ON (b.campaign_id, b.invitee) = (t.campaign_id, t.user_id)
            JOIN campaign_version v ON (v.campaign_id, v.version) = (b.campaign_id, b.campaign_version)
            CROSS JOIN LATERAL jsonb_object_keys(v.document::jsonb -> 'rewards' -> t.kind) AS due (side)
            WHERE NOT EXISTS (SELECT FROM reward r WHERE (r.campaign_id, r.invitee, r.kind, r.side)
                                                       = (t.campaign_id, t.user_id, t.kind, due.side)))";

/// Runs SQL, and has the rows as lines.
pub(crate) async fn ask(url: &str, sql: &str) -> Result<String, String> {
    let mut psql = Command::new("psql");
    psql.args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-d", url, "-c", sql]);
    let done = psql.kill_on_drop(true).output().await.map_err(|error| error.to_string())?;
    if done.status.success() {
        Ok(String::from_utf8_lossy(&done.stdout).trim_end().to_owned())
    } else {
        Err(String::from_utf8_lossy(&done.stderr).into_owned())
    }
}

/// Waits until nothing is left to do, for as long as `patience`; how many things were left.
pub(crate) async fn quiet(url: &str, patience: Duration) -> u64 {
    let end = Instant::now() + patience;
    loop {
        let undone = ask(url, UNDONE).await.unwrap_or_else(|error| panic!("{error}"));
        let undone = undone.parse().unwrap_or_else(|error| panic!("{error}: {undone}"));
        if undone == 0 || Instant::now() > end {
            return undone;
        }
        hold(Duration::from_millis(200)).await;
    }
}

/// Writes all that the checker reads into a file of JSON lines, as it was at one moment.
pub(crate) async fn dump(url: &str, file: &Path) {
    let selects = TABLES.map(|table| {
        format!(
            "SELECT json_build_object('table', '{table}', 'row', row_to_json(t))::text
             FROM {table} t"
        )
    });
    let rows = ask(url, &selects.join(" UNION ALL ")).await;
    let rows = rows.unwrap_or_else(|error| panic!("{error}"));
    std::fs::write(file, rows + "\n").expect("a disk with room");
}
