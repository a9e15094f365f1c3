//! One run from its beginning to the verdict, and many of them.

use std::collections::BTreeMap;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::process::Command;
use waypost::http::auth::Scope;

use super::child::Child;
use super::database;
use super::preset::Preset;
use super::shared::support::deployment::{call, key_for};
use super::shared::support::servers::{new_directory, store};
use super::shared::support::wait::hold;
use super::shared::support::{Sandbox, eventually};
use super::words::{Words, say};

/// The campaign of all runs.
pub(crate) const CAMPAIGN: &str = "faults";
/// How long starting all machines may take on a busy one.
const START: Duration = Duration::from_mins(2);

/// What every process of a run has to know; a file in the run's directory.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// The name of the preset.
    pub(crate) preset: String,
    pub(crate) seed: u64,
    /// What `WAYPOST_PLANTED` says to the workers.
    pub(crate) planted: String,
    pub(crate) directory: PathBuf,
    /// The payment service.
    pub(crate) payments: SocketAddr,
    /// The API of each worker, once they run; and a key for it.
    pub(crate) workers: Vec<SocketAddr>,
    pub(crate) key: String,
    /// The code of each inviter.
    pub(crate) codes: Vec<String>,
}

impl Plan {
    /// The plan of the run whose `--directory` this process was told.
    pub(crate) fn read(words: &Words) -> Self {
        let directory: PathBuf = words.value("--directory").expect("a role has a directory");
        let text = fs::read(directory.join("plan.json")).expect("a plan");
        serde_json::from_slice(&text).expect("a plan that was written by this program")
    }

    pub(crate) fn write(&self) {
        let text = serde_json::to_vec(self).expect("plain data");
        fs::write(self.directory.join("plan.json"), text).expect("a disk with room");
    }

    /// What happens in the run.
    pub(crate) fn preset(&self) -> &'static Preset {
        Preset::named(&self.preset).unwrap_or_else(|| panic!("there is no preset {}", self.preset))
    }

    /// The name of an inviter.
    pub(crate) fn inviter(number: usize) -> String {
        format!("inviter-{number}")
    }
}

/// What a run came to.
pub(crate) struct Outcome {
    /// How many rewards there were, and how many of them were paid.
    pub(crate) rewards: u64,
    pub(crate) paid: u64,
    /// How often something was broken on purpose.
    pub(crate) faults: usize,
    /// The invariants that were broken, in the order in which the checker found them.
    pub(crate) violated: Vec<String>,
    /// All that the checker said.
    pub(crate) verdict: String,
    /// Where journals, dump and logs are.
    pub(crate) directory: PathBuf,
}

/// Makes a run of `preset` with `seed`; `planted` is what `WAYPOST_PLANTED` says to the workers.
pub(crate) async fn run(preset: &'static Preset, seed: u64, planted: &str) -> Outcome {
    let directory = new_directory();
    let window = preset.dedupe_window_seconds.to_string();
    let chance = seed.to_string();
    let arguments = ["--seed", chance.as_str(), "--dedupe-window", window.as_str()];
    let payments = directory.join("payments.jsonl");
    let sandbox = Sandbox::with_journal(&payments, &arguments).await;
    let mut plan = Plan {
        preset: preset.name.to_owned(),
        seed,
        planted: planted.to_owned(),
        directory: directory.clone(),
        payments: sandbox.address(),
        workers: Vec::new(),
        key: String::new(),
        codes: Vec::new(),
    };
    plan.write();
    let mut nemesis = Child::start("nemesis", &directory);
    let room: Value = serde_json::from_str(&nemesis.hear(START).await).expect("where all is");
    let database = room.get("database").and_then(Value::as_str).expect("an address").to_owned();
    plan.workers = serde_json::from_value(room.get("workers").cloned().unwrap_or_default())
        .expect("addresses");
    prepare(&mut plan, &database).await;

    let driver = Child::start("driver", &directory);
    sandbox.set_faults(&preset.put(preset.payments)).await;
    nemesis.tell("begin");
    let mut blows = Vec::new();
    let struck = async {
        loop {
            match nemesis.hear(START).await {
                calm if calm == "calm" => break,
                blow => blows.push(blow),
            }
        }
    };
    let later = async {
        if let Some((seconds, faults)) = preset.later {
            hold(Duration::from_secs(seconds)).await;
            sandbox.set_faults(&preset.put(faults)).await;
        }
    };
    tokio::join!(struck, later);
    sandbox.set_faults(&preset.put(preset.afterwards)).await;
    driver.end(Duration::from_secs(preset.seconds) + START).await;
    let undone = database::quiet(&database, Duration::from_secs(preset.patience_seconds)).await;
    nemesis.tell("stop");
    while nemesis.hear(START).await != "stopped" {}
    database::dump(&database, &directory.join("dump.jsonl")).await;
    fs::write(directory.join("blows.jsonl"), blows.join("\n")).expect("a disk with room");
    nemesis.end(START).await;
    sandbox.end().await;
    let journal = fs::read_to_string(&payments).expect("a journal");
    let struck = journal.lines().filter(|line| line.contains("\"faults\":[")).count();
    let mut outcome = judge(preset, preset.is_calm(), &directory).await;
    outcome.faults = blows.len() + struck;
    if undone > 0 {
        let left = format!("{undone} things were left to do when it was judged\n");
        outcome.verdict.push_str(&left);
    }
    outcome
}

/// A key, the campaign and a code for each inviter, while nothing goes wrong yet.
async fn prepare(plan: &mut Plan, database: &str) {
    let store = store(database);
    plan.key = key_for(&store, Scope::Admin).await;
    if plan.planted.contains("missing-unique-key") {
        let dropped =
            database::ask(database, "ALTER TABLE reward DROP CONSTRAINT reward_key").await;
        dropped.unwrap_or_else(|error| panic!("{error}"));
    }
    let worker = *plan.workers.first().expect("two workers");
    let versions = format!("/v1/campaigns/{CAMPAIGN}/versions");
    let document = Some(plan.preset().document());
    let put = call(worker, &plan.key, ("POST", &versions), document).await;
    assert_eq!(put.status, 201, "{put:?}");
    let activate = format!("{versions}/1/activate");
    let activated = call(worker, &plan.key, ("POST", &activate), None).await;
    assert_eq!(activated.status, 200, "{activated:?}");
    let codes = format!("/v1/campaigns/{CAMPAIGN}/codes");
    for number in 0..plan.preset().inviters {
        let user = Plan::inviter(number);
        // The campaign is in use a moment after it was activated, and codes are generated by then.
        let code = eventually("a code", START, async || {
            let body = json!({ "user": user });
            let given = call(worker, &plan.key, ("POST", &codes), Some(body)).await;
            given.json().get("code").and_then(Value::as_str).map(str::to_owned)
        });
        plan.codes.push(code.await);
    }
    // The other worker must know the campaign as well.
    for worker in plan.workers.clone() {
        eventually("the campaign is in use", START, async || {
            let path = format!("/v1/campaigns/{CAMPAIGN}/users/nobody");
            (call(worker, &plan.key, ("GET", &path), None).await.status == 200).then_some(())
        })
        .await;
    }
    plan.write();
}

/// Has the checker judge what is in `directory`. In a calm run nothing went wrong, on purpose or else.
pub(crate) async fn judge(preset: &Preset, calm: bool, directory: &Path) -> Outcome {
    let mut checker = Command::new("python3");
    checker.arg("-B").arg(script("checker.py"));
    for (name, file) in
        [("--driver", "driver.jsonl"), ("--sandbox", "payments.jsonl"), ("--dump", "dump.jsonl")]
    {
        checker.arg(name).arg(directory.join(file));
    }
    checker.arg("--dedupe-window").arg(preset.dedupe_window_seconds.to_string());
    if calm {
        checker.arg("--calm");
    }
    let done = checker.output().await.expect("python3 is there: make deps installs it");
    let verdict = String::from_utf8_lossy(&done.stdout).into_owned();
    let complaints = String::from_utf8_lossy(&done.stderr);
    assert!(matches!(done.status.code(), Some(0 | 1)), "no verdict:\n{verdict}{complaints}");
    let totals = verdict.lines().filter_map(|line| line.strip_prefix("total "));
    let violated: Vec<String> =
        totals.filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect();
    assert_eq!(violated.is_empty(), done.status.success(), "the checker contradicts itself");
    let states = verdict.lines().find_map(|line| line.strip_prefix("rewards "));
    let states = states.unwrap_or_else(|| panic!("no states of rewards in:\n{verdict}"));
    let count = |(state, count): (&str, &str)| (state.to_owned(), count.parse().expect("a number"));
    let states: BTreeMap<String, u64> =
        states.split(' ').filter_map(|word| word.split_once('=')).map(count).collect();
    let (rewards, paid) = (states.values().sum(), states.get("PAID").copied().unwrap_or(0));
    Outcome { rewards, paid, faults: 0, violated, verdict, directory: directory.to_owned() }
}

/// A file beside this one.
pub(crate) fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/faults").join(name)
}

/// Makes a run, prints its line, and where something is wrong all that tells of it. Whether it was good.
pub(crate) async fn run_and_tell(preset: &'static Preset, seed: u64) -> Outcome {
    let outcome = run(preset, seed, "").await;
    let (rewards, paid, faults) = (outcome.rewards, outcome.paid, outcome.faults);
    let name = preset.name;
    let violations = outcome.violated.len();
    say(format_args!(
        "{name} seed {seed}: {rewards} rewards, {paid} of them paid, {faults} faults, {violations} violations"
    ));
    if violations > 0 {
        let kept = keep(&outcome.directory, &format!("{name}-{seed}"));
        say(&outcome.verdict);
        say(format_args!("journals, dump and logs: {}", kept.display()));
        say(format_args!("again: make torture SEEDS=1 SEED={seed} PRESET={name}"));
    }
    outcome
}

/// Copies a run's directory to where it stays.
pub(crate) fn keep(directory: &Path, name: &str) -> PathBuf {
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults").join(name);
    fs::create_dir_all(&kept).expect("a directory of ours");
    for entry in fs::read_dir(directory).expect("a directory of ours").filter_map(Result::ok) {
        if entry.path().is_file() {
            fs::copy(entry.path(), kept.join(entry.file_name())).expect("a disk with room");
        }
    }
    kept
}

/// `torture [--seeds N] [--seed FIRST] [--preset NAME]`: a line for each seed, and the sum.
pub(crate) async fn torture(words: &Words) -> bool {
    let seeds: u64 = words.value("--seeds").unwrap_or(10);
    let first: u64 = words.value("--seed").unwrap_or(1);
    let name: String = words.value("--preset").unwrap_or_else(|| "storm".to_owned());
    let preset = Preset::named(&name).unwrap_or_else(|| panic!("there is no preset {name}"));
    let (mut rewards, mut faults, mut bad) = (0, 0, 0);
    for seed in first..first + seeds {
        let outcome = run_and_tell(preset, seed).await;
        rewards += outcome.rewards;
        faults += outcome.faults;
        bad += u64::from(!outcome.violated.is_empty());
    }
    say(format_args!(
        "{seeds} seeds: {rewards} rewards, {faults} faults, {bad} seeds with violations"
    ));
    bad == 0
}
