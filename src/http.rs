//! HTTP/1.1 under limits: accepting, checking, refusing, knowing who calls.

pub mod auth;
pub mod problem;
