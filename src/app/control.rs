//! The control plane, as its serving thread has it.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::{Request, Response};
use tokio::runtime::Handle;
use tokio::time::timeout;
use tracing::Instrument;

use super::Parts;
use crate::api::Api;
use crate::api::operations::{Check, Operations, Readiness, ReadinessStatus};
use crate::console::Console;
use crate::http::checks;
use crate::http::problem::{Kind, Problem};
use crate::http::server::Service;
use crate::metrics::Metrics;

/// Reads requests on its own thread and has them answered on the main runtime, in tasks that a
/// client cannot cancel by going away.
pub(super) struct Control {
    pub(super) api: Arc<Api>,
    pub(super) console: Arc<Console>,
    pub(super) main: Handle,
    pub(super) metrics: Arc<Metrics>,
    pub(super) most_headers: usize,
    /// How long an answer may take. Shorter than what the listener waits: then it cuts the
    /// connection, and the client hears nothing.
    pub(super) patience: Duration,
}

impl Service for Control {
    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Full<Bytes>> {
        let route = route_of(request.uri().path());
        let id = format!("{:016x}", rand::random::<u64>());
        // Not an `info_span`: with the level `warn`, warnings would lack the id.
        let span = tracing::error_span!("request", id);
        let mut response = match checks::head(&request, self.most_headers) {
            Err(refusal) => Problem::new(Kind::InvalidHeader, refusal.explain()).into_response(),
            Ok(_host) => {
                let (api, console) = (Arc::clone(&self.api), Arc::clone(&self.console));
                let handle = async move {
                    if Console::has(request.uri().path()) {
                        console.handle(request, peer).await
                    } else {
                        api.handle(request).await
                    }
                };
                // The task goes on when nobody waits for it any more: dropping it in the middle of a
                // query would leave the connection to the database in disorder.
                let answer = self.main.spawn(handle.instrument(span.clone()));
                match timeout(self.patience, answer).await {
                    Ok(Ok(response)) => response,
                    Ok(Err(panic)) => Problem::internal(&panic).into_response(),
                    Err(late) => {
                        let problem = span.in_scope(|| Problem::unavailable(&late));
                        let mut response = problem.into_response();
                        // The rest of a body that came too slowly is not waited for.
                        response
                            .headers_mut()
                            .insert(CONNECTION, HeaderValue::from_static("close"));
                        response
                    }
                }
            }
        };
        if let Ok(id) = HeaderValue::from_str(&id) {
            // The same as in the log: who reports a failure can name it.
            response.headers_mut().insert("x-request-id", id);
        }
        self.metrics.request("control", route, response.status().as_u16());
        response
    }
}

/// A label with few values for a path with many.
fn route_of(path: &str) -> &'static str {
    match path {
        "/metrics" => "metrics",
        "/healthz" | "/readyz" => "health",
        _ if Console::has(path) => "console",
        _ if path.starts_with("/v1/links") => "links",
        _ if path.starts_with("/v1/domains") => "domains",
        "/v1/claims" => "claims",
        "/v1/reconciliation" => "reconciliation",
        _ if path.starts_with("/v1/rewards") => "rewards",
        _ if path.starts_with("/v1/compensations") => "compensations",
        _ if path.starts_with("/v1/campaigns/") && path.ends_with("/bindings") => "bindings",
        _ if path.starts_with("/v1/campaigns/") && path.ends_with("/triggers") => "triggers",
        _ if path.starts_with("/v1/campaigns") => "campaigns",
        _ => "other",
    }
}

impl Operations for Parts {
    fn metrics_text(&self) -> String {
        self.metrics.text()
    }

    fn readiness(&self) -> Readiness {
        let mut checks = BTreeMap::new();
        let postgres = self.postgres_up.load(Ordering::Acquire);
        let postgres = if postgres {
            Check::up()
        } else {
            Check::down("links in the caches are served; others, and the API, are not")
        };
        checks.insert("postgres", postgres);
        if let Some(shared) = &self.shared {
            let redis = if shared.breaker().is_open() {
                Check::down("links are read from PostgreSQL; edits may take seconds to be seen")
            } else {
                Check::up()
            };
            checks.insert("redis", redis);
        }
        let status = if self.draining.load(Ordering::Acquire) {
            ReadinessStatus::Draining
        } else if checks.values().all(|check| *check == Check::up()) {
            ReadinessStatus::Ready
        } else {
            ReadinessStatus::Degraded
        };
        Readiness { status, checks }
    }
}
