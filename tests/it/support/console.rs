//! The console without a listener, and browsers that are signed in to it.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use waypost::config::Config;
use waypost::console::{Console, Services};
use waypost::link::service::LinkService;
use waypost::resolve::announce::Announcer;

use super::Answer;
use super::desk::{Desk, with};
use super::html::Page;

/// The host of the console in tests.
pub const HOST: &str = "console.example";
/// The address of a proxy that is trusted.
pub const PROXY: &str = "10.0.0.1";
/// The address of anybody else.
pub const ANYBODY: &str = "192.0.2.1";

/// See the module.
pub struct Operators {
    /// Rewards of a campaign, and keys of people who decide on them.
    pub desk: Desk,
    console: Console,
}

/// A browser with the cookie of a session.
pub struct Browser<'a> {
    operators: &'a Operators,
    /// The whole cookie, `name=value`.
    pub cookie: String,
}

impl Operators {
    /// A console on the database of a desk.
    pub async fn open() -> Self {
        let desk = Desk::open(&with(|_| {})).await;
        let mut config = Config::default();
        config.edge.public_url = "https://go.example/".parse().expect("a URL");
        config.edge.trusted_proxies = vec![PROXY.parse().expect("an address")];
        let api = &desk.test.api;
        let announcer = Announcer::new(api.store.clone(), None, None);
        let links = LinkService::new(api.store.clone(), announcer, &config, api.clock.clone());
        let services = Services {
            store: api.store.clone(),
            links: Arc::new(links),
            rewards: Arc::clone(&api.rewards.services),
        };
        let console = Console::new(services, &config);
        Self { desk, console }
    }

    /// A request from an address, with these headers and no others.
    pub async fn send_from(
        &self,
        peer: &str,
        (method, path): (&str, &str),
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let body = Full::new(Bytes::copy_from_slice(body.as_bytes()));
        let request = request.body(body).expect("a request");
        let peer: IpAddr = peer.parse().expect("an address");
        let (head, body) = self.console.handle(request, peer).await.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    /// The same from anybody.
    pub async fn send(&self, what: (&str, &str), headers: &[(&str, &str)], body: &str) -> Answer {
        self.send_from(ANYBODY, what, headers, body).await
    }

    /// A form as a browser of this host sends it, with these cookies.
    pub async fn submit(&self, path: &str, cookie: &str, fields: &[(&str, &str)]) -> Answer {
        let origin = format!("http://{HOST}");
        let headers = [
            ("host", HOST),
            ("origin", origin.as_str()),
            ("content-type", "application/x-www-form-urlencoded"),
            ("cookie", cookie),
        ];
        self.send(("POST", path), &headers, &encoded(fields)).await
    }

    /// Signs in with a key; the browser.
    pub async fn sign_in(&self, key: &str) -> Browser<'_> {
        let answer = self.submit("/console/sign-in", "", &[("key", key)]).await;
        assert_eq!((answer.status, answer.header("location")), (303, "/console"), "{answer:?}");
        Browser { operators: self, cookie: cookie_of(&answer) }
    }

    /// Signs in with a new key that has these scopes.
    pub async fn sign_in_with(&self, scopes: &[&str]) -> Browser<'_> {
        let key = self.desk.test.api.add_key("olga", scopes).await;
        self.sign_in(&key).await
    }
}

/// The cookie that an answer sets, `name=value`.
pub fn cookie_of(answer: &Answer) -> String {
    answer.header("set-cookie").split(';').next().unwrap_or_default().to_owned()
}

/// Fields as a browser encodes them.
pub fn encoded(fields: &[(&str, &str)]) -> String {
    let encode = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let pairs = fields.iter().map(|(name, value)| format!("{}={}", encode(name), encode(value)));
    pairs.collect::<Vec<_>>().join("&")
}

impl Browser<'_> {
    /// Opens a page.
    pub async fn get(&self, path: &str) -> Answer {
        let headers = [("host", HOST), ("cookie", self.cookie.as_str())];
        self.operators.send(("GET", path), &headers, "").await
    }

    /// Opens a page that must be there.
    pub async fn page(&self, path: &str) -> Page {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text());
        Page::read(&answer.text())
    }

    /// What forms of this session carry; empty for a browser that is not signed in.
    pub async fn token(&self) -> String {
        let page = Page::read(&self.get("/console").await.text());
        let is_token =
            |it: &&super::html::Element| it.attributes.get("name").is_some_and(|it| it == "token");
        let field = page.elements.iter().find(is_token);
        field.and_then(|it| it.attributes.get("value")).cloned().unwrap_or_default()
    }

    /// Sends a form with this session's token.
    pub async fn submit(&self, path: &str, fields: &[(&str, &str)]) -> Answer {
        let token = self.token().await;
        let mut all = vec![("token", token.as_str())];
        all.extend_from_slice(fields);
        self.operators.submit(path, &self.cookie, &all).await
    }
}
