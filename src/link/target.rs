//! Where a link may lead.
//!
//! A target is an absolute URL in its normalised ASCII form, without user name, password or control
//! characters, whose scheme and host the settings allow, and that does not lead back to us.

use std::collections::HashSet;

use url::{Host, Url};

use crate::fault::{Fault, Reason};

/// The longest that a target may be, before and after normalising.
pub const LONGEST: usize = 8_192;

/// What the settings say of targets.
#[derive(Clone, Debug)]
pub struct TargetRules {
    schemes: Vec<String>,
    allowed_hosts: Vec<String>,
    blocked_hosts: Vec<String>,
    own_host: String,
    own_port: Option<u16>,
    own_is_loopback: bool,
}

impl TargetRules {
    /// The rules for a service that people reach at `public_url`. Hosts stand for their subdomains
    /// too; no allowed hosts at all allow every host.
    pub fn new(
        schemes: &[String],
        allowed_hosts: &[String],
        blocked_hosts: &[String],
        public_url: &Url,
    ) -> Self {
        let hosts = |list: &[String]| list.iter().map(|host| normal_host(host)).collect();
        Self {
            schemes: schemes.iter().map(|scheme| scheme.to_ascii_lowercase()).collect(),
            allowed_hosts: hosts(allowed_hosts),
            blocked_hosts: hosts(blocked_hosts),
            own_host: host_of(public_url),
            own_port: public_url.port_or_known_default(),
            own_is_loopback: is_loopback(&host_of(public_url)),
        }
    }

    /// The normalised form of `text`, or the first thing that is wrong with it. `own_hosts` are the
    /// hosts of our domains besides the default one.
    pub fn judge(
        &self,
        pointer: &str,
        text: &str,
        own_hosts: &HashSet<&str>,
    ) -> Result<String, Fault> {
        let fault = |reason, detail: String| Fault::new(pointer, reason, detail);
        if text.is_empty() {
            return Err(fault(Reason::Empty, "give an absolute URL".to_owned()));
        }
        if text.len() > LONGEST {
            return Err(too_long(pointer, text.len()));
        }
        // The parser drops tabs and line breaks without a word: what is stored would not be what was sent.
        if let Some(at) = text.chars().position(char::is_control) {
            let detail = format!("character {} is a control character; remove it", at + 1);
            return Err(fault(Reason::ControlCharacter, detail));
        }
        let url = Url::parse(text).map_err(|error| {
            let detail = format!("{error}; give an absolute URL like https://example.com/page");
            fault(Reason::NotAUrl, detail)
        })?;
        if !self.schemes.iter().any(|scheme| scheme == url.scheme()) {
            let detail = format!(
                "the scheme '{}' is not allowed; allowed are: {}",
                url.scheme(),
                self.schemes.join(", ")
            );
            return Err(fault(Reason::SchemeNotAllowed, detail));
        }
        if !url.username().is_empty() || url.password().is_some() {
            let detail = "a URL with a user name or password would show them to everybody; \
                          leave them out";
            return Err(fault(Reason::UserinfoNotAllowed, detail.to_owned()));
        }
        self.judge_host(pointer, &url, own_hosts)?;
        let normalised = String::from(url);
        if normalised.len() > LONGEST {
            return Err(too_long(pointer, normalised.len()));
        }
        if !normalised.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic()) {
            let detail =
                "has characters that cannot stand in a Location header; percent-encode them";
            return Err(fault(Reason::BadCharacter, detail.to_owned()));
        }
        Ok(normalised)
    }

    fn judge_host(&self, pointer: &str, url: &Url, own_hosts: &HashSet<&str>) -> Result<(), Fault> {
        let fault = |reason, detail: String| Err(Fault::new(pointer, reason, detail));
        let host = host_of(url);
        let port = url.port_or_known_default();
        let is_default = host == self.own_host || (self.own_is_loopback && is_loopback(&host));
        if matches!(url.scheme(), "http" | "https")
            && (own_hosts.contains(host.as_str()) || (is_default && same_port(port, self.own_port)))
        {
            let detail = format!("'{host}' is this service: the link would lead back to us");
            return fault(Reason::Loop, detail);
        }
        if self.blocked_hosts.iter().any(|blocked| is_within(&host, blocked)) {
            return fault(Reason::HostBlocked, format!("the host '{host}' is blocked"));
        }
        if !self.allowed_hosts.is_empty()
            && !self.allowed_hosts.iter().any(|allowed| is_within(&host, allowed))
        {
            let allowed = self.allowed_hosts.join(", ");
            let detail = format!("the host '{host}' is not allowed; allowed are: {allowed}");
            return fault(Reason::HostNotAllowed, detail);
        }
        Ok(())
    }
}

/// The host of a URL, in one spelling: an IPv4 address in IPv6's clothes is an IPv4 address.
fn host_of(url: &Url) -> String {
    match url.host() {
        Some(Host::Ipv6(address)) => match address.to_ipv4_mapped() {
            Some(address) => address.to_string(),
            None => format!("[{address}]"),
        },
        Some(Host::Domain(_) | Host::Ipv4(_)) | None => {
            url.host_str().map(without_dot).unwrap_or_default()
        }
    }
}

/// Whether a host is the machine itself, by any of its names.
fn is_loopback(host: &str) -> bool {
    match Host::parse(host) {
        Ok(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Ok(Host::Ipv4(address)) => address.is_loopback() || address.is_unspecified(),
        Ok(Host::Ipv6(address)) => address.is_loopback() || address.is_unspecified(),
        Err(_) => false,
    }
}

fn too_long(pointer: &str, length: usize) -> Fault {
    let detail = format!("has {length} bytes; at most {LONGEST} are allowed");
    Fault::new(pointer, Reason::TooLong, detail)
}

/// Whether two ports are the same place: the web's two default ports lead to one site.
fn same_port(one: Option<u16>, other: Option<u16>) -> bool {
    let is_web = |port| matches!(port, Some(80 | 443));
    one == other || (is_web(one) && is_web(other))
}

/// Whether `host` is `domain` or stands under it.
fn is_within(host: &str, domain: &str) -> bool {
    host.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
}

/// A host in the form that URLs have it: lower case, ASCII, without the root's dot.
pub fn normal_host(host: &str) -> String {
    match Host::parse(host) {
        Ok(parsed) => without_dot(&parsed.to_string()),
        Err(_) => without_dot(&host.to_ascii_lowercase()),
    }
}

fn without_dot(host: &str) -> String {
    host.strip_suffix('.').unwrap_or(host).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(allowed: &[&str], blocked: &[&str]) -> TargetRules {
        let owned = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        TargetRules::new(
            &owned(&["http", "https"]),
            &owned(allowed),
            &owned(blocked),
            &Url::parse("https://go.example/").expect("a URL"),
        )
    }

    fn judge(rules: &TargetRules, text: &str) -> Result<String, Reason> {
        rules
            .judge("/target", text, &HashSet::from(["links.example"]))
            .map_err(|fault| fault.reason)
    }

    #[test]
    fn a_target_is_stored_in_its_normal_form() {
        let rules = rules(&[], &[]);
        assert_eq!(judge(&rules, "HTTPS://Example.COM"), Ok("https://example.com/".to_owned()));
        assert_eq!(
            judge(&rules, "http://bücher.example:80/ä?q=ö#ü"),
            Ok("http://xn--bcher-kva.example/%C3%A4?q=%C3%B6#%C3%BC".to_owned())
        );
    }

    #[test]
    fn what_a_link_must_not_lead_to_is_refused() {
        let rules = rules(&[], &["bad.example"]);
        let long = format!("https://example.com/{}", "a".repeat(LONGEST));
        let grows = format!("https://example.com/{}", "ä".repeat(3_000));
        for (text, reason) in [
            ("", Reason::Empty),
            ("/relative", Reason::NotAUrl),
            ("https://", Reason::NotAUrl),
            ("javascript:alert(1)", Reason::SchemeNotAllowed),
            ("JavaScript:alert(1)", Reason::SchemeNotAllowed),
            ("java\nscript:alert(1)", Reason::ControlCharacter),
            ("https://example.com/\t", Reason::ControlCharacter),
            ("https://example.com/\u{7f}", Reason::ControlCharacter),
            ("https://user@example.com/", Reason::UserinfoNotAllowed),
            ("https://user:secret@example.com/", Reason::UserinfoNotAllowed),
            ("https://go.example/x", Reason::Loop),
            ("http://GO.example./x", Reason::Loop),
            ("https://links.example:444/x", Reason::Loop),
            ("https://a.bad.example/", Reason::HostBlocked),
            (&long, Reason::TooLong),
            (&grows, Reason::TooLong),
        ] {
            assert_eq!(judge(&rules, text), Err(reason), "{text}");
        }
        assert!(judge(&rules, "https://notbad.example/").is_ok());
        assert!(judge(&rules, "https://go.example:8443/").is_ok());
    }

    #[test]
    fn this_machine_is_known_by_all_its_names() {
        let url = Url::parse("http://127.0.0.1:8080/").expect("a URL");
        let schemes = ["http".to_owned(), "https".to_owned()];
        let rules = TargetRules::new(&schemes, &[], &["10.0.0.1".to_owned()], &url);
        for host in [
            "127.0.0.1",
            "127.0.0.1.",
            "2130706433",
            "0x7f.1",
            "0177.0.0.1",
            "%31%32%37.0.0.1",
            "127.0.0.2",
            "0.0.0.0",
            "LOCALHOST",
            "localhost.",
            "a.localhost",
            "[::1]",
            "[::]",
            "[::ffff:127.0.0.1]",
            "[::ffff:7f00:1]",
        ] {
            let text = format!("http://{host}:8080/hello");
            assert_eq!(judge(&rules, &text), Err(Reason::Loop), "{text}");
            let elsewhere = format!("http://{host}:3000/hello");
            assert!(judge(&rules, &elsewhere).is_ok(), "{elsewhere}");
        }
        assert!(judge(&rules, "http://localhost.example:8080/").is_ok());
        assert_eq!(judge(&rules, "http://[::ffff:10.0.0.1]/"), Err(Reason::HostBlocked));
    }

    #[test]
    fn allowed_hosts_stand_for_their_subdomains_and_for_nothing_else() {
        let rules = rules(&["Example.com"], &["secret.example.com"]);
        assert!(judge(&rules, "https://example.com/").is_ok());
        assert!(judge(&rules, "https://www.example.com/").is_ok());
        assert_eq!(judge(&rules, "https://badexample.com/"), Err(Reason::HostNotAllowed));
        assert_eq!(judge(&rules, "https://secret.example.com/"), Err(Reason::HostBlocked));
    }
}
