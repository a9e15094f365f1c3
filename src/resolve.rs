//! From a slug to a redirect: the process's own cache, then Redis, then PostgreSQL.

pub mod announce;
