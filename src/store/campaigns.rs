//! Campaigns and their versions.

use std::time::Duration;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{Error, Store, Transaction, expect_rows, transact_within};
use crate::campaign::document::Format;
use crate::campaign::{CampaignId, CampaignNumber, State, Version};

/// What is known of a version besides its document, which may be long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VersionRecord {
    /// Which campaign.
    pub campaign: CampaignId,
    /// What stands for the campaign in records and tokens.
    pub number: CampaignNumber,
    /// Which version.
    pub version: Version,
    /// What has become of it.
    pub state: State,
    /// How its document is written.
    pub format: Format,
    /// Who put it there.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it was last activated.
    pub activated_at: Option<Timestamp>,
    /// When another one took its place, or the campaign was retired.
    pub retired_at: Option<Timestamp>,
}

/// A version of a campaign, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVersion {
    /// What is known of it.
    pub record: VersionRecord,
    /// The document, as it came.
    pub document: String,
}

/// A new version.
#[derive(Debug)]
pub struct NewVersion<'a> {
    /// Of this campaign.
    pub campaign: &'a CampaignId,
    /// How the document is written.
    pub format: Format,
    /// The document.
    pub document: &'a str,
    /// The SHA-256 of the document: the same content is the same version.
    pub hash: [u8; 32],
    /// Who puts it there.
    pub actor: &'a str,
}

/// How long reading campaigns may take. Whoever reads them has the ones from before.
const READ: Duration = Duration::from_secs(5);
/// How long it may take to say whether they changed. A busy server is waited for, a frozen one is given
/// up: the next look takes a new connection.
const COMPARE: Duration = Duration::from_secs(2);

/// Makes a campaign, unless there is one of this name.
pub async fn make(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    actor: &str,
) -> Result<(), Error> {
    // May well change no row: the campaign may be there.
    transaction
        .execute(
            "INSERT INTO campaign (id, created_by) VALUES ($1 /* campaign */, $2 /* actor */)
             ON CONFLICT (id) DO NOTHING /* make_campaign */",
            &[&campaign.as_str(), &actor],
        )
        .await?;
    Ok(())
}

/// Until the transaction ends, nobody else changes this campaign. Answers whether it is there.
pub async fn lock(transaction: &Transaction<'_>, campaign: &CampaignId) -> Result<bool, Error> {
    let locked = transaction
        .query_opt(
            "SELECT 1 FROM campaign WHERE id = $1 /* campaign */ FOR NO KEY UPDATE /* lock_campaign */",
            &[&campaign.as_str()],
        )
        .await?;
    Ok(locked.is_some())
}

/// The version of a campaign that has this content, if there is one.
pub async fn find_same(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    hash: &[u8; 32],
) -> Result<Option<Version>, Error> {
    let same = transaction
        .query_opt(
            "SELECT version FROM campaign_version
             WHERE campaign_id = $1 /* campaign */ AND hash = $2 /* hash */ /* find_same_version */",
            &[&campaign.as_str(), &hash.as_slice()],
        )
        .await?;
    Ok(same.map(|row| row.try_get(0).map(Version)).transpose()?)
}

/// Adds a version to a campaign that is locked and has none with this content.
pub async fn add(transaction: &Transaction<'_>, new: &NewVersion<'_>) -> Result<Version, Error> {
    let row = transaction
        .query_one(
            "INSERT INTO campaign_version (campaign_id, version, format, document, hash, created_by)
             SELECT $1 /* campaign */, coalesce(max(version), 0) + 1, $2 /* format */,
                    $3 /* document */, $4 /* hash */, $5 /* actor */
             FROM campaign_version WHERE campaign_id = $1
             RETURNING version /* add_version */",
            &[
                &new.campaign.as_str(),
                &new.format.name(),
                &new.document,
                &new.hash.as_slice(),
                &new.actor,
            ],
        )
        .await?;
    Ok(Version(row.try_get(0)?))
}

/// Makes a version the active one, in place of the one that is, in a campaign that is locked. The
/// version must be there and must not be active. Returns the version that was active before.
pub async fn activate(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    version: Version,
) -> Result<Option<Version>, Error> {
    let before = end_active(transaction, campaign).await?;
    let activated = transaction
        .execute(
            "UPDATE campaign_version
             SET state = 'active', activated_at = now(), retired_at = NULL
             WHERE campaign_id = $1 /* campaign */ AND version = $2 /* version */
               AND state <> 'active' /* activate */",
            &[&campaign.as_str(), &version.0],
        )
        .await?;
    expect_rows("activate", 1, activated)?;
    note_change(transaction).await?;
    Ok(before)
}

/// Ends the active version of a campaign that is locked, if there is one, and returns it.
pub async fn retire(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
) -> Result<Option<Version>, Error> {
    let retired = end_active(transaction, campaign).await?;
    if retired.is_some() {
        note_change(transaction).await?;
    }
    Ok(retired)
}

async fn end_active(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
) -> Result<Option<Version>, Error> {
    let ended = transaction
        .query_opt(
            "UPDATE campaign_version SET state = 'retired', retired_at = now()
             WHERE campaign_id = $1 /* campaign */ AND state = 'active'
             RETURNING version /* end_active_version */",
            &[&campaign.as_str()],
        )
        .await?;
    Ok(ended.map(|row| row.try_get(0).map(Version)).transpose()?)
}

async fn note_change(transaction: &Transaction<'_>) -> Result<(), Error> {
    let noted = transaction
        .execute("UPDATE campaign_change SET number = number + 1 /* note_campaign_change */", &[])
        .await?;
    expect_rows("note_campaign_change", 1, noted)
}

/// A version; `None` if there is none of this number.
pub async fn get(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    version: Version,
) -> Result<Option<StoredVersion>, Error> {
    let row = transaction
        .query_opt(
            "SELECT campaign.number, v.* FROM campaign_version v
             JOIN campaign ON campaign.id = v.campaign_id
             WHERE v.campaign_id = $1 /* campaign */ AND v.version = $2 /* version */
             /* get_version */",
            &[&campaign.as_str(), &version.0],
        )
        .await?;
    row.as_ref().map(stored_of).transpose()
}

/// Whether there is a campaign of this name.
pub async fn exists(transaction: &Transaction<'_>, campaign: &CampaignId) -> Result<bool, Error> {
    let row = transaction
        .query_one(
            "SELECT EXISTS (SELECT FROM campaign WHERE id = $1 /* campaign, campaign_exists */)",
            &[&campaign.as_str()],
        )
        .await?;
    Ok(row.try_get(0)?)
}

/// Up to `most` versions of a campaign, the latest first, from the one before `before` on.
pub async fn versions(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    before: Option<Version>,
    most: u16,
) -> Result<Vec<VersionRecord>, Error> {
    let before = before.map_or(i32::MAX, |version| version.0);
    let rows = transaction
        .query(
            "SELECT campaign.number, v.campaign_id, v.version, v.state, v.format, v.created_by,
                    v.created_at, v.activated_at, v.retired_at
             FROM campaign_version v JOIN campaign ON campaign.id = v.campaign_id
             WHERE v.campaign_id = $1 /* campaign */ AND v.version < $2 /* before */
             ORDER BY v.version DESC LIMIT $3 /* most, list_versions */",
            &[&campaign.as_str(), &before, &i64::from(most)],
        )
        .await?;
    rows.iter().map(record_of).collect()
}

/// Up to `most` versions of a campaign that are or were active, the one that was active last first.
pub async fn activated(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    most: u16,
) -> Result<Vec<StoredVersion>, Error> {
    let rows = transaction
        .query(
            "SELECT campaign.number, v.* FROM campaign_version v
             JOIN campaign ON campaign.id = v.campaign_id
             WHERE v.campaign_id = $1 /* campaign */ AND v.activated_at IS NOT NULL
             ORDER BY v.state = 'active' DESC, v.retired_at DESC, v.version DESC
             LIMIT $2 /* most, activated_versions */",
            &[&campaign.as_str(), &i64::from(most)],
        )
        .await?;
    rows.iter().map(stored_of).collect()
}

/// Of one campaign, or of each, the version that counts: the active one, or else the one that was
/// retired last, or else the latest draft. By name.
pub async fn current(
    transaction: &Transaction<'_>,
    campaign: Option<&CampaignId>,
) -> Result<Vec<StoredVersion>, Error> {
    let rows = transaction
        .query(
            "SELECT DISTINCT ON (v.campaign_id) campaign.number, v.* FROM campaign_version v
             JOIN campaign ON campaign.id = v.campaign_id
             WHERE $1::text /* campaign */ IS NULL OR v.campaign_id = $1
             ORDER BY v.campaign_id, v.state = 'active' DESC, v.retired_at DESC NULLS LAST,
                      v.version DESC /* current_versions */",
            &[&campaign.map(CampaignId::as_str)],
        )
        .await?;
    rows.iter().map(stored_of).collect()
}

/// Of one campaign, or of each, the version that is active, or else the one that was retired last; none
/// of a campaign that was never active. By name.
pub async fn standings(
    transaction: &Transaction<'_>,
    campaign: Option<&CampaignId>,
) -> Result<Vec<VersionRecord>, Error> {
    let rows = transaction
        .query(
            "SELECT DISTINCT ON (v.campaign_id) campaign.number, v.campaign_id, v.version, v.state,
                    v.format, v.created_by, v.created_at, v.activated_at, v.retired_at
             FROM campaign_version v JOIN campaign ON campaign.id = v.campaign_id
             WHERE v.activated_at IS NOT NULL
               AND ($1::text /* campaign */ IS NULL OR v.campaign_id = $1)
             ORDER BY v.campaign_id, v.state = 'active' DESC, v.retired_at DESC, v.version DESC
             /* standings */",
            &[&campaign.map(CampaignId::as_str)],
        )
        .await?;
    rows.iter().map(record_of).collect()
}

/// [`standings`] as they are now.
pub async fn standings_now(
    store: &Store,
    campaign: Option<&CampaignId>,
) -> Result<Vec<VersionRecord>, Error> {
    transact_within(store, READ, async |connection| {
        let transaction = connection.transaction().await?;
        standings(&transaction, campaign).await
    })
    .await
}

/// What [`current`] and [`activated`] say, as of one moment.
#[derive(Debug)]
pub struct Snapshot {
    /// [`change_number`] at that moment.
    pub change: i64,
    /// Of each campaign the version that counts.
    pub current: Vec<StoredVersion>,
}

/// All campaigns as they are now.
pub async fn snapshot(store: &Store) -> Result<Snapshot, Error> {
    transact_within(store, READ, async |connection| {
        let transaction = connection.transaction().await?;
        // Asked for first: what comes after it is at least as new.
        let row = transaction
            .query_one("SELECT number FROM campaign_change /* snapshot_change */", &[])
            .await?;
        Ok(Snapshot { change: row.try_get(0)?, current: current(&transaction, None).await? })
    })
    .await
}

/// Those versions of a campaign that are or were active, the one that was active last first.
pub async fn earlier(store: &Store, campaign: &CampaignId) -> Result<Vec<StoredVersion>, Error> {
    transact_within(store, READ, async |connection| {
        let transaction = connection.transaction().await?;
        activated(&transaction, campaign, 10).await
    })
    .await
}

/// Grows whenever a version is activated or retired.
pub async fn change_number(store: &Store) -> Result<i64, Error> {
    transact_within(store, COMPARE, async |connection| {
        let statement = connection
            .prepare_cached("SELECT number FROM campaign_change /* campaign_change */")
            .await?;
        Ok(connection.query_one(&statement, &[]).await?.try_get(0)?)
    })
    .await
}

fn stored_of(row: &Row) -> Result<StoredVersion, Error> {
    Ok(StoredVersion { record: record_of(row)?, document: row.try_get("document")? })
}

fn record_of(row: &Row) -> Result<VersionRecord, Error> {
    let corrupt = |what: String| Error::Corrupt("campaign_version", what);
    let campaign: String = row.try_get("campaign_id")?;
    let state: String = row.try_get("state")?;
    let format: String = row.try_get("format")?;
    Ok(VersionRecord {
        campaign: campaign.parse().map_err(|_bad| corrupt(format!("the name '{campaign}'")))?,
        number: CampaignNumber(row.try_get("number")?),
        version: Version(row.try_get("version")?),
        state: State::ALL
            .into_iter()
            .find(|known| known.name() == state)
            .ok_or_else(|| corrupt(format!("the state '{state}'")))?,
        format: Format::named(&format).ok_or_else(|| corrupt(format!("the format '{format}'")))?,
        created_by: row.try_get("created_by")?,
        created_at: row.try_get("created_at")?,
        activated_at: row.try_get("activated_at")?,
        retired_at: row.try_get("retired_at")?,
    })
}
