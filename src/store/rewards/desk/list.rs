//! Lists of rewards, newest first. However few of how many rewards are wanted, a page looks at a bounded
//! number of rows: of those of one user, of one invitee or in an open state by an index, and of all
//! others at so many at a time.

use super::{StoredReward, read};
use crate::campaign::CampaignId;
use crate::reward::machine::State;
use crate::store::rewards::explain::by_index_only;
use crate::store::{Error, Store, Transaction};

/// Which rewards a list shows.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    /// Only those of this campaign.
    pub campaign: Option<CampaignId>,
    /// Only those in this state.
    pub state: Option<State>,
    /// Only those that this user gets; needs a campaign.
    pub user: Option<String>,
    /// Only those for this invitee's binding; needs a campaign.
    pub invitee: Option<String>,
    /// Only those for this kind of trigger.
    pub kind: Option<String>,
    /// Only those older than this one.
    pub before: Option<i64>,
}

/// A page, and where the next one begins.
#[derive(Clone, Debug, PartialEq)]
pub struct Listed {
    /// The rewards, newest first.
    pub rewards: Vec<StoredReward>,
    /// The reward after which the next page begins, if there may be one.
    pub next: Option<i64>,
}

/// How many rewards a page looks at where no index finds those that are wanted.
const LOOKED_AT: i64 = 20_000;

/// Up to `limit` rewards. A page may have fewer, even none, and yet not be the last: then only so many
/// were looked at.
pub async fn list(store: &Store, filter: &Filter, limit: u32) -> Result<Listed, Error> {
    let is_open = |state: &State| {
        matches!(
            state,
            State::Review | State::Create | State::Drawn | State::Revealed | State::Parked
        )
    };
    let mut connection = store.connection().await?;
    let transaction = &connection.transaction().await?;
    by_index_only(transaction).await?;
    if filter.campaign.is_some() && (filter.user.is_some() || filter.invitee.is_some()) {
        by_user(transaction, filter, limit).await
    } else if let Some(state) = filter.state.filter(is_open) {
        open(transaction, state, filter, limit).await
    } else {
        step_by_step(transaction, filter, limit).await
    }
}

/// Those of a user or an invitee of one campaign.
async fn by_user(
    transaction: &Transaction<'_>,
    filter: &Filter,
    limit: u32,
) -> Result<Listed, Error> {
    let rows = transaction
        .query(
            "SELECT r.*, b.inviter FROM reward r
             JOIN binding b ON b.campaign_id = r.campaign_id AND b.invitee = r.invitee
             WHERE r.campaign_id = $1 /* campaign */
               AND ($2::text IS NULL OR r.beneficiary = $2 /* user */)
               AND ($3::text IS NULL OR r.invitee = $3 /* invitee */)
               AND ($4::text IS NULL OR r.state = $4 /* state */)
               AND ($5::text IS NULL OR r.kind = $5 /* kind */)
               AND r.id < $6 /* before */
             ORDER BY r.id DESC LIMIT $7 /* limit, rewards_of_user */",
            &[
                &filter.campaign.as_ref().map(CampaignId::as_str),
                &filter.user,
                &filter.invitee,
                &filter.state.map(State::name),
                &filter.kind,
                &filter.before.unwrap_or(i64::MAX),
                &i64::from(limit).saturating_add(1),
            ],
        )
        .await?;
    let rewards = rows.iter().map(read).collect::<Result<_, Error>>()?;
    Ok(cut(rewards, limit))
}

/// Those in a state in which they wait for workers or for people.
async fn open(
    transaction: &Transaction<'_>,
    state: State,
    filter: &Filter,
    limit: u32,
) -> Result<Listed, Error> {
    // The list of states is that of the index: without it PostgreSQL does not see that it fits.
    let rows = transaction
        .query(
            "SELECT r.*, b.inviter FROM reward r
             JOIN binding b ON b.campaign_id = r.campaign_id AND b.invitee = r.invitee
             WHERE r.state = $1 /* state */
               AND r.state IN ('REVIEW', 'CREATE', 'DRAWN', 'REVEALED', 'PARKED')
               AND ($2::text IS NULL OR r.campaign_id = $2 /* campaign */)
               AND ($3::text IS NULL OR r.kind = $3 /* kind */)
               AND r.id < $4 /* before */
             ORDER BY r.id DESC LIMIT $5 /* limit, open_rewards */",
            &[
                &state.name(),
                &filter.campaign.as_ref().map(CampaignId::as_str),
                &filter.kind,
                &filter.before.unwrap_or(i64::MAX),
                &i64::from(limit).saturating_add(1),
            ],
        )
        .await?;
    let rewards = rows.iter().map(read).collect::<Result<_, Error>>()?;
    Ok(cut(rewards, limit))
}

/// Any: so many rewards are looked at, and the next page goes on after them.
async fn step_by_step(
    transaction: &Transaction<'_>,
    filter: &Filter,
    limit: u32,
) -> Result<Listed, Error> {
    let before = filter.before.unwrap_or(i64::MAX);
    let last_looked_at: Option<i64> = transaction
        .query_opt(
            "SELECT id FROM reward WHERE id < $1 /* before */
             ORDER BY id DESC OFFSET $2 /* looked_at */ LIMIT 1 /* end_of_rewards */",
            &[&before, &LOOKED_AT.saturating_sub(1)],
        )
        .await?
        .map(|row| row.try_get(0))
        .transpose()?;
    let rows = transaction
        .query(
            "SELECT r.*, b.inviter FROM reward r
             JOIN binding b ON b.campaign_id = r.campaign_id AND b.invitee = r.invitee
             WHERE r.id < $1 /* before */ AND r.id >= $2 /* last_looked_at */
               AND ($3::text IS NULL OR r.campaign_id = $3 /* campaign */)
               AND ($4::text IS NULL OR r.state = $4 /* state */)
               AND ($5::text IS NULL OR r.kind = $5 /* kind */)
             ORDER BY r.id DESC LIMIT $6 /* limit, list_rewards */",
            &[
                &before,
                &last_looked_at.unwrap_or(i64::MIN),
                &filter.campaign.as_ref().map(CampaignId::as_str),
                &filter.state.map(State::name),
                &filter.kind,
                &i64::from(limit).saturating_add(1),
            ],
        )
        .await?;
    let rewards = rows.iter().map(read).collect::<Result<_, Error>>()?;
    let Listed { rewards, next } = cut(rewards, limit);
    Ok(Listed { rewards, next: next.or(last_looked_at) })
}

/// One more than asked for tells whether there is another page.
fn cut(mut rewards: Vec<StoredReward>, limit: u32) -> Listed {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rewards.len() > limit;
    rewards.truncate(limit);
    let next = rewards.last().filter(|_| more).map(|last| last.id);
    Listed { rewards, next }
}
