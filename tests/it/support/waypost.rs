//! The real program as a process.

use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::timeout;
use waypost::local::{Signal, Tied};

use super::{eventually, wait};

/// How long a start may take; the debug build on a busy machine is slow.
pub(super) const START: Duration = Duration::from_mins(1);

/// A running `waypost serve`. Dropping it ends it with SIGKILL.
pub struct Waypost {
    process: Tied,
    edge: SocketAddr,
    control: SocketAddr,
    output: Output,
}

/// What a process printed so far.
#[derive(Clone, Default)]
pub(super) struct Output(Arc<Mutex<String>>);

impl Output {
    fn add(&self, line: &str) {
        let mut text = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        text.push_str(line);
        text.push('\n');
    }

    pub(super) fn text(&self) -> String {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Reads `from` to its end, in a thread of its own; the first line goes to `first` as well.
    fn follow(&self, from: impl Read + Send + 'static, first: Option<oneshot::Sender<String>>) {
        let output = self.clone();
        let mut first = first;
        std::thread::spawn(move || {
            for line in BufReader::new(from).lines().map_while(Result::ok) {
                output.add(&line);
                if let Some(first) = first.take() {
                    // The test may have given up by now.
                    drop(first.send(line));
                }
            }
        });
    }
}

impl Waypost {
    /// Starts `waypost serve` on free ports with these environment variables and waits until it is
    /// ready; panics with its log when it does not become so.
    pub async fn start(environment: &[(&str, &str)]) -> Self {
        match Self::try_start(environment).await {
            Ok(waypost) => waypost,
            Err(log) => panic!("waypost did not start:\n{log}"),
        }
    }

    /// Like [`Waypost::start`]; a process that ends instead is an error with all that it printed.
    pub async fn try_start(environment: &[(&str, &str)]) -> Result<Self, String> {
        let output = Output::default();
        let (sender, first_line) = oneshot::channel();
        let arguments = ["serve", "--print-addresses"];
        let process = spawn(&arguments, environment, &output, Some(sender));
        let Ok(Ok(line)) = timeout(START, first_line).await else {
            ended(&process).await;
            return Err(output.text());
        };
        let addresses: serde_json::Value =
            serde_json::from_str(&line).map_err(|error| format!("{error}: {line}"))?;
        let address = |name: &str| {
            let text = addresses.get(name).and_then(serde_json::Value::as_str).unwrap_or("");
            text.parse().map_err(|error| format!("{error} in '{name}' of {line}"))
        };
        Ok(Self { edge: address("edge")?, control: address("control")?, process, output })
    }

    /// Starts `waypost serve`, tells it to end as soon as it has said `sign`, and waits for the end;
    /// its exit code.
    pub async fn end_at_the_start(environment: &[(&str, &str)], sign: &str) -> Option<i32> {
        let output = Output::default();
        let process = spawn(&["serve"], environment, &output, None);
        eventually(sign, START, async || output.text().contains(sign).then_some(())).await;
        process.signal(Signal::TERM).expect("a process to signal");
        ended(&process).await
    }

    /// Starts `waypost dev` with the data directory `data` on free ports, and waits until its
    /// `dev.json` is there; also answers with what that says.
    pub async fn dev(data: &Path, environment: &[(&str, &str)]) -> (Self, serde_json::Value) {
        let output = Output::default();
        let data_text = data.to_str().expect("a plain path");
        let free = "127.0.0.1:0";
        let arguments = ["dev", "--data", data_text, "--edge", free, "--control", free];
        let process = spawn(&arguments, environment, &output, None);
        let file = eventually("waypost dev is ready", START, async || {
            assert!(process.is_running(), "waypost dev ended:\n{}", output.text());
            let text = std::fs::read(data.join("dev.json")).ok()?;
            serde_json::from_slice::<serde_json::Value>(&text).ok()
        })
        .await;
        let address = |name: &str| {
            let text = file.get(name).and_then(serde_json::Value::as_str).unwrap_or_default();
            text.parse().unwrap_or_else(|error| panic!("{error} in '{name}' of {file}"))
        };
        let waypost = Self { edge: address("edge"), control: address("control"), process, output };
        (waypost, file)
    }

    /// Runs a command of the program to its end: its exit code and all that it printed.
    pub async fn run(arguments: &[&str], environment: &[(&str, &str)]) -> (Option<i32>, String) {
        let output = Output::default();
        let process = spawn(arguments, environment, &output, None);
        let code = ended(&process).await;
        // Its pipes may have more in them than the readers have read.
        eventually("the output ends", START, async || {
            (Arc::strong_count(&output.0) == 1).then_some(())
        })
        .await;
        (code, output.text())
    }

    /// The listener for redirects.
    pub fn edge(&self) -> SocketAddr {
        self.edge
    }

    /// The listener for the API, metrics and health.
    pub fn control(&self) -> SocketAddr {
        self.control
    }

    /// All that it printed so far.
    pub fn log(&self) -> String {
        self.output.text()
    }

    /// Sends a signal: `Signal::TERM`, `Signal::STOP`, `Signal::CONT`.
    pub fn signal(&self, signal: Signal) {
        self.process.signal(signal).expect("a process to signal");
    }

    /// `kill -9`, for this process alone.
    pub async fn kill(&self) {
        self.signal(Signal::KILL);
        self.ended().await;
    }

    /// The number of the process.
    pub fn id(&self) -> i32 {
        self.process.id().as_raw_pid()
    }

    /// Waits for as long as it takes until it ends, by a signal or by itself.
    pub async fn died(&self) {
        while self.process.is_running() {
            wait::hold(Duration::from_millis(20)).await;
        }
    }

    /// Waits until it has ended; its exit code, or `None` when a signal ended it.
    pub async fn ended(&self) -> Option<i32> {
        ended(&self.process).await
    }
}

/// The built program with `arguments`, alone with `environment`.
pub(super) fn spawn(
    arguments: &[&str],
    environment: &[(&str, &str)],
    output: &Output,
    first_line: Option<oneshot::Sender<String>>,
) -> Tied {
    let program = Path::new(env!("CARGO_BIN_EXE_waypost"));
    let process = Tied::spawn("waypost", program, |command| {
        command.args(arguments).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env_clear().env("RUST_BACKTRACE", "1");
        command.env("WAYPOST_EDGE__LISTEN", "127.0.0.1:0");
        command.env("WAYPOST_CONTROL__LISTEN", "127.0.0.1:0");
        command.env("WAYPOST_SHUTDOWN__ANNOUNCE_SECONDS", "0");
        command.env("WAYPOST_CLICKS__SPOOL_DIRECTORY", "");
        command.envs(environment.iter().copied());
    });
    let process = process.unwrap_or_else(|error| panic!("{error}"));
    let (out, err) = process.with_child(|child| (child.stdout.take(), child.stderr.take()));
    output.follow(out.expect("a pipe"), first_line);
    output.follow(err.expect("a pipe"), None);
    process
}

pub(super) async fn ended(process: &Tied) -> Option<i32> {
    eventually("the process ends", START, async || {
        process.with_child(|child| child.try_wait().expect("our own child"))
    })
    .await
    .code()
}
