//! `waypost serve`

use std::pin::pin;

use clap::Args;
use rustix::process::{Resource, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use super::{Error, say, start_logging};
use crate::app;
use crate::config::Config;

/// Serve redirects and the control API until SIGTERM or SIGINT.
#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Once both listeners are open, print one line of JSON with their addresses
    #[arg(long)]
    print_addresses: bool,
}

impl Serve {
    pub(super) async fn run(self, config: Config) -> Result<(), Error> {
        start_logging(&config.log)?;
        raise_file_limit();
        let mut stop = pin!(stop_signal()?);
        // A start may wait for the database; who is told to end meanwhile ends.
        let running = tokio::select! {
            running = app::start(config) => running?,
            () = &mut stop => return Ok(()),
        };
        tracing::info!(edge = %running.edge, control = %running.control, "serving");
        if self.print_addresses {
            say(&format!("{{\"edge\":\"{}\",\"control\":\"{}\"}}", running.edge, running.control))?;
        }
        running.run_until(stop).await;
        Ok(())
    }
}

/// Lets the process open as many files as the system allows: each connection is one, and the usual
/// soft limit of 1,024 is there for programs of another age.
pub(super) fn raise_file_limit() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    if let Err(error) = setrlimit(Resource::Nofile, limit) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Comes true when the process is told to end.
pub(super) fn stop_signal() -> Result<impl Future<Output = ()>, Error> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
