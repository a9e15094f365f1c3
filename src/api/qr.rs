//! QR codes of links: `/v1/links/{slug}/qr.svg` and `/v1/links/{slug}/qr.png`.

use hyper::StatusCode;

use super::query::{Query, refuse, wrong};
use super::{Api, Call, Reply};
use crate::http::problem::Problem;
use crate::qr::{self, MARGINS, Options, SIZES, UnknownErrorCorrection};

impl Api {
    pub(super) async fn get_qr_svg(&self, call: &Call) -> Result<Reply, Problem> {
        let (short_url, options) = self.drawing(call).await?;
        Ok(Reply::new(StatusCode::OK, "image/svg+xml", qr::svg(&short_url, &options)?))
    }

    pub(super) async fn get_qr_png(&self, call: &Call) -> Result<Reply, Problem> {
        let (short_url, options) = self.drawing(call).await?;
        Ok(Reply::new(StatusCode::OK, "image/png", qr::png(&short_url, &options)?))
    }

    /// What is to be drawn, and how. A link that is switched off or over has a code, too: what was
    /// printed outlives such changes.
    async fn drawing(&self, call: &Call) -> Result<(String, Options), Problem> {
        let known = ["domain", "size", "margin", "error_correction"];
        let query = Query::parse(call.raw_query(), &known)?;
        let usual = Options::default();
        let error_correction = match query.one("error_correction")? {
            None => usual.error_correction,
            Some(text) => text.parse().map_err(|error: UnknownErrorCorrection| {
                wrong("error_correction", error, text, usual.error_correction)
            })?,
        };
        let options = Options {
            size: query.number("size", SIZES, usual.size)?,
            margin: query.number("margin", MARGINS, usual.margin)?,
            error_correction,
        };
        let link = self.links.get(query.one("domain")?, call.slug()).await?;
        Ok((self.view(link).short_url, options))
    }
}

impl From<qr::Error> for Problem {
    fn from(error: qr::Error) -> Self {
        let parameter = match error {
            qr::Error::TooLong { .. } => "error_correction",
            qr::Error::TooSmall { .. } => "size",
        };
        refuse(format!("'{parameter}' {error}"))
    }
}
