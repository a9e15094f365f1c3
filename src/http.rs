//! HTTP/1.1 under limits: accepting, checking, ending. Knows nothing of what is served.

pub mod checks;
pub mod server;
