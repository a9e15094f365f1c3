//! What Prometheus and balancers ask: figures, and whether the process is ready.

use std::collections::BTreeMap;

use hyper::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::Reply;

/// What the assembled process knows of itself.
pub trait Operations: Send + Sync + 'static {
    /// All metrics, in the text format of Prometheus.
    fn metrics_text(&self) -> String;
    /// Whether requests should come here, and what is degraded.
    fn readiness(&self) -> Readiness;
}

/// Whether requests should come here, and what is degraded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Readiness {
    /// The answer in one word.
    pub status: ReadinessStatus,
    /// What the process needs, by name, and whether it is there.
    pub checks: BTreeMap<&'static str, Check>,
}

/// Readiness in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum ReadinessStatus {
    /// All is there.
    Ready,
    /// Something is away, but requests are answered as well as can be.
    Degraded,
    /// The process is stopping: send requests elsewhere.
    Draining,
}

/// One thing that the process needs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub struct Check {
    /// Whether it is there.
    pub status: CheckStatus,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

/// Whether something is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum CheckStatus {
    /// It answers.
    Up,
    /// It does not.
    Down,
}

impl Check {
    /// It answers.
    pub fn up() -> Self {
        Self { status: CheckStatus::Up, detail: None }
    }

    /// It does not answer, and this is why.
    pub fn down(detail: impl Into<String>) -> Self {
        Self { status: CheckStatus::Down, detail: Some(detail.into()) }
    }
}

pub(super) fn metrics(operations: &dyn Operations) -> Reply {
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    Reply::new(StatusCode::OK, content_type, operations.metrics_text())
}

pub(super) fn ready(operations: &dyn Operations) -> Reply {
    let readiness = operations.readiness();
    let status = match readiness.status {
        ReadinessStatus::Ready | ReadinessStatus::Degraded => StatusCode::OK,
        ReadinessStatus::Draining => StatusCode::SERVICE_UNAVAILABLE,
    };
    Reply::json(status, &readiness)
}
