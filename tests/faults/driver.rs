//! The process that is all apps and backends: it asks, and writes down what it asks and what it is answered.
//!
//! What it does follows from the seed; when it does it does not.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::join_all;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio::time::Instant;
use waypost::clock::Clock;

use super::driver_cards::Cards;
use super::journal::Journal;
use super::preset::{Order, Preset};
use super::run::{CAMPAIGN, Plan};
use super::shared::support::Client;
use super::shared::support::wait::hold;
use super::words::Words;

/// How often somebody asks again who had no answer, and how long they wait before.
const TRIES: usize = 150;
const PAUSE: Duration = Duration::from_millis(200);
/// For how long people come at most: most of a usual run.
const LONGEST_SPAN: Duration = Duration::from_secs(20);
/// Kinds of triggers that the campaign rewards.
const KINDS: [&str; 2] = ["credit_granted", "loan_disbursed"];

/// One who asks.
pub(crate) struct Asker {
    plan: Plan,
    journal: Journal,
    turn: AtomicUsize,
}

/// A question: what the journal calls it, its path and body, and what the checker has to know besides.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Question<'a> {
    pub(crate) what: &'static str,
    pub(crate) path: &'a str,
    pub(crate) body: &'a Value,
    pub(crate) more: &'a [(&'a str, Value)],
}

impl Asker {
    /// What happens in this run.
    pub(crate) fn preset(&self) -> &'static Preset {
        self.plan.preset()
    }

    /// The seed of this run.
    pub(crate) fn seed(&self) -> u64 {
        self.plan.seed
    }

    /// The workers take turns.
    fn worker(&self) -> SocketAddr {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % self.plan.workers.len();
        *self.plan.workers.get(turn).expect("a turn of one of them")
    }

    /// Asks a worker once, without a word in the journal. None: no answer.
    pub(crate) async fn look(&self, path: &str) -> Option<Value> {
        let (status, answer) = self.send("GET", path, &Value::Null).await?;
        (status == 200).then_some(answer)
    }

    async fn send(&self, method: &str, path: &str, body: &Value) -> Option<(u16, Value)> {
        let headers =
            [("authorization", self.plan.key.as_str()), ("content-type", "application/json")];
        let text = if body.is_null() { String::new() } else { body.to_string() };
        let asked = async {
            let mut client = Client::connect(self.worker()).await.ok()?;
            client.send(method, path, &headers, text).await.ok()
        };
        // A backend does not wait for longer either, before it asks again.
        let answer = tokio::time::timeout(Duration::from_secs(12), asked).await.ok()??;
        let body = serde_json::from_slice(&answer.body).ok()?;
        Some((answer.status, body))
    }

    /// Asks once, in writing. None: no answer, and nobody knows.
    pub(crate) async fn ask_once(&self, question: Question<'_>) -> Option<(u16, Value)> {
        let intent = self.journal.intend(question.what, question.body, question.more);
        let (status, body) = self.send("POST", question.path, question.body).await?;
        self.journal.answered(intent, status, &body);
        Some((status, body))
    }

    /// Asks until there is an answer that decides it: neither "try again later" nor none.
    pub(crate) async fn ask(&self, question: Question<'_>) -> Option<(u16, Value)> {
        for _ in 0..TRIES {
            match self.ask_once(question).await {
                Some((status, body)) if status < 500 && status != 429 => {
                    return Some((status, body));
                }
                Some(_) | None => hold(PAUSE).await,
            }
        }
        None
    }

    async fn bind(&self, invitee: &str, number: usize, device: &str) {
        let code = self.plan.codes.get(number).expect("a code for each inviter");
        let body = json!({ "code": code, "invitee": invitee, "device": device });
        let path = format!("/v1/campaigns/{CAMPAIGN}/bindings");
        let more = [("inviter", json!(Plan::inviter(number)))];
        self.ask(Question { what: "binding", path: &path, body: &body, more: &more }).await;
    }

    /// Tells of events, all at once; some of them again, in the same and in other words.
    async fn tell(&self, invitee: &str, kind: &str, (number, chance): (usize, u64)) {
        let mut chance = StdRng::seed_from_u64(chance);
        let path = format!("/v1/campaigns/{CAMPAIGN}/triggers");
        let now = jiff::Timestamp::from(Clock::default().now()).to_string();
        let body = json!({
            "event_id": format!("{invitee} {kind} {number}"), "kind": kind, "user": invitee, "occurred_at": now,
        });
        let ask = |body| Question { what: "trigger", path: &path, body, more: &[] };
        let (twice, again, otherwise): (bool, bool, bool) =
            (chance.random_bool(0.2), chance.random_bool(0.2), chance.random_bool(0.1));
        if twice {
            tokio::join!(self.ask(ask(&body)), self.ask(ask(&body)));
        } else if self.ask(ask(&body)).await.is_none() {
            return;
        }
        if again {
            self.ask(ask(&body)).await;
        }
        if otherwise {
            let mut other = body.clone();
            other.as_object_mut().expect("an object").insert("user".to_owned(), json!("mallory"));
            self.ask(ask(&other)).await;
        }
    }

    /// All that one invitee does.
    async fn live(&self, number: usize) {
        let preset = self.preset();
        let own = u64::try_from(number).expect("few people");
        let mut chance = StdRng::seed_from_u64(self.seed() * 1_000_003 + own);
        let invitee = format!("invitee-{number}");
        // Some have a device that somebody else was bound on: people have to look at those.
        let shared = chance.random_bool(0.03);
        let device = if shared { "shared".to_owned() } else { format!("device-{number}") };
        let bind = self.bind(&invitee, number % preset.inviters, &device);
        let kinds = if chance.random_bool(0.8) { &KINDS[..] } else { KINDS.get(..1).expect("two") };
        let events =
            kinds.iter().flat_map(|kind| (0..preset.events).map(move |event| (*kind, event)));
        let events: Vec<_> = events
            .map(|(kind, event)| self.tell(&invitee, kind, (event, chance.random())))
            .collect();
        let order = match preset.order {
            Order::Any => chance.random_range(0..3),
            Order::TriggerFirst => 0,
            Order::AtOnce => 1,
        };
        match order {
            0 => {
                join_all(events).await;
                bind.await;
            }
            1 => {
                tokio::join!(bind, join_all(events));
            }
            _ => {
                bind.await;
                join_all(events).await;
            }
        }
    }
}

/// The role.
pub(crate) async fn process(words: &Words) -> bool {
    let plan = Plan::read(words);
    let journal = Journal::create(&plan.directory.join("driver.jsonl"));
    let preset = plan.preset();
    let asker = Arc::new(Asker { plan, journal, turn: AtomicUsize::new(0) });
    let people = preset.inviters * preset.invitees;
    let begin = Instant::now();
    let span = Duration::from_secs(preset.seconds).mul_f64(0.8).min(LONGEST_SPAN);
    let next = Arc::new(AtomicUsize::new(0));
    let mut busy = JoinSet::new();
    for _ in 0..preset.busy {
        let (asker, next) = (Arc::clone(&asker), Arc::clone(&next));
        busy.spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= people {
                    return;
                }
                // They come one after the other, as far as those who are busy leave anybody to see to them.
                let share = u32::try_from(number * 1_000 / people).expect("below a thousand");
                let wanted = begin + span * share / 1_000;
                hold(wanted.saturating_duration_since(Instant::now())).await;
                asker.live(number).await;
            }
        });
    }
    let cards = tokio::spawn(Cards::new(Arc::clone(&asker)).open_all(begin));
    while let Some(ended) = busy.join_next().await {
        ended.expect("people who do not panic");
    }
    cards.await.expect("people who do not panic");
    true
}
