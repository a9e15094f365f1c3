//! The hot path: from a request to a redirect.

use std::borrow::Cow;
use std::cell::RefCell;
use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::{Body, Incoming};
use hyper::header::{CACHE_CONTROL, CONNECTION, HeaderValue, LOCATION};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::watch;

use super::association::{self, Associations};
use super::domains::{Domain, Domains};
use super::landing::places::Places;
use super::landing::visit;
use super::location::with_query;
use super::pages::Page;
use crate::clicks::countries::Countries;
use crate::clicks::queue::Buffer;
use crate::clicks::{ClickId, Opening};
use crate::clock::{Clock, Stopwatch, UnixMillis};
use crate::code::reserved::is_reserved;
use crate::http::checks::{self, Refusal};
use crate::http::client::TrustedProxies;
use crate::http::misses::Misses;
use crate::http::server::Service;
use crate::link::routing::Split;
use crate::link::{DomainId, LinkKey};
use crate::metrics::{EdgeFigures, EdgeRoute, Said};
use crate::referral::token::TokenKeys;
use crate::resolve::front::Front;
use crate::resolve::local::{Entry, Standing};
use crate::resolve::{Resolved, Resolver};
use crate::visitor::agent::{Agent, Agents};
use crate::visitor::{Hints, Kind, referrer};

pub(super) type Answer = Response<Full<Bytes>>;

/// Links that a thread has refreshed at a time.
const DUE: usize = 8_192;

/// The edge, as one serving thread has it.
pub struct Edge {
    /// Behind all threads.
    pub resolver: Arc<Resolver>,
    /// This thread's own.
    pub front: RefCell<Front>,
    /// This thread's own.
    pub figures: EdgeFigures,
    /// This thread's own.
    pub clicks: Buffer,
    /// Links that are due for a refresh, until the next tick.
    pub due: RefCell<Vec<LinkKey>>,
    /// The domains, as they are now.
    pub domains: RefCell<watch::Receiver<Arc<Domains>>>,
    /// The landing pages, as they are now.
    pub places: RefCell<watch::Receiver<Arc<Places>>>,
    /// The keys that sign click tokens.
    pub token_keys: RefCell<watch::Receiver<Arc<TokenKeys>>>,
    /// Which apps open links of which domains by themselves.
    pub associations: Arc<Associations>,
    /// The last `Host` seen, and whose it was: nearly always the next one's too.
    pub last_host: RefCell<Option<(HeaderValue, Domain)>>,
    /// This thread's own: `User-Agent`s that it has read.
    pub agents: RefCell<Agents>,
    /// The time.
    pub clock: Clock,
    /// How many headers a request may have.
    pub most_headers: usize,
    /// Whose word on who asks is believed.
    pub proxies: TrustedProxies,
    /// Who asks for what is not there, and how often.
    pub misses: Arc<Misses>,
    /// Where visitors are, if anybody can tell.
    pub countries: Arc<Countries>,
    /// Which part of the visitors a visitor belongs to.
    pub split: Split,
    /// What short URLs of the default domain begin with.
    pub public_url: Arc<url::Url>,
}

impl Service for Edge {
    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Answer {
        let watch = Stopwatch::start();
        let (route, answer) = match self.understand(&request) {
            Ok(Wanted::Slug(key)) => {
                (EdgeRoute::Redirect, self.redirect(&request, peer, &key).await)
            }
            Ok(Wanted::Look(key)) => {
                (EdgeRoute::Page, Box::pin(self.look(&request, peer, &key)).await)
            }
            Ok(Wanted::Landing(path, domain)) => {
                let landing = Box::pin(self.below_referrals(&request, peer, (&path, domain)));
                (EdgeRoute::Landing, landing.await)
            }
            Ok(Wanted::Association(file)) => (EdgeRoute::Page, association::answer(file)),
            Ok(Wanted::Page(page, domain)) => (EdgeRoute::Page, self.page(page, domain, &request)),
            Err(refusal) => {
                let mut answer = Page::Refused(refusal).answer(request.headers());
                // What follows on the connection may be a body that nobody will read.
                answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
                (EdgeRoute::Refused, answer)
            }
        };
        self.figures.request(route, answer.status().as_u16(), watch.elapsed().as_secs_f64());
        answer
    }

    fn tick(&self) {
        self.figures.flush();
        self.clicks.hand_over();
        let due = self.due.take();
        if !due.is_empty() {
            self.resolver.refresh(due);
        }
        let mut domains = self.domains.borrow_mut();
        if domains.has_changed().unwrap_or(false) {
            // The next request looks its host up again.
            domains.mark_unchanged();
            *self.last_host.borrow_mut() = None;
        }
    }
}

/// What a request is for.
enum Wanted<'a> {
    /// The link with this key.
    Slug(Cow<'a, str>),
    /// To see where the link with this key leads, without going there.
    Look(Cow<'a, str>),
    /// What stands at this path among the landing pages.
    Landing(String, Domain),
    /// This file, for apps that open links by themselves.
    Association(Bytes),
    /// Something else that the edge knows, in this domain, if it is one of ours.
    Page(Page, Option<DomainId>),
}

impl Edge {
    /// Who sent a request that came over a connection from `peer`: the whole address. It reads
    /// headers, so it is asked only where somebody needs to know.
    pub fn client<B>(&self, request: &Request<B>, peer: IpAddr) -> IpAddr {
        self.proxies.client(request.headers(), peer)
    }

    /// Checks a request and finds out what it wants.
    fn understand<'a, B: Body>(&self, request: &'a Request<B>) -> Result<Wanted<'a>, Refusal> {
        if !request.body().is_end_stream() {
            // There is a Content-Length or a Transfer-Encoding.
            checks::framing(request)?;
            return Err(Refusal::Body);
        }
        let Some(domain) = self.domain(request)? else {
            return Ok(Wanted::Page(Page::NotFound, None));
        };
        let page = |page: Page| Ok(Wanted::Page(page, Some(domain.id)));
        if request.method() != Method::GET && request.method() != Method::HEAD {
            return page(Page::MethodNotAllowed);
        }
        let path = request.uri().path();
        let path = path.strip_prefix('/').unwrap_or(path);
        let slug = path.strip_suffix('/').unwrap_or(path);
        match slug {
            "" => return page(Page::Root),
            "robots.txt" => return page(Page::Robots),
            "favicon.ico" => return page(Page::NoIcon),
            _ if slug.starts_with(association::PLACE) => {
                return Ok(self.association(domain.id, slug));
            }
            _ => {}
        }
        // What no link can have as its slug is not worth a question. It is read as it is spelled out:
        // with other eyes than these, `/r%2f7KQ2MX` would be a link's.
        match spell_out(slug) {
            Some(path) if path.contains('/') && is_reserved(&path) => {
                Ok(match visit::below(&path) {
                    Some(below) => Wanted::Landing(below.to_owned(), domain),
                    None => Wanted::Page(Page::NotFound, Some(domain.id)),
                })
            }
            Some(slug) if could_be_a_slug(&slug) => Ok(Wanted::Slug(key_in(domain, slug))),
            Some(slug) => match slug.strip_suffix('+') {
                Some(slug) if could_be_a_slug(slug) => {
                    Ok(Wanted::Look(Cow::Owned(key_in(domain, Cow::Borrowed(slug)).into_owned())))
                }
                Some(_) | None => page(Page::NotFound),
            },
            // No text once it is spelled out, so no code either; but whoever came for one is told so.
            None => match visit::below(slug) {
                Some(_) => Ok(Wanted::Landing(String::new(), domain)),
                None => page(Page::NotFound),
            },
        }
    }

    /// What stands in a domain at a path below [`association::PLACE`]. Whoever asks there is a machine:
    /// it is not sent to another place when there is nothing.
    fn association(&self, domain: DomainId, path: &str) -> Wanted<'static> {
        let domains = Arc::clone(&self.domains.borrow().borrow());
        match domains.host_of(domain).and_then(|host| self.associations.at(host, path)) {
            Some(file) => Wanted::Association(file.clone()),
            None => Wanted::Page(Page::NotFound, None),
        }
    }

    /// The domain of a request, if it is one of ours; its `Host` is checked on the way, unless it is
    /// the same as the last one's.
    fn domain<B>(&self, request: &Request<B>) -> Result<Option<Domain>, Refusal> {
        let value = checks::only_host(request, self.most_headers)?;
        if let Some((last, domain)) = self.last_host.borrow().as_ref()
            && value == last
            && request.uri().authority().is_none()
        {
            return Ok(Some(*domain));
        }
        let host = checks::valid_host(value)?;
        checks::authority(request, host)?;
        let found = self.domains.borrow().borrow().find(host);
        *self.last_host.borrow_mut() = found.map(|domain| (value.clone(), domain));
        Ok(found)
    }

    /// Looks the link up, counts, answers.
    async fn redirect<B>(&self, request: &Request<B>, peer: IpAddr, key: &str) -> Answer {
        let now = self.clock.now();
        let (entry, said) = match self.find(request, peer, key, now).await {
            Ok(found) => found,
            Err(page) => return self.nowhere(page, key, request),
        };
        self.figures.resolved(said);
        match &entry.special {
            None => self.follow(request, peer, &entry, now),
            // In a box: what few links need would make every hit's future larger.
            Some(_) => Box::pin(self.follow_specially(request, peer, entry, now)).await,
        }
    }

    /// Finds the entry of a key: here, or else in the tiers behind.
    pub(super) async fn find<B>(
        &self,
        request: &Request<B>,
        peer: IpAddr,
        key: &str,
        now: UnixMillis,
    ) -> Result<(Arc<Entry>, Said), Page> {
        let local = self.resolver.local();
        let here = {
            let mut front = self.front.borrow_mut();
            front.find(key, local, now).map(|(entry, standing)| (Arc::clone(entry), standing))
        };
        match here {
            Some((entry, Standing::Fresh)) => Ok((entry, Said::Hit)),
            Some((entry, Standing::FreshEnough)) => {
                self.refresh_soon(key);
                Ok((entry, Said::Hit))
            }
            other => {
                let doubtful = other
                    .filter(|(_, standing)| *standing == Standing::Doubtful)
                    .map(|(entry, _)| entry);
                // In a box: what the slow way needs would make every hit's future larger.
                let client = self.client(request, peer);
                Box::pin(self.load(key, client, doubtful)).await
            }
        }
    }

    /// Has a link asked about again at the next tick, together with others. One too many is asked
    /// about a second later.
    fn refresh_soon(&self, key: &str) {
        let mut due = self.due.borrow_mut();
        if due.len() < DUE
            && let Some(key) = LinkKey::parse(key)
        {
            due.push(key);
        }
    }

    /// Asks the tiers behind.
    async fn load(
        &self,
        key: &str,
        client: IpAddr,
        doubtful: Option<Arc<Entry>>,
    ) -> Result<(Arc<Entry>, Said), Page> {
        let local = self.resolver.local();
        if local.is_missing(key) {
            return Err(Page::NotFound);
        }
        let now = self.clock.now();
        if doubtful.is_none() && self.misses.wait(client, now).is_some() {
            return Err(Page::TooManyMisses);
        }
        let Some(key) = LinkKey::parse(key) else { return Err(Page::NotFound) };
        match self.resolver.load(key, doubtful).await {
            // Found, but not here: the tier that had it counts the hit.
            Resolved::Link(entry) => Ok((entry, Said::Missing)),
            Resolved::Stale(entry) => Ok((entry, Said::Stale)),
            Resolved::Missing => {
                self.misses.note(client, now);
                Err(Page::NotFound)
            }
            Resolved::Unavailable => Err(Page::Unavailable),
        }
    }

    /// Counts that nothing was found behind a key.
    pub(super) fn nothing_found(&self, page: Page) {
        let missing = page == Page::NotFound;
        self.figures.resolved(if missing { Said::Missing } else { Said::Error });
    }

    fn nowhere<B>(&self, page: Page, key: &str, request: &Request<B>) -> Answer {
        self.nothing_found(page);
        self.page(page, domain_of(key.as_bytes()), request)
    }

    /// Answers with a page, or sends people where the domain wants them to go instead.
    fn page<B>(&self, page: Page, domain: Option<DomainId>, request: &Request<B>) -> Answer {
        let detour = domain.and_then(|id| self.domains.borrow().borrow().detour(id, page));
        match detour {
            None => page.answer(request.headers()),
            Some(url) => redirect_to(StatusCode::FOUND, url, HeaderValue::from_static("no-store")),
        }
    }

    /// Answers for a link, by its own rules; expiry is looked at here, at every hit.
    fn follow<B>(
        &self,
        request: &Request<B>,
        peer: IpAddr,
        entry: &Entry,
        now: UnixMillis,
    ) -> Answer {
        if let Some(page) = ended(entry, now) {
            return self.instead(page, entry, request);
        }
        if request.method() == Method::GET {
            self.count(request, peer, entry, now);
        }
        let location = with_callers_query(&entry.location, entry, request);
        redirect_to(entry.status, location, entry.cache_control.clone())
    }

    /// Answers for a link that leads nowhere now: with the page, or the link's own fallback.
    pub(super) fn instead<B>(&self, page: Page, entry: &Entry, request: &Request<B>) -> Answer {
        match &entry.fallback {
            Some(url) if page == Page::Gone => redirect_to(
                StatusCode::FOUND,
                HeaderValue::clone(url),
                HeaderValue::from_static("no-store"),
            ),
            Some(_) | None => self.page(page, domain_of(entry.key()), request),
        }
    }

    /// Who asks, as far as the headers tell.
    pub(super) fn visitor<'a, B>(&self, request: &'a Request<B>, peer: IpAddr) -> Visitor<'a> {
        let hints = Hints::of(request.headers());
        let agent = self.agents.borrow_mut().of(hints.agent_text());
        Visitor { hints, agent, kind: hints.kind(&agent), client: self.client(request, peer) }
    }

    /// Counts the opening of a link.
    fn count<B>(&self, request: &Request<B>, peer: IpAddr, entry: &Entry, now: UnixMillis) {
        self.count_visitor(&self.visitor(request, peer), entry, now);
    }

    pub(super) fn count_visitor(&self, visitor: &Visitor<'_>, entry: &Entry, now: UnixMillis) {
        self.count_click(visitor, entry, now, None);
    }

    /// Counts a click that may have a number of its own.
    pub(super) fn count_click(
        &self,
        visitor: &Visitor<'_>,
        entry: &Entry,
        now: UnixMillis,
        click_id: Option<ClickId>,
    ) {
        let Visitor { hints, agent, kind, client } = *visitor;
        let counted = self.clicks.count(&Opening {
            link: entry.link,
            at: now,
            client,
            kind,
            agent,
            referrer: hints.referrer.and_then(|value| referrer::host(value.as_bytes())),
            private: hints.private,
            click_id,
        });
        if !counted {
            self.figures.click_dropped();
        }
    }
}

/// Who asks.
#[derive(Clone, Copy)]
pub(super) struct Visitor<'a> {
    pub(super) hints: Hints<'a>,
    pub(super) agent: Agent,
    pub(super) kind: Kind,
    pub(super) client: IpAddr,
}

/// The page that is shown instead of a link that is not valid yet, or not any more.
pub(super) fn ended(entry: &Entry, now: UnixMillis) -> Option<Page> {
    if now < entry.valid_from {
        Some(Page::NotFound)
    } else if entry.disabled || now >= entry.expires_at {
        Some(Page::Gone)
    } else {
        None
    }
}

pub(super) fn redirect_to(
    status: StatusCode,
    location: HeaderValue,
    cache_control: HeaderValue,
) -> Answer {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response.headers_mut().insert(LOCATION, location);
    response.headers_mut().insert(CACHE_CONTROL, cache_control);
    response
}

/// Where a request is sent: to `location`, with its own query if the link says so.
pub(super) fn with_callers_query<B>(
    location: &HeaderValue,
    entry: &Entry,
    request: &Request<B>,
) -> HeaderValue {
    match request.uri().query() {
        Some(query) if entry.forward_query => forwarded(location, query),
        _ => location.clone(),
    }
}

fn forwarded(location: &HeaderValue, query: &str) -> HeaderValue {
    let target = location.to_str().unwrap_or_default();
    // A query that cannot stand in a header cannot have come in a request line either.
    HeaderValue::from_str(&with_query(target, query)).unwrap_or_else(|_| location.clone())
}

/// The path with `%41` spelled out as `A`; `None` if that is no text.
fn spell_out(path: &str) -> Option<Cow<'_, str>> {
    if path.contains('%') {
        percent_encoding::percent_decode_str(path).decode_utf8().ok()
    } else {
        Some(Cow::Borrowed(path))
    }
}

/// The key of a slug in a domain; in the default domain that is the slug, and costs nothing.
fn key_in(domain: Domain, slug: Cow<'_, str>) -> Cow<'_, str> {
    let folds = domain.case_insensitive && slug.bytes().any(|byte| byte.is_ascii_uppercase());
    let slug = if folds { Cow::Owned(slug.to_ascii_lowercase()) } else { slug };
    if domain.id == DomainId::DEFAULT {
        slug
    } else {
        Cow::Owned(LinkKey::new(domain.id, &slug).as_str().to_owned())
    }
}

/// The domain in which a key stands.
fn domain_of(key: &[u8]) -> Option<DomainId> {
    let (domain, _) = LinkKey::parts_of(std::str::from_utf8(key).ok()?)?;
    Some(domain)
}

/// Whether any link could have this slug. In particular it has no colon, which would make it another
/// domain's key.
fn could_be_a_slug(slug: &str) -> bool {
    let allowed =
        |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'~' | b'-' | b'/');
    (1..=64).contains(&slug.len()) && slug.bytes().all(allowed)
}
