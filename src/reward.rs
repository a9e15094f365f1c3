//! Rewards: what is earned, and the way from a trigger to the money.
//!
//! Pure words and rules first: [`machine`] has the states and moves, [`operation`] the ids and bytes of what
//! the payment service is asked for, [`draw`] the built-in draw. Then what works: [`granting`] makes rewards
//! of triggers, [`engine`] does the steps, with [`payment`] as its client. [`cards`] are scratched, reminded of, and
//! expire; [`sweeper`] finds what was forgotten, and [`reconciliation`] compares the books.

pub mod cards;
pub mod draw;
pub mod engine;
pub mod granting;
pub mod machine;
pub mod operation;
pub mod payment;
pub mod reconciliation;
pub mod sweeper;
