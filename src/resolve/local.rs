//! Tier 1: the process's own cache, and its entries with their response headers already built. The
//! only place that knows moka.
//!
//! An entry carries its own state: how long it is fresh, and whether it still counts. So whoever
//! holds one (a serving thread's front, say) sees at the next look that it was changed or evicted,
//! and nobody has to be told.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::HeaderValue;
use moka::sync::Cache;

use crate::clock::{Clock, UnixMillis, whole_millis};
use crate::link::routing::Rule;
use crate::link::{LinkId, LinkKey, Redirect};

/// How soon a refresh that failed is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// A link, ready to be answered with.
#[derive(Debug)]
pub struct Entry {
    /// Asked again after this moment, in the background.
    refresh_at: AtomicU64,
    /// Not served after this moment, whatever happens.
    stale_until: AtomicU64,
    /// Entries of an epoch gone by have to be asked about before they are served.
    epoch: AtomicU64,
    /// Changed, or no longer in the cache: has to be asked about before it is served.
    revoked: AtomicBool,
    /// The key and behind it the location, in one block of memory: both are read at every hit.
    text: Bytes,
    key_length: usize,
    /// Whose clicks these are.
    pub link: LinkId,
    /// The link's version.
    pub version: u64,
    /// The status to answer with.
    pub status: StatusCode,
    /// The value of `Location`, over the same memory as the key.
    pub location: HeaderValue,
    /// The value of `Cache-Control`.
    pub cache_control: HeaderValue,
    /// Unknown before this moment.
    pub valid_from: UnixMillis,
    /// Gone from this moment on.
    pub expires_at: UnixMillis,
    /// Switched off.
    pub disabled: bool,
    /// Whether the caller's query goes along.
    pub forward_query: bool,
    /// Where to go once the link is gone.
    pub fallback: Option<Box<HeaderValue>>,
    /// What it does besides leading to one target, if anything.
    pub special: Option<Box<Special>>,
}

/// What a link does besides leading to one target.
#[derive(Debug)]
pub struct Special {
    /// Where some visitors are led instead.
    pub rules: Vec<Rule>,
    /// The value of `Location` for each of the rules, in their order.
    pub locations: Vec<HeaderValue>,
    /// How long browsers may remember an answer, in seconds, if at all: never past the moment at which
    /// a rule begins or ends.
    pub cache_seconds: Option<u32>,
    /// Can be opened only so often.
    pub limited: bool,
    /// It was opened so often: nobody need be asked again, because only an edit, which makes another
    /// entry, gives it more.
    pub used_up: AtomicBool,
    /// There is something to show to programs that render previews.
    pub preview: bool,
}

/// How an entry may be used now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// As it is.
    Fresh,
    /// As it is, and the caller must start a refresh: it is the one that was chosen to.
    FreshEnough,
    /// Only when nobody can be asked.
    Doubtful,
    /// Not at all.
    TooOld,
}

impl Entry {
    /// The key that the entry stands under.
    pub fn key(&self) -> &[u8] {
        self.text.get(..self.key_length).unwrap_or_default()
    }

    /// It is known that the link was deleted or changed: whoever still holds this entry must not
    /// serve it any more, not even when nobody can be asked.
    fn give_up(&self) {
        self.stale_until.store(0, Ordering::Relaxed);
    }

    /// Memory, roughly: what the cache is bounded by.
    fn weight(&self) -> u32 {
        let fallback = self.fallback.as_ref().map_or(0, |url| url.len());
        let special = self.special.as_ref().map_or(0, |special| special.weight());
        // moka keeps about 150 bytes for each entry beside it, and the key once more.
        let bytes =
            size_of::<Self>() + 150 + self.text.len() + self.key_length + fallback + special;
        u32::try_from(bytes).unwrap_or(u32::MAX)
    }
}

impl Special {
    /// Memory, roughly: targets stand in the rules and ready to be sent.
    fn weight(&self) -> usize {
        let values = |rule: &Rule| rule.device.len() + rule.language.len() + rule.query.len();
        let rule = |rule: &Rule| {
            size_of::<Rule>() + size_of::<HeaderValue>() + 2 * rule.target.len() + 64 * values(rule)
        };
        size_of::<Self>() + self.rules.iter().map(rule).sum::<usize>()
    }
}

/// The process's own cache of links, and a separate, small one of slugs that lead nowhere: a flood of
/// made-up slugs cannot push out real ones.
pub struct Local {
    links: Cache<LinkKey, Arc<Entry>>,
    missing: Cache<LinkKey, ()>,
    epoch: AtomicU64,
    /// How often keys were doubted, by a part of their hash: a load that began before a change and
    /// ended after it has read nobody knows what.
    doubts: Box<[AtomicU32]>,
    hasher: RandomState,
    clock: Clock,
    settings: Settings,
}

/// When a load began, as far as changes are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    epoch: u64,
    doubts: u32,
}

/// How long past its time an entry is still served at once.
const GRACE: Duration = Duration::from_secs(1);

/// Parts of the hash that doubts are counted by.
const STRIPES: usize = 1_024;

/// How long entries live, and how many.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Memory for links, in bytes.
    pub bytes: u64,
    /// How long a link is believed.
    pub fresh: Duration,
    /// How long a link is served when nobody can be asked.
    pub stale: Duration,
    /// How many missing slugs are remembered.
    pub missing_entries: u64,
    /// How long a missing slug is remembered.
    pub missing: Duration,
    /// How long browsers keep a permanent redirect when the link does not say.
    pub permanent_cache_seconds: u32,
}

impl Local {
    /// An empty cache.
    pub fn new(settings: Settings, clock: Clock) -> Self {
        let links = Cache::builder()
            .max_capacity(settings.bytes)
            .weigher(|_, entry: &Arc<Entry>| entry.weight())
            .eviction_listener(|_, entry, _| entry.revoked.store(true, Ordering::Release))
            .build();
        let missing = Cache::builder()
            .max_capacity(settings.missing_entries)
            .time_to_live(settings.missing)
            .build();
        Self {
            links,
            missing,
            epoch: AtomicU64::new(0),
            doubts: std::iter::repeat_with(AtomicU32::default).take(STRIPES).collect(),
            hasher: RandomState::new(),
            clock,
            settings,
        }
    }

    /// To be taken *before* a load begins.
    pub fn stamp(&self, key: &LinkKey) -> Stamp {
        let doubts = self.doubts_of(key).map_or(0, |doubts| doubts.load(Ordering::SeqCst));
        Stamp { epoch: self.epoch.load(Ordering::Acquire), doubts }
    }

    fn doubts_of(&self, key: &LinkKey) -> Option<&AtomicU32> {
        let stripe = usize::try_from(self.hasher.hash_one(key)).unwrap_or(0) % STRIPES;
        self.doubts.get(stripe)
    }

    /// The entry of this key, whatever its standing.
    pub fn find(&self, key: &str) -> Option<Arc<Entry>> {
        self.links.get(key)
    }

    /// Whether the key is known to lead nowhere.
    pub fn is_missing(&self, key: &str) -> bool {
        self.missing.contains_key(key)
    }

    /// How an entry may be used at `now`. Of all callers that find it due for a refresh, one is told
    /// so; the next not before a second has passed.
    pub fn standing(&self, entry: &Entry, now: UnixMillis) -> Standing {
        if now.0 >= entry.stale_until.load(Ordering::Relaxed) {
            return Standing::TooOld;
        }
        if entry.revoked.load(Ordering::Acquire)
            || entry.epoch.load(Ordering::Relaxed) != self.epoch.load(Ordering::Acquire)
        {
            return Standing::Doubtful;
        }
        let due = entry.refresh_at.load(Ordering::Relaxed);
        if now.0 < due {
            return Standing::Fresh;
        }
        // Nobody asked for a while: what was true an hour ago is not served without asking, or an
        // edit whose message was lost could be hidden for as long as a link is idle.
        if UnixMillis(due).after(GRACE) < now {
            return Standing::Doubtful;
        }
        let chosen = entry.refresh_at.compare_exchange(
            due,
            now.after(RETRY).0,
            Ordering::AcqRel,
            Ordering::Relaxed,
        );
        if chosen.is_ok() { Standing::FreshEnough } else { Standing::Fresh }
    }

    /// Keeps what a load found. What stands there already stays when it is the same version or a
    /// later one, and is believed again. What may have changed since the `stamp` was taken is doubted
    /// from the beginning.
    pub fn keep(&self, key: &LinkKey, link: &Redirect, stamp: Stamp) -> Option<Arc<Entry>> {
        let entry = match self.links.get(key) {
            Some(entry) if entry.version >= link.version => entry,
            older => {
                self.missing.invalidate(key);
                let entry = Arc::new(self.entry(key, link)?);
                self.links.insert(key.clone(), Arc::clone(&entry));
                if let Some(older) = older {
                    older.give_up();
                }
                entry
            }
        };
        self.believe(&entry, key, stamp);
        Some(entry)
    }

    /// Believes again what stands here, if it has this version: what a look at the version alone is
    /// enough for. Answers whether it did.
    pub fn keep_version(&self, key: &LinkKey, version: u64, stamp: Stamp) -> bool {
        let standing = self.links.get(key).filter(|entry| entry.version == version);
        if let Some(entry) = &standing {
            self.believe(entry, key, stamp);
        }
        standing.is_some()
    }

    fn believe(&self, entry: &Entry, key: &LinkKey, stamp: Stamp) {
        let (refresh_at, stale_until) = self.times();
        entry.refresh_at.store(refresh_at, Ordering::Relaxed);
        entry.stale_until.store(stale_until, Ordering::Relaxed);
        entry.epoch.store(stamp.epoch, Ordering::Relaxed);
        entry.revoked.store(stamp != self.stamp(key), Ordering::SeqCst);
        // A change between that look and that store would be forgotten.
        if stamp != self.stamp(key) {
            entry.revoked.store(true, Ordering::SeqCst);
        }
    }

    /// Remembers that a key leads nowhere.
    pub fn keep_missing(&self, key: &LinkKey, stamp: Stamp) {
        if let Some(entry) = self.links.remove(key) {
            entry.give_up();
        }
        if stamp == self.stamp(key) {
            self.missing.insert(key.clone(), ());
        }
    }

    /// Nobody could be asked about this entry: it, or a later one that stands here by now, is served
    /// as it is and asked about again soon.
    pub fn make_do(&self, key: &LinkKey, entry: Arc<Entry>) -> Arc<Entry> {
        let standing = self.links.get(key);
        let absent = standing.is_none();
        let entry = standing.unwrap_or(entry);
        entry.refresh_at.store(self.clock.now().after(RETRY).0, Ordering::Relaxed);
        entry.epoch.store(self.epoch.load(Ordering::Acquire), Ordering::Relaxed);
        entry.revoked.store(false, Ordering::Release);
        if absent {
            self.links.insert(key.clone(), Arc::clone(&entry));
        }
        entry
    }

    /// The link changed: it has to be asked about before it is served again. It stays, for the case
    /// that nobody can be asked.
    pub fn doubt(&self, key: &LinkKey) {
        if let Some(doubts) = self.doubts_of(key) {
            doubts.fetch_add(1, Ordering::SeqCst);
        }
        self.missing.invalidate(key);
        if let Some(entry) = self.links.get(key) {
            entry.revoked.store(true, Ordering::SeqCst);
        }
    }

    /// Messages may have been lost: everything has to be asked about before it is served again.
    pub fn doubt_all(&self) {
        self.missing.invalidate_all();
        self.epoch.fetch_add(1, Ordering::AcqRel);
    }

    /// Links in the cache and the bytes that they take, roughly.
    pub fn size(&self) -> (u64, u64) {
        (self.links.entry_count(), self.links.weighted_size())
    }

    /// Until when something loaded now is fresh, give or take a tenth, and until when it is served.
    fn times(&self) -> (u64, u64) {
        let now = self.clock.now();
        let fresh = whole_millis(self.settings.fresh);
        let jittered = fresh - fresh / 10 + rand::random_range(0..=fresh / 5);
        (now.0.saturating_add(jittered), now.after(self.settings.stale).0)
    }

    fn entry(&self, key: &LinkKey, link: &Redirect) -> Option<Entry> {
        let key_length = key.as_str().len();
        let text = Bytes::from([key.as_str(), &link.target].concat());
        let fallback = match &link.fallback {
            None => None,
            Some(url) => Some(Box::new(HeaderValue::from_str(url).ok()?)),
        };
        Some(Entry {
            refresh_at: AtomicU64::new(0),
            stale_until: AtomicU64::new(0),
            epoch: AtomicU64::new(0),
            revoked: AtomicBool::new(true),
            location: HeaderValue::from_maybe_shared(text.slice(key_length..)).ok()?,
            text,
            key_length,
            link: link.link,
            version: link.version,
            status: StatusCode::from_u16(link.status.code()).ok()?,
            cache_control: self.cache_control(link),
            valid_from: link.valid_from.unwrap_or_default(),
            expires_at: link.expires_at.unwrap_or(UnixMillis::NEVER),
            disabled: link.disabled,
            forward_query: link.forward_query,
            fallback,
            special: self.special(link)?,
        })
    }

    /// What the link does besides leading to one target: nothing is `Some(None)`, and `None` is a rule
    /// whose target cannot stand in a header.
    #[expect(clippy::option_option, reason = "the outer one is how this fails")]
    fn special(&self, link: &Redirect) -> Option<Option<Box<Special>>> {
        if link.rules.is_empty() && !link.limited && !link.preview {
            return Some(None);
        }
        let locations: Option<Vec<HeaderValue>> =
            link.rules.iter().map(|rule| HeaderValue::from_str(&rule.target).ok()).collect();
        Some(Some(Box::new(Special {
            rules: link.rules.clone(),
            locations: locations?,
            cache_seconds: self.cache_seconds(link),
            limited: link.limited,
            used_up: AtomicBool::new(false),
            preview: link.preview,
        })))
    }

    fn cache_control(&self, link: &Redirect) -> HeaderValue {
        remembered_for(self.cache_seconds(link))
    }

    /// How long browsers may remember the answer, in seconds, if at all.
    fn cache_seconds(&self, link: &Redirect) -> Option<u32> {
        let permanent = link.status.is_permanent().then_some(self.settings.permanent_cache_seconds);
        link.cache_seconds.or(permanent)
    }
}

/// The value of `Cache-Control` for an answer that browsers may remember for so many seconds, if at
/// all.
pub fn remembered_for(seconds: Option<u32>) -> HeaderValue {
    match seconds {
        None => HeaderValue::from_static("private, no-cache"),
        Some(seconds) => HeaderValue::from_str(&format!("private, max-age={seconds}"))
            .expect("digits and letters are a header value"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::{DomainId, RedirectStatus};

    fn local(clock: &Clock) -> Local {
        let settings = Settings {
            bytes: 1 << 20,
            fresh: Duration::from_secs(10),
            stale: Duration::from_hours(24),
            missing_entries: 100,
            missing: Duration::from_secs(5),
            permanent_cache_seconds: 90,
        };
        Local::new(settings, clock.clone())
    }

    fn redirect(version: u64) -> Redirect {
        Redirect {
            link: LinkId(1),
            version,
            status: RedirectStatus::Found,
            cache_seconds: None,
            valid_from: None,
            expires_at: None,
            forward_query: false,
            disabled: false,
            fallback: None,
            limited: false,
            preview: false,
            rules: Vec::new(),
            target: "https://example.com/".into(),
        }
    }

    fn key() -> LinkKey {
        LinkKey::new(DomainId::DEFAULT, "AbC")
    }

    #[test]
    fn a_stale_entry_is_served_and_refreshed_by_one() {
        let clock = Clock::by_hand(UnixMillis(1_000_000));
        let local = local(&clock);
        let entry = local.keep(&key(), &redirect(1), local.stamp(&key())).expect("kept");
        assert_eq!(local.standing(&entry, clock.now()), Standing::Fresh);
        let due = entry.refresh_at.load(Ordering::Relaxed);
        clock.advance(UnixMillis(due).since(clock.now()));
        assert_eq!(local.standing(&entry, clock.now()), Standing::FreshEnough);
        assert_eq!(local.standing(&entry, clock.now()), Standing::Fresh, "one refresh is enough");
        clock.advance(RETRY);
        assert_eq!(local.standing(&entry, clock.now()), Standing::FreshEnough, "it failed: again");
        clock.advance(RETRY + GRACE + Duration::from_millis(1));
        assert_eq!(local.standing(&entry, clock.now()), Standing::Doubtful, "idle for too long");
        clock.advance(Duration::from_hours(24));
        assert_eq!(local.standing(&entry, clock.now()), Standing::TooOld);
    }

    #[test]
    fn a_changed_entry_is_doubtful_until_it_is_asked_about() {
        let clock = Clock::by_hand(UnixMillis(1_000_000));
        let local = local(&clock);
        let entry = local.keep(&key(), &redirect(1), local.stamp(&key())).expect("kept");
        local.doubt(&key());
        assert_eq!(local.standing(&entry, clock.now()), Standing::Doubtful);
        let served = local.make_do(&key(), Arc::clone(&entry));
        assert_eq!(local.standing(&served, clock.now()), Standing::Fresh, "nobody could be asked");
        local.doubt_all();
        assert_eq!(local.standing(&entry, clock.now()), Standing::Doubtful);
        let newer = local.keep(&key(), &redirect(2), local.stamp(&key())).expect("kept");
        assert_eq!(local.standing(&newer, clock.now()), Standing::Fresh);
        assert_eq!(local.standing(&entry, clock.now()), Standing::TooOld, "it was replaced");
        let kept = local.keep(&key(), &redirect(1), local.stamp(&key())).expect("kept");
        assert_eq!(kept.version, 2, "an older version never replaces a newer one");
    }

    #[test]
    fn what_changed_while_it_was_loaded_is_doubtful() {
        let clock = Clock::by_hand(UnixMillis(1_000_000));
        let local = local(&clock);
        let stamp = local.stamp(&key());
        local.doubt(&key());
        let entry = local.keep(&key(), &redirect(1), stamp).expect("kept");
        assert_eq!(local.standing(&entry, clock.now()), Standing::Doubtful);
        local.keep_missing(&key(), stamp);
        assert!(!local.is_missing("AbC"));
    }

    #[test]
    fn a_deleted_link_is_not_served_wherever_it_is_still_held() {
        let clock = Clock::by_hand(UnixMillis(1_000_000));
        let local = local(&clock);
        let entry = local.keep(&key(), &redirect(1), local.stamp(&key())).expect("kept");
        local.keep_missing(&key(), local.stamp(&key()));
        // A serving thread would have it served again as soon as nobody can be asked.
        assert_eq!(local.standing(&entry, clock.now()), Standing::TooOld);
        assert!(local.is_missing("AbC") && local.find("AbC").is_none());
    }
}
