//! The rules that a link must keep, and which field breaks them. Pure: knows no I/O.

use std::collections::HashSet;

use jiff::Timestamp;
use url::Url;

use super::RedirectStatus;
use super::model::{Behaviour, Domain, Draft, Labels, Link};
use super::request::{Change, LinkEdit, NewLink};
use super::target::{TargetRules, normal_host};
use crate::code::reserved;
use crate::fault::{Fault, Reason};

/// The longest slug, in bytes.
pub const LONGEST_SLUG: usize = 64;
/// The longest that a browser may be told to remember a redirect, in seconds: a year.
pub const LONGEST_CACHE: u32 = 31_536_000;
/// The most clicks that a link can be limited to: numbers up to it are exact in every JSON reader.
pub const MOST_CLICKS: i64 = 9_007_199_254_740_992;
/// The longest title, in characters.
pub const LONGEST_TITLE: usize = 200;
/// The longest description, in characters.
pub const LONGEST_DESCRIPTION: usize = 500;
/// The most tags of a link.
pub const MOST_TAGS: usize = 32;
/// The longest tag, in characters.
pub const LONGEST_TAG: usize = 50;

/// What the settings say of links.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Whether a chosen slug may contain `/`.
    pub slashes: bool,
    /// Where links may lead.
    pub targets: TargetRules,
    /// The host of the default domain, with its port if that is not the scheme's.
    pub default_host: String,
    /// Whether the service can tell which country a visitor is in.
    pub knows_countries: bool,
}

impl Rules {
    /// The rules of a service that people reach at `public_url`.
    pub fn new(
        slashes: bool,
        targets: TargetRules,
        public_url: &Url,
        knows_countries: bool,
    ) -> Self {
        Self { slashes, targets, default_host: authority(public_url), knows_countries }
    }

    /// Judges a link to be made, at the moment `now`, in a service with these `domains`. Names all
    /// that is wrong with it.
    pub fn judge_new(
        &self,
        request: &NewLink,
        domains: &[Domain],
        now: Timestamp,
    ) -> Result<Draft, Vec<Fault>> {
        let mut judge = Judge { rules: self, own_hosts: own_hosts(domains), faults: Vec::new() };
        let domain = judge.domain(request.domain.as_deref(), domains);
        let slug = request.slug.as_deref().and_then(|slug| {
            judge.slug(slug);
            domain.map(|domain| domain.fold(slug))
        });
        let target = judge.required_target(request.target.as_deref());
        let behaviour = Behaviour {
            target: target.unwrap_or_default(),
            status: judge.status(request.status).unwrap_or_default(),
            cache_seconds: judge.cache_seconds(request.cache_seconds),
            valid_from: judge.time("/valid_from", request.valid_from.as_deref()),
            expires_at: judge.time("/expires_at", request.expires_at.as_deref()),
            forward_query: request.forward_query.unwrap_or(false),
            fallback: judge.url("/fallback", request.fallback.as_deref()),
            max_clicks: judge.max_clicks(request.max_clicks),
            rules: judge.rules(request.rules.as_deref().unwrap_or_default(), &[], now),
        };
        if behaviour.expires_at.is_some_and(|end| end <= now) {
            let detail = "is past already: nobody could ever open the link";
            judge.fault("/expires_at", Reason::InThePast, detail);
        }
        judge.order(&behaviour);
        judge.windows(&behaviour);
        judge.limit(&behaviour);
        let labels = Labels {
            title: judge.title(request.title.as_deref()),
            description: judge.description(request.description.as_deref()),
            image: judge.url("/image", request.image.as_deref()),
            tags: judge.tags(request.tags.as_deref().unwrap_or_default()),
        };
        match domain {
            Some(domain) if judge.faults.is_empty() => Ok(Draft {
                domain: domain.clone(),
                slug,
                behaviour,
                labels,
                reuse: request.reuse.unwrap_or(false),
            }),
            Some(_) | None => Err(judge.faults),
        }
    }

    /// Judges an edit of `link` at the moment `now`, and returns the link as it will be. Names all
    /// that is wrong with it. Fields that the edit leaves alone are not judged again: the settings may
    /// have changed.
    pub fn judge_edit(
        &self,
        link: &Link,
        edit: &LinkEdit,
        domains: &[Domain],
        now: Timestamp,
    ) -> Result<Link, Vec<Fault>> {
        let mut judge = Judge { rules: self, own_hosts: own_hosts(domains), faults: Vec::new() };
        for (pointer, given) in [("/slug", edit.slug), ("/domain", edit.domain)] {
            if given.is_some() {
                let detail = "names the link and cannot be changed; make another link";
                judge.fault(pointer, Reason::CannotBeChanged, detail);
            }
        }
        let mut after = link.clone();
        judge.edit_behaviour(&mut after.behaviour, edit, now);
        set(&mut after.disabled, edit.disabled);
        judge.edit_labels(&mut after.labels, edit);
        if judge.faults.is_empty() { Ok(after) } else { Err(judge.faults) }
    }

    /// The domain with this host; the default domain for `None` and for its own host.
    pub fn find_domain<'a>(&self, host: Option<&str>, domains: &'a [Domain]) -> Option<&'a Domain> {
        let host = host.map(normal_host);
        let wanted = host.filter(|host| {
            *host != self.default_host && Some(host.as_str()) != host_alone(&self.default_host)
        });
        domains.iter().find(|domain| domain.host == wanted)
    }
}

fn set(place: &mut bool, change: Change<bool>) {
    if let Some(value) = change {
        *place = value.unwrap_or(false);
    }
}

/// Host and port of a URL, without a port that goes without saying.
pub fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        None => host.to_owned(),
        Some(port) => format!("{host}:{port}"),
    }
}

/// The host of `host:port`; `None` when there is no port.
fn host_alone(authority: &str) -> Option<&str> {
    let (host, port) = authority.rsplit_once(':')?;
    port.bytes().all(|byte| byte.is_ascii_digit()).then_some(host)
}

pub(super) fn own_hosts(domains: &[Domain]) -> HashSet<&str> {
    domains.iter().filter_map(|domain| domain.host.as_deref()).collect()
}

/// Collects what is wrong with one request, about a link or a domain.
pub(super) struct Judge<'a> {
    pub(super) rules: &'a Rules,
    pub(super) own_hosts: HashSet<&'a str>,
    pub(super) faults: Vec<Fault>,
}

impl Judge<'_> {
    fn edit_behaviour(&mut self, behaviour: &mut Behaviour, edit: &LinkEdit, now: Timestamp) {
        match &edit.target {
            None => {}
            Some(None) => self.fault("/target", Reason::CannotBeCleared, "a link needs a target"),
            Some(Some(target)) => {
                behaviour.target = self.url("/target", Some(target)).unwrap_or_default();
            }
        }
        if let Some(status) = edit.status {
            behaviour.status = self.status(status).unwrap_or_default();
        }
        if let Some(seconds) = edit.cache_seconds {
            behaviour.cache_seconds = self.cache_seconds(seconds);
        }
        if let Some(time) = &edit.valid_from {
            behaviour.valid_from = self.time("/valid_from", time.as_deref());
        }
        if let Some(time) = &edit.expires_at {
            behaviour.expires_at = self.time("/expires_at", time.as_deref());
        }
        if let Some(fallback) = &edit.fallback {
            behaviour.fallback = self.url("/fallback", fallback.as_deref());
        }
        set(&mut behaviour.forward_query, edit.forward_query);
        if edit.valid_from.is_some() || edit.expires_at.is_some() {
            self.order(behaviour);
        }
        if let Some(most) = edit.max_clicks {
            behaviour.max_clicks = self.max_clicks(most);
        }
        if edit.max_clicks.is_some() || edit.status.is_some() || edit.cache_seconds.is_some() {
            self.limit(behaviour);
        }
        if let Some(rules) = &edit.rules {
            let rules = rules.as_deref().unwrap_or_default();
            behaviour.rules = self.rules(rules, &behaviour.rules, now);
            self.windows(behaviour);
        }
    }

    fn edit_labels(&mut self, labels: &mut Labels, edit: &LinkEdit) {
        if let Some(title) = &edit.title {
            labels.title = self.title(title.as_deref());
        }
        if let Some(description) = &edit.description {
            labels.description = self.description(description.as_deref());
        }
        if let Some(image) = &edit.image {
            labels.image = self.url("/image", image.as_deref());
        }
        if let Some(tags) = &edit.tags {
            labels.tags = self.tags(tags.as_deref().unwrap_or_default());
        }
    }

    pub(super) fn fault(&mut self, pointer: &str, reason: Reason, detail: impl Into<String>) {
        self.faults.push(Fault::new(pointer, reason, detail));
    }

    fn domain<'d>(&mut self, host: Option<&str>, domains: &'d [Domain]) -> Option<&'d Domain> {
        let found = self.rules.find_domain(host, domains);
        if found.is_none() {
            let detail = "is no domain of this service; add it with 'waypost domain add'";
            self.fault("/domain", Reason::UnknownDomain, detail);
        }
        found
    }

    fn slug(&mut self, slug: &str) {
        if let Err((reason, detail)) = judge_slug(slug, self.rules.slashes) {
            self.fault("/slug", reason, detail);
        }
    }

    fn required_target(&mut self, target: Option<&str>) -> Option<String> {
        if target.is_none() {
            self.fault("/target", Reason::Required, "say where the link leads: an absolute URL");
        }
        self.url("/target", target)
    }

    pub(super) fn url(&mut self, pointer: &str, text: Option<&str>) -> Option<String> {
        match self.rules.targets.judge(pointer, text?, &self.own_hosts) {
            Ok(normalised) => Some(normalised),
            Err(fault) => {
                self.faults.push(fault);
                None
            }
        }
    }

    fn status(&mut self, code: Option<i64>) -> Option<RedirectStatus> {
        let code = code?;
        let status = u16::try_from(code).ok().and_then(RedirectStatus::from_code);
        if status.is_none() {
            let detail = format!("{code} is no redirect of ours; use 301, 302, 307 or 308");
            self.fault("/status", Reason::OutOfRange, detail);
        }
        status
    }

    fn cache_seconds(&mut self, seconds: Option<i64>) -> Option<u32> {
        let seconds = seconds?;
        let valid = u32::try_from(seconds).ok().filter(|seconds| *seconds <= LONGEST_CACHE);
        if valid.is_none() {
            let detail = format!("must be from 0 to {LONGEST_CACHE}, not {seconds}");
            self.fault("/cache_seconds", Reason::OutOfRange, detail);
        }
        valid
    }

    fn time(&mut self, pointer: &str, text: Option<&str>) -> Option<Timestamp> {
        let text = text?;
        let Ok(time) = text.parse::<Timestamp>() else {
            let is_date =
                text.get(..19).is_some_and(|it| it.parse::<jiff::civil::DateTime>().is_ok());
            if is_date && is_rfc3339(text) {
                let detail =
                    "is past what a time can be, 9999-12-30T22:00:00Z; leave it out instead";
                self.fault(pointer, Reason::OutOfRange, detail);
            } else {
                self.not_a_time(pointer);
            }
            return None;
        };
        // The parser knows more spellings than the API promises.
        if !is_rfc3339(text) {
            self.not_a_time(pointer);
            return None;
        }
        // As PostgreSQL will store it: in whole microseconds.
        let time = Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time);
        if time < Timestamp::UNIX_EPOCH {
            self.fault(pointer, Reason::OutOfRange, "must not be before 1970");
            return None;
        }
        Some(time)
    }

    fn not_a_time(&mut self, pointer: &str) {
        let detail = "is not a time; write it like 2030-01-31T12:00:00Z";
        self.fault(pointer, Reason::NotATime, detail);
    }

    fn order(&mut self, behaviour: &Behaviour) {
        if let (Some(from), Some(end)) = (behaviour.valid_from, behaviour.expires_at)
            && end <= from
        {
            self.fault("/expires_at", Reason::WrongOrder, "must be after valid_from");
        }
    }

    fn title(&mut self, title: Option<&str>) -> Option<String> {
        let title = title?;
        self.text("/title", title, LONGEST_TITLE);
        Some(title.to_owned())
    }

    fn description(&mut self, description: Option<&str>) -> Option<String> {
        let description = description?;
        self.text("/description", description, LONGEST_DESCRIPTION);
        Some(description.to_owned())
    }

    fn max_clicks(&mut self, most: Option<i64>) -> Option<i64> {
        let most = most?;
        if !(1..=MOST_CLICKS).contains(&most) {
            let detail = format!("must be from 1 to {MOST_CLICKS}, not {most}");
            self.fault("/max_clicks", Reason::OutOfRange, detail);
        }
        Some(most)
    }

    /// A browser that remembers the redirect would open the link without being counted.
    fn limit(&mut self, behaviour: &Behaviour) {
        let remembered = behaviour.status.is_permanent() || behaviour.cache_seconds.is_some();
        if behaviour.max_clicks.is_some() && remembered {
            let detail = "cannot be kept when browsers remember the redirect: use the status 302 or \
                          307, and leave cache_seconds out";
            self.fault("/max_clicks", Reason::Conflict, detail);
        }
    }

    fn tags(&mut self, tags: &[String]) -> Vec<String> {
        let mut unique: Vec<String> = Vec::new();
        for (place, tag) in tags.iter().enumerate().take(MOST_TAGS * 4) {
            self.text(&format!("/tags/{place}"), tag, LONGEST_TAG);
            if !unique.contains(tag) {
                unique.push(tag.clone());
            }
        }
        if unique.len() > MOST_TAGS || tags.len() > MOST_TAGS * 4 {
            let detail = format!("are {}; at most {MOST_TAGS} are allowed", tags.len());
            self.fault("/tags", Reason::TooMany, detail);
        }
        unique
    }

    /// A text for people: something, not too much, no control characters.
    fn text(&mut self, pointer: &str, text: &str, longest: usize) {
        let characters = text.chars().count();
        if text.trim().is_empty() {
            self.fault(pointer, Reason::Empty, "must not be empty; leave it out instead");
        } else if characters > longest {
            let detail = format!("has {characters} characters; at most {longest} are allowed");
            self.fault(pointer, Reason::TooLong, detail);
        } else if text.chars().any(char::is_control) {
            self.fault(pointer, Reason::ControlCharacter, "has a control character; remove it");
        }
    }
}

/// The moment that a text of RFC 3339 names.
pub fn time_of(text: &str) -> Option<Timestamp> {
    text.parse().ok().filter(|_| is_rfc3339(text))
}

/// Whether a text has the form of a time of RFC 3339: `2030-01-31T12:00:00.5+01:00`.
fn is_rfc3339(text: &str) -> bool {
    let has_form = |text: &str, form: &str| {
        text.len() == form.len()
            && text.bytes().zip(form.bytes()).all(|(byte, wanted)| match wanted {
                b'0' => byte.is_ascii_digit(),
                b'+' => matches!(byte, b'+' | b'-'),
                other => byte.eq_ignore_ascii_case(&other),
            })
    };
    let Some((second, rest)) = text.split_at_checked(19) else { return false };
    let offset = match rest.strip_prefix('.') {
        None => rest,
        Some(fraction) => {
            let offset = fraction.trim_start_matches(|digit: char| digit.is_ascii_digit());
            if offset.len() == fraction.len() {
                return false;
            }
            offset
        }
    };
    has_form(second, "0000-00-00T00:00:00") && (has_form(offset, "Z") || has_form(offset, "+00:00"))
}

/// Judges a chosen slug.
fn judge_slug(slug: &str, slashes: bool) -> Result<(), (Reason, String)> {
    let fault = |reason, detail: &str| Err((reason, detail.to_owned()));
    if slug.is_empty() {
        return fault(Reason::Empty, "must not be empty; leave it out to have one generated");
    }
    if slug.len() > LONGEST_SLUG {
        let detail = format!("has {} bytes; at most {LONGEST_SLUG} are allowed", slug.len());
        return Err((Reason::TooLong, detail));
    }
    if slug.chars().any(char::is_control) {
        return fault(Reason::ControlCharacter, "has a control character; remove it");
    }
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '~' | '-' | '/');
    if let Some(other) = slug.chars().find(|c| !allowed(*c)) {
        let detail = format!("has '{other}'; allowed are A-Z, a-z, 0-9, '_', '.', '~' and '-'");
        return Err((Reason::BadCharacter, detail));
    }
    if slug.contains('/') && !slashes {
        return fault(
            Reason::BadPath,
            "must not contain '/' (the setting links.slashes allows it)",
        );
    }
    if slug.split('/').any(str::is_empty) {
        return fault(Reason::BadPath, "must not begin or end with '/', nor contain '//'");
    }
    if slug.split('/').any(|segment| matches!(segment, "." | "..")) {
        return fault(
            Reason::BadPath,
            "must not have '.' or '..' as a segment: browsers remove them",
        );
    }
    if reserved::is_reserved(slug) {
        return fault(Reason::Reserved, "is a reserved word of this service; choose another");
    }
    Ok(())
}

mod routing;

#[cfg(test)]
mod tests;
