//! Query strings, read strictly: what is not known is refused, not ignored.

use percent_encoding::percent_decode_str;

use crate::http::problem::{Kind, Problem};

/// The parameters of a query, decoded.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Query(Vec<(String, String)>);

impl Query {
    /// Reads a query that may have these parameters.
    pub(crate) fn parse(raw: &str, known: &[&str]) -> Result<Self, Problem> {
        let pairs = raw.split('&').filter(|pair| !pair.is_empty());
        let pairs: Vec<_> = pairs
            .map(|pair| {
                let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(name)?, decode(value)?))
            })
            .collect::<Result<_, Problem>>()?;
        if let Some((other, _)) = pairs.iter().find(|(name, _)| !known.contains(&name.as_str())) {
            let known = match known {
                [] => "none is known here".to_owned(),
                known => format!("known are: {}", known.join(", ")),
            };
            let other: String = other.chars().take(64).collect();
            return Err(refuse(format!("unknown parameter '{other}'; {known}")));
        }
        Ok(Self(pairs))
    }

    /// The parameter `name`, which may stand once.
    pub(crate) fn one(&self, name: &'static str) -> Result<Option<&str>, Problem> {
        let mut values = self.all(name);
        let first = values.next();
        match values.next() {
            None => Ok(first),
            Some(_) => Err(refuse(format!("the parameter '{name}' stands more than once"))),
        }
    }

    /// All values of the parameter `name`.
    pub(crate) fn all(&self, name: &'static str) -> impl Iterator<Item = &str> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }
}

/// A refusal of a parameter.
pub(crate) fn refuse(detail: impl Into<String>) -> Problem {
    Problem::new(Kind::InvalidQuery, detail)
}

fn decode(part: &str) -> Result<String, Problem> {
    let spaced = part.replace('+', " ");
    let text = percent_decode_str(&spaced)
        .decode_utf8()
        .map_err(|error| refuse(format!("the query is not UTF-8 once decoded: {error}")))?;
    if text.contains(char::is_control) {
        return Err(refuse("the query has a control character; remove it"));
    }
    Ok(text.into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_are_decoded_and_counted() {
        let query = Query::parse("tag=a%20b&tag=c+d&q=%C3%A4", &["tag", "q"]).expect("good");
        assert_eq!(query.all("tag").collect::<Vec<_>>(), ["a b", "c d"]);
        assert_eq!(query.one("q").expect("once"), Some("ä"));
        assert_eq!(query.one("other").expect("never"), None);
        assert!(query.one("tag").is_err());
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for raw in ["limt=3", "q=%FF", "q=%00", "=", "q%00=1"] {
            let problem = Query::parse(raw, &["q", "limit"]).expect_err("refused");
            assert_eq!(problem.kind(), Kind::InvalidQuery, "{raw}");
        }
        assert!(Query::parse("", &[]).is_ok());
    }
}
