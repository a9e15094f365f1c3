//! Keeps the landing pages as the campaigns and domains are.

use std::sync::Arc;

use tokio::sync::watch;

use super::Parts;
use crate::edge::domains::Domains;
use crate::edge::landing::places::Places;

/// The pages of the campaigns that there are now.
pub(super) fn places(parts: &Parts, domains: &Domains, before: &Places) -> Places {
    let campaigns = Arc::clone(&parts.campaigns.borrow());
    Places::of(&campaigns, domains, &parts.config.edge.public_url, before)
}

/// Renders the pages of campaigns that changed, until nobody could change any more.
pub(super) async fn follow(
    parts: Arc<Parts>,
    mut domains: watch::Receiver<Arc<Domains>>,
    shown: watch::Sender<Arc<Places>>,
) {
    let mut campaigns = parts.campaigns.clone();
    loop {
        let changed = tokio::select! {
            changed = campaigns.changed() => changed,
            changed = domains.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
        campaigns.mark_unchanged();
        let known = Arc::clone(&domains.borrow_and_update());
        let before = Arc::clone(&shown.borrow());
        let with = Arc::clone(&parts);
        // Many pages take their time: nobody else has to wait for them.
        let rendered = tokio::task::spawn_blocking(move || places(&with, &known, &before)).await;
        match rendered {
            Ok(after) => drop(shown.send_replace(Arc::new(after))),
            Err(error) => tracing::error!(%error, "the landing pages stay as they were"),
        }
    }
}
