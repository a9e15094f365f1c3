//! What the figures were measured on. No names and no places: nothing here tells whose machine it is.

use std::fs::read_to_string;
use std::process::Command;

use serde::Serialize;

use crate::Error;

/// Facts that a reader needs to judge the figures.
#[derive(Serialize)]
pub(crate) struct Machine {
    /// The processor, as it calls itself.
    pub(crate) processor: String,
    /// Cores that this program may use.
    pub(crate) cores: usize,
    /// Memory in GiB, rounded.
    pub(crate) memory_gib: u64,
    /// The kernel's release.
    pub(crate) kernel: String,
    /// The programs, as they call themselves.
    pub(crate) programs: Vec<String>,
    /// The commit of the sources, if this is a checkout; `+` marks changes that are not committed.
    pub(crate) commit: Option<String>,
}

/// Describes this machine.
pub(crate) fn describe() -> Machine {
    Machine {
        processor: field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown".to_owned()),
        cores: std::thread::available_parallelism().map_or(1, std::num::NonZero::get),
        memory_gib: memory_kib().saturating_add(512 * 1_024) / (1_024 * 1_024),
        kernel: read_to_string("/proc/sys/kernel/osrelease")
            .map_or_else(|_| "unknown".to_owned(), |release| release.trim().to_owned()),
        programs: [
            ("nginx", "-v"),
            ("/usr/sbin/nginx", "-v"),
            ("wrk", "-v"),
            ("redis-server", "--version"),
            ("postgres", "--version"),
            ("rustc", "--version"),
        ]
        .into_iter()
        .filter_map(|(program, flag)| version(program, flag))
        .fold(Vec::new(), |mut known, version| {
            if !known.contains(&version) {
                known.push(version);
            }
            known
        }),
        commit: commit(),
    }
}

fn field(file: &str, name: &str) -> Option<String> {
    read_to_string(file).ok()?.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim().to_owned())
    })
}

fn memory_kib() -> u64 {
    field("/proc/meminfo", "MemTotal")
        .and_then(|total| total.split(' ').next()?.parse().ok())
        .unwrap_or_default()
}

/// The first line that says a version; some programs write it to the error output.
fn version(program: &str, flag: &str) -> Option<String> {
    let output = Command::new(program).arg(flag).output().ok()?;
    let mut text = String::from_utf8_lossy(&output.stdout).into_owned();
    text.push_str(&String::from_utf8_lossy(&output.stderr));
    let line = text.lines().find(|line| !line.trim().is_empty())?;
    let line = line.split(" Copyright").next().unwrap_or(line);
    let line = line.split(" malloc=").next().unwrap_or(line);
    Some(line.trim().to_owned())
}

fn commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let head = git(&["rev-parse", "--short=12", "HEAD"])?;
    let changes = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changes.is_empty() { head } else { format!("{head}+") })
}

/// How long each core was busy, and idle, since the machine started.
pub(crate) struct CoreTimes(Vec<(f64, f64)>);

impl CoreTimes {
    /// Reads the kernel's figures.
    pub(crate) fn read() -> Result<Self, Error> {
        let text = read_to_string("/proc/stat").map_err(Error::io("read /proc/stat"))?;
        let is_core = |line: &&str| {
            line.strip_prefix("cpu")
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        Ok(Self(text.lines().filter(is_core).map(times).collect()))
    }

    /// The share of the time since `earlier` that `core` was busy.
    pub(crate) fn busy_since(&self, earlier: &Self, core: usize) -> f64 {
        let (Some((busy, idle)), Some((busy_then, idle_then))) =
            (self.0.get(core), earlier.0.get(core))
        else {
            return f64::NAN;
        };
        let (busy, idle) = (busy - busy_then, idle - idle_then);
        busy / (busy + idle)
    }
}

/// Busy and idle time of one line: user, nice, system, idle, iowait, irq, softirq, steal …
fn times(line: &str) -> (f64, f64) {
    let figures = line.split_whitespace().skip(1).take(8).filter_map(|figure| figure.parse().ok());
    figures.enumerate().fold((0.0, 0.0), |(busy, idle), (place, time): (usize, f64)| {
        if place == 3 || place == 4 { (busy, idle + time) } else { (busy + time, idle) }
    })
}
