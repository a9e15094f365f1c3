//! Landing pages, as people see and use them.

use std::time::Duration;

use serde_json::{Value, json};
use waypost::campaign::{CampaignNumber, Version};
use waypost::link::DomainId;

use crate::NONE;
use crate::page::{Key, Page};
use crate::shared::support::eventually;
use crate::shared::support::invitations::{
    CODE, Invitations, NAME, PUBLIC_URL, ended, not_begun, running,
};
use crate::visitor::Visitor;

const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 \
                      (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1";

/// How long what a page or the writer of clicks does may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// What would run if the page took it for more than a text.
const HOSTILE: &str = "\"><script>alert(1)</script><img src=x onerror=alert(2)>";

/// The languages of the campaign, with the headline in each.
const LANGUAGES: [(&str, &str); 5] = [
    ("en", "invites you"),
    ("id", "mengundangmu"),
    ("hi", "ने आपको बुलाया है"),
    ("zh", "邀请你"),
    ("es", "te invita"),
];

/// A service with campaigns that are over and to come besides the one that runs.
async fn all_kinds() -> Invitations {
    let service = Invitations::start().await;
    for (campaign, document, code) in
        [("past", ended(), "PAST22"), ("future", not_begun(), "FUTURE")]
    {
        service.activate(campaign, &document).await;
        service.give_code(campaign, code, Some(NAME)).await;
    }
    service.give_code("demo", "BADNAME", Some(HOSTILE)).await;
    service.give_code("demo", "WWWWWWWWWW", Some(&"W".repeat(64))).await;
    service
}

/// Opens all kinds of pages by day and by night, with a screen that has this name.
async fn all_are_sound(screen: &str, visitor: Visitor) {
    let service = all_kinds().await;
    let headline = format!("{NAME} invites you");
    let hostile = format!("{HOSTILE} invites you");
    let wide = format!("{} invites you", "W".repeat(64));
    for (colours, visitor) in visitor.by_day_and_night() {
        let mut page = visitor.opens("about:blank").await;
        for (name, path, heading) in [
            ("invitation", "/r/7KQ2MX", headline.as_str()),
            ("ended", "/r/PAST22", "This invitation has ended"),
            ("not-begun", "/r/FUTURE", "You are early"),
            ("unknown-code", "/r/ZZZZZZ", "We do not know this code"),
            ("hostile-name", "/r/BADNAME", &hostile),
            ("long-name", "/r/WWWWWWWWWW", &wide),
        ] {
            if visitor.dark && name.ends_with("-name") {
                // The colours of a page do not depend on the name in it.
                continue;
            }
            page.go(&service.url(path)).await;
            assert_eq!(page.text("h1").await, heading);
            // The page's own script, and none that came in with a name.
            assert_eq!((page.count("script").await, page.count("h1 img").await), (1, 0));
            page.must_be_sound(&format!("{name}-{screen}-{colours}")).await;
        }
    }
}

#[tokio::test]
async fn the_pages_of_codes_are_sound_on_a_small_phone() {
    all_are_sound("phone", Visitor::on_a_phone()).await;
}

#[tokio::test]
async fn the_pages_of_codes_are_sound_on_a_desktop() {
    all_are_sound("desktop", Visitor::on_a_desktop()).await;
}

#[tokio::test]
async fn every_language_is_one_tap_away_and_sound_on_a_small_phone() {
    let service = Invitations::start().await;
    let mut page = Visitor::on_a_phone().opens(&service.url("/r/7KQ2MX")).await;
    for (language, headline) in LANGUAGES {
        if language != "en" {
            page.click(&format!("footer a[hreflang={language}]")).await;
        }
        assert_eq!(page.attribute("html", "lang").await.as_deref(), Some(language));
        let heading = page.text("h1").await;
        assert!(heading.contains(NAME) && heading.contains(headline), "{language}: {heading}");
        assert_eq!(page.count("footer a[hreflang]").await, LANGUAGES.len() - 1);
        page.must_be_sound(&format!("invitation-phone-{language}")).await;
    }
}

#[tokio::test]
async fn a_page_speaks_the_language_of_the_browser_throughout() {
    let service = Invitations::start().await;
    for (languages, visitor, expected) in [
        (
            "id,en",
            Visitor::on_a_phone().in_the_dark(),
            &[
                "R••• S••• mengundangmu",
                "Kamu dapat",
                "Potongan Rp 25.000 untuk pinjaman pertama",
                "Temanmu dapat",
                "Hadiah sampai Rp 100.000",
                "Sampai 31 Desember 2089",
                "Kode undangan",
                "Salin kode",
                "Dapatkan di Google Play",
                "Tersedia juga di",
                "Caranya",
                "Pasang aplikasinya, lalu buka",
                "Syarat dan ketentuan",
                "English",
            ][..],
        ),
        (
            "zh-CN,en",
            Visitor::on_a_desktop(),
            &[
                "R••• S••• 邀请你",
                "你将获得",
                "首次借款立减 Rp 25.000",
                "好友将获得",
                "最高 Rp 100.000 感谢奖励",
                "2089年12月31日前有效",
                "用手机扫描二维码即可下载应用",
                "邀请码",
                "复制邀请码",
                "App Store",
                "参与方式",
                "下载并打开应用",
                "活动规则",
                "Español",
            ],
        ),
    ] {
        let visitor = visitor.who_reads(languages);
        let mut page = visitor.opens(&service.url("/r/7KQ2MX")).await;
        let text = page.text("body").await.replace('\u{a0}', " ");
        for part in expected {
            assert!(text.contains(part), "{languages}: no '{part}' in {text}");
        }
        page.must_be_sound(&format!("browser-language-{languages}")).await;
    }
}

#[tokio::test]
async fn without_scripts_everything_is_there_and_nothing_that_would_not_work() {
    let service = Invitations::start().await;
    let url = service.url("/r/7KQ2MX");
    let mut page = Visitor::on_a_phone().opens(&url).await;
    let with_scripts = page.text("main").await;
    drop(page);
    for (screen, visitor) in
        [("phone", Visitor::on_a_phone()), ("desktop", Visitor::on_a_desktop())]
    {
        let mut page = visitor.without_scripts().opens(&url).await;
        for (_, shown) in each(&mut page, "[data-copy]", "shown").await {
            assert_eq!(shown, json!(false), "a button that does nothing");
        }
        assert_eq!(page.text(".code b").await, CODE);
        if screen == "phone" {
            let without = page.text("main").await;
            let lines = with_scripts.lines().filter(|line| *line != "Copy code");
            assert_eq!(without.lines().collect::<Vec<_>>(), lines.collect::<Vec<_>>());
            assert_ne!(without, with_scripts, "there was something to copy with");
        }
        page.must_be_sound(&format!("invitation-{screen}-without-scripts")).await;
    }
}

/// Of each element that fits, in the order of the page: what it says, and one thing about it: an
/// attribute, or `shown`.
async fn each(page: &mut Page, selector: &str, what: &str) -> Vec<(String, Value)> {
    let look = "return [...document.querySelectorAll(arguments[0])].map(it => [
        it.innerText.trim(),
        arguments[1] === 'shown' ? it.checkVisibility() : it.getAttribute(arguments[1])])";
    let found = page.run(look, json!([selector, what])).await;
    serde_json::from_value(found).expect("pairs")
}

/// How somebody uses a button.
#[derive(Clone, Copy, PartialEq, Eq)]
enum By {
    Finger,
    Keyboard,
}

/// Uses a button that copies; what the clipboard has then. The page must have said that it is done to
/// those who hear it.
async fn copied(page: &mut Page, button: &str, by: By) -> String {
    let watch = "
        const status = document.querySelector('[role=status]');
        window.said = [];
        new MutationObserver(() => window.said.push(status.textContent))
            .observe(status, { childList: true, characterData: true, subtree: true });
        return status.textContent";
    assert_eq!(page.run(watch, json!([])).await, json!(""));
    match by {
        By::Finger => page.click(button).await,
        By::Keyboard => {
            let is_it = "return document.activeElement.matches(arguments[0])";
            for _ in 0..20 {
                if page.run(is_it, json!([button])).await == json!(true) {
                    break;
                }
                page.press(Key::Tab).await;
            }
            page.press(Key::Enter).await;
        }
    }
    eventually("it says that it is copied", PATIENCE, async || {
        let said = page.run("return window.said", json!([])).await;
        said.as_array()?.contains(&json!("Copied")).then_some(())
    })
    .await;
    page.clipboard().await
}

#[tokio::test]
async fn the_code_is_copied_by_finger_and_by_keyboard() {
    let service = Invitations::start().await;
    for (visitor, by) in
        [(Visitor::on_a_phone(), By::Finger), (Visitor::on_a_desktop(), By::Keyboard)]
    {
        let mut page = visitor.opens(&service.url("/r/7kq2-mx")).await;
        assert_eq!(copied(&mut page, "[data-copy]", by).await, CODE);
        assert_eq!(page.complaints().await, NONE);
        if by == By::Keyboard {
            eventually("it is silent again, for the next time", PATIENCE, async || {
                let said = page.run("return window.said.at(-1)", json!([])).await;
                (said == json!("")).then_some(())
            })
            .await;
        }
    }
}

#[tokio::test]
async fn an_iphone_gets_the_app_store_and_the_link_that_the_app_asks_for() {
    let service = Invitations::start().await;
    let visitor = Visitor::on_a_phone().who_says_to_be(IPHONE);
    let mut page = visitor.opens(&service.url("/r/7KQ2MX")).await;
    let store = page.property("a.button", "href").await;
    assert_eq!(store, json!("https://apps.apple.com/app/id1234567890"));
    let link = copied(&mut page, "[data-copy^='https:']", By::Finger).await;
    assert!(link.starts_with(&format!("{PUBLIC_URL}r/{CODE}?wp_click=")), "{link}");
    let token = service.token_in(&link).await;
    assert_eq!((token.campaign, token.code.as_str()), (CampaignNumber(1), CODE));
    page.must_be_sound("invitation-iphone").await;
}

#[tokio::test]
async fn every_store_is_told_which_click_it_was() {
    let service = Invitations::start().await;
    let mut page = Visitor::on_a_phone().opens(&service.url("/r/7KQ2MX")).await;
    let stores = each(&mut page, "main a[href]", "href").await;
    let names: Vec<&str> = stores.iter().map(|(name, _)| name.as_str()).collect();
    let expected = ["Get it on Google Play", "AppGallery", "GetApps", "Galaxy Store"];
    assert_eq!(names, expected);
    let mut tokens = Vec::new();
    for (_, url) in &stores {
        tokens.push(service.token_in(url.as_str().expect("an address")).await);
    }
    let token = tokens.first().expect("a store").clone();
    assert!(tokens.iter().all(|it| *it == token), "one visit, one click");
    let seen = (token.campaign, token.version, token.domain, token.code.as_str());
    assert_eq!(seen, (CampaignNumber(1), Version(1), DomainId::DEFAULT, CODE));
    let database = service.database.connect().await;
    let click = format!("{:032x}", token.click_id);
    eventually("the visit is stored", PATIENCE, async || {
        let query = "SELECT visit.kind, visit.device FROM visit
                      JOIN referral_code AS code ON code.id = visit.link_id
                      WHERE visit.click_id = $1::text::uuid /* click */ AND code.code = $2";
        let row = database.query_opt(query, &[&click, &CODE]).await.expect("a database")?;
        let visit: (String, String) = (row.get(0), row.get(1));
        assert_eq!(visit, ("person".to_owned(), "android".to_owned()));
        Some(())
    })
    .await;
    page.go(&service.url("/r/7KQ2MX")).await;
    let again = page.property("a.button", "href").await;
    let again = service.token_in(again.as_str().expect("an address")).await;
    assert_ne!(again.click_id, token.click_id, "another visit is another click");
}

#[tokio::test]
async fn a_desktop_shows_a_code_that_a_phone_can_read_even_in_the_dark() {
    let service = Invitations::start().await;
    let mut page = Visitor::on_a_desktop().in_the_dark().opens(&service.url("/r/7kq2mx")).await;
    let width = page.property("img.qr", "naturalWidth").await;
    assert!(width.as_u64().is_some_and(|width| width > 0), "{width}");
    let picture = page.photograph("qr-in-the-dark").await;
    assert_eq!(picture.qr_codes(), [format!("{PUBLIC_URL}r/{CODE}")]);
    let stores = each(&mut page, "main a[href]", "href").await;
    let play = stores.iter().find(|(name, _)| name.contains("Google Play"));
    let (_, play) = play.expect("Google Play");
    let token = service.token_in(play.as_str().expect("an address")).await;
    assert_eq!(token.code, CODE);
    let apple = stores.iter().find(|(name, _)| name.contains("App Store"));
    assert!(apple.is_some_and(|(_, url)| url == "https://apps.apple.com/app/id1234567890"));
}

#[tokio::test]
async fn the_keyboard_reaches_everything_in_the_order_in_which_it_is_read() {
    let service = Invitations::start().await;
    let controls = "return [...document.querySelectorAll('a[href], button')]
        .filter(it => it.checkVisibility()).map(it => it.innerText.trim())";
    // What has the keyboard, where it is, and how it shows that.
    let focused = "
        const it = document.activeElement;
        const { top, bottom } = it.getBoundingClientRect();
        const { outlineStyle, outlineWidth } = getComputedStyle(it);
        const within = top >= 0 && bottom <= innerHeight;
        const ring = outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2;
        return [it.innerText.trim(), top + scrollY, within && ring]";
    for (screen, visitor) in
        [("phone", Visitor::on_a_phone()), ("desktop", Visitor::on_a_desktop())]
    {
        let mut page = visitor.opens(&service.url("/r/7KQ2MX")).await;
        let all: Vec<String> =
            serde_json::from_value(page.run(controls, json!([])).await).expect("texts");
        assert!(all.len() >= 8, "{all:?}");
        let (mut reached, mut highest) = (Vec::new(), 0.0);
        for _ in &all {
            page.press(Key::Tab).await;
            let seen = page.run(focused, json!([])).await;
            let (name, top, visible): (String, f64, bool) =
                serde_json::from_value(seen).expect("what has the keyboard");
            assert!(visible, "{screen}: nobody sees that '{name}' has the keyboard");
            assert!(top >= highest, "{screen}: the keyboard goes back up to '{name}'");
            highest = top;
            reached.push(name);
        }
        assert_eq!(reached, all, "{screen}");
        page.photograph(&format!("focus-{screen}")).await;
    }
}

/// The colour of the button and of the ticket.
async fn accents(page: &mut Page) -> Value {
    let look = "return ['.button', '.offer'].map(
        it => getComputedStyle(document.querySelector(it)).backgroundColor)";
    page.run(look, json!([])).await
}

#[tokio::test]
async fn each_campaign_has_its_own_colour_at_the_same_time() {
    let service = Invitations::start().await;
    let violet = running().replace("#0b6e4f", "#6b2fb3");
    service.activate("violet", &violet).await;
    service.give_code("violet", "8ABCDE", None).await;
    let (green, violet) = ("rgb(11, 110, 79)", "rgb(107, 47, 179)");
    let mut page = Visitor::on_a_phone().opens(&service.url("/r/7KQ2MX")).await;
    for (path, colour) in [("7KQ2MX", green), ("8ABCDE", violet), ("7KQ2MX", green)] {
        page.go(&service.url(&format!("/r/{path}"))).await;
        assert_eq!(accents(&mut page).await, json!([colour, colour]), "{path}");
    }
    page.go(&service.url("/r/8ABCDE")).await;
    page.must_be_sound("invitation-phone-violet").await;
}
