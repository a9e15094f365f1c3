//! Values in a campaign's document: each is judged while it is read, so that the message knows its
//! place.

use std::fmt;
use std::sync::LazyLock;

use jiff::Timestamp;
use jiff::civil::{Date, Time};
use jiff::fmt::temporal::Pieces;
use jiff::tz::{Offset, TimeZone, TimeZoneDatabase};
use serde::de::{Deserialize, Deserializer, Error as _, Visitor};

/// A moment, with the offset in which it was written: people think of its date there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    at: Timestamp,
    offset: Offset,
}

impl Moment {
    /// The moment.
    pub fn at(self) -> Timestamp {
        self.at
    }

    /// The last day that lies before this moment, where it was written: midnight ends the day before.
    pub fn last_day(self) -> Date {
        let before = self.at.checked_sub(jiff::SignedDuration::from_secs(1)).unwrap_or(self.at);
        self.offset.to_datetime(before).date()
    }

    /// The day of this moment, where it was written.
    pub fn day(self) -> Date {
        self.offset.to_datetime(self.at).date()
    }

    fn parse(text: &str) -> Option<Self> {
        let pieces = Pieces::parse(text).ok()?;
        let offset = pieces.to_numeric_offset()?;
        Some(Self { at: text.parse().ok()?, offset })
    }
}

impl fmt::Display for Moment {
    /// With the offset in which it was written.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.at.display_with_offset(self.offset).fmt(f)
    }
}

impl<'de> Deserialize<'de> for Moment {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = text(from, "a moment, with date, time and offset")?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "'{}' is not a moment; write date, time and offset, like 2027-03-01T00:00:00+07:00",
                shortened(&text)
            ))
        })
    }
}

/// A currency, by the three letters of ISO 4217.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Currency([u8; 3]);

impl Currency {
    /// Reads three capital letters.
    pub fn parse(text: &str) -> Option<Self> {
        let letters: [u8; 3] = text.as_bytes().try_into().ok()?;
        letters.iter().all(u8::is_ascii_uppercase).then_some(Self(letters))
    }

    /// The three letters.
    pub fn code(&self) -> &str {
        std::str::from_utf8(&self.0).expect("capital letters")
    }
}

impl<'de> Deserialize<'de> for Currency {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = text(from, "a text, like \"IDR\"")?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "'{}' is no currency; write the three capital letters of ISO 4217, like IDR",
                shortened(&text)
            ))
        })
    }
}

/// A colour.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Color {
    red: u8,
    green: u8,
    blue: u8,
}

impl Color {
    /// Reads `#0a7d5a`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.strip_prefix('#')?;
        if digits.len() != 6 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let [_, red, green, blue] = u32::from_str_radix(digits, 16).ok()?.to_be_bytes();
        Some(Self { red, green, blue })
    }

    /// How bright it looks, from 0 for black to 1 for white: the relative luminance of WCAG 2.2.
    pub fn luminance(self) -> f64 {
        let linear = |part: u8| {
            let part = f64::from(part) / 255.0;
            if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        };
        0.2126 * linear(self.red) + 0.7152 * linear(self.green) + 0.0722 * linear(self.blue)
    }

    /// How well it stands out from white, from 1 to 21: the contrast ratio of WCAG 2.2.
    pub fn contrast_with_white(self) -> f64 {
        1.05 / (self.luminance() + 0.05)
    }
}

impl Default for Color {
    /// Waypost's own orange.
    fn default() -> Self {
        Self { red: 0xb8, green: 0x48, blue: 0x1a }
    }
}

impl fmt::Display for Color {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "#{:02x}{:02x}{:02x}", self.red, self.green, self.blue)
    }
}

impl<'de> Deserialize<'de> for Color {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = text(from, "a text, like \"#0a7d5a\"")?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!("'{}' is no colour; write it like #0a7d5a", shortened(&text)))
        })
    }
}

/// A time of day, to the minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TimeOfDay(Time);

impl TimeOfDay {
    /// The time.
    pub fn time(self) -> Time {
        self.0
    }

    /// Reads `21:00`.
    pub fn parse(text: &str) -> Option<Self> {
        let (hour, minute) = text.split_once(':')?;
        let number = |digits: &str| {
            let is_plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
            if is_plain { digits.parse::<i8>().ok() } else { None }
        };
        Time::new(number(hour)?, number(minute)?, 0, 0).ok().map(Self)
    }
}

impl<'de> Deserialize<'de> for TimeOfDay {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = text(from, "a time of day in quotes, like \"21:00\"")?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "'{}' is no time of day; write hours and minutes, from 00:00 to 23:59",
                shortened(&text)
            ))
        })
    }
}

/// A time zone by its name in the database of the IANA, such as `Asia/Jakarta`. The database is a part of
/// the program: every process judges by the same one, also on a machine that has none.
#[derive(Clone, Debug, PartialEq)]
pub struct Zone(TimeZone);

impl Zone {
    /// The zone.
    pub fn time_zone(&self) -> &TimeZone {
        &self.0
    }

    /// The zone of this name.
    pub fn parse(name: &str) -> Option<Self> {
        static BUNDLED: LazyLock<TimeZoneDatabase> = LazyLock::new(TimeZoneDatabase::bundled);
        BUNDLED.get(name).ok().map(Self)
    }
}

impl<'de> Deserialize<'de> for Zone {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = text(from, "the name of a time zone, like \"Asia/Jakarta\"")?;
        Self::parse(&text).ok_or_else(|| {
            D::Error::custom(format!(
                "'{}' is no time zone; write its name in the IANA's database, like Asia/Jakarta",
                shortened(&text)
            ))
        })
    }
}

/// A text that is to be read as something; what it should be is told where there is none.
fn text<'de, D: Deserializer<'de>>(from: D, wanted: &'static str) -> Result<String, D::Error> {
    struct Text(&'static str);

    impl Visitor<'_> for Text {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
    }

    from.deserialize_str(Text(wanted))
}

/// What a message repeats of a text.
fn shortened(text: &str) -> String {
    text.chars().take(60).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn midnight_ends_the_day_before_where_it_was_written() {
        for (text, last_day, day) in [
            ("2027-01-01T00:00:00+07:00", "2026-12-31", "2027-01-01"),
            ("2027-01-01T00:00:00Z", "2026-12-31", "2027-01-01"),
            ("2027-01-01T12:00:00-03:00", "2027-01-01", "2027-01-01"),
            ("2026-12-31T23:59:59+07:00", "2026-12-31", "2026-12-31"),
        ] {
            let moment = Moment::parse(text).expect("a moment");
            assert_eq!(moment.last_day().to_string(), last_day, "{text}");
            assert_eq!(moment.day().to_string(), day, "{text}");
        }
        for text in ["2027-01-01", "2027-01-01T00:00:00", "tomorrow", ""] {
            assert_eq!(Moment::parse(text), None, "{text}");
        }
    }

    #[test]
    fn colours_read_back_and_have_a_contrast() {
        let color = Color::parse("#0A7d5a").expect("a colour");
        assert_eq!(color.to_string(), "#0a7d5a");
        assert!(
            (Color::parse("#000000").expect("black").contrast_with_white() - 21.0).abs() < 0.01
        );
        assert!((Color::parse("#ffffff").expect("white").contrast_with_white() - 1.0).abs() < 0.01);
        for text in ["0a7d5a", "#0a7d5", "#0a7d5aa", "#gggggg", "#0a7d5ä", "red"] {
            assert_eq!(Color::parse(text), None, "{text}");
        }
    }

    #[test]
    fn times_of_day_and_zones_are_read_strictly() {
        for (text, hour, minute) in [("00:00", 0, 0), ("21:30", 21, 30), ("23:59", 23, 59)] {
            let time = TimeOfDay::parse(text).expect("a time").time();
            assert_eq!((time.hour(), time.minute()), (hour, minute), "{text}");
        }
        for text in ["24:00", "9:00", "09:60", "09:00:00", "0900", "+9:00", "", "٠٩:٠٠"] {
            assert_eq!(TimeOfDay::parse(text), None, "{text}");
        }
        let at: Timestamp = "2027-01-01T00:00:00Z".parse().expect("a moment");
        let zone = Zone::parse("Asia/Jakarta").expect("a zone");
        assert_eq!(at.to_zoned(zone.time_zone().clone()).offset().to_string(), "+07");
        for text in ["Asia/Atlantis", "+07:00", "", "/etc/localtime"] {
            assert_eq!(Zone::parse(text), None, "{text}");
        }
    }
}
