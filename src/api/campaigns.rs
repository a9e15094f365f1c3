//! Campaigns: `/v1/campaigns`.

use hyper::StatusCode;
use hyper::header::{HeaderValue, LOCATION};
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use super::query::{Query, refuse, wrong};
use super::{Api, Call, Reply, body};
use crate::campaign::changes::Change;
use crate::campaign::document;
use crate::campaign::service::{Draft, Error};
use crate::campaign::{BadId, Campaign, CampaignId, Version};
use crate::fault::Fault;
use crate::http::problem::{Kind, Problem};
use crate::store::campaigns::{StoredVersion, VersionRecord};

/// How many versions a page has, if nobody says.
pub(super) const USUAL_VERSIONS: u16 = 100;
/// How many it has at most.
pub(super) const MOST_VERSIONS: u16 = 1_000;

/// What is known of a version of a campaign besides its document.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CampaignVersionRecord)]
pub struct RecordView {
    /// The campaign's name.
    pub campaign: String,
    /// The number of the version, from 1.
    pub version: i32,
    /// `draft`: it was never active; `active`: it is what counts now; `retired`: it was active once.
    #[schema(example = "active")]
    pub state: &'static str,
    /// How the document is written: `toml` or `json`.
    #[schema(example = "toml")]
    pub format: &'static str,
    /// Who put it there.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it was last activated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub activated_at: Option<Timestamp>,
    /// When another one took its place, or the campaign was retired.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<Timestamp>,
}

impl RecordView {
    /// A version as it is shown.
    pub fn new(record: VersionRecord) -> Self {
        Self {
            campaign: record.campaign.to_string(),
            version: record.version.0,
            state: record.state.name(),
            format: record.format.name(),
            created_by: record.created_by,
            created_at: record.created_at,
            activated_at: record.activated_at,
            retired_at: record.retired_at,
        }
    }
}

/// What a document says, in short.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CampaignSummary)]
pub struct SummaryView {
    /// What operators call the campaign.
    pub name: String,
    /// From when on codes can be bound.
    #[schema(format = "date-time")]
    pub starts_at: String,
    /// Until when, this moment not included.
    #[schema(format = "date-time")]
    pub ends_at: String,
    /// What amounts are in: three letters of ISO 4217.
    pub currency: String,
    /// All that may ever be promised, in minor units of the currency.
    pub budget_minor: i64,
    /// The host that share URLs begin with; absent: the default domain's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub domain: Option<String>,
    /// How many symbols codes have.
    pub code_length: u8,
    /// The kinds of triggers that earn something.
    pub triggers: Vec<String>,
    /// The languages of the landing page.
    pub languages: Vec<String>,
}

impl SummaryView {
    /// What a campaign says, in short.
    pub fn new(campaign: &Campaign) -> Self {
        Self {
            name: campaign.name.clone(),
            starts_at: campaign.starts_at.to_string(),
            ends_at: campaign.ends_at.to_string(),
            currency: campaign.currency.code().to_owned(),
            budget_minor: campaign.budget_minor,
            domain: campaign.domain.clone(),
            code_length: campaign.code_length,
            triggers: campaign.rewards.keys().cloned().collect(),
            languages: campaign.texts.keys().cloned().collect(),
        }
    }
}

/// A version of a campaign.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = CampaignVersion)]
pub struct VersionView {
    /// What is known of it.
    #[serde(flatten)]
    pub record: RecordView,
    /// What it says, in short; absent if this program cannot read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<SummaryView>,
    /// Why this program cannot read it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
    /// The document, as it came.
    pub document: String,
}

impl VersionView {
    /// A version as it is shown.
    pub fn new(stored: StoredVersion) -> Self {
        let StoredVersion { record, document } = stored;
        let (summary, errors) = summarised(&document, &record);
        Self { record: RecordView::new(record), summary, errors, document }
    }
}

/// A campaign, in the version that counts: the active one, or else the one that was retired last, or
/// else the latest draft.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[schema(as = Campaign)]
pub struct CampaignView {
    /// What is known of that version.
    #[serde(flatten)]
    pub record: RecordView,
    /// What it says, in short; absent if this program cannot read it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<SummaryView>,
    /// Why this program cannot read it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub errors: Vec<Fault>,
    /// The version that the answering process works with: another one for up to a second after a
    /// change, and for as long as it cannot read that one. Absent if none was ever active.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_use: Option<i32>,
}

impl CampaignView {
    /// A campaign as it is shown.
    pub fn new(stored: StoredVersion, in_use: Option<Version>) -> Self {
        let (summary, errors) = summarised(&stored.document, &stored.record);
        let in_use = in_use.map(|version| version.0);
        Self { record: RecordView::new(stored.record), summary, errors, in_use }
    }
}

fn summarised(text: &str, record: &VersionRecord) -> (Option<SummaryView>, Vec<Fault>) {
    match document::parse(text, record.format) {
        Ok(campaign) => (Some(SummaryView::new(&campaign)), Vec::new()),
        Err(faults) => (None, faults),
    }
}

/// All campaigns.
#[derive(Debug, Serialize, ToSchema)]
pub struct CampaignList {
    /// By name.
    pub campaigns: Vec<CampaignView>,
}

/// Some versions of a campaign.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CampaignVersionPage)]
pub struct VersionPage {
    /// The latest first.
    pub versions: Vec<RecordView>,
    /// Where the next page begins; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}

/// A document that was judged and found good.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CheckedCampaign)]
pub struct CheckedView {
    /// What it says, in short.
    pub summary: SummaryView,
    /// The version that has the same content already, if there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<i32>,
}

/// In what two versions differ.
#[derive(Debug, Serialize, ToSchema)]
#[schema(as = CampaignDiff)]
pub struct DiffView {
    /// Each field that differs.
    pub changes: Vec<Change>,
}

impl Api {
    pub(super) async fn put_campaign_version(&self, call: &Call) -> Result<Reply, Problem> {
        let query = Query::parse(call.raw_query(), &["dry_run"])?;
        let dry_run = match query.one("dry_run")? {
            None | Some("false") => false,
            Some("true") => true,
            Some(other) => return Err(wrong("dry_run", "must be true or false", other, "false")),
        };
        let campaign = &call.campaign()?;
        let format = body::document_format(&call.parts.headers)?;
        let draft = Draft { campaign, text: body::text(&call.body)?, format };
        if dry_run {
            let checked = self.campaigns.check(draft).await?;
            let summary = SummaryView::new(&checked.campaign);
            let version = checked.same.map(|version| version.0);
            return Ok(Reply::json(StatusCode::OK, &CheckedView { summary, version }));
        }
        let (stored, is_new) = self.campaigns.put(&call.caller()?.actor, draft).await?;
        let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
        let view = VersionView::new(stored);
        let location =
            format!("/v1/campaigns/{}/versions/{}", view.record.campaign, view.record.version);
        let location = HeaderValue::try_from(location).expect("letters, digits, '-' and '/'");
        Ok(Reply::json(status, &view).with(LOCATION, location))
    }

    pub(super) async fn list_campaigns(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let all = self.campaigns.list().await?.into_iter();
        let campaigns = all.map(|stored| self.view_campaign(stored)).collect();
        Ok(Reply::json(StatusCode::OK, &CampaignList { campaigns }))
    }

    pub(super) async fn get_campaign(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let found = self.campaigns.current(&call.campaign()?).await?;
        Ok(Reply::json(StatusCode::OK, &self.view_campaign(found)))
    }

    pub(super) async fn list_campaign_versions(&self, call: &Call) -> Result<Reply, Problem> {
        let query = Query::parse(call.raw_query(), &["limit", "cursor"])?;
        let limit = query.number("limit", 1..=MOST_VERSIONS, USUAL_VERSIONS)?;
        let before = query.one("cursor")?.map(|cursor| {
            let version = cursor.parse().ok().map(Version);
            version.ok_or_else(|| refuse("'cursor' must be the next_cursor of the page before"))
        });
        let before = before.transpose()?;
        let found = self.campaigns.versions(&call.campaign()?, before, limit).await?;
        // The first version is the last of the list.
        let last = found.last().map_or(1, |record| record.version.0);
        let page = VersionPage {
            versions: found.into_iter().map(RecordView::new).collect(),
            next_cursor: (last > 1).then(|| last.to_string()),
        };
        Ok(Reply::json(StatusCode::OK, &page))
    }

    pub(super) async fn get_campaign_version(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let found = self.campaigns.get(&call.campaign()?, call.version()?).await?;
        Ok(Reply::json(StatusCode::OK, &VersionView::new(found)))
    }

    pub(super) async fn activate_campaign(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let (actor, campaign) = (&call.caller()?.actor, call.campaign()?);
        let activated = self.campaigns.activate(actor, &campaign, call.version()?).await?;
        Ok(Reply::json(StatusCode::OK, &self.view_campaign(activated)))
    }

    pub(super) async fn retire_campaign(&self, call: &Call) -> Result<Reply, Problem> {
        Query::parse(call.raw_query(), &[])?;
        let retired = self.campaigns.retire(&call.caller()?.actor, &call.campaign()?).await?;
        Ok(Reply::json(StatusCode::OK, &self.view_campaign(retired)))
    }

    pub(super) async fn compare_campaign_versions(&self, call: &Call) -> Result<Reply, Problem> {
        let query = Query::parse(call.raw_query(), &["from", "to"])?;
        let version = |name| {
            let text = query.one(name)?.unwrap_or_default();
            text.parse().map(Version).map_err(|_not_a_number| {
                refuse(format!("'{name}' must be the number of a version; both are needed"))
            })
        };
        let (from, to) = (version("from")?, version("to")?);
        let changes = self.campaigns.diff(&call.campaign()?, from, to).await?;
        Ok(Reply::json(StatusCode::OK, &DiffView { changes }))
    }

    fn view_campaign(&self, stored: StoredVersion) -> CampaignView {
        let live = self.live_campaigns.borrow();
        let in_use = live.named(stored.record.campaign.as_str()).map(|current| current.version);
        drop(live);
        CampaignView::new(stored, in_use)
    }
}

impl Call {
    /// The campaign that the path names. What cannot be a name is not there.
    pub(super) fn campaign(&self) -> Result<CampaignId, Problem> {
        let text = self.path.get("campaign");
        text.parse().map_err(|bad: BadId| Problem::new(Kind::NotFound, bad.to_string()))
    }

    /// The version that the path names.
    pub(super) fn version(&self) -> Result<Version, Problem> {
        self.path.get("version").parse().map(Version).map_err(|_not_a_number| {
            Problem::new(Kind::NotFound, "a version is a whole number from 1 on")
        })
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Invalid(faults) => Self::invalid_body(faults),
            Error::StoredInvalid { faults, .. } => Self::campaign_not_valid(faults),
            Error::NotFound(_) | Error::NoVersion(..) => {
                Self::new(Kind::NotFound, error.to_string())
            }
            Error::NotActive(_) => Self::new(Kind::CampaignNotActive, error.to_string()),
            Error::Steered(_) => Self::new(Kind::CampaignsSteered, error.to_string()),
            Error::Store(error) => error.into(),
        }
    }
}
