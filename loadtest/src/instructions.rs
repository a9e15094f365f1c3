//! Instructions per request, counted by callgrind: a figure that a busy machine cannot disturb.

use std::process::{Command, Stdio};

use serde::Serialize;

use crate::bench::Cores;
use crate::client::Connection;
use crate::corpus::{self, Link};
use crate::peers::{self, Peer, Place};
use crate::process::find;
use crate::wrk::CONNECTIONS;
use crate::{Error, Options, Part, say};

/// What callgrind counted for one server.
#[derive(Serialize)]
pub(crate) struct Counted {
    /// The server's name.
    pub(crate) name: &'static str,
    /// Instructions in the process, from reading a request to having written its answer.
    pub(crate) instructions_per_request: f64,
}

/// Few enough that the slowed-down server takes them in one batch in time.
const LINKS: usize = 1_000;
/// Requests of the two counts; the difference leaves out what does not depend on their number.
const FEW: u32 = 32 * CONNECTIONS;
const MANY: u32 = 192 * CONNECTIONS;

/// Counts for the bare server and for Waypost.
pub(crate) fn count(options: &Options) -> Result<Vec<Counted>, Error> {
    if find("valgrind", &[]).is_none() {
        return Err(Error::Missing { program: "valgrind", remedy: "apt-get install valgrind" });
    }
    let directory = peers::directory()?;
    let links = corpus::links(LINKS);
    let core = Cores::of(options)?.server;
    let place = Place { core, directory: directory.path(), counted: true };
    say("Counting instructions of the bare server.");
    let mut counted = vec![of(&peers::bare(place)?, place, &links)?];
    if !options.skips(Part::Waypost) {
        say("Counting instructions of Waypost.");
        counted.push(of(&peers::waypost(options, place, &links, &[])?.peer, place, &links)?);
    }
    Ok(counted)
}

fn of(server: &Peer, place: Place<'_>, links: &[Link]) -> Result<Counted, Error> {
    // Warm caches and connections are what the figure is about.
    send(server, links, FEW)?;
    spent(server, place)?;
    send(server, links, FEW)?;
    let few = spent(server, place)?;
    send(server, links, MANY)?;
    let many = spent(server, place)?;
    let instructions_per_request = (many - few) / f64::from(MANY - FEW);
    Ok(Counted { name: server.name, instructions_per_request })
}

fn send(server: &Peer, links: &[Link], requests: u32) -> Result<(), Error> {
    let ask = || {
        let mut connections = Vec::new();
        for _ in 0..CONNECTIONS {
            connections.push(Connection::open(server.address)?);
        }
        let mut links = links.iter().cycle();
        for _ in 0..requests / CONNECTIONS {
            for (connection, link) in connections.iter_mut().zip(&mut links) {
                connection.ask_as_browser(&format!("/{}", link.slug))?;
            }
            for connection in &mut connections {
                let answer = connection.answer()?;
                if answer.status != 302 {
                    return Ok(Some(answer.status));
                }
            }
        }
        std::io::Result::Ok(None)
    };
    match ask().map_err(Error::io(format!("ask {} for a link", server.name)))? {
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
