//! One task: what is to be done, doing it, and what that means for the reward.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;

use super::{Engine, backoff};
use crate::campaign::Campaign;
use crate::clock::Stopwatch;
use crate::planted::{Boundary, Bug, Struck, planted, struck};
use crate::reward::cards::{self, Plan};
use crate::reward::draw::{self, Drawn, Evidence};
use crate::reward::machine::{Event, State, StepKind};
use crate::reward::operation::RewardKey;
use crate::reward::payment::{Asked, Call, Sent};
use crate::store::rewards::tasks::{Claimed, Finished, GivenBack};

/// Who does the steps, in the log.
pub(super) const ACTOR: &str = "waypost";

/// Why rewards are parked, besides the problems that the payment service names. Stable codes: they are in
/// the log.
mod reasons {
    /// It was tried too often, and nobody knows whether it was applied.
    pub(super) const ATTEMPTS_SPENT: &str = "attempts-spent";
    /// Nobody knows whether it was applied, and the payment service may have forgotten it.
    pub(super) const WINDOW_PASSED: &str = "dedupe-window-passed";
    /// The payment service knows another operation by this id.
    pub(super) const OPERATION_DIFFERS: &str = "operation-differs";
    /// The version of the campaign that was promised cannot be read.
    pub(super) const PROMISE_UNREADABLE: &str = "promise-unreadable";
}

/// The refusal that is about us and not about the operation: until we are let in, nobody is asked anything.
const NOT_LET_IN: &str = "status-401";

/// How long a task waits that cannot be done here, though perhaps elsewhere.
const UNREADABLE: Duration = Duration::from_mins(1);

/// What came of a task.
pub(super) enum Outcome {
    /// The reward goes on.
    Finished(Box<Finished>),
    /// It is to be done again later.
    GivenBack(GivenBack),
    /// A reminder that nobody can be sent.
    Dropped,
}

/// What became of an operation.
enum Operation {
    Applied(Option<i64>),
    /// A person has to look at it.
    Stop(String),
    /// To be tried again. `surely_not` tells that it was not applied by this attempt.
    Again {
        after: Option<Duration>,
        surely_not: bool,
    },
    /// There was no time left to begin it.
    NotBegun,
}

impl Engine {
    /// Does the step of a task. It was claimed when `leased` was started.
    pub(super) async fn act(&self, task: &Claimed, leased: &Stopwatch) -> Outcome {
        if task.step == StepKind::Remind && task.state != State::New {
            // It was scratched, or is over, while the reminder was being made.
            return Outcome::Dropped;
        }
        let said = match self.promise(task).await {
            Ok(said) => said,
            Err(given_back) => return given_back,
        };
        let said = said.as_deref();
        let Some((id, request)) = &task.operation else {
            return self.draw(task, said);
        };
        if struck(Boundary::Claimed) != Struck::No {
            return again(task, Duration::ZERO, true, false);
        }
        let (id, request) = self.spoiled(task, said, (id, request));
        let operation = self.operation(task, leased, &id, &request).await;
        match operation {
            Operation::Applied(amount_minor) => self.applied(task, said, amount_minor),
            Operation::Stop(_) if task.step == StepKind::Remind => {
                self.reminded("given_up");
                Outcome::Dropped
            }
            Operation::Stop(reason) => {
                tracing::warn!(reward = task.reward_id, step = task.step.name(), reason, "parked");
                finished(task, Event::Park, State::Parked, Some(reason))
            }
            Operation::Again { .. }
                if task.attempts >= backoff::ATTEMPTS && task.step == StepKind::Remind =>
            {
                self.reminded("given_up");
                Outcome::Dropped
            }
            Operation::Again { .. }
                if task.attempts >= backoff::ATTEMPTS && !self.breaker(task.step).is_open() =>
            {
                tracing::warn!(reward = task.reward_id, "parked: tried too often");
                let reason = Some(reasons::ATTEMPTS_SPENT.to_owned());
                finished(task, Event::Park, State::Parked, reason)
            }
            Operation::Again { after, surely_not } => {
                let wait = backoff::wait(task.attempts, rand::random());
                let wait = after.map_or(wait, |after| after.saturating_add(wait));
                // While nobody is asked, nobody's attempts are used up.
                let counts = !self.breaker(task.step).is_open();
                again(task, wait, counts, surely_not && !task.sent_before)
            }
            Operation::NotBegun => again(task, Duration::ZERO, false, !task.sent_before),
        }
    }

    /// What was promised, where the step goes by it: a draw of our own does, and the life of a card. A payout
    /// does not wait for a document that nobody needs for it.
    async fn promise(&self, task: &Claimed) -> Result<Option<Arc<Campaign>>, Outcome> {
        if task.operation.is_some() && task.step != StepKind::Allot {
            return Ok(None);
        }
        let pinned = &self.parts.pinned;
        match pinned.find(&self.parts.store, &task.campaign, task.version).await {
            Ok(said) => Ok(Some(said)),
            Err(error) if error.is_outage() => {
                Err(again(task, backoff::wait(1, rand::random()), false, !task.sent_before))
            }
            Err(error) => {
                tracing::error!(%error, reward = task.reward_id, "the promise cannot be read");
                Err(unreadable(task))
            }
        }
    }

    /// The operation as it is to be sent: as it was stored, but for planted bugs.
    fn spoiled<'a>(
        &self,
        task: &Claimed,
        said: Option<&Campaign>,
        (id, request): (&'a str, &'a [u8]),
    ) -> (Cow<'a, str>, Cow<'a, [u8]>) {
        let stored = (Cow::Borrowed(id), Cow::Borrowed(request));
        if planted(Bug::NewOperationIdPerRetry) && task.attempts > 1 {
            return (Cow::Owned(format!("{id}-{}", task.attempts)), stored.1);
        }
        let again = planted(Bug::DrawAgainAfterCrash) && task.sent_before;
        let earned = said.and_then(|said| said.earned(&task.kind, task.side)).filter(|_| again);
        match earned.and_then(|earned| draw::built_in(earned, rand::random)) {
            Some(drawn) if task.step == StepKind::Allot && drawn.amount_minor > 0 => {
                let money = (task.currency.as_str(), drawn.amount_minor);
                let ids = &self.parts.ids;
                let drawn = ids.operation(&key(task), StepKind::Allot, &task.beneficiary, money);
                (stored.0, Cow::Owned(drawn.1))
            }
            Some(_) | None => stored,
        }
    }

    /// Draws without asking anybody.
    fn draw(&self, task: &Claimed, said: Option<&Campaign>) -> Outcome {
        let earned = said.and_then(|said| said.earned(&task.kind, task.side));
        let drawn = earned.and_then(|earned| draw::built_in(earned, rand::random));
        if struck(Boundary::Drawn) != Struck::No {
            return again(task, Duration::ZERO, true, false);
        }
        let Some(drawn) = drawn else {
            tracing::error!(reward = task.reward_id, "nothing is promised for it any more");
            return unreadable(task);
        };
        self.drawn(task, &drawn)
    }

    fn drawn(&self, task: &Claimed, drawn: &Drawn) -> Outcome {
        let evidence = serde_json::to_string(&drawn.evidence).expect("names and numbers");
        let amount = drawn.amount_minor;
        let (event, to) =
            if amount == 0 { (Event::Blank, State::NoPrize) } else { (Event::Draw, State::Drawn) };
        let next = (amount > 0).then(|| {
            let money = (task.currency.as_str(), amount);
            let operation =
                self.parts.ids.operation(&key(task), StepKind::Allot, &task.beneficiary, money);
            (StepKind::Allot, operation.0, operation.1)
        });
        let drawn = Some((amount, evidence));
        Outcome::Finished(Box::new(Finished { drawn, next, ..Finished::bare(task, event, to) }))
    }

    /// What an operation that was applied means for the reward.
    fn applied(
        &self,
        task: &Claimed,
        said: Option<&Campaign>,
        amount_minor: Option<i64>,
    ) -> Outcome {
        match task.step {
            StepKind::Draw => {
                let amount_minor = amount_minor.unwrap_or(0);
                let drawn = Drawn { amount_minor, evidence: Evidence::PaymentService };
                self.drawn(task, &drawn)
            }
            StepKind::Allot => {
                let said = said.expect("read before anything is allotted");
                let now = Timestamp::from(self.parts.clock.now());
                let Plan { due_at, expires_at } = cards::plan(&said.scratch_card, now);
                let bare = Finished::bare(task, Event::Allot, State::New);
                Outcome::Finished(Box::new(Finished { card: Some((due_at, expires_at)), ..bare }))
            }
            StepKind::Pay => finished(task, Event::Pay, State::Paid, None),
            StepKind::Remind => {
                self.reminded("sent");
                finished(task, Event::Remind, State::New, None)
            }
        }
    }

    /// Sends the request, or finds out what became of it.
    async fn operation(
        &self,
        task: &Claimed,
        leased: &Stopwatch,
        id: &str,
        request: &[u8],
    ) -> Operation {
        let call = call(task.step);
        let _turn = self.calls.acquire().await.expect("never closed");
        let settings = &self.settings;
        if leased.elapsed() + settings.deadline >= settings.lease {
            // Somebody else may have it by the time that there is an answer.
            return Operation::NotBegun;
        }
        if task.sent_before
            && !planted(Bug::NewOperationIdPerRetry)
            && !planted(Bug::DrawAgainAfterCrash)
        {
            match self.measured(call, "ask", self.parts.payment.ask(call, id, request)).await {
                Asked::Applied { amount_minor } => return self.heard(task, amount_minor),
                Asked::Differs { detail } => {
                    tracing::warn!(reward = task.reward_id, detail, "another operation by this id");
                    return Operation::Stop(reasons::OPERATION_DIFFERS.to_owned());
                }
                Asked::NotKnown => {}
                Asked::NoAnswer { why } => {
                    self.breaker(task.step).failed(&why);
                    return Operation::Again { after: None, surely_not: false };
                }
            }
            let ago = task.known_for + leased.elapsed();
            let window = self.dedupe_window().unwrap_or_default();
            if backoff::is_too_old(ago, window) && !planted(Bug::ResendAfterDedupeWindow) {
                return Operation::Stop(reasons::WINDOW_PASSED.to_owned());
            }
        }
        let request = Bytes::copy_from_slice(request);
        let send =
            || self.measured(call, "send", self.parts.payment.send(call, id, request.clone()));
        let (mut answer, on_its_way) = tokio::join!(send(), async {
            tokio::task::yield_now().await;
            struck(Boundary::Sent)
        });
        match (on_its_way, struck(Boundary::Answered)) {
            (Struck::No, Struck::No) => {}
            (Struck::Repeat, _) | (_, Struck::Repeat) => answer = send().await,
            (Struck::Fail, _) | (_, Struck::Fail) => {
                answer = Sent::Unknown { why: "struck".to_owned() };
            }
        }
        match answer {
            Sent::Applied { amount_minor } => self.heard(task, amount_minor),
            Sent::Refused { problem, detail } if problem == NOT_LET_IN => {
                self.breaker(task.step).trip(&detail);
                Operation::Again { after: None, surely_not: true }
            }
            Sent::Refused { problem, detail } => {
                tracing::warn!(reward = task.reward_id, problem, detail, "refused");
                self.breaker(task.step).succeeded();
                Operation::Stop(problem)
            }
            Sent::Later { after, why } => {
                self.breaker(task.step).failed(&why);
                Operation::Again { after, surely_not: true }
            }
            Sent::Unknown { why } => {
                self.breaker(task.step).failed(&why);
                Operation::Again { after: None, surely_not: false }
            }
        }
    }

    fn heard(&self, task: &Claimed, amount_minor: Option<i64>) -> Operation {
        self.breaker(task.step).succeeded();
        Operation::Applied(amount_minor)
    }

    fn breaker(&self, step: StepKind) -> &crate::breaker::Breaker {
        match step {
            StepKind::Draw | StepKind::Allot | StepKind::Pay => &self.money,
            StepKind::Remind => &self.messages,
        }
    }

    async fn measured<A: Answered>(
        &self,
        call: Call,
        how: &'static str,
        answer: impl Future<Output = A>,
    ) -> A {
        let clock = Stopwatch::start();
        let answer = answer.await;
        let figures = &self.parts.metrics.rewards;
        let name = match how {
            "ask" => "ask",
            _ => call.name(),
        };
        figures.call_seconds.with_label_values(&[name]).observe(clock.elapsed().as_secs_f64());
        figures.calls.with_label_values(&[name, answer.outcome()]).inc();
        answer
    }

    fn reminded(&self, outcome: &str) {
        self.parts.metrics.rewards.reminders.with_label_values(&[outcome]).inc();
    }
}

/// What figures call an answer.
trait Answered {
    fn outcome(&self) -> &'static str;
}

impl Answered for Sent {
    fn outcome(&self) -> &'static str {
        match self {
            Self::Applied { .. } => "applied",
            Self::Refused { .. } => "refused",
            Self::Later { .. } => "later",
            Self::Unknown { .. } => "unknown",
        }
    }
}

impl Answered for Asked {
    fn outcome(&self) -> &'static str {
        match self {
            Self::Applied { .. } => "applied",
            Self::Differs { .. } => "differs",
            Self::NotKnown => "not_known",
            Self::NoAnswer { .. } => "unknown",
        }
    }
}

fn call(step: StepKind) -> Call {
    match step {
        StepKind::Draw => Call::Draw,
        StepKind::Allot => Call::Allot,
        StepKind::Pay => Call::Pay,
        StepKind::Remind => Call::Message,
    }
}

fn key(task: &Claimed) -> RewardKey<'_> {
    RewardKey {
        campaign: &task.campaign,
        invitee: &task.invitee,
        kind: &task.kind,
        side: task.side,
    }
}

fn finished(task: &Claimed, event: Event, to: State, reason: Option<String>) -> Outcome {
    Outcome::Finished(Box::new(Finished { reason, ..Finished::bare(task, event, to) }))
}

/// A task that cannot be done by this program, though perhaps by another one; in the end people look at it.
fn unreadable(task: &Claimed) -> Outcome {
    if task.attempts >= backoff::ATTEMPTS {
        let reason = Some(reasons::PROMISE_UNREADABLE.to_owned());
        return finished(task, Event::Park, State::Parked, reason);
    }
    again(task, UNREADABLE, true, !task.sent_before)
}

fn again(task: &Claimed, wait: Duration, counts: bool, unknown: bool) -> Outcome {
    let (reward_id, step, epoch) = (task.reward_id, task.step, task.epoch);
    Outcome::GivenBack(GivenBack { reward_id, step, epoch, wait, counts, unknown })
}

/// The task that follows at once on one that is recorded, under the same lease begun anew.
pub(super) fn next(before: Claimed, finished: Finished) -> Option<Claimed> {
    let (step, id, request) = finished.next?;
    Some(Claimed {
        step,
        attempts: 1,
        sent_before: false,
        known_for: Duration::ZERO,
        operation: Some((id, request)),
        amount_minor: finished.drawn.map(|(amount, _)| amount).or(before.amount_minor),
        state: finished.to,
        log_version: before.log_version + 1,
        ..before
    })
}

#[cfg(test)]
mod tests {
    use super::reasons;

    #[test]
    fn every_reason_stands_in_the_documentation() {
        let page = include_str!("../../../docs/rewards.md");
        for reason in [
            reasons::ATTEMPTS_SPENT,
            reasons::WINDOW_PASSED,
            reasons::OPERATION_DIFFERS,
            reasons::PROMISE_UNREADABLE,
        ] {
            assert!(page.contains(&format!("| `{reason}` |")), "{reason}");
        }
    }
}
