//! What is wrong with a request, field by field.

use serde::Serialize;
use serde_path_to_error::{Path, Segment};
use utoipa::ToSchema;

/// One thing that is wrong with one field.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Fault {
    /// Which field: a JSON pointer (RFC 6901) into the request's body.
    pub pointer: String,
    /// What is wrong, as a stable word for programs.
    #[schema(value_type = String, example = "scheme-not-allowed")]
    pub reason: Reason,
    /// What is wrong and what would be right, for people.
    pub detail: String,
    /// The line, from 1, when the field stands in a document with lines.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub line: Option<usize>,
}

/// What can be wrong with a field. The words are part of the API: they never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reason {
    /// A document that cannot be read at all: from this line on it is neither TOML nor JSON.
    Malformed,
    /// No such field.
    UnknownField,
    /// Another JSON type is wanted here, or the same field stands twice.
    WrongType,
    /// The field is needed.
    Required,
    /// The field cannot be changed any more.
    CannotBeChanged,
    /// The field cannot be cleared.
    CannotBeCleared,
    /// A text with nothing in it.
    Empty,
    /// A text with too much in it.
    TooLong,
    /// Too many elements.
    TooMany,
    /// A number or a value that is not among those allowed.
    OutOfRange,
    /// Not a time of RFC 3339.
    NotATime,
    /// A time that is past already.
    InThePast,
    /// The end is not after the beginning.
    WrongOrder,
    /// A control character.
    ControlCharacter,
    /// A character that is not allowed here.
    BadCharacter,
    /// Slashes where none may be, or segments that are dots.
    BadPath,
    /// A word that the edge keeps for itself.
    Reserved,
    /// No such domain.
    UnknownDomain,
    /// Not the name of a host.
    NotAHost,
    /// The domain has slugs with capitals, which nobody would find any more.
    SlugsWithCapitals,
    /// Not an absolute URL.
    NotAUrl,
    /// The URL's scheme is not among those allowed.
    SchemeNotAllowed,
    /// A user name or password in a URL.
    UserinfoNotAllowed,
    /// The URL leads back to this service.
    Loop,
    /// The URL's host is not among those allowed.
    HostNotAllowed,
    /// The URL's host is blocked.
    HostBlocked,
    /// Not a language tag.
    NotALanguage,
    /// A rule that no request can ever reach.
    NeverMatches,
    /// Something that this needs is not in the settings.
    NotConfigured,
    /// Another field does not go together with this one.
    Conflict,
    /// Numbers that must add up to another number, and do not.
    DoesNotAddUp,
    /// A language for which there are no texts or no words.
    NoTexts,
    /// A place-holder that is missing, or that nobody knows.
    PlaceHolder,
    /// A name that the document itself should explain, and does not.
    UnknownName,
    /// A part of a flow to which no way leads.
    Unreachable,
    /// A way that leads back to where it began.
    GoesInCircles,
}

impl Fault {
    /// A fault of the field at `pointer`.
    pub fn new(pointer: impl Into<String>, reason: Reason, detail: impl Into<String>) -> Self {
        Self { pointer: pointer.into(), reason, detail: detail.into(), line: None }
    }
}

/// A path as a JSON pointer.
pub fn pointer(path: &Path) -> String {
    let mut pointer = String::new();
    for segment in path {
        match segment {
            Segment::Seq { index } => {
                pointer.push('/');
                pointer.push_str(&index.to_string());
            }
            Segment::Map { key } => {
                pointer.push('/');
                pointer.push_str(&escaped(key));
            }
            Segment::Enum { .. } | Segment::Unknown => {}
        }
    }
    pointer
}

/// The name of a field as it stands in a JSON pointer. Names may be as long as a body or a document: of
/// those only the beginning is told.
pub fn escaped(name: &str) -> String {
    let name: String = name.chars().take(100).collect();
    name.replace('~', "~0").replace('/', "~1")
}
