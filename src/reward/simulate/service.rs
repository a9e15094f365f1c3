//! Reads what happened in a campaign, and replays it. Nothing is written; all is as of one moment.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use tokio::sync::Semaphore;

use super::report::Report;
use super::{Draws, Judged, Replay};
use crate::campaign::pinned::Pinned;
use crate::campaign::{Campaign, CampaignId, Since, Version};
use crate::store::rewards::simulate::{self as past, Span};
use crate::store::{self, Prepared, Store, transact_within};

/// Why nothing was simulated.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A day is none, or the last one comes before the first.
    #[error("'{parameter}' {detail}")]
    Refused {
        /// `from` or `to`.
        parameter: &'static str,
        /// What is wrong with it and what would be right.
        detail: String,
    },
    /// There is more than may be replayed at once.
    #[error("the campaign has more than {most} {what} until then; {}", .remedy)]
    TooMany {
        /// Bindings or triggers.
        what: &'static str,
        /// How many may be replayed.
        most: i64,
        /// What can be done instead.
        remedy: &'static str,
    },
    /// It took too long.
    #[error("it took longer than {} s; {}", .budget.as_secs(), .remedy)]
    TooSlow {
        /// How long it may take.
        budget: Duration,
        /// What can be done instead.
        remedy: &'static str,
    },
    /// Another simulation is under way in this process.
    #[error("another simulation is under way in this process; try again when it has ended")]
    Busy,
    /// The database.
    #[error(transparent)]
    Store(#[from] store::Error),
}

/// How much may be replayed at once.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// As many bindings, and as many triggers. Those before the first day that counts are among them.
    pub most: i64,
    /// How long it may take.
    pub budget: Duration,
    /// What can be done where that is not enough.
    pub remedy: &'static str,
}

/// On the command line. A million triggers of as many invitees take about 100 MB of memory.
pub const COMMAND_LINE: Limits = Limits {
    most: 5_000_000,
    budget: Duration::from_hours(1),
    remedy: "let it end earlier, with an earlier 'to'",
};

/// In the API, where somebody waits for the answer, and others for the same database.
pub const API: Limits = Limits {
    most: 100_000,
    budget: Duration::from_secs(8),
    remedy: "let it end earlier, with an earlier 'to', or use the command 'waypost campaign simulate'",
};

/// What is to be simulated.
#[derive(Debug)]
pub struct Question<'a> {
    /// In which campaign.
    pub campaign: &'a CampaignId,
    /// Under which document.
    pub said: Campaign,
    /// What draws count as that never happened.
    pub draws: Draws,
    /// What counts of what happened.
    pub span: Span,
    /// How much may be replayed.
    pub limits: Limits,
}

/// See the module.
#[derive(Debug)]
pub struct Simulator {
    store: Store,
    pinned: Pinned,
    turn: Semaphore,
}

impl Simulator {
    /// Simulates what happened in this database.
    pub fn new(store: Store) -> Self {
        Self { store, pinned: Pinned::default(), turn: Semaphore::new(1) }
    }

    /// Says what would have been. `tell` hears of each reward, in the order in which they were owed.
    pub async fn simulate(
        &self,
        question: Question<'_>,
        tell: &mut (dyn FnMut(&Judged<'_>) + Send),
    ) -> Result<Report, Error> {
        let Ok(_turn) = self.turn.try_acquire() else { return Err(Error::Busy) };
        let Limits { budget, remedy, .. } = question.limits;
        let work = async |connection: &mut store::Connection| {
            let transaction = past::begin(connection, budget).await?;
            Ok(self.replay(&transaction, question, tell).await)
        };
        match transact_within(&self.store, budget, work).await {
            Ok(outcome) => outcome,
            Err(store::Error::TimedOut(_)) => Err(Error::TooSlow { budget, remedy }),
            Err(error) => Err(error.into()),
        }
    }

    async fn replay(
        &self,
        transaction: &Prepared<'_>,
        question: Question<'_>,
        tell: &mut (dyn FnMut(&Judged<'_>) + Send),
    ) -> Result<Report, Error> {
        let Question { campaign, said, draws, span, limits } = question;
        let Limits { most, remedy, .. } = limits;
        let (bindings, triggers) =
            past::count(transaction, campaign, span, most.saturating_add(1)).await?;
        for (count, what) in [(bindings, "bindings"), (triggers, "triggers")] {
            if count > most {
                return Err(Error::TooMany { what, most, remedy });
            }
        }
        let since = match said.new_user.since {
            Since::CampaignStart => Some(said.starts_at.at()),
            Since::Ever => None,
        };
        let rule = (&said.new_user.clone(), since);
        let mut replay = Replay::new(campaign, said, draws, span.from);
        let bindings = past::bindings(transaction, campaign, span, rule).await?;
        loop {
            let page = bindings.next().await?;
            if page.is_empty() {
                break;
            }
            let versions = page.iter().filter_map(|it| it.rules).collect();
            self.learn(transaction, campaign, &mut replay, versions).await?;
            for past in &page {
                replay.bind(past);
            }
        }
        let triggers = past::triggers(transaction, campaign, span).await?;
        loop {
            let page = triggers.next().await?;
            if page.is_empty() {
                break;
            }
            let draws = page.iter().flat_map(|it| [it.inviter_draw, it.invitee_draw]).flatten();
            let versions = draws.map(|draw| draw.version).collect();
            self.learn(transaction, campaign, &mut replay, versions).await?;
            for past in &page {
                replay.reach(past, tell);
            }
        }
        let mut report = replay.finish();
        let count = |count: i64| u64::try_from(count).unwrap_or(0);
        let unbound = past::triggers_without_binding(transaction, campaign, span).await?;
        report.triggers.without_binding = count(unbound);
        let refused = past::refused(transaction, campaign, span).await?;
        let refused = refused.into_iter().map(|(reason, users)| (reason, count(users)));
        report.bindings.refused_then = refused.collect();
        Ok(report)
    }

    /// Reads what these versions said. One that cannot be read promised nothing that could be compared.
    async fn learn(
        &self,
        transaction: &Prepared<'_>,
        campaign: &CampaignId,
        replay: &mut Replay,
        versions: BTreeSet<Version>,
    ) -> Result<(), store::Error> {
        for version in versions.into_iter().filter(|it| replay.lacks(*it)).collect::<Vec<_>>() {
            let said = match self.pinned.get(transaction, campaign, version).await {
                Ok(said) => Some(said),
                Err(store::Error::Corrupt(..)) => None,
                Err(error) => return Err(error),
            };
            replay.learn(version, said);
        }
        Ok(())
    }
}

/// What lies between two days of UTC, of which the second one does not belong to it any more; left out, all that
/// there is.
pub fn span(from: Option<&str>, to: Option<&str>) -> Result<Span, Error> {
    let (first, end) = (day("from", from)?, day("to", to)?);
    if let Some((first, end)) = first.zip(end)
        && first >= end
    {
        let detail = format!(
            "must be later than 'from', {first}: it is the first day that does not belong to it any more"
        );
        return Err(Error::Refused { parameter: "to", detail });
    }
    let start = |day: Option<Date>| {
        day.and_then(|day| day.to_zoned(TimeZone::UTC).ok()).map(|start| start.timestamp())
    };
    Ok(Span { from: start(first), to: start(end) })
}

fn day(parameter: &'static str, text: Option<&str>) -> Result<Option<Date>, Error> {
    let Some(text) = text else { return Ok(None) };
    let day = text.parse::<Date>().ok().filter(|day| day.to_string() == text);
    day.map(Some).ok_or_else(|| {
        let shown: String = text.chars().take(64).collect();
        let detail = format!("must be a day such as 2030-01-31, not '{shown}'");
        Error::Refused { parameter, detail }
    })
}
