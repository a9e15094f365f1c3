//! Triggers that come at the same time are stored together: one transaction for as many as have come while
//! the ones before them were being stored. Nobody waits for a group to fill; alone, a trigger is a group of one.
//!
//! A group takes the locks of those users whom nobody else has locked. The others' triggers, and all triggers of a
//! group in which something went wrong, are stored one by one, each waiting for its own lock: nobody suffers
//! for somebody else's trigger.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use tokio::sync::{Semaphore, oneshot};

use super::Error;
use crate::metrics::Metrics;
use crate::planted::{Bug, planted};
use crate::reward::granting::{Granted, Granting, Reached};
use crate::store::triggers::{self, NewTrigger, Stored};
use crate::store::user_locks::{self, LockKey};
use crate::store::{self, Prepared, Store};

/// Triggers in one transaction.
const MOST: usize = 250;
/// Transactions at a time: while one is committed, the next one is filled.
const WRITERS: usize = 2;
/// Triggers that wait; more are told to come again later.
const WAITING: usize = 20_000;

/// A trigger that waits to be stored.
#[derive(Clone, Debug)]
pub(super) struct Waiting {
    /// What was told.
    pub(super) new: NewTrigger,
    /// Whether its campaign takes no more: then it is only looked up.
    pub(super) retired: bool,
}

impl Waiting {
    fn lock(&self) -> LockKey {
        LockKey::user(&self.new.campaign, &self.new.user)
    }
}

/// Its number, when it was first told, and whether that was just now.
type Answer = Result<(i64, Timestamp, bool), Error>;

struct Entry {
    waiting: Waiting,
    answer: oneshot::Sender<Answer>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Groups {
    store: Store,
    granting: Arc<Granting>,
    metrics: Arc<Metrics>,
    queue: Mutex<VecDeque<Entry>>,
    writers: Semaphore,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entry").finish_non_exhaustive()
    }
}

impl Groups {
    pub(super) fn new(store: Store, granting: Arc<Granting>, metrics: Arc<Metrics>) -> Self {
        let writers = Semaphore::new(WRITERS);
        Self { store, granting, metrics, queue: Mutex::default(), writers }
    }

    /// Stores a trigger, with whatever else waits. What was begun is finished, even when nobody waits for the
    /// answer any more.
    pub(super) async fn put(self: &Arc<Self>, waiting: Waiting) -> Answer {
        let (answer, answered) = oneshot::channel();
        {
            let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
            if queue.len() >= WAITING {
                let why = format!("{WAITING} triggers wait to be stored");
                return Err(Error::Store(Arc::new(store::Error::Unavailable(why))));
            }
            queue.push_back(Entry { waiting, answer });
        }
        // Whoever writes looks at the queue once more after its turn, so that nobody is forgotten.
        if self.writers.available_permits() > 0 {
            let groups = Arc::clone(self);
            tokio::spawn(async move { groups.write().await });
        }
        let lost = || store::Error::Unavailable("the writer of triggers stopped".to_owned());
        answered.await.unwrap_or_else(|_gone| Err(Error::Store(Arc::new(lost()))))
    }

    async fn write(self: &Arc<Self>) {
        while !self.is_empty() {
            let Ok(_turn) = self.writers.try_acquire() else { return };
            while let Some(group) = self.next() {
                self.store(group).await;
            }
        }
    }

    fn is_empty(&self) -> bool {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner).is_empty()
    }

    fn next(&self) -> Option<Vec<Entry>> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        let count = queue.len().min(MOST);
        (count > 0).then(|| queue.drain(..count).collect())
    }

    async fn store(self: &Arc<Self>, group: Vec<Entry>) {
        if planted(Bug::AcknowledgeBeforeCommit) {
            return self.acknowledge_then_store(group).await;
        }
        let waiting: Vec<&Waiting> = group.iter().map(|it| &it.waiting).collect();
        let mut answers: Vec<Option<Answer>> = match self.together(&waiting).await {
            Ok(answers) => answers,
            Err(error) if error.is_outage() || group.len() == 1 => {
                let error = Arc::new(error);
                group.iter().map(|_| Some(Err(Error::Store(Arc::clone(&error))))).collect()
            }
            Err(error) => {
                tracing::warn!(%error, triggers = group.len(), "stored one by one instead");
                group.iter().map(|_| None).collect()
            }
        };
        let mut left = Vec::new();
        for (entry, answer) in group.into_iter().zip(answers.drain(..)) {
            match answer {
                // Who asked may have gone.
                Some(answer) => drop(entry.answer.send(answer)),
                None => left.push(entry),
            }
        }
        // Beside the groups that come next, which must not wait for these locks.
        for Entry { waiting, answer } in left {
            let groups = Arc::clone(self);
            tokio::spawn(async move {
                let outcome = groups.alone(&waiting).await;
                let outcome = outcome.unwrap_or_else(|error| Err(Error::Store(Arc::new(error))));
                drop(answer.send(outcome));
            });
        }
    }

    /// [`Bug::AcknowledgeBeforeCommit`]: whoever is answered believes what may never be stored.
    async fn acknowledge_then_store(&self, group: Vec<Entry>) {
        for Entry { waiting, answer } in group {
            let Ok(mut connection) = self.store.rewards().await else { continue };
            let Ok(transaction) = connection.transaction().await else { continue };
            if user_locks::take(&transaction, [waiting.lock()]).await.is_err() {
                continue;
            }
            let Ok((mut answers, _)) = self.process(&transaction, &[&waiting]).await else {
                continue;
            };
            drop(answer.send(answers.pop().expect("one for each")));
            drop(transaction.commit().await);
        }
    }

    /// Stores those whose users nobody else has locked, in one transaction. The others are not answered.
    async fn together(&self, group: &[&Waiting]) -> Result<Vec<Option<Answer>>, store::Error> {
        let mut connection = self.store.rewards().await?;
        let transaction = connection.transaction().await?;
        let locks = group.iter().map(|it| it.lock());
        let free = user_locks::try_take(&transaction, locks).await?;
        let ours: Vec<&Waiting> =
            group.iter().copied().filter(|it| free.contains(&it.lock())).collect();
        let (mut answers, granted) = self.process(&transaction, &ours).await?;
        transaction.commit().await?;
        self.metrics
            .rewards
            .trigger_group
            .observe(f64::from(u32::try_from(ours.len()).unwrap_or(u32::MAX)));
        self.granting.count(granted);
        let mut answers = answers.drain(..);
        let answer = |it: &&Waiting| if free.contains(&it.lock()) { answers.next() } else { None };
        Ok(group.iter().map(answer).collect())
    }

    /// Stores one, once its user's lock is free.
    async fn alone(&self, waiting: &Waiting) -> Result<Answer, store::Error> {
        let lock = waiting.lock();
        let _turn = self.store.turns().next(lock).await?;
        let mut connection = self.store.connection().await?;
        let transaction = connection.transaction().await?;
        user_locks::take(&transaction, [lock]).await?;
        let (mut answers, granted) = self.process(&transaction, &[waiting]).await?;
        transaction.commit().await?;
        self.granting.count(granted);
        Ok(answers.pop().expect("one for each"))
    }

    /// Stores triggers whose users are locked, and grants what they earn. An answer for each.
    async fn process(
        &self,
        transaction: &Prepared<'_>,
        group: &[&Waiting],
    ) -> Result<(Vec<Answer>, Granted), store::Error> {
        let taken: Vec<&NewTrigger> =
            group.iter().filter(|it| !it.retired).map(|it| &it.new).collect();
        let mut stored = triggers::put(transaction, &taken).await?;
        // Whoever repeats what was stored in time is answered, and so is who repeats it within the group.
        let mut missing: Vec<&NewTrigger> = group.iter().map(|it| &it.new).collect();
        missing.retain(|new| !stored.contains_key(&new.name()));
        let known = if missing.is_empty() {
            HashMap::default()
        } else {
            triggers::find(transaction, &missing).await?
        };
        let mut reached = Vec::new();
        let mut again = HashMap::new();
        let mut answers = Vec::with_capacity(group.len());
        for Waiting { new, .. } in group.iter().copied() {
            let name = new.name();
            if let Some(fresh) = stored.remove(&name) {
                reached.push(Reached {
                    trigger_id: fresh.id,
                    campaign: &new.campaign,
                    kind: &new.kind,
                    user: &new.user,
                    occurred_at: new.occurred_at,
                });
                again.insert(name, fresh);
                answers.push(Ok((fresh.id, fresh.received_at, true)));
                continue;
            }
            answers.push(match again.get(&name).or_else(|| known.get(&name)) {
                Some(Stored { id, received_at, body_hash }) if *body_hash == new.body_hash => {
                    Ok((*id, *received_at, false))
                }
                Some(_) => Err(Error::Differs),
                None => Err(Error::Retired),
            });
        }
        let granted = match self.granting.grant(transaction, &reached).await {
            Err(_ignored) if planted(Bug::SwallowedSqlError) => Granted::default(),
            granted => granted?,
        };
        Ok((answers, granted))
    }
}
