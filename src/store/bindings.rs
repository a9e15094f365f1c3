//! Bindings: who was invited by whom, and what was decided about it.

use std::net::IpAddr;

use jiff::Timestamp;
use tokio_postgres::Row;

use super::{Error, Transaction, expect_rows};
use crate::campaign::{CampaignId, Version};
use crate::referral::token::click_name;

pub mod page;

/// A binding, as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredBinding {
    /// Its number.
    pub id: i64,
    /// Who was invited.
    pub invitee: String,
    /// By whom.
    pub inviter: String,
    /// With which code.
    pub code: String,
    /// What is shown of the inviter's name.
    pub shown_name: Option<String>,
    /// Whether people have to look at it first.
    pub held: bool,
    /// When they were bound.
    pub bound_at: Timestamp,
}

/// A binding to be made.
#[derive(Clone, Copy, Debug)]
pub struct NewBinding<'a> {
    /// In which campaign.
    pub campaign: &'a CampaignId,
    /// Under which version of it.
    pub version: Version,
    /// Who was invited.
    pub invitee: &'a str,
    /// By whom.
    pub inviter: &'a str,
    /// With which code.
    pub code: &'a str,
    /// By which click, if one was claimed.
    pub click_id: Option<u128>,
    /// Whether people have to look at it first.
    pub held: bool,
    /// A keyed hash of the device.
    pub device: Option<[u8; 16]>,
    /// The network.
    pub network: Option<IpAddr>,
    /// When.
    pub bound_at: Timestamp,
}

/// A decision to be kept.
#[derive(Clone, Copy, Debug)]
pub struct NewDecision<'a> {
    /// In which campaign.
    pub campaign: &'a CampaignId,
    /// Under which version of its rules.
    pub version: Version,
    /// Who asked.
    pub invitee: &'a str,
    /// Whom the code leads to, if to anybody.
    pub inviter: Option<&'a str>,
    /// The code, if it could be one.
    pub code: Option<&'a str>,
    /// Which click was claimed, if one was named.
    pub click_id: Option<u128>,
    /// `bound`, `held` or `refused`.
    pub outcome: &'a str,
    /// The name of the reason.
    pub reason: Option<&'a str>,
    /// What each check said.
    pub checks: &'a serde_json::Value,
    /// A keyed hash of the device.
    pub device: Option<[u8; 16]>,
    /// The network.
    pub network: Option<IpAddr>,
    /// When.
    pub decided_at: Timestamp,
}

/// The binding of an invitee, if there is one.
pub async fn find(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    invitee: &str,
) -> Result<Option<StoredBinding>, Error> {
    let row = transaction
        .query_opt(
            "SELECT b.*, c.shown_name FROM binding b JOIN referral_code c ON c.code = b.code
             WHERE b.campaign_id = $1 /* campaign */ AND b.invitee = $2 /* invitee, find_binding */",
            &[&campaign.as_str(), &invitee],
        )
        .await?;
    row.as_ref().map(read).transpose()
}

/// Whom a claim has bound, if anybody.
pub async fn invitee_of_click(
    transaction: &Transaction<'_>,
    click_id: u128,
) -> Result<Option<String>, Error> {
    let row = transaction
        .query_opt(
            "SELECT invitee FROM binding
             WHERE click_id = $1::text::uuid /* click, invitee_of_click */",
            &[&click_name(click_id)],
        )
        .await?;
    row.map(|row| Ok(row.try_get(0)?)).transpose()
}

/// Who stands at the top of the chain of inviters above a user: the user, if nobody invited them.
/// `None` when the chain is longer than `most`.
pub async fn root_of(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    user: &str,
    most: i32,
) -> Result<Option<String>, Error> {
    let row = transaction
        .query_one(
            "WITH RECURSIVE chain (member, depth) AS (
                 SELECT $2::text /* user */, 0
                 UNION ALL
                 SELECT b.inviter, chain.depth + 1 FROM chain
                 JOIN binding b ON b.campaign_id = $1 /* campaign */ AND b.invitee = chain.member
                 WHERE chain.depth <= $3 /* most */
             )
             SELECT member, depth FROM chain ORDER BY depth DESC LIMIT 1 /* root_of */",
            &[&campaign.as_str(), &user, &most],
        )
        .await?;
    let depth: i32 = row.try_get(1)?;
    if depth > most { Ok(None) } else { Ok(Some(row.try_get(0)?)) }
}

/// How many others were bound on a device, counted up to `most`.
pub async fn bound_on_device(
    transaction: &Transaction<'_>,
    campaign: &CampaignId,
    device: &[u8; 16],
    most: i64,
) -> Result<i64, Error> {
    let row = transaction
        .query_one(
            "SELECT count(*) FROM (
                 SELECT FROM binding
                 WHERE campaign_id = $1 /* campaign */ AND device = $2 /* device */
                 LIMIT $3 /* most */
             ) seen /* bound_on_device */",
            &[&campaign.as_str(), &device.as_slice(), &most],
        )
        .await?;
    Ok(row.try_get(0)?)
}

/// The last so many attempts on a device or from a network are looked at.
const ATTEMPTS: i64 = 100_000;

/// How many others asked for a binding on a device since a moment.
pub async fn asked_on_device(
    transaction: &Transaction<'_>,
    (campaign, invitee): (&CampaignId, &str),
    device: &[u8; 16],
    since: Timestamp,
) -> Result<i64, Error> {
    let row = transaction
        .query_one(
            "SELECT count(DISTINCT invitee) FROM (
                 SELECT invitee FROM binding_decision
                 WHERE campaign_id = $1 /* campaign */ AND device = $2 /* device */
                   AND decided_at > $3 /* since */ AND invitee <> $4 /* invitee */
                 ORDER BY decided_at DESC LIMIT $5 /* most */
             ) asked /* asked_on_device */",
            &[&campaign.as_str(), &device.as_slice(), &since, &invitee, &ATTEMPTS],
        )
        .await?;
    Ok(row.try_get(0)?)
}

/// How many others asked for a binding from a network since a moment.
pub async fn asked_from_network(
    transaction: &Transaction<'_>,
    (campaign, invitee): (&CampaignId, &str),
    network: IpAddr,
    since: Timestamp,
) -> Result<i64, Error> {
    let row = transaction
        .query_one(
            "SELECT count(DISTINCT invitee) FROM (
                 SELECT invitee FROM binding_decision
                 WHERE campaign_id = $1 /* campaign */ AND network = $2 /* network */
                   AND decided_at > $3 /* since */ AND invitee <> $4 /* invitee */
                 ORDER BY decided_at DESC LIMIT $5 /* most */
             ) asked /* asked_from_network */",
            &[&campaign.as_str(), &network, &since, &invitee, &ATTEMPTS],
        )
        .await?;
    Ok(row.try_get(0)?)
}

/// How many invitees an inviter has had since a moment, counted up to `most`.
pub async fn invited_since(
    transaction: &Transaction<'_>,
    (campaign, inviter): (&CampaignId, &str),
    since: Timestamp,
    most: i64,
) -> Result<i64, Error> {
    let row = transaction
        .query_one(
            "SELECT count(*) FROM (
                 SELECT FROM binding
                 WHERE campaign_id = $1 /* campaign */ AND inviter = $2 /* inviter */
                   AND bound_at > $3 /* since */
                 LIMIT $4 /* most */
             ) seen /* invited_since */",
            &[&campaign.as_str(), &inviter, &since, &most],
        )
        .await?;
    Ok(row.try_get(0)?)
}

/// Binds an invitee who is not bound.
pub async fn insert(
    transaction: &Transaction<'_>,
    new: &NewBinding<'_>,
) -> Result<StoredBinding, Error> {
    let state = if new.held { "held" } else { "bound" };
    let row = transaction
        .query_one(
            "WITH b AS (
                 INSERT INTO binding (campaign_id, invitee, inviter, code, click_id,
                                      campaign_version, state, device, network, bound_at)
                 VALUES ($1 /* campaign */, $2 /* invitee */, $3 /* inviter */, $4 /* code */,
                         $5::text::uuid /* click */, $6 /* version */, $7 /* state */,
                         $8 /* device */, $9 /* network */, $10 /* bound_at */)
                 RETURNING *
             )
             SELECT b.*, c.shown_name FROM b JOIN referral_code c ON c.code = b.code
             /* insert_binding */",
            &[
                &new.campaign.as_str(),
                &new.invitee,
                &new.inviter,
                &new.code,
                &new.click_id.map(click_name),
                &new.version.0,
                &state,
                &new.device.as_ref().map(<[u8; 16]>::as_slice),
                &new.network,
                &new.bound_at,
            ],
        )
        .await?;
    read(&row)
}

/// Keeps a decision.
pub async fn record(transaction: &Transaction<'_>, new: &NewDecision<'_>) -> Result<(), Error> {
    let recorded = transaction
        .execute(
            "INSERT INTO binding_decision (campaign_id, campaign_version, invitee, inviter, code,
                                           click_id, outcome, reason, checks, device, network,
                                           decided_at)
             VALUES ($1 /* campaign */, $2 /* version */, $3 /* invitee */, $4 /* inviter */,
                     $5 /* code */, $6::text::uuid /* click */, $7 /* outcome */, $8 /* reason */,
                     $9 /* checks */, $10 /* device */, $11 /* network */, $12 /* decided_at */)
             /* record_decision */",
            &[
                &new.campaign.as_str(),
                &new.version.0,
                &new.invitee,
                &new.inviter,
                &new.code,
                &new.click_id.map(click_name),
                &new.outcome,
                &new.reason,
                &new.checks,
                &new.device.as_ref().map(<[u8; 16]>::as_slice),
                &new.network,
                &new.decided_at,
            ],
        )
        .await?;
    expect_rows("record_decision", 1, recorded)
}

fn read(row: &Row) -> Result<StoredBinding, Error> {
    let state: String = row.try_get("state")?;
    Ok(StoredBinding {
        id: row.try_get("id")?,
        invitee: row.try_get("invitee")?,
        inviter: row.try_get("inviter")?,
        code: row.try_get("code")?,
        shown_name: row.try_get("shown_name")?,
        held: state == "held",
        bound_at: row.try_get("bound_at")?,
    })
}
