//! The console, as operators see and use it.

use std::time::Duration;

use serde_json::json;

use crate::page::{Key, Page};
use crate::shared::support::desk::{Desk, with};
use crate::shared::support::{Waypost, eventually};
use crate::visitor::Visitor;

/// How long a page that was asked for by a click may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// A longer URL than any line of a phone.
const TARGET: &str =
    "https://shop.example/spring/sale?campaign=newsletter-0123456789abcdef0123456789abcdef&size=40";

/// A running service with something of everything in it.
struct Office {
    desk: Desk,
    waypost: Waypost,
    /// A key that may everything.
    key: String,
    /// A reward that is held, and one that is parked.
    rewards: [i64; 2],
}

impl Office {
    async fn open() -> Self {
        let desk = Desk::open(&with(|_| {})).await;
        let api = &desk.test.api;
        let key = api.add_key("olga", &["admin"]).await;
        let rewards = [desk.reward("REVIEW").await, desk.reward("PARKED REVEALED").await];
        for state in ["PAID", "PAID", "NEW", "EXPIRED", "NO_PRIZE", "DENIED", "REVERSED"] {
            desk.reward(state).await;
        }
        let document = with(|document| {
            *document.get_mut("budget_minor").expect("a budget") = 2_000_000_000_i64.into();
        });
        let put = ("POST", "/v1/campaigns/spring/versions");
        let put = desk.call(&key, put.0, put.1, document).await;
        assert_eq!(put.status, 201, "{put:?}");
        let item = json!({ "invitee": "invitee 1", "kind": "loan_disbursed", "side": "inviter" });
        let asked = json!({ "campaign": "spring", "reason": "told too late", "items": [item] });
        let asked = desk.call(&desk.ada, "POST", "/v1/compensations", asked).await;
        assert_eq!(asked.status, 201, "{asked:?}");
        let database = api.database.connect().await;
        database
            .batch_execute(&format!(
                "INSERT INTO link (domain_id, slug, target, title, tags, created_by) VALUES
                     (1, 'spring-sale', '{TARGET}', 'Spring sale', '{{news}}', 'olga'),
                     (1, 'x', 'https://example.com/', NULL, '{{}}', 'olga');
                 INSERT INTO click_day (link_id, dimension, day, value, total, people, bots)
                 SELECT id, 'all', current_date - age, '', 40 + age * 7 % 31, 30 + age * 7 % 31, 5
                 FROM link, generate_series(0, 25) AS age WHERE slug = 'spring-sale';
                 UPDATE binding SET bound_at = now() - interval '2 days';"
            ))
            .await
            .expect("links and clicks");
        let waypost = Waypost::start(&[("DATABASE_URL", &api.database.url())]).await;
        Self { desk, waypost, key, rewards }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.waypost.control())
    }

    /// Opens the console with a key, by the form.
    async fn sign_in(&self, visitor: &Visitor) -> Page {
        let mut page = visitor.opens(&self.url("/console")).await;
        page.fill("#key", &self.key).await;
        page.click("main button").await;
        shows(&mut page, "Overview").await;
        page
    }
}

/// Waits for a page with this heading.
async fn shows(page: &mut Page, heading: &str) {
    let title = format!("{heading} · Waypost console");
    eventually(heading, PATIENCE, async || (page.title().await == title).then_some(())).await;
}

/// Opens all pages by day and by night, with a screen that has this name.
async fn all_are_sound(screen: &str, visitor: Visitor) {
    let office = Office::open().await;
    let [held, parked] = office.rewards;
    let pages = [
        ("overview", "/console".to_owned()),
        ("links", "/console/links".to_owned()),
        ("link-new", "/console/links/new".to_owned()),
        ("link", "/console/links/of/spring-sale?done=made".to_owned()),
        ("rewards", "/console/rewards".to_owned()),
        ("reward-held", format!("/console/rewards/{held}")),
        ("reward-parked", format!("/console/rewards/{parked}")),
        ("user", "/console/rewards/user?campaign=spring&user=ann".to_owned()),
        ("compensations", "/console/compensations".to_owned()),
        ("compensation-new", "/console/compensations/new".to_owned()),
        ("compensation", "/console/compensations/1".to_owned()),
        ("campaigns", "/console/campaigns".to_owned()),
        ("campaign", "/console/campaigns/spring".to_owned()),
        ("version", "/console/campaigns/spring/2".to_owned()),
        ("diff", "/console/campaigns/spring/diff?from=1&to=2".to_owned()),
        ("activate", "/console/campaigns/spring/2/activate".to_owned()),
        ("nowhere", "/console/nowhere".to_owned()),
    ];
    for (colours, visitor) in visitor.by_day_and_night() {
        let mut page = visitor.opens(&office.url("/console")).await;
        page.must_be_sound(&format!("console-sign-in-{screen}-{colours}")).await;
        page.fill("#key", &office.key).await;
        page.click("main button").await;
        shows(&mut page, "Overview").await;
        for (name, path) in &pages {
            page.go(&office.url(path)).await;
            page.must_be_sound(&format!("console-{name}-{screen}-{colours}")).await;
        }
        page.go(&office.url("/console/links/new")).await;
        page.fill("#target", "nowhere").await;
        page.click("main button").await;
        eventually("faults", PATIENCE, async || {
            (page.count("[aria-invalid]").await == 1).then_some(())
        })
        .await;
        page.must_be_sound(&format!("console-faults-{screen}-{colours}")).await;
    }
}

#[tokio::test]
async fn the_console_is_sound_on_a_small_phone() {
    all_are_sound("phone", Visitor::on_a_phone()).await;
}

#[tokio::test]
async fn the_console_is_sound_on_a_desktop() {
    all_are_sound("desktop", Visitor::on_a_desktop()).await;
}

#[tokio::test]
async fn the_console_works_without_scripts() {
    let office = Office::open().await;
    let mut page = office.sign_in(&Visitor::on_a_desktop().without_scripts()).await;
    page.go(&office.url("/console/links/new")).await;
    page.fill("#target", "https://example.com/new").await;
    page.fill("#slug", "by-hand").await;
    page.click("main button").await;
    shows(&mut page, "by-hand").await;
    assert!(page.text(".notice").await.contains("The link was made."));
    assert!(!page.shows("[data-copy]").await, "a button that needs a script");
    let [held, _] = office.rewards;
    page.go(&office.url(&format!("/console/rewards/{held}"))).await;
    page.fill("#reason-approve", "checked by phone").await;
    page.click("form[action$=approve] button").await;
    eventually("it is approved", PATIENCE, async || {
        (page.count(".notice").await == 1).then_some(())
    })
    .await;
    assert_eq!(office.desk.state(held).await, "CREATE");
    page.click(".out button").await;
    shows(&mut page, "Sign in").await;
}

#[tokio::test]
async fn the_console_is_used_by_keyboard_and_a_form_is_sent_once() {
    let office = Office::open().await;
    let mut page = office.sign_in(&Visitor::on_a_desktop()).await;
    page.go(&office.url("/console/links/of/spring-sale")).await;
    page.press(Key::Tab).await;
    assert_eq!(page.text(":focus").await, "Skip to the content");
    page.press(Key::Enter).await;
    page.press(Key::Tab).await;
    assert_eq!(page.property(":focus", "tagName").await, json!("A"));
    page.press(Key::Tab).await;
    page.press(Key::Enter).await;
    let copied = async || (page.text(":focus").await == "Copied").then_some(());
    eventually("it is copied", PATIENCE, copied).await;
    assert!(page.clipboard().await.ends_with("/spring-sale"));
    // What is wrong has the focus when a form comes back.
    page.go(&office.url("/console/links/new")).await;
    page.fill("#target", "nowhere").await;
    page.press(Key::Enter).await;
    eventually("faults", PATIENCE, async || (page.count(".errors:focus").await == 1).then_some(()))
        .await;
    // A form that was sent is not sent again.
    page.go(&office.url("/console/links/new")).await;
    let sent = page
        .run(
            "const form = document.querySelector('main form');
             let sent = 0;
             form.addEventListener('submit', event => { if (!event.defaultPrevented) sent += 1; });
             document.addEventListener('submit', event => {
                 if (!event.defaultPrevented) { sent += 10; event.preventDefault(); }
             });
             form.querySelector('#target').value = 'https://example.com/';
             form.requestSubmit();
             form.requestSubmit();
             return sent;",
            json!([]),
        )
        .await;
    assert_eq!(sent, json!(12), "two tries, and one that the page lets through");
}
