//! A private PostgreSQL.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use super::place::percent_encode;
use super::process::{command, end_leftover, find, log_into, log_tail, run, wait_until, with_args};
use super::{Error, Place, Signal, Tied, file};

/// The superuser of the private cluster.
const USER: &str = "waypost";
const PACKAGE: &str = "postgresql";

/// Whether data must survive a power failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// As PostgreSQL does it by default.
    Kept,
    /// Nothing is synced: fast, and for throw-away data only.
    Thrown,
}

/// A private PostgreSQL. Dropping it stops it.
#[derive(Debug)]
pub struct PostgresServer {
    place: Arc<Place>,
    program: PathBuf,
    data: PathBuf,
    sockets: PathBuf,
    log: PathBuf,
    durability: Durability,
    process: Option<Tied>,
}

impl PostgresServer {
    /// Starts the PostgreSQL of `place` and waits until it answers; makes its data directory when
    /// there is none.
    pub fn start(place: &Arc<Place>, durability: Durability) -> Result<Self, Error> {
        let beside = installed();
        let program = find("postgres", &beside)
            .ok_or(Error::Missing { program: "PostgreSQL", package: PACKAGE })?;
        // The link on PATH may stand alone; initdb looks for its files from where it really is.
        let program = fs::canonicalize(&program).map_err(file("find", &program))?;
        let home = place.directory("postgres")?;
        let mut server = Self {
            place: Arc::clone(place),
            program,
            data: home.join("data"),
            sockets: place.sockets("postgres")?,
            log: home.join("log"),
            durability,
            process: None,
        };
        server.initialize(&home)?;
        server.restart()?;
        Ok(server)
    }

    /// The address of `database`, for any client of PostgreSQL.
    pub fn url(&self, database: &str) -> String {
        format!("postgresql://{USER}@/{database}?host={}", percent_encode(&self.sockets, false))
    }

    /// The Unix socket.
    pub fn socket(&self) -> PathBuf {
        self.sockets.join(".s.PGSQL.5432")
    }

    /// The major version of the data, 15 for one.
    pub fn major_version(&self) -> Option<u32> {
        fs::read_to_string(self.data.join("PG_VERSION")).ok()?.trim().parse().ok()
    }

    /// Makes `database` unless it is there.
    pub fn ensure_database(&self, database: &str) -> Result<(), Error> {
        match self.execute(&format!("CREATE DATABASE \"{database}\"")) {
            Err(Error::Server { problem, .. }) if problem.contains("42P04") => Ok(()),
            other => other,
        }
    }

    /// Runs statements in the database `postgres`; their rows are dropped.
    pub fn execute(&self, sql: &str) -> Result<(), Error> {
        let mut connection = self.connect().map_err(problem_of)?;
        connection.query(sql).map_err(problem_of)
    }

    /// Stops every process of the server where it stands: connections stay open and silent.
    pub fn pause(&self) -> Result<(), Error> {
        self.process.as_ref().map_or(Ok(()), Tied::pause)
    }

    /// Lets a paused server go on.
    pub fn resume(&self) -> Result<(), Error> {
        self.process.as_ref().map_or(Ok(()), Tied::resume)
    }

    /// Ends every process of the server at once, as a crash would.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.process.take().map_or(Ok(()), |process| process.kill())
    }

    /// Stops the server in order: sessions are ended, data is written.
    pub fn stop(&mut self) -> Result<(), Error> {
        match self.process.take() {
            Some(process) => process.stop(Signal::INT, Duration::from_secs(20)),
            None => Ok(()),
        }
    }

    /// Starts the server again on the same data and address, after a stop or a kill.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.stop()?;
        end_leftover("PostgreSQL", &self.data.join("postmaster.pid"), &self.data, Signal::INT)?;
        // Nobody is left who could own them. (A kill leaves them, and the number in the first may
        // by now be another process's.)
        for stale in [self.data.join("postmaster.pid"), self.socket(), self.socket_lock()] {
            match fs::remove_file(&stale) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(file("remove", stale)(error));
                }
                Ok(()) | Err(_) => {}
            }
        }
        let mut command = self.server_command()?;
        log_into(&mut command, &self.log)?;
        let process = Tied::spawn_command("PostgreSQL", command)?;
        // A recovery after a crash may take its time.
        let ready =
            wait_until(Duration::from_mins(1), || self.connect().is_ok() || !process.is_running());
        if !ready || !process.is_running() {
            return Err(problem_of(format!("did not start:{}", log_tail(&self.log))));
        }
        self.process = Some(process);
        Ok(())
    }

    fn socket_lock(&self) -> PathBuf {
        self.sockets.join(".s.PGSQL.5432.lock")
    }

    fn server_command(&self) -> Result<Command, Error> {
        let mut server = command(&self.program, self.place.account(), "INT")?;
        server.arg("-D").arg(&self.data).arg("-k").arg(&self.sockets);
        let mut settings = vec![
            "listen_addresses=",
            "port=5432",
            "unix_socket_permissions=0700",
            "max_connections=400",
            "log_min_messages=warning",
        ];
        if self.durability == Durability::Thrown {
            // (With synchronous_commit off, a kill would lose what was committed just before.)
            settings.extend(["fsync=off", "full_page_writes=off"]);
            // In the data directory, which is removed: a killed server cleans nothing up.
            settings.push("dynamic_shared_memory_type=mmap");
        }
        Ok(with_args(server, settings.into_iter().flat_map(|setting| ["-c", setting])))
    }

    /// Makes the data directory, in one step: an interrupted attempt leaves nothing that looks done.
    fn initialize(&self, home: &Path) -> Result<(), Error> {
        if self.data.join("PG_VERSION").is_file() {
            return Ok(());
        }
        let attempt = home.join("data.new");
        if attempt.exists() {
            fs::remove_dir_all(&attempt).map_err(file("remove", &attempt))?;
        }
        let initdb = self.program.with_file_name("initdb");
        let mut initdb = command(&initdb, self.place.account(), "KILL")?;
        initdb.arg("-D").arg(&attempt).args(["-U", USER, "--encoding=UTF8", "--locale=C"]);
        // Trust: the socket is in a directory that only its owner can enter.
        initdb.args(["--auth=trust", "--no-instructions"]);
        if self.durability == Durability::Thrown {
            initdb.arg("--no-sync");
        }
        run("initdb", initdb)?;
        fs::rename(&attempt, &self.data).map_err(file("rename", &attempt))
    }

    fn connect(&self) -> Result<Session, String> {
        Session::open(&self.socket())
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // There is nobody left to tell; whatever still runs dies with this process.
        drop(self.stop());
    }
}

fn problem_of(problem: String) -> Error {
    Error::Server { program: "PostgreSQL", problem }
}

/// The `bin` directories of Debian's PostgreSQL packages, the newest version first.
fn installed() -> Vec<PathBuf> {
    let Ok(versions) = fs::read_dir("/usr/lib/postgresql") else { return Vec::new() };
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| {
            let entry = entry.ok()?;
            Some((entry.file_name().to_str()?.parse().ok()?, entry.path().join("bin")))
        })
        .collect();
    versions.sort_unstable_by(|one, other| other.cmp(one));
    versions.into_iter().map(|(_, bin)| bin).collect()
}

/// One session, as much of the protocol as it takes to be let in and to run statements: this module
/// must not know the store, and the store no throw-away servers.
struct Session(UnixStream);

impl Session {
    fn open(socket: &Path) -> Result<Self, String> {
        let stream = UnixStream::connect(socket).map_err(|error| error.to_string())?;
        let patience = Some(Duration::from_secs(30));
        stream.set_read_timeout(patience).map_err(|error| error.to_string())?;
        let mut session = Self(stream);
        let hello = format!("\0\x03\0\0user\0{USER}\0database\0postgres\0\0");
        session.send(None, hello.as_bytes()).map_err(|error| error.to_string())?;
        session.until_ready()?;
        Ok(session)
    }

    fn query(&mut self, sql: &str) -> Result<(), String> {
        self.send(Some(b'Q'), format!("{sql}\0").as_bytes()).map_err(|error| error.to_string())?;
        self.until_ready()
    }

    fn send(&mut self, kind: Option<u8>, body: &[u8]) -> io::Result<()> {
        let length = u32::try_from(body.len().saturating_add(4)).map_err(io::Error::other)?;
        let mut message: Vec<u8> = kind.into_iter().collect();
        message.extend(length.to_be_bytes());
        message.extend(body);
        self.0.write_all(&message)
    }

    /// Reads to "ready for query"; the first refusal on the way is the answer.
    fn until_ready(&mut self) -> Result<(), String> {
        let mut refused = None;
        loop {
            let (kind, body) = self.receive().map_err(|error| match refused.take() {
                Some(refused) => refused,
                None => error.to_string(),
            })?;
            match kind {
                b'E' => refused = Some(explain(&body)),
                b'Z' => return refused.map_or(Ok(()), Err),
                _ => {}
            }
        }
    }

    fn receive(&mut self) -> io::Result<(u8, Vec<u8>)> {
        let mut kind = [0; 1];
        let mut length = [0; 4];
        self.0.read_exact(&mut kind)?;
        self.0.read_exact(&mut length)?;
        let length = u64::from(u32::from_be_bytes(length)).saturating_sub(4);
        let mut body = Vec::new();
        (&mut self.0).take(length).read_to_end(&mut body)?;
        Ok((u8::from_be_bytes(kind), body))
    }
}

/// The message and code of an error: fields that begin with a letter and end with a zero.
fn explain(body: &[u8]) -> String {
    let field = |letter| {
        let found = body.split(|byte| *byte == 0).find_map(|field| match field.split_first() {
            Some((first, text)) if *first == letter => Some(String::from_utf8_lossy(text)),
            Some(_) | None => None,
        });
        found.unwrap_or_default().into_owned()
    };
    format!("{} ({})", field(b'M'), field(b'C'))
}
