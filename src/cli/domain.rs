//! `waypost domain`

use clap::{Args, Subcommand, ValueEnum};

use super::context::{Context, actor};
use super::fields::{self, change, say_fields, say_json};
use super::{Error, say};
use crate::api::domains::DomainView;
use crate::link::domains::service;
use crate::link::domains::{DomainEdit, FullDomain, NewDomain};

/// Add, show, edit and delete the hosts under which links are found.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Add a host
    Add(Box<Add>),
    /// Change what a host does
    Edit(Box<Edit>),
    /// Show a host
    Show {
        /// The host, as `domain list` shows it
        host: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List all hosts
    List {
        /// Print JSON, a line for each
        #[arg(long)]
        json: bool,
    },
    /// Delete a host that has no links
    Delete {
        /// The host
        host: String,
    },
}

/// What a domain does; as options.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How many characters generated slugs have, 5 to 10
    #[arg(long, value_name = "NUMBER")]
    slug_length: Option<i64>,
    /// Where the bare address of the host redirects to
    #[arg(long, value_name = "URL")]
    root_url: Option<String>,
    /// Where a slug that leads nowhere redirects to
    #[arg(long, value_name = "URL")]
    unknown_url: Option<String>,
    /// Where a link that is gone and has no fallback redirects to
    #[arg(long, value_name = "URL")]
    gone_url: Option<String>,
}

/// Add a host.
#[derive(Debug, Args)]
pub(crate) struct Add {
    /// The host, such as links.example.com, without a port
    host: String,
    /// Do not tell capitals from small letters
    #[arg(long)]
    case_insensitive: bool,
    #[command(flatten)]
    options: Options,
}

/// Change what a host does.
#[derive(Debug, Args)]
pub(crate) struct Edit {
    /// The host, as `domain list` shows it
    host: String,
    /// Tell capitals from small letters, or not
    #[arg(long, value_enum)]
    case: Option<Case>,
    #[command(flatten)]
    options: Options,
    /// Clear a field; may be given several times
    #[arg(long, value_name = "FIELD")]
    clear: Vec<Field>,
}

/// How a host reads slugs.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Case {
    /// `/Spring` and `/spring` are two links.
    Sensitive,
    /// They are one; only while no slug has capitals.
    Insensitive,
}

/// A field that can be cleared.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Field {
    /// As many as the settings say
    SlugLength,
    /// The small page
    RootUrl,
    /// The small page
    UnknownUrl,
    /// The small page
    GoneUrl,
}

/// Runs one of them.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Error> {
    let domains = context.domains();
    let view = |full: FullDomain| DomainView::new(full, &domains);
    match command {
        Command::Add(add) => {
            let added = domains.create(&actor(), &add.into_request()).await;
            say(&format!("added {}", view(added.map_err(add_in_words)?).host))
        }
        Command::Edit(edit) => {
            let (host, edit) = edit.into_request();
            let edited = domains.edit(&actor(), &host, &edit).await.map_err(edit_in_words)?;
            let host = view(edited).host;
            say(&format!("edited {host}; running instances follow within seconds"))
        }
        Command::Show { host, json } => {
            let shown = view(domains.get(&host).await.map_err(edit_in_words)?);
            if json { say_json(&shown) } else { say_fields(&shown, "host") }
        }
        Command::List { json } => {
            let all = domains.list().await.map_err(edit_in_words)?;
            all.into_iter().try_for_each(|full| say_line(&view(full), json))
        }
        Command::Delete { host } => {
            domains.delete(&actor(), &host).await.map_err(edit_in_words)?;
            say(&format!("deleted {host}"))
        }
    }
}

impl Add {
    fn into_request(self) -> NewDomain {
        let options = self.options;
        NewDomain {
            host: Some(self.host),
            case_insensitive: Some(self.case_insensitive),
            slug_length: options.slug_length,
            root_url: options.root_url,
            unknown_url: options.unknown_url,
            gone_url: options.gone_url,
        }
    }
}

impl Edit {
    fn into_request(self) -> (String, DomainEdit) {
        let (options, clear) = (self.options, self.clear);
        let cleared = |field: Field| clear.contains(&field);
        let edit = DomainEdit {
            case_insensitive: self.case.map(|case| Some(matches!(case, Case::Insensitive))),
            slug_length: change(options.slug_length, cleared(Field::SlugLength)),
            root_url: change(options.root_url, cleared(Field::RootUrl)),
            unknown_url: change(options.unknown_url, cleared(Field::UnknownUrl)),
            gone_url: change(options.gone_url, cleared(Field::GoneUrl)),
            host: None,
        };
        (self.host, edit)
    }
}

/// One domain of a list.
fn say_line(domain: &DomainView, json: bool) -> Result<(), Error> {
    if json {
        let line = serde_json::to_string(domain);
        return say(&line.map_err(|error| Error::Message(error.to_string()))?);
    }
    let notes = match (domain.default, domain.case_insensitive) {
        (false, false) => "",
        (true, false) => "  (default)",
        (false, true) => "  (case-insensitive)",
        (true, true) => "  (default, case-insensitive)",
    };
    say(&format!("{}{notes}", domain.host))
}

fn add_in_words(error: service::Error) -> Error {
    explain(error, "--case-insensitive")
}

fn edit_in_words(error: service::Error) -> Error {
    explain(error, "--case insensitive")
}

/// Says what is wrong in the words of the command line; `folding` is the option that has a host fold
/// its slugs.
fn explain(error: service::Error, folding: &'static str) -> Error {
    match error {
        service::Error::Invalid(faults) => fields::explain(faults, |field, _| match field {
            "host" => Some("the host".to_owned()),
            "case_insensitive" => Some(folding.to_owned()),
            _ => None,
        }),
        service::Error::Store(error) => Error::Store(error),
        service::Error::NotFound(_)
        | service::Error::Exists(_)
        | service::Error::AlwaysThere(_)
        | service::Error::NeverDeleted(_)
        | service::Error::HasCampaign(..)
        | service::Error::InUse(_) => Error::Message(error.to_string()),
    }
}
