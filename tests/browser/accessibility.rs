//! Checks of accessibility, by axe-core.

use std::fs;

use serde_json::Value;

/// Where `.ci/axe` puts it.
const AXE: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/../axe/axe.min.js");

/// Runs all the rules, and says in a text for each element and rule what is wrong.
const RUN: &str = "
    const tags =
        ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22a', 'wcag22aa', 'best-practice'];
    return axe.run(document, {
        runOnly: { type: 'tag', values: tags },
        // Off by default although it belongs to level AA.
        rules: { 'target-size': { enabled: true } },
        resultTypes: ['violations'],
        // Fetching style sheets again is nothing that the page's policy has to allow.
        preload: false,
    }).then(({ violations }) => violations.flatMap(({ id, help, nodes }) => nodes.map(
        ({ html, any, all, none }) => {
            const reasons = [...any, ...all, ...none].map(({ message }) => message);
            return `${id}: ${help}: ${html}: ${reasons.join('; ')}`;
        })));";

/// The body of a function that checks the page which it runs in.
pub fn script() -> String {
    let axe = fs::read_to_string(AXE)
        .unwrap_or_else(|error| panic!("{AXE}: {error}; 'make deps-browser' puts it there"));
    axe + RUN
}

/// A list of texts that a script gave.
pub fn texts(list: &Value) -> Vec<String> {
    let list = list.as_array().unwrap_or_else(|| panic!("no list: {list}"));
    list.iter().map(|text| text.as_str().expect("a text").to_owned()).collect()
}
