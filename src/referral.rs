//! Referrals: who shares which code, who came by it, and who is bound to whom.
//!
//! [`codes`] gives codes to users. [`names`] is what is shown of an inviter's name, and [`landing`] what
//! the tiers keep of a code. [`token`] is what travels from a landing page through the store, signed by
//! [`keys`] that rotate. [`requests`] are what apps and backends send; [`screening`] is what stands
//! between a code and its binding, and [`attempts`] stops whoever guesses codes.
//!
//! [`claims`] hand tokens back, [`bindings`] bind, asking for [`eligibility`], [`triggers`] are what users
//! reached, and [`users`] has the page of one. [`services`] puts them together.

pub mod attempts;
pub mod bindings;
pub mod claims;
pub mod codes;
pub mod eligibility;
pub mod keys;
pub mod landing;
pub mod names;
pub mod requests;
pub mod screening;
pub mod services;
pub mod token;
pub mod triggers;
pub mod users;
