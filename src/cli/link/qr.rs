//! `waypost link qr`

use std::io::IsTerminal;
use std::path::PathBuf;

use clap::Args;
use clap::builder::{PathBufValueParser, TypedValueParser};

use super::Place;
use crate::cli::{Error, say};
use crate::qr::{self, ErrorCorrection, MARGINS, Options, SIZES};

/// Draw a link's short URL as a QR code.
#[derive(Debug, Args)]
pub(crate) struct Qr {
    #[command(flatten)]
    pub(super) place: Place,
    /// Width and height of the picture; for --output only
    #[arg(
        long, value_name = "PIXELS", requires = "output",
        default_value_t = Options::default().size,
        value_parser = clap::value_parser!(u16)
            .range(i64::from(*SIZES.start())..=i64::from(*SIZES.end())),
    )]
    size: u16,
    /// Width of the quiet zone around the code
    #[arg(
        long, value_name = "MODULES",
        default_value_t = Options::default().margin,
        value_parser = clap::value_parser!(u8)
            .range(i64::from(*MARGINS.start())..=i64::from(*MARGINS.end())),
    )]
    margin: u8,
    /// How much of the code may be lost: L, M, Q or H for about 7, 15, 25 or 30 per cent
    #[arg(long, value_name = "LETTER", default_value_t = Options::default().error_correction)]
    error_correction: ErrorCorrection,
    /// Write a picture, FILE.svg or FILE.png, instead of drawing in the terminal
    #[arg(
        long, short, value_name = "FILE",
        value_parser = PathBufValueParser::new().try_map(Picture::at),
    )]
    output: Option<Picture>,
}

/// A file to be written.
#[derive(Clone, Debug)]
struct Picture {
    path: PathBuf,
    format: Format,
}

/// What a picture consists of.
#[derive(Clone, Copy, Debug)]
enum Format {
    Svg,
    Png,
}

impl Picture {
    /// The format is the one that the file's name ends with.
    fn at(path: PathBuf) -> Result<Self, &'static str> {
        let is = |ending: &str| path.extension().is_some_and(|it| it.eq_ignore_ascii_case(ending));
        let format = if is("svg") {
            Format::Svg
        } else if is("png") {
            Format::Png
        } else {
            return Err("the name must end in .svg or .png");
        };
        Ok(Self { path, format })
    }
}

impl Qr {
    /// Draws this URL.
    pub(super) fn draw(&self, short_url: &str) -> Result<(), Error> {
        match &self.output {
            Some(picture) => self.write(short_url, picture),
            None => self.show(short_url),
        }
    }

    fn write(&self, short_url: &str, picture: &Picture) -> Result<(), Error> {
        let options = Options {
            size: self.size,
            margin: self.margin,
            error_correction: self.error_correction,
        };
        let content = match picture.format {
            Format::Svg => qr::svg(short_url, &options)?.into_bytes(),
            Format::Png => qr::png(short_url, &options)?,
        };
        let path = picture.path.display();
        std::fs::write(&picture.path, content)
            .map_err(|error| Error::Message(format!("{path} cannot be written: {error}")))?;
        say(&format!("wrote {path}"))
    }

    /// Draws in the terminal: black on white, whatever its colours are. Elsewhere nobody knows the
    /// colours' codes, and the ground is taken to be light.
    fn show(&self, short_url: &str) -> Result<(), Error> {
        let coloured = std::io::stdout().is_terminal();
        for line in qr::lines(short_url, self.margin, self.error_correction)? {
            if coloured {
                // Numbers 16 and 231 are not among the colours that people change.
                say(&format!("\x1b[38;5;16;48;5;231m{line}\x1b[0m"))?;
            } else {
                say(&line)?;
            }
        }
        say(short_url)
    }
}

impl From<qr::Error> for Error {
    fn from(error: qr::Error) -> Self {
        let option = match error {
            qr::Error::TooLong { .. } => "--error-correction",
            qr::Error::TooSmall { .. } => "--size",
        };
        Self::Message(format!("{option} {error}"))
    }
}
