//! A TCP stream that lets the sweep know when a request begins to come in.

use std::io::{Error, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Phase, Tracked};

pub(super) struct Watched {
    stream: TokioIo<TcpStream>,
    tracked: Rc<Tracked>,
}

impl Watched {
    pub(super) fn new(stream: TcpStream, tracked: Rc<Tracked>) -> Self {
        Self { stream: TokioIo::new(stream), tracked }
    }

    /// Says that all is said, and reads what the peer still sends, within bounds, before the stream is
    /// closed: closing it with unread bytes would reset the connection, and the last answer might
    /// never be seen.
    pub(super) async fn linger(self) {
        let mut stream = self.stream.into_inner();
        let rest = async {
            stream.shutdown().await?;
            tokio::io::copy(&mut stream.take(LINGER_BYTES), &mut tokio::io::sink()).await
        };
        if let Ok(Err(error)) = timeout(LINGER, rest).await {
            tracing::debug!(%error, "a peer went without a word");
        }
    }
}

/// How long, and for how much, a closing connection lingers.
const LINGER: Duration = Duration::from_secs(1);
const LINGER_BYTES: u64 = 256 * 1_024;

impl Read for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<Result<(), Error>> {
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if read.is_ready() && self.tracked.phase.get() == Phase::Idle {
            self.tracked.enter(Phase::Reading);
        }
        read
    }
}

impl Write for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, Error>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Result<(), Error>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<Result<usize, Error>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, bytes)
    }
}
