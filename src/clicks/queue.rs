//! From the serving threads to the writer: a buffer for each thread, and one bounded queue.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::Notify;

use super::{ClickId, Opening};
use crate::clock::UnixMillis;
use crate::link::LinkId;
use crate::metrics::Metrics;
use crate::visitor::Kind;
use crate::visitor::agent::Agent;

/// Room for referrers in a buffer, in bytes for each of its clicks: most clicks have none.
const REFERRER_BYTES: usize = 32;

/// Empty chunks that are kept for the next hand-over.
const SPARE: usize = 64;

/// A click on its way to the writer, small and of one size. Its referrer stands in its chunk.
#[derive(Clone, Copy, Debug)]
pub(super) struct Click {
    pub(super) link: LinkId,
    pub(super) at: UnixMillis,
    pub(super) client: IpAddr,
    pub(super) kind: Kind,
    pub(super) agent: Agent,
    pub(super) private: bool,
    referrer: (u32, u32),
}

/// Clicks of one thread, with their referrers behind each other.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    pub(super) clicks: Vec<Click>,
    referrers: String,
    /// Of those clicks that have one, by their place: most are of links, and have none.
    click_ids: Vec<(usize, ClickId)>,
}

impl Chunk {
    /// The referrer of a click that stands in this chunk.
    pub(super) fn referrer(&self, click: &Click) -> Option<&str> {
        let place = |offset: u32| usize::try_from(offset).ok();
        let (start, end) = (place(click.referrer.0)?, place(click.referrer.1)?);
        self.referrers.get(start..end).filter(|host| !host.is_empty())
    }

    /// The number of the click at a place, if it has one.
    pub(super) fn click_id(&self, place: usize) -> Option<ClickId> {
        let found = self.click_ids.binary_search_by_key(&place, |(place, _)| *place).ok()?;
        self.click_ids.get(found).map(|(_, id)| *id)
    }

    fn empty(&mut self) {
        self.clicks.clear();
        self.referrers.clear();
        self.click_ids.clear();
    }

    fn push(&mut self, opening: &Opening<'_>, most_bytes: usize) {
        // Nothing of a visitor who asks for it is kept, not even for half a second.
        let told = if opening.private { None } else { opening.referrer };
        let start = self.referrers.len();
        if let Some(host) = told.filter(|host| start + host.len() <= most_bytes) {
            self.referrers.push_str(host);
        }
        if let Some(id) = opening.click_id.filter(|_| !opening.private) {
            self.click_ids.push((self.clicks.len(), id));
        }
        let place = |offset: usize| u32::try_from(offset).unwrap_or(u32::MAX);
        self.clicks.push(Click {
            link: opening.link,
            at: opening.at,
            client: if opening.private { Ipv4Addr::UNSPECIFIED.into() } else { opening.client },
            kind: opening.kind,
            agent: opening.agent,
            private: opening.private,
            referrer: (place(start), place(self.referrers.len())),
        });
    }
}

/// The clicks of one serving thread since its last tick.
#[derive(Debug)]
pub struct Buffer {
    chunk: RefCell<Chunk>,
    most: usize,
    queue: Arc<Queue>,
}

impl Buffer {
    /// An empty buffer for at most `most` clicks.
    pub fn new(most: usize, queue: Arc<Queue>) -> Self {
        Self { chunk: RefCell::default(), most, queue }
    }

    /// Counts one click; `false` if there was no room for it.
    pub fn count(&self, opening: &Opening<'_>) -> bool {
        let mut chunk = self.chunk.borrow_mut();
        let room = chunk.clicks.len() < self.most;
        if room {
            chunk.push(opening, self.most.saturating_mul(REFERRER_BYTES));
        }
        room
    }

    /// Hands the clicks over to the writer.
    pub fn hand_over(&self) {
        let mut chunk = self.chunk.borrow_mut();
        if !chunk.clicks.is_empty() {
            self.queue.exchange(&mut chunk);
        }
    }
}

/// What waits for the writer.
#[derive(Debug)]
pub struct Queue {
    waiting: Mutex<Waiting>,
    most: usize,
    enough: usize,
    filled: Notify,
    metrics: Arc<Metrics>,
}

#[derive(Debug, Default)]
struct Waiting {
    chunks: VecDeque<Chunk>,
    clicks: usize,
    spare: Vec<Chunk>,
}

impl Queue {
    /// An empty queue for at most `most` clicks, whose writer need not wait longer once there are
    /// `enough`.
    pub fn new(most: usize, enough: usize, metrics: Arc<Metrics>) -> Self {
        Self { waiting: Mutex::default(), most, enough, filled: Notify::new(), metrics }
    }

    /// Takes a chunk over and leaves an empty one in its place. Clicks that find no room are dropped,
    /// and metered.
    fn exchange(&self, chunk: &mut Chunk) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let room = self.most.saturating_sub(waiting.clicks);
        let dropped = chunk.clicks.len().saturating_sub(room);
        chunk.clicks.truncate(room);
        if chunk.clicks.is_empty() {
            // Nothing of it is kept: a full queue must not grow by empty chunks.
            chunk.empty();
        } else {
            let empty = waiting.spare.pop().unwrap_or_default();
            waiting.clicks += chunk.clicks.len();
            waiting.chunks.push_back(std::mem::replace(chunk, empty));
        }
        let enough = waiting.clicks >= self.enough;
        drop(waiting);
        if dropped > 0 {
            let dropped = u64::try_from(dropped).unwrap_or(u64::MAX);
            self.metrics.clicks_dropped.with_label_values(&["queue_full"]).inc_by(dropped);
        }
        if enough {
            self.filled.notify_one();
        }
    }

    /// Takes the oldest chunk out; it still counts until [`Queue::give_back`].
    pub(super) fn take(&self) -> Option<Chunk> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).chunks.pop_front()
    }

    /// So many clicks that were taken out are stored, or lost.
    pub(super) fn settle(&self, clicks: usize) {
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        waiting.clicks = waiting.clicks.saturating_sub(clicks);
    }

    /// Gives the memory of a chunk back, to be used again.
    pub(super) fn give_back(&self, mut chunk: Chunk) {
        chunk.empty();
        let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if waiting.spare.len() < SPARE {
            waiting.spare.push(chunk);
        }
    }

    /// How many clicks wait, or are on their way.
    pub(super) fn clicks(&self) -> usize {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner).clicks
    }

    /// Returns when there are enough clicks for a batch.
    pub(super) async fn filled(&self) {
        self.filled.notified().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opening(link: i64, referrer: Option<&str>) -> Opening<'_> {
        Opening {
            link: LinkId(link),
            at: UnixMillis(1),
            client: [192, 0, 2, 1].into(),
            kind: Kind::Person,
            agent: Agent::of(b""),
            referrer,
            private: link < 0,
            click_id: (link % 2 != 0).then_some(u128::from(link.unsigned_abs())),
        }
    }

    #[test]
    fn clicks_arrive_with_their_referrers_and_what_does_not_fit_is_metered() {
        let metrics = Arc::new(Metrics::new());
        let queue = Arc::new(Queue::new(3, 3, Arc::clone(&metrics)));
        let buffer = Buffer::new(3, Arc::clone(&queue));
        assert!(buffer.count(&opening(1, Some("a.example"))));
        assert!(buffer.count(&opening(-2, Some("secret.example"))));
        buffer.hand_over();
        assert!(buffer.count(&opening(3, None)));
        assert!(buffer.count(&opening(4, None)));
        assert!(buffer.count(&opening(5, None)));
        assert!(!buffer.count(&opening(6, None)), "the buffer is full");
        buffer.hand_over();
        for _ in 0..100 {
            assert!(buffer.count(&opening(7, Some("flood.example"))));
            buffer.hand_over();
        }
        assert_eq!(queue.waiting.lock().expect("nobody panicked").chunks.len(), 2, "it is full");
        assert_eq!(buffer.chunk.borrow().referrers, "");
        let first = queue.take().expect("a chunk");
        let told: Vec<_> = first.clicks.iter().map(|click| first.referrer(click)).collect();
        assert_eq!(told, [Some("a.example"), None]);
        assert_eq!([0, 1].map(|place| first.click_id(place)), [Some(1), None]);
        assert!(!first.referrers.contains("secret"));
        let second = queue.take().expect("a chunk");
        assert_eq!(second.clicks.len(), 1, "there was room for one");
        let dropped = metrics.clicks_dropped.with_label_values(&["queue_full"]).get();
        assert_eq!((dropped, queue.clicks()), (102, 3));
        queue.settle(3);
        assert_eq!(queue.clicks(), 0);
        queue.give_back(first);
        assert!(queue.take().is_none());
    }
}
