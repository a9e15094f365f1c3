//! A listener and its serving threads.
//!
//! One task accepts and deals connections to the thread that has the fewest; each thread runs a
//! runtime of its own, so what a request touches stays on one core. (A thread that accepts for itself
//! by `SO_REUSEPORT` is as fast, but gets its connections by chance: twice the p99, measured.)
//!
//! Time limits are kept by a sweep over the connections, ten times a second. A timer for each
//! request, hyper's way, costs 8 % of the throughput.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::{Pin, pin};
use std::rc::Rc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::body::Incoming;
use hyper::header::{CONNECTION, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{MissedTickBehavior, interval};

use super::client::TrustedProxies;
use crate::metrics::Metrics;
use watched::Watched;

mod watched;

/// How often connections are swept.
const SWEEP: Duration = Duration::from_millis(100);
/// Connections that wait for a thread to take them over.
const DEALT: usize = 1_024;

/// What is served. Each serving thread has its own.
pub trait Service: 'static {
    /// Answers one request that came over a connection from `peer`: the client, or a proxy.
    fn answer(
        &self,
        request: Request<Incoming>,
        peer: IpAddr,
    ) -> impl Future<Output = Response<Full<Bytes>>>;

    /// Called ten times a second, and once more when the last connection has ended.
    fn tick(&self) {}
}

/// What a connection may cost.
#[derive(Clone, Debug)]
pub struct Limits {
    /// From the first byte of a request to the end of its headers.
    pub header_read: Duration,
    /// The size of a request's line and headers; at least 8,192.
    pub header_bytes: usize,
    /// From the end of the headers to the answer.
    pub request: Duration,
    /// Between two requests.
    pub keep_alive: Duration,
    /// In all.
    pub connection_age: Duration,
    /// Connections from one address at a time.
    pub connections_per_client: usize,
    /// Who may have more than that: each speaks for many clients.
    pub trusted_proxies: TrustedProxies,
    /// Connections at a time.
    pub connections: usize,
}

const SERVING: u8 = 0;
const ANNOUNCING: u8 = 1;
const DRAINING: u8 = 2;

/// What the accepting task, the threads and the one who stops them share.
struct Shared {
    name: &'static str,
    limits: Limits,
    stage: AtomicU8,
    stop_accepting: Notify,
    clients: Mutex<HashMap<IpAddr, usize>>,
    open: AtomicUsize,
    metrics: Arc<Metrics>,
}

/// A running listener.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    workers: Vec<oneshot::Receiver<()>>,
}

impl Server {
    /// Starts `threads` serving threads and accepts on `listener`. `make` makes each thread's
    /// service, on that thread.
    pub fn start<S: Service>(
        (name, listener): (&'static str, TcpListener),
        limits: Limits,
        threads: usize,
        metrics: Arc<Metrics>,
        make: impl Fn() -> S + Clone + Send + 'static,
    ) -> std::io::Result<Self> {
        let shared = Arc::new(Shared {
            name,
            limits,
            stage: AtomicU8::new(SERVING),
            stop_accepting: Notify::new(),
            clients: Mutex::default(),
            open: AtomicUsize::new(0),
            metrics,
        });
        let address = listener.local_addr()?;
        let (mut dealers, mut workers) = (Vec::new(), Vec::new());
        for number in 0..threads.max(1) {
            let (deal, dealt) = mpsc::channel(DEALT);
            let (ended, end) = oneshot::channel();
            let (make, shared) = (make.clone(), Arc::clone(&shared));
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            std::thread::Builder::new().name(format!("{name}-{number}")).spawn(move || {
                let local = tokio::task::LocalSet::new();
                local.block_on(&runtime, work(make(), shared, dealt));
                // Whoever waits for the end may have given up.
                let (Ok(()) | Err(())) = ended.send(());
            })?;
            dealers.push((deal, Arc::new(AtomicUsize::new(0))));
            workers.push(end);
        }
        drop(tokio::spawn(accept(listener, Arc::clone(&shared), dealers)));
        Ok(Self { address, shared, workers })
    }

    /// Every answer says `Connection: close` from now on, so that clients leave by themselves.
    pub fn announce_end(&self) {
        self.shared.stage.store(ANNOUNCING, Ordering::Release);
    }

    /// Stops accepting, lets requests under way end, and waits for the last connection.
    pub async fn drain(self) {
        self.shared.stage.store(DRAINING, Ordering::Release);
        self.shared.stop_accepting.notify_one();
        for worker in self.workers {
            // A thread that panicked has ended too.
            drop(worker.await);
        }
    }
}

/// A place among the connections; given back when it is dropped.
struct Place {
    shared: Arc<Shared>,
    /// At the other end.
    peer: IpAddr,
    /// For whom it is counted; `None` for a trusted proxy.
    client: Option<IpAddr>,
    worker: Arc<AtomicUsize>,
}

impl Shared {
    /// A place for one more connection from this address, or the reason why there is none.
    fn place(
        self: &Arc<Self>,
        peer: IpAddr,
        worker: &Arc<AtomicUsize>,
    ) -> Result<Place, &'static str> {
        if self.open.load(Ordering::Acquire) >= self.limits.connections {
            return Err("total");
        }
        let peer = peer.to_canonical();
        let client = (!self.limits.trusted_proxies.contains(peer)).then(|| client_of(peer));
        if let Some(client) = client {
            let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
            let count = clients.entry(client).or_insert(0);
            if *count >= self.limits.connections_per_client {
                return Err("client");
            }
            *count += 1;
        }
        let open = self.open.fetch_add(1, Ordering::AcqRel) + 1;
        self.show(open);
        worker.fetch_add(1, Ordering::AcqRel);
        Ok(Place { shared: Arc::clone(self), peer, client, worker: Arc::clone(worker) })
    }

    fn show(&self, open: usize) {
        let open = i64::try_from(open).unwrap_or(i64::MAX);
        self.metrics.connections.with_label_values(&[self.name]).set(open);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(client) = self.client {
            let mut clients = self.shared.clients.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(count) = clients.get_mut(&client) {
                *count -= 1;
                if *count == 0 {
                    clients.remove(&client);
                }
            }
        }
        self.worker.fetch_sub(1, Ordering::AcqRel);
        self.shared.show(self.shared.open.fetch_sub(1, Ordering::AcqRel) - 1);
    }
}

/// Whom connections are counted for: an IPv4 address, or the /64 that one IPv6 customer has.
pub(super) fn client_of(peer: IpAddr) -> IpAddr {
    match peer {
        v4 @ IpAddr::V4(_) => v4,
        IpAddr::V6(v6) => {
            let [a, b, c, d, ..] = v6.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

type Dealt = (std::net::TcpStream, Place);
type Dealer = (mpsc::Sender<Dealt>, Arc<AtomicUsize>);

/// Accepts until it is told to stop, and then what the kernel has accepted already.
async fn accept(listener: TcpListener, shared: Arc<Shared>, dealers: Vec<Dealer>) {
    let mut pause = Duration::ZERO;
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = shared.stop_accepting.notified() => break,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = Duration::ZERO;
                deal(stream, peer, &shared, &dealers);
            }
            Err(error) => {
                // Out of file descriptors, mostly: trying again at once would only burn the core.
                pause = (pause * 2).clamp(Duration::from_millis(5), Duration::from_secs(1));
                tracing::warn!(%error, listener = shared.name, "a connection was not accepted");
                tokio::time::sleep(pause).await;
            }
        }
    }
    let waiting = std::future::poll_fn(|context| match listener.poll_accept(context) {
        Poll::Ready(Ok((stream, peer))) => Poll::Ready(Some((stream, peer))),
        Poll::Ready(Err(_)) | Poll::Pending => Poll::Ready(None),
    });
    let mut waiting = pin!(waiting);
    while let Some((stream, peer)) = waiting.as_mut().await {
        deal(stream, peer, &shared, &dealers);
    }
}

/// Gives a connection to the thread that has the fewest, or refuses it.
fn deal(stream: TcpStream, peer: SocketAddr, shared: &Arc<Shared>, dealers: &[Dealer]) {
    let Some((dealer, load)) = dealers.iter().min_by_key(|(_, load)| load.load(Ordering::Acquire))
    else {
        return;
    };
    let place = match shared.place(peer.ip(), load) {
        Ok(place) => place,
        Err(reason) => return refuse(&stream, shared, reason),
    };
    match stream.into_std() {
        Ok(stream) => {
            if dealer.try_send((stream, place)).is_err() {
                shared.metrics.connections_refused.with_label_values(&[shared.name, "busy"]).inc();
            }
        }
        Err(error) => tracing::warn!(%error, "a connection was lost"),
    }
}

/// Says 503 without reading a byte; the peer may or may not get to see it.
fn refuse(stream: &TcpStream, shared: &Shared, reason: &str) {
    shared.metrics.connections_refused.with_label_values(&[shared.name, reason]).inc();
    let written = stream.try_write(
        b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n\
          Content-Length: 0\r\n\r\n",
    );
    if let Err(error) = written {
        tracing::debug!(%error, "a refused connection was closed without a word");
    }
}

/// What a connection is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The headers of a request are coming in, or those of the first are awaited.
    Reading,
    /// A request is being answered.
    Answering,
    /// Between two requests.
    Idle,
}

/// What a sweep wants of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Order {
    Go,
    /// End after the request under way.
    Finish,
    /// End now.
    Cut,
}

/// A connection, as the sweep sees it. Times are counted in sweeps.
pub(super) struct Tracked {
    pub(super) phase: Cell<Phase>,
    since: Cell<u64>,
    opened: u64,
    order: Cell<Order>,
    /// When it was told to finish.
    finishing: Cell<Option<u64>>,
    waker: RefCell<Option<Waker>>,
    now: Rc<Cell<u64>>,
}

impl Tracked {
    pub(super) fn enter(&self, phase: Phase) {
        self.phase.set(phase);
        self.since.set(self.now.get());
    }

    fn order(&self, order: Order) {
        self.order.set(order);
        if let Some(waker) = self.waker.borrow().as_ref() {
            waker.wake_by_ref();
        }
    }

    /// Ends what takes too long; answers what it was doing, when that was too slow.
    fn sweep(&self, limits: &Limits, stage: u8) -> Option<&'static str> {
        let longer = |since: u64, limit: Duration| {
            let sweeps = u32::try_from(self.now.get() - since).unwrap_or(u32::MAX);
            SWEEP * sweeps > limit
        };
        let cut = match self.phase.get() {
            Phase::Reading if longer(self.since.get(), limits.header_read) => Some("headers"),
            Phase::Answering if longer(self.since.get(), limits.request) => Some("request"),
            // Told to finish, and still here: the peer does not read its answers.
            Phase::Idle if self.finishing.get().is_some_and(|at| longer(at, limits.request)) => {
                Some("closing")
            }
            Phase::Reading | Phase::Answering | Phase::Idle => None,
        };
        let idle = self.phase.get() == Phase::Idle && longer(self.since.get(), limits.keep_alive);
        if cut.is_some() {
            self.order(Order::Cut);
        } else if idle || stage == DRAINING || longer(self.opened, limits.connection_age) {
            if self.finishing.get().is_none() {
                self.finishing.set(Some(self.now.get()));
            }
            self.order(Order::Finish);
        }
        cut
    }
}

/// A serving thread: takes over connections, serves them, sweeps them.
async fn work<S: Service>(service: S, shared: Arc<Shared>, mut dealt: mpsc::Receiver<Dealt>) {
    let service = Rc::new(service);
    let now = Rc::new(Cell::new(0_u64));
    let connections = Rc::new(RefCell::new(BTreeMap::<u64, Rc<Tracked>>::new()));
    let mut number = 0;
    let mut accepting = true;
    let mut sweeps = interval(SWEEP);
    sweeps.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while accepting || !connections.borrow().is_empty() {
        tokio::select! {
            one = dealt.recv(), if accepting => match one {
                None => accepting = false,
                Some((stream, place)) => {
                    number += 1;
                    let tracked = Rc::new(Tracked {
                        phase: Cell::new(Phase::Reading),
                        since: Cell::new(now.get()),
                        opened: now.get(),
                        order: Cell::new(Order::Go),
                        finishing: Cell::new(None),
                        waker: RefCell::new(None),
                        now: Rc::clone(&now),
                    });
                    connections.borrow_mut().insert(number, Rc::clone(&tracked));
                    let connection = Connection {
                        service: Rc::clone(&service),
                        shared: Arc::clone(&shared),
                        tracked,
                    };
                    let connections = Rc::clone(&connections);
                    drop(tokio::task::spawn_local(async move {
                        connection.serve(stream, place.peer).await;
                        connections.borrow_mut().remove(&number);
                        drop(place);
                    }));
                }
            },
            _ = sweeps.tick() => {
                now.set(now.get() + 1);
                service.tick();
                let stage = shared.stage.load(Ordering::Acquire);
                for tracked in connections.borrow().values() {
                    if let Some(phase) = tracked.sweep(&shared.limits, stage) {
                        shared.metrics.timeouts.with_label_values(&[shared.name, phase]).inc();
                    }
                }
            }
        }
    }
    service.tick();
}

struct Connection<S> {
    service: Rc<S>,
    shared: Arc<Shared>,
    tracked: Rc<Tracked>,
}

impl<S: Service> Connection<S> {
    /// The life of a connection.
    async fn serve(self, stream: std::net::TcpStream, peer: IpAddr) {
        let stream = match stream.set_nodelay(true).and_then(|()| TcpStream::from_std(stream)) {
            Ok(stream) => stream,
            Err(error) => return tracing::debug!(%error, "a connection ended at once"),
        };
        let tracked = Rc::clone(&self.tracked);
        let header_bytes = self.shared.limits.header_bytes;
        let connection = Rc::new(self);
        let service = service_fn(move |request| {
            let connection = Rc::clone(&connection);
            async move { Ok::<_, std::convert::Infallible>(connection.answer(request, peer).await) }
        });
        let mut connection = http1::Builder::new()
            // Not `pipeline_flush`: with it, what refuses a malformed request is never sent.
            .max_buf_size(header_bytes)
            .serve_connection(Watched::new(stream, Rc::clone(&tracked)), service);
        let mut finishing = false;
        let ended = std::future::poll_fn(|context| {
            if tracked.waker.borrow().is_none() {
                *tracked.waker.borrow_mut() = Some(context.waker().clone());
            }
            match tracked.order.get() {
                Order::Cut => return Poll::Ready(Ok(())),
                Order::Finish if !finishing => {
                    finishing = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
                Order::Finish | Order::Go => {}
            }
            Pin::new(&mut connection).poll(context)
        })
        .await;
        if let Err(error) = ended {
            tracing::debug!(%error, "a connection ended early");
        }
        if tracked.order.get() == Order::Go {
            connection.into_parts().io.linger().await;
        }
    }

    async fn answer(&self, request: Request<Incoming>, peer: IpAddr) -> Response<Full<Bytes>> {
        self.tracked.enter(Phase::Answering);
        let mut response = self.service.answer(request, peer).await;
        if self.shared.stage.load(Ordering::Relaxed) != SERVING {
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        self.tracked.enter(Phase::Idle);
        response
    }
}
