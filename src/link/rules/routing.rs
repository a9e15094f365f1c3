//! Judges the rules by which a link leads different visitors to different targets.

use jiff::Timestamp;

use super::Judge;
use crate::fault::Reason;
use crate::link::model::Behaviour;
use crate::link::request::NewRule;
use crate::link::routing::{
    DeviceClass, MOST_BYTES, MOST_RULES, MOST_VALUES, QueryCondition, Rule, hidden_by,
};
use crate::visitor::country::Country;

/// The longest name or value of a query condition, in bytes.
const LONGEST_QUERY: usize = 200;
/// The longest language tag, in bytes.
const LONGEST_LANGUAGE: usize = 35;

impl Judge<'_> {
    /// Judges all rules of a link. Those that stand in `known` already may have ended by now.
    pub(super) fn rules(&mut self, given: &[NewRule], known: &[Rule], now: Timestamp) -> Vec<Rule> {
        if given.len() > MOST_RULES {
            let detail = format!("are {}; at most {MOST_RULES} are allowed", given.len());
            self.fault("/rules", Reason::TooMany, detail);
            return Vec::new();
        }
        let before = self.faults.len();
        let mut rules = Vec::with_capacity(given.len());
        for (place, rule) in given.iter().enumerate() {
            let pointer = format!("/rules/{place}");
            let rule = self.rule(&pointer, rule);
            if rule.before.is_some_and(|end| end <= now) && !known.contains(&rule) {
                let detail = "is past already: the rule could never match";
                self.fault(&format!("{pointer}/before"), Reason::InThePast, detail);
            }
            rules.push(rule);
        }
        let bytes = serde_json::to_vec(&rules).map_or(0, |json| json.len());
        if bytes > MOST_BYTES {
            let detail = format!("take {bytes} bytes in JSON; at most {MOST_BYTES} are allowed");
            self.fault("/rules", Reason::TooLong, detail);
        }
        // A rule that is wrong in itself hides nothing.
        if self.faults.len() == before {
            self.reachable(&rules);
        }
        rules
    }

    /// Every rule must have something left of what the earlier ones take.
    fn reachable(&mut self, rules: &[Rule]) {
        for place in 0..rules.len() {
            if let Some(hiding) = hidden_by(rules, place) {
                let detail = format!(
                    "can never match: /rules/{hiding} stands before it and takes the last of the \
                     requests that it could match; move this rule further up, or remove it"
                );
                self.fault(&format!("/rules/{place}"), Reason::NeverMatches, detail);
            }
        }
    }

    /// The time of each rule must lie within the link's own.
    pub(super) fn windows(&mut self, behaviour: &Behaviour) {
        for (place, rule) in behaviour.rules.iter().enumerate() {
            if let (Some(after), Some(end)) = (rule.after, behaviour.expires_at)
                && after >= end
            {
                let detail = "is not before the link's expires_at: the rule could never match";
                self.fault(&format!("/rules/{place}/after"), Reason::NeverMatches, detail);
            }
            if let (Some(before), Some(from)) = (rule.before, behaviour.valid_from)
                && before <= from
            {
                let detail = "is not after the link's valid_from: the rule could never match";
                self.fault(&format!("/rules/{place}/before"), Reason::NeverMatches, detail);
            }
        }
    }

    fn rule(&mut self, pointer: &str, given: &NewRule) -> Rule {
        let at = |field: &str| format!("{pointer}/{field}");
        let rule = Rule {
            device: self.list(&at("device"), given.device.as_deref(), Self::device),
            language: self.list(
                &at("language"),
                given.language.as_deref(),
                |judge, pointer, tag| judge.language(pointer, tag),
            ),
            query: self.list(&at("query"), given.query.as_deref(), |judge, pointer, condition| {
                Some(judge.query(pointer, condition))
            }),
            country: self.countries(&at("country"), given.country.as_deref()),
            after: self.time(&at("after"), given.after.as_deref()),
            before: self.time(&at("before"), given.before.as_deref()),
            percent: self.percent(&at("percent"), given.percent),
            target: self.rule_target(&at("target"), given.target.as_deref()),
        };
        if let (Some(after), Some(before)) = (rule.after, rule.before)
            && before <= after
        {
            self.fault(&at("before"), Reason::WrongOrder, "must be later than 'after'");
        }
        let names_none = given.device.is_none()
            && given.language.is_none()
            && given.query.is_none()
            && given.country.is_none()
            && given.after.is_none()
            && given.before.is_none()
            && given.percent.is_none();
        if names_none {
            let detail = "needs a condition: device, language, query, country, after, before or \
                          percent";
            self.fault(pointer, Reason::Required, detail);
        }
        rule
    }

    /// The good values of a list, each once.
    fn list<T, U: PartialEq>(
        &mut self,
        pointer: &str,
        given: Option<&[T]>,
        judge: impl Fn(&mut Self, &str, &T) -> Option<U>,
    ) -> Vec<U> {
        let Some(given) = given else { return Vec::new() };
        if given.is_empty() {
            self.fault(pointer, Reason::Empty, "must not be empty; leave it out instead");
        }
        if given.len() > MOST_VALUES {
            let detail = format!("has {} values; at most {MOST_VALUES} are allowed", given.len());
            self.fault(pointer, Reason::TooMany, detail);
            return Vec::new();
        }
        let mut values = Vec::with_capacity(given.len());
        for (place, value) in given.iter().enumerate() {
            let value = judge(self, &format!("{pointer}/{place}"), value);
            values.extend(value.filter(|value| !values.contains(value)));
        }
        values
    }

    fn device(&mut self, pointer: &str, name: &String) -> Option<DeviceClass> {
        let found = DeviceClass::ALL.into_iter().find(|class| class.name() == name);
        if found.is_none() {
            let known = DeviceClass::ALL.map(DeviceClass::name).join(", ");
            let detail = format!("is no kind of device that is told apart; use one of: {known}");
            self.fault(pointer, Reason::OutOfRange, detail);
        }
        found
    }

    /// A tag of BCP 47, loosely: a language of 2 to 8 letters, then parts of 1 to 8 letters or digits.
    fn language(&mut self, pointer: &str, tag: &str) -> Option<String> {
        let mut parts = tag.split('-');
        let is_tag = tag.len() <= LONGEST_LANGUAGE
            && parts.next().is_some_and(|language| {
                (2..=8).contains(&language.len())
                    && language.bytes().all(|byte| byte.is_ascii_alphabetic())
            })
            && parts.all(|part| {
                (1..=8).contains(&part.len())
                    && part.bytes().all(|byte| byte.is_ascii_alphanumeric())
            });
        if !is_tag {
            self.fault(
                pointer,
                Reason::NotALanguage,
                "is no language tag; write it like de or pt-BR",
            );
        }
        is_tag.then(|| tag.to_ascii_lowercase())
    }

    fn query(&mut self, pointer: &str, given: &QueryCondition) -> QueryCondition {
        if given.name.is_empty() {
            let detail = "must not be empty; name a parameter of the query";
            self.fault(&format!("{pointer}/name"), Reason::Empty, detail);
        }
        let texts = [("name", Some(&given.name)), ("value", given.value.as_ref())];
        for (field, text) in texts.into_iter().filter_map(|(field, text)| Some((field, text?))) {
            let pointer = format!("{pointer}/{field}");
            if text.len() > LONGEST_QUERY {
                let detail =
                    format!("has {} bytes; at most {LONGEST_QUERY} are allowed", text.len());
                self.fault(&pointer, Reason::TooLong, detail);
            }
            if text.chars().any(char::is_control) {
                let detail = "has a control character; remove it";
                self.fault(&pointer, Reason::ControlCharacter, detail);
            }
        }
        given.clone()
    }

    fn countries(&mut self, pointer: &str, given: Option<&[String]>) -> Vec<Country> {
        if given.is_some() && !self.rules.knows_countries {
            let detail = "cannot be told without a file of addresses and countries: name one in the \
                          setting clicks.country_file";
            self.fault(pointer, Reason::NotConfigured, detail);
        }
        self.list(pointer, given, |judge, pointer, code| {
            let country = Country::parse(code);
            if country.is_none() {
                let detail = "is no country; use the two letters of ISO 3166-1, such as DE";
                judge.fault(pointer, Reason::OutOfRange, detail);
            }
            country
        })
    }

    fn percent(&mut self, pointer: &str, percent: Option<i64>) -> Option<u8> {
        let percent = percent?;
        let valid = u8::try_from(percent).ok().filter(|percent| (1..=100).contains(percent));
        if valid.is_none() {
            let detail = format!("must be from 1 to 100, not {percent}");
            self.fault(pointer, Reason::OutOfRange, detail);
        }
        valid
    }

    fn rule_target(&mut self, pointer: &str, target: Option<&str>) -> String {
        if target.is_none() {
            self.fault(pointer, Reason::Required, "say where the rule leads: an absolute URL");
        }
        self.url(pointer, target).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
