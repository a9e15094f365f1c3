//! Referrals: who shares which code, who came by it, and who is bound to whom.
//!
//! [`names`] is what is shown of an inviter's name; [`landing`] is what the tiers keep of a code.

pub mod landing;
pub mod names;
