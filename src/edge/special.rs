//! Links that do more than lead to one target: rules, a limit of clicks, a preview.

use std::cell::LazyCell;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hyper::header::HeaderValue;
use hyper::{Method, Request};

use super::pages::Page;
use super::previews;
use super::redirect::{Answer, Edge, Visitor, ended, redirect_to, with_callers_query};
use crate::clicks::network::Addresses;
use crate::clock::UnixMillis;
use crate::link::LinkKey;
use crate::link::routing::{self, Facts, Rule};
use crate::resolve::Resolved;
use crate::resolve::allowance::{Verdict, Wish};
use crate::resolve::local::{Entry, Special, remembered_for};
use crate::visitor::country::Country;
use crate::visitor::{Device, Kind, language};

/// How often a limited link is loaded again because it changed meanwhile.
const RELOADS: usize = 3;

impl Edge {
    /// Answers for a link that does more than lead to one target.
    pub(super) async fn follow_specially<B>(
        &self,
        request: &Request<B>,
        peer: IpAddr,
        entry: Arc<Entry>,
        now: UnixMillis,
    ) -> Answer {
        let visitor = self.visitor(request, peer);
        let wish = match visitor.kind {
            // What a browser fetches ahead it shows later without asking again: nobody would have
            // counted the person.
            Kind::Prefetch => None,
            Kind::Person if request.method() == Method::GET => Some(Wish::Open),
            Kind::Person | Kind::Bot | Kind::Preview => Some(Wish::Look),
        };
        let entry = match self.admit(wish, entry, now).await {
            Ok(entry) => entry,
            Err((page, entry)) => return self.instead(page, &entry, request),
        };
        if request.method() == Method::GET {
            self.count_visitor(&visitor, &entry, now);
        }
        let Some(special) = &entry.special else {
            let location = with_callers_query(&entry.location, &entry, request);
            return redirect_to(entry.status, location, entry.cache_control.clone());
        };
        if special.preview && visitor.kind == Kind::Preview {
            let shown = self.preview(&entry, special).await;
            if let Some(answer) = shown {
                return answer;
            }
        }
        let location = self.choose(request, &visitor, &entry, now);
        let cache_control = if special.limited {
            HeaderValue::from_static("no-store")
        } else {
            remembered_for(seconds_to_remember(special, now))
        };
        redirect_to(entry.status, with_callers_query(&location, &entry, request), cache_control)
    }

    /// Sees whether the link can be opened now, and asks for what a limited link may grant; answers with
    /// the entry that counts, which may be a later one. Without a wish a limited link is declined.
    async fn admit(
        &self,
        wish: Option<Wish>,
        mut entry: Arc<Entry>,
        now: UnixMillis,
    ) -> Result<Arc<Entry>, (Page, Arc<Entry>)> {
        for _ in 0..RELOADS {
            if let Some(page) = ended(&entry, now) {
                return Err((page, entry));
            }
            let Some(special) = entry.special.as_ref().filter(|special| special.limited) else {
                return Ok(entry);
            };
            if special.used_up.load(Ordering::Acquire) {
                return Err((Page::Gone, entry));
            }
            // A 503 is how a server declines.
            let Some(wish) = wish else { return Err((Page::NotAhead, entry)) };
            let Some(key) = key_of(&entry) else { return Err((Page::NotFound, entry)) };
            let allowance = self.resolver.database().allowance();
            match allowance.ask(key.clone(), (entry.link, entry.version), wish).await {
                Verdict::Granted => return Ok(entry),
                Verdict::UsedUp => {
                    special.used_up.store(true, Ordering::Release);
                    return Err((Page::Gone, entry));
                }
                Verdict::Unavailable => return Err((Page::Unavailable, entry)),
                Verdict::Outdated => {
                    entry = match self.resolver.load_from_database(&key).await {
                        Resolved::Link(later) | Resolved::Stale(later) => later,
                        Resolved::Missing => return Err((Page::NotFound, entry)),
                        Resolved::Unavailable => return Err((Page::Unavailable, entry)),
                    };
                }
            }
        }
        // Somebody edits it faster than it can be read.
        Err((Page::Unavailable, entry))
    }

    /// The page for a program that renders previews; `None`: there is nothing to show after all, and it
    /// is redirected as everybody is.
    async fn preview(&self, entry: &Entry, special: &Special) -> Option<Answer> {
        let key = key_of(entry)?;
        let found = self.resolver.database().previews().find(&key, entry.version).await?;
        let target = entry.location.to_str().ok().filter(|_| !special.limited);
        Some(previews::open_graph(&self.short_url(&key), target, &found))
    }

    /// Shows where a link leads, without going there. A link that leads nowhere now has its page, and
    /// no fallback: who wants to look does not want to go anywhere.
    pub(super) async fn look<B>(&self, request: &Request<B>, peer: IpAddr, key: &str) -> Answer {
        let now = self.clock.now();
        let found = match self.find(request, peer, key, now).await {
            Ok((entry, said)) => {
                self.figures.resolved(said);
                self.admit(Some(Wish::Look), entry, now).await.map_err(|(page, _)| page)
            }
            Err(page) => {
                self.nothing_found(page);
                Err(page)
            }
        };
        let shown = match found {
            Ok(entry) => self.what_is_seen(request, peer, &entry, now).await,
            Err(page) => Err(page),
        };
        match shown {
            Ok(look) => look.answer(request.headers()),
            Err(page) => page.answer(request.headers()),
        }
    }

    /// What there is to see of a link.
    async fn what_is_seen<B>(
        &self,
        request: &Request<B>,
        peer: IpAddr,
        entry: &Entry,
        now: UnixMillis,
    ) -> Result<previews::Look, Page> {
        let key = key_of(entry).ok_or(Page::NotFound)?;
        let mut location = entry.location.clone();
        let mut look = previews::Look::of(self.short_url(&key));
        look.expires_at = (entry.expires_at != UnixMillis::NEVER).then_some(entry.expires_at);
        if let Some(special) = &entry.special {
            let visitor = self.visitor(request, peer);
            location = self.choose(request, &visitor, entry, now);
            look.depends_on = depends_on(&special.rules);
            look.limited = special.limited;
            if special.preview {
                look.preview = self.resolver.database().previews().find(&key, entry.version).await;
            }
        }
        let location = with_callers_query(&location, entry, request);
        look.leads_to(location.to_str().unwrap_or_default());
        Ok(look)
    }

    /// Where this visitor is sent.
    fn choose<B>(
        &self,
        request: &Request<B>,
        visitor: &Visitor<'_>,
        entry: &Entry,
        now: UnixMillis,
    ) -> HeaderValue {
        let Some(special) = entry.special.as_ref().filter(|special| !special.rules.is_empty())
        else {
            return entry.location.clone();
        };
        let client = visitor.client;
        let facts = RequestFacts {
            visitor,
            now,
            query: request.uri().query().unwrap_or_default(),
            country: LazyCell::new(|| self.countries.find(client)),
            position: LazyCell::new(|| {
                // Phones change the second half of an IPv6 address every day.
                let client = Addresses::Full.kept(client).unwrap_or(client);
                self.split.position(entry.link, client, visitor.hints.agent_text())
            }),
        };
        let chosen = routing::choose(&special.rules, &facts);
        let location = chosen.and_then(|place| special.locations.get(place));
        location.unwrap_or(&entry.location).clone()
    }

    /// The short URL of a link.
    fn short_url(&self, key: &LinkKey) -> String {
        let Some((domain, slug)) = key.parts() else { return String::new() };
        let domains = self.domains.borrow();
        let domains = domains.borrow();
        match domains.host_of(domain).filter(|_| domain != crate::link::DomainId::DEFAULT) {
            Some(host) => format!("https://{host}/{slug}"),
            None => format!("{}{slug}", self.public_url),
        }
    }
}

fn key_of(entry: &Entry) -> Option<LinkKey> {
    LinkKey::parse(std::str::from_utf8(entry.key()).ok()?)
}

/// How long browsers may remember an answer: never past the next moment at which a rule would change
/// it.
fn seconds_to_remember(special: &Special, now: UnixMillis) -> Option<u32> {
    let seconds = special.cache_seconds?;
    let change = routing::next_change(&special.rules, now);
    let until_then = change.map_or(u64::MAX, |change| change.since(now).as_secs());
    Some(u32::try_from(until_then).map_or(seconds, |until_then| until_then.min(seconds)))
}

/// What the target depends on, in words for people.
fn depends_on(rules: &[Rule]) -> Vec<&'static str> {
    let of = |asks: fn(&Rule) -> bool, word: &'static str| rules.iter().any(asks).then_some(word);
    let words = [
        of(|rule| !rule.device.is_empty(), "your device"),
        of(|rule| !rule.language.is_empty(), "your language"),
        of(|rule| !rule.country.is_empty(), "your country"),
        of(|rule| !rule.query.is_empty(), "how the link is written"),
        of(|rule| rule.after.is_some() || rule.before.is_some(), "the time"),
        of(|rule| rule.percent.is_some(), "chance"),
    ];
    words.into_iter().flatten().collect()
}

/// What rules can ask of a request.
struct RequestFacts<'a, C: FnOnce() -> Option<Country>, P: FnOnce() -> u8> {
    visitor: &'a Visitor<'a>,
    now: UnixMillis,
    query: &'a str,
    country: LazyCell<Option<Country>, C>,
    position: LazyCell<u8, P>,
}

impl<C: FnOnce() -> Option<Country>, P: FnOnce() -> u8> Facts for RequestFacts<'_, C, P> {
    fn now(&self) -> UnixMillis {
        self.now
    }

    fn device(&self) -> Device {
        self.visitor.agent.device
    }

    fn likes_best(&self, wanted: &str) -> bool {
        let header = self.visitor.hints.accept_language;
        header.is_some_and(|header| language::likes_best(header.as_bytes(), wanted))
    }

    fn has_query(&self, name: &str, value: Option<&str>) -> bool {
        self.query.split('&').filter(|pair| !pair.is_empty()).any(|pair| {
            let (its_name, its_value) = pair.split_once('=').unwrap_or((pair, ""));
            spelled_out(its_name) == name
                && value.is_none_or(|value| spelled_out(its_value) == value)
        })
    }

    fn country(&self) -> Option<Country> {
        *self.country
    }

    fn position(&self) -> u8 {
        *self.position
    }
}

/// A part of a query, decoded: `a+b` and `a%20b` are the same.
fn spelled_out(part: &str) -> String {
    let spaced = part.replace('+', " ");
    percent_encoding::percent_decode_str(&spaced).decode_utf8_lossy().into_owned()
}
