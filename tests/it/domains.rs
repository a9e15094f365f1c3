//! Domains: over the API, and as the edge sees them.

use std::time::Duration;

use serde_json::{Value, json};
use waypost::http::auth::Scope;

use super::api::problem;
use super::support::campaign::{DEMO, activate};
use super::support::deployment::{call, key_for};
use super::support::{Answer, TestApi, TestDatabase, TestPostgres, Waypost, eventually, get, send};

/// An API whose key may do everything.
async fn admin_api() -> TestApi {
    let mut api = TestApi::new().await;
    api.key = api.add_key("boss", &["admin"]).await;
    api
}

/// Status and name of a problem.
fn name(answer: &Answer) -> (u16, String) {
    let (status, name, _) = problem(answer);
    (status, name)
}

async fn add(api: &TestApi, body: &Value) -> Answer {
    api.call("POST", "/v1/domains", body.to_string()).await
}

#[tokio::test]
async fn a_domain_is_added_found_edited_and_deleted() {
    let api = admin_api().await;
    let body = json!({
        "host": "S.Example", "case_insensitive": true, "slug_length": 6,
        "root_url": "https://www.example.com", "gone_url": "https://Example.com/ä",
    });
    let added = add(&api, &body).await;
    assert_eq!((added.status, added.header("location")), (201, "/v1/domains/s.example"));
    let mut domain = added.json();
    let fields = domain.as_object_mut().expect("an object");
    let times = [fields.remove("created_at"), fields.remove("updated_at")];
    assert!(times[0].is_some() && times[0] == times[1], "{times:?}");
    let expected = json!({
        "host": "s.example", "default": false, "case_insensitive": true, "slug_length": 6,
        "root_url": "https://www.example.com/", "gone_url": "https://example.com/%C3%A4",
    });
    assert_eq!(domain, expected);
    let found = api.call("GET", "/v1/domains/S.Example.", "").await;
    assert_eq!((found.status, found.json()), (200, added.json()));

    let edit =
        json!({ "slug_length": null, "root_url": null, "unknown_url": "https://a.example/" });
    let edited = api.call("PATCH", "/v1/domains/s.example", edit.to_string()).await;
    assert_eq!(edited.status, 200, "{edited:?}");
    let edited = edited.json();
    assert_eq!(edited["slug_length"], 8, "seven, and one more in base 36");
    assert_eq!((&edited["unknown_url"], &edited["root_url"]), (&edit["unknown_url"], &Value::Null));
    assert_eq!(edited["created_at"], added.json()["created_at"]);
    assert_ne!(edited["updated_at"], added.json()["updated_at"]);
    // An edit that changes nothing is none.
    let again = api.call("PATCH", "/v1/domains/s.example", r#"{"slug_length": null}"#).await;
    assert_eq!(again.json(), edited);

    let list = api.call("GET", "/v1/domains", "").await.json();
    assert_eq!(
        (&list["domains"][0]["host"], &list["domains"][0]["default"]),
        (&json!("go.example"), &json!(true))
    );
    assert_eq!(list["domains"][1], edited);
    let deleted = api.call("DELETE", "/v1/domains/s.example", "").await;
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    for (method, body) in [("GET", ""), ("DELETE", ""), ("PATCH", "{}")] {
        let gone = api.call(method, "/v1/domains/s.example", body).await;
        assert_eq!(name(&gone), (404, "not-found".to_owned()));
    }
    let database = api.database.connect().await;
    let trail = "SELECT actor || ' ' || action || ' ' || subject FROM audit ORDER BY id";
    let rows = database.query(trail, &[]).await.expect("rows");
    let trail: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let expected = ["add", "edit", "delete"].map(|it| format!("boss domain.{it} domain:s.example"));
    assert_eq!(trail, expected);
}

#[tokio::test]
async fn a_bad_field_of_a_domain_is_named_and_nothing_is_stored() {
    let api = admin_api().await;
    assert_eq!(add(&api, &json!({ "host": "s.example" })).await.status, 201);
    let with = |field: &str, value: Value| json!({ "host": "new.example", field: value });
    for (body, pointer, reason) in [
        (json!({}), "/host", "required"),
        (json!({ "host": null }), "/host", "required"),
        (json!({ "host": 7 }), "/host", "wrong-type"),
        (json!({ "host": "" }), "/host", "not-a-host"),
        (json!({ "host": "new.example:80" }), "/host", "not-a-host"),
        (json!({ "host": "https://new.example" }), "/host", "not-a-host"),
        (json!({ "host": "127.0.0.1" }), "/host", "not-a-host"),
        (json!({ "host": "a\u{0}b" }), "/host", "not-a-host"),
        (json!({ "host": "a".repeat(8_192) }), "/host", "not-a-host"),
        (with("case_insensitive", json!("yes")), "/case_insensitive", "wrong-type"),
        (with("slug_length", json!(4)), "/slug_length", "out-of-range"),
        (with("slug_length", json!(11)), "/slug_length", "out-of-range"),
        (with("slug_length", json!(-1)), "/slug_length", "out-of-range"),
        (with("slug_length", json!("7")), "/slug_length", "wrong-type"),
        (with("root_url", json!("https://new.example/x")), "/root_url", "loop"),
        (with("root_url", json!("https://go.example/")), "/root_url", "loop"),
        (with("unknown_url", json!("https://s.example/")), "/unknown_url", "loop"),
        (with("unknown_url", json!("javascript:x")), "/unknown_url", "scheme-not-allowed"),
        (with("gone_url", json!("https://a:b@example.com/")), "/gone_url", "userinfo-not-allowed"),
        (with("gone_url", json!("/relative")), "/gone_url", "not-a-url"),
        (with("gone_url", json!("https://example.com/\r\nx")), "/gone_url", "control-character"),
        (with("colour", json!("red")), "/colour", "unknown-field"),
    ] {
        let expected = vec![(pointer.to_owned(), reason.to_owned())];
        let answer = add(&api, &body).await;
        assert_eq!(problem(&answer), (422, "invalid-body".to_owned(), expected), "{body}");
        assert!(answer.body.len() < 2_000, "{body}");
    }
    for (body, pointer, reason) in [
        (r#"{"host": "t.example"}"#, "/host", "cannot-be-changed"),
        (r#"{"slug_length": 4}"#, "/slug_length", "out-of-range"),
        (r#"{"case_insensitive": 1}"#, "/case_insensitive", "wrong-type"),
        (r#"{"root_url": "https://s.example/x"}"#, "/root_url", "loop"),
        (r#"{"unknown_url": "http://go.example:80/"}"#, "/unknown_url", "loop"),
        (r#"{"gone_url": ""}"#, "/gone_url", "empty"),
        (r#"{"default": true}"#, "/default", "unknown-field"),
    ] {
        let expected = vec![(pointer.to_owned(), reason.to_owned())];
        let answer = api.call("PATCH", "/v1/domains/s.example", body).await;
        assert_eq!(problem(&answer), (422, "invalid-body".to_owned(), expected), "{body}");
    }
    let untouched = "SELECT count(*) FROM domain WHERE updated_at = created_at";
    assert_eq!(api.count(untouched).await, 2);
    assert_eq!(api.count("SELECT count(*) FROM audit").await, 1);
    for path in ["/v1/domains?x=1", "/v1/domains/s.example?x=1"] {
        assert_eq!(name(&api.call("GET", path, "").await), (400, "invalid-query".to_owned()));
    }
    let long = format!("/v1/domains/{}", "a".repeat(8_000));
    let answer = api.call("GET", &long, "").await;
    assert!(answer.status == 404 && answer.body.len() < 1_000, "{answer:?}");
}

#[tokio::test]
async fn the_default_domain_is_always_there_and_can_be_edited() {
    let api = admin_api().await;
    for host in ["go.example", "GO.example"] {
        let there = add(&api, &json!({ "host": host })).await;
        assert_eq!(name(&there), (409, "domain-exists".to_owned()));
        assert!(there.text().contains("edge.public_url"), "{there:?}");
    }
    let kept = api.call("DELETE", "/v1/domains/go.example", "").await;
    assert_eq!(name(&kept), (409, "domain-in-use".to_owned()));
    let edit = json!({ "slug_length": 5, "unknown_url": "https://example.com/" });
    let edited = api.call("PATCH", "/v1/domains/go.example", edit.to_string()).await.json();
    assert_eq!((&edited["default"], &edited["slug_length"]), (&json!(true), &json!(5)));
    let made = api.create(&json!({ "target": "https://example.com/" })).await.json();
    assert_eq!(made["slug"].as_str().map(str::len), Some(5), "{made}");
}

#[tokio::test]
async fn a_domain_with_links_is_kept_and_one_that_is_there_is_not_added() {
    let api = admin_api().await;
    assert_eq!(add(&api, &json!({ "host": "s.example" })).await.status, 201);
    let twice = add(&api, &json!({ "host": "S.EXAMPLE" })).await;
    assert_eq!(name(&twice), (409, "domain-exists".to_owned()));
    let link = json!({ "target": "https://example.com/", "slug": "x", "domain": "s.example" });
    assert_eq!(api.create(&link).await.status, 201);
    let kept = api.call("DELETE", "/v1/domains/s.example", "").await;
    assert_eq!(name(&kept), (409, "domain-in-use".to_owned()));
    assert_eq!(api.call("GET", "/v1/links/x?domain=s.example", "").await.status, 200);
    assert_eq!(api.call("DELETE", "/v1/links/x?domain=s.example", "").await.status, 204);
    assert_eq!(api.call("DELETE", "/v1/domains/s.example", "").await.status, 204);
    assert_eq!(problem(&api.create(&link).await).2, [("/domain".into(), "unknown-domain".into())]);
    // Under the same name it begins anew.
    assert_eq!(add(&api, &json!({ "host": "s.example" })).await.status, 201);
    assert_eq!(api.create(&link).await.status, 201);
}

#[tokio::test]
async fn a_domain_under_which_codes_are_shared_is_kept() {
    let api = admin_api().await;
    add(&api, &json!({ "host": "invite.example" })).await;
    let store = api.database.store();
    let document = DEMO.replace("# domain = \"go.example.com\"", "domain = \"invite.example\"");
    activate(&store, "demo", &document).await;
    let kept = api.call("DELETE", "/v1/domains/invite.example", "").await;
    assert_eq!(name(&kept), (409, "domain-in-use".to_owned()));
    assert!(kept.text().contains("campaign 'demo'"), "{}", kept.text());
    activate(&store, "demo", DEMO).await;
    let gone = api.call("DELETE", "/v1/domains/invite.example", "").await;
    assert_eq!(gone.status, 204, "{}", gone.text());
}

#[tokio::test]
async fn keys_for_links_read_domains_and_change_none() {
    let mut api = admin_api().await;
    assert_eq!(add(&api, &json!({ "host": "s.example" })).await.status, 201);
    api.key = api.add_key("reader", &["links"]).await;
    for path in ["/v1/domains", "/v1/domains/s.example"] {
        assert_eq!(api.call("GET", path, "").await.status, 200);
    }
    for (method, path) in [
        ("POST", "/v1/domains"),
        ("PATCH", "/v1/domains/s.example"),
        ("DELETE", "/v1/domains/s.example"),
    ] {
        let refused = api.call(method, path, r#"{"host": "t.example"}"#).await;
        assert_eq!(name(&refused), (403, "forbidden".to_owned()), "{method} {path}");
        assert_eq!(api.send(method, path, &[], "{}").await.status, 401, "{method} {path}");
    }
    assert_eq!(api.count("SELECT count(*) FROM domain").await, 2);
}

#[tokio::test]
async fn a_domain_that_is_asked_for_twice_is_added_once() {
    let api = admin_api().await;
    let authorization = format!("Bearer {}", api.key);
    let send = async |body: &'static str| {
        let headers = [("authorization", authorization.as_str()), ("idempotency-key", "k")];
        api.send("POST", "/v1/domains", &headers, body).await
    };
    let first = send(r#"{"host": "s.example"}"#).await;
    let second = send(r#"{"host": "s.example"}"#).await;
    assert_eq!((first.status, first.body.clone()), (201, second.body.clone()));
    assert_eq!((second.status, second.header("idempotency-replayed")), (201, "true"));
    assert_eq!(second.header("location"), "/v1/domains/s.example");
    let other = send(r#"{"host": "t.example"}"#).await;
    assert_eq!(name(&other), (422, "idempotency-key-reused".to_owned()));
}

#[tokio::test]
async fn of_two_changes_at_the_same_time_the_second_sees_the_first() {
    let api = admin_api().await;
    let same = json!({ "host": "same.example" });
    let (one, two) = tokio::join!(add(&api, &same), add(&api, &same));
    assert_eq!(one.status + two.status, 201 + 409, "{one:?} {two:?}");
    // Together they would send people round in a circle.
    let one = json!({ "host": "one.example", "unknown_url": "https://two.example/" });
    let two = json!({ "host": "two.example", "unknown_url": "https://one.example/" });
    let (one, two) = tokio::join!(add(&api, &one), add(&api, &two));
    assert_eq!(one.status + two.status, 201 + 422, "{one:?} {two:?}");
}

#[tokio::test]
async fn generated_slugs_have_the_length_of_their_domain() {
    let api = admin_api().await;
    for (host, body, length) in [
        ("a.example", json!({ "host": "a.example" }), 7),
        ("b.example", json!({ "host": "b.example", "slug_length": 5 }), 5),
        ("c.example", json!({ "host": "c.example", "case_insensitive": true }), 8),
        (
            "d.example",
            json!({ "host": "d.example", "case_insensitive": true, "slug_length": 10 }),
            10,
        ),
    ] {
        let added = add(&api, &body).await.json();
        assert_eq!(added["slug_length"], length, "{host}");
        let row = json!({ "target": "https://example.com/", "domain": host });
        let batch = json!({ "links": vec![row; 50] });
        let made = api.call("POST", "/v1/links/batch", batch.to_string()).await.json();
        let results = made["results"].as_array().expect("results").clone();
        let slugs: std::collections::HashSet<&str> =
            results.iter().filter_map(|result| result["link"]["slug"].as_str()).collect();
        assert_eq!(slugs.len(), 50, "{host}");
        assert!(slugs.iter().all(|slug| slug.len() == length), "{host}: {slugs:?}");
        let folded = added["case_insensitive"] == json!(true);
        assert!(!folded || slugs.iter().all(|slug| **slug == slug.to_lowercase()), "{slugs:?}");
    }
}

#[tokio::test]
async fn a_domain_that_has_capitals_does_not_fold_even_if_they_are_just_being_stored() {
    let api = admin_api().await;
    let fold =
        async || api.call("PATCH", "/v1/domains/go.example", r#"{"case_insensitive": true}"#).await;
    let store = api.database.store();
    let mut connection = store.connection().await.expect("a connection");
    let transaction = connection.transaction().await.expect("a transaction");
    // Somebody has seen that the domain tells capitals from small letters, and makes a link.
    waypost::store::domains::all(&transaction).await.expect("domains");
    let insert = "INSERT INTO link (domain_id, slug, target, created_by)
                  VALUES (1, 'Spring', 'https://example.com/', 't')";
    transaction.execute(insert, &[]).await.expect("a link");
    let commit_when_it_waits = async {
        let waiting =
            "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'domain'::regclass";
        eventually("the edit waits", Duration::from_secs(10), async || {
            (api.count(waiting).await == 1).then_some(())
        })
        .await;
        transaction.commit().await.expect("committed");
    };
    let (refused, ()) = tokio::join!(fold(), commit_when_it_waits);
    let expected = vec![("/case_insensitive".to_owned(), "slugs-with-capitals".to_owned())];
    assert_eq!(problem(&refused), (422, "invalid-body".to_owned(), expected));
    assert!(refused.text().contains("such as 'Spring'"), "{refused:?}");
    assert_eq!(api.call("DELETE", "/v1/links/Spring", "").await.status, 204);
    assert_eq!(fold().await.status, 200);
}

/// Status, `Location` and `Cache-Control`.
fn seen(answer: &Answer) -> (u16, &str, &str) {
    (answer.status, answer.header("location"), answer.header("cache-control"))
}

const LINKS: &str = "
    INSERT INTO domain (host, root_url, unknown_url, gone_url) VALUES
    ('s.example', 'https://w.example/', 'https://w.example/404', 'https://w.example/410');
    INSERT INTO domain (host, gone_url) VALUES ('t.example', 'https://w.example/gone');
    INSERT INTO link (domain_id, slug, target, valid_from, expires_at, disabled, fallback,
                      created_by)
    SELECT domain.id, slug, 'https://a.example/', valid_from, expires_at, disabled, fallback, 't'
    FROM domain, (VALUES
        ('found',    NULL,                      NULL,                    false, NULL),
        ('expired',  NULL,                      now() - interval '1 s',  false, NULL),
        ('disabled', NULL,                      NULL,                    true,  NULL),
        ('fallback', NULL,                      NULL,                    true,  'https://b.example/'),
        ('tomorrow', now() + interval '1 day',  NULL,                    false, NULL))
        AS it (slug, valid_from, expires_at, disabled, fallback)";

#[tokio::test]
async fn a_domain_sends_people_elsewhere_instead_of_showing_its_pages() {
    let database = TestDatabase::new().await;
    database.connect().await.batch_execute(LINKS).await.expect("domains and links");
    let waypost = Waypost::start(&[("DATABASE_URL", &database.url())]).await;
    let found = (302, "https://a.example/", "private, no-cache");
    let unknown = (302, "https://w.example/404", "no-store");
    let gone = (302, "https://w.example/410", "no-store");
    for (host, path, expected) in [
        ("s.example", "/", (302, "https://w.example/", "no-store")),
        ("s.example", "/found", found),
        ("s.example", "/unknown", unknown),
        ("s.example", "/no%00slug", unknown),
        ("s.example", "/%ff", unknown),
        ("s.example", "/tomorrow", unknown),
        ("s.example", "/expired", gone),
        ("s.example", "/disabled", gone),
        ("s.example", "/fallback", (302, "https://b.example/", "no-store")),
        ("s.example", "/robots.txt", (200, "", "public, max-age=86400")),
        ("s.example", "/favicon.ico", (204, "", "public, max-age=86400")),
        ("t.example", "/", (200, "", "no-store")),
        ("t.example", "/unknown", (404, "", "no-store")),
        ("t.example", "/tomorrow", (404, "", "no-store")),
        ("t.example", "/expired", (302, "https://w.example/gone", "no-store")),
        ("elsewhere.example", "/", (200, "", "no-store")),
        ("elsewhere.example", "/unknown", (404, "", "no-store")),
        ("elsewhere.example", "/expired", (410, "", "no-store")),
    ] {
        // Twice: from the database, then from the cache.
        for round in 1..=2 {
            let answer = get(waypost.edge(), path, &[("host", host)]).await;
            assert_eq!(seen(&answer), expected, "{host}{path}, round {round}");
            let head = send(waypost.edge(), "HEAD", path, &[("host", host)], "").await;
            assert_eq!(seen(&head), expected, "HEAD {host}{path}, round {round}");
        }
    }
    for path in ["/", "/unknown", "/expired"] {
        let post = send(waypost.edge(), "POST", path, &[("host", "s.example")], "").await;
        assert_eq!(post.status, 405, "{path}");
    }
}

#[tokio::test]
async fn a_running_process_follows_its_domains_within_seconds() {
    let database = TestDatabase::new().await;
    let key = key_for(&database.store(), Scope::Admin).await;
    let waypost = Waypost::start(&[
        ("DATABASE_URL", &database.url()),
        ("WAYPOST_EDGE__UNKNOWN_HOST", "not_found"),
        ("WAYPOST_EDGE__PUBLIC_URL", "https://go.example/"),
    ])
    .await;
    let api = async |request: (&str, &str), body: Option<Value>| {
        call(waypost.control(), &key, request, body).await
    };
    let becomes = async |host: &str, path: &str, status: u16, location: &str| {
        let what = format!("{host}{path} becomes {status} {location}");
        eventually(&what, Duration::from_secs(15), async || {
            let answer = get(waypost.edge(), path, &[("host", host)]).await;
            ((answer.status, answer.header("location")) == (status, location)).then_some(())
        })
        .await;
    };
    assert_eq!(get(waypost.edge(), "/x", &[("host", "s.example")]).await.status, 404);
    let added = api(("POST", "/v1/domains"), Some(json!({ "host": "s.example" }))).await;
    assert_eq!(added.status, 201, "{added:?}");
    // At once, though the edge does not know the domain yet.
    let link = json!({ "target": "https://a.example/", "slug": "x", "domain": "s.example" });
    assert_eq!(api(("POST", "/v1/links"), Some(link)).await.status, 201);
    becomes("s.example", "/x", 302, "https://a.example/").await;
    let hosts = ["s.example", "go.example"];
    let edit_both = async |edit: Value| {
        for host in hosts {
            let path = format!("/v1/domains/{host}");
            assert_eq!(api(("PATCH", &path), Some(edit.clone())).await.status, 200);
        }
    };
    edit_both(json!({ "root_url": "https://w.example/", "unknown_url": "https://w.example/404" }))
        .await;
    for host in hosts {
        becomes(host, "/", 302, "https://w.example/").await;
        becomes(host, "/unknown", 302, "https://w.example/404").await;
    }
    edit_both(json!({ "root_url": null, "unknown_url": null })).await;
    for host in hosts {
        becomes(host, "/", 200, "").await;
        becomes(host, "/unknown", 404, "").await;
    }
    assert_eq!(api(("DELETE", "/v1/links/x?domain=s.example"), None).await.status, 204);
    assert_eq!(api(("DELETE", "/v1/domains/s.example"), None).await.status, 204);
    becomes("s.example", "/", 404, "").await;
}

#[tokio::test]
async fn an_outage_sends_nobody_elsewhere() {
    let mut postgres = TestPostgres::start().await;
    let insert = "UPDATE domain SET root_url = 'https://w.example/',
                  unknown_url = 'https://w.example/404', gone_url = 'https://w.example/410'";
    let connection = postgres.store().connection().await.expect("a connection");
    connection.batch_execute(insert).await.expect("a domain with URLs");
    drop(connection);
    let waypost = Waypost::start(&[("DATABASE_URL", &postgres.url())]).await;
    let unknown = get(waypost.edge(), "/unknown", &[]).await;
    assert_eq!(seen(&unknown), (302, "https://w.example/404", "no-store"));
    postgres.kill();
    let outage = get(waypost.edge(), "/other", &[]).await;
    assert_eq!((seen(&outage), outage.header("retry-after")), ((503, "", "no-store"), "5"));
    let root = get(waypost.edge(), "/", &[]).await;
    assert_eq!(seen(&root), (302, "https://w.example/", "no-store"));
}
