//! Referrals: who shares which code, who came by it, and who is bound to whom.
//!
//! [`landing`] is what the tiers keep of a code. [`token`] is what travels from a landing page through
//! the store, signed by [`keys`] that rotate.

pub mod keys;
pub mod landing;
pub mod token;
