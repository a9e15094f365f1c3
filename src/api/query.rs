//! Query strings, read strictly: what is not known is refused, not ignored.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

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
            return Err(refuse(format!("unknown parameter '{}'; {known}", shortened(other))));
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

    /// The whole number that the parameter `name` says, which must be in `range`; left out, `usual`.
    pub(crate) fn number<T>(
        &self,
        name: &'static str,
        range: RangeInclusive<T>,
        usual: T,
    ) -> Result<T, Problem>
    where
        T: FromStr + PartialOrd + Display,
    {
        let Some(text) = self.one(name)? else { return Ok(usual) };
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            let (least, most) = (range.start(), range.end());
            wrong(name, format!("must be a whole number from {least} to {most}"), text, usual)
        })
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

/// A refusal of the value `text` of a parameter, which has to be as `rule` says; left out, it is `usual`.
pub(crate) fn wrong(
    name: &'static str,
    rule: impl Display,
    text: &str,
    usual: impl Display,
) -> Problem {
    refuse(format!("'{name}' {rule}, not '{}'; left out, it is {usual}", shortened(text)))
}

/// As much of `text` as an answer should repeat.
fn shortened(text: &str) -> String {
    text.chars().take(64).collect()
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
    fn numbers_are_whole_and_within_their_range() {
        let read = |raw: &str| Query::parse(raw, &["size"])?.number("size", 64_u16..=2_048, 512);
        for (raw, number) in [("", 512), ("size=64", 64), ("size=2048", 2_048), ("size=0065", 65)] {
            assert_eq!(read(raw).expect("good"), number, "{raw}");
        }
        for bad in
            ["", "63", "2049", "-64", "64.5", "1e2", "70000", "99999999999999999999", "64 ", "x"]
        {
            let problem = read(&format!("size={bad}")).expect_err("refused").into_body();
            let detail = format!(
                "'size' must be a whole number from 64 to 2048, not '{bad}'; left out, it is 512"
            );
            assert_eq!(problem.detail, detail);
        }
        assert!(read("size=64&size=64").is_err());
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
