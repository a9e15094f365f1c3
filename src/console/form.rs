//! Forms as browsers send them, in bodies and in queries.

use hyper::HeaderMap;
use hyper::header::CONTENT_TYPE;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::http::problem::{Kind, Problem};

/// What a value may have unescaped in a path or a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'~').remove(b'-');

/// The fields of a form, decoded, in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Form(Vec<(String, String)>);

impl Form {
    /// Reads `name=value&…`. Line ends become `\n`.
    pub(super) fn parse(raw: &[u8]) -> Result<Self, Problem> {
        let no_text = || Problem::new(Kind::MalformedBody, "The form is not in UTF-8.");
        let raw = std::str::from_utf8(raw).map_err(|_bad| no_text())?;
        let decode = |part: &str| {
            let spaced = part.replace('+', " ");
            let text = percent_decode_str(&spaced).decode_utf8().map_err(|_bad| no_text())?;
            Ok::<_, Problem>(text.replace("\r\n", "\n"))
        };
        let pairs = raw.split('&').filter(|pair| !pair.is_empty());
        let read = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Ok((decode(name)?, decode(value)?))
        };
        pairs.map(read).collect::<Result<_, Problem>>().map(Self)
    }

    /// What stands in a field; nothing, if it is not there.
    pub(super) fn text(&self, name: &str) -> &str {
        self.0.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value.as_str())
    }

    /// What stands in a field that somebody has filled in, without the spaces around it.
    pub(super) fn given(&self, name: &str) -> Option<String> {
        let text = self.text(name).trim();
        (!text.is_empty()).then(|| text.to_owned())
    }

    /// The same form with another value in a field.
    #[must_use]
    pub(super) fn with(mut self, name: &str, value: &str) -> Self {
        self.0.retain(|(known, _)| known != name);
        self.0.push((name.to_owned(), value.to_owned()));
        self
    }

    /// As a query, without empty fields; with its `?`, if there is anything.
    pub(super) fn as_query(&self) -> String {
        let filled = self.0.iter().filter(|(_, value)| !value.is_empty());
        let pairs: Vec<String> =
            filled.map(|(name, value)| format!("{}={}", escaped(name), escaped(value))).collect();
        if pairs.is_empty() { String::new() } else { format!("?{}", pairs.join("&")) }
    }
}

/// A value as it may stand in a path or a query.
pub(super) fn escaped(text: &str) -> String {
    utf8_percent_encode(text, PLAIN).to_string()
}

/// Fails unless a body says that it is a form.
pub(super) fn check_type(headers: &HeaderMap) -> Result<(), Problem> {
    let said = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = said.split(';').next().unwrap_or_default().trim();
    if essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
        Ok(())
    } else {
        let detail = "The console takes its own forms only; for programs there is the API.";
        Err(Problem::new(Kind::UnsupportedMediaType, detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_browser_sends_reads_back() {
        let form = Form::parse(b"a=1+2&b=%C3%A4%0D%0Ab&c=&d").expect("a form");
        assert_eq!((form.text("a"), form.text("b")), ("1 2", "ä\nb"));
        assert_eq!((form.given("c"), form.given("d"), form.given("e")), (None, None, None));
        assert_eq!(form.clone().with("a", "x&y").as_query(), "?b=%C3%A4%0Ab&a=x%26y");
        assert_eq!(Form::default().as_query(), "");
        assert!(Form::parse(b"a=%FF").is_err());
        assert!(Form::parse(b"\xff").is_err());
    }
}
