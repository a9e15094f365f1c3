//! Benchmarks of Waypost beside its peers: redirects and landing pages per second on one core, and bytes
//! per link in Redis; and of Waypost alone: redirects while PostgreSQL stands still, clicks on their way in
//! and out, referral codes, and rewards from the trigger on. `loadtest/README.md` says what is measured, how, and how to read it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

mod bare;
mod bench;
mod books;
mod clicks;
mod client;
mod codes;
mod corpus;
mod database;
mod instructions;
mod landing;
mod machine;
mod memory;
mod meters;
mod outage;
mod peers;
mod process;
mod random;
mod report;
mod rewards;
mod wrk;

/// Measures Waypost beside a bare hyper server and nginx.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    options: Options,
}

#[derive(Subcommand)]
enum Command {
    /// Only serves a constant answer, which the others are measured against.
    Bare {
        /// Where to listen.
        #[arg(long)]
        listen: SocketAddr,
        /// A file with a page: headers, one a line; an empty line; the body. A redirect when not given.
        #[arg(long)]
        page: Option<PathBuf>,
    },
}

/// What to measure, and how long.
#[derive(clap::Args)]
pub(crate) struct Options {
    /// Measured rounds for each server.
    #[arg(long, default_value_t = 7, value_parser = clap::value_parser!(u32).range(1..=1_000))]
    rounds: u32,
    /// Seconds of one measured round.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..=600))]
    seconds: u32,
    /// Seconds of traffic, not measured, right before each measured round.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(1..=600))]
    warm_up_seconds: u32,
    /// How often a turn that other programs disturbed is measured again, in each series.
    #[arg(long, default_value_t = 14)]
    repeats: u32,
    /// Short links of the redirect benchmark.
    #[arg(long, default_value_t = 100_000)]
    links: usize,
    /// Links of the Redis memory benchmark.
    #[arg(long, default_value_t = 1_000_000)]
    redis_links: usize,
    /// Clicks of each day in the click benchmark.
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=10_000_000))]
    clicks: u32,
    /// Referral codes generated in the code benchmark.
    #[arg(long, default_value_t = 1_000_000)]
    codes: usize,
    /// Users who reach something, in the benchmark of rewards.
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u32).range(4_000..=1_000_000))]
    triggers: u32,
    /// Rewards that wait to be drawn and allotted, in the benchmark of rewards.
    #[arg(long, default_value_t = 50_000, value_parser = clap::value_parser!(u32).range(1_000..=1_000_000))]
    backlog: u32,
    /// Finished rewards in the database that has many of them, in the benchmark of rewards.
    #[arg(long, default_value_t = 2_000_000, value_parser = clap::value_parser!(u32).range(20_000..=20_000_000))]
    history: u32,
    /// The core of the server being measured; the last one when not given.
    #[arg(long)]
    server_core: Option<usize>,
    /// The core of the load generator.
    #[arg(long, default_value_t = 0)]
    generator_core: usize,
    /// Where Waypost's private PostgreSQL and Redis run: with Waypost, or with the generator.
    #[arg(long, value_enum, default_value_t = Beside::Generator)]
    stores: Beside,
    /// What to leave out.
    #[arg(long, value_enum, value_delimiter = ',')]
    skip: Vec<Part>,
    /// What to measure, and nothing else; `waypost` and `nginx` are no parts by themselves.
    #[arg(long, value_enum, value_delimiter = ',', conflicts_with = "skip")]
    only: Vec<Part>,
    /// The waypost program; the one beside this program when not given.
    #[arg(long)]
    waypost: Option<PathBuf>,
    /// Also count Waypost's instructions per request under callgrind. Slow.
    #[arg(long)]
    instructions: bool,
    /// Names the files of the results, after the date.
    #[arg(long, default_value = "bench")]
    description: String,
    /// The directory that the results are written to.
    #[arg(long, default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/results"))]
    results: PathBuf,
    /// Print the results only.
    #[arg(long)]
    dry_run: bool,
}

/// The two sides of the machine.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Beside {
    /// On the measured core: their work counts as Waypost's.
    Server,
    /// On the generator's core, as if they had a machine of their own.
    Generator,
}

/// A part of the benchmark.
#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Part {
    /// Waypost in the redirect benchmark.
    Waypost,
    /// nginx in the redirect benchmark.
    Nginx,
    /// Redirects altogether.
    Redirects,
    /// Landing pages.
    Landing,
    /// Redirects while PostgreSQL stands still.
    Outage,
    /// Clicks: storing them, adding them up, asking about them.
    Clicks,
    /// Referral codes: generating and giving them.
    Codes,
    /// Rewards: triggers taken, work done, with much history, after a crash.
    Rewards,
    /// The bytes per link in Redis.
    Redis,
}

impl Options {
    fn skips(&self, part: Part) -> bool {
        let is_server = matches!(part, Part::Waypost | Part::Nginx);
        let unwanted = !self.only.is_empty() && !is_server && !self.only.contains(&part);
        unwanted || self.skip.contains(&part)
    }
}

/// Why there are no results.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A program that is needed is not installed.
    #[error("{program} is not installed: {remedy}")]
    Missing { program: &'static str, remedy: &'static str },
    /// The operating system refused something.
    #[error("cannot {what}: {source}")]
    Io { what: String, source: std::io::Error },
    /// A server or the generator did not do what it is there for.
    #[error("{name}: {what}")]
    Broken { name: String, what: String },
    /// Redis refused something.
    #[error("the private Redis: {0}")]
    Redis(#[from] redis::RedisError),
}

impl Error {
    fn io(what: impl Into<String>) -> impl FnOnce(std::io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }

    fn broken(name: impl Into<String>, what: impl Into<String>) -> Self {
        Self::Broken { name: name.into(), what: what.into() }
    }
}

/// Tells the person at the terminal.
#[expect(clippy::print_stdout, reason = "the one place that writes what people read")]
pub(crate) fn say(text: &str) {
    println!("{text}");
}

#[expect(clippy::print_stderr, reason = "the one place that says why the program failed")]
fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = match arguments.command {
        Some(Command::Bare { listen, page }) => bare::serve(listen, page.as_deref()).map(|()| true),
        None => run(&arguments.options),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("loadtest: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Measures all that is asked for, reports it, and says whether it was without errors.
fn run(options: &Options) -> Result<bool, Error> {
    let machine = machine::describe();
    let mut report = report::Report::new(machine, options);
    if !options.skips(Part::Redirects) {
        report.redirects = Some(bench::redirects(options)?);
    }
    if !options.skips(Part::Landing) {
        report.landings = Some(landing::measure(options)?);
    }
    if !options.skips(Part::Outage) {
        report.outage = Some(outage::measure(options)?);
    }
    if !options.skips(Part::Clicks) {
        report.clicks = Some(clicks::measure(options)?);
    }
    if !options.skips(Part::Codes) {
        report.codes = Some(codes::measure(options)?);
    }
    if !options.skips(Part::Rewards) {
        report.rewards = Some(rewards::measure(options)?);
    }
    if !options.skips(Part::Redis) {
        report.memory = Some(memory::measure(options)?);
    }
    if options.instructions {
        report.instructions = instructions::count(options)?;
    }
    report.publish(options)?;
    Ok(report.is_clean())
}
