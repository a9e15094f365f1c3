//! Referrals: who shares which code, who came by it, and who is bound to whom.
//!
//! [`landing`] is what the tiers keep of a code.

pub mod landing;
