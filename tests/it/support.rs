//! The harness. One throw-away PostgreSQL cluster for the whole run, a database per test cloned from
//! a migrated template; Redis per test; one Redis Cluster and one `ZooKeeper` for all; the real
//! `waypost` as a process.
//!
//! ```ignore
//! let database = TestDatabase::new().await;
//! let redis = TestRedis::start().await;
//! let waypost = Waypost::start(&[("DATABASE_URL", &database.url()), ("REDIS_URL", &redis.url())]).await;
//! let answer = get(waypost.edge(), "/AbC123", &[]).await;
//! assert_eq!(answer.status, 404);
//! ```
//!
//! Everything ends with the test, and at the latest with the test process, however it ends.

pub mod api;
pub mod campaign;
pub mod cards;
pub mod client;
pub mod console;
pub mod deployment;
pub mod desk;
pub mod engine;
pub mod html;
pub mod invitations;
pub mod load;
pub mod other;
pub mod proxy;
pub mod referrals;
pub mod reviews;
pub mod sandbox;
pub mod servers;
pub mod wait;
pub mod waypost;
pub mod zookeeper;

pub use api::TestApi;
pub use client::{Answer, Client, get, raw, send};
pub use invitations::Invitations;
pub use other::{Other, Says, TestAuthority};
pub use proxy::{Endpoint, Proxy, Traffic};
pub use sandbox::Sandbox;
pub use servers::{TestCluster, TestDatabase, TestPostgres, TestRedis, store};
pub use wait::{eventually, quiet};
pub use waypost::Waypost;
pub use zookeeper::{Nodes, TestZookeeper};
