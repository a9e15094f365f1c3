//! The yardstick: a hyper server on one thread that answers every request with the same redirect.
//!
//! It does the least that a hyper server can do and still be one, so what Waypost spends above it is
//! Waypost's own work.

use std::convert::Infallible;
use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::Empty;
use hyper::header::{HeaderValue, LOCATION};
use hyper::service::service_fn;
use hyper::{Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

use crate::Error;

/// Serves on `listen` until the process is told to end.
pub(crate) fn serve(listen: SocketAddr) -> Result<(), Error> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .map_err(Error::io("start the runtime of the bare server"))?;
    runtime.block_on(accept(listen)).map_err(Error::io("serve on the bare server's address"))
}

async fn accept(listen: SocketAddr) -> std::io::Result<()> {
    let listener = TcpListener::bind(listen).await?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        tokio::spawn(async move {
            let answer = service_fn(|_request| async {
                let mut response = Response::new(Empty::<Bytes>::new());
                *response.status_mut() = StatusCode::FOUND;
                response.headers_mut().insert(LOCATION, HeaderValue::from_static(TARGET));
                Ok::<_, Infallible>(response)
            });
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
