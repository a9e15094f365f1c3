//! The integration tests: the real program against a real PostgreSQL and a real Redis, which the
//! harness in [`support`] starts by itself.

pub mod support;

mod coherence;
mod edge;
mod local;
mod migrations;
mod outages;
