//! Waypost's own figures, as far as the benchmark compares them with what it saw itself.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use crate::Error;
use crate::client::Connection;

/// What Waypost's metrics say about redirects and clicks, since it started.
pub(crate) struct Meters {
    /// Requests that were answered with a redirect or with a landing page. Each of them is a click, when
    /// only pages of running campaigns are asked for.
    pub(crate) answered: f64,
    /// Clicks that were written to PostgreSQL.
    pub(crate) counted: f64,
    /// Clicks that were put into the spool.
    pub(crate) spooled: f64,
    /// Bytes that wait in the spool.
    pub(crate) spool_bytes: f64,
    /// Clicks that were dropped, by reason.
    pub(crate) dropped: BTreeMap<String, f64>,
}

impl Meters {
    /// Reads them from the control listener.
    pub(crate) fn read(control: SocketAddr) -> Result<Self, Error> {
        let text = text(control)?;
        let total = |metric| samples(&text, metric).map(|(_, value)| value).sum();
        let answered = samples(&text, "waypost_http_requests_total")
            .filter(|(labels, _)| {
                let is = |name, value| label(labels, name) == Some(value);
                let is_page = is("route", "landing") && is("status_class", "2xx");
                is("listener", "edge") && (is("status_class", "3xx") || is_page)
            })
            .map(|(_, value)| value)
            .sum();
        let dropped = samples(&text, "waypost_clicks_dropped_total")
            .map(|(labels, value)| (label(labels, "reason").unwrap_or("unknown").to_owned(), value))
            .collect();
        Ok(Self {
            answered,
            counted: total("waypost_clicks_counted_total"),
            spooled: total("waypost_clicks_spooled_total"),
            spool_bytes: total("waypost_click_spool_bytes"),
            dropped,
        })
    }

    /// Clicks that were dropped, whatever for.
    pub(crate) fn all_dropped(&self) -> f64 {
        self.dropped.values().sum()
    }
}

/// The sum of all samples of one metric.
pub(crate) fn total(control: SocketAddr, metric: &str) -> Result<f64, Error> {
    Ok(samples(&text(control)?, metric).map(|(_, value)| value).sum())
}

fn text(control: SocketAddr) -> Result<String, Error> {
    let answer = Connection::open(control).and_then(|mut connection| connection.get("/metrics"));
    Ok(answer.map_err(Error::io("read Waypost's metrics"))?.body)
}

/// The labels and the value of each sample of one metric in Prometheus' text format.
fn samples<'a>(text: &'a str, metric: &str) -> impl Iterator<Item = (&'a str, f64)> {
    text.lines().filter_map(move |line| {
        let rest = line.strip_prefix(metric)?;
        let is_this = rest.starts_with([' ', '{']);
        let (labels, value) = rest.rsplit_once(' ').filter(|_| is_this)?;
        Some((labels, value.parse().ok()?))
    })
}

/// The value of one label; those that are asked for here have no quotes and commas in them.
fn label<'a>(labels: &'a str, name: &str) -> Option<&'a str> {
    labels.trim_matches(['{', '}']).split(',').find_map(|label| {
        let (key, value) = label.split_once('=')?;
        (key == name).then(|| value.trim_matches('"'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# HELP a_total x\na_total{listener=\"edge\",reason=\"full\"} 2\n\
                        a_total{listener=\"edge\",reason=\"away\"} 3.5\na_total_other 7\nb 4\n";

    #[test]
    fn a_metric_has_its_own_samples_and_not_those_of_its_namesakes() {
        let values = |metric| samples(TEXT, metric).map(|(_, value)| value).collect::<Vec<_>>();
        assert_eq!(values("a_total"), [2.0, 3.5]);
        assert_eq!(values("b"), [4.0]);
        assert_eq!(values("a"), [0.0; 0]);
    }

    #[test]
    fn a_label_is_found_behind_others_and_not_by_a_part_of_its_name() {
        let reasons: Vec<_> =
            samples(TEXT, "a_total").map(|(labels, _)| label(labels, "reason")).collect();
        assert_eq!(reasons, [Some("full"), Some("away")]);
        assert_eq!(label("{unreason=\"x\"}", "reason"), None);
    }
}
