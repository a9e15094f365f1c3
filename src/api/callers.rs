//! Who calls, by the key that they have. The API and the console ask here.

use crate::http::auth::{ApiKey, Caller, Scope};
use crate::store::{Error, Store, keys};

/// Whose key this is; nobody's, if it is unknown, wrong or revoked, which all take the same comparison.
pub async fn holder(store: &Store, key: &ApiKey) -> Result<Option<Caller>, Error> {
    let stored = keys::find(store, key.id()).await?;
    let hash = stored.as_ref().map_or(&[0; 32][..], |stored| &stored.secret_hash);
    let is_right = key.matches(hash);
    let holds = stored.filter(|stored| is_right && stored.revoked_at.is_none());
    Ok(holds.map(|stored| Caller {
        key_id: stored.id,
        actor: stored.actor,
        scopes: scopes(&stored.scopes),
    }))
}

/// The scopes with these names.
pub fn scopes(names: &[String]) -> Vec<Scope> {
    names.iter().filter_map(|name| Scope::named(name)).collect()
}
