//! Rewards: what is earned, and the way from a trigger to the money. Pure words and rules first:
//! [`machine`] has the states and moves, [`operation`] the ids by which the payment service knows a call,
//! [`draw`] the built-in draw.

pub mod draw;
pub mod machine;
pub mod operation;
