//! Asking other services: every way in which there can be no answer is told apart, and after none of
//! them is it unclear whether something may have been done.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use hyper::header::{AUTHORIZATION, HOST, HeaderValue};
use tokio::net::TcpListener;
use url::Url;
use waypost::outbound::{Error, FEW_CONNECTIONS, Outbound, Settings};

use crate::support::other::{Reply, nobody_listens};
use crate::support::{Other, TestAuthority, Waypost};

/// Long enough for every answer that comes.
const PATIENCE: Duration = Duration::from_secs(20);
/// Short: nothing comes.
const SHORT: Duration = Duration::from_millis(100);

fn client(ca_file: Option<PathBuf>) -> Outbound {
    Outbound::new(&Settings { ca_file, body_bytes: 1_000, idle_connections: FEW_CONNECTIONS })
        .expect("good settings")
}

fn url(scheme: &str, address: SocketAddr) -> Url {
    Url::parse(&format!("{scheme}://{address}/v1/checks?user=1")).expect("a URL")
}

async fn post(client: &Outbound, url: &Url, deadline: Duration) -> Result<String, Error> {
    let secret = [(AUTHORIZATION, HeaderValue::from_static("Bearer x"))];
    let body = Bytes::from_static(b"{\"user\":1}");
    let answer = client.post_json(url, &secret, body, deadline).await?;
    Ok(format!("{} {}", answer.status.as_u16(), String::from_utf8_lossy(&answer.body)))
}

#[tokio::test]
async fn a_question_is_answered_on_a_connection_that_is_kept() {
    let other = Other::start(|_| Reply::whole("200 OK", "", "{\"new\":true}")).await;
    let (client, url) = (client(None), url("http", other.address()));
    for _ in 0..3 {
        let said = post(&client, &url, PATIENCE).await.expect("an answer");
        assert_eq!(said, "200 {\"new\":true}");
    }
    let heard = other.heard();
    let connections: Vec<usize> = heard.iter().map(|(number, _)| *number).collect();
    assert_eq!(connections, [0, 0, 0]);
    let request = heard[0].1.clone();
    assert!(request.starts_with("POST /v1/checks?user=1 HTTP/1.1\r\n"), "{request}");
    assert!(request.ends_with("\r\n\r\n{\"user\":1}"), "{request}");
    let host = format!("host: {}", other.address());
    let agent = format!("user-agent: waypost/{}", env!("CARGO_PKG_VERSION"));
    for header in ["content-type: application/json", "authorization: Bearer x", &host, &agent] {
        assert!(request.contains(&format!("\r\n{header}\r\n")), "{header} in {request}");
    }
}

#[tokio::test]
async fn a_get_has_no_body_and_may_name_another_host() {
    let other = Other::start(|_| Reply::whole("404 Not Found", "x-why: gone\r\n", "no")).await;
    let host = [(HOST, HeaderValue::from_static("go.example"))];
    let answer = client(None).get(&url("http", other.address()), &host, PATIENCE).await;
    let answer = answer.expect("an answer, whatever its status");
    assert_eq!(answer.status, 404);
    assert_eq!(answer.headers.get("x-why"), Some(&HeaderValue::from_static("gone")));
    assert_eq!(answer.body, "no");
    let request = other.heard().remove(0).1;
    assert!(request.contains("\r\nhost: go.example\r\n") && request.ends_with("\r\n\r\n"));
    assert!(!request.contains("content-"), "{request}");
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_is_not_followed() {
    let elsewhere = Other::start(|_| Reply::whole("200 OK", "", "")).await;
    let location = format!("location: http://{}/\r\n", elsewhere.address());
    let other =
        Other::start(move |_| Reply::whole("307 Temporary Redirect", &location, "over there"))
            .await;
    let said = post(&client(None), &url("http", other.address()), PATIENCE).await;
    assert_eq!(said.expect("an answer"), "307 over there");
    assert_eq!(elsewhere.heard(), []);
}

#[tokio::test]
async fn after_a_refused_connection_nothing_was_sent() {
    let (_taken, address) = nobody_listens();
    let error = post(&client(None), &url("http", address), PATIENCE).await.expect_err("refused");
    assert!(matches!(error, Error::Connect(_)) && error.nothing_was_sent(), "{error:?}");
    assert!(error.to_string().starts_with("no connection: Connection refused"), "{error}");
    let unknown = Url::parse("http://nobody.invalid/").expect("a URL");
    let error = post(&client(None), &unknown, PATIENCE).await.expect_err("no such host");
    assert!(matches!(error, Error::Connect(_)) && error.nothing_was_sent(), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_does_not_come_in_time_may_follow_a_deed() {
    let head = "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf";
    for half in [None, Some(head)] {
        let says = move |_: &str| half.map_or(Reply::Nothing, |half| Reply::Bytes(half.into()));
        let other = Other::start(says).await;
        let error = post(&client(None), &url("http", other.address()), SHORT).await;
        let error = error.expect_err("no whole answer");
        assert_eq!(error.to_string(), "no answer within 100ms");
        assert!(!error.nothing_was_sent(), "{error:?}");
        assert_eq!(other.heard().len(), 1, "it is not asked again");
    }
}

#[tokio::test]
async fn a_handshake_that_does_not_end_in_time_sends_nothing() {
    let silent = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = silent.local_addr().expect("a bound socket");
    let error = post(&client(None), &url("https", address), SHORT).await.expect_err("silence");
    assert_eq!(error.to_string(), "no connection within 100ms");
    assert!(error.nothing_was_sent(), "{error:?}");
}

#[tokio::test]
async fn an_answer_that_breaks_off_may_follow_a_deed() {
    let cut: [(&str, &[u8]); 4] = [
        ("nothing", b""),
        ("in the headers", b"HTTP/1.1 200 OK\r\ncontent-"),
        ("in the body", b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf"),
        ("no HTTP", b"SSH-2.0-OpenSSH_9.9\r\n\r\n"),
    ];
    for (what, bytes) in cut {
        let other = Other::start(move |_| Reply::Last(bytes.into())).await;
        let error = post(&client(None), &url("http", other.address()), PATIENCE).await;
        let error = error.expect_err(what);
        assert!(matches!(error, Error::Broken(_)), "{what}: {error:?}");
        assert!(!error.nothing_was_sent(), "{what}: {error:?}");
        assert_eq!(other.heard().len(), 1, "{what}: it is not asked again");
    }
}

#[tokio::test]
async fn an_answer_is_read_up_to_its_limit() {
    let just = Other::start(|_| Reply::whole("200 OK", "", &"x".repeat(1_000))).await;
    let said = post(&client(None), &url("http", just.address()), PATIENCE).await;
    assert_eq!(said.expect("as long as it may be").len(), "200 ".len() + 1_000);
    let chunks = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3e9\r\n".to_owned()
        + &"x".repeat(0x3e9)
        + "\r\n0\r\n\r\n";
    let announced =
        "HTTP/1.1 200 OK\r\ncontent-length: 1001\r\n\r\n".to_owned() + &"x".repeat(1_001);
    for answer in [chunks, announced] {
        let other = Other::start(move |_| Reply::Bytes(answer.clone().into_bytes())).await;
        let error = post(&client(None), &url("http", other.address()), PATIENCE).await;
        let error = error.expect_err("too long");
        assert!(matches!(error, Error::TooLarge { limit: 1_000 }), "{error:?}");
        assert!(!error.nothing_was_sent(), "{error:?}");
    }
    let head = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(1_000_000));
    let other = Other::start(move |_| Reply::Bytes(head.clone().into_bytes())).await;
    let error = post(&client(None), &url("http", other.address()), PATIENCE).await;
    assert!(matches!(error, Err(Error::Broken(_))), "{error:?}");
}

#[tokio::test]
async fn a_certificate_is_believed_when_its_authority_is_and_its_name_fits() {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("authorities.pem");
    let authority = TestAuthority::default();
    authority.write(&file);
    let other =
        Other::start_tls(&authority, "localhost", |_| Reply::whole("200 OK", "", "hello")).await;
    let believing = client(Some(file));
    let port = other.address().port();
    let named = Url::parse(&format!("https://localhost:{port}/")).expect("a URL");
    assert_eq!(post(&believing, &named, PATIENCE).await.expect("an answer"), "200 hello");

    let numbered = url("https", other.address());
    let error = post(&believing, &numbered, PATIENCE).await.expect_err("another name");
    assert!(matches!(error, Error::Tls(_)) && error.nothing_was_sent(), "{error:?}");
    let as_if = believing.as_if_at("localhost").expect("a name");
    assert_eq!(post(&as_if, &numbered, PATIENCE).await.expect("an answer"), "200 hello");

    let heard = other.heard().len();
    let error = post(&client(None), &named, PATIENCE).await.expect_err("an unknown authority");
    assert!(matches!(error, Error::Tls(_)) && error.nothing_was_sent(), "{error:?}");
    assert!(error.to_string().contains("[outbound] ca_file"), "{error}");
    assert_eq!(other.heard().len(), heard, "nothing was sent");
}

#[tokio::test]
async fn a_service_that_speaks_no_tls_is_told_from_one_that_is_away() {
    let plain = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = plain.local_addr().expect("a bound socket");
    let talking = tokio::spawn(async move {
        let (mut stream, _) = plain.accept().await.expect("a connection");
        let text = b"HTTP/1.1 400 Bad Request\r\n\r\n";
        tokio::io::AsyncWriteExt::write_all(&mut stream, text).await.expect("written");
        stream
    });
    let error = post(&client(None), &url("https", address), PATIENCE).await.expect_err("no TLS");
    assert!(matches!(error, Error::Tls(_)) && error.nothing_was_sent(), "{error:?}");
    talking.await.expect("it spoke");
}

#[test]
fn only_the_web_is_asked_and_without_a_password_in_the_url() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for bad in ["ftp://a.example/", "mailto:a@a.example", "https://me:secret@a.example/"] {
        let url = Url::parse(bad).expect("a URL");
        let error = runtime.block_on(post(&client(None), &url, PATIENCE)).expect_err(bad);
        assert!(matches!(error, Error::Address(_)) && error.nothing_was_sent(), "{error:?}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_bad_file_of_authorities_is_named_at_the_start() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("authorities.pem");
    let text = path.to_str().expect("a plain path");
    let check = async || {
        let variables = [("WAYPOST_OUTBOUND__CA_FILE", text)];
        let (checked, words) = Waypost::run(&["check-config"], &variables).await;
        let (started, log) = Waypost::run(&["serve"], &variables).await;
        assert_eq!((checked, started), (Some(1), Some(1)), "{words} {log}");
        assert!(words.contains(text) && words.contains("[outbound] ca_file"), "{words}");
        assert_eq!(words, log);
        words
    };
    assert!(check().await.contains("No such file"));
    let cut = "-----BEGIN CERTIFICATE-----\nMIIB\n";
    let no_der = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n";
    for (content, part) in [
        ("", "it has no certificate"),
        ("no PEM at all", "it has no certificate"),
        (cut, "certificate number 1 is not good"),
        (no_der, "certificate number 1 is not good"),
    ] {
        std::fs::write(&path, content).expect("written");
        let words = check().await;
        assert!(words.contains(part), "{words}");
    }
}
