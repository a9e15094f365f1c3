//! What an `Accept-Language` says (RFC 9110, section 12.5.4).

use std::borrow::Cow;

/// So many ranges of a header are looked at. Browsers send a handful; whoever sends more has said
/// by then what he likes.
const MOST_RANGES: usize = 32;

/// The weight of a range that has none, in thousandths.
const FULL_WEIGHT: u16 = 1_000;

/// Languages that had another name once, which old phones still send.
const OLD_NAMES: [(&str, &str); 3] = [("in", "id"), ("iw", "he"), ("ji", "yi")];

/// Whether the visitor likes a language best: of all that the header names, no other has a higher
/// weight. `language` is a language range in lower case, `de` or `pt-br`; `de` is any German.
///
/// Weight 0 means that a language is not wanted. A range whose weight cannot be read does not
/// count, and `*`, which is any language, is none in particular.
pub fn likes_best(accept_language: &[u8], language: &str) -> bool {
    // Weight 0 is never best.
    let (mut highest, mut liked) = (1, false);
    for (range, weight) in ranges(accept_language) {
        if weight > highest {
            (highest, liked) = (weight, false);
        }
        liked |= weight == highest && is_within(range, language.as_bytes());
    }
    liked
}

/// The language that suits the visitor best, of those that there are: for the range with the highest
/// weight, and the first of equals, what RFC 4647, section 3.4, looks up. `de-AT` is served by `de`;
/// `pt`, and `pt-PT` without a `pt`, by `pt-br`, which most who read the one can read. `None` if none
/// of them suits. `languages` are in lower case.
pub fn best<'a, Language: AsRef<str>>(
    accept_language: &[u8],
    languages: &'a [Language],
) -> Option<&'a str> {
    // Weight 0 is never best.
    let (mut highest, mut found) = (0, None);
    for (range, weight) in ranges(accept_language).filter(|(_, weight)| *weight > 0) {
        if weight > highest
            && let Some(language) = look_up(range, languages)
        {
            (highest, found) = (weight, Some(language));
        }
    }
    found
}

/// The language that one range stands for.
fn look_up<'a, Language: AsRef<str>>(range: &[u8], languages: &'a [Language]) -> Option<&'a str> {
    let mut languages = languages.iter().map(AsRef::as_ref);
    let range = std::str::from_utf8(range).ok()?;
    let (main, _) = range.split_once('-').unwrap_or((range, ""));
    let renamed = OLD_NAMES.iter().find(|(old, _)| main.eq_ignore_ascii_case(old));
    let range = match renamed {
        Some((_, new)) => Cow::Owned(range.replacen(main, new, 1)),
        None => Cow::Borrowed(range),
    };
    let mut shorter: &str = &range;
    loop {
        let is_it = |language: &&str| language.eq_ignore_ascii_case(shorter);
        if let Some(language) = languages.clone().find(is_it) {
            return Some(language);
        }
        let Some((rest, _)) = shorter.rsplit_once('-') else { break };
        shorter = rest;
    }
    languages.find(|language| is_within(language.as_bytes(), shorter.as_bytes()))
}

/// The ranges of a header such as `Accept-Language` or `Accept-Encoding`, with their weights in
/// thousandths. A range whose weight cannot be read is left out, and so is what nobody needs: what
/// follows the first 32.
pub fn ranges(header: &[u8]) -> impl Iterator<Item = (&[u8], u16)> {
    header.split(|byte| *byte == b',').take(MOST_RANGES).filter_map(range_and_weight)
}

/// A range and its weight in thousandths; `None` if there is no range or no readable weight.
fn range_and_weight(member: &[u8]) -> Option<(&[u8], u16)> {
    let mut parts = member.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let range = parts.next().filter(|range| !range.is_empty())?;
    for parameter in parts {
        let mut sides = parameter.splitn(2, |byte| *byte == b'=').map(<[u8]>::trim_ascii);
        if let (Some(b"q" | b"Q"), Some(value)) = (sides.next(), sides.next()) {
            return Some((range, thousandths(value)?));
        }
    }
    Some((range, FULL_WEIGHT))
}

/// Reads a weight, `0.8` or `1`. More digits than the three that are allowed change nothing, and
/// what is above 1 is 1.
fn thousandths(text: &[u8]) -> Option<u16> {
    let mut halves = text.splitn(2, |byte| *byte == b'.');
    let (whole, fraction) = (halves.next()?, halves.next().unwrap_or_default());
    let plain = |digits: &[u8]| digits.iter().all(u8::is_ascii_digit);
    if whole.len() + fraction.len() == 0 || !plain(whole) || !plain(fraction) {
        return None;
    }
    if whole.iter().any(|digit| *digit != b'0') {
        return Some(FULL_WEIGHT);
    }
    let digits = fraction.iter().chain(std::iter::repeat(&b'0')).take(3);
    Some(digits.fold(0, |sum, digit| sum * 10 + u16::from(digit - b'0')))
}

/// Whether a range is the language or one of its kinds: `de-AT` is within `de`, `den` is not.
fn is_within(range: &[u8], language: &[u8]) -> bool {
    let Some((begin, rest)) = range.split_at_checked(language.len()) else { return false };
    begin.eq_ignore_ascii_case(language)
        && !language.is_empty()
        && matches!(rest.first(), None | Some(b'-'))
        && begin != b"*"
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn liked<'a>(header: &str, languages: &[&'a str]) -> Vec<&'a str> {
        let best = |language: &&str| likes_best(header.as_bytes(), language);
        languages.iter().copied().filter(best).collect()
    }

    #[test]
    fn the_highest_weight_decides() {
        let all = ["de", "de-at", "de-ch", "en", "en-us", "pt", "pt-br", "*"];
        for (header, expected) in [
            ("en-US,en;q=0.9,de;q=0.8", &["en", "en-us"][..]),
            ("de-AT,de;q=0.9,en;q=0.8", &["de", "de-at"]),
            ("de", &["de"]),
            ("DE-at", &["de", "de-at"]),
            ("de,en", &["de", "en"]),
            ("de;q=0.5,en;q=0.7", &["en"]),
            ("de;q=0.7, en;q=0.5, pt-BR;q=0.700", &["de", "pt", "pt-br"]),
            ("fr;q=0.9, de;q=0.1", &[]),
            ("den, end-US", &[]),
            ("zh-Hant-TW, de;q=0.9", &[]),
            ("de-1996-AT", &["de"]),
        ] {
            assert_eq!(liked(header, &all), expected, "{header}");
        }
    }

    #[test]
    fn a_weight_of_zero_is_a_refusal_and_a_star_is_no_language() {
        for (header, expected) in [
            ("de;q=0", &[][..]),
            ("de;q=0.000,en;q=0.001", &["en"]),
            ("*", &[]),
            ("*,de;q=0.5", &[]),
            ("de,*;q=0.5", &["de"]),
            ("*, de", &["de"]),
            ("*-CH", &[]),
        ] {
            assert_eq!(liked(header, &["de", "en", "*", ""]), expected, "{header}");
        }
    }

    #[test]
    fn odd_spelling_is_read_as_it_was_meant_and_nonsense_does_not_count() {
        for (header, expected) in [
            ("  de ;  q = 0.8 ,en ; Q=0.9", &["en"][..]),
            ("de;q=.8,en;q=0.7", &["de"]),
            ("de;q=1.,en;q=0.99999", &["de"]),
            ("de;q=7,en", &["de", "en"]),
            ("de;q=high,en;q=0.1", &["en"]),
            ("de;q=-1,en;q=0.1", &["en"]),
            ("de;q=,en;q=0.1", &["en"]),
            ("de;q=.,en;q=0.1", &["en"]),
            ("de;level=1;q=0.2,en;q=0.3", &["en"]),
            ("de;q=0.80001,en;q=0.8", &["de", "en"]),
            (",,;q=1,de,", &["de"]),
            ("", &[]),
        ] {
            assert_eq!(liked(header, &["de", "en"]), expected, "{header}");
        }
    }

    #[test]
    fn only_the_first_ranges_of_an_absurd_header_are_read() {
        let many = |before: usize| "fr;q=0.1,".repeat(before) + "de";
        assert!(likes_best(many(MOST_RANGES - 1).as_bytes(), "de"));
        assert!(!likes_best(many(MOST_RANGES).as_bytes(), "de"));
    }

    #[test]
    fn the_best_of_the_languages_that_there_are_is_found() {
        let all = ["en", "es", "hi", "id", "pt-br", "zh"];
        for (header, expected) in [
            ("id", Some("id")),
            ("id-ID,id;q=0.9,en-US;q=0.8,en;q=0.7", Some("id")),
            ("in-ID, en;q=0.5", Some("id")),
            ("IN", Some("id")),
            ("zh-CN,zh;q=0.9,en;q=0.8", Some("zh")),
            ("zh-Hans", Some("zh")),
            ("zh-Hant-TW, en;q=0.3", Some("zh")),
            ("pt-BR", Some("pt-br")),
            ("pt", Some("pt-br")),
            ("pt-PT, en;q=0.9", Some("pt-br")),
            ("fr-FR, fr;q=0.9, es;q=0.5, en;q=0.4", Some("es")),
            ("en;q=0.4, hi;q=0.9", Some("hi")),
            ("hi, en", Some("hi")),
            ("en, hi", Some("en")),
            ("en;q=0, hi;q=0.1", Some("hi")),
            ("id;q=0", None),
            ("fr, de", None),
            ("*", None),
            ("end, hin", None),
            ("i", None),
            ("-", None),
            ("en;q=high", None),
            ("", None),
        ] {
            assert_eq!(best(header.as_bytes(), &all), expected, "{header}");
        }
        assert_eq!(best(b"iw-IL", &["ar", "he"]), Some("he"));
        assert_eq!(best(b"in", &["in"]), None);
        assert_eq!(best(b"id", &[""; 0]), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(
            header in prop::collection::vec(any::<u8>(), 0..200),
            language in "[a-z]{0,3}(-[a-z]{2})?",
        ) {
            likes_best(&header, &language);
            best(&header, &[language.as_str(), "en", "id"]);
        }

        #[test]
        fn a_single_language_is_liked_best(language in "[a-z]{2,3}(-[a-z]{2})?") {
            prop_assert!(likes_best(language.to_ascii_uppercase().as_bytes(), &language));
        }
    }
}
