//! The servers that are measured: Waypost, the bare hyper server, and nginx.

use std::ffi::OsStr;
use std::fmt::Write as _;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::client::Connection;
use crate::corpus::Link;
use crate::machine::Processes;
use crate::process::{Process, find, free_address, pinned};
use crate::{Beside, Error, Options};

pub(crate) mod pages;

/// Links in one request of the batch.
const BATCH: usize = 10_000;

/// A server to measure.
pub(crate) struct Peer {
    /// Its name in the report.
    pub(crate) name: &'static str,
    /// Where it answers redirects.
    pub(crate) address: SocketAddr,
    /// Whether it knows the links, or answers all requests alike.
    pub(crate) knows_links: bool,
    /// Where its metrics are, if it has them.
    pub(crate) metrics: Option<SocketAddr>,
    process: Process,
}

impl Peer {
    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// The processor's time that it has used, in seconds, without that of PostgreSQL and Redis.
    pub(crate) fn seconds(&self) -> Result<f64, Error> {
        let processes = Processes::read().map_err(Error::io("list the processes"))?;
        let own = processes.below(self.id()).filter(|id| !is_named(*id, &STORES));
        Ok(processes.seconds(own))
    }
}

/// Where a server runs, and how.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// Its core.
    pub(crate) core: usize,
    /// Where it may write.
    pub(crate) directory: &'a Path,
    /// Under callgrind, which counts its instructions and makes it some fifty times slower.
    pub(crate) counted: bool,
}

impl Place<'_> {
    fn command(&self, program: &Path) -> Command {
        if !self.counted {
            return pinned(self.core, program);
        }
        let mut command = pinned(self.core, "valgrind");
        let out = self.directory.join("callgrind.out");
        command.args(["--tool=callgrind", &format!("--callgrind-out-file={}", out.display())]);
        command.arg(program);
        command
    }
}

/// A directory for everything that the servers write; gone when it is dropped.
///
/// Others may enter it, because PostgreSQL runs as another user when this program runs as root.
pub(crate) fn directory() -> Result<tempfile::TempDir, Error> {
    tempfile::Builder::new()
        .prefix("waypost-bench-")
        .permissions(fs::Permissions::from_mode(0o755))
        .tempdir()
        .map_err(Error::io("make a temporary directory"))
}

/// The bare server, which answers with redirects.
pub(crate) fn bare(place: Place<'_>) -> Result<Peer, Error> {
    bare_with(place, "bare hyper, constant 302", &[])
}

/// The bare server: this program again.
fn bare_with(place: Place<'_>, name: &'static str, more: &[&OsStr]) -> Result<Peer, Error> {
    let program = std::env::current_exe().map_err(Error::io("find this program"))?;
    let address = free_address()?;
    let mut command = place.command(&program);
    command.arg("bare").arg("--listen").arg(address.to_string()).args(more);
    let mut process = Process::start("bare", command, place.directory)?;
    process.wait_for_port(address)?;
    Ok(Peer { name, address, knows_links: false, metrics: None, process })
}

/// nginx with a `map` of all links; `None` if it is not installed.
pub(crate) fn nginx(place: Place<'_>, links: &[Link]) -> Result<Option<Peer>, Error> {
    let directory = place.directory;
    let Some(program) = find("nginx", &["/usr/sbin", "/usr/local/sbin"]) else {
        return Ok(None);
    };
    let mut map = String::new();
    for link in links {
        writeln!(map, "\"/{}\" \"{}\";", link.slug, link.target).expect("a String takes all text");
    }
    fs::write(directory.join("links.map"), map).map_err(Error::io("write nginx's map"))?;
    let address = free_address()?;
    let settings = include_str!("../nginx.conf").replace("127.0.0.1:80", &address.to_string());
    let file = directory.join("nginx.conf");
    fs::write(&file, settings).map_err(Error::io("write nginx's settings"))?;
    let mut command = place.command(&program);
    command.arg("-p").arg(directory).arg("-c").arg(&file);
    let mut process = Process::start("nginx", command, directory)?;
    process.wait_for_port(address)?;
    let name = "nginx, map";
    Ok(Some(Peer { name, address, knows_links: true, metrics: None, process }))
}

/// What `waypost dev` leaves for programs to read.
#[derive(Deserialize)]
pub(crate) struct Whereabouts {
    edge: SocketAddr,
    /// Where the API and the metrics are.
    pub(crate) control: SocketAddr,
    /// The key that the API takes.
    pub(crate) api_key: String,
    /// The address of the private PostgreSQL.
    pub(crate) database_url: String,
}

/// Waypost, and the ways into it.
pub(crate) struct Waypost {
    /// The server.
    pub(crate) peer: Peer,
    /// Where everything of it is.
    pub(crate) whereabouts: Whereabouts,
}

/// Waypost with its private PostgreSQL and Redis, filled with the links. `settings` are variables of
/// its environment; all others are as released.
pub(crate) fn waypost(
    options: &Options,
    place: Place<'_>,
    links: &[Link],
    settings: &[(&str, &str)],
) -> Result<Waypost, Error> {
    let data = place.directory.join("dev");
    let mut command = place.command(&program(options)?);
    command.arg("dev").arg("--data").arg(&data);
    command.args(["--edge", "127.0.0.1:0", "--control", "127.0.0.1:0"]);
    command.env("WAYPOST_EDGE__WORKERS", "1").env("WAYPOST_LOG__LEVEL", "warn");
    command.envs(settings.iter().copied());
    command.env_remove("DATABASE_URL").env_remove("REDIS_URL");
    let mut process = Process::start("waypost", command, place.directory)?;
    let found: Whereabouts = process.wait_for(Duration::from_mins(2), || {
        let text = fs::read_to_string(data.join("dev.json")).ok()?;
        let found: Whereabouts = serde_json::from_str(&text).ok()?;
        let answer = Connection::open(found.control).ok()?.get("/readyz").ok()?;
        (answer.status == 200).then_some(found)
    })?;
    fill(&found, links)
        .map_err(|error| Error::broken("waypost", format!("{error}\n{}", process.last_words())))?;
    if options.stores == Beside::Generator {
        move_stores(options.generator_core, process.id())?;
    }
    let peer = Peer {
        name: "Waypost",
        address: found.edge,
        knows_links: true,
        metrics: Some(found.control),
        process,
    };
    Ok(Waypost { peer, whereabouts: found })
}

/// The waypost program: the one that was named, or the one beside this program.
pub(crate) fn program(options: &Options) -> Result<PathBuf, Error> {
    let program = match &options.waypost {
        Some(named) => named.clone(),
        None => std::env::current_exe()
            .map_err(Error::io("find this program"))?
            .with_file_name("waypost"),
    };
    if program.is_file() {
        Ok(program)
    } else {
        let remedy = "cargo build --release --workspace, or --waypost PROGRAM";
        Err(Error::Missing { program: "waypost", remedy })
    }
}

/// A link as the API takes it.
#[derive(Serialize)]
struct NewLink<'a> {
    slug: &'a str,
    target: &'a str,
}

#[derive(Serialize)]
struct Batch<'a> {
    links: Vec<NewLink<'a>>,
}

#[derive(Deserialize)]
struct Results {
    results: Vec<serde_json::Value>,
}

fn fill(waypost: &Whereabouts, links: &[Link]) -> Result<(), Error> {
    let broken = |what: String| Error::broken("waypost", what);
    let mut connection =
        Connection::open(waypost.control).map_err(Error::io("connect to Waypost's API"))?;
    for chunk in links.chunks(BATCH) {
        let links =
            chunk.iter().map(|link| NewLink { slug: &link.slug, target: &link.target }).collect();
        let body = serde_json::to_string(&Batch { links }).expect("strings are JSON");
        let answer = connection
            .post("/v1/links/batch", &waypost.api_key, &body)
            .map_err(Error::io("send links to Waypost"))?;
        let made: Results = serde_json::from_str(&answer.body).map_err(|_no_results| {
            broken(format!("the batch was answered with {}: {}", answer.status, answer.body))
        })?;
        let refused =
            made.results.iter().find(|row| row.get("status").is_none_or(|status| status != 201));
        if let Some(refused) = refused {
            return Err(broken(format!("a link was refused: {refused}")));
        }
        if made.results.len() != chunk.len() {
            return Err(broken(format!("{} results for {BATCH} links", made.results.len())));
        }
    }
    Ok(())
}

/// What the names of PostgreSQL's and Redis' programs begin with.
const STORES: [&str; 2] = ["postgres", "redis"];

/// The processes that Waypost started whose programs' names begin with one of `names`.
pub(crate) fn stores(waypost: u32, names: &[&str]) -> Result<Vec<u32>, Error> {
    let processes = Processes::read().map_err(Error::io("list the processes"))?;
    Ok(processes.below(waypost).filter(|id| is_named(*id, names)).collect())
}

/// Whether the name of a process' program begins with one of `names`.
fn is_named(id: u32, names: &[&str]) -> bool {
    let name = fs::read_to_string(format!("/proc/{id}/comm")).unwrap_or_default();
    names.iter().any(|begin| name.starts_with(begin))
}

/// Moves the PostgreSQL and the Redis that Waypost started to another core.
fn move_stores(core: usize, waypost: u32) -> Result<(), Error> {
    let mut moved = 0;
    for id in stores(waypost, &STORES)? {
        let status = Command::new("taskset")
            .args(["-a", "-c", "-p", &core.to_string(), &id.to_string()])
            .output()
            .map_err(Error::io("run taskset"))?
            .status;
        moved += u32::from(status.success());
    }
    if moved == 0 {
        return Err(Error::broken("taskset", "found no PostgreSQL and no Redis to move"));
    }
    Ok(())
}
