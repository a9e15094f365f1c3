//! Where the app is found: which stores a page offers on which device, and their addresses. On Android
//! stores hand a *referrer* on to the app that they install, and so the click token gets there.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::campaign::{Apps, Store, StoreKind};
use crate::visitor::Device;

/// What stays as it is in the value of a query's parameter (RFC 3986, section 2.3).
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Devices, as far as stores care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handset {
    /// With Android, and Google's services as far as anybody can tell.
    Android,
    /// Huawei's or Honor's, without Google's services.
    AndroidWithoutGoogle,
    /// An iPhone or iPad.
    Ios,
    /// No phone that one of our stores is for: a computer, or nobody can tell.
    None,
}

impl Handset {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Android, Self::AndroidWithoutGoogle, Self::Ios, Self::None];

    /// What a visitor holds in hands, by the device and the whole `User-Agent`. Huawei's devices name
    /// their own services, `HMSCore`, and beside them Google's, `GMSCore`, if they have those.
    pub fn of(device: Device, user_agent: &[u8]) -> Self {
        let names = |word: &[u8]| user_agent.windows(word.len()).any(|part| part == word);
        match device {
            Device::Android if names(b"HMSCore") && !names(b"GMSCore") => {
                Self::AndroidWithoutGoogle
            }
            Device::Android => Self::Android,
            Device::Ios => Self::Ios,
            Device::OtherMobile | Device::Desktop | Device::Unknown => Self::None,
        }
    }
}

/// A link to a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// What people call the store.
    pub name: String,
    /// Where the app is there.
    pub url: String,
}

/// What a page offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Offer {
    /// The store of this device, if there is one.
    pub primary: Option<Link>,
    /// Other ways to the app.
    pub others: Vec<Link>,
}

/// What a store hands on to the app that it installs, escaped for the query of the store's address. The
/// token is escaped already: it is written in characters that need no escape.
fn referrer(token: &str) -> String {
    let escaped = |text| utf8_percent_encode(text, ESCAPED);
    format!("{}{token}{}", escaped("wp_click="), escaped("&utm_source=waypost"))
}

/// The stores for a device. Without a token the addresses have no referrer.
pub fn offer(apps: &Apps, handset: Handset, token: Option<&str>) -> Offer {
    let referrer = token.map(referrer);
    let further = |store: &Store| further(store, referrer.as_deref());
    let is_huawei = |store: &&Store| store.kind == StoreKind::AppGallery;
    let package = apps.android_package.as_ref();
    let play = package.map(|package| google_play(package, referrer.as_deref())).into_iter();
    let apple = apps.ios_app_id.as_ref().map(|id| app_store(id));
    let android = play.clone().chain(apps.stores.iter().map(further));
    let offer = match handset {
        Handset::Android => first(android.clone()),
        Handset::AndroidWithoutGoogle => {
            let huawei = apps.stores.iter().filter(is_huawei).map(further);
            let rest = apps.stores.iter().filter(|store| !is_huawei(store)).map(further);
            first(huawei.chain(play).chain(rest))
        }
        Handset::Ios => Offer { primary: apple.clone(), others: Vec::new() },
        Handset::None => Offer { primary: None, others: play.chain(apple.clone()).collect() },
    };
    // Where no store is for this device, the others at least tell where the app is.
    if offer.primary.is_none() && offer.others.is_empty() {
        return Offer { primary: None, others: android.chain(apple).collect() };
    }
    offer
}

fn first(mut links: impl Iterator<Item = Link>) -> Offer {
    Offer { primary: links.next(), others: links.collect() }
}

/// Google Play hands `referrer` to the app by its Install Referrer library.
fn google_play(package: &str, referrer: Option<&str>) -> Link {
    let url = format!("https://play.google.com/store/apps/details?id={package}");
    link("Google Play", with(url, '&', referrer))
}

/// The App Store hands nothing on.
fn app_store(id: &str) -> Link {
    link("App Store", format!("https://apps.apple.com/app/id{id}"))
}

fn further(store: &Store, referrer: Option<&str>) -> Link {
    let id = store.app_id.as_deref().unwrap_or_default();
    match store.kind {
        // Named as in the links that Huawei documents for attribution, which begin with a scheme
        // of AppGallery's own; this one opens on every device.
        StoreKind::AppGallery => {
            let url = format!("https://appgallery.huawei.com/app/{id}?channelId=waypost");
            link("AppGallery", with(url, '&', referrer))
        }
        StoreKind::GetApps => {
            let url = format!("https://global.app.mi.com/details?id={id}");
            link("GetApps", with(url, '&', referrer))
        }
        StoreKind::GalaxyStore => {
            let url = format!("https://galaxystore.samsung.com/detail/{id}");
            link("Galaxy Store", with(url, '?', referrer))
        }
        StoreKind::Other => {
            let url = store.url.as_deref().unwrap_or_default();
            let url = url.replace("{referrer}", referrer.unwrap_or_default());
            link(store.name.as_deref().unwrap_or_default(), url)
        }
    }
}

fn with(url: String, separator: char, referrer: Option<&str>) -> String {
    match referrer {
        Some(referrer) => format!("{url}{separator}referrer={referrer}"),
        None => url,
    }
}

fn link(name: &str, url: String) -> Link {
    Link { name: name.to_owned(), url }
}

#[cfg(test)]
mod tests {
    use url::Url;

    use super::*;

    const TOKEN: &str = "AbC_-09";

    fn store(kind: StoreKind, app_id: &str) -> Store {
        Store { kind, app_id: Some(app_id.to_owned()), name: None, url: None }
    }

    fn apps() -> Apps {
        let other = Store {
            kind: StoreKind::Other,
            app_id: None,
            name: Some("Warung".to_owned()),
            url: Some("https://warung.example/a?x=1&ref={referrer}".to_owned()),
        };
        Apps {
            android_package: Some("com.example.pinjam".to_owned()),
            ios_app_id: Some("1234567890".to_owned()),
            stores: vec![
                store(StoreKind::GetApps, "com.example.pinjam"),
                store(StoreKind::AppGallery, "C1234567"),
                store(StoreKind::GalaxyStore, "com.example.pinjam"),
                other,
            ],
        }
    }

    fn names(offer: &Offer) -> (&str, Vec<&str>) {
        let primary = offer.primary.as_ref().map_or("", |link| link.name.as_str());
        (primary, offer.others.iter().map(|link| link.name.as_str()).collect())
    }

    #[test]
    fn each_device_has_its_store() {
        for (handset, primary, others) in [
            (
                Handset::Android,
                "Google Play",
                &["GetApps", "AppGallery", "Galaxy Store", "Warung"][..],
            ),
            (
                Handset::AndroidWithoutGoogle,
                "AppGallery",
                &["Google Play", "GetApps", "Galaxy Store", "Warung"],
            ),
            (Handset::Ios, "App Store", &[]),
            (Handset::None, "", &["Google Play", "App Store"]),
        ] {
            let offer = offer(&apps(), handset, Some(TOKEN));
            assert_eq!(names(&offer), (primary, others.to_vec()), "{handset:?}");
        }
    }

    #[test]
    fn a_device_without_a_store_is_told_where_the_app_is() {
        let only_apple = Apps { android_package: None, stores: Vec::new(), ..apps() };
        let only_android = Apps { ios_app_id: None, ..apps() };
        let only_huawei =
            Apps { stores: vec![store(StoreKind::AppGallery, "C1")], ..Apps::default() };
        for (apps, handset, expected) in [
            (&only_apple, Handset::Android, ("", vec!["App Store"])),
            (&only_apple, Handset::None, ("", vec!["App Store"])),
            (
                &only_android,
                Handset::Ios,
                ("", vec!["Google Play", "GetApps", "AppGallery", "Galaxy Store", "Warung"]),
            ),
            (&only_huawei, Handset::Android, ("AppGallery", vec![])),
            (&only_huawei, Handset::None, ("", vec!["AppGallery"])),
        ] {
            assert_eq!(names(&offer(apps, handset, None)), expected, "{handset:?}");
        }
    }

    #[test]
    fn stores_on_android_hand_the_token_on() {
        let Offer { primary, others } = offer(&apps(), Handset::Android, Some(TOKEN));
        let urls: Vec<String> = primary.into_iter().chain(others).map(|link| link.url).collect();
        for (url, (base, pairs)) in urls.iter().zip([
            ("https://play.google.com/store/apps/details", &[("id", "com.example.pinjam")][..]),
            ("https://global.app.mi.com/details", &[("id", "com.example.pinjam")]),
            ("https://appgallery.huawei.com/app/C1234567", &[("channelId", "waypost")]),
            ("https://galaxystore.samsung.com/detail/com.example.pinjam", &[]),
            ("https://warung.example/a", &[("x", "1")]),
        ]) {
            let url = Url::parse(url).expect("a URL");
            let mut found: Vec<(String, String)> = url.query_pairs().into_owned().collect();
            let (name, referrer) = found.pop().expect("a referrer");
            assert_eq!(name, if base.contains("warung") { "ref" } else { "referrer" }, "{url}");
            assert_eq!(referrer, "wp_click=AbC_-09&utm_source=waypost", "{url}");
            let handed: Vec<_> = url::form_urlencoded::parse(referrer.as_bytes()).collect();
            assert_eq!(handed.len(), 2, "an app reads the referrer as a query: {referrer}");
            let found: Vec<_> = found.iter().map(|(name, value)| (&**name, &**value)).collect();
            assert_eq!(found, pairs, "{url}");
            let mut url = url;
            url.set_query(None);
            assert_eq!(url.as_str(), base);
        }
        let apple = offer(&apps(), Handset::Ios, Some(TOKEN)).primary.expect("a store");
        assert_eq!(apple.url, "https://apps.apple.com/app/id1234567890");
    }

    #[test]
    fn without_a_token_there_is_no_referrer() {
        let Offer { primary, others } = offer(&apps(), Handset::Android, None);
        for link in primary.into_iter().chain(others).filter(|link| link.name != "Warung") {
            assert!(!link.url.contains("referrer"), "{}", link.url);
            Url::parse(&link.url).expect("a URL");
        }
    }

    #[test]
    fn huawei_devices_without_google_are_told_by_their_services() {
        let huawei =
            "Mozilla/5.0 (Linux; Android 12; NOH-NX9; HMSCore 6.14.0.302) AppleWebKit/537.36";
        let both =
            "Mozilla/5.0 (Linux; Android 10; ELS-NX9; HMSCore 6.3; GMSCore 21.4) AppleWebKit";
        for (device, agent, expected) in [
            (Device::Android, huawei, Handset::AndroidWithoutGoogle),
            (Device::Android, both, Handset::Android),
            (Device::Android, "Mozilla/5.0 (Linux; Android 14; Pixel 8)", Handset::Android),
            (Device::Android, "", Handset::Android),
            (Device::Ios, "HMSCore", Handset::Ios),
            (Device::OtherMobile, "", Handset::None),
            (Device::Desktop, "", Handset::None),
            (Device::Unknown, "", Handset::None),
        ] {
            assert_eq!(Handset::of(device, agent.as_bytes()), expected, "{device:?} {agent}");
        }
    }
}
