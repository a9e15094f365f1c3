//! A campaign that runs.

use waypost::campaign::CampaignId;
use waypost::campaign::document::Format;
use waypost::campaign::service::{CampaignService, Draft};
use waypost::config::Config;
use waypost::store::Store;

/// The campaign of the documentation: five languages, codes of six symbols, until 2031.
pub const DEMO: &str = include_str!("../../../config/campaigns/demo.toml");

/// Makes a campaign of this document the active one. Processes that run hear of it within a second.
pub async fn activate(store: &Store, name: &str, document: &str) {
    let service = CampaignService::new(store.clone(), &Config::default());
    let campaign: CampaignId = name.parse().expect("a good name");
    let draft = Draft { campaign: &campaign, text: document, format: Format::Toml };
    let (version, _) = service.put("a test", draft).await.expect("a good document");
    service.activate("a test", &campaign, version.record.version).await.expect("an active version");
}
