//! `waypost review`

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::{Context, actor};
use super::{Error, fields, say};
use crate::api::cases::CaseView;
use crate::api::reviews::{FlowView, RoleView};
use crate::campaign::document::{Format, LARGEST};
use crate::review::flow::Subject;
use crate::review::service::{self, Page, Reviews};
use crate::store::review::list::Filter;

/// How many cases are read at once.
const PAGE: u32 = 100;

/// Set who has to approve what, and list the cases that wait.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Store, list and activate flows
    #[command(subcommand)]
    Flow(Flow),
    /// Give people roles, take them away, list them
    #[command(subcommand)]
    Role(Role),
    /// List the cases that are open, newest first
    Inbox(Inbox),
}

/// Store, list and activate flows.
#[derive(Debug, Subcommand)]
pub(crate) enum Flow {
    /// Store a flow from a file; nothing follows it until it is activated
    Put {
        /// The document, .toml or .json; config/flows has those that hold at first
        file: PathBuf,
        /// Have new cases follow it
        #[arg(long)]
        activate: bool,
    },
    /// List all versions of all flows
    List {
        /// Print JSON, a line for each
        #[arg(long)]
        json: bool,
    },
    /// Have new cases follow a version; those that are open follow theirs to the end
    Activate {
        /// What the flow decides on, such as `reward`
        subject: String,
        /// The number of the version
        version: i32,
    },
}

/// Give people roles, take them away, list them.
#[derive(Debug, Subcommand)]
pub(crate) enum Role {
    /// Give somebody a role
    Grant(OneRole),
    /// Take a role from somebody
    Revoke(OneRole),
    /// List all roles that people have
    List {
        /// Print JSON, a line for each
        #[arg(long)]
        json: bool,
    },
}

/// Whose role, and which.
#[derive(Debug, Args)]
pub(crate) struct OneRole {
    /// The actor of their API key
    actor: String,
    /// The role, as a flow names it
    role: String,
}

/// Which cases are listed.
#[derive(Debug, Args)]
pub(crate) struct Inbox {
    /// Only those about this, such as `reward`
    #[arg(long)]
    subject: Option<String>,
    /// Only those in this node
    #[arg(long)]
    node: Option<String>,
    /// Only those in which this person has a task
    #[arg(long)]
    holder: Option<String>,
    /// Print JSON, a line for each
    #[arg(long)]
    json: bool,
}

/// Runs one of them.
pub(crate) async fn run(command: Command, context: &Context) -> Result<(), Error> {
    let reviews = context.reviews().await?;
    match command {
        Command::Flow(Flow::Put { file, activate }) => put(&reviews, &file, activate).await,
        Command::Flow(Flow::List { json }) => list_flows(&reviews, json).await,
        Command::Flow(Flow::Activate { subject, version }) => {
            let subject = subject_named(&subject)?;
            activate(&reviews, subject, version).await
        }
        Command::Role(Role::Grant(role)) => set_role(&reviews, &role, true).await,
        Command::Role(Role::Revoke(role)) => set_role(&reviews, &role, false).await,
        Command::Role(Role::List { json }) => list_roles(&reviews, json).await,
        Command::Inbox(inbox) => list_cases(&reviews, inbox).await,
    }
}

async fn put(reviews: &Reviews, file: &Path, active: bool) -> Result<(), Error> {
    let refuse = |what: String| Error::Message(format!("{}: {what}", file.display()));
    let extension = file.extension().and_then(|it| it.to_str()).unwrap_or_default();
    let format = Format::named(&extension.to_ascii_lowercase())
        .ok_or_else(|| refuse("the name must end in .toml or .json".to_owned()))?;
    let length = std::fs::metadata(file).map_err(|error| refuse(error.to_string()))?.len();
    if length > u64::try_from(LARGEST).unwrap_or(u64::MAX) {
        return Err(refuse(format!("has {length} bytes; at most {LARGEST} are allowed")));
    }
    let text = std::fs::read_to_string(file).map_err(|error| refuse(error.to_string()))?;
    let put = reviews.put_flow(&actor(), (&text, format)).await;
    let (stored, is_new) = put.map_err(|error| match error {
        service::Error::Invalid(faults) => {
            let lines = faults.into_iter().map(|fault| {
                let line = fault.line.map(|line| format!("line {line}: ")).unwrap_or_default();
                format!("\n  {line}{} {}", fault.pointer, fault.detail)
            });
            refuse(format!("is not good{}", lines.collect::<String>()))
        }
        other @ (service::Error::NotFound(_)
        | service::Error::NoFlow(..)
        | service::Error::Refused(_)
        | service::Error::Store(_)) => in_words(other),
    })?;
    let (subject, version) = (stored.subject, stored.version);
    let what = if is_new { "stored" } else { "there already:" };
    say(&format!("{what} version {version} of the flow for '{}'", subject.name()))?;
    if active { activate(reviews, subject, version).await } else { Ok(()) }
}

async fn activate(reviews: &Reviews, subject: Subject, version: i32) -> Result<(), Error> {
    reviews.activate_flow(&actor(), subject, version).await.map_err(in_words)?;
    say(&format!("new cases about '{}' follow version {version}", subject.name()))
}

async fn list_flows(reviews: &Reviews, as_json: bool) -> Result<(), Error> {
    let flows = reviews.flows().await.map_err(in_words)?;
    for flow in flows.into_iter().map(FlowView::new) {
        say(&if as_json {
            json!(flow).to_string()
        } else {
            let active = if flow.active { "active" } else { "-" };
            let (by, at) = (flow.created_by, flow.created_at);
            format!("{}  version {}  {active}  by {by} at {at}", flow.subject, flow.version)
        })?;
    }
    Ok(())
}

async fn set_role(reviews: &Reviews, of: &OneRole, has: bool) -> Result<(), Error> {
    let OneRole { actor: person, role } = of;
    let changed = reviews.set_role(&actor(), (person, role), has).await.map_err(in_words)?;
    say(&match (has, changed) {
        (true, true) => format!("'{person}' has the role '{role}' now"),
        (true, false) => format!("'{person}' has the role '{role}' already"),
        (false, true) => format!("'{person}' has the role '{role}' no more"),
        (false, false) => format!("'{person}' does not have the role '{role}'"),
    })
}

async fn list_roles(reviews: &Reviews, as_json: bool) -> Result<(), Error> {
    let roles = reviews.roles().await.map_err(in_words)?;
    for role in roles.into_iter().map(RoleView::new) {
        say(&if as_json {
            json!(role).to_string()
        } else {
            let (by, at) = (role.granted_by, role.granted_at);
            format!("{}  {}  by {by} at {at}", role.actor, role.role)
        })?;
    }
    Ok(())
}

async fn list_cases(reviews: &Reviews, inbox: Inbox) -> Result<(), Error> {
    let Inbox { subject, node, holder, json } = inbox;
    let subject = subject.as_deref().map(subject_named).transpose()?;
    let state = Some("open".to_owned());
    let mut filter = Filter { subject, state, node, holder, ..Filter::default() };
    loop {
        let Page { cases, next } = reviews.list(&filter, PAGE).await.map_err(in_words)?;
        for case in cases.into_iter().map(CaseView::new) {
            say(&if json {
                json!(case).to_string()
            } else {
                let CaseView { id, subject, key, node, version, entered_at, .. } = case;
                format!(
                    "case {id}  {subject} {key}  in '{node}' since {entered_at:.0}  version {version}"
                )
            })?;
        }
        let Some(next) = next else { return Ok(()) };
        filter.before = Some(next);
    }
}

fn subject_named(name: &str) -> Result<Subject, Error> {
    let names = || Subject::ALL.map(Subject::name).join(", ");
    Subject::named(name)
        .ok_or_else(|| Error::Message(format!("the subject must be one of: {}", names())))
}

fn in_words(error: service::Error) -> Error {
    match error {
        service::Error::Invalid(faults) => {
            fields::explain(faults, |field, _| Some(format!("the {field}")))
        }
        service::Error::Store(error) => Error::Store(error),
        service::Error::NotFound(_) | service::Error::NoFlow(..) | service::Error::Refused(_) => {
            Error::Message(error.to_string())
        }
    }
}
