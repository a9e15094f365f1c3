//! What an association file says, as far as a store acts on it: two files that say the same in another
//! order, or with things besides that nobody asks for, are as good as each other.

use std::collections::BTreeSet;
use std::fmt;

use serde::Deserialize;
use serde_json::Value;

use crate::edge::association::File;

/// One thing that a file says. Those of an app stand behind the app itself.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Fact {
    kind: &'static str,
    app: String,
    /// What it is, and its value.
    about: Option<(&'static str, String)>,
}

impl fmt::Display for Fact {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, app, about } = self;
        match about {
            None => write!(f, "the {kind} {app}"),
            Some((what, value)) => write!(f, "the {what} {value} of {app}"),
        }
    }
}

/// Reads a file.
pub(super) fn read(file: File, content: &[u8]) -> Result<BTreeSet<Fact>, serde_json::Error> {
    Ok(match file {
        File::AssetLinks => {
            let statements: Vec<Statement> = serde_json::from_slice(content)?;
            statements.into_iter().flat_map(Statement::facts).collect()
        }
        File::AppleAppSite => {
            let site: AppleAppSite = serde_json::from_slice(content)?;
            site.applinks.details.into_iter().flat_map(Detail::facts).collect()
        }
    })
}

/// What is expected but not found, and what is found besides, in words; empty if there is nothing. Of an
/// app that is not there at all, its details are not listed.
pub(super) fn differences(found: &BTreeSet<Fact>, expected: &BTreeSet<Fact>) -> (String, String) {
    (only_in(expected, found), only_in(found, expected))
}

fn only_in(one: &BTreeSet<Fact>, other: &BTreeSet<Fact>) -> String {
    let its_app_is_there =
        |fact: &Fact| fact.about.is_none() || other.contains(&Fact { about: None, ..fact.clone() });
    let only = one.difference(other).filter(|fact| its_app_is_there(fact));
    only.map(ToString::to_string).collect::<Vec<String>>().join(", ")
}

/// An app and what is said about it.
fn facts_of(
    kind: &'static str,
    app: &str,
    details: impl IntoIterator<Item = (&'static str, String)>,
) -> Vec<Fact> {
    let about = details.into_iter().map(Some);
    std::iter::once(None)
        .chain(about)
        .map(|about| Fact { kind, app: app.to_owned(), about })
        .collect()
}

/// A statement of `assetlinks.json`. It may also be about a website, or let an app do something else.
#[derive(Debug, Deserialize)]
struct Statement {
    relation: Vec<String>,
    target: Target,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Target {
    package_name: String,
    sha256_cert_fingerprints: Vec<String>,
}

impl Statement {
    fn facts(self) -> Vec<Fact> {
        let opens_links = "delegate_permission/common.handle_all_urls";
        let Target { package_name, sha256_cert_fingerprints } = self.target;
        if package_name.is_empty() || !self.relation.iter().any(|it| it == opens_links) {
            return Vec::new();
        }
        let fingerprints = sha256_cert_fingerprints
            .into_iter()
            .map(|fingerprint| ("fingerprint", fingerprint.to_ascii_uppercase()));
        facts_of("package", &package_name, fingerprints)
    }
}

/// `apple-app-site-association`, as far as it is about links.
#[derive(Debug, Deserialize)]
struct AppleAppSite {
    applinks: AppLinks,
}

#[derive(Debug, Deserialize)]
struct AppLinks {
    details: Vec<Detail>,
}

/// Apps and their paths; also as they were written before iOS 13.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Detail {
    #[serde(rename = "appIDs")]
    app_ids: Vec<String>,
    #[serde(rename = "appID")]
    app_id: Option<String>,
    components: Vec<Value>,
    paths: Vec<String>,
}

impl Detail {
    fn facts(self) -> Vec<Fact> {
        let path = |component: &Value| match component.as_object() {
            Some(fields) if fields.len() == 1 => {
                component.get("/").and_then(Value::as_str).map(str::to_owned)
            }
            Some(_) | None => None,
        };
        let components = self.components.iter();
        let components =
            components.map(|component| path(component).unwrap_or_else(|| component.to_string()));
        let paths: Vec<_> = components.chain(self.paths).map(|path| ("path", path)).collect();
        let apps = self.app_ids.into_iter().chain(self.app_id);
        apps.flat_map(|app| facts_of("app id", &app, paths.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `text` lacks of what `should` be said, and what it has besides.
    fn compare(file: File, text: &str, should: &str) -> (String, String) {
        let read = |text: &str| read(file, text.as_bytes()).expect("readable");
        differences(&read(text), &read(should))
    }

    #[test]
    fn the_difference_of_two_files_for_android_is_told() {
        let statement = |package: &str, prints: &str| {
            format!(
                r#"{{"relation":["delegate_permission/common.handle_all_urls"],"target":{{
                "namespace":"android_app","package_name":"{package}",
                "sha256_cert_fingerprints":[{prints}]}}}}"#
            )
        };
        let should = format!("[{}]", statement("a.b", r#""AA","BB""#));
        let another = statement("c.d", r#""CC""#);
        let website = r#"{"relation":["x"],"target":{"namespace":"web","site":"https://a/"}}"#;
        let log_in = statement("a.b", r#""AA","BB""#).replace("common.handle_all_urls", "x");
        for (text, missing, besides) in [
            (format!("[{},{website}]", statement("a.b", r#""bb","aa""#)), "", ""),
            ("[]".to_owned(), "the package a.b", ""),
            (format!("[{log_in}]"), "the package a.b", ""),
            (format!("[{}]", statement("a.b", r#""AA""#)), "the fingerprint BB of a.b", ""),
            (format!("[{another}]"), "the package a.b", "the package c.d"),
            (
                format!("[{}]", statement("a.b", r#""AA","BB","CC""#)),
                "",
                "the fingerprint CC of a.b",
            ),
        ] {
            let differences = compare(File::AssetLinks, &text, &should);
            assert_eq!(differences, (missing.to_owned(), besides.to_owned()), "{text}");
        }
    }

    #[test]
    fn the_difference_of_two_files_for_ios_is_told() {
        let site = |details: &str| format!(r#"{{"applinks":{{"details":[{details}]}}}}"#);
        let should = site(r#"{"appIDs":["T.a","T.b"],"components":[{"/":"/r/*"}]}"#);
        for (text, missing, besides) in [
            (
                r#"{"appID":"T.b","paths":["/r/*"]},{"appIDs":["T.a"],"components":[{"/":"/r/*"}]}"#,
                "",
                "",
            ),
            (r#"{"appIDs":["T.b"],"components":[{"/":"/r/*"}]}"#, "the app id T.a", ""),
            (
                r#"{"appIDs":["T.a","T.b"],"components":[{"/":"/*"}]}"#,
                "the path /r/* of T.a, the path /r/* of T.b",
                "the path /* of T.a, the path /* of T.b",
            ),
            (
                r#"{"appIDs":["T.a","T.b"],"components":[{"/":"/r/*","exclude":true}]}"#,
                "the path /r/* of T.a, the path /r/* of T.b",
                "the path {\"/\":\"/r/*\",\"exclude\":true} of T.a, \
                 the path {\"/\":\"/r/*\",\"exclude\":true} of T.b",
            ),
        ] {
            let differences = compare(File::AppleAppSite, &site(text), &should);
            assert_eq!(differences, (missing.to_owned(), besides.to_owned()), "{text}");
        }
    }

    #[test]
    fn a_file_of_another_form_is_not_read() {
        for (file, text) in [
            (File::AssetLinks, "{}"),
            (File::AssetLinks, "<html>"),
            (File::AssetLinks, "[{\"relation\":[]}]"),
            (File::AppleAppSite, "[]"),
            (File::AppleAppSite, "{\"webcredentials\":{}}"),
            (File::AppleAppSite, ""),
        ] {
            assert!(read(file, text.as_bytes()).is_err(), "{text}");
        }
    }
}
