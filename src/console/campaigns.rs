//! Campaigns: their versions, in what two of them differ, and which one is active.

use maud::{Markup, html};

use super::form::escaped;
use super::overview::spent;
use super::page::{Page, Section, amount, done, facts, said, state, table, to, when};
use super::rewards::of_campaign;
use super::{Console, Outcome, ROOT, Visit};
use crate::campaign::changes::Change;
use crate::campaign::service::Error;
use crate::campaign::{BadId, Campaign, CampaignId, State, Version, document};
use crate::fault::Fault;
use crate::http::problem::{Kind, Problem};
use crate::store::campaigns::{StoredVersion, VersionRecord};
use crate::store::overview;

/// How many versions of a campaign are shown, the latest ones.
const VERSIONS: u16 = 100;
/// The longest value of a changed field that is shown, in characters.
const LONGEST_VALUE: usize = 400;

impl Console {
    /// All campaigns.
    pub(super) async fn list_campaigns(&self, visit: &Visit<'_>) -> Result<Outcome, Problem> {
        visit.need(Section::Campaigns.scopes())?;
        let all = self.campaigns.list().await?;
        let columns = [
            ("Campaign", false),
            ("State", false),
            ("Version", true),
            ("Name", false),
            ("Runs", false),
        ];
        let rows: Vec<Vec<Markup>> = all.iter().map(row).collect();
        let main = html! {
            @if rows.is_empty() {
                p { "There is no campaign yet. " code { "waypost campaign put" } " makes one of a document." }
            } @else { (table("By name", &columns, &rows)) }
        };
        Ok(Page::new("Campaigns", Section::Campaigns, main).into())
    }

    /// One campaign with its versions.
    pub(super) async fn show_campaign(
        &self,
        visit: &Visit<'_>,
        name: &str,
    ) -> Result<Outcome, Problem> {
        visit.need(Section::Campaigns.scopes())?;
        let id = campaign_id(name)?;
        let current = self.campaigns.current(&id).await?;
        let versions = self.campaigns.versions(&id, None, VERSIONS).await?;
        let accounts = overview::accounts(&self.store).await?;
        let account = accounts.iter().find(|it| it.campaign == id.as_str());
        let read = document::parse(&current.document, current.record.format);
        let currency = read.as_ref().map_or("", |it| it.currency.code());
        let main = html! {
            (done(&visit.query, &[("activated", "The version is active. Every process works with it within a second.")]))
            p.lead { (state(current.record.state.name())) " in version " (current.record.version) }
            (summary(read.as_ref()))
            @if let Some(account) = account {
                section { h2 { "Budget" } (spent(account, currency)) p.soft { "In minor units." } }
            }
            @if visit.may(Section::Rewards.scopes()) {
                p { (to(&of_campaign(&id), "Rewards of this campaign")) }
            }
            section {
                h2 { "Versions" }
                (compare_form(&id, &versions))
                (version_table(&id, &versions))
            }
        };
        Ok(Page::new(id.as_str(), Section::Campaigns, main).into())
    }

    /// One version with its document.
    pub(super) async fn show_version(
        &self,
        visit: &Visit<'_>,
        name: &str,
        version: &str,
    ) -> Result<Outcome, Problem> {
        visit.need(Section::Campaigns.scopes())?;
        let (id, version) = (campaign_id(name)?, version_of(version)?);
        let StoredVersion { record, document } = self.campaigns.get(&id, version).await?;
        let read = document::parse(&document, record.format);
        let activate = format!("{ROOT}{}/activate", place_of(&id, version));
        let main = html! {
            p.lead { (state(record.state.name())) }
            @if record.state != State::Active {
                p.acts { a.button href=(activate) { "Activate this version …" } }
            }
            (facts(&[
                ("Put there", Some(html! { (when(record.created_at)) " by " (record.created_by) })),
                ("Last activated", record.activated_at.map(when)),
                ("Retired", record.retired_at.map(when)),
            ]))
            (summary(read.as_ref()))
            section { h2 { "Document" } pre tabindex="0" { (document) } }
            p { (to(&place(&id), "All versions")) }
        };
        Ok(Page::new(format!("{id}, version {version}"), Section::Campaigns, main).into())
    }

    /// In what two versions differ.
    pub(super) async fn compare(&self, visit: &Visit<'_>, name: &str) -> Result<Outcome, Problem> {
        visit.need(Section::Campaigns.scopes())?;
        let id = campaign_id(name)?;
        let (from, to_version) =
            (version_of(visit.query.text("from"))?, version_of(visit.query.text("to"))?);
        let changes = self.campaigns.diff(&id, from, to_version).await?;
        let main = html! {
            (differences(&changes, from, to_version))
            p { (to(&place(&id), "All versions")) }
        };
        let title = format!("{id}: version {from} and version {to_version}");
        Ok(Page::new(title, Section::Campaigns, main).into())
    }

    /// Asks whether a version is to become the active one, and says what that changes.
    pub(super) async fn ask_to_activate(
        &self,
        visit: &Visit<'_>,
        name: &str,
        version: &str,
    ) -> Result<Outcome, Problem> {
        visit.need(Section::Campaigns.scopes())?;
        let (id, version) = (campaign_id(name)?, version_of(version)?);
        self.activation_page(visit, &id, version, &[]).await
    }

    async fn activation_page(
        &self,
        visit: &Visit<'_>,
        id: &CampaignId,
        version: Version,
        faults: &[Fault],
    ) -> Result<Outcome, Problem> {
        let current = self.campaigns.current(id).await?.record;
        let active = (current.state == State::Active).then_some(current.version);
        let changes = match active {
            Some(active) => Some((active, self.campaigns.diff(id, active, version).await?)),
            None => None,
        };
        let main = html! {
            @if !faults.is_empty() {
                div.errors role="alert" tabindex="-1" {
                    h2 { "Nothing was changed: the version breaks rules" }
                    ul { @for fault in faults { li { code { (fault.pointer) } " " (fault.detail) } } }
                }
            }
            @match &changes {
                Some((active, changes)) => {
                    p.lead { "Version " (active) " is active now. This is what changes:" }
                    (differences(changes, *active, version))
                }
                None => p.lead { "No version is active now: the campaign begins with this one." },
            }
            p { "What was promised stays promised by the version under which it was. Going back is activating "
                "the older version." }
            form method="post" action={ (ROOT) (place_of(id, version)) "/activate" } {
                (visit.token())
                // If another version has become active meanwhile, somebody has to look again.
                input type="hidden" name="active" value=(active.map(|it| it.to_string()).unwrap_or_default());
                div.acts {
                    button { "Activate version " (version) }
                    a.button.quiet href={ (ROOT) (place(id)) } { "Cancel" }
                }
            }
        };
        let title = format!("Activate {id}, version {version}?");
        Ok(Page::new(title, Section::Campaigns, main).with_faults(faults).into())
    }

    /// Makes a version the active one, if what was shown is still so.
    pub(super) async fn activate(
        &self,
        visit: &Visit<'_>,
        name: &str,
        version: &str,
    ) -> Result<Outcome, Problem> {
        visit.need(Section::Campaigns.scopes())?;
        let (id, version) = (campaign_id(name)?, version_of(version)?);
        let current = self.campaigns.current(&id).await?.record;
        let active = (current.state == State::Active).then(|| current.version.to_string());
        if active.unwrap_or_default() != visit.form.text("active") {
            let detail = "Another version has become active since the page was opened, and nothing was \
                          changed. Open the page again, and look at the differences once more.";
            return Err(Problem::new(Kind::CampaignNotActive, detail));
        }
        match self.campaigns.activate(visit.actor(), &id, version).await {
            Ok(_) => Ok(Outcome::Goes(format!("{ROOT}{}?done=activated", place(&id)))),
            Err(Error::StoredInvalid { faults, .. }) => {
                self.activation_page(visit, &id, version, &faults).await
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// The campaign that a path names. What cannot be a name is not there.
fn campaign_id(name: &str) -> Result<CampaignId, Problem> {
    name.parse().map_err(|bad: BadId| Problem::new(Kind::NotFound, bad.to_string()))
}

fn version_of(text: &str) -> Result<Version, Problem> {
    text.parse().map(Version).map_err(|_not_a_number| {
        Problem::new(Kind::NotFound, "The number of a version is a whole number from 1 on.")
    })
}

/// Where the page of a campaign is, below the console.
fn place(id: &CampaignId) -> String {
    format!("/campaigns/{}", escaped(id.as_str()))
}

/// Where the page of a version is, below the console.
fn place_of(id: &CampaignId, version: Version) -> String {
    format!("{}/{version}", place(id))
}

fn row(stored: &StoredVersion) -> Vec<Markup> {
    let record = &stored.record;
    let read = document::parse(&stored.document, record.format).ok();
    let runs = read.as_ref().map(|it| html! { div { (it.starts_at) " until " (it.ends_at) } });
    vec![
        to(&place(&record.campaign), record.campaign.as_str()),
        state(record.state.name()),
        said(record.version.to_string()),
        said(read.as_ref().map_or("cannot be read by this program", |it| it.name.as_str())),
        runs.unwrap_or_else(|| said("–")),
    ]
}

/// What a document says in short, or why it cannot be read.
fn summary(read: Result<&Campaign, &Vec<Fault>>) -> Markup {
    let list = |it: Vec<&str>| Some(said(it.join(", ")));
    match read {
        Ok(it) => facts(&[
            ("Name", Some(said(&it.name))),
            ("Begins", Some(said(it.starts_at.to_string()))),
            ("Ends", Some(said(it.ends_at.to_string()))),
            ("Budget in minor units", Some(said(amount(it.budget_minor, it.currency.code())))),
            ("Rewards per inviter", Some(said(it.caps.rewards_per_inviter.to_string()))),
            ("Domain", it.domain.as_ref().map(said)),
            ("Triggers", list(it.rewards.keys().map(String::as_str).collect())),
            ("Languages", list(it.texts.keys().map(String::as_str).collect())),
        ]),
        Err(faults) => html! {
            div.errors {
                p { "This program cannot read the document:" }
                ul { @for fault in faults { li { code { (fault.pointer) } " " (fault.detail) } } }
            }
        },
    }
}

fn compare_form(id: &CampaignId, versions: &[VersionRecord]) -> Markup {
    let numbers: Vec<i32> = versions.iter().map(|it| it.version.0).collect();
    let select = |name: &str, label: &str, chosen: Option<&i32>| {
        html! {
            div.field {
                label for=(name) { (label) }
                select id=(name) name=(name) {
                    @for number in &numbers {
                        @let selected = (Some(number) == chosen).then_some("selected");
                        option value=(number) selected=[selected] { "Version " (number) }
                    }
                }
            }
        }
    };
    html! {
        @if numbers.len() > 1 {
            form.filter action={ (ROOT) (place(id)) "/diff" } {
                (select("from", "From", numbers.get(1)))
                (select("to", "To", numbers.first()))
                button.quiet { "Compare" }
            }
        }
    }
}

fn version_table(id: &CampaignId, versions: &[VersionRecord]) -> Markup {
    let row = |it: &VersionRecord| {
        vec![
            to(&place_of(id, it.version), format!("Version {}", it.version)),
            state(it.state.name()),
            html! { div { (when(it.created_at)) " by " (it.created_by) } },
            it.activated_at.map_or_else(|| said("never"), when),
        ]
    };
    let rows: Vec<Vec<Markup>> = versions.iter().map(row).collect();
    let columns =
        [("Version", false), ("State", false), ("Put there", false), ("Last activated", false)];
    table("The latest first", &columns, &rows)
}

fn differences(changes: &[Change], from: Version, to: Version) -> Markup {
    let value = |it: Option<&serde_json::Value>| match it {
        None => said("not there"),
        Some(value) => {
            let text = value.to_string();
            let shown: String = text.chars().take(LONGEST_VALUE).collect();
            let cut = shown.len() < text.len();
            html! { code { (shown) @if cut { "…" } } }
        }
    };
    let row = |it: &Change| {
        vec![html! { code { (it.pointer) } }, value(it.from.as_ref()), value(it.to.as_ref())]
    };
    let rows: Vec<Vec<Markup>> = changes.iter().map(row).collect();
    let (before, after) = (format!("Version {from}"), format!("Version {to}"));
    let columns = [("Field", false), (before.as_str(), false), (after.as_str(), false)];
    html! {
        @if rows.is_empty() { p { "The two say the same." } }
        @else { (table("Each field that differs", &columns, &rows)) }
    }
}
