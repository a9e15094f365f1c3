//! Waypost: short links, referral landing pages and bindings at the edge of your own domain.
//!
//! The modules in reading order:
//!
//! - [`address`], [`clock`], [`fault`], [`code`], [`visitor`], [`qr`], [`link`], [`campaign`],
//!   [`referral`]: pure words and rules. They know no I/O.
//! - [`planted`]: bugs for `tests/faults` to find; constants in a build for use.
//! - [`config`], [`metrics`], [`store`], [`http`], [`outbound`], [`breaker`]: settings, figures,
//!   PostgreSQL, HTTP/1.1 under limits, asking other services, and not asking those that are away.
//! - [`resolve`]: from a slug to a redirect through three tiers. [`clicks`]: counting, beside the way.
//! - [`reward`]: what is earned, from a trigger to the money. Pure rules first, then the engine.
//! - [`review`]: who has to approve what, in which order, and how a case jumps between them.
//! - [`edge`]: what the internet sees. [`api`]: what operators and backends see. [`console`]: pages for
//!   operators, by the same services.
//! - [`sandbox`]: a payment service to build against; it knows nothing of the rest.
//! - [`app`]: assembly, run, drain. [`local`]: private PostgreSQL and Redis for `waypost dev` and tests.
//! - [`cli`]: the command line.
//!
//! Imports go down this list only, which `tests/tidy.rs` checks.

pub mod address;
pub mod campaign;
pub mod clock;
pub mod code;
pub mod fault;
pub mod link;
pub mod planted;
pub mod qr;
pub mod referral;
pub mod review;
pub mod reward;
pub mod visitor;

pub mod breaker;
pub mod config;
pub mod http;
pub mod metrics;
pub mod outbound;
pub mod store;

pub mod clicks;
pub mod resolve;

pub mod api;
pub mod console;
pub mod edge;

pub mod sandbox;

pub mod app;
pub mod cli;
pub mod local;
