//! Learning a dictionary from the targets that a deployment has.

use crate::store::{self, Store, redirects};

use super::dictionary::Dictionary;
use super::record::MAX_FIELD;

/// Targets that are looked at: enough to find what is frequent, learned in a second or two.
const SAMPLE: i64 = 4_000;
/// Fewer targets than this teach nothing.
const LEAST: usize = 200;
/// What a record has beside its target: flags, version, dictionary and link, when all are in use.
const BESIDE_TARGET: usize = 10;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Lesson {
    /// Targets that were looked at.
    pub sampled: usize,
    /// How the current dictionary does on them.
    pub before: Fit,
    /// How the learned one does.
    pub after: Fit,
    /// The number under which the learned one was kept; `None`: it was not worth it.
    pub kept: Option<u8>,
}

/// How a dictionary does.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Fit {
    /// Bytes that a target takes, on average.
    pub bytes: f64,
    /// The share of targets whose records fit into a bucket.
    pub share: f64,
}

/// Learns from a sample of the links, and keeps the result when targets become smaller by a tenth:
/// each dictionary that is kept makes the records written before it outdated, and there are 255.
pub async fn learn(store: &Store) -> Result<Lesson, store::Error> {
    let current = redirects::dictionaries(store).await?.pop().and_then(|(id, entries)| {
        Dictionary::from_entries(id, entries.into_iter().map(String::into_boxed_str).collect())
    });
    let current = current.unwrap_or_else(Dictionary::built_in);
    let targets = redirects::sample_targets(store, SAMPLE).await?;
    let last = current.id();
    // Seconds of work: not on a thread that answers requests.
    let learned = tokio::task::spawn_blocking(move || compare(&current, &targets));
    let (sampled, before, learned) =
        learned.await.map_err(|panic| store::Error::Corrupt("link", panic.to_string()))?;
    let Some((dictionary, after)) = learned else {
        return Ok(Lesson { sampled, before, after: before, kept: None });
    };
    let mut kept = None;
    if after.bytes < before.bytes * 0.9 {
        let entries: Vec<&str> = dictionary.entries().iter().map(AsRef::as_ref).collect();
        kept = redirects::add_dictionary(store, last, &entries).await?;
    }
    Ok(Lesson { sampled, before, after, kept })
}

type Comparison = (usize, Fit, Option<(Dictionary, Fit)>);

fn compare(current: &Dictionary, targets: &[String]) -> Comparison {
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    let before = fit(current, &targets);
    let learned = (targets.len() >= LEAST)
        .then(|| {
            // Judged by what it has not seen, or it would look better than it is.
            let unseen: Vec<&str> = targets.iter().step_by(4).copied().collect();
            let taught = targets.iter().enumerate().filter(|(place, _)| place % 4 != 0);
            let taught: Vec<&str> = taught.map(|(_, target)| *target).collect();
            let dictionary = Dictionary::learn(current.id().saturating_add(1), &taught)?;
            let after = fit(&dictionary, &unseen);
            Some((dictionary, after))
        })
        .flatten();
    (targets.len(), before, learned)
}

fn fit(dictionary: &Dictionary, targets: &[&str]) -> Fit {
    let (mut bytes, mut fitting) = (0_u32, 0_u32);
    for target in targets {
        let length = dictionary.pack(target).map_or(target.len(), |packed| packed.len());
        bytes = bytes.saturating_add(u32::try_from(length).unwrap_or(u32::MAX));
        fitting += u32::from(length + BESIDE_TARGET <= MAX_FIELD);
    }
    let count = f64::from(u32::try_from(targets.len().max(1)).unwrap_or(u32::MAX));
    Fit { bytes: f64::from(bytes) / count, share: f64::from(fitting) / count }
}
