//! The command line does what the API does.

use std::time::Duration;

use crate::support::{TestDatabase, Waypost, eventually, get};

/// Runs a command on a database: whether it succeeded, and what it printed.
pub(crate) async fn run(database: &TestDatabase, arguments: &[&str]) -> (bool, String) {
    let environment = [
        ("DATABASE_URL", database.url()),
        ("WAYPOST_EDGE__PUBLIC_URL", "https://go.example/".to_owned()),
    ];
    let environment = environment.each_ref().map(|(name, value)| (*name, value.as_str()));
    let (code, output) = Waypost::run(arguments, &environment).await;
    (code == Some(0), output.trim_end().to_owned())
}

#[tokio::test]
async fn a_link_is_made_shown_edited_listed_and_deleted() {
    let database = TestDatabase::new().await;
    let made = run(
        &database,
        &["link", "create", "https://example.com", "--slug", "one", "--tag", "a", "--title", "One"],
    );
    assert_eq!(made.await, (true, "https://go.example/one".to_owned()));
    let (good, shown) = run(&database, &["link", "get", "one", "--json"]).await;
    let link: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    assert!(good);
    assert_eq!(link.get("target"), Some(&"https://example.com/".into()));
    let edit =
        ["link", "edit", "one", "--status", "301", "--clear", "title", "--disable", "--tag", "b"];
    let (good, shown) = run(&database, &edit).await;
    assert!(
        good && shown.contains("  status: 301") && shown.contains("  disabled: true"),
        "{shown}"
    );
    assert!(!shown.contains("title") && shown.contains("  tags: [\"b\"]"), "{shown}");
    let (good, listed) = run(&database, &["link", "list", "--tag", "b"]).await;
    let expected = "https://go.example/one  https://example.com/  0 clicks  (disabled)";
    assert_eq!((good, listed.as_str()), (true, expected));
    assert_eq!(run(&database, &["link", "delete", "one"]).await, (true, "deleted one".to_owned()));
    let gone = run(&database, &["link", "get", "one"]).await;
    assert_eq!(gone, (false, "waypost: there is no link 'one'".to_owned()));
}

#[tokio::test]
async fn bad_options_are_named() {
    let database = TestDatabase::new().await;
    let bad = ["link", "create", "javascript:x", "--slug", "api", "--cache-seconds", "-1"];
    let (good, said) = run(&database, &bad).await;
    assert!(!good && said.contains("unexpected argument '-1'"), "{said}");
    let bad = ["link", "create", "javascript:x", "--slug", "api", "--status", "200"];
    let (good, said) = run(&database, &bad).await;
    assert!(!good, "{said}");
    for part in ["--slug is a reserved word", "target the scheme 'javascript'", "--status 200 is"] {
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[tokio::test]
async fn a_key_is_made_listed_and_revoked() {
    let database = TestDatabase::new().await;
    let create = ["key", "create", "--actor", "shop", "--scope", "links", "--scope", "rewards"];
    let (good, key) = run(&database, &create).await;
    assert!(good && key.starts_with("wp_") && key.len() == 59, "{key}");
    let id = key.split('_').nth(1).expect("an id");
    let (_, listed) = run(&database, &["key", "list"]).await;
    assert!(listed.starts_with(id) && listed.ends_with("holds  links,rewards  shop"), "{listed}");
    assert_eq!(run(&database, &["key", "revoke", id]).await, (true, format!("revoked {id}")));
    assert!(!run(&database, &["key", "revoke", id]).await.0);
    assert!(run(&database, &["key", "list"]).await.1.contains("  revoked "));
    assert!(!run(&database, &["key", "create", "--actor", "x", "--scope", "all"]).await.0);
}

#[tokio::test]
async fn a_domain_is_added_once_and_takes_links() {
    let database = TestDatabase::new().await;
    let add = ["domain", "add", "Links.Example", "--case-insensitive"];
    assert_eq!(run(&database, &add).await, (true, "added links.example".to_owned()));
    assert!(!run(&database, &add).await.0);
    for bad in ["go.example", "a:80", "https://a.example", "127.0.0.1", ""] {
        assert!(!run(&database, &["domain", "add", bad]).await.0, "{bad}");
    }
    let listed = run(&database, &["domain", "list"]).await.1;
    assert_eq!(listed, "go.example  (default)\nlinks.example  (case-insensitive)");
    let create =
        ["link", "create", "https://example.com", "--slug", "A", "--domain", "links.example"];
    assert_eq!(run(&database, &create).await, (true, "https://links.example/a".to_owned()));
}

#[tokio::test]
async fn a_domain_is_shown_edited_and_deleted() {
    let database = TestDatabase::new().await;
    let add = [
        "domain",
        "add",
        "s.example",
        "--slug-length",
        "5",
        "--root-url",
        "https://example.com",
        "--unknown-url",
        "https://example.com/404",
        "--gone-url",
        "https://example.com/410",
    ];
    assert_eq!(run(&database, &add).await, (true, "added s.example".to_owned()));
    let (good, shown) = run(&database, &["domain", "show", "S.example"]).await;
    assert!(good && shown.starts_with("s.example\n"), "{shown}");
    for line in ["  slug_length: 5", "  root_url: https://example.com/", "  default: false"] {
        assert!(shown.contains(line), "{line} in {shown}");
    }
    let edit = [
        "domain",
        "edit",
        "s.example",
        "--case",
        "insensitive",
        "--clear",
        "slug-length",
        "--clear",
        "root-url",
        "--gone-url",
        "https://example.org/",
    ];
    let edited = "edited s.example; running instances follow within seconds";
    assert_eq!(run(&database, &edit).await, (true, edited.to_owned()));
    let (_, shown) = run(&database, &["domain", "show", "s.example", "--json"]).await;
    let domain: serde_json::Value = serde_json::from_str(&shown).expect("JSON");
    let field = |name: &str| domain.get(name).cloned().unwrap_or_default();
    assert_eq!(field("slug_length"), 8);
    assert_eq!(field("root_url"), serde_json::Value::Null);
    assert_eq!(field("unknown_url"), "https://example.com/404");
    assert_eq!(field("gone_url"), "https://example.org/");
    let (_, listed) = run(&database, &["domain", "list", "--json"]).await;
    let hosts: Vec<serde_json::Value> = listed
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).expect("JSON")["host"].clone())
        .collect();
    assert_eq!(hosts, ["go.example", "s.example"]);
    let create = ["link", "create", "https://a.example", "--slug", "x", "--domain", "s.example"];
    assert!(run(&database, &create).await.0);
    let kept = "waypost: the domain 's.example' still has links; delete them first";
    assert_eq!(run(&database, &["domain", "delete", "s.example"]).await, (false, kept.to_owned()));
    assert!(run(&database, &["link", "delete", "x", "--domain", "s.example"]).await.0);
    let deleted = (true, "deleted s.example".to_owned());
    assert_eq!(run(&database, &["domain", "delete", "s.example"]).await, deleted);
    assert!(!run(&database, &["domain", "show", "s.example"]).await.0);
}

#[tokio::test]
async fn bad_options_of_a_domain_are_named() {
    let database = TestDatabase::new().await;
    let bad = ["domain", "add", "a:80", "--slug-length", "4", "--root-url", "https://go.example/"];
    let (good, said) = run(&database, &bad).await;
    assert!(!good, "{said}");
    for part in ["the host is no host name", "--slug-length must be from 5", "--root-url 'go.exam"]
    {
        assert!(said.contains(part), "{part} in {said}");
    }
    for (arguments, part) in [
        (["domain", "add", "go.example"], "which is always there"),
        (["domain", "delete", "go.example"], "which cannot be deleted"),
        (["domain", "delete", "no.example"], "add it first"),
    ] {
        let (good, said) = run(&database, &arguments).await;
        assert!(!good && said.contains(part), "{said}");
    }
}

#[tokio::test]
async fn a_configuration_is_checked_with_all_that_a_start_would_refuse() {
    let good = ("DATABASE_URL", "postgresql://waypost@db/waypost");
    let check = async |variable: (&str, &str)| {
        Waypost::run(&["check-config"], &[good, ("REDIS_URL", "redis://cache/"), variable]).await
    };
    let (code, said) = check(("WAYPOST_LOG__LEVEL", "info,waypost=debug")).await;
    assert_eq!((code, said.trim_end()), (Some(0), "The configuration is good."));
    for (variable, part) in [
        (("WAYPOST_LOG__LEVEL", "a=b=c"), "[log] level"),
        (("DATABASE_URL", "nonsense"), "the PostgreSQL address is not understood"),
        (("REDIS_URL", "nonsense"), "the Redis address is not understood"),
        (("WAYPOST_EDGE__LISTEN", "localhost"), "WAYPOST_EDGE__LISTEN"),
    ] {
        let (code, said) = check(variable).await;
        assert_eq!(code, Some(1), "{said}");
        assert!(said.contains(part), "{part} in {said}");
    }
}

#[tokio::test]
async fn a_database_that_cannot_be_had_is_named_with_the_reason() {
    let database = TestDatabase::empty().await;
    let (code, said) = Waypost::run(&["link", "list"], &[("DATABASE_URL", &database.url())]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("waypost migrate"), "{said}");
    let elsewhere = "postgresql://waypost@127.0.0.1:1/waypost";
    let (code, said) = Waypost::run(&["link", "list"], &[("DATABASE_URL", elsewhere)]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("Connection refused"), "{said}");
    let (code, said) = Waypost::run(&["link", "list"], &[]).await;
    assert_eq!(code, Some(1));
    assert!(said.contains("DATABASE_URL"), "{said}");
}

#[tokio::test]
async fn the_default_domain_can_fold_once_no_slug_has_capitals() {
    let database = TestDatabase::new().await;
    let fold = ["domain", "edit", "go.example", "--case", "insensitive"];
    run(&database, &["link", "create", "https://example.com", "--slug", "Spring"]).await;
    let (good, said) = run(&database, &fold).await;
    assert!(!good && said.contains("such as 'Spring'"), "{said}");
    assert!(said.starts_with("waypost: --case insensitive would hide"), "{said}");
    run(&database, &["link", "delete", "Spring"]).await;
    assert!(run(&database, &fold).await.0);
    let made = run(&database, &["link", "create", "https://example.com", "--slug", "Summer"]).await;
    assert_eq!(made, (true, "https://go.example/summer".to_owned()));
    let missing = ["domain", "edit", "no.example", "--case", "sensitive"];
    assert!(!run(&database, &missing).await.0);
    let database_url = database.url();
    let waypost = Waypost::start(&[
        ("DATABASE_URL", &database_url),
        ("WAYPOST_EDGE__PUBLIC_URL", "https://go.example/"),
    ])
    .await;
    let answer = get(waypost.edge(), "/SUMMER", &[]).await;
    assert_eq!(answer.header("location"), "https://example.com/");
}

#[tokio::test]
async fn clicks_are_reported() {
    let database = TestDatabase::new().await;
    let (good, _) =
        run(&database, &["link", "create", "https://example.com", "--slug", "one"]).await;
    assert!(good);
    let (good, none) = run(&database, &["link", "clicks", "one"]).await;
    assert!(good && none.contains("clicks      bots  prefetches  day"), "{none}");
    let waypost = Waypost::start(&[
        ("DATABASE_URL", &database.url()),
        ("WAYPOST_CLICKS__ROLL_UP_MILLISECONDS", "50"),
    ])
    .await;
    let browser = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0";
    for agent in [browser, browser, "curl/8.0"] {
        get(waypost.edge(), "/one", &[("user-agent", agent)]).await;
    }
    let report = eventually("the clicks are rolled up", Duration::from_secs(30), async || {
        let by = ["link", "clicks", "one", "--by", "browser"];
        let (good, report) = run(&database, &by).await;
        (good && report.contains("         2         1           0  from")).then_some(report)
    })
    .await;
    assert!(report.contains("         2         0           0  firefox"), "{report}");
    assert!(report.contains("         0         1           0  other"), "{report}");
    let upside_down = ["link", "clicks", "one", "--from", "2030-02-01", "--to", "2030-01-01"];
    let refused = (false, "waypost: --from must be before 'to'".to_owned());
    assert_eq!(run(&database, &upside_down).await, refused);
}
