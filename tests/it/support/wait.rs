//! Waiting for something to become true: the only place in the tests that sleeps, and always within
//! a bound.

use std::time::Duration;

use tokio::sync::{Mutex, MutexGuard};
use tokio::time::{Instant, sleep};

/// Asks `condition` every few milliseconds until it has an answer; panics with `what` after `limit`.
pub async fn eventually<T>(
    what: &str,
    limit: Duration,
    mut condition: impl AsyncFnMut() -> Option<T>,
) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = condition().await {
            return answer;
        }
        assert!(Instant::now() < end, "not within {limit:?}: {what}");
        sleep(Duration::from_millis(5)).await;
    }
}

/// One at a time: the tests that load the whole machine, and those that look at how long things take. The
/// figures of these would tell of the others' load.
static QUIET: Mutex<()> = Mutex::const_new(());

/// Until it is dropped, no other such test runs.
pub async fn quiet() -> MutexGuard<'static, ()> {
    QUIET.lock().await
}

/// Holds something back for `time`: the delay of a slow network, no way to wait for a condition.
pub async fn hold(time: Duration) {
    sleep(time).await;
}
