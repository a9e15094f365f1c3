//! What serde says of a field, in the words of whoever wrote the document.

use crate::fault::Reason;

/// The most characters that a message repeats of a document.
const LONGEST: usize = 400;
/// The most characters that it repeats of a name.
const LONGEST_NAME: usize = 60;

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
    for (beginning, reason) in
        [("unknown field ", Reason::UnknownField), ("unknown variant ", Reason::OutOfRange)]
    {
        if let Some(rest) = message.strip_prefix(beginning) {
            let mut names = rest.split('`').skip(1).step_by(2);
            let given = names.next().unwrap_or_default();
            let known: Vec<&str> = names.collect();
            let given: String = given.chars().take(LONGEST_NAME).collect();
            let detail = match closest(&given, &known) {
                Some(meant) => format!("'{given}' is not known here; '{meant}' is"),
                None => format!("'{given}' is not known here; there are: {}", known.join(", ")),
            };
            return said(reason, None, detail);
        }
    }
    if let Some((found, wanted)) = after(message, "invalid type: ") {
        if wanted == "string only" {
            // What was found is not told in this case.
            return said(Reason::WrongType, None, "must be a text".to_owned());
        }
        let detail = format!("must be {}, not {}", plain(wanted), plain(found));
        return said(Reason::WrongType, None, detail);
    }
    if let Some((found, _)) = after(message, "invalid value: ") {
        let detail = format!("{} is out of range here", plain(found));
        return said(Reason::OutOfRange, None, detail);
    }
    said(Reason::WrongType, None, quoted(message))
}

/// What was found and what was expected, in a message with this beginning.
fn after<'a>(message: &'a str, beginning: &str) -> Option<(&'a str, &'a str)> {
    message.strip_prefix(beginning)?.rsplit_once(", expected ")
}

/// The one of `known` that somebody meant who wrote `given`, if one of them is as good as the same.
fn closest<'a>(given: &str, known: &[&'a str]) -> Option<&'a str> {
    let near = known.iter().map(|name| (distance(given, name), *name));
    let (distance, name) = near.min()?;
    (distance <= 2 && distance * 3 <= name.len()).then_some(name)
}

/// How many letters have to be added, removed or changed to get from one name to the other.
fn distance(from: &str, to: &str) -> usize {
    let mut row: Vec<usize> = (0..=to.chars().count()).collect();
    for (at, letter) in from.chars().enumerate() {
        let mut left = at + 1;
        let mut next = vec![left];
        for ((other, diagonal), above) in to.chars().zip(&row).zip(row.iter().skip(1)) {
            let changed = diagonal + usize::from(letter != other);
            left = changed.min(above + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or(0)
}

/// A message with quotes as all others have them.
fn quoted(message: &str) -> String {
    message.replace('`', "'")
}

/// What a reader of TOML or JSON says of a text that is none.
pub(super) fn malformed(message: &str) -> String {
    let message = message.trim_end();
    let message = message.rsplit_once(" at line ").map_or(message, |(message, _)| message);
    if message.is_empty() {
        "something is missing".to_owned()
    } else if message.contains(" as i128") || message.contains(" as u128") {
        "a number is too large".to_owned()
    } else {
        quoted(message).replace("EOF while parsing", "the document ends in the middle of")
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
                "'x' is not known here; there are: a, b, c",
            ),
            (
                "unknown field `x`, expected `a` or `b`",
                Reason::UnknownField,
                "'x' is not known here; there are: a, b",
            ),
            (
                "unknown variant `stop`, expected one of `observe`, `hold`, `block`",
                Reason::OutOfRange,
                "'stop' is not known here; there are: observe, hold, block",
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
                "-1 is out of range here",
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
            (
                "unknown field `code_lenght`, expected one of `code_length`, `currency`",
                Reason::UnknownField,
                "'code_lenght' is not known here; 'code_length' is",
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
