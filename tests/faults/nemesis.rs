//! The process that has the machines of a run, and breaks them.
//!
//! It says where the workers and the database are, and begins when it is told `begin`. It prints each blow before it
//! strikes, so that its plan can be read afterwards; the plan follows from the seed. When all is whole again it says
//! `calm`. When it is told `stop`, it stops the workers and says `stopped`; it ends when it is told nothing more.

use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::time::Instant;
use waypost::local::Signal;

use super::child::told;
use super::preset::{Blow, Preset};
use super::room::{Room, Worker};
use super::run::Plan;
use super::shared::support::wait::hold;
use super::shared::support::{Endpoint, Traffic};
use super::words::{Words, say};

/// One blow of the plan.
#[derive(Clone, Copy, Debug)]
struct Planned {
    blow: Blow,
    /// Which of the two workers it is about.
    worker: usize,
    /// How long it stays broken.
    lasts: Duration,
    /// How long all is whole before it.
    after: Duration,
}

impl Planned {
    fn shown(&self) -> Value {
        let (lasts, after) = (self.lasts.as_millis(), self.after.as_millis());
        let blow = format!("{:?}", self.blow);
        json!({ "blow": blow, "worker": self.worker, "after_ms": after.to_string(), "lasts_ms": lasts.to_string() })
    }
}

/// The blows of a run, in two hands: the left one strikes processes, the right one connections.
fn plan(preset: &Preset, seed: u64) -> [Vec<Planned>; 2] {
    let is_right = |blow: &Blow| {
        matches!(
            blow,
            Blow::CutDatabase | Blow::StallDatabase | Blow::CutPayments | Blow::DelayPayments
        )
    };
    [(0, false), (1, true)].map(|(hand, right)| {
        let mut chance = StdRng::seed_from_u64(seed * 2 + hand);
        let blows = preset.blows.iter().copied().filter(|blow| is_right(blow) == right);
        let blows: Vec<Blow> = blows.collect();
        let (mut planned, mut length) = (Vec::new(), Duration::ZERO);
        while let Some(blow) = blows.choose(&mut chance) {
            let lasts = match blow {
                Blow::StopWorker => preset.lease_seconds * 1_000 + chance.random_range(500..2_500),
                Blow::KillPostgres => 0,
                Blow::KillWorker | Blow::CutDatabase | Blow::CutPayments => {
                    chance.random_range(50..800)
                }
                Blow::KillRedis | Blow::StallDatabase => chance.random_range(500..2_500),
                Blow::DelayPayments => chance.random_range(2_000..4_500),
            };
            let lasts = Duration::from_millis(lasts);
            let after = Duration::from_millis(chance.random_range(100..1_500));
            length += lasts + after;
            if length > Duration::from_secs(preset.seconds) {
                break;
            }
            planned.push(Planned { blow: *blow, worker: chance.random_range(0..2), lasts, after });
        }
        planned
    })
}

/// The role.
pub(crate) async fn process(words: &Words) -> bool {
    let plan_of_run = Plan::read(words);
    let preset = plan_of_run.preset();
    let told_to_workers = (preset, plan_of_run.planted.as_str());
    let room = Room::start(Endpoint::Tcp(plan_of_run.payments), told_to_workers).await;
    let [one, two] = &room.workers;
    let workers = [one.process().await.control(), two.process().await.control()];
    say(json!({ "workers": workers, "database": room.database }));
    let mut told = told();
    while let Some(line) = told.recv().await {
        match line.as_str() {
            "begin" => {
                let [left, right] = plan(preset, plan_of_run.seed);
                let begin = Instant::now();
                tokio::join!(strike(&room, &left), strike(&room, &right));
                // What was planned may have taken less time: the rest of it passes in peace.
                let rest = Duration::from_secs(preset.seconds).saturating_sub(begin.elapsed());
                hold(rest).await;
                say("calm");
            }
            "stop" => {
                for worker in &room.workers {
                    worker.kill().await;
                    let log = worker.process().await.log();
                    let file = format!("worker-{}.log", worker.to_database.address().port());
                    std::fs::write(plan_of_run.directory.join(file), log).expect("a log");
                }
                say("stopped");
            }
            other => panic!("nobody told it what {other} means"),
        }
    }
    true
}

async fn strike(room: &Room, plan: &[Planned]) {
    for planned in plan {
        hold(planned.after).await;
        say(planned.shown());
        let worker = room.workers.get(planned.worker).expect("one of the two");
        strike_once(room, worker, planned).await;
    }
}

async fn strike_once(room: &Room, worker: &Worker, planned: &Planned) {
    let lasts = planned.lasts;
    match planned.blow {
        Blow::KillWorker => {
            worker.kill().await;
            hold(lasts).await;
            worker.start().await;
        }
        Blow::StopWorker => {
            let process = worker.process().await;
            process.signal(Signal::STOP);
            hold(lasts).await;
            process.signal(Signal::CONT);
        }
        Blow::KillPostgres => room.crash_postgres().await,
        Blow::KillRedis => {
            room.kill_redis().await;
            hold(lasts).await;
            room.restart_redis().await;
        }
        Blow::CutDatabase => {
            worker.to_database.set(Traffic::Cut);
            hold(lasts).await;
            worker.to_database.set(Traffic::Flows);
        }
        Blow::StallDatabase => {
            worker.to_database.set(Traffic::Stalled);
            hold(lasts).await;
            worker.to_database.set(Traffic::Flows);
        }
        Blow::CutPayments => {
            worker.to_payments.set(Traffic::Cut);
            hold(lasts).await;
            worker.to_payments.set(Traffic::Flows);
        }
        Blow::DelayPayments => {
            // Longer than the deadline of a call.
            worker.to_payments.set(Traffic::Delayed(Duration::from_millis(1_300)));
            hold(lasts).await;
            worker.to_payments.set(Traffic::Flows);
        }
    }
}
