//! Tries to break rewards, and has the result judged by somebody who does not know the program.
//!
//! A run is several processes. The *driver* is the apps and backends: it binds people, tells what they reached, opens
//! cards, and writes down what it asked before it asks and what it was answered after. The *sandbox* is the payment
//! service, with a journal of its own. The *nemesis* has a PostgreSQL, a Redis and two workers, and kills, stops, cuts
//! and delays them by a plan that follows from a seed. When all is over and quiet, `checker.py` compares both journals
//! with what the database holds.
//!
//! ```text
//! cargo test --test faults                             what every change must pass
//! cargo test --test faults -- torture --seeds 20       as many seeds as wanted: make torture SEEDS=20
//! cargo test --test faults -- crash-sweep              kills at each system call: make crash-sweep
//! ```
//!
//! With `--features planted-bugs` there are two more: `planted` must find each bug that is put in (`make planted`), and
//! `boundaries` strikes at each step of a worker's way (the other half of `make crash-sweep`).

/// The harness of the integration tests: servers, and Waypost as a process.
#[path = "../it"]
pub mod shared {
    pub mod support;
}

mod child;
mod crash_sweep;
mod database;
mod driver;
mod driver_cards;
mod journal;
mod nemesis;
mod planted;
mod preset;
mod room;
mod run;
mod tests;
mod words;

use std::process::ExitCode;

use words::Words;

#[tokio::main]
async fn main() -> ExitCode {
    let words = Words::of_this_process();
    let good = match words.command() {
        Some("driver") => driver::process(&words).await,
        Some("nemesis") => nemesis::process(&words).await,
        Some("torture") => run::torture(&words).await,
        Some("crash-sweep") => crash_sweep::all(&words).await,
        Some("boundaries") => crash_sweep::boundaries().await,
        Some("planted") => planted::all(&words).await,
        Some(_) | None => tests::run(&words).await,
    };
    if good { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
