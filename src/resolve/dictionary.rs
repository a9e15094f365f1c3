//! The dictionary that makes targets small: a URL is printable ASCII, so the 161 byte values that
//! cannot stand in one stand for its frequent parts.
//!
//! Dictionary 0 is built in. Others are learned from the links of a deployment and kept, by number,
//! in PostgreSQL: a record names the dictionary that it was written with, so records of older ones
//! stay readable.

use std::collections::HashMap;

/// How many entries a dictionary can have: 128 byte values from 0x80, and 33 up to 0x20.
pub const MAX_ENTRIES: usize = 161;

/// How long an entry can be, in bytes.
const MAX_ENTRY: usize = 64;

/// Frequent parts of URLs anywhere; entries of a learned dictionary are better.
const BUILT_IN: &[&str] = &[
    "https://www.",
    "https://",
    "http://",
    "http://www.",
    ".com/",
    ".com",
    ".org/",
    ".net/",
    ".io/",
    ".co.uk/",
    ".co.id/",
    ".in/",
    ".de/",
    "/index.html",
    ".html",
    ".php?",
    "?utm_source=",
    "&utm_source=",
    "&utm_medium=",
    "&utm_campaign=",
    "&utm_content=",
    "&utm_term=",
    "utm_",
    "?id=",
    "&id=",
    "?ref=",
    "&ref=",
    "?q=",
    "&q=",
    "?v=",
    "&",
    "=",
    "%20",
    "%2F",
    "%3A",
    "%3D",
    "%26",
    "/products/",
    "/product/",
    "/p/",
    "/category/",
    "/collections/",
    "/blog/",
    "/news/",
    "/article",
    "/articles/",
    "/posts/",
    "/post/",
    "/shop/",
    "/store/",
    "/apps/details?id=",
    "/app/",
    "/user/",
    "/users/",
    "/account/",
    "/campaign/",
    "/promo/",
    "/offer/",
    "/offers/",
    "/invite/",
    "/share/",
    "/watch?v=",
    "/status/",
    "/wiki/",
    "/docs/",
    "/help/",
    "/about/",
    "/en/",
    "/en-us/",
    "/id/",
    "/2024/",
    "/2025/",
    "/2026/",
    "/20",
    "/images/",
    "/static/",
    "/download/",
    "/search?q=",
    "facebook",
    "instagram",
    "twitter",
    "newsletter",
    "email",
    "social",
    "google",
    "youtube",
    "linkedin",
    "whatsapp",
    "tiktok",
    "play.google.com/store/apps/details?id=",
    "apps.apple.com/",
    "docs.google.com/",
    "github.com/",
    "amazon.",
    "campaign",
    "summer",
    "winter",
    "spring",
    "sale",
    "new",
    "launch",
    "banner",
    "referral",
    "loan",
    "credit",
    "online",
    "mobile",
    "desktop",
    "app",
    "ing",
    "tion",
    "er",
    "es",
    "en",
    "an",
    "in",
    "on",
    "or",
    "re",
    "st",
    "th",
    "te",
    "at",
    "al",
    "le",
    "ar",
    "ed",
    "de",
    "co",
    "ti",
    "ra",
    "ro",
    "li",
    "ri",
    "to",
    "-",
    "/",
    "ma",
    "me",
    "nd",
    "nt",
    "it",
    "is",
    "he",
];

/// A numbered list of frequent parts of URLs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dictionary {
    id: u8,
    entries: Vec<Box<str>>,
    /// The numbers of the entries that begin with a byte, by that byte.
    by_first: Vec<Vec<u8>>,
}

impl Dictionary {
    /// The dictionary that every process knows.
    pub fn built_in() -> Self {
        Self::from_entries(0, BUILT_IN.iter().map(|entry| (*entry).into()).collect())
            .expect("the built-in entries are few, short and printable")
    }

    /// A dictionary out of its parts; `None` if there are too many, or one cannot be part of a URL.
    pub fn from_entries(id: u8, entries: Vec<Box<str>>) -> Option<Self> {
        let good =
            |entry: &str| (1..=MAX_ENTRY).contains(&entry.len()) && entry.bytes().all(is_literal);
        if entries.len() > MAX_ENTRIES || !entries.iter().all(|entry| good(entry)) {
            return None;
        }
        let mut by_first = vec![Vec::new(); 128];
        for (number, entry) in (0_u8..).zip(&entries) {
            let first = entry.bytes().next().map(usize::from)?;
            by_first.get_mut(first)?.push(number);
        }
        Some(Self { id, entries, by_first })
    }

    /// The number that records carry.
    pub fn id(&self) -> u8 {
        self.id
    }

    /// The parts, in the order of their numbers.
    pub fn entries(&self) -> &[Box<str>] {
        &self.entries
    }

    /// Writes `text` in as few bytes as this dictionary can; `None` if it is not printable ASCII.
    pub fn pack(&self, text: &str) -> Option<Vec<u8>> {
        if !text.bytes().all(is_literal) {
            return None;
        }
        Some(self.parse(text).into_iter().map(Step::byte).collect())
    }

    /// The shortest sequence of literals and entries that spells `text` (printable ASCII), found from
    /// its end: `best[i]` is the number of bytes that the rest from `i` takes, and the step to make.
    fn parse(&self, text: &str) -> Vec<Step> {
        let bytes = text.as_bytes();
        let mut best: Vec<(usize, Step)> = vec![(0, Step::Literal(0)); bytes.len() + 1];
        for (start, &first) in bytes.iter().enumerate().rev() {
            let cost = |end: usize| best.get(end).map_or(usize::MAX, |(cost, _)| cost + 1);
            let rest = bytes.get(start..).unwrap_or_default();
            let mut choice = (cost(start + 1), Step::Literal(first));
            for &number in self.by_first.get(usize::from(first)).into_iter().flatten() {
                let entry = self.entry(number).unwrap_or_default();
                if rest.starts_with(entry.as_bytes()) && cost(start + entry.len()) < choice.0 {
                    choice = (cost(start + entry.len()), Step::Entry(number));
                }
            }
            if let Some(slot) = best.get_mut(start) {
                *slot = choice;
            }
        }
        let mut steps = Vec::new();
        let mut at = 0;
        while let Some((_, step)) = best.get(at).filter(|_| at < bytes.len()) {
            steps.push(*step);
            at += match step {
                Step::Literal(_) => 1,
                Step::Entry(number) => self.entry(*number).map_or(1, str::len),
            };
        }
        steps
    }

    /// Reads what [`Dictionary::pack`] wrote; `None` for bytes that it cannot have written, or that
    /// would spell more than `limit` bytes.
    pub fn unpack(&self, packed: &[u8], limit: usize) -> Option<String> {
        let mut text = String::with_capacity(packed.len().saturating_mul(2).min(limit));
        for &byte in packed {
            if is_literal(byte) {
                text.push(char::from(byte));
            } else {
                let number = match byte {
                    0x80.. => byte - 0x80,
                    0x00..=0x20 => byte + 128,
                    _ => return None,
                };
                text.push_str(self.entry(number)?);
            }
            if text.len() > limit {
                return None;
            }
        }
        Some(text)
    }

    fn entry(&self, number: u8) -> Option<&str> {
        self.entries.get(usize::from(number)).map(AsRef::as_ref)
    }

    /// Learns a dictionary from a sample of texts.
    ///
    /// Each round parses the sample with the entries so far, counts the pieces and each two that
    /// follow one another, and keeps what would have saved the most bytes. Pieces double in length
    /// from round to round, so that `https://shop.example/products/` is found in a few.
    pub fn learn(id: u8, sample: &[&str]) -> Option<Self> {
        const ROUNDS: usize = 12;
        let mut dictionary = Self::from_entries(id, Vec::new())?;
        for _ in 0..ROUNDS {
            let mut saved: HashMap<String, usize> = HashMap::new();
            for text in sample.iter().filter(|text| text.bytes().all(is_literal)) {
                let pieces: Vec<String> =
                    dictionary.parse(text).into_iter().map(|step| dictionary.spell(step)).collect();
                for piece in &pieces {
                    *saved.entry(piece.clone()).or_default() += piece.len() - 1;
                }
                for (one, two) in pieces.iter().zip(pieces.iter().skip(1)) {
                    let both = format!("{one}{two}");
                    if both.len() <= MAX_ENTRY {
                        let gain = both.len() - 1;
                        *saved.entry(both).or_default() += gain;
                    }
                }
            }
            let mut candidates: Vec<(usize, String)> = saved
                .into_iter()
                .filter(|(_, gain)| *gain > 0)
                .map(|(e, gain)| (gain, e))
                .collect();
            candidates.sort_by(|one, two| two.cmp(one));
            let entries = candidates.into_iter().take(MAX_ENTRIES).map(|(_, e)| e.into()).collect();
            dictionary = Self::from_entries(id, entries)?;
        }
        Some(dictionary)
    }

    fn spell(&self, step: Step) -> String {
        match step {
            Step::Literal(byte) => char::from(byte).to_string(),
            Step::Entry(number) => self.entry(number).unwrap_or_default().to_owned(),
        }
    }
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Literal(u8),
    Entry(u8),
}

impl Step {
    fn byte(self) -> u8 {
        match self {
            Self::Literal(byte) => byte,
            Self::Entry(number @ 0..128) => number + 0x80,
            Self::Entry(number) => number - 128,
        }
    }
}

/// Whether a byte stands for itself: printable ASCII without the space, all that a URL is made of.
fn is_literal(byte: u8) -> bool {
    (0x21..=0x7e).contains(&byte)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_packed_unpacks_to_the_same(text in "[!-~]{0,300}") {
            let dictionary = Dictionary::built_in();
            let packed = dictionary.pack(&text).expect("printable");
            prop_assert!(packed.len() <= text.len());
            prop_assert_eq!(dictionary.unpack(&packed, 8_192), Some(text));
        }

        #[test]
        fn no_bytes_make_the_reader_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let text = Dictionary::built_in().unpack(&bytes, 100);
            prop_assert!(text.is_none_or(|text| text.len() <= 100));
        }
    }

    #[test]
    fn text_that_is_no_url_is_not_packed() {
        assert_eq!(Dictionary::built_in().pack("https://example.com/a b"), None);
        assert_eq!(Dictionary::built_in().pack("https://exämple.com/"), None);
    }

    #[test]
    fn a_learned_dictionary_finds_the_long_common_parts() {
        let sample: Vec<String> = (0..500)
            .map(|n| {
                format!("https://shop.example.com/products/shoes/{}?utm_source=mail", n * 7_919)
            })
            .collect();
        let sample: Vec<&str> = sample.iter().map(String::as_str).collect();
        let learned = Dictionary::learn(3, &sample).expect("learned");
        let target = "https://shop.example.com/products/shoes/424242?utm_source=mail";
        let packed = learned.pack(target).expect("printable");
        assert!(packed.len() <= 8, "{} bytes", packed.len());
        assert_eq!(learned.unpack(&packed, 100).as_deref(), Some(target));
    }
}
