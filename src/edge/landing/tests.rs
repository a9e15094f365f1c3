use http_body_util::BodyExt;
use hyper::header::{ACCEPT, ACCEPT_LANGUAGE, HeaderMap};
use hyper::{StatusCode, body::Bytes};
use url::Url;

use super::assets::Assets;
use super::notice::Unknown;
use super::page::{Pages, Visit};
use super::stores::Handset;
use crate::campaign::document::{self, Format};
use crate::campaign::live::Current;
use crate::campaign::{Campaign, CampaignNumber, State, Store, StoreKind, Version};
use crate::edge::redirect::Answer;

const DEMO: &str = include_str!("../../../config/campaigns/demo.toml");
const LANGUAGES: [&str; 5] = ["en", "es", "hi", "id", "zh"];
const TOKEN: &str = "AbCdEfGhIjKlMnOpQrStUvWxYz0123456789_-AbCdEfGhIjKlMnOpQr";
const CODE: &str = "8F3K2M";
const URL: &str = "https://go.example.com/r/8F3K2M";

fn demo() -> Campaign {
    document::parse(DEMO, Format::Toml).expect("the demo is good")
}

fn pages(campaign: Campaign) -> Pages {
    let current = Current {
        id: "demo".parse().expect("a name"),
        number: CampaignNumber(1),
        version: Version(1),
        state: State::Active,
        campaign,
    };
    Pages::new(&current, &Url::parse("https://go.example.com").expect("a URL"), &Assets::new())
}

fn visit(language: &str, handset: Handset) -> Visit<'_> {
    Visit { language, handset, code: CODE, inviter: Some("Siti R•••"), token: TOKEN }
}

fn text(page: &Bytes) -> &str {
    std::str::from_utf8(page).expect("text")
}

/// The status, the headers and the body of an answer that is ready.
fn parts(answer: Answer) -> (StatusCode, HeaderMap, String) {
    let (head, body) = answer.into_parts();
    let mut collected = std::pin::pin!(body.collect());
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let std::task::Poll::Ready(Ok(body)) = collected.as_mut().poll(&mut context) else {
        panic!("the body is not ready")
    };
    (head.status, head.headers, text(&body.to_bytes()).to_owned())
}

/// Panics at what a careful writer would not have written, and at everything that the policy of the
/// pages forbids.
fn check(page: &str) {
    let rest = page.strip_prefix("<!DOCTYPE html>").expect("a document type");
    assert!(!rest.contains(char::is_control), "a hole was left, or a line break came in: {page}");
    let mut open: Vec<&str> = Vec::new();
    for part in rest.split('<').skip(1) {
        let (tag, text) = part.split_once('>').expect("a tag that ends");
        assert!(!text.contains(['>', '"']), "unescaped: {text}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "{page}");
            continue;
        }
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        assert!(name != "style", "an inline style");
        assert!(name != "script" || text.is_empty(), "an inline script");
        assert_eq!(attributes.matches('"').count() % 2, 0, "<{tag}>");
        for (place, outside) in attributes.split('"').enumerate() {
            let name = outside.trim().trim_end_matches('=');
            if place % 2 == 0 && !name.is_empty() {
                assert!(name.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "<{tag}>");
                assert!(name != "style" && !name.starts_with("on"), "<{tag}>");
            }
        }
        if !["meta", "link", "img"].contains(&name) {
            open.push(name);
        }
    }
    assert_eq!(open, [""; 0], "{page}");
}

#[test]
fn every_page_is_well_formed_and_has_nothing_inline() {
    let pages = pages(demo());
    for language in LANGUAGES {
        for handset in Handset::ALL {
            for inviter in [None, Some("Siti R•••")] {
                let page = pages.landing(&Visit { inviter, ..visit(language, handset) });
                check(text(&page));
            }
        }
        for answer in [
            pages.ended(language, &HeaderMap::new()),
            pages.not_yet(language, &HeaderMap::new()),
            Unknown::new(&Assets::new())
                .answer(Some(&format!("lang={language}")), &HeaderMap::new()),
        ] {
            check(&parts(answer).2);
        }
    }
}

#[test]
fn every_page_has_what_there_is_to_know_in_every_language() {
    let campaign = demo();
    let pages = pages(campaign.clone());
    for (language, texts) in &campaign.texts {
        let words = campaign.words(language).expect("words");
        let last_day = words.written(jiff::civil::date(2030, 12, 31));
        for handset in Handset::ALL {
            let page = pages.landing(&visit(language, handset));
            let page = text(&page);
            let flat = page.replace('\u{a0}', " ");
            for part in [&texts.title, &texts.description, &texts.invitee_gets, &texts.inviter_gets]
                .into_iter()
                .chain(&texts.steps)
                .chain([&words.you_get, &words.friend_gets, &words.your_code, &words.copy])
                .chain([&words.copied, &words.how_it_works, &words.terms, &last_day])
            {
                assert!(flat.contains(part.as_str()), "{language} {handset:?}: no '{part}'");
            }
            for part in [
                format!("<html lang=\"{language}\">"),
                format!("<link rel=\"canonical\" href=\"{URL}\">"),
                format!("<meta property=\"og:url\" content=\"{URL}\">"),
                format!(
                    "<b aria-hidden=\"true\">{CODE}</b><span class=\"spoken\">8 F 3 K 2 M</span>"
                ),
                format!("data-copy=\"{CODE}\""),
                "<bdi>Siti R•••</bdi>".to_owned(),
                "<time datetime=\"2030-12-31\">".to_owned(),
                "href=\"https://www.example.com/terms\"".to_owned(),
            ] {
                assert!(page.contains(&part), "{language} {handset:?}: no '{part}'");
            }
            for other in LANGUAGES {
                let link = format!("href=\"?lang={other}\"");
                assert_eq!(page.contains(&link), other != language, "{language} {other}");
            }
        }
    }
}

#[test]
fn each_device_has_its_own_way_to_the_app() {
    let pages = pages(demo());
    let play = "https://play.google.com/store/apps/details?id=com.example.pinjam&amp;referrer=\
                wp_click%3DAbCdEfGhIjKlMnOpQrStUvWxYz0123456789_-AbCdEfGhIjKlMnOpQr%26utm_source\
                %3Dwaypost";
    let huawei = "https://appgallery.huawei.com/app/C1234567?";
    let apple = "https://apps.apple.com/app/id1234567890";
    for (handset, primary, present, absent) in [
        (
            Handset::Android,
            play,
            &[huawei, "Also here"][..],
            &["Copy invitation link", "qr.svg", apple][..],
        ),
        (Handset::AndroidWithoutGoogle, huawei, &[play], &["qr.svg", apple]),
        (Handset::Ios, apple, &["Copy invitation link"], &["qr.svg", play, huawei, "Also here"]),
        (
            Handset::None,
            "",
            &[play, apple, "<img class=\"qr\" src=\"/r/8F3K2M/qr.svg\""],
            &["Copy invitation link"],
        ),
    ] {
        let page = pages.landing(&visit("en", handset));
        let page = text(&page);
        let button = page.split("<a class=\"button\" href=\"").nth(1).unwrap_or_default();
        assert!(button.starts_with(primary), "{handset:?}: {button}");
        assert_eq!(button.is_empty(), primary.is_empty(), "{handset:?}");
        for part in present {
            assert!(page.contains(part), "{handset:?}: no '{part}'");
        }
        for part in absent {
            assert!(!page.contains(part), "{handset:?}: '{part}'");
        }
        let link = format!("data-copy=\"{URL}?wp_click={TOKEN}\"");
        assert_eq!(page.contains(&link), handset == Handset::Ios, "{handset:?}");
    }
}

#[test]
fn a_hostile_name_stays_a_name() {
    let pages = pages(demo());
    let inviter = Some("\"><script>alert(1)</script>&amp;\u{202e}<img src=x onerror=y>");
    let page = pages.landing(&Visit { inviter, ..visit("en", Handset::Android) });
    check(text(&page));
    let name = "&quot;&gt;&lt;script&gt;alert(1)&lt;/script&gt;&amp;amp;\u{202e}&lt;img src=x \
                onerror=y&gt;";
    assert!(text(&page).contains(&format!("<h1><bdi>{name}</bdi> invites you</h1>")));
}

#[test]
fn nobody_is_named_when_no_name_is_known() {
    let pages = pages(demo());
    let page = pages.landing(&Visit { inviter: None, ..visit("en", Handset::Ios) });
    assert!(text(&page).contains("<h1>A friend invites you</h1>"));
    assert!(!text(&page).contains("<bdi>"));
}

#[test]
fn pages_stay_small_with_the_longest_texts() {
    let long = |letter: &str, count: usize| letter.repeat(count);
    let mut campaign = demo();
    for (language, texts) in &mut campaign.texts {
        let letter = match language.as_str() {
            "hi" => "क",
            "zh" => "友",
            _ => "é",
        };
        texts.title = long(letter, 80);
        texts.description = long(letter, 200);
        texts.invitation = format!("{{inviter}}{}", long(letter, 111));
        texts.invitation_without_name = long(letter, 120);
        texts.invitee_gets = long(letter, 120);
        texts.inviter_gets = long(letter, 120);
        texts.steps = vec![long(letter, 120); 5];
        texts.ended = Some(long(letter, 300));
    }
    // As many languages, and as many stores, as there may be, with the longest addresses.
    let hindi = campaign.texts.get("hi").expect("Hindi").clone();
    for number in 0..7 {
        campaign.texts.insert(format!("hi-x-longest-tag{number}"), hindi.clone());
    }
    let url = |end: &str| format!("https://{}.example/{end}", long("a", 200 - 17 - end.len()));
    let store = |number: usize| Store {
        kind: StoreKind::Other,
        app_id: None,
        name: Some(format!("{number}{}", long("क", 39))),
        url: Some(url("{referrer}")),
    };
    campaign.apps.stores = (0..4).map(store).collect();
    (campaign.terms_url, campaign.image) = (Some(url("")), Some(url("")));
    let pages = pages(campaign);
    let mut largest = 0;
    for language in LANGUAGES {
        for handset in Handset::ALL {
            let visit = Visit { code: "8F3K2MWXYZ", ..visit(language, handset) };
            largest = largest.max(pages.landing(&visit).len());
        }
        largest = largest.max(parts(pages.ended(language, &HeaderMap::new())).2.len());
    }
    assert!(largest < 10_240, "the largest page has {largest} bytes");
}

#[test]
fn the_language_is_that_of_the_query_or_the_browser_or_the_campaign() {
    let mut campaign = demo();
    campaign.default_language = "id".to_owned();
    let pages = pages(campaign);
    for (query, header, expected) in [
        (None, Some("zh-CN,zh;q=0.9,en;q=0.8"), "zh"),
        (Some("lang=hi"), Some("zh-CN,zh;q=0.9"), "hi"),
        (Some("lang=fr"), Some("fr,es;q=0.5"), "es"),
        (None, Some("fr"), "id"),
        (None, None, "id"),
    ] {
        let header = header.map(|text| text.parse().expect("a header"));
        assert_eq!(pages.language(query, header.as_ref()), expected, "{query:?} {header:?}");
    }
    let page = pages.landing(&visit("fr", Handset::Android));
    assert!(text(&page).contains("<html lang=\"id\">"));
}

#[test]
fn some_pages_run_from_right_to_left() {
    let mut campaign = demo();
    let mut texts = campaign.texts.get("en").expect("English").clone();
    texts.words = campaign.words("en").cloned();
    campaign.texts.insert("ar".to_owned(), texts);
    let page = pages(campaign).landing(&visit("ar", Handset::Android));
    assert!(text(&page).contains("<html lang=\"ar\" dir=\"rtl\">"));
}

#[test]
fn answers_have_the_headers_of_their_kind() {
    let pages = pages(demo());
    let asked = HeaderMap::new();
    let unknown = Unknown::new(&Assets::new());
    for (answer, status, vary) in [
        (pages.answer(&visit("id", Handset::Ios)), 200, "Accept-Language, User-Agent"),
        (pages.ended("id", &asked), 410, "Accept, Accept-Language, User-Agent"),
        (pages.not_yet("id", &asked), 404, "Accept, Accept-Language, User-Agent"),
        (unknown.answer(Some("lang=id"), &asked), 404, "Accept, Accept-Language, User-Agent"),
    ] {
        let (found, headers, body) = parts(answer);
        assert_eq!(found.as_u16(), status);
        assert!(body.starts_with("<!DOCTYPE html><html lang=\"id\">"));
        for (name, value) in [
            ("content-type", "text/html; charset=utf-8"),
            (
                "content-security-policy",
                "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                 base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            ),
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cache-control", "private, no-store"),
            ("content-language", "id"),
            ("vary", vary),
            ("x-robots-tag", "noindex"),
        ] {
            let header = headers.get(name).unwrap_or_else(|| panic!("no {name}"));
            assert_eq!(header, value, "{status}");
        }
    }
}

#[test]
fn programs_are_told_in_json() {
    let pages = pages(demo());
    let mut asked = HeaderMap::new();
    asked.insert(ACCEPT, "application/json".parse().expect("a header"));
    asked.insert(ACCEPT_LANGUAGE, "en".parse().expect("a header"));
    let unknown = Unknown::new(&Assets::new());
    for (answer, status, name, title) in [
        (pages.ended("en", &asked), 410, "campaign-ended", "This invitation has ended"),
        (pages.not_yet("en", &asked), 404, "campaign-not-started", "You are early"),
        (unknown.answer(None, &asked), 404, "unknown-code", "We do not know this code"),
    ] {
        let (found, headers, body) = parts(answer);
        assert_eq!(found.as_u16(), status);
        assert_eq!(headers.get("content-type").expect("a type"), "application/problem+json");
        let problem: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        assert_eq!(problem["type"], format!("urn:waypost:problem:{name}"));
        assert_eq!(problem["title"], title);
        assert_eq!(problem["status"], status);
    }
}

#[test]
fn notices_say_why_and_where_the_app_is_nevertheless() {
    let mut campaign = demo();
    let own = "Thank you all; the next one begins in May.";
    campaign.texts.get_mut("en").expect("English").ended = Some(own.to_owned());
    let pages = pages(campaign);
    let (_, _, ended) = parts(pages.ended("en", &HeaderMap::new()));
    assert!(ended.contains(own) && ended.contains("https://apps.apple.com/app/id1234567890"));
    assert!(!ended.contains("wp_click"), "no token leads to the app any more");
    let (_, _, early) = parts(pages.not_yet("id", &HeaderMap::new()));
    assert!(early.contains("berlaku mulai 1 Januari 2026"), "{early}");
}

#[test]
fn pages_name_files_that_are_there() {
    let assets = Assets::new();
    let unknown = parts(Unknown::new(&assets).answer(None, &HeaderMap::new())).2;
    let current = pages(demo()).landing(&visit("en", Handset::Ios));
    // The campaign has a colour of its own.
    assert_ne!(named(&unknown), named(text(&current)));
    for name in named(&unknown) {
        assert!(assets.find(name).is_some(), "{name}");
    }
}

/// The files that a page names, without their folder.
fn named(page: &str) -> Vec<&str> {
    page.split("\"/r/assets/").skip(1).filter_map(|rest| rest.split('"').next()).collect()
}
