//! What a `User-Agent` says: which device, which browser, which kind of program.

use super::{Device, Kind};

/// The browser, coarsely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Browser {
    /// None of those that are told apart, or no browser at all.
    Other,
}

impl Browser {
    /// All of them.
    pub const ALL: [Self; 1] = [Self::Other];

    /// Its name, in the database and in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Other => "other",
        }
    }
}

/// What a `User-Agent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agent {
    /// [`Kind::Person`], [`Kind::Bot`] or [`Kind::Preview`]; never [`Kind::Prefetch`], which is no
    /// matter of the agent.
    pub kind: Kind,
    /// The device.
    pub device: Device,
    /// The browser.
    pub browser: Browser,
}

impl Agent {
    /// Reads a `User-Agent`, empty if there was none.
    pub fn of(text: &[u8]) -> Self {
        let kind = if text.is_empty() { Kind::Bot } else { Kind::Person };
        Self { kind, device: Device::Unknown, browser: Browser::Other }
    }
}
