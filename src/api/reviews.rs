//! Flows and roles: `/v1/review`.

use hyper::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::query::Query;
use super::{Api, Call, Reply, body};
use crate::http::problem::{Kind, Problem};
use crate::review::flow::Subject;
use crate::store::review::StoredRole;
use crate::store::review::flows::StoredFlow;

/// A version of a flow.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ReviewFlow)]
pub struct FlowView {
    /// What it decides on.
    #[schema(example = "reward")]
    pub subject: &'static str,
    /// Its number, from 1.
    pub version: i32,
    /// Whether new cases follow it because somebody activated it.
    pub active: bool,
    /// How the document is written: `toml` or `json`.
    #[schema(example = "toml")]
    pub format: &'static str,
    /// Who put it there.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// The document, as it came.
    pub document: String,
}

impl FlowView {
    /// A flow as it is shown.
    pub fn new(stored: StoredFlow) -> Self {
        Self {
            subject: stored.subject.name(),
            version: stored.version,
            active: stored.active,
            format: stored.format.name(),
            created_by: stored.created_by,
            created_at: stored.created_at,
            document: stored.document,
        }
    }
}

/// All versions of all flows.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReviewFlowList)]
pub struct FlowList {
    /// By subject, the latest first.
    pub flows: Vec<FlowView>,
}

/// Somebody's role.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ReviewRole)]
pub struct RoleView {
    /// Who has it: the actor of their API key.
    pub actor: String,
    /// Which.
    #[schema(example = "risk")]
    pub role: String,
    /// Who gave it.
    pub granted_by: String,
    /// When.
    pub granted_at: Timestamp,
}

impl RoleView {
    /// A role as it is shown.
    pub fn new(stored: StoredRole) -> Self {
        let StoredRole { actor, role, granted_by, granted_at } = stored;
        Self { actor, role, granted_by, granted_at }
    }
}

/// All roles that people have.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = ReviewRoleList)]
pub struct RoleList {
    /// By person.
    pub roles: Vec<RoleView>,
}

impl Api {
    pub(super) async fn put_flow(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let format = body::document_format(&call.parts.headers)?;
        let document = (body::text(&call.body)?, format);
        let (stored, is_new) = self.reviews.put_flow(&call.caller()?.actor, document).await?;
        let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
        Ok(Reply::json(status, &FlowView::new(stored)))
    }

    pub(super) async fn list_flows(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let flows = self.reviews.flows().await?.into_iter().map(FlowView::new).collect();
        Ok(Reply::json(StatusCode::OK, &FlowList { flows }))
    }

    pub(super) async fn activate_flow(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let subject = Subject::named(call.path.get("subject")).ok_or_else(|| {
            let names = Subject::ALL.map(Subject::name).join(", ");
            Problem::new(Kind::NotFound, format!("flows are for: {names}"))
        })?;
        let version = call.path.get("version").parse().map_err(|_not_a_number| {
            Problem::new(Kind::NotFound, "a version is a whole number from 1 on")
        })?;
        let actor = &call.caller()?.actor;
        let stored = self.reviews.activate_flow(actor, subject, version).await?;
        Ok(Reply::json(StatusCode::OK, &FlowView::new(stored)))
    }

    pub(super) async fn list_roles(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let roles = self.reviews.roles().await?.into_iter().map(RoleView::new).collect();
        Ok(Reply::json(StatusCode::OK, &RoleList { roles }))
    }

    /// Gives somebody a role, or takes it away.
    pub(super) async fn set_role(&self, call: &Call, has: bool) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let role = (call.path.get("user"), call.path.get("role"));
        self.reviews.set_role(&call.caller()?.actor, role, has).await?;
        Ok(Reply::new(StatusCode::NO_CONTENT, "text/plain", ""))
    }
}
