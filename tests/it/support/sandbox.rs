//! The sandbox payment service as a process.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::time::timeout;
use waypost::local::{Signal, Tied};

use super::client::{Answer, Client};
use super::waypost::{Output, START, ended, spawn};

/// A running `waypost sandbox`. Dropping it ends it with SIGKILL.
pub struct Sandbox {
    process: Tied,
    address: SocketAddr,
    output: Output,
}

impl Sandbox {
    /// Starts one on a free port with these arguments; panics with its log when it does not start.
    pub async fn start(arguments: &[&str]) -> Self {
        let output = Output::default();
        let (sender, first_line) = oneshot::channel();
        let arguments = [&["sandbox", "--listen", "127.0.0.1:0"], arguments].concat();
        let process = spawn(&arguments, &[], &output, Some(sender));
        let Ok(Ok(line)) = timeout(START, first_line).await else {
            panic!("the sandbox did not start:\n{}", output.text());
        };
        let address = line.rsplit("http://").next().unwrap_or_default();
        let address = address.parse().unwrap_or_else(|error| panic!("{error} in {line}"));
        Self { process, address, output }
    }

    /// Starts one that keeps a journal.
    pub async fn with_journal(journal: &Path, arguments: &[&str]) -> Self {
        let journal = journal.to_str().expect("a plain path");
        Self::start(&[&["--journal", journal], arguments].concat()).await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// All that it printed so far.
    pub fn log(&self) -> String {
        self.output.text()
    }

    /// `POST`s an operation on a connection of its own; an error when there is no answer.
    pub async fn post(&self, path: &str, key: &str, body: &Value) -> Result<Answer, String> {
        let mut client = Client::connect(self.address).await?;
        let headers = [("content-type", "application/json"), ("idempotency-key", key)];
        client.send("POST", path, &headers, body.to_string()).await
    }

    /// `GET`s; an error when there is no answer.
    pub async fn get(&self, path: &str) -> Result<Answer, String> {
        Client::connect(self.address).await?.get(path, &[]).await
    }

    /// Sets the faults.
    pub async fn set_faults(&self, faults: &Value) {
        let mut client = Client::connect(self.address).await.expect("a connection");
        let headers = [("content-type", "application/json")];
        let answer = client.send("PUT", "/faults", &headers, faults.to_string()).await;
        assert_eq!(answer.expect("an answer").status, 200);
    }

    /// `kill -9`, for this process alone.
    pub async fn kill(&self) {
        self.process.signal(Signal::KILL).expect("a process to signal");
        ended(&self.process).await;
    }

    /// Tells it to end and waits for that; its exit code.
    pub async fn end(&self) -> Option<i32> {
        self.process.signal(Signal::TERM).expect("a process to signal");
        ended(&self.process).await
    }
}

/// The body of a payout or an allotment.
pub fn transfer(beneficiary: &str, amount_minor: i64) -> Value {
    json!({
        "campaign": "demo", "reward": "r-1", "beneficiary": beneficiary, "currency": "IDR",
        "amount_minor": amount_minor,
    })
}

/// The body of a draw.
pub fn draw(up_to_minor: i64) -> Value {
    json!({
        "campaign": "demo", "reward": "r-1", "beneficiary": "rina", "currency": "IDR",
        "up_to_minor": up_to_minor,
    })
}

/// All whole lines of a journal.
pub fn lines(journal: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(journal).expect("a journal");
    let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
    whole.map(|line| serde_json::from_str(line).expect("a line of JSON")).collect()
}

/// How often an operation was applied, by a journal.
pub fn times_applied(journal: &Path, id: &str) -> usize {
    let applied = |line: &&Value| {
        line.get("line") == Some(&json!("applied")) && line.get("operation_id") == Some(&json!(id))
    };
    lines(journal).iter().filter(applied).count()
}
