//! Referral codes: `/v1/campaigns/{campaign}/codes` and `/v1/codes`.

use hyper::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::query::Query;
use super::{Api, Call, Reply, body};
use crate::fault::{Fault, Reason};
use crate::http::problem::{Kind, Problem, ProblemBody};
use crate::referral::codes::request::{ChosenCode, NewCode};
use crate::referral::codes::{CodeService, Error, Issued, LARGEST_BATCH};
use crate::store::codes::StoredCode;

/// A referral code.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = ReferralCode)]
pub struct CodeView {
    /// The code, as it is best shown.
    #[schema(example = "7KQ2MX")]
    pub code: String,
    /// In which campaign.
    pub campaign: String,
    /// Whose it is.
    pub user: String,
    /// What the user shares: the landing page.
    #[schema(format = "uri")]
    pub share_url: String,
    /// What the landing page shows of the user's name; absent if none was given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shown_name: Option<String>,
    /// Whether an operator chose it.
    pub vanity: bool,
    /// Whether it is the one that the user is told; earlier ones lead to the user as well.
    pub current: bool,
    /// Whether it is switched off.
    pub disabled: bool,
    /// When the user got it.
    pub created_at: Timestamp,
}

impl CodeView {
    /// A code as this service shows it.
    pub fn new(code: StoredCode, codes: &CodeService) -> Self {
        Self {
            share_url: codes.share_url(&code),
            code: code.code.to_string(),
            campaign: code.campaign.to_string(),
            user: code.user,
            shown_name: code.shown_name,
            vanity: code.vanity,
            current: code.current,
            disabled: code.disabled,
            created_at: code.created_at,
        }
    }
}

/// Users who want codes together.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RawBatch<'a> {
    #[serde(borrow)]
    users: Vec<&'a RawValue>,
}

/// Users who want codes together.
#[derive(Debug, ToSchema)]
#[schema(as = CodeBatch)]
pub struct CodeBatch {
    /// Up to 1,000.
    #[schema(min_items = 1, max_items = 1_000)]
    pub users: Vec<NewCode>,
}

/// The codes of a batch, in the order of the request.
#[derive(Debug, Serialize, ToSchema)]
pub struct CodeBatchResults {
    /// One for each user.
    pub results: Vec<CodeBatchResult>,
}

/// What became of one user of a batch: there is either a code or a problem.
#[derive(Debug, Serialize, ToSchema)]
pub struct CodeBatchResult {
    /// The status that the user alone would have been answered with.
    pub status: u16,
    /// The code.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<CodeView>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemBody>,
}

impl Api {
    pub(super) async fn issue_code(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let request: NewCode = body::decode(body::text(&call.body)?)?;
        let issued = self.codes.issue(call.path.get("campaign"), &request).await?;
        Ok(Reply::json(status_of(&issued), &self.view_code(issued.code)))
    }

    pub(super) async fn issue_codes(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let rows = decode_batch(body::text(&call.body)?)?;
        let requests: Vec<&NewCode> = rows.iter().flatten().collect();
        let answers = self.codes.issue_batch(call.path.get("campaign"), &requests).await?;
        let mut answers = answers.into_iter();
        let outcomes = rows.into_iter().map(|row| match row {
            Err(problem) => Err(problem),
            Ok(_) => answers.next().unwrap_or(Err(Error::NoCodes)).map_err(Problem::from),
        });
        let result = |(place, outcome): (usize, Result<Issued, Problem>)| match outcome {
            Ok(issued) => CodeBatchResult {
                status: status_of(&issued).as_u16(),
                code: Some(self.view_code(issued.code)),
                problem: None,
            },
            Err(problem) => {
                let problem = problem.within(&format!("/users/{place}")).into_body();
                CodeBatchResult { status: problem.status, code: None, problem: Some(problem) }
            }
        };
        let results = outcomes.enumerate().map(result).collect();
        Ok(Reply::json(StatusCode::OK, &CodeBatchResults { results }))
    }

    pub(super) async fn get_code(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let found = self.codes.find(call.path.get("code")).await?;
        Ok(Reply::json(StatusCode::OK, &self.view_code(found)))
    }

    pub(super) async fn choose_code(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let request: ChosenCode = body::decode(body::text(&call.body)?)?;
        let whose = (call.path.get("campaign"), call.path.get("user"));
        let chosen = self.codes.choose(&call.caller()?.actor, whose, &request).await?;
        Ok(Reply::json(status_of(&chosen), &self.view_code(chosen.code)))
    }

    pub(super) async fn switch_code(&self, call: &Call, disabled: bool) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let (actor, code) = (&call.caller()?.actor, call.path.get("code"));
        let switched = self.codes.set_disabled(actor, code, disabled).await?;
        Ok(Reply::json(StatusCode::OK, &self.view_code(switched)))
    }

    fn view_code(&self, code: StoredCode) -> CodeView {
        CodeView::new(code, &self.codes)
    }
}

fn status_of(issued: &Issued) -> StatusCode {
    if issued.known { StatusCode::OK } else { StatusCode::CREATED }
}

/// Decodes a batch; what is wrong with one row spoils only that row.
fn decode_batch(text: &str) -> Result<Vec<Result<NewCode, Problem>>, Problem> {
    let batch: RawBatch<'_> = body::decode(text)?;
    let refuse = |reason, detail: String| {
        Err(Problem::invalid_body(vec![Fault::new("/users", reason, detail)]))
    };
    match batch.users.len() {
        0 => refuse(Reason::Empty, "give at least one user".to_owned()),
        count if count > LARGEST_BATCH => {
            refuse(Reason::TooMany, format!("are {count}; at most {LARGEST_BATCH} are allowed"))
        }
        _ => Ok(batch.users.into_iter().map(|row| body::decode(row.get())).collect()),
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(faults) => Self::invalid_body(faults),
            Error::UnknownCampaign(_) | Error::UnknownCode(_) => {
                Self::new(Kind::NotFound, error.to_string())
            }
            Error::NotRunning(..) => Self::new(Kind::CampaignNotRunning, error.to_string()),
            Error::Taken(_) => Self::new(Kind::CodeTaken, error.to_string()),
            Error::Busy => Self::unavailable(&error),
            Error::NoCodes => Self::internal(&error),
            Error::Store(error) => error.into(),
        }
    }
}
