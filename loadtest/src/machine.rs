//! What the figures were measured on. No names and no places: nothing here tells whose machine it is.

use std::collections::HashMap;
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

/// What Linux counts processors' time in, for programs, on every kind of machine that this runs on.
const TICKS_A_SECOND: f64 = 100.0;

/// Where the processors' time went since the machine started, in ticks of the kernel.
pub(crate) struct CpuTimes {
    /// Busy and idle time of each core.
    cores: Vec<(f64, f64)>,
    /// The time of processes that are neither this one nor its children.
    others: f64,
}

impl CpuTimes {
    /// Reads the kernel's figures.
    pub(crate) fn read() -> Result<Self, Error> {
        let text = read_to_string("/proc/stat").map_err(Error::io("read /proc/stat"))?;
        let is_core = |line: &&str| {
            line.strip_prefix("cpu")
                .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        };
        let cores = text.lines().filter(is_core).map(core_times).collect();
        let processes = Processes::read().map_err(Error::io("list the processes"))?;
        Ok(Self { cores, others: processes.others() })
    }

    /// The share of the time since `earlier` that `core` was busy.
    pub(crate) fn busy_since(&self, earlier: &Self, core: usize) -> f64 {
        let (Some((busy, idle)), Some((busy_then, idle_then))) =
            (self.cores.get(core), earlier.cores.get(core))
        else {
            return f64::NAN;
        };
        let (busy, idle) = (busy - busy_then, idle - idle_then);
        busy / (busy + idle)
    }

    /// The share of all cores' time since `earlier` that other programs used.
    pub(crate) fn others_since(&self, earlier: &Self) -> f64 {
        let total = |times: &Self| times.cores.iter().map(|(busy, idle)| busy + idle).sum::<f64>();
        (self.others - earlier.others).max(0.0) / (total(self) - total(earlier))
    }
}

/// Busy and idle time of one line: user, nice, system, idle, iowait, irq, softirq, steal …
fn core_times(line: &str) -> (f64, f64) {
    let figures = line.split_whitespace().skip(1).take(8).filter_map(|figure| figure.parse().ok());
    figures.enumerate().fold((0.0, 0.0), |(busy, idle), (place, time): (usize, f64)| {
        if place == 3 || place == 4 { (busy, idle + time) } else { (busy + time, idle) }
    })
}

/// A process: its parent, and the time that it and its children that ended have used.
struct Usage {
    parent: u32,
    ticks: f64,
}

/// All processes by their ids.
pub(crate) struct Processes(HashMap<u32, Usage>);

impl Processes {
    /// Those that run now.
    pub(crate) fn read() -> std::io::Result<Self> {
        let mut processes = HashMap::new();
        for entry in std::fs::read_dir("/proc")?.flatten() {
            let id = entry.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
            // A process may be gone by now; its parent has its time then.
            let usage = read_to_string(entry.path().join("stat")).ok().as_deref().and_then(usage);
            if let (Some(id), Some(usage)) = (id, usage) {
                processes.insert(id, usage);
            }
        }
        Ok(Self(processes))
    }

    fn descends(&self, mut id: u32, ancestor: u32) -> bool {
        loop {
            match self.0.get(&id) {
                _ if id == ancestor => return true,
                Some(usage) if usage.parent != id => id = usage.parent,
                Some(_) | None => return false,
            }
        }
    }

    /// The process itself, its children, and theirs.
    pub(crate) fn below(&self, ancestor: u32) -> impl Iterator<Item = u32> {
        self.0.keys().copied().filter(move |id| self.descends(*id, ancestor))
    }

    /// The processor's time that these processes, and those of their children that ended, have used, in
    /// seconds.
    pub(crate) fn seconds(&self, ids: impl Iterator<Item = u32>) -> f64 {
        ids.filter_map(|id| self.0.get(&id)).map(|usage| usage.ticks).sum::<f64>() / TICKS_A_SECOND
    }

    /// The time of all processes that do not descend from this one.
    fn others(&self) -> f64 {
        let here = std::process::id();
        let others = self.0.iter().filter(|(id, _)| !self.descends(**id, here));
        others.map(|(_, usage)| usage.ticks).sum()
    }
}

/// Reads `/proc/<id>/stat`: after the name in brackets come the state, the parent, nine fields that do
/// not matter here, and four times.
fn usage(stat: &str) -> Option<Usage> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let times = fields.get(11..15)?.iter().filter_map(|time| time.parse::<f64>().ok());
    Some(Usage { parent: fields.get(1)?.parse().ok()?, ticks: times.sum() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_brackets_in_its_name_is_understood() {
        let stat = "7 (a) b) S 3 7 7 0 -1 4 1 2 3 4 10 20 30 40 20 0 1 0 5";
        let usage = usage(stat).expect("well formed");
        assert_eq!(usage.parent, 3);
        assert!((usage.ticks - 100.0).abs() < f64::EPSILON);
    }
}
