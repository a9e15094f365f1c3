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

/// What the generator asks for, and what a right answer is.
pub(crate) struct Wanted {
    /// Paths without the first slash; under Zipf, the first is asked for most.
    pub(crate) paths: Vec<String>,
    /// All headers but `Host`, one a line.
    pub(crate) headers: String,
    /// The status of every answer.
    pub(crate) status: u16,
}

impl Wanted {
    /// Redirects of these links.
    pub(crate) fn redirects(links: &[Link]) -> Self {
        let paths = links.iter().map(|link| link.slug.clone()).collect();
        Self { paths, headers: BROWSER.to_owned(), status: 302 }
    }

    /// The landing pages of these codes, for somebody in Indonesia.
    pub(crate) fn landings(codes: &[String]) -> Self {
        let paths = codes.iter().map(|code| format!("r/{code}")).collect();
        let language = |line: &str| {
            let line = if line.starts_with("Accept-Language:") {
                "Accept-Language: id,en;q=0.8"
            } else {
                line
            };
            format!("{line}\n")
        };
        Self { paths, headers: BROWSER.lines().map(language).collect(), status: 200 }
    }
}

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
    /// Answers other than those wanted, and connections that failed.
    pub(crate) errors: f64,
}

/// Whether wrk looks at each status, which costs it more than the sending.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Care {
    /// Counts every answer whose status is not the wanted one.
    Check,
    /// Counts answers of 400 and above, and broken connections.
    Measure,
}

/// wrk, ready to run.
pub(crate) struct Generator {
    core: usize,
    script: PathBuf,
    directory: PathBuf,
    status: u16,
}

impl Generator {
    /// Writes the script, the paths and the headers to `directory`.
    pub(crate) fn prepare(core: usize, directory: &Path, wanted: &Wanted) -> Result<Self, Error> {
        if find("wrk", &[]).is_none() {
            return Err(Error::Missing { program: "wrk", remedy: "apt-get install wrk" });
        }
        let generator = Self {
            core,
            script: directory.join("wrk.lua"),
            directory: directory.to_owned(),
            status: wanted.status,
        };
        fs::write(&generator.script, include_str!("../wrk.lua"))
            .map_err(Error::io("write wrk's script"))?;
        fs::write(directory.join("browser.headers"), &wanted.headers)
            .map_err(Error::io("write the headers for wrk"))?;
        for choice in Choice::ALL {
            fs::write(generator.paths(choice), draw(choice, &wanted.paths))
                .map_err(Error::io("write the paths for wrk"))?;
        }
        Ok(generator)
    }

    fn paths(&self, choice: Choice) -> PathBuf {
        self.directory.join(format!("{}.paths", choice.name()))
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
            .arg(self.paths(choice))
            .arg(self.directory.join("browser.headers"))
            .arg(match care {
                Care::Check => self.status.to_string(),
                Care::Measure => "any".to_owned(),
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

/// The paths of the prepared requests, one a line.
///
/// Under Zipf the ranks go by the order of the paths, which says nothing about what they are.
fn draw(choice: Choice, paths: &[String]) -> String {
    let count = u32::try_from(paths.len()).expect("far fewer paths than four billion");
    let zipf = Zipf::new(count);
    let mut random = Random::new(0x2a9f_0001);
    let mut drawn = String::new();
    for _ in 0..PREPARED {
        let path = match choice {
            Choice::Uniform => random.pick(paths),
            Choice::Zipf => paths.get(zipf.choose(&mut random)).expect("less than the count"),
        };
        drawn.push_str(path);
        drawn.push('\n');
    }
    drawn
}
