//! `waypost campaign`

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::json;

use super::context::{Context, actor};
use super::fields::{say_fields, say_json};
use super::{Error, say};
use crate::api::campaigns::{CampaignView, DiffView, RecordView, SummaryView, VersionView};
use crate::campaign::document::{self, Format, LARGEST};
use crate::campaign::service::{self, CampaignService, Draft};
use crate::campaign::{BadId, CampaignId, Version};
use crate::fault::Fault;

mod simulate;

/// Check, store, activate, retire, compare and simulate campaigns.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Say whether documents are good, with the line of each fault; needs no database
    Check(Check),
    #[command(flatten)]
    Stored(Stored),
}

/// What needs the database.
#[derive(Debug, Subcommand)]
pub(crate) enum Stored {
    /// Store a document as a new version, which is a draft
    Put {
        /// The campaign's name; it need not be there yet
        campaign: String,
        /// The document, `.toml` or `.json`
        file: PathBuf,
        /// Make it the active version at once
        #[arg(long)]
        activate: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a version the active one; an older one as well as a new one
    Activate {
        /// The campaign's name
        campaign: String,
        /// The number of the version
        version: i32,
    },
    /// End the active version: no code can be bound any more
    Retire {
        /// The campaign's name
        campaign: String,
    },
    /// List campaigns, or the versions of one
    List {
        /// The campaign whose versions are listed
        campaign: Option<String>,
        /// Print JSON, a line for each
        #[arg(long)]
        json: bool,
    },
    /// Show a campaign, in the version that counts
    Show {
        /// The campaign's name
        campaign: String,
        /// Show this version instead
        #[arg(long, value_name = "NUMBER")]
        version: Option<i32>,
        /// Print the document, as it came
        #[arg(long)]
        document: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say in what two versions differ
    Diff {
        /// The campaign's name
        campaign: String,
        /// The number of the one version
        from: i32,
        /// The number of the other
        to: i32,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say what the past triggers of a campaign would have cost under another document
    Simulate(simulate::Simulate),
}

/// Say whether documents are good.
#[derive(Debug, Args)]
pub(crate) struct Check {
    /// The documents, `.toml` or `.json`
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Print JSON, a line for each
    #[arg(long)]
    json: bool,
}

/// Versions that are read at a time.
const PAGE: u16 = 1_000;

impl Check {
    /// Judges every file by what needs no database; fails if one of them is not good.
    pub(crate) fn run(self) -> Result<(), Error> {
        let mut bad = 0;
        for path in &self.files {
            let (text, format) = read(path)?;
            let judged = document::parse(&text, format);
            bad += usize::from(judged.is_err());
            let file = path.display().to_string();
            match (judged, self.json) {
                (Ok(campaign), true) => {
                    let summary = SummaryView::new(&campaign);
                    say(&json!({ "file": file, "summary": summary }).to_string())?;
                }
                (Err(faults), true) => {
                    say(&json!({ "file": file, "errors": faults }).to_string())?;
                }
                (Ok(campaign), false) => say(&format!("{file}: good: '{}'", campaign.name))?,
                (Err(faults), false) => say(&lines(&file, &faults))?,
            }
        }
        if bad == 0 {
            return Ok(());
        }
        Err(Error::Message(format!("not good: {bad} of {}", self.files.len())))
    }
}

/// Runs one of those that need the database.
pub(crate) async fn run(command: Stored, context: &Context) -> Result<(), Error> {
    let campaigns = context.campaigns();
    match command {
        Stored::Put { campaign, file, activate, json } => {
            let put = put(&campaigns, &id(&campaign)?, &file, activate).await?;
            if json { say_json(&put.0) } else { say(&put.1) }
        }
        Stored::Activate { campaign, version } => {
            let (campaign, version) = (id(&campaign)?, Version(version));
            let activated = campaigns.activate(&actor(), &campaign, version).await;
            activated.map_err(in_words)?;
            say(&format!(
                "version {version} of '{campaign}' is active; running instances follow within a second"
            ))
        }
        Stored::Retire { campaign } => {
            let campaign = id(&campaign)?;
            let retired = campaigns.retire(&actor(), &campaign).await.map_err(in_words)?;
            say(&format!("retired '{campaign}', which was at version {}", retired.record.version))
        }
        Stored::List { campaign: None, json } => {
            let all = campaigns.list().await.map_err(in_words)?.into_iter();
            all.map(|stored| CampaignView::new(stored, None)).try_for_each(|it| line(&it, json))
        }
        Stored::List { campaign: Some(campaign), json } => {
            list_versions(&campaigns, &id(&campaign)?, json).await
        }
        Stored::Show { campaign, version, document, json } => {
            let campaign = id(&campaign)?;
            let found = match version {
                Some(version) => campaigns.get(&campaign, Version(version)).await,
                None => campaigns.current(&campaign).await,
            };
            let found = found.map_err(in_words)?;
            match (document, json) {
                (true, true) => say_json(&VersionView::new(found)),
                (true, false) => say(found.document.trim_end()),
                (false, true) => say_json(&CampaignView::new(found, None)),
                (false, false) => say_fields(&CampaignView::new(found, None), "campaign"),
            }
        }
        Stored::Diff { campaign, from, to, json } => {
            let (campaign, from, to) = (id(&campaign)?, Version(from), Version(to));
            let changes = campaigns.diff(&campaign, from, to).await.map_err(in_words)?;
            if json { say_json(&DiffView { changes }) } else { say_changes(&DiffView { changes }) }
        }
        Stored::Simulate(simulate) => simulate.run(context).await,
    }
}

/// Stores a document; answers it, and what there is to say.
async fn put(
    campaigns: &CampaignService,
    campaign: &CampaignId,
    file: &Path,
    activate: bool,
) -> Result<(VersionView, String), Error> {
    let (text, format) = read(file)?;
    let draft = Draft { campaign, text: &text, format };
    let put = campaigns.put(&actor(), draft).await;
    let (mut stored, is_new) = put.map_err(|error| explain(&error, &file.display().to_string()))?;
    let version = stored.record.version;
    let mut said = if is_new {
        format!("stored version {version} of '{campaign}'")
    } else {
        format!("version {version} of '{campaign}' has this content already")
    };
    if activate {
        stored = campaigns.activate(&actor(), campaign, version).await.map_err(in_words)?;
        said.push_str("; it is active, and running instances follow within a second");
    } else if is_new {
        said = format!("{said}; 'waypost campaign activate {campaign} {version}' makes it count");
    }
    Ok((VersionView::new(stored), said))
}

async fn list_versions(
    campaigns: &CampaignService,
    campaign: &CampaignId,
    json: bool,
) -> Result<(), Error> {
    let mut before = None;
    loop {
        let page = campaigns.versions(campaign, before, PAGE).await.map_err(in_words)?;
        let Some(last) = page.last() else { return Ok(()) };
        before = Some(last.version);
        for record in page.into_iter().map(RecordView::new) {
            if json {
                say(&json!(record).to_string())?;
            } else {
                let (version, state) = (record.version, record.state);
                let (by, at) = (record.created_by, record.created_at);
                say(&format!("version {version}  {state}  by {by} at {at}"))?;
            }
        }
    }
}

/// One campaign of a list.
fn line(campaign: &CampaignView, json: bool) -> Result<(), Error> {
    if json {
        return say(&json!(campaign).to_string());
    }
    let RecordView { campaign: id, version, state, .. } = &campaign.record;
    let about = campaign.summary.as_ref().map_or_else(
        || "cannot be read by this program".to_owned(),
        |it| format!("'{}', {} to {}", it.name, it.starts_at, it.ends_at),
    );
    say(&format!("{id}  version {version}  {state}  {about}"))
}

fn say_changes(diff: &DiffView) -> Result<(), Error> {
    for change in &diff.changes {
        for (sign, value) in [("-", &change.from), ("+", &change.to)] {
            if let Some(value) = value {
                say(&format!("{sign} {}: {value}", change.pointer))?;
            }
        }
    }
    if diff.changes.is_empty() { say("they say the same") } else { Ok(()) }
}

/// A document from a file, written as the end of the file's name says.
fn read(path: &Path) -> Result<(String, Format), Error> {
    let refuse = |what: String| Error::Message(format!("{}: {what}", path.display()));
    let extension = path.extension().and_then(|it| it.to_str()).unwrap_or_default();
    let format = Format::named(&extension.to_ascii_lowercase()).ok_or_else(|| {
        refuse("the name of a document ends in .toml or .json: that says how it is written".into())
    })?;
    let read = || -> std::io::Result<Vec<u8>> {
        // A byte more than is allowed is enough to refuse it.
        let most = u64::try_from(LARGEST).unwrap_or(u64::MAX).saturating_add(1);
        let mut bytes = Vec::new();
        File::open(path)?.take(most).read_to_end(&mut bytes)?;
        Ok(bytes)
    };
    let bytes = read().map_err(|error| refuse(format!("cannot be read: {error}")))?;
    if bytes.len() > LARGEST {
        return Err(refuse(format!("is too long; at most {LARGEST} bytes are allowed")));
    }
    let text = String::from_utf8(bytes).map_err(|error| {
        refuse(format!("is not UTF-8 after byte {}", error.utf8_error().valid_up_to()))
    })?;
    Ok((text, format))
}

/// A line for each fault, as compilers write them: editors can jump there.
fn lines(file: &str, faults: &[Fault]) -> String {
    let lines = faults.iter().map(|fault| {
        let line = fault.line.map(|line| format!("{line}:")).unwrap_or_default();
        let pointer = Some(&fault.pointer).filter(|pointer| !pointer.is_empty());
        let pointer = pointer.map(|pointer| format!("{pointer}: ")).unwrap_or_default();
        format!("{file}:{line} {pointer}{}", fault.detail)
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn id(text: &str) -> Result<CampaignId, Error> {
    text.parse().map_err(|bad: BadId| Error::Message(bad.to_string()))
}

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn in_words(error: service::Error) -> Error {
    explain(&error, "document")
}

/// Says what is wrong; `file` is where a document came from.
fn explain(error: &service::Error, file: &str) -> Error {
    match error {
        service::Error::Invalid(faults) => {
            Error::Message(format!("nothing was stored:\n{}", lines(file, faults)))
        }
        service::Error::StoredInvalid { campaign, version, faults } => {
            let place = format!("{campaign}, version {version}");
            Error::Message(format!("{error}:\n{}", lines(&place, faults)))
        }
        service::Error::NotFound(_)
        | service::Error::NoVersion(..)
        | service::Error::NotActive(_)
        | service::Error::Steered(_)
        | service::Error::Store(_) => Error::Message(error.to_string()),
    }
}
