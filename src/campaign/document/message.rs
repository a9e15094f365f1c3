//! What serde says of a field, in the words of whoever wrote the document.

use crate::link::fault::Reason;

/// The most characters that a message repeats of a document.
const LONGEST: usize = 400;

/// What is wrong with a field.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Message {
    pub(super) reason: Reason,
    /// The field inside of the place that is known, when only the message names it.
    pub(super) field: Option<String>,
    pub(super) detail: String,
}

/// Reads a message of serde's, such as "missing field `name`".
pub(super) fn read(message: &str) -> Message {
    let message = message.trim_end();
    // JSON knows the line by itself and repeats it.
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    let said = |reason, field: Option<&str>, detail: String| Message {
        reason,
        field: field.map(str::to_owned),
        detail: detail.chars().take(LONGEST).collect(),
    };
    if let Some(field) = message.strip_prefix("missing field ") {
        let field = field.trim_matches('`');
        return said(Reason::Required, Some(field), "is needed, and is not there".to_owned());
    }
    if let Some(field) = message.strip_prefix("duplicate field ") {
        let detail = "stands here twice; remove one of them".to_owned();
        return said(Reason::WrongType, Some(field.trim_matches('`')), detail);
    }
    if let Some(rest) = message.strip_prefix("unknown field ") {
        let detail = format!("is not known; {}", alternatives(rest));
        return said(Reason::UnknownField, None, detail);
    }
    if let Some(rest) = message.strip_prefix("unknown variant ") {
        let given = rest.split('`').nth(1).unwrap_or_default();
        let detail = format!("'{given}' is not known; {}", alternatives(rest));
        return said(Reason::OutOfRange, None, detail);
    }
    for (beginning, reason) in
        [("invalid type: ", Reason::WrongType), ("invalid value: ", Reason::OutOfRange)]
    {
        if let Some((found, wanted)) =
            message.strip_prefix(beginning).and_then(|rest| rest.rsplit_once(", expected "))
        {
            let detail = format!("must be {}, not {}", plain(wanted), plain(found));
            return said(reason, None, detail);
        }
    }
    said(Reason::WrongType, None, message.to_owned())
}

/// "expected one of `a`, `b`", or "expected `a` or `b`", or nothing of the kind.
fn alternatives(rest: &str) -> String {
    let known = rest.split_once(", expected ").map_or("", |(_, known)| known);
    let names: Vec<&str> = known.split('`').skip(1).step_by(2).collect();
    if names.is_empty() {
        "there is nothing else to say here".to_owned()
    } else {
        format!("there are: {}", names.join(", "))
    }
}

/// Types, as people call them. What is found comes with its value, as in "string \"a\"".
fn plain(words: &str) -> String {
    let (kind, value) = words.split_once(' ').unwrap_or((words, ""));
    let value = value.trim_matches('`');
    match kind {
        "u8" | "u16" | "u32" | "u64" => "a whole number that is not negative".to_owned(),
        "i32" | "i64" => "a whole number".to_owned(),
        "struct" | "map" => "a table".to_owned(),
        "sequence" => "a list".to_owned(),
        "null" | "unit" | "Option" => "nothing".to_owned(),
        "integer" | "boolean" => value.to_owned(),
        "floating" => value.trim_start_matches("point `").to_owned(),
        "string" if value.is_empty() => "a text".to_owned(),
        "string" => format!("the text {value}"),
        "a" if value == "map" => "a table".to_owned(),
        "a" if value == "sequence" => "a list".to_owned(),
        "a" if value == "string" => "a text".to_owned(),
        "a" if value == "boolean" => "true or false".to_owned(),
        _ => words.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_serde_says_is_said_in_plain_words() {
        let whole = "must be a whole number that is not negative";
        for (message, reason, detail) in [
            (
                "unknown field `x`, expected one of `a`, `b`, `c` at line 1 column 2",
                Reason::UnknownField,
                "is not known; there are: a, b, c",
            ),
            (
                "unknown field `x`, expected `a` or `b`",
                Reason::UnknownField,
                "is not known; there are: a, b",
            ),
            (
                "unknown variant `stop`, expected one of `observe`, `hold`, `block`",
                Reason::OutOfRange,
                "'stop' is not known; there are: observe, hold, block",
            ),
            (
                "invalid type: string \"six\", expected u8",
                Reason::WrongType,
                &format!("{whole}, not the text \"six\""),
            ),
            (
                "invalid type: floating point `1.5`, expected i64",
                Reason::WrongType,
                "must be a whole number, not 1.5",
            ),
            (
                "invalid value: integer `-1`, expected u32",
                Reason::OutOfRange,
                &format!("{whole}, not -1"),
            ),
            (
                "invalid type: integer `7`, expected a string",
                Reason::WrongType,
                "must be a text, not 7",
            ),
            (
                "invalid type: map, expected a sequence",
                Reason::WrongType,
                "must be a list, not a table",
            ),
            (
                "invalid type: boolean `true`, expected struct NewUser",
                Reason::WrongType,
                "must be a table, not true",
            ),
            ("'x' is no colour", Reason::WrongType, "'x' is no colour"),
        ] {
            let expected = Message { reason, field: None, detail: detail.to_owned() };
            assert_eq!(read(message), expected, "{message}");
        }
    }

    #[test]
    fn a_field_that_only_the_message_knows_is_taken_out_of_it() {
        let missing = read("missing field `name` at line 3 column 5");
        assert_eq!((missing.reason, missing.field.as_deref()), (Reason::Required, Some("name")));
        let doubled = read("duplicate field `a name` at line 3 column 5");
        assert_eq!((doubled.reason, doubled.field.as_deref()), (Reason::WrongType, Some("a name")));
    }
}
