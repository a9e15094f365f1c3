//! The journal: a file of JSON, a line for each operation that was applied and for each request that
//! was seen. It is on the disk before anybody gets an answer, so that a kill loses nothing that was
//! answered. All that wait at the same time share one write and one wait for the disk.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::faults::Struck;
use super::ledger::{Applied, Kind, Ledger, MOST_OPERATIONS};

/// No line that is written is longer: a request's texts take less than half of this, escaped.
const LINE_BYTES: u64 = 32 * 1_024;

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The operating system said no.
    #[error("the journal {path:?} cannot be used: {source}")]
    Io {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
    /// Another process has it.
    #[error(
        "the journal {0:?} belongs to another sandbox that runs; end that one, or name another file"
    )]
    Taken(PathBuf),
    /// A line before the last is no line of ours.
    #[error(
        "line {line} of the journal {path:?} is damaged: {why}; correct it, or name another file"
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// Which line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// It has more operations than fit into memory.
    #[error("the journal {0:?} has more than {MOST_OPERATIONS} operations; begin another file")]
    Full(PathBuf),
    /// A line could not be written, and what was decided is not safe.
    #[error("the journal could not be written; its last words are in the log")]
    NotWritten,
}

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Decision {
    /// Its operation was applied.
    Applied,
    /// Its operation was applied although its id had been used: after the window, or by a fault.
    AppliedAgain,
    /// Its operation had been applied; it gets the same answer.
    Repeated,
    /// It was refused.
    Refused,
    /// A fault struck before anything was decided.
    NotApplied,
}

/// A request that was seen.
#[derive(Debug, Serialize)]
pub struct Seen<'a> {
    /// When.
    pub at: Timestamp,
    /// What it asks for.
    pub kind: Kind,
    /// Its `Idempotency-Key`, if it is a valid one.
    pub operation_id: Option<&'a str>,
    /// The SHA-256 of its body, in hexadecimal digits.
    pub request_sha256: &'a str,
    /// What became of it.
    pub decision: Decision,
    /// The name of the refusal, if it was refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub problem: Option<&'static str>,
    /// What went wrong on purpose.
    #[serde(skip_serializing_if = "Struck::none")]
    pub faults: &'a Struck,
}

/// A line as it is written.
#[derive(Serialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
enum Written<'a> {
    Applied(&'a Applied),
    Seen(&'a Seen<'a>),
}

/// A line as it is read: of requests that were only seen nothing is needed.
#[derive(Deserialize)]
#[serde(tag = "line", rename_all = "kebab-case")]
enum Known {
    Applied(Box<Applied>),
    Seen {},
}

/// How far the journal has come.
#[derive(Clone, Copy, Debug, Default)]
struct Progress {
    /// So many entries are on the disk.
    safe: u64,
    /// Nothing more will be.
    broken: bool,
}

#[derive(Debug, Default)]
struct Pending {
    bytes: Vec<u8>,
    /// So many entries were added since the start. Each belongs to a request that waits for it, so the
    /// limit of connections bounds the bytes too.
    added: u64,
    closing: bool,
}

#[derive(Debug, Default)]
struct Shared {
    pending: Mutex<Pending>,
    more: Condvar,
}

impl Shared {
    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An open journal. Dropping it writes what is pending.
#[derive(Debug)]
pub struct Journal {
    shared: Arc<Shared>,
    progress: watch::Receiver<Progress>,
    writer: Option<std::thread::JoinHandle<()>>,
}

impl Journal {
    /// Opens a journal, makes it if it is not there, and puts its operations into `ledger`. Answers
    /// how many bytes of a torn last line were cut off.
    pub fn open(path: &Path, ledger: &mut Ledger) -> Result<(Self, u64), Error> {
        let within = |source| Error::Io { path: path.to_owned(), source };
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).open(path).map_err(within)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(Error::Taken(path.to_owned())),
            Err(TryLockError::Error(error)) => return Err(within(error)),
        }
        let whole = read(path, &file, ledger)?;
        let length = file.metadata().map_err(within)?.len();
        file.set_len(whole).and_then(|()| file.sync_all()).map_err(within)?;
        // A new file is only safe together with its name.
        let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        let directory = parent.unwrap_or_else(|| Path::new("."));
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(within)?;
        let journal = Self::start(file).map_err(within)?;
        Ok((journal, length.saturating_sub(whole)))
    }

    /// Starts the thread that writes to the end of `file`.
    fn start(file: File) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let (report, progress) = watch::channel(Progress::default());
        let theirs = Arc::clone(&shared);
        let writer = std::thread::Builder::new()
            .name("journal".to_owned())
            .spawn(move || write(file, &theirs, &report))?;
        Ok(Self { shared, progress, writer: Some(writer) })
    }

    /// Adds what was decided about a request; it is safe once [`Journal::safe`] says so. Entries stand
    /// in the order in which they were added.
    pub fn add(&self, applied: Option<&Applied>, seen: &Seen<'_>) -> u64 {
        let mut bytes = Vec::with_capacity(1_024);
        if let Some(applied) = applied {
            put(&mut bytes, &Written::Applied(applied));
        }
        put(&mut bytes, &Written::Seen(seen));
        let mut pending = self.shared.pending();
        pending.bytes.extend_from_slice(&bytes);
        pending.added += 1;
        let number = pending.added;
        drop(pending);
        self.shared.more.notify_one();
        number
    }

    /// The number of the last entry.
    pub fn last(&self) -> u64 {
        self.shared.pending().added
    }

    /// Waits until the entry of this number is on the disk.
    pub async fn safe(&self, number: u64) -> Result<(), Error> {
        let mut progress = self.progress.clone();
        let reached = progress.wait_for(|now| now.safe >= number || now.broken).await;
        match reached {
            Ok(now) if now.safe >= number => Ok(()),
            // Broken, or gone.
            Ok(_) | Err(_) => Err(Error::NotWritten),
        }
    }

    /// Comes true when the journal cannot be written any more.
    pub async fn broken(&self) {
        let mut progress = self.progress.clone();
        // A writer that is gone is as bad.
        drop(progress.wait_for(|now| now.broken).await.map(|now| now.broken));
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.shared.pending().closing = true;
        self.shared.more.notify_one();
        if let Some(writer) = self.writer.take() {
            // A writer that panicked has ended too.
            drop(writer.join());
        }
    }
}

fn put(bytes: &mut Vec<u8>, line: &Written<'_>) {
    serde_json::to_writer(&mut *bytes, line).expect("texts and numbers");
    bytes.push(b'\n');
}

/// Reads all whole lines; answers how many bytes they have.
fn read(path: &Path, file: &File, ledger: &mut Ledger) -> Result<u64, Error> {
    let mut lines = BufReader::new(file);
    let (mut whole, mut number, mut line) = (0, 0, Vec::new());
    loop {
        line.clear();
        number += 1;
        let read = lines.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line);
        let length = read.map_err(|source| Error::Io { path: path.to_owned(), source })?;
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        if !line.ends_with(b"\n") && length < LINE_BYTES {
            return Ok(whole);
        }
        let damaged = |error: serde_json::Error| Error::Damaged {
            path: path.to_owned(),
            line: number,
            why: error.to_string(),
        };
        match serde_json::from_slice(&line).map_err(damaged)? {
            Known::Applied(_) if ledger.is_full() => return Err(Error::Full(path.to_owned())),
            Known::Applied(applied) => ledger.add(*applied),
            Known::Seen {} => {}
        }
        whole += length;
    }
}

/// Writes what is pending, again and again, until the journal is closed or the disk says no.
fn write(mut file: File, shared: &Shared, report: &watch::Sender<Progress>) {
    let mut bytes = Vec::new();
    loop {
        let waiting = shared.pending();
        let idle = |pending: &mut Pending| pending.bytes.is_empty() && !pending.closing;
        let mut pending =
            shared.more.wait_while(waiting, idle).unwrap_or_else(PoisonError::into_inner);
        if pending.bytes.is_empty() {
            return;
        }
        std::mem::swap(&mut bytes, &mut pending.bytes);
        let added = pending.added;
        drop(pending);
        if let Err(error) = file.write_all(&bytes).and_then(|()| file.sync_data()) {
            tracing::error!(%error, "the journal could not be written");
            report.send_modify(|now| now.broken = true);
            return;
        }
        report.send_modify(|now| now.safe = added);
        bytes.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(faults: &Struck) -> Seen<'_> {
        Seen {
            at: Timestamp::UNIX_EPOCH,
            kind: Kind::Draw,
            operation_id: Some("a"),
            request_sha256: "aa",
            decision: Decision::NotApplied,
            problem: None,
            faults,
        }
    }

    #[tokio::test]
    async fn what_is_called_safe_stands_in_the_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("journal");
        let mut ledger = Ledger::new(std::time::Duration::from_mins(1));
        let (journal, cut) = Journal::open(&path, &mut ledger).expect("a journal");
        assert_eq!(cut, 0);
        for lines in 1..=3 {
            let entry = journal.add(None, &seen(&Struck::default()));
            assert_eq!((entry, journal.last()), (lines, lines));
            journal.safe(entry).await.expect("written");
            let text = std::fs::read_to_string(&path).expect("a file");
            assert_eq!(u64::try_from(text.lines().count()), Ok(lines));
        }
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_never_called_safe() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let only_readable = File::open(file.path()).expect("a file");
        let journal = Journal::start(only_readable).expect("a thread");
        let entry = journal.add(None, &seen(&Struck::default()));
        let told = journal.safe(entry).await;
        assert!(matches!(told, Err(Error::NotWritten)), "{told:?}");
        journal.broken().await;
    }
}
