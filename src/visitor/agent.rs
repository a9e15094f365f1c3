//! What a `User-Agent` says: a person's browser or a program, and which; on which device.
//!
//! One pass over the text finds all the words of a table that stand in it; what they mean together is
//! decided afterwards. Whatever does not begin as browsers begin is a program.

use std::hash::{BuildHasher, RandomState};
use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::{Device, Kind};

/// The browser, coarsely: brands, not versions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Browser {
    /// Chrome, and those that do not say what else they are.
    Chrome,
    /// Safari.
    Safari,
    /// Firefox.
    Firefox,
    /// Edge.
    Edge,
    /// Opera and Opera Mini.
    Opera,
    /// Samsung Internet.
    SamsungInternet,
    /// UC Browser.
    UcBrowser,
    /// The browser of Yandex.
    Yandex,
    /// The browser of Xiaomi.
    MiBrowser,
    /// The browser of Huawei.
    HuaweiBrowser,
    /// A page within another app: Facebook, Instagram and the like.
    InApp,
    /// None of these, or no browser at all.
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
    /// The device; of programs it is not known.
    pub device: Device,
    /// The browser; of programs, none.
    pub browser: Browser,
}

// What a word means. A text has the meanings of all words in it.
const PREVIEW: u64 = 1;
const BOT: u64 = 1 << 1;
/// Only where it ends a word: `Googlebot/2.1`, but not `botany`, and not the phones called CUBOT.
const BOT_AT_AN_END: u64 = 1 << 2;
const IOS: u64 = 1 << 3;
const ANDROID: u64 = 1 << 4;
const OTHER_MOBILE: u64 = 1 << 5;
/// A mobile thing whatever else it claims to be.
const SURELY_OTHER_MOBILE: u64 = 1 << 6;
const TELEVISION: u64 = 1 << 7;
const DESKTOP: u64 = 1 << 8;
const IN_APP: u64 = 1 << 9;
const EDGE: u64 = 1 << 10;
const OPERA: u64 = 1 << 11;
const SAMSUNG: u64 = 1 << 12;
const UC: u64 = 1 << 13;
const YANDEX: u64 = 1 << 14;
const MI: u64 = 1 << 15;
const HUAWEI: u64 = 1 << 16;
const FIREFOX: u64 = 1 << 17;
const CHROME: u64 = 1 << 18;
const SAFARI: u64 = 1 << 19;
const TIZEN: u64 = 1 << 20;
/// A preview, unless the text begins like a browser: then somebody reads within the app.
const PREVIEW_ALONE: u64 = 1 << 21;

/// The words, in small letters, and what they mean.
const WORDS: &[(&str, u64)] = &[
    // Programs that fetch a link in order to show in a conversation what is behind it.
    ("facebookexternalhit", PREVIEW),
    ("facebot", PREVIEW),
    ("twitterbot", PREVIEW),
    ("whatsapp/", PREVIEW),
    ("telegrambot", PREVIEW),
    ("slackbot", PREVIEW),
    ("slack-imgproxy", PREVIEW),
    ("discordbot", PREVIEW),
    ("linkedinbot", PREVIEW),
    ("skypeuripreview", PREVIEW),
    ("microsoftpreview", PREVIEW),
    ("teamsbot", PREVIEW),
    ("line-poker", PREVIEW),
    ("vkshare", PREVIEW),
    ("pinterest/0.", PREVIEW),
    ("redditbot", PREVIEW),
    ("snap url preview", PREVIEW),
    ("iframely", PREVIEW),
    ("embedly", PREVIEW),
    ("kakaotalk-scrap", PREVIEW),
    ("zalo", PREVIEW_ALONE),
    ("mastodon/", PREVIEW),
    ("pleroma", PREVIEW),
    ("misskey", PREVIEW),
    ("bluesky cardyb", PREVIEW),
    ("google-pagerenderer", PREVIEW),
    ("google-extended-preview", PREVIEW),
    ("zoom.chatpreview", PREVIEW),
    ("notionembedder", PREVIEW),
    ("synapse", PREVIEW),
    ("mattermost-bot", PREVIEW),
    ("rocket.chat", PREVIEW),
    ("zulip", PREVIEW),
    ("flipboardproxy", PREVIEW),
    ("tumblr/", PREVIEW_ALONE),
    ("viber", PREVIEW_ALONE),
    ("urlpreview", PREVIEW),
    ("linkpreview", PREVIEW),
    ("link preview", PREVIEW),
    // Programs that call themselves what they are. Whatever does not begin like a browser is one as
    // well, so most libraries need no word here.
    ("bot", BOT_AT_AN_END),
    ("crawl", BOT),
    ("spider", BOT),
    ("slurp", BOT),
    ("scraper", BOT),
    ("scanner", BOT),
    ("fetcher", BOT),
    ("archiver", BOT),
    ("validator", BOT),
    ("linkcheck", BOT),
    ("monitoring", BOT),
    ("+http", BOT),
    ("mediapartners-google", BOT),
    ("google-inspectiontool", BOT),
    ("google-read-aloud", BOT),
    ("googleother", BOT),
    ("googleimageproxy", BOT),
    ("google-safety", BOT),
    ("google favicon", BOT),
    ("google web preview", BOT),
    ("bingpreview", BOT),
    ("chatgpt-user", BOT),
    ("claude-user", BOT),
    ("perplexity-user", BOT),
    ("meta-external", BOT),
    ("mistralai-user", BOT),
    ("duckassist", BOT),
    ("ia_archiver", BOT),
    ("archive.org", BOT),
    ("headlesschrome", BOT),
    ("phantomjs", BOT),
    ("lighthouse", BOT),
    ("pagespeed", BOT),
    ("gtmetrix", BOT),
    ("puppeteer", BOT),
    ("playwright", BOT),
    ("selenium", BOT),
    ("cypress/", BOT),
    ("prerender", BOT),
    ("pingdom", BOT),
    ("statuscake", BOT),
    ("site24x7", BOT),
    ("datadog", BOT),
    ("newrelic", BOT),
    ("catchpoint", BOT),
    ("dynatrace", BOT),
    ("barracuda", BOT),
    ("mimecast", BOT),
    ("proofpoint", BOT),
    ("virustotal", BOT),
    ("urlscan", BOT),
    ("netcraft", BOT),
    ("censys", BOT),
    ("nmap", BOT),
    ("zgrab", BOT),
    ("nuclei", BOT),
    ("windowspowershell", BOT),
    ("feedly", BOT),
    ("feedfetcher", BOT),
    // Devices.
    ("iphone", IOS),
    ("ipad", IOS),
    ("ipod", IOS),
    ("android", ANDROID),
    ("windows phone", SURELY_OTHER_MOBILE),
    ("iemobile", SURELY_OTHER_MOBILE),
    ("kaios", SURELY_OTHER_MOBILE),
    ("openharmony", SURELY_OTHER_MOBILE),
    ("blackberry", OTHER_MOBILE),
    ("bb10", OTHER_MOBILE),
    ("symbian", OTHER_MOBILE),
    ("series60", OTHER_MOBILE),
    ("series40", OTHER_MOBILE),
    ("nokia", OTHER_MOBILE),
    ("j2me", OTHER_MOBILE),
    ("midp", OTHER_MOBILE),
    ("opera mini", OTHER_MOBILE),
    ("opera mobi", OTHER_MOBILE),
    ("mobile", OTHER_MOBILE),
    ("tizen", TIZEN),
    ("smart-tv", TELEVISION),
    ("smarttv", TELEVISION),
    ("web0s", TELEVISION),
    ("hbbtv", TELEVISION),
    ("netcast", TELEVISION),
    ("viera", TELEVISION),
    ("roku", TELEVISION),
    ("apple tv", TELEVISION),
    ("appletv", TELEVISION),
    ("crkey", TELEVISION),
    ("playstation", TELEVISION),
    ("nintendo", TELEVISION),
    ("xbox", TELEVISION),
    ("windows nt", DESKTOP),
    ("macintosh", DESKTOP),
    ("x11;", DESKTOP),
    ("cros ", DESKTOP),
    ("linux x86_64", DESKTOP),
    // Browsers.
    ("fban/", IN_APP),
    ("fbav/", IN_APP),
    ("fb_iab", IN_APP),
    ("instagram", IN_APP),
    ("threads ", IN_APP),
    ("musical_ly", IN_APP),
    ("bytedancewebview", IN_APP),
    ("bytelocale", IN_APP),
    ("tiktok", IN_APP),
    ("micromessenger", IN_APP),
    (" line/", IN_APP),
    ("snapchat", IN_APP),
    ("[pinterest/", IN_APP),
    ("linkedinapp", IN_APP),
    ("twitter for", IN_APP),
    ("kakaotalk ", IN_APP),
    (" gsa/", IN_APP),
    ("; wv)", IN_APP),
    ("edg/", EDGE),
    ("edga/", EDGE),
    ("edgios/", EDGE),
    ("edge/", EDGE),
    ("opr/", OPERA),
    ("opios/", OPERA),
    ("opt/", OPERA),
    ("opera", OPERA),
    ("samsungbrowser", SAMSUNG),
    ("ucbrowser", UC),
    ("ucweb", UC),
    ("yabrowser", YANDEX),
    ("miuibrowser", MI),
    ("huaweibrowser", HUAWEI),
    ("firefox/", FIREFOX),
    ("fxios/", FIREFOX),
    ("focus/", FIREFOX),
    ("crios/", CHROME),
    ("chrome/", CHROME),
    ("chromium/", CHROME),
    ("safari/", SAFARI),
    ("applewebkit/", SAFARI),
];

/// How the `User-Agent`s of browsers begin, in small letters; and of old telephones.
const BEGINNINGS: &[&str] = &["mozilla/", "opera/", "ucweb/", "nokia", "blackberry", "samsung-"];

static FINDER: LazyLock<AhoCorasick> = LazyLock::new(|| {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(WORDS.iter().map(|(word, _)| word))
        .expect("a few hundred short words are no trouble")
});

impl Agent {
    /// A program that does not say what it is.
    const UNKNOWN_BOT: Self =
        Self { kind: Kind::Bot, device: Device::Unknown, browser: Browser::Other };

    /// Reads a `User-Agent`, empty if there was none.
    pub fn of(text: &[u8]) -> Self {
        let meaning = meaning_of(text);
        let has = |mark: u64| meaning & mark != 0;
        let begins_well = BEGINNINGS.iter().any(|beginning| {
            text.get(..beginning.len())
                .is_some_and(|it| it.eq_ignore_ascii_case(beginning.as_bytes()))
        });
        // `Mozilla/5.0` and nothing about the system is a program as well.
        let is_browser = (begins_well && text.contains(&b'(')) || has(IN_APP);
        if has(PREVIEW) || (has(PREVIEW_ALONE) && !is_browser) {
            return Self { kind: Kind::Preview, ..Self::UNKNOWN_BOT };
        }
        if has(BOT) || !is_browser {
            return Self::UNKNOWN_BOT;
        }
        Self { kind: Kind::Person, device: device(meaning), browser: browser(meaning) }
    }
}

/// The meanings of all words in a text.
fn meaning_of(text: &[u8]) -> u64 {
    let mut meaning = 0;
    for found in FINDER.find_overlapping_iter(text) {
        let mark = WORDS.get(found.pattern().as_usize()).map_or(0, |(_, mark)| *mark);
        meaning |= match mark {
            BOT_AT_AN_END if is_bot(text, found.start(), found.end()) => BOT,
            BOT_AT_AN_END => 0,
            mark => mark,
        };
    }
    meaning
}

/// Whether the `bot` at this place is the end of a program's name.
fn is_bot(text: &[u8], start: usize, end: usize) -> bool {
    let goes_on = text.get(end).is_some_and(u8::is_ascii_alphabetic);
    let before = text.get(start.saturating_sub(3)..start).unwrap_or_default();
    let is_phone = match before {
        [.., c, u] if c.eq_ignore_ascii_case(&b'c') && u.eq_ignore_ascii_case(&b'u') => {
            before.len() < 3 || !before.first().is_some_and(u8::is_ascii_alphabetic)
        }
        _ => false,
    };
    !goes_on && !is_phone
}

fn device(meaning: u64) -> Device {
    let has = |mark: u64| meaning & mark != 0;
    if has(SURELY_OTHER_MOBILE) {
        Device::OtherMobile
    } else if has(TELEVISION) || (has(TIZEN) && !has(OTHER_MOBILE)) {
        Device::Unknown
    } else if has(IOS) {
        Device::Ios
    } else if has(ANDROID) {
        Device::Android
    } else if has(OTHER_MOBILE) {
        Device::OtherMobile
    } else if has(DESKTOP) {
        Device::Desktop
    } else {
        Device::Unknown
    }
}

/// The brand: those that also call themselves Chrome or Safari come before these.
fn browser(meaning: u64) -> Browser {
    let brands = [
        (IN_APP, Browser::InApp),
        (EDGE, Browser::Edge),
        (OPERA, Browser::Opera),
        (SAMSUNG, Browser::SamsungInternet),
        (UC, Browser::UcBrowser),
        (YANDEX, Browser::Yandex),
        (MI, Browser::MiBrowser),
        (HUAWEI, Browser::HuaweiBrowser),
        (FIREFOX, Browser::Firefox),
        (CHROME, Browser::Chrome),
        (SAFARI, Browser::Safari),
    ];
    let found = brands.into_iter().find(|(mark, _)| meaning & mark != 0);
    found.map_or(Browser::Other, |(_, browser)| browser)
}

/// A text and what it says.
type Known = (Box<[u8]>, Agent);

/// Agents that were read before: most visitors of a moment have one of a few hundred.
#[derive(Debug)]
pub struct Agents {
    places: Box<[Option<Known>]>,
    hasher: RandomState,
}

/// Longer texts are read anew each time.
const LONGEST_KEPT: usize = 512;

impl Agents {
    /// Remembers up to `entries` agents.
    pub fn new(entries: usize) -> Self {
        let entries = entries.next_power_of_two();
        Self {
            places: std::iter::repeat_with(|| None).take(entries).collect(),
            hasher: RandomState::new(),
        }
    }

    /// What a `User-Agent` says. A text that takes another's place has it from then on.
    pub fn of(&mut self, user_agent: &[u8]) -> Agent {
        let hash = usize::try_from(self.hasher.hash_one(user_agent) >> 32).unwrap_or(0);
        let last = self.places.len() - 1;
        match self.places.get_mut(hash & last) {
            Some(Some((text, agent))) if **text == *user_agent => *agent,
            Some(place) if user_agent.len() <= LONGEST_KEPT => {
                let agent = Agent::of(user_agent);
                *place = Some((user_agent.into(), agent));
                agent
            }
            Some(_) | None => Agent::of(user_agent),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_phone_called_cubot_is_a_persons() {
        for (text, kind) in [
            ("Mozilla/5.0 (Linux; Android 12; CUBOT_X18) Chrome/120.0", Kind::Person),
            ("Mozilla/5.0 (Linux; Android 12; Cubot KingKong) Chrome/120.0", Kind::Person),
            ("Mozilla/5.0 (Linux; Android 12; X) Chrome/120.0 acubot/1.0", Kind::Bot),
            ("Mozilla/5.0 (compatible; bot)", Kind::Bot),
            ("Mozilla/5.0 (X11; Linux; botany)", Kind::Person),
        ] {
            assert_eq!(Agent::of(text.as_bytes()).kind, kind, "{text}");
        }
    }

    #[test]
    fn an_agent_is_remembered_as_it_was_read() {
        let mut agents = Agents::new(2);
        let texts =
            ["curl/8", "Mozilla/5.0 (iPhone) Safari/1", "Mozilla/5.0 (X11; Linux) Firefox/1", ""];
        for _ in 0..3 {
            for text in texts {
                assert_eq!(agents.of(text.as_bytes()), Agent::of(text.as_bytes()), "{text}");
            }
        }
        let long = vec![b'a'; 10_000];
        assert_eq!(agents.of(&long), Agent::of(&long));
        let kept = agents.places.iter().flatten().all(|(text, _)| text.len() <= LONGEST_KEPT);
        assert!(kept);
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in proptest::collection::vec(any::<u8>(), 0..600)) {
            let agent = Agent::of(&text);
            prop_assert!(agent.kind != Kind::Prefetch);
            prop_assert!(agent.kind == Kind::Person || agent.device == Device::Unknown);
        }
    }
}
