//! The engine of rewards, at work for a test.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;
use waypost::campaign::pinned::Pinned;
use waypost::config::Config;
use waypost::reward::engine::{Engine, Parts, Settings};
use waypost::reward::payment::Payment;

use super::referrals::Referrals;
use super::sandbox::Sandbox;

/// An engine that works for a test's API until it is dropped.
pub struct Working {
    engine: JoinHandle<()>,
    _stop: watch::Sender<bool>,
}

impl Drop for Working {
    fn drop(&mut self) {
        self.engine.abort();
    }
}

/// The client of a sandbox.
pub fn payment(payment_service: &Sandbox) -> Payment {
    client_of(payment_service.address())
}

fn client_of(address: SocketAddr) -> Payment {
    let mut config = Config::default();
    let url = format!("http://{address}/");
    config.payment.url = Some(url.parse().expect("a URL"));
    Payment::new(&config).expect("a client").expect("a service")
}

/// Starts an engine.
pub fn work(test: &Referrals, payment_service: &Sandbox) -> Working {
    work_with(test, payment(payment_service), &test.api.rewards.pinned)
}

/// Starts an engine on the payment service at this address.
pub fn work_for(test: &Referrals, address: SocketAddr) -> Working {
    work_with(test, client_of(address), &test.api.rewards.pinned)
}

/// Starts an engine that knows these promises.
pub fn work_with(test: &Referrals, payment: Payment, pinned: &Arc<Pinned>) -> Working {
    let api = &test.api;
    let parts = Parts {
        store: api.store.clone(),
        payment,
        ids: api.rewards.ids.clone(),
        pinned: Arc::clone(pinned),
        wake: Arc::clone(&api.rewards.wake),
        clock: api.clock.clone(),
        metrics: Arc::clone(&api.metrics),
    };
    let settings =
        Settings { lease: Duration::from_secs(30), deadline: Duration::from_secs(3), calls: 16 };
    let (stop, stopped) = watch::channel(false);
    Working {
        engine: tokio::spawn(Arc::new(Engine::new(parts, settings)).run(stopped)),
        _stop: stop,
    }
}
