//! Kills the worker at each of its network system calls, one run for each, with a handful of rewards; and, in a build
//! with planted bugs, kills it, fails it or makes it repeat at each boundary between two steps of its work.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;
use waypost::campaign::document::Format;
use waypost::campaign::service::{CampaignService, Draft};
use waypost::config::Config;
use waypost::http::auth::Scope;
use waypost::local::Tied;
use waypost::planted::Boundary;

use super::child::Child;
use super::database;
use super::preset::Preset;
use super::room::settings;
use super::run::{CAMPAIGN, Outcome, Plan, judge, keep};
use super::shared::support::deployment::key_for;
use super::shared::support::servers::new_directory;
use super::shared::support::{Sandbox, TestDatabase, Waypost};
use super::words::{Words, say};

/// The system calls by which the program talks to others.
const CALLS: &str = "sendto,writev,sendmsg,recvfrom,write";
/// In the short form: every so many calls, and how many runs at most.
const SHORT_STEP: u32 = 29;
const SHORT_RUNS: u32 = 8;
/// No run makes so many calls in one thread: then the sweep does not come to its end.
const MOST_CALLS: u32 = 5_000;
const PATIENCE: Duration = Duration::from_mins(1);

/// What strikes the worker.
#[derive(Clone, Debug)]
enum Stroke {
    /// SIGKILL when one of its threads makes its network system call of this number, counted from when it is ready.
    Call(u32),
    /// What `WAYPOST_PLANTED` says: a way, a boundary, a time.
    Boundary(String),
}

/// A worker, its database and its payment service, made anew for each run.
struct Stage {
    database: TestDatabase,
    sandbox: Sandbox,
    directory: std::path::PathBuf,
    environment: Vec<(String, String)>,
    plan: Plan,
}

impl Stage {
    async fn new(preset: &Preset, seed: u64) -> Self {
        let database = TestDatabase::new().await;
        let directory = new_directory();
        let sandbox = Sandbox::with_journal(&directory.join("payments.jsonl"), &[]).await;
        let store = database.store();
        let service = CampaignService::new(store.clone(), &Config::default());
        let campaign = CAMPAIGN.parse().expect("a good name");
        let text = preset.document().to_string();
        let draft = Draft { campaign: &campaign, text: &text, format: Format::Json };
        let (version, _) = service.put("a test", draft).await.expect("a good document");
        let activated = service.activate("a test", &campaign, version.record.version).await;
        activated.expect("an active version");
        let mut codes = Vec::new();
        for number in 0..preset.inviters {
            let (code, user) = (format!("{number:06}"), Plan::inviter(number));
            let insert = format!(
                "INSERT INTO referral_code (code, campaign_id, user_id)
                 VALUES ('{code}', '{CAMPAIGN}', '{user}')"
            );
            database::ask(&database.url(), &insert).await.expect("a code");
            codes.push(code);
        }
        let environment = [
            ("DATABASE_URL", database.url()),
            ("WAYPOST_PAYMENT__URL", format!("http://{}/", sandbox.address())),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        let environment = environment.into_iter().chain(settings(preset)).collect();
        let plan = Plan {
            preset: preset.name.to_owned(),
            seed,
            planted: String::new(),
            directory: directory.clone(),
            payments: sandbox.address(),
            workers: Vec::new(),
            key: key_for(&store, Scope::Admin).await,
            codes,
        };
        Self { database, sandbox, directory, environment, plan }
    }

    async fn worker(&self, planted: Option<&str>) -> Waypost {
        let texts = self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let planted = planted.map(|planted| ("WAYPOST_PLANTED", planted));
        Waypost::start(&texts.chain(planted).collect::<Vec<_>>()).await
    }

    /// A run: whether the worker survived it, whether it says that it was struck, and the verdict.
    async fn run(mut self, preset: &Preset, stroke: &Stroke) -> (bool, bool, Outcome) {
        let planted = match stroke {
            Stroke::Call(_) => None,
            Stroke::Boundary(words) => Some(words.as_str()),
        };
        let first = self.worker(planted).await;
        self.plan.workers = vec![first.control()];
        self.plan.write();
        self.environment.push(("WAYPOST_CONTROL__LISTEN".to_owned(), first.control().to_string()));
        let killer = match stroke {
            Stroke::Call(number) => Some(attach(&first, *number).await),
            Stroke::Boundary(_) => None,
        };
        let driver = Child::start("driver", &self.directory);
        let url = self.database.url();
        let (stop, mut stopped) = oneshot::channel::<()>();
        // Whoever was killed is started again, and this time nothing strikes.
        let watch = async {
            tokio::select! {
                () = first.died() => Some(self.worker(None).await),
                _ = &mut stopped => None,
            }
        };
        let rest = async {
            driver.end(PATIENCE).await;
            let patience = Duration::from_secs(preset.patience_seconds);
            database::quiet(&url, patience).await;
            // A worker that was killed has been started again by now, and nobody watches any more.
            stop.send(()).unwrap_or_default();
        };
        let (second, ()) = tokio::join!(watch, rest);
        // It lets go of the worker when it ends.
        drop(killer);
        self.sandbox.end().await;
        database::dump(&url, &self.directory.join("dump.jsonl")).await;
        let struck = first.log().contains("a planted stroke");
        (second.is_none(), struck, judge(preset, false, &self.directory).await)
    }
}

/// Has `strace` kill the worker at a call, and waits until it watches.
async fn attach(worker: &Waypost, number: u32) -> Tied {
    let strace = ["/usr/bin/strace", "/bin/strace", "/usr/local/bin/strace"];
    let strace = strace.iter().map(Path::new).find(|path| path.is_file());
    let strace = strace.expect("strace is there: make deps installs it");
    let pid = worker.id().to_string();
    let process = Tied::spawn("strace", strace, |command| {
        command.args(["-f", "-o", "/dev/null", "-p", &pid, "-e"]).arg(format!("trace={CALLS}"));
        command.arg("-e").arg(format!("inject={CALLS}:signal=KILL:when={number}"));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
    });
    let process = process.unwrap_or_else(|error| panic!("{error}"));
    let said = process.with_child(|child| child.stderr.take()).expect("a pipe");
    let (sender, attached) = oneshot::channel();
    std::thread::spawn(move || {
        let mut sender = Some(sender);
        for line in BufReader::new(said).lines().map_while(Result::ok) {
            if let Some(sender) = sender.take() {
                drop(sender.send(line));
            }
        }
    });
    let said = timeout(PATIENCE, attached).await;
    let said = said.ok().and_then(Result::ok).unwrap_or_default();
    assert!(said.contains("attached"), "strace does not watch: {said}");
    process
}

/// Makes a run, and tells of it. Whether the worker survived, whether it says that it was struck, and whether the run
/// was good.
async fn strike(preset: &Preset, stroke: Stroke, seed: u64) -> (bool, bool, bool) {
    let stage = Stage::new(preset, seed).await;
    let (survived, struck, outcome) = stage.run(preset, &stroke).await;
    let good = outcome.violated.is_empty();
    if !good {
        let name = format!("{stroke:?}").replace(['(', ')', '"', ':'], "-");
        let kept = keep(&outcome.directory, &name);
        say(format_args!("{stroke:?}: {}", outcome.verdict));
        say(format_args!("journals, dump and logs: {}", kept.display()));
    }
    assert!(outcome.rewards > 0, "nothing happened:\n{}", outcome.verdict);
    (survived, struck, good)
}

fn handful() -> &'static Preset {
    Preset::named("handful").expect("a preset")
}

/// Every so many calls, until a run survives.
async fn sweep(step: u32, most: u32) -> bool {
    let (mut bad, mut runs) = (0_u32, 0_u32);
    for number in (1..MOST_CALLS).step_by(usize::try_from(step).expect("small")) {
        if runs == most {
            break;
        }
        let (survived, _struck, good) = strike(handful(), Stroke::Call(number), 1).await;
        runs += 1;
        bad += u32::from(!good);
        if survived {
            break;
        }
    }
    say(format_args!("killed at {runs} system calls: {bad} runs with violations"));
    bad == 0
}

/// What every change must pass.
pub(crate) async fn short() {
    assert!(sweep(SHORT_STEP, SHORT_RUNS).await, "a crash broke something");
}

/// `crash-sweep`: each call; `--every N`: only every Nth.
pub(crate) async fn all(words: &Words) -> bool {
    sweep(words.value("--every").unwrap_or(1), u32::MAX).await
}

/// `boundaries`: strikes at each boundary in each way, the first time that the worker comes there and a later time.
pub(crate) async fn boundaries() -> bool {
    if !cfg!(feature = "planted-bugs") {
        say("this build has nothing that strikes: say make crash-sweep");
        return false;
    }
    let (mut bad, mut runs) = (0_u32, 0_u32);
    for boundary in Boundary::ALL {
        for way in ["kill", "fail", "repeat"] {
            for time in [1, 3] {
                let words = format!("{way}:{}:{time}", boundary.name());
                let stroke = Stroke::Boundary(words.clone());
                let (survived, struck, good) = strike(handful(), stroke, 1).await;
                runs += 1;
                let struck = struck && (way == "kill") != survived;
                if !good || !struck {
                    bad += 1;
                    say(format_args!("{words}: good {good}, struck as it should {struck}"));
                }
            }
        }
    }
    say(format_args!("struck at boundaries {runs} times: {bad} runs with violations"));
    bad == 0
}
