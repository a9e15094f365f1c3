//! Pictures of pages, for people to look at and for tests to measure.

use std::fs;
use std::path::Path;

/// Where pictures go.
const DIRECTORY: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/../screenshots");

/// A picture, in dots of the screen.
pub struct Picture {
    /// Dots in a line.
    pub width: u32,
    /// Lines.
    pub height: u32,
    /// Red, green and blue of the dot at the top left: what is behind the page.
    pub corner: [u8; 3],
    /// The PNG file. Most tests need no more of it than the corner, and reading all of it takes a while.
    file: Vec<u8>,
}

impl Picture {
    /// What the QR codes in it say, found as a camera finds them.
    pub fn qr_codes(&self) -> Vec<String> {
        let mut reader = read(&self.file);
        let size = reader.output_buffer_size().expect("a picture that fits into memory");
        let mut dots = vec![0; size];
        let info = reader.next_frame(&mut dots).expect("a whole picture");
        let is_dark = |dot: &[u8]| dot.iter().take(3).all(|colour| *colour < 128);
        let dark: Vec<bool> = dots.chunks(info.color_type.samples()).map(is_dark).collect();
        let size = |side: u32| usize::try_from(side).expect("a size in memory");
        let (width, height) = (size(info.width), size(info.height));
        let is_dark = |x: usize, y: usize| *dark.get(y * width + x).expect("a dot");
        let mut image = rqrr::PreparedImage::prepare_from_bitmap(width, height, is_dark);
        let grids = image.detect_grids();
        grids.iter().map(|grid| grid.decode().expect("a code without a fault").1).collect()
    }
}

/// Writes a PNG file that came in Base64, and looks at its beginning.
pub fn keep(name: &str, base64: &str) -> Picture {
    let bytes = decode(base64);
    fs::create_dir_all(DIRECTORY).expect("a directory for pictures");
    let path = Path::new(DIRECTORY).join(name).with_extension("png");
    fs::write(path, &bytes).expect("a picture written");
    let mut reader = read(&bytes);
    let (width, height) = (reader.info().width, reader.info().height);
    let line = reader.next_row().expect("a line").expect("a first line");
    let corner = line.data().first_chunk().copied().expect("a dot of three colours");
    Picture { width, height, corner, file: bytes }
}

fn read(file: &[u8]) -> png::Reader<std::io::Cursor<&[u8]>> {
    png::Decoder::new(std::io::Cursor::new(file)).read_info().expect("a PNG")
}

/// Four letters stand for three bytes; `=` fills the last four up.
fn decode(base64: &str) -> Vec<u8> {
    let letters = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let value = |letter: u8| (0..).zip(letters).find(|(_, it)| **it == letter).expect("Base64").0;
    let mut bytes = Vec::with_capacity(base64.len() / 4 * 3);
    for four in base64.trim_end_matches('=').as_bytes().chunks(4) {
        let letters = four.iter().map(|letter| value(*letter)).chain([0; 3]);
        let bits = letters.take(4).fold(0_u32, |bits, six| bits << 6 | six);
        let [_, three @ ..] = bits.to_be_bytes();
        bytes.extend(three.into_iter().take(four.len() - 1));
    }
    bytes
}
