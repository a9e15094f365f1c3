//! What most tests begin with: a database with links in it, a key for the API, processes on top.

use std::net::SocketAddr;

use waypost::http::auth::{ApiKey, Scope};
use waypost::store::{Store, keys};

use super::{Answer, send};

/// Makes a key with the scope `links`; the text for `Authorization`.
pub async fn links_key(store: &Store) -> String {
    key_for(store, Scope::Links).await
}

/// Makes a key with one scope; the text for `Authorization`.
pub async fn key_for(store: &Store, scope: Scope) -> String {
    let key = ApiKey::from_random(&rand::random());
    let mut connection = store.connection().await.expect("a connection");
    let transaction = connection.transaction().await.expect("a transaction");
    keys::insert(&transaction, key.id(), "a test", &key.secret_hash(), &[scope.name()])
        .await
        .expect("a stored key");
    transaction.commit().await.expect("a commit");
    format!("Bearer {}", key.expose())
}

/// Adds links to the default domain, `(slug, target)`, behind the API's back.
pub async fn add_links(store: &Store, links: &[(&str, &str)]) {
    let connection = store.connection().await.expect("a connection");
    for (slug, target) in links {
        connection
            .execute(
                "INSERT INTO link (domain_id, slug, target, created_by)
                 VALUES (1, $1 /* slug */, $2 /* target */, 'a test')",
                &[slug, target],
            )
            .await
            .expect("an inserted link");
    }
}

/// A request to the API with a JSON body (or none) and a key.
pub async fn call(
    control: SocketAddr,
    key: &str,
    (method, path): (&str, &str),
    body: Option<serde_json::Value>,
) -> Answer {
    let headers = [("authorization", key), ("content-type", "application/json")];
    let body = body.map(|body| body.to_string()).unwrap_or_default();
    send(control, method, path, &headers, body).await
}

/// The value of one series on `/metrics`, zero if it is not there; `series` is name and labels.
pub async fn metric(control: SocketAddr, series: &str) -> f64 {
    let text = super::get(control, "/metrics", &[]).await.text();
    text.lines()
        .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '))
        .map_or(0.0, |value| value.parse().expect("a number"))
}
