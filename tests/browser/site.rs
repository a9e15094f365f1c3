//! A little web site of a test's own, to show what the browser does and what the checks see.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::AbortHandle;

/// One page, whatever is asked for; it ends when it is dropped.
pub struct Site {
    address: SocketAddr,
    asked: Arc<Mutex<Vec<String>>>,
    serving: AbortHandle,
}

impl Site {
    /// Serves this HTML, with these lines in the head of the answer besides the usual ones.
    pub async fn start(headers: &[&str], html: &str) -> Self {
        let mut lines = vec!["HTTP/1.1 200 OK", "Content-Type: text/html; charset=utf-8"];
        lines.extend(headers);
        let length = html.len();
        let head = lines.join("\r\n");
        let answer =
            format!("{head}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{html}");
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let asked = Arc::default();
        let serving = tokio::spawn(serve(listener, answer.into(), Arc::clone(&asked)));
        Self { address, asked, serving: serving.abort_handle() }
    }

    /// Its address.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// The head of the request that asked for the page first.
    pub fn request(&self) -> String {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.iter().find(|head| head.starts_with("GET / ")).cloned().expect("a request")
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

async fn serve(listener: TcpListener, answer: Arc<str>, asked: Arc<Mutex<Vec<String>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        tokio::spawn(reply(stream, Arc::clone(&answer), Arc::clone(&asked)));
    }
}

async fn reply(mut stream: TcpStream, answer: Arc<str>, asked: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        // Browsers also connect ahead, and then ask for nothing.
        let Ok(1..) = stream.read_buf(&mut head).await else { return };
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    asked.lock().unwrap_or_else(PoisonError::into_inner).push(head);
    // Who has gone away needs no answer.
    drop(stream.write_all(answer.as_bytes()).await);
}
