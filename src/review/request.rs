//! What people send to do something to a case, and what is wrong with it.

use serde::{Deserialize, Serialize};
use url::Url;
use utoipa::ToSchema;

use super::case::Attachment;
use super::command::{Act, Actor};
use crate::fault::{Fault, Reason};

/// The longest reason, question or note, in characters.
const LONGEST_REASON: usize = 500;
/// The longest text of a piece of evidence, in characters.
const LONGEST_EVIDENCE: usize = 2_000;
/// The longest URL and the longest name of a file, in bytes.
const LONGEST_URL: usize = 2_000;
const LONGEST_FILE_NAME: usize = 255;

/// Takes a task, or gives it back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = TaskRequest)]
pub struct TaskRequest {
    /// The version of the case that you looked at.
    pub expected_version: i32,
}

/// Approves or rejects a case.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CaseDecision {
    /// The version of the case that you looked at.
    pub expected_version: i32,
    /// Why, in a sentence for whoever reads the history.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
}

/// Asks for evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct QuestionRequest {
    /// The version of the case that you looked at.
    pub expected_version: i32,
    /// What you want to know.
    #[schema(min_length = 1, max_length = 500)]
    pub question: String,
}

/// A file that is kept elsewhere.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvidenceFile {
    /// Its name.
    #[schema(min_length = 1, max_length = 255)]
    pub name: String,
    /// The SHA-256 of its content: 64 small hexadecimal digits.
    #[schema(min_length = 64, max_length = 64)]
    pub sha256: String,
}

/// Adds evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct EvidenceRequest {
    /// The version of the case that you looked at.
    pub expected_version: i32,
    /// What it says.
    #[schema(min_length = 1, max_length = 2_000)]
    pub text: String,
    /// Where it is on the web. At most one of `url` and `file`.
    #[serde(default)]
    pub url: Option<String>,
    /// The file that it is.
    #[serde(default)]
    pub file: Option<EvidenceFile>,
}

/// Gives a task to somebody else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct DelegateRequest {
    /// The version of the case that you looked at.
    pub expected_version: i32,
    /// To whom: the actor of their API key.
    pub to: String,
}

/// Moves a case to another node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct JumpRequest {
    /// The node in which you saw it.
    pub from: String,
    /// Where it should go.
    pub to: String,
    /// Why.
    #[schema(min_length = 1, max_length = 500)]
    pub reason: String,
    /// The version of the case that you looked at.
    pub expected_version: i32,
    /// Whether you only want to know what would happen.
    #[serde(default)]
    pub dry_run: bool,
}

/// Something that somebody wants, whose roles, and those of others, are not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wanted {
    /// Anything but to give a task to somebody else.
    Act(Act),
    /// To give a task to this person.
    DelegateTo(String),
}

impl Wanted {
    /// The person whose roles have to be looked up besides those of whoever wants it.
    pub fn other(&self) -> Option<&str> {
        match self {
            Self::Act(_) => None,
            Self::DelegateTo(name) => Some(name),
        }
    }

    /// What it is, now that the other person is known.
    pub fn with(self, other: Option<Actor>) -> Act {
        match (self, other) {
            (Self::Act(act), _) => act,
            (Self::DelegateTo(_), Some(to)) => Act::Delegate { to },
            (Self::DelegateTo(name), None) => {
                Act::Delegate { to: Actor { name, roles: std::collections::BTreeSet::new() } }
            }
        }
    }
}

/// A reason, as people give it.
pub fn judge_text(pointer: &str, text: &str) -> Result<(), Fault> {
    judge(pointer, text, LONGEST_REASON, false)
}

fn judge(pointer: &str, text: &str, longest: usize, lines: bool) -> Result<(), Fault> {
    let length = text.chars().count();
    let bad = |letter: char| letter.is_control() && !(lines && letter == '\n');
    if text.trim().is_empty() {
        Err(Fault::new(pointer, Reason::Empty, "must say something"))
    } else if length > longest {
        let detail = format!("has {length} characters; at most {longest} are allowed");
        Err(Fault::new(pointer, Reason::TooLong, detail))
    } else if text.contains(bad) {
        let detail = "has a control character; remove it";
        Err(Fault::new(pointer, Reason::ControlCharacter, detail))
    } else {
        Ok(())
    }
}

impl EvidenceRequest {
    /// What is added, or all that is wrong with it.
    pub fn judged(self) -> Result<Wanted, Vec<Fault>> {
        let mut faults: Vec<Fault> =
            judge("/text", &self.text, LONGEST_EVIDENCE, true).err().into_iter().collect();
        let attachment = match (self.url, self.file) {
            (Some(_), Some(_)) => {
                let detail = "does not go together with url; add the second by another request";
                faults.push(Fault::new("/file", Reason::Conflict, detail));
                None
            }
            (Some(url), None) => {
                let parsed = Url::parse(&url);
                let good = parsed.is_ok_and(|it| {
                    matches!(it.scheme(), "https" | "http") && it.username().is_empty()
                });
                if !good || url.len() > LONGEST_URL || url.contains(char::is_control) {
                    let detail = "must be a URL that begins with https:// or http://, without a \
                                  user name, of at most 2,000 bytes";
                    faults.push(Fault::new("/url", Reason::NotAUrl, detail));
                }
                Some(Attachment::Url(url))
            }
            (None, Some(EvidenceFile { name, sha256 })) => {
                faults.extend(judge("/file/name", &name, LONGEST_FILE_NAME, false).err());
                let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
                if sha256.len() != 64 || !sha256.bytes().all(hex) {
                    let detail = "must be 64 small hexadecimal digits, as sha256sum prints them";
                    faults.push(Fault::new("/file/sha256", Reason::BadCharacter, detail));
                }
                Some(Attachment::File { name, sha256 })
            }
            (None, None) => None,
        };
        if faults.is_empty() {
            Ok(Wanted::Act(Act::AddEvidence { text: self.text, attachment }))
        } else {
            Err(faults)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bad_evidence_is_refused_with_its_place() {
        let file = |name: &str, sha256: &str| {
            Some(EvidenceFile { name: name.to_owned(), sha256: sha256.to_owned() })
        };
        let hash = "0123456789abcdef".repeat(4);
        for (text, url, file, expected) in [
            ("a passport\nof hers", None, None, None),
            ("x", Some("https://files.example/1"), None, None),
            ("x", None, file("scan.pdf", &hash), None),
            ("", None, None, Some("/text")),
            (&"ä".repeat(2_001), None, None, Some("/text")),
            ("a\u{7}", None, None, Some("/text")),
            ("x", Some("ftp://files.example/1"), None, Some("/url")),
            ("x", Some("https://me@files.example/1"), None, Some("/url")),
            ("x", Some("https://files.example/"), file("a", &hash), Some("/file")),
            ("x", None, file("", &hash), Some("/file/name")),
            ("x", None, file("a", &hash.to_uppercase()), Some("/file/sha256")),
        ] {
            let url = url.map(str::to_owned);
            let request = EvidenceRequest { expected_version: 1, text: text.to_owned(), url, file };
            let found = request.judged().err().map(|faults| faults[0].pointer.clone());
            assert_eq!(found.as_deref(), expected, "{text}");
        }
    }
}
