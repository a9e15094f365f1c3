//! The browser does what it is told, and the checks see what they are there for.

use serde_json::json;

use crate::NONE;
use crate::page::Key;
use crate::shared::support::eventually;
use crate::site::Site;
use crate::visitor::Visitor;

/// A page without a fault.
const SOUND: &str = "<!doctype html><html lang=en><meta charset=utf-8>\
    <meta name=viewport content='width=device-width'><title>A page</title>\
    <main><h1>A page</h1><p>Nothing is wrong here.</p></main>";

/// The sound page with something more in it.
fn with(more: &str) -> String {
    SOUND.replace("</main>", &format!("{more}</main>"))
}

#[tokio::test]
async fn a_sound_page_has_no_faults_and_each_planted_one_is_seen() {
    let sound = Site::start(&[], SOUND).await;
    let mut page = Visitor::on_a_phone().opens(&sound.url()).await;
    assert_eq!(page.faults().await, NONE);
    let planted = [
        (with("<p style='color:#bbb'>Pale.</p>"), "color-contrast: "),
        (with("<img src='data:,'>"), "image-alt: "),
        (with("<a href='/1'>1</a>\n<a href='/2'>2</a>"), "target-size: "),
        (SOUND.replace(" lang=en", ""), "html-has-lang: "),
        (with("<p style='width:500px'>Wide.</p>"), "508 px on a screen of 320 px"),
        (with("<script>throw Error('broken')</script>"), "Uncaught Error: broken"),
        (with("<img alt='' src='http://127.0.0.1:1/'>"), "Failed to load resource"),
    ];
    for (html, sign) in planted {
        let site = Site::start(&[], &html).await;
        page.go(&site.url()).await;
        let faults = page.faults().await;
        assert!(faults.iter().any(|fault| fault.contains(sign)), "{sign} is not in {faults:?}");
    }
}

#[tokio::test]
async fn what_the_policy_of_a_page_forbids_is_a_complaint_and_does_not_hinder_the_checks() {
    let policy = "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'";
    let site = Site::start(&[policy], SOUND).await;
    let mut page = Visitor::on_a_desktop().opens(&site.url()).await;
    assert_eq!(page.faults().await, NONE);
    let site = Site::start(&[policy], &with("<script>document.title = ''</script>")).await;
    page.go(&site.url()).await;
    let faults = page.faults().await;
    assert!(faults.iter().any(|it| it.contains("Content Security Policy")), "{faults:?}");
    assert_eq!(page.run("return document.title", json!([])).await, json!("A page"));
}

#[tokio::test]
async fn a_visitor_has_the_screen_the_languages_and_the_browser_that_were_asked_for() {
    let site = Site::start(&[], SOUND).await;
    let look = "return [innerWidth, innerHeight, devicePixelRatio, navigator.maxTouchPoints > 0,
        matchMedia('(prefers-color-scheme: dark)').matches, navigator.languages]";
    let phone = Visitor::on_a_phone().in_the_dark().who_reads("de,en").who_says_to_be("A phone");
    let mut page = phone.opens(&site.url()).await;
    let seen = json!([320, 640, 2, true, true, ["de", "en"]]);
    assert_eq!(page.run(look, json!([])).await, seen);
    let request = site.request();
    assert!(request.contains("\r\nAccept-Language: de,en;q=0.9\r\n"), "{request}");
    assert!(request.contains("\r\nUser-Agent: A phone\r\n"), "{request}");
    drop(page);
    let mut page = Visitor::on_a_desktop().opens(&site.url()).await;
    assert_eq!(page.run(look, json!([])).await, json!([1280, 800, 1, false, false, ["en"]]));
}

#[tokio::test]
async fn a_page_is_used_by_finger_and_by_keyboard_and_fills_the_clipboard() {
    let html = with(
        "<button id=copy data-code=AB12 style='padding:1rem'>Copy</button>
        <p id=said hidden>Copied</p>
        <script>copy.onclick = async () => {
            await navigator.clipboard.writeText(copy.dataset.code + location.search);
            said.hidden = false;
        }</script>",
    );
    let site = Site::start(&[], &html).await;
    let mut page = Visitor::on_a_phone().opens(&site.url()).await;
    assert_eq!(page.attribute("#copy", "data-code").await.as_deref(), Some("AB12"));
    assert_eq!(page.attribute("#copy", "title").await, None);
    for (by_keyboard, query) in [(true, "?1"), (false, "?2")] {
        page.go(&(site.url() + query)).await;
        assert!(!page.shows("#said").await);
        assert_eq!(page.text("#said").await, "");
        if by_keyboard {
            page.press(Key::Tab).await;
            assert_eq!(page.property(":focus", "id").await, json!("copy"));
            page.press(Key::Enter).await;
        } else {
            page.click("#copy").await;
        }
        let limit = std::time::Duration::from_secs(5);
        eventually("it is copied", limit, async || page.shows("#said").await.then_some(())).await;
        assert_eq!(page.clipboard().await, format!("AB12{query}"));
    }
    assert_eq!(page.complaints().await, NONE);
}

#[tokio::test]
async fn without_scripts_none_of_the_page_run_and_the_checks_still_do() {
    let html = with(
        "<script>document.write('<b>by script</b>')</script><noscript><i>Plain</i></noscript>",
    );
    let site = Site::start(&[], &html).await;
    let mut page = Visitor::on_a_desktop().without_scripts().opens(&site.url()).await;
    assert_eq!((page.count("b").await, page.text("i").await.as_str()), (0, "Plain"));
    assert_eq!(page.faults().await, NONE);
}

#[tokio::test]
async fn a_picture_shows_the_whole_page_in_its_dots_and_colours() {
    let style = "<style>:root{color-scheme:light dark}body{margin:0;display:flow-root;height:1500px}</style>";
    let site = Site::start(&[], &with(style)).await;
    for (colours, visitor) in Visitor::on_a_phone().by_day_and_night() {
        let name = format!("check-{colours}");
        let picture = visitor.opens(&site.url()).await.photograph(&name).await;
        assert_eq!((picture.width, picture.height), (640, 3000));
        let dark = picture.corner.iter().all(|colour| *colour < 64);
        assert_eq!(dark, colours == "dark", "{:?}", picture.corner);
    }
}
