//! Where campaigns come from: `[campaigns]` and `[zookeeper]`.

use std::time::Duration;

use serde::{Deserialize, Deserializer, de::Error as _};

use super::values::{Secret, authorization, bounded};

/// `[campaigns]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Campaigns {
    /// What says which version of a campaign is active.
    pub source: CampaignSource,
}

/// What says which version of a campaign is active.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CampaignSource {
    /// People, by the API and the command line; PostgreSQL remembers.
    Database,
    /// The nodes of a `ZooKeeper`, which each process watches.
    Zookeeper,
}

/// `[zookeeper]`
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Zookeeper {
    /// Its servers, each as `host` or `host:port`.
    #[serde(deserialize_with = "servers")]
    pub servers: Vec<String>,
    /// The node whose children are campaigns.
    #[serde(deserialize_with = "node_path")]
    pub path: String,
    /// `user:password` of the scheme `digest`; empty: nobody in particular.
    #[serde(deserialize_with = "user_and_password")]
    pub authorization: Secret,
    /// What time-out of a session is asked for. Without an answer for two fifths of it, another server
    /// is tried.
    #[serde(rename = "session_seconds", deserialize_with = "few_minutes")]
    pub session: Duration,
    /// How often everything is read again, whatever the watches say.
    #[serde(rename = "read_seconds", deserialize_with = "few_minutes")]
    pub read: Duration,
}

impl Default for Campaigns {
    fn default() -> Self {
        Self { source: CampaignSource::Database }
    }
}

impl Default for Zookeeper {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            path: "/waypost/campaigns".to_owned(),
            authorization: Secret::default(),
            session: Duration::from_secs(10),
            read: Duration::from_mins(1),
        }
    }
}

fn servers<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<String>, D::Error> {
    let servers: Vec<String> = Vec::deserialize(from)?;
    let is_server = |text: &str| {
        let plain = !text.contains(['/', '?', '#', '@', ',', '\\']) && text.trim() == text;
        let url = url::Url::parse(&format!("zookeeper://{text}/"));
        plain && url.is_ok_and(|url| url.has_host() && url.port() != Some(0))
    };
    match servers.iter().find(|server| !is_server(server)) {
        None => Ok(servers),
        Some(other) => Err(D::Error::custom(format!(
            "{other:?} is no server; write each like \"zk1.example.com:2181\", without a scheme, and the \
             path into 'path'"
        ))),
    }
}

fn node_path<'de, D: Deserializer<'de>>(from: D) -> Result<String, D::Error> {
    let path = String::deserialize(from)?;
    let good = |name: &str| !matches!(name, "" | "." | "..") && !name.contains(char::is_control);
    match path.strip_prefix('/') {
        Some(names) if names.split('/').all(good) => Ok(path),
        Some(_) | None => Err(D::Error::custom(
            "must be the path of a node, like \"/waypost/campaigns\": it begins with '/', does not end \
             with one, and has no empty part, '.' or '..' in it",
        )),
    }
}

fn user_and_password<'de, D: Deserializer<'de>>(from: D) -> Result<Secret, D::Error> {
    let secret = authorization(from)?;
    let user = secret.expose().split_once(':').map(|(user, _)| user);
    if secret.is_empty() || user.is_some_and(|user| !user.is_empty()) {
        Ok(secret)
    } else {
        Err(D::Error::custom("must be a user, a colon and the password"))
    }
}

/// In seconds. What is not read for ten minutes is told by an alert.
fn few_minutes<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
    bounded(from, 1, 300).map(Duration::from_secs)
}
