//! A link with all that is known of it, as the control plane sees it.

use jiff::Timestamp;

use super::routing::Rule;
use super::{DomainId, LinkId, LinkKey, RedirectStatus};
use crate::code::slug::LetterCase;

/// A host under which links are found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Domain {
    /// Identifies it.
    pub id: DomainId,
    /// Its host in lower case; `None` for the default domain, whose host is a setting.
    pub host: Option<String>,
    /// Whether it tells capitals from small letters.
    pub case: LetterCase,
    /// How many characters its generated slugs have, if it says so itself.
    pub slug_length: Option<u8>,
}

impl Domain {
    /// `slug` as it is stored in this domain.
    pub fn fold(&self, slug: &str) -> String {
        match self.case {
            LetterCase::Exact => slug.to_owned(),
            LetterCase::Folded => slug.to_ascii_lowercase(),
        }
    }
}

/// What a link does; all that an edit can change, but for what only people read.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Behaviour {
    /// Where it leads.
    pub target: String,
    /// The status of the redirect.
    pub status: RedirectStatus,
    /// How long browsers may remember the redirect.
    pub cache_seconds: Option<u32>,
    /// Before this moment the link is unknown.
    pub valid_from: Option<Timestamp>,
    /// From this moment on it is gone.
    pub expires_at: Option<Timestamp>,
    /// Whether the caller's query is added to the target's.
    pub forward_query: bool,
    /// Where people go once it is gone.
    pub fallback: Option<String>,
    /// How often it can be opened; `None`: without end.
    pub max_clicks: Option<i64>,
    /// Where some visitors are led instead of to the target.
    pub rules: Vec<Rule>,
}

/// What people call a link, and what they see of it in a preview.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Labels {
    /// Its name.
    pub title: Option<String>,
    /// What is behind it.
    pub description: Option<String>,
    /// The URL of a picture of it.
    pub image: Option<String>,
    /// Words to find it by, each once.
    pub tags: Vec<String>,
}

/// A valid link that is not stored yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Where it is to be found.
    pub domain: Domain,
    /// The chosen slug, folded if the domain folds; `None`: generate one.
    pub slug: Option<String>,
    /// What it does.
    pub behaviour: Behaviour,
    /// What people call it.
    pub labels: Labels,
    /// Whether an existing link that does the same may be taken instead.
    pub reuse: bool,
}

/// How often a link was opened, and by whom.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counted {
    /// By anybody, browsers that fetched ahead included.
    pub visits: i64,
    /// By people.
    pub people: i64,
    /// By bots, those that render previews included.
    pub bots: i64,
}

/// A stored link.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Link {
    /// Identifies it.
    pub id: LinkId,
    /// Where it is found.
    pub domain: DomainId,
    /// The domain's host; `None` for the default domain.
    pub host: Option<String>,
    /// Its slug.
    pub slug: String,
    /// Grows with every change.
    pub version: i64,
    /// What it does.
    pub behaviour: Behaviour,
    /// Switched off by its owner.
    pub disabled: bool,
    /// What people call it.
    pub labels: Labels,
    /// How often it was opened.
    pub counted: Counted,
    /// How many of its `max_clicks` are used up. An edit never changes this.
    pub clicks_used: i64,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it was last changed.
    pub updated_at: Timestamp,
    /// Who made it.
    pub created_by: String,
}

impl Link {
    /// How often it can still be opened; `None`: without end.
    pub fn clicks_left(&self) -> Option<i64> {
        self.behaviour.max_clicks.map(|most| most.saturating_sub(self.clicks_used).max(0))
    }

    /// Its name in caches and messages.
    pub fn key(&self) -> LinkKey {
        LinkKey::new(self.domain, &self.slug)
    }
}
