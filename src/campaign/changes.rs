//! In what two documents differ, field by field.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A field that is not the same in two versions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = CampaignChange)]
pub struct Change {
    /// Which field: a JSON pointer (RFC 6901) into the documents.
    pub pointer: String,
    /// What it is in the one; absent if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<Value>,
    /// What it is in the other; absent if it is not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<Value>,
}

/// All fields in which two documents differ. Of a table or a list that is new or gone, each field is.
pub fn between(from: &Value, to: &Value) -> Vec<Change> {
    let mut changes = Vec::new();
    compare("", (Some(from), Some(to)), &mut changes);
    changes
}

fn compare(pointer: &str, sides: (Option<&Value>, Option<&Value>), changes: &mut Vec<Change>) {
    let (from, to) = sides;
    if from == to {
        return;
    }
    let parts = parts(from, to);
    if parts.is_empty() {
        changes.push(Change { pointer: pointer.to_owned(), from: from.cloned(), to: to.cloned() });
    }
    for part in parts {
        let place = format!("{pointer}/{}", part.replace('~', "~0").replace('/', "~1"));
        compare(&place, (within(from, &part), within(to, &part)), changes);
    }
}

/// What there is to go through, when what is there on both sides, or on the only one, is a table or a
/// list.
fn parts(from: Option<&Value>, to: Option<&Value>) -> Vec<String> {
    let sides = || [from, to].into_iter().flatten();
    if sides().all(Value::is_object) {
        let names: BTreeSet<&String> =
            sides().filter_map(Value::as_object).flat_map(|table| table.keys()).collect();
        names.into_iter().cloned().collect()
    } else if sides().all(Value::is_array) {
        let longest = sides().filter_map(Value::as_array).map(Vec::len).max();
        (0..longest.unwrap_or(0)).map(|at| at.to_string()).collect()
    } else {
        Vec::new()
    }
}

fn within<'a>(side: Option<&'a Value>, part: &str) -> Option<&'a Value> {
    match side? {
        Value::Object(table) => table.get(part),
        Value::Array(values) => values.get(part.parse::<usize>().ok()?),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn each_field_that_differs_is_named_once() {
        let from =
            json!({ "a": 1, "b": { "c": [1, 2], "d": "x" }, "e/f": true, "g": [1], "h": {} });
        let to = json!({ "a": 1, "b": { "c": [1, 3, 4], "i": { "j": 5 } }, "g": { "k": 1 } });
        let lines: Vec<String> = between(&from, &to)
            .into_iter()
            .map(|change| {
                let side =
                    |side: Option<Value>| side.map_or_else(|| "-".to_owned(), |it| it.to_string());
                format!("{} {} {}", change.pointer, side(change.from), side(change.to))
            })
            .collect();
        let expected = [
            "/b/c/1 2 3",
            "/b/c/2 - 4",
            "/b/d \"x\" -",
            "/b/i/j - 5",
            "/e~1f true -",
            "/g [1] {\"k\":1}",
            "/h {} -",
        ];
        assert_eq!(lines, expected);
        assert_eq!(between(&from, &from), []);
    }
}
