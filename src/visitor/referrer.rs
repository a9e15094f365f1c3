//! What a `Referer` says.

/// The longest name of a host.
const LONGEST: usize = 253;

/// The host that the visitor comes from, as it is written, without its port; `None` if the header is
/// no address of the web or of an Android app.
pub fn host(referrer: &[u8]) -> Option<&str> {
    let schemes: [&[u8]; 3] = [b"https://", b"http://", b"android-app://"];
    let rest = schemes.into_iter().find_map(|scheme| {
        let (first, rest) = referrer.split_at_checked(scheme.len())?;
        first.eq_ignore_ascii_case(scheme).then_some(rest)
    })?;
    let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len());
    let authority = rest.get(..end)?;
    let host = match authority.iter().rposition(|byte| *byte == b'@') {
        Some(at) => authority.get(at + 1..)?,
        None => authority,
    };
    let (host, in_brackets) = match host.first() {
        Some(b'[') => (host.get(..=host.iter().position(|byte| *byte == b']')?)?, true),
        Some(_) | None => (host.split(|byte| *byte == b':').next().unwrap_or_default(), false),
    };
    let fits = |byte: u8| match byte {
        b'.' | b'-' | b'_' => true,
        b'[' | b']' | b':' => in_brackets,
        other => other.is_ascii_alphanumeric(),
    };
    let is_host = (1..=LONGEST).contains(&host.len()) && host.iter().copied().all(fits);
    std::str::from_utf8(host).ok().filter(|_| is_host)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::host;

    #[test]
    fn the_host_is_what_stands_between_scheme_and_path() {
        for (referrer, expected) in [
            ("https://news.example/a?b", Some("news.example")),
            ("HTTP://News.Example", Some("News.Example")),
            ("https://user:pass@a.example:8080/", Some("a.example")),
            ("https://[2001:db8::1]:8080/x", Some("[2001:db8::1]")),
            ("https://a.example?x=https://b.example/", Some("a.example")),
            ("https://a.example#x", Some("a.example")),
            ("android-app://com.google.android.gm/", Some("com.google.android.gm")),
            ("https://xn--bcher-kva.example/", Some("xn--bcher-kva.example")),
            ("https:///path", None),
            ("https://", None),
            ("ftp://a.example/", None),
            ("/local", None),
            ("https://a b.example/", None),
            ("https://a\u{0}.example/", None),
            ("https://bücher.example/", None),
            ("https://*/", None),
            ("https://[::1/", None),
            ("", None),
        ] {
            assert_eq!(host(referrer.as_bytes()), expected, "{referrer:?}");
        }
        assert_eq!(
            host(format!("https://{}/", "a".repeat(253)).as_bytes()).map(str::len),
            Some(253)
        );
        assert_eq!(host(format!("https://{}/", "a".repeat(254)).as_bytes()), None);
    }

    proptest! {
        #[test]
        fn what_is_found_is_short_and_plain(
            referrer in proptest::collection::vec(any::<u8>(), 0..300)
        ) {
            let referrer = [b"https://".as_slice(), &referrer].concat();
            if let Some(host) = host(&referrer) {
                prop_assert!(host.len() <= 253 && host.bytes().all(|byte| byte.is_ascii_graphic()));
                prop_assert!(!host.contains('*'));
            }
        }
    }
}
