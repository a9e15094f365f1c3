//! The links of the benchmark: slugs, and targets such as a company's short links lead to.
//!
//! `README.md` beside this crate says what the mix is and why. Nothing here is chosen to compress
//! well: names, ids and tokens are drawn independently for each link.

use std::collections::HashSet;

use crate::random::{Random, Zipf};

/// The shortest and the longest target, in characters.
const LENGTHS: std::ops::RangeInclusive<usize> = 60..=100;

const BASE62: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const LOWER36: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
const HEX: &[u8] = b"0123456789abcdef";

/// A short link.
pub(crate) struct Link {
    /// Seven characters of base62.
    pub(crate) slug: String,
    /// Where it leads.
    pub(crate) target: String,
}

/// The first `count` links; the same ones in every run.
///
/// No two slugs differ by case alone, because nginx's `map` does not tell them apart.
pub(crate) fn links(count: usize) -> Vec<Link> {
    let mut targets = Targets::new(0x7a11_0001);
    let mut random = Random::new(0x51c6_0001);
    let mut taken = HashSet::with_capacity(count);
    let mut links = Vec::with_capacity(count);
    while links.len() < count {
        let slug = random.text(BASE62, 7);
        if taken.insert(slug.to_ascii_lowercase()) {
            links.push(Link { slug, target: targets.draw() });
        }
    }
    links
}

/// A never-ending source of targets.
struct Targets {
    random: Random,
    popularity: Zipf,
    /// The hosts of the company and its partners; the earlier, the more popular.
    hosts: Vec<&'static str>,
    sections: Vec<&'static str>,
    words: Words,
}

/// What names are made of.
struct Words(Vec<&'static str>);

impl Targets {
    fn new(seed: u64) -> Self {
        let list = |text: &'static str| text.split_whitespace().collect::<Vec<_>>();
        let hosts = list(include_str!("../corpus/hosts.txt"));
        Self {
            random: Random::new(seed),
            popularity: Zipf::new(u32::try_from(hosts.len()).expect("a short list")),
            hosts,
            sections: list(include_str!("../corpus/sections.txt")),
            words: Words(list(include_str!("../corpus/words.txt"))),
        }
    }

    /// The next target. What it is (tracked or not, which kind of page) is decided first and kept
    /// while drafts of a wrong length are thrown away, so lengths do not skew the mix.
    fn draw(&mut self) -> String {
        let tracked = self.random.chance(50);
        let kind = self.random.below(100);
        loop {
            let mut target = format!("https://{}", self.host());
            self.page(kind, &mut target);
            if tracked {
                self.tracking(&mut target);
            }
            if LENGTHS.contains(&target.len()) {
                return target;
            }
        }
    }

    fn host(&mut self) -> &'static str {
        self.hosts
            .get(self.popularity.choose(&mut self.random))
            .copied()
            .expect("less than the length")
    }

    /// The path: a product, an article, an object of an application, a landing page, or a token.
    fn page(&mut self, kind: u32, target: &mut String) {
        if self.random.chance(30) {
            self.segment(target, |random, _| (*random.pick(LOCALES)).to_owned());
        }
        match kind {
            0..40 => {
                self.sections(target, 1, 2);
                self.segment(target, |random, words| {
                    format!("{}-{}", words.draw(random, 2, 4), random.between(100, 9_999_999))
                });
            }
            40..60 => {
                self.sections(target, 1, 2);
                self.segment(target, |random, words| words.draw(random, 3, 7));
            }
            60..80 => {
                self.sections(target, 1, 3);
                self.segment(target, |random, _| {
                    let length = random.between(6, 12);
                    random.text(BASE62, length)
                });
            }
            80..92 => {
                self.sections(target, 1, 2);
                self.segment(target, |random, words| {
                    let length = random.between(6, 12);
                    format!("{}-{}", words.draw(random, 1, 3), random.text(LOWER36, length))
                });
            }
            _ => {
                self.sections(target, 1, 1);
                self.segment(target, |random, _| {
                    let length = random.between(22, 43);
                    random.text(BASE62, length)
                });
            }
        }
    }

    fn sections(&mut self, target: &mut String, least: u32, most: u32) {
        for _ in 0..self.random.between(least, most) {
            target.push('/');
            let section: &str = self.random.pick::<&str>(&self.sections);
            target.push_str(section);
        }
    }

    fn segment(&mut self, target: &mut String, make: impl FnOnce(&mut Random, &Words) -> String) {
        target.push('/');
        target.push_str(&make(&mut self.random, &self.words));
    }

    /// The query that marketing tools add; sometimes all of it, sometimes a campaign alone.
    fn tracking(&mut self, target: &mut String) {
        let random = &mut self.random;
        let mut parameters = Vec::with_capacity(4);
        if random.chance(80) {
            parameters.push(format!("utm_source={}", random.pick(SOURCES)));
        }
        if random.chance(55) {
            parameters.push(format!("utm_medium={}", random.pick(MEDIUMS)));
        }
        parameters.push(format!("utm_campaign={}", campaign(random, &self.words)));
        if random.chance(15) {
            parameters.push(format!("utm_content={}", random.text(HEX, 8)));
        }
        target.push('?');
        target.push_str(&parameters.join("&"));
    }
}

fn campaign(random: &mut Random, words: &Words) -> String {
    let joint = *random.pick(&["-", "_"]);
    let name = words.draw(random, 1, 3).replace('-', joint);
    match random.below(4) {
        0 => format!("{name}{joint}{}", random.between(2_022, 2_026)),
        1 => format!("{name}{joint}q{}{joint}{:04}", random.between(1, 4), random.below(10_000)),
        2 => {
            let length = random.between(4, 8);
            format!("{name}{joint}{}", random.text(LOWER36, length))
        }
        _ => name,
    }
}

impl Words {
    /// From `least` to `most` of them, with hyphens between.
    fn draw(&self, random: &mut Random, least: u32, most: u32) -> String {
        let count = random.between(least, most);
        let chosen: Vec<&str> = (0..count).map(|_| *random.pick(&self.0)).collect();
        chosen.join("-")
    }
}

const LOCALES: &[&str] =
    &["de", "en", "en-gb", "en-us", "es", "fr", "it", "ja", "nl", "pl", "pt-br", "tr"];

const SOURCES: &[&str] = &[
    "app",
    "crm",
    "email",
    "facebook",
    "google",
    "instagram",
    "linkedin",
    "newsletter",
    "partner",
    "push",
    "qr",
    "sms",
    "tiktok",
    "whatsapp",
    "x",
    "youtube",
];

const MEDIUMS: &[&str] = &[
    "banner",
    "cpc",
    "email",
    "influencer",
    "organic",
    "paid_social",
    "print",
    "push",
    "referral",
    "social",
    "story",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_have_the_promised_lengths_and_half_are_tracked() {
        let links = links(20_000);
        assert!(links.iter().all(|link| LENGTHS.contains(&link.target.len())));
        assert!(links.iter().all(|link| link.target.is_ascii()));
        let tracked = links.iter().filter(|link| link.target.contains("utm_campaign=")).count();
        assert!((9_500..10_500).contains(&tracked), "{tracked}");
    }

    #[test]
    fn the_links_are_the_same_in_every_run() {
        let (once, again) = (links(100), links(200));
        assert!(once.iter().zip(&again).all(|(a, b)| a.slug == b.slug && a.target == b.target));
    }
}
