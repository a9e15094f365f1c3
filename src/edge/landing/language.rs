//! Which language a page is in.

use crate::visitor::language::best;

/// The language for a visitor, of those that there are, in lower case: the one that the query asks for
/// by `lang`, else the one that suits `Accept-Language` best. `None` if neither names one of them.
pub fn chosen<'a, Language: AsRef<str>>(
    query: Option<&str>,
    accept_language: &[u8],
    languages: &'a [Language],
) -> Option<&'a str> {
    let mut parameters = query.unwrap_or_default().split('&');
    let asked = parameters.find_map(|parameter| parameter.strip_prefix("lang="));
    let asked = asked.and_then(|range| best(range.as_bytes(), languages));
    asked.or_else(|| best(accept_language, languages))
}

/// Whether a language is written from right to left.
pub fn is_right_to_left(language: &str) -> bool {
    let main = language.split('-').next().unwrap_or(language);
    matches!(main, "ar" | "fa" | "he" | "ur")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_query_goes_before_the_header() {
        let all = ["en", "id", "zh"];
        for (query, header, expected) in [
            (None, "id", Some("id")),
            (Some(""), "id", Some("id")),
            (Some("lang=zh"), "id", Some("zh")),
            (Some("lang=ZH-CN"), "id", Some("zh")),
            (Some("wp_click=x&lang=en"), "id", Some("en")),
            (Some("lang=fr"), "id", Some("id")),
            (Some("lang="), "id", Some("id")),
            (Some("slang=zh"), "id", Some("id")),
            (Some("lang=%00"), "", None),
            (None, "", None),
        ] {
            assert_eq!(chosen(query, header.as_bytes(), &all), expected, "{query:?} {header}");
        }
    }

    #[test]
    fn some_languages_are_written_from_right_to_left() {
        for (language, expected) in [("ar", true), ("fa-ir", true), ("arn", false), ("en", false)] {
            assert_eq!(is_right_to_left(language), expected, "{language}");
        }
    }
}
