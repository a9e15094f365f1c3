use std::cell::Cell;
use std::net::Ipv4Addr;

use serde_json::json;

use super::*;

/// A visitor, and which facts were asked for.
struct Visitor {
    now: u64,
    device: Device,
    language: &'static str,
    query: &'static [(&'static str, &'static str)],
    country: Option<&'static str>,
    position: u8,
    asked: Cell<Vec<&'static str>>,
}

impl Visitor {
    fn ask(&self, what: &'static str) {
        let mut asked = self.asked.take();
        asked.push(what);
        self.asked.set(asked);
    }
}

impl Facts for Visitor {
    fn now(&self) -> UnixMillis {
        UnixMillis(self.now)
    }

    fn device(&self) -> Device {
        self.ask("device");
        self.device
    }

    fn likes_best(&self, language: &str) -> bool {
        self.ask("language");
        is_within(self.language, language)
    }

    fn has_query(&self, name: &str, value: Option<&str>) -> bool {
        self.ask("query");
        self.query.iter().any(|(n, v)| *n == name && value.is_none_or(|value| value == *v))
    }

    fn country(&self) -> Option<Country> {
        self.ask("country");
        self.country.and_then(Country::parse)
    }

    fn position(&self) -> u8 {
        self.ask("position");
        self.position
    }
}

fn visitor() -> Visitor {
    Visitor {
        now: 1_893_456_000_000,
        device: Device::Unknown,
        language: "en-us",
        query: &[],
        country: None,
        position: 0,
        asked: Cell::default(),
    }
}

fn rules(json: serde_json::Value) -> Vec<Rule> {
    serde_json::from_value(json).expect("rules")
}

/// The target that a visitor is led to; empty for the link's own.
fn target(rules: &[Rule], visitor: &Visitor) -> String {
    choose(rules, visitor).map(|place| rules[place].target.clone()).unwrap_or_default()
}

#[test]
fn the_first_rule_that_fits_decides() {
    let rules = rules(json!([
        { "device": ["ios"], "language": ["de"], "target": "ios-de" },
        { "device": ["ios", "desktop"], "target": "ios-or-desktop" },
        { "device": ["mobile"], "target": "mobile" },
        { "language": ["pt-br", "fr"], "target": "br-or-fr" },
        { "query": [{ "name": "src", "value": "qr" }, { "name": "ad" }], "target": "both" },
        { "query": [{ "name": "src" }], "target": "src" },
        { "country": ["DE", "AT"], "target": "country" },
        { "after": "2030-01-01T00:00:00Z", "before": "2030-01-02T00:00:00Z", "target": "that day" },
    ]));
    let early = Visitor { now: 1_000, ..visitor() };
    for (visitor, expected) in [
        (Visitor { device: Device::Ios, language: "de-at", ..visitor() }, "ios-de"),
        (Visitor { device: Device::Ios, ..visitor() }, "ios-or-desktop"),
        (Visitor { device: Device::Desktop, language: "de", ..visitor() }, "ios-or-desktop"),
        (Visitor { device: Device::Android, ..visitor() }, "mobile"),
        (Visitor { device: Device::OtherMobile, ..visitor() }, "mobile"),
        (Visitor { language: "pt-br", ..visitor() }, "br-or-fr"),
        (Visitor { language: "fr-ca", ..visitor() }, "br-or-fr"),
        (Visitor { query: &[("src", "qr"), ("ad", "1")], ..visitor() }, "both"),
        (Visitor { query: &[("src", "qr")], ..visitor() }, "src"),
        (Visitor { query: &[("ad", "1")], ..visitor() }, "that day"),
        (Visitor { country: Some("AT"), ..visitor() }, "country"),
        (Visitor { now: 1_893_455_999_999, ..visitor() }, ""),
        (Visitor { now: 1_893_456_000_000, ..visitor() }, "that day"),
        (Visitor { now: 1_893_542_399_999, ..visitor() }, "that day"),
        (Visitor { now: 1_893_542_400_000, ..visitor() }, ""),
        (Visitor { language: "pt", ..early }, ""),
    ] {
        assert_eq!(target(&rules, &visitor), expected);
    }
}

#[test]
fn only_what_a_rule_asks_for_is_found_out() {
    let rules = rules(json!([
        { "query": [{ "name": "a" }], "device": ["ios"], "percent": 50, "target": "x" },
        { "after": "2999-01-01T00:00:00Z", "language": ["de"], "country": ["DE"], "target": "y" },
    ]));
    let visitor = visitor();
    assert_eq!(choose(&rules, &visitor), None);
    assert_eq!(visitor.asked.take(), ["query"]);
}

/// How many of 100 positions get which target, in the order of first appearance.
fn shares(rules: &[Rule], visitor: impl Fn() -> Visitor) -> Vec<(String, u32)> {
    let mut shares: Vec<(String, u32)> = Vec::new();
    for position in 0..100 {
        let target = target(rules, &Visitor { position, ..visitor() });
        match shares.iter_mut().find(|(known, _)| *known == target) {
            Some((_, count)) => *count += 1,
            None => shares.push((target, 1)),
        }
    }
    shares
}

#[test]
fn shares_follow_upon_each_other_among_the_rules_that_fit() {
    let expect = |expected: &[(&str, u32)]| -> Vec<(String, u32)> {
        expected.iter().map(|(target, count)| ((*target).to_owned(), *count)).collect()
    };
    let thirds = rules(json!([
        { "percent": 30, "target": "a" }, { "percent": 30, "target": "b" },
    ]));
    assert_eq!(shares(&thirds, visitor), expect(&[("a", 30), ("b", 30), ("", 40)]));
    let devices = rules(json!([
        { "device": ["ios"], "percent": 60, "target": "ios" },
        { "device": ["android"], "percent": 60, "target": "android" },
        { "device": ["mobile"], "target": "rest" },
    ]));
    let on = |device| move || Visitor { device, ..visitor() };
    assert_eq!(shares(&devices, on(Device::Ios)), expect(&[("ios", 60), ("rest", 40)]));
    assert_eq!(shares(&devices, on(Device::Android)), expect(&[("android", 60), ("rest", 40)]));
    assert_eq!(shares(&devices, on(Device::Desktop)), expect(&[("", 100)]));
    let over = rules(json!([
        { "percent": 70, "target": "a" }, { "percent": 70, "target": "b" },
    ]));
    assert_eq!(shares(&over, visitor), expect(&[("a", 70), ("b", 30)]));
}

fn client(number: u32) -> IpAddr {
    Ipv4Addr::from(0x0a00_0000 + number).into()
}

#[test]
fn a_visitor_keeps_its_place_and_visitors_spread_evenly() {
    const CLIENTS: u32 = 20_000;
    let split = Split::new(&[7; 32]);
    let mut counts = [0_u32; 100];
    for number in 0..CLIENTS {
        let position = split.position(LinkId(1), client(number), b"a browser");
        assert_eq!(position, split.position(LinkId(1), client(number), b"a browser"));
        counts[usize::from(position)] += 1;
    }
    // 200 each are expected, with a deviation of 14.
    assert!(counts.iter().all(|count| (130..270).contains(count)), "{counts:?}");
    let first: u32 = counts.iter().take(30).sum();
    assert!((5_700..6_300).contains(&first), "{first}");
    let changed = |other: &dyn Fn(u32) -> u8| {
        (0..1_000).filter(|n| other(*n) != split.position(LinkId(1), client(*n), b"a")).count()
    };
    assert!(changed(&|n| split.position(LinkId(1), client(n), b"b")) > 900);
    assert!(changed(&|n| Split::new(&[8; 32]).position(LinkId(1), client(n), b"a")) > 900);
}

#[test]
fn two_links_split_independently() {
    const CLIENTS: u32 = 20_000;
    let split = Split::new(&[7; 32]);
    let both = (0..CLIENTS).filter(|number| {
        let half = |link| split.position(LinkId(link), client(*number), b"a browser") < 50;
        half(1) && half(2)
    });
    // A quarter, 5,000, with a deviation of 61; the halves of one split would be 10,000 or none.
    let both = both.count();
    assert!((4_700..5_300).contains(&both), "{both}");
}

#[test]
fn a_rule_that_earlier_ones_leave_nothing_for_is_found() {
    for (earlier, later, hidden) in [
        (json!({ "device": ["ios"] }), json!({ "device": ["ios"], "language": ["de"] }), true),
        (json!({ "device": ["mobile"] }), json!({ "device": ["ios", "android"] }), true),
        (json!({ "device": ["ios", "android"] }), json!({ "device": ["mobile"] }), false),
        (json!({ "device": ["mobile"] }), json!({ "device": ["desktop"] }), false),
        (json!({ "device": ["ios"] }), json!({ "language": ["de"] }), false),
        (json!({ "device": ["ios"], "language": ["de"] }), json!({ "device": ["ios"] }), false),
        (json!({ "language": ["de"] }), json!({ "language": ["de-at"] }), true),
        (json!({ "language": ["de"] }), json!({ "language": ["den"] }), false),
        (json!({ "language": ["de-at"] }), json!({ "language": ["de"] }), false),
        (
            json!({ "query": [{"name": "a"}] }),
            json!({ "query": [{"name": "a", "value": "1"}] }),
            true,
        ),
        (
            json!({ "query": [{"name": "a", "value": "1"}] }),
            json!({ "query": [{"name": "a"}] }),
            false,
        ),
        (
            json!({ "query": [{"name": "a"}, {"name": "b"}] }),
            json!({ "query": [{"name": "a"}] }),
            false,
        ),
        (
            json!({ "query": [{"name": "a"}] }),
            json!({ "query": [{"name": "b"}, {"name": "a"}] }),
            true,
        ),
        (json!({ "country": ["DE", "AT"] }), json!({ "country": ["AT"] }), true),
        (json!({ "country": ["AT"] }), json!({ "country": ["DE", "AT"] }), false),
        (
            json!({ "after": "2030-01-01T00:00:00Z" }),
            json!({ "after": "2030-01-01T00:00:00Z", "before": "2031-01-01T00:00:00Z" }),
            true,
        ),
        (
            json!({ "before": "2031-01-01T00:00:00Z" }),
            json!({ "before": "2031-01-01T00:00:01Z" }),
            false,
        ),
        (json!({ "before": "2031-01-01T00:00:00Z" }), json!({ "device": ["ios"] }), false),
        (json!({ "percent": 100 }), json!({ "device": ["ios"] }), true),
        (json!({ "percent": 99 }), json!({ "device": ["ios"] }), false),
    ] {
        let with = |mut rule: serde_json::Value| {
            rule["target"] = "x".into();
            rule
        };
        let both = rules(json!([with(earlier), with(later)]));
        assert_eq!(hidden_by(&both, 1), hidden.then_some(0), "{both:?}");
        assert_eq!(hidden_by(&both, 0), None);
    }
    let shares = rules(json!([
        { "percent": 60, "target": "a" },
        { "device": ["ios"], "percent": 50, "target": "b" },
        { "percent": 30, "target": "c" },
        { "percent": 10, "target": "d" },
        { "language": ["de"], "target": "e" },
        { "device": ["ios"], "language": ["de"], "target": "f" },
    ]));
    let hidden: Vec<_> = (0..6).map(|place| hidden_by(&shares, place)).collect();
    assert_eq!(hidden, [None, None, None, None, Some(3), Some(1)]);
}

#[test]
fn the_next_change_is_the_next_beginning_or_end() {
    let rules = rules(json!([
        { "after": "1970-01-01T00:00:05Z", "before": "1970-01-01T00:00:09Z", "target": "x" },
        { "before": "1970-01-01T00:00:07Z", "target": "y" },
    ]));
    for (now, next) in [
        (0, Some(5_000)),
        (5_000, Some(7_000)),
        (6_999, Some(7_000)),
        (8_000, Some(9_000)),
        (9_000, None),
    ] {
        assert_eq!(next_change(&rules, UnixMillis(now)), next.map(UnixMillis), "{now}");
    }
}

#[test]
fn a_rule_reads_back_as_it_was_written() {
    let json = json!([{
        "device": ["ios", "android", "desktop", "mobile"], "language": ["de", "pt-br"],
        "query": [{ "name": "src", "value": "qr" }, { "name": "src" }], "country": ["DE"],
        "after": "2030-01-01T00:00:00Z", "before": "2030-01-02T00:00:00.5Z", "percent": 100,
        "target": "https://example.com/",
    }, { "percent": 1, "target": "https://example.com/" }]);
    assert_eq!(serde_json::to_value(rules(json.clone())).expect("JSON"), json);
    for unknown in [
        json!([{ "weather": "rain", "target": "x" }]),
        json!([{ "device": ["tv"], "target": "x" }]),
        json!([{ "country": ["XX"], "target": "x" }]),
        json!([{ "percent": 1 }]),
    ] {
        assert!(serde_json::from_value::<Vec<Rule>>(unknown).is_err());
    }
}
