//! Rewards: what is earned, and the way from a trigger to the money.
//!
//! Pure words and rules first: [`machine`] has the states and moves, [`operation`] the ids and bytes of what
//! the payment service is asked for, [`draw`] the built-in draw, [`rationing`] what is owed and what cap and
//! budget allow. Then what works: [`granting`] makes rewards of triggers, [`engine`] does the steps, with
//! [`payment`] as its client. [`cards`] are scratched, reminded of, and expire; [`sweeper`] finds what was forgotten, and [`reconciliation`] compares the books.
//!
//! What people see and do: [`desk`] is where operators find rewards and decide on them, [`explain`] says
//! why somebody has, or has not, earned something, and [`compensations`] grant by hand what was owed. [`services`]
//! puts these together. [`simulate`] says what all of it would have cost under another document.

pub mod cards;
pub mod compensations;
pub mod desk;
pub mod draw;
pub mod engine;
pub mod explain;
pub mod granting;
pub mod machine;
pub mod operation;
pub mod payment;
pub mod rationing;
pub mod reconciliation;
pub mod services;
pub mod simulate;
pub mod sweeper;
