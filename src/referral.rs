//! Referrals: from the click on a friend's link, through the store, to the binding.
//!
//! [`token`] is what travels through the store. Pure; knows no I/O.

pub mod token;
