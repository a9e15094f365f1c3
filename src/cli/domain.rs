//! `waypost domain`

use clap::Subcommand;
use serde_json::json;

use super::context::Context;
use super::{Error, say};
use crate::code::slug::LetterCase;
use crate::link::rules::authority;
use crate::store::{self, domains};

/// Add, edit and list the hosts under which links are found.
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
    /// Change how a host reads slugs
    Edit {
        /// The host, as `domain list` shows it without its port
        host: String,
        /// Tell capitals from small letters, or not
        #[arg(long, value_enum)]
        case: Case,
    },
    /// List all hosts
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// How a host reads slugs.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
pub(crate) enum Case {
    /// `/Spring` and `/spring` are two links.
    Sensitive,
    /// They are one; only while no slug has capitals.
    Insensitive,
}

/// Runs one of them.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Error> {
    match command {
        Command::Add { host, case_insensitive } => add(context, &host, case_insensitive).await,
        Command::Edit { host, case } => edit(context, &host, case).await,
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

async fn edit(context: &Context, host: &str, case: Case) -> Result<(), Error> {
    let is_default = context.config.edge.public_url.host_str() == Some(host);
    let stored = (!is_default).then_some(host);
    let case = match case {
        Case::Sensitive => LetterCase::Exact,
        Case::Insensitive => LetterCase::Folded,
    };
    let mut connection = context.store.connection().await?;
    let transaction = connection.transaction().await.map_err(store::Error::from)?;
    if !domains::set_case(&transaction, stored, case).await? {
        return Err(Error::Message(format!("there is no domain '{host}': add it first")));
    }
    if case == LetterCase::Folded
        && let Some(slug) = domains::slug_with_capitals(&transaction, stored).await?
    {
        return Err(Error::Message(format!(
            "'{host}' has slugs with capitals, such as '{slug}': nobody would find them any more. \
             Delete them, or make them again in small letters, first"
        )));
    }
    let detail = json!({ "case_insensitive": case == LetterCase::Folded });
    context.record(&transaction, "domain.edit", &format!("domain:{host}"), detail).await?;
    transaction.commit().await.map_err(store::Error::from)?;
    say(&format!("edited {host}; running instances follow within seconds"))
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
