//! Pages cut where something of the visit goes, and joined again for a visit without rendering.

use std::borrow::Cow;

use bytes::Bytes;

use super::buffers::PageBuffer;

/// What is of the visit, and not of the page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hole {
    /// The code.
    Code,
    /// The code with a space after each symbol: a voice then reads it symbol by symbol.
    Spelled,
    /// The masked name of whoever shared the code.
    Inviter,
    /// The click token.
    Token,
}

impl Hole {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Code, Self::Spelled, Self::Inviter, Self::Token];

    /// Stands in a page for what will be there: a control character, which no text and no URL of a
    /// campaign can have, and which is escaped neither in HTML nor by us in URLs.
    pub fn mark(self) -> char {
        match self {
            Self::Code => '\u{1}',
            Self::Spelled => '\u{2}',
            Self::Inviter => '\u{3}',
            Self::Token => '\u{4}',
        }
    }

    fn marked_by(mark: char) -> Option<Self> {
        Self::ALL.into_iter().find(|hole| hole.mark() == mark)
    }
}

/// What goes into the holes, escaped for HTML.
#[derive(Debug)]
pub struct Values<'a> {
    code: Cow<'a, str>,
    spelled: String,
    inviter: Cow<'a, str>,
    token: Cow<'a, str>,
}

impl<'a> Values<'a> {
    /// The values of a visit.
    pub fn of(code: &'a str, inviter: &'a str, token: &'a str) -> Self {
        let mut spelled = String::with_capacity(code.len() * 2);
        for symbol in code.chars() {
            if !spelled.is_empty() {
                spelled.push(' ');
            }
            spelled.push(symbol);
        }
        let code = escaped(code);
        Self {
            spelled: match &code {
                Cow::Borrowed(_) => spelled,
                Cow::Owned(_) => escaped(&spelled).into_owned(),
            },
            code,
            inviter: escaped(inviter),
            token: escaped(token),
        }
    }

    fn of_hole(&self, hole: Hole) -> &str {
        match hole {
            Hole::Code => &self.code,
            Hole::Spelled => &self.spelled,
            Hole::Inviter => &self.inviter,
            Hole::Token => &self.token,
        }
    }
}

/// A text as it stands in HTML, also between double quotes.
fn escaped(text: &str) -> Cow<'_, str> {
    // Nearly nothing has to be escaped, and bytes are looked through much faster than letters.
    if !text.bytes().any(|byte| matches!(byte, b'&' | b'<' | b'>' | b'"')) {
        return Cow::Borrowed(text);
    }
    let mut escaped = String::with_capacity(text.len() + 16);
    for letter in text.chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            other => escaped.push(other),
        }
    }
    Cow::Owned(escaped)
}

/// A page in pieces.
#[derive(Debug)]
pub struct Pieces {
    /// Each piece, and what comes after it.
    pieces: Box<[(Box<str>, Option<Hole>)]>,
}

impl Pieces {
    /// Cuts a page at its marks.
    pub fn cut(page: &str) -> Self {
        let is_mark = |letter: char| Hole::marked_by(letter).is_some();
        let piece = |piece: &str| {
            let hole = piece.chars().next_back().and_then(Hole::marked_by);
            (piece.trim_end_matches(is_mark).into(), hole)
        };
        Self { pieces: page.split_inclusive(is_mark).map(piece).collect() }
    }

    /// The page with its holes filled, in one buffer that is as large as the page.
    pub fn filled(&self, values: &Values<'_>) -> Bytes {
        let value = |hole: Option<Hole>| hole.map_or("", |hole| values.of_hole(hole));
        let lengths = self.pieces.iter().map(|(piece, hole)| piece.len() + value(*hole).len());
        let mut page = PageBuffer::with_room(lengths.sum());
        for (piece, hole) in &self.pieces {
            page.push(piece);
            page.push(value(*hole));
        }
        page.into_body()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_are_filled_wherever_they_are() {
        let [code, spelled, inviter, token] = Hole::ALL.map(Hole::mark);
        let values = Values::of("AB1", "S••i", "t-_k");
        for (page, expected) in [
            (String::new(), ""),
            ("plain".to_owned(), "plain"),
            (format!("{code}"), "AB1"),
            (format!("{code}{code}{token}"), "AB1AB1t-_k"),
            (format!("a{spelled}b{inviter}c{token}"), "aA B 1bS••ict-_k"),
            (format!("{inviter}z"), "S••iz"),
        ] {
            let filled = Pieces::cut(&page).filled(&values);
            assert_eq!(filled, expected, "{page:?}");
            // Nothing was moved, and nothing is wasted.
            assert_eq!(Vec::from(filled).capacity(), expected.len(), "{page:?}");
        }
    }

    #[test]
    fn what_goes_into_a_page_is_escaped() {
        let page: String = Hole::ALL.map(|hole| format!("[{}]", hole.mark())).concat();
        let page = Pieces::cut(&page).filled(&Values::of("<&", "\"><b>'é", "&amp;"));
        assert_eq!(page, "[&lt;&amp;][&lt; &amp;][&quot;&gt;&lt;b&gt;'é][&amp;amp;]");
        // A mark in a value is no hole.
        let twice = Pieces::cut("\u{3}").filled(&Values::of("AB", "\u{1}", ""));
        assert_eq!(twice, "\u{1}");
    }
}
