//! The operators' console: pages at `/console` of the control listener, rendered here and useful
//! without scripts. Whoever has an API key signs in with it, and sees and does what that key may.
//!
//! Pages come out of the same services as the API's answers; there is no second way into the
//! database. What all pages have in common is decided here once: who is signed in, that a change
//! comes from a form of ours, and which headers go with an answer.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION,
    REFERRER_POLICY, SET_COOKIE, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};

use crate::api::body;
use crate::campaign::service::CampaignService;
use crate::clicks::report::Reports;
use crate::clock::Clock;
use crate::config::Config;
use crate::http::auth::Scope;
use crate::http::client::TrustedProxies;
use crate::http::misses::Misses;
use crate::http::problem::{Kind, Problem};
use crate::link::service::LinkService;
use crate::reward;
use crate::store::Store;

mod assets;
mod campaigns;
mod chart;
mod compensations;
mod decisions;
mod form;
mod links;
mod overview;
mod page;
mod rewards;
mod session;
mod sign_in;

use assets::Assets;
use form::Form;
use page::Page;
use session::{Session, SessionId};

/// Where the console is.
pub const ROOT: &str = "/console";

/// What a page may do: show styles, scripts and pictures of the console's own, and send forms to it.
const POLICY: &str = "default-src 'none'; style-src 'self'; img-src 'self' data:; script-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// How often a client may try keys that are none within ten minutes.
const MOST_WRONG_KEYS: u32 = 20;

/// What the console works with.
#[derive(Debug)]
pub struct Services {
    /// The database, for sessions and sums.
    pub store: Store,
    /// Links.
    pub links: Arc<LinkService>,
    /// Rewards.
    pub rewards: Arc<reward::services::Services>,
}

/// See the module.
#[derive(Debug)]
pub struct Console {
    store: Store,
    links: Arc<LinkService>,
    reports: Reports,
    campaigns: CampaignService,
    rewards: Arc<reward::services::Services>,
    clock: Clock,
    /// Who tried keys that are none.
    wrong_keys: Misses,
    proxies: TrustedProxies,
    assets: Assets,
    /// `edge.public_url`, with which short URLs of the default domain begin.
    public_url: url::Url,
    body_bytes: usize,
    patience: Duration,
}

/// How a request reached us.
#[derive(Debug)]
struct Arrival {
    parts: Parts,
    /// Whose address it came from, behind the proxies that are trusted.
    client: IpAddr,
    /// Whether a proxy that is trusted says that it came by HTTPS.
    secure: bool,
    /// The session that its cookie names, which may have ended or never been.
    cookie: Option<SessionId>,
    /// What its form says; nothing, if it has none.
    form: Form,
}

/// A request of somebody who is signed in.
#[derive(Debug)]
struct Visit<'a> {
    session: &'a Session,
    /// What the query says.
    query: Form,
    form: &'a Form,
}

/// What a request comes to.
#[derive(Debug)]
enum Outcome {
    /// A page.
    Shown(Page),
    /// Another page, to be asked for.
    Goes(String),
    /// A file.
    File(&'static str, Bytes),
}

/// An outcome, and what becomes of the cookie.
#[derive(Debug)]
struct Answer {
    outcome: Outcome,
    session: Option<Session>,
    cookie: Option<HeaderValue>,
}

impl Console {
    /// Puts the console together.
    pub fn new(services: Services, config: &Config) -> Self {
        let Services { store, links, rewards } = services;
        let clock = links.clock().clone();
        Self {
            reports: Reports::new(store.clone(), clock.clone(), config.clicks.retention),
            campaigns: CampaignService::new(store.clone(), config),
            store,
            links,
            rewards,
            clock,
            wrong_keys: Misses::new(MOST_WRONG_KEYS),
            proxies: TrustedProxies::new(&config.edge.trusted_proxies),
            assets: Assets::new(),
            public_url: config.edge.public_url.clone(),
            body_bytes: config.limits.control_body_bytes,
            patience: config.limits.request * 8 / 10,
        }
    }

    /// Whether a path is the console's.
    pub fn has(path: &str) -> bool {
        path.strip_prefix(ROOT).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// Answers one request that came over a connection from `peer`. Never fails: what goes wrong is
    /// a page that says so.
    pub async fn handle<B>(&self, request: Request<B>, peer: IpAddr) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        if let Some(file) = self.assets.find(request.uri().path()) {
            return file.answer();
        }
        let (parts, body) = request.into_parts();
        let is_post = parts.method == Method::POST;
        let mut arrival = self.arrival(parts, peer);
        let answer = match self.read(&mut arrival, body).await {
            Ok(()) if is_post => self.change(&arrival).await,
            Ok(()) => self.look(&arrival).await,
            Err(problem) => Err(problem),
        };
        let answer = answer.unwrap_or_else(|problem| Answer::of(Page::of_problem(problem)));
        self.respond(answer)
    }

    fn arrival(&self, parts: Parts, peer: IpAddr) -> Arrival {
        let secure = session::is_secure(&parts.headers, self.proxies.contains(peer));
        Arrival {
            client: self.proxies.client(&parts.headers, peer),
            cookie: session::from_cookie(&parts.headers, secure),
            secure,
            parts,
            form: Form::default(),
        }
    }

    /// Reads the form of a request that has one, once it is clear that the form is ours.
    async fn read<B>(&self, arrival: &mut Arrival, body: B) -> Result<(), Problem>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match arrival.parts.method {
            Method::GET | Method::HEAD => Ok(()),
            Method::POST => {
                session::check_origin(&arrival.parts.headers, arrival.secure).map_err(forbidden)?;
                form::check_type(&arrival.parts.headers)?;
                arrival.form =
                    Form::parse(&body::read(body, self.body_bytes, self.patience).await?)?;
                Ok(())
            }
            _ => Err(Problem::method_not_allowed("GET, HEAD, POST".to_owned())),
        }
    }

    /// Answers somebody who looks.
    async fn look(&self, arrival: &Arrival) -> Result<Answer, Problem> {
        let place = arrival.place();
        let Some(session) = self.session(arrival).await? else {
            return Ok(sign_in::asked(arrival));
        };
        let none = Form::default();
        let query = Form::parse(arrival.parts.uri.query().unwrap_or_default().as_bytes())?;
        let visit = Visit { session: &session, query, form: &none };
        let place: Vec<&str> = place.iter().map(String::as_str).collect();
        let outcome = match place.as_slice() {
            [] => self.overview(&visit).await,
            ["sign-in"] => Ok(Outcome::Goes(ROOT.to_owned())),
            ["links"] => self.list_links(&visit).await,
            ["links", "new"] => links::asked(&visit),
            ["links", "of", slug] => self.show_link(&visit, slug).await,
            ["links", "of", slug, "qr.svg"] => self.draw_link(&visit, slug, true).await,
            ["links", "of", slug, "qr.png"] => self.draw_link(&visit, slug, false).await,
            ["rewards"] => self.list_rewards(&visit).await,
            ["rewards", "user"] => self.explain_user(&visit).await,
            ["rewards", id] => self.show_reward(&visit, id).await,
            ["compensations"] => self.list_compensations(&visit).await,
            ["compensations", "new"] => compensations::asked(&visit),
            ["compensations", id] => self.show_compensation(&visit, id).await,
            ["campaigns"] => self.list_campaigns(&visit).await,
            ["campaigns", name] => self.show_campaign(&visit, name).await,
            ["campaigns", name, "diff"] => self.compare(&visit, name).await,
            ["campaigns", name, version] => self.show_version(&visit, name, version).await,
            ["campaigns", name, version, "activate"] => {
                self.ask_to_activate(&visit, name, version).await
            }
            _ => Err(nowhere()),
        };
        Ok(Answer::with(outcome, session))
    }

    /// Answers somebody who changes something.
    async fn change(&self, arrival: &Arrival) -> Result<Answer, Problem> {
        let place = arrival.place();
        let place: Vec<&str> = place.iter().map(String::as_str).collect();
        if place == ["sign-in"] {
            return self.sign_in(arrival).await;
        }
        let Some(session) = self.session(arrival).await? else {
            return Err(forbidden(
                "Your session has ended, and nothing was changed. Sign in again, and send the form \
                 once more.",
            ));
        };
        if !session.id.is_token(arrival.form.text("token")) {
            let refused = forbidden(
                "The form did not come from this session, and nothing was changed. Open the page \
                 again, and send the form once more.",
            );
            return Ok(Answer::with(Err(refused), session));
        }
        if place == ["sign-out"] {
            return self.sign_out(arrival, &session).await;
        }
        let visit = Visit { session: &session, query: Form::default(), form: &arrival.form };
        let outcome = match place.as_slice() {
            ["links", "new"] => self.make_link(&visit).await,
            ["rewards", id, act] => self.decide_on_reward(&visit, id, act).await,
            ["compensations", "new"] => self.request_compensation(&visit).await,
            ["compensations", id, act] => self.decide_on_compensation(&visit, id, act).await,
            ["campaigns", name, version, "activate"] => self.activate(&visit, name, version).await,
            _ => Err(nowhere()),
        };
        Ok(Answer::with(outcome, session))
    }

    /// The answer with the headers that all have.
    fn respond(&self, answer: Answer) -> Response<Full<Bytes>> {
        let Answer { outcome, session, cookie } = answer;
        let (status, content_type, body, location) = match outcome {
            Outcome::Shown(page) => {
                let status = page.status();
                let html = page.render(session.as_ref(), &self.assets);
                (status, "text/html; charset=utf-8", Bytes::from(html), None)
            }
            Outcome::Goes(place) => {
                let location = HeaderValue::try_from(place).ok();
                (StatusCode::SEE_OTHER, "text/plain; charset=utf-8", Bytes::new(), location)
            }
            Outcome::File(content_type, bytes) => (StatusCode::OK, content_type, bytes, None),
        };
        let mut response = Response::new(Full::new(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        for (name, value) in [
            (CONTENT_TYPE, content_type),
            (CONTENT_SECURITY_POLICY, POLICY),
            (CACHE_CONTROL, "no-store"),
            // Not `no-referrer`: with that, browsers leave out where our own forms come from.
            (REFERRER_POLICY, "same-origin"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (X_FRAME_OPTIONS, "DENY"),
            (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
            (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        let more = [(LOCATION, location), (SET_COOKIE, cookie)];
        headers.extend(more.into_iter().filter_map(|(name, value)| Some((name, value?))));
        response
    }
}

impl Arrival {
    /// The parts of the path below the console, decoded. What is no text leads nowhere.
    fn place(&self) -> Vec<String> {
        let path = self.parts.uri.path();
        let below = path.strip_prefix(ROOT).unwrap_or_default();
        let parts = below.split('/').filter(|part| !part.is_empty());
        parts
            .map(|part| {
                let decoded = percent_encoding::percent_decode_str(part).decode_utf8_lossy();
                decoded.into_owned()
            })
            .collect()
    }
}

impl Visit<'_> {
    /// Who acts, for the audit.
    fn actor(&self) -> &str {
        &self.session.caller.actor
    }

    /// Whether one of these scopes is there.
    fn may(&self, scopes: &[Scope]) -> bool {
        scopes.iter().any(|scope| self.session.caller.may(*scope))
    }

    /// Refuses whoever has none of these scopes.
    fn need(&self, scopes: &[Scope]) -> Result<(), Problem> {
        if self.may(scopes) {
            return Ok(());
        }
        let names: Vec<String> = scopes.iter().map(|it| format!("'{}'", it.name())).collect();
        Err(forbidden(format!(
            "The key that you signed in with lacks the scope {}. Sign in with one that has it, or ask \
             whoever makes the keys.",
            names.join(" or ")
        )))
    }
}

impl Answer {
    fn of(page: Page) -> Self {
        Self { outcome: Outcome::Shown(page), session: None, cookie: None }
    }

    /// For somebody who is signed in, and stays so whatever went wrong.
    fn with(outcome: Result<Outcome, Problem>, session: Session) -> Self {
        let outcome = outcome.unwrap_or_else(|problem| Outcome::Shown(Page::of_problem(problem)));
        Self { outcome, session: Some(session), cookie: None }
    }
}

impl From<Page> for Outcome {
    fn from(page: Page) -> Self {
        Self::Shown(page)
    }
}

fn forbidden(why: impl Into<String>) -> Problem {
    Problem::new(Kind::Forbidden, why)
}

fn nowhere() -> Problem {
    Problem::new(Kind::NotFound, "There is no such page in the console.")
}
