//! What a trigger earns, and how it is paid.

pub mod payment;
