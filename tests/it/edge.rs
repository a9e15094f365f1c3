//! What the edge answers, case by case, and what it refuses.

use std::time::Duration;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};
use waypost::local::Signal;

use super::support::deployment::{add_links, call, links_key, metric};
use super::support::{Answer, Client, TestDatabase, Waypost, eventually, get, quiet, raw, send};

async fn database(sql: &str) -> TestDatabase {
    let database = TestDatabase::new().await;
    database.connect().await.batch_execute(sql).await.expect("links");
    database
}

async fn start(database: &TestDatabase) -> Waypost {
    Waypost::start(&[("DATABASE_URL", &database.url())]).await
}

fn seen(answer: &Answer) -> (u16, &str, &str) {
    (answer.status, answer.header("location"), answer.header("cache-control"))
}

const LINKS: &str = "
    INSERT INTO link (domain_id, slug, target, status, cache_seconds, valid_from, expires_at,
                      forward_query, disabled, fallback, created_by) VALUES
    (1, 'found',    'https://a.example/',       302, NULL, NULL, NULL, false, false, NULL, 't'),
    (1, 'moved',    'https://a.example/',       301, NULL, NULL, NULL, false, false, NULL, 't'),
    (1, 'temp',     'https://a.example/',       307, 60,   NULL, NULL, false, false, NULL, 't'),
    (1, 'perm',     'https://a.example/',       308, 3600, NULL, NULL, false, false, NULL, 't'),
    (1, 'forward',  'https://a.example/?a=1#f', 302, NULL, NULL, NULL, true,  false, NULL, 't'),
    (1, 'disabled', 'https://a.example/',       302, NULL, NULL, NULL, false, true,  NULL, 't'),
    (1, 'fallback', 'https://a.example/',       302, NULL, NULL, NULL, false, true,
                    'https://b.example/over', 't'),
    (1, 'expired',  'https://a.example/',       302, NULL, NULL, now() - interval '1 s', false,
                    false, NULL, 't'),
    (1, 'tomorrow', 'https://a.example/',       302, NULL, now() + interval '1 day', NULL, false,
                    false, NULL, 't')";

#[tokio::test]
async fn a_link_redirects_by_its_own_rules() {
    let database = database(LINKS).await;
    let waypost = start(&database).await;
    let edge = waypost.edge();
    let target = "https://a.example/";
    for (path, expected) in [
        ("/found", (302, target, "private, no-cache")),
        ("/found/", (302, target, "private, no-cache")),
        ("/f%6Fund", (302, target, "private, no-cache")),
        ("/found?x=1", (302, target, "private, no-cache")),
        ("/moved", (301, target, "private, max-age=90")),
        ("/temp", (307, target, "private, max-age=60")),
        ("/perm", (308, target, "private, max-age=3600")),
        ("/forward?a=2&b=3", (302, "https://a.example/?a=2&b=3#f", "private, no-cache")),
        ("/forward", (302, "https://a.example/?a=1#f", "private, no-cache")),
        ("/disabled", (410, "", "no-store")),
        ("/fallback", (302, "https://b.example/over", "no-store")),
        ("/expired", (410, "", "no-store")),
        ("/tomorrow", (404, "", "no-store")),
        ("/unknown", (404, "", "no-store")),
        ("/FOUND", (404, "", "no-store")),
        ("/found%00", (404, "", "no-store")),
        ("/%ff%fe", (404, "", "no-store")),
        ("/2:found", (404, "", "no-store")),
    ] {
        // Twice: from the database, then from the cache.
        for round in 1..=2 {
            let answer = get(edge, path, &[]).await;
            assert_eq!(seen(&answer), expected, "{path}, round {round}");
        }
    }
    let head = send(edge, "HEAD", "/found", &[], "").await;
    assert_eq!(seen(&head), (302, target, "private, no-cache"));
    let post = send(edge, "POST", "/found", &[], "").await;
    assert_eq!((post.status, post.header("allow")), (405, "GET, HEAD"));
}

#[tokio::test]
async fn a_link_ends_while_it_is_cached() {
    let database = database(
        "INSERT INTO link (domain_id, slug, target, expires_at, created_by)
         VALUES (1, 'brief', 'https://a.example/', now() + interval '2 s', 't')",
    )
    .await;
    let waypost = start(&database).await;
    assert_eq!(get(waypost.edge(), "/brief", &[]).await.status, 302);
    eventually("410", Duration::from_secs(10), async || {
        (get(waypost.edge(), "/brief", &[]).await.status == 410).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_host_picks_its_domain_and_a_domain_may_fold() {
    let database = database(
        "INSERT INTO domain (host, case_insensitive) VALUES ('second.example', true);
         INSERT INTO link (domain_id, slug, target, created_by) VALUES
         (1, 'same', 'https://first.example/', 't'),
         (2, 'same', 'https://second.example/t', 't')",
    )
    .await;
    let waypost = start(&database).await;
    let edge = waypost.edge();
    let strict = Waypost::start(&[
        ("DATABASE_URL", &database.url()),
        ("WAYPOST_EDGE__UNKNOWN_HOST", "not_found"),
        ("WAYPOST_EDGE__PUBLIC_URL", "https://go.example/"),
    ])
    .await;
    for (edge, host, path, location) in [
        (edge, "second.example", "/SaMe", "https://second.example/t"),
        (edge, "Second.Example:80", "/same", "https://second.example/t"),
        (edge, "unknown.example", "/same", "https://first.example/"),
        (edge, "unknown.example", "/SAME", ""),
        (strict.edge(), "go.example", "/same", "https://first.example/"),
        (strict.edge(), "unknown.example", "/same", ""),
    ] {
        let answer = get(edge, path, &[("host", host)]).await;
        assert_eq!(answer.header("location"), location, "{host}{path}");
    }
}

#[tokio::test]
async fn a_malformed_request_is_refused() {
    let database = database(LINKS).await;
    let waypost = start(&database).await;
    let many = "X-More: 1\r\n".repeat(70);
    let long = format!("X-Long: {}\r\n", "x".repeat(9_000));
    for (request, status) in [
        ("GET /found HTTP/1.1\r\n", "400"),
        ("GET /found HTTP/1.1\r\nHost: a\r\nHost: b\r\n", "400"),
        ("GET /found HTTP/1.1\r\nHost: a/b\r\n", "400"),
        ("GET http://b/found HTTP/1.1\r\nHost: a\r\n", "400"),
        ("GET /found HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n", "400"),
        ("GET /found HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n", "413"),
        ("GET /found HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n", "413"),
        (&format!("GET /found HTTP/1.1\r\nHost: a\r\n{many}"), "431"),
        (&format!("GET /found HTTP/1.1\r\nHost: a\r\n{long}"), "431"),
        ("GET /fo und HTTP/1.1\r\nHost: a\r\n", "400"),
        ("nonsense\r\n", "400"),
        ("GET /found HTTP/1.1\r\nHost: a\r\n", "302"),
    ] {
        let request = format!("{request}Connection: close\r\n\r\n");
        let answer = raw(waypost.edge(), request.as_bytes()).await;
        let shown: String = request.chars().take(90).collect();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{shown}: {answer}");
        assert_eq!(answer.matches("HTTP/1.1").count(), 1, "{shown}: {answer}");
    }
}

#[tokio::test]
async fn a_client_that_dawdles_is_cut_off() {
    let database = database(LINKS).await;
    let waypost = Waypost::start(&[
        ("DATABASE_URL", &database.url()),
        ("WAYPOST_LIMITS__HEADER_READ_SECONDS", "1"),
    ])
    .await;
    let began = Instant::now();
    // The end of the headers never comes; the answer is the end of the connection.
    assert_eq!(raw(waypost.edge(), b"GET /found HTTP/1.1\r\nHost: a\r\n").await, "");
    assert_eq!(raw(waypost.edge(), b"").await, "");
    assert!(began.elapsed() > Duration::from_secs(2), "cut off too soon");
    let cut = "waypost_http_timeouts_total{listener=\"edge\",phase=\"headers\"}";
    assert!((metric(waypost.control(), cut).await - 2.0).abs() < 0.1);
}

#[tokio::test]
async fn a_client_that_reads_no_answers_is_cut_off() {
    let _quiet = quiet().await;
    let database = database(LINKS).await;
    let waypost = Waypost::start(&[
        ("DATABASE_URL", &database.url()),
        ("WAYPOST_LIMITS__REQUEST_SECONDS", "1"),
        ("WAYPOST_LIMITS__KEEP_ALIVE_SECONDS", "1"),
        ("WAYPOST_LIMITS__CONNECTION_AGE_SECONDS", "2"),
    ])
    .await;
    let mut silent = TcpStream::connect(waypost.edge()).await.expect("a connection");
    let requests = "GET /found HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_000);
    // Until nothing goes through any more, because the answers are stuck, or the server hangs up.
    let write = async { while silent.write_all(requests.as_bytes()).await.is_ok() {} };
    drop(timeout(Duration::from_secs(3), write).await);
    let cut = "waypost_http_timeouts_total{listener=\"edge\",phase=\"closing\"}";
    eventually("it is cut off", Duration::from_secs(10), async || {
        (metric(waypost.control(), cut).await > 0.5).then_some(())
    })
    .await;
}

#[tokio::test]
async fn one_address_gets_only_so_many_connections() {
    let database = database(LINKS).await;
    let waypost = Waypost::start(&[
        ("DATABASE_URL", &database.url()),
        ("WAYPOST_LIMITS__CONNECTIONS_PER_CLIENT", "3"),
    ])
    .await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(waypost.edge()).await.expect("a connection");
        assert_eq!(client.get("/found", &[]).await.expect("an answer").status, 302);
        open.push(client);
    }
    let refused = raw(waypost.edge(), b"").await;
    assert!(refused.starts_with("HTTP/1.1 503") && refused.contains("Retry-After"), "{refused}");
    drop(open);
    eventually("a place is free again", Duration::from_secs(5), async || {
        let mut client = Client::connect(waypost.edge()).await.ok()?;
        client.get("/found", &[]).await.ok().filter(|answer| answer.status == 302)
    })
    .await;
}

#[tokio::test]
async fn a_trusted_proxy_gets_as_many_connections_as_there_are() {
    let database = database(LINKS).await;
    let waypost = Waypost::start(&[
        ("DATABASE_URL", &database.url()),
        ("WAYPOST_LIMITS__CONNECTIONS_PER_CLIENT", "1"),
        ("WAYPOST_LIMITS__CONNECTIONS", "3"),
        ("WAYPOST_EDGE__TRUSTED_PROXIES", "[\"2001:db8::/32\", \"127.0.0.0/8\"]"),
    ])
    .await;
    let mut open = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(waypost.edge()).await.expect("a connection");
        let forwarded = [("x-forwarded-for", "198.51.100.7")];
        assert_eq!(client.get("/found", &forwarded).await.expect("an answer").status, 302);
        open.push(client);
    }
    // The limit for all holds for proxies too.
    assert!(raw(waypost.edge(), b"").await.starts_with("HTTP/1.1 503"));
    drop(open);
}

#[tokio::test]
async fn sigterm_fails_no_request_and_loses_no_click() {
    const CLIENTS: usize = 16;
    let database = database(LINKS).await;
    let waypost = Waypost::start(&[
        ("DATABASE_URL", &database.url()),
        ("WAYPOST_SHUTDOWN__ANNOUNCE_SECONDS", "1"),
    ])
    .await;
    let edge = waypost.edge();
    // Each client asks until the server says that it closes, as a balancer's pool would.
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            tokio::spawn(async move {
                let mut client = Client::connect(edge).await.expect("a connection");
                let mut answered = 0_u64;
                loop {
                    let answer = client.get("/found", &[]).await.expect("no request fails");
                    assert_eq!(answer.status, 302);
                    answered += 1;
                    if answer.header("connection") == "close" {
                        return answered;
                    }
                }
            })
        })
        .collect();
    let requests = "waypost_resolve_total{result=\"hit\",tier=\"local\"}";
    eventually("traffic", Duration::from_secs(20), async || {
        (metric(waypost.control(), requests).await > 500.0).then_some(())
    })
    .await;
    waypost.signal(Signal::TERM);
    let mut answered = 0;
    for client in clients {
        answered += client.await.expect("no client fails");
    }
    assert_eq!(waypost.ended().await, Some(0), "{}", waypost.log());
    let row = database
        .connect()
        .await
        .query_one("SELECT sum(total)::bigint FROM link_clicks", &[])
        .await
        .expect("a sum");
    assert_eq!(u64::try_from(row.get::<_, i64>(0)), Ok(answered));
}

#[tokio::test]
async fn clicks_are_counted_and_heads_are_not() {
    let database = TestDatabase::new().await;
    add_links(&database.store(), &[("one", "https://a.example/"), ("two", "https://b.example/")])
        .await;
    let waypost = start(&database).await;
    for _ in 0..5 {
        get(waypost.edge(), "/one", &[]).await;
        send(waypost.edge(), "HEAD", "/two", &[], "").await;
        get(waypost.edge(), "/nowhere", &[]).await;
    }
    let client = database.connect().await;
    eventually("five clicks", Duration::from_secs(5), async || {
        let rows = client
            .query("SELECT slug, total FROM link_clicks JOIN link ON id = link_id", &[])
            .await
            .expect("rows");
        let counted: Vec<(String, i64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        (counted == [("one".to_owned(), 5)]).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_hit_is_counted_where_it_was_found() {
    let database = database(LINKS).await;
    let waypost = start(&database).await;
    let resolved = async |tier: &str, result: &str| {
        let series = format!("waypost_resolve_total{{result=\"{result}\",tier=\"{tier}\"}}");
        metric(waypost.control(), &series).await
    };
    for _ in 0..3 {
        assert_eq!(get(waypost.edge(), "/found", &[]).await.status, 302);
    }
    eventually("three look-ups", Duration::from_secs(5), async || {
        let (hits, misses) = (resolved("local", "hit").await, resolved("local", "missing").await);
        (hits + misses > 2.5).then_some(())
    })
    .await;
    assert!((resolved("local", "hit").await - 2.0).abs() < 0.1, "the first was no hit");
    assert!((resolved("postgres", "hit").await - 1.0).abs() < 0.1);
}

#[tokio::test]
async fn an_answer_of_the_control_plane_has_the_request_id_of_the_log() {
    let database = TestDatabase::new().await;
    let waypost = start(&database).await;
    let answer = get(waypost.control(), "/v1/links", &[]).await;
    assert_eq!((answer.status, answer.header("x-request-id").len()), (401, 16));
}

#[tokio::test]
async fn a_mistake_of_ours_is_logged_with_the_request_id_and_not_told() {
    let database = TestDatabase::new().await;
    let key = links_key(&database.store()).await;
    let waypost =
        Waypost::start(&[("DATABASE_URL", &database.url()), ("WAYPOST_LOG__LEVEL", "warn")]).await;
    let spoil = "ALTER TABLE link RENAME COLUMN title TO label";
    database.connect().await.execute(spoil, &[]).await.expect("spoilt");
    let answer = call(waypost.control(), &key, ("GET", "/v1/links"), None).await;
    assert_eq!(answer.json()["type"], "urn:waypost:problem:internal");
    assert!(!answer.text().contains("column"), "{answer:?}");
    let line = eventually("it is logged", Duration::from_secs(5), async || {
        let log = waypost.log();
        log.lines().find(|line| line.contains("a request failed")).map(str::to_owned)
    })
    .await;
    assert!(line.contains("column") && line.contains(answer.header("x-request-id")), "{line}");
}

#[tokio::test]
async fn a_body_that_does_not_come_is_told_so_and_the_connection_ends() {
    let database = TestDatabase::new().await;
    let key = links_key(&database.store()).await;
    let environment =
        [("DATABASE_URL", &*database.url()), ("WAYPOST_LIMITS__REQUEST_SECONDS", "1")];
    let waypost = Waypost::start(&environment).await;
    let request = format!(
        "POST /v1/links HTTP/1.1\r\nHost: a\r\nAuthorization: {key}\r\nContent-Length: 9\r\n\r\n{{"
    );
    let began = Instant::now();
    let said = raw(waypost.control(), request.as_bytes()).await;
    assert!(said.starts_with("HTTP/1.1 400 ") && said.contains("in time"), "{said}");
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}
