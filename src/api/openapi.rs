//! The description of the API, as OpenAPI 3.1: paths from the table of routes, schemas from the types.

use hyper::Method;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use self::campaigns::{
    ACTIVATE_CAMPAIGN, COMPARE_CAMPAIGN_VERSIONS, GET_CAMPAIGN, GET_CAMPAIGN_VERSION,
    LIST_CAMPAIGN_VERSIONS, LIST_CAMPAIGNS, PUT_CAMPAIGN_VERSION, RETIRE_CAMPAIGN,
    SIMULATE_DOCUMENT, SIMULATE_VERSION,
};
use self::cards::{ALLOW_MESSAGES, GET_RECONCILIATION, REVEAL_CARD};
use self::cases::{
    ACTIVATE_FLOW, ADD_EVIDENCE, APPROVE_CASE, ASK_EVIDENCE, CLAIM_TASK, DELEGATE_TASK, GET_CASE,
    GRANT_ROLE, JUMP, LIST_CASES, LIST_FLOWS, LIST_JUMPS, LIST_ROLES, PUT_FLOW, REJECT_CASE,
    RELEASE_TASK, REVOKE_ROLE,
};
use self::codes::{CHOOSE_CODE, DISABLE_CODE, ENABLE_CODE, GET_CODE, ISSUE_CODE, ISSUE_CODES};
use self::compensations::{
    APPROVE_COMPENSATION, GET_COMPENSATION, LIST_COMPENSATIONS, REJECT_COMPENSATION,
    REQUEST_COMPENSATION,
};
use self::domains::{CREATE_DOMAIN, DELETE_DOMAIN, EDIT_DOMAIN, LIST_DOMAINS, one_domain};
use self::links::{
    CREATE_LINK, CREATE_LINKS, EDIT_LINK, GET_CLICKS, LIST_LINKS, LIST_VISITS, drawing,
};
use self::parameters::parameter;
use self::referrals::{BIND, CLAIM, GET_USER, TAKE_TRIGGER, TAKE_TRIGGERS};
use self::rewards::{
    APPROVE_REWARD, DENY_REWARD, EXPLAIN_REWARD, EXPLAIN_USER, GET_REWARD, LIST_REWARDS,
    REPLAY_REWARD, REVERSE_REWARD,
};
use super::bindings::BindingView;
use super::campaigns::{CampaignList, CheckedView, DiffView, VersionPage, VersionView};
use super::cards::{RevealRequest, RevealedView};
use super::cases::{CasePage, FullCaseView, JumpTargets, OutcomeView};
use super::claims::ClaimView;
use super::clicks::{ClickReport, VisitPageView};
use super::codes::{CodeBatch, CodeBatchResults, CodeView};
use super::compensations::{CompensationPage, CompensationView, FullCompensationView};
use super::domains::{DomainList, DomainView};
use super::links::{BatchResults, LinkBatch, LinkPage, LinkView};
use super::operations::Readiness;
use super::reconciliation::ReconciliationView;
use super::reviews::{FlowList, FlowView, RoleList};
use super::rewards::{RewardChainView, RewardPage, RewardView, UserChainView};
use super::routes::{Handler, ROUTES, Route};
use super::simulation::SimulationView;
use super::triggers::{TriggerLine, TriggerView};
use super::users::{MessagesView, UserView};
use crate::http::problem::{Kind, ProblemBody};
use crate::link::domains::{DomainEdit, NewDomain};
use crate::link::request::{LinkEdit, NewLink};
use crate::referral::codes::request::{ChosenCode, NewCode};
use crate::referral::requests::{BindingRequest, ClaimRequest, TriggerRequest};
use crate::review::request::{
    CaseDecision, DelegateRequest, EvidenceRequest, JumpRequest, QuestionRequest, TaskRequest,
};
use crate::reward::compensations::NewCompensation;
use crate::reward::desk::{Decision, ReplayRequest};

mod campaigns;
mod cards;
mod cases;
mod codes;
mod compensations;
mod domains;
mod links;
mod parameters;
mod referrals;
mod rewards;

/// What a route takes and gives.
struct Description {
    summary: &'static str,
    parameters: &'static [&'static str],
    body: Option<&'static str>,
    /// The types of the document that is the body, if the body is one.
    documents: &'static [&'static str],
    answers: Answers,
    problems: &'static [Kind],
}

/// What an answer consists of.
#[derive(Clone, Copy)]
enum Content {
    /// Nothing.
    Nothing,
    /// Text of this type.
    Text(&'static str),
    /// Bytes of this type.
    Bytes(&'static str),
    /// Any JSON.
    Json,
    /// JSON of this schema.
    Schema(&'static str),
    /// A line of JSON of this schema for each of many.
    Lines(&'static str),
    /// JSON of one of these schemas.
    Either(&'static str, &'static str),
}

/// The whole document.
pub fn document() -> Value {
    let mut paths = Map::new();
    for route in &ROUTES {
        let item = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Value::Object(item) = item {
            item.insert(route.method.as_str().to_ascii_lowercase(), operation(route));
        }
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Waypost",
            "version": env!("CARGO_PKG_VERSION"),
            "description": "Short links. Refusals are problem details (RFC 9457) with a stable \
                'type', and times are those of RFC 3339.",
        },
        "paths": paths,
        "components": {
            "schemas": schemas(),
            "securitySchemes": {
                "api_key": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "wp_<id>_<secret>, as 'waypost key create' prints it",
                },
            },
        },
    })
}

fn operation(route: &Route) -> Value {
    let it = describe(route.handler);
    let mut responses = Map::new();
    for (status, description, content) in it.answers {
        responses.insert(status.to_string(), answer(description, *content));
    }
    let mut problems = it.problems.to_vec();
    if route.scope.is_some() {
        problems.extend([Kind::Unauthorized, Kind::Forbidden, Kind::Unavailable, Kind::Internal]);
    }
    for kind in problems {
        let status = kind.status();
        let types = format!("`{}`", kind.type_uri());
        let known = responses.get_mut(status.as_str());
        if let Some(Value::String(text)) = known.and_then(|it| it.get_mut("description")) {
            *text = format!("{text}, {types}");
        } else {
            let refusal = json!({
                "description": types,
                "content": { "application/problem+json": { "schema": reference("Problem") } },
            });
            responses.insert(status.as_str().to_owned(), refusal);
        }
    }
    let parameters: Vec<Value> = it.parameters.iter().map(|name| parameter(name)).collect();
    let mut operation = json!({
        "operationId": format!("{:?}", route.handler),
        "summary": it.summary,
        "parameters": parameters,
        "responses": responses,
    });
    if let Value::Object(operation) = &mut operation {
        if let Some(schema) = it.body {
            let content_type = if route.method == Method::PATCH {
                "application/merge-patch+json"
            } else {
                "application/json"
            };
            let content = json!({ content_type: { "schema": reference(schema) } });
            operation
                .insert("requestBody".to_owned(), json!({ "required": true, "content": content }));
        }
        if !it.documents.is_empty() {
            let text = json!({ "schema": { "type": "string" } });
            let content: Map<String, Value> =
                it.documents.iter().map(|name| ((*name).to_owned(), text.clone())).collect();
            operation
                .insert("requestBody".to_owned(), json!({ "required": true, "content": content }));
        }
        let scopes: Vec<Value> = [route.scope, route.or_scope]
            .into_iter()
            .flatten()
            .map(|scope| json!({ "api_key": [scope.name()] }))
            .collect();
        if !scopes.is_empty() {
            operation.insert("security".to_owned(), json!(scopes));
        }
    }
    operation
}

fn answer(description: &str, content: Content) -> Value {
    let content = match content {
        Content::Nothing => return json!({ "description": description }),
        Content::Text(content_type) => json!({ content_type: { "schema": { "type": "string" } } }),
        Content::Bytes(content_type) => json!({ content_type: {} }),
        Content::Json => json!({ "application/json": { "schema": { "type": "object" } } }),
        Content::Schema(name) => json!({ "application/json": { "schema": reference(name) } }),
        Content::Lines(name) => json!({ "application/x-ndjson": { "schema": reference(name) } }),
        Content::Either(one, other) => {
            let schema = json!({ "oneOf": [reference(one), reference(other)] });
            json!({ "application/json": { "schema": schema } })
        }
    };
    json!({ "description": description, "content": content })
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

const BODY_PROBLEMS: [Kind; 4] =
    [Kind::MalformedBody, Kind::InvalidBody, Kind::BodyTooLarge, Kind::UnsupportedMediaType];
const CREATE_PROBLEMS: [Kind; 9] = creating(Kind::SlugTaken);

/// What can be wrong with a request that creates something, which may be there already.
const fn creating(there: Kind) -> [Kind; 9] {
    let [malformed, invalid, large, media] = BODY_PROBLEMS;
    let (query, header) = (Kind::InvalidQuery, Kind::InvalidHeader);
    let (in_flight, reused) = (Kind::RequestInFlight, Kind::IdempotencyKeyReused);
    [query, malformed, invalid, large, media, header, in_flight, reused, there]
}
const EDIT_PROBLEMS: [Kind; 6] = {
    let [malformed, invalid, large, media] = BODY_PROBLEMS;
    [malformed, invalid, large, media, Kind::NotFound, Kind::InvalidQuery]
};

#[expect(clippy::too_many_lines, reason = "a line or two for each handler, and nothing else")]
fn describe(handler: Handler) -> Description {
    match handler {
        Handler::CreateLink => CREATE_LINK,
        Handler::CreateLinks => CREATE_LINKS,
        Handler::ListLinks => LIST_LINKS,
        Handler::GetLink => one_link("Shows a link", &[(200, "The link", Content::Schema("Link"))]),
        Handler::EditLink => EDIT_LINK,
        Handler::DeleteLink => {
            one_link("Deletes a link", &[(204, "It is deleted", Content::Nothing)])
        }
        Handler::GetClicks => GET_CLICKS,
        Handler::ListVisits => LIST_VISITS,
        Handler::GetQrSvg => drawing(
            "Draws a link's short URL as a QR code, in SVG",
            &[(200, "The code", Content::Text("image/svg+xml"))],
        ),
        Handler::GetQrPng => drawing(
            "Draws a link's short URL as a QR code, in PNG",
            &[(200, "The code", Content::Bytes("image/png"))],
        ),
        Handler::CreateDomain => CREATE_DOMAIN,
        Handler::ListDomains => LIST_DOMAINS,
        Handler::GetDomain => {
            one_domain("Shows a domain", &[(200, "The domain", Content::Schema("Domain"))])
        }
        Handler::EditDomain => EDIT_DOMAIN,
        Handler::DeleteDomain => DELETE_DOMAIN,
        Handler::PutCampaignVersion => PUT_CAMPAIGN_VERSION,
        Handler::ListCampaigns => LIST_CAMPAIGNS,
        Handler::GetCampaign => GET_CAMPAIGN,
        Handler::ListCampaignVersions => LIST_CAMPAIGN_VERSIONS,
        Handler::GetCampaignVersion => GET_CAMPAIGN_VERSION,
        Handler::ActivateCampaign => ACTIVATE_CAMPAIGN,
        Handler::RetireCampaign => RETIRE_CAMPAIGN,
        Handler::CompareCampaignVersions => COMPARE_CAMPAIGN_VERSIONS,
        Handler::SimulateDocument => SIMULATE_DOCUMENT,
        Handler::SimulateVersion => SIMULATE_VERSION,
        Handler::IssueCode => ISSUE_CODE,
        Handler::IssueCodes => ISSUE_CODES,
        Handler::GetCode => GET_CODE,
        Handler::ChooseCode => CHOOSE_CODE,
        Handler::DisableCode => DISABLE_CODE,
        Handler::EnableCode => ENABLE_CODE,
        Handler::Claim => CLAIM,
        Handler::Bind => BIND,
        Handler::TakeTrigger => TAKE_TRIGGER,
        Handler::TakeTriggers => TAKE_TRIGGERS,
        Handler::GetUser => GET_USER,
        Handler::AllowMessages => ALLOW_MESSAGES,
        Handler::RevealCard => REVEAL_CARD,
        Handler::GetReconciliation => GET_RECONCILIATION,
        Handler::ListRewards => LIST_REWARDS,
        Handler::GetReward => GET_REWARD,
        Handler::ExplainReward => EXPLAIN_REWARD,
        Handler::ExplainUser => EXPLAIN_USER,
        Handler::ApproveReward => APPROVE_REWARD,
        Handler::DenyReward => DENY_REWARD,
        Handler::ReplayReward => REPLAY_REWARD,
        Handler::ReverseReward => REVERSE_REWARD,
        Handler::RequestCompensation => REQUEST_COMPENSATION,
        Handler::ListCompensations => LIST_COMPENSATIONS,
        Handler::GetCompensation => GET_COMPENSATION,
        Handler::ApproveCompensation => APPROVE_COMPENSATION,
        Handler::RejectCompensation => REJECT_COMPENSATION,
        Handler::PutFlow => PUT_FLOW,
        Handler::ListFlows => LIST_FLOWS,
        Handler::ActivateFlow => ACTIVATE_FLOW,
        Handler::ListRoles => LIST_ROLES,
        Handler::GrantRole => GRANT_ROLE,
        Handler::RevokeRole => REVOKE_ROLE,
        Handler::ListCases => LIST_CASES,
        Handler::GetCase => GET_CASE,
        Handler::ClaimTask => CLAIM_TASK,
        Handler::ReleaseTask => RELEASE_TASK,
        Handler::DelegateTask => DELEGATE_TASK,
        Handler::ApproveCase => APPROVE_CASE,
        Handler::RejectCase => REJECT_CASE,
        Handler::AskEvidence => ASK_EVIDENCE,
        Handler::AddEvidence => ADD_EVIDENCE,
        Handler::Jump => JUMP,
        Handler::ListJumps => LIST_JUMPS,
        Handler::OpenApi => open("Describes this API", &[(200, "This document", Content::Json)]),
        Handler::Metrics => open(
            "Shows the figures of the process",
            &[(200, "The text format of Prometheus", Content::Text("text/plain"))],
        ),
        Handler::Health => {
            open("Says that the process runs", &[(200, "It does", Content::Text("text/plain"))])
        }
        Handler::Ready => open(
            "Says whether requests should come here, and what is degraded",
            &[
                (200, "They should", Content::Schema("Readiness")),
                (503, "They should not: the process is stopping", Content::Schema("Readiness")),
            ],
        ),
    }
}

type Answers = &'static [(u16, &'static str, Content)];

/// A route that makes something.
const fn making(summary: &'static str, body: &'static str, answers: Answers) -> Description {
    Description {
        summary,
        parameters: &["Idempotency-Key"],
        body: Some(body),
        documents: &[],
        answers,
        problems: &CREATE_PROBLEMS,
    }
}

/// A route that is about links that are there.
const fn one_link(summary: &'static str, answers: Answers) -> Description {
    Description {
        summary,
        parameters: &["slug", "domain"],
        body: None,
        documents: &[],
        answers,
        problems: &[Kind::NotFound, Kind::InvalidQuery],
    }
}

/// A route that anybody may ask, and that takes nothing.
fn open(summary: &'static str, answers: Answers) -> Description {
    Description { parameters: &[], problems: &[], ..one_link(summary, answers) }
}

/// The schemas of all types that bodies have.
fn schemas() -> Map<String, Value> {
    let mut schemas = Vec::new();
    add::<NewLink>(&mut schemas);
    add::<LinkEdit>(&mut schemas);
    add::<LinkView>(&mut schemas);
    add::<LinkBatch>(&mut schemas);
    add::<BatchResults>(&mut schemas);
    add::<LinkPage>(&mut schemas);
    add::<ClickReport>(&mut schemas);
    add::<VisitPageView>(&mut schemas);
    add::<NewDomain>(&mut schemas);
    add::<DomainEdit>(&mut schemas);
    add::<DomainView>(&mut schemas);
    add::<DomainList>(&mut schemas);
    add::<CampaignList>(&mut schemas);
    add::<VersionPage>(&mut schemas);
    add::<VersionView>(&mut schemas);
    add::<CheckedView>(&mut schemas);
    add::<DiffView>(&mut schemas);
    add::<SimulationView>(&mut schemas);
    add::<NewCode>(&mut schemas);
    add::<CodeBatch>(&mut schemas);
    add::<CodeBatchResults>(&mut schemas);
    add::<CodeView>(&mut schemas);
    add::<ChosenCode>(&mut schemas);
    add::<ClaimRequest>(&mut schemas);
    add::<ClaimView>(&mut schemas);
    add::<BindingRequest>(&mut schemas);
    add::<BindingView>(&mut schemas);
    add::<TriggerRequest>(&mut schemas);
    add::<TriggerView>(&mut schemas);
    add::<TriggerLine>(&mut schemas);
    add::<UserView>(&mut schemas);
    add::<MessagesView>(&mut schemas);
    add::<RevealRequest>(&mut schemas);
    add::<RevealedView>(&mut schemas);
    add::<ReconciliationView>(&mut schemas);
    add::<RewardView>(&mut schemas);
    add::<RewardPage>(&mut schemas);
    add::<RewardChainView>(&mut schemas);
    add::<UserChainView>(&mut schemas);
    add::<Decision>(&mut schemas);
    add::<ReplayRequest>(&mut schemas);
    add::<NewCompensation>(&mut schemas);
    add::<CompensationView>(&mut schemas);
    add::<FullCompensationView>(&mut schemas);
    add::<CompensationPage>(&mut schemas);
    add_reviews(&mut schemas);
    add::<ProblemBody>(&mut schemas);
    add::<Readiness>(&mut schemas);
    schemas
        .into_iter()
        .map(|(name, schema)| {
            let mut schema = serde_json::to_value(schema).expect("a schema is JSON");
            remove_null_defaults(&mut schema);
            (name, schema)
        })
        .collect()
}

/// Takes away what `#[serde(default)]` left: that a field may be absent does not mean that it is null
/// then. In an edit null clears a field, and a client that fills in defaults would clear them all.
fn remove_null_defaults(schema: &mut Value) {
    if let Some(Value::Object(properties)) = schema.get_mut("properties") {
        for property in properties.values_mut().filter_map(Value::as_object_mut) {
            if property.get("default") == Some(&Value::Null) {
                property.remove("default");
            }
        }
    }
}

type Schemas = Vec<(String, utoipa::openapi::RefOr<utoipa::openapi::Schema>)>;

/// Those of reviews.
fn add_reviews(schemas: &mut Schemas) {
    add::<TaskRequest>(schemas);
    add::<CaseDecision>(schemas);
    add::<QuestionRequest>(schemas);
    add::<EvidenceRequest>(schemas);
    add::<DelegateRequest>(schemas);
    add::<JumpRequest>(schemas);
    add::<FlowView>(schemas);
    add::<FlowList>(schemas);
    add::<RoleList>(schemas);
    add::<CasePage>(schemas);
    add::<FullCaseView>(schemas);
    add::<OutcomeView>(schemas);
    add::<JumpTargets>(schemas);
}

fn add<T: ToSchema>(schemas: &mut Schemas) {
    schemas.push((T::name().into_owned(), T::schema()));
    T::schemas(schemas);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::super::routes::PATH_PARTS;
    use super::*;

    fn part<'a>(document: &'a Value, pointer: &str) -> &'a Value {
        document.pointer(pointer).unwrap_or(&Value::Null)
    }

    #[test]
    fn every_route_is_in_the_document_and_nothing_else() {
        let document = document();
        let described: BTreeSet<(String, String)> = part(&document, "/paths")
            .as_object()
            .expect("paths")
            .iter()
            .flat_map(|(path, item)| {
                let methods = item.as_object().expect("an item").keys();
                methods.map(|method| (path.clone(), method.to_ascii_uppercase()))
            })
            .collect();
        let routes = ROUTES.iter().map(|it| (it.path.to_owned(), it.method.to_string())).collect();
        assert_eq!(described, routes);
    }

    #[test]
    fn every_reference_leads_somewhere() {
        let document = document();
        let text = document.to_string();
        for rest in text.split("#/components/schemas/").skip(1) {
            let name = rest.split('"').next().expect("the end of a string");
            let schema = part(&document, &format!("/components/schemas/{name}"));
            assert!(schema.is_object(), "no schema {name}");
        }
    }

    #[test]
    fn every_parameter_of_a_path_is_described() {
        for route in &ROUTES {
            let parameters = describe(route.handler).parameters;
            for part in PATH_PARTS {
                let is_there = route.path.contains(&format!("{{{part}}}"));
                assert_eq!(is_there, parameters.contains(&part), "{part} in {}", route.path);
                assert_eq!(parameter(part)["in"], "path", "{part}");
            }
        }
    }

    #[test]
    fn pictures_are_described_with_their_limits() {
        let document = document();
        let of = |pointer: &str| {
            let path = format!("/paths/~1v1~1links~1{{slug}}~1{pointer}");
            part(&document, &path).clone()
        };
        let svg = json!({ "image/svg+xml": { "schema": { "type": "string" } } });
        assert_eq!(of("qr.svg/get/responses/200/content"), svg);
        assert_eq!(of("qr.png/get/responses/200/content"), json!({ "image/png": {} }));
        let size = json!({ "type": "integer", "minimum": 64, "maximum": 2048, "default": 512 });
        assert_eq!(of("qr.png/get/parameters/2/schema"), size);
        let margin = json!({ "type": "integer", "minimum": 0, "maximum": 16, "default": 4 });
        assert_eq!(of("qr.png/get/parameters/3/schema"), margin);
        let letters = json!({ "type": "string", "enum": ["L", "M", "Q", "H"], "default": "M" });
        assert_eq!(of("qr.png/get/parameters/4/schema"), letters);
    }

    #[test]
    fn schemas_are_strict_and_know_what_is_required() {
        let document = document();
        let of = |pointer: &str| part(&document, &format!("/components/schemas/{pointer}")).clone();
        assert_eq!(of("NewLink/additionalProperties"), json!(false));
        assert_eq!(of("NewLink/required"), json!(["target"]));
        assert_eq!(of("NewLink/properties/target/format"), json!("uri"));
        assert_eq!(of("LinkEdit/properties/slug"), Value::Null);
        assert_eq!(of("NewDomain/required"), json!(["host"]));
        assert_eq!(of("DomainEdit/properties/host"), Value::Null);
        // A field that is left out is not one that is null: that would clear it.
        assert_eq!(of("LinkEdit/properties/title/type"), json!(["string", "null"]));
        assert!(!document.to_string().contains(r#""default":null"#));
    }
}
