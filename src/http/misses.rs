//! How often a client may ask for what is not there. Whoever tries codes one after the other, or makes
//! the database look for slugs that nobody made, is told to wait.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::server::client_of;
use crate::clock::UnixMillis;

/// Misses are counted for so long, and then from the beginning.
pub const WINDOW: Duration = Duration::from_mins(10);

/// Clients that are watched at a time; further ones are let through until the window ends.
const CLIENTS: usize = 65_536;

/// What each client missed lately: an IPv4 address, or an IPv6 network of 64 bits.
#[derive(Debug)]
pub struct Misses {
    most: u32,
    window: Mutex<Window>,
    /// How many clients have used their budget up: mostly none, and then nobody need take the lock.
    used_up: AtomicUsize,
}

#[derive(Debug, Default)]
struct Window {
    began: UnixMillis,
    misses: HashMap<IpAddr, u32>,
}

impl Misses {
    /// A budget of so many misses for each client in a [`WINDOW`].
    pub fn new(most: u32) -> Self {
        Self { most, window: Mutex::default(), used_up: AtomicUsize::new(0) }
    }

    /// A client asked for something that is not there.
    pub fn note(&self, client: IpAddr, now: UnixMillis) {
        let client = client_of(client);
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        self.turn(&mut window, now);
        let room = window.misses.len() < CLIENTS;
        let count = match window.misses.get_mut(&client) {
            Some(count) => count,
            None if room => window.misses.entry(client).or_default(),
            None => return,
        };
        *count = count.saturating_add(1);
        if *count == self.most {
            self.used_up.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How long a client has to wait, if it has used its budget up.
    pub fn wait(&self, client: IpAddr, now: UnixMillis) -> Option<Duration> {
        if self.used_up.load(Ordering::Relaxed) == 0 {
            return None;
        }
        let mut window = self.window.lock().unwrap_or_else(PoisonError::into_inner);
        self.turn(&mut window, now);
        let count = window.misses.get(&client_of(client))?;
        (*count >= self.most).then(|| WINDOW.saturating_sub(now.since(window.began)))
    }

    fn turn(&self, window: &mut Window, now: UnixMillis) {
        if now.since(window.began) >= WINDOW {
            window.began = now;
            window.misses.clear();
            self.used_up.store(0, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_misses_too_often_waits_and_no_other() {
        let misses = Misses::new(3);
        let (one, other) = ([192, 0, 2, 1].into(), [192, 0, 2, 2].into());
        let mut now = UnixMillis(1_000_000);
        for _ in 0..2 {
            misses.note(one, now);
            assert_eq!(misses.wait(one, now), None);
        }
        now = now.after(Duration::from_mins(4));
        misses.note(one, now);
        assert_eq!(misses.wait(one, now), Some(Duration::from_mins(6)));
        assert_eq!(misses.wait(other, now), None);
        now = now.after(Duration::from_mins(6));
        assert_eq!(misses.wait(one, now), None);
        misses.note(one, now);
        assert_eq!(misses.wait(one, now), None, "the count begins again");
    }

    #[test]
    fn a_network_of_ipv6_is_one_client() {
        let misses = Misses::new(2);
        let address = |text: &str| text.parse::<IpAddr>().expect("an address");
        misses.note(address("2001:db8::1"), UnixMillis(0));
        misses.note(address("2001:db8::2"), UnixMillis(0));
        assert!(misses.wait(address("2001:db8::3"), UnixMillis(0)).is_some());
        assert_eq!(misses.wait(address("2001:db8:0:1::3"), UnixMillis(0)), None);
    }

    #[test]
    fn more_clients_than_are_watched_take_no_more_memory() {
        let misses = Misses::new(1);
        for number in 0..70_000_u32 {
            misses.note(IpAddr::from(number.to_be_bytes()), UnixMillis(0));
        }
        let window = misses.window.lock().expect("nobody panicked");
        assert_eq!(window.misses.len(), CLIENTS);
    }
}
