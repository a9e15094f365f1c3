//! A private PostgreSQL and Redis on this machine, for `waypost dev` and for the tests.
//!
//! The servers live below one directory, are reached through Unix sockets that only their owner can
//! open (the Redis Cluster of the tests: through loopback), run as an unprivileged user when we are
//! root, and die with this process, however it dies. PostgreSQL keeps its data from one start to the
//! next; Redis is a cache and keeps nothing.
//!
//! All calls block: they belong before the runtime, or into `spawn_blocking`. Knows nothing of the
//! rest of the program.

use std::io;
use std::path::PathBuf;

mod place;
mod postgres;
mod process;
mod redis;

pub use self::place::Place;
pub use self::postgres::{Durability, PostgresServer};
pub use self::process::{Tied, wait_until};
pub use self::redis::{RedisCluster, RedisServer};
pub use rustix::process::Signal;

/// Why a private server is not there.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// Its program is not installed.
    #[error("{program} is not installed: run 'apt-get install {package}', or 'make deps'")]
    Missing {
        /// The program that was looked for.
        program: &'static str,
        /// The Debian package that has it.
        package: &'static str,
    },
    /// Somebody else uses the directory.
    #[error("another process runs its servers in {0}: stop it, or choose another directory")]
    InUse(PathBuf),
    /// The operating system refused something.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file or directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// A process could not be started, or could not be told something.
    #[error("cannot {action} {program}: {source}")]
    Process {
        /// What was tried.
        action: &'static str,
        /// With which program.
        program: &'static str,
        /// What the operating system said.
        source: io::Error,
    },
    /// A server ended, refused, or was not there in time.
    #[error("{program} {problem}")]
    Server {
        /// Which server.
        program: &'static str,
        /// What happened, and what its log said last.
        problem: String,
    },
    /// A directory that we would have to trust belongs to somebody else.
    #[error("{0} exists and is not ours alone: remove it, or choose a shorter data directory")]
    Foreign(PathBuf),
}

impl Error {
    /// Whether the only thing missing is the program.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }
}

/// For `map_err`: what was tried with which file.
fn file(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Error {
    let path = path.into();
    move |source| Error::File { action, path, source }
}
