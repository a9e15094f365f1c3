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
    hosts: Zipf,
}

impl Targets {
    fn new(seed: u64) -> Self {
        let hosts = u32::try_from(HOSTS.len()).expect("a short list");
        Self { random: Random::new(seed), hosts: Zipf::new(hosts) }
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
        HOSTS.get(self.hosts.choose(&mut self.random)).copied().expect("less than the length")
    }

    /// The path: a product, an article, an object of an application, a landing page, or a token.
    fn page(&mut self, kind: u32, target: &mut String) {
        if self.random.chance(30) {
            self.segment(target, |random| (*random.pick(LOCALES)).to_owned());
        }
        match kind {
            0..40 => {
                self.sections(target, 1, 2);
                self.segment(target, |random| {
                    format!("{}-{}", words(random, 2, 4), random.between(100, 9_999_999))
                });
            }
            40..60 => {
                self.sections(target, 1, 2);
                self.segment(target, |random| words(random, 3, 7));
            }
            60..80 => {
                self.sections(target, 1, 3);
                self.segment(target, |random| {
                    let length = random.between(6, 12);
                    random.text(BASE62, length)
                });
            }
            80..92 => {
                self.sections(target, 1, 2);
                self.segment(target, |random| {
                    let length = random.between(6, 12);
                    format!("{}-{}", words(random, 1, 3), random.text(LOWER36, length))
                });
            }
            _ => {
                self.sections(target, 1, 1);
                self.segment(target, |random| {
                    let length = random.between(22, 43);
                    random.text(BASE62, length)
                });
            }
        }
    }

    fn sections(&mut self, target: &mut String, least: u32, most: u32) {
        for _ in 0..self.random.between(least, most) {
            self.segment(target, |random| (*random.pick(SECTIONS)).to_owned());
        }
    }

    fn segment(&mut self, target: &mut String, make: impl FnOnce(&mut Random) -> String) {
        target.push('/');
        target.push_str(&make(&mut self.random));
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
        parameters.push(format!("utm_campaign={}", campaign(random)));
        if random.chance(15) {
            parameters.push(format!("utm_content={}", random.text(HEX, 8)));
        }
        target.push('?');
        target.push_str(&parameters.join("&"));
    }
}

fn campaign(random: &mut Random) -> String {
    let joint = *random.pick(&["-", "_"]);
    let name = words(random, 1, 3).replace('-', joint);
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

fn words(random: &mut Random, least: u32, most: u32) -> String {
    let count = random.between(least, most);
    let chosen: Vec<&str> = (0..count).map(|_| *random.pick(WORDS)).collect();
    chosen.join("-")
}

/// The company's own hosts first, then its partners'; the earlier, the more popular.
const HOSTS: &[&str] = &[
    "www.example.com",
    "shop.example.com",
    "app.example.com",
    "example.com",
    "help.example.com",
    "www.kestrelair.test",
    "blog.example.com",
    "events.example.com",
    "play.bluestore.test",
    "careers.example.com",
    "www.example.org",
    "docs.example.com",
    "tickets.halle9.test",
    "m.example.com",
    "www.ferrypoint.test",
    "status.example.com",
    "forms.orchardsoft.test",
    "www.lumencredit.test",
    "community.example.com",
    "go.pilotbox.test",
    "partner.example.net",
    "www.stadtwerke-nord.test",
    "video.clipyard.test",
    "api.example.com",
    "store.tallpine.test",
    "www.hotelmarina.test",
    "learn.example.org",
    "survey.askwell.test",
    "book.trainlines.test",
    "www.grocer24.test",
    "pay.lumencredit.test",
    "news.dailybrief.test",
    "cdn.example.net",
    "www.runnersclub.test",
    "maps.wayfare.test",
    "intranet.example.net",
    "press.example.com",
    "www.museumquarter.test",
    "drive.orchardsoft.test",
    "beta.example.com",
];

const LOCALES: &[&str] =
    &["de", "en", "en-gb", "en-us", "es", "fr", "it", "ja", "nl", "pl", "pt-br", "tr"];

const SECTIONS: &[&str] = &[
    "account",
    "articles",
    "blog",
    "brands",
    "c",
    "cards",
    "catalog",
    "categories",
    "checkout",
    "collections",
    "courses",
    "customers",
    "d",
    "deals",
    "download",
    "events",
    "explore",
    "faq",
    "features",
    "gift-cards",
    "guides",
    "help",
    "home-garden",
    "i",
    "insights",
    "invite",
    "items",
    "jobs",
    "kids",
    "kitchen",
    "landing",
    "loans",
    "lp",
    "magazine",
    "men",
    "mobile",
    "news",
    "offers",
    "orders",
    "outdoor",
    "p",
    "partners",
    "plans",
    "posts",
    "pricing",
    "product",
    "products",
    "promo",
    "recipes",
    "register",
    "reports",
    "resources",
    "sale",
    "search",
    "seasonal",
    "share",
    "shoes",
    "sports",
    "stores",
    "stories",
    "support",
    "t",
    "team",
    "topics",
    "travel",
    "u",
    "users",
    "v2",
    "videos",
    "webinars",
    "women",
];

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

const WORDS: &[&str] = &[
    "account",
    "active",
    "adult",
    "air",
    "alpine",
    "amber",
    "anniversary",
    "annual",
    "apple",
    "april",
    "arctic",
    "arrival",
    "august",
    "autumn",
    "award",
    "baby",
    "backpack",
    "bag",
    "balance",
    "bamboo",
    "basic",
    "basket",
    "bath",
    "battery",
    "beach",
    "bed",
    "beginner",
    "belt",
    "best",
    "bike",
    "birthday",
    "black",
    "blanket",
    "blue",
    "board",
    "book",
    "boot",
    "bottle",
    "bowl",
    "bright",
    "broad",
    "brown",
    "budget",
    "business",
    "cable",
    "camera",
    "camping",
    "candle",
    "canvas",
    "card",
    "carry",
    "case",
    "cashback",
    "chair",
    "change",
    "charger",
    "check",
    "city",
    "classic",
    "clean",
    "clock",
    "coat",
    "coffee",
    "cold",
    "compact",
    "company",
    "cooking",
    "corner",
    "cotton",
    "cover",
    "credit",
    "cup",
    "customer",
    "cycle",
    "daily",
    "dark",
    "data",
    "december",
    "deep",
    "design",
    "desk",
    "digital",
    "dinner",
    "direct",
    "discount",
    "double",
    "dress",
    "drive",
    "dry",
    "early",
    "earth",
    "easy",
    "edition",
    "eight",
    "electric",
    "energy",
    "europe",
    "evening",
    "event",
    "everyday",
    "extra",
    "fabric",
    "family",
    "fast",
    "father",
    "february",
    "festival",
    "field",
    "film",
    "final",
    "finance",
    "first",
    "fitness",
    "five",
    "flash",
    "flight",
    "floor",
    "flower",
    "folding",
    "food",
    "forest",
    "four",
    "free",
    "fresh",
    "friday",
    "friend",
    "fruit",
    "full",
    "future",
    "game",
    "garden",
    "gift",
    "girl",
    "glass",
    "global",
    "gold",
    "grand",
    "green",
    "grey",
    "group",
    "guide",
    "half",
    "hand",
    "happy",
    "hat",
    "health",
    "heat",
    "heavy",
    "high",
    "holiday",
    "home",
    "hotel",
    "house",
    "ice",
    "idea",
    "insurance",
    "island",
    "jacket",
    "january",
    "jeans",
    "jersey",
    "journey",
    "juice",
    "july",
    "june",
    "junior",
    "kettle",
    "key",
    "kids",
    "kitchen",
    "knit",
    "lamp",
    "large",
    "last",
    "launch",
    "leather",
    "lesson",
    "level",
    "life",
    "light",
    "line",
    "linen",
    "little",
    "loan",
    "local",
    "long",
    "loyalty",
    "lunch",
    "machine",
    "magic",
    "mail",
    "march",
    "market",
    "match",
    "matte",
    "may",
    "meal",
    "member",
    "men",
    "metal",
    "mini",
    "mirror",
    "mobile",
    "modern",
    "monday",
    "month",
    "morning",
    "mother",
    "motion",
    "mountain",
    "music",
    "natural",
    "new",
    "next",
    "night",
    "nine",
    "north",
    "november",
    "ocean",
    "october",
    "office",
    "oil",
    "olive",
    "one",
    "online",
    "open",
    "orange",
    "organic",
    "outdoor",
    "outlet",
    "oven",
    "pack",
    "paint",
    "pan",
    "paper",
    "party",
    "pay",
    "pen",
    "phone",
    "photo",
    "pink",
    "plan",
    "plant",
    "plate",
    "plus",
    "pocket",
    "point",
    "power",
    "premium",
    "price",
    "print",
    "pro",
    "program",
    "quick",
    "quiet",
    "rain",
    "reactivation",
    "red",
    "referral",
    "refill",
    "rent",
    "report",
    "reward",
    "rice",
    "ring",
    "river",
    "road",
    "room",
    "round",
    "rug",
    "running",
    "salad",
    "sale",
    "salt",
    "sandal",
    "saver",
    "school",
    "sea",
    "season",
    "second",
    "secret",
    "select",
    "september",
    "series",
    "set",
    "seven",
    "shelf",
    "shirt",
    "shoe",
    "shop",
    "short",
    "silver",
    "simple",
    "six",
    "ski",
    "skin",
    "sky",
    "slim",
    "small",
    "smart",
    "snow",
    "sofa",
    "soft",
    "solar",
    "south",
    "special",
    "speed",
    "sport",
    "spring",
    "square",
    "stand",
    "star",
    "start",
    "station",
    "steel",
    "stone",
    "storage",
    "store",
    "story",
    "street",
    "strong",
    "student",
    "studio",
    "style",
    "summer",
    "sun",
    "sunday",
    "super",
    "sweet",
    "table",
    "tablet",
    "tea",
    "team",
    "ten",
    "tent",
    "test",
    "three",
    "ticket",
    "tiny",
    "tool",
    "top",
    "tour",
    "towel",
    "town",
    "toy",
    "trail",
    "train",
    "travel",
    "tree",
    "trial",
    "trip",
    "two",
    "ultra",
    "urban",
    "vacation",
    "valley",
    "value",
    "vegan",
    "video",
    "vintage",
    "voucher",
    "walk",
    "wall",
    "warm",
    "wash",
    "watch",
    "water",
    "wave",
    "wedding",
    "week",
    "weekend",
    "welcome",
    "west",
    "white",
    "wide",
    "wild",
    "wind",
    "window",
    "wine",
    "winter",
    "wireless",
    "women",
    "wood",
    "wool",
    "work",
    "world",
    "yellow",
    "yoga",
    "young",
    "zero",
    "zone",
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
