//! Where in a text a field stands.

use std::cell::Cell;
use std::fmt;

use serde::de::{self, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use toml::de::{DeTable, DeValue};

use super::Format;

/// The line of the byte at `offset`, from 1.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().get(..offset).unwrap_or(text.as_bytes());
    before.split(|byte| *byte == b'\n').count()
}

/// A document, ready to be asked where its fields stand.
pub(super) enum Places<'a> {
    Toml { text: &'a str, root: Option<DeValue<'a>> },
    Json(&'a str),
}

impl<'a> Places<'a> {
    pub(super) fn new(text: &'a str, format: Format) -> Self {
        match format {
            Format::Toml => {
                let root = DeTable::parse(text).ok();
                Self::Toml { text, root: root.map(|table| DeValue::Table(table.into_inner())) }
            }
            Format::Json => Self::Json(text),
        }
    }

    /// The line of the field that a JSON pointer names, or of the last part of it that is there.
    pub(super) fn line_of(&self, pointer: &str) -> Option<usize> {
        let parts = pointer.split('/').skip(1);
        let path: Vec<String> =
            parts.map(|part| part.replace("~1", "/").replace("~0", "~")).collect();
        match self {
            Self::Toml { text, root } => {
                offset_in_toml(root.as_ref()?, &path).map(|offset| line_at(text, offset))
            }
            Self::Json(text) => line_in_json(text, &path),
        }
    }
}

fn offset_in_toml(root: &DeValue<'_>, path: &[String]) -> Option<usize> {
    // What is missing at the top is missing from the first line on.
    let mut offset = Some(0);
    let mut here = root;
    for part in path {
        let next = match here {
            DeValue::Table(table) => {
                let Some((key, value)) = table.iter().find(|(key, _)| key.get_ref() == part) else {
                    break;
                };
                offset = Some(key.span().start);
                value
            }
            DeValue::Array(values) => {
                let Some(value) = part.parse().ok().and_then(|at: usize| values.get(at)) else {
                    break;
                };
                offset = Some(value.span().start);
                value
            }
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => break,
        };
        here = next.get_ref();
    }
    offset
}

/// The line of the longest part of the path that is there.
fn line_in_json(text: &str, path: &[String]) -> Option<usize> {
    (0..=path.len()).rev().find_map(|length| {
        let found = Cell::new(false);
        let way = Way { path: path.get(..length)?, found: &found };
        let end = way.deserialize(&mut serde_json::Deserializer::from_str(text)).err()?;
        found.get().then(|| end.line())
    })
}

/// Goes down a path and fails where it ends: the error knows the line.
#[derive(Clone, Copy)]
struct Way<'a> {
    path: &'a [String],
    /// Whether the end was there.
    found: &'a Cell<bool>,
}

impl Way<'_> {
    fn end<E: de::Error>(self) -> E {
        self.found.set(true);
        E::custom("the end of the way")
    }
}

impl<'de> DeserializeSeed<'de> for Way<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Way<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the end of the way")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.path.split_first() else {
            return Err(self.end());
        };
        while let Some(key) = map.next_key::<String>()? {
            if key == *first {
                if rest.is_empty() {
                    return Err(self.end());
                }
                return map.next_value_seed(Way { path: rest, ..self });
            }
            map.next_value::<IgnoredAny>()?;
        }
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut values: A) -> Result<(), A::Error> {
        let Some((first, rest)) = self.path.split_first() else {
            return Err(self.end());
        };
        let at: usize = first.parse().unwrap_or(usize::MAX);
        for _ in 0..at {
            if values.next_element::<IgnoredAny>()?.is_none() {
                return Ok(());
            }
        }
        values.next_element_seed(Way { path: rest, ..self }).map(drop)
    }
}
