//! The API without a listener, on a database of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use serde_json::Value;
use tokio::sync::watch;
use waypost::api::operations::{Check, Operations, Readiness, ReadinessStatus};
use waypost::api::{Api, Services};
use waypost::app::rewards::{self, Rewards};
use waypost::campaign::live::Campaigns;
use waypost::clock::{Clock, UnixMillis};
use waypost::config::Config;
use waypost::http::auth::ApiKey;
use waypost::link::service::LinkService;
use waypost::metrics::Metrics;
use waypost::outbound::{self, Outbound};
use waypost::referral::codes::{self, CodeService};
use waypost::referral::services;
use waypost::referral::token::{TokenKey, TokenKeys};
use waypost::resolve::announce::Announcer;
use waypost::store::{Settings, Store, keys};

use super::{Answer, TestDatabase, TestPostgres};

/// 2030-01-01T00:00:00Z.
pub const NOW: UnixMillis = UnixMillis(1_893_456_000_000);

/// An API, and a key for it.
pub struct TestApi {
    /// What it works on.
    pub database: TestDatabase,
    /// The key with the scope `links`.
    pub key: String,
    /// What time it is.
    pub clock: Clock,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// What grants rewards, and how their operations are named.
    pub rewards: Rewards,
    /// The same database.
    pub store: Store,
    live: watch::Sender<Arc<Campaigns>>,
    api: Arc<Api>,
}

/// The key that signs click tokens in tests; its process knows no other.
pub fn token_key() -> TokenKey {
    TokenKey::new(1, UnixMillis(0), &[1; 32])
}

struct NoOperations;

impl Operations for NoOperations {
    fn metrics_text(&self) -> String {
        "waypost_up 1\n".to_owned()
    }

    fn readiness(&self) -> Readiness {
        let checks = BTreeMap::from([("redis", Check::down("not configured"))]);
        Readiness { status: ReadinessStatus::Draining, checks }
    }
}

/// Codes without Redis.
fn codes(
    store: &Store,
    campaigns: watch::Receiver<Arc<Campaigns>>,
    config: &Config,
) -> CodeService {
    let parts = codes::Parts {
        store: store.clone(),
        stock: None,
        announcer: Announcer::new(store.clone(), None, None),
        campaigns,
        clock: Clock::by_hand(NOW),
        metrics: Arc::new(Metrics::new()),
    };
    CodeService::new(parts, config)
}

impl TestApi {
    /// An API at `https://go.example/`, with the settings that `change` makes.
    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        let database = TestDatabase::new().await;
        let store = database.store();
        Self::assemble(database, store, change).await
    }

    /// The same with so many connections to the database, so that as many requests are carried out at
    /// once.
    pub async fn with_connections(connections: usize) -> Self {
        let database = TestDatabase::new().await;
        let store = Store::new(&Settings {
            url: database.url(),
            read_connections: 1,
            reward_connections: 4,
            connections,
            pool_wait: Duration::from_secs(5),
            read_timeout: Duration::from_secs(5),
        });
        Self::assemble(database, store.expect("a readable address"), |_| {}).await
    }

    /// The same on the database of a server of its own, which the test may stop.
    pub async fn on(postgres: &TestPostgres) -> Self {
        Self::assemble(TestDatabase::new().await, postgres.store(), |_| {}).await
    }

    async fn assemble(
        database: TestDatabase,
        store: Store,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let mut config = Config::default();
        config.edge.public_url = "https://go.example/".parse().expect("a URL");
        change(&mut config);
        let announcer = Announcer::new(store.clone(), None, None);
        let clock = Clock::by_hand(NOW);
        let links = Arc::new(LinkService::new(store.clone(), announcer, &config, clock.clone()));
        let metrics = Arc::new(Metrics::new());
        let campaigns = Campaigns::read(&store, &Campaigns::default()).await.expect("campaigns");
        let (live, campaigns) = watch::channel(Arc::new(campaigns));
        let operations = Arc::new(NoOperations);
        let codes = Arc::new(codes(&store, campaigns.clone(), &config));
        let rewards =
            rewards::assemble(&store, &campaigns, &clock, (config.rewards.sweep, &metrics))
                .await
                .expect("rewards");
        let referrals = Arc::new(services::Services::new(
            services::Parts {
                store: store.clone(),
                keys: watch::channel(Arc::new(TokenKeys::new([token_key()]))).1,
                campaigns: campaigns.clone(),
                granting: Arc::clone(&rewards.granting),
                sweeper: Arc::clone(&rewards.sweeper),
                outbound: outbound(),
                device_key: [7; 32],
                clock: clock.clone(),
                metrics: Arc::clone(&metrics),
            },
            &config,
        ));
        let services = Services {
            store: store.clone(),
            links,
            live_campaigns: campaigns,
            codes,
            referrals,
            cards: rewards.cards(&store, &clock, &metrics),
            rewards: Arc::clone(&rewards.services),
            reviews: Arc::clone(&rewards.reviews),
            operations,
        };
        let api = Arc::new(Api::new(services, &config));
        let key = String::new();
        let mut test = Self { database, key, clock, metrics, rewards, store, live, api };
        test.key = test.add_key("tester", &["links"]).await;
        test
    }

    /// An API with the usual settings.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    /// Reads the campaigns again, as every process does within a second of a change.
    pub async fn read_campaigns(&self) {
        let campaigns = Campaigns::read(&self.store, &self.live.borrow().clone()).await;
        self.live.send_replace(Arc::new(campaigns.expect("campaigns")));
    }

    /// A new key.
    pub async fn add_key(&self, actor: &str, scopes: &[&str]) -> String {
        let mut random = [0; 40];
        rand::fill(&mut random);
        let key = ApiKey::from_random(&random);
        let mut connection = self.store.connection().await.expect("a connection");
        let transaction = connection.transaction().await.expect("a transaction");
        keys::insert(&transaction, key.id(), actor, &key.secret_hash(), scopes)
            .await
            .expect("a new key");
        transaction.commit().await.expect("committed");
        key.expose()
    }

    /// Sends a request with these headers and no others.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Answer {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(body.into())).expect("a request");
        let (head, body) = self.api.handle(request).await.into_parts();
        let body = body.collect().await.expect("a body").to_bytes();
        Answer { status: head.status.as_u16(), headers: head.headers, body }
    }

    /// Sends a request with the key and, if there is a body, its type.
    pub async fn call(&self, method: &str, path: &str, body: impl Into<Bytes>) -> Answer {
        let authorization = format!("Bearer {}", self.key);
        let headers =
            [("authorization", authorization.as_str()), ("content-type", "application/json")];
        self.send(method, path, &headers, body).await
    }

    /// `POST /v1/links`.
    pub async fn create(&self, body: &Value) -> Answer {
        self.call("POST", "/v1/links", body.to_string()).await
    }

    /// The one number that a query gives.
    pub async fn count(&self, query: &str) -> i64 {
        self.database.connect().await.query_one(query, &[]).await.expect("a row").get(0)
    }
}

fn outbound() -> Outbound {
    let idle_connections = outbound::FEW_CONNECTIONS;
    Outbound::new(&outbound::Settings { ca_file: None, body_bytes: 1_024, idle_connections })
        .expect("a client")
}
