//! What a first look needs: some links, a campaign and a key for the API.

use crate::campaign::document::Format;
use crate::campaign::service::{self as campaigns, CampaignService, Draft};
use crate::campaign::{CampaignId, State};
use crate::cli::Error;
use crate::clock::Clock;
use crate::config::{CampaignSource, Config};
use crate::http::auth::{ApiKey, Scope};
use crate::link::request::{NewLink, NewRule};
use crate::link::service::{self, LinkService};
use crate::referral::codes::request::NewCode;
use crate::referral::codes::{self, CodeService};
use crate::resolve::announce::Announcer;
use crate::store::{self, Store, audit, keys};

/// Who made the demo, in the audit.
const ACTOR: &str = "waypost-dev";

/// Slug, title, target, status, whether the query is forwarded.
const LINKS: [(&str, &str, &str, i64, bool); 3] = [
    ("hello", "A first link", "https://example.com/", 302, false),
    ("search", "Forwards its query", "https://duckduckgo.com/?t=waypost", 302, true),
    (
        "moved",
        "For good: browsers remember it",
        "https://www.iana.org/help/example-domains",
        301,
        false,
    ),
];

/// The slug that the screen shows first.
pub(super) const FIRST: &str = "hello";

/// The slug of the link that leads phones elsewhere.
pub(super) const ROUTED: &str = "app";

/// Makes the demo links that are not there yet.
pub(super) async fn make_links(store: &Store, config: &Config) -> Result<(), Error> {
    let announcer = Announcer::new(store.clone(), None, None);
    let links = LinkService::new(store.clone(), announcer, config, Clock::system());
    let plain = LINKS.into_iter().map(|(slug, title, target, status, forward_query)| NewLink {
        status: Some(status),
        forward_query: Some(forward_query),
        ..demo_link(slug, title, target)
    });
    for link in plain.chain([routed()]) {
        let slug = link.slug.as_deref().unwrap_or_default();
        match links.create(ACTOR, &link).await {
            Ok(_) | Err(service::Error::SlugTaken(_)) => {}
            // With settings that forbid these targets there is no demo, and that is all.
            Err(service::Error::Invalid(faults)) => {
                tracing::warn!(slug, ?faults, "the settings do not allow this demo link");
            }
            Err(error) => return Err(Error::Message(format!("the demo link '{slug}': {error}"))),
        }
    }
    Ok(())
}

/// The campaign's name.
const CAMPAIGN: &str = "demo";
/// What it says.
const DOCUMENT: &str = include_str!("../../../config/campaigns/demo.toml");

/// Makes the demo campaign, and brings one that an earlier program made up to date. What a person
/// changed, even by retiring it, stays.
pub(super) async fn make_campaign(store: &Store, config: &Config) -> Result<(), Error> {
    if config.campaigns.source != CampaignSource::Database {
        // Another source says which campaigns run, and would not let it be activated.
        return Ok(());
    }
    let service = CampaignService::new(store.clone(), config);
    let campaign: CampaignId = CAMPAIGN.parse().map_err(failed)?;
    let touched = match service.versions(&campaign, None, 1).await {
        Ok(latest) => latest.iter().any(|it| it.created_by != ACTOR || it.state == State::Retired),
        Err(campaigns::Error::NotFound(_)) => false,
        Err(error) => return Err(failed(error)),
    };
    if touched {
        return Ok(());
    }
    let draft = Draft { campaign: &campaign, text: DOCUMENT, format: Format::Toml };
    let (stored, is_new) = service.put(ACTOR, draft).await.map_err(failed)?;
    if is_new || stored.record.state == State::Draft {
        let version = stored.record.version;
        service.activate(ACTOR, &campaign, version).await.map_err(failed)?;
    }
    Ok(())
}

/// The share URL of a user of the demo campaign; `None` when somebody ended the campaign.
pub(super) async fn invitation(codes: &CodeService) -> Result<Option<String>, Error> {
    let user = NewCode { user: "rina".to_owned(), name: Some("Rina Sari".to_owned()) };
    match codes.issue(CAMPAIGN, &user).await {
        Ok(issued) => Ok(Some(codes.share_url(&issued.code))),
        Err(codes::Error::UnknownCampaign(_) | codes::Error::NotRunning(..)) => Ok(None),
        Err(error) => Err(failed(error)),
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Message(format!("the demo campaign: {error}"))
}

fn demo_link(slug: &str, title: &str, target: &str) -> NewLink {
    NewLink {
        slug: Some(slug.to_owned()),
        title: Some(title.to_owned()),
        target: Some(target.to_owned()),
        tags: Some(vec!["demo".to_owned()]),
        ..NewLink::default()
    }
}

/// A link that leads phones to the stores, and shows itself in a chat.
fn routed() -> NewLink {
    let rule = |device: &str, target: &str| NewRule {
        device: Some(vec![device.to_owned()]),
        target: Some(target.to_owned()),
        ..NewRule::default()
    };
    NewLink {
        description: Some("On a phone it opens the store, elsewhere a page.".to_owned()),
        rules: Some(vec![
            rule("ios", "https://apps.apple.com/"),
            rule("android", "https://play.google.com/store/apps"),
        ]),
        ..demo_link(ROUTED, "Get the app", "https://example.com/app")
    }
}

/// The key of the last start if it still holds, else a new one that may do everything.
pub(super) async fn api_key(store: &Store, last: Option<String>) -> Result<String, Error> {
    if let Some(key) = last.as_deref().and_then(ApiKey::parse)
        && let Some(stored) = keys::find(store, key.id()).await?
        && stored.revoked_at.is_none()
        && key.matches(&stored.secret_hash)
    {
        return Ok(key.expose());
    }
    let key = ApiKey::from_random(&rand::random());
    let scopes = Scope::ALL.map(Scope::name);
    let mut connection = store.connection().await?;
    let transaction = connection.transaction().await.map_err(store::Error::from)?;
    keys::insert(&transaction, key.id(), ACTOR, &key.secret_hash(), &scopes).await?;
    let entry = audit::Entry {
        actor: ACTOR,
        action: "key.create",
        subject: &format!("key:{}", key.id()),
        detail: serde_json::json!({ "actor": ACTOR, "scopes": scopes }),
    };
    audit::record(&transaction, &entry).await?;
    transaction.commit().await.map_err(store::Error::from)?;
    Ok(key.expose())
}
