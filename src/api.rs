//! What operators and backends see: the REST API, its description, and the figures of the process.
//!
//! [`routes`] is the one table of what there is: routing, refusals, authorisation and the OpenAPI
//! document come out of it. A request is routed, its caller known, its body read, and then its
//! handler runs in a task of its own, so that a client who hangs up stops nothing half-way.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Body;
use hyper::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, HeaderName, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::watch;
use tracing::Instrument;

use crate::campaign::document;
use crate::campaign::live::Campaigns;
use crate::campaign::service::CampaignService;
use crate::clicks::report::Reports;
use crate::config::Config;
use crate::http::auth::{ApiKey, Caller, Scope};
use crate::http::problem::{Kind, Problem};
use crate::link::domains::service::DomainService;
use crate::link::service::LinkService;
use crate::referral;
use crate::referral::codes::CodeService;
use crate::review;
use crate::review::service::Reviews;
use crate::reward;
use crate::reward::cards::service::CardService;
use crate::reward::desk::Act;
use crate::reward::simulate::service::Simulator;
use crate::store::{self, Store};

pub mod bindings;
pub mod body;
pub mod callers;
pub mod campaigns;
pub mod cards;
pub mod cases;
pub mod claims;
pub mod clicks;
pub mod codes;
pub mod compensations;
pub mod domains;
pub mod links;
pub mod once;
pub mod openapi;
pub mod operations;
pub mod qr;
pub mod query;
pub mod reconciliation;
pub mod reviews;
pub mod rewards;
pub mod routes;
pub mod simulation;
pub mod triggers;
pub mod users;

use operations::Operations;
use routes::{Found, Handler, PathParts, Routes};

/// What the API works with.
pub struct Services {
    /// The database.
    pub store: Store,
    /// Links.
    pub links: Arc<LinkService>,
    /// The campaigns as they are now.
    pub live_campaigns: watch::Receiver<Arc<Campaigns>>,
    /// Referral codes.
    pub codes: Arc<CodeService>,
    /// Claims, bindings, triggers and users.
    pub referrals: Arc<referral::services::Services>,
    /// Scratching cards.
    pub cards: CardService,
    /// Rewards.
    pub rewards: Arc<reward::services::Services>,
    /// What people have to approve.
    pub reviews: Arc<Reviews>,
    /// What the process knows of itself.
    pub operations: Arc<dyn Operations>,
}

impl std::fmt::Debug for Services {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Services").finish_non_exhaustive()
    }
}

/// The control plane's API.
pub struct Api {
    store: Store,
    links: Arc<LinkService>,
    reports: Reports,
    domains: DomainService,
    campaigns: CampaignService,
    simulator: Simulator,
    /// The campaigns as this process knows them.
    live_campaigns: watch::Receiver<Arc<Campaigns>>,
    codes: Arc<CodeService>,
    referrals: Arc<referral::services::Services>,
    cards: CardService,
    rewards: Arc<reward::services::Services>,
    reviews: Arc<Reviews>,
    operations: Arc<dyn Operations>,
    routes: Routes,
    limits: BodyLimits,
    /// `edge.public_url`, with which short URLs of the default domain begin.
    public_url: url::Url,
    openapi: Bytes,
}

/// What body a handler takes.
enum Takes {
    /// None.
    Nothing,
    /// JSON of at most so many bytes.
    Json(usize),
    /// The document of a campaign.
    Document,
    /// A line of JSON for each of many.
    Lines,
}

/// How large bodies may be, in bytes, and how long they may take.
#[derive(Clone, Copy, Debug)]
struct BodyLimits {
    one: usize,
    batch: usize,
    patience: Duration,
}

/// An answer on its way out.
#[derive(Debug)]
pub struct Reply {
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// A request that was routed, and whose caller is known.
pub(crate) struct Call {
    handler: Handler,
    parts: Parts,
    /// What stands for the parts of the path.
    path: PathParts,
    caller: Option<Caller>,
    body: Bytes,
}

impl Api {
    /// Puts the API together.
    pub fn new(services: Services, config: &Config) -> Self {
        let Services {
            store,
            links,
            live_campaigns,
            codes,
            referrals,
            cards,
            rewards,
            reviews,
            operations,
        } = services;
        let retention = config.clicks.retention;
        Self {
            reports: Reports::new(store.clone(), links.clock().clone(), retention),
            domains: DomainService::new(store.clone(), config),
            campaigns: CampaignService::new(store.clone(), config),
            simulator: Simulator::new(store.clone()),
            live_campaigns,
            codes,
            referrals,
            cards,
            rewards,
            reviews,
            store,
            links,
            operations,
            routes: Routes::new(),
            limits: BodyLimits {
                one: config.limits.control_body_bytes,
                batch: config.limits.batch_body_bytes,
                patience: config.limits.request * 8 / 10,
            },
            public_url: config.edge.public_url.clone(),
            openapi: Bytes::from(openapi::document().to_string()),
        }
    }

    /// Answers one request. Never fails: what goes wrong is a problem document.
    pub async fn handle<B>(self: &Arc<Self>, request: Request<B>) -> Response<Full<Bytes>>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match self.answer(request).await {
            Ok(reply) => reply.into_response(),
            Err(problem) => problem.into_response(),
        }
    }

    async fn answer<B>(self: &Arc<Self>, request: Request<B>) -> Result<Reply, Problem>
    where
        B: Body<Data = Bytes> + Send,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let (parts, body) = request.into_parts();
        let Found { route, path } = self.routes.find(&parts.method, parts.uri.path())?;
        let caller = match route.scope {
            None => None,
            Some(scope) => Some(self.authorise(&parts, scope, route.or_scope).await?),
        };
        let body = match self.takes(route.handler) {
            Takes::Nothing => Bytes::new(),
            Takes::Json(limit) => {
                body::check_type(&parts.headers)?;
                body::read(body, limit, self.limits.patience).await?
            }
            Takes::Lines => {
                body::check_lines(&parts.headers)?;
                body::read(body, self.limits.batch, self.limits.patience).await?
            }
            Takes::Document => {
                body::document_format(&parts.headers)?;
                body::read(body, document::LARGEST, self.limits.patience).await?
            }
        };
        let call = Call { handler: route.handler, parts, path, caller, body };
        let api = Arc::clone(self);
        // In the request's span, so that what it logs has the request's id.
        match tokio::spawn(async move { api.dispatch(call).await }.in_current_span()).await {
            Ok(answer) => answer,
            Err(panicked) => Err(Problem::internal(&panicked)),
        }
    }

    /// The caller, if the key holds and is good for `scope`, or for the other one if there is one.
    async fn authorise(
        &self,
        parts: &Parts,
        scope: Scope,
        or: Option<Scope>,
    ) -> Result<Caller, Problem> {
        let refused = |detail: &str| Problem::new(Kind::Unauthorized, detail);
        let key = ApiKey::from_headers(&parts.headers).ok_or_else(|| {
            // What was sent is not repeated: it may be most of a key.
            refused(if parts.headers.contains_key(AUTHORIZATION) {
                "the header Authorization has no API key that could be one of ours: send it once, as \
                 'Bearer wp_…', with the whole key"
            } else {
                "send one header 'Authorization: Bearer wp_…'"
            })
        })?;
        let caller = callers::holder(&self.store, &key).await?;
        let caller = caller.ok_or_else(|| refused("the API key is unknown, wrong or revoked"))?;
        if caller.may(scope) || or.is_some_and(|other| caller.may(other)) {
            Ok(caller)
        } else {
            let or = or.map(|other| format!(" or '{}'", other.name())).unwrap_or_default();
            let detail = format!("the API key lacks the scope '{}'{or}", scope.name());
            Err(Problem::new(Kind::Forbidden, detail))
        }
    }

    /// What body the handler takes.
    #[expect(clippy::too_many_lines, reason = "a line for each handler, and nothing else")]
    fn takes(&self, handler: Handler) -> Takes {
        match handler {
            Handler::CreateLink
            | Handler::EditLink
            | Handler::CreateDomain
            | Handler::EditDomain
            | Handler::Claim
            | Handler::Bind
            | Handler::TakeTrigger
            | Handler::IssueCode
            | Handler::ChooseCode
            | Handler::AllowMessages
            | Handler::RevealCard
            | Handler::ApproveReward
            | Handler::DenyReward
            | Handler::ReplayReward
            | Handler::ReverseReward
            | Handler::ApproveCompensation
            | Handler::RejectCompensation
            | Handler::ClaimTask
            | Handler::ReleaseTask
            | Handler::DelegateTask
            | Handler::ApproveCase
            | Handler::RejectCase
            | Handler::AskEvidence
            | Handler::AddEvidence
            | Handler::Jump => Takes::Json(self.limits.one),
            Handler::CreateLinks | Handler::IssueCodes | Handler::RequestCompensation => {
                Takes::Json(self.limits.batch)
            }
            Handler::PutCampaignVersion | Handler::SimulateDocument | Handler::PutFlow => {
                Takes::Document
            }
            Handler::TakeTriggers => Takes::Lines,
            Handler::ListLinks
            | Handler::GetLink
            | Handler::DeleteLink
            | Handler::GetClicks
            | Handler::ListVisits
            | Handler::GetQrSvg
            | Handler::GetQrPng
            | Handler::ListDomains
            | Handler::GetDomain
            | Handler::DeleteDomain
            | Handler::ListCampaigns
            | Handler::GetCampaign
            | Handler::ListCampaignVersions
            | Handler::GetCampaignVersion
            | Handler::ActivateCampaign
            | Handler::RetireCampaign
            | Handler::CompareCampaignVersions
            | Handler::SimulateVersion
            | Handler::GetCode
            | Handler::DisableCode
            | Handler::EnableCode
            | Handler::GetUser
            | Handler::GetReconciliation
            | Handler::ListRewards
            | Handler::GetReward
            | Handler::ExplainReward
            | Handler::ExplainUser
            | Handler::ListCompensations
            | Handler::GetCompensation
            | Handler::ListFlows
            | Handler::ActivateFlow
            | Handler::ListRoles
            | Handler::GrantRole
            | Handler::RevokeRole
            | Handler::ListCases
            | Handler::GetCase
            | Handler::ListJumps
            | Handler::OpenApi
            | Handler::Metrics
            | Handler::Health
            | Handler::Ready => Takes::Nothing,
        }
    }

    #[expect(clippy::too_many_lines, reason = "a line for each handler, and nothing else")]
    async fn dispatch(&self, call: Call) -> Result<Reply, Problem> {
        match call.handler {
            Handler::CreateLink => self.create_link(&call).await,
            Handler::CreateLinks => self.create_links(&call).await,
            Handler::ListLinks => self.list_links(&call).await,
            Handler::GetLink => self.get_link(&call).await,
            Handler::EditLink => self.edit_link(&call).await,
            Handler::DeleteLink => self.delete_link(&call).await,
            Handler::GetClicks => self.get_clicks(&call).await,
            Handler::ListVisits => self.list_visits(&call).await,
            Handler::GetQrSvg => self.get_qr_svg(&call).await,
            Handler::GetQrPng => self.get_qr_png(&call).await,
            Handler::CreateDomain => self.create_domain(&call).await,
            Handler::ListDomains => self.list_domains(&call).await,
            Handler::GetDomain => self.get_domain(&call).await,
            Handler::EditDomain => self.edit_domain(&call).await,
            Handler::DeleteDomain => self.delete_domain(&call).await,
            Handler::PutCampaignVersion => self.put_campaign_version(&call).await,
            Handler::ListCampaigns => self.list_campaigns(&call).await,
            Handler::GetCampaign => self.get_campaign(&call).await,
            Handler::ListCampaignVersions => self.list_campaign_versions(&call).await,
            Handler::GetCampaignVersion => self.get_campaign_version(&call).await,
            Handler::ActivateCampaign => self.activate_campaign(&call).await,
            Handler::RetireCampaign => self.retire_campaign(&call).await,
            Handler::CompareCampaignVersions => self.compare_campaign_versions(&call).await,
            Handler::SimulateDocument => self.simulate_document(&call).await,
            Handler::SimulateVersion => self.simulate_version(&call).await,
            Handler::IssueCode => self.issue_code(&call).await,
            Handler::IssueCodes => self.issue_codes(&call).await,
            Handler::GetCode => self.get_code(&call).await,
            Handler::ChooseCode => self.choose_code(&call).await,
            Handler::DisableCode => self.switch_code(&call, true).await,
            Handler::EnableCode => self.switch_code(&call, false).await,
            Handler::Claim => self.claim(&call).await,
            Handler::Bind => self.bind(&call).await,
            Handler::TakeTrigger => self.take_trigger(&call).await,
            Handler::TakeTriggers => self.take_triggers(&call).await,
            Handler::GetUser => self.get_user(&call).await,
            Handler::AllowMessages => self.allow_messages(&call).await,
            Handler::RevealCard => self.reveal_card(&call).await,
            Handler::GetReconciliation => self.get_reconciliation(&call).await,
            Handler::ListRewards => self.list_rewards(&call).await,
            Handler::GetReward => self.get_reward(&call).await,
            Handler::ExplainReward => self.explain_reward(&call).await,
            Handler::ExplainUser => self.explain_user(&call).await,
            Handler::ApproveReward => self.decide_on_reward(&call, Act::Approve).await,
            Handler::DenyReward => self.decide_on_reward(&call, Act::Deny).await,
            Handler::ReplayReward => self.replay_reward(&call).await,
            Handler::ReverseReward => self.decide_on_reward(&call, Act::Reverse).await,
            Handler::RequestCompensation => self.request_compensation(&call).await,
            Handler::ListCompensations => self.list_compensations(&call).await,
            Handler::GetCompensation => self.get_compensation(&call).await,
            Handler::ApproveCompensation => self.approve_compensation(&call).await,
            Handler::RejectCompensation => self.reject_compensation(&call).await,
            Handler::PutFlow => self.put_flow(&call).await,
            Handler::ListFlows => self.list_flows(&call).await,
            Handler::ActivateFlow => self.activate_flow(&call).await,
            Handler::ListRoles => self.list_roles(&call).await,
            Handler::GrantRole => self.set_role(&call, true).await,
            Handler::RevokeRole => self.set_role(&call, false).await,
            Handler::ListCases => self.list_cases(&call).await,
            Handler::GetCase => self.get_case(&call).await,
            Handler::ClaimTask => self.act_on_task(&call, review::command::Act::Claim).await,
            Handler::ReleaseTask => self.act_on_task(&call, review::command::Act::Release).await,
            Handler::DelegateTask => self.delegate_task(&call).await,
            Handler::ApproveCase => self.approve_case(&call).await,
            Handler::RejectCase => self.reject_case(&call).await,
            Handler::AskEvidence => self.ask_evidence(&call).await,
            Handler::AddEvidence => self.add_evidence(&call).await,
            Handler::Jump => self.jump(&call).await,
            Handler::ListJumps => self.list_jumps(&call).await,
            Handler::OpenApi => {
                Ok(Reply::new(StatusCode::OK, "application/json", self.openapi.clone()))
            }
            Handler::Metrics => Ok(operations::metrics(&*self.operations)),
            Handler::Health => Ok(Reply::new(StatusCode::OK, "text/plain", "ok\n")),
            Handler::Ready => Ok(operations::ready(&*self.operations)),
        }
    }
}

impl std::fmt::Debug for Api {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Api").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Call {
    /// Who calls. Routes that need a scope have one.
    fn caller(&self) -> Result<&Caller, Problem> {
        self.caller.as_ref().ok_or_else(|| Problem::new(Kind::Unauthorized, "send an API key"))
    }

    fn slug(&self) -> &str {
        self.path.get("slug")
    }

    fn host(&self) -> &str {
        self.path.get("host")
    }

    fn raw_query(&self) -> &str {
        self.parts.uri.query().unwrap_or_default()
    }

    fn method(&self) -> &Method {
        &self.parts.method
    }
}

impl Reply {
    /// An answer with a body.
    pub(crate) fn new(
        status: StatusCode,
        content_type: &'static str,
        body: impl Into<Bytes>,
    ) -> Self {
        Self { status, content_type, body: body.into(), headers: Vec::new() }
    }

    /// An answer in JSON.
    pub(crate) fn json(status: StatusCode, value: &impl serde::Serialize) -> Self {
        let body = serde_json::to_vec(value).expect("our own types have JSON forms");
        Self::new(status, "application/json", body)
    }

    /// The same with one header more.
    #[must_use]
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    fn into_response(self) -> Response<Full<Bytes>> {
        let has_body = !self.body.is_empty();
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        if has_body {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        }
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.extend(self.headers);
        response
    }
}

impl From<store::Error> for Problem {
    fn from(error: store::Error) -> Self {
        Self::from(&error)
    }
}

impl From<&store::Error> for Problem {
    fn from(error: &store::Error) -> Self {
        if error.is_outage() { Self::unavailable(error) } else { Self::internal(error) }
    }
}
