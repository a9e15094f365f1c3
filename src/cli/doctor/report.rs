//! What was found, a line for each check.

use serde::Serialize;

use crate::cli::{Error, say};

/// What was checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Check {
    /// The settings.
    Settings,
    /// The database.
    Postgres,
    /// The second tier.
    Redis,
    /// What short URLs begin with.
    PublicUrl,
    /// Whether a host is a domain of this service.
    Domain,
    /// Whether the edge answers under a name.
    Edge,
    /// The file for Android.
    AssetLinks,
    /// The file for iOS.
    AppleAppSiteAssociation,
}

/// How a check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Outcome {
    Good,
    /// There was nothing to check.
    Skipped,
    Warning,
    Failed,
}

impl Outcome {
    fn sign(self) -> &'static str {
        match self {
            Self::Good => "✓",
            Self::Skipped => "–",
            Self::Warning => "!",
            Self::Failed => "✗",
        }
    }
}

/// What one check found.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Finding {
    check: Check,
    /// What was looked at, in words.
    subject: String,
    outcome: Outcome,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

impl Finding {
    /// Begins a finding; good until one of the others is called.
    pub(super) fn of(check: Check, subject: impl Into<String>) -> Self {
        let (subject, detail) = (subject.into(), String::new());
        Self { check, subject, outcome: Outcome::Good, detail, remedy: None }
    }

    pub(super) fn good(self, detail: impl Into<String>) -> Self {
        Self { detail: detail.into(), ..self }
    }

    pub(super) fn skipped(self, detail: impl Into<String>) -> Self {
        Self { outcome: Outcome::Skipped, ..self.good(detail) }
    }

    pub(super) fn warning(self, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { outcome: Outcome::Warning, remedy: Some(remedy.into()), ..self.good(detail) }
    }

    pub(super) fn failed(self, detail: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { outcome: Outcome::Failed, ..self.warning(detail, remedy) }
    }
}

/// Prints findings as they come, and counts those that failed.
#[derive(Debug)]
pub(super) struct Report {
    json: bool,
    failed: usize,
}

impl Report {
    /// Begins; in JSON or for people.
    pub(super) fn new(json: bool) -> Self {
        Self { json, failed: 0 }
    }

    /// Prints a finding.
    pub(super) fn add(&mut self, finding: Finding) -> Result<(), Error> {
        self.failed += usize::from(finding.outcome == Outcome::Failed);
        if self.json {
            let line = serde_json::to_string(&finding);
            return say(&line.map_err(|error| Error::Message(error.to_string()))?);
        }
        let Finding { check: _, subject, outcome, detail, remedy } = finding;
        say(&format!("{} {subject}: {detail}", outcome.sign()))?;
        remedy.map_or(Ok(()), |remedy| say(&format!("    → {remedy}")))
    }

    /// Fails if a check did.
    pub(super) fn end(self) -> Result<(), Error> {
        match self.failed {
            0 => Ok(()),
            1 => Err(Error::Message("1 check failed".to_owned())),
            failed => Err(Error::Message(format!("{failed} checks failed"))),
        }
    }
}
