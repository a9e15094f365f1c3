//! A real `ZooKeeper` for tests, out of Debian's `libzookeeper-java`.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::OnceCell;
use tokio::time::timeout;
use waypost::local::Tied;
use zookeeper_client::{Acls, Client, CreateMode, Error};

use super::servers::new_directory;
use super::{Endpoint, eventually};

/// Where Debian keeps the jars.
const JARS: &str = "/usr/share/java";
/// How long a start may take; a JVM on a busy machine is slow.
const START: Duration = Duration::from_mins(1);

/// A `ZooKeeper` of one server on loopback, with at most 64 MiB for its objects. Dropping it ends it.
pub struct TestZookeeper {
    process: Option<Tied>,
    directory: PathBuf,
    address: SocketAddr,
}

impl TestZookeeper {
    /// The address of the one that tests share, started by the first who asks. Each needs a path of its own
    /// ([`Nodes::somewhere`]).
    pub async fn shared() -> SocketAddr {
        static SHARED: OnceCell<TestZookeeper> = OnceCell::const_new();
        let start = || async {
            let mut server = Self::prepare();
            server.start().await;
            server
        };
        SHARED.get_or_init(start).await.address
    }

    /// One that has an address, and is yet to be started.
    pub fn prepare() -> Self {
        let (directory, address) = (new_directory(), free_address());
        // Ticks of 100 ms allow sessions of 200 ms to 30 s.
        let settings = format!(
            "tickTime=100\nmaxSessionTimeout=30000\ndataDir={}\nclientPort={}\n\
             clientPortAddress=127.0.0.1\nadmin.enableServer=false\n4lw.commands.whitelist=ruok,mntr\n",
            directory.join("data").display(),
            address.port(),
        );
        fs::write(directory.join("zoo.cfg"), settings).expect("a file of settings");
        Self { process: None, directory, address }
    }

    /// Starts it on the data that it has, and waits until it answers.
    pub async fn start(&mut self) {
        let jar = Path::new(JARS).join("zookeeper.jar");
        assert!(jar.is_file(), "ZooKeeper is not installed: run 'make deps-zookeeper'");
        let jars = ["zookeeper", "zookeeper-jute", "slf4j-api", "slf4j-simple"];
        let jars = jars.map(|name| format!("{JARS}/{name}.jar")).join(":");
        let log = fs::File::create(self.directory.join("log")).expect("a log file");
        let process = Tied::spawn("ZooKeeper", Path::new("java"), |command| {
            // What makes long-lived servers fast makes a start slow.
            command.args(["-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", &jars]);
            command.arg("org.apache.zookeeper.server.ZooKeeperServerMain");
            command.arg(self.directory.join("zoo.cfg"));
            command.stdout(log.try_clone().expect("another handle")).stderr(log);
        });
        let process = process.unwrap_or_else(|error| panic!("{error}"));
        eventually("ZooKeeper answers", START, async || {
            let log = || fs::read_to_string(self.directory.join("log")).unwrap_or_default();
            assert!(process.is_running(), "ZooKeeper ended:\n{}", log());
            (ask(self.address, "ruok").await? == "imok").then_some(())
        })
        .await;
        self.process = Some(process);
    }

    /// SIGKILL. What it was told is on the disk.
    pub fn kill(&mut self) {
        self.process = None;
    }

    /// Throws its data away, while it does not run.
    pub fn forget_all(&self) {
        assert!(self.process.is_none(), "it must not run");
        fs::remove_dir_all(self.directory.join("data")).expect("data to throw away");
    }

    /// Where it listens, or will.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What a [`super::Proxy`] forwards to.
    pub fn endpoint(&self) -> Endpoint {
        Endpoint::Tcp(self.address)
    }

    /// How many sessions it knows.
    pub async fn sessions(&self) -> Option<u32> {
        let figures = ask(self.address, "mntr").await?;
        let line = figures.lines().find(|line| line.starts_with("zk_global_sessions"))?;
        line.split_whitespace().nth(1)?.parse().ok()
    }
}

/// A port that is free now.
fn free_address() -> SocketAddr {
    let chosen = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    chosen.local_addr().expect("a bound socket")
}

/// Asks a server one of its words of four letters. One that is just starting takes them and says nothing.
async fn ask(address: SocketAddr, word: &str) -> Option<String> {
    let ask = async {
        let mut stream = TcpStream::connect(address).await.ok()?;
        stream.write_all(word.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        Some(answer)
    };
    timeout(Duration::from_secs(1), ask).await.ok()?
}

/// The nodes of campaigns, as whoever steers them sees them.
pub struct Nodes {
    client: Client,
    path: String,
}

impl Nodes {
    /// Below a path that no other test has, and that is not there yet.
    pub async fn somewhere(server: SocketAddr) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let path = format!("/test-{}/campaigns", NEXT.fetch_add(1, Ordering::Relaxed));
        Self { client: connect(server).await, path }
    }

    /// The same path, after the server was started again with other data.
    pub async fn again(&mut self, server: SocketAddr) {
        self.client = connect(server).await;
    }

    /// The path below which the nodes are.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The client, for what is done rarely.
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Makes the path.
    pub async fn make_path(&self) {
        let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
        self.client.mkdir(&self.path, &options).await.expect("a path");
    }

    /// Gives a node this content, and makes it if it is not there.
    pub async fn put(&self, name: &str, content: impl AsRef<[u8]>) {
        let (path, content) = (format!("{}/{name}", self.path), content.as_ref());
        match self.client.set_data(&path, content, None).await {
            Err(Error::NoNode) => {
                let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
                self.client.create(&path, content, &options).await.expect("a new node");
            }
            set => drop(set.expect("a changed node")),
        }
    }

    /// Deletes a node.
    pub async fn delete(&self, name: &str) {
        let path = format!("{}/{name}", self.path);
        self.client.delete(&path, None).await.expect("a node to delete");
    }
}

async fn connect(server: SocketAddr) -> Client {
    let connector = Client::connector().with_session_timeout(Duration::from_secs(20));
    connector.connect(&server.to_string()).await.expect("a session of the test's own")
}
