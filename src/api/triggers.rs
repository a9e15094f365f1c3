//! Triggers: `POST /v1/campaigns/{campaign}/triggers`, and many of them as lines of JSON at `…/batch`.

use futures_util::future::join_all;
use hyper::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::query::Query;
use super::{Api, Call, Reply, body};
use crate::http::problem::{Kind, Problem, ProblemBody};
use crate::referral::requests::TriggerRequest;
use crate::referral::triggers::Error;

/// A trigger that is stored.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Trigger)]
pub struct TriggerView {
    /// Its number.
    pub id: i64,
    /// In which campaign.
    pub campaign: String,
    /// Who told it.
    pub source: String,
    /// The name of the event.
    pub event_id: String,
    /// What was reached.
    #[schema(example = "credit_granted")]
    pub kind: String,
    /// By whom.
    pub user: String,
    /// When it happened.
    pub occurred_at: Timestamp,
    /// When it was first told.
    pub received_at: Timestamp,
}

/// What became of one line: there is either a trigger or a problem.
#[derive(Debug, Serialize, ToSchema)]
pub struct TriggerLine {
    /// Which line of the body, 1 for the first.
    pub line: usize,
    /// The status that it would have had alone.
    #[schema(example = 201)]
    pub status: u16,
    /// The trigger that is stored.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<TriggerView>,
    /// Why there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<ProblemBody>,
}

/// Lines of one batch.
const MOST_LINES: usize = 10_000;
/// Lines of one batch that wait to be stored at a time.
const AT_A_TIME: usize = 1_000;

impl Api {
    pub(super) async fn take_triggers(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let (campaign, actor) = (call.path.get("campaign"), &call.caller()?.actor);
        if self.live_campaigns.borrow().named(campaign).is_none() {
            return Err(Error::NoCampaign.into());
        }
        let lines: Vec<(usize, &[u8])> = (1..)
            .zip(call.body.split(|byte| *byte == b'\n'))
            .filter(|(_, line)| !line.trim_ascii().is_empty())
            .collect();
        if lines.is_empty() || lines.len() > MOST_LINES {
            let detail = format!("send 1 to {MOST_LINES} lines, each a JSON object");
            return Err(Problem::new(Kind::MalformedBody, detail));
        }
        let mut results = Vec::with_capacity(lines.len());
        for some in lines.chunks(AT_A_TIME) {
            let answers =
                some.iter().map(|(line, text)| self.take_line(campaign, actor, *line, text));
            results.extend(join_all(answers).await);
        }
        let mut lines = Vec::new();
        for result in &results {
            serde_json::to_writer(&mut lines, result).expect("our own types have JSON forms");
            lines.push(b'\n');
        }
        Ok(Reply::new(StatusCode::OK, "application/x-ndjson", lines))
    }

    async fn take_line(
        &self,
        campaign: &str,
        actor: &str,
        line: usize,
        text: &[u8],
    ) -> TriggerLine {
        let taken = async { self.take(campaign, actor, body::decode(body::text(text)?)?).await };
        let (status, trigger, problem) = match taken.await {
            Ok((status, trigger)) => (status.as_u16(), Some(trigger), None),
            Err(problem) => {
                let problem = problem.into_body();
                (problem.status, None, Some(problem))
            }
        };
        TriggerLine { line, status, trigger, problem }
    }

    pub(super) async fn take_trigger(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let request: TriggerRequest = body::decode(body::text(&call.body)?)?;
        let (campaign, actor) = (call.path.get("campaign"), &call.caller()?.actor);
        let (status, view) = self.take(campaign, actor, request).await?;
        Ok(Reply::json(status, &view))
    }

    async fn take(
        &self,
        campaign: &str,
        actor: &str,
        request: TriggerRequest,
    ) -> Result<(StatusCode, TriggerView), Problem> {
        let taken = self.referrals.triggers.take(campaign, actor, &request).await?;
        let status = if taken.new { StatusCode::CREATED } else { StatusCode::OK };
        let view = TriggerView {
            id: taken.id,
            campaign: campaign.to_owned(),
            source: taken.source,
            event_id: request.event_id,
            kind: request.kind,
            user: request.user,
            occurred_at: taken.occurred_at,
            received_at: taken.received_at,
        };
        Ok((status, view))
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let words = error.to_string();
        match error {
            Error::NoCampaign => Self::new(Kind::NotFound, words),
            Error::Invalid(faults) => Self::invalid_body(faults),
            Error::Differs => Self::new(Kind::EventDiffers, words),
            Error::Retired => Self::new(Kind::CampaignRetired, words),
            Error::Store(error) => (&*error).into(),
        }
    }
}
