//! A payment service to build against: `waypost sandbox`. It speaks the protocol of
//! `docs/payment-protocol.md`, keeps a journal, and does wrong what it is told to do wrong. It moves
//! no money, and knows nothing of the rest of Waypost.

use std::path::PathBuf;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::{sleep, timeout};

use crate::clock::Clock;
use faults::Faults;
use journal::Journal;
use ledger::Ledger;
use service::Service;

pub mod faults;
pub mod journal;
pub mod ledger;
pub mod refusal;
pub mod request;
pub mod service;

/// Connections at a time; others wait to be accepted.
const MOST_CONNECTIONS: u32 = 1_024;
/// How long a request's headers may take, and how long a connection may be idle.
const HEADERS: Duration = Duration::from_mins(1);
/// How large a request's line and headers may be together.
const HEADER_BYTES: usize = 16 * 1_024;
/// After this a connection ends when its request is answered.
const CONNECTION_AGE: Duration = Duration::from_mins(30);
/// How long requests under way may still take at the end.
const END: Duration = Duration::from_secs(5);
/// How long to wait before accepting again after that failed.
const PAUSE: Duration = Duration::from_millis(100);

/// How a sandbox is to be.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Where the journal is; without one all is forgotten at the end.
    pub journal: Option<PathBuf>,
    /// How long a repeated operation is known.
    pub dedupe_window: Duration,
    /// Where its chance comes from.
    pub seed: u64,
    /// What goes wrong.
    pub faults: Faults,
}

/// What was found in the journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Operations that had been applied.
    pub operations: usize,
    /// Bytes of a torn last line, which were cut off.
    pub cut: u64,
}

/// A sandbox that is ready to serve.
pub struct Sandbox {
    service: Arc<Service>,
    /// What was in the journal.
    pub found: Found,
}

impl Sandbox {
    /// Reads the journal.
    pub fn open(settings: &Settings, clock: Clock) -> Result<Self, journal::Error> {
        let mut ledger = Ledger::new(settings.dedupe_window);
        let (journal, cut) = match &settings.journal {
            Some(path) => {
                let (journal, cut) = Journal::open(path, &mut ledger)?;
                (Some(journal), cut)
            }
            None => (None, 0),
        };
        let found = Found { operations: ledger.count(), cut };
        let kept = (ledger, journal);
        let service = Arc::new(Service::new(kept, settings.faults, settings.seed, clock));
        Ok(Self { service, found })
    }

    /// Serves until `stop`; what is answered by then is safe. A journal that cannot be written ends
    /// it at once, because nothing that it says after that could be believed.
    pub async fn serve(
        self,
        listener: TcpListener,
        stop: impl Future<Output = ()>,
    ) -> Result<(), journal::Error> {
        let (tell, told) = watch::channel(false);
        let places = Arc::new(Semaphore::new(usize::try_from(MOST_CONNECTIONS).unwrap_or(1)));
        let ended = tokio::select! {
            () = self.accept(&listener, &places, &told) => Ok(()),
            () = self.service.broken() => Err(journal::Error::NotWritten),
            () = stop => Ok(()),
        };
        drop(listener);
        tell.send_replace(true);
        if timeout(END, places.acquire_many(MOST_CONNECTIONS)).await.is_err() {
            tracing::warn!("some requests were not answered before the end");
        }
        ended
    }

    async fn accept(
        &self,
        listener: &TcpListener,
        places: &Arc<Semaphore>,
        told: &watch::Receiver<bool>,
    ) {
        // Nobody closes the semaphore, so there is always a place sooner or later.
        while let Ok(place) = Arc::clone(places).acquire_owned().await {
            match listener.accept().await {
                Ok((stream, _peer)) => {
                    let service = Arc::clone(&self.service);
                    drop(tokio::spawn(connection(service, stream, told.clone(), place)));
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    sleep(PAUSE).await;
                }
            }
        }
    }
}

/// The life of a connection.
async fn connection(
    service: Arc<Service>,
    stream: TcpStream,
    mut told: watch::Receiver<bool>,
    place: OwnedSemaphorePermit,
) {
    if let Err(error) = stream.set_nodelay(true) {
        return tracing::debug!(%error, "a connection ended at once");
    }
    let answer = service_fn(move |request| {
        let service = Arc::clone(&service);
        async move { service.answer(request).await }
    });
    let mut connection = pin!(
        http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS)
            .max_buf_size(HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), answer)
    );
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        _ = told.wait_for(|told| *told) => None,
        () = sleep(CONNECTION_AGE) => None,
    };
    let ended = if let Some(ended) = ended {
        ended
    } else {
        connection.as_mut().graceful_shutdown();
        timeout(END, connection).await.unwrap_or(Ok(()))
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
    drop(place);
}
