//! Instructions per request, counted by callgrind: a figure that a busy machine cannot disturb.

use std::process::{Command, Stdio};

use serde::Serialize;

use crate::bench::{self, Cores};
use crate::client::Connection;
use crate::corpus;
use crate::landing;
use crate::peers::{self, Peer, Place};
use crate::process::find;
use crate::wrk::{CONNECTIONS, Wanted};
use crate::{Error, Options, Part, say};

/// What callgrind counted for one server.
#[derive(Serialize)]
pub(crate) struct Counted {
    /// The server's name, and what it was asked for.
    pub(crate) name: String,
    /// Instructions in the process, from reading a request to having written its answer.
    pub(crate) instructions_per_request: f64,
}

/// Few enough that the slowed-down server takes them in one batch in time.
const LINKS: usize = 1_000;
/// Requests of the two counts; the difference leaves out what does not depend on their number.
const FEW: u32 = 32 * CONNECTIONS;
const MANY: u32 = 192 * CONNECTIONS;

/// Counts for the bare server and for Waypost, which is asked for links and for landing pages.
pub(crate) fn count(options: &Options) -> Result<Vec<Counted>, Error> {
    if find("valgrind", &[]).is_none() {
        return Err(Error::Missing { program: "valgrind", remedy: "apt-get install valgrind" });
    }
    let directory = peers::directory()?;
    let links = corpus::links(LINKS);
    let core = Cores::of(options)?.server;
    let place = Place { core, directory: directory.path(), counted: true };
    say("Counting instructions of the bare server.");
    let redirects = Wanted::redirects(&links);
    let mut counted = vec![of(&peers::bare(place)?, "", place, &redirects)?];
    if options.skips(Part::Waypost) {
        return Ok(counted);
    }
    say("Counting instructions of Waypost.");
    let waypost = peers::waypost(options, place, &links, &[])?;
    bench::check_targets(&waypost.peer, &links)?;
    counted.push(of(&waypost.peer, ", redirect", place, &redirects)?);
    let codes = landing::prepare(&waypost)?;
    let pages = Wanted::landings(&codes);
    let page = landing::check(&waypost.peer, &pages)?;
    counted.push(of(&waypost.peer, ", landing page", place, &pages)?);
    drop(waypost);
    say("Counting instructions of the bare server with the same page.");
    counted.push(of(&peers::pages::bare(place, &page)?, "", place, &pages)?);
    Ok(counted)
}

fn of(server: &Peer, what: &str, place: Place<'_>, wanted: &Wanted) -> Result<Counted, Error> {
    // Warm caches and connections are what the figure is about.
    send(server, wanted, FEW)?;
    spent(server, place)?;
    send(server, wanted, FEW)?;
    let few = spent(server, place)?;
    send(server, wanted, MANY)?;
    let many = spent(server, place)?;
    let instructions_per_request = (many - few) / f64::from(MANY - FEW);
    Ok(Counted { name: format!("{}{what}", server.name), instructions_per_request })
}

fn send(server: &Peer, wanted: &Wanted, requests: u32) -> Result<(), Error> {
    let ask = || {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(Connection::open(server.address)?);
        }
        let mut paths = wanted.paths.iter().cycle();
        for _ in 0..requests / CONNECTIONS {
            for (connection, path) in connections.iter_mut().zip(&mut paths) {
                connection.ask_with(&format!("/{path}"), &wanted.headers)?;
            }
            for connection in &mut connections {
                let answer = connection.answer()?;
                if answer.status != wanted.status {
                    return Ok(Some(answer.status));
                }
            }
        }
        std::io::Result::Ok(None)
    };
    match ask().map_err(Error::io(format!("ask {} for what it serves", server.name)))? {
        None => Ok(()),
        Some(status) => Err(Error::broken(server.name, format!("answered with {status}"))),
    }
}

/// The instructions since the last call: callgrind writes them to a file and starts over.
fn spent(server: &Peer, place: Place<'_>) -> Result<f64, Error> {
    let dumped = Command::new("callgrind_control")
        .arg("--dump")
        .arg(server.id().to_string())
        .stdout(Stdio::null())
        .status()
        .map_err(Error::io("run callgrind_control"))?;
    let newest = || {
        let mut newest: Option<(u32, f64)> = None;
        for entry in std::fs::read_dir(place.directory)?.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some(number) = name.strip_prefix("callgrind.out.").and_then(|n| n.parse().ok())
            else {
                continue;
            };
            let text = std::fs::read_to_string(entry.path())?;
            let total = text.lines().find_map(|line| line.strip_prefix("totals: ")?.parse().ok());
            if newest.is_none_or(|(known, _)| known < number) {
                newest = total.map(|total| (number, total));
            }
            std::fs::remove_file(entry.path())?;
        }
        std::io::Result::Ok(newest.map(|(_, total)| total))
    };
    let total = newest().map_err(Error::io("read what callgrind wrote"))?;
    total.filter(|_| dumped.success()).ok_or_else(|| {
        Error::broken("callgrind_control", "it did not make callgrind write its counts")
    })
}
