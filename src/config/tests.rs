use super::*;

fn load(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    std::fs::write(file.path(), text).expect("written");
    let environment = environment.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Config::load(Some(file.path()), &environment).map_err(|error| {
        error.to_string().replace(&file.path().display().to_string(), "waypost.toml")
    })
}

#[test]
fn the_shipped_file_shows_every_setting_with_its_default() {
    let shipped = include_str!("../../config/waypost.toml");
    // A setting is shown as a comment, `# name = value`; the text has a space more.
    let uncommented: String = shipped
        .lines()
        .map(|line| line.strip_prefix("#= ").unwrap_or(line))
        .fold(String::new(), |all, line| all + line + "\n");
    let shown = load(&uncommented, &[]).expect("valid");
    assert_eq!(format!("{shown:?}"), format!("{:?}", Config::default()));
    assert_eq!(
        format!("{:?}", load(shipped, &[]).expect("valid")),
        format!("{:?}", Config::default())
    );
    // Sixteen sections hold all other fields, and each of those is shown.
    let settings = shipped.lines().filter(|line| line.starts_with("#= ")).count();
    let fields = format!("{:#?}", Config::default())
        .lines()
        .filter(|line| line.starts_with("        ") && !line.starts_with("         "))
        .filter(|line| line.contains(": "))
        .count();
    assert_eq!(settings, fields);
}

/// An entry of `[[apps]]` that is good, and in which each line can be exchanged.
const APP: [&str; 6] = [
    "[[apps]]",
    "domains = [\"Go.Example\", \"bücher.example\"]",
    "android_package = \"com.example.app_2\"",
    "android_sha256_fingerprints = [\"FINGERPRINT\"]",
    "ios_app_ids = [\"ABCDE12345.com.example.my-app\"]",
    "paths = [\"/r/*\", \"/a?\"]",
];

fn load_app(lines: &[&str]) -> Result<Config, String> {
    let fingerprint = ["aB"; 32].join(":");
    load(&lines.join("\n").replace("FINGERPRINT", &fingerprint), &[])
}

#[test]
fn the_shipped_file_has_a_good_example_of_an_app() {
    let shipped = include_str!("../../config/waypost.toml");
    let example: String = shipped
        .lines()
        .map(|line| line.strip_prefix("#+ ").unwrap_or(line))
        .fold(String::new(), |all, line| all + line + "\n");
    let mut shown = load(&example, &[]).expect("valid");
    let app = shown.apps.pop().expect("one app");
    assert!(app.android.is_some() && app.ios_app_ids.len() == 1, "{app:?}");
    assert_eq!(
        (app.domains, app.paths),
        (vec!["go.example.com".to_owned()], vec!["/r/*".to_owned()])
    );
    assert_eq!(format!("{shown:?}"), format!("{:?}", Config::default()));
}

#[test]
fn an_app_is_read_as_the_stores_write_it() {
    let app = load_app(&APP).expect("valid").apps.remove(0);
    assert_eq!(app.domains, ["go.example", "xn--bcher-kva.example"]);
    let android = app.android.expect("an app for Android");
    assert_eq!(android.package, "com.example.app_2");
    assert_eq!(android.fingerprints, [["AB"; 32].join(":")]);
    let ios = load_app(&["[[apps]]", APP[4], "[[apps]]", APP[2], APP[3]]).expect("valid").apps;
    let [ios, android] = ios.as_slice() else { panic!("{ios:?}") };
    assert_eq!((ios.android.as_ref(), ios.paths.as_slice()), (None, &["/r/*".to_owned()][..]));
    assert_eq!((android.domains.len(), android.ios_app_ids.len()), (0, 0));
}

#[test]
fn a_bad_app_is_refused_with_its_line_and_the_remedy() {
    let pairs = |count: usize| {
        format!("android_sha256_fingerprints = [{:?}]", ["AB"; 32][..count].join(":"))
    };
    let (sha1, bare) = (pairs(20), pairs(32).replace(':', ""));
    let bad_pair = pairs(31).replace("\"]", ":XY\"]");
    let domain = "without scheme, port, path and wildcard";
    for (line, bad, remedy) in [
        (2, "domains = [\"https://go.example\"]", domain),
        (2, "domains = [\"go.example\", \"go.example:80\"]", domain),
        (2, "domains = [\"*.go.example\"]", domain),
        (2, "domains = [\"\"]", domain),
        (3, "android_package = \"app\"", "like \"com.example.app\""),
        (3, "android_package = \"com.2.app\"", "like \"com.example.app\""),
        (3, "android_package = \"com.example.my-app\"", "like \"com.example.app\""),
        (3, "android_package = \"\"", "like \"com.example.app\""),
        (4, &sha1, "it has 20 pairs of hexadecimal digits between colons, not 32"),
        (4, &bare, "it has 0 pairs"),
        (4, &bad_pair, "it has 31 pairs"),
        (5, "ios_app_ids = [\"com.example.app\"]", "like \"ABCDE12345.com.example.app\""),
        (5, "ios_app_ids = [\"ABCDE12345\"]", "like \"ABCDE12345.com.example.app\""),
        (5, "ios_app_ids = [\"ABCDE12345.\"]", "like \"ABCDE12345.com.example.app\""),
        (5, "ios_app_ids = [\"abcde12345.com.example\"]", "like \"ABCDE12345.com.example.app\""),
        (6, "paths = [\"r/*\"]", "must begin with \"/\""),
        (6, "paths = [\"/a b\"]", "no spaces"),
        (6, "paths = []", "leave it out"),
        (6, "path = []", "unknown field `path`, expected one of `domains`"),
        (1, "[[apps]]\n[[apps]]", "needs android_package, ios_app_ids or both"),
        (3, "", "android_sha256_fingerprints needs android_package"),
        (4, "", "android_package needs android_sha256_fingerprints"),
    ] {
        let mut lines = APP;
        lines[line - 1] = bad;
        let message = load_app(&lines).expect_err(bad);
        // What an entry lacks is nowhere: there the message names its first line.
        let shown = if bad.is_empty() { 1 } else { line };
        let place = format!("in waypost.toml: TOML parse error at line {shown},");
        assert!(message.starts_with(&place) && message.contains(remedy), "{bad}: {message}");
    }
    let message = load("", &[("WAYPOST_APPS__PATHS", "[]")]).expect_err("no variable for this");
    assert!(message.starts_with("in the environment variable WAYPOST_APPS__PATHS"), "{message}");
}

#[test]
fn an_unknown_key_is_refused_with_file_and_line() {
    let message = load("[edge]\nlissten = \"0.0.0.0:80\"\n", &[]).expect_err("refused");
    let first = message.lines().next();
    assert_eq!(first, Some("in waypost.toml: TOML parse error at line 2, column 1"));
    assert!(message.contains("unknown field `lissten`, expected one of `listen`"), "{message}");
}

#[test]
fn a_value_out_of_range_is_refused_with_its_bounds() {
    let message = load("[limits]\nheader_read_seconds = 0\n", &[]).expect_err("refused");
    insta::assert_snapshot!(message, @r"
    in waypost.toml: TOML parse error at line 2, column 23
      |
    2 | header_read_seconds = 0
      |                       ^
    must be from 1 to 31536000, not 0
    ");
}

#[test]
fn a_bad_setting_of_zookeeper_is_refused_with_the_remedy_and_without_the_password() {
    let server = "write each like \"zk1.example.com:2181\"";
    let path = "like \"/waypost/campaigns\"";
    for (bad, remedy) in [
        ("servers = [\"zk1:2181\", \"zk://zk2:2181\"]", server),
        ("servers = [\"zk1:2181/chroot\"]", server),
        ("servers = [\"zk1:2181,zk2:2181\"]", server),
        ("servers = [\"zk1:port\"]", server),
        ("servers = [\"zk1:0\"]", server),
        ("servers = [\"zk1:65536\"]", server),
        ("servers = [\"\"]", server),
        ("path = \"\"", path),
        ("path = \"/\"", path),
        ("path = \"waypost\"", path),
        ("path = \"/waypost/\"", path),
        ("path = \"/waypost//campaigns\"", path),
        ("path = \"/waypost/../campaigns\"", path),
        ("authorization = \"tr0ub4dor\"", "a user, a colon and the password"),
        ("authorization = \":tr0ub4dor\"", "a user, a colon and the password"),
        ("session_seconds = 0", "must be from 1 to 300, not 0"),
        ("session_seconds = 301", "must be from 1 to 300, not 301"),
        ("read_seconds = 301", "must be from 1 to 300, not 301"),
        ("server = []", "expected one of `servers`, `path`"),
    ] {
        let message = load(&format!("[zookeeper]\n{bad}\n"), &[]).expect_err(bad);
        let is_told = message.starts_with("in waypost.toml: TOML parse error at line 2,");
        assert!(is_told && message.contains(remedy), "{bad}: {message}");
        assert!(!message.contains("tr0ub4dor"), "{message}");
    }
    let message = load("[campaigns]\nsource = \"etcd\"\n", &[]).expect_err("refused");
    assert!(message.contains("expected `database` or `zookeeper`"), "{message}");
    let good = "[zookeeper]\nservers = [\"zk1\", \"10.0.0.1:2181\", \"[::1]:2181\", \"localhost:80\"]\n\
                path = \"/a\"\nauthorization = \"waypost:a:b\"\n[campaigns]\nsource = \"zookeeper\"\n";
    let config = load(good, &[]).expect("good");
    assert_eq!(
        (config.zookeeper.servers.len(), config.campaigns.source),
        (4, CampaignSource::Zookeeper)
    );
}

#[test]
fn the_environment_stands_above_the_file() {
    let config = load(
        "[edge]\nworkers = 3\n",
        &[
            ("WAYPOST_EDGE__WORKERS", "5"),
            ("WAYPOST_EDGE__LISTEN", "127.0.0.1:9"),
            ("REDIS_URL", "redis://a,redis://b"),
            ("DATABASE_URL", "postgresql://secret"),
        ],
    )
    .expect("valid");
    assert_eq!(config.edge.workers, 5);
    assert_eq!(config.edge.listen, SocketAddr::from(([127, 0, 0, 1], 9)));
    assert!(config.redis.cluster);
    assert_eq!(config.postgres.url.expose(), "postgresql://secret");
    assert!(!format!("{config:?}").contains("secret"), "a secret shows itself");
}

#[test]
fn a_message_shows_no_password() {
    let file = load("[postgres]\nurl = postgresql://me:secret@host/waypost\n", &[]);
    let variable = load("", &[("WAYPOST_REDIS__URLS", "redis://:secret@host/")]);
    for message in [file.expect_err("not quoted"), variable.expect_err("not a list")] {
        assert!(message.contains("://…@host/") && !message.contains("secret"), "{message}");
    }
}

#[test]
fn no_size_is_too_large_to_start_with() {
    for name in [
        "CLICKS__BUFFER",
        "LIMITS__HEADER_BYTES",
        "POSTGRES__CONNECTIONS",
        "POSTGRES__READ_CONNECTIONS",
    ] {
        let name = format!("WAYPOST_{name}");
        let message = load("", &[(&name, "9223372036854775807")]).expect_err("refused");
        assert!(message.contains("must be from"), "{message}");
    }
}

#[test]
fn a_bad_variable_is_named() {
    let message = load("", &[("WAYPOST_EDGE__WORKRES", "5")]).expect_err("refused");
    assert!(message.starts_with("in the environment variable WAYPOST_EDGE__WORKRES"), "{message}");
    let message = load("", &[("WAYPOST_CACHE__FRONT_ENTRIES", "3")]).expect_err("refused");
    assert!(message.contains("power of two"), "{message}");
}

#[test]
fn the_public_url_has_nothing_but_a_host() {
    for bad in
        ["go.example", "ftp://go.example/", "https://me:secret@go.example/", "https://go.example/x"]
    {
        let message = load(&format!("[edge]\npublic_url = {bad:?}\n"), &[]).expect_err("refused");
        assert!(message.starts_with("in waypost.toml: TOML parse error at line 2"), "{message}");
    }
}

#[test]
fn a_proxy_that_is_no_address_is_named() {
    for (bad, remedy) in [
        ("balancer.example", "is no address"),
        ("10.0.0.0/33", "from 0 to 32"),
        ("10.1.2.3/8", "write \"10.0.0.0/8\""),
        ("", "is no address"),
    ] {
        let text = format!("[edge]\ntrusted_proxies = [\"::1\", {bad:?}]\n");
        let message = load(&text, &[]).expect_err("refused");
        assert!(message.starts_with("in waypost.toml: TOML parse error at line 2"), "{message}");
        assert!(message.contains(&format!("{bad:?} ")) && message.contains(remedy), "{message}");
    }
    let config = load("", &[("WAYPOST_EDGE__TRUSTED_PROXIES", "[\"10.0.0.0/8\", \"::1\"]")]);
    assert_eq!(config.expect("valid").edge.trusted_proxies.len(), 2);
}

#[test]
fn a_host_that_would_block_nothing_is_refused() {
    for bad in ["https://bad.example/", "bad.example:80", "*.bad.example", ".bad.example", ""] {
        for setting in ["blocked_hosts", "allowed_hosts"] {
            let text = format!("[links]\nslashes = true\n{setting} = [\"a.example\", {bad:?}]\n");
            let message = load(&text, &[]).expect_err("refused");
            assert!(
                message.starts_with("in waypost.toml: TOML parse error at line 3"),
                "{message}"
            );
            assert!(message.contains(&format!("{bad:?} is no host; write it like")), "{message}");
        }
    }
    let good = "[links]\nblocked_hosts = [\"Bücher.example\", \"10.0.0.1\", \"[::1]\"]\n";
    assert!(load(good, &[]).is_ok());
}

#[test]
fn a_service_is_named_by_a_url_without_secrets_in_it() {
    for (bad, remedy) in [
        ("payments.example", "write it like https://payments.example.com/"),
        ("ftp://payments.example/", "must start with http:// or https://"),
        ("mailto:payments@payments.example", "must start with http:// or https://"),
        ("https:///", "empty host"),
        ("https://me:secret@payments.example/", "set 'authorization'"),
        ("https://payments.example/?key=1", "must end with its path"),
        ("https://payments.example/#top", "must end with its path"),
    ] {
        for section in ["payment", "notifications"] {
            let text = format!("[{section}]\nurl = {bad:?}\n");
            let message = load(&text, &[]).expect_err(bad);
            assert!(
                message.starts_with("in waypost.toml: TOML parse error at line 2"),
                "{message}"
            );
            assert!(message.contains(remedy) && !message.contains("secret"), "{bad}: {message}");
        }
    }
    let url = |text: &str| {
        let config = load("", &[("WAYPOST_PAYMENT__URL", text)]).expect("valid");
        config.payment.url.map(String::from)
    };
    assert_eq!(url(""), None);
    assert_eq!(url("http://127.0.0.1:8082").as_deref(), Some("http://127.0.0.1:8082/"));
    assert_eq!(url("https://a.example/pay/v1").as_deref(), Some("https://a.example/pay/v1/"));
    assert_eq!(url("https://a.example/pay/").as_deref(), Some("https://a.example/pay/"));
}

#[test]
fn calls_and_their_patience_have_bounds() {
    for (setting, bounds) in [
        ("PAYMENT__CALLS=0", "from 1 to 1024"),
        ("PAYMENT__CALLS=1025", "from 1 to 1024"),
        ("PAYMENT__DEADLINE_MILLISECONDS=0", "from 1 to 20000"),
        ("NOTIFICATIONS__DEADLINE_MILLISECONDS=20001", "from 1 to 20000"),
    ] {
        let (name, value) = setting.split_once('=').expect("written here");
        let message = load("", &[(&format!("WAYPOST_{name}"), value)]).expect_err(setting);
        assert!(message.contains(bounds), "{message}");
    }
}

#[test]
fn no_message_shows_an_authorization() {
    for section in ["payment", "notifications"] {
        for (bad, said) in [
            ("Bearer hush", "must be quoted"),
            ("4711", "in quotation marks"),
            ("\"Bearer hush\\n\"", "signs of ASCII"),
            ("\" hush\"", "signs of ASCII"),
            ("\"hüsh\"", "signs of ASCII"),
            (&format!("\"{}\"", "hush".repeat(2_000)), "4096 bytes"),
        ] {
            let text = format!("[{section}]\nauthorization = {bad}\n");
            let message = load(&text, &[]).expect_err(bad);
            assert!(
                message.starts_with("in waypost.toml: TOML parse error at line 2"),
                "{message}"
            );
            let hidden = ["hush", "hüsh", "4711"].iter().all(|secret| !message.contains(secret));
            assert!(hidden && message.contains(said), "{bad}: {message}");
        }
    }
    let variable = [("WAYPOST_PAYMENT__AUTHORIZATION", "4711")];
    let message = load("", &variable).expect_err("a number");
    assert!(message.contains("in quotation marks") && !message.contains("4711"), "{message}");
    let good = load("", &[("WAYPOST_PAYMENT__AUTHORIZATION", "Bearer hush")]).expect("valid");
    assert_eq!(good.payment.authorization.expose(), "Bearer hush");
    assert!(!format!("{good:?}").contains("hush"), "a secret shows itself");
}
