//! Processes that die with this one, and what can be done to them.

use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process, test_kill_process};

use super::place::Account;
use super::{Error, file};
use crate::clock::Stopwatch;

/// How long to sleep between two looks at a condition.
const PAUSE: Duration = Duration::from_millis(5);

/// Looks again and again whether `condition` holds, for at most `limit`; says whether it did.
pub fn wait_until(limit: Duration, mut condition: impl FnMut() -> bool) -> bool {
    let waited = Stopwatch::start();
    loop {
        if condition() {
            return true;
        }
        if waited.elapsed() > limit {
            return false;
        }
        std::thread::sleep(PAUSE);
    }
}

/// The path of a program: on `PATH`, or in one of the `beside` directories.
pub(super) fn find(program: &'static str, beside: &[PathBuf]) -> Option<PathBuf> {
    #[expect(clippy::disallowed_methods, reason = "PATH is no setting of ours")]
    let path = std::env::var_os("PATH").unwrap_or_default();
    // An empty environment is no reason not to find what every system has in the same places.
    let usual = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/sbin", "/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(usual)
        .chain(beside.iter().cloned())
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_absolute() && candidate.is_file())
}

/// A command that runs as `account` and gets `on_death` when the thread that spawned it ends.
pub(super) fn command(
    program: &Path,
    account: Option<&Account>,
    on_death: &'static str,
) -> Result<Command, Error> {
    let setpriv =
        find("setpriv", &[]).ok_or(Error::Missing { program: "setpriv", package: "util-linux" })?;
    let mut command = Command::new(setpriv);
    command.args(["--pdeathsig", on_death]);
    if let Some(account) = account {
        command
            .args(["--reuid", &account.uid.to_string(), "--regid", &account.gid.to_string()])
            .arg("--clear-groups");
    }
    command.arg("--").arg(program).stdin(std::process::Stdio::null());
    Ok(command)
}

type Job = (Command, SyncSender<io::Result<Child>>);

/// Spawns `command` in a process group of its own, from a thread that lives as long as this process.
///
/// The signal that `setpriv --pdeathsig` asks for is sent when the *thread* that spawned ends, not
/// when the process does; a worker of a runtime may end long before.
fn spawn(mut command: Command) -> io::Result<Child> {
    static KEEPER: OnceLock<SyncSender<Job>> = OnceLock::new();
    let keeper = KEEPER.get_or_init(|| {
        let (jobs, received) = sync_channel::<Job>(16);
        let keep = move || {
            while let Ok((mut command, reply)) = received.recv() {
                // Nobody waits for the answer any more: the child is not ours to keep then.
                if let Err(unheard) = reply.send(command.spawn())
                    && let Ok(mut child) = unheard.0
                {
                    drop(child.kill());
                    drop(child.wait());
                }
            }
        };
        std::thread::Builder::new()
            .name("keeper".to_owned())
            .spawn(keep)
            .expect("a process that cannot have one more thread cannot go on");
        jobs
    });
    command.process_group(0);
    let (reply, answer) = sync_channel(1);
    let gone = || io::Error::other("the thread that keeps child processes is gone");
    keeper.send((command, reply)).map_err(|_unsent| gone())?;
    answer.recv().map_err(|_closed| gone())?
}

/// A child process that dies with this one; dropping it ends it.
#[derive(Debug)]
pub struct Tied {
    program: &'static str,
    child: Mutex<Child>,
    pid: Pid,
}

impl Tied {
    /// Runs `command`'s program with its arguments and environment; it gets SIGKILL when this process
    /// ends. For the processes of tests: servers have types of their own.
    pub fn spawn(
        program: &'static str,
        path: &Path,
        set: impl FnOnce(&mut Command),
    ) -> Result<Self, Error> {
        let mut command = command(path, None, "KILL")?;
        set(&mut command);
        Self::spawn_command(program, command)
    }

    pub(super) fn spawn_command(program: &'static str, command: Command) -> Result<Self, Error> {
        let child =
            spawn(command).map_err(|source| Error::Process { action: "start", program, source })?;
        Ok(Self { program, pid: Pid::from_child(&child), child: Mutex::new(child) })
    }

    /// The process, for what [`Child`] can do: taking its pipes, mostly.
    pub fn with_child<T>(&self, work: impl FnOnce(&mut Child) -> T) -> T {
        work(&mut self.child.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The process id.
    pub fn id(&self) -> Pid {
        self.pid
    }

    /// Whether the process is there; a stopped one is.
    pub fn is_running(&self) -> bool {
        self.with_child(|child| matches!(child.try_wait(), Ok(None)))
    }

    /// Sends `signal` to the process alone, unless it has ended.
    pub fn signal(&self, signal: Signal) -> Result<(), Error> {
        if !self.is_running() {
            return Ok(());
        }
        kill_process(self.pid, signal).map_err(|errno| Error::Process {
            action: "signal",
            program: self.program,
            source: errno.into(),
        })
    }

    /// Stops the process and all its children where they stand, until [`Tied::resume`].
    pub fn pause(&self) -> Result<(), Error> {
        // The parent first, and not before it stands still are its children complete.
        self.signal(Signal::STOP)?;
        self.wait_stopped(self.pid)?;
        for child in children(self.pid) {
            tell(child, Signal::STOP);
            self.wait_stopped(child)?;
        }
        Ok(())
    }

    fn wait_stopped(&self, pid: Pid) -> Result<(), Error> {
        let stopped = || matches!(state(pid), None | Some('T' | 't' | 'Z' | 'X'));
        if wait_until(Duration::from_secs(5), stopped) {
            Ok(())
        } else {
            Err(self.problem("did not stand still when it was told to"))
        }
    }

    /// Lets a paused process and its children go on.
    pub fn resume(&self) -> Result<(), Error> {
        for child in children(self.pid) {
            tell(child, Signal::CONT);
        }
        self.signal(Signal::CONT)
    }

    /// Ends the process and its children at once, with SIGKILL, and waits until they are gone.
    pub fn kill(&self) -> Result<(), Error> {
        let family = children(self.pid);
        self.signal(Signal::KILL)?;
        for child in &family {
            tell(*child, Signal::KILL);
        }
        let gone = || !self.is_running() && family.iter().all(|child| !is_alive(*child));
        if wait_until(Duration::from_secs(10), gone) {
            Ok(())
        } else {
            Err(self.problem("is still there after SIGKILL"))
        }
    }

    /// Asks the process to end with `signal`, waits up to `limit`, then ends it by force.
    pub fn stop(&self, signal: Signal, limit: Duration) -> Result<(), Error> {
        self.resume()?;
        self.signal(signal)?;
        if wait_until(limit, || !self.is_running()) { Ok(()) } else { self.kill() }
    }

    fn problem(&self, problem: &str) -> Error {
        Error::Server { program: self.program, problem: problem.to_owned() }
    }
}

impl Drop for Tied {
    fn drop(&mut self) {
        // There is nobody left to tell.
        drop(self.kill());
    }
}

/// Sends a signal to a process that may have ended by now; then it needs none.
fn tell(pid: Pid, signal: Signal) {
    drop(kill_process(pid, signal).map_err(io::Error::from));
}

/// Ends the server that an earlier, killed process of ours left in `directory`, and waits for it:
/// two of them must never share data or a socket.
///
/// `pid_file` says which process it is; it is believed only if that process works in `directory`.
/// The caller holds the directory's lock, so nobody else's server can be meant.
pub(super) fn end_leftover(
    program: &'static str,
    pid_file: &Path,
    directory: &Path,
    polite: Signal,
) -> Result<(), Error> {
    let Ok(text) = fs::read_to_string(pid_file) else { return Ok(()) };
    let pid = text.lines().next().and_then(|line| line.trim().parse().ok()).and_then(Pid::from_raw);
    let Some(pid) = pid.filter(|pid| works_in(*pid, directory)) else { return Ok(()) };
    let family = children(pid);
    for member in family.iter().chain([&pid]) {
        tell(*member, Signal::CONT);
    }
    tell(pid, polite);
    let gone = || !is_alive(pid) && family.iter().all(|child| !is_alive(*child));
    if wait_until(Duration::from_secs(30), gone) {
        return Ok(());
    }
    for member in family.iter().chain([&pid]) {
        tell(*member, Signal::KILL);
    }
    if wait_until(Duration::from_secs(10), gone) {
        return Ok(());
    }
    let problem = format!(
        "of an earlier start (process {}) does not end: end it by hand",
        pid.as_raw_nonzero()
    );
    Err(Error::Server { program, problem })
}

fn works_in(pid: Pid, directory: &Path) -> bool {
    let at = fs::read_link(format!("/proc/{}/cwd", pid.as_raw_nonzero()));
    match (at, fs::canonicalize(directory)) {
        (Ok(at), Ok(directory)) => at == directory,
        _ => false,
    }
}

/// Whether the process is there and not merely waiting to be reaped.
fn is_alive(pid: Pid) -> bool {
    test_kill_process(pid).is_ok() && !matches!(state(pid), None | Some('Z' | 'X'))
}

/// The letter that the kernel has for what a process is doing.
fn state(pid: Pid) -> Option<char> {
    stat(&pid.as_raw_nonzero().to_string()).map(|(state, _)| state)
}

/// State and parent of a process. The name before them may hold anything, brackets and spaces too.
fn stat(pid: &str) -> Option<(char, i32)> {
    let line = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = line.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    Some((fields.next()?.chars().next()?, fields.next()?.parse().ok()?))
}

/// The children of a process. PostgreSQL's backends have sessions of their own: no process group
/// has them all.
fn children(parent: Pid) -> Vec<Pid> {
    let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
    processes
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| stat(name).is_some_and(|(_, of)| of == parent.as_raw_nonzero().get()))
        .filter_map(|name| Pid::from_raw(name.parse().ok()?))
        .collect()
}

/// Runs a command to its end; what it said becomes the error when it fails.
pub(super) fn run(program: &'static str, mut command: Command) -> Result<(), Error> {
    command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped());
    let run = |source| Error::Process { action: "run", program, source };
    let output = spawn(command).and_then(Child::wait_with_output).map_err(run)?;
    if output.status.success() {
        return Ok(());
    }
    let said = [output.stdout, output.stderr].concat();
    let problem = format!("failed: {}", String::from_utf8_lossy(&said).trim());
    Err(Error::Server { program, problem })
}

/// The last lines of a server's log.
pub(super) fn log_tail(log: &Path) -> String {
    let text = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    lines
        .iter()
        .skip(lines.len().saturating_sub(8))
        .fold(String::new(), |all, line| all + "\n  " + line)
}

/// Sends what `command` prints into the file `log`, which starts anew.
pub(super) fn log_into(command: &mut Command, log: &Path) -> Result<(), Error> {
    let output = fs::File::create(log).map_err(file("write", log))?;
    let copy = output.try_clone().map_err(file("write", log))?;
    command.stdout(output).stderr(copy);
    Ok(())
}

/// Adds `--name value` pairs, or whatever the server takes.
pub(super) fn with_args<I: IntoIterator<Item = S>, S: AsRef<OsStr>>(
    mut command: Command,
    args: I,
) -> Command {
    command.args(args);
    command
}
