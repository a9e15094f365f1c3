//! Refusals, as problem details (RFC 9457), with the types of the payment protocol. Whether trying
//! again makes sense is said by the status: `docs/payment-protocol.md` has the table.

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Response, StatusCode};
use serde_json::json;

/// Every kind of refusal. The names are part of the protocol: they never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A header is wrong.
    InvalidHeader,
    /// The `Idempotency-Key` is missing, or no operation id.
    InvalidKey,
    /// A part of the path or the query is wrong.
    InvalidQuery,
    /// The body cannot be read, or is not JSON.
    MalformedBody,
    /// There is nothing here.
    NotFound,
    /// No operation with this id was applied.
    UnknownOperation,
    /// There is something here, but not with this method.
    MethodNotAllowed,
    /// The operation id belongs to another request.
    OperationDiffers,
    /// The body is too large.
    BodyTooLarge,
    /// The body says that it is something else than JSON.
    UnsupportedMediaType,
    /// A field of the body is wrong.
    InvalidBody,
    /// The service does not know who should get something.
    BeneficiaryUnknown,
    /// The service does not work with this currency.
    CurrencyNotSupported,
    /// The amount is not one that the service decides on or moves.
    AmountOutOfRange,
    /// Something went wrong in the service, and nobody knows how far it came.
    Internal,
    /// The service cannot work just now; nothing was applied.
    Unavailable,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 16] = [
        Self::InvalidHeader,
        Self::InvalidKey,
        Self::InvalidQuery,
        Self::MalformedBody,
        Self::NotFound,
        Self::UnknownOperation,
        Self::MethodNotAllowed,
        Self::OperationDiffers,
        Self::BodyTooLarge,
        Self::UnsupportedMediaType,
        Self::InvalidBody,
        Self::BeneficiaryUnknown,
        Self::CurrencyNotSupported,
        Self::AmountOutOfRange,
        Self::Internal,
        Self::Unavailable,
    ];

    fn words(self) -> (&'static str, StatusCode, &'static str) {
        let unprocessable = StatusCode::UNPROCESSABLE_ENTITY;
        match self {
            Self::InvalidHeader => ("invalid-header", StatusCode::BAD_REQUEST, "A header is wrong"),
            Self::InvalidKey => {
                ("invalid-key", StatusCode::BAD_REQUEST, "The Idempotency-Key is wrong")
            }
            Self::InvalidQuery => {
                ("invalid-query", StatusCode::BAD_REQUEST, "The address is wrong")
            }
            Self::MalformedBody => {
                ("malformed-body", StatusCode::BAD_REQUEST, "The body cannot be read")
            }
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "There is nothing here"),
            Self::UnknownOperation => {
                ("unknown-operation", StatusCode::NOT_FOUND, "The operation is not known")
            }
            Self::MethodNotAllowed => (
                "method-not-allowed",
                StatusCode::METHOD_NOT_ALLOWED,
                "The method does not work here",
            ),
            Self::OperationDiffers => {
                ("operation-differs", StatusCode::CONFLICT, "The operation was told differently")
            }
            Self::BodyTooLarge => {
                ("body-too-large", StatusCode::PAYLOAD_TOO_LARGE, "The body is too large")
            }
            Self::UnsupportedMediaType => (
                "unsupported-media-type",
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "The body must be of another type",
            ),
            Self::InvalidBody => ("invalid-body", unprocessable, "A field of the body is wrong"),
            Self::BeneficiaryUnknown => {
                ("beneficiary-unknown", unprocessable, "The beneficiary is not known")
            }
            Self::CurrencyNotSupported => {
                ("currency-not-supported", unprocessable, "The currency is not supported")
            }
            Self::AmountOutOfRange => {
                ("amount-out-of-range", unprocessable, "The amount is out of range")
            }
            Self::Internal => {
                ("internal", StatusCode::INTERNAL_SERVER_ERROR, "Something went wrong")
            }
            Self::Unavailable => {
                ("unavailable", StatusCode::SERVICE_UNAVAILABLE, "Not available just now")
            }
        }
    }

    /// Its name, the end of its `type`.
    pub fn name(self) -> &'static str {
        self.words().0
    }

    /// The status that it is answered with.
    pub fn status(self) -> StatusCode {
        self.words().1
    }
}

/// A refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    kind: Kind,
    detail: String,
    /// The field of the body, as a JSON pointer.
    pointer: Option<String>,
    /// The methods that do work.
    allow: Option<&'static str>,
}

impl Refusal {
    /// A refusal of this kind; `detail` says what is wrong and what would be right.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), pointer: None, allow: None }
    }

    /// A refusal for a field of the body.
    pub fn of_field(kind: Kind, field: &str, detail: impl Into<String>) -> Self {
        let pointer = if field.is_empty() { String::new() } else { format!("/{field}") };
        Self { pointer: Some(pointer), ..Self::new(kind, detail) }
    }

    /// A method that does not work here.
    pub fn method_not_allowed(allow: &'static str) -> Self {
        let detail = format!("use {allow}");
        Self { allow: Some(allow), ..Self::new(Kind::MethodNotAllowed, detail) }
    }

    /// Its kind.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The answer.
    pub fn response(&self) -> Response<Full<Bytes>> {
        let (name, status, title) = self.kind.words();
        let detail = match &self.pointer {
            Some(pointer) => format!("{pointer} {}", self.detail).trim_start().to_owned(),
            None => self.detail.clone(),
        };
        let mut body = json!({
            "type": format!("urn:waypost:payment:{name}"),
            "title": title,
            "status": status.as_u16(),
            "detail": detail,
        });
        if let (Some(pointer), Some(fields)) = (&self.pointer, body.as_object_mut()) {
            fields.insert("pointer".to_owned(), json!(pointer));
        }
        let mut response = Response::new(Full::new(Bytes::from(body.to_string())));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if self.kind == Kind::Unavailable {
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(allow));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_protocol_explains_every_kind_with_its_status() {
        let page = include_str!("../../docs/payment-protocol.md");
        for kind in Kind::ALL {
            let row = format!("| `{}` | {} |", kind.name(), kind.status().as_u16());
            assert!(page.contains(&row), "docs/payment-protocol.md lacks {row}");
        }
    }
}
