//! The command line: one file for each group of commands.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::{Parser, Subcommand};
use tracing_subscriber::EnvFilter;

use crate::app;
use crate::config::{self, Config, LogFormat};
use crate::metrics::Metrics;

mod campaign;
mod code;
mod context;
mod dev;
mod dictionary;
mod doctor;
mod domain;
mod fields;
mod key;
mod link;
mod review;
mod reward;
mod sandbox;
mod serve;
mod token_key;

use context::Context;

/// Short links, referral landing pages and bindings at the edge of your own domain.
#[derive(Debug, Parser)]
#[command(name = "waypost", version, arg_required_else_help = true)]
struct Cli {
    /// The configuration file; config/waypost.toml shows every setting
    #[arg(long, global = true, value_name = "FILE", env = "WAYPOST_CONFIG")]
    config: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run everything on this machine: private PostgreSQL and Redis, demo links, payments, an API key
    Dev(dev::Dev),
    /// Serve redirects and the control API
    Serve(serve::Serve),
    /// Make, show, draw, edit and delete links
    #[command(subcommand)]
    Link(link::Command),
    /// Make, list and revoke API keys
    #[command(subcommand)]
    Key(key::Command),
    /// Show the keys that sign click tokens, and make the next one
    #[command(subcommand)]
    TokenKey(token_key::Command),
    /// Add, show, edit and delete the hosts under which links are found
    #[command(subcommand)]
    Domain(domain::Command),
    /// Check, store, activate, retire, compare and simulate campaigns
    #[command(subcommand)]
    Campaign(campaign::Command),
    /// Give, show and switch referral codes
    #[command(subcommand)]
    Code(code::Command),
    /// Find rewards, have them explained, and decide on them
    #[command(subcommand)]
    Reward(reward::Command),
    /// Set who has to approve what, and list the cases that wait
    #[command(subcommand)]
    Review(review::Command),
    /// Make targets smaller in Redis
    #[command(subcommand)]
    Dictionary(dictionary::Command),
    /// Check a deployment as people and app stores see it
    Doctor(doctor::Doctor),
    /// Run a payment service to build against, which can be told what to do wrong
    Sandbox(sandbox::Run),
    /// Bring the database to this version
    Migrate,
    /// Say whether the configuration is good
    CheckConfig,
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The settings are not understood.
    #[error(transparent)]
    Config(#[from] config::Error),
    /// The service cannot start, or a server that it needs is away.
    #[error(transparent)]
    App(#[from] app::Error),
    /// The database said no.
    #[error(transparent)]
    Store(#[from] crate::store::Error),
    /// Something with files or processes.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// Anything else, in words for the operator.
    #[error("{0}")]
    Message(String),
}

/// Runs the program: reads the arguments, does what they say.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let runtime = match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&Error::Io(error)),
    };
    match runtime.block_on(run(cli)) {
        Ok(()) => ExitCode::SUCCESS,
        // Whoever reads the output has read enough, as `head` does.
        Err(Error::Io(error)) if error.kind() == std::io::ErrorKind::BrokenPipe => {
            ExitCode::SUCCESS
        }
        Err(error) => fail(&error),
    }
}

#[expect(clippy::print_stderr, reason = "the last word of the program belongs on the terminal")]
fn fail(error: &Error) -> ExitCode {
    eprintln!("waypost: {error}");
    ExitCode::FAILURE
}

async fn run(cli: Cli) -> Result<(), Error> {
    let load = || Config::load(cli.config.as_deref(), &config::environment());
    match cli.command {
        Command::Dev(dev) => dev.run(load()?).await,
        Command::Serve(serve) => serve.run(load()?).await,
        Command::Link(command) => link::run(command, &Context::open(load()?).await?).await,
        Command::Key(command) => key::run(command, &Context::open(load()?).await?).await,
        Command::TokenKey(command) => token_key::run(command, &Context::open(load()?).await?).await,
        Command::Domain(command) => domain::run(command, &Context::open(load()?).await?).await,
        Command::Campaign(campaign::Command::Check(check)) => check.run(),
        Command::Campaign(campaign::Command::Stored(command)) => {
            campaign::run(command, &Context::open(load()?).await?).await
        }
        Command::Code(command) => code::run(command, &Context::open(load()?).await?).await,
        Command::Reward(command) => reward::run(command, &Context::open(load()?).await?).await,
        Command::Review(command) => review::run(command, &Context::open(load()?).await?).await,
        Command::Dictionary(command) => {
            dictionary::run(command, &Context::open(load()?).await?).await
        }
        Command::Doctor(doctor) => doctor.run(load()).await,
        Command::Sandbox(sandbox) => sandbox.run().await,
        Command::Migrate => migrate(&load()?).await,
        Command::CheckConfig => {
            check(&load()?)?;
            say("The configuration is good.")
        }
    }
}

/// Looks at those settings that only their users can read. Connects to nothing.
fn check(config: &Config) -> Result<(), Error> {
    log_filter(&config.log)?;
    if !config.postgres.url.is_empty() {
        app::store(config)?;
    }
    app::shared(config, &Arc::new(Metrics::new()))?;
    app::outbound(config, 0)?;
    app::campaigns::check_source(config)?;
    Ok(())
}

async fn migrate(config: &Config) -> Result<(), Error> {
    let store = app::store(config)?;
    let applied = crate::store::migrate::migrate(&store).await?;
    for name in &applied {
        say(&format!("applied {name}"))?;
    }
    if applied.is_empty() { say("The database is up to date.") } else { Ok(()) }
}

/// Writes one line to standard output.
pub(crate) fn say(line: &str) -> Result<(), Error> {
    use std::io::Write;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}")?;
    Ok(out.flush()?)
}

fn log_filter(log: &config::Log) -> Result<EnvFilter, Error> {
    EnvFilter::try_new(&log.level)
        .map_err(|error| Error::Message(format!("[log] level = {:?}: {error}", log.level)))
}

/// Sends log lines to standard error, as the settings say.
pub(crate) fn start_logging(log: &config::Log) -> Result<(), Error> {
    let filter = log_filter(log)?;
    let lines = tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr);
    match log.format {
        LogFormat::Text => {
            let colours = std::io::IsTerminal::is_terminal(&std::io::stderr());
            lines.with_target(false).with_ansi(colours).init();
        }
        LogFormat::Json => lines.json().flatten_event(true).init(),
    }
    Ok(())
}
