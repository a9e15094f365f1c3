//! Walls of the house that the compiler does not check: who may know whom, where a third party may be
//! named, how long a file may be. A wall is a test, not a hope.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What each module may import besides itself; the longest name that fits a file counts.
///
/// Pure words and rules know each other only; what reaches the outside knows those; services know
/// the store; the two planes know the services; `app` knows all. `edge` and `reward` must never know
/// each other: a landing writes a row, and the engine finds it.
const MAY_KNOW: &[(&str, &[&str])] = &[
    ("address", &[]),
    ("breaker", &[]),
    ("clock", &[]),
    ("code", &[]),
    ("fault", &[]),
    ("planted", &[]),
    ("qr", &[]),
    ("visitor", &[]),
    ("link", &["clock", "code", "fault", "visitor"]),
    ("campaign", &["fault"]),
    ("campaign/live", &["store"]),
    ("campaign/pinned", &["store"]),
    ("campaign/zookeeper", &["clock", "config", "fault", "metrics", "store"]),
    ("referral", &["campaign", "clock", "code", "fault", "link"]),
    ("reward", &["campaign"]),
    ("reward/cards/due", &["campaign", "metrics", "store"]),
    ("reward/cards/service", &["campaign", "clock", "metrics", "store"]),
    ("reward/sweeper", &["campaign", "metrics", "store"]),
    ("reward/reconciliation", &["store"]),
    ("reward/compensations", &["fault"]),
    ("reward/compensations/service", &["campaign", "clock", "fault", "metrics", "review", "store"]),
    ("reward/desk", &["campaign", "fault"]),
    ("reward/desk/service", &["campaign", "clock", "fault", "metrics", "review", "store"]),
    ("reward/explain/service", &["campaign", "review", "store"]),
    ("reward/simulate", &["campaign", "referral"]),
    ("reward/simulate/service", &["campaign", "store"]),
    ("reward/services", &["campaign", "clock", "metrics", "store"]),
    ("reward/engine", &["breaker", "campaign", "clock", "config", "metrics", "store"]),
    ("reward/granting", &["campaign", "metrics", "store"]),
    ("campaign/service", &["config", "fault", "link", "store"]),
    ("config", &["address"]),
    ("metrics", &["clock"]),
    ("outbound", &[]),
    ("http", &["address", "clock", "code", "fault", "metrics"]),
    ("store", &["campaign", "clock", "code", "link", "referral", "review", "reward", "visitor"]),
    ("clicks", &["clock", "code", "link", "metrics", "store", "visitor"]),
    ("resolve", &["breaker", "clock", "link", "metrics", "store", "visitor"]),
    ("link/service", &["clock", "code", "config", "fault", "resolve", "store", "visitor"]),
    ("link/domains/service", &["campaign", "code", "config", "fault", "store"]),
    (
        "referral/bindings",
        &[
            "campaign", "clicks", "clock", "code", "config", "fault", "link", "metrics",
            "outbound", "referral", "reward", "store",
        ],
    ),
    (
        "referral/services",
        &["campaign", "clock", "config", "metrics", "outbound", "reward", "store"],
    ),
    ("referral/claims", &["campaign", "clock", "config", "fault", "link", "metrics", "store"]),
    ("referral/eligibility", &["campaign", "clock", "metrics", "outbound"]),
    ("referral/keys", &["clock", "store"]),
    ("referral/triggers", &["campaign", "clock", "fault", "metrics", "reward", "store"]),
    ("referral/users", &["campaign", "clock", "fault", "reward", "store"]),
    (
        "referral/codes",
        &["campaign", "clock", "code", "config", "fault", "link", "metrics", "resolve", "store"],
    ),
    ("reward/payment", &["config", "outbound"]),
    ("review", &["campaign", "fault"]),
    ("review/service", &["campaign", "clock", "fault", "metrics", "reward", "store"]),
    (
        "api",
        &[
            "campaign", "clicks", "clock", "code", "config", "fault", "http", "link", "metrics",
            "outbound", "qr", "referral", "resolve", "review", "reward", "store", "visitor",
        ],
    ),
    (
        "console",
        &[
            "api", "campaign", "clicks", "clock", "code", "config", "fault", "http", "link", "qr",
            "reward", "store",
        ],
    ),
    (
        "edge",
        &[
            "campaign", "clicks", "clock", "code", "http", "link", "metrics", "qr", "referral",
            "resolve", "store", "visitor",
        ],
    ),
    (
        "app",
        &[
            "api", "campaign", "clicks", "clock", "config", "console", "edge", "http", "link",
            "metrics", "outbound", "referral", "resolve", "review", "reward", "store", "visitor",
        ],
    ),
    ("sandbox", &["clock", "http"]),
    ("local", &["clock"]),
    (
        "cli",
        &[
            "api", "app", "campaign", "clicks", "clock", "code", "config", "edge", "fault", "http",
            "link", "local", "metrics", "outbound", "qr", "referral", "resolve", "review",
            "reward", "sandbox", "store", "visitor",
        ],
    ),
    ("lib", &[]),
    ("main", &[]),
];

/// Where a third party may be named: everywhere else it is behind our own types.
const BORDERS: &[(&str, &str)] = &[
    ("tokio_postgres", "store"),
    ("deadpool_postgres", "store"),
    ("redis", "resolve"),
    ("moka", "resolve"),
    ("maxminddb", "clicks"),
    ("maud", "console"),
    ("maud", "edge"),
    ("brotli", "edge/landing"),
    ("flate2", "edge/landing"),
    ("base64", "referral"),
    ("prometheus", "metrics"),
    ("toml", "config"),
    ("toml", "campaign/document"),
    ("clap", "cli"),
    ("fast_qr", "qr"),
    ("png", "qr"),
    ("hyper_rustls", "outbound"),
    ("rustls", "outbound"),
    ("webpki_roots", "outbound"),
    ("zookeeper_client", "campaign/zookeeper/session"),
];

/// All that `local` needs besides the standard library: it must start where nothing else works yet.
const LOCAL_NEEDS: &[&str] = &["std", "rustix", "thiserror", "crate", "super", "self"];

/// More lines than this, and a file has more than one subject.
const LONGEST_FILE: usize = 800;

/// Everybody may know these: they know nobody, and say nothing in a build for use.
const KNOWN_TO_ALL: &[&str] = &["planted"];

/// One file of ours.
struct File {
    /// Its path from the root, with `/`.
    name: String,
    text: String,
}

impl File {
    /// The module that the file is, as in `link/service`; empty outside `src`.
    fn module(&self) -> &str {
        self.name.strip_prefix("src/").and_then(|name| name.strip_suffix(".rs")).unwrap_or("")
    }

    fn is_in(&self, module: &str) -> bool {
        is_below(self.module(), module)
    }

    /// The program itself: without comments and without its unit tests, which may know more.
    fn code(&self) -> String {
        let tests = concat!("#[cfg(", "test)]\nmod tests");
        let program = self.text.split(tests).next().unwrap_or_default();
        let lines = program.lines().map(|line| line.split("//").next().unwrap_or_default());
        lines.fold(String::new(), |all, line| all + line + "\n")
    }
}

fn is_below(module: &str, ancestor: &str) -> bool {
    module.strip_prefix(ancestor).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// All our Rust files below these directories.
fn files(directories: &[&str]) -> Vec<File> {
    let mut open: Vec<PathBuf> = directories.iter().map(|name| root().join(name)).collect();
    let mut files = Vec::new();
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(directory).expect("a directory of ours") {
            let path = entry.expect("readable").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).expect("below the root");
                let name = name.to_str().expect("plain names").to_owned();
                let text = fs::read_to_string(&path).expect("text");
                files.push(File { name, text });
            }
        }
    }
    files.sort_by(|one, other| one.name.cmp(&other.name));
    files
}

fn is_word(character: char) -> bool {
    character.is_alphanumeric() || character == '_'
}

/// The first names of all paths that follow `prefix`, as in `crate::{clock::Clock, link}`.
fn names_after(code: &str, prefix: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for rest in code.split(prefix).skip(1) {
        let Some(group) = rest.strip_prefix('{') else {
            names.insert(rest.chars().take_while(|letter| is_word(*letter)).collect());
            continue;
        };
        let (mut depth, mut name) = (0_u32, String::new());
        for letter in group.chars() {
            match letter {
                '{' => depth += 1,
                '}' if depth == 0 => break,
                '}' => depth -= 1,
                _ if depth == 0 => name.push(letter),
                _ => {}
            }
        }
        let tops = name.split(',').map(|path| path.trim().split("::").next().unwrap_or_default());
        names.extend(tops.filter(|top| !top.is_empty()).map(str::to_owned));
    }
    names
}

/// Whether `code` names the crate `name`: at the start of a path, and not a module of ours.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(&format!("{name}::")).any(|(at, _)| {
        let before = code.get(..at).unwrap_or_default();
        !before.ends_with("::") && !before.ends_with(is_word)
    })
}

fn report(what: &str, found: &[String]) {
    assert!(found.is_empty(), "{what}:\n  {}", found.join("\n  "));
}

#[test]
fn imports_go_down_only() {
    let mut wrong = Vec::new();
    for file in files(&["src"]) {
        let fitting = MAY_KNOW.iter().filter(|(module, _)| file.is_in(module));
        let Some((module, known)) = fitting.max_by_key(|(module, _)| module.len()) else {
            wrong.push(format!("{}: has no line in MAY_KNOW: whom may it know?", file.name));
            continue;
        };
        let own = module.split('/').next().unwrap_or_default();
        let code = file.code();
        let mut names = names_after(&code, "crate::");
        if !file.module().contains('/') {
            names.extend(names_after(&code, "super::"));
        }
        for name in names {
            let is_known = known.contains(&name.as_str()) || KNOWN_TO_ALL.contains(&name.as_str());
            if name != own && !is_known {
                wrong.push(format!("{}: '{module}' must not know '{name}'", file.name));
            }
        }
    }
    report("imports that go up", &wrong);
}

#[test]
fn third_parties_stay_behind_their_borders() {
    let mut wrong = Vec::new();
    for file in files(&["src"]) {
        let code = file.code();
        for (third_party, home) in BORDERS {
            let is_home = |row: &&(&str, &str)| row.0 == *third_party && file.is_in(row.1);
            if names_crate(&code, third_party) && !BORDERS.iter().any(|row| is_home(&row)) {
                wrong.push(format!("{}: {third_party} belongs into '{home}'", file.name));
            }
        }
        if file.is_in("local") {
            for root in names_after(&code, "\nuse ").union(&names_after(&code, "\npub use ")) {
                if !LOCAL_NEEDS.contains(&root.as_str()) {
                    wrong.push(format!("{}: 'local' does without {root}", file.name));
                }
            }
        }
    }
    report("third parties outside their borders", &wrong);
}

#[test]
fn sql_stands_in_the_store_only() {
    let statements = ["\"SELECT ", "\"INSERT INTO", "\"UPDATE ", "\"DELETE FROM", "\"WITH "];
    let mut wrong = Vec::new();
    for file in files(&["src"]) {
        let code = file.code();
        if !file.is_in("store") && statements.iter().any(|statement| code.contains(statement)) {
            wrong.push(file.name);
        }
    }
    report("SQL outside the store", &wrong);
}

#[test]
fn no_file_is_too_long() {
    let files = files(&["src", "tests", "loadtest/src"]);
    let long = files.iter().filter(|file| file.text.lines().count() > LONGEST_FILE);
    let long: Vec<String> = long.map(|file| file.name.clone()).collect();
    report("files with more than one subject", &long);
}

#[test]
fn nobody_looks_away() {
    // Pieced together, so that this file passes its own test.
    let ways = [concat!("#[", "allow"), concat!("#![", "allow"), concat!("#[", "ignore")];
    let mut wrong = Vec::new();
    for file in files(&["src", "tests", "loadtest/src"]) {
        for way in ways {
            if file.text.contains(way) {
                wrong.push(format!("{}: {way}: fix it, or #[expect] it with a reason", file.name));
            }
        }
    }
    report("lints and tests switched off", &wrong);
}

#[test]
fn no_test_sleeps() {
    let sleep = concat!("sleep", "(");
    let mut wrong = Vec::new();
    for file in files(&["src", "tests"]) {
        let tests = if file.module().is_empty() {
            file.text.clone()
        } else {
            let begin = concat!("#[cfg(", "test)]");
            file.text.split_once(begin).map(|(_, tests)| tests.to_owned()).unwrap_or_default()
        };
        // The one place that others wait with, for a condition and within a bound.
        if tests.contains(sleep) && file.name != "tests/it/support/wait.rs" {
            wrong.push(file.name);
        }
    }
    report("tests that sleep; wait for a condition with support::eventually", &wrong);
}

#[test]
fn every_migration_is_listed_in_order() {
    let list = fs::read_to_string(root().join("src/store/migrate.rs")).expect("the list");
    let entries = fs::read_dir(root().join("migrations")).expect("the migrations");
    let mut names: Vec<String> = entries
        .map(|entry| entry.expect("readable").file_name().into_string().expect("plain names"))
        .collect();
    names.sort();
    let mut place = 0;
    for (number, name) in (1..).zip(&names) {
        assert!(name.starts_with(&format!("{number:04}_")), "{name} should be number {number}");
        let found = list.find(&format!("migrations/{name}"));
        let found = found.unwrap_or_else(|| panic!("{name} is not in src/store/migrate.rs"));
        assert!(found > place, "{name} is listed out of order");
        place = found;
    }
}
