//! Generated slugs: of a fixed length, never the same twice, in no order that shows.
//!
//! A position out of a sequence goes through a keyed [`Permutation`] and is written in base 62, so
//! slugs cannot collide, cannot be guessed from each other, and do not tell how many there are.

use std::sync::OnceLock;

use super::permutation::Permutation;
use super::reserved::is_reserved;
use super::{BASE36, BASE62, in_base, number_in_base};

/// Whether a domain tells capitals from small letters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LetterCase {
    /// `AbC` and `abc` are two links: base 62.
    Exact,
    /// They are one link: base 36, and usually one character more to make up for it.
    Folded,
}

impl LetterCase {
    /// How many characters slugs have where nobody says: `usual` ones, and one more in base 36.
    pub fn usual_length(self, usual: u8) -> u8 {
        match self {
            Self::Exact => usual,
            Self::Folded => usual.saturating_add(1),
        }
    }
}

/// The longest slug that a generator makes.
const LONGEST: usize = 11;

/// The generators of a deployment: one for each length in each letter case, made when it is first
/// needed. All of them take their positions from one sequence.
pub struct SlugGenerators {
    key: [u8; 32],
    usual_length: u8,
    exact: [OnceLock<SlugGenerator>; LONGEST + 1],
    folded: [OnceLock<SlugGenerator>; LONGEST + 1],
}

impl SlugGenerators {
    /// Generators under this deployment's key. `usual_length` is the length of slugs in a domain that
    /// does not say how long they are, and tells capitals from small letters: from 1 to 10.
    pub fn new(key: &[u8; 32], usual_length: u8) -> Self {
        let none = || std::array::from_fn(|_| OnceLock::new());
        Self { key: *key, usual_length, exact: none(), folded: none() }
    }

    /// The generator for domains that read slugs by `case`, and whose slugs have `length` characters
    /// if they say so: from 1 to 10.
    pub fn generator(&self, case: LetterCase, length: Option<u8>) -> &SlugGenerator {
        let length = length.unwrap_or_else(|| case.usual_length(self.usual_length));
        let made = match case {
            LetterCase::Exact => &self.exact,
            LetterCase::Folded => &self.folded,
        };
        made.get(usize::from(length))
            .expect("settings and rules allow no greater length")
            .get_or_init(|| SlugGenerator::new(&self.key, case, length))
    }
}

impl std::fmt::Debug for SlugGenerators {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let length = &self.usual_length;
        f.debug_struct("SlugGenerators").field("usual_length", length).finish_non_exhaustive()
    }
}

/// Makes slugs of one length and letter case out of positions.
#[derive(Clone, Debug)]
pub struct SlugGenerator {
    characters: &'static str,
    length: usize,
    permutation: Permutation,
}

impl SlugGenerator {
    /// Slugs of `length` characters under this deployment's key: from 1 to 10 characters, or 11 in
    /// base 36.
    pub fn new(key: &[u8; 32], case: LetterCase, length: u8) -> Self {
        let (characters, longest) = match case {
            LetterCase::Exact => (BASE62, 10),
            LetterCase::Folded => (BASE36, 11),
        };
        assert!((1..=longest).contains(&length), "slugs of {length} characters are out of range");
        let base = u64::try_from(characters.len()).expect("62 at most");
        let limit = base.pow(u32::from(length));
        Self { characters, length: usize::from(length), permutation: Permutation::new(key, limit) }
    }

    /// The slug at `position`; `None` if it would be a reserved word, or if the positions of this
    /// length are used up (see [`SlugGenerator::positions`]). Take the next position then.
    pub fn slug(&self, position: u64) -> Option<String> {
        let number = self.permutation.forward(position)?;
        let slug = in_base(self.characters, &number.to_be_bytes(), self.length);
        (!is_reserved(&slug)).then_some(slug)
    }

    /// The position whose slug is `slug`; `None` for every text that is not exactly what
    /// [`SlugGenerator::slug`] makes.
    pub fn position(&self, slug: &str) -> Option<u64> {
        if slug.len() != self.length || is_reserved(slug) {
            return None;
        }
        self.permutation.backward(number_in_base(self.characters, slug)?)
    }

    /// How many positions there are, from 0.
    pub fn positions(&self) -> u64 {
        self.permutation.limit()
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
        let generator = SlugGenerator::new(&[1; 32], LetterCase::Exact, 5);
        let slugs: std::collections::HashSet<String> =
            (0..500).filter_map(|position| generator.slug(position)).collect();
        assert_eq!(slugs.len(), 500);
        assert_eq!(generator.slug(u64::MAX), None);
    }

    #[test]
    fn other_spellings_are_refused() {
        let generator = SlugGenerator::new(&[1; 32], LetterCase::Exact, 7);
        let slug = generator.slug(3).expect("not reserved");
        assert_eq!(generator.position(&slug), Some(3));
        assert_eq!(generator.position(&format!("0{slug}")), None);
        assert_eq!(generator.position("AbCdEf"), None);
        assert_eq!(generator.position("metrics"), None);
        assert_eq!(generator.position("ab-defg"), None);
        let folded = SlugGenerator::new(&[1; 32], LetterCase::Folded, 8);
        assert_eq!(folded.position("ABCDEFGH"), None);
    }

    #[test]
    fn a_domain_has_its_own_length_or_the_usual_one() {
        let generators = SlugGenerators::new(&[3; 32], 7);
        for (case, own, length) in [
            (LetterCase::Exact, None, 7),
            (LetterCase::Folded, None, 8),
            (LetterCase::Exact, Some(5), 5),
            (LetterCase::Folded, Some(5), 5),
            (LetterCase::Exact, Some(10), 10),
            (LetterCase::Folded, Some(10), 10),
        ] {
            let slug = generators.generator(case, own).slug(12_345).expect("not reserved");
            assert_eq!(slug.len(), length, "{case:?} {own:?}");
            let same = SlugGenerator::new(&[3; 32], case, u8::try_from(length).expect("small"));
            assert_eq!(same.slug(12_345), Some(slug), "{case:?} {own:?}");
        }
        let longest = SlugGenerators::new(&[3; 32], 10).generator(LetterCase::Folded, None).slug(1);
        assert_eq!(longest.map(|slug| slug.len()), Some(11));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn a_slug_has_its_length_and_reads_back(
            key: [u8; 32], length in 5_u8..=10, part: u64, case in cases(),
        ) {
            let generator = SlugGenerator::new(&key, case, length);
            let position = part % generator.positions();
            if let Some(slug) = generator.slug(position) {
                prop_assert_eq!(slug.len(), usize::from(length));
                prop_assert!(slug.bytes().all(|byte| byte.is_ascii_alphanumeric()));
                prop_assert_eq!(generator.position(&slug), Some(position));
            }
        }

        #[test]
        fn what_decodes_is_what_encodes(text in "[0-9A-Za-z]{7,8}", case in cases()) {
            let generator = SlugGenerator::new(&[9; 32], case, 7);
            if let Some(position) = generator.position(&text) {
                prop_assert_eq!(generator.slug(position), Some(text));
            }
        }
    }
}
