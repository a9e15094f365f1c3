//! What a binding was decided by, as far as it is stored, and what the checks of another document say to that.
//!
//! Everybody here was bound: the code was good, and nobody invited himself or went round in a circle. Dates, who
//! was a customer, and installations are looked at anew. What was counted then is kept with the decision, and so is
//! what the eligibility service said; a check that was not made then, or not like this, has nothing to go by, and
//! lets everybody pass.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::Deserialize;

use crate::campaign::{Campaign, CheckKind, Screen, Version};
use crate::referral::screening::{
    self, Eligibility, Facts, Invitation, Outcome, Reason, Subject, Top,
};

/// What one check said when a binding was decided.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct PastCheck {
    /// Which check.
    pub check: String,
    /// `pass`, `unknown`, or the name of the reason.
    pub said: String,
    /// What was counted.
    #[serde(default)]
    pub counted: Option<i64>,
}

/// A binding, and what it was decided by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastBinding {
    /// Its number.
    pub id: i64,
    /// Who was invited.
    pub invitee: String,
    /// By whom.
    pub inviter: String,
    /// When they were bound.
    pub bound_at: Timestamp,
    /// The version of the campaign whose checks decided; `None`: no decision is stored.
    pub rules: Option<Version>,
    /// What each check said.
    pub checks: Vec<PastCheck>,
    /// Whether the invitee had reached, by then, what makes somebody a customer by the rule of the document.
    pub was_customer: bool,
    /// Whether the installation began before the click; `None` if that is not known.
    pub installed_before_click: Option<bool>,
}

/// What the checks of the document say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screened {
    /// What follows.
    pub outcome: Outcome,
    /// The checks for which nothing was stored.
    pub not_replayed: Vec<CheckKind>,
}

/// Sends a binding through the checks of `said`. `then` is the version whose checks decided it.
pub fn screen(past: &PastBinding, then: Option<&Campaign>, said: &Campaign) -> Screened {
    let mut facts = Facts {
        invitation: Invitation::Good,
        runs: said.runs_at(past.bound_at),
        top: Top::Another,
        was_customer: past.was_customer,
        counted: BTreeMap::new(),
        installed_before_click: past.installed_before_click,
        eligibility: Eligibility::NotAsked,
        eligibility_reason: None,
    };
    let mut not_replayed = Vec::new();
    for screen in &said.screening {
        let made = made(past, then, screen.check);
        match screen.check {
            CheckKind::NewUser | CheckKind::InstallOrder => {}
            CheckKind::Device
            | CheckKind::DeviceVelocity
            | CheckKind::NetworkVelocity
            | CheckKind::InviterVelocity => {
                match made.map_or(Count::NotStored, |(then, found)| count(screen, then, found)) {
                    Count::Of(counted) => drop(facts.counted.insert(screen.check, counted)),
                    Count::OfNothing => {}
                    Count::NotStored => not_replayed.push(screen.check),
                }
            }
            CheckKind::Eligibility => {
                let said = made.and_then(|(then, found)| answered(screen, then, found));
                facts.eligibility = said.unwrap_or(Eligibility::Yes);
                if said.is_none() {
                    not_replayed.push(screen.check);
                }
            }
        }
    }
    let subject = Subject { invitee: &past.invitee, inviter: Some(&past.inviter) };
    Screened { outcome: screening::decide(&subject, &facts, said).outcome, not_replayed }
}

/// A check as it was made then, and what it said.
fn made<'a>(
    past: &'a PastBinding,
    then: Option<&'a Campaign>,
    check: CheckKind,
) -> Option<(&'a Screen, &'a PastCheck)> {
    let screen = then?.screening.iter().find(|screen| screen.check == check)?;
    let found = past.checks.iter().find(|found| found.check == screening::name(check))?;
    Some((screen, found))
}

/// What a check that counts has to go by.
enum Count {
    /// So many others.
    Of(i64),
    /// There was no device or no network to count by.
    OfNothing,
    /// It would be counted in another way now, or further than it was then.
    NotStored,
}

fn count(screen: &Screen, then: &Screen, found: &PastCheck) -> Count {
    if screen.hours != then.hours {
        return Count::NotStored;
    }
    let Some(counted) = found.counted else { return Count::OfNothing };
    // These are counted only as far as it mattered.
    let is_limited = matches!(screen.check, CheckKind::Device | CheckKind::InviterVelocity);
    let limit = |screen: &Screen| i64::from(screen.most.unwrap_or(1));
    let is_whole = !is_limited || counted < limit(then) || limit(screen) <= counted;
    if is_whole { Count::Of(counted) } else { Count::NotStored }
}

/// What the eligibility service said, if it was the same service.
fn answered(screen: &Screen, then: &Screen, found: &PastCheck) -> Option<Eligibility> {
    if screen.url != then.url {
        return None;
    }
    Some(match Reason::named(&found.said) {
        Some(Reason::NotEligible) => Eligibility::No,
        Some(Reason::EligibilityUnknown) => Eligibility::NoAnswer,
        // No other reason comes from there.
        Some(_) | None => Eligibility::Yes,
    })
}
