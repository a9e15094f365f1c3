//! The files by which Android and iOS believe that an app may open the links of a domain: Digital Asset
//! Links (<https://developers.google.com/digital-asset-links>) and Apple's associated domains
//! (<https://developer.apple.com/documentation/xcode/supporting-associated-domains>).
//!
//! They are fetched without following redirects, from the domain itself, by machines of the stores and by
//! phones. What they say is known at the start, so it is written out once.

use std::collections::HashMap;

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use serde_json::{Value, json};

/// Where the files are, as the beginning of a path without its first slash.
pub const PLACE: &str = ".well-known/";

/// An app that opens links by itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct App {
    /// Hosts of the domains whose links it opens, in lower case; empty: all domains.
    pub domains: Vec<String>,
    /// For Android: the package name, and the SHA-256 fingerprints of its signing certificates.
    pub android: Option<(String, Vec<String>)>,
    /// For iOS: the identifiers, with their prefixes.
    pub ios_app_ids: Vec<String>,
    /// Paths that the apps for iOS open.
    pub paths: Vec<String>,
}

/// One of the two files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum File {
    /// `assetlinks.json`, for Android.
    AssetLinks,
    /// `apple-app-site-association`, for iOS.
    AppleAppSite,
}

impl File {
    /// Both.
    pub const ALL: [Self; 2] = [Self::AssetLinks, Self::AppleAppSite];

    /// Its name behind [`PLACE`].
    pub fn name(self) -> &'static str {
        match self {
            Self::AssetLinks => "assetlinks.json",
            Self::AppleAppSite => "apple-app-site-association",
        }
    }

    /// What it says of these apps; `None` if none of them is of its kind.
    fn content(self, apps: &[&App]) -> Option<Value> {
        let entries: Vec<Value> = match self {
            Self::AssetLinks => apps.iter().filter_map(|app| asset_link(app)).collect(),
            Self::AppleAppSite => apps.iter().filter_map(|app| apple_detail(app)).collect(),
        };
        if entries.is_empty() {
            return None;
        }
        Some(match self {
            Self::AssetLinks => Value::Array(entries),
            Self::AppleAppSite => json!({ "applinks": { "details": entries } }),
        })
    }
}

fn asset_link(app: &App) -> Option<Value> {
    let (package, fingerprints) = app.android.as_ref()?;
    Some(json!({
        "relation": ["delegate_permission/common.handle_all_urls"],
        "target": {
            "namespace": "android_app",
            "package_name": package,
            "sha256_cert_fingerprints": fingerprints,
        },
    }))
}

fn apple_detail(app: &App) -> Option<Value> {
    let components: Vec<Value> = app.paths.iter().map(|path| json!({ "/": path })).collect();
    (!app.ios_app_ids.is_empty())
        .then(|| json!({ "appIDs": app.ios_app_ids, "components": components }))
}

/// The files of one domain, as they are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Files {
    asset_links: Option<Bytes>,
    apple_app_site: Option<Bytes>,
}

impl Files {
    fn of(apps: &[&App]) -> Self {
        let write = |file: File| Some(Bytes::from(file.content(apps)?.to_string()));
        Self { asset_links: write(File::AssetLinks), apple_app_site: write(File::AppleAppSite) }
    }

    fn get(&self, file: File) -> Option<&Bytes> {
        match file {
            File::AssetLinks => self.asset_links.as_ref(),
            File::AppleAppSite => self.apple_app_site.as_ref(),
        }
    }
}

/// The files of all domains.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Associations {
    /// Of the domains that an app names.
    by_host: HashMap<String, Files>,
    /// Of all others.
    others: Files,
}

impl Associations {
    /// Writes the files out.
    pub fn new(apps: &[App]) -> Self {
        let of = |host: Option<&String>| {
            let is_of = |app: &&App| {
                app.domains.is_empty() || host.is_some_and(|host| app.domains.contains(host))
            };
            Files::of(&apps.iter().filter(is_of).collect::<Vec<&App>>())
        };
        let hosts = apps.iter().flat_map(|app| &app.domains);
        Self {
            by_host: hosts.map(|host| (host.clone(), of(Some(host)))).collect(),
            others: of(None),
        }
    }

    /// What a file says in the domain with this host; `None` if there is no app for it.
    pub fn find(&self, host: &str, file: File) -> Option<&Bytes> {
        self.by_host.get(host).unwrap_or(&self.others).get(file)
    }

    /// The same, by the path of the file without its first slash.
    pub(super) fn at(&self, host: &str, path: &str) -> Option<&Bytes> {
        let name = path.strip_prefix(PLACE)?;
        let file = File::ALL.into_iter().find(|file| file.name() == name)?;
        self.find(host, file)
    }
}

/// The answer with such a file.
pub(super) fn answer(content: Bytes) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(content));
    let set = response.headers_mut();
    set.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    set.insert(CACHE_CONTROL, HeaderValue::from_static("public, max-age=3600"));
    set.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    fn app(domains: &[&str], android: Option<&str>, ios: &[&str]) -> App {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        App {
            domains: texts(domains),
            android: android.map(|package| (package.to_owned(), texts(&["AA:BB", "CC:DD"]))),
            ios_app_ids: texts(ios),
            paths: texts(&["/r/*", "/app/?"]),
        }
    }

    #[test]
    fn the_files_are_written_as_the_stores_read_them() {
        let files = Associations::new(&[app(&[], Some("com.example.app"), &["T.com.example.app"])]);
        let text = |file: File| {
            let content = files.find("go.example", file).expect("a file");
            String::from_utf8(content.to_vec()).expect("text")
        };
        assert_eq!(
            text(File::AssetLinks),
            concat!(
                r#"[{"relation":["delegate_permission/common.handle_all_urls"],"target":{"#,
                r#""namespace":"android_app","package_name":"com.example.app","#,
                r#""sha256_cert_fingerprints":["AA:BB","CC:DD"]}}]"#,
            )
        );
        assert_eq!(
            text(File::AppleAppSite),
            concat!(
                r#"{"applinks":{"details":[{"appIDs":["T.com.example.app"],"#,
                r#""components":[{"/":"/r/*"},{"/":"/app/?"}]}]}}"#,
            )
        );
    }

    #[test]
    fn a_domain_has_the_apps_that_name_it_and_those_that_name_none() {
        let files = Associations::new(&[
            app(&["a.example", "b.example"], Some("com.one"), &[]),
            app(&["b.example"], None, &["T.com.two"]),
            app(&[], Some("com.three"), &[]),
        ]);
        for (host, android, ios) in [
            ("a.example", vec!["com.one", "com.three"], false),
            ("b.example", vec!["com.one", "com.three"], true),
            ("c.example", vec!["com.three"], false),
        ] {
            let content = files.find(host, File::AssetLinks).expect("a file");
            let links: Vec<Value> = serde_json::from_slice(content).expect("JSON");
            let packages: Vec<&Value> =
                links.iter().map(|link| &link["target"]["package_name"]).collect();
            assert_eq!(packages, android, "{host}");
            assert_eq!(files.find(host, File::AppleAppSite).is_some(), ios, "{host}");
        }
    }

    #[test]
    fn a_domain_without_apps_has_no_files() {
        for apps in [vec![], vec![app(&["a.example"], Some("com.one"), &["T.com.two"])]] {
            let files = Associations::new(&apps);
            for file in File::ALL {
                assert_eq!(files.find("b.example", file), None);
            }
        }
    }

    #[test]
    fn only_the_two_names_are_files() {
        let files = Associations::new(&[app(&[], Some("com.one"), &["T.com.two"])]);
        for (path, there) in [
            (".well-known/assetlinks.json", true),
            (".well-known/apple-app-site-association", true),
            (".well-known/", false),
            (".well-known/assetlinks.json.bak", false),
            (".well-known/security.txt", false),
            ("assetlinks.json", false),
        ] {
            assert_eq!(files.at("a.example", path).is_some(), there, "{path}");
        }
    }
}
