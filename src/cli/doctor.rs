//! `waypost doctor`: looks at a deployment as those do who depend on it.

use std::collections::HashSet;

use clap::Args;
use url::{Host, Url};

use self::report::{Check, Finding, Report};
use self::web::Web;
use super::Error;
use crate::app;
use crate::config::{self, Config};
use crate::edge::association::{Associations, File};

mod facts;
mod report;
mod servers;
mod web;

/// Check the settings, PostgreSQL, Redis, and the edge as people and app stores see it
#[derive(Debug, Args)]
pub(super) struct Doctor {
    /// Check this domain instead of all; may be given several times
    #[arg(long = "domain", value_name = "HOST", value_parser = host)]
    domains: Vec<String>,
    /// Ask the edge here, under the names of the domains: for checks before DNS leads to it
    #[arg(long, value_name = "URL", value_parser = address)]
    edge: Option<Url>,
    /// Print JSON, a line for each check
    #[arg(long)]
    json: bool,
}

impl Doctor {
    pub(super) async fn run(self, config: Result<Config, config::Error>) -> Result<(), Error> {
        let mut report = Report::new(self.json);
        let read = config.map_err(Error::from).and_then(|config| {
            super::check(&config)?;
            Ok(config)
        });
        let config = match read {
            Ok(config) => config,
            Err(error) => {
                let remedy = "correct them; the rest is checked when they are good";
                let settings = Finding::of(Check::Settings, "settings");
                report.add(settings.failed(error.to_string(), remedy))?;
                return report.end();
            }
        };
        report.add(Finding::of(Check::Settings, "settings").good("they are good"))?;
        let (postgres, known) = servers::postgres(&config).await;
        report.add(postgres)?;
        report.add(servers::redis(&config).await)?;
        let web = Web::new(&config, self.edge.clone())?;
        report.add(web.public_url())?;
        report.add(web.answers(web.default_host()).await)?;
        let apps = app::associations(&config);
        for host in self.hosts(&config, &web, known.as_deref(), &mut report)? {
            look_at(&host, &web, &apps, &mut report).await?;
        }
        report.end()
    }

    /// The hosts to check: those that were asked for, else all that are `known` from the database, else
    /// all in the settings. Reports those that are no domains of this service.
    fn hosts(
        &self,
        config: &Config,
        web: &Web,
        known: Option<&[String]>,
        report: &mut Report,
    ) -> Result<Vec<String>, Error> {
        let is_known = |host: &str| match known {
            Some(known) => host == web.default_host() || known.iter().any(|known| known == host),
            None => true,
        };
        let add = |host: &str| format!("run 'waypost domain add {host}', or correct");
        if !self.domains.is_empty() {
            let (good, unknown) = without_repeats(&self.domains).partition(|host| is_known(host));
            let unknown: Vec<String> = unknown;
            for host in unknown {
                let finding = Finding::of(Check::Domain, host.as_str());
                let remedy = format!("{} --domain", add(&host));
                report.add(finding.failed("it is no domain of this service", remedy))?;
            }
            return Ok(good);
        }
        let named: Vec<String> = config.apps.iter().flat_map(|app| app.domains.clone()).collect();
        for host in without_repeats(&named).filter(|host| !is_known(host)) {
            let finding = Finding::of(Check::Domain, host.as_str());
            let remedy = format!("{} 'domains' there", add(&host));
            let words = "[[apps]] names it, but it is no domain of this service";
            report.add(finding.warning(words, remedy))?;
        }
        let mut hosts = vec![web.default_host().to_owned()];
        hosts.extend_from_slice(known.unwrap_or(&named));
        Ok(without_repeats(&hosts).collect())
    }
}

fn without_repeats(hosts: &[String]) -> impl Iterator<Item = String> {
    let mut seen = HashSet::new();
    hosts.iter().filter(move |host| seen.insert(*host)).cloned()
}

/// Checks one domain: that the edge answers there, which of the default domain is known already, and
/// the files that app stores fetch.
async fn look_at(
    host: &str,
    web: &Web,
    apps: &Associations,
    report: &mut Report,
) -> Result<(), Error> {
    let answers =
        async { if host == web.default_host() { None } else { Some(web.answers(host).await) } };
    let file = |file: File| web.file(host, file, apps.find(host, file).map(AsRef::as_ref));
    let (answers, android, ios) =
        tokio::join!(answers, file(File::AssetLinks), file(File::AppleAppSite));
    answers.into_iter().chain([android, ios]).try_for_each(|finding| report.add(finding))
}

fn host(text: &str) -> Result<String, String> {
    Host::parse(text).map(|host| host.to_string()).map_err(|_no_host| {
        "write a host like go.example.com, without scheme, port and path".to_owned()
    })
}

fn address(text: &str) -> Result<Url, String> {
    let url = Url::parse(text).ok().filter(|url| {
        let bare = url.path() == "/" && url.query().is_none() && url.fragment().is_none();
        let plain = url.username().is_empty() && url.password().is_none();
        matches!(url.scheme(), "http" | "https") && url.has_host() && bare && plain
    });
    url.ok_or_else(|| {
        "write scheme, host and port like http://10.0.0.5:8080, without a path".to_owned()
    })
}
