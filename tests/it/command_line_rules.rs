//! Rules, limits and previews on the command line.

use serde_json::{Value, json};

use crate::command_line::run;
use crate::support::{TestDatabase, Waypost};

const TARGET: &str = "https://example.com/";

/// The link as `link get --json` shows it.
async fn shown(database: &TestDatabase, slug: &str) -> Value {
    let (good, shown) = run(database, &["link", "get", slug, "--json"]).await;
    assert!(good, "{shown}");
    serde_json::from_str(&shown).expect("JSON")
}

#[tokio::test]
async fn rules_are_given_shown_replaced_and_cleared() {
    let database = TestDatabase::new().await;
    let first = "device=ios,android query=src:qr%20code query=ad percent=20 https://one.example/";
    let second = "language=de,pt-br after=2030-01-01T00:00:00Z before=2031-01-01T00:00:00Z \
                  https://two.example/?a=b";
    let create = [
        "link",
        "create",
        TARGET,
        "--slug",
        "x",
        "--rule",
        first,
        "--rule",
        second,
        "--description",
        "All of it",
        "--image",
        "https://example.com/p.png",
    ];
    assert_eq!(run(&database, &create).await, (true, "https://go.example/x".to_owned()));
    let link = shown(&database, "x").await;
    assert_eq!(
        link.get("rules"),
        Some(&json!([
            {
                "device": ["ios", "android"], "percent": 20, "target": "https://one.example/",
                "query": [{ "name": "src", "value": "qr code" }, { "name": "ad" }],
            },
            {
                "language": ["de", "pt-br"], "after": "2030-01-01T00:00:00Z",
                "before": "2031-01-01T00:00:00Z", "target": "https://two.example/?a=b",
            },
        ]))
    );
    let (_, text) = run(&database, &["link", "get", "x"]).await;
    for line in [
        format!("  rule: {first}"),
        format!("  rule: {second}"),
        "  description: All of it".to_owned(),
        "  image: https://example.com/p.png".to_owned(),
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in {text}");
    }
    // A rule that is shown can be given again.
    let (_, text) = run(&database, &["link", "edit", "x", "--rule", second]).await;
    let rules: Vec<&str> = text.lines().filter(|line| line.starts_with("  rule")).collect();
    assert_eq!(rules, [format!("  rule: {second}")]);
    let clear = ["rules", "description", "image"].map(|field| ["--clear", field]).concat();
    let (good, text) = run(&database, &[vec!["link", "edit", "x"], clear].concat()).await;
    assert!(good && !text.contains("rule") && !text.contains("description"), "{text}");
    assert_eq!(shown(&database, "x").await.get("rules"), None);
}

#[tokio::test]
async fn a_limit_is_given_shown_changed_and_cleared() {
    let database = TestDatabase::new().await;
    let create = ["link", "create", TARGET, "--slug", "x", "--max-clicks", "100"];
    assert!(run(&database, &create).await.0);
    let client = database.connect().await;
    client.execute("UPDATE link SET clicks_used = 30", &[]).await.expect("clicks");
    let (_, text) = run(&database, &["link", "get", "x"]).await;
    assert!(text.contains("  max_clicks: 100\n") && text.contains("  clicks_left: 70"), "{text}");
    let (_, text) = run(&database, &["link", "edit", "x", "--max-clicks", "20"]).await;
    assert!(text.contains("  max_clicks: 20\n") && text.contains("  clicks_left: 0"), "{text}");
    let (good, said) = run(&database, &["link", "edit", "x", "--status", "301"]).await;
    assert!(!good && said.contains("--max-clicks cannot be kept when browsers"), "{said}");
    let (_, text) = run(&database, &["link", "edit", "x", "--clear", "max-clicks"]).await;
    assert!(!text.contains("clicks_left"), "{text}");
}

#[tokio::test]
async fn a_bad_rule_is_named_by_its_option_and_place() {
    let database = TestDatabase::new().await;
    let long = "d".repeat(501);
    for (options, said_so) in [
        (vec!["--rule", ""], "'--rule <RULE>': is empty; write 'device=ios https://"),
        (vec!["--rule", "ios https://a.example/"], "'ios' is no condition; write name=value"),
        (vec!["--rule", "tv=1 https://a.example/"], "use one of: device, language, query"),
        (vec!["--rule", "percent=all https://a.example/"], "a number from 1 to 100, such as"),
        (vec!["--rule", "device=ios device=android https://a.example/"], "'device' stands twice"),
        (vec!["--rule", "https://a.example/"], "--rule 1 needs a condition: device, language"),
        (vec!["--rule", "device=ios language=de"], "is a condition; write the target after it"),
        (
            vec![
                "--rule",
                "device=ios https://a.example/",
                "--rule",
                "device=tv,ios https://b.example/",
            ],
            "--rule 2, device 1 is no kind of device that is told apart; use one of: ios",
        ),
        (
            vec![
                "--rule",
                "device=mobile https://a.example/",
                "--rule",
                "device=ios https://b.example/",
            ],
            "--rule 2 can never match: --rule 1 stands before it and takes the last",
        ),
        (vec!["--rule", "query=:x https://a.example/"], "--rule 1, query 1 name must not be empty"),
        (vec!["--rule", "country=DE https://a.example/"], "clicks.country_file"),
        (vec!["--rule", "percent=101 https://a.example/"], "--rule 1, percent must be from 1 to"),
        (vec!["--rule", "before=soon https://a.example/"], "--rule 1, before is not a time; write"),
        (vec!["--max-clicks", "0"], "--max-clicks must be from 1 to"),
        (vec!["--max-clicks", "many"], "invalid value 'many' for '--max-clicks <COUNT>'"),
        (vec!["--max-clicks", "5", "--cache-seconds", "5"], "--max-clicks cannot be kept"),
        (vec!["--description", &long], "--description has 501 characters; at most 500"),
        (vec!["--image", "data:,x"], "--image the scheme 'data'"),
    ] {
        let (good, said) =
            run(&database, &[vec!["link", "create", TARGET], options].concat()).await;
        assert!(!good && said.contains(said_so), "{said_so} in {said}");
    }
    assert_eq!(run(&database, &["link", "list"]).await, (true, String::new()));
}

#[tokio::test]
async fn a_country_can_be_given_where_countries_are_known() {
    let database = TestDatabase::new().await;
    let environment = [
        ("DATABASE_URL", &*database.url()),
        ("WAYPOST_CLICKS__COUNTRY_FILE", "tests/data/countries.mmdb"),
    ];
    let rule = "country=de,AT https://a.example/";
    let create = ["link", "create", TARGET, "--slug", "x", "--rule", rule];
    let (code, said) = Waypost::run(&create, &environment).await;
    assert_eq!(code, Some(0), "{said}");
    let (_, text) = run(&database, &["link", "get", "x"]).await;
    assert!(text.contains("  rule: country=DE,AT https://a.example/"), "{text}");
}

#[tokio::test]
async fn the_help_explains_rules_to_whoever_makes_or_edits_a_link() {
    for command in ["create", "edit"] {
        let (code, help) = Waypost::run(&["link", command, "--help"], &[]).await;
        assert_eq!(code, Some(0), "{help}");
        for name in ["device", "language", "country", "query", "after", "before", "percent"] {
            assert!(help.contains(&format!("\n  {name}=")), "{name} in {help}");
        }
    }
}
