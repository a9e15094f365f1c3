//! Short texts that stand for something: alphabets, slugs, the permutation that scatters them; referral
//! codes and the screen for bad words.
//! Pure; knows no I/O.

pub mod permutation;
pub mod referral;
pub mod reserved;
pub mod screen;
pub mod slug;

/// Digits, then capitals, then small letters: 62 characters that need no escape in a URL.
pub const BASE62: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// Digits, then small letters: for domains that do not tell capitals from small letters.
pub const BASE36: &str = "0123456789abcdefghijklmnopqrstuvwxyz";

/// `bytes` as a number in base 62, at least `length` characters long.
pub fn base62(bytes: &[u8], length: usize) -> String {
    in_base(BASE62, bytes, length)
}

/// `bytes`, read as one big-endian number, in the base of `alphabet`, filled up to `length`.
pub(crate) fn in_base(alphabet: &str, bytes: &[u8], length: usize) -> String {
    // base-x writes each leading zero byte as one zero character, which is not what a number has.
    let start = bytes.iter().position(|byte| *byte != 0).unwrap_or(bytes.len());
    let digits = base_x::encode(alphabet, bytes.get(start..).unwrap_or_default());
    let zero = alphabet.chars().next().expect("an alphabet has characters");
    let missing = length.saturating_sub(digits.len());
    std::iter::repeat_n(zero, missing).chain(digits.chars()).collect()
}

/// The number that `text` is in the base of `alphabet`; the reverse of [`in_base`] for numbers of
/// up to 64 bits. `None` for other characters, and for larger numbers.
pub(crate) fn number_in_base(alphabet: &str, text: &str) -> Option<u64> {
    // base-x needs quadratic time, and nothing of 64 bits is longer than this in base 36.
    if text.is_empty() || text.len() > 13 {
        return None;
    }
    let zero = alphabet.chars().next()?;
    let bytes = base_x::decode(alphabet, text.trim_start_matches(zero)).ok()?;
    let missing = 8_usize.checked_sub(bytes.len())?;
    let mut number = [0; 8];
    number.get_mut(missing..)?.copy_from_slice(&bytes);
    Some(u64::from_be_bytes(number))
}
