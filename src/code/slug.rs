//! Generated slugs: of a fixed length, never the same twice, in no order that shows.
//!
//! A position out of a sequence goes through a keyed [`Permutation`] and is written in base 62, so
//! slugs cannot collide, cannot be guessed from each other, and do not tell how many there are.

use super::permutation::Permutation;
use super::reserved::is_reserved;
use super::{BASE36, BASE62, in_base, number_in_base};

/// Whether a domain tells capitals from small letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterCase {
    /// `AbC` and `abc` are two links: base 62.
    Exact,
    /// They are one link: base 36, and one character more to make up for it.
    Folded,
}

/// Makes slugs out of positions.
#[derive(Clone, Debug)]
pub struct SlugGenerator {
    exact: Alphabet,
    folded: Alphabet,
}

#[derive(Clone, Debug)]
struct Alphabet {
    characters: &'static str,
    length: usize,
    permutation: Permutation,
}

impl SlugGenerator {
    /// Slugs of `length` characters, from 1 to 10, under this deployment's key.
    pub fn new(key: &[u8; 32], length: u8) -> Self {
        assert!((1..=10).contains(&length), "slugs of {length} characters are out of range");
        Self {
            exact: Alphabet::new(key, BASE62, length),
            folded: Alphabet::new(key, BASE36, length + 1),
        }
    }

    /// The slug at `position`; `None` if it would be a reserved word, or if the positions of this
    /// length are used up (see [`SlugGenerator::positions`]). Take the next position then.
    pub fn slug(&self, position: u64, case: LetterCase) -> Option<String> {
        let alphabet = self.alphabet(case);
        let number = alphabet.permutation.forward(position)?;
        let slug = in_base(alphabet.characters, &number.to_be_bytes(), alphabet.length);
        (!is_reserved(&slug)).then_some(slug)
    }

    /// The position whose slug is `slug`; `None` for every text that is not exactly what
    /// [`SlugGenerator::slug`] makes.
    pub fn position(&self, slug: &str, case: LetterCase) -> Option<u64> {
        let alphabet = self.alphabet(case);
        if slug.len() != alphabet.length || is_reserved(slug) {
            return None;
        }
        alphabet.permutation.backward(number_in_base(alphabet.characters, slug)?)
    }

    /// How many positions there are, from 0.
    pub fn positions(&self, case: LetterCase) -> u64 {
        self.alphabet(case).permutation.limit()
    }

    fn alphabet(&self, case: LetterCase) -> &Alphabet {
        match case {
            LetterCase::Exact => &self.exact,
            LetterCase::Folded => &self.folded,
        }
    }
}

impl Alphabet {
    fn new(key: &[u8; 32], characters: &'static str, length: u8) -> Self {
        let base = u64::try_from(characters.len()).expect("62 at most");
        let limit = base.pow(u32::from(length));
        Self { characters, length: usize::from(length), permutation: Permutation::new(key, limit) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn cases() -> impl Strategy<Value = LetterCase> {
        prop_oneof![Just(LetterCase::Exact), Just(LetterCase::Folded)]
    }

    #[test]
    fn neighbours_look_nothing_alike_and_never_collide() {
        let generator = SlugGenerator::new(&[1; 32], 5);
        let slugs: std::collections::HashSet<String> =
            (0..500).filter_map(|position| generator.slug(position, LetterCase::Exact)).collect();
        assert_eq!(slugs.len(), 500);
        assert_eq!(generator.slug(u64::MAX, LetterCase::Exact), None);
    }

    #[test]
    fn other_spellings_are_refused() {
        let generator = SlugGenerator::new(&[1; 32], 7);
        let slug = generator.slug(3, LetterCase::Exact).expect("not reserved");
        assert_eq!(generator.position(&slug, LetterCase::Exact), Some(3));
        assert_eq!(generator.position(&format!("0{slug}"), LetterCase::Exact), None);
        assert_eq!(generator.position("AbCdEf", LetterCase::Exact), None);
        assert_eq!(generator.position("metrics", LetterCase::Exact), None);
        assert_eq!(generator.position("ab-defg", LetterCase::Exact), None);
        assert_eq!(generator.position("ABCDEFGH", LetterCase::Folded), None);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_slug_has_its_length_and_reads_back(
            key: [u8; 32], length in 5_u8..=10, part: u64, case in cases(),
        ) {
            let generator = SlugGenerator::new(&key, length);
            let position = part % generator.positions(case);
            if let Some(slug) = generator.slug(position, case) {
                let extra = usize::from(case == LetterCase::Folded);
                prop_assert_eq!(slug.len(), usize::from(length) + extra);
                prop_assert!(slug.bytes().all(|byte| byte.is_ascii_alphanumeric()));
                prop_assert_eq!(generator.position(&slug, case), Some(position));
            }
        }

        #[test]
        fn what_decodes_is_what_encodes(text in "[0-9A-Za-z]{7,8}", case in cases()) {
            let generator = SlugGenerator::new(&[9; 32], 7);
            if let Some(position) = generator.position(&text, case) {
                prop_assert_eq!(generator.slug(position, case), Some(text));
            }
        }
    }
}
