//! What a landing page shows of an inviter's name: enough for friends to know who it is, and no more.

/// Words of a name that are shown.
const WORDS: usize = 2;
/// Marks that belong to a letter and are shown with it: more than any script needs.
const MARKS: usize = 3;
/// What stands for the rest of a word, however long it is.
const REST: &str = "•••";

/// What is shown of `name`: the first letter of each of its first two words. `None` if there is nothing
/// to show. Never longer than 64 characters, whatever comes in.
pub fn mask_name(name: &str) -> Option<String> {
    let words = name.split_whitespace().filter_map(first_letter).take(WORDS);
    let masked: Vec<String> = words.map(|letter| letter + REST).collect();
    (!masked.is_empty()).then(|| masked.join(" "))
}

/// The first letter of a word with its marks; of a word without letters, its first character.
fn first_letter(word: &str) -> Option<String> {
    let visible = || word.chars().filter(|character| !is_invisible(*character));
    let letters: Vec<char> = visible().skip_while(|it| !it.is_alphanumeric()).collect();
    let others: Vec<char> = visible().skip_while(|it| is_mark(*it)).collect();
    let (first, others) = letters.split_first().or_else(|| others.split_first())?;
    let marks = others.iter().take_while(|it| is_mark(**it)).take(MARKS);
    Some(std::iter::once(first).chain(marks).collect())
}

/// Control characters, marks of direction, and what has no width: they could turn the text around a
/// name, or hide in it.
fn is_invisible(character: char) -> bool {
    character.is_control()
        || matches!(
            u32::from(character),
            0x00AD | 0x061C | 0x115F | 0x1160 | 0x17B4 | 0x17B5 | 0x180B..=0x180F
            | 0x200B..=0x200F | 0x2028..=0x202E | 0x2060..=0x206F | 0x3164 | 0xFEFF | 0xFFA0
            | 0xFFF0..=0xFFFB | 0xE0000..=0xE0FFF
        )
}

/// Marks that stand above, below or around the letter before them, in the scripts in which people
/// write their names.
fn is_mark(character: char) -> bool {
    let point = u32::from(character);
    match point {
        // The scripts of India stand in blocks of 128 with the same order in each.
        0x0900..=0x0D7F => {
            matches!(point % 0x80, 0x00..=0x03 | 0x3A..=0x3C | 0x3E..=0x4F | 0x51..=0x57 | 0x62 | 0x63)
        }
        // Latin, Greek and Cyrillic; Hebrew; Arabic.
        0x0300..=0x036F | 0x0483..=0x0489 | 0x0591..=0x05C7 | 0x0610..=0x061A
        | 0x064B..=0x065F | 0x0670 | 0x06D6..=0x06DC | 0x06DF..=0x06E4 | 0x06E7 | 0x06E8
        // Sinhala; Thai and Lao; Tibetan; Burmese; Khmer; Balinese, Sundanese and Javanese.
        | 0x0D81..=0x0D83 | 0x0DCA..=0x0DDF | 0x0E31 | 0x0E34..=0x0E3A | 0x0E47..=0x0E4E
        | 0x0EB1 | 0x0EB4..=0x0EBC | 0x0EC8..=0x0ECE | 0x0F71..=0x0F84 | 0x102B..=0x103E
        | 0x17B6..=0x17D3 | 0x1B00..=0x1B04 | 0x1B34..=0x1B44 | 0x1B80..=0x1B82
        | 0x1BA1..=0x1BAD | 0xA980..=0xA983 | 0xA9B3..=0xA9C0
        // Further marks of Latin; voiced sounds of Japanese; variants; skins of pictures.
        | 0x1AB0..=0x1AFF | 0x1DC0..=0x1DFF | 0x20D0..=0x20FF | 0x3099 | 0x309A
        | 0xFE00..=0xFE0F | 0xFE20..=0xFE2F | 0x1F3FB..=0x1F3FF => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn of_two_words_the_first_letters_are_shown() {
        for (name, shown) in [
            ("Rina Sari", Some("R••• S•••")),
            ("  rina\tsari dewi ", Some("r••• s•••")),
            ("Rina", Some("R•••")),
            ("R", Some("R•••")),
            ("王小明", Some("王•••")),
            ("Élodie", Some("É•••")),
            ("E\u{301}lodie", Some("E\u{301}•••")),
            ("कृष्णा मेनन", Some("कृ••• मे•••")),
            ("தமிழ்", Some("த•••")),
            ("فاطمة", Some("ف•••")),
            ("(Rina) \"Sari\"", Some("R••• S•••")),
            ("🔥🔥", Some("🔥•••")),
            ("👍\u{1F3FD}", Some("👍\u{1F3FD}•••")),
            ("\u{202E}Rina\u{202C} \u{200B}Sari", Some("R••• S•••")),
            ("\u{200B} Rina", Some("R•••")),
            ("<b>", Some("b•••")),
            ("Z\u{300}\u{301}\u{302}\u{303}\u{304}\u{305}", Some("Z\u{300}\u{301}\u{302}•••")),
            ("", None),
            (" \u{200B}\u{7} ", None),
            ("\u{301}", None),
        ] {
            assert_eq!(mask_name(name).as_deref(), shown, "{name}");
        }
    }

    proptest! {
        #[test]
        fn whatever_comes_in_little_comes_out(name in ".{0,60}") {
            if let Some(shown) = mask_name(&name) {
                prop_assert!(shown.chars().count() <= 64);
                prop_assert!(shown.contains(REST));
                prop_assert!(!shown.chars().any(is_invisible));
            }
        }
    }
}
