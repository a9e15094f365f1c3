//! What each setting is when nobody sets it.

use std::net::SocketAddr;
use std::time::Duration;

use super::{
    Addresses, Cache, Clicks, Control, Edge, Limits, Links, Log, LogFormat, Notifications, Payment,
    Postgres, Redis, Referrals, Rewards, Secret, Shutdown, UnknownHost,
};

impl Default for Edge {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 8080)),
            public_url: url::Url::parse("http://127.0.0.1:8080/").expect("a URL written here"),
            workers: 0,
            unknown_host: UnknownHost::DefaultDomain,
            trusted_proxies: Vec::new(),
        }
    }
}

impl Default for Control {
    fn default() -> Self {
        Self { listen: SocketAddr::from(([127, 0, 0, 1], 8081)) }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            header_read: Duration::from_secs(5),
            header_bytes: 8_192,
            headers: 64,
            control_body_bytes: 64 * 1_024,
            batch_body_bytes: 8 * 1_024 * 1_024,
            request: Duration::from_secs(10),
            keep_alive: Duration::from_mins(1),
            connection_age: Duration::from_mins(5),
            connections_per_client: 256,
            misses_per_client: 200,
            connections: 16_384,
        }
    }
}

impl Default for Shutdown {
    fn default() -> Self {
        Self { announce: Duration::from_secs(5), limit: Duration::from_secs(25) }
    }
}

impl Default for Postgres {
    fn default() -> Self {
        Self {
            url: Secret::default(),
            read_connections: 8,
            reward_connections: 6,
            connections: 8,
            pool_wait: Duration::from_millis(50),
            read_timeout: Duration::from_millis(250),
            startup_wait: Duration::from_secs(30),
        }
    }
}

impl Default for Redis {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            cluster: false,
            response: Duration::from_millis(50),
            connect: Duration::from_millis(100),
            expected_links: 1_000_000,
            bucket: Duration::from_hours(24),
            prefix: "wl".to_owned(),
        }
    }
}

impl Default for Cache {
    fn default() -> Self {
        Self {
            bytes: 256 * 1_024 * 1_024,
            fresh: Duration::from_secs(10),
            stale: Duration::from_hours(24),
            missing_entries: 100_000,
            missing: Duration::from_secs(5),
            front_entries: 131_072,
        }
    }
}

impl Default for Links {
    fn default() -> Self {
        Self {
            slug_length: 7,
            slashes: false,
            schemes: vec!["http".to_owned(), "https".to_owned()],
            allowed_hosts: Vec::new(),
            blocked_hosts: Vec::new(),
            permanent_cache_seconds: 90,
        }
    }
}

impl Default for Clicks {
    fn default() -> Self {
        Self {
            write: Duration::from_millis(500),
            buffer: 65_536,
            queue: 500_000,
            spool_directory: "/var/lib/waypost/spool".into(),
            spool_bytes: 256 * 1_024 * 1_024,
            roll_up: Duration::from_secs(5),
            retention: Duration::from_hours(90 * 24),
            addresses: Addresses::Truncated,
            country_file: None,
        }
    }
}

impl Default for Referrals {
    fn default() -> Self {
        Self {
            pool_batch: 20_000,
            pool_low: 5_000,
            token_key: Duration::from_hours(30 * 24),
            unknown_codes_per_hour: 20,
        }
    }
}

impl Default for Rewards {
    fn default() -> Self {
        Self { lease: Duration::from_secs(30), sweep: Duration::from_mins(1) }
    }
}

impl Default for Payment {
    fn default() -> Self {
        Self {
            url: None,
            authorization: Secret::default(),
            deadline: Duration::from_secs(3),
            calls: 64,
        }
    }
}

impl Default for Notifications {
    fn default() -> Self {
        Self { url: None, authorization: Secret::default(), deadline: Duration::from_secs(3) }
    }
}

impl Default for Log {
    fn default() -> Self {
        Self { format: LogFormat::Text, level: "info".to_owned() }
    }
}
