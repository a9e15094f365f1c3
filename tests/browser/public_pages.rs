//! The pages around the redirects.

use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::shared::support::deployment::{call, links_key};
use crate::shared::support::{TestDatabase, Waypost};
use crate::visitor::Visitor;

/// A longer URL than any line of a phone.
const TARGET: &str =
    "https://shop.example/spring/sale?campaign=newsletter-0123456789abcdef0123456789abcdef&size=40";

/// The pages, by the names of their pictures, and their headings.
const PAGES: [(&str, &str, &str); 3] = [
    ("not-found", "/nowhere", "This link leads nowhere"),
    ("where-plain", "/plain+", "Where this link leads"),
    ("where-full", "/full+", "Where this link leads"),
];

/// Opens all pages by day and by night, with a screen that has this name.
async fn all_are_sound(screen: &str, visitor: Visitor) {
    let database = TestDatabase::new().await;
    let key = links_key(&database.store()).await;
    let waypost = Waypost::start(&[("DATABASE_URL", &database.url())]).await;
    make(waypost.control(), &key, json!({ "slug": "plain", "target": TARGET })).await;
    let full = json!({
        "slug": "full", "target": TARGET, "expires_at": "2100-01-01T00:00:00Z",
        "max_clicks": 5, "title": "Spring sale", "description": "All of it, and cheap.",
    });
    make(waypost.control(), &key, full).await;
    for (colours, visitor) in visitor.by_day_and_night() {
        let mut page = visitor.opens("about:blank").await;
        for (name, path, heading) in PAGES {
            page.go(&format!("http://{}{path}", waypost.edge())).await;
            assert_eq!(page.text("h1").await, heading);
            page.must_be_sound(&format!("{name}-{screen}-{colours}")).await;
        }
    }
}

#[tokio::test]
async fn the_pages_around_redirects_are_sound_on_a_small_phone() {
    all_are_sound("phone", Visitor::on_a_phone()).await;
}

#[tokio::test]
async fn the_pages_around_redirects_are_sound_on_a_desktop() {
    all_are_sound("desktop", Visitor::on_a_desktop()).await;
}

async fn make(control: SocketAddr, key: &str, link: Value) {
    let made = call(control, key, ("POST", "/v1/links"), Some(link)).await;
    assert_eq!(made.status, 201, "{}", made.text());
}
