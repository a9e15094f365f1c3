//! Fields as the command line has them: options on the way in, lines on the way out.

use serde::Serialize;
use serde_json::Value;

use super::{Error, say};
use crate::fault::Fault;
use crate::link::request::Change;

/// What an edit does with a field. A value that is given stands above a field that is cleared.
pub(super) fn change<T>(value: Option<T>, cleared: bool) -> Change<T> {
    match value {
        Some(value) => Some(Some(value)),
        None => cleared.then_some(None),
    }
}

/// Says what is wrong in the words of the command line: a line for each fault. `argument` is what
/// stands for a field, and a place in it, if that is not the option of the same name.
pub(super) fn explain(
    faults: Vec<Fault>,
    argument: impl Fn(&str, &str) -> Option<String>,
) -> Error {
    let lines: Vec<String> = faults
        .into_iter()
        .map(|fault| {
            let pointer = fault.pointer.trim_start_matches('/');
            let (field, place) = pointer.split_once('/').unwrap_or((pointer, ""));
            match argument(field, place) {
                Some(argument) => format!("{argument} {}", fault.detail),
                None => format!("--{} {}", field.replace('_', "-"), fault.detail),
            }
        })
        .collect();
    Error::Message(lines.join("\n         "))
}

/// Shows a value as JSON.
pub(super) fn say_json(value: &impl Serialize) -> Result<(), Error> {
    say(&serde_json::to_string_pretty(value).map_err(|error| Error::Message(error.to_string()))?)
}

/// Shows a value under its name: that of the field `name`, and a line for each other field that it
/// has.
pub(super) fn say_fields(value: &impl Serialize, name: &str) -> Result<(), Error> {
    let fields = serde_json::to_value(value).map_err(|error| Error::Message(error.to_string()))?;
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) | Value::Object(_) => {
            value.to_string()
        }
    };
    say(&fields.get(name).map(text).unwrap_or_default())?;
    for (field, value) in fields.as_object().into_iter().flatten() {
        if field != name && !value.is_null() {
            say(&format!("  {field}: {}", text(value)))?;
        }
    }
    Ok(())
}
