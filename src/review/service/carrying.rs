//! Carrying out what was decided, and what nobody has to ask for: cases that are missing, that have waited too
//! long, or whose process died.

use jiff::{SignedDuration, Timestamp};

use super::{Error, Reviews, find_subject, nobody, rows, store};
use crate::review::case::{Event, Place, SubjectRef, What};
use crate::review::command::{Act, Refusal};
use crate::review::flow::Subject;
use crate::reward::compensations::service as compensations;
use crate::reward::desk;
use crate::reward::desk::service as rewards;
use crate::store::review::StoredCase;
use crate::store::review::list;
use crate::store::review::subjects;

/// How many of each are looked at in a round.
const SET: u32 = 200;
/// How many of a round may be locked by others for long before it ends.
const PATIENCE: u32 = 5;
/// After how long somebody else carries out what a process began and did not end.
const LEFT_ALONE: SignedDuration = SignedDuration::from_secs(60);
/// The longest reason that subjects keep, in characters.
const LONGEST_REASON: usize = 500;

/// What became of a subject that was to be carried out.
enum Outcome {
    Done,
    /// Nothing was done, and may be later.
    Failed(String),
    /// There is nothing left to be done.
    Gone(String),
}

impl Reviews {
    /// Carries out what was decided on a case, and tells it. It may be repeated.
    pub async fn carry_out(&self, id: i64) -> Result<(), Error> {
        let full = self.get(id).await?;
        let stored = full.stored;
        let Some((by, words)) = last_decision(&stored.history) else { return Ok(()) };
        let reason: String = format!("case {id}: {words}").chars().take(LONGEST_REASON).collect();
        match stored.case.place {
            Place::Execute => {
                let act = match self.grant(&stored, by, &reason).await? {
                    Outcome::Done => Act::Executed,
                    Outcome::Failed(reason) => Act::ExecutionFailed { reason },
                    Outcome::Gone(reason) => Act::Withdraw { reason },
                };
                self.tell(id, act).await
            }
            Place::Rejected => self.refuse(&stored, by, &reason).await,
            Place::Node(_) | Place::Executed | Place::Withdrawn => Ok(()),
        }
    }

    async fn grant(&self, stored: &StoredCase, by: &str, reason: &str) -> Result<Outcome, Error> {
        let SubjectRef { subject, key } = &stored.subject;
        let Ok(id) = key.parse() else { return Ok(Outcome::Gone("it has no number".to_owned())) };
        match subject {
            Subject::Reward => {
                match self.rewards.desk.carry_out_case(by, id, desk::Act::Approve, reason).await {
                    Ok(_reward) => Ok(Outcome::Done),
                    Err(rewards::Error::Store(error)) => Err(error.into()),
                    Err(error @ rewards::Error::BudgetExhausted { .. }) => {
                        Ok(Outcome::Failed(error.to_string()))
                    }
                    Err(
                        error @ (rewards::Error::NotFound(_)
                        | rewards::Error::Invalid(_)
                        | rewards::Error::UnderReview(_)
                        | rewards::Error::OtherState(..)),
                    ) => Ok(Outcome::Gone(error.to_string())),
                }
            }
            Subject::Compensation => {
                match self.rewards.compensations.approve_case(by, id, reason).await {
                    Ok(_done) => Ok(Outcome::Done),
                    Err(compensations::Error::Store(error)) => Err(error.into()),
                    Err(
                        error @ (compensations::Error::NotFound(_)
                        | compensations::Error::Invalid(_)
                        | compensations::Error::OwnRequest
                        | compensations::Error::UnderReview(_)
                        | compensations::Error::Decided(..)),
                    ) => Ok(Outcome::Gone(error.to_string())),
                }
            }
            // Nobody opens cases about these.
            Subject::CapLift | Subject::Reversal | Subject::Activation => {
                Ok(Outcome::Gone("nothing carries this out".to_owned()))
            }
        }
    }

    async fn refuse(&self, stored: &StoredCase, by: &str, reason: &str) -> Result<(), Error> {
        let SubjectRef { subject, key } = &stored.subject;
        let Ok(id) = key.parse() else { return Ok(()) };
        // Where it was decided on already, nothing is left to be done.
        match subject {
            Subject::Reward => {
                match self.rewards.desk.carry_out_case(by, id, desk::Act::Deny, reason).await {
                    Err(rewards::Error::Store(error)) => Err(error.into()),
                    Ok(_) | Err(_) => Ok(()),
                }
            }
            Subject::Compensation => {
                match self.rewards.compensations.reject_case(by, id, reason).await {
                    Err(compensations::Error::Store(error)) => Err(error.into()),
                    Ok(_) | Err(_) => Ok(()),
                }
            }
            Subject::CapLift | Subject::Reversal | Subject::Activation => Ok(()),
        }
    }

    /// Does something to a case that nobody asked for.
    async fn tell(&self, id: i64, act: Act) -> Result<(), Error> {
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        match self.decide(&transaction, id, (nobody(), act), (None, false)).await {
            Ok(_) => Ok(transaction.commit().await.map_err(store::Error::from)?),
            // Another process was faster.
            Err(Error::Refused(Refusal::Closed(_) | Refusal::NotExecuting | Refusal::NotDue)) => {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// One round: opens cases for what waits without one, moves on what has waited too long, ends what was left
    /// half done. Says how many cases it opened.
    pub async fn round(&self) -> Result<usize, Error> {
        let now = self.now();
        let mut patience = Patience(PATIENCE);
        let opened = self.open_missing(&mut patience).await?;
        for id in self.numbers(Look::Overdue(now)).await? {
            patience.pass(id, self.tell(id, Act::Escalate).await)?;
        }
        let before = now.checked_sub(LEFT_ALONE).unwrap_or(now);
        for id in self.numbers(Look::Executing(before)).await? {
            patience.pass(id, self.carry_out(id).await)?;
        }
        self.show_figures().await?;
        Ok(opened)
    }

    async fn numbers(&self, look: Look) -> Result<Vec<i64>, Error> {
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        let numbers = match look {
            Look::Overdue(now) => list::overdue(&transaction, now, SET).await?,
            Look::Executing(before) => list::executing(&transaction, before, SET).await?,
            Look::Without(subject) => subjects::without_case(&transaction, subject, SET).await?,
        };
        Ok(numbers)
    }

    async fn open_missing(&self, patience: &mut Patience) -> Result<usize, Error> {
        let mut opened = 0;
        for subject in Subject::ALL {
            for id in self.numbers(Look::Without(subject)).await? {
                let subject = SubjectRef { subject, key: id.to_string() };
                match self.see_to(&subject).await {
                    Ok(is_new) => opened += usize::from(is_new),
                    Err(error) => patience.pass(id, Err(error))?,
                }
            }
        }
        Ok(opened)
    }

    /// Opens the case of a subject that waits without one, or says no to it if that was decided before and the
    /// process died then. Says whether a case was opened.
    async fn see_to(&self, subject: &SubjectRef) -> Result<bool, Error> {
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await.map_err(store::Error::from)?;
        if let Some(last) = list::latest(&transaction, subject).await?.map(|it| it.id) {
            let stored = rows::find(&transaction, last).await?;
            let found = find_subject(&transaction, subject).await?;
            let is_same = stored.as_ref().zip(found.as_ref()).is_some_and(|(stored, found)| {
                stored.case.opening.hash == super::hash(&found.identity)
            });
            if is_same && stored.is_some_and(|it| it.case.place == Place::Rejected) {
                drop(transaction);
                drop(connection);
                self.carry_out(last).await?;
                return Ok(false);
            }
        }
        let opened = self.open_within(&transaction, subject).await?;
        transaction.commit().await.map_err(store::Error::from)?;
        drop(connection);
        // Its checks may have decided already.
        if let Some(id) = opened {
            self.carry_out(id).await?;
        }
        Ok(opened.is_some())
    }

    async fn show_figures(&self) -> Result<(), Error> {
        let waiting = list::waiting(&self.store).await?;
        let shown = &self.metrics.reviews;
        // Nodes in which nothing waits any more are not there.
        shown.open.reset();
        shown.oldest_seconds.reset();
        for it in waiting {
            let labels = [it.subject.as_str(), it.node.as_str()];
            shown.open.with_label_values(&labels).set(it.cases);
            shown.oldest_seconds.with_label_values(&labels).set(it.oldest_seconds);
        }
        Ok(())
    }
}

/// Which cases, or subjects without a case, are looked for.
enum Look {
    Overdue(Timestamp),
    Executing(Timestamp),
    Without(Subject),
}

/// How many more may fail in a round for want of the database, or of a lock that others hold.
struct Patience(u32);

impl Patience {
    /// One case, or one subject, that cannot be helped must not keep the others waiting. Nothing goes on without
    /// the database.
    fn pass(&mut self, id: i64, outcome: Result<(), Error>) -> Result<(), Error> {
        match outcome {
            Err(Error::Store(error)) if error.is_outage() => {
                if self.0 == 0 {
                    return Err(error.into());
                }
                self.0 -= 1;
                tracing::warn!(id, %error, "a review goes on in the next round");
                Ok(())
            }
            Err(error) => {
                tracing::error!(id, %error, "a review cannot go on: look at it");
                Ok(())
            }
            Ok(()) => Ok(()),
        }
    }
}

/// Who decided last, and in which words.
fn last_decision(history: &[Event]) -> Option<(&str, &str)> {
    history.iter().rev().find_map(|event| match &event.what {
        What::Approved { note, .. } => Some((event.by.as_str(), note.as_str())),
        What::Rejected { reason } => Some((event.by.as_str(), reason.as_str())),
        What::Opened(_)
        | What::Entered { .. }
        | What::Passed { .. }
        | What::Claimed { .. }
        | What::Released { .. }
        | What::Delegated { .. }
        | What::EvidenceAsked { .. }
        | What::EvidenceAdded { .. }
        | What::Jumped { .. }
        | What::Escalated { .. }
        | What::SubjectChanged { .. }
        | What::Withdrawn { .. }
        | What::Executed
        | What::ExecutionFailed { .. } => None,
    })
}
