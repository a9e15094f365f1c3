//! Where private servers have their files, and as whom they run.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, chown};
use std::path::{Path, PathBuf};

use super::process::{command, run};
use super::{Error, file};

/// The longest path of a Unix socket is 107 bytes; the longest file name we put there is this long.
const LONGEST_DIRECTORY: usize = 107 - "/.s.PGSQL.5432".len();

/// An unprivileged user.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Account {
    pub(super) uid: u32,
    pub(super) gid: u32,
}

/// A directory for private servers, held by one process at a time.
#[derive(Debug)]
pub struct Place {
    root: PathBuf,
    moved: bool,
    account: Option<Account>,
    /// The lock on the directory, which ends with the process.
    _lock: fs::File,
}

impl Place {
    /// Makes `directory` ready and locks it.
    ///
    /// Servers that must not be root run as `postgres` or `nobody`. When that user cannot reach
    /// `directory` (it lies below `/root`, perhaps), their files go to `/var/lib/waypost-dev`
    /// instead; [`Place::moved_to`] tells.
    pub fn prepare(directory: &Path) -> Result<Self, Error> {
        let account = account()?;
        // Others may pass through, to the servers' directories, but not look.
        let mode = if account.is_some() { 0o711 } else { 0o700 };
        make(directory, mode)?;
        let directory = fs::canonicalize(directory).map_err(file("find", directory))?;
        let lock = lock(&directory)?;
        let mut place = Self { root: directory, moved: false, account, _lock: lock };
        if !place.is_reachable()? {
            let home = Path::new("/var/lib/waypost-dev");
            make(home, 0o711)?;
            place.root = home.join(short_hash(&place.root));
            make(&place.root, 0o711)?;
            place.moved = true;
        }
        Ok(place)
    }

    /// The directory that the servers' files are in.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The directory that the servers' files are in, when it is not the one that was asked for.
    pub fn moved_to(&self) -> Option<&Path> {
        self.moved.then_some(self.root.as_path())
    }

    pub(super) fn account(&self) -> Option<&Account> {
        self.account.as_ref()
    }

    /// A directory below this one that belongs to the servers alone.
    pub(super) fn directory(&self, name: &str) -> Result<PathBuf, Error> {
        let path = self.root.join(name);
        make(&path, 0o700)?;
        self.hand_over(&path)?;
        Ok(path)
    }

    /// A directory for the sockets of `server`, with a path short enough for one.
    pub(super) fn sockets(&self, server: &str) -> Result<PathBuf, Error> {
        let path = self.root.join(server).join("socket");
        if path.as_os_str().len() <= LONGEST_DIRECTORY {
            make(&path, 0o700)?;
            self.hand_over(&path)?;
            return Ok(path);
        }
        let short = PathBuf::from(format!("/tmp/waypost-{}", short_hash(&path)));
        match fs::DirBuilder::new().mode(0o700).create(&short) {
            Ok(()) => self.hand_over(&short)?,
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(file("make", short)(error)),
        }
        // Anybody can make a directory in /tmp; only one that nobody else can enter will do.
        let found = fs::symlink_metadata(&short).map_err(file("look at", &short))?;
        let owner = self
            .account
            .as_ref()
            .map_or_else(|| rustix::process::geteuid().as_raw(), |account| account.uid);
        if found.is_dir() && found.uid() == owner && found.mode() & 0o777 == 0o700 {
            Ok(short)
        } else {
            Err(Error::Foreign(short))
        }
    }

    fn hand_over(&self, path: &Path) -> Result<(), Error> {
        match &self.account {
            Some(account) => {
                chown(path, Some(account.uid), Some(account.gid)).map_err(file("hand over", path))
            }
            None => Ok(()),
        }
    }

    /// Whether the servers' user can write into a directory of its own below the root: asked of the
    /// system itself, by letting that user try.
    fn is_reachable(&self) -> Result<bool, Error> {
        let Some(account) = &self.account else { return Ok(true) };
        let probe = self.directory("reach")?;
        let mut test = command(Path::new("/usr/bin/test"), Some(account), "KILL")?;
        test.arg("-w").arg(&probe);
        let reached = run("test", test).is_ok();
        fs::remove_dir(&probe).map_err(file("remove", &probe))?;
        Ok(reached)
    }
}

/// Makes a directory with this mode; one that is there keeps its own.
fn make(path: &Path, mode: u32) -> Result<(), Error> {
    if path.is_dir() {
        return Ok(());
    }
    fs::DirBuilder::new().recursive(true).create(path).map_err(file("make", path))?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(file("make", path))
}

/// Holds the directory for this process.
fn lock(directory: &Path) -> Result<fs::File, Error> {
    let path = directory.join("lock");
    let lock = fs::File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(file("open", &path))?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(fs::TryLockError::WouldBlock) => Err(Error::InUse(directory.to_owned())),
        Err(fs::TryLockError::Error(source)) => Err(file("lock", path)(source)),
    }
}

/// Whom the servers run as: ourselves, unless we are root.
fn account() -> Result<Option<Account>, Error> {
    if !rustix::process::geteuid().is_root() {
        return Ok(None);
    }
    let path = "/etc/passwd";
    let users = fs::read_to_string(path).map_err(file("read", path))?;
    ["postgres", "nobody"].into_iter().find_map(|name| find(&users, name)).map(Some).ok_or_else(
        || {
            let source = io::Error::other("there is neither a user 'postgres' nor 'nobody'");
            file("find an unprivileged user in", path)(source)
        },
    )
}

/// Finds a user in the text of `/etc/passwd`.
fn find(users: &str, name: &str) -> Option<Account> {
    users.lines().find_map(|line| {
        let mut fields = line.split(':');
        (fields.next()? == name).then_some(())?;
        let _password = fields.next()?;
        Some(Account { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
    })
}

/// Sixteen digits for a path, the same ones for ever: FNV-1a.
fn short_hash(path: &Path) -> String {
    let bytes = path.as_os_str().as_bytes().iter();
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("{hash:016x}")
}

/// A path as part of a URL.
pub(super) fn percent_encode(path: &Path, slashes: bool) -> String {
    path.as_os_str().as_bytes().iter().fold(String::new(), |mut text, byte| {
        let plain = byte.is_ascii_alphanumeric() || b"-._~".contains(byte);
        if plain || (slashes && *byte == b'/') {
            text.push(char::from(*byte));
        } else {
            write!(text, "%{byte:02X}").expect("a String takes all text");
        }
        text
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let users = "root:x:0:0:root:/root:/bin/bash\nnot-postgres:x:7:8::/:/bin/sh\n\
                     postgres:x:101:104:admin,,,:/var/lib/postgresql:/bin/bash\n";
        assert_eq!(find(users, "postgres"), Some(Account { uid: 101, gid: 104 }));
        assert_eq!(find(users, "nobody"), None);
        assert_eq!(find("postgres:x:me:104\n", "postgres"), None);
    }

    #[test]
    fn odd_paths_fit_into_urls() {
        let path = Path::new("/a b/ü%");
        assert_eq!(percent_encode(path, true), "/a%20b/%C3%BC%25");
        assert_eq!(percent_encode(path, false), "%2Fa%20b%2F%C3%BC%25");
    }

    #[test]
    fn a_directory_is_held_by_one_process_at_a_time() {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let first = lock(directory.path()).expect("free");
        assert!(matches!(lock(directory.path()), Err(Error::InUse(_))));
        drop(first);
        lock(directory.path()).expect("free again");
    }
}
