//! The style and the script of all pages. Each file has a hash of its content in its name, so that
//! browsers keep it for good.

use bytes::Bytes;
use http_body_util::Full;
use hyper::Response;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue, X_CONTENT_TYPE_OPTIONS};
use sha2::{Digest, Sha256};

use super::ROOT;
use crate::code::base62;

const STYLE: &str = include_str!("console.css");
const SCRIPT: &str = include_str!("console.js");

/// A file.
#[derive(Debug)]
pub(super) struct Asset {
    path: String,
    content_type: &'static str,
    text: &'static str,
}

impl Asset {
    fn new(extension: &str, content_type: &'static str, text: &'static str) -> Self {
        let digest = Sha256::digest(text.as_bytes());
        let digest = base62(digest.get(..8).unwrap_or_default(), 11);
        Self { path: format!("{ROOT}/assets/console.{digest}.{extension}"), content_type, text }
    }

    /// The file.
    pub(super) fn answer(&self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(Bytes::from_static(self.text.as_bytes())));
        for (name, value) in [
            (CONTENT_TYPE, self.content_type),
            (CACHE_CONTROL, "public, max-age=31536000, immutable"),
            (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }
}

/// Both files.
#[derive(Debug)]
pub(super) struct Assets {
    style: Asset,
    script: Asset,
}

impl Assets {
    /// The files of this program.
    pub(super) fn new() -> Self {
        Self {
            style: Asset::new("css", "text/css; charset=utf-8", STYLE),
            script: Asset::new("js", "text/javascript; charset=utf-8", SCRIPT),
        }
    }

    /// Where the style is.
    pub(super) fn style_path(&self) -> &str {
        &self.style.path
    }

    /// Where the script is.
    pub(super) fn script_path(&self) -> &str {
        &self.script.path
    }

    /// The file at this path.
    pub(super) fn find(&self, path: &str) -> Option<&Asset> {
        [&self.style, &self.script].into_iter().find(|asset| asset.path == path)
    }
}
