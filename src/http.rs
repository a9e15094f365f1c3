//! HTTP/1.1 under limits: accepting, checking, refusing, knowing who calls, ending. Knows nothing of
//! what is served.

pub mod auth;
pub mod checks;
pub mod client;
pub mod misses;
pub mod problem;
pub mod server;
