//! Why there is no answer, and whether the question may have arrived all the same.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use hyper_util::client::legacy;
use rustls::CertificateError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file of certificate authorities cannot be used.
    #[error(
        "the certificate authorities in {path} ([outbound] ca_file) cannot be used: {reason}; name a \
         PEM file, with a '-----BEGIN CERTIFICATE-----' before each authority"
    )]
    Authorities {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// Nobody can be asked at this URL.
    #[error("the URL cannot be asked: {0}")]
    Address(String),
    /// The host has no address, or there is no connection to it.
    #[error("no connection: {0}")]
    Connect(String),
    /// There is no agreement on TLS, or the certificate is not believed.
    #[error("no TLS connection: {0}")]
    Tls(String),
    /// There was no whole answer in time.
    #[error("{} within {after:?}", if *.connected { "no answer" } else { "no connection" })]
    TimedOut {
        /// How long it was waited for.
        after: Duration,
        /// Whether there was a connection, on which all of the question may have been sent.
        connected: bool,
    },
    /// The connection ended before there was a whole answer, or the answer is not HTTP.
    #[error("the answer broke off: {0}")]
    Broken(String),
    /// The answer has a longer body than is read here.
    #[error("the answer is longer than {limit} bytes")]
    TooLarge {
        /// The most that is read, in bytes.
        limit: usize,
    },
}

impl Error {
    /// Whether the other side surely got nothing of the question, so that asking again cannot do
    /// anything twice. `false` where that is not known.
    pub fn nothing_was_sent(&self) -> bool {
        match self {
            Self::Authorities { .. } | Self::Address(_) | Self::Connect(_) | Self::Tls(_) => true,
            Self::TimedOut { connected, .. } => !connected,
            Self::Broken(_) | Self::TooLarge { .. } => false,
        }
    }
}

type AnyError = dyn std::error::Error + 'static;

/// What went wrong before there was the head of an answer.
pub(super) fn of(error: &legacy::Error) -> Error {
    if !error.is_connect() {
        return Error::Broken(deepest(error));
    }
    match causes(error).find_map(|cause| cause.downcast_ref::<rustls::Error>()) {
        Some(fault) => Error::Tls(in_words(fault)),
        None => Error::Connect(deepest(error)),
    }
}

/// The last cause of an error, which says the most: those before say only what it was a part of.
pub(super) fn deepest(error: &AnyError) -> String {
    causes(error).last().map(ToString::to_string).unwrap_or_default()
}

/// An error and its causes. One that is wrapped in an `io::Error` is no source of it, but all of it.
fn causes(error: &AnyError) -> impl Iterator<Item = &AnyError> {
    std::iter::successors(Some(error), |error| {
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        wrapped.map_or_else(|| error.source(), |inner| -> Option<&AnyError> { Some(inner) })
    })
}

fn in_words(fault: &rustls::Error) -> String {
    let unknown = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
    if *fault == unknown {
        return "the certificate comes from an authority that is not known here: add the \
                authority's to the file in [outbound] ca_file, or have the server send the \
                certificates between its own and the authority's as well"
            .to_owned();
    }
    fault.to_string()
}
