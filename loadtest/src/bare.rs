//! The yardstick: a hyper server on one thread that answers every request with the same redirect, or the
//! same page.
//!
//! It does the least that a hyper server can do and still be one, so what Waypost spends above it is
//! Waypost's own work.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{HeaderMap, HeaderName, HeaderValue, LOCATION};
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::Error;

/// What every request is answered with.
struct Constant {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Constant {
    /// A redirect to [`TARGET`].
    fn redirect() -> Self {
        let headers = HeaderMap::from_iter([(LOCATION, HeaderValue::from_static(TARGET))]);
        Self { status: StatusCode::FOUND, headers, body: Bytes::new() }
    }

    /// The page in a text that has headers, one a line, then an empty line and the body; `None` if it has
    /// not.
    fn page(text: &str) -> Option<Self> {
        let (head, body) = text.split_once("\n\n")?;
        let header = |line: &str| {
            let (name, value) = line.split_once(": ")?;
            Some((name.parse::<HeaderName>().ok()?, value.parse::<HeaderValue>().ok()?))
        };
        let headers = head.lines().map(header).collect::<Option<HeaderMap>>()?;
        Some(Self { status: StatusCode::OK, headers, body: Bytes::from(body.to_owned()) })
    }

    fn answer(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body.clone()));
        *response.status_mut() = self.status;
        response.headers_mut().clone_from(&self.headers);
        response
    }
}

/// Serves on `listen` until the process is told to end: the page in a file, or redirects.
pub(crate) fn serve(listen: SocketAddr, page: Option<&Path>) -> Result<(), Error> {
    let constant = match page {
        None => Constant::redirect(),
        Some(file) => {
            let text = std::fs::read_to_string(file).map_err(Error::io("read the page"))?;
            Constant::page(&text).ok_or_else(|| {
                Error::broken("the page", "it needs headers, one a line, then an empty line")
            })?
        }
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(Error::io("start the runtime of the bare server"))?;
    runtime
        .block_on(accept(listen, Arc::new(constant)))
        .map_err(Error::io("serve on the bare server's address"))
}

async fn accept(listen: SocketAddr, constant: Arc<Constant>) -> std::io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let constant = Arc::clone(&constant);
        tokio::spawn(async move {
            let answer = service_fn(|_request| async { Ok::<_, Infallible>(constant.answer()) });
            let connection = hyper::server::conn::http1::Builder::new()
                .pipeline_flush(true)
                .serve_connection(TokioIo::new(stream), answer);
            // A connection that breaks is the generator's business: it counts its errors itself.
            drop(connection.await);
        });
    }
}

/// As long as the median target of the links.
const TARGET: &str =
    "https://www.example.com/products/garden/folding-chair-20418?utm_source=newsletter";
