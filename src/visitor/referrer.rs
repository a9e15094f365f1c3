//! What a `Referer` says.

use std::net::Ipv6Addr;

/// The longest host, in bytes (RFC 1035, section 2.3.4, as written with dots).
const LONGEST_HOST: usize = 253;

/// The host that the visitor comes from, without its port; `None` if the header is no web address.
/// An Android app that names itself, `android-app://com.example/`, comes from its package name.
///
/// The host is as it was written, in upper or lower case, an IPv6 address in its brackets. Nobody
/// vouches for it: it is what the visitor's browser says.
pub fn host(referrer: &[u8]) -> Option<&str> {
    plain_host(referrer).or_else(|| any_host(referrer))
}

/// The host of an address as nearly all are: small letters and digits, without port and the like. One
/// look at each byte: this is asked for at every click.
fn plain_host(referrer: &[u8]) -> Option<&str> {
    let rest = referrer.strip_prefix(b"https://")?;
    let mut end = rest.len();
    for (place, byte) in rest.iter().enumerate() {
        match byte {
            b'a'..=b'z' | b'0'..=b'9' | b'.' | b'-' => {}
            b'/' => {
                end = place;
                break;
            }
            _ => return None,
        }
    }
    let (host, path) = rest.split_at_checked(end)?;
    let is_clean = path.iter().all(|byte| byte.is_ascii_graphic() || !byte.is_ascii());
    name(host).filter(|_| is_clean)
}

fn any_host(referrer: &[u8]) -> Option<&str> {
    // No address has them, and what is shown to people later must not.
    if referrer.iter().any(|byte| byte.is_ascii_control() || *byte == b' ') {
        return None;
    }
    let scheme_end = referrer.iter().position(|byte| *byte == b':')?;
    let (scheme, rest) = referrer.split_at_checked(scheme_end)?;
    let rest = rest.strip_prefix(b"://")?;
    let end = |byte: &u8| matches!(byte, b'/' | b'?' | b'#');
    let authority = rest.split(end).next()?;
    // Some readers of addresses take it for a slash: then the host would be another one.
    if authority.contains(&b'\\') {
        return None;
    }
    if scheme.eq_ignore_ascii_case(b"android-app") {
        return name(authority);
    }
    if !scheme.eq_ignore_ascii_case(b"http") && !scheme.eq_ignore_ascii_case(b"https") {
        return None;
    }
    let host_and_port = authority.rsplit(|byte| *byte == b'@').next()?;
    if host_and_port.starts_with(b"[") {
        let close = host_and_port.iter().position(|byte| *byte == b']')?;
        let (address, port) = host_and_port.split_at_checked(close + 1)?;
        return is_port(port).then(|| bracketed(address))?;
    }
    let colon = host_and_port.iter().position(|byte| *byte == b':');
    let (host, port) = host_and_port.split_at_checked(colon.unwrap_or(host_and_port.len()))?;
    is_port(port).then(|| name(host))?
}

/// A host name or an IPv4 address.
fn name(bytes: &[u8]) -> Option<&str> {
    let plain = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let valid = (1..=LONGEST_HOST).contains(&bytes.len())
        && bytes.iter().all(plain)
        && bytes.first().is_some_and(|first| *first != b'.');
    if valid { str::from_utf8(bytes).ok() } else { None }
}

/// An IPv6 address in its brackets.
fn bracketed(bytes: &[u8]) -> Option<&str> {
    let text = str::from_utf8(bytes).ok()?;
    let address = text.strip_prefix('[')?.strip_suffix(']')?;
    address.parse::<Ipv6Addr>().is_ok().then_some(text)
}

/// Whether this is nothing, or a colon and a port. The port may be missing (RFC 3986).
fn is_port(text: &[u8]) -> bool {
    match text.strip_prefix(b":") {
        Some(digits) => digits.len() <= 5 && digits.iter().all(u8::is_ascii_digit),
        None => text.is_empty(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_web_address_has_a_host() {
        for (referrer, expected) in [
            ("https://www.example.com/", "www.example.com"),
            ("https://www.example.com", "www.example.com"),
            ("HTTP://WWW.Example.COM/a?b#c", "WWW.Example.COM"),
            ("http://localhost:8080/x", "localhost"),
            ("https://example.com:/x", "example.com"),
            ("https://example.com?next=https://other.example/", "example.com"),
            ("https://example.com#a@b", "example.com"),
            ("https://example.com/a@other.example", "example.com"),
            ("https://user:secret@example.com:443/", "example.com"),
            ("https://a@b@example.com/", "example.com"),
            ("https://192.0.2.7:80/", "192.0.2.7"),
            ("http://[2001:db8::1]/", "[2001:db8::1]"),
            ("http://[2001:DB8::1]:8080/", "[2001:DB8::1]"),
            ("https://my_shop.example.com./", "my_shop.example.com."),
            ("https://xn--bcher-kva.example/", "xn--bcher-kva.example"),
            ("https://example.com/b\u{fc}cher", "example.com"),
            ("android-app://com.google.android.gm/", "com.google.android.gm"),
            ("android-app://com.example.app/https/example.com/x", "com.example.app"),
            ("android-app://com.example.app", "com.example.app"),
        ] {
            assert_eq!(host(referrer.as_bytes()), Some(expected), "{referrer}");
        }
    }

    #[test]
    fn what_is_no_web_address_has_none() {
        let long = format!("https://{}/", "a".repeat(LONGEST_HOST + 1));
        for referrer in [
            "",
            "https",
            "https:",
            "https:/example.com/",
            "https:///path",
            "https://:80/",
            "https://?x",
            "https://user@/",
            "//example.com/",
            "/path",
            "example.com",
            "ftp://example.com/",
            "about:blank",
            "javascript://example.com/%0aalert(1)",
            "data:text/html,x",
            "https://.example.com/",
            "https://exa mple.com/",
            "https://example.com/ <b>",
            "https://example.com/\n",
            "https://example\0.com/",
            "https://example\t.com/",
            "https://<b>.example/",
            "https://b\u{fc}cher.example/",
            "https://exa%6dple.com/",
            "https://example.com\\@other.example/",
            "https://example.com:port/",
            "https://example.com:123456/",
            "https://example.com:80:80/",
            "http://[2001:db8::1/",
            "http://[2001:db8::1]x/",
            "http://[::1]:x/",
            "http://[example.com]/",
            "http://[]/",
            "http://2001:db8::1/",
            "android-app://",
            "android-app://com.example:80/",
            "android-app://user@com.example/",
            long.as_str(),
        ] {
            assert_eq!(host(referrer.as_bytes()), None, "{referrer:?}");
        }
        let longest = format!("https://{}/", "a".repeat(LONGEST_HOST));
        assert!(host(longest.as_bytes()).is_some());
    }

    proptest! {
        #[test]
        fn the_short_way_finds_what_the_long_way_does(
            host in "[a-z0-9.-]{0,30}", path in "(/\\PC{0,20})?"
        ) {
            let referrer = format!("https://{host}{path}");
            if let Some(found) = plain_host(referrer.as_bytes()) {
                prop_assert_eq!(any_host(referrer.as_bytes()), Some(found));
            }
        }

        #[test]
        fn any_bytes_are_read_without_a_panic(
            bytes in prop::collection::vec(any::<u8>(), 0..300),
        ) {
            host(&bytes);
        }

        #[test]
        fn what_comes_out_can_be_shown_anywhere(
            referrer in "(https?|android-app)://[a-zA-Z0-9.:@/?#\\[\\]\\\\<ü _-]{0,12}",
        ) {
            if let Some(host) = host(referrer.as_bytes()) {
                let plain = |letter: char| letter.is_ascii_alphanumeric() || "._-:[]".contains(letter);
                prop_assert!(!host.is_empty() && host.len() <= LONGEST_HOST);
                prop_assert!(host.chars().all(plain), "{:?}", host);
            }
        }
    }
}
