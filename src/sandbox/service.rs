//! What is answered: one function for each address of the protocol.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{Method, Request, Response};
use jiff::Timestamp;
use jiff::civil::Date;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::time::{sleep, timeout};

use super::faults::{Fault, Faults, Struck};
use super::journal::{Decision, Journal, Seen};
use super::ledger::{Applied, Kind, Ledger, MOST_OPERATIONS, Page, Verdict};
use super::refusal::{self, Refusal};
use super::request::{self, CURRENCIES, Order};
use crate::clock::Clock;
use crate::http::checks;

/// The largest body.
const BODY_BYTES: usize = 16 * 1_024;
/// How long a body may take to come.
const BODY_PATIENCE: Duration = Duration::from_secs(10);
/// The most headers of a request.
const MOST_HEADERS: usize = 64;

type Answer = Response<Full<Bytes>>;

/// The connection is closed without an answer: by a fault, or because the journal broke.
#[derive(Debug, thiserror::Error)]
#[error("no answer")]
pub struct NoAnswer;

/// What changes while the sandbox runs.
struct State {
    ledger: Ledger,
    faults: Faults,
    /// Decides which faults strike.
    chance: StdRng,
    /// Decides amounts; apart from `chance`, so that other faults do not change the amounts.
    draws: StdRng,
}

/// The payment service.
pub struct Service {
    state: Mutex<State>,
    journal: Option<Journal>,
    clock: Clock,
    seed: u64,
}

/// A request for an operation, whole.
struct Call<'a> {
    kind: Kind,
    id: Option<&'a str>,
    sha256: String,
    order: Result<(&'a str, Order), Refusal>,
}

/// What was decided about a request, and what goes wrong with the answer.
struct Decided {
    answer: Answer,
    struck: Struck,
    delay: Duration,
    /// The entry of the journal that has to be safe before anybody hears of it.
    entry: u64,
}

impl Service {
    /// A service with what was applied before. `seed` is where its chance comes from.
    pub fn new(
        (ledger, journal): (Ledger, Option<Journal>),
        faults: Faults,
        seed: u64,
        clock: Clock,
    ) -> Self {
        let mut draws = StdRng::seed_from_u64(seed);
        let chance = StdRng::from_rng(&mut draws);
        let state = Mutex::new(State { ledger, faults, chance, draws });
        Self { state, journal, clock, seed }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Comes true when the journal cannot be written any more.
    pub async fn broken(&self) {
        match &self.journal {
            Some(journal) => journal.broken().await,
            None => std::future::pending().await,
        }
    }

    /// Answers one request, or closes the connection.
    pub async fn answer(&self, request: Request<Incoming>) -> Result<Answer, NoAnswer> {
        if let Err(refused) = checks::head(&request, MOST_HEADERS) {
            return Ok(Refusal::new(refusal::Kind::InvalidHeader, refused.explain()).response());
        }
        let path = request.uri().path().to_owned();
        match (path.as_str(), request.method()) {
            ("/draws", &Method::POST) => self.operate(Kind::Draw, request).await,
            ("/allotments", &Method::POST) => self.operate(Kind::Allotment, request).await,
            ("/payouts", &Method::POST) => self.operate(Kind::Payout, request).await,
            ("/messages", &Method::POST) => self.operate(Kind::Message, request).await,
            ("/draws" | "/allotments" | "/payouts" | "/messages", _) => {
                Ok(Refusal::method_not_allowed("POST").response())
            }
            ("/", &Method::GET) => Ok(self.about()),
            ("/", _) => Ok(Refusal::method_not_allowed("GET").response()),
            ("/faults", &Method::GET) => Ok(self.show_faults()),
            ("/faults", &Method::PUT) => Ok(self.set_faults(request).await),
            ("/faults", _) => Ok(Refusal::method_not_allowed("GET, PUT").response()),
            (path, method) => self.look_up(path, method, request.uri().query()).await,
        }
    }

    /// The addresses that have a name in them.
    async fn look_up(
        &self,
        path: &str,
        method: &Method,
        query: Option<&str>,
    ) -> Result<Answer, NoAnswer> {
        let (operation, day) = (path.strip_prefix("/operations/"), path.strip_prefix("/days/"));
        if operation.or(day).is_some() && method != Method::GET {
            return Ok(Refusal::method_not_allowed("GET").response());
        }
        match (operation, day) {
            (Some(id), _) => self.operation(id).await,
            (None, Some(day)) => self.day(day, query).await,
            (None, None) => {
                let detail = "there is no such address; docs/payment-protocol.md has them all";
                Ok(Refusal::new(refusal::Kind::NotFound, detail).response())
            }
        }
    }

    /// `GET /`
    fn about(&self) -> Answer {
        let window = self.state().ledger.window().as_secs();
        ok(&json!({
            "service": "waypost-sandbox",
            "dedupe_window_seconds": window,
            "currencies": CURRENCIES,
        }))
    }

    /// `GET /faults`
    fn show_faults(&self) -> Answer {
        ok(&json!({ "faults": self.state().faults, "seed": self.seed }))
    }

    /// `PUT /faults`
    async fn set_faults(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let read = match request::check_type(&head.headers) {
            Ok(()) => read(body).await,
            Err(refused) => Err(refused),
        };
        let faults = read.and_then(|body| {
            let faults: Faults = request::decode(&body)?;
            faults.check().map_err(|(field, detail)| {
                Refusal::of_field(refusal::Kind::InvalidBody, field, detail)
            })?;
            Ok(faults)
        });
        match faults {
            Ok(faults) => {
                self.state().faults = faults;
                self.show_faults()
            }
            Err(refused) => refused.response(),
        }
    }

    /// `POST /draws`, `/allotments`, `/payouts`, `/messages`
    async fn operate(&self, kind: Kind, request: Request<Incoming>) -> Result<Answer, NoAnswer> {
        let (head, body) = request.into_parts();
        let body = match read(body).await {
            Ok(body) => body,
            Err(refused) => return Ok(refused.response()),
        };
        let decided = self.decide(&Call::read(kind, &head, &body));
        self.finish(decided).await
    }

    /// Decides about a request, and applies it. All under one lock, so that the journal has the
    /// entries in the order of the decisions.
    fn decide(&self, call: &Call<'_>) -> Decided {
        let mut guard = self.state();
        let state = &mut *guard;
        let now: Timestamp = self.clock.now().into();
        let struck = state.faults.strike(&mut state.chance);
        let outcome = if struck.by(Fault::DropBefore) || struck.by(Fault::ErrorBefore) {
            let detail = "nothing was applied; send the same again later";
            Outcome::refused(
                Decision::NotApplied,
                &Refusal::new(refusal::Kind::Unavailable, detail),
            )
        } else {
            match &call.order {
                Err(refused) => Outcome::refused(Decision::Refused, refused),
                Ok((id, order)) => state.carry_out((id, order), call, &struck, now),
            }
        };
        let seen = Seen {
            at: now,
            kind: call.kind,
            operation_id: call.id,
            request_sha256: &call.sha256,
            decision: outcome.decision,
            problem: outcome.problem,
            faults: &struck,
        };
        let entry = self.journal.as_ref().map_or(0, |it| it.add(outcome.applied.as_ref(), &seen));
        if let Some(applied) = outcome.applied {
            state.ledger.add(applied);
        }
        Decided { answer: outcome.answer, struck, delay: state.faults.delay(), entry }
    }

    /// Waits until what is answered is safe, and does to the answer what goes wrong with it.
    async fn finish(&self, decided: Decided) -> Result<Answer, NoAnswer> {
        if let Some(journal) = &self.journal {
            journal.safe(decided.entry).await.map_err(|error| {
                tracing::error!(%error, "a request gets no answer");
                NoAnswer
            })?;
        }
        let struck = &decided.struck;
        if struck.by(Fault::Delay) {
            sleep(decided.delay).await;
        }
        if struck.by(Fault::DropBefore) {
            Err(NoAnswer)
        } else if struck.by(Fault::ErrorBefore) {
            Ok(decided.answer)
        } else if struck.by(Fault::DropAfter) {
            Err(NoAnswer)
        } else if struck.by(Fault::ErrorAfter) {
            let detail = "nobody knows how far it came: ask for the operation";
            Ok(Refusal::new(refusal::Kind::Internal, detail).response())
        } else {
            Ok(decided.answer)
        }
    }

    /// `GET /operations/{id}`
    async fn operation(&self, id: &str) -> Result<Answer, NoAnswer> {
        let decided = {
            let mut guard = self.state();
            let state = &mut *guard;
            let struck = state.faults.strike(&mut state.chance);
            let forgotten = struck.by(Fault::Forget);
            let answer = if struck.by(Fault::ErrorBefore) {
                Refusal::new(refusal::Kind::Unavailable, "ask again later").response()
            } else {
                match state.ledger.find(id).filter(|_| !forgotten) {
                    Some(applied) => ok(&operation(applied)),
                    None => unknown(id).response(),
                }
            };
            Decided { answer, struck, delay: state.faults.delay(), entry: self.last_entry() }
        };
        self.finish(decided).await
    }

    /// `GET /days/{day}`
    async fn day(&self, day: &str, query: Option<&str>) -> Result<Answer, NoAnswer> {
        let (day, from) = match (parse_day(day), parse_after(query)) {
            (Ok(day), Ok(from)) => (day, from),
            (Err(refused), _) | (Ok(_), Err(refused)) => return Ok(refused.response()),
        };
        let decided = {
            let state = self.state();
            let page = state.ledger.day(day, from);
            let (struck, delay) = (Struck::default(), Duration::ZERO);
            Decided { answer: ok(&page_of(day, &page)), struck, delay, entry: self.last_entry() }
        };
        self.finish(decided).await
    }

    /// What was read just now may rest on entries up to this one.
    fn last_entry(&self) -> u64 {
        self.journal.as_ref().map_or(0, Journal::last)
    }
}

impl<'a> Call<'a> {
    fn read(kind: Kind, head: &'a Parts, body: &[u8]) -> Self {
        let key = request::key(&head.headers);
        let id = key.as_ref().ok().copied();
        let order = key.and_then(|id| {
            request::check_type(&head.headers)?;
            Ok((id, request::order(kind, body)?))
        });
        Self { kind, id, sha256: format!("{:x}", HexOf(&Sha256::digest(body))), order }
    }
}

/// Bytes, shown as hexadecimal digits.
struct HexOf<'a>(&'a [u8]);

impl std::fmt::LowerHex for HexOf<'_> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(formatter, "{byte:02x}"))
    }
}

/// What becomes of a request.
struct Outcome {
    answer: Answer,
    decision: Decision,
    problem: Option<&'static str>,
    applied: Option<Applied>,
}

impl Outcome {
    fn refused(decision: Decision, refused: &Refusal) -> Self {
        let problem = Some(refused.kind().name());
        Self { answer: refused.response(), decision, problem, applied: None }
    }
}

impl State {
    fn carry_out(
        &mut self,
        (id, order): (&str, &Order),
        call: &Call<'_>,
        struck: &Struck,
        now: Timestamp,
    ) -> Outcome {
        let forget = struck.by(Fault::Forget);
        let decision = match self.ledger.judge(id, (call.kind, &call.sha256), now.into()) {
            Verdict::New => Decision::Applied,
            Verdict::Forgotten => Decision::AppliedAgain,
            Verdict::Repeated(_) | Verdict::Differs if forget => Decision::AppliedAgain,
            Verdict::Repeated(_) if struck.by(Fault::NotIdempotent) => Decision::AppliedAgain,
            Verdict::Repeated(applied) => {
                let answer = ok(&answer_to(applied));
                let decision = Decision::Repeated;
                return Outcome { answer, decision, problem: None, applied: None };
            }
            Verdict::Differs => {
                let detail = "the operation id belongs to a request with other bytes or of another \
                              kind; take a new id for a new operation";
                let refused = Refusal::new(refusal::Kind::OperationDiffers, detail);
                return Outcome::refused(Decision::Refused, &refused);
            }
        };
        if self.ledger.is_full() {
            let detail = format!(
                "the sandbox has {MOST_OPERATIONS} operations and no room for more; start it again \
                 with another journal"
            );
            let refused = Refusal::new(refusal::Kind::Unavailable, detail);
            return Outcome::refused(Decision::Refused, &refused);
        }
        let amount_minor = match call.kind {
            Kind::Draw => order.minor.map(|most| self.draws.random_range(0..=most)),
            Kind::Allotment | Kind::Payout | Kind::Message => order.minor,
        };
        let applied = Applied {
            at: now,
            kind: call.kind,
            operation_id: id.to_owned(),
            request_sha256: call.sha256.clone(),
            campaign: order.campaign.clone(),
            reward: order.reward.clone(),
            beneficiary: order.beneficiary.clone(),
            currency: order.currency.clone(),
            amount_minor,
            message: order.message.clone(),
        };
        let answer = ok(&answer_to(&applied));
        Outcome { answer, decision, problem: None, applied: Some(applied) }
    }
}

/// The answer to whoever asked for an operation, the first time and each time afterwards.
fn answer_to(applied: &Applied) -> Value {
    match applied.kind {
        Kind::Draw => json!({
            "operation_id": applied.operation_id, "amount_minor": applied.amount_minor,
        }),
        Kind::Allotment | Kind::Payout | Kind::Message => {
            json!({ "operation_id": applied.operation_id, "status": "applied" })
        }
    }
}

/// What became of an operation.
fn operation(applied: &Applied) -> Value {
    let mut body = json!({
        "operation_id": applied.operation_id,
        "kind": applied.kind,
        "status": "applied",
        "request_sha256": applied.request_sha256,
        "applied_at": applied.at,
    });
    if let (Some(amount), Some(fields)) = (applied.amount_minor, body.as_object_mut()) {
        fields.insert("amount_minor".to_owned(), json!(amount));
    }
    body
}

fn unknown(id: &str) -> Refusal {
    let detail = if request::is_operation_id(id) {
        "no operation with this id was applied; send it again with the same bytes, if 80 % of the \
         dedupe window are not over"
    } else {
        "an operation id is 1 to 64 of the characters A-Z a-z 0-9 _ -"
    };
    Refusal::new(refusal::Kind::UnknownOperation, detail)
}

fn parse_day(text: &str) -> Result<Date, Refusal> {
    // Other ways to write a day are none that a caller should come to rely on.
    text.parse::<Date>().ok().filter(|day| day.to_string() == text).ok_or_else(|| {
        let detail = "the day must be written as YYYY-MM-DD, for example /days/2026-11-24";
        Refusal::new(refusal::Kind::InvalidQuery, detail)
    })
}

fn parse_after(query: Option<&str>) -> Result<usize, Refusal> {
    let refuse = || {
        let detail = "the only parameter is 'after', with what 'next' said in the page before";
        Refusal::new(refusal::Kind::InvalidQuery, detail)
    };
    match query.filter(|query| !query.is_empty()) {
        None => Ok(0),
        Some(query) => {
            let number = query.strip_prefix("after=").and_then(|text| text.parse().ok());
            number.ok_or_else(refuse)
        }
    }
}

fn page_of(day: Date, page: &Page<'_>) -> Value {
    let payouts = page.payouts.iter().map(|applied| {
        json!({
            "operation_id": applied.operation_id,
            "campaign": applied.campaign,
            "reward": applied.reward,
            "beneficiary": applied.beneficiary,
            "currency": applied.currency,
            "amount_minor": applied.amount_minor,
            "applied_at": applied.at,
        })
    });
    let mut body = json!({ "day": day, "payouts": payouts.collect::<Vec<Value>>() });
    if let (Some(next), Some(fields)) = (page.next, body.as_object_mut()) {
        fields.insert("next".to_owned(), json!(next.to_string()));
    }
    body
}

fn ok(body: &Value) -> Answer {
    let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Reads a body up to the limits of size and time.
async fn read(body: Incoming) -> Result<Bytes, Refusal> {
    match timeout(BODY_PATIENCE, Limited::new(body, BODY_BYTES).collect()).await {
        Ok(Ok(read)) => Ok(read.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail = format!("at most {BODY_BYTES} bytes are allowed");
            Err(Refusal::new(refusal::Kind::BodyTooLarge, detail))
        }
        Ok(Err(_)) | Err(_) => {
            let detail = "the body did not come whole in time; send it again";
            Err(Refusal::new(refusal::Kind::MalformedBody, detail))
        }
    }
}
