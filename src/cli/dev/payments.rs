//! The payment service of `waypost dev`: the sandbox, in this process, unless a setting names another.

use std::net::Ipv4Addr;
use std::path::Path;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::cli::Error;
use crate::clock::Clock;
use crate::config::Config;
use crate::sandbox::faults::Faults;
use crate::sandbox::{Sandbox, Settings};

/// Where the sandbox listens, or on a free port where somebody else does.
const USUAL: (Ipv4Addr, u16) = (Ipv4Addr::LOCALHOST, 8082);
/// How long it knows a repeated operation.
const DEDUPE_WINDOW: Duration = Duration::from_hours(24);
/// Its journal in the data directory: what was paid is known at the next start too.
const JOURNAL: &str = "payments.jsonl";

/// The sandbox while it runs.
pub(super) struct Payments {
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

impl Payments {
    /// Starts the sandbox and names it in the settings. Does nothing if they name a payment service.
    pub(super) async fn start(config: &mut Config, data: &Path) -> Result<Option<Self>, Error> {
        if config.payment.url.is_some() {
            return Ok(None);
        }
        let settings = Settings {
            journal: Some(data.join(JOURNAL)),
            dedupe_window: DEDUPE_WINDOW,
            seed: rand::random(),
            faults: Faults::default(),
        };
        let sandbox = Sandbox::open(&settings, Clock::system()).map_err(|error| {
            Error::Message(format!("the sandbox payment service does not start: {error}"))
        })?;
        let listener = match TcpListener::bind(USUAL).await {
            Ok(listener) => listener,
            Err(_taken) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?,
        };
        let url = format!("http://{}/", listener.local_addr()?);
        let url = url.parse().map_err(|error| Error::Message(format!("{url}: {error}")))?;
        config.payment.url = Some(url);
        let (stop, told) = oneshot::channel();
        let served = tokio::spawn(async move {
            // Whoever forgets to say so wants it to end as well.
            let told = async { drop(told.await) };
            if let Err(error) = sandbox.serve(listener, told).await {
                tracing::error!(%error, "the sandbox payment service has ended: nothing is paid");
            }
        });
        Ok(Some(Self { stop, served }))
    }

    /// Ends it, once nobody asks it any more; what it answered is in its journal.
    pub(super) async fn stop(self) -> Result<(), Error> {
        if self.stop.send(()).is_err() {
            tracing::debug!("the sandbox payment service had ended before");
        }
        let served = self.served.await;
        served.map_err(|panic| Error::Message(format!("the sandbox payment service: {panic}")))
    }
}
