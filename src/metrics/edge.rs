//! Figures of the edge: counted by each serving thread in memory of its own, and added up on its tick.

use prometheus::local::{LocalHistogram, LocalIntCounter};

use super::{CLASSES, Metrics, Said};

impl Metrics {
    /// The figures of one serving thread of the edge.
    pub fn edge(&self) -> EdgeFigures {
        let requests = EdgeRoute::ALL.map(|route| {
            CLASSES.map(|class| {
                self.requests.with_label_values(&["edge", route.label(), class]).local()
            })
        });
        let resolved = [Said::Hit, Said::Stale, Said::Missing, Said::Error]
            .map(|said| self.resolved.with_label_values(&["local", said.label()]).local());
        EdgeFigures {
            requests,
            resolved,
            seconds: self.redirect_seconds.local(),
            dropped: self.clicks_dropped.with_label_values(&["buffer_full"]).local(),
        }
    }
}

/// What a request on the edge was for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EdgeRoute {
    /// A slug.
    Redirect,
    /// `/`, `/robots.txt` and the like.
    Page,
    /// A landing page, and what belongs to it.
    Landing,
    /// A request that was refused before it was understood.
    Refused,
}

impl EdgeRoute {
    const ALL: [Self; 4] = [Self::Redirect, Self::Page, Self::Landing, Self::Refused];

    fn label(self) -> &'static str {
        match self {
            Self::Redirect => "redirect",
            Self::Page => "page",
            Self::Landing => "landing",
            Self::Refused => "refused",
        }
    }
}

/// The figures of one serving thread: plain memory of its own until [`EdgeFigures::flush`].
#[derive(Debug)]
pub struct EdgeFigures {
    requests: [[LocalIntCounter; 5]; 4],
    resolved: [LocalIntCounter; 4],
    seconds: LocalHistogram,
    dropped: LocalIntCounter,
}

impl EdgeFigures {
    /// One more request answered, after this many seconds.
    pub fn request(&self, route: EdgeRoute, status: u16, seconds: f64) {
        let route = match route {
            EdgeRoute::Redirect => 0,
            EdgeRoute::Page => 1,
            EdgeRoute::Landing => 2,
            EdgeRoute::Refused => 3,
        };
        let class = usize::from(status / 100).saturating_sub(1);
        if let Some(counter) = self.requests.get(route).and_then(|classes| classes.get(class)) {
            counter.inc();
        }
        self.seconds.observe(seconds);
    }

    /// One more look-up in the first tier.
    pub fn resolved(&self, said: Said) {
        let [hit, stale, missing, error] = &self.resolved;
        match said {
            Said::Hit => hit.inc(),
            Said::Stale => stale.inc(),
            Said::Missing => missing.inc(),
            Said::Error => error.inc(),
        }
    }

    /// One more click that found its buffer full.
    pub fn click_dropped(&self) {
        self.dropped.inc();
    }

    /// Adds everything to the process's figures.
    pub fn flush(&self) {
        self.requests.iter().flatten().chain(&self.resolved).for_each(LocalIntCounter::flush);
        self.seconds.flush();
        self.dropped.flush();
    }
}
