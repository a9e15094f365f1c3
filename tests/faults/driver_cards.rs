//! The part of the driver that opens cards: people look at their page, and scratch most of what is there.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::time::Instant;

use super::driver::{Asker, Question};
use super::run::{CAMPAIGN, Plan};
use super::shared::support::wait::hold;

/// How long people go on looking after the last blow.
const AFTERWARDS: Duration = Duration::from_secs(12);
/// How many look at the same time, and how long each of them rests in between.
const EYES: usize = 6;
const REST: Duration = Duration::from_millis(30);
/// Of so many cards one is never opened.
const ONE_IN: u64 = 5;

/// See the module.
pub(crate) struct Cards {
    asker: Arc<Asker>,
    people: VecDeque<String>,
    /// How many of them have no inviter: these have few cards, and may be done with.
    invited: usize,
}

impl Cards {
    /// For all people of the run.
    pub(crate) fn new(asker: Arc<Asker>) -> Self {
        let preset = asker.preset();
        let invited = preset.inviters * preset.invitees;
        let inviters = (0..preset.inviters).map(Plan::inviter);
        let people = inviters.chain((0..invited).map(|number| format!("invitee-{number}")));
        Self { asker, people: people.collect(), invited }
    }

    /// Looks and opens, from `begin` until a while after the last blow.
    pub(crate) async fn open_all(self, begin: Instant) {
        let preset = self.asker.preset();
        let end = begin + Duration::from_secs(preset.seconds) + AFTERWARDS;
        let share = self.people.len().div_ceil(EYES).min(self.invited.max(1));
        let people: Vec<String> = self.people.into();
        let looking = people.chunks(share).map(|some| {
            let (asker, some) = (Arc::clone(&self.asker), some.to_vec());
            tokio::spawn(async move {
                let mut opened = BTreeSet::new();
                let mut people: VecDeque<String> = some.into();
                while let Some(person) = people.pop_front()
                    && Instant::now() < end
                {
                    let settled = open(&asker, &person, &mut opened).await;
                    // Where time is of no account, whoever has seen all is done.
                    if !(settled && asker.preset().seconds == 0) {
                        people.push_back(person);
                    }
                    hold(REST).await;
                }
            })
        });
        for eye in looking.collect::<Vec<_>>() {
            eye.await.expect("people who do not panic");
        }
    }
}

/// Opens what is hidden on a person's page, each card once; some are opened twice at the same moment. Whether there were
/// cards, and all of them were ready.
async fn open(asker: &Asker, person: &str, opened: &mut BTreeSet<u64>) -> bool {
    let Some(page) = asker.look(&format!("/v1/campaigns/{CAMPAIGN}/users/{person}")).await else {
        return false;
    };
    let cards = page.get("cards").and_then(Value::as_array).cloned().unwrap_or_default();
    let preparing = |card: &Value| card.get("state").and_then(Value::as_str) == Some("preparing");
    let settled = !cards.is_empty() && !cards.iter().any(preparing);
    for card in cards {
        let hidden = card.get("state").and_then(Value::as_str) == Some("hidden");
        let Some(id) = card.get("id").and_then(Value::as_u64) else { continue };
        let lot = (id + asker.seed()) % ONE_IN;
        if !hidden || lot == 0 || !opened.insert(id) {
            continue;
        }
        let (path, body) = (format!("/v1/rewards/{id}/reveal"), json!({ "user": person }));
        let more = [("reward", json!(id))];
        let question = Question { what: "reveal", path: &path, body: &body, more: &more };
        if lot == 1 {
            tokio::join!(asker.ask(question), asker.ask(question));
        } else {
            asker.ask(question).await;
        }
    }
    settled
}
