//! Referrals: who shares which code, who came by it, and who is bound to whom.
//!
//! [`codes`] gives codes to users. [`names`] is what is shown of an inviter's name, and [`landing`] what
//! the tiers keep of a code. [`token`] is what travels from a landing page through the store, signed by
//! [`keys`] that rotate.

pub mod codes;
pub mod keys;
pub mod landing;
pub mod names;
pub mod token;
