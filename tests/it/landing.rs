//! Landing pages of referral codes, as they come over HTTP.

use std::collections::BTreeSet;
use std::io::Read;

use serde_json::json;
use waypost::campaign::{CampaignNumber, Version};
use waypost::code::referral::ReferralCode;
use waypost::http::auth::Scope;
use waypost::link::DomainId;
use waypost::local::Signal;
use waypost::store::codes;

use super::qr;
use super::support::deployment::{call, key_for};
use super::support::html::{Element, Page};
use super::support::invitations::{
    self, CODE, Invitations, NAME, becomes, dated, ended, not_begun, running,
};
use super::support::{Answer, TestDatabase, get, send};

const ANDROID: &str = "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) \
                       Chrome/140.0.0.0 Mobile Safari/537.36";
const HUAWEI: &str = "Mozilla/5.0 (Linux; Android 12; NOH-NX9; HMSCore 6.13.0.302) \
                      AppleWebKit/537.36 (KHTML, like Gecko) Chrome/114.0.5735.196 \
                      HuaweiBrowser/15.0.4.312 Mobile Safari/537.36";
const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 \
                      (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1";
const DESKTOP: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";

const LANGUAGES: [&str; 5] = ["en", "es", "hi", "id", "zh"];

/// What the pages allow a browser to do.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/// Asks with these headers.
async fn ask(service: &Invitations, path: &str, headers: &[(&str, &str)]) -> Answer {
    get(service.waypost.edge(), path, headers).await
}

/// The page of an invitation, which must be one.
fn page(answer: &Answer) -> Page {
    assert_eq!(answer.status, 200, "{}", answer.text());
    Page::read(&answer.text())
}

fn elements<'a>(page: &'a Page, name: &str) -> impl Iterator<Item = &'a Element> {
    page.elements.iter().filter(move |element| element.name == name)
}

fn attribute<'a>(element: &'a Element, name: &str) -> &'a str {
    element.attributes.get(name).map_or("", String::as_str)
}

/// The share URL that a page gives as its own.
fn canonical(page: &Page) -> &str {
    let mut links = elements(page, "link").filter(|link| attribute(link, "rel") == "canonical");
    attribute(links.next().expect("a canonical address"), "href")
}

/// The link to Google Play.
fn play(page: &Page) -> &str {
    let links = page.links();
    links.into_iter().find(|link| link.contains("play.google.com")).expect("a link to Google Play")
}

#[tokio::test]
async fn every_way_to_type_a_code_leads_to_its_page() {
    let service = Invitations::start().await;
    service.give_code("demo", "10KQ2M", None).await;
    for (path, code) in [
        ("/r/7KQ2MX", CODE),
        ("/r/7kq2mx", CODE),
        ("/r/7kq2-mx", CODE),
        ("/r/7kq2%20mx", CODE),
        ("/r/7KQ2MX/", CODE),
        ("/r/7kq2mx/?lang=en", CODE),
        ("/r/7kq2mx.", CODE),
        ("/r/%227KQ2MX%22", CODE),
        ("/r/%EF%BC%97KQ%EF%BC%92MX", CODE),
        ("/r/10KQ2M", "10KQ2M"),
        ("/r/iokq2m", "10KQ2M"),
    ] {
        let page = page(&ask(&service, path, &[]).await);
        assert_eq!(canonical(&page), format!("https://go.example/r/{code}"), "{path}");
        let name = if code == CODE { NAME } else { "A friend" };
        assert!(page.text.contains(code) && page.text.contains(name), "{path}: {}", page.text);
    }
    let post = send(service.waypost.edge(), "POST", "/r/7KQ2MX", &[], "").await;
    assert_eq!((post.status, post.header("allow")), (405, "GET, HEAD"));
}

#[tokio::test]
async fn no_spelling_of_a_path_leads_around_the_landing_page() {
    let service = Invitations::start().await;
    for path in ["/r%2f7KQ2MX", "/%72/7KQ2MX", "/R/7KQ2MX", "/%52%2F7kq2mx/"] {
        let answer = ask(&service, path, &[]).await;
        assert_eq!(canonical(&page(&answer)), "https://go.example/r/7KQ2MX", "{path}");
    }
    for path in ["/r%2f7KQ2MX+", "/r/7KQ2MX+", "/r%2f%2f7KQ2MX", "/r/7KQ2MX%00", "/r/x/7KQ2MX"] {
        for headers in [&[][..], &[("accept", "application/json")]] {
            let answer = ask(&service, path, headers).await;
            assert_eq!((answer.status, answer.header("location")), (404, ""), "{path}");
            assert!(!answer.text().contains("waypost-code"), "{path}: {}", answer.text());
        }
    }
}

#[tokio::test]
async fn a_code_that_was_just_given_shows_its_page_with_a_masked_name() {
    let service = Invitations::start().await;
    let key = key_for(&service.database.store(), Scope::Referrals).await;
    for (user, name, headline) in [
        ("one", "Rina Sari Dewi", "R••• S••• invites you"),
        ("two", "<script>alert(1)</script>", "s••• invites you"),
    ] {
        let body = json!({ "user": user, "name": name });
        let request = ("POST", "/v1/campaigns/demo/codes");
        let given = call(service.waypost.control(), &key, request, Some(body)).await;
        assert_eq!(given.status, 201, "{}", given.text());
        let given = given.json();
        let share_url = given["share_url"].as_str().expect("a share URL");
        let path = share_url.strip_prefix("https://go.example").expect("our own host");
        let page = page(&ask(&service, path, &[]).await);
        assert_eq!(canonical(&page), share_url);
        assert!(page.text.replace('\n', "").contains(headline), "{}", page.text);
    }
}

#[tokio::test]
async fn who_has_no_invitation_is_told_why_in_a_language_or_in_json() {
    let service = Invitations::start().await;
    for (campaign, document, code) in [
        ("past", ended(), "PAST22"),
        ("future", not_begun(), "FUTURE"),
        ("gone", running(), "LATE22"),
    ] {
        service.activate(campaign, &document).await;
        service.give_code(campaign, code, Some(NAME)).await;
    }
    let retire = ("POST", "/v1/campaigns/gone/retire");
    let control = service.waypost.control();
    let retired = call(control, &service.key, retire, None).await;
    assert_eq!(retired.status, 200);
    becomes(service.waypost.edge(), "/r/LATE22", 410).await;
    let over = ("campaign-ended", "This invitation has ended", "Undangan ini sudah berakhir");
    let early = ("campaign-not-started", "You are early", "Kamu datang lebih awal");
    let unknown = ("unknown-code", "We do not know this code", "Kode ini tidak kami kenal");
    for (path, status, (kind, english, indonesian)) in [
        ("/r/PAST22", 410, over),
        ("/r/past-22?lang=en", 410, over),
        ("/r/LATE22", 410, over),
        ("/r/FUTURE", 404, early),
        ("/r/ZZZZZZ", 404, unknown),
        // Once more, when the process knows that there is none.
        ("/r/ZZZZZZ", 404, unknown),
        // No code can look like this.
        ("/r/ab", 404, unknown),
        ("/r/%ff%fe", 404, unknown),
        ("/r/7KQ2MX/more", 404, unknown),
        ("/r/ZZZZZZ/qr.svg", 404, unknown),
    ] {
        let shown = ask(&service, path, &[]).await;
        assert_eq!((shown.status, shown.header("content-language")), (status, "en"), "{path}");
        assert_eq!(Page::read(&shown.text()).text_of("h1"), english, "{path}");
        assert_eq!(shown.header("cache-control"), "private, no-store");
        let told = ask(&service, path, &[("accept", "application/json")]).await;
        assert_eq!(told.header("content-type"), "application/problem+json", "{path}");
        assert_eq!(told.json()["type"], format!("urn:waypost:problem:{kind}"));
        assert_eq!((told.status, &told.json()["status"]), (status, &status.into()));
        let path = path.replace("lang=en", "");
        let read = ask(&service, &path, &[("accept-language", "id-ID,id;q=0.9,en;q=0.5")]).await;
        assert_eq!((read.status, read.header("content-language")), (status, "id"), "{path}");
        assert_eq!(Page::read(&read.text()).text_of("h1"), indonesian, "{path}");
    }
}

#[tokio::test]
async fn a_code_that_is_switched_off_shows_nothing_until_it_is_switched_on() {
    let service = Invitations::start().await;
    let store = service.database.store();
    let code = ReferralCode::exactly(CODE).expect("a code");
    for (disabled, status) in [(true, 404), (false, 200)] {
        let mut connection = store.connection().await.expect("a connection");
        let transaction = connection.transaction().await.expect("a transaction");
        let changed = codes::set_disabled(&transaction, &code, disabled).await;
        assert!(changed.expect("a database").is_some_and(|(_, changed)| changed));
        transaction.commit().await.expect("committed");
        becomes(service.waypost.edge(), "/r/7KQ2MX", status).await;
        let picture = ask(&service, "/r/7KQ2MX/qr.svg", &[]).await;
        assert_eq!(picture.status, status);
    }
}

#[tokio::test]
async fn people_are_counted_with_the_click_of_their_token_unless_they_ask_for_privacy() {
    let service = Invitations::start().await;
    service.activate("past", &ended()).await;
    service.give_code("past", "PAST22", None).await;
    let edge = service.waypost.edge();
    let mut clicks = BTreeSet::new();
    for agent in [ANDROID, HUAWEI, DESKTOP] {
        let page = page(&ask(&service, "/r/7KQ2MX", &[("user-agent", agent)]).await);
        let token = service.token_in(play(&page)).await;
        assert_eq!((token.campaign, token.version), (CampaignNumber(1), Version(1)));
        assert_eq!((token.code.as_str(), token.domain), (CODE, DomainId::DEFAULT));
        clicks.insert(format!("{:032x}", token.click_id));
    }
    assert_eq!(clicks.len(), 3, "each visit has a token of its own");
    for signal in ["sec-gpc", "dnt"] {
        let private = ask(&service, "/r/7KQ2MX", &[("user-agent", ANDROID), (signal, "1")]).await;
        service.token_in(play(&page(&private))).await;
    }
    // None of these is the opening of an invitation.
    for path in ["/r/7KQ2MX/qr.svg", "/r/PAST22", "/r/ZZZZZZ"] {
        ask(&service, path, &[("user-agent", ANDROID)]).await;
    }
    send(edge, "HEAD", "/r/7KQ2MX", &[("user-agent", ANDROID)], "").await;
    service.waypost.signal(Signal::TERM);
    assert_eq!(service.waypost.ended().await, Some(0));
    let database = service.database.connect().await;
    let visits = "SELECT replace(visit.click_id::text, '-', ''), visit.kind, code.code
                  FROM visit JOIN referral_code AS code ON code.id = visit.link_id";
    let mut counted = BTreeSet::new();
    for row in database.query(visits, &[]).await.expect("rows") {
        let (kind, code): (String, String) = (row.get(1), row.get(2));
        assert_eq!((kind.as_str(), code.as_str()), ("person", CODE));
        counted.insert(row.get::<_, String>(0));
    }
    assert_eq!(counted, clicks);
    let sums = "SELECT code.code, link_clicks.total, link_clicks.people
                FROM link_clicks JOIN referral_code AS code ON code.id = link_clicks.link_id";
    let rows = database.query(sums, &[]).await.expect("rows");
    let sums: Vec<(String, i64, i64)> =
        rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    assert_eq!(sums, [(CODE.to_owned(), 5, 5)]);
}

#[tokio::test]
async fn a_head_says_what_a_get_would() {
    let service = Invitations::start().await;
    service.activate("past", &ended()).await;
    service.give_code("past", "PAST22", None).await;
    let style = elements(&page(&ask(&service, "/r/7KQ2MX", &[]).await), "link")
        .find(|link| attribute(link, "rel") == "stylesheet")
        .map(|link| attribute(link, "href").to_owned())
        .expect("a style");
    for path in
        ["/r/7KQ2MX", "/r/7kq2mx/?lang=hi", "/r/7KQ2MX/qr.svg", "/r/PAST22", "/r/ZZZZZZ", &style]
    {
        let shown = ask(&service, path, &[]).await;
        let head = send(service.waypost.edge(), "HEAD", path, &[], "").await;
        assert_eq!(head.body.len(), 0, "{path}");
        assert!(!shown.body.is_empty(), "{path}");
        let without_date = |answer: &Answer| {
            let mut headers = answer.headers.clone();
            headers.remove("date");
            (answer.status, headers)
        };
        assert_eq!(without_date(&head), without_date(&shown), "{path}");
        assert_eq!(shown.header("content-length"), shown.body.len().to_string(), "{path}");
    }
}

#[tokio::test]
async fn styles_and_script_come_compressed_and_are_kept_for_good() {
    let service = Invitations::start().await;
    let page = page(&ask(&service, "/r/7KQ2MX", &[]).await);
    let styles = elements(&page, "link").filter(|link| attribute(link, "rel") == "stylesheet");
    let styles = styles.map(|link| (attribute(link, "href"), "text/css; charset=utf-8"));
    let scripts = elements(&page, "script");
    let scripts = scripts.map(|it| (attribute(it, "src"), "text/javascript; charset=utf-8"));
    let files: Vec<(&str, &str)> = styles.chain(scripts).collect();
    assert_eq!(files.len(), 2, "{files:?}");
    for (path, kind) in files {
        let plain = ask(&service, path, &[]).await;
        for (accepted, coding) in [
            ("gzip, deflate, br, zstd", "br"),
            ("gzip, deflate", "gzip"),
            ("br;q=0, *;q=0.1", "gzip"),
            ("identity", ""),
            ("zstd", ""),
        ] {
            let file = ask(&service, path, &[("accept-encoding", accepted)]).await;
            assert_eq!((file.status, file.header("content-encoding")), (200, coding), "{path}");
            assert_eq!(file.header("content-type"), kind);
            assert_eq!(file.header("cache-control"), "public, max-age=31536000, immutable");
            assert_eq!(file.header("vary"), "Accept-Encoding");
            assert_eq!(file.header("x-content-type-options"), "nosniff");
            assert_eq!(unpacked(coding, &file.body), plain.body, "{path} as '{coding}'");
        }
        // That of another process, which has other styles: better than none, but nothing to keep.
        let other = ask(&service, &path.replace("landing.", "landing.0"), &[]).await;
        assert_eq!((other.status, other.header("cache-control")), (200, "no-store"));
        assert_eq!(other.header("content-type"), kind);
    }
    let missing = ask(&service, "/r/assets/landing.css", &[("accept", "application/json")]).await;
    assert_eq!((missing.status, missing.header("cache-control")), (404, "no-store"));
}

fn unpacked(coding: &str, body: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    let mut packed = body;
    match coding {
        "br" => brotli::BrotliDecompress(&mut packed, &mut plain).expect("Brotli"),
        "gzip" => {
            let read = flate2::read::GzDecoder::new(packed).read_to_end(&mut plain);
            assert_eq!(read.expect("gzip"), plain.len());
        }
        _ => plain.extend_from_slice(body),
    }
    plain
}

#[tokio::test]
async fn the_language_is_the_one_asked_for_or_else_the_campaigns_own() {
    let service = Invitations::start().await;
    for (query, accepted, language, heading) in [
        ("", "", "en", "invites you"),
        ("", "id", "id", "mengundangmu"),
        ("", "zh-CN,zh;q=0.9,en;q=0.8", "zh", "邀请你"),
        ("", "fr;q=0.9, es-MX;q=0.8", "es", "te invita"),
        ("", "fr", "en", "invites you"),
        ("", "en;q=0.1, hi", "hi", "ने आपको बुलाया है"),
        ("?lang=es", "id", "es", "te invita"),
        ("?wp_click=x&lang=ZH-TW", "id", "zh", "邀请你"),
        ("?lang=fr", "id", "id", "mengundangmu"),
        ("?lang=%00", "", "en", "invites you"),
    ] {
        let path = format!("/r/7KQ2MX{query}");
        let answer = ask(&service, &path, &[("accept-language", accepted)]).await;
        let page = page(&answer);
        let html = elements(&page, "html").next().expect("a page");
        assert_eq!(attribute(html, "lang"), language, "{query} {accepted}");
        assert_eq!(answer.header("content-language"), language);
        assert_eq!(answer.header("vary"), "Accept-Language, User-Agent");
        assert!(page.text.contains(heading), "{query} {accepted}: {}", page.text);
    }
}

#[tokio::test]
async fn an_invitation_in_a_domain_that_is_not_its_campaigns_leads_to_the_one_that_is() {
    let database = TestDatabase::new().await;
    let add = "INSERT INTO domain (host) VALUES ('s.example') RETURNING id";
    let domain: i32 = database.connect().await.query_one(add, &[]).await.expect("added").get(0);
    let service = Invitations::start_with(database, &[]).await;
    let other = running().replace("# domain = \"go.example.com\"", "domain = \"s.example\"");
    service.activate("other", &other).await;
    service.give_code("other", "8ABCDE", None).await;
    for (host, path, expected) in [
        ("s.example", "/r/8ABCDE", None),
        ("S.Example:8443", "/r/8abcde/", None),
        ("go.example", "/r/8ABCDE", Some("https://s.example/r/8ABCDE")),
        ("go.example", "/r/8abc-de/?lang=id&x=1", Some("https://s.example/r/8ABCDE?lang=id&x=1")),
        ("elsewhere.example", "/r/8ABCDE", Some("https://s.example/r/8ABCDE")),
        ("go.example", "/r/7KQ2MX", None),
        ("elsewhere.example", "/r/7KQ2MX", None),
        ("s.example", "/r/7kq2mx", Some("https://go.example/r/7KQ2MX")),
    ] {
        let answer = ask(&service, path, &[("host", host)]).await;
        let Some(location) = expected else {
            let page = page(&answer);
            let token = service.token_in(play(&page)).await;
            let (campaign, domain, home) = match token.code.as_str() {
                CODE => (1, DomainId::DEFAULT, "https://go.example/r/7KQ2MX"),
                _ => (2, DomainId(domain), "https://s.example/r/8ABCDE"),
            };
            assert_eq!((token.campaign, token.domain), (CampaignNumber(campaign), domain));
            assert_eq!(canonical(&page), home, "{host}{path}");
            continue;
        };
        assert_eq!((answer.status, answer.header("location")), (302, location), "{host}{path}");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    let unknown = ask(&service, "/r/ZZZZZZ", &[("host", "s.example")]).await;
    assert_eq!(unknown.status, 404);
}

#[tokio::test]
async fn every_page_is_small_forbids_what_it_does_not_need_and_tells_nobody_where_it_was() {
    let service = Invitations::start().await;
    service
        .activate("long", &dated(2019, 2090).replace("code_length = 6", "code_length = 10"))
        .await;
    // As long as a name can be that is shown, in three bytes each.
    service.give_code("long", "8ABCDEFGHJ", Some(&"王".repeat(64))).await;
    service.activate("past", &ended()).await;
    service.give_code("past", "PAST22", None).await;
    for path in ["/r/7KQ2MX", "/r/8ABCDEFGHJ", "/r/PAST22", "/r/ZZZZZZ"] {
        for language in LANGUAGES {
            for agent in [ANDROID, HUAWEI, IPHONE, DESKTOP] {
                let path = format!("{path}?lang={language}");
                let answer = ask(&service, &path, &[("user-agent", agent)]).await;
                assert!(answer.body.len() < 10_000, "{path}: {} bytes", answer.body.len());
                let page = Page::read(&answer.text());
                assert!(!page.names().contains(&"style"), "{path}");
                assert!(elements(&page, "script").all(|it| it.text.is_empty()), "{path}");
                for (name, expected) in [
                    ("content-type", "text/html; charset=utf-8"),
                    ("content-security-policy", POLICY),
                    ("x-content-type-options", "nosniff"),
                    ("referrer-policy", "no-referrer"),
                    ("cache-control", "private, no-store"),
                    ("content-language", language),
                    ("x-robots-tag", "noindex"),
                    ("set-cookie", ""),
                ] {
                    assert_eq!(answer.header(name), expected, "{name} of {path}");
                }
            }
        }
    }
}

#[tokio::test]
async fn every_device_has_its_own_store_and_all_stores_on_a_page_the_same_token() {
    let service = Invitations::start().await;
    let play = "https://play.google.com/store/apps/details?id=com.example.pinjam&referrer=";
    let huawei = "https://appgallery.huawei.com/app/C1234567?channelId=waypost&referrer=";
    let xiaomi = "https://global.app.mi.com/details?id=com.example.pinjam&referrer=";
    let samsung = "https://galaxystore.samsung.com/detail/com.example.pinjam?referrer=";
    let apple = "https://apps.apple.com/app/id1234567890";
    for (agent, expected) in [
        (ANDROID, &[play, huawei, xiaomi, samsung][..]),
        (HUAWEI, &[huawei, play, xiaomi, samsung]),
        (IPHONE, &[apple]),
        (DESKTOP, &[play, apple]),
    ] {
        let page = page(&ask(&service, "/r/7KQ2MX", &[("user-agent", agent)]).await);
        let outside = page.links().into_iter().filter(|link| !link.starts_with('?'));
        let stores: Vec<&str> = outside.filter(|link| !link.contains("/terms")).collect();
        assert_eq!(stores.len(), expected.len(), "{agent}: {stores:?}");
        let mut clicks = BTreeSet::new();
        for (store, begins) in stores.iter().zip(expected) {
            assert!(store.starts_with(begins), "{agent}: {store} instead of {begins}");
            if begins.ends_with("referrer=") {
                clicks.insert(service.token_in(store).await.click_id);
            } else {
                assert_eq!(store, begins);
            }
        }
        let copied = elements(&page, "button").map(|button| attribute(button, "data-copy"));
        let links: Vec<&str> = copied.filter(|text| text.starts_with("https:")).collect();
        assert_eq!(links.len(), usize::from(agent == IPHONE), "{links:?}");
        for link in links {
            assert!(link.starts_with("https://go.example/r/7KQ2MX?wp_click="), "{link}");
            clicks.insert(service.token_in(link).await.click_id);
        }
        assert_eq!(clicks.len(), 1, "{agent}");
    }
}

#[tokio::test]
async fn the_picture_for_a_phone_before_the_screen_says_the_share_url() {
    let service = Invitations::start().await;
    let page = page(&ask(&service, "/r/7kq2mx", &[("user-agent", DESKTOP)]).await);
    let image = elements(&page, "img").next().expect("a picture");
    assert_eq!(attribute(image, "src"), "/r/7KQ2MX/qr.svg");
    for path in ["/r/7KQ2MX/qr.svg", "/r/7kq2-mx/qr.svg"] {
        let picture = ask(&service, path, &[]).await;
        assert_eq!((picture.status, picture.header("content-type")), (200, "image/svg+xml"));
        assert_eq!(picture.header("x-content-type-options"), "nosniff");
        assert_eq!(qr::read_svg(&picture.text()), format!("{}r/{CODE}", invitations::PUBLIC_URL));
    }
}
