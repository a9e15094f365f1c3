//! Where batches wait on disk while the database is away.
//!
//! A directory of files, each with a batch a line: the first 16 hexadecimal digits of the SHA-256 of
//! what follows, a space, and the batch in JSON. A line that was cut or bent is known by its sum, and
//! costs no other line. A file belongs to the process that holds the lock on it; files of processes
//! that have gone are taken over by whoever comes first. That a batch is read twice does no harm: it
//! counts once, by its id.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::clock::UnixMillis;
use crate::link::LinkId;
use crate::store::clicks::{BATCH_SPAN, Batch, Visit};
use crate::visitor::agent::Browser;
use crate::visitor::country::Country;
use crate::visitor::{Device, Kind};

/// A file is not added to beyond this size.
const FILE_BYTES: u64 = 8 * 1_024 * 1_024;

/// No line that we write is longer: a visit takes less than 512 bytes.
const LINE_BYTES: u64 = 16_384 * 512;

const ENDING: &str = "spool";

/// Why a batch was not put into the spool.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// There is no room.
    #[error("the spool is full: it has {bytes} bytes, and [clicks] spool_bytes allows {limit}")]
    Full {
        /// What is in it, in bytes.
        bytes: u64,
        /// What may be in it.
        limit: u64,
    },
    /// The operating system said no.
    #[error("the spool in {path:?} cannot be used: {source}")]
    Io {
        /// The directory.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

/// A spool in a directory that several processes may share.
#[derive(Debug)]
pub struct Spool {
    directory: PathBuf,
    limit: u64,
    /// The file that is written to now, locked.
    current: Mutex<Option<(PathBuf, File)>>,
}

/// What stands in one line of a file.
#[derive(Debug, PartialEq, Eq)]
pub enum Line {
    /// A batch, and when it was put here.
    Batch(Batch, UnixMillis),
    /// So many bytes that are no batch.
    Damaged(u64),
}

/// A file of the spool, locked by us and read from its beginning.
#[derive(Debug)]
pub struct Segment {
    path: PathBuf,
    lines: BufReader<File>,
}

impl Spool {
    /// A spool in `directory`, which is made if need be, of at most `limit` bytes.
    pub fn open(directory: &Path, limit: u64) -> Result<Self, Error> {
        let spool = Self { directory: directory.to_owned(), limit, current: Mutex::new(None) };
        spool.within(|| {
            fs::create_dir_all(directory)?;
            // A directory that cannot be written is better known now than in an outage.
            prove_writable(directory)
        })?;
        Ok(spool)
    }

    fn within<T>(&self, work: impl FnOnce() -> io::Result<T>) -> Result<T, Error> {
        work().map_err(|source| Error::Io { path: self.directory.clone(), source })
    }

    /// Puts a batch into the spool, and sees to it that it is on the disk.
    pub fn append(&self, batch: &Batch, now: UnixMillis) -> Result<(), Error> {
        let line = encode(batch, now);
        let length = u64::try_from(line.len()).unwrap_or(u64::MAX);
        let bytes = self.bytes();
        if bytes.saturating_add(length) > self.limit {
            return Err(Error::Full { bytes, limit: self.limit });
        }
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        self.within(|| {
            let fits = match current.as_ref() {
                None => false,
                Some((_, file)) => {
                    let known = file.metadata()?;
                    // Somebody may have removed it: what is written into it then is gone.
                    known.nlink() > 0 && known.len() < FILE_BYTES
                }
            };
            if !fits {
                *current = Some(self.new_file(now)?);
            }
            let Some((path, file)) = current.as_mut() else { return Ok(()) };
            let before = file.metadata()?.len();
            let written = file.write_all(line.as_bytes()).and_then(|()| file.sync_data());
            if written.is_err() {
                // Half a line would look like damage. (Where even that fails, it is known by its sum.)
                let cut = file.set_len(before);
                if before == 0 {
                    // On a full disk it would be a new empty file every half second.
                    fs::remove_file(path)?;
                }
                if before == 0 || cut.is_err() {
                    *current = None;
                }
            }
            written
        })
    }

    /// A new file, locked by us. Between making and locking it somebody may take it for an abandoned
    /// one and remove it: then another is made.
    fn new_file(&self, now: UnixMillis) -> io::Result<(PathBuf, File)> {
        fs::create_dir_all(&self.directory)?;
        loop {
            let name = format!("{:015}-{:016x}.{ENDING}", now.0, rand::random::<u64>());
            let path = self.directory.join(name);
            let mut options = OpenOptions::new();
            // Where people come from is nobody else's business on this machine.
            let file = options.append(true).create_new(true).mode(0o600).open(&path)?;
            file.lock()?;
            if file.metadata()?.nlink() > 0 {
                return Ok((path, file));
            }
        }
    }

    /// How many bytes it may have.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// The bytes in all files of the spool.
    pub fn bytes(&self) -> u64 {
        let sizes =
            self.files().into_iter().filter_map(|path| Some(fs::metadata(path).ok()?.len()));
        sizes.sum()
    }

    /// All files, the oldest first.
    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.directory).into_iter().flatten().filter_map(Result::ok);
        let mut files: Vec<PathBuf> = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ending| ending == ENDING))
            .collect();
        files.sort();
        files
    }

    /// The files that nobody holds, each locked. The file that is written to now is closed for it.
    pub fn segments(&self) -> Vec<PathBuf> {
        *self.current.lock().unwrap_or_else(PoisonError::into_inner) = None;
        self.files()
    }

    /// Opens a file for reading; `None` if another process has it.
    pub fn read(&self, path: PathBuf) -> Result<Option<Segment>, Error> {
        self.within(|| {
            let file = match File::open(&path) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) => return Err(error),
            };
            match file.try_lock() {
                Ok(()) => Ok(Some(Segment { path, lines: BufReader::new(file) })),
                Err(fs::TryLockError::WouldBlock) => Ok(None),
                Err(fs::TryLockError::Error(error)) => Err(error),
            }
        })
    }
}

impl Segment {
    /// The next line; `None` at the end.
    pub fn next_line(&mut self) -> io::Result<Option<Line>> {
        let mut line = Vec::new();
        let length = self.lines.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line)?;
        if length == 0 {
            return Ok(None);
        }
        let length = u64::try_from(length).unwrap_or(u64::MAX);
        Ok(Some(decode(&line).unwrap_or(Line::Damaged(length))))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// All its batches are stored: it goes, or, when something in it was damaged, it is put aside
    /// under another name for somebody to look at.
    pub fn finish(self, damaged: bool) -> io::Result<()> {
        if damaged {
            fs::rename(&self.path, self.path.with_extension("damaged"))
        } else {
            fs::remove_file(&self.path)
        }
    }
}

/// Proves that files can be made in a directory.
fn prove_writable(directory: &Path) -> io::Result<()> {
    let path = directory.join(format!("{:016x}.probe", rand::random::<u64>()));
    drop(OpenOptions::new().write(true).create_new(true).open(&path)?);
    fs::remove_file(path)
}

/// A batch as it stands in a line.
#[derive(Serialize, Deserialize)]
struct BatchLine<'a> {
    id: String,
    spooled_at: u64,
    #[serde(borrow)]
    visits: Vec<VisitLine<'a>>,
}

/// A visit: link, time, kind, device, browser, country, referrer, network, private, and its number as a
/// click.
#[derive(Serialize, Deserialize)]
struct VisitLine<'a>(
    i64,
    u64,
    &'a str,
    &'a str,
    &'a str,
    Option<&'a str>,
    Option<&'a str>,
    Option<IpAddr>,
    bool,
    #[serde(default)] Option<String>,
);

fn encode(batch: &Batch, now: UnixMillis) -> String {
    let visits = batch.visits.iter().map(|visit| {
        VisitLine(
            visit.link.0,
            visit.at.0,
            visit.kind.name(),
            visit.device.name(),
            visit.browser.name(),
            visit.country.as_ref().map(Country::code),
            visit.referrer.as_deref(),
            visit.network,
            visit.private,
            visit.click_id.map(|id| format!("{id:032x}")),
        )
    });
    let line =
        BatchLine { id: format!("{:032x}", batch.id), spooled_at: now.0, visits: visits.collect() };
    let json = serde_json::to_string(&line).expect("texts and numbers");
    format!("{} {json}\n", sum(&json))
}

fn decode(line: &[u8]) -> Option<Line> {
    let line = std::str::from_utf8(line).ok()?.strip_suffix('\n')?;
    let (given, json) = line.split_once(' ')?;
    if sum(json) != given {
        return None;
    }
    let batch: BatchLine<'_> = serde_json::from_str(json).ok()?;
    let visits: Vec<Visit> = batch.visits.iter().map(visit).collect::<Option<_>>()?;
    let fits = i64::try_from(visits.len()).is_ok_and(|count| count < BATCH_SPAN);
    let id = u128::from_str_radix(&batch.id, 16).ok()?;
    fits.then_some(Line::Batch(Batch { id, visits }, UnixMillis(batch.spooled_at)))
}

fn visit(parts: &VisitLine<'_>) -> Option<Visit> {
    let VisitLine(link, at, kind, device, browser, country, referrer, network, private, ref click) =
        *parts;
    let click_id = |digits: &String| u128::from_str_radix(digits, 16).ok();
    Some(Visit {
        link: LinkId(link),
        at: UnixMillis(at),
        kind: Kind::ALL.into_iter().find(|it| it.name() == kind)?,
        device: Device::ALL.into_iter().find(|it| it.name() == device)?,
        browser: Browser::ALL.into_iter().find(|it| it.name() == browser)?,
        country: country.map(Country::parse).map_or(Some(None), |it| it.map(Some))?,
        referrer: referrer.map(Into::into),
        network,
        private,
        click_id: click.as_ref().map_or(Some(None), |digits| click_id(digits).map(Some))?,
    })
}

fn sum(json: &str) -> String {
    let hash = Sha256::digest(json.as_bytes());
    let first = hash.first_chunk().expect("a hash has 32 bytes");
    format!("{:016x}", u64::from_be_bytes(*first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::visitor::agent::Agent;

    fn batch(id: u128, visits: i64) -> Batch {
        let agent =
            Agent::of(b"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0");
        let visit = |link| Visit {
            link: LinkId(link),
            at: UnixMillis(1_893_456_000_000),
            kind: Kind::Person,
            device: agent.device,
            browser: agent.browser,
            country: Country::parse("DE").filter(|_| link % 2 == 0),
            referrer: (link % 3 == 0).then(|| "news.example".into()),
            network: (link % 5 == 0).then(|| [203, 0, 113, 0].into()),
            private: link % 7 == 0,
            click_id: (link % 4 == 0).then(rand::random),
        };
        Batch { id, visits: (0..visits).map(visit).collect() }
    }

    const NOW: UnixMillis = UnixMillis(1_893_456_001_000);

    /// All that is in a spool, but for files that another has.
    fn read_all(spool: &Spool) -> (Vec<u128>, u64) {
        let (mut ids, mut damaged) = (Vec::new(), 0);
        for path in spool.segments() {
            let Some(mut segment) = spool.read(path).expect("readable") else { continue };
            while let Some(line) = segment.next_line().expect("readable") {
                match line {
                    Line::Batch(batch, _) => ids.push(batch.id),
                    Line::Damaged(bytes) => damaged += bytes,
                }
            }
        }
        (ids, damaged)
    }

    fn only_file(directory: &Path) -> PathBuf {
        let mut files = fs::read_dir(directory).expect("a directory");
        files.next().expect("a file").expect("readable").path()
    }

    #[test]
    fn a_batch_reads_back_as_it_was_written() {
        let directory = tempfile::tempdir().expect("a directory");
        let spool = Spool::open(&directory.path().join("new"), 1 << 20).expect("a spool");
        let written = batch(u128::MAX, 211);
        spool.append(&written, NOW).expect("room");
        let path = spool.segments().pop().expect("a file");
        let mut segment = spool.read(path).expect("readable").expect("nobody has it");
        assert_eq!(segment.next_line().expect("readable"), Some(Line::Batch(written, NOW)));
        assert_eq!(segment.next_line().expect("readable"), None);
        segment.finish(false).expect("removed");
        assert_eq!(spool.bytes(), 0);
    }

    #[test]
    fn a_file_cut_in_the_middle_costs_the_batch_that_was_cut() {
        let directory = tempfile::tempdir().expect("a directory");
        let spool = Spool::open(directory.path(), 1 << 20).expect("a spool");
        for id in 1..=3 {
            spool.append(&batch(id, 50), NOW).expect("room");
        }
        let path = only_file(directory.path());
        let whole = fs::read(&path).expect("readable");
        for cut in (0..whole.len()).step_by(97) {
            fs::write(&path, &whole[..cut]).expect("written");
            let (ids, damaged) = read_all(&spool);
            let lines = whole[..cut].split(|byte| *byte == b'\n').count() - 1;
            assert_eq!(ids, (1..).take(lines).collect::<Vec<u128>>());
            assert_eq!(damaged > 0, !whole[..cut].ends_with(b"\n") && cut > 0, "cut at {cut}");
        }
    }

    #[test]
    fn noise_between_batches_costs_no_batch_and_is_measured() {
        let directory = tempfile::tempdir().expect("a directory");
        let spool = Spool::open(directory.path(), 1 << 24).expect("a spool");
        for id in 1..=3 {
            spool.append(&batch(id, 50), NOW).expect("room");
        }
        let path = only_file(directory.path());
        let lines: Vec<Vec<u8>> = fs::read(&path)
            .expect("readable")
            .split_inclusive(|b| *b == b'\n')
            .map(<[u8]>::to_vec)
            .collect();
        let mut noise = vec![0_u8; 100_000];
        rand::fill(&mut noise[..]);
        noise.push(b'\n');
        let mut bent = lines[1].clone();
        bent[500] ^= 1;
        let text = [&lines[0][..], &noise, &lines[1], &bent, &lines[2]].concat();
        fs::write(&path, text).expect("written");
        let measured = u64::try_from(noise.len() + bent.len()).expect("small");
        assert_eq!(read_all(&spool), (vec![1, 2, 3], measured));
        let segment = spool.read(path.clone()).expect("readable").expect("nobody has it");
        segment.finish(true).expect("put aside");
        assert!(!path.exists() && path.with_extension("damaged").exists());
        assert_eq!(spool.bytes(), 0, "what was put aside takes no room");
    }

    #[test]
    fn a_full_spool_says_so_and_a_file_in_use_is_left_alone() {
        let directory = tempfile::tempdir().expect("a directory");
        let one = Spool::open(directory.path(), 20_000).expect("a spool");
        one.append(&batch(1, 100), NOW).expect("room");
        let other = Spool::open(directory.path(), 20_000).expect("a spool");
        let held = other.segments().pop().expect("a file");
        assert!(other.read(held).expect("readable").is_none(), "the first one writes to it");
        let full = loop {
            match other.append(&batch(2, 100), NOW) {
                Ok(()) => {}
                Err(error) => break error.to_string(),
            }
        };
        assert!(full.contains("[clicks] spool_bytes allows 20000"), "{full}");
        let (ids, damaged) = read_all(&one);
        assert_eq!((ids, damaged), (vec![1], 0), "the second one still holds its own");
    }

    #[test]
    fn a_file_that_was_removed_takes_nothing_more() {
        let directory = tempfile::tempdir().expect("a directory");
        let below = directory.path().join("spool");
        let spool = Spool::open(&below, 1 << 20).expect("a spool");
        spool.append(&batch(1, 10), NOW).expect("room");
        fs::remove_dir_all(&below).expect("removed");
        spool.append(&batch(2, 10), NOW).expect("room, in a new directory");
        assert_eq!(read_all(&spool), (vec![2], 0));
    }

    #[test]
    fn a_directory_that_cannot_be_used_is_named() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        let error = Spool::open(file.path(), 1).expect_err("no directory").to_string();
        assert!(error.contains(file.path().to_str().expect("plain")), "{error}");
    }
}
