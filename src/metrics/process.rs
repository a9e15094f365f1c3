//! Figures of the process itself, read from `/proc` when Prometheus asks, under their usual names.

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, Opts};

/// Reads `/proc` at every collection. Where there is none, the figures are zero.
pub(super) struct Figures {
    cpu_seconds: Gauge,
    resident_bytes: Gauge,
    open_fds: Gauge,
    start_seconds: Gauge,
}

impl Figures {
    pub(super) fn new() -> Self {
        let gauge = |name: &str, help: &str| {
            Gauge::with_opts(Opts::new(name, help)).expect("the names written here are valid")
        };
        Self {
            cpu_seconds: gauge("process_cpu_seconds_total", "User and system time, in seconds."),
            resident_bytes: gauge("process_resident_memory_bytes", "Resident memory, in bytes."),
            open_fds: gauge("process_open_fds", "Open file descriptors."),
            start_seconds: gauge(
                "process_start_time_seconds",
                "When the process started, in seconds since 1970.",
            ),
        }
    }

    fn all(&self) -> [&Gauge; 4] {
        [&self.cpu_seconds, &self.resident_bytes, &self.open_fds, &self.start_seconds]
    }
}

impl Collector for Figures {
    fn desc(&self) -> Vec<&Desc> {
        self.all().into_iter().flat_map(Collector::desc).collect()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        // Linux counts in hundredths of a second and, on all that we run on, in pages of 4 KiB.
        let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
        // The name, in brackets, may hold spaces: the numbered fields begin behind it, at the third.
        let fields: Vec<&str> =
            stat.rsplit_once(')').map_or("", |(_, rest)| rest).split_whitespace().collect();
        let field = |number: usize| -> f64 {
            number
                .checked_sub(3)
                .and_then(|index| fields.get(index))
                .and_then(|text| text.parse().ok())
                .unwrap_or(0.0)
        };
        self.cpu_seconds.set((field(14) + field(15)) / 100.0);
        self.resident_bytes.set(field(24) * 4096.0);
        let fds = std::fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
        self.open_fds.set(f64::from(u32::try_from(fds).unwrap_or(u32::MAX)));
        let boot = std::fs::read_to_string("/proc/stat").unwrap_or_default();
        let boot: f64 = boot
            .lines()
            .find_map(|line| line.strip_prefix("btime "))
            .and_then(|seconds| seconds.trim().parse().ok())
            .unwrap_or(0.0);
        self.start_seconds.set(boot + field(22) / 100.0);
        self.all().into_iter().flat_map(Collector::collect).collect()
    }
}
