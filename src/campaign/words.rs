//! What a landing page says besides a campaign's own texts: buttons, labels, what there is to say when
//! a code leads nowhere. One file a language, in `words/`; a campaign in another language brings its own.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use jiff::civil::Date;
use serde::Deserialize;

use super::document;

/// The words of one language.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Words {
    /// The language's name in itself, for whoever wants to change it.
    pub language: String,
    /// Over the code.
    pub your_code: String,
    /// On the button that copies the code.
    pub copy: String,
    /// On it once it has.
    pub copied: String,
    /// On the button that copies the link, on devices whose store forgets where somebody came from.
    pub copy_link: String,
    /// Over what whoever opens the page gets.
    pub you_get: String,
    /// Over what the friend gets.
    pub friend_gets: String,
    /// Over the steps.
    pub how_it_works: String,
    /// On the button that leads to a store; `{store}` is its name.
    pub get_it: String,
    /// Over further stores.
    pub other_stores: String,
    /// Beside the QR code on a computer.
    pub scan: String,
    /// When it ends; `{date}` is the last day.
    pub until: String,
    /// The name of the conditions.
    pub terms: String,
    /// The headline once the campaign is over.
    pub ended_title: String,
    /// What there is to say then.
    pub ended: String,
    /// The headline before the campaign begins.
    pub not_yet_title: String,
    /// What there is to say then; `{date}` is the first day.
    pub not_yet: String,
    /// The headline when nobody has this code.
    pub unknown_title: String,
    /// What there is to say then.
    pub unknown: String,
    /// How a date is written, of `{day}`, `{month}` and `{year}`.
    pub date: String,
    /// The months, from January, as they stand in a date.
    pub months: Vec<String>,
}

impl Words {
    /// Every text with its field's name, and the place-holders that it must have: for whoever judges
    /// them.
    pub(super) fn texts(&self) -> [(&'static str, &str, &'static [&'static str]); 19] {
        [
            ("language", &self.language, &[]),
            ("your_code", &self.your_code, &[]),
            ("copy", &self.copy, &[]),
            ("copied", &self.copied, &[]),
            ("copy_link", &self.copy_link, &[]),
            ("you_get", &self.you_get, &[]),
            ("friend_gets", &self.friend_gets, &[]),
            ("how_it_works", &self.how_it_works, &[]),
            ("get_it", &self.get_it, &["store"]),
            ("other_stores", &self.other_stores, &[]),
            ("scan", &self.scan, &[]),
            ("until", &self.until, &["date"]),
            ("terms", &self.terms, &[]),
            ("ended_title", &self.ended_title, &[]),
            ("ended", &self.ended, &[]),
            ("not_yet_title", &self.not_yet_title, &[]),
            ("not_yet", &self.not_yet, &["date"]),
            ("unknown_title", &self.unknown_title, &[]),
            ("date", &self.date, &["day", "month", "year"]),
        ]
    }

    /// A date, as people of this language write it.
    pub fn written(&self, date: Date) -> String {
        let month = usize::try_from(date.month()).unwrap_or(1);
        let month = self.months.get(month - 1).map_or("", String::as_str);
        self.date
            .replace("{day}", &date.day().to_string())
            .replace("{month}", month)
            .replace("{year}", &date.year().to_string())
    }
}

/// The languages in which Waypost has words, and the words.
static BUILT_IN: LazyLock<BTreeMap<&'static str, Words>> = LazyLock::new(|| {
    let read = |(language, text)| (language, document::words(text).expect("a test reads them all"));
    [
        ("en", include_str!("words/en.toml")),
        ("es", include_str!("words/es.toml")),
        ("hi", include_str!("words/hi.toml")),
        ("id", include_str!("words/id.toml")),
        ("zh", include_str!("words/zh.toml")),
    ]
    .into_iter()
    .map(read)
    .collect()
});

/// The words of a language, or of the one that it is a kind of: `pt-br` has those of `pt`.
pub fn built_in(language: &str) -> Option<&'static Words> {
    let main = language.split('-').next().unwrap_or(language);
    BUILT_IN.get(language).or_else(|| BUILT_IN.get(main))
}

/// The languages in which there are words.
pub fn languages() -> impl Iterator<Item = &'static str> {
    BUILT_IN.keys().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_language_has_all_words_and_twelve_months() {
        assert_eq!(languages().collect::<Vec<_>>(), ["en", "es", "hi", "id", "zh"]);
        for language in languages() {
            let words = built_in(language).expect("words");
            assert_eq!(super::super::rules::judge_words("", words), [], "{language}");
        }
        assert_eq!(built_in("es-mx"), built_in("es"));
        assert_eq!(built_in("fr"), None);
    }

    #[test]
    fn dates_are_written_as_people_write_them() {
        let date = jiff::civil::date(2026, 12, 31);
        let written = |language| built_in(language).map(|words| words.written(date));
        assert_eq!(written("en").as_deref(), Some("31 December 2026"));
        assert_eq!(written("id").as_deref(), Some("31 Desember 2026"));
        assert_eq!(written("hi").as_deref(), Some("31 दिसंबर 2026"));
        assert_eq!(written("zh").as_deref(), Some("2026年12月31日"));
        assert_eq!(written("es").as_deref(), Some("31 de diciembre de 2026"));
    }
}
