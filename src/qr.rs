//! QR codes (ISO/IEC 18004) of texts: as SVG, as PNG, or as lines for a terminal.
//!
//! A *module* is one square of a code, dark or light. Around the code there is a *quiet zone*, the
//! margin, in which nothing may be drawn. Here nothing is known of links: a text goes in, a picture
//! comes out.

use std::fmt::{self, Display, Write};
use std::iter::repeat_n;
use std::ops::RangeInclusive;
use std::str::FromStr;

use fast_qr::qr::{QRBuilder, QRCodeError};
use fast_qr::{ECL, Module};

/// How large pictures may be, in pixels a side. The drawing functions rely on their callers for it.
pub const SIZES: RangeInclusive<u16> = 64..=2_048;
/// How wide the quiet zone may be, in modules.
pub const MARGINS: RangeInclusive<u8> = 0..=16;

/// How a picture is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Width and height in pixels; one of [`SIZES`].
    pub size: u16,
    /// The width of the quiet zone in modules; one of [`MARGINS`]. The standard wants four.
    pub margin: u8,
    /// How much of the code may be lost.
    pub error_correction: ErrorCorrection,
}

impl Default for Options {
    fn default() -> Self {
        Self { size: 512, margin: 4, error_correction: ErrorCorrection::Medium }
    }
}

/// How much of a code may be dirty or hidden while it can still be read. More needs more modules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorCorrection {
    /// `L`: about 7 %.
    Low,
    /// `M`: about 15 %.
    Medium,
    /// `Q`: about 25 %.
    Quartile,
    /// `H`: about 30 %.
    High,
}

impl ErrorCorrection {
    /// All of them, the weakest first.
    pub const ALL: [Self; 4] = [Self::Low, Self::Medium, Self::Quartile, Self::High];

    /// The standard's letter for it.
    pub fn letter(self) -> &'static str {
        match self {
            Self::Low => "L",
            Self::Medium => "M",
            Self::Quartile => "Q",
            Self::High => "H",
        }
    }

    fn level(self) -> ECL {
        match self {
            Self::Low => ECL::L,
            Self::Medium => ECL::M,
            Self::Quartile => ECL::Q,
            Self::High => ECL::H,
        }
    }
}

impl Display for ErrorCorrection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.letter())
    }
}

impl FromStr for ErrorCorrection {
    type Err = UnknownErrorCorrection;

    /// Reads the standard's letter, large or small.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let found = Self::ALL.into_iter().find(|it| it.letter().eq_ignore_ascii_case(text));
        found.ok_or(UnknownErrorCorrection)
    }
}

/// The text is the letter of no error correction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be L, M, Q or H")]
pub struct UnknownErrorCorrection;

/// Why there is no picture. The texts go on after the name of the option at fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// No code holds the text with this error correction.
    #[error("is too high for a text of {length} bytes; choose a lower one, or a shorter text")]
    TooLong {
        /// The length of the text in bytes.
        length: usize,
    },
    /// There would be less than a pixel for each module.
    #[error(
        "must be at least {least} for this code, not {size}: a module needs a pixel; or choose a \
         smaller margin or a lower error correction"
    )]
    TooSmall {
        /// What was asked for, in pixels.
        size: u16,
        /// What the code and its quiet zone need, in pixels.
        least: usize,
    },
}

/// Draws `text` as an SVG document whose units are modules. Its title is the text.
pub fn svg(text: &str, options: &Options) -> Result<String, Error> {
    let grid = Grid::new(text, options.margin, options.error_correction)?;
    // SVG has no pixels of its own, but what is shown in `size` of them should be readable.
    grid.pixels_of_a_module(options.size)?;
    let (size, modules, title) = (options.size, grid.side(), escaped(text));
    let mut path = String::new();
    for (line, row) in grid.rows.iter().enumerate() {
        let mut column = 0;
        for run in row.chunk_by(|one, other| one == other) {
            let length = run.len();
            if run.first() == Some(&true) {
                write!(path, "M{column} {line}h{length}v1h-{length}z")
                    .expect("a string takes all that is written");
            }
            column += length;
        }
    }
    Ok(format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{size}\" height=\"{size}\" \
         viewBox=\"0 0 {modules} {modules}\" shape-rendering=\"crispEdges\"><title>{title}</title>\
         <rect width=\"{modules}\" height=\"{modules}\" fill=\"#fff\"/><path d=\"{path}\"/></svg>\n"
    ))
}

/// Draws `text` as a PNG file with one bit a pixel. A module has whole pixels, as many as fit; what
/// is left of the size is added to the quiet zone.
pub fn png(text: &str, options: &Options) -> Result<Vec<u8>, Error> {
    let grid = Grid::new(text, options.margin, options.error_correction)?;
    let pixels = grid.pixels_of_a_module(options.size)?;
    let size = usize::from(options.size);
    let before = (size - pixels * grid.side()) / 2;
    let line_bytes = size.div_ceil(8);
    let mut picture = vec![LIGHT_BYTE; before * line_bytes];
    for row in &grid.rows {
        let line = packed(row, pixels, before, line_bytes);
        picture.extend(repeat_n(line, pixels).flatten());
    }
    picture.resize(size * line_bytes, LIGHT_BYTE);

    let mut file = Vec::new();
    let width = u32::from(options.size);
    let mut encoder = png::Encoder::new(&mut file, width, width);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    encoder
        .write_header()
        .and_then(|mut writer| {
            writer.write_image_data(&picture)?;
            writer.finish()
        })
        .expect("memory takes all that is written, and the picture has the size that was named");
    Ok(file)
}

/// Draws `text` as lines of half blocks, two modules above each other in one character. They are
/// right where letters are dark and the ground is light.
pub fn lines(
    text: &str,
    margin: u8,
    error_correction: ErrorCorrection,
) -> Result<Vec<String>, Error> {
    let mut rows = Grid::new(text, margin, error_correction)?.rows;
    // A code has an odd number of rows; one light row more makes pairs of them.
    rows.push(vec![false; rows.len()]);
    let (pairs, _) = rows.as_chunks();
    let block = |(top, bottom): (&bool, &bool)| match (top, bottom) {
        (true, true) => '█',
        (true, false) => '▀',
        (false, true) => '▄',
        (false, false) => ' ',
    };
    Ok(pairs.iter().map(|[top, bottom]| top.iter().zip(bottom).map(block).collect()).collect())
}

/// Eight light pixels; a dark pixel is a zero.
const LIGHT_BYTE: u8 = 0xFF;

/// One line of pixels, eight to a byte: `before` light ones, then `pixels` for each module.
fn packed(row: &[bool], pixels: usize, before: usize, line_bytes: usize) -> Vec<u8> {
    let modules = row.iter().flat_map(|dark| repeat_n(*dark, pixels));
    let mut line: Vec<bool> = repeat_n(false, before).chain(modules).collect();
    line.resize(line_bytes * 8, false);
    let byte = |bits: &[bool]| bits.iter().fold(0, |byte, dark| byte << 1 | u8::from(!dark));
    line.chunks(8).map(byte).collect()
}

/// A code and its quiet zone: rows of modules, `true` for a dark one, as many as each is long.
struct Grid {
    rows: Vec<Vec<bool>>,
}

impl Grid {
    fn new(text: &str, margin: u8, error_correction: ErrorCorrection) -> Result<Self, Error> {
        let code = QRBuilder::new(text).ecl(error_correction.level()).build();
        let code = code.map_err(|error| match error {
            QRCodeError::EncodedData | QRCodeError::SpecifiedVersion => {
                Error::TooLong { length: text.len() }
            }
        })?;
        let margin = usize::from(margin);
        let side = code.size + 2 * margin;
        let light = vec![false; side];
        let mut rows = vec![light.clone(); margin];
        for modules in code.data.chunks(code.size).take(code.size) {
            let mut row = vec![false; margin];
            row.extend(modules.iter().copied().map(Module::value));
            row.resize(side, false);
            rows.push(row);
        }
        rows.resize(side, light);
        Ok(Self { rows })
    }

    /// How many modules it is wide and high.
    fn side(&self) -> usize {
        self.rows.len()
    }

    /// How many whole pixels a module has in a picture of `size` pixels: at least one.
    fn pixels_of_a_module(&self, size: u16) -> Result<usize, Error> {
        match usize::from(size) / self.side() {
            0 => Err(Error::TooSmall { size, least: self.side() }),
            pixels => Ok(pixels),
        }
    }
}

/// `text` as XML can hold it between tags.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            // XML has no way at all to write these.
            '\u{FFFE}' | '\u{FFFF}' => escaped.push(char::REPLACEMENT_CHARACTER),
            other if other.is_control() => escaped.push(char::REPLACEMENT_CHARACTER),
            other => escaped.push(other),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the modules of drawn lines again.
    fn decoded(lines: &[String]) -> (rqrr::MetaData, String) {
        let halves: Vec<Vec<char>> = lines.iter().map(|line| line.chars().collect()).collect();
        let is_dark = |x: usize, y: usize| {
            let shown = if y.is_multiple_of(2) { ['█', '▀'] } else { ['█', '▄'] };
            shown.contains(&halves[y / 2][x])
        };
        let side = halves.first().expect("a line").len();
        rqrr::Grid::new(rqrr::SimpleGrid::from_func(side, is_dark)).decode().expect("readable")
    }

    #[test]
    fn texts_of_all_lengths_are_read_back_with_every_error_correction() {
        let text = "https://go.example/?~".repeat(145);
        // The longest that the largest code holds, by the standard's table 7.
        for (error_correction, longest, level) in [
            (ErrorCorrection::Low, 2_953, 1),
            (ErrorCorrection::Medium, 2_331, 0),
            (ErrorCorrection::Quartile, 1_663, 3),
            (ErrorCorrection::High, 1_273, 2),
        ] {
            for length in (1..128).step_by(3).chain((128..longest).step_by(311)).chain([longest]) {
                let text = text.get(..length).expect("ASCII");
                let lines = lines(text, 0, error_correction).expect("it fits");
                let (about, read) = decoded(&lines);
                assert_eq!((read.as_str(), about.ecc_level), (text, level), "{error_correction}");
            }
            let long = text.get(..=longest).expect("ASCII");
            let refusal = lines(long, 0, error_correction);
            assert_eq!(refusal, Err(Error::TooLong { length: longest + 1 }));
        }
    }

    #[test]
    fn lines_have_the_quiet_zone_on_each_side() {
        let drawn = lines("A", 3, ErrorCorrection::Medium).expect("it fits");
        // 21 modules and twice three; the last line has one row and a light one more.
        assert_eq!(drawn.len(), 14);
        assert!(drawn.iter().all(|line| line.chars().count() == 27));
        assert_eq!(drawn[0], " ".repeat(27));
        assert!(drawn[1].starts_with("   ▄▄▄▄▄▄▄ "), "{drawn:#?}");
        assert!(drawn[2].starts_with("   █ ▄▄▄ █ "), "{drawn:#?}");
        assert_eq!(drawn[12], " ".repeat(27));
    }

    #[test]
    fn a_size_needs_a_pixel_for_each_module() {
        let text = "a".repeat(200);
        let options = |size, margin| Options { size, margin, ..Options::default() };
        // 200 bytes need version 10 with M: 57 modules.
        let refusal = Error::TooSmall { size: 64, least: 65 };
        assert_eq!(png(&text, &options(64, 4)), Err(refusal));
        assert_eq!(svg(&text, &options(64, 4)), Err(refusal));
        for (size, margin) in [(65, 4), (64, 3)] {
            assert!(png(&text, &options(size, margin)).is_ok());
            assert!(svg(&text, &options(size, margin)).is_ok());
        }
    }

    #[test]
    fn a_title_is_valid_xml_whatever_the_text() {
        let drawn = svg("<a href=\"?b&c\">\u{0}ä\u{FFFF}</a>", &Options::default());
        let title = "<title>&lt;a href=\"?b&amp;c\"&gt;\u{FFFD}ä\u{FFFD}&lt;/a&gt;</title>";
        assert!(drawn.as_ref().is_ok_and(|it| it.contains(title)), "{drawn:?}");
    }

    #[test]
    fn letters_name_error_corrections() {
        for it in ErrorCorrection::ALL {
            assert_eq!(it.to_string().parse(), Ok(it));
            assert_eq!(it.letter().to_lowercase().parse(), Ok(it));
        }
        for bad in ["", "X", "LM", "low", "15"] {
            assert_eq!(bad.parse::<ErrorCorrection>(), Err(UnknownErrorCorrection), "{bad}");
        }
    }
}
