//! `chromedriver`, the program that starts browsers and tells them what to do. It is spoken to by the
//! protocol `WebDriver`: JSON over HTTP. One runs for all tests and ends with the test process, however that ends; the
//! browsers hang on it by a pipe and end with it.

use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::{OnceCell, Semaphore, SemaphorePermit};
use tokio::time::timeout;
use waypost::local::Tied;

use crate::shared::support::servers::new_directory;
use crate::shared::support::{Client, eventually};

/// How long the driver may take to start, and a browser to end.
const PATIENCE: Duration = Duration::from_secs(30);

/// How long to wait for browsers of other tests.
const QUEUE: Duration = Duration::from_mins(2);

/// So many browsers run at a time: each is a family of processes.
static BROWSERS: Semaphore = Semaphore::const_new(2);

/// What every browser is started with.
const FLAGS: [&str; 10] = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--no-first-run",
    // By a pipe instead of a port: the browser ends when the other end of the pipe is gone.
    "--remote-debugging-pipe",
];

/// The running driver.
struct Driver {
    address: SocketAddr,
    /// Ends the driver with this process.
    _process: Tied,
}

impl Driver {
    /// The one driver, started by the first who asks.
    async fn shared() -> &'static Self {
        static SHARED: OnceCell<Driver> = OnceCell::const_new();
        SHARED.get_or_init(Self::start).await
    }

    async fn start() -> Self {
        let directory = new_directory();
        let log = directory.join("chromedriver.log");
        let process = spawn(&directory, &log).unwrap_or_else(|error| panic!("{error}"));
        let port = eventually("chromedriver listens", PATIENCE, async || {
            let text = fs::read_to_string(&log).unwrap_or_default();
            assert!(
                process.is_running(),
                "chromedriver ended; 'make deps-browser' installs it\n{text}"
            );
            let (_, after) = text.split_once("started successfully on port ")?;
            after.split_once('.')?.0.parse().ok()
        })
        .await;
        Self { address: (Ipv4Addr::LOCALHOST, port).into(), _process: process }
    }
}

/// Starts the driver. All that it and its browsers write goes below `directory`; so each browser has
/// a new profile there.
fn spawn(directory: &Path, log: &PathBuf) -> Result<Tied, waypost::local::Error> {
    let output = fs::File::create(log).expect("a file for the log");
    let errors = output.try_clone().expect("the file once more");
    Tied::spawn("chromedriver", Path::new("chromedriver"), |command| {
        command.arg("--port=0").stdout(output).stderr(errors);
        command.env("HOME", directory).env("TMPDIR", directory).env("LC_ALL", "C.UTF-8");
        for elsewhere in ["XDG_CONFIG_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"] {
            command.env_remove(elsewhere);
        }
    })
}

/// A browser of its own, with one window. Dropping it ends it, also when a test fails.
pub struct Session {
    driver: SocketAddr,
    client: Client,
    path: String,
    _permit: SemaphorePermit<'static>,
}

impl Session {
    /// Starts a browser with a screen of these measures, these preferences, and these flags besides
    /// those that all have.
    ///
    /// A test has one browser at a time: who held one and waited for another might wait for somebody
    /// who does the same.
    pub async fn start(screen: &Value, preferences: &Value, flags: &[String]) -> Self {
        let permit = timeout(QUEUE, BROWSERS.acquire()).await;
        let permit = permit.expect("a browser that is free; does a test drop its page too late?");
        let permit = permit.expect("a semaphore that nobody closes");
        let driver = Driver::shared().await.address;
        let client = Client::connect(driver).await.expect("a driver that listens");
        let mut session = Self { driver, client, path: "/session".to_owned(), _permit: permit };
        let flags: Vec<&str> =
            FLAGS.iter().copied().chain(flags.iter().map(String::as_str)).collect();
        let wanted = json!({
            "goog:chromeOptions": {
                "args": flags,
                "prefs": preferences,
                "mobileEmulation": { "deviceMetrics": screen },
            },
            "goog:loggingPrefs": { "browser": "ALL" },
            "timeouts": { "script": 20_000, "pageLoad": 20_000, "implicit": 0 },
        });
        let made = session.post("", &json!({ "capabilities": { "alwaysMatch": wanted } })).await;
        session.path = format!("/session/{}", text(&made, "/sessionId"));
        session
    }

    /// A command that changes something: its value; panics with what the driver says against it.
    pub async fn post(&mut self, command: &str, body: &Value) -> Value {
        self.call("POST", command, &body.to_string()).await
    }

    /// A command that asks something.
    pub async fn get(&mut self, command: &str) -> Value {
        self.call("GET", command, "").await
    }

    /// A command of the browser's own protocol for its developer tools.
    pub async fn devtools(&mut self, command: &str, parameters: Value) -> Value {
        self.post("/goog/cdp/execute", &json!({ "cmd": command, "params": parameters })).await
    }

    async fn call(&mut self, method: &str, command: &str, body: &str) -> Value {
        let path = format!("{}{command}", self.path);
        let headers = [("content-type", "application/json")];
        let answer = self.client.send(method, &path, &headers, body.to_owned()).await;
        let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error}"));
        let said = answer.json();
        assert_eq!(answer.status, 200, "{method} {path}: {}", text(&said, "/value/message"));
        said.get("value").cloned().unwrap_or_default()
    }
}

/// The text at a place in what the driver said.
pub fn text<'a>(said: &'a Value, place: &str) -> &'a str {
    let text = said.pointer(place).and_then(Value::as_str);
    text.unwrap_or_else(|| panic!("no text at '{place}' in {said}"))
}

impl Drop for Session {
    fn drop(&mut self) {
        // At worst the browser ends with the driver.
        drop(end(self.driver, &self.path));
    }
}

/// Ends a browser. Without a runtime: a value that is dropped has none to wait in.
fn end(driver: SocketAddr, path: &str) -> io::Result<()> {
    let mut stream = TcpStream::connect_timeout(&driver, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "DELETE {path} HTTP/1.1\r\nHost: {driver}\r\nConnection: close\r\n\r\n")?;
    // The driver answers when the browser has gone.
    stream.read_exact(&mut [0])
}
