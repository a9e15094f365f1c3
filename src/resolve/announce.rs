//! Telling every process, and the shared cache, that links changed.

use crate::link::LinkKey;
use crate::store::Store;

/// Carries changes of links to whoever caches them.
#[derive(Clone, Debug)]
pub struct Announcer {
    #[expect(dead_code, reason = "to come")]
    store: Store,
}

impl Announcer {
    /// An announcer for processes that have no cache of their own.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Links were made: nobody needs to believe any longer that they are missing. Best effort.
    pub async fn created(&self, _keys: &[LinkKey]) {}

    /// Links were edited or deleted, and their rows stand in `link_outbox`: carries the outbox out.
    /// What fails now is repeated by the loop of every `waypost serve`.
    pub async fn changed(&self, _keys: &[LinkKey]) {}
}
