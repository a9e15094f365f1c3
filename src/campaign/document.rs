//! A campaign as text: TOML or JSON in, a judged campaign or all that is wrong with it out, each fault
//! with its place and its line.

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::error::Category;

use super::words::Words;
use super::{Campaign, rules};
use crate::fault::{Fault, Reason, escaped, pointer};

mod message;
mod place;
mod single;

use message::Message;
use single::Single;

/// The largest document, in bytes.
pub const LARGEST: usize = 262_144;

/// The most faults that are told at once: with each the next look is a new one.
const MOST_FAULTS: usize = 50;

/// How a document is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// TOML 1.0.
    Toml,
    /// JSON.
    Json,
}

impl Format {
    /// Its name in the database and in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Toml => "toml",
            Self::Json => "json",
        }
    }

    /// The format with this name.
    pub fn named(name: &str) -> Option<Self> {
        [Self::Toml, Self::Json].into_iter().find(|format| format.name() == name)
    }
}

/// Reads a document and judges it.
pub fn parse(text: &str, format: Format) -> Result<Campaign, Vec<Fault>> {
    read_judged(text, format, rules::judge)
}

/// Reads a document of any kind and judges it: all of its faults, each with its line.
pub fn read_judged<T: DeserializeOwned>(
    text: &str,
    format: Format,
    judge: impl FnOnce(&T) -> Vec<Fault>,
) -> Result<T, Vec<Fault>> {
    if text.len() > LARGEST {
        let detail = format!("has {} bytes; at most {LARGEST} are allowed", text.len());
        return Err(vec![Fault::new("", Reason::TooLong, detail)]);
    }
    let document: T = read(text, format).map_err(|fault| vec![fault])?;
    let mut faults = judge(&document);
    if faults.is_empty() {
        return Ok(document);
    }
    if faults.len() > MOST_FAULTS {
        let detail = format!("has {} faults; these are the first {MOST_FAULTS}", faults.len());
        faults.truncate(MOST_FAULTS);
        faults.push(Fault::new("", Reason::TooMany, detail));
    }
    add_lines(text, format, &mut faults);
    Err(faults)
}

/// Tells faults of fields on which lines of the document the fields stand.
pub fn add_lines(text: &str, format: Format, faults: &mut [Fault]) {
    let places = place::Places::new(text, format);
    for fault in faults {
        fault.line = places.line_of(&fault.pointer);
    }
}

/// Reads the words of a language, in TOML.
pub(super) fn words(text: &str) -> Result<Words, Fault> {
    read(text, Format::Toml)
}

fn read<T: DeserializeOwned>(text: &str, format: Format) -> Result<T, Fault> {
    match format {
        Format::Json => {
            read_json::<Single>(text, false)?;
            read_json(text, true)
        }
        Format::Toml => {
            let table: toml::Table = toml::from_str(text).map_err(|error| {
                let line = error.span().map(|span| place::line_at(text, span.start));
                let detail = format!("is not TOML here: {}", message::malformed(error.message()));
                Fault { line, ..Fault::new("", Reason::Malformed, detail) }
            })?;
            // As JSON has no moments, they are texts from here on, in both formats.
            let value = without_moments(toml::Value::Table(table));
            serde_path_to_error::deserialize(value).map_err(|error| {
                let mut fault = refusal(error.path(), error.inner().message());
                fault.line = place::Places::new(text, format).line_of(&fault.pointer);
                fault
            })
        }
    }
}

/// What serde says, in TOML, of something that is no text and should be one of some names.
const NO_NAME: &str = "invalid type: unit value, expected string only";

/// Reads JSON; `is_json` says that it was read before, so that it must be JSON.
fn read_json<T: DeserializeOwned>(text: &str, is_json: bool) -> Result<T, Fault> {
    let malformed = |error: &serde_json::Error| {
        let detail = format!("is not JSON here: {}", message::malformed(&error.to_string()));
        let line = Some(error.line());
        Fault { line, ..Fault::new("", Reason::Malformed, detail) }
    };
    if text.starts_with('\u{feff}') {
        let detail = "begins with a byte order mark; save it as UTF-8 without one";
        return Err(Fault { line: Some(1), ..Fault::new("", Reason::Malformed, detail) });
    }
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut deserializer).map_err(|error| {
        let inner = error.inner();
        let fault = match inner.classify() {
            Category::Data => refusal(error.path(), &inner.to_string()),
            // Seen first of all, as a whole, it was JSON: what is no text cannot be one of some names.
            Category::Syntax | Category::Eof | Category::Io if is_json => {
                refusal(error.path(), NO_NAME)
            }
            Category::Syntax | Category::Eof | Category::Io => return malformed(inner),
        };
        // What is not there was missed at the end of its table, which may be far away.
        // What is judged only when it was read, is told when its table has ended, if it was the last in it.
        let is_read_first = fault.reason == Reason::Required
            || (fault.reason == Reason::WrongType && !inner.to_string().starts_with("duplicate "));
        let line = Some(inner.line());
        let line = if is_read_first {
            place::Places::new(text, Format::Json).line_of(&fault.pointer).or(line)
        } else {
            line
        };
        Fault { line, ..fault }
    })?;
    deserializer.end().map_err(|error| malformed(&error))?;
    Ok(value)
}

fn without_moments(value: toml::Value) -> toml::Value {
    use toml::Value;
    match value {
        Value::Datetime(moment) => Value::String(moment.to_string()),
        Value::Array(values) => Value::Array(values.into_iter().map(without_moments).collect()),
        Value::Table(table) => {
            let fields = table.into_iter().map(|(name, value)| (name, without_moments(value)));
            Value::Table(fields.collect())
        }
        Value::String(_) | Value::Integer(_) | Value::Float(_) | Value::Boolean(_) => value,
    }
}

/// What a field at fault is refused with.
fn refusal(path: &serde_path_to_error::Path, message: &str) -> Fault {
    let Message { reason, field, detail } = message::read(message);
    let mut pointer = pointer(path);
    if let Some(field) = field {
        pointer.push('/');
        pointer.push_str(&escaped(&field));
    }
    Fault::new(pointer, reason, detail)
}

/// The document as one value, for whoever compares two: `None` if it is none.
pub fn value(text: &str, format: Format) -> Option<serde_json::Value> {
    match format {
        Format::Json => serde_json::from_str(text).ok(),
        Format::Toml => {
            let table = toml::from_str::<toml::Table>(text).ok()?;
            serde_json::Value::deserialize(without_moments(toml::Value::Table(table))).ok()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DEMO: &str = include_str!("../../config/campaigns/demo.toml");

    #[test]
    fn the_demo_is_good_in_both_formats() {
        let campaign = parse(DEMO, Format::Toml).expect("good");
        assert_eq!(campaign.code_length, 6);
        assert_eq!(campaign.texts.len(), 5);
        let json = value(DEMO, Format::Toml).expect("a value").to_string();
        assert_eq!(parse(&json, Format::Json), Ok(campaign));
    }

    #[test]
    fn faults_have_their_lines_in_both_formats() {
        let toml = DEMO.replace("per_million = 50_000 ", "per_million = 60_000 ");
        let json = serde_json::to_string_pretty(&value(&toml, Format::Toml)).expect("JSON");
        for (text, format) in [(&toml, Format::Toml), (&json, Format::Json)] {
            let faults = parse(text, format).expect_err("it does not add up");
            let [fault] = faults.as_slice() else { panic!("{faults:?}") };
            assert_eq!(fault.pointer, "/rewards/loan_disbursed/inviter/prizes");
            let line = text.lines().nth(fault.line.expect("a line") - 1).expect("the line");
            assert!(line.contains("prizes"), "{line}");
        }
    }

    #[test]
    fn every_field_is_explained() {
        let page = include_str!("../../docs/campaigns.md");
        for text in [
            "x = 1",
            "new_user = { x = 1 }",
            "caps = { x = 1 }",
            "rewards = { a = { x = 1 } }",
            "rewards = { a = { inviter = { x = 1 } } }",
            "rewards = { a = { inviter = { prizes = [{ x = 1 }] } } }",
            "scratch_card = { x = 1 }",
            "scratch_card = { quiet_hours = { x = 1 } }",
            "screening = [{ x = 1 }]",
            "apps = { x = 1 }",
            "apps = { stores = [{ x = 1 }] }",
            "texts = { en = { x = 1 } }",
        ] {
            let faults = parse(text, Format::Toml).expect_err("no such field");
            let [fault] = faults.as_slice() else { panic!("{faults:?}") };
            let (_, names) = fault.detail.split_once("there are: ").expect("names");
            for name in names.split(", ") {
                let is_there = page.contains(&format!("`{name}`"))
                    || page.contains(&format!("[{name}"))
                    || page.contains(&format!(".{name}]"));
                assert!(is_there, "docs/campaigns.md lacks {name}");
            }
        }
    }
}
