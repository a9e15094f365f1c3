//! Whose request it is when proxies stand in front.
//!
//! Anybody can write anything into `X-Forwarded-For`. Each proxy adds, at the right, the address that
//! it was spoken to from; so what a trusted proxy wrote can be believed, and what stands left of it
//! only as far as that was a trusted proxy as well. `Forwarded` of RFC 7239 is not read: a proxy that
//! writes the one and lets the other through would let everybody choose an address.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use hyper::header::{HeaderMap, HeaderName};

use crate::address::AddressRange;

/// Where proxies write whom they speak for.
const X_FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// The proxies whose word counts.
#[derive(Clone, Debug, Default)]
pub struct TrustedProxies(Arc<[AddressRange]>);

impl TrustedProxies {
    /// The proxies in these ranges, and no others.
    pub fn new(ranges: &[AddressRange]) -> Self {
        Self(ranges.into())
    }

    /// Whether this is the address of a proxy that is trusted.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|range| range.contains(address))
    }

    /// Who sent a request with these headers over a connection from `peer`: the address of the
    /// connection, unless that is a trusted proxy's; then the right-most address in
    /// `X-Forwarded-For` that is not one; if all are, the left-most. Where no address stands, the
    /// last trusted proxy before it.
    pub fn client(&self, headers: &HeaderMap, peer: IpAddr) -> IpAddr {
        let mut client = peer.to_canonical();
        let lines = headers.get_all(X_FORWARDED_FOR).iter().rev();
        let mut hops = lines.flat_map(|line| line.as_bytes().rsplit(|byte| *byte == b','));
        while self.contains(client) {
            let Some(before) = hops.next().and_then(read_hop) else { break };
            client = before.to_canonical();
        }
        client
    }
}

/// An address as proxies write it: some add the port, some put IPv6 into brackets.
fn read_hop(hop: &[u8]) -> Option<IpAddr> {
    let hop = std::str::from_utf8(hop).ok()?.trim_matches([' ', '\t']);
    let bracketed = || hop.strip_prefix('[')?.strip_suffix(']')?.parse().map(IpAddr::V6).ok();
    let with_port = || hop.parse::<SocketAddr>().map(|address| address.ip()).ok();
    hop.parse().ok().or_else(bracketed).or_else(with_port)
}

#[cfg(test)]
mod tests {
    use hyper::header::HeaderValue;

    use super::*;

    /// With `10.0.0.0/8` and `::1` trusted.
    fn client(peer: &str, lines: &[&[u8]]) -> String {
        let ranges = ["10.0.0.0/8", "::1"].map(|range| range.parse().expect("a range"));
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append(X_FORWARDED_FOR, HeaderValue::from_bytes(line).expect("a value"));
        }
        let peer = peer.parse().expect("an address");
        TrustedProxies::new(&ranges).client(&headers, peer).to_string()
    }

    #[test]
    fn the_client_is_counted_from_the_right() {
        let cases: &[(&str, &[&str], &str)] = &[
            // Nobody is believed who is not trusted.
            ("192.0.2.1", &[], "192.0.2.1"),
            ("192.0.2.1", &["198.51.100.7"], "192.0.2.1"),
            ("192.0.2.1", &["10.0.0.1"], "192.0.2.1"),
            ("2001:db8::1", &["10.0.0.1"], "2001:db8::1"),
            // One proxy; two; two lines.
            ("10.0.0.1", &["198.51.100.7"], "198.51.100.7"),
            ("::1", &["198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["198.51.100.7, 10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1", &["198.51.100.7", "10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1", &["2001:db8::7,10.0.0.2,::1"], "2001:db8::7"),
            // The client wrote a line, or the beginning of one, by itself.
            ("10.0.0.1", &["203.0.113.9, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["203.0.113.9", "198.51.100.7, 10.0.0.2"], "198.51.100.7"),
            ("10.0.0.1", &["10.0.0.9, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["127.0.0.1, ::1, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &["nonsense, 198.51.100.7"], "198.51.100.7"),
            ("10.0.0.1", &[", 198.51.100.7"], "198.51.100.7"),
            // All are trusted: a machine of ours asks.
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &[], "10.0.0.1"),
            // No address stands there: who handed it over is the last that is known.
            ("10.0.0.1", &[""], "10.0.0.1"),
            ("10.0.0.1", &["unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["198.51.100.7, 10.0.0.2,"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.7 10.0.0.2"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.007"], "10.0.0.1"),
            ("10.0.0.1", &["example.com"], "10.0.0.1"),
            ("10.0.0.1", &["fe80::1%eth0"], "10.0.0.1"),
            // As some proxies write it.
            ("10.0.0.1", &["198.51.100.7:4711"], "198.51.100.7"),
            ("10.0.0.1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("10.0.0.1", &["[2001:db8::7]"], "2001:db8::7"),
            ("10.0.0.1", &["\t198.51.100.7 "], "198.51.100.7"),
            // IPv4 in IPv6's clothes.
            ("::ffff:10.0.0.1", &["::ffff:198.51.100.7"], "198.51.100.7"),
            ("::ffff:192.0.2.1", &["198.51.100.7"], "192.0.2.1"),
            ("10.0.0.1", &["198.51.100.7, ::ffff:10.0.0.2"], "198.51.100.7"),
        ];
        for (peer, lines, expected) in cases {
            let bytes: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
            assert_eq!(client(peer, &bytes), *expected, "{peer} {lines:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_hide_nobody() {
        let forged: &[u8] = b"\xff\xfe, 198.51.100.7";
        assert_eq!(client("10.0.0.1", &[forged]), "198.51.100.7");
        assert_eq!(client("10.0.0.1", &[b"\xff", b"198.51.100.7"]), "198.51.100.7");
        assert_eq!(client("10.0.0.1", &[b"198.51.100.7, \xff"]), "10.0.0.1");
    }

    #[test]
    fn without_trusted_proxies_the_connection_counts() {
        let mut headers = HeaderMap::new();
        headers.insert(X_FORWARDED_FOR, HeaderValue::from_static("198.51.100.7"));
        for peer in ["127.0.0.1", "10.0.0.1", "::1"] {
            let peer: IpAddr = peer.parse().expect("an address");
            assert_eq!(TrustedProxies::default().client(&headers, peer), peer);
        }
    }
}
