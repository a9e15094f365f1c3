//! What `waypost dev` shows once everything runs.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::Path;

use super::demo::{FIRST, ROUTED};

/// The screen.
pub(super) struct Screen<'a> {
    pub(super) edge: SocketAddr,
    pub(super) control: SocketAddr,
    pub(super) api_key: &'a str,
    /// What somebody shares in the demo campaign, if it runs.
    pub(super) invitation: Option<&'a str>,
    /// Where the payment service is, and whether it is the sandbox.
    pub(super) payments: (&'a str, bool),
    /// Where the data is.
    pub(super) data: &'a Path,
    /// Where `dev.json` is.
    pub(super) file: &'a Path,
    /// What is not as usual.
    pub(super) notes: &'a [String],
}

/// The address to open for a listener: one that listens everywhere is reached through the loopback.
pub(super) fn reachable(listen: SocketAddr) -> SocketAddr {
    let loopback: IpAddr = match listen.ip() {
        IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
    };
    let ip = if listen.ip().is_unspecified() { loopback } else { listen.ip() };
    SocketAddr::new(ip, listen.port())
}

impl fmt::Display for Screen<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (edge, control) = (reachable(self.edge), reachable(self.control));
        writeln!(f, "\n  Waypost is running. Ctrl-C stops it.\n")?;
        for note in self.notes {
            writeln!(f, "  Note: {note}\n")?;
        }
        writeln!(f, "  Open      http://{edge}/{FIRST}")?;
        writeln!(f, "            http://{edge}/search?q=short+links")?;
        writeln!(f, "            http://{edge}/{ROUTED}+  (where it leads, without going there)")?;
        if let Some(invitation) = self.invitation {
            writeln!(f, "            {invitation}  (a friend's invitation)")?;
        }
        writeln!(f)?;
        writeln!(f, "  Make a link of your own, in another terminal:\n")?;
        writeln!(f, "curl -sw '\\n' http://{control}/v1/links \\")?;
        writeln!(f, "  -H 'Authorization: Bearer {}' \\", self.api_key)?;
        writeln!(f, "  -H 'Content-Type: application/json' \\")?;
        writeln!(f, "  -d '{{\"target\": \"https://www.rust-lang.org/learn\"}}'\n")?;
        writeln!(f, "  Console   http://{control}/console  (sign in with the key, wp_…)")?;
        writeln!(f, "  API       http://{control}/openapi.json")?;
        writeln!(f, "  Health    http://{control}/readyz")?;
        writeln!(f, "  Metrics   http://{control}/metrics")?;
        let (payments, sandbox) = self.payments;
        let what = if sandbox { "  (a sandbox, which moves no money)" } else { "" };
        writeln!(f, "  Payments  {payments}{what}\n")?;
        writeln!(f, "  Data      {}", self.data.display())?;
        writeln!(f, "  Details   {}", self.file.display())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_screen_says_what_to_open_and_what_to_paste() {
        let screen = Screen {
            edge: SocketAddr::from(([0, 0, 0, 0], 8080)),
            control: SocketAddr::from(([127, 0, 0, 1], 8081)),
            api_key: "wp_key",
            invitation: Some("http://127.0.0.1:8080/r/7KQ2MX"),
            payments: ("http://127.0.0.1:8082/", true),
            data: Path::new("/home/me/waypost/.waypost"),
            file: Path::new("/home/me/waypost/.waypost/dev.json"),
            notes: &["No Redis, so no second tier.".to_owned()],
        };
        let expected = r#"
  Waypost is running. Ctrl-C stops it.

  Note: No Redis, so no second tier.

  Open      http://127.0.0.1:8080/hello
            http://127.0.0.1:8080/search?q=short+links
            http://127.0.0.1:8080/app+  (where it leads, without going there)
            http://127.0.0.1:8080/r/7KQ2MX  (a friend's invitation)

  Make a link of your own, in another terminal:

curl -sw '\n' http://127.0.0.1:8081/v1/links \
  -H 'Authorization: Bearer wp_key' \
  -H 'Content-Type: application/json' \
  -d '{"target": "https://www.rust-lang.org/learn"}'

  Console   http://127.0.0.1:8081/console  (sign in with the key, wp_…)
  API       http://127.0.0.1:8081/openapi.json
  Health    http://127.0.0.1:8081/readyz
  Metrics   http://127.0.0.1:8081/metrics
  Payments  http://127.0.0.1:8082/  (a sandbox, which moves no money)

  Data      /home/me/waypost/.waypost
  Details   /home/me/waypost/.waypost/dev.json
"#;
        assert_eq!(screen.to_string(), expected);
    }
}
