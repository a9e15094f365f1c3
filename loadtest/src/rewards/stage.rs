//! What the runs take place on: a private PostgreSQL with databases to copy, and the programs that are started
//! for one run each.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use waypost::campaign::CampaignId;
use waypost::campaign::document::Format;
use waypost::campaign::service::{CampaignService, Draft};
use waypost::config::Config;
use waypost::http::auth::{ApiKey, Scope};
use waypost::local::{Durability, Place, PostgresServer};
use waypost::store::{Error as StoreError, keys, migrate};

use super::triggers::Promise;
use crate::client::Connection;
use crate::database::{Database, broken};
use crate::peers;
use crate::process::{Process, free_address, watched};
use crate::{Error, Options};

/// The database that has campaigns, codes and bindings, and no reward.
pub(super) const BASE: &str = "base";
/// The one that a run has for itself.
const RUN: &str = "run";
/// Invitees of one inviter: half of what the cap allows.
pub(super) const EACH: u32 = 10;
/// How late the payment service answers, in milliseconds.
const ANSWER: u32 = 5;
/// Calls of the payment service at a time: with 64, as released, its answers alone would be the bound.
const CALLS: u32 = 128;
/// Codes that the pool has at the least, as released, before more are made.
const POOL: i64 = 5_000;
/// How long a program may take to be ready.
const PATIENCE: Duration = Duration::from_mins(1);

/// The campaign of the documentation.
const DEMO: &str = include_str!("../../../config/campaigns/demo.toml");
/// Who made the campaigns and the key, and sends triggers.
pub(super) const ACTOR: &str = "benchmark";

/// See the module. Its fields end in their order: the directory last.
pub(super) struct Stage {
    postgres: PostgresServer,
    program: PathBuf,
    /// The key that the API takes.
    pub(super) api_key: String,
    directory: TempDir,
}

/// A `waypost serve`.
pub(super) struct Served {
    /// Its process.
    pub(super) process: Process,
    /// Where the API and the metrics are.
    pub(super) control: SocketAddr,
}

/// A payment service.
pub(super) struct PaymentService {
    /// Its process.
    pub(super) process: Process,
    /// Where it is.
    pub(super) url: String,
}

impl Stage {
    /// Starts PostgreSQL, and makes the database that all others are copies of.
    pub(super) fn open(options: &Options) -> Result<Self, Error> {
        let directory = peers::directory()?;
        let place = Arc::new(Place::prepare(&directory.path().join("servers")).map_err(broken)?);
        let postgres = PostgresServer::start(&place, Durability::Kept).map_err(broken)?;
        postgres.ensure_database(BASE).map_err(broken)?;
        let program = peers::program(options)?;
        let mut stage = Self { postgres, program, api_key: String::new(), directory };
        let database = stage.database(BASE, 1)?;
        database.runtime.block_on(migrate::migrate(&database.store)).map_err(broken)?;
        stage.api_key = make_key(&database)?;
        for promise in Promise::ALL {
            activate(&database, promise)?;
        }
        database.run(&[&bind(options.triggers)])?;
        stage.first_start(&database)?;
        database.run(&["VACUUM ANALYZE"])?;
        Ok(stage)
    }

    /// Whatever Waypost makes once, it has made.
    fn first_start(&self, database: &Database) -> Result<(), Error> {
        let mut served = self.serve(BASE, None)?;
        served.process.wait_for(PATIENCE, || {
            let filled = database.number("/* count_pool */ SELECT count(*) FROM pooled_code");
            filled.ok().filter(|filled| *filled >= POOL)
        })?;
        Ok(())
    }

    /// A way into a database, with so many connections for rewards.
    pub(super) fn database(&self, name: &str, connections: usize) -> Result<Database, Error> {
        Database::for_rewards(&self.postgres.url(name), connections)
    }

    /// Makes a database that is like another one.
    pub(super) fn copy(&self, from: &str, to: &str) -> Result<(), Error> {
        let files = self.postgres.major_version() >= Some(15);
        let strategy = if files { "STRATEGY file_copy" } else { "" };
        self.database("postgres", 1)?.run(&[
            &format!("DROP DATABASE IF EXISTS {to} WITH (FORCE)"),
            &format!("CREATE DATABASE {to} TEMPLATE {from} {strategy}"),
        ])
    }

    /// The database of a run, like `template`, with so many connections for rewards.
    pub(super) fn fresh(&self, template: &str, connections: usize) -> Result<Database, Error> {
        self.copy(template, RUN)?;
        self.database(RUN, connections)
    }

    /// Starts Waypost on the database of the run; without a payment service rewards wait.
    pub(super) fn serve_run(&self, payments: Option<&PaymentService>) -> Result<Served, Error> {
        self.serve(RUN, payments)
    }

    fn serve(&self, name: &str, payments: Option<&PaymentService>) -> Result<Served, Error> {
        let (edge, control) = (free_address()?, free_address()?);
        let mut command = watched(&self.program);
        command.arg("serve").env("DATABASE_URL", self.postgres.url(name)).env_remove("REDIS_URL");
        command.env("WAYPOST_EDGE__LISTEN", edge.to_string());
        command.env("WAYPOST_CONTROL__LISTEN", control.to_string());
        command.env("WAYPOST_LOG__LEVEL", "warn");
        command.env("WAYPOST_SHUTDOWN__ANNOUNCE_SECONDS", "0");
        let spool = self.directory.path().join("spool");
        fs::create_dir_all(&spool).map_err(Error::io("make a directory for clicks"))?;
        command.env("WAYPOST_CLICKS__SPOOL_DIRECTORY", spool);
        if let Some(payments) = payments {
            command.env("WAYPOST_PAYMENT__URL", &payments.url);
            command.env("WAYPOST_PAYMENT__CALLS", CALLS.to_string());
        }
        let mut process = Process::start("waypost", command, self.directory.path())?;
        process.wait_for(PATIENCE, || {
            let answer = Connection::open(control).ok()?.get("/readyz").ok()?;
            (answer.status == 200).then_some(())
        })?;
        Ok(Served { process, control })
    }

    /// Starts a payment service that knows nothing yet, and keeps nothing.
    pub(super) fn pay(&self) -> Result<PaymentService, Error> {
        let address = free_address()?;
        let mut command = watched(&self.program);
        command.args(["sandbox", "--seed", "7", "--fault", "delay=1"]);
        command.args(["--delay-ms", &ANSWER.to_string(), "--listen", &address.to_string()]);
        let mut process = Process::start("sandbox", command, self.directory.path())?;
        process.wait_for_port(address)?;
        Ok(PaymentService { process, url: format!("http://{address}/") })
    }
}

fn make_key(database: &Database) -> Result<String, Error> {
    let key = ApiKey::from_random(&rand::random());
    let stored = async {
        let mut connection = database.store.connection().await?;
        let transaction = connection.transaction().await?;
        let scopes = Scope::ALL.map(Scope::name);
        keys::insert(&transaction, key.id(), ACTOR, &key.secret_hash(), &scopes).await?;
        transaction.commit().await?;
        Ok::<(), StoreError>(())
    };
    database.runtime.block_on(stored).map_err(broken)?;
    Ok(key.expose())
}

/// The campaign of the documentation, with a budget for everybody; and where it promises two rewards, one for
/// the invitee as well.
fn activate(database: &Database, promise: Promise) -> Result<(), Error> {
    let mut document =
        DEMO.replace("budget_minor = 50_000_000_000", "budget_minor = 9_000_000_000_000_000");
    if promise == Promise::Two {
        document.push_str("\n[rewards.loan_disbursed.invitee]\namount_minor = 2_500_000\n");
    }
    database.runtime.block_on(async {
        let service = CampaignService::new(database.store.clone(), &Config::default());
        let campaign: CampaignId = promise.campaign().parse().map_err(broken)?;
        let draft = Draft { campaign: &campaign, text: &document, format: Format::Toml };
        let (version, _) = service.put(ACTOR, draft).await.map_err(broken)?;
        let version = version.record.version;
        service.activate(ACTOR, &campaign, version).await.map_err(broken)?;
        Ok(())
    })
}

/// So many bindings in each campaign, those of one inviter far apart; those who look for what was forgotten have looked at them.
fn bind(count: u32) -> String {
    format!(
        "/* bind_invitees */
         INSERT INTO referral_code (code, campaign_id, user_id)
         SELECT letter || lpad(n::text, 8, '0'), campaign, 'inviter-' || n
         FROM (VALUES ('A', 'one'), ('B', 'two')) AS c (letter, campaign),
              generate_series(0, {count} / {EACH} - 1) AS n;
         INSERT INTO binding (campaign_id, invitee, inviter, code, campaign_version, state)
         SELECT campaign_id, 'invitee-' || n, user_id, code, 1, 'bound'
         FROM generate_series(0, {count} - 1) AS n
         JOIN referral_code ON user_id = 'inviter-' || n % ({count} / {EACH});
         UPDATE sweep_position
         SET position = CASE what WHEN 'binding' THEN (SELECT max(id) FROM binding) ELSE 0 END"
    )
}
