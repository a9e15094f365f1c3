//! The sandbox's journal: what was answered is there after any end.

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::support::sandbox::{Sandbox, draw, lines, times_applied, transfer};
use super::support::{Client, Waypost, eventually};

/// Who sends at the same time.
const SENDERS: usize = 16;

/// Answers by operation id.
type Answered = Arc<Mutex<BTreeMap<String, String>>>;

/// Sends draws, each twice, until there is no answer.
async fn send_until_it_ends(sandbox: Arc<Sandbox>, name: String, answered: Answered) {
    let Ok(mut client) = Client::connect(sandbox.address()).await else { return };
    for number in 0.. {
        let id = format!("{name}-{}", number / 2);
        let headers = [("content-type", "application/json"), ("idempotency-key", id.as_str())];
        let body = draw(1_000_000_000).to_string();
        let Ok(answer) = client.send("POST", "/draws", &headers, body).await else { return };
        assert_eq!(answer.status, 200, "{answer:?}");
        let before = answered.lock().expect("no panic").insert(id, answer.text());
        assert!(before.is_none_or(|before| before == answer.text()), "{answer:?}");
    }
}

#[tokio::test]
async fn all_that_was_answered_is_there_after_kill_9_and_applied_once() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = directory.path().join("journal");
    let answered = Answered::default();
    for round in 1..=3 {
        let sandbox = Arc::new(Sandbox::with_journal(&journal, &[]).await);
        let senders: Vec<_> = (0..SENDERS)
            .map(|number| {
                let name = format!("s{round}-{number}");
                tokio::spawn(send_until_it_ends(Arc::clone(&sandbox), name, Arc::clone(&answered)))
            })
            .collect();
        eventually("enough answers", Duration::from_mins(1), async || {
            (answered.lock().expect("no panic").len() >= round * 300).then_some(())
        })
        .await;
        sandbox.kill().await;
        for sender in senders {
            sender.await.expect("a sender that did not panic");
        }
    }
    let sandbox = Sandbox::with_journal(&journal, &[]).await;
    let mut client = Client::connect(sandbox.address()).await.expect("a connection");
    let answered = answered.lock().expect("no panic").clone();
    for (id, text) in &answered {
        let headers = [("content-type", "application/json"), ("idempotency-key", id.as_str())];
        let body = draw(1_000_000_000).to_string();
        let again = client.send("POST", "/draws", &headers, body).await.expect("an answer");
        assert_eq!(&again.text(), text, "{id} is answered differently after the kill");
    }
    let mut applied = BTreeMap::new();
    for line in lines(&journal).iter().filter(|line| line["line"] == "applied") {
        *applied.entry(line["operation_id"].to_string()).or_insert(0) += 1;
    }
    assert!(applied.values().all(|times| *times == 1), "something was applied twice");
    assert!(applied.len() >= answered.len(), "{} of {}", applied.len(), answered.len());
}

#[tokio::test]
async fn a_torn_last_line_is_cut_off_and_a_damaged_one_refused() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = directory.path().join("journal");
    let sandbox = Sandbox::with_journal(&journal, &[]).await;
    sandbox.post("/payouts", "whole", &transfer("rina", 5)).await.expect("an answer");
    assert_eq!(sandbox.end().await, Some(0));
    let whole = std::fs::read(&journal).expect("a journal");
    let first_line = whole.split_inclusive(|byte| *byte == b'\n').next().expect("a line");
    let torn = String::from_utf8_lossy(first_line).replace("whole", "torn");
    for length in [1, torn.len() / 2, torn.len() - 1] {
        std::fs::write(&journal, [&whole, &torn.as_bytes()[..length]].concat()).expect("written");
        let sandbox = Sandbox::with_journal(&journal, &[]).await;
        assert_eq!(sandbox.get("/operations/whole").await.expect("an answer").status, 200);
        assert_eq!(sandbox.get("/operations/torn").await.expect("an answer").status, 404);
        eventually("it tells of the cut", Duration::from_secs(20), async || {
            sandbox.log().contains(&format!("{length} bytes of a torn last line")).then_some(())
        })
        .await;
        sandbox.post("/payouts", "torn", &transfer("rina", 5)).await.expect("an answer");
        assert_eq!(times_applied(&journal, "torn"), 1);
    }
    let mut file = OpenOptions::new().append(true).open(&journal).expect("a journal");
    file.write_all(b"{\"line\": \"nonsense\"}\n{}\n").expect("written");
    let journal = journal.to_str().expect("a plain path");
    let arguments = ["sandbox", "--listen", "127.0.0.1:0", "--journal", journal];
    let (code, output) = Waypost::run(&arguments, &[]).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("line 5") && output.contains("damaged"), "{output}");
}

#[tokio::test]
async fn one_sandbox_at_a_time_has_a_journal() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = directory.path().join("journal");
    let sandbox = Sandbox::with_journal(&journal, &[]).await;
    let path = journal.to_str().expect("a plain path");
    let arguments = ["sandbox", "--listen", "127.0.0.1:0", "--journal", path];
    let (code, output) = Waypost::run(&arguments, &[]).await;
    assert_eq!(code, Some(1), "{output}");
    assert!(output.contains("another sandbox"), "{output}");
    assert_eq!(sandbox.end().await, Some(0));
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_end() {
    let directory = tempfile::tempdir().expect("a directory");
    let journal = directory.path().join("journal");
    let arguments = ["--fault", "delay=1", "--delay-ms", "300"];
    let sandbox = Sandbox::with_journal(&journal, &arguments).await;
    let body = transfer("rina", 5);
    let late = sandbox.post("/payouts", "late", &body);
    let end = async {
        eventually("it is applied", Duration::from_secs(20), async || {
            (times_applied(&journal, "late") == 1).then_some(())
        })
        .await;
        sandbox.end().await
    };
    let (answer, code) = tokio::join!(late, end);
    assert_eq!((answer.expect("an answer").status, code), (200, Some(0)));
}
