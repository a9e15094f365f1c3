//! Bodies: read up to a limit, then decoded strictly, with a pointer to what is wrong.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::HeaderMap;
use hyper::body::Body;
use hyper::header::CONTENT_TYPE;
use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;
use serde_path_to_error::Path;
use tokio::time::timeout;

use crate::campaign::document::Format;
use crate::fault::{Fault, Reason, pointer};
use crate::http::problem::{Kind, Problem};

/// The most characters that a refusal repeats of a body.
const LONGEST_ECHO: usize = 300;

/// Fails if the body says that it is something else than JSON. A body that says nothing is tried.
pub(crate) fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let is_json = essence(headers).is_none_or(|essence| {
        essence == "application/json"
            || (essence.starts_with("application/") && essence.ends_with("+json"))
    });
    if is_json {
        Ok(())
    } else {
        let detail = "send the header 'Content-Type: application/json'";
        Err(Problem::new(Kind::UnsupportedMediaType, detail))
    }
}

/// Fails if the body does not say that it is lines of JSON. It has to be said: else somebody sends a list.
pub(crate) fn check_lines(headers: &HeaderMap) -> Result<(), Problem> {
    let lines = ["application/x-ndjson", "application/ndjson", "application/jsonl"];
    if essence(headers).is_some_and(|essence| lines.contains(&essence.as_str())) {
        Ok(())
    } else {
        let detail =
            "send the header 'Content-Type: application/x-ndjson', and one JSON object a line";
        Err(Problem::new(Kind::UnsupportedMediaType, detail))
    }
}

/// How the document in a body is written. It has to be said: nobody should have to guess.
pub(crate) fn document_format(headers: &HeaderMap) -> Result<Format, Problem> {
    match essence(headers).as_deref() {
        Some("application/toml") => Ok(Format::Toml),
        Some("application/json") => Ok(Format::Json),
        Some(_) | None => {
            let detail = "send the header 'Content-Type: application/toml' or \
                          'Content-Type: application/json'";
            Err(Problem::new(Kind::UnsupportedMediaType, detail))
        }
    }
}

/// What a body says that it is, without parameters; `None` if it says nothing. What it says twice is
/// nothing that anybody knows.
fn essence(headers: &HeaderMap) -> Option<String> {
    let mut values = headers.get_all(CONTENT_TYPE).iter();
    let text = values.next()?.to_str().unwrap_or_default();
    if values.next().is_some() {
        return Some(String::new());
    }
    Some(text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// Reads a body of at most `limit` bytes, for as long as `patience` lasts. Given up, a body is
/// dropped, and with it goes the connection that still owes the rest.
pub(crate) async fn read<B>(body: B, limit: usize, patience: Duration) -> Result<Bytes, Problem>
where
    B: Body<Data = Bytes> + Send,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let too_large = || {
        let detail = format!("at most {limit} bytes are allowed");
        Problem::new(Kind::BodyTooLarge, detail)
    };
    // What announces itself as too large need not be read first.
    let announced = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if announced > limit {
        return Err(too_large());
    }
    match timeout(patience, Limited::new(body, limit).collect()).await {
        Ok(Ok(read)) => Ok(read.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(too_large()),
        Err(_late) => Err(Problem::new(Kind::MalformedBody, "the body did not come whole in time")),
        Ok(Err(_broken)) => Err(Problem::new(Kind::MalformedBody, "the body did not come whole")),
    }
}

/// The body as text.
pub(crate) fn text(body: &[u8]) -> Result<&str, Problem> {
    let text = std::str::from_utf8(body).map_err(|error| {
        let detail = format!("the body is not UTF-8 after byte {}", error.valid_up_to());
        Problem::new(Kind::MalformedBody, detail)
    })?;
    if text.trim().is_empty() {
        return Err(Problem::new(Kind::MalformedBody, "the body is empty"));
    }
    Ok(text)
}

/// Decodes a JSON object. What is not JSON, and fields that are unknown, missing or of the wrong
/// type, are refused with their place.
pub(crate) fn decode<'de, T: Deserialize<'de>>(text: &'de str) -> Result<T, Problem> {
    // Read once without a type: what is not JSON is told before what is wrong with its fields, and
    // a list is not taken for the fields in their order.
    let whole: &RawValue = serde_json::from_str(text).map_err(|error| malformed(&error))?;
    if !whole.get().starts_with('{') {
        let fault = Fault::new("", Reason::WrongType, "must be a JSON object");
        return Err(Problem::invalid_body(vec![fault]));
    }
    let mut deserializer = serde_json::Deserializer::from_str(whole.get());
    serde_path_to_error::deserialize(&mut deserializer)
        .map_err(|error| refuse(error.path(), error.inner()))
}

fn refuse(path: &Path, error: &serde_json::Error) -> Problem {
    match error.classify() {
        Category::Syntax | Category::Eof | Category::Io => malformed(error),
        Category::Data => {
            let whole = error.to_string();
            let message = whole.split(" at line ").next().unwrap_or(&whole);
            // A field that is missing, or stands twice, is only named in the message.
            let missing = message.strip_prefix("missing field ");
            let doubled = message.strip_prefix("duplicate field ");
            let reason = match missing {
                Some(_) => Reason::Required,
                None if message.starts_with("unknown field ") => Reason::UnknownField,
                None => Reason::WrongType,
            };
            let mut pointer = pointer(path);
            if let Some(field) = missing.or(doubled) {
                pointer.push('/');
                pointer.push_str(field.trim_matches('`'));
            }
            Problem::invalid_body(vec![Fault::new(cut(&pointer), reason, cut(message))])
        }
    }
}

/// What a refusal repeats of a body, up to a length: names and values in it may be megabytes.
fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST_ECHO) {
        None => text.to_owned(),
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
    }
}

fn malformed(error: &serde_json::Error) -> Problem {
    Problem::new(Kind::MalformedBody, format!("the body is not JSON: {error}"))
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;
    use crate::link::request::{LinkEdit, NewLink};

    fn refused<T: for<'de> Deserialize<'de> + std::fmt::Debug>(text: &str) -> String {
        let problem = decode::<T>(text).expect_err("refused").into_body();
        let faults = problem.errors.iter().map(|it| format!(" {} {:?}", it.pointer, it.reason));
        format!("{}{}", problem.type_uri, faults.collect::<String>())
            .replace("urn:waypost:problem:", "")
    }

    #[test]
    fn what_is_wrong_with_a_body_has_its_place() {
        for (text, expected) in [
            (r#"{"target": "x", "colour": 1}"#, "invalid-body /colour UnknownField"),
            (r#"{"a/b~": 1}"#, "invalid-body /a~1b~0 UnknownField"),
            (r#"{"target": 1}"#, "invalid-body /target WrongType"),
            (r#"{"status": "302"}"#, "invalid-body /status WrongType"),
            (r#"{"status": 3.5}"#, "invalid-body /status WrongType"),
            (r#"{"tags": ["a", 1]}"#, "invalid-body /tags/1 WrongType"),
            (r#"{"reuse": "yes"}"#, "invalid-body /reuse WrongType"),
            (r#"{"slug": "a", "slug": "b"}"#, "invalid-body /slug WrongType"),
            (r#"["https://example.com/"]"#, "invalid-body  WrongType"),
            ("1", "invalid-body  WrongType"),
            ("[1", "malformed-body"),
            ("{", "malformed-body"),
            ("{} {}", "malformed-body"),
            ("nonsense", "malformed-body"),
            (r#"{"target": "\ud800"}"#, "malformed-body"),
            ("{\"target\": \"a\nb\"}", "malformed-body"),
        ] {
            assert_eq!(refused::<NewLink>(text), expected, "{text}");
        }
        assert_eq!(refused::<LinkEdit>(r#"{"status": "x"}"#), "invalid-body /status WrongType");
        assert_eq!(refused::<LinkEdit>(r#"{"x": null}"#), "invalid-body /x UnknownField");
    }

    #[test]
    fn a_refusal_is_not_larger_for_a_larger_mistake() {
        let long = "ä".repeat(30_000);
        for text in [format!(r#"{{"{long}": 1}}"#), format!(r#"{{"status": "{long}"}}"#)] {
            let problem = decode::<NewLink>(&text).expect_err("refused").into_body();
            let length = serde_json::to_string(&problem).expect("JSON").chars().count();
            assert!(length < 2_000, "{length}");
        }
    }

    #[test]
    fn a_body_must_be_text() {
        assert_eq!(text(b"{\"a\": \"\xFF\"}").expect_err("refused").kind(), Kind::MalformedBody);
        assert_eq!(text(b"  ").expect_err("refused").kind(), Kind::MalformedBody);
    }

    #[test]
    fn a_body_must_not_say_that_it_is_something_else() {
        let check = |value: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(value));
            check_type(&headers).is_ok()
        };
        assert!(check_type(&HeaderMap::new()).is_ok());
        assert!(check("application/json; charset=utf-8"));
        assert!(check("application/merge-patch+json"));
        assert!(!check("text/plain"));
        assert!(!check("application/x-www-form-urlencoded"));
    }
}
