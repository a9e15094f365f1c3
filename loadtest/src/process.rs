//! Children: pinned to a core, with their output in a file, and never left behind.

use std::ffi::OsStr;
use std::fs::File;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use waypost::clock::Stopwatch;

use crate::Error;

/// A running child. Dropping it asks it to end, waits, and kills it when it does not.
pub(crate) struct Process {
    name: &'static str,
    child: Child,
    log: PathBuf,
}

/// How long a child may take to end in peace: longer than Waypost's drain.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two looks at a child.
const PAUSE: Duration = Duration::from_millis(20);

/// A command that is told to end if this program is killed.
pub(crate) fn watched(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new("setpriv");
    command.args(["--pdeathsig", "TERM"]).arg(program);
    command
}

/// The same, on one core.
pub(crate) fn pinned(core: usize, program: impl AsRef<OsStr>) -> Command {
    let mut command = watched("taskset");
    command.arg("-c").arg(core.to_string()).arg(program);
    command
}

impl Process {
    /// Starts `command`; what it writes goes to `<directory>/<name>.log`.
    pub(crate) fn start(
        name: &'static str,
        mut command: Command,
        directory: &Path,
    ) -> Result<Self, Error> {
        let log = directory.join(format!("{name}.log"));
        let output = File::create(&log).map_err(Error::io(format!("write the log of {name}")))?;
        let errors = output.try_clone().map_err(Error::io("share a file between two outputs"))?;
        let child =
            command.stdin(Stdio::null()).stdout(output).stderr(errors).spawn().map_err(
                Error::io(format!("start {name} (taskset and setpriv are of util-linux)")),
            )?;
        Ok(Self { name, child, log })
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Asks `ready` until it has something; fails when the child ends or `limit` has passed.
    pub(crate) fn wait_for<T>(
        &mut self,
        limit: Duration,
        mut ready: impl FnMut() -> Option<T>,
    ) -> Result<T, Error> {
        let started = Stopwatch::start();
        loop {
            if let Some(found) = ready() {
                return Ok(found);
            }
            let ended = self.child.try_wait().map_err(Error::io("wait for a child"))?;
            if ended.is_some() || started.elapsed() > limit {
                let why = if ended.is_some() { "ended at once" } else { "is not ready in time" };
                return Err(Error::broken(self.name, format!("{why}; {}", self.last_words())));
            }
            thread::sleep(PAUSE);
        }
    }

    /// Waits until it listens on `address`.
    pub(crate) fn wait_for_port(&mut self, address: SocketAddr) -> Result<(), Error> {
        self.wait_for(Duration::from_mins(1), || TcpStream::connect(address).ok()).map(drop)
    }

    /// The end of what it wrote.
    pub(crate) fn last_words(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<&str> = log.lines().collect();
        let tail = lines.get(lines.len().saturating_sub(15)..).unwrap_or_default();
        format!("it wrote:\n{}", tail.join("\n"))
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(mut self) -> Result<(), Error> {
        let ended = self.child.kill().and_then(|()| self.child.wait());
        ended.map(drop).map_err(Error::io(format!("kill {}", self.name)))
    }

    fn end(&mut self) -> std::io::Result<()> {
        if self.child.try_wait()?.is_some() {
            return Ok(());
        }
        if let Some(id) = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw) {
            kill_process(id, Signal::TERM)?;
        }
        let started = Stopwatch::start();
        while started.elapsed() < PATIENCE {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            thread::sleep(PAUSE);
        }
        self.child.kill()?;
        self.child.wait().map(drop)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if let Err(error) = self.end() {
            crate::say(&format!("{} may still be running: {error}", self.name));
        }
    }
}

/// A loopback address that nobody listens on at this moment.
pub(crate) fn free_address() -> Result<SocketAddr, Error> {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .map_err(Error::io("find a free port"))
}

/// The first of `places` where the program stands, or the bare name if the search path has it.
pub(crate) fn find(name: &'static str, places: &[&str]) -> Option<PathBuf> {
    let on_path = Command::new("sh")
        .args(["-c", "command -v \"$0\"", name])
        .stderr(Stdio::null())
        .output()
        .is_ok_and(|found| found.status.success());
    if on_path {
        return Some(PathBuf::from(name));
    }
    places.iter().map(|place| Path::new(place).join(name)).find(|path| path.is_file())
}
