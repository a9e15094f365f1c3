//! Asking other services over HTTP and HTTPS: eligibility, payment, notification, and the edge itself
//! by `waypost doctor`. Knows nothing of what is asked, nor of ours.
//!
//! A redirect is an answer like any other and never followed: what was sent goes where it was meant to
//! go. Nothing is repeated once a byte of it may have left; who asks decides about that, by
//! [`Error::nothing_was_sent`].

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT};
use hyper::{Method, Request, StatusCode, Uri};
use hyper_rustls::{FixedServerNameResolver, HttpsConnector};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::{HttpConnector, capture_connection};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::time::timeout;
use url::Url;

pub use error::Error;

mod error;

/// How long a connection is kept for the next question.
const IDLE: Duration = Duration::from_secs(30);
/// Connections to one host to keep where only a few questions are under way at a time.
pub const FEW_CONNECTIONS: usize = 8;
/// How long connecting may take at most, also when somebody would wait longer.
const CONNECT: Duration = Duration::from_secs(10);
/// The status line and headers of an answer, in bytes; twice that is surely refused.
const HEAD_BYTES: usize = 64 * 1_024;
/// How we introduce ourselves.
const AGENT: &str = concat!("waypost/", env!("CARGO_PKG_VERSION"));

/// Whom to believe, and how much to read.
#[derive(Clone, Debug)]
pub struct Settings {
    /// A PEM file with certificate authorities that are believed besides Mozilla's.
    pub ca_file: Option<PathBuf>,
    /// The longest body of an answer, in bytes.
    pub body_bytes: usize,
    /// Idle connections to one host that are kept for the next question: as many as questions are
    /// under way at a time, or each of the others connects anew.
    pub idle_connections: usize,
}

/// An answer, whole, whatever its status.
#[derive(Clone, Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, as it was sent.
    pub body: Bytes,
}

/// A client with connections that are used again; clones share them.
#[derive(Clone, Debug)]
pub struct Outbound {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    tls: Arc<ClientConfig>,
    body_bytes: usize,
    idle_connections: usize,
}

impl Outbound {
    /// Reads the authorities; connects to nothing yet.
    pub fn new(settings: &Settings) -> Result<Self, Error> {
        let mut roots = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        if let Some(path) = &settings.ca_file {
            add_authorities(&mut roots, path)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let tls = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("ring speaks TLS 1.2 and 1.3")
            .with_root_certificates(roots)
            .with_no_client_auth();
        let tls = Arc::new(tls);
        let connector = HttpsConnector::from((tcp(), Arc::clone(&tls)));
        let Settings { body_bytes, idle_connections, .. } = *settings;
        Ok(Self { client: client(connector, idle_connections), tls, body_bytes, idle_connections })
    }

    /// The same, with connections of its own, for one host that is asked at other addresses than its
    /// own: certificates must be made out to `host`, whatever stands in the URL.
    pub fn as_if_at(&self, host: &str) -> Result<Self, Error> {
        // Where a URL has brackets around an address, a certificate has none.
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
            .map_err(|error| Error::Address(format!("{host:?}: {error}")))?;
        let names = Arc::new(FixedServerNameResolver::new(name));
        let connector = HttpsConnector::new(tcp(), Arc::clone(&self.tls), false, names);
        let client = client(connector, self.idle_connections);
        Ok(Self { client, tls: Arc::clone(&self.tls), ..*self })
    }

    /// The same, with the same connections, for answers of up to `body_bytes`.
    #[must_use]
    pub fn reading_up_to(&self, body_bytes: usize) -> Self {
        Self { body_bytes, ..self.clone() }
    }

    /// GET. `deadline` is for all of it: finding the address, connecting, TLS, headers and body.
    pub async fn get(
        &self,
        url: &Url,
        headers: &[(HeaderName, HeaderValue)],
        deadline: Duration,
    ) -> Result<Answer, Error> {
        let request = request(Method::GET, url, headers, Bytes::new())?;
        self.send(request, deadline).await
    }

    /// POST with a body of JSON. `deadline` is for all of it: finding the address, connecting, TLS,
    /// headers and body.
    pub async fn post_json(
        &self,
        url: &Url,
        headers: &[(HeaderName, HeaderValue)],
        body: Bytes,
        deadline: Duration,
    ) -> Result<Answer, Error> {
        let mut request = request(Method::POST, url, headers, body)?;
        let json = HeaderValue::from_static("application/json");
        for name in [CONTENT_TYPE, ACCEPT] {
            request.headers_mut().entry(name).or_insert_with(|| json.clone());
        }
        self.send(request, deadline).await
    }

    async fn send(
        &self,
        mut request: Request<Full<Bytes>>,
        deadline: Duration,
    ) -> Result<Answer, Error> {
        let connection = capture_connection(&mut request);
        match timeout(deadline, self.exchange(request)).await {
            Ok(answer) => answer,
            Err(_elapsed) => {
                // Without a connection there was nothing to send on.
                let connected = connection.connection_metadata().is_some();
                Err(Error::TimedOut { after: deadline, connected })
            }
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Answer, Error> {
        let response = self.client.request(request).await.map_err(|error| error::of(&error))?;
        let (head, body) = response.into_parts();
        let body = match Limited::new(body, self.body_bytes).collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) if error.is::<LengthLimitError>() => {
                return Err(Error::TooLarge { limit: self.body_bytes });
            }
            Err(error) => return Err(Error::Broken(error::deepest(&*error))),
        };
        Ok(Answer { status: head.status, headers: head.headers, body })
    }
}

fn add_authorities(roots: &mut RootCertStore, path: &Path) -> Result<(), Error> {
    let bad = |reason: String| Error::Authorities { path: path.to_owned(), reason };
    let text = std::fs::read(path).map_err(|error| bad(error.to_string()))?;
    let mut found = 0_usize;
    for certificate in CertificateDer::pem_slice_iter(&text) {
        found += 1;
        certificate
            .map_err(|error| error.to_string())
            .and_then(|certificate| roots.add(certificate).map_err(|error| error.to_string()))
            .map_err(|error| bad(format!("its certificate number {found} is not good: {error}")))?;
    }
    if found == 0 {
        return Err(bad("it has no certificate in it".to_owned()));
    }
    Ok(())
}

fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    // TLS is the business of the layer above.
    tcp.enforce_http(false);
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(CONNECT));
    tcp
}

fn client(
    connector: HttpsConnector<HttpConnector>,
    idle_connections: usize,
) -> Client<HttpsConnector<HttpConnector>, Full<Bytes>> {
    Client::builder(TokioExecutor::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE)
        .pool_max_idle_per_host(idle_connections)
        .http1_max_buf_size(HEAD_BYTES)
        .build(connector)
}

/// What is sent; headers that are given stand above our own.
fn request(
    method: Method,
    url: &Url,
    headers: &[(HeaderName, HeaderValue)],
    body: Bytes,
) -> Result<Request<Full<Bytes>>, Error> {
    if !matches!(url.scheme(), "http" | "https") {
        return Err(Error::Address(format!("the scheme '{}' is not spoken here", url.scheme())));
    }
    if !url.username().is_empty() || url.password().is_some() {
        let fault = "a user name and password in a URL are not sent: use a header";
        return Err(Error::Address(fault.to_owned()));
    }
    let mut to = url.clone();
    to.set_fragment(None);
    let uri = Uri::try_from(to.as_str()).map_err(|error| Error::Address(error.to_string()))?;
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = uri;
    request.headers_mut().insert(USER_AGENT, HeaderValue::from_static(AGENT));
    for (name, value) in headers {
        request.headers_mut().insert(name, value.clone());
    }
    Ok(request)
}
