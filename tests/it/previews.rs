//! What programs that render previews are shown of a link, and what people see of it at `/{slug}+`
//! before they open it.

use std::net::SocketAddr;
use std::time::Duration;

use serde_json::{Value, json};

use crate::support::deployment::{call, links_key};
use crate::support::html::Page;
use crate::support::{
    Answer, TestDatabase, TestPostgres, TestRedis, Waypost, eventually, get, send,
};

const PATIENCE: Duration = Duration::from_secs(30);

const TARGET: &str = "https://a.example/welcome";

const PREVIEW_BOTS: [&str; 5] = [
    "facebookexternalhit/1.1 (+http://www.facebook.com/externalhit_uatext.php)",
    "WhatsApp/2.23.20.0",
    "TelegramBot (like TwitterBot)",
    "Slackbot-LinkExpanding 1.0 (+https://api.slack.com/robots)",
    "Twitterbot/1.0",
];

const IPHONE: &str = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 \
                      (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1";
const DESKTOP: &str = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
const CRAWLER: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";

/// A process, and a key for its API.
struct Service {
    waypost: Waypost,
    key: String,
}

impl Service {
    async fn start(database: &TestDatabase) -> Self {
        let key = links_key(&database.store()).await;
        Self { waypost: start(&database.url(), None).await, key }
    }

    async fn make(&self, fields: Value) {
        let mut body = json!({ "target": TARGET });
        let into = body.as_object_mut().expect("an object");
        into.extend(fields.as_object().cloned().expect("an object"));
        let made = self.call("POST", "/v1/links", body).await;
        assert_eq!(made.status, 201, "{}", made.text());
    }

    async fn edit(&self, slug: &str, body: Value) {
        let edited = self.call("PATCH", &format!("/v1/links/{slug}"), body).await;
        assert_eq!(edited.status, 200, "{}", edited.text());
    }

    async fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        call(self.waypost.control(), &self.key, (method, path), Some(body)).await
    }

    fn edge(&self) -> SocketAddr {
        self.waypost.edge()
    }

    /// Opens a path as this program or browser.
    async fn open(&self, path: &str, agent: &str) -> Answer {
        get(self.edge(), path, &[("user-agent", agent)]).await
    }

    /// The page that a program that renders previews gets.
    async fn preview(&self, path: &str) -> Page {
        let answer = self.open(path, "Twitterbot/1.0").await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        Page::read(&answer.text())
    }

    /// What there is to see at a path, as JSON.
    async fn look(&self, path: &str, headers: &[(&str, &str)]) -> Value {
        let headers = [&[("accept", "application/json")], headers].concat();
        let answer = get(self.edge(), path, &headers).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(answer.header("content-type"), "application/json");
        is_guarded(&answer);
        answer.json()
    }
}

async fn start(postgres: &str, redis: Option<&str>) -> Waypost {
    let mut environment =
        vec![("DATABASE_URL", postgres), ("WAYPOST_EDGE__PUBLIC_URL", "https://go.example/")];
    environment.extend(redis.map(|url| ("REDIS_URL", url)));
    Waypost::start(&environment).await
}

/// No page about a link may run anything, be framed, be found by searching, or be kept.
fn is_guarded(answer: &Answer) {
    let policy = answer.header("content-security-policy");
    assert_eq!(policy, "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'");
    assert_eq!(answer.header("x-robots-tag"), "noindex");
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("x-content-type-options"), "nosniff");
}

fn is_redirected(answer: &Answer, what: &str) {
    assert_eq!((answer.status, answer.header("location")), (302, TARGET), "{what}");
}

#[tokio::test]
async fn a_preview_has_what_there_is_of_title_description_and_picture() {
    let database = TestDatabase::new().await;
    let service = Service::start(&database).await;
    let (title, description, image) = ("Spring sale", "All of it", "https://a.example/p.png?a=1&b");
    let all = json!({ "title": title, "description": description, "image": image });
    for (slug, fields, expected) in [
        ("all", all, (title, Some(description), Some(image), "summary_large_image")),
        ("title", json!({ "title": title }), (title, None, None, "summary")),
        (
            "words",
            json!({ "description": description }),
            ("https://go.example/words", Some(description), None, "summary"),
        ),
        (
            "picture",
            json!({ "image": image }),
            ("https://go.example/picture", None, Some(image), "summary_large_image"),
        ),
    ] {
        let mut fields = fields;
        fields["slug"] = slug.into();
        service.make(fields).await;
        let (title, description, image, card) = expected;
        for bot in PREVIEW_BOTS {
            let answer = service.open(&format!("/{slug}"), bot).await;
            assert_eq!((answer.status, answer.header("location")), (200, ""), "{slug} {bot}");
            assert_eq!(answer.header("content-type"), "text/html; charset=utf-8");
            assert_eq!(answer.header("vary"), "User-Agent");
            is_guarded(&answer);
            let page = Page::read(&answer.text());
            assert_eq!(page.meta("og:title"), Some(title));
            assert_eq!(page.text_of("title"), title);
            assert_eq!(page.meta("og:description"), description);
            assert_eq!(page.meta("description"), description);
            assert_eq!(page.meta("og:image"), image);
            assert_eq!(page.meta("og:url"), Some(format!("https://go.example/{slug}").as_str()));
            assert_eq!(page.meta("og:type"), Some("website"));
            assert_eq!(page.meta("twitter:card"), Some(card));
            assert_eq!(page.links(), [TARGET]);
        }
        for agent in [IPHONE, DESKTOP, CRAWLER, "curl/8.0", ""] {
            is_redirected(&service.open(&format!("/{slug}"), agent).await, agent);
        }
        let ahead = [("user-agent", DESKTOP), ("sec-purpose", "prefetch")];
        is_redirected(&get(service.edge(), &format!("/{slug}"), &ahead).await, "a prefetch");
    }
    service.make(json!({ "slug": "plain", "tags": ["a"] })).await;
    for bot in PREVIEW_BOTS {
        is_redirected(&service.open("/plain", bot).await, bot);
    }
}

#[tokio::test]
async fn words_stay_words_whatever_they_contain() {
    let database = TestDatabase::new().await;
    let service = Service::start(&database).await;
    let nasty = "\"><script>alert('x')</script> & &amp; <!-- ' ]]> \u{1f98a}\u{202e} é </title>";
    let image = "https://a.example/\"onerror=\"alert(1)?<b>&c='d'";
    service
        .make(json!({ "slug": "x", "title": nasty, "description": nasty, "image": image }))
        .await;
    let page = service.preview("/x").await;
    for property in ["og:title", "og:description", "description"] {
        assert_eq!(page.meta(property), Some(nasty));
    }
    assert_eq!((page.text_of("title"), page.text_of("h1")), (nasty, nasty));
    assert_eq!(page.text_of("p"), nasty);
    let image = page.meta("og:image").expect("a picture");
    assert_eq!(image, "https://a.example/%22onerror=%22alert(1)?%3Cb%3E&c=%27d%27");
    let expected = ["a", "body", "h1", "head", "html", "main", "meta", "p", "style", "title"];
    assert_eq!(page.names(), expected);

    let seen = service.open("/x+", DESKTOP).await;
    let seen = Page::read(&seen.text());
    assert_eq!(seen.text.matches(nasty).count(), 2, "{}", seen.text);
    assert!(!seen.names().contains(&"script"));
    let look = service.look("/x+", &[]).await;
    assert_eq!((&look["title"], &look["description"]), (&json!(nasty), &json!(nasty)));
}

#[tokio::test]
async fn a_preview_follows_edits_and_ends_with_the_link() {
    let database = TestDatabase::new().await;
    let service = Service::start(&database).await;
    service.make(json!({ "slug": "x", "title": "One" })).await;
    assert_eq!(service.preview("/x").await.meta("og:title"), Some("One"));
    service.edit("x", json!({ "title": "Two", "description": "More" })).await;
    let page = service.preview("/x").await;
    assert_eq!((page.meta("og:title"), page.meta("og:description")), (Some("Two"), Some("More")));
    let head = send(service.edge(), "HEAD", "/x", &[("user-agent", "Twitterbot/1.0")], "").await;
    assert_eq!((head.status, head.header("vary"), head.body.len()), (200, "User-Agent", 0));
    assert_eq!(head.header("content-length"), {
        service.open("/x", "Twitterbot/1.0").await.body.len().to_string()
    });
    service.edit("x", json!({ "title": null, "description": null })).await;
    is_redirected(&service.open("/x", "Twitterbot/1.0").await, "nothing to show");
    service.edit("x", json!({ "title": "Three", "disabled": true })).await;
    assert_eq!(service.open("/x", "Twitterbot/1.0").await.status, 410);
}

#[tokio::test]
async fn a_bot_is_redirected_while_nobody_can_be_asked_what_to_show() {
    let mut postgres = TestPostgres::start().await;
    let redis = TestRedis::start().await;
    let key = links_key(&postgres.store()).await;
    let waypost = start(&postgres.url(), Some(&redis.url())).await;
    let service = Service { waypost, key };
    service.make(json!({ "slug": "seen", "title": "Seen" })).await;
    service.make(json!({ "slug": "unseen", "title": "Unseen" })).await;
    assert_eq!(service.preview("/seen").await.meta("og:title"), Some("Seen"));
    is_redirected(&service.open("/unseen", DESKTOP).await, "a person");
    postgres.kill();
    is_redirected(&service.open("/unseen", "Twitterbot/1.0").await, "a bot");
    assert_eq!(service.preview("/seen").await.meta("og:title"), Some("Seen"), "remembered");
    let look = service.look("/unseen+", &[]).await;
    assert_eq!((&look["target"], &look["title"]), (&json!(TARGET), &Value::Null));
    postgres.restart();
    eventually("there is a preview again", PATIENCE, async || {
        (service.open("/unseen", "Twitterbot/1.0").await.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_limited_link_shows_no_target_before_it_is_opened() {
    let database = TestDatabase::new().await;
    let service = Service::start(&database).await;
    service.make(json!({ "slug": "x", "title": "Ticket", "max_clicks": 1 })).await;
    let page = service.preview("/x").await;
    assert_eq!(page.meta("og:title"), Some("Ticket"));
    assert_eq!(page.links(), ["https://go.example/x"]);
    assert!(!page.text.contains("welcome"), "{}", page.text);
    for _ in 0..3 {
        let seen = service.open("/x+", DESKTOP).await;
        let page = Page::read(&seen.text());
        assert_eq!((seen.status, page.links()), (200, vec!["https://go.example/x"]));
        assert!(page.text.contains("a.example") && !seen.text().contains("welcome"));
        assert!(page.text.contains("a limited number of times"), "{}", page.text);
        let look = service.look("/x+", &[]).await;
        assert_eq!(look["limited"], true);
        assert_eq!((&look["target"], &look["host"]), (&Value::Null, &json!("a.example")));
    }
    // Nobody has used it up by looking. Then somebody opens it, at another process.
    let beside = start(&database.url(), None).await;
    is_redirected(&get(beside.edge(), "/x", &[("user-agent", DESKTOP)]).await, "a person");
    for (edge, path) in [(service.edge(), "/x+"), (beside.edge(), "/x+"), (service.edge(), "/x")] {
        let agent = [("user-agent", "Twitterbot/1.0")];
        assert_eq!(get(edge, path, &agent).await.status, 410, "{path}");
    }
}

#[tokio::test]
async fn a_link_can_be_looked_at_before_it_is_opened() {
    let database = TestDatabase::new().await;
    let add = "INSERT INTO domain (host, case_insensitive) VALUES ('second.example', true)";
    database.connect().await.batch_execute(add).await.expect("a domain");
    let service = Service::start(&database).await;
    let long = format!("https://a.example/{}?q=%22%3Cscript%3E", "x".repeat(1_960));
    service.make(json!({ "slug": "long", "target": long })).await;
    service.make(json!({ "slug": "One", "domain": "second.example" })).await;
    service.make(json!({ "slug": "ends", "expires_at": "2999-12-31T22:30:00Z" })).await;
    for path in ["/long+", "/long%2B", "/long%2b", "/lon%67+", "/long+/", "/long+?x=1"] {
        let answer = service.open(path, DESKTOP).await;
        assert_eq!((answer.status, answer.header("vary")), (200, "Accept"), "{path}");
        is_guarded(&answer);
        let page = Page::read(&answer.text());
        assert_eq!(page.meta("robots"), Some("noindex"));
        assert_eq!(page.meta("referrer"), Some("no-referrer"));
        assert_eq!(page.links(), [long.as_str()], "{path}");
        assert!(page.text.replace('\n', "").contains(&long), "{path}");
        assert!(page.text.contains("https://go.example/long\n"));
        assert!(!page.text.contains("Others may") && !page.text.contains("until"));
    }
    let plain = json!({
        "short_url": "https://go.example/long", "target": long, "host": "a.example",
        "depends_on": [], "limited": false, "expires_at": null, "title": null, "description": null,
    });
    assert_eq!(service.look("/long+", &[]).await, plain);
    let second = service.look("/ONE+", &[("host", "second.example")]).await;
    assert_eq!(
        (&second["short_url"], &second["target"]),
        (&json!("https://second.example/one"), &json!(TARGET))
    );
    assert_eq!(service.look("/ends+", &[]).await["expires_at"], "2999-12-31T22:30:00Z");
    let ends = Page::read(&service.open("/ends+", DESKTOP).await.text());
    assert_eq!(ends.text_of("time"), "31 December 2999, 22:30 UTC");
    let head = send(service.edge(), "HEAD", "/ends+", &[], "").await;
    assert_eq!((head.status, head.body.len()), (200, 0));
    let post = send(service.edge(), "POST", "/ends+", &[], "").await;
    assert_eq!(post.status, 405);
}

#[tokio::test]
async fn a_look_shows_this_visitors_target_and_what_it_depends_on() {
    let database = TestDatabase::new().await;
    let service = Service::start(&database).await;
    service
        .make(json!({ "slug": "x", "forward_query": true, "title": "App", "rules": [
            { "device": ["ios"], "language": ["de"], "target": "https://ios-de.example/" },
            { "device": ["mobile"], "before": "2999-01-01T00:00:00Z", "target": "https://m.example/" },
            { "query": [{ "name": "beta" }], "target": "https://beta.example/" },
            { "percent": 100, "device": ["desktop"], "target": "https://desktop.example/" },
        ] }))
        .await;
    let words =
        json!(["your device", "your language", "how the link is written", "the time", "chance"]);
    for (path, agent, language, target) in [
        ("/x+", IPHONE, "de-AT", "https://ios-de.example/"),
        ("/x+", IPHONE, "en", "https://m.example/"),
        ("/x+?beta=1", CRAWLER, "en", "https://beta.example/?beta=1"),
        ("/x+", DESKTOP, "de", "https://desktop.example/"),
        ("/x+?a=b", CRAWLER, "de", "https://a.example/welcome?a=b"),
    ] {
        let headers = [("user-agent", agent), ("accept-language", language)];
        let look = service.look(path, &headers).await;
        assert_eq!((&look["target"], &look["depends_on"]), (&json!(target), &words), "{path}");
        let page = Page::read(&get(service.edge(), path, &headers).await.text());
        assert_eq!(page.links(), [target]);
        let sentence = "it depends on your device, your language, how the link is written, the time and chance.";
        assert!(page.text.contains(sentence), "{}", page.text);
        // And that is where the visitor is led.
        let opened = get(service.edge(), &path.replacen('+', "", 1), &headers).await;
        assert_eq!(opened.header("location"), target);
    }
}

#[tokio::test]
async fn a_link_that_leads_nowhere_shows_nothing_and_sends_nobody_anywhere() {
    let database = TestDatabase::new().await;
    let add = "INSERT INTO domain (host, unknown_url, gone_url)
               VALUES ('second.example', 'https://b.example/unknown', 'https://b.example/gone')";
    database.connect().await.batch_execute(add).await.expect("a domain");
    let service = Service::start(&database).await;
    let fallback = "https://b.example/over";
    for host in ["go.example", "second.example"] {
        let with = |slug: &str| json!({ "slug": slug, "domain": host, "fallback": fallback });
        service.make(with("off")).await;
        let off = format!("/v1/links/off?domain={host}");
        assert_eq!(service.call("PATCH", &off, json!({ "disabled": true })).await.status, 200);
        let mut tomorrow = with("tomorrow");
        tomorrow["valid_from"] = "2999-01-01T00:00:00Z".into();
        service.make(tomorrow).await;
        for (path, status) in [("/off+", 410), ("/tomorrow+", 404), ("/unknown+", 404)] {
            for accept in ["text/html", "application/json"] {
                let headers = [("host", host), ("accept", accept)];
                let answer = get(service.edge(), path, &headers).await;
                let detour = answer.header("location");
                assert_eq!((answer.status, detour), (status, ""), "{host}{path}");
                assert!(!answer.text().contains("a.example"), "{}", answer.text());
                assert_eq!(answer.header("cache-control"), "no-store");
            }
        }
    }
}

#[tokio::test]
async fn looking_is_not_counted() {
    let database = TestDatabase::new().await;
    let service = Service::start(&database).await;
    service.make(json!({ "slug": "looked-at", "title": "T" })).await;
    service.make(json!({ "slug": "shown", "title": "T" })).await;
    service.make(json!({ "slug": "opened" })).await;
    for _ in 0..3 {
        assert_eq!(service.open("/looked-at+", DESKTOP).await.status, 200);
        let head =
            send(service.edge(), "HEAD", "/looked-at", &[("user-agent", "Twitterbot/1.0")], "");
        assert_eq!(head.await.status, 200);
    }
    assert_eq!(service.open("/shown", "Twitterbot/1.0").await.status, 200);
    // The last one: when it is counted, what came before is counted as well.
    is_redirected(&service.open("/opened", DESKTOP).await, "a person");
    let client = database.connect().await;
    let counted = eventually("the last click is counted", PATIENCE, async || {
        let sql =
            "SELECT slug, people, bots FROM link_clicks JOIN link ON id = link_id ORDER BY slug";
        let rows = client.query(sql, &[]).await.expect("rows");
        let rows: Vec<(String, i64, i64)> =
            rows.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
        rows.iter().any(|(slug, _, _)| slug == "opened").then_some(rows)
    })
    .await;
    assert_eq!(counted, [("opened".to_owned(), 1, 0), ("shown".to_owned(), 0, 1)]);
}
