//! The edge as people and app stores see it.

use std::time::Duration;

use hyper::StatusCode;
use hyper::header::{CONTENT_TYPE, HOST, HeaderName, HeaderValue, LOCATION};
use url::{Host, Url};

use super::facts;
use super::report::{Check, Finding};
use crate::app;
use crate::cli::Error;
use crate::config::Config;
use crate::edge::association::{File, PLACE};
use crate::outbound::{self, Answer, FEW_CONNECTIONS, Outbound, Settings};

/// How long an answer may take: stores do not wait long, and people less.
const PATIENCE: Duration = Duration::from_secs(5);
/// The longest file that Apple reads, in bytes.
const LONGEST: usize = 128 * 1_024;

/// How to ask.
#[derive(Debug)]
pub(super) struct Web {
    /// Where the default domain is.
    public_url: Url,
    /// Where all domains are asked instead of at their own addresses.
    edge: Option<Url>,
    /// Believes what our own services believe.
    ours: Outbound,
    /// Believes public authorities only, as the stores do.
    stores: Outbound,
}

impl Web {
    pub(super) fn new(config: &Config, edge: Option<Url>) -> Result<Self, Error> {
        let (body_bytes, idle_connections) = (LONGEST, FEW_CONNECTIONS);
        let stores = Settings { ca_file: None, body_bytes, idle_connections };
        Ok(Self {
            public_url: config.edge.public_url.clone(),
            edge,
            ours: app::outbound(config, LONGEST)?,
            stores: Outbound::new(&stores).map_err(app::Error::from)?,
        })
    }

    /// The host of the default domain.
    pub(super) fn default_host(&self) -> &str {
        self.public_url.host_str().unwrap_or_default()
    }

    /// Whether short URLs begin with something that phones believe.
    pub(super) fn public_url(&self) -> Finding {
        let (finding, url) = (Finding::of(Check::PublicUrl, "public URL"), &self.public_url);
        let here = match url.host() {
            Some(Host::Domain(name)) => name == "localhost",
            Some(Host::Ipv4(address)) => address.is_loopback(),
            Some(Host::Ipv6(address)) => address.is_loopback(),
            None => false,
        };
        match (url.scheme(), here) {
            ("https", _) => finding.good(url.as_str()),
            (_, true) => finding.good(format!("{url} is for this machine alone")),
            (_, false) => finding.warning(
                format!("{url} is without TLS: browsers warn of it, and no app opens its links"),
                "put a proxy with a certificate in front, and set [edge] public_url to https://…",
            ),
        }
    }

    /// Whether the edge answers under the name of a domain.
    pub(super) async fn answers(&self, host: &str) -> Finding {
        let finding = Finding::of(Check::Edge, host);
        match self.ask(&self.ours, host, "robots.txt").await {
            Ok(answer) if answer.status == StatusCode::OK => finding.good("the edge answers"),
            Ok(answer) => {
                let words = format!("/robots.txt is {}, not 200", status(&answer));
                finding.failed(words, "lead this host to Waypost's edge, and all of its paths")
            }
            Err(error) => finding.failed(error.to_string(), self.remedy(host, &error)),
        }
    }

    /// Whether a store gets the file that it `should` get.
    pub(super) async fn file(&self, host: &str, file: File, should: Option<&[u8]>) -> Finding {
        let (check, kind) = match file {
            File::AssetLinks => (Check::AssetLinks, "Android"),
            File::AppleAppSite => (Check::AppleAppSiteAssociation, "iOS"),
        };
        let path = format!("{PLACE}{}", file.name());
        let finding = Finding::of(check, format!("{host}/{path}"));
        let Some(should) = should else {
            return finding.skipped(format!("[[apps]] has no app for {kind} in this domain"));
        };
        match self.ask(&self.stores, host, &path).await {
            Ok(answer) => judge(finding, file, &answer, should),
            Err(error @ outbound::Error::TooLarge { .. }) => finding
                .failed(format!("{error}, the most that Apple reads"), "name fewer apps or paths"),
            Err(error) => finding.failed(error.to_string(), self.remedy(host, &error)),
        }
    }

    async fn ask(
        &self,
        client: &Outbound,
        host: &str,
        path: &str,
    ) -> Result<Answer, outbound::Error> {
        let own = self.own_url(host)?;
        let Some(edge) = &self.edge else {
            return client.get(&with_path(&own, path), &[], PATIENCE).await;
        };
        let name = HeaderValue::try_from(own.authority())
            .map_err(|error| outbound::Error::Address(error.to_string()))?;
        let headers: [(HeaderName, HeaderValue); 1] = [(HOST, name)];
        client.as_if_at(host)?.get(&with_path(edge, path), &headers, PATIENCE).await
    }

    /// Where a domain is for everybody: the default one where the settings say, the others behind
    /// HTTPS, as stores ask them.
    fn own_url(&self, host: &str) -> Result<Url, outbound::Error> {
        if host == self.default_host() {
            return Ok(self.public_url.clone());
        }
        let url = format!("https://{host}/");
        Url::parse(&url).map_err(|error| outbound::Error::Address(format!("{url}: {error}")))
    }

    fn remedy(&self, host: &str, error: &outbound::Error) -> String {
        match error {
            outbound::Error::Tls(_) => format!(
                "give the proxy in front a certificate for {host} from a public authority: phones and \
                 stores know no other, whatever [outbound] ca_file says"
            ),
            outbound::Error::Connect(_) | outbound::Error::TimedOut { connected: false, .. }
                if self.edge.is_none() =>
            {
                format!(
                    "lead the DNS of {host} to the edge and open its port; before that, check with \
                     --edge"
                )
            }
            outbound::Error::Connect(_) | outbound::Error::TimedOut { connected: false, .. } => {
                "correct --edge, or start the edge there".to_owned()
            }
            outbound::Error::Address(_)
            | outbound::Error::Authorities { .. }
            | outbound::Error::TimedOut { connected: true, .. }
            | outbound::Error::Broken(_)
            | outbound::Error::TooLarge { .. } => {
                format!("see that it is Waypost's edge that answers for {host}")
            }
        }
    }
}

fn with_path(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    url.set_path(path);
    url
}

/// A status, and for a redirect where it leads.
fn status(answer: &Answer) -> String {
    let location = answer.headers.get(LOCATION).and_then(|value| value.to_str().ok());
    match location {
        Some(location) if answer.status.is_redirection() => {
            format!("{}, a redirect to {location}", answer.status.as_u16())
        }
        Some(_) | None => answer.status.as_u16().to_string(),
    }
}

/// Whether an answer is what a store wants, and says what it should say.
fn judge(finding: Finding, file: File, answer: &Answer, should: &[u8]) -> Finding {
    if answer.status.is_redirection() {
        return finding.failed(
            format!("it is {}, and stores follow none", status(answer)),
            "have the proxy in front answer /.well-known/ itself; rules that lead to https or www \
             must leave it out",
        );
    }
    if answer.status != StatusCode::OK {
        return finding.failed(
            format!("it is {}, not 200", status(answer)),
            "lead /.well-known/ to Waypost's edge, and restart Waypost after changing [[apps]]",
        );
    }
    let kind = answer.headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let essence = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
    if !essence.eq_ignore_ascii_case("application/json") {
        return finding.failed(
            format!("its Content-Type is {:?}, not \"application/json\"", kind.unwrap_or_default()),
            "see that Waypost's edge answers here, and nothing in front changes the header",
        );
    }
    let read = |content: &[u8]| facts::read(file, content);
    let (found, expected) = match (read(&answer.body), read(should)) {
        (Ok(found), Ok(expected)) => (found, expected),
        (Err(error), _) | (_, Err(error)) => {
            return finding.failed(
                format!("it is not what stores can read: {error}"),
                "see that Waypost's edge answers here, and nothing in front changes what it says",
            );
        }
    };
    let (missing, besides) = facts::differences(&found, &expected);
    if !missing.is_empty() {
        return finding.failed(
            format!("it lacks {missing}"),
            "restart Waypost if [[apps]] was changed; else an old copy is cached, or something in \
             front answers instead of Waypost",
        );
    }
    if !besides.is_empty() {
        return finding.warning(
            format!("it also has {besides}, which [[apps]] does not have"),
            "restart Waypost if [[apps]] was changed; else find out who else answers here",
        );
    }
    finding.good("it says what [[apps]] says")
}
