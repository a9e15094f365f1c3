//! What an `Accept-Language` says (RFC 9110, section 12.5.4).

/// Whether the visitor likes a language best: of all that the header names, no other has a higher
/// weight. `language` is a language range in lower case, `de` or `pt-br`; `de` is any German.
pub fn likes_best(accept_language: &[u8], language: &str) -> bool {
    let _ = (accept_language, language);
    false
}
