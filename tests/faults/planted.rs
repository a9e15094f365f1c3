//! Puts each bug of `waypost::planted` in and sees whether the checker finds it: one that finds nothing proves nothing.

use super::preset::Preset;
use super::run::{keep, run};
use super::words::{Words, say};
use waypost::planted::Bug;

/// With how many seeds a bug may be looked for.
const SEEDS: u64 = 4;

/// How a bug is provoked.
struct Trap {
    bug: Bug,
    /// What has to be planted besides, because it would mend what the bug breaks.
    besides: &'static str,
    preset: &'static str,
    /// What the checker has to find, one of these.
    invariants: &'static [&'static str],
}

/// The workload that provokes each bug.
fn trap(bug: Bug) -> Trap {
    let (besides, preset, invariants): (_, _, &'static [&'static str]) = match bug {
        Bug::NoEpochCheck => ("", "lost-leases", &["steps-are-done-by-whoever-has-the-lease"]),
        Bug::NewOperationIdPerRetry => {
            ("", "lost-answers", &["a-step-has-one-operation", "a-reward-is-paid-once"])
        }
        Bug::DrawAgainAfterCrash => (
            "",
            "crashes",
            &[
                "an-operation-has-the-same-bytes-each-time",
                "a-reward-has-one-amount",
                "books-and-payment-service-agree",
            ],
        ),
        Bug::AcknowledgeBeforeCommit => {
            ("", "broken-commits", &["acknowledged-triggers-are-stored"])
        }
        Bug::SwallowedSqlError => ("", "poor", &["acknowledged-triggers-are-stored"]),
        Bug::MissingUniqueKey => ("", "doubled", &["what-is-earned-is-granted"]),
        Bug::NoBindLock | Bug::LockInReadingStatement => {
            ("sweeper-off", "races", &["what-is-earned-is-granted"])
        }
        Bug::CapBySumThenInsert => ("", "crowds", &["no-inviter-has-more-than-the-cap"]),
        Bug::ClaimWithoutLock => (
            "",
            "calm",
            &["calm-work-is-asked-for-once", "steps-are-done-by-whoever-has-the-lease"],
        ),
        Bug::SweeperOff => {
            ("", "early-triggers", &["what-is-earned-is-granted", "all-work-is-done"])
        }
        Bug::ResendAfterDedupeWindow => (
            "",
            "short-memory",
            &["nothing-is-sent-after-the-dedupe-window", "an-operation-is-applied-once"],
        ),
    };
    Trap { bug, besides, preset, invariants }
}

/// `planted [--bug NAME]`: whether each bug is found, and nothing where there is none.
pub(crate) async fn all(words: &Words) -> bool {
    if !cfg!(feature = "planted-bugs") {
        say("this build has no bugs to plant: say make planted");
        return false;
    }
    let only: Option<String> = words.value("--bug");
    let wanted = |bug: &Bug| only.as_deref().is_none_or(|name| name == bug.name());
    let traps: Vec<Trap> = Bug::ALL.into_iter().filter(wanted).map(trap).collect();
    // Where nothing is planted, nothing may be found: else the trap catches everybody.
    let mut good = true;
    let mut controls: Vec<(&str, &str)> = traps.iter().map(|it| (it.preset, it.besides)).collect();
    controls.sort_unstable();
    controls.dedup();
    for (name, besides) in controls {
        let outcome = run(preset(name), 1, besides).await;
        let violated = outcome.violated.join(", ");
        say(format_args!("| none | {name} | {} | 1 |", or_nothing(&violated)));
        if !violated.is_empty() {
            good = false;
            say(&outcome.verdict);
            say(keep(&outcome.directory, &format!("control-{name}")).display());
        }
    }
    for trap in traps {
        good &= spring(&trap).await;
    }
    good
}

/// Plants a bug, with one seed after the other until it is found. Prints the line of the table.
async fn spring(trap: &Trap) -> bool {
    let (bug, name) = (trap.bug.name(), trap.preset);
    let planted =
        if trap.besides.is_empty() { bug.to_owned() } else { format!("{bug},{}", trap.besides) };
    for seed in 1..=SEEDS {
        let outcome = run(preset(name), seed, &planted).await;
        let found = outcome.violated.iter().find(|it| trap.invariants.contains(&it.as_str()));
        if let Some(found) = found {
            say(format_args!("| {bug} | {name} | {found} | {seed} |"));
            return true;
        }
        let others = outcome.violated.join(", ");
        say(format_args!("{bug} was not found with seed {seed}, but {}", or_nothing(&others)));
    }
    say(format_args!("| {bug} | {name} | NOT FOUND | 1 to {SEEDS} |"));
    false
}

fn or_nothing(found: &str) -> &str {
    if found.is_empty() { "nothing" } else { found }
}

fn preset(name: &str) -> &'static Preset {
    Preset::named(name).unwrap_or_else(|| panic!("there is no preset {name}"))
}
