//! Styles and the script of landing pages. Each file has a hash of its content in its name, so that
//! browsers and caches keep it for good, and is compressed once.

use std::io::Write;
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{
    ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, HeaderMap, HeaderValue, VARY,
    X_CONTENT_TYPE_OPTIONS,
};
use sha2::{Digest, Sha256};

use crate::campaign::Color;
use crate::code;
use crate::edge::redirect::Answer;
use crate::visitor::language::ranges;

/// Where the files are, below the root of each domain.
pub const FOLDER: &str = "/r/assets/";

/// So many styles are kept besides Waypost's own: one for each colour that a campaign had while the
/// process lives, at about 10 KB.
const MOST_STYLES: usize = 256;

const STYLE: &str = include_str!("landing.css");
const SCRIPT: &str = include_str!("landing.js");

/// How a file is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Coding {
    Brotli,
    Gzip,
    Identity,
}

/// A file.
#[derive(Debug)]
pub struct Asset {
    /// Without the folder, as in `landing.0aB….css`.
    name: String,
    content_type: HeaderValue,
    plain: Bytes,
    gzip: Bytes,
    brotli: Bytes,
}

impl Asset {
    fn new(extension: &str, content_type: &'static str, text: String) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        let digest = digest.get(..8).unwrap_or_default();
        Self {
            name: format!("landing.{}.{extension}", code::base62(digest, 11)),
            content_type: HeaderValue::from_static(content_type),
            gzip: gzip(text.as_bytes()),
            brotli: brotli(text.as_bytes()),
            plain: Bytes::from(text),
        }
    }

    fn style(accent: Color) -> Self {
        let text = format!(":root{{--accent:{accent}}}{}", squeezed_style(STYLE));
        Self::new("css", "text/css; charset=utf-8", text)
    }

    fn script() -> Self {
        Self::new("js", "text/javascript; charset=utf-8", squeezed(SCRIPT))
    }

    /// Where it is, below the root of each domain.
    pub fn path(&self) -> String {
        format!("{FOLDER}{}", self.name)
    }

    /// The file, compressed as the caller likes it.
    pub fn answer(&self, headers: &HeaderMap) -> Answer {
        let accepted = headers.get(ACCEPT_ENCODING).map_or(&b""[..], HeaderValue::as_bytes);
        let coding = accepted_coding(accepted);
        let body = match coding {
            Coding::Brotli => &self.brotli,
            Coding::Gzip => &self.gzip,
            Coding::Identity => &self.plain,
        };
        let mut response = Response::new(Full::new(body.clone()));
        let set = response.headers_mut();
        set.insert(CONTENT_TYPE, self.content_type.clone());
        let named = match coding {
            Coding::Brotli => Some("br"),
            Coding::Gzip => Some("gzip"),
            Coding::Identity => None,
        };
        if let Some(name) = named {
            set.insert(CONTENT_ENCODING, HeaderValue::from_static(name));
        }
        for (name, value) in [
            (CACHE_CONTROL, "public, max-age=31536000, immutable"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
            (VARY, "Accept-Encoding"),
        ] {
            set.insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// The files that pages of this process have named. A file stays when the campaign that named it has
/// another colour: somebody may have the page still open.
#[derive(Debug)]
pub struct Assets {
    script: Arc<Asset>,
    /// In Waypost's own colour.
    usual_style: Arc<Asset>,
    /// In colours of campaigns, the oldest first.
    styles: RwLock<Vec<Arc<Asset>>>,
}

impl Assets {
    /// The script, and the style in Waypost's own colour.
    pub fn new() -> Self {
        Self {
            script: Arc::new(Asset::script()),
            usual_style: Arc::new(Asset::style(Color::default())),
            styles: RwLock::default(),
        }
    }

    /// The script of all pages.
    pub fn script(&self) -> &Arc<Asset> {
        &self.script
    }

    /// The style with this accent, which is found from now on.
    pub fn style(&self, accent: Color) -> Arc<Asset> {
        if accent == Color::default() {
            return Arc::clone(&self.usual_style);
        }
        let made = Arc::new(Asset::style(accent));
        let mut styles = self.styles.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = styles.iter().find(|known| known.name == made.name) {
            return Arc::clone(known);
        }
        if styles.len() == MOST_STYLES {
            styles.remove(0);
        }
        styles.push(Arc::clone(&made));
        made
    }

    /// What stands in for a file that this process does not have: another process named it, with other
    /// styles or for a campaign that is news here. Whoever gets it must not keep it.
    pub fn instead(&self, name: &str) -> Option<&Asset> {
        let (_, extension) = name.strip_prefix("landing.")?.rsplit_once('.')?;
        match extension {
            "css" => Some(&self.usual_style),
            "js" => Some(&self.script),
            _ => None,
        }
    }

    /// The file with this name, without the folder.
    pub fn find(&self, name: &str) -> Option<Arc<Asset>> {
        let is_it = |asset: &&Arc<Asset>| asset.name == name;
        let own = [&self.script, &self.usual_style].into_iter().find(is_it).map(Arc::clone);
        own.or_else(|| {
            let styles = self.styles.read().unwrap_or_else(PoisonError::into_inner);
            styles.iter().find(is_it).map(Arc::clone)
        })
    }
}

impl Default for Assets {
    fn default() -> Self {
        Self::new()
    }
}

/// A style or script without its indentation, its empty lines and its comments, which all have lines
/// of their own.
fn squeezed(text: &str) -> String {
    let lines = text.lines().map(str::trim);
    let is_comment = |line: &str| line.starts_with("/*") || line.starts_with("//");
    let kept: Vec<&str> = lines.filter(|line| !line.is_empty() && !is_comment(line)).collect();
    kept.join("\n")
}

/// A style without the spaces and line breaks that mean nothing. It has no text in which they would.
fn squeezed_style(text: &str) -> String {
    let mut text = squeezed(text).replace('\n', " ");
    for sign in ["{", "}", ";", ",", "/"] {
        text = text.replace(&format!("{sign} "), sign).replace(&format!(" {sign}"), sign);
    }
    text.replace(": ", ":").replace(";}", "}")
}

fn gzip(text: &[u8]) -> Bytes {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    let written = encoder.write_all(text).and_then(|()| encoder.finish());
    Bytes::from(written.expect("memory takes what is written"))
}

fn brotli(text: &[u8]) -> Bytes {
    let parameters = brotli::enc::BrotliEncoderParams {
        quality: 11,
        size_hint: text.len(),
        mode: brotli::enc::backward_references::BrotliEncoderMode::BROTLI_MODE_TEXT,
        ..Default::default()
    };
    let mut compressed = Vec::new();
    let mut rest = text;
    let written = brotli::BrotliCompress(&mut rest, &mut compressed, &parameters);
    written.expect("memory takes what is written");
    Bytes::from(compressed)
}

/// What an `Accept-Encoding` likes best of what there is (RFC 9110, section 12.5.3); Brotli of equals,
/// which is the smallest.
fn accepted_coding(accept_encoding: &[u8]) -> Coding {
    let weight = |name: &[u8]| {
        let named = |(range, _): &(&[u8], u16)| range.eq_ignore_ascii_case(name);
        ranges(accept_encoding).find(named).map(|(_, weight)| weight)
    };
    let any = weight(b"*").unwrap_or(0);
    let brotli = weight(b"br").unwrap_or(any);
    let gzip = weight(b"gzip").or_else(|| weight(b"x-gzip")).unwrap_or(any);
    // What is not named is welcome, but compressed is better.
    let identity = weight(b"identity").unwrap_or(0);
    if brotli > 0 && brotli >= gzip && brotli >= identity {
        Coding::Brotli
    } else if gzip > 0 && gzip >= identity {
        Coding::Gzip
    } else {
        Coding::Identity
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;

    use super::*;

    #[test]
    fn the_smallest_coding_that_is_accepted_is_taken() {
        for (header, expected) in [
            ("gzip, deflate, br, zstd", Coding::Brotli),
            ("gzip, deflate", Coding::Gzip),
            ("br;q=0.5, gzip;q=0.9", Coding::Gzip),
            ("br;q=0.9, gzip;q=0.9", Coding::Brotli),
            ("br;q=0, gzip", Coding::Gzip),
            ("br;q=0, gzip;q=0", Coding::Identity),
            ("BR", Coding::Brotli),
            ("x-gzip", Coding::Gzip),
            ("*", Coding::Brotli),
            ("*;q=0.1, br;q=0", Coding::Gzip),
            ("identity, br;q=0.5", Coding::Identity),
            ("identity;q=0.5, br;q=0.5", Coding::Brotli),
            ("identity;q=0", Coding::Identity),
            ("bread, gzipped", Coding::Identity),
            ("", Coding::Identity),
        ] {
            assert_eq!(accepted_coding(header.as_bytes()), expected, "{header}");
        }
    }

    #[test]
    fn files_are_the_same_in_all_codings() {
        let assets = Assets::new();
        for asset in [Arc::clone(assets.script()), assets.style(Color::default())] {
            let mut gzip = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(&*asset.gzip);
            decoder.read_to_end(&mut gzip).expect("gzip");
            assert_eq!(asset.plain, gzip);
            let mut brotli = Vec::new();
            let mut compressed = &*asset.brotli;
            brotli::BrotliDecompress(&mut compressed, &mut brotli).expect("Brotli");
            assert_eq!(asset.plain, brotli);
            assert!(asset.brotli.len() < asset.gzip.len());
            assert!(asset.gzip.len() < asset.plain.len());
        }
    }

    #[test]
    fn files_are_small() {
        let assets = Assets::new();
        let (style, script) = (assets.style(Color::default()), assets.script());
        assert!(style.plain.len() < 6 * 1024, "the style has {} bytes", style.plain.len());
        assert!(style.brotli.len() < 2 * 1024, "{} bytes by Brotli", style.brotli.len());
        assert!(script.plain.len() < 1024, "the script has {} bytes", script.plain.len());
    }

    #[test]
    fn each_colour_has_a_file_that_stays() {
        let assets = Assets::new();
        let color = |text| Color::parse(text).expect("a colour");
        let green = assets.style(color("#0b6e4f"));
        let blue = assets.style(color("#123a8c"));
        assert_ne!(green.name, blue.name);
        assert_eq!(assets.style(color("#0b6e4f")).name, green.name);
        assert!(std::str::from_utf8(&green.plain).expect("text").contains("#0b6e4f"));
        for asset in [&green, &blue, assets.script(), &assets.style(Color::default())] {
            assert_eq!(asset.path(), format!("/r/assets/{}", asset.name));
            let found = assets.find(&asset.name).expect("found by its name");
            assert_eq!(found.plain, asset.plain);
        }
        assert!(assets.find("landing.css").is_none());
    }

    #[test]
    fn the_number_of_files_has_a_bound() {
        let assets = Assets::new();
        let color = |number| Color::parse(&format!("#0000{number:02x}")).expect("a colour");
        let first = assets.style(color(0));
        for number in 1..MOST_STYLES {
            // The files themselves do not matter here, and compressing takes a while.
            let asset =
                Asset { name: number.to_string(), ..Asset::new("css", "text/css", String::new()) };
            assets.styles.write().expect("unharmed").push(Arc::new(asset));
        }
        assert!(assets.find(&first.name).is_some());
        assets.style(color(1));
        assert_eq!(assets.styles.read().expect("unharmed").len(), MOST_STYLES);
        assert!(assets.find(&first.name).is_none());
    }

    #[test]
    fn files_are_kept_for_good_and_told_apart_by_coding() {
        let assets = Assets::new();
        let mut headers = HeaderMap::new();
        for (accepted, coding) in [("br", Some("br")), ("gzip", Some("gzip")), ("", None)] {
            headers.insert(ACCEPT_ENCODING, accepted.parse().expect("a value"));
            for (asset, kind) in [
                (Arc::clone(assets.script()), "text/javascript; charset=utf-8"),
                (assets.style(Color::default()), "text/css; charset=utf-8"),
            ] {
                let answer = asset.answer(&headers);
                let header = |name| answer.headers().get(name).map(|it| it.to_str().expect("text"));
                assert_eq!(header("content-encoding"), coding);
                assert_eq!(header("content-type"), Some(kind));
                assert_eq!(header("cache-control"), Some("public, max-age=31536000, immutable"));
                assert_eq!(header("vary"), Some("Accept-Encoding"));
                assert_eq!(header("x-content-type-options"), Some("nosniff"));
            }
        }
    }
}
