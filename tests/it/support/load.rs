//! Many requests, as fast as they go: written in runs of some hundred, and only counted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Requests that are written at a time.
const RUN: usize = 100;

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Answers that came whole.
    pub answered: usize,
    /// Those of them that were redirects.
    pub redirects: usize,
}

/// Sends GETs to `paths` in turn, `each` on each of `connections`, with these headers, and reads the
/// answers, which must have no bodies. Ends early when the server does.
pub async fn load(
    edge: SocketAddr,
    (connections, each): (usize, usize),
    paths: &[String],
    headers: &str,
) -> Outcome {
    watched_load(edge, (connections, each), paths, headers, &Arc::default()).await
}

/// The same; `answered` says at any time how many answers have come.
pub async fn watched_load(
    edge: SocketAddr,
    (connections, each): (usize, usize),
    paths: &[String],
    headers: &str,
    answered: &Arc<AtomicUsize>,
) -> Outcome {
    let tasks: Vec<_> = (0..connections)
        .map(|connection| {
            let requests: Vec<String> = paths
                .iter()
                .map(|path| format!("GET {path} HTTP/1.1\r\nHost: {edge}\r\n{headers}\r\n"))
                .collect();
            let answered = Arc::clone(answered);
            tokio::spawn(async move {
                let mut outcome = Outcome::default();
                // Who is refused has no answers.
                if let Ok(mut stream) = TcpStream::connect(edge).await {
                    let mut sent = 0;
                    while sent < each {
                        let run = RUN.min(each - sent);
                        let first = connection * each + sent;
                        let run_of = first..first + run;
                        let before = outcome.answered;
                        let all = exchange(&mut stream, &requests, run_of, &mut outcome).await;
                        answered.fetch_add(outcome.answered - before, Ordering::AcqRel);
                        if !all {
                            break;
                        }
                        sent += run;
                    }
                }
                outcome
            })
        })
        .collect();
    let mut all = Outcome::default();
    for task in tasks {
        let outcome = task.await.expect("a task that does not panic");
        all.answered += outcome.answered;
        all.redirects += outcome.redirects;
    }
    all
}

/// Sends one run and reads its answers; whether all came.
async fn exchange(
    stream: &mut TcpStream,
    requests: &[String],
    run: std::ops::Range<usize>,
    outcome: &mut Outcome,
) -> bool {
    let wanted = run.len();
    let text: String = requests
        .iter()
        .map(String::as_str)
        .cycle()
        .skip(run.start % requests.len())
        .take(wanted)
        .collect();
    if stream.write_all(text.as_bytes()).await.is_err() {
        return false;
    }
    let (mut got, mut read, mut from) = (0, Vec::new(), 0);
    while got < wanted {
        match stream.read_buf(&mut read).await {
            Ok(0) | Err(_) => return false,
            Ok(_) => {}
        }
        let unread = |from: usize| read.get(from..).unwrap_or_default();
        while let Some(end) = unread(from).windows(4).position(|four| four == b"\r\n\r\n") {
            outcome.answered += 1;
            outcome.redirects += usize::from(unread(from).starts_with(b"HTTP/1.1 30"));
            from += end + 4;
            got += 1;
        }
    }
    true
}
