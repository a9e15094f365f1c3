//! `waypost sandbox`

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use tokio::net::TcpListener;

use super::serve::{raise_file_limit, stop_signal};
use super::{Error, say, start_logging};
use crate::clock::Clock;
use crate::config::{Log, LogFormat};
use crate::sandbox::faults::{self, Fault, Faults, LONGEST_DELAY};
use crate::sandbox::{Sandbox, Settings};

/// The longest dedupe window: a year.
const LONGEST_WINDOW: u64 = 366 * 86_400;

/// Run a payment service to build against; it moves no money. docs/payment-protocol.md explains it
#[derive(Debug, Args)]
pub(super) struct Run {
    /// Where to listen. It asks nobody for a key: keep it on this machine
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8082")]
    listen: SocketAddr,
    /// The file that keeps what was applied; without one it is forgotten at the end
    #[arg(long, value_name = "FILE")]
    journal: Option<PathBuf>,
    /// How long a repeated operation is known for one
    #[arg(long, value_name = "SECONDS", default_value_t = 86_400,
          value_parser = clap::value_parser!(u64).range(1..=LONGEST_WINDOW))]
    dedupe_window: u64,
    /// Where amounts and faults come from, to have the same again; chosen by chance if not given
    #[arg(long, value_name = "NUMBER")]
    seed: Option<u64>,
    /// What goes wrong on purpose, and how often: drop-before, drop-after, delay, error-before,
    /// error-after, forget or not-idempotent, with a probability from 0 to 1; may be given several times
    #[arg(long = "fault", value_name = "KIND=PROBABILITY", value_parser = faults::parse)]
    faults: Vec<(Fault, f64)>,
    /// How late an answer is that is delayed, in milliseconds
    #[arg(long, value_name = "MILLISECONDS", default_value_t = 2_000,
          value_parser = clap::value_parser!(u64).range(0..=LONGEST_DELAY))]
    delay_ms: u64,
}

impl Run {
    pub(super) async fn run(self) -> Result<(), Error> {
        start_logging(&Log { format: LogFormat::Text, level: "info".to_owned() })?;
        raise_file_limit();
        let stop = stop_signal()?;
        let none = Faults::default().with_delay(self.delay_ms);
        let faults = self.faults.iter().fold(none, |all, (fault, how)| all.with(*fault, *how));
        let settings = Settings {
            journal: self.journal,
            dedupe_window: Duration::from_secs(self.dedupe_window),
            seed: self.seed.unwrap_or_else(rand::random),
            faults,
        };
        let sandbox = Sandbox::open(&settings, Clock::system())
            .map_err(|error| Error::Message(error.to_string()))?;
        let listener = TcpListener::bind(self.listen).await.map_err(|error| {
            let address = self.listen;
            Error::Message(format!("cannot listen on {address} (--listen): {error}"))
        })?;
        say(&format!("The sandbox payment service is at http://{}", listener.local_addr()?))?;
        tell(&settings, &sandbox)?;
        let served = sandbox.serve(listener, stop).await;
        served.map_err(|error| Error::Message(error.to_string()))
    }
}

/// Says how the sandbox is.
fn tell(settings: &Settings, sandbox: &Sandbox) -> Result<(), Error> {
    match &settings.journal {
        Some(path) => {
            let found = sandbox.found;
            say(&format!("journal: {}, {} operations", path.display(), found.operations))?;
            if found.cut > 0 {
                say(&format!("journal: {} bytes of a torn last line were cut off", found.cut))?;
            }
        }
        None => say("journal: none; all is forgotten at the end (--journal FILE keeps it)")?,
    }
    say(&format!("seed: {} (--seed {0} repeats it)", settings.seed))?;
    let likely = Fault::ALL.map(|fault| (fault, settings.faults.probability(fault)));
    let likely = likely.into_iter().filter(|(_, how)| *how > 0.0);
    let faults: Vec<String> =
        likely.map(|(fault, how)| format!("{}={how}", fault.name())).collect();
    let faults = if faults.is_empty() { "none".to_owned() } else { faults.join(" ") };
    let delay = settings.faults.delay().as_millis();
    say(&format!("faults: {faults}; a delay is {delay} ms (PUT /faults changes them)"))
}
