//! Cases: `/v1/cases`.

use hyper::StatusCode;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::query::{Query, refuse};
use super::rewards::{MOST_REWARDS, USUAL_REWARDS, cursor_of};
use super::{Api, Call, Reply, body};
use crate::fault::Fault;
use crate::http::problem::{Kind, Problem};
use crate::review::case::{Event, Place, Task};
use crate::review::command::{Act, Refusal};
use crate::review::flow::Subject;
use crate::review::request::{
    CaseDecision, DelegateRequest, EvidenceRequest, JumpRequest, QuestionRequest, TaskRequest,
    Wanted, judge_text,
};
use crate::review::service::{Error, Full, Page, Target};
use crate::store::review::list::{Filter, Listed};

/// A case, in short.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Case)]
pub struct CaseView {
    /// Its number.
    pub id: i64,
    /// What it is about: `reward`, `compensation` and so on.
    #[schema(example = "reward")]
    pub subject: &'static str,
    /// Which one of these: its number, or a name.
    pub key: String,
    /// Which version of the flow it follows.
    pub flow_version: i32,
    /// Who asked for it; absent: the service itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requester: Option<String>,
    /// `open`, `executing`, `executed`, `rejected` or `withdrawn`.
    #[schema(example = "open")]
    pub state: String,
    /// The node in which it is.
    #[schema(example = "risk")]
    pub node: String,
    /// Only approvals of this epoch count.
    pub epoch: i32,
    /// How many events it has had: what `expected_version` wants.
    pub version: i32,
    /// When it began.
    pub opened_at: Timestamp,
    /// Since when it is in this node.
    pub entered_at: Timestamp,
    /// Until when it may stay there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub due_at: Option<Timestamp>,
}

impl CaseView {
    /// A case as it stands in a list.
    pub fn new(listed: Listed) -> Self {
        Self {
            id: listed.id,
            subject: listed.subject.subject.name(),
            key: listed.subject.key,
            flow_version: listed.flow_version,
            requester: listed.requester,
            state: listed.state,
            node: listed.node,
            epoch: listed.epoch,
            version: listed.version,
            opened_at: listed.opened_at,
            entered_at: listed.entered_at,
            due_at: listed.due_at,
        }
    }
}

/// A task of a case.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CaseTask)]
pub struct TaskView {
    /// Its number in the case.
    pub number: i32,
    /// In which node.
    pub node: String,
    /// In which epoch.
    pub epoch: i32,
    /// `open`, `done`, or `superseded`: the case went elsewhere first.
    #[schema(example = "open")]
    pub state: &'static str,
    /// Who has it, or had it last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub holder: Option<String>,
    /// Since when.
    pub opened_at: Timestamp,
    /// When it was done or superseded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
}

impl TaskView {
    fn new(task: Task) -> Self {
        Self {
            number: task.number,
            node: task.node,
            epoch: task.epoch,
            state: task.state.name(),
            holder: task.holder,
            opened_at: task.opened_at,
            closed_at: task.closed_at,
        }
    }
}

/// One line of a case's history.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CaseEvent)]
pub struct EventView {
    /// Its place, from 1.
    pub version: i32,
    /// When.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// What happened.
    #[schema(example = "approved")]
    pub event: &'static str,
    /// All that is known of it.
    #[schema(value_type = Object)]
    pub detail: Value,
}

impl EventView {
    fn new(event: Event) -> Self {
        let mut detail = serde_json::to_value(&event.what).unwrap_or_default();
        if let Value::Object(fields) = &mut detail {
            fields.remove("event");
        }
        let name = event.what.name();
        Self { version: event.version, at: event.at, by: event.by, event: name, detail }
    }
}

/// A case with its history.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = FullCase)]
pub struct FullCaseView {
    /// The case.
    #[serde(flatten)]
    pub case: CaseView,
    /// What it is called in the flow that it follows.
    pub flow: String,
    /// The SHA-256 of what is to be approved.
    pub hash: String,
    /// What a check found in the node in which it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<String>,
    /// What checks can ask for.
    #[schema(value_type = Object)]
    pub facts: Value,
    /// The guard without whose approval it is not carried out; absent: none is missing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing_guard: Option<String>,
    /// All its tasks.
    pub tasks: Vec<TaskView>,
    /// Its history.
    pub history: Vec<EventView>,
}

impl FullCaseView {
    /// A case as it is shown.
    pub fn new(full: Full) -> Self {
        let Full { stored, flow } = full;
        let case = stored.case;
        let missing_guard = case.missing_guard(&flow).map(str::to_owned);
        let opened_at = stored.history.first().map_or(case.entered_at, |event| event.at);
        Self {
            flow: flow.name,
            missing_guard: missing_guard.filter(|_| !case.place.is_end()),
            case: CaseView {
                id: stored.id,
                subject: stored.subject.subject.name(),
                key: stored.subject.key,
                flow_version: case.opening.flow_version,
                requester: case.opening.requester,
                state: case.place.state().to_owned(),
                node: case.place.node().to_owned(),
                epoch: case.epoch,
                version: case.version,
                opened_at,
                entered_at: case.entered_at,
                due_at: case.due_at,
            },
            hash: case.opening.hash,
            held: case.held,
            facts: serde_json::to_value(&case.opening.facts).unwrap_or_default(),
            tasks: case.tasks.into_iter().map(TaskView::new).collect(),
            history: stored.history.into_iter().map(EventView::new).collect(),
        }
    }
}

/// Some cases, newest first.
#[derive(Debug, Serialize, ToSchema)]
pub struct CasePage {
    /// The cases.
    pub cases: Vec<CaseView>,
    /// Give it as `cursor` to have the next page; absent on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// What a command did, or would do.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CaseOutcome)]
pub struct OutcomeView {
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// What happened by it, or would happen.
    pub events: Vec<EventView>,
    /// The case as it is after it, or would be.
    pub case: FullCaseView,
}

/// A node to which somebody may want to jump.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = JumpTarget)]
pub struct TargetView {
    /// Which.
    pub node: String,
    /// Whether you may.
    pub legal: bool,
    /// Why not, as a stable word for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(example = "into-execute")]
    pub reason: Option<&'static str>,
    /// Why not, for people.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Whether approvals go on counting after it.
    pub keeps_approvals: bool,
}

/// Where a case can jump to.
#[derive(Debug, Serialize, ToSchema)]
pub struct JumpTargets {
    /// Every node but the one in which it is.
    pub targets: Vec<TargetView>,
}

impl Api {
    pub(super) async fn list_cases(&self, call: &Call) -> Result<Reply, Problem> {
        let known = ["subject", "key", "state", "node", "mine", "cursor", "limit"];
        let query = Query::parse(call.raw_query(), &known)?;
        let limit = query.number("limit", 1..=MOST_REWARDS, USUAL_REWARDS)?;
        let owned = |value: Option<&str>| value.map(str::to_owned);
        let subject = query.one("subject")?.map(|name| {
            let names = || Subject::ALL.map(Subject::name).join(", ");
            let known = Subject::named(name);
            known.ok_or_else(|| refuse(format!("'subject' must be one of: {}", names())))
        });
        let state = query.one("state")?;
        if state.is_some_and(|state| !Place::STATES.contains(&state)) {
            let names = Place::STATES.join(", ");
            return Err(refuse(format!("'state' must be one of: {names}")));
        }
        let mine = match query.one("mine")? {
            None | Some("false") => false,
            Some("true") => true,
            Some(_) => return Err(refuse("'mine' must be true or false")),
        };
        let filter = Filter {
            subject: subject.transpose()?,
            key: owned(query.one("key")?),
            state: owned(state),
            node: owned(query.one("node")?),
            holder: if mine { Some(call.caller()?.actor.clone()) } else { None },
            before: cursor_of(&query)?,
        };
        let Page { cases, next } = self.reviews.list(&filter, limit).await?;
        let page = CasePage {
            cases: cases.into_iter().map(CaseView::new).collect(),
            next_cursor: next.map(|id| id.to_string()),
        };
        Ok(Reply::json(StatusCode::OK, &page))
    }

    pub(super) async fn get_case(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let found = self.reviews.get(call.number("case")?).await?;
        Ok(Reply::json(StatusCode::OK, &FullCaseView::new(found)))
    }

    /// Takes a task, or gives it back.
    pub(super) async fn act_on_task(&self, call: &Call, act: Act) -> Result<Reply, Problem> {
        let TaskRequest { expected_version } = body::decode(body::text(&call.body)?)?;
        self.act_on_case(call, Wanted::Act(act), (expected_version, false)).await
    }

    pub(super) async fn approve_case(&self, call: &Call) -> Result<Reply, Problem> {
        let request: CaseDecision = body::decode(body::text(&call.body)?)?;
        let CaseDecision { expected_version, reason } = checked(request)?;
        let wanted = Wanted::Act(Act::Approve { note: reason });
        self.act_on_case(call, wanted, (expected_version, false)).await
    }

    pub(super) async fn reject_case(&self, call: &Call) -> Result<Reply, Problem> {
        let request: CaseDecision = body::decode(body::text(&call.body)?)?;
        let CaseDecision { expected_version, reason } = checked(request)?;
        let wanted = Wanted::Act(Act::Reject { reason });
        self.act_on_case(call, wanted, (expected_version, false)).await
    }

    pub(super) async fn ask_evidence(&self, call: &Call) -> Result<Reply, Problem> {
        let request: QuestionRequest = body::decode(body::text(&call.body)?)?;
        judge_text("/question", &request.question).map_err(invalid)?;
        let wanted = Wanted::Act(Act::AskEvidence { question: request.question });
        self.act_on_case(call, wanted, (request.expected_version, false)).await
    }

    pub(super) async fn add_evidence(&self, call: &Call) -> Result<Reply, Problem> {
        let request: EvidenceRequest = body::decode(body::text(&call.body)?)?;
        let expected_version = request.expected_version;
        let wanted = request.judged().map_err(Problem::invalid_body)?;
        self.act_on_case(call, wanted, (expected_version, false)).await
    }

    pub(super) async fn delegate_task(&self, call: &Call) -> Result<Reply, Problem> {
        let request: DelegateRequest = body::decode(body::text(&call.body)?)?;
        let DelegateRequest { expected_version, to } = request;
        self.act_on_case(call, Wanted::DelegateTo(to), (expected_version, false)).await
    }

    pub(super) async fn jump(&self, call: &Call) -> Result<Reply, Problem> {
        let request: JumpRequest = body::decode(body::text(&call.body)?)?;
        judge_text("/reason", &request.reason).map_err(invalid)?;
        let JumpRequest { from, to, reason, expected_version, dry_run } = request;
        let wanted = Wanted::Act(Act::Jump { from, to, reason });
        self.act_on_case(call, wanted, (expected_version, dry_run)).await
    }

    pub(super) async fn list_jumps(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let found = self.reviews.targets(&call.caller()?.actor, call.number("case")?).await?;
        let view = |Target { node, barred, keeps_approvals }| TargetView {
            node,
            legal: barred.is_none(),
            reason: barred.as_ref().map(Refusal::code),
            detail: barred.map(|refusal| refusal.to_string()),
            keeps_approvals,
        };
        let targets = found.into_iter().map(view).collect();
        Ok(Reply::json(StatusCode::OK, &JumpTargets { targets }))
    }

    async fn act_on_case(
        &self,
        call: &Call,
        wanted: Wanted,
        (expected_version, dry_run): (i32, bool),
    ) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let (actor, id) = (&call.caller()?.actor, call.number("case")?);
        let with = (Some(expected_version), dry_run);
        let (events, full) = self.reviews.act(actor, id, wanted, with).await?;
        let events = events.into_iter().map(EventView::new).collect();
        let view = OutcomeView { dry_run, events, case: FullCaseView::new(full) };
        Ok(Reply::json(StatusCode::OK, &view))
    }
}

fn checked(decision: CaseDecision) -> Result<CaseDecision, Problem> {
    judge_text("/reason", &decision.reason).map_err(invalid)?;
    Ok(decision)
}

fn invalid(fault: Fault) -> Problem {
    Problem::invalid_body(vec![fault])
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        let words = error.to_string();
        match error {
            Error::NotFound(_) | Error::NoFlow(..) => Self::new(Kind::NotFound, words),
            Error::Invalid(faults) => Self::invalid_body(faults),
            Error::Refused(Refusal::OwnRequest) => Self::new(Kind::OwnRequest, words),
            Error::Refused(refusal) => Self::new(Kind::CaseRefused, words).because(refusal.code()),
            Error::Store(error) => error.into(),
        }
    }
}
