//! A code in the tiers. It stands there as a link does, under the key `r/<code>` of the default domain,
//! with a target that no browser ever sees: it says which campaign's page is shown, and whose name.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use crate::campaign::CampaignNumber;
use crate::link::{DomainId, LinkKey};

/// What stands before a code in its key, and in a path of the edge.
pub const PREFIX: &str = "r/";

/// What targets of codes begin with. No link can have such a target: it is no URL with a host.
const SCHEME: &str = "waypost-code:";

/// The dictionary of the compact record knows the characters of URLs only.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'.').remove(b'-');

/// The key of a code.
pub fn key(code: &str) -> LinkKey {
    LinkKey::new(DomainId::DEFAULT, &format!("{PREFIX}{code}"))
}

/// The code that this is the key of, if it is one's.
pub fn code_of(key: &LinkKey) -> Option<&str> {
    let (domain, slug) = key.parts()?;
    (domain == DomainId::DEFAULT).then(|| slug.strip_prefix(PREFIX)).flatten()
}

/// What a page shows for a code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Landing {
    /// The page of this campaign.
    pub campaign: CampaignNumber,
    /// With this name, masked, if it is known.
    pub shown_name: Option<String>,
}

impl Landing {
    /// As a target.
    pub fn to_target(&self) -> String {
        let name = self.shown_name.as_deref().unwrap_or_default();
        format!("{SCHEME}{}/{}", self.campaign.0, utf8_percent_encode(name, ESCAPED))
    }

    /// From a target; `None` if it is that of a link.
    pub fn from_target(target: &str) -> Option<Self> {
        let (campaign, name) = target.strip_prefix(SCHEME)?.split_once('/')?;
        let name = percent_decode_str(name).decode_utf8().ok()?;
        Some(Self {
            campaign: CampaignNumber(campaign.parse().ok()?),
            shown_name: (!name.is_empty()).then(|| name.into_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::resolve::dictionary::Dictionary;

    #[test]
    fn what_a_page_shows_reads_back_and_can_be_packed() {
        for name in [None, Some("R••• S•••"), Some("王•••"), Some("अ•••"), Some("a/b%c\"<>")]
        {
            let landing =
                Landing { campaign: CampaignNumber(7), shown_name: name.map(str::to_owned) };
            let target = landing.to_target();
            assert!(Dictionary::built_in().pack(&target).is_some(), "{target}");
            assert_eq!(Landing::from_target(&target), Some(landing));
        }
        assert_eq!(Landing::from_target("https://example.com/7/"), None);
        assert_eq!(code_of(&key("7KQ2MX")), Some("7KQ2MX"));
        assert_eq!(code_of(&LinkKey::new(DomainId(2), "r/7KQ2MX")), None);
    }
}
