//! `waypost domain`

use clap::Subcommand;
use serde_json::json;

use super::context::Context;
use super::{Error, say};
use crate::code::slug::LetterCase;
use crate::link::rules::authority;
use crate::store::{self, domains};

/// Add and list the hosts under which links are found.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add a host
    Add {
        /// The host, such as links.example.com, without a port
        #[arg(value_parser = host)]
        host: String,
        /// Do not tell capitals from small letters
        #[arg(long)]
        case_insensitive: bool,
    },
    /// List all hosts
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// Runs one of them.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Error> {
    match command {
        Command::Add { host, case_insensitive } => add(context, &host, case_insensitive).await,
        Command::List { json } => list(context, json).await,
    }
}

async fn add(context: &Context, host: &str, case_insensitive: bool) -> Result<(), Error> {
    if context.config.edge.public_url.host_str() == Some(host) {
        let message = format!("'{host}' is the host of edge.public_url: the default domain");
        return Err(Error::Message(message));
    }
    let case = if case_insensitive { LetterCase::Folded } else { LetterCase::Exact };
    let mut connection = context.store.connection().await?;
    let transaction = connection.transaction().await.map_err(store::Error::from)?;
    if domains::add(&transaction, host, case).await?.is_none() {
        return Err(Error::Message(format!("the domain '{host}' is there already")));
    }
    let detail = json!({ "case_insensitive": case_insensitive });
    context.record(&transaction, "domain.add", &format!("domain:{host}"), detail).await?;
    transaction.commit().await.map_err(store::Error::from)?;
    say(&format!("added {host}"))
}

async fn list(context: &Context, as_json: bool) -> Result<(), Error> {
    for domain in domains::list(&context.store).await? {
        let is_default = domain.host.is_none();
        let host = domain.host.unwrap_or_else(|| authority(&context.config.edge.public_url));
        let folds = domain.case == LetterCase::Folded;
        if as_json {
            let line = json!({ "host": host, "default": is_default, "case_insensitive": folds });
            say(&line.to_string())?;
        } else {
            let notes = match (is_default, folds) {
                (false, false) => "",
                (true, false) => "  (default)",
                (false, true) => "  (case-insensitive)",
                (true, true) => "  (default, case-insensitive)",
            };
            say(&format!("{host}{notes}"))?;
        }
    }
    Ok(())
}

/// A host as it is stored: lower case, ASCII.
fn host(text: &str) -> Result<String, String> {
    let remedy = "write a host name like links.example.com, without scheme and port";
    match url::Host::parse(text) {
        Ok(url::Host::Domain(host)) if host.len() <= 253 && !host.ends_with('.') => Ok(host),
        Ok(url::Host::Domain(_) | url::Host::Ipv4(_) | url::Host::Ipv6(_)) => {
            Err(remedy.to_owned())
        }
        Err(error) => Err(format!("{error}; {remedy}")),
    }
}
