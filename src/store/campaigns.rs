//! Campaigns and their versions.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{Error, Store, Transaction, expect_rows};
use crate::campaign::document::Format;
use crate::campaign::{CampaignId, CampaignNumber, State, Version};

/// A version of a campaign, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredVersion {
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
    /// The document, as it came.
    pub document: String,
    /// Who put it there.
    pub created_by: String,
    /// When.
    pub created_at: Timestamp,
    /// When it was last activated.
    pub activated_at: Option<Timestamp>,
    /// When another one took its place, or the campaign was retired.
    pub retired_at: Option<Timestamp>,
}

/// A new version.
#[derive(Debug)]
pub struct NewVersion<'a> {
    /// Of this campaign, which is made if there is none of this name.
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

/// Adds a version, unless one with the same content is there. Returns the version, and whether it is
/// new.
pub async fn put(
    transaction: &Transaction<'_>,
    new: &NewVersion<'_>,
) -> Result<(StoredVersion, bool), Error> {
    // May well change no row: the campaign may be there.
    transaction
        .execute(
            "INSERT INTO campaign (id, created_by) VALUES ($1 /* campaign */, $2 /* actor */)
             ON CONFLICT (id) DO NOTHING /* make_campaign */",
            &[&new.campaign.as_str(), &new.actor],
        )
        .await?;
    lock(transaction, new.campaign).await?;
    let same = transaction
        .query_opt(
            "SELECT version FROM campaign_version
             WHERE campaign_id = $1 /* campaign */ AND hash = $2 /* hash */ /* find_same_version */",
            &[&new.campaign.as_str(), &new.hash.as_slice()],
        )
        .await?;
    let is_new = same.is_none();
    if is_new {
        let added = transaction
            .execute(
                "INSERT INTO campaign_version
                     (campaign_id, version, format, document, hash, created_by)
                 SELECT $1 /* campaign */, coalesce(max(version), 0) + 1, $2 /* format */,
                        $3 /* document */, $4 /* hash */, $5 /* actor */
                 FROM campaign_version WHERE campaign_id = $1 /* add_version */",
                &[
                    &new.campaign.as_str(),
                    &new.format.name(),
                    &new.document,
                    &new.hash.as_slice(),
                    &new.actor,
                ],
            )
            .await?;
        expect_rows("add_version", 1, added)?;
    }
    let row = transaction
        .query_one(
            "SELECT campaign.number, v.* FROM campaign_version v
             JOIN campaign ON campaign.id = v.campaign_id
             WHERE v.campaign_id = $1 /* campaign */ AND v.hash = $2 /* hash */ /* get_put_version */",
            &[&new.campaign.as_str(), &new.hash.as_slice()],
        )
        .await?;
    Ok((version_of(&row)?, is_new))
}

/// Makes a version the active one, in place of the one that is. It must be there; making the active one
/// active changes nothing. Returns the version that was active before.
pub async fn activate(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    version: Version,
) -> Result<Option<Version>, Error> {
    let before = retire(transaction, campaign).await?;
    let activated = transaction
        .execute(
            "UPDATE campaign_version
             SET state = 'active', activated_at = now(), retired_at = NULL
             WHERE campaign_id = $1 /* campaign */ AND version = $2 /* version */ /* activate */",
            &[&campaign.as_str(), &version.0],
        )
        .await?;
    expect_rows("activate", 1, activated)?;
    Ok(before)
}

/// Ends the active version, if there is one, and returns it.
pub async fn retire(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
) -> Result<Option<Version>, Error> {
    lock(transaction, campaign).await?;
    let retired = transaction
        .query_opt(
            "UPDATE campaign_version SET state = 'retired', retired_at = now()
             WHERE campaign_id = $1 /* campaign */ AND state = 'active'
             RETURNING version /* retire */",
            &[&campaign.as_str()],
        )
        .await?;
    let noted = transaction
        .execute("UPDATE campaign_change SET number = number + 1 /* note_campaign_change */", &[])
        .await?;
    expect_rows("note_campaign_change", 1, noted)?;
    Ok(retired.map(|row| row.try_get(0).map(Version)).transpose()?)
}

/// Until the transaction ends, nobody else changes this campaign.
async fn lock(transaction: &Transaction<'_>, campaign: &CampaignId) -> Result<(), Error> {
    transaction
        .query_opt(
            "SELECT 1 FROM campaign WHERE id = $1 /* campaign */ FOR UPDATE /* lock_campaign */",
            &[&campaign.as_str()],
        )
        .await?;
    Ok(())
}

/// A version; `None` if there is none of this number.
pub async fn get(
    store: &Store,
    campaign: &CampaignId,
    version: Version,
) -> Result<Option<StoredVersion>, Error> {
    let connection = store.connection().await?;
    let row = connection
        .query_opt(
            "SELECT campaign.number, v.* FROM campaign_version v
             JOIN campaign ON campaign.id = v.campaign_id
             WHERE v.campaign_id = $1 /* campaign */ AND v.version = $2 /* version */
             /* get_version */",
            &[&campaign.as_str(), &version.0],
        )
        .await?;
    row.as_ref().map(version_of).transpose()
}

/// All versions of a campaign, the latest first; none at all if there is no such campaign.
pub async fn versions(store: &Store, campaign: &CampaignId) -> Result<Vec<StoredVersion>, Error> {
    let connection = store.connection().await?;
    let rows = connection
        .query(
            "SELECT campaign.number, v.* FROM campaign_version v
             JOIN campaign ON campaign.id = v.campaign_id
             WHERE v.campaign_id = $1 /* campaign */ ORDER BY v.version DESC LIMIT 1000
             /* list_versions */",
            &[&campaign.as_str()],
        )
        .await?;
    rows.iter().map(version_of).collect()
}

/// Of each campaign the version that counts: the active one, or else the one that was retired last, or
/// else the latest draft. By name.
pub async fn current(store: &Store) -> Result<Vec<StoredVersion>, Error> {
    let connection = store.connection().await?;
    let rows = connection
        .query(
            "SELECT DISTINCT ON (v.campaign_id) campaign.number, v.* FROM campaign_version v
             JOIN campaign ON campaign.id = v.campaign_id
             ORDER BY v.campaign_id, v.state = 'active' DESC, v.retired_at DESC NULLS LAST,
                      v.version DESC /* current_versions */",
            &[],
        )
        .await?;
    rows.iter().map(version_of).collect()
}

/// Grows whenever a version is activated or retired.
pub async fn change_number(store: &Store) -> Result<i64, Error> {
    let connection = store.connection().await?;
    let statement = connection
        .prepare_cached("SELECT number FROM campaign_change /* campaign_change */")
        .await?;
    Ok(connection.query_one(&statement, &[]).await?.try_get(0)?)
}

fn version_of(row: &Row) -> Result<StoredVersion, Error> {
    let corrupt = |what: String| Error::Corrupt("campaign_version", what);
    let campaign: String = row.try_get("campaign_id")?;
    let state: String = row.try_get("state")?;
    let format: String = row.try_get("format")?;
    Ok(StoredVersion {
        campaign: campaign.parse().map_err(|_bad| corrupt(format!("the name '{campaign}'")))?,
        number: CampaignNumber(row.try_get("number")?),
        version: Version(row.try_get("version")?),
        state: State::ALL
            .into_iter()
            .find(|known| known.name() == state)
            .ok_or_else(|| corrupt(format!("the state '{state}'")))?,
        format: Format::named(&format).ok_or_else(|| corrupt(format!("the format '{format}'")))?,
        document: row.try_get("document")?,
        created_by: row.try_get("created_by")?,
        created_at: row.try_get("created_at")?,
        activated_at: row.try_get("activated_at")?,
        retired_at: row.try_get("retired_at")?,
    })
}
