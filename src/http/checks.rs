//! What a request must be before anybody looks at what it asks for: hyper is more lenient than a
//! server at the edge can be.

use hyper::header::{CONTENT_LENGTH, HOST, HeaderValue, TRANSFER_ENCODING};
use hyper::{Request, StatusCode};

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No `Host`, more than one, or one that is no host.
    Host,
    /// The request line names another host than `Host`.
    Authority,
    /// A `Transfer-Encoding` that is not exactly `chunked`, or one beside a `Content-Length`.
    TransferEncoding,
    /// More headers than are allowed.
    TooManyHeaders,
    /// A body where none is allowed.
    Body,
}

impl Refusal {
    /// The status that says so.
    pub fn status(self) -> StatusCode {
        match self {
            Self::Host | Self::Authority | Self::TransferEncoding => StatusCode::BAD_REQUEST,
            Self::TooManyHeaders => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::Body => StatusCode::PAYLOAD_TOO_LARGE,
        }
    }

    /// A sentence for whoever sent the request.
    pub fn explain(self) -> &'static str {
        match self {
            Self::Host => "A request needs exactly one Host header with a valid host name.",
            Self::Authority => "The host in the request line differs from the Host header.",
            Self::TransferEncoding => {
                "The only Transfer-Encoding accepted is 'chunked', and not beside a Content-Length."
            }
            Self::TooManyHeaders => "The request has too many headers.",
            Self::Body => "A request to this address must not have a body.",
        }
    }
}

/// Checks the head of a request; answers its host, as it was written.
pub fn head<B>(request: &Request<B>, most_headers: usize) -> Result<&str, Refusal> {
    let host = valid_host(only_host(request, most_headers)?)?;
    authority(request, host)?;
    framing(request)?;
    Ok(host)
}

/// The one `Host` header of a request that has not too many headers. It may still be no host.
pub fn only_host<B>(request: &Request<B>, most_headers: usize) -> Result<&HeaderValue, Refusal> {
    let headers = request.headers();
    if headers.len() > most_headers {
        return Err(Refusal::TooManyHeaders);
    }
    let mut hosts = headers.get_all(HOST).iter();
    match (hosts.next(), hosts.next()) {
        (Some(host), None) => Ok(host),
        _ => Err(Refusal::Host),
    }
}

/// The text of a `Host` header, if it is a host.
pub fn valid_host(host: &HeaderValue) -> Result<&str, Refusal> {
    let text = host.to_str().map_err(|_not_ascii| Refusal::Host)?;
    if is_host(text) { Ok(text) } else { Err(Refusal::Host) }
}

/// Fails if the request line names another host than the `Host` header.
pub fn authority<B>(request: &Request<B>, host: &str) -> Result<(), Refusal> {
    match request.uri().authority() {
        Some(authority) if !authority.as_str().eq_ignore_ascii_case(host) => {
            Err(Refusal::Authority)
        }
        Some(_) | None => Ok(()),
    }
}

/// Fails if it could be read in two ways where the body of a request ends.
pub fn framing<B>(request: &Request<B>) -> Result<(), Refusal> {
    let headers = request.headers();
    let mut encodings = headers.get_all(TRANSFER_ENCODING).iter();
    if let Some(first) = encodings.next() {
        let chunked = first.as_bytes().eq_ignore_ascii_case(b"chunked");
        if !chunked || encodings.next().is_some() || headers.contains_key(CONTENT_LENGTH) {
            return Err(Refusal::TransferEncoding);
        }
    }
    Ok(())
}

/// Whether a text can be a host with or without a port: a name, an IPv4 address, or an IPv6 address
/// in brackets.
fn is_host(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        Some(rest) => match rest.split_once(']') {
            Some((address, rest)) => {
                let valid = address.parse::<std::net::Ipv6Addr>().is_ok();
                let port = if rest.is_empty() { Some("0") } else { rest.strip_prefix(':') };
                return valid && port.is_some_and(is_port);
            }
            None => return false,
        },
        None => text.split_once(':').unwrap_or((text, "0")),
    };
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    (1..=253).contains(&host.len()) && host.bytes().all(plain) && is_port(port)
}

fn is_port(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) && text.parse::<u16>().is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(uri: &str, headers: &[(&str, &str)]) -> Result<String, Refusal> {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        head(&request.body(()).expect("a request"), 4).map(str::to_owned)
    }

    #[test]
    fn exactly_one_valid_host_is_needed() {
        assert_eq!(check("/x", &[("host", "go.example:80")]), Ok("go.example:80".to_owned()));
        assert_eq!(check("/x", &[("host", "[::1]:8080")]), Ok("[::1]:8080".to_owned()));
        assert_eq!(check("/x", &[("host", "[::1]")]), Ok("[::1]".to_owned()));
        for bad in ["", "a b", "a/b", "a@b", "a:b", "a:99999", "[::1", "[x]:1", "a:", "user@h"] {
            assert_eq!(check("/x", &[("host", bad)]), Err(Refusal::Host), "{bad:?}");
        }
        assert_eq!(check("/x", &[]), Err(Refusal::Host));
        assert_eq!(check("/x", &[("host", "a"), ("host", "a")]), Err(Refusal::Host));
    }

    #[test]
    fn the_request_line_must_agree_with_host() {
        assert!(check("http://a/x", &[("host", "a")]).is_ok());
        assert_eq!(check("http://b/x", &[("host", "a")]), Err(Refusal::Authority));
    }

    #[test]
    fn only_plain_chunked_is_accepted() {
        let with = |te: &[(&str, &str)]| check("/x", &[&[("host", "a")], te].concat());
        assert!(with(&[("transfer-encoding", "chunked")]).is_ok());
        for bad in ["gzip, chunked", "chunked, chunked", "identity", "xchunked", "gzip"] {
            assert_eq!(with(&[("transfer-encoding", bad)]), Err(Refusal::TransferEncoding));
        }
        assert_eq!(
            with(&[("transfer-encoding", "chunked"), ("content-length", "3")]),
            Err(Refusal::TransferEncoding)
        );
    }

    #[test]
    fn too_many_headers_are_refused() {
        let many = [("host", "a"), ("a", "1"), ("b", "1"), ("c", "1"), ("d", "1")];
        assert_eq!(check("/x", &many), Err(Refusal::TooManyHeaders));
    }
}
