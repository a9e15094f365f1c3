//! Alerts and the dashboard ask for figures that there are: a misspelt name or label is no error for Prometheus, it is
//! an alert that never comes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

/// Labels that Prometheus adds, or that histograms have by themselves.
const GIVEN: [&str; 4] = ["job", "instance", "le", "version"];
/// What a histogram is asked for by.
const OF_HISTOGRAMS: [&str; 3] = ["_bucket", "_sum", "_count"];
/// How many columns Grafana's dashboards have.
const COLUMNS: u64 = 24;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn dashboard() -> Value {
    serde_json::from_str(&read("config/grafana/waypost.json")).expect("JSON")
}

/// All sources below a directory.
fn sources(directory: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|it| it == "rs") {
            into.push(path);
        }
    }
}

fn text_of(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| fs::read_to_string(path).expect("a source")).collect()
}

/// The texts in quotes in a piece of Rust.
fn quoted(code: &str) -> impl Iterator<Item = &str> {
    code.split('"').skip(1).step_by(2)
}

fn is_word(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || letter == '_'
}

/// The figures of the program with their labels, as far as these stand beside the name; `None`: elsewhere.
fn figures() -> BTreeMap<String, Option<BTreeSet<String>>> {
    let mut paths = vec![root().join("src/metrics.rs")];
    sources(&root().join("src/metrics"), &mut paths);
    let code = text_of(&paths);
    // Every second piece is the text in quotes, the one before it the code that leads to it.
    let pieces: Vec<&str> = code.split('"').collect();
    let mut figures = BTreeMap::new();
    for (at, pair) in pieces.windows(2).enumerate() {
        let &[call, name] = pair else { continue };
        let is_name = begins_like_a_figure(name) && name.chars().all(is_word);
        if at % 2 == 1 || !is_name {
            continue;
        }
        // `counters(r, "name", "help", &["label", "label"])`: the labels are between the first bracket and the next.
        let has_labels = call.contains("counters(") || call.contains("gauges(");
        let rest = pieces.get(at + 2..).unwrap_or_default().join("\"");
        let list = rest.split_once("&[").and_then(|(_, list)| list.split_once(']'));
        let labels = list.filter(|_| has_labels);
        let labels = labels.map(|(list, _)| quoted(list).map(str::to_owned).collect());
        figures.insert(name.to_owned(), labels);
    }
    figures
}

fn begins_like_a_figure(text: &str) -> bool {
    text.starts_with("waypost_") || text.starts_with("process_")
}

/// A figure that is asked for: its name, and its labels with the values that are looked for.
struct Asked {
    name: String,
    labels: Vec<(String, String)>,
}

/// The figures that an expression asks for.
fn asked(expression: &str) -> Vec<Asked> {
    let mut asked = Vec::new();
    let mut rest = expression;
    while let Some(at) = rest.find(is_word) {
        let (_, found) = rest.split_at(at);
        let end = found.find(|it| !is_word(it)).unwrap_or(found.len());
        let (name, after) = found.split_at(end);
        rest = after;
        if !begins_like_a_figure(name) {
            continue;
        }
        let selector = after.strip_prefix('{').and_then(|it| it.split('}').next());
        let mut labels = Vec::new();
        for matcher in selector.into_iter().flat_map(|it| it.split("\",")) {
            let (label, values) = matcher.split_once('"').expect("label=\"value\"");
            let label = label.trim().trim_end_matches(['=', '~', '!']);
            for value in values.trim_end_matches('"').split('|') {
                labels.push((label.to_owned(), value.to_owned()));
            }
        }
        asked.push(Asked { name: name.to_owned(), labels });
    }
    asked
}

/// Every expression of the alerts and of the dashboard.
fn expressions() -> Vec<String> {
    let alerts = read("config/prometheus/alerts.yml");
    let mut all: Vec<String> = alerts
        .split("expr:")
        .skip(1)
        .map(|it| it.split("labels:").next().unwrap_or("").to_owned())
        .collect();
    let dashboard = dashboard();
    let mut waiting = vec![&dashboard];
    while let Some(value) = waiting.pop() {
        match value {
            Value::Object(fields) => {
                for (name, value) in fields {
                    match (name.as_str(), value) {
                        ("expr" | "query", Value::String(text)) => all.push(text.clone()),
                        _ => waiting.push(value),
                    }
                }
            }
            Value::Array(values) => waiting.extend(values),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    assert!(all.len() > 90, "{} expressions are too few: they were not found", all.len());
    all
}

/// The name under which a figure is registered.
fn registered<'a, T>(figures: &'a BTreeMap<String, T>, asked: &'a str) -> Option<&'a T> {
    let histogram = || {
        let base = OF_HISTOGRAMS.iter().find_map(|ending| asked.strip_suffix(ending))?;
        figures.get(base)
    };
    figures.get(asked).or_else(histogram)
}

#[test]
fn alerts_and_the_dashboard_ask_for_figures_and_labels_that_there_are() {
    let figures = figures();
    assert!(figures.len() > 40, "{} figures are too few: they were not found", figures.len());
    assert!(figures.values().flatten().count() > 25, "labels were not found: {figures:?}");
    let mut paths = Vec::new();
    sources(&root().join("src"), &mut paths);
    let code = text_of(&paths);
    let mut wrong = Vec::new();
    for expression in expressions() {
        for Asked { name, labels } in asked(&expression) {
            let Some(known) = registered(&figures, &name) else {
                wrong.push(format!("there is no figure {name}"));
                continue;
            };
            for (label, value) in labels {
                if GIVEN.contains(&label.as_str()) {
                    continue;
                }
                if known.as_ref().is_some_and(|known| !known.contains(&label)) {
                    wrong.push(format!("{name} has no label {label}"));
                }
                if !value.starts_with('$') && !code.contains(&format!("\"{value}\"")) {
                    wrong.push(format!("no code says {name}{{{label}=\"{value}\"}}"));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_figure_is_in_an_alert_or_on_the_dashboard() {
    let asked: BTreeSet<String> =
        expressions().iter().flat_map(|expression| asked(expression)).map(|it| it.name).collect();
    let is_seen = |name: &String| {
        let of_histogram = OF_HISTOGRAMS.iter().any(|it| asked.contains(&format!("{name}{it}")));
        asked.contains(name) || of_histogram
    };
    let unseen: Vec<String> = figures().into_keys().filter(|name| !is_seen(name)).collect();
    assert!(unseen.is_empty(), "nobody looks at {unseen:?}");
}

#[test]
fn every_alert_says_how_urgent_it_is_what_it_means_and_what_to_do() {
    let alerts = read("config/prometheus/alerts.yml");
    let mut names = BTreeSet::new();
    for alert in alerts.split("- alert: ").skip(1) {
        let name = alert.lines().next().unwrap_or("");
        assert!(names.insert(name), "{name} stands there twice");
        let severity = alert.split("severity: ").nth(1).and_then(|it| it.lines().next());
        assert!(matches!(severity, Some("page" | "ticket")), "{name}: {severity:?}");
        for part in ["summary: \"", "description: >-\n"] {
            assert!(alert.contains(part), "{name} has no {part}");
        }
    }
    assert!(names.len() > 30, "{names:?}");
}

#[test]
fn panels_have_numbers_of_their_own_and_do_not_lie_on_each_other() {
    let dashboard = dashboard();
    let panels = dashboard.get("panels").and_then(Value::as_array).expect("panels");
    let (mut numbers, mut taken) = (BTreeSet::new(), BTreeMap::new());
    for panel in panels {
        let title = panel.get("title").and_then(Value::as_str).expect("a title");
        let number = panel.get("id").and_then(Value::as_u64).expect("a number");
        assert!(numbers.insert(number), "{title}: another panel has the number {number}");
        let place = |side: &str| {
            let at = panel.get("gridPos").and_then(|it| it.get(side)).and_then(Value::as_u64);
            at.unwrap_or_else(|| panic!("{title} has no place"))
        };
        let (x, y) = (place("x"), place("y"));
        assert!(x + place("w") <= COLUMNS, "{title} is too wide");
        for column in x..x + place("w") {
            for line in y..y + place("h") {
                if let Some(other) = taken.insert((column, line), title) {
                    panic!("{title} lies on {other}");
                }
            }
        }
    }
}
