//! A rule of a link as one option: conditions with spaces between them, the target last.

use std::borrow::Cow;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::link::request::NewRule;
use crate::link::routing::{DeviceClass, QueryCondition, Rule};
use crate::visitor::country::Country;

/// The names of all conditions.
const CONDITIONS: [&str; 7] =
    ["device", "language", "query", "country", "after", "before", "percent"];

/// What the help says of rules.
pub(super) const HELP: &str = "\
Rules:
  A rule is conditions and then a target, in quotes:
    --rule 'device=ios,android language=de https://example.com/app'
  All of its conditions must hold; of values with commas between them one is enough. The first rule
  that fits decides, and whom none fits is led to the link's own target.

  device=ios,android           what the visitor holds: ios, android, desktop, or mobile for any
                               phone or tablet
  language=de,pt-BR            what the visitor likes to read best; de is any German
  country=DE,AT                where the visitor is; needs the setting clicks.country_file
  query=src:qr                 the short URL has ?src=qr; query=src is any value; may stand several
                               times, and must then have all; percent-encoded where it has to be
  after=2030-01-31T12:00:00Z   from this moment on
  before=2030-02-28T12:00:00Z  until just before this moment
  percent=20                   so many of 100 visitors: the next ones after those of the rules above";

/// What stands unescaped in the name or value of a query condition.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'~').remove(b'-');

/// Reads `device=ios,android language=de https://example.com/`.
pub(super) fn parse(text: &str) -> Result<NewRule, String> {
    let mut words: Vec<&str> = text.split_whitespace().collect();
    let target = words.pop().ok_or("is empty; write 'device=ios https://example.com/'")?;
    if target.split_once('=').is_some_and(|(name, _)| CONDITIONS.contains(&name)) {
        return Err(format!("'{target}' is a condition; write the target after it"));
    }
    let mut rule = NewRule { target: Some(target.to_owned()), ..NewRule::default() };
    for (place, word) in words.iter().enumerate() {
        let (name, value) = word
            .split_once('=')
            .ok_or_else(|| format!("'{word}' is no condition; write name=value"))?;
        let named_before = words.iter().take(place).any(|it| it.split('=').next() == Some(name));
        if named_before && name != "query" {
            return Err(format!(
                "'{name}' stands twice; several values have commas between them, and a time or a \
                 percent stands once"
            ));
        }
        let list = || Some(value.split(',').map(str::to_owned).collect());
        match name {
            "device" => rule.device = list(),
            "language" => rule.language = list(),
            "country" => rule.country = list(),
            "query" => rule.query.get_or_insert_default().push(condition(value)),
            "after" => rule.after = Some(value.to_owned()),
            "before" => rule.before = Some(value.to_owned()),
            "percent" => {
                let percent = value.parse().map_err(|_error| {
                    format!("'{word}': write a number from 1 to 100, such as percent=50")
                })?;
                rule.percent = Some(percent);
            }
            other => {
                let known = CONDITIONS.join(", ");
                return Err(format!("'{other}' is no condition; use one of: {known}"));
            }
        }
    }
    Ok(rule)
}

/// Reads `name` or `name:value`, each percent-encoded where it has to be.
fn condition(text: &str) -> QueryCondition {
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    match text.split_once(':') {
        None => QueryCondition { name: decoded(text), value: None },
        Some((name, value)) => QueryCondition { name: decoded(name), value: Some(decoded(value)) },
    }
}

/// Writes a rule as [`parse`] reads it.
pub(super) fn write(rule: &Rule) -> String {
    let mut words = Vec::new();
    let mut list = |name: &str, values: Vec<&str>| {
        if !values.is_empty() {
            words.push(format!("{name}={}", values.join(",")));
        }
    };
    list("device", rule.device.iter().copied().map(DeviceClass::name).collect());
    list("language", rule.language.iter().map(String::as_str).collect());
    list("country", rule.country.iter().map(Country::code).collect());
    for condition in &rule.query {
        let encoded = |text| Cow::from(utf8_percent_encode(text, PLAIN));
        let value = condition.value.as_deref().map(|value| format!(":{}", encoded(value)));
        words.push(format!("query={}{}", encoded(&condition.name), value.unwrap_or_default()));
    }
    words.extend(rule.after.map(|time| format!("after={time}")));
    words.extend(rule.before.map(|time| format!("before={time}")));
    words.extend(rule.percent.map(|percent| format!("percent={percent}")));
    words.push(rule.target.clone());
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_is_read_as_it_is_written() {
        for text in [
            "device=ios,android language=de,pt-br country=DE,AT query=src:qr query=ad \
             after=2030-01-01T00:00:00Z before=2030-01-02T00:00:00Z percent=50 https://example.com/?a=b",
            "query=a%20b:c%3Ad https://example.com/",
        ] {
            let read = parse(text).expect("a rule");
            let json = serde_json::to_value(&read).expect("JSON");
            let json: serde_json::Map<_, _> = json
                .as_object()
                .expect("an object")
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(name, value)| (name.clone(), value.clone()))
                .collect();
            let rule: Rule = serde_json::from_value(json.into()).expect("a good rule");
            assert_eq!(write(&rule), text);
        }
    }

    #[test]
    fn what_is_no_rule_is_refused_with_a_word_about_it() {
        for (text, part) in [
            ("", "is empty"),
            ("device=ios language=de", "'language=de' is a condition; write the target after it"),
            ("ios https://example.com/", "'ios' is no condition"),
            ("weather=rain https://example.com/", "'weather' is no condition"),
            ("device=ios device=android https://example.com/", "'device' stands twice"),
            ("percent=half https://example.com/", "a number from 1 to 100"),
        ] {
            let said = parse(text).expect_err("refused");
            assert!(said.contains(part), "{said}");
        }
    }
}
