//! Another service on the loopback, over HTTP or HTTPS, that says what the test wants it to say.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpSocket};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// What the service answers to a request; the text has the request line and headers as they came.
pub type Says = dyn Fn(&str) -> Reply + Send + Sync;

/// One answer.
pub enum Reply {
    /// These bytes as they are, and the next request.
    Bytes(Vec<u8>),
    /// These bytes as they are, and the end of the connection.
    Last(Vec<u8>),
    /// Nothing, ever; the connection stays open.
    Nothing,
}

impl Reply {
    /// A whole answer with a body. `headers` are lines with their ends.
    pub fn whole(status: &str, headers: &str, body: &str) -> Self {
        let length = body.len();
        let text = format!("HTTP/1.1 {status}\r\n{headers}content-length: {length}\r\n\r\n{body}");
        Self::Bytes(text.into_bytes())
    }
}

/// The service. It ends when it is dropped, with all of its connections.
pub struct Other {
    address: SocketAddr,
    heard: Arc<Mutex<Vec<(usize, String)>>>,
    accepting: AbortHandle,
}

impl Drop for Other {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Other {
    /// Listens over HTTP on a free port.
    pub async fn start(says: impl Fn(&str) -> Reply + Send + Sync + 'static) -> Self {
        Self::listen(None, Arc::new(says)).await
    }

    /// Listens over HTTPS on a free port, with a certificate of this authority for `name`.
    pub async fn start_tls(
        authority: &TestAuthority,
        name: &str,
        says: impl Fn(&str) -> Reply + Send + Sync + 'static,
    ) -> Self {
        Self::listen(Some(authority.acceptor_for(name)), Arc::new(says)).await
    }

    async fn listen(tls: Option<TlsAcceptor>, says: Arc<Says>) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let heard = Arc::new(Mutex::new(Vec::new()));
        let all_heard = Arc::clone(&heard);
        let accepting = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            for number in 0.. {
                let (stream, _) = listener.accept().await.expect("a connection");
                let (tls, says, heard) = (tls.clone(), Arc::clone(&says), Arc::clone(&all_heard));
                connections.spawn(async move {
                    match tls {
                        None => talk(stream, number, &*says, &heard).await,
                        Some(tls) => match tls.accept(stream).await {
                            Ok(stream) => talk(stream, number, &*says, &heard).await,
                            // A client that does not believe the certificate.
                            Err(_refused) => {}
                        },
                    }
                });
            }
        });
        Self { address, heard, accepting: accepting.abort_handle() }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The requests so far, each with the number of the connection that it came on: its line, its
    /// headers, and as much of its body as was announced.
    pub fn heard(&self) -> Vec<(usize, String)> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// An address that nobody listens on, and nobody can as long as the socket is there.
pub fn nobody_listens() -> (TcpSocket, SocketAddr) {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let address = socket.local_addr().expect("a bound socket");
    (socket, address)
}

async fn talk(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    number: usize,
    says: &Says,
    heard: &Mutex<Vec<(usize, String)>>,
) {
    while let Some(request) = read_request(&mut stream).await {
        heard.lock().unwrap_or_else(PoisonError::into_inner).push((number, request.clone()));
        let (bytes, last) = match says(&request) {
            Reply::Bytes(bytes) => (bytes, false),
            Reply::Last(bytes) => (bytes, true),
            Reply::Nothing => std::future::pending().await,
        };
        if stream.write_all(&bytes).await.is_err() || last {
            // TLS says goodbye as well; who has gone does not hear it.
            drop(stream.shutdown().await);
            return;
        }
    }
}

/// One request with its body; `None` at the end of the connection.
async fn read_request(stream: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("content-length: "))
                .map_or(0, |length| length.parse().expect("a number"));
            if body.len() >= length {
                return Some(text);
            }
        }
        if stream.read_buf(&mut request).await.ok()? == 0 {
            return None;
        }
    }
}

/// A certificate authority that nobody knows.
pub struct TestAuthority(CertifiedIssuer<'static, KeyPair>);

impl Default for TestAuthority {
    fn default() -> Self {
        let mut parameters = CertificateParams::new(Vec::new()).expect("no names");
        parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        Self(CertifiedIssuer::self_signed(parameters, key).expect("a certificate"))
    }
}

impl TestAuthority {
    /// Writes its certificate into a file, as `[outbound] ca_file` wants it.
    pub fn write(&self, path: &Path) {
        std::fs::write(path, self.0.pem()).expect("a file that can be written");
    }

    fn acceptor_for(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().expect("a key");
        let parameters = CertificateParams::new(vec![name.to_owned()]).expect("a name");
        let certificate = parameters.signed_by(&key, &self.0).expect("a certificate");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .expect("the usual versions")
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::Pkcs8(key.serialize_der().into()),
            )
            .expect("a key that fits");
        TlsAcceptor::from(Arc::new(config))
    }
}
