//! Campaigns that run, and codes that lead to their landing pages.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use url::Url;
use waypost::campaign::CampaignId;
use waypost::clock::Clock;
use waypost::code::referral::ReferralCode;
use waypost::http::auth::Scope;
use waypost::referral::keys;
use waypost::referral::token::ClickToken;
use waypost::store::Store;
use waypost::store::codes::{self, NewCode};

use super::campaign::DEMO;
use super::deployment::{call, key_for};
use super::{TestDatabase, Waypost, eventually, get, send};

/// A code of [`Invitations`], who shares it, and the masked name that is shown.
pub const CODE: &str = "7KQ2MX";
/// See [`CODE`].
pub const NAME: &str = "R••• S•••";

/// What share URLs begin with.
pub const PUBLIC_URL: &str = "https://go.example/";

/// How long a change may take to reach a process.
const PATIENCE: Duration = Duration::from_secs(20);

/// A service at `https://go.example/`, with a database of its own, in which the campaign `demo` runs and
/// somebody shares [`CODE`].
pub struct Invitations {
    /// The database.
    pub database: TestDatabase,
    /// The process.
    pub waypost: Waypost,
    /// A key that may change campaigns; the text for `Authorization`.
    pub key: String,
}

impl Invitations {
    /// Starts it.
    pub async fn start() -> Self {
        Self::start_with(TestDatabase::new().await, &[]).await
    }

    /// Starts it on a migrated database, with these environment variables besides those that it needs.
    pub async fn start_with(database: TestDatabase, environment: &[(&str, &str)]) -> Self {
        let key = key_for(&database.store(), Scope::Campaigns).await;
        let waypost = start_on(&database.url(), environment).await;
        let started = Self { database, waypost, key };
        started.activate("demo", &running()).await;
        started.give_code("demo", CODE, Some(NAME)).await;
        started
    }

    /// Makes a document the active version of a campaign.
    pub async fn activate(&self, campaign: &str, document: &str) {
        activate(self.waypost.control(), &self.key, campaign, document).await;
    }

    /// Gives somebody this code, and waits until the process answers for it.
    pub async fn give_code(&self, campaign: &str, code: &str, shown_name: Option<&str>) {
        give_code(&self.database.store(), campaign, code, shown_name).await;
        knows(self.waypost.edge(), code).await;
    }

    /// Where a path of the edge is.
    pub fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.waypost.edge())
    }

    /// What the token in a store's or an invitation's address says; panics if it is not one of ours.
    pub async fn token_in(&self, address: &str) -> ClickToken {
        let keys = keys::read(&self.database.store()).await.expect("keys");
        let token = token_in(address);
        ClickToken::read(&token, &keys, Clock::system().now())
            .unwrap_or_else(|fault| panic!("{fault}: {token} in {address}"))
    }
}

/// The campaign of the documentation from the first day of one year until that of another.
pub fn dated(from: u16, until: u16) -> String {
    let day = |name: &str, year: u16| format!("{name} = {year}-01-01T00:00:00+07:00");
    let document = DEMO.replace(&day("starts_at", 2026), &day("starts_at", from));
    document.replace(&day("ends_at", 2031), &day("ends_at", until))
}

/// The campaign of the documentation, which runs whenever the tests do.
pub fn running() -> String {
    dated(2020, 2090)
}

/// The same when it is over.
pub fn ended() -> String {
    dated(2020, 2021)
}

/// The same before it begins.
pub fn not_begun() -> String {
    dated(2080, 2090)
}

/// Starts a process at [`PUBLIC_URL`] on this database.
pub async fn start_on(database_url: &str, environment: &[(&str, &str)]) -> Waypost {
    let usual = [("DATABASE_URL", database_url), ("WAYPOST_EDGE__PUBLIC_URL", PUBLIC_URL)];
    Waypost::start(&[&usual, environment].concat()).await
}

/// Puts a document by the API and makes it the active version of a campaign.
pub async fn activate(control: SocketAddr, key: &str, campaign: &str, document: &str) {
    let path = format!("/v1/campaigns/{campaign}/versions");
    let headers = [("authorization", key), ("content-type", "application/toml")];
    let put = send(control, "POST", &path, &headers, document.to_owned()).await;
    let version = put.json().get("version").and_then(Value::as_i64);
    let version = version.unwrap_or_else(|| panic!("{}", put.text()));
    let path = format!("{path}/{version}/activate");
    let activated = call(control, key, ("POST", &path), None).await;
    assert_eq!(activated.status, 200, "{}", activated.text());
}

/// Gives somebody this code, in the database alone.
pub async fn give_code(store: &Store, campaign: &str, code: &str, shown_name: Option<&str>) {
    let campaign: CampaignId = campaign.parse().expect("a campaign's name");
    let code = ReferralCode::exactly(code).expect("a code");
    let new = NewCode { code: &code, user: &format!("user-{code}"), shown_name };
    let given = codes::issue(store, &campaign, new).await.expect("a database");
    assert!(given.is_some(), "somebody has {code} already");
}

/// Waits until a process knows the campaign of a code. Asks by `HEAD`, which is not counted.
pub async fn knows(edge: SocketAddr, code: &str) {
    let path = format!("/r/{code}");
    eventually("the campaign is known", PATIENCE, async || {
        (send(edge, "HEAD", &path, &[], "").await.status != 503).then_some(())
    })
    .await;
}

/// Waits until a path of the edge has this status.
pub async fn becomes(edge: SocketAddr, path: &str, status: u16) {
    eventually(&format!("{path} becomes {status}"), PATIENCE, async || {
        (get(edge, path, &[]).await.status == status).then_some(())
    })
    .await;
}

/// The token that an address carries: in the referrer of a store, or in the query of an invitation.
pub fn token_in(address: &str) -> String {
    let address = Url::parse(address).unwrap_or_else(|error| panic!("{error}: {address}"));
    let parameter = |name: &str| {
        let mut values = address.query_pairs().filter(|(known, _)| known == name);
        let value = values.next().map(|(_, value)| value.into_owned());
        assert_eq!(values.next(), None, "'{name}' stands twice in {address}");
        value
    };
    if let Some(token) = parameter("wp_click") {
        return token;
    }
    let referrer = parameter("referrer").unwrap_or_else(|| panic!("no referrer in {address}"));
    let token = referrer.strip_prefix("wp_click=");
    let token = token.and_then(|rest| rest.strip_suffix("&utm_source=waypost"));
    token.unwrap_or_else(|| panic!("{referrer}")).to_owned()
}
