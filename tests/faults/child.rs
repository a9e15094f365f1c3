//! Other processes of a run: this program once more, in another role, told and heard line by line.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{ChildStdin, Stdio};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::timeout;
use waypost::local::Tied;

use super::shared::support::eventually;

/// A process in a role. Dropping it ends it with SIGKILL, and all that it has started.
pub(crate) struct Child {
    role: &'static str,
    process: Tied,
    said: mpsc::Receiver<String>,
    ear: Option<ChildStdin>,
}

impl Child {
    /// Starts this program in `role`, with the plan and all files of the run in `directory`.
    pub(crate) fn start(role: &'static str, directory: &Path) -> Self {
        let program = std::env::current_exe().expect("the program that runs");
        let log = File::create(directory.join(format!("{role}.log"))).expect("a log");
        let process = Tied::spawn(role, &program, |command| {
            command.arg(role).arg("--directory").arg(directory).env("RUST_BACKTRACE", "1");
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log);
        });
        let process = process.unwrap_or_else(|error| panic!("{error}"));
        let (ear, mouth) = process.with_child(|child| (child.stdin.take(), child.stdout.take()));
        let mouth = mouth.expect("a pipe");
        let (sender, said) = mpsc::channel(1_024);
        std::thread::spawn(move || {
            for line in BufReader::new(mouth).lines().map_while(Result::ok) {
                if sender.blocking_send(line).is_err() {
                    return;
                }
            }
        });
        Self { role, process, said, ear }
    }

    /// Tells it something.
    pub(crate) fn tell(&mut self, line: &str) {
        let ear = self.ear.as_mut().expect("a pipe");
        ear.write_all(format!("{line}\n").as_bytes()).expect("a process that listens");
    }

    /// The next line that it says; panics when none comes within `limit`.
    pub(crate) async fn hear(&mut self, limit: Duration) -> String {
        let said = timeout(limit, self.said.recv()).await;
        let said = said.unwrap_or_else(|_late| {
            panic!("the {} says nothing within {limit:?}; its log tells why", self.role)
        });
        said.unwrap_or_else(|| panic!("the {} has ended; its log tells why", self.role))
    }

    /// Waits until it has ended by itself, and panics when that was no good end.
    pub(crate) async fn end(mut self, limit: Duration) {
        // It stops when it hears nothing more.
        drop(self.ear.take());
        let ended = eventually("the process ends", limit, async || {
            while self.said.try_recv().is_ok() {}
            self.process.with_child(|child| child.try_wait().expect("our own child"))
        });
        let status = ended.await;
        assert!(status.success(), "the {} ended with {status}; its log tells why", self.role);
    }
}

/// The lines that this process is told, in a role of its own; none any more: it is to end.
pub(crate) fn told() -> mpsc::Receiver<String> {
    let (sender, told) = mpsc::channel(16);
    std::thread::spawn(move || {
        for line in std::io::stdin().lock().lines().map_while(Result::ok) {
            if sender.blocking_send(line).is_err() {
                return;
            }
        }
    });
    told
}
