//! `waypost token-key`

use clap::Subcommand;
use serde_json::json;

use super::context::Context;
use super::{Error, say};
use crate::referral::keys;
use crate::store::{self, token_keys};

/// Show the keys that sign click tokens, and make the next one.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// List the keys, in the order in which they sign; their secrets are never shown
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make the next key; it signs a minute later. Tokens of the earlier ones stay good for 7 days
    Rotate,
}

/// Runs one of them.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Error> {
    match command {
        Command::List { json } => list(context, json).await,
        Command::Rotate => rotate(context).await,
    }
}

async fn list(context: &Context, as_json: bool) -> Result<(), Error> {
    let now = context.clock.now();
    let signing = keys::read(&context.store).await?.current_at(now).map(|key| key.id);
    for key in token_keys::list(&context.store).await? {
        let state = if signing == Some(key.id) {
            "signs"
        } else if now < key.signs_from.into() {
            "waits"
        } else {
            "verifies"
        };
        say(&if as_json {
            json!({
                "id": key.id, "state": state, "signs_from": key.signs_from,
                "created_at": key.created_at,
            })
            .to_string()
        } else {
            format!("{:>4}  {state:<8}  from {:.0}", key.id, key.signs_from)
        })?;
    }
    Ok(())
}

async fn rotate(context: &Context) -> Result<(), Error> {
    let mut connection = context.store.connection().await?;
    let transaction = connection.transaction().await.map_err(store::Error::from)?;
    let before = token_keys::list_for_change(&transaction).await?;
    let now = context.clock.now();
    if let Some(waiting) = before.last().filter(|last| now < last.signs_from.into()) {
        let message = format!(
            "key {} was made already, and signs from {:.0} on; rotate again after that",
            waiting.id, waiting.signs_from
        );
        return Err(Error::Message(message));
    }
    let made = keys::add_next(&transaction, &before, now).await?;
    let subject = format!("token-key:{}", made.id);
    let detail = json!({ "signs_from": made.signs_from });
    context.record(&transaction, "token-key.rotate", &subject, detail).await?;
    transaction.commit().await.map_err(store::Error::from)?;
    say(&format!("key {} signs from {:.0} on", made.id, made.signs_from))
}
