//! A private Redis, and a private Redis Cluster.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use super::place::percent_encode;
use super::process::{command, end_leftover, find, log_into, log_tail, wait_until, with_args};
use super::{Error, Place, Signal, Tied};

/// The hash slots of a cluster.
const SLOTS: u16 = 16_384;
/// A node listens to other nodes this far above its port.
const BUS_OFFSET: u16 = 10_000;

/// Where a server listens.
#[derive(Clone, Debug)]
enum Listen {
    Socket(PathBuf),
    Port(SocketAddr),
}

/// A private Redis. It keeps nothing over a restart. Dropping it ends it.
#[derive(Debug)]
pub struct RedisServer {
    place: Arc<Place>,
    program: PathBuf,
    home: PathBuf,
    listen: Listen,
    process: Option<Tied>,
}

impl RedisServer {
    /// Starts the Redis called `name` in `place`, on a Unix socket, and waits until it answers.
    pub fn start(place: &Arc<Place>, name: &str) -> Result<Self, Error> {
        let socket = place.directory(name).and_then(|_| place.sockets(name))?.join("redis");
        Self::start_on(place, name, Listen::Socket(socket))
    }

    fn start_on(place: &Arc<Place>, name: &str, listen: Listen) -> Result<Self, Error> {
        let missing = Error::Missing { program: "redis-server", package: "redis-server" };
        let program = find("redis-server", &[]).or_else(|| find("valkey-server", &[]));
        let mut server = Self {
            place: Arc::clone(place),
            program: program.ok_or(missing)?,
            home: place.directory(name)?,
            listen,
            process: None,
        };
        server.restart()?;
        Ok(server)
    }

    /// The address, for any client of Redis.
    pub fn url(&self) -> String {
        match &self.listen {
            Listen::Socket(path) => format!("redis+unix://{}", percent_encode(path, true)),
            Listen::Port(address) => format!("redis://{address}/"),
        }
    }

    /// The Unix socket, unless this is a node of a cluster.
    pub fn socket(&self) -> Option<PathBuf> {
        match &self.listen {
            Listen::Socket(path) => Some(path.clone()),
            Listen::Port(_) => None,
        }
    }

    /// Stops the server where it stands: connections stay open and silent.
    pub fn pause(&self) -> Result<(), Error> {
        self.process.as_ref().map_or(Ok(()), Tied::pause)
    }

    /// Lets a paused server go on.
    pub fn resume(&self) -> Result<(), Error> {
        self.process.as_ref().map_or(Ok(()), Tied::resume)
    }

    /// Ends the server at once, as a crash would.
    pub fn kill(&mut self) -> Result<(), Error> {
        self.process.take().map_or(Ok(()), |process| process.kill())
    }

    /// Stops the server in order.
    pub fn stop(&mut self) -> Result<(), Error> {
        match self.process.take() {
            Some(process) => process.stop(Signal::TERM, Duration::from_secs(5)),
            None => Ok(()),
        }
    }

    /// Starts the server again, empty, on the same address, after a stop or a kill.
    pub fn restart(&mut self) -> Result<(), Error> {
        self.stop()?;
        let (pid_file, log) = (self.home.join("pid"), self.home.join("log"));
        // One that is still stopping would remove the socket of the next when it ends.
        end_leftover("Redis", &pid_file, &self.home, Signal::TERM)?;
        let mut server = command(&self.program, self.place.account(), "TERM")?;
        server.arg("--dir").arg(&self.home).arg("--pidfile").arg(&pid_file);
        server.args(["--daemonize", "no", "--save", "", "--appendonly", "no"]);
        server.args(["--maxmemory", "256mb", "--maxmemory-policy", "allkeys-lru"]);
        server = match &self.listen {
            Listen::Socket(path) => {
                server.arg("--unixsocket").arg(path);
                with_args(server, ["--unixsocketperm", "700", "--port", "0"])
            }
            Listen::Port(address) => {
                let (ip, port) = (address.ip().to_string(), address.port().to_string());
                let file = self.home.join("nodes.conf");
                server.args(["--bind", &ip, "--port", &port, "--cluster-enabled", "yes"]);
                server.arg("--cluster-config-file").arg(file);
                with_args(server, ["--cluster-node-timeout", "2000"])
            }
        };
        log_into(&mut server, &log)?;
        let process = Tied::spawn_command("Redis", server)?;
        let ready = wait_until(Duration::from_secs(20), || {
            self.ask(&["PING"]).is_ok() || !process.is_running()
        });
        if !ready || !process.is_running() {
            let problem = format!("did not start:{}", log_tail(&log));
            return Err(Error::Server { program: "Redis", problem });
        }
        self.process = Some(process);
        Ok(())
    }

    /// Sends one command; its answer must be a plain or bulk string, or a number.
    pub fn ask(&self, words: &[&str]) -> Result<String, Error> {
        let patience = Some(Duration::from_secs(5));
        let answer = match &self.listen {
            Listen::Socket(path) => UnixStream::connect(path).and_then(|stream| {
                stream.set_read_timeout(patience)?;
                exchange(stream, words)
            }),
            Listen::Port(address) => TcpStream::connect(address).and_then(|stream| {
                stream.set_read_timeout(patience)?;
                exchange(stream, words)
            }),
        };
        let problem = |error: io::Error| Error::Server {
            program: "Redis",
            problem: format!("does not answer {}: {error}", words.first().unwrap_or(&"nothing")),
        };
        answer.map_err(problem)
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        // There is nobody left to tell; whatever still runs dies with this process.
        drop(self.stop());
    }
}

fn exchange(mut stream: impl Read + Write, words: &[&str]) -> io::Result<String> {
    let count = format!("*{}\r\n", words.len());
    let request = words
        .iter()
        .fold(count, |request, word| request + &format!("${}\r\n{word}\r\n", word.len()));
    stream.write_all(request.as_bytes())?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let line = line.trim_end();
    if let Some(refused) = line.strip_prefix('-') {
        return Err(io::Error::other(refused.to_owned()));
    }
    if let Some(length) = line.strip_prefix('$') {
        let mut text = String::new();
        // A missing value has the length -1.
        let length = length.parse::<u64>().unwrap_or(0);
        reader.take(length).read_to_string(&mut text)?;
        return Ok(text);
    }
    line.strip_prefix(['+', ':'])
        .map(str::to_owned)
        .ok_or_else(|| io::Error::other(format!("an answer of another kind: {line:?}")))
}

/// A Redis Cluster of three masters without replicas, on loopback. Dropping it ends it.
#[derive(Debug)]
pub struct RedisCluster {
    nodes: Vec<RedisServer>,
}

impl RedisCluster {
    /// Starts three nodes, gives each a third of the slots, and waits until all agree.
    pub fn start(place: &Arc<Place>) -> Result<Self, Error> {
        let mut nodes = Vec::new();
        for name in ["node1", "node2", "node3"] {
            nodes.push(start_node(place, name)?);
        }
        let cluster = Self { nodes };
        cluster.introduce()?;
        Ok(cluster)
    }

    /// The nodes' addresses.
    pub fn urls(&self) -> Vec<String> {
        self.nodes.iter().map(RedisServer::url).collect()
    }

    /// The nodes, to pause or to kill one.
    pub fn nodes(&mut self) -> &mut [RedisServer] {
        &mut self.nodes
    }

    fn introduce(&self) -> Result<(), Error> {
        let mut slots = 0..SLOTS;
        let share = usize::from(SLOTS.div_ceil(3));
        for (node, epoch) in self.nodes.iter().zip(1_u8..) {
            let mine: Vec<String> =
                slots.by_ref().take(share).map(|slot| slot.to_string()).collect();
            let mut words = vec!["CLUSTER", "ADDSLOTS"];
            words.extend(mine.iter().map(String::as_str));
            node.ask(&words)?;
            node.ask(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch.to_string()])?;
        }
        if let Some((first, others)) = self.nodes.split_first() {
            for other in others {
                if let Listen::Port(address) = &other.listen {
                    let (ip, port) = (address.ip().to_string(), address.port().to_string());
                    first.ask(&["CLUSTER", "MEET", &ip, &port])?;
                }
            }
        }
        let agreed = wait_until(Duration::from_secs(30), || {
            self.nodes.iter().all(|node| {
                let state = node.ask(&["CLUSTER", "INFO"]).unwrap_or_default();
                ["cluster_state:ok", "cluster_slots_ok:16384", "cluster_known_nodes:3"]
                    .iter()
                    .all(|sign| state.lines().any(|line| line == *sign))
            })
        });
        if agreed {
            Ok(())
        } else {
            let problem = "Cluster: its nodes do not come together".to_owned();
            Err(Error::Server { program: "Redis", problem })
        }
    }
}

/// Starts a node on a free port. Somebody may take the port in between: then on another.
fn start_node(place: &Arc<Place>, name: &str) -> Result<RedisServer, Error> {
    let mut last = Error::Server { program: "Redis", problem: "found no free port".to_owned() };
    for _attempt in 0..5 {
        let Some(port) = (0..100).find_map(|_| free_port()) else { continue };
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        match RedisServer::start_on(place, name, Listen::Port(address)) {
            Ok(node) => return Ok(node),
            Err(error) if error.is_missing() => return Err(error),
            Err(error) => last = error,
        }
    }
    Err(last)
}

/// A port that is free now, as is the one for its bus.
fn free_port() -> Option<u16> {
    let chosen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).ok()?;
    let port = chosen.local_addr().ok()?.port();
    let _bus = TcpListener::bind((Ipv4Addr::LOCALHOST, port.checked_add(BUS_OFFSET)?)).ok()?;
    Some(port)
}
