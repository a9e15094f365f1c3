//! `waypost key`

use clap::Subcommand;
use clap::builder::PossibleValuesParser;
use serde_json::json;

use super::context::Context;
use super::{Error, say};
use crate::http::auth::{ApiKey, Scope};
use crate::store::{self, keys};

/// Make, list and revoke API keys.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a key and print it; it is never shown again
    Create {
        /// Who will use it: the name on audit rows
        #[arg(long, value_name = "NAME", value_parser = actor)]
        actor: String,
        /// What it is good for; may be given several times
        #[arg(long = "scope", required = true, value_parser = scopes())]
        scopes: Vec<String>,
    },
    /// List all keys, newest first
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key, at once and for ever
    Revoke {
        /// The 12 characters after "wp_"
        id: String,
    },
}

/// Runs one of them.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Error> {
    match command {
        Command::Create { actor, scopes } => {
            let scopes: Vec<Scope> = scopes.iter().filter_map(|name| Scope::named(name)).collect();
            say(&create(context, &actor, &scopes).await?.expose())
        }
        Command::List { json } => list(context, json).await,
        Command::Revoke { id } => revoke(context, &id).await,
    }
}

/// Makes a key for `actor`.
pub(crate) async fn create(
    context: &Context,
    actor: &str,
    scopes: &[Scope],
) -> Result<ApiKey, Error> {
    let mut random = [0; 40];
    rand::fill(&mut random);
    let key = ApiKey::from_random(&random);
    let mut names: Vec<&str> = scopes.iter().map(|scope| scope.name()).collect();
    names.sort_unstable();
    names.dedup();
    let mut connection = context.store.connection().await?;
    let transaction = connection.transaction().await.map_err(store::Error::from)?;
    keys::insert(&transaction, key.id(), actor, &key.secret_hash(), &names).await?;
    let subject = format!("key:{}", key.id());
    let detail = json!({ "actor": actor, "scopes": names });
    context.record(&transaction, "key.create", &subject, detail).await?;
    transaction.commit().await.map_err(store::Error::from)?;
    Ok(key)
}

async fn list(context: &Context, as_json: bool) -> Result<(), Error> {
    for key in keys::list(&context.store).await? {
        let state = match key.revoked_at {
            None => "holds".to_owned(),
            Some(at) => format!("revoked {at:.0}"),
        };
        let scopes = key.scopes.join(",");
        if as_json {
            let line = json!({
                "id": key.id, "actor": key.actor, "scopes": key.scopes,
                "created_at": key.created_at, "revoked_at": key.revoked_at,
            });
            say(&line.to_string())?;
        } else {
            say(&format!("{}  {:.0}  {state}  {scopes}  {}", key.id, key.created_at, key.actor))?;
        }
    }
    Ok(())
}

async fn revoke(context: &Context, id: &str) -> Result<(), Error> {
    // Whoever pastes the whole key means its id.
    let id = ApiKey::parse(id).map_or_else(|| id.to_owned(), |key| key.id().to_owned());
    let mut connection = context.store.connection().await?;
    let transaction = connection.transaction().await.map_err(store::Error::from)?;
    if !keys::revoke(&transaction, &id).await? {
        let message = format!("no key '{id}' holds; 'waypost key list' shows all");
        return Err(Error::Message(message));
    }
    context.record(&transaction, "key.revoke", &format!("key:{id}"), json!({})).await?;
    transaction.commit().await.map_err(store::Error::from)?;
    say(&format!("revoked {id}"))
}

fn actor(text: &str) -> Result<String, String> {
    let good = (1..=100).contains(&text.chars().count())
        && !text.trim().is_empty()
        && !text.chars().any(char::is_control);
    if good { Ok(text.to_owned()) } else { Err("use 1 to 100 printable characters".to_owned()) }
}

fn scopes() -> PossibleValuesParser {
    PossibleValuesParser::new(Scope::ALL.map(Scope::name))
}
