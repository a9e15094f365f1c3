//! Who invited whom: codes, claims, bindings and triggers.
//!
//! [`codes`] gives codes to users. [`names`] is what is shown of an inviter's name.

pub mod codes;
pub mod names;
