//! Who is signed in, and whether a form is ours. A session is known by a random id in a cookie that
//! scripts cannot read and other sites cannot send; only its hash is stored.

use std::time::Duration;

use hmac::{Hmac, KeyInit, Mac};
use hyper::HeaderMap;
use hyper::header::{COOKIE, HOST, HeaderName, HeaderValue, ORIGIN};
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::{Arrival, Console, ROOT};
use crate::api::callers;
use crate::clock::UnixMillis;
use crate::code::base62;
use crate::http::auth::Caller;
use crate::http::problem::Problem;
use crate::store::console;

/// How long a session lasts at most.
pub(super) const LIFE: Duration = Duration::from_hours(8);
/// How long it may be left alone.
pub(super) const IDLE: Duration = Duration::from_hours(1);
/// How often it is noted at most that somebody is there.
const NOTED: Duration = Duration::from_mins(1);

/// The cookie of a session that came by HTTPS: browsers take it from this host alone.
const SECURE_COOKIE: &str = "__Host-waypost";
/// The cookie of any other.
const PLAIN_COOKIE: &str = "waypost_console";

/// Where browsers say who made them send a request.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const X_FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// 256 bits in base 62.
const ID_LENGTH: usize = 43;

/// The id of a session, which is its secret. It does not show itself by accident.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct SessionId(String);

/// A session that holds.
#[derive(Clone, Debug)]
pub(super) struct Session {
    /// Its id.
    pub(super) id: SessionId,
    /// Who signed in.
    pub(super) caller: Caller,
}

impl SessionId {
    /// One that nobody can guess.
    pub(super) fn random() -> Self {
        Self(base62(&rand::random::<[u8; 32]>(), ID_LENGTH))
    }

    fn parse(text: &str) -> Option<Self> {
        let plain = text.len() == ID_LENGTH && text.bytes().all(|it| it.is_ascii_alphanumeric());
        plain.then(|| Self(text.to_owned()))
    }

    /// What is stored of it.
    pub(super) fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.0.as_bytes()).into()
    }

    /// What the forms of this session carry. The id does not follow from it.
    pub(super) fn token(&self) -> String {
        let keyed = Hmac::<Sha256>::new_from_slice(self.0.as_bytes());
        let keyed = keyed.expect("HMAC takes keys of any length");
        let sum = keyed.chain_update(b"a form of the console").finalize().into_bytes();
        base62(&sum, ID_LENGTH)
    }

    /// Whether a form carries this session's token, in a time that does not depend on the answer.
    pub(super) fn is_token(&self, given: &str) -> bool {
        self.token().as_bytes().ct_eq(given.as_bytes()).into()
    }

    /// The header that gives it to the browser.
    pub(super) fn cookie(&self, secure: bool) -> HeaderValue {
        let seconds = LIFE.as_secs();
        set_cookie(secure, &format!("{}; Max-Age={seconds}", self.0))
    }
}

impl std::fmt::Debug for SessionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionId(hidden)")
    }
}

/// The header that takes the id away from the browser.
pub(super) fn no_cookie(secure: bool) -> HeaderValue {
    set_cookie(secure, "; Max-Age=0")
}

fn set_cookie(secure: bool, value: &str) -> HeaderValue {
    let (name, rest) = if secure {
        (SECURE_COOKIE, "; Path=/; Secure".to_owned())
    } else {
        (PLAIN_COOKIE, format!("; Path={ROOT}"))
    };
    let text = format!("{name}={value}{rest}; HttpOnly; SameSite=Strict");
    HeaderValue::try_from(text).expect("letters, digits and punctuation")
}

/// Whether the request came by HTTPS, which only a proxy that is trusted may say.
pub(super) fn is_secure(headers: &HeaderMap, by_trusted_proxy: bool) -> bool {
    let mut said = headers.get_all(X_FORWARDED_PROTO).iter();
    let is_https = said.next().is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"https"));
    by_trusted_proxy && is_https && said.next().is_none()
}

/// The id in the cookie, of which there must be exactly one.
pub(super) fn from_cookie(headers: &HeaderMap, secure: bool) -> Option<SessionId> {
    let name = if secure { SECURE_COOKIE } else { PLAIN_COOKIE };
    let lines = headers.get_all(COOKIE).iter().filter_map(|line| line.to_str().ok());
    let pairs = lines.flat_map(|line| line.split(';')).filter_map(|pair| pair.split_once('='));
    let mut ours = pairs.filter(|(known, _)| known.trim() == name).map(|(_, value)| value.trim());
    let first = ours.next()?;
    if ours.next().is_some() {
        return None;
    }
    SessionId::parse(first)
}

/// Fails unless a page of this host sent the form; says what to do about it.
pub(super) fn check_origin(headers: &HeaderMap, secure: bool) -> Result<(), &'static str> {
    const FOREIGN: &str = "The form was sent by a page of another site, and nothing was changed. \
                           Open the console in a window of its own, and send the form there.";
    const UNKNOWN: &str = "The browser does not say from which page the form comes, and nothing was \
                           changed. Use a browser that sends the header Origin; for programs there is \
                           the API.";
    let text = |name: HeaderName| match headers.get(name) {
        None => Ok(None),
        Some(value) => value.to_str().map(Some).map_err(|_no_text| FOREIGN),
    };
    let (site, origin, host) = (text(SEC_FETCH_SITE)?, text(ORIGIN)?, text(HOST)?);
    if site.is_none() && origin.is_none() {
        return Err(UNKNOWN);
    }
    let same_site = site.is_none_or(|site| site == "same-origin");
    let same_origin = origin.is_none_or(|origin| {
        // A proxy that is not trusted may have taken HTTPS off.
        let plain = origin.strip_prefix("http://").filter(|_| !secure);
        let authority = origin.strip_prefix("https://").or(plain);
        authority.zip(host).is_some_and(|(one, other)| one.eq_ignore_ascii_case(other))
    });
    if same_site && same_origin { Ok(()) } else { Err(FOREIGN) }
}

/// Who was not seen since then has left, at this moment.
pub(super) fn idle_since(now: UnixMillis) -> Timestamp {
    now.before(IDLE).into()
}

impl Console {
    /// The session of a request, if it has one that holds.
    pub(super) async fn session(&self, arrival: &Arrival) -> Result<Option<Session>, Problem> {
        let Some(id) = &arrival.cookie else { return Ok(None) };
        let (now, hash) = (self.clock.now(), id.hash());
        let moments = (now.into(), idle_since(now));
        let Some(stored) = console::find(&self.store, &hash, moments).await? else {
            return Ok(None);
        };
        if now.since(stored.last_seen_at.into()) >= NOTED {
            console::seen(&self.store, &hash, now.into()).await?;
        }
        let scopes = callers::scopes(&stored.scopes);
        let caller = Caller { key_id: stored.key_id, actor: stored.actor, scopes };
        Ok(Some(Session { id: id.clone(), caller }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    type Lines<'a> = &'a [(&'a str, &'a str)];

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            let value = HeaderValue::from_str(value).expect("a value");
            headers.append(HeaderName::from_static(name), value);
        }
        headers
    }

    #[test]
    fn a_form_is_ours_if_a_page_of_this_host_sent_it() {
        let cases: &[(Lines<'_>, bool, bool)] = &[
            (&[("origin", "http://a.example:81")], false, true),
            (&[("origin", "https://a.example:81")], false, true),
            (&[("origin", "https://a.example:81")], true, true),
            (&[("origin", "http://a.example:81")], true, false),
            (&[("origin", "http://A.example:81")], false, true),
            (&[("origin", "http://a.example")], false, false),
            (&[("origin", "http://b.example:81")], false, false),
            (&[("origin", "http://a.example:81.b.example")], false, false),
            (&[("origin", "null")], false, false),
            (&[("origin", "")], false, false),
            (&[("sec-fetch-site", "same-origin")], false, true),
            (&[("sec-fetch-site", "same-site")], false, false),
            (&[("sec-fetch-site", "cross-site")], false, false),
            (&[("sec-fetch-site", "none")], false, false),
            (&[("origin", "http://a.example:81"), ("sec-fetch-site", "cross-site")], false, false),
            (&[("origin", "http://b.example"), ("sec-fetch-site", "same-origin")], false, false),
            (&[], false, false),
        ];
        for (given, secure, ours) in cases {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("a.example:81"));
            for (name, value) in *given {
                let name = HeaderName::from_bytes(name.as_bytes()).expect("a name");
                headers.insert(name, HeaderValue::from_str(value).expect("a value"));
            }
            assert_eq!(check_origin(&headers, *secure).is_ok(), *ours, "{given:?} {secure}");
        }
    }

    #[test]
    fn one_cookie_of_the_right_name_is_a_session() {
        let id = SessionId::random();
        let line = |name: &str| format!("a=b; {name}={}; c=d", id.0);
        let read = |line: &str, secure| from_cookie(&headers(&[("cookie", line)]), secure);
        assert_eq!(read(&line(PLAIN_COOKIE), false), Some(id.clone()));
        assert_eq!(read(&line(SECURE_COOKIE), true), Some(id.clone()));
        assert_eq!(read(&line(PLAIN_COOKIE), true), None);
        assert_eq!(read(&line(SECURE_COOKIE), false), None);
        let twice = format!("{0}; {0}", line(PLAIN_COOKIE));
        assert_eq!(read(&twice, false), None);
        assert_eq!(read("waypost_console=short", false), None);
        assert_eq!(read("", false), None);
    }

    #[test]
    fn cookies_are_out_of_reach_of_scripts_and_of_other_sites() {
        let id = SessionId("x".repeat(ID_LENGTH));
        let text = |value: HeaderValue| value.to_str().expect("text").replace(&id.0, "ID");
        insta::assert_snapshot!(text(id.cookie(true)), @"__Host-waypost=ID; Max-Age=28800; Path=/; Secure; HttpOnly; SameSite=Strict");
        insta::assert_snapshot!(text(id.cookie(false)), @"waypost_console=ID; Max-Age=28800; Path=/console; HttpOnly; SameSite=Strict");
        insta::assert_snapshot!(text(no_cookie(false)), @"waypost_console=; Max-Age=0; Path=/console; HttpOnly; SameSite=Strict");
    }

    #[test]
    fn only_a_trusted_proxy_says_that_it_was_https() {
        let https = headers(&[("x-forwarded-proto", "https")]);
        assert!(is_secure(&https, true));
        assert!(!is_secure(&https, false));
        assert!(!is_secure(&headers(&[("x-forwarded-proto", "http")]), true));
        let both = headers(&[("x-forwarded-proto", "https"), ("x-forwarded-proto", "http")]);
        assert!(!is_secure(&both, true));
        assert!(!is_secure(&headers(&[]), true));
    }

    #[test]
    fn each_session_has_a_token_of_its_own() {
        let (one, other) = (SessionId::random(), SessionId::random());
        assert!(one.is_token(&one.token()));
        assert!(!one.is_token(&other.token()));
        assert!(!one.is_token(""));
        assert!(!one.token().contains(&one.0));
        assert!(!format!("{one:?}").contains(&one.0));
    }
}
