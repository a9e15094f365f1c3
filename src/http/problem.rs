//! Refusals, as problem details (RFC 9457): the one place that turns an error into a status.
//!
//! What went wrong on our side is logged here, once, and not told to the caller.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER, WWW_AUTHENTICATE,
};
use hyper::{Response, StatusCode};
use serde::Serialize;
use utoipa::ToSchema;

use crate::fault::Fault;

/// Every kind of problem. The names are part of the API: they never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The body cannot be read, or is not JSON.
    MalformedBody,
    /// The body is JSON, but fields of it are wrong; each is named.
    InvalidBody,
    /// A query parameter is wrong.
    InvalidQuery,
    /// A header is wrong.
    InvalidHeader,
    /// The body is too large.
    BodyTooLarge,
    /// The body says that it is something else than what is wanted.
    UnsupportedMediaType,
    /// No key, or none that holds.
    Unauthorized,
    /// The key is not good for this.
    Forbidden,
    /// There is nothing here.
    NotFound,
    /// There is something here, but not with this method.
    MethodNotAllowed,
    /// Another link has the slug.
    SlugTaken,
    /// There is such a domain already.
    DomainExists,
    /// The domain has links, or is the default domain: it cannot be deleted.
    DomainInUse,
    /// The stored version of a campaign breaks rules; each fault is named.
    CampaignNotValid,
    /// No version of the campaign is active.
    CampaignNotActive,
    /// Another source says which versions of campaigns are active.
    CampaignsSteered,
    /// The campaign gives no codes, because it is not active or is over.
    CampaignNotRunning,
    /// Somebody else has the code.
    CodeTaken,
    /// The click token is cut or changed.
    TokenMalformed,
    /// There is no click token in what the store handed over.
    TokenMissing,
    /// The click token was not signed here.
    TokenForged,
    /// The click token is older than 7 days.
    TokenExpired,
    /// The click token comes from a link of another domain.
    TokenOfAnotherDomain,
    /// Another installation was first to hand the click token back.
    ClaimedByAnotherInstall,
    /// The invitee is bound to another inviter.
    AlreadyBound,
    /// The checks say no; the reason says why.
    BindingRefused,
    /// Too many codes that nobody has were tried.
    TooManyAttempts,
    /// The same event was told with other words before.
    EventDiffers,
    /// The campaign was retired, and takes no more triggers.
    CampaignRetired,
    /// The scratch card was not scratched in time.
    CardExpired,
    /// The scratch card is not there to be scratched: not yet, or not any more.
    CardNotReady,
    /// The reward stands where this cannot be done to it.
    RewardInOtherState,
    /// The campaign has too little left of its budget.
    BudgetExhausted,
    /// Nobody decides on what they asked for themselves.
    OwnRequest,
    /// It was decided on already, and differently.
    CompensationDecided,
    /// A case decides on it, and not whoever asks.
    UnderReview,
    /// The rules of the flow say no; the reason says why.
    CaseRefused,
    /// The same request is being carried out right now.
    RequestInFlight,
    /// The idempotency key was used for another request.
    IdempotencyKeyReused,
    /// What is needed is away just now.
    Unavailable,
    /// We made a mistake.
    Internal,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 41] = [
        Self::MalformedBody,
        Self::InvalidBody,
        Self::InvalidQuery,
        Self::InvalidHeader,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::SlugTaken,
        Self::DomainExists,
        Self::DomainInUse,
        Self::CampaignNotValid,
        Self::CampaignNotActive,
        Self::CampaignsSteered,
        Self::CampaignNotRunning,
        Self::CodeTaken,
        Self::TokenMalformed,
        Self::TokenMissing,
        Self::TokenForged,
        Self::TokenExpired,
        Self::TokenOfAnotherDomain,
        Self::ClaimedByAnotherInstall,
        Self::AlreadyBound,
        Self::BindingRefused,
        Self::TooManyAttempts,
        Self::EventDiffers,
        Self::CampaignRetired,
        Self::CardExpired,
        Self::CardNotReady,
        Self::RewardInOtherState,
        Self::BudgetExhausted,
        Self::OwnRequest,
        Self::CompensationDecided,
        Self::UnderReview,
        Self::CaseRefused,
        Self::RequestInFlight,
        Self::IdempotencyKeyReused,
        Self::Unavailable,
        Self::Internal,
    ];

    /// Its name, status and title.
    #[expect(clippy::too_many_lines, reason = "a few lines for each kind, and nothing else")]
    fn words(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::MalformedBody => {
                ("malformed-body", StatusCode::BAD_REQUEST, "The body cannot be read")
            }
            Self::InvalidBody => {
                ("invalid-body", StatusCode::UNPROCESSABLE_ENTITY, "Fields of the body are wrong")
            }
            Self::InvalidQuery => {
                ("invalid-query", StatusCode::BAD_REQUEST, "A query parameter is wrong")
            }
            Self::InvalidHeader => ("invalid-header", StatusCode::BAD_REQUEST, "A header is wrong"),
            Self::BodyTooLarge => {
                ("body-too-large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large")
            }
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body must be of another type",
            ),
            Self::Unauthorized => {
                ("unauthorized", StatusCode::UNAUTHORIZED, "An API key is needed")
            }
            Self::Forbidden => {
                ("forbidden", StatusCode::FORBIDDEN, "The API key is not good for this")
            }
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "There is nothing here"),
            Self::MethodNotAllowed => (
                "method-not-allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "The method does not work here",
            ),
            Self::SlugTaken => ("slug-taken", StatusCode::CONFLICT, "Another link has the slug"),
            Self::DomainExists => {
                ("domain-exists", StatusCode::CONFLICT, "There is such a domain already")
            }
            Self::DomainInUse => {
                ("domain-in-use", StatusCode::CONFLICT, "The domain cannot be deleted")
            }
            Self::CampaignNotValid => (
                "campaign-not-valid",
                StatusCode::CONFLICT,
                "The version of the campaign breaks rules",
            ),
            Self::CampaignNotActive => (
                "campaign-not-active",
                StatusCode::CONFLICT,
                "No version of the campaign is active",
            ),
            Self::CampaignsSteered => {
                ("campaigns-steered", StatusCode::CONFLICT, "ZooKeeper steers the campaigns")
            }
            Self::CampaignNotRunning => {
                ("campaign-not-running", StatusCode::CONFLICT, "The campaign is not running")
            }
            Self::CodeTaken => ("code-taken", StatusCode::CONFLICT, "Somebody else has the code"),
            Self::TokenMissing => {
                ("token-missing", StatusCode::UNPROCESSABLE_ENTITY, "There is no click token")
            }
            Self::TokenMalformed => {
                ("token-malformed", StatusCode::UNPROCESSABLE_ENTITY, "The token is cut or changed")
            }
            Self::TokenForged => {
                ("token-forged", StatusCode::UNPROCESSABLE_ENTITY, "The token is not one of ours")
            }
            Self::TokenExpired => {
                ("token-expired", StatusCode::UNPROCESSABLE_ENTITY, "The token is too old")
            }
            Self::TokenOfAnotherDomain => (
                "token-of-another-domain",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The token belongs to another domain",
            ),
            Self::ClaimedByAnotherInstall => (
                "claimed-by-another-install",
                StatusCode::CONFLICT,
                "Another installation claimed the click",
            ),
            Self::AlreadyBound => {
                ("already-bound", StatusCode::CONFLICT, "The invitee is bound to another inviter")
            }
            Self::BindingRefused => {
                ("binding-refused", StatusCode::UNPROCESSABLE_ENTITY, "There is no binding")
            }
            Self::TooManyAttempts => {
                ("too-many-attempts", StatusCode::TOO_MANY_REQUESTS, "Too many attempts")
            }
            Self::EventDiffers => {
                ("event-differs", StatusCode::CONFLICT, "The event was told differently before")
            }
            Self::CampaignRetired => {
                ("campaign-retired", StatusCode::CONFLICT, "The campaign was retired")
            }
            Self::CardExpired => ("card-expired", StatusCode::CONFLICT, "The card has expired"),
            Self::CardNotReady => {
                ("card-not-ready", StatusCode::CONFLICT, "The card is not there to be scratched")
            }
            Self::RewardInOtherState => {
                ("reward-in-other-state", StatusCode::CONFLICT, "The reward is in another state")
            }
            Self::BudgetExhausted => {
                ("budget-exhausted", StatusCode::CONFLICT, "The campaign's budget does not suffice")
            }
            Self::OwnRequest => {
                ("own-request", StatusCode::CONFLICT, "Somebody else has to approve it")
            }
            Self::CompensationDecided => (
                "compensation-decided",
                StatusCode::CONFLICT,
                "The compensation was decided on already",
            ),
            Self::UnderReview => ("under-review", StatusCode::CONFLICT, "A case decides on it"),
            Self::CaseRefused => {
                ("case-refused", StatusCode::CONFLICT, "The flow of the case says no")
            }
            Self::RequestInFlight => (
                "request-in-flight",
                StatusCode::CONFLICT,
                "The same request is being carried out right now",
            ),
            Self::IdempotencyKeyReused => (
                "idempotency-key-reused",
                StatusCode::UNPROCESSABLE_ENTITY,
                "The idempotency key belongs to another request",
            ),
            Self::Unavailable => {
                ("unavailable", StatusCode::SERVICE_UNAVAILABLE, "Not available just now")
            }
            Self::Internal => {
                ("internal", StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong on our side")
            }
        }
    }

    /// The status that it is answered with.
    pub fn status(self) -> StatusCode {
        self.words().1
    }

    /// Its `type`.
    pub fn type_uri(self) -> String {
        format!("urn:waypost:problem:{}", self.words().0)
    }
}

/// A refusal.
#[derive(Clone, Debug)]
pub struct Problem {
    kind: Kind,
    detail: String,
    faults: Vec<Fault>,
    allow: Option<String>,
    reason: Option<&'static str>,
    retry_after: Option<Duration>,
}

/// A refusal as it stands in a body.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Problem)]
pub struct ProblemBody {
    /// What kind of problem it is; stable.
    #[serde(rename = "type")]
    #[schema(example = "urn:waypost:problem:invalid-body")]
    pub type_uri: String,
    /// The kind, for people.
    pub title: &'static str,
    /// The status of the answer.
    pub status: u16,
    /// What is wrong this time.
    pub detail: String,
    /// Why, as a stable word for programs, where a kind has many reasons.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "not-a-new-user")]
    pub reason: Option<&'static str>,
    /// Each field that is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
            faults: Vec::new(),
            allow: None,
            reason: None,
            retry_after: None,
        }
    }

    /// The same with a reason, as a stable word for programs.
    #[must_use]
    pub fn because(self, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// The same, to be tried again after some time.
    #[must_use]
    pub fn after(self, wait: Duration) -> Self {
        Self { retry_after: Some(wait), ..self }
    }

    /// A body with faults in its fields.
    pub fn invalid_body(faults: Vec<Fault>) -> Self {
        Self { faults, ..Self::new(Kind::InvalidBody, "") }
    }

    /// A stored document with faults in its fields.
    pub fn campaign_not_valid(faults: Vec<Fault>) -> Self {
        Self { faults, ..Self::new(Kind::CampaignNotValid, "") }
    }

    /// A method that does not work here; `allow` lists those that do.
    pub fn method_not_allowed(allow: String) -> Self {
        let detail = format!("use one of: {allow}");
        Self { allow: Some(allow), ..Self::new(Kind::MethodNotAllowed, detail) }
    }

    /// A mistake of ours: logged here, and not told.
    pub fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %error, "a request failed");
        Self::new(Kind::Internal, "the error was logged; try again later")
    }

    /// Something that we need is away: logged here, and not told.
    pub fn unavailable(error: &dyn std::error::Error) -> Self {
        tracing::warn!(error = %error, "a request could not be answered");
        Self::new(Kind::Unavailable, "something that is needed is away; try again in a moment")
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The same with `prefix` before each pointer: a row of a batch stands somewhere in a body.
    #[must_use]
    pub fn within(mut self, prefix: &str) -> Self {
        for fault in &mut self.faults {
            fault.pointer.insert_str(0, prefix);
        }
        self
    }

    /// As it stands in a body.
    pub fn into_body(self) -> ProblemBody {
        let (_, status, title) = self.kind.words();
        let detail = match self.faults.as_slice() {
            [] => self.detail,
            [only] => format!("{} {}", only.pointer, only.detail).trim_start().to_owned(),
            many => format!("{} fields are wrong; 'errors' has each", many.len()),
        };
        ProblemBody {
            type_uri: self.kind.type_uri(),
            title,
            status: status.as_u16(),
            detail,
            reason: self.reason,
            errors: self.faults,
        }
    }

    /// The answer.
    pub fn into_response(self) -> Response<Full<Bytes>> {
        let (kind, allow, wait) = (self.kind, self.allow.clone(), self.retry_after);
        let body = serde_json::to_vec(&self.into_body()).expect("texts and numbers");
        let mut response = Response::new(Full::new(Bytes::from(body)));
        *response.status_mut() = kind.status();
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match kind {
            Kind::Unauthorized => {
                let challenge = HeaderValue::from_static("Bearer realm=\"waypost\"");
                headers.insert(WWW_AUTHENTICATE, challenge);
            }
            Kind::Unavailable | Kind::RequestInFlight => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
            }
            Kind::MalformedBody
            | Kind::InvalidBody
            | Kind::InvalidQuery
            | Kind::InvalidHeader
            | Kind::BodyTooLarge
            | Kind::UnsupportedMediaType
            | Kind::Forbidden
            | Kind::NotFound
            | Kind::MethodNotAllowed
            | Kind::SlugTaken
            | Kind::DomainExists
            | Kind::DomainInUse
            | Kind::CampaignNotValid
            | Kind::CampaignNotActive
            | Kind::CampaignsSteered
            | Kind::CampaignNotRunning
            | Kind::CodeTaken
            | Kind::TokenMalformed
            | Kind::TokenMissing
            | Kind::TokenForged
            | Kind::TokenExpired
            | Kind::TokenOfAnotherDomain
            | Kind::ClaimedByAnotherInstall
            | Kind::AlreadyBound
            | Kind::BindingRefused
            | Kind::TooManyAttempts
            | Kind::EventDiffers
            | Kind::CampaignRetired
            | Kind::CardExpired
            | Kind::CardNotReady
            | Kind::RewardInOtherState
            | Kind::BudgetExhausted
            | Kind::OwnRequest
            | Kind::CompensationDecided
            | Kind::UnderReview
            | Kind::CaseRefused
            | Kind::IdempotencyKeyReused
            | Kind::Internal => {}
        }
        if let Some(wait) = wait {
            // Whole seconds, and none too early.
            headers.insert(RETRY_AFTER, HeaderValue::from(wait.as_secs().saturating_add(1)));
        }
        if let Some(allow) = allow.and_then(|allow| HeaderValue::try_from(allow).ok()) {
            headers.insert(ALLOW, allow);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::Reason;

    #[test]
    fn every_kind_has_a_type_of_its_own() {
        let types: std::collections::HashSet<String> =
            Kind::ALL.into_iter().map(Kind::type_uri).collect();
        assert_eq!(types.len(), Kind::ALL.len());
    }

    #[test]
    fn every_kind_is_explained_with_its_status() {
        let page = include_str!("../../docs/api.md");
        for kind in Kind::ALL {
            let row = format!("| `{}` | {} |", kind.type_uri(), kind.status().as_u16());
            assert!(page.contains(&row), "docs/api.md lacks {row}");
        }
    }

    #[test]
    fn a_problem_names_its_fields() {
        let fault = Fault::new("/target", Reason::SchemeNotAllowed, "no");
        let problem = Problem::invalid_body(vec![fault]).within("/links/3");
        let json = serde_json::to_string_pretty(&problem.into_body()).expect("JSON");
        insta::assert_snapshot!(json, @r#"
        {
          "type": "urn:waypost:problem:invalid-body",
          "title": "Fields of the body are wrong",
          "status": 422,
          "detail": "/links/3/target no",
          "errors": [
            {
              "pointer": "/links/3/target",
              "reason": "scheme-not-allowed",
              "detail": "no"
            }
          ]
        }
        "#);
    }
}
