//! Words that no slug may be, because the edge serves something else there, or will.

/// All of them, in lower case. A slug's first path segment is compared without regard to case.
pub const WORDS: [&str; 30] = [
    ".well-known",
    "admin",
    "api",
    "apple-app-site-association",
    "assets",
    "auth",
    "claims",
    "console",
    "docs",
    "favicon.ico",
    "favicon.png",
    "favicon.svg",
    "health",
    "healthz",
    "humans.txt",
    "index.html",
    "livez",
    "login",
    "logout",
    "manifest.json",
    "metrics",
    "openapi.json",
    "r",
    "readyz",
    "robots.txt",
    "security.txt",
    "sitemap.xml",
    "static",
    "v1",
    "v2",
];

/// Whether `slug` begins with a segment that is reserved.
pub fn is_reserved(slug: &str) -> bool {
    let first = slug.split('/').next().unwrap_or(slug);
    WORDS.iter().any(|word| word.eq_ignore_ascii_case(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_words_are_known_in_any_case_and_as_the_first_segment() {
        assert!(is_reserved("API"));
        assert!(is_reserved("r/AbC"));
        assert!(is_reserved("Robots.TXT"));
        assert!(!is_reserved("apis"));
        assert!(!is_reserved("x/api"));
        assert!(!is_reserved(""));
    }
}
