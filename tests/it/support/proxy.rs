//! A proxy between `waypost` and a server, which can lose, delay or cut what passes.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::watch;
use tokio::task::{AbortHandle, JoinSet};

use super::wait::hold;

/// Where a proxy forwards to.
#[derive(Clone, Debug)]
pub enum Endpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// A TCP address.
    Tcp(SocketAddr),
}

/// What becomes of what passes.
#[derive(Clone, Debug)]
pub enum Traffic {
    /// It passes.
    Flows,
    /// It passes later, in both directions.
    Delayed(Duration),
    /// It stands still in both directions; connections stay open.
    Stalled,
    /// Open connections are closed, and new ones as soon as they are made.
    Cut,
    /// What the server sends and contains these bytes disappears; all else passes.
    Swallowing(Vec<u8>),
}

/// The proxy; it ends when it is dropped. Runs in the test's own runtime.
pub struct Proxy {
    address: SocketAddr,
    traffic: watch::Sender<Traffic>,
    accepting: AbortHandle,
}

impl Proxy {
    /// Listens on a free port of the loopback.
    pub async fn start(upstream: Endpoint) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let (traffic, watched) = watch::channel(Traffic::Flows);
        let accepting = tokio::spawn(accept(listener, Arc::new(upstream), watched)).abort_handle();
        Self { address, traffic, accepting }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Changes what becomes of what passes, on open connections too.
    pub fn set(&self, traffic: Traffic) {
        self.traffic.send_replace(traffic);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

async fn accept(listener: TcpListener, to: Arc<Endpoint>, traffic: watch::Receiver<Traffic>) {
    let mut connections = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        connections.spawn(connect(stream, Arc::clone(&to), traffic.clone()));
        while connections.try_join_next().is_some() {}
    }
}

async fn connect(client: TcpStream, to: Arc<Endpoint>, traffic: watch::Receiver<Traffic>) {
    let mut cut = traffic.clone();
    let forward = async {
        let (from_client, to_client) = client.into_split();
        match to.as_ref() {
            Endpoint::Unix(path) => {
                let Ok(server) = UnixStream::connect(path).await else { return };
                let (from_server, to_server) = server.into_split();
                both((from_client, to_server), (from_server, to_client), traffic).await;
            }
            Endpoint::Tcp(address) => {
                let Ok(server) = TcpStream::connect(address).await else { return };
                let (from_server, to_server) = server.into_split();
                both((from_client, to_server), (from_server, to_client), traffic).await;
            }
        }
    };
    tokio::select! {
        () = forward => {}
        _ = cut.wait_for(|traffic| matches!(traffic, Traffic::Cut)) => {}
    }
}

/// Both directions, until one of them ends.
async fn both(
    up: (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    down: (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    traffic: watch::Receiver<Traffic>,
) {
    tokio::select! {
        () = pump(up, traffic.clone(), false) => {}
        () = pump(down, traffic, true) => {}
    }
}

async fn pump(
    (mut from, mut to): (impl AsyncRead + Unpin, impl AsyncWrite + Unpin),
    mut traffic: watch::Receiver<Traffic>,
    from_server: bool,
) {
    let mut buffer = Vec::with_capacity(64 * 1024);
    while let Ok(1..) = from.read_buf(&mut buffer).await {
        let moves = traffic.wait_for(|traffic| !matches!(traffic, Traffic::Stalled)).await;
        let Ok(now) = moves.map(|now| now.clone()) else { return };
        match now {
            Traffic::Flows => {}
            Traffic::Delayed(time) => hold(time).await,
            Traffic::Swallowing(sign) => {
                let found = buffer.windows(sign.len()).any(|window| window == sign);
                if from_server && found {
                    buffer.clear();
                }
            }
            Traffic::Stalled | Traffic::Cut => return,
        }
        if to.write_all(&buffer).await.is_err() {
            return;
        }
        buffer.clear();
    }
}
