//! The compact form of a link in Redis: at most 64 bytes, so that its bucket stays a listpack.
//!
//! ```text
//! flags  version  dictionary  link  [more]  [cache]  [expires]  [from]  [fallback]  [rules]   target
//! 1      varint   1           varint 1      varint   varint     varint  varint+n    varint+n  the rest
//! ```
//!
//! Rules stand there in their JSON form; a link with rules seldom fits a bucket.
//!
//! A tombstone and an overflow marker are flags and version alone. Integers are little-endian base
//! 128 with the top bit as "more follows". The filling script reads the version too: it stands
//! second in every kind.

use crate::clock::UnixMillis;
use crate::link::{LinkId, Redirect, RedirectStatus};

use super::dictionary::Dictionary;

/// A field longer than this would turn its whole bucket into a hash table.
pub const MAX_FIELD: usize = 64;

/// The longest target or fallback that a link can have.
const MAX_URL: usize = 8_192;

const KIND: u8 = 0b11;
const KIND_LINK: u8 = 0;
const KIND_TOMBSTONE: u8 = 1;
const KIND_OVERFLOW: u8 = 2;
const STATUS_SHIFT: u32 = 2;
const FORWARD_QUERY: u8 = 1 << 4;
const HAS_CACHE: u8 = 1 << 5;
const HAS_EXPIRES: u8 = 1 << 6;
const HAS_MORE: u8 = 1 << 7;
const MORE_FROM: u8 = 1;
const MORE_DISABLED: u8 = 1 << 1;
const MORE_FALLBACK: u8 = 1 << 2;
const MORE_RULES: u8 = 1 << 3;
const MORE_LIMITED: u8 = 1 << 4;
const MORE_PREVIEW: u8 = 1 << 5;
/// A later version of this program may set others, and write what this one would take for the target.
const MORE_KNOWN: u8 =
    MORE_FROM | MORE_DISABLED | MORE_FALLBACK | MORE_RULES | MORE_LIMITED | MORE_PREVIEW;

/// What a field of a bucket says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Field {
    /// The link.
    Link(Redirect),
    /// The link was deleted when it had this version.
    Tombstone {
        /// The last version that the link had.
        version: u64,
    },
    /// The link does not fit and stands under a key of its own.
    Overflow {
        /// The link's version.
        version: u64,
    },
}

/// Why bytes are not a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// Written with a dictionary that this process has not loaded yet.
    #[error("written with dictionary {0}, which is not loaded")]
    Dictionary(u8),
    /// Not written by us, or cut.
    #[error("not a record")]
    Malformed,
}

/// The dictionaries that a reader knows, by number.
pub trait Dictionaries {
    /// The dictionary with this number.
    fn by_id(&self, id: u8) -> Option<&Dictionary>;
}

/// Writes a link in full; `None` if its target is no printable ASCII. The caller decides by the
/// length whether it is a field of a bucket.
pub fn encode(link: &Redirect, dictionary: &Dictionary) -> Option<Vec<u8>> {
    let status = RedirectStatus::ALL.iter().position(|status| *status == link.status)?;
    let mut flags = KIND_LINK | (u8::try_from(status).ok()? << STATUS_SHIFT);
    let mut more = 0;
    let set = |byte: &mut u8, bit: u8, on: bool| *byte |= if on { bit } else { 0 };
    set(&mut flags, FORWARD_QUERY, link.forward_query);
    set(&mut flags, HAS_CACHE, link.cache_seconds.is_some());
    set(&mut flags, HAS_EXPIRES, link.expires_at.is_some());
    set(&mut more, MORE_FROM, link.valid_from.is_some());
    set(&mut more, MORE_DISABLED, link.disabled);
    set(&mut more, MORE_FALLBACK, link.fallback.is_some());
    set(&mut more, MORE_RULES, !link.rules.is_empty());
    set(&mut more, MORE_LIMITED, link.limited);
    set(&mut more, MORE_PREVIEW, link.preview);
    set(&mut flags, HAS_MORE, more != 0);

    let mut bytes = vec![flags];
    put(&mut bytes, link.version);
    bytes.push(dictionary.id());
    put(&mut bytes, u64::try_from(link.link.0).ok()?);
    if more != 0 {
        bytes.push(more);
    }
    let times = [link.expires_at, link.valid_from].map(|at| at.map(|at| at.0));
    for number in std::iter::once(link.cache_seconds.map(u64::from)).chain(times).flatten() {
        put(&mut bytes, number);
    }
    if let Some(fallback) = &link.fallback {
        let packed = dictionary.pack(fallback)?;
        put(&mut bytes, u64::try_from(packed.len()).ok()?);
        bytes.extend(packed);
    }
    if !link.rules.is_empty() {
        let rules = serde_json::to_vec(&link.rules).ok()?;
        put(&mut bytes, u64::try_from(rules.len()).ok()?);
        bytes.extend(rules);
    }
    bytes.extend(dictionary.pack(&link.target)?);
    Some(bytes)
}

/// Writes the mark of a deleted link.
pub fn tombstone(version: u64) -> Vec<u8> {
    let mut bytes = vec![KIND_TOMBSTONE];
    put(&mut bytes, version);
    bytes
}

/// Writes the mark of a link that stands under a key of its own.
pub fn overflow(version: u64) -> Vec<u8> {
    let mut bytes = vec![KIND_OVERFLOW];
    put(&mut bytes, version);
    bytes
}

/// The version of a link that stands in a bucket in full, without reading the rest; `None` for
/// anything else.
pub fn link_version(bytes: &[u8]) -> Option<u64> {
    let mut reader = Reader(bytes);
    let flags = reader.byte().ok()?;
    (flags & KIND == KIND_LINK).then(|| reader.number().ok())?
}

/// Reads a field of a bucket, or the value of an overflow key.
pub fn decode(bytes: &[u8], dictionaries: &impl Dictionaries) -> Result<Field, Unreadable> {
    let mut reader = Reader(bytes);
    let flags = reader.byte()?;
    let version = reader.number()?;
    match flags & KIND {
        KIND_LINK => read_link(flags, version, reader, dictionaries).map(Field::Link),
        KIND_TOMBSTONE if flags == KIND_TOMBSTONE => Ok(Field::Tombstone { version }),
        KIND_OVERFLOW if flags == KIND_OVERFLOW => Ok(Field::Overflow { version }),
        _ => Err(Unreadable::Malformed),
    }
}

fn read_link(
    flags: u8,
    version: u64,
    mut reader: Reader<'_>,
    dictionaries: &impl Dictionaries,
) -> Result<Redirect, Unreadable> {
    let dictionary = reader.byte()?;
    let dictionary = dictionaries.by_id(dictionary).ok_or(Unreadable::Dictionary(dictionary))?;
    let link = i64::try_from(reader.number()?).map_err(|_too_large| Unreadable::Malformed)?;
    let more = if flags & HAS_MORE != 0 { reader.byte()? } else { 0 };
    if more & !MORE_KNOWN != 0 {
        return Err(Unreadable::Malformed);
    }
    let cache = reader.number_if(flags & HAS_CACHE != 0)?;
    let expires_at = reader.number_if(flags & HAS_EXPIRES != 0)?.map(UnixMillis);
    let valid_from = reader.number_if(more & MORE_FROM != 0)?.map(UnixMillis);
    let unpack = |bytes: &[u8]| {
        let text = dictionary.unpack(bytes, MAX_URL).ok_or(Unreadable::Malformed)?;
        Ok(text.into_boxed_str())
    };
    let fallback = match reader.number_if(more & MORE_FALLBACK != 0)? {
        None => None,
        Some(length) => Some(unpack(reader.take(length)?)?),
    };
    let rules = match reader.number_if(more & MORE_RULES != 0)? {
        None => Vec::new(),
        Some(length) => serde_json::from_slice(reader.take(length)?)
            .map_err(|_no_rules| Unreadable::Malformed)?,
    };
    let status = usize::from((flags >> STATUS_SHIFT) & 0b11);
    Ok(Redirect {
        link: LinkId(link),
        version,
        status: RedirectStatus::ALL.get(status).copied().ok_or(Unreadable::Malformed)?,
        cache_seconds: cache
            .map(|seconds| u32::try_from(seconds).map_err(|_too_large| Unreadable::Malformed))
            .transpose()?,
        valid_from,
        expires_at,
        forward_query: flags & FORWARD_QUERY != 0,
        disabled: more & MORE_DISABLED != 0,
        fallback,
        limited: more & MORE_LIMITED != 0,
        preview: more & MORE_PREVIEW != 0,
        rules,
        target: unpack(reader.0)?,
    })
}

fn put(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(u8::try_from(number & 0x7f).expect("seven bits") | 0x80);
        number >>= 7;
    }
    bytes.push(u8::try_from(number).expect("seven bits"));
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn byte(&mut self) -> Result<u8, Unreadable> {
        let (first, rest) = self.0.split_first().ok_or(Unreadable::Malformed)?;
        self.0 = rest;
        Ok(*first)
    }

    fn number(&mut self) -> Result<u64, Unreadable> {
        let mut number = 0;
        for shift in (0..63).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(number);
            }
        }
        // Nine groups are 63 bits: nothing that we write takes more.
        Err(Unreadable::Malformed)
    }

    fn number_if(&mut self, present: bool) -> Result<Option<u64>, Unreadable> {
        present.then(|| self.number()).transpose()
    }

    fn take(&mut self, length: u64) -> Result<&'a [u8], Unreadable> {
        let length = usize::try_from(length).map_err(|_too_large| Unreadable::Malformed)?;
        let (taken, rest) = self.0.split_at_checked(length).ok_or(Unreadable::Malformed)?;
        self.0 = rest;
        Ok(taken)
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use proptest::prelude::*;

    use super::*;
    use crate::link::routing::{DeviceClass, QueryCondition, Rule};
    use crate::visitor::country::Country;

    struct BuiltIn(Dictionary);

    impl Dictionaries for BuiltIn {
        fn by_id(&self, id: u8) -> Option<&Dictionary> {
            (id == 0).then_some(&self.0)
        }
    }

    fn built_in() -> BuiltIn {
        BuiltIn(Dictionary::built_in())
    }

    fn rules() -> impl Strategy<Value = Rule> {
        let conditions = (
            proptest::sample::subsequence(DeviceClass::ALL.to_vec(), 0..4),
            proptest::collection::vec("[a-z]{2}(-[a-z]{2})?", 0..3),
            proptest::collection::vec(("\\PC{1,9}", proptest::option::of("\\PC{0,9}")), 0..3),
            proptest::sample::subsequence(vec!["DE", "AT", "IN"], 0..3),
            proptest::option::of(0..4_000_000_000_000_000_i64),
            proptest::option::of(1..=100_u8),
        );
        (conditions, "https?://[!-~]{1,150}").prop_map(|(it, target)| Rule {
            device: it.0,
            language: it.1,
            query: it.2.into_iter().map(|(name, value)| QueryCondition { name, value }).collect(),
            country: it.3.into_iter().filter_map(Country::parse).collect(),
            after: it.4.and_then(|micros| Timestamp::from_microsecond(micros).ok()),
            before: None,
            percent: it.5,
            target,
        })
    }

    prop_compose! {
        fn redirects()(
            ids in (0..=i64::MAX, 0..(1_u64 << 62)),
            status in 0..4_usize,
            cache_seconds in proptest::option::of(any::<u32>()),
            times in proptest::option::of((0..(1_u64 << 62), 0..(1_u64 << 62))),
            flags in any::<(bool, bool, bool, bool)>(),
            rules in proptest::collection::vec(rules(), 0..4),
            fallback in proptest::option::of("[!-~]{1,60}"),
            target in "https?://[!-~]{1,150}",
        ) -> Redirect {
            Redirect {
                link: LinkId(ids.0),
                version: ids.1,
                status: RedirectStatus::ALL[status],
                cache_seconds,
                valid_from: times.map(|times| UnixMillis(times.0)),
                expires_at: times.map(|times| UnixMillis(times.1)),
                forward_query: flags.0,
                disabled: flags.1,
                limited: flags.2,
                preview: flags.3,
                rules,
                fallback: fallback.map(Into::into),
                target: target.into(),
            }
        }
    }

    proptest! {
        #[test]
        fn a_record_reads_back_as_it_was_written(link in redirects()) {
            let bytes = encode(&link, &built_in().0).expect("printable");
            prop_assert_eq!(link_version(&bytes), Some(link.version));
            prop_assert_eq!(decode(&bytes, &built_in()), Ok(Field::Link(link)));
        }

        #[test]
        fn no_byte_string_makes_the_reader_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..300)
        ) {
            let outcome = decode(&bytes, &built_in());
            prop_assert!(outcome.is_err() || link_version(&bytes).is_none_or(|v| v < 1 << 63));
            prop_assert!(outcome.is_ok() || outcome.is_err());
        }

        #[test]
        fn a_cut_or_bent_record_does_not_panic(
            link in redirects(), cut in any::<prop::sample::Index>(), bent in any::<u8>()
        ) {
            let mut bytes = encode(&link, &built_in().0).expect("printable");
            let at = cut.index(bytes.len());
            bytes[at] ^= bent;
            let bent = decode(&bytes, &built_in());
            bytes.truncate(at);
            let cut = decode(&bytes, &built_in());
            prop_assert!((bent.is_ok() || bent.is_err()) && (cut.is_ok() || cut.is_err()));
        }

        #[test]
        fn the_marks_fit_and_read_back(version in 0..(1_u64 << 62)) {
            prop_assert_eq!(link_version(&tombstone(version)), None);
            prop_assert!(tombstone(version).len() <= 10 && overflow(version).len() <= 10);
            let read = |bytes: &[u8]| decode(bytes, &built_in());
            prop_assert_eq!(read(&tombstone(version)), Ok(Field::Tombstone { version }));
            prop_assert_eq!(read(&overflow(version)), Ok(Field::Overflow { version }));
        }
    }

    #[test]
    fn a_record_with_more_than_this_program_knows_is_not_misread() {
        let mut bytes = vec![KIND_LINK | HAS_MORE];
        put(&mut bytes, 7);
        bytes.push(0);
        put(&mut bytes, 1);
        let more = bytes.len();
        bytes.extend([MORE_LIMITED | MORE_PREVIEW]);
        bytes.extend(built_in().0.pack("https://example.com/").expect("printable"));
        assert!(decode(&bytes, &built_in()).is_ok());
        for unknown in [1 << 6, 1 << 7] {
            bytes[more] |= unknown;
            assert_eq!(decode(&bytes, &built_in()), Err(Unreadable::Malformed));
            bytes[more] &= !unknown;
        }
    }

    #[test]
    fn an_unknown_dictionary_is_told_from_noise() {
        let mut bytes = vec![0];
        put(&mut bytes, 7);
        bytes.push(9);
        assert_eq!(decode(&bytes, &built_in()), Err(Unreadable::Dictionary(9)));
        assert_eq!(decode(&[], &built_in()), Err(Unreadable::Malformed));
    }
}
