//! Referral codes: what an inviter shares, and what people type.
//!
//! A code is a random number, written in the 34 symbols `0-9A-Z` without `I` and `O`, in an order that
//! each deployment shuffles for itself. It comes from no user and no row, so it tells nothing of either,
//! and neither how many there are. What people type is read generously; what is made is screened for
//! words that nobody wants to share.

use std::fmt;

use hmac::{Hmac, KeyInit, Mac};
use rand::{Rng, RngExt};
use serde::Serialize;
use sha2::Sha256;

use super::{in_base, screen};

/// The symbols of codes, in their usual order.
pub const SYMBOLS: &str = "0123456789ABCDEFGHJKLMNPQRSTUVWXYZ";

/// The fewest symbols that a code has.
pub const SHORTEST: usize = 4;
/// The most symbols that a code has.
pub const LONGEST: usize = 20;

/// More bytes than this are not looked at when somebody types a code.
const LONGEST_TYPED: usize = 64;

/// A referral code, in the one spelling in which it is stored: 4 to 20 symbols.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct ReferralCode(Box<str>);

impl ReferralCode {
    /// The code that somebody means who types `text`: in small letters too, with spaces, hyphens, dots
    /// and other things in between, with full-width, Arabic or Devanagari digits. `I` stands for `1`,
    /// and `O` for `0`. `None` if it cannot be a code.
    pub fn normalise(text: &str) -> Option<Self> {
        if text.len() > LONGEST_TYPED {
            return None;
        }
        // Links carry codes as they are stored.
        if let Some(code) = Self::exactly(text) {
            return Some(code);
        }
        let kept = text.chars().filter(|character| !is_separator(*character));
        let symbols: String = kept.map(symbol).collect::<Option<_>>()?;
        Self::exactly(&symbols)
    }

    /// The code that `text` is, letter by letter: `None` for every other spelling.
    pub fn exactly(text: &str) -> Option<Self> {
        let is_symbol = |byte: u8| {
            byte.is_ascii_digit() || (byte.is_ascii_uppercase() && !matches!(byte, b'I' | b'O'))
        };
        let good = (SHORTEST..=LONGEST).contains(&text.len()) && text.bytes().all(is_symbol);
        good.then(|| Self(text.into()))
    }

    /// The code as a text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReferralCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The symbol that somebody means who types this character.
fn symbol(typed: char) -> Option<char> {
    let plain = match u32::from(typed) {
        // Full-width forms of ASCII.
        wide @ 0xFF01..=0xFF5E => char::from_u32(wide - 0xFEE0)?,
        // Arabic-Indic digits, those of Persian and Urdu, and Devanagari's.
        digit @ 0x0660..=0x0669 => char::from_digit(digit - 0x0660, 10)?,
        digit @ 0x06F0..=0x06F9 => char::from_digit(digit - 0x06F0, 10)?,
        digit @ 0x0966..=0x096F => char::from_digit(digit - 0x0966, 10)?,
        _ => typed,
    };
    match plain.to_ascii_uppercase() {
        // A Turkish keyboard has an I without and one with a dot, both small and large.
        'I' | 'İ' | 'ı' => Some('1'),
        'O' => Some('0'),
        other => SYMBOLS.contains(other).then_some(other),
    }
}

/// What people, keyboards and chats put between symbols or around them: white space, hyphens and
/// dashes, dots and commas, quotes, the marks that chats make bold with, and what cannot be seen.
fn is_separator(typed: char) -> bool {
    typed.is_whitespace()
        || matches!(typed, '-' | '.' | ',' | '_' | '*' | '~' | '\'' | '"' | '`' | '·' | '•')
        || matches!(
            u32::from(typed),
            // A soft hyphen; the Arabic comma; marks of direction, spaces without width; dashes;
            // quotes; the minus sign; the Devanagari full stop.
            0x00AD | 0x060C | 0x061C | 0x200B..=0x2015 | 0x2018..=0x201F | 0x202A..=0x202E
            | 0x2060..=0x2069 | 0x2212 | 0x0964 | 0xFEFF
            // The ideographic full stop and comma, and full-width forms of the above.
            | 0x3001 | 0x3002 | 0x30FB | 0xFE63 | 0xFF02 | 0xFF07 | 0xFF0A | 0xFF0C..=0xFF0E | 0xFF3F
        )
}

/// The symbols in the order of one deployment.
#[derive(Clone)]
pub struct Alphabet(String);

impl Alphabet {
    /// The longest code that is generated: its numbers stay far below 64 bits.
    pub const LONGEST: u8 = 10;

    /// The order that belongs to `key`: drawn like lots, with HMAC-SHA-256 as the source of chance.
    pub fn shuffled(key: &[u8; 32]) -> Self {
        let mut chance = Keyed { key, counter: 0 };
        let mut symbols: Vec<char> = SYMBOLS.chars().collect();
        for last in (1..symbols.len()).rev() {
            let count = u64::try_from(last + 1).expect("34 at most");
            let chosen = chance.below(count);
            symbols.swap(last, usize::try_from(chosen).expect("34 at most"));
        }
        Self(symbols.into_iter().collect())
    }

    /// A code of `length` symbols, from [`SHORTEST`] to [`Alphabet::LONGEST`]: every one that is not a
    /// bad word is as likely as any other. What the screen refuses, fewer than one in fifty, is drawn
    /// again.
    pub fn generate(&self, length: u8, random: &mut impl Rng) -> ReferralCode {
        assert!(
            (SHORTEST..=usize::from(Self::LONGEST)).contains(&usize::from(length)),
            "codes of {length} symbols are not generated"
        );
        let limit = 34_u64.pow(u32::from(length));
        loop {
            let number = random.random_range(0..limit);
            let code = in_base(&self.0, &number.to_be_bytes(), usize::from(length));
            if screen::bad_word(&code).is_none() {
                return ReferralCode(code.into());
            }
        }
    }
}

impl fmt::Debug for Alphabet {
    /// The order is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Alphabet").finish_non_exhaustive()
    }
}

/// Numbers that look like chance and are always the same for one key.
struct Keyed<'a> {
    key: &'a [u8; 32],
    counter: u64,
}

impl Keyed<'_> {
    /// A number below `limit`, each as likely as the others: those above the last whole multiple of
    /// `limit` are drawn again.
    fn below(&mut self, limit: u64) -> u64 {
        let usable = u64::MAX - u64::MAX % limit;
        loop {
            let number = self.next();
            if number < usable {
                return number % limit;
            }
        }
    }

    fn next(&mut self) -> u64 {
        self.counter += 1;
        let mut keyed =
            Hmac::<Sha256>::new_from_slice(self.key).expect("HMAC takes keys of any length");
        keyed.update(b"the order of the symbols of codes");
        keyed.update(&self.counter.to_be_bytes());
        let bytes = keyed.finalize().into_bytes();
        let (first, _) = bytes.split_first_chunk::<8>().expect("HMAC-SHA-256 has 32 bytes");
        u64::from_be_bytes(*first)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    use super::*;

    #[test]
    fn what_people_type_is_understood() {
        for (typed, code) in [
            ("7KQ2MX", "7KQ2MX"),
            ("7kq2mx", "7KQ2MX"),
            (" 7KQ-2MX\n", "7KQ2MX"),
            ("7KQ–2MX", "7KQ2MX"),
            ("7 k q 2 m x", "7KQ2MX"),
            ("*7KQ2MX*", "7KQ2MX"),
            ("“7KQ.2MX”.", "7KQ2MX"),
            ("\u{2066}7KQ2MX\u{2069}\u{200B}", "7KQ2MX"),
            ("７ＫＱ２ｍｘ", "7KQ2MX"),
            ("oil0i", "01L01"),
            ("IO IO", "1010"),
            ("ıİ10", "1110"),
            ("٧KQ٢MX", "7KQ2MX"),
            ("۷KQ۲MX", "7KQ2MX"),
            ("७KQ२MX", "7KQ2MX"),
            ("12345678901234567890", "12345678901234567890"),
        ] {
            let read = ReferralCode::normalise(typed).map(|code| code.to_string());
            assert_eq!(read.as_deref(), Some(code), "{typed}");
        }
    }

    #[test]
    fn what_cannot_be_a_code_is_none() {
        let long = "A".repeat(65);
        for typed in [
            "",
            "ABC",
            "A-B-C",
            "123456789012345678901",
            "7KQ2M%",
            "7KQ/2MX",
            "7KQ2MÄ",
            "γκ2μχ",
            &long,
        ] {
            assert_eq!(ReferralCode::normalise(typed), None, "{typed}");
        }
        assert_eq!(ReferralCode::exactly("7kq2mx"), None);
        assert_eq!(ReferralCode::exactly("7KQ2MI"), None);
    }

    #[test]
    fn each_deployment_has_an_order_of_its_own() {
        let orders: BTreeSet<String> =
            (0..100).map(|byte| Alphabet::shuffled(&[byte; 32]).0).collect();
        assert_eq!(orders.len(), 100);
        for order in &orders {
            let mut symbols: Vec<char> = order.chars().collect();
            symbols.sort_unstable();
            assert_eq!(symbols.into_iter().collect::<String>(), SYMBOLS);
        }
        // Another order, after codes were handed out, would do no harm, but nobody would expect it.
        assert_eq!(Alphabet::shuffled(&[7; 32]).0, "Q36L1W7D82EJNZYRCMHK5FTA40BG9XUPSV");
    }

    #[test]
    fn every_symbol_is_as_likely_as_the_others_in_every_place() {
        let alphabet = Alphabet::shuffled(&[3; 32]);
        let mut random = StdRng::seed_from_u64(1);
        let codes: Vec<String> =
            (0..34_000).map(|_| alphabet.generate(6, &mut random).to_string()).collect();
        for place in 0..6 {
            for symbol in SYMBOLS.bytes() {
                let hits = codes.iter().filter(|code| code.as_bytes().get(place) == Some(&symbol));
                let hits = hits.count();
                // A thousand each, give or take six standard deviations and what the screen refuses.
                assert!((780..1_200).contains(&hits), "{} at {place}: {hits}", char::from(symbol));
            }
        }
    }

    proptest! {
        #[test]
        fn what_is_generated_reads_back_however_it_is_typed(
            key: [u8; 32], seed: u64, length in 4_u8..=10, gap in 0_usize..4,
        ) {
            let code = Alphabet::shuffled(&key).generate(length, &mut StdRng::seed_from_u64(seed));
            prop_assert_eq!(code.as_str().len(), usize::from(length));
            prop_assert_eq!(ReferralCode::exactly(code.as_str()), Some(code.clone()));
            let (head, tail) = code.as_str().split_at(gap);
            let typed = format!(" {head}-{tail}").to_lowercase().replace('1', "i").replace('0', "o");
            prop_assert_eq!(ReferralCode::normalise(&typed), Some(code));
        }

        #[test]
        fn what_is_understood_is_one_spelling(typed in "\\PC{0,30}") {
            if let Some(code) = ReferralCode::normalise(&typed) {
                prop_assert_eq!(ReferralCode::normalise(code.as_str()), Some(code.clone()));
                prop_assert!((SHORTEST..=LONGEST).contains(&code.as_str().len()));
            }
        }
    }
}
