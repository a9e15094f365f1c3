//! Links over the API: made, found, edited, deleted, each with its trace.

use serde_json::{Value, json};

use crate::support::{Answer, TestApi};

/// What a problem consists of, but for its texts.
pub(crate) fn problem(answer: &Answer) -> (u16, String, Vec<(String, String)>) {
    assert_eq!(answer.header("content-type"), "application/problem+json", "{answer:?}");
    let body = answer.json();
    let part = |value: &Value, name: &str| value.get(name).cloned().unwrap_or_default();
    let text = |value: &Value, name: &str| part(value, name).as_str().unwrap_or("").to_owned();
    assert_eq!(part(&body, "status"), json!(answer.status));
    assert!(!text(&body, "detail").is_empty(), "{body}");
    let errors = part(&body, "errors").as_array().cloned().unwrap_or_default();
    let errors = errors.iter().map(|it| (text(it, "pointer"), text(it, "reason"))).collect();
    (answer.status, text(&body, "type").replace("urn:waypost:problem:", ""), errors)
}

fn name(answer: &Answer) -> (u16, String) {
    let (status, name, _) = problem(answer);
    (status, name)
}

#[tokio::test]
async fn a_link_is_made_found_edited_and_deleted() {
    let api = TestApi::new().await;
    let made = api
        .create(&json!({
            "target": "https://Example.com/ä", "slug": "spring", "title": "Spring", "tags": ["a", "b", "a"],
            "status": 301, "cache_seconds": 60, "expires_at": "2031-01-01T00:00:00+02:00",
        }))
        .await;
    assert_eq!((made.status, made.header("location")), (201, "/v1/links/spring"), "{made:?}");
    let mut link = made.json();
    assert_eq!(link["short_url"], "https://go.example/spring");
    assert_eq!(link["target"], "https://example.com/%C3%A4");
    assert_eq!(link["expires_at"], "2030-12-31T22:00:00Z");
    assert_eq!(link["tags"], json!(["a", "b"]));
    assert_eq!(link["created_by"], "tester");
    assert_eq!(link["clicks"], 0);

    let found = api.call("GET", "/v1/links/spring", "").await;
    assert_eq!((found.status, found.json()), (200, link.clone()));

    let edit = json!({ "title": null, "disabled": true, "target": "https://example.org" });
    let edited = api.call("PATCH", "/v1/links/spring", edit.to_string()).await;
    assert_eq!(edited.status, 200, "{edited:?}");
    let edited = edited.json();
    assert!(edited["version"].as_i64() > link["version"].as_i64());
    let fields = link.as_object_mut().expect("an object");
    fields.remove("title");
    fields.insert("disabled".to_owned(), json!(true));
    fields.insert("target".to_owned(), json!("https://example.org/"));
    fields.insert("version".to_owned(), edited["version"].clone());
    fields.insert("updated_at".to_owned(), edited["updated_at"].clone());
    assert_eq!(edited, link);
    let outbox = "SELECT version FROM link_outbox WHERE domain_id = 1 AND slug = 'spring'";
    assert_eq!(Some(api.count(outbox).await), edited["version"].as_i64());

    // An edit that changes nothing is none.
    let again = api.call("PATCH", "/v1/links/spring", r#"{"disabled": true}"#).await;
    assert_eq!(again.json(), edited);

    let deleted = api.call("DELETE", "/v1/links/spring", "").await;
    assert_eq!((deleted.status, deleted.body.len()), (204, 0));
    for (method, body) in [("GET", ""), ("DELETE", ""), ("PATCH", "{}")] {
        let gone = api.call(method, "/v1/links/spring", body).await;
        assert_eq!(name(&gone), (404, "not-found".to_owned()));
    }
    let trail = api.database.connect().await;
    let rows =
        trail.query("SELECT actor || ' ' || action || ' ' || subject FROM audit ORDER BY id", &[]);
    let trail: Vec<String> = rows.await.expect("rows").iter().map(|row| row.get(0)).collect();
    assert_eq!(
        trail,
        [
            "tester link.create link:spring",
            "tester link.edit link:spring",
            "tester link.delete link:spring",
        ]
    );
}

#[tokio::test]
async fn generated_slugs_have_their_length_and_a_taken_one_is_told() {
    let api = TestApi::new().await;
    let mut slugs = std::collections::HashSet::new();
    for _ in 0..20 {
        let made = api.create(&json!({ "target": "https://example.com/" })).await;
        assert_eq!(made.status, 201, "{made:?}");
        slugs.insert(made.json()["slug"].as_str().expect("a slug").to_owned());
    }
    assert_eq!(slugs.len(), 20);
    assert!(slugs.iter().all(|slug| slug.len() == 7), "{slugs:?}");
    let first = slugs.iter().next().expect("one of twenty");
    let taken = api.create(&json!({ "target": "https://example.com/", "slug": first })).await;
    assert_eq!(name(&taken), (409, "slug-taken".to_owned()));
}

#[tokio::test]
async fn a_generated_slug_that_somebody_chose_before_is_passed_over() {
    let api = TestApi::new().await;
    let target = json!({ "target": "https://example.com/" });
    let slugs = async |count: usize| {
        let mut slugs = Vec::new();
        for _ in 0..count {
            slugs.push(api.create(&target).await.json()["slug"].clone());
        }
        slugs
    };
    let first = slugs(1).await;
    api.call("DELETE", &format!("/v1/links/{}", first[0].as_str().expect("text")), "").await;
    let chosen = api.create(&json!({ "target": "https://example.com/", "slug": first[0] })).await;
    assert_eq!(chosen.status, 201, "{chosen:?}");
    let rewind = "SELECT setval('slug_position', 0, false)";
    assert_eq!(api.count(rewind).await, 0);
    let next = slugs(40).await;
    assert!(!next.contains(&first[0]));
}

#[tokio::test]
async fn reuse_answers_with_the_link_that_is_there() {
    let api = TestApi::new().await;
    let request = json!({ "target": "https://example.com/", "reuse": true, "title": "one" });
    let made = api.create(&request).await;
    assert_eq!(made.status, 201);
    let again = api.create(&json!({ "target": "https://EXAMPLE.com", "reuse": true })).await;
    assert_eq!((again.status, again.json()), (200, made.json()));
    assert_eq!(again.header("location"), "");
    let other = json!({ "target": "https://example.com/", "reuse": true, "status": 307 });
    assert_eq!(api.create(&other).await.status, 201);
    let without = api.create(&json!({ "target": "https://example.com/" })).await;
    assert_eq!(without.status, 201);

    let body = request.to_string();
    let batch = json!({ "links": [request, other, { "target": "https://new.example/", "reuse": true }, request] });
    let answer = api.call("POST", "/v1/links/batch", batch.to_string()).await.json();
    let results = answer["results"].as_array().expect("results").clone();
    let statuses: Vec<u64> = results.iter().filter_map(|it| it["status"].as_u64()).collect();
    assert_eq!(statuses, [200, 200, 201, 200]);
    assert_eq!(results[0], results[3]);

    let (one, two) = tokio::join!(
        api.call("POST", "/v1/links", body.replace("example.com", "example.net")),
        api.call("POST", "/v1/links", body.replace("example.com", "example.net")),
    );
    assert_eq!(one.json()["slug"], two.json()["slug"]);
    assert_eq!(one.status + two.status, 401, "one 200 and one 201");
}

#[tokio::test]
async fn a_batch_answers_each_row_in_its_place() {
    let api = TestApi::new().await;
    let target = "https://example.com/";
    let batch = json!({ "links": [
        { "target": target, "slug": "one" },
        { "target": "javascript:alert(1)", "status": 200 },
        { "target": target, "slug": "one" },
        { "target": target, "colour": "red" },
        { "target": target },
        7,
        { "target": target, "reuse": true, "status": 308 },
        { "target": target, "reuse": true, "status": 308 },
    ]});
    let answer = api.call("POST", "/v1/links/batch", batch.to_string()).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    let results = answer.json()["results"].as_array().expect("results").clone();
    let statuses: Vec<u64> = results.iter().filter_map(|it| it["status"].as_u64()).collect();
    assert_eq!(statuses, [201, 422, 409, 422, 201, 422, 201, 200]);
    assert_eq!(results[0]["link"]["slug"], "one");
    assert_eq!(results[1]["problem"]["errors"][0]["pointer"], "/links/1/target");
    assert_eq!(results[1]["problem"]["errors"][1]["pointer"], "/links/1/status");
    assert_eq!(results[3]["problem"]["errors"][0]["pointer"], "/links/3/colour");
    assert_eq!(results[5]["problem"]["errors"][0]["pointer"], "/links/5");
    assert_eq!(results[6]["link"], results[7]["link"]);
    assert_eq!(api.count("SELECT count(*) FROM link").await, 3);
    assert_eq!(api.count("SELECT count(*) FROM audit").await, 1);
}

#[tokio::test]
async fn ten_thousand_links_are_one_batch_and_one_more_is_refused() {
    let api = TestApi::new().await;
    let row = |number: usize| json!({ "target": format!("https://example.com/{number}") });
    let rows: Vec<Value> = (0..10_001).map(row).collect();
    let body = |rows: &[Value]| json!({ "links": rows }).to_string();
    let refused = api.call("POST", "/v1/links/batch", body(&rows)).await;
    let errors = vec![("/links".to_owned(), "too-many".to_owned())];
    assert_eq!(problem(&refused), (422, "invalid-body".to_owned(), errors));
    let made = api.call("POST", "/v1/links/batch", body(&rows[1..])).await;
    let results = made.json()["results"].as_array().expect("results").clone();
    assert!(results.iter().all(|it| it["status"] == 201));
    assert_eq!(results[9_999]["link"]["target"], "https://example.com/10000");
    assert_eq!(api.count("SELECT count(*) FROM link").await, 10_000);
}

#[tokio::test]
async fn a_list_is_newest_first_searched_and_paged() {
    let api = TestApi::new().await;
    let rows: Vec<Value> = (0..5)
        .map(|number| {
            json!({
                "target": format!("https://example.com/{number}"), "slug": format!("s{number}"),
                "title": if number == 3 { "100%_Sure" } else { "perhaps" },
                "tags": if number % 2 == 0 { json!(["even", "all"]) } else { json!(["all"]) },
            })
        })
        .collect();
    for row in &rows {
        assert_eq!(api.create(row).await.status, 201);
    }
    let list = async |query: &str| {
        let answer = api.call("GET", &format!("/v1/links?{query}"), "").await;
        assert_eq!(answer.status, 200, "{answer:?}");
        let body = answer.json();
        let links = body["links"].as_array().expect("links").clone();
        let slugs: Vec<String> =
            links.iter().filter_map(|link| link["slug"].as_str().map(str::to_owned)).collect();
        (slugs.join(" "), body["next_cursor"].as_str().map(str::to_owned))
    };
    assert_eq!(list("").await, ("s4 s3 s2 s1 s0".to_owned(), None));
    assert_eq!(list("tag=even&tag=all").await.0, "s4 s2 s0");
    assert_eq!(list("q=100%25_s").await.0, "s3");
    assert_eq!(list("q=EXAMPLE.com/1").await.0, "s1");
    assert_eq!(list("q=1_0").await.0, "");
    assert_eq!(list("domain=go.example").await.0, "s4 s3 s2 s1 s0");
    let (page, cursor) = list("limit=2").await;
    assert_eq!(page, "s4 s3");
    let (page, cursor) = list(&format!("limit=2&cursor={}", cursor.expect("more"))).await;
    assert_eq!(page, "s2 s1");
    let rest = list(&format!("limit=2&cursor={}", cursor.expect("more"))).await;
    assert_eq!(rest, ("s0".to_owned(), None));
    for bad in ["limit=0", "limit=201", "limit=x", "cursor=x", "colour=red", "q=a&q=b", "q=%FF"] {
        let refused = api.call("GET", &format!("/v1/links?{bad}"), "").await;
        assert_eq!(name(&refused), (400, "invalid-query".to_owned()), "{bad}");
    }
    let unknown = api.call("GET", "/v1/links?domain=other.example", "").await;
    assert_eq!(name(&unknown), (404, "not-found".to_owned()));
}

#[tokio::test]
async fn domains_keep_their_links_apart_and_fold_them_if_they_say_so() {
    let api = TestApi::with(|config| config.links.slashes = true).await;
    let insert = "INSERT INTO domain (host, case_insensitive) VALUES ('links.example', true)";
    api.database.connect().await.execute(insert, &[]).await.expect("a domain");
    let request = json!({ "target": "https://example.com/", "slug": "A/b" });
    assert_eq!(api.create(&request).await.header("location"), "/v1/links/A%2Fb");
    let mut other = request.clone();
    other["domain"] = json!("Links.Example");
    let made = api.create(&other).await;
    assert_eq!(made.header("location"), "/v1/links/a%2Fb?domain=links.example");
    assert_eq!(made.json()["short_url"], "https://links.example/a/b");
    let found = api.call("GET", "/v1/links/A%2FB?domain=links.example", "").await;
    assert_eq!(found.json(), made.json());
    assert_eq!(api.call("GET", "/v1/links/A%2FB", "").await.status, 404);
    other["target"] = json!("https://links.example/x");
    let loops = problem(&api.create(&other).await).2;
    assert_eq!(loops, [("/target".to_owned(), "loop".to_owned())]);
    other = json!({ "target": "https://example.com/", "domain": "links.example" });
    let slug = api.create(&other).await.json()["slug"].as_str().expect("a slug").to_owned();
    assert_eq!((slug.len(), slug.to_lowercase()), (8, slug.clone()));
}

#[tokio::test]
async fn the_same_request_sent_twice_is_done_once() {
    let api = TestApi::new().await;
    let authorization = format!("Bearer {}", api.key);
    let send = async |path: &str, key: &str, body: &str| {
        let headers = [("authorization", authorization.as_str()), ("idempotency-key", key)];
        api.send("POST", path, &headers, body.to_owned()).await
    };
    let body = r#"{"target": "https://example.com/"}"#;
    let first = send("/v1/links", "k1", body).await;
    let second = send("/v1/links", "k1", body).await;
    assert_eq!((first.status, second.status), (201, 201));
    assert_eq!(first.body, second.body);
    assert_eq!(first.header("location"), second.header("location"));
    assert_eq!(
        (first.header("idempotency-replayed"), second.header("idempotency-replayed")),
        ("", "true")
    );
    let other = send("/v1/links", "k1", r#"{"target": "https://example.org/"}"#).await;
    assert_eq!(name(&other), (422, "idempotency-key-reused".to_owned()));
    let batch = format!(r#"{{"links": [{body}]}}"#);
    assert_eq!(name(&send("/v1/links/batch", "k1", &batch).await).0, 422);
    let (one, two) =
        (send("/v1/links/batch", "k2", &batch).await, send("/v1/links/batch", "k2", &batch).await);
    assert_eq!((one.status, one.body), (200, two.body));
    assert_eq!(api.count("SELECT count(*) FROM link").await, 2);
    // A refusal did no work: the key is free for the corrected request.
    assert_eq!(send("/v1/links", "k3", "{}").await.status, 422);
    assert_eq!(send("/v1/links", "k3", body).await.status, 201);
    assert_eq!(name(&send("/v1/links", "", body).await), (400, "invalid-header".to_owned()));
    // Another caller's key of the same name is another key.
    let other = format!("Bearer {}", api.add_key("other", &["admin"]).await);
    let headers = [("authorization", other.as_str()), ("idempotency-key", "k1")];
    let answer = api.send("POST", "/v1/links", &headers, body).await;
    assert_eq!((answer.status, answer.header("idempotency-replayed")), (201, ""));
}

#[tokio::test]
async fn a_request_that_is_being_carried_out_is_not_started_again() {
    let api = TestApi::new().await;
    let authorization = format!("Bearer {}", api.key);
    // Somebody holds the lock of this very request: take all that claim_request would try.
    let store = api.database.store();
    let mut connection = store.connection().await.expect("a connection");
    let transaction = connection.transaction().await.expect("a transaction");
    let key_id = api.key.split('_').nth(1).expect("an id");
    let name_of =
        waypost::store::idempotency::RequestName { api_key: key_id, key: "k", hash: [0; 32] };
    waypost::store::idempotency::claim(&transaction, &name_of).await.expect("claimed");
    let headers = [("authorization", authorization.as_str()), ("idempotency-key", "k")];
    let body = r#"{"target": "https://example.com/"}"#;
    let refused = api.send("POST", "/v1/links", &headers, body).await;
    assert_eq!(name(&refused), (409, "request-in-flight".to_owned()));
    transaction.rollback().await.expect("rolled back");
    assert_eq!(api.send("POST", "/v1/links", &headers, body).await.status, 201);
}

#[tokio::test]
async fn old_answers_are_forgotten() {
    let api = TestApi::new().await;
    let authorization = format!("Bearer {}", api.key);
    for key in ["old", "new"] {
        let headers = [("authorization", authorization.as_str()), ("idempotency-key", key)];
        api.send("POST", "/v1/links", &headers, r#"{"target": "https://example.com/"}"#).await;
    }
    let age =
        "UPDATE idempotent_answer SET created_at = now() - interval '25 hours' WHERE key = 'old'";
    api.database.connect().await.execute(age, &[]).await.expect("aged");
    let forgotten = waypost::store::idempotency::forget_old(&api.database.store()).await;
    assert_eq!(forgotten.expect("tidied"), 1);
    assert_eq!(api.count("SELECT count(*) FROM idempotent_answer WHERE key = 'new'").await, 1);
}

#[tokio::test]
async fn what_needs_no_key_needs_none() {
    let api = TestApi::new().await;
    let get = async |path: &str| api.send("GET", path, &[], "").await;
    assert_eq!(get("/healthz").await.text(), "ok\n");
    assert_eq!(get("/metrics").await.text(), "waypost_up 1\n");
    assert_eq!(get("/openapi.json").await.json()["openapi"], "3.1.0");
    let ready = get("/readyz").await;
    assert_eq!(ready.status, 503);
    let expected = json!({
        "status": "draining",
        "checks": { "redis": { "status": "down", "detail": "not configured" } },
    });
    assert_eq!(ready.json(), expected);
}
