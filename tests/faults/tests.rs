//! What every change must pass.

use std::pin::Pin;

use tokio::process::Command;
use tokio::task::{LocalSet, spawn_local};

use super::crash_sweep;
use super::preset::Preset;
use super::run::{run_and_tell, script};
use super::words::{Words, say};

type Test = (&'static str, fn() -> Pin<Box<dyn Future<Output = ()>>>);

const TESTS: &[Test] = &[
    ("the_checker_finds_what_is_wrong_in_runs_that_are_made_up", || Box::pin(made_up())),
    ("rewards_survive_a_storm_of_faults", || Box::pin(storms())),
    ("the_checker_finds_what_a_bad_payment_service_does", || Box::pin(bad_services())),
    ("rewards_survive_being_killed_at_system_calls", || Box::pin(crash_sweep::short())),
];

/// Runs those whose names have the word that `cargo test` hands on. Whether they passed.
pub(crate) async fn run(words: &Words) -> bool {
    if words.has("--list") {
        for (name, _) in TESTS {
            say(format_args!("{name}: test"));
        }
        return true;
    }
    let filter = words.filter().unwrap_or_default();
    let mut failed = 0;
    for (name, test) in TESTS.iter().filter(|(name, _)| name.contains(filter)) {
        // In a task of its own, so that a panic ends this test alone.
        let local = LocalSet::new();
        let passed = local.run_until(async { spawn_local(test()).await.is_ok() }).await;
        failed += usize::from(!passed);
        say(format_args!("test {name} ... {}", if passed { "ok" } else { "FAILED" }));
    }
    failed == 0
}

async fn made_up() {
    let done = Command::new("python3").arg("-B").arg(script("checker_test.py")).output().await;
    let done = done.expect("python3 is there: make deps installs it");
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

async fn storms() {
    let storm = Preset::named("storm").expect("a preset");
    for seed in 1..=3 {
        let outcome = run_and_tell(storm, seed).await;
        assert!(outcome.violated.is_empty(), "{}", outcome.verdict);
        assert!(outcome.paid > 30 && outcome.faults > 30, "little happened: {}", outcome.verdict);
    }
}

async fn bad_services() {
    for name in ["not-idempotent", "forgetful"] {
        let preset = Preset::named(name).expect("a preset");
        let outcome = super::run::run(preset, 1, "").await;
        let found = outcome.violated.iter().any(|it| it == "an-operation-is-applied-once");
        assert!(found, "{name}: {:?}\n{}", outcome.violated, outcome.verdict);
    }
}
