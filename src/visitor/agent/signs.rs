//! The table of what the text of a `User-Agent` gives away.
//!
//! A line is a meaning, where its texts must stand, and the texts; upper and lower case are the
//! same. Of two lines that name a system, or a browser, the earlier one counts: hence apps stand
//! before the browsers that they pretend to be, and televisions before their Linux.

use super::Browser;

/// What a sign means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    /// Fetches links to show what is behind them. Counts more than all else.
    Preview,
    /// A program, whatever else the text says.
    Bot,
    /// A browser's engine: what has none of these is a program as well.
    Engine,
    /// What it runs on.
    System(System),
    /// Which browser it is, or pretends to be.
    Browser(Browser),
}

/// What a browser runs on, more finely than [`Device`](super::Device): Safari is Apple's alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum System {
    /// A television, a console, a car, a headset.
    Appliance,
    Ios,
    Android,
    OtherMobile,
    Mac,
    OtherDesktop,
}

/// Where in the text a sign must stand.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// At its beginning. There chat apps name themselves when they fetch a link; further behind
    /// they do so when a person looks at a page inside the app.
    Start,
    /// Anywhere.
    Anywhere,
    /// At the end of a word, as in `Googlebot/2.1`: no letter follows.
    WordEnd,
    /// As a word: no letter stands before or after.
    Word,
}

/// A line of the table.
pub(super) type Line = (Meaning, Place, &'static [&'static str]);

/// Words that end like a sign and mean something else: CUBOT makes phones, and `CamScanner`
/// is an app for paper.
pub(super) const INNOCENT: &[&str] = &["cubot", "camscan", "camscanner"];

/// The table.
pub(super) const TABLE: &[Line] = &[
    // Who shows in a chat or on a wall what is behind a link.
    (Meaning::Preview, Place::Start, &["WhatsApp/", "Viber", "Zalo", "Tumblr/", "Pinterest/0."]),
    (Meaning::Preview, Place::Anywhere, NETWORKS),
    (Meaning::Preview, Place::Anywhere, SERVERS),
    (Meaning::Preview, Place::WordEnd, &["preview", "previews", "previewer", "unfurl", "unfurler"]),
    // Programs: by the words that they use for themselves, by the address that only programs give,
    // and by name where they look like a browser otherwise.
    (Meaning::Bot, Place::WordEnd, WORDS),
    (Meaning::Bot, Place::Anywhere, &["crawl", "http://", "https://"]),
    (Meaning::Bot, Place::Anywhere, WITHOUT_SCREEN),
    (Meaning::Bot, Place::Anywhere, MONITORS),
    (Meaning::Bot, Place::Anywhere, SCANNERS),
    (Meaning::Bot, Place::Anywhere, READERS),
    (Meaning::Bot, Place::Word, LIBRARIES),
    // What browsers are built on. Text browsers and the oldest phones name nothing of the kind.
    (Meaning::Engine, Place::Word, &["AppleWebKit/", "KHTML/", "Gecko/", "Goanna/", "Servo/"]),
    (Meaning::Engine, Place::Word, &["Trident/", "MSIE", "Presto/", "Opera/", "UCWEB", "MIDP"]),
    (Meaning::Engine, Place::Start, &["Lynx/", "w3m/", "ELinks/", "Dillo/", "NetSurf/"]),
    // Systems. A Windows phone says that it is an Android like an iPhone, a KaiOS phone may say
    // Android, and an Android says Linux.
    (Meaning::System(System::Appliance), Place::Anywhere, TELEVISIONS),
    (Meaning::System(System::Appliance), Place::Word, &["PlayStation", "Nintendo", "Xbox"]),
    (Meaning::System(System::Appliance), Place::Word, &["OculusBrowser", "FamilyHub", "Tesla/"]),
    (Meaning::System(System::OtherDesktop), Place::Anywhere, &["(PC; OpenHarmony"]),
    (Meaning::System(System::OtherMobile), Place::Word, &["Windows Phone", "IEMobile", "KAIOS"]),
    (Meaning::System(System::OtherMobile), Place::Word, &["Tizen", "OpenHarmony", "like Android"]),
    (Meaning::System(System::Ios), Place::Word, &["iPhone", "iPad", "iPod", "iPh OS"]),
    // An iPad that says it is a Mac: these browsers have other names there.
    (Meaning::System(System::Ios), Place::Word, &["CriOS/", "FxiOS/", "EdgiOS/", "OPiOS/"]),
    (Meaning::System(System::Android), Place::Word, &["Android", "Adr"]),
    (Meaning::System(System::Ios), Place::Anywhere, &["Mobile/15E148"]),
    (Meaning::System(System::OtherMobile), Place::Anywhere, OLD_PHONES),
    (Meaning::System(System::OtherMobile), Place::Word, &["Mobile", "HarmonyOS"]),
    (Meaning::System(System::Mac), Place::Word, &["Macintosh"]),
    (Meaning::System(System::OtherDesktop), Place::Word, &["Windows", "X11", "CrOS", "Linux"]),
    // Browsers: apps first, then those that are counted as `other`, then the rest by how much they
    // pretend. All of them say Safari, most say Chrome.
    (Meaning::Browser(Browser::InApp), Place::Word, APPS),
    (Meaning::Browser(Browser::InApp), Place::Anywhere, &["musical_ly", "BytedanceWebview"]),
    (Meaning::Browser(Browser::Other), Place::Word, OTHERS),
    (Meaning::Browser(Browser::SamsungInternet), Place::Word, &["SamsungBrowser"]),
    (Meaning::Browser(Browser::UcBrowser), Place::Word, &["UCBrowser", "UCWEB", "UBrowser"]),
    (Meaning::Browser(Browser::HuaweiBrowser), Place::Word, &["HuaweiBrowser", "HBPC/"]),
    (Meaning::Browser(Browser::MiBrowser), Place::Word, &["MiuiBrowser"]),
    (Meaning::Browser(Browser::Yandex), Place::Word, &["YaBrowser", "YaSearchBrowser"]),
    (Meaning::Browser(Browser::Edge), Place::Word, &["Edg/", "EdgA/", "EdgiOS/", "Edge/"]),
    (Meaning::Browser(Browser::Opera), Place::Word, &["OPR/", "OPiOS/", "OPT/", "OPX/"]),
    (Meaning::Browser(Browser::Opera), Place::Word, &["Opera", "Opera Mini"]),
    (Meaning::Browser(Browser::InApp), Place::Anywhere, &["; wv)", "Electron/"]),
    (Meaning::Browser(Browser::Firefox), Place::Word, &["Firefox/", "FxiOS/", "Focus/"]),
    (Meaning::Browser(Browser::Chrome), Place::Word, &["Chrome/", "CriOS/", "Chromium/"]),
    (Meaning::Browser(Browser::Safari), Place::Word, &["Safari/"]),
];

/// Networks and messengers. That of iMessage names two others: `facebookexternalhit Twitterbot`;
/// Signal's says `WhatsApp/2`, and that of Threads says that it is Facebook's.
const NETWORKS: &[&str] = &[
    "facebookexternalhit",
    "Facebot",
    "Twitterbot",
    "TelegramBot",
    "Slackbot-LinkExpanding",
    "Slack-ImgProxy",
    "Discordbot",
    "LinkedInBot",
    "SkypeUriPreview",
    "MicrosoftPreview",
    "WebexTeams",
    "vkShare",
    "OdklBot",
    "redditbot",
    "Snap URL Preview",
    "kakaotalk-scrap",
    "line-poker",
    "Cardyb",
    "NotionEmbedder",
    "XING-contenttabreceiver",
    "FlipboardProxy",
    "MetaTagFetcher",
    "WebsiteMetadataRetriever",
    "GoogleMessages/",
];

/// Servers that do it for others, and those that everybody can run.
const SERVERS: &[&str] = &[
    "Google-PageRenderer",
    "developers.google.com/+/web/snippet",
    "Iframely",
    "Embedly",
    "Mastodon/",
    "Misskey/",
    "SummalyBot",
    "Pleroma",
    "Akkoma",
    "Lemmy/",
    "Friendica",
    "Synapse (bot",
    "Mattermost-Bot",
    "Rocket.Chat",
    "ZulipURLPreview",
    "Discourse Forum Onebox",
];

/// What programs call themselves.
const WORDS: &[&str] = &[
    "bot",
    "bots",
    "spider",
    "slurp",
    "scan",
    "scanner",
    "scanning",
    "monitor",
    "monitoring",
    "fetch",
    "fetcher",
    "archiver",
    "validator",
];

/// Browsers without a person in front of them.
const WITHOUT_SCREEN: &[&str] = &[
    "HeadlessChrome",
    "PhantomJS",
    "Lighthouse",
    "Puppeteer",
    "Playwright",
    "Selenium",
    "Cypress/",
    "jsdom",
    "PTST/",
    "GTmetrix",
    "DareBoost",
    "Google Page Speed",
];

/// Watchers of sites that send a browser's text with their name at its end.
const MONITORS: &[&str] = &[
    "Pingdom",
    "StatusCake",
    "Site24x7",
    "DatadogSynthetics",
    "NewRelicPinger",
    "Catchpoint",
    "ThousandEyes",
    "RuxitSynthetic",
    "Checkly",
    "HetrixTools",
    "DMBrowser",
];

/// Scanners of mails and links that name themselves, and those that look for holes.
const SCANNERS: &[&str] = &[
    "Barracuda",
    "Mimecast",
    "proofpoint",
    "TrendMicro",
    "FireEye",
    "LinkCheck",
    "VirusTotal",
    "Netcraft",
    "CensysInspect",
    "zgrab",
    "Nuclei",
    "sqlmap",
    "Nikto",
    "Nmap Scripting",
    "WhatWeb",
];

/// Readers on behalf of models, search engines and mail boxes; Office looks at a link before it gives
/// it to a browser.
const READERS: &[&str] = &[
    "GPTBot",
    "ChatGPT-User",
    "Claude-User",
    "Claude-Web",
    "anthropic-ai",
    "Perplexity-User",
    "MistralAI-User",
    "cohere-ai",
    "meta-externalagent",
    "meta-externalfetcher",
    "GoogleOther",
    "Google-InspectionTool",
    "Google-Read-Aloud",
    "DuplexWeb-Google",
    "Google Favicon",
    "GoogleImageProxy",
    "YahooMailProxy",
    "ms-office",
    "Mediapartners-Google",
    "AppEngine-Google",
    "HTTrack",
    "Nutch",
];

/// Tools and libraries, for the case that they are told to look like a browser. As they come they
/// need no sign: they name no engine.
const LIBRARIES: &[&str] = &[
    "curl",
    "Wget",
    "python",
    "Python-urllib",
    "python-requests",
    "aiohttp",
    "httpx",
    "Go-http-client",
    "okhttp",
    "Apache-HttpClient",
    "Java/",
    "axios",
    "node-fetch",
    "undici",
    "libwww-perl",
    "GuzzleHttp",
    "PostmanRuntime",
    "WindowsPowerShell",
    "Scrapy",
];

const TELEVISIONS: &[&str] = &[
    "SMART-TV",
    "SmartTV",
    "HbbTV",
    "Web0S",
    "NetCast",
    "AppleTV",
    "Apple TV",
    "GoogleTV",
    "Android TV",
    "BRAVIA",
    "; AFT",
    "CrKey",
    "Roku",
    "VIDAA",
    "Viera",
];

const OLD_PHONES: &[&str] = &[
    "MIDP",
    "J2ME",
    "Symbian",
    "Series60",
    "Series40",
    "BlackBerry",
    "BB10",
    "PlayBook",
    "Bada/",
    "Sailfish",
    "webOS/",
    "hpwOS",
];

/// Apps in which a person looks at a page without leaving them.
const APPS: &[&str] = &[
    "FBAN",
    "FBAV",
    "FB_IAB",
    "Instagram",
    "Barcelona",
    "TikTok",
    "trill",
    "MicroMessenger",
    "WhatsApp",
    "Line/",
    "Snapchat",
    "Pinterest",
    "LinkedInApp",
    "Twitter for iPhone",
    "Twitter for iPad",
    "TwitterAndroid",
    "Telegram-Android",
    "KAKAOTALK",
    "NAVER",
    "Zalo",
    "ZaloPC",
    "Viber",
    "Weibo",
    "QQ/",
    "AlipayClient",
    "DingTalk",
    "baiduboxapp",
    "VKAndroidApp",
    "BingWeb",
    "GSA/",
];

/// Browsers that are not told apart. Most of them say Chrome or Safari as well.
const OTHERS: &[&str] = &[
    "DuckDuckGo/",
    "Ddg/",
    "Brave",
    "Vivaldi",
    "Ecosia",
    "Whale/",
    "QQBrowser",
    "MQQBrowser",
    "MetaSr",
    "Silk/",
    "Puffin",
    "VivoBrowser",
    "HeyTapBrowser",
    "coc_coc_browser",
    "PhoenixBrowser",
    "Maxthon",
    "SeaMonkey",
    "PaleMoon",
    "OculusBrowser",
    "Epiphany",
    "MSIE",
    "Trident/",
];
