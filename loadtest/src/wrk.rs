//! The load generator: wrk with a script that sends what a browser sends.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::Error;
use crate::corpus::Link;
use crate::process::{find, pinned};
use crate::random::{Random, Zipf};

/// Connections that are open at a time.
pub(crate) const CONNECTIONS: u32 = 64;

/// What Chrome on Android sends along when somebody follows a link, one header a line.
pub(crate) const BROWSER: &str = include_str!("../browser.headers");

/// Requests that are prepared before the clock starts, then sent over and over.
const PREPARED: u32 = 131_072;

/// How slugs are chosen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Choice {
    /// Each link as often as the others.
    Uniform,
    /// The link of rank `n` is `n` times rarer than the first.
    Zipf,
}

impl Choice {
    /// Both, in the order of the report.
    pub(crate) const ALL: [Self; 2] = [Self::Uniform, Self::Zipf];

    /// The name in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Zipf => "Zipf",
        }
    }
}

/// What one run of wrk says.
#[derive(Clone, Copy, Deserialize)]
pub(crate) struct Outcome {
    /// Requests that were answered.
    pub(crate) requests: f64,
    /// How long it took.
    pub(crate) microseconds: f64,
    /// The median latency in microseconds.
    pub(crate) p50: f64,
    /// The latency in microseconds that 99 % stayed under.
    pub(crate) p99: f64,
    /// Answers other than the redirect, and connections that failed.
    pub(crate) errors: f64,
}

/// Whether wrk looks at each status, which costs it more than the sending.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    /// Counts every answer that is not a 302.
    Check,
    /// Counts answers of 400 and above, and broken connections.
    Measure,
}

/// wrk, ready to run.
pub(crate) struct Generator {
    core: usize,
    script: PathBuf,
    directory: PathBuf,
}

impl Generator {
    /// Writes the script and the slugs to `directory`.
    pub(crate) fn prepare(core: usize, directory: &Path, links: &[Link]) -> Result<Self, Error> {
        if find("wrk", &[]).is_none() {
            return Err(Error::Missing { program: "wrk", remedy: "apt-get install wrk" });
        }
        let generator =
            Self { core, script: directory.join("wrk.lua"), directory: directory.to_owned() };
        fs::write(&generator.script, include_str!("../wrk.lua"))
            .map_err(Error::io("write wrk's script"))?;
        fs::write(directory.join("browser.headers"), BROWSER)
            .map_err(Error::io("write the headers for wrk"))?;
        for choice in Choice::ALL {
            fs::write(generator.slugs(choice), draw(choice, links))
                .map_err(Error::io("write the slugs for wrk"))?;
        }
        Ok(generator)
    }

    fn slugs(&self, choice: Choice) -> PathBuf {
        self.directory.join(format!("{}.slugs", choice.name()))
    }

    /// Sends to `server` for so many seconds.
    pub(crate) fn run(
        &self,
        server: SocketAddr,
        choice: Choice,
        seconds: u32,
        care: Care,
    ) -> Result<Outcome, Error> {
        let output = pinned(self.core, "wrk")
            .args(["--threads", "1", "--latency", "--timeout", "10s"])
            .arg(format!("--connections={CONNECTIONS}"))
            .arg(format!("--duration={seconds}s"))
            .arg("--script")
            .arg(&self.script)
            .arg(format!("http://{server}/"))
            .arg("--")
            .arg(self.slugs(choice))
            .arg(self.directory.join("browser.headers"))
            .arg(match care {
                Care::Check => "check",
                Care::Measure => "measure",
            })
            .output()
            .map_err(Error::io("run wrk"))?;
        let text = String::from_utf8_lossy(&output.stdout);
        text.lines()
            .find_map(|line| serde_json::from_str(line.strip_prefix("RESULT ")?).ok())
            .ok_or_else(|| {
                let errors = String::from_utf8_lossy(&output.stderr);
                Error::broken("wrk", format!("it gave no result, but: {text}{errors}"))
            })
    }
}

/// The slugs of the prepared requests, one a line.
///
/// Under Zipf the ranks go by the order of the links, which says nothing about their slugs.
fn draw(choice: Choice, links: &[Link]) -> String {
    let count = u32::try_from(links.len()).expect("far fewer links than four billion");
    let zipf = Zipf::new(count);
    let mut random = Random::new(0x2a9f_0001);
    let mut slugs = String::new();
    for _ in 0..PREPARED {
        let link = match choice {
            Choice::Uniform => random.pick(links),
            Choice::Zipf => links.get(zipf.choose(&mut random)).expect("less than the count"),
        };
        slugs.push_str(&link.slug);
        slugs.push('\n');
    }
    slugs
}
