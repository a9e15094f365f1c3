//! What a `User-Agent` says: which device, which browser, which kind of program.
//!
//! Texts are read by a table of signs in one pass, and never trusted: who lies is counted as what
//! the lie says.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use aho_corasick::{AhoCorasick, Match};

use self::signs::{INNOCENT, Meaning, Place, System, TABLE};
use super::{Device, Kind};

mod signs;

/// The browser, coarsely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Browser {
    /// Chrome, and what does not tell itself apart from it.
    Chrome,
    /// Safari, on Apple's systems.
    Safari,
    /// Firefox.
    Firefox,
    /// Edge, the old and the new.
    Edge,
    /// Opera, with Opera Mini and Opera GX.
    Opera,
    /// Samsung Internet.
    SamsungInternet,
    /// UC Browser.
    UcBrowser,
    /// Yandex Browser.
    Yandex,
    /// The browser on Xiaomi's phones.
    MiBrowser,
    /// The browser on Huawei's phones.
    HuaweiBrowser,
    /// The page is shown inside an app, Facebook's or Instagram's for example.
    InApp,
    /// None of those that are told apart, or no browser at all.
    Other,
}

impl Browser {
    /// All of them.
    pub const ALL: [Self; 12] = [
        Self::Chrome,
        Self::Safari,
        Self::Firefox,
        Self::Edge,
        Self::Opera,
        Self::SamsungInternet,
        Self::UcBrowser,
        Self::Yandex,
        Self::MiBrowser,
        Self::HuaweiBrowser,
        Self::InApp,
        Self::Other,
    ];

    /// Its name, in the database and in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Chrome => "chrome",
            Self::Safari => "safari",
            Self::Firefox => "firefox",
            Self::Edge => "edge",
            Self::Opera => "opera",
            Self::SamsungInternet => "samsung-internet",
            Self::UcBrowser => "uc-browser",
            Self::Yandex => "yandex",
            Self::MiBrowser => "mi-browser",
            Self::HuaweiBrowser => "huawei-browser",
            Self::InApp => "in-app",
            Self::Other => "other",
        }
    }
}

/// What a `User-Agent` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agent {
    /// [`Kind::Person`], [`Kind::Bot`] or [`Kind::Preview`]; never [`Kind::Prefetch`], which is no
    /// matter of the agent.
    pub kind: Kind,
    /// The device; unknown for programs, whatever device they pretend to be.
    pub device: Device,
    /// The browser; [`Browser::Other`] for programs.
    pub browser: Browser,
}

impl Agent {
    /// Reads a `User-Agent`, empty if there was none.
    ///
    /// A person's browser names its engine and calls itself nothing that programs call themselves;
    /// everything else is a program.
    pub fn of(text: &[u8]) -> Self {
        let found = Found::in_text(text);
        if found.preview {
            return Self::program(Kind::Preview);
        }
        if found.bot || !found.engine {
            return Self::program(Kind::Bot);
        }
        let system = found.system.map(|(_, system)| system);
        Self {
            kind: Kind::Person,
            device: device(system),
            browser: browser(system, found.browser.map(|(_, browser)| browser)),
        }
    }

    fn program(kind: Kind) -> Self {
        Self { kind, device: Device::Unknown, browser: Browser::Other }
    }
}

fn device(system: Option<System>) -> Device {
    match system {
        Some(System::Ios) => Device::Ios,
        Some(System::Android) => Device::Android,
        Some(System::OtherMobile) => Device::OtherMobile,
        Some(System::Mac | System::OtherDesktop) => Device::Desktop,
        Some(System::Appliance) | None => Device::Unknown,
    }
}

/// The browser that a text names, on this system. On Apple's systems an app that shows a page says
/// nothing; elsewhere `Safari` is said by all that use its engine.
fn browser(system: Option<System>, named: Option<Browser>) -> Browser {
    let apple = matches!(system, Some(System::Ios | System::Mac));
    match named {
        Some(Browser::Safari) if !apple => Browser::Other,
        Some(browser) => browser,
        None if apple => Browser::InApp,
        None => Browser::Other,
    }
}

/// The signs, ready to be looked for all at once.
struct Reader {
    automaton: AhoCorasick,
    /// For each text of the automaton the number of its line, what it means, and its place.
    signs: Vec<(usize, Meaning, Place)>,
}

static READER: LazyLock<Reader> = LazyLock::new(|| {
    let lines = TABLE.iter().enumerate();
    let (texts, signs): (Vec<&str>, Vec<_>) = lines
        .flat_map(|(line, &(meaning, place, texts))| {
            texts.iter().map(move |text| (*text, (line, meaning, place)))
        })
        .unzip();
    let automaton = AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(texts)
        .expect("a few hundred short texts fit an automaton");
    Reader { automaton, signs }
});

/// What was found in a text; a system or a browser with the line that names it.
#[derive(Default)]
struct Found {
    preview: bool,
    bot: bool,
    engine: bool,
    system: Option<(usize, System)>,
    browser: Option<(usize, Browser)>,
}

impl Found {
    fn in_text(text: &[u8]) -> Self {
        let mut found = Self::default();
        for hit in READER.automaton.find_overlapping_iter(text) {
            let Some(&(line, meaning, place)) = READER.signs.get(hit.pattern().as_usize()) else {
                continue;
            };
            if stands_at(place, text, &hit) {
                found.note(line, meaning);
            }
        }
        found
    }

    fn note(&mut self, line: usize, meaning: Meaning) {
        match meaning {
            Meaning::Preview => self.preview = true,
            Meaning::Bot => self.bot = true,
            Meaning::Engine => self.engine = true,
            Meaning::System(system) => {
                if self.system.is_none_or(|(earlier, _)| line < earlier) {
                    self.system = Some((line, system));
                }
            }
            Meaning::Browser(browser) => {
                if self.browser.is_none_or(|(earlier, _)| line < earlier) {
                    self.browser = Some((line, browser));
                }
            }
        }
    }
}

/// Whether a sign that was found stands where it must.
fn stands_at(place: Place, text: &[u8], hit: &Match) -> bool {
    match place {
        Place::Start => hit.start() == 0,
        Place::Anywhere => true,
        Place::WordEnd => ends_word(text, hit.end()) && !is_innocent(text, hit.end()),
        Place::Word => starts_word(text, hit.start()) && ends_word(text, hit.end()),
    }
}

fn is_letter(byte: Option<&u8>) -> bool {
    byte.is_some_and(u8::is_ascii_alphabetic)
}

/// Whether a word may start here: no letter touches a letter. (A sign like `; wv)` has none.)
fn starts_word(text: &[u8], start: usize) -> bool {
    let before = start.checked_sub(1).and_then(|before| text.get(before));
    !is_letter(before) || !is_letter(text.get(start))
}

/// Whether a word may end here.
fn ends_word(text: &[u8], end: usize) -> bool {
    starts_word(text, end)
}

/// Whether the word that ends here is one that only looks like a sign.
fn is_innocent(text: &[u8], end: usize) -> bool {
    INNOCENT.iter().any(|word| {
        let start = end.checked_sub(word.len());
        let same = |start| {
            text.get(start..end).is_some_and(|there| there.eq_ignore_ascii_case(word.as_bytes()))
        };
        start.is_some_and(|start| same(start) && starts_word(text, start))
    })
}

/// The longest text that is remembered, in bytes.
const LONGEST: usize = 512;

/// Texts with the same place, of which the latest used stands first.
const WAYS: usize = 4;

/// What a thread remembers of the texts that it has read, as most visitors send one of a few: then
/// a text costs a hash and a comparison, and no memory is taken.
#[derive(Debug)]
pub struct Agents {
    sets: Box<[[Known; WAYS]]>,
    hasher: RandomState,
}

/// A text that was read.
#[derive(Debug, Default)]
struct Known {
    hash: u64,
    text: Vec<u8>,
    /// `None` only as long as nothing was read into this place.
    agent: Option<Agent>,
}

impl Agents {
    /// Remembers about so many texts, each of at most 512 bytes; longer ones are read anew each
    /// time. The places depend on a random key, so that nobody can make texts that push each other
    /// out.
    pub fn new(entries: usize) -> Self {
        let sets = entries.div_ceil(WAYS).next_power_of_two();
        Self {
            sets: std::iter::repeat_with(Default::default).take(sets).collect(),
            hasher: RandomState::new(),
        }
    }

    /// What [`Agent::of`] says of this text.
    pub fn of(&mut self, user_agent: &[u8]) -> Agent {
        if user_agent.len() > LONGEST {
            return Agent::of(user_agent);
        }
        let hash = self.hasher.hash_one(user_agent);
        let last = u64::try_from(self.sets.len()).unwrap_or(1) - 1;
        let place = usize::try_from(hash & last).unwrap_or(0);
        let Some(ways) = self.sets.get_mut(place) else { return Agent::of(user_agent) };
        let here = ways.iter().position(|known| known.hash == hash && known.text == user_agent);
        // Whoever is wanted stands first from now on; a newcomer in place of the last.
        if let Some(passed) = ways.get_mut(..=here.unwrap_or(WAYS - 1)) {
            passed.rotate_right(1);
        }
        let [first, ..] = ways;
        if let (Some(_), Some(agent)) = (here, first.agent) {
            return agent;
        }
        let agent = Agent::of(user_agent);
        first.text.clear();
        first.text.extend_from_slice(user_agent);
        first.hash = hash;
        first.agent = Some(agent);
        agent
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use proptest::prelude::*;

    use super::*;

    /// A person's phone, with something put into its text.
    fn phone(model: &str) -> String {
        format!(
            "Mozilla/5.0 (Linux; Android 14; {model}) AppleWebKit/537.36 (KHTML, like Gecko) \
             Chrome/130.0.0.0 Mobile Safari/537.36"
        )
    }

    #[test]
    fn every_browser_has_a_name_of_its_own() {
        let names: HashSet<&str> = Browser::ALL.into_iter().map(Browser::name).collect();
        assert_eq!(names.len(), Browser::ALL.len());
        let plain = |name: &&str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        assert!(names.iter().all(plain), "{names:?}");
    }

    #[test]
    fn models_that_look_like_programs_are_phones() {
        for model in [
            "CUBOT_X18",
            "CUBOT X30",
            "Cubot KingKong 9",
            "cubot",
            "SM-S918B",
            "SAMSUNG SM-A546B",
            "ScanPal EDA50K",
            "com.intsig.CamScanner",
            "Robotics R1",
            "iRobotron",
            "Botox 3",
            "Abbott Two",
            "Fetchling",
            "Monitorix",
            "Javana",
        ] {
            let agent = Agent::of(phone(model).as_bytes());
            let expected =
                Agent { kind: Kind::Person, device: Device::Android, browser: Browser::Chrome };
            assert_eq!(agent, expected, "{model}");
        }
    }

    #[test]
    fn a_word_for_a_program_makes_a_program() {
        for model in [
            "Robot",
            "my-bot",
            "MyBot/1.0",
            "bot_7",
            "Scubot",
            "CUBOT; bot",
            "some crawler",
            "Spider",
            "deep scan",
            "LinkScanner",
            "Monitor",
            "image fetcher",
            "+https://example.com/about",
            "python",
        ] {
            let agent = Agent::of(phone(model).as_bytes());
            assert_eq!(agent, Agent::program(Kind::Bot), "{model}");
        }
        let preview = Agent::of(phone("Some Preview 2").as_bytes());
        assert_eq!(preview, Agent::program(Kind::Preview));
    }

    #[test]
    fn who_names_no_engine_is_no_browser() {
        for text in
            ["", " ", "-", "1.0", "0", "()", "Mozilla/5.0", "Mozilla", "\u{1f980}", "a", "null"]
        {
            assert_eq!(Agent::of(text.as_bytes()), Agent::program(Kind::Bot), "{text:?}");
        }
        assert_eq!(Agent::of(b"Mozilla/5.0 (Windows NT 10.0; Win64; x64)").kind, Kind::Bot);
    }

    #[test]
    fn chat_apps_fetch_under_their_own_name_and_show_pages_under_a_browsers() {
        assert_eq!(Agent::of(b"WhatsApp/2.23.20.0 A").kind, Kind::Preview);
        let shown = phone("Pixel 8; wv") + " WhatsApp/2.24";
        let expected =
            Agent { kind: Kind::Person, device: Device::Android, browser: Browser::InApp };
        assert_eq!(Agent::of(shown.as_bytes()), expected);
    }

    #[test]
    fn case_does_not_matter() {
        for model in ["Pixel 8", "Googlebot/2.1", "Pixel 8; wv", "CUBOT_X18"] {
            let text = phone(model);
            let expected = Agent::of(text.as_bytes());
            assert_eq!(Agent::of(text.to_ascii_lowercase().as_bytes()), expected, "{model}");
            assert_eq!(Agent::of(text.to_ascii_uppercase().as_bytes()), expected, "{model}");
        }
    }

    #[test]
    fn a_known_text_stays_where_it_is_and_the_oldest_leaves() {
        let mut agents = Agents::new(WAYS);
        let texts: Vec<String> = (0..=WAYS).map(|number| phone(&number.to_string())).collect();
        let (newest, first) = texts.split_last().expect("some texts");
        for text in first {
            agents.of(text.as_bytes());
        }
        let kept = |agents: &Agents| -> HashSet<Vec<u8>> {
            agents.sets.iter().flatten().map(|known| known.text.clone()).collect()
        };
        let all: HashSet<Vec<u8>> = first.iter().map(|text| text.clone().into_bytes()).collect();
        assert_eq!(kept(&agents), all);
        // Used again, the first is the latest; so the second has to leave.
        agents.of(texts[0].as_bytes());
        assert_eq!(kept(&agents), all);
        agents.of(newest.as_bytes());
        assert!(kept(&agents).contains(texts[0].as_bytes()));
        assert!(!kept(&agents).contains(texts[1].as_bytes()));
    }

    #[test]
    fn what_is_remembered_is_what_was_read_of_the_very_same_text() {
        let mut agents = Agents::new(1);
        for known in agents.sets.iter_mut().flatten() {
            // As if another text had the same hash.
            known.hash = agents.hasher.hash_one("curl/8".as_bytes());
            known.text = b"other".to_vec();
            known.agent = Some(Agent::of(phone("Pixel 8").as_bytes()));
        }
        assert_eq!(agents.of(b"curl/8"), Agent::program(Kind::Bot));
    }

    #[test]
    fn long_texts_are_read_and_not_kept() {
        let mut agents = Agents::new(WAYS);
        let fits = phone(&"x".repeat(LONGEST - phone("").len()));
        let long = phone(&"x".repeat(LONGEST - phone("").len() + 1));
        assert_eq!(agents.of(long.as_bytes()), Agent::of(long.as_bytes()));
        assert!(agents.sets.iter().flatten().all(|known| known.text.is_empty()));
        agents.of(fits.as_bytes());
        assert!(agents.sets.iter().flatten().any(|known| known.text == fits.as_bytes()));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic_and_remembered_as_read(
            texts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..20),
            entries in 0_usize..9,
        ) {
            let mut agents = Agents::new(entries);
            for text in texts.iter().chain(&texts) {
                prop_assert_eq!(agents.of(text), Agent::of(text));
            }
        }

        #[test]
        fn texts_of_signs_in_any_order_are_remembered_as_read(
            picks in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
        ) {
            let all: Vec<&str> = TABLE.iter().flat_map(|line| line.2).copied().collect();
            let text = picks.iter().map(|pick| *pick.get(&all)).collect::<Vec<_>>().join(" ");
            let mut agents = Agents::new(2);
            let first = agents.of(text.as_bytes());
            prop_assert_eq!(first, Agent::of(text.as_bytes()));
            prop_assert_eq!(agents.of(text.as_bytes()), first);
            prop_assert!(first.kind != Kind::Prefetch);
        }
    }
}
