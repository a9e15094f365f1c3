//! The whole way of a referral: a code is shared, a friend opens the link, gets the app, signs up, and is
//! bound; and what the inviter sees of it.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};
use waypost::http::auth::Scope;

use super::support::campaign::{DEMO, activate};
use super::support::deployment::{call, key_for};
use super::support::{TestDatabase, TestRedis, Waypost, eventually, get};

const PATIENCE: Duration = Duration::from_secs(30);
const ANDROID: &str = "Mozilla/5.0 (Linux; Android 14; Pixel 8) AppleWebKit/537.36 (KHTML, like Gecko) \
                       Chrome/130.0.0.0 Mobile Safari/537.36";
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 \
                      (KHTML, like Gecko) Version/18.1 Mobile/15E148 Safari/604.1";

/// A backend with its keys, before a running service.
struct Backend {
    control: SocketAddr,
    referrals: String,
    triggers: String,
}

impl Backend {
    /// Asks for something that has to work.
    async fn ask(&self, method: &str, path: &str, body: Option<Value>) -> Value {
        let key = if path.ends_with("/triggers") { &self.triggers } else { &self.referrals };
        let answer = call(self.control, key, (method, path), body).await;
        assert!((200..300).contains(&answer.status), "{path}: {}", answer.text());
        answer.json()
    }

    async fn user(&self, user: &str) -> Value {
        self.ask("GET", &format!("/v1/campaigns/demo/users/{user}"), None).await
    }
}

fn field<'a>(value: &'a Value, pointer: &str) -> &'a str {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_else(|| panic!("{pointer} in {value}"))
}

/// The page behind a share URL, as a phone gets it.
async fn open(edge: SocketAddr, share_url: &str, agent: &str) -> String {
    let path = url::Url::parse(share_url).expect("a URL").path().to_owned();
    let page = get(edge, &path, &[("user-agent", agent), ("accept-language", "id")]).await;
    assert_eq!(page.status, 200, "{}", page.text());
    page.text()
}

/// What Google Play hands on to the app that was installed from this page.
fn play_referrer(page: &str) -> String {
    let address = page
        .split('"')
        .find(|part| part.starts_with("https://play.google.com/"))
        .expect("a button for Google Play");
    let url = url::Url::parse(&address.replace("&amp;", "&")).expect("a URL");
    let mut parameters = url.query_pairs();
    let (_, referrer) = parameters.find(|(name, _)| name == "referrer").expect("a referrer");
    referrer.into_owned()
}

#[tokio::test]
async fn a_shared_code_becomes_a_binding_on_android_and_on_ios() {
    let (database, redis) = (TestDatabase::new().await, TestRedis::start().await);
    let store = database.store();
    activate(&store, "demo", DEMO).await;
    let waypost =
        Waypost::start(&[("DATABASE_URL", &database.url()), ("REDIS_URL", &redis.url())]).await;
    let backend = Backend {
        control: waypost.control(),
        referrals: key_for(&store, Scope::Referrals).await,
        triggers: key_for(&store, Scope::Triggers).await,
    };

    // Rina shares her code.
    let shared = json!({ "user": "rina", "name": "Rina Sari" });
    let shared = backend.ask("POST", "/v1/campaigns/demo/codes", Some(shared)).await;
    let (code, share_url) = (field(&shared, "/code"), field(&shared, "/share_url"));

    // Budi opens the link on an Android phone, and gets the app from Google Play.
    let page = open(waypost.edge(), share_url, ANDROID).await;
    assert!(page.contains("R••• S•••") && page.contains(code), "{page}");
    let referrer = play_referrer(&page);
    assert!(referrer.starts_with("wp_click=") && referrer.ends_with("&utm_source=waypost"));

    // The app hands over what the Play Install Referrer says.
    let claim = json!({
        "token": referrer, "install_id": "install-1", "source": "play_store",
        "install_began_at": "2099-01-01T00:00:00Z",
    });
    let claim = backend.ask("POST", "/v1/claims", Some(claim)).await;
    assert_eq!(field(&claim, "/code"), code);
    assert_eq!(field(&claim, "/inviter"), "R••• S•••");
    assert_eq!(field(&claim, "/deep_link_path"), format!("/invite/{code}"));

    // Budi signs up, and then reaches something.
    let bind = json!({ "claim": field(&claim, "/claim"), "invitee": "budi" });
    let bound = backend.ask("POST", "/v1/campaigns/demo/bindings", Some(bind)).await;
    assert_eq!((field(&bound, "/state"), field(&bound, "/code")), ("bound", code));
    let reached = json!({
        "event_id": "grant-1", "kind": "credit_granted", "user": "budi",
        "occurred_at": jiff::Timestamp::now().to_string(),
    });
    backend.ask("POST", "/v1/campaigns/demo/triggers", Some(reached)).await;

    // Siti opens the link on an iPhone. The App Store forgets where she came from: she types the code,
    // in her own way.
    let page = open(waypost.edge(), share_url, IPHONE).await;
    assert!(page.contains("https://apps.apple.com/app/id1234567890"), "{page}");
    let (begin, end) = code.split_at(code.len() - 2);
    let typed = format!("{}-{}", begin.to_lowercase(), end.to_lowercase());
    let bind = json!({ "code": typed, "invitee": "siti", "device": "siti's phone" });
    let bound = backend.ask("POST", "/v1/campaigns/demo/bindings", Some(bind)).await;
    assert_eq!((field(&bound, "/state"), field(&bound, "/code")), ("bound", code));

    // What the app's campaign page shows.
    let budi = backend.user("budi").await;
    assert_eq!(field(&budi, "/bound/inviter"), "R••• S•••");
    let rina = eventually("both clicks are counted", PATIENCE, async || {
        let rina = backend.user("rina").await;
        (rina.pointer("/invited/opened") == Some(&json!(2))).then_some(rina)
    })
    .await;
    assert_eq!(field(&rina, "/share_url"), share_url);
    assert_eq!(rina.pointer("/invited/bound"), Some(&json!(2)));
    assert_eq!(rina.pointer("/invited/reached"), Some(&json!({ "credit_granted": 1 })));

    // The chain holds in the database: binding, claim, visit.
    let chain = "SELECT visit.device FROM binding JOIN claim USING (click_id)
                 JOIN visit USING (click_id) WHERE binding.invitee = 'budi'";
    let device: String =
        database.connect().await.query_one(chain, &[]).await.expect("a row").get(0);
    assert_eq!(device, "android");
}

#[tokio::test]
async fn a_code_typed_as_people_type_leads_to_the_binding() {
    let database = TestDatabase::new().await;
    let store = database.store();
    activate(&store, "demo", DEMO).await;
    let waypost = Waypost::start(&[("DATABASE_URL", &database.url())]).await;
    let (control, campaigns) = (waypost.control(), key_for(&store, Scope::Campaigns).await);
    let chosen = call(
        control,
        &campaigns,
        ("PUT", "/v1/campaigns/demo/users/rina/code"),
        Some(json!({ "code": "7KQ2MX" })),
    )
    .await;
    assert!((200..300).contains(&chosen.status), "{}", chosen.text());
    let referrals = key_for(&store, Scope::Referrals).await;
    let bind = json!({ "code": "7kq2-mx", "invitee": "siti" });
    let path = "/v1/campaigns/demo/bindings";
    let bound = call(control, &referrals, ("POST", path), Some(bind)).await;
    assert_eq!(bound.status, 201, "{}", bound.text());
    assert_eq!(field(&bound.json(), "/code"), "7KQ2MX");
}
