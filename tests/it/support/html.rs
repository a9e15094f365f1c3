//! Reads pages as strictly as they are written here: every attribute quoted, every `<`, `&` and `"` of
//! a text spelled out. What a value did not stay within is then seen as elements that nobody wrote.

use std::collections::BTreeMap;

/// An element: its name, its attributes, and the text up to the next tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Element {
    /// In small letters.
    pub name: String,
    /// Their values, decoded.
    pub attributes: BTreeMap<String, String>,
    /// Decoded.
    pub text: String,
}

/// A page.
#[derive(Debug)]
pub struct Page {
    /// All elements, in the order in which they begin.
    pub elements: Vec<Element>,
    /// All text but that of styles, decoded.
    pub text: String,
}

impl Page {
    /// Reads a page; panics at what no careful writer would have written.
    pub fn read(html: &str) -> Self {
        let rest = html.strip_prefix("<!DOCTYPE html>").expect("a document type");
        let mut page = Self { elements: Vec::new(), text: String::new() };
        let mut inside = String::new();
        for part in rest.split('<').skip(1) {
            let end = end_of_tag(part);
            let (tag, text) = part.split_at(end);
            let text = text.strip_prefix('>').expect("a tag that ends");
            if let Some(name) = tag.strip_prefix('/') {
                assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "</{name}>");
                inside = String::new();
            } else {
                let mut element = read_tag(tag);
                inside.clone_from(&element.name);
                element.text = if inside == "style" { text.to_owned() } else { decode(text) };
                page.elements.push(element);
            }
            if inside != "style" {
                page.text.push_str(&decode(text));
                page.text.push('\n');
            }
        }
        page
    }

    /// The `content` of the one `meta` with this `property` or `name`, if there is one.
    pub fn meta(&self, property: &str) -> Option<&str> {
        let is_it = |element: &&Element| {
            let named = ["property", "name"].map(|name| element.attributes.get(name));
            element.name == "meta" && named.iter().flatten().any(|name| *name == property)
        };
        let found: Vec<&Element> = self.elements.iter().filter(is_it).collect();
        assert!(found.len() <= 1, "{property} stands twice: {found:?}");
        found.first().and_then(|it| it.attributes.get("content")).map(String::as_str)
    }

    /// The text of the first element with this name.
    pub fn text_of(&self, name: &str) -> &str {
        let found = self.elements.iter().find(|element| element.name == name);
        found.map_or("", |element| element.text.as_str())
    }

    /// Where all links of the page lead.
    pub fn links(&self) -> Vec<&str> {
        let anchors = self.elements.iter().filter(|element| element.name == "a");
        anchors.filter_map(|it| it.attributes.get("href")).map(String::as_str).collect()
    }

    /// The names of all elements, each once.
    pub fn names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.elements.iter().map(|it| it.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Where the `>` is that no quotes are around.
fn end_of_tag(part: &str) -> usize {
    let mut quoted = false;
    let end = part.char_indices().find(|(_, c)| {
        quoted ^= *c == '"';
        *c == '>' && !quoted
    });
    end.map_or_else(|| panic!("a tag without an end: {part}"), |(place, _)| place)
}

fn read_tag(tag: &str) -> Element {
    let (name, mut rest) = tag.split_once(' ').unwrap_or((tag, ""));
    assert!(name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()), "<{tag}>");
    let mut attributes = BTreeMap::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("<{tag}>"));
        let (value, after) = after.split_once('"').unwrap_or_else(|| panic!("<{tag}>"));
        assert!(name.chars().all(|c| c.is_ascii_alphabetic() || c == '-'), "'{name}' in <{tag}>");
        let before = attributes.insert(name.to_owned(), decode(value));
        assert_eq!(before, None, "'{name}' stands twice in <{tag}>");
        rest = after.strip_prefix(' ').unwrap_or(after);
        assert!(after.is_empty() || after.starts_with(' '), "<{tag}>");
    }
    Element { name: name.to_owned(), attributes, text: String::new() }
}

/// The text that an escaped text stands for.
fn decode(text: &str) -> String {
    assert!(!text.contains(['"', '<', '>']), "unescaped: {text}");
    let mut decoded = String::new();
    let mut parts = text.split('&');
    decoded.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (name, rest) = part.split_once(';').unwrap_or_else(|| panic!("a bare & in {text}"));
        decoded.push_str(match name {
            "amp" => "&",
            "lt" => "<",
            "gt" => ">",
            "quot" => "\"",
            other => panic!("&{other}; in {text}"),
        });
        decoded.push_str(rest);
    }
    decoded
}
