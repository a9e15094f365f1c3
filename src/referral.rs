//! Who invited whom: codes, claims, bindings and triggers.
//!
//! [`names`] is what is shown of an inviter's name.

pub mod names;
