//! Words that nobody wants to find in a code, whatever it may have been drawn by.
//!
//! The list is short: abuse, sex, violence, and what a lender's customers would take for a bad sign; in
//! English, Indonesian, Hindi and Spanish, as people write them in these letters. Symbols that look alike
//! are taken for one, so that `5H17` is found as well.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

/// The words of each language, in capitals. None is shorter than three letters: two would refuse every
/// tenth code.
const WORDS: [&[&str]; 4] = [ENGLISH, INDONESIAN, HINDI, SPANISH];

const ENGLISH: &[&str] = &[
    "ANAL", "ANUS", "ARSE", "ASS", "BASTARD", "BITCH", "BONER", "BOOB", "CHINK", "CLIT", "COCK",
    "COON", "CRAP", "CUM", "CUNT", "DEAD", "DICK", "DILDO", "DYKE", "FAG", "FCK", "FRAUD", "FUCK",
    "FUK", "GOOK", "HITLER", "HOMO", "IDIOT", "ISIS", "JIZZ", "KIKE", "KILL", "KKK", "LIAR",
    "MORON", "NAZI", "NEGRO", "NIGGA", "NIGGER", "NUDE", "PAKI", "PEDO", "PENIS", "PISS", "POOP",
    "PORN", "PRICK", "PUSSY", "RAPE", "RETARD", "SATAN", "SCAM", "SEX", "SHIT", "SLAVE", "SLUT",
    "SPIC", "SUICID", "THIEF", "TIT", "TURD", "TWAT", "VAGINA", "WANK", "WHORE", "XXX",
];

const INDONESIAN: &[&str] = &[
    "ANJING", "ANJIR", "ANJRIT", "ASU", "BABI", "BACOT", "BAJINGAN", "BANCI", "BANGSAT", "BEGO",
    "BENCONG", "BODOH", "BUGIL", "BUNUH", "COLI", "ENTOT", "GEBLEK", "GOBLOK", "IBLIS", "ITIL",
    "JABLAY", "JANCOK", "JANCUK", "JEMBUT", "KAFIR", "KAMPRET", "KEPARAT", "KIMAK", "KONTOL",
    "LONTE", "MALING", "MAMPUS", "MATI", "MEMEK", "MODAR", "NGEWE", "PELACUR", "PELER", "PEPEK",
    "PEREK", "PUKIMAK", "RENTENIR", "SETAN", "SIAL", "SUNDAL", "TAIK", "TETEK", "TITIT", "TOKET",
    "TOLOL",
];

const HINDI: &[&str] = &[
    "BHADVA",
    "BHADVE",
    "BHADWA",
    "BHENCHOD",
    "BEHENCHOD",
    "BHOSAD",
    "BHOSDI",
    "BSDK",
    "BURCHOD",
    "CHAKKA",
    "CHOD",
    "CHOOT",
    "CHOR",
    "CHUT",
    "CHUDAI",
    "CHUDI",
    "GAAND",
    "GADHA",
    "GAND",
    "HARAMI",
    "HARAMZ",
    "HIJRA",
    "JHAAT",
    "JHANT",
    "KAMINA",
    "KAMINE",
    "KUTIYA",
    "KUTTA",
    "KUTTE",
    "LAUDA",
    "LAVDA",
    "LAVDE",
    "LODA",
    "LODU",
    "LUND",
    "MADARCHOD",
    "MAUT",
    "RAKHAIL",
    "RAND",
    "RANDI",
    "SAALA",
    "SUAR",
    "TATTE",
    "TATTI",
    "ULLU",
];

const SPANISH: &[&str] = &[
    "CABRON", "CACA", "CAGAR", "CHINGA", "COJON", "CONCHA", "CULO", "ESTAFA", "FOLLA", "GILIPOLL",
    "IMBECIL", "JODER", "JODETE", "LADRON", "MAMADA", "MAMON", "MARICA", "MARICON", "MATAR",
    "MIERDA", "MUERTE", "NAZI", "ORTO", "PAJERO", "PENDEJ", "PICHA", "PIJA", "PINCHE", "POLLA",
    "PUTA", "PUTO", "SIDA", "SUDACA", "TETA", "TONTO", "VERGA", "ZORRA",
];

/// One symbol for all that look like it.
fn folded(symbol: char) -> char {
    match symbol.to_ascii_uppercase() {
        '0' | 'D' => 'O',
        '1' | 'L' => 'I',
        '2' => 'Z',
        '3' => 'E',
        '4' => 'A',
        '5' => 'S',
        '6' => 'G',
        '7' => 'T',
        '8' => 'B',
        other => other,
    }
}

/// The words, ready to be looked for all at once.
struct Screen {
    automaton: AhoCorasick,
    words: Vec<&'static str>,
}

static SCREEN: LazyLock<Screen> = LazyLock::new(|| {
    let words: Vec<&str> = WORDS.into_iter().flatten().copied().collect();
    let patterns = words.iter().map(|word| word.chars().map(folded).collect::<String>());
    let automaton = AhoCorasick::new(patterns).expect("some hundred words fit an automaton");
    Screen { automaton, words }
});

/// A bad word that can be read in `code`, as it stands in the list; `None` if there is none.
pub fn bad_word(code: &str) -> Option<&'static str> {
    let folded: String = code.chars().map(folded).collect();
    let found = SCREEN.automaton.find(&folded)?;
    SCREEN.words.get(found.pattern().as_usize()).copied()
}

#[cfg(test)]
mod tests {
    use rand::rngs::StdRng;
    use rand::{RngExt, SeedableRng};

    use super::super::referral::SYMBOLS;
    use super::*;

    #[test]
    fn bad_words_are_found_in_any_disguise() {
        for (code, word) in [
            ("SH1TXX", "SHIT"),
            ("X5H17Y", "SHIT"),
            ("FVFUCK", "FUCK"),
            ("8A819X", "BABI"),
            ("K0N70L", "KONTOL"),
            ("CHV7CHUT", "CHUT"),
            ("9PUT4K", "PUTA"),
            ("M13RDA", "MIERDA"),
            ("COCK22", "COCK"),
            ("C0CK22", "COCK"),
            ("CDCK22", "COCK"),
            ("N4216X", "NAZI"),
        ] {
            assert_eq!(bad_word(code), Some(word), "{code}");
        }
        for code in ["7KQ2MX", "R1NA27", "F00D", "SPR1NG2027", "D1WAL1", "WELCOME"] {
            assert_eq!(bad_word(code), None, "{code}");
        }
    }

    #[test]
    fn every_word_can_be_typed_and_is_found() {
        for word in WORDS.into_iter().flatten() {
            assert!((3..=12).contains(&word.len()), "{word}");
            assert!(word.bytes().all(|letter| letter.is_ascii_uppercase()), "{word}");
            assert!(bad_word(&format!("9{word}9")).is_some(), "{word}");
        }
    }

    #[test]
    fn fewer_than_two_random_codes_in_a_hundred_are_refused() {
        let symbols: Vec<char> = SYMBOLS.chars().collect();
        let mut random = StdRng::seed_from_u64(7);
        for (length, most) in [(6, 2_000), (10, 4_000)] {
            let refused = (0..100_000).filter(|_| {
                let draw = |_| symbols.get(random.random_range(0..symbols.len()));
                let code: String = (0..length).filter_map(draw).collect();
                bad_word(&code).is_some()
            });
            let refused = refused.count();
            assert!((100..most).contains(&refused), "{refused} of 100,000 of {length} symbols");
        }
    }
}
