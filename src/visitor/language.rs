//! What an `Accept-Language` says (RFC 9110, section 12.5.4).

/// Ranges that are looked at; a browser sends fewer than ten.
const MOST: usize = 32;

/// Whether the visitor likes a language best: of all that the header names, none has a higher
/// weight. `language` is a language range in small letters, `de` or `pt-br`; `de` is any German.
pub fn likes_best(accept_language: &[u8], language: &str) -> bool {
    let ranges = || accept_language.split(|byte| *byte == b',').take(MOST).filter_map(range);
    let best = ranges().map(|(_, weight)| weight).max().unwrap_or(0);
    best > 0 && ranges().any(|(range, weight)| weight == best && is_within(range, language))
}

/// A language range and its weight in thousandths. What is not understood weighs nothing.
fn range(text: &[u8]) -> Option<(&[u8], u32)> {
    let mut parts = text.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let range = parts.next().filter(|range| !range.is_empty() && *range != b"*")?;
    let weight =
        parts.find_map(|part| part.strip_prefix(b"q=").or_else(|| part.strip_prefix(b"Q=")));
    Some((range, weight.map_or(1_000, thousandths)))
}

fn thousandths(weight: &[u8]) -> u32 {
    let number = std::str::from_utf8(weight).ok().and_then(|text| {
        let (whole, rest) = text.split_once('.').unwrap_or((text, ""));
        let rest: String = rest.chars().chain("000".chars()).take(3).collect();
        format!("{whole}{rest}").parse().ok()
    });
    number.filter(|weight| *weight <= 1_000).unwrap_or(0)
}

/// Whether the range is the language, or a special form of it: `de-AT` is `de`.
fn is_within(range: &[u8], language: &str) -> bool {
    range.split_at_checked(language.len()).is_some_and(|(first, rest)| {
        first.eq_ignore_ascii_case(language.as_bytes()) && matches!(rest.first(), None | Some(b'-'))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::likes_best;

    #[test]
    fn the_language_with_the_highest_weight_is_liked_best() {
        for (header, liked, not_liked) in [
            ("en-US,en;q=0.9,de;q=0.8", vec!["en", "en-us"], vec!["de", "en-gb", "e"]),
            ("de-AT,de;q=0.9,en;q=0.8", vec!["de", "de-at"], vec!["de-ch", "en"]),
            ("de;q=0.5, fr;q=0.7", vec!["fr"], vec!["de"]),
            ("de, fr", vec!["de", "fr"], vec!["en"]),
            ("*", vec![], vec!["de"]),
            ("*;q=0.9,de;q=0.1", vec!["de"], vec!["en"]),
            ("de;q=0", vec![], vec!["de"]),
            ("PT-br;q=1.000", vec!["pt", "pt-br"], vec!["pt-pt"]),
            ("de;q=x,en;q=0.1", vec!["en"], vec!["de"]),
            ("de;q=1.5,en;q=0.1", vec!["en"], vec!["de"]),
            ("deu", vec!["deu"], vec!["de"]),
            ("", vec![], vec!["de"]),
            (",;q=,", vec![], vec!["de"]),
        ] {
            for language in liked {
                assert!(likes_best(header.as_bytes(), language), "{header}: {language}");
            }
            for language in not_liked {
                assert!(!likes_best(header.as_bytes(), language), "{header}: {language}");
            }
        }
    }

    proptest! {
        #[test]
        fn no_header_makes_the_reader_panic(header in proptest::collection::vec(any::<u8>(), 0..200)) {
            prop_assert!(!likes_best(&header, "xx-not-there"));
        }
    }
}
