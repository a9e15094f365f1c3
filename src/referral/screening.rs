//! What stands between a code and its binding: a chain of small checks, each of which lets the pair
//! pass, holds it for people to look at, or refuses it. Pure; knows no I/O.
//!
//! Some checks are always first and no matter of taste; then come those of the campaign, in its order.
//! The first refusal ends the chain. What each check said is kept with the decision.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::campaign::{Campaign, CheckKind, Mode, Screen, WithoutAnswer};

/// The version of the checks that are written here: it grows when one of them comes to mean something
/// else, and is kept with each decision. (The campaign's own rules have the version of the campaign.)
pub const RULES: u32 = 1;

/// Why a pair was not simply bound. The names are part of the API: they never change their meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// Nobody in this campaign has the code.
    UnknownCode,
    /// The code was switched off.
    CodeDisabled,
    /// There is no such claim in this campaign.
    UnknownClaim,
    /// The claim has led to the binding of somebody else.
    ClaimUsed,
    /// The campaign has not begun, is over, or was retired.
    CampaignNotRunning,
    /// The invitee is the inviter.
    SelfReferral,
    /// The inviter was invited by the invitee, perhaps through others.
    Cycle,
    /// More people stand above the inviter than we follow.
    ChainTooLong,
    /// The invitee is bound to somebody else.
    AlreadyBound,
    /// The invitee was a customer before.
    NotANewUser,
    /// Others were bound on this device.
    DeviceAlreadyUsed,
    /// Too many asked on this device lately.
    DeviceVelocity,
    /// Too many asked from this network lately.
    NetworkVelocity,
    /// The inviter has had too many invitees lately.
    InviterVelocity,
    /// The app was installed before the click that is said to have led to it.
    InstalledBeforeClick,
    /// The eligibility service said no.
    NotEligible,
    /// The eligibility service said nothing.
    EligibilityUnknown,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 17] = [
        Self::UnknownCode,
        Self::CodeDisabled,
        Self::UnknownClaim,
        Self::ClaimUsed,
        Self::CampaignNotRunning,
        Self::SelfReferral,
        Self::Cycle,
        Self::ChainTooLong,
        Self::AlreadyBound,
        Self::NotANewUser,
        Self::DeviceAlreadyUsed,
        Self::DeviceVelocity,
        Self::NetworkVelocity,
        Self::InviterVelocity,
        Self::InstalledBeforeClick,
        Self::NotEligible,
        Self::EligibilityUnknown,
    ];

    /// Its stable name, and what it means to whoever asked.
    fn words(self) -> (&'static str, &'static str) {
        match self {
            Self::UnknownCode => (
                "unknown-code",
                "nobody in this campaign has the code; ask for it to be typed again",
            ),
            Self::CodeDisabled => ("code-disabled", "the code was switched off by an operator"),
            Self::UnknownClaim => (
                "unknown-claim",
                "there is no such claim in this campaign; take 'claim' from the answer of \
                 POST /v1/claims",
            ),
            Self::ClaimUsed => {
                ("claim-used", "the claim has led to the binding of another invitee; send the code")
            }
            Self::CampaignNotRunning => {
                ("campaign-not-running", "the campaign has not begun, is over, or was retired")
            }
            Self::SelfReferral => ("self-referral", "nobody can invite himself or herself"),
            Self::Cycle => {
                ("cycle", "the inviter was invited by the invitee, perhaps through others")
            }
            Self::ChainTooLong => {
                ("chain-too-long", "more people stand above the inviter than are followed: 1,000")
            }
            Self::AlreadyBound => ("already-bound", "the invitee is bound to another inviter"),
            Self::NotANewUser => ("not-a-new-user", "the invitee was a customer before"),
            Self::DeviceAlreadyUsed => {
                ("device-already-used", "others were bound on the same device")
            }
            Self::DeviceVelocity => {
                ("device-velocity", "too many asked for bindings on the same device lately")
            }
            Self::NetworkVelocity => {
                ("network-velocity", "too many asked for bindings from the same network lately")
            }
            Self::InviterVelocity => {
                ("inviter-velocity", "the inviter has had too many invitees lately")
            }
            Self::InstalledBeforeClick => (
                "installed-before-click",
                "the app was installed before the click that is said to have led to it",
            ),
            Self::NotEligible => ("not-eligible", "the eligibility service said no"),
            Self::EligibilityUnknown => {
                ("eligibility-unknown", "the eligibility service did not answer")
            }
        }
    }

    /// Its stable name, in the API and in the database.
    pub fn name(self) -> &'static str {
        self.words().0
    }

    /// What it means, for people.
    pub fn explain(self) -> &'static str {
        self.words().1
    }

    /// The reason with this name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.name() == name)
    }
}

/// What is known of the code or claim that was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Invitation {
    /// Nobody has the code.
    UnknownCode,
    /// There is no such claim.
    UnknownClaim,
    /// The code is switched off.
    Disabled,
    /// The claim has bound somebody else.
    Used,
    /// It leads to an inviter.
    Good,
}

/// Where the chain of inviters above the inviter ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Top {
    /// At somebody else than the invitee.
    Another,
    /// At the invitee.
    Invitee,
    /// Nobody went up that far.
    OutOfSight,
}

/// What the eligibility service says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Eligibility {
    /// It was not asked.
    NotAsked,
    /// Yes.
    Yes,
    /// No.
    No,
    /// Nothing that can be understood, in time.
    NoAnswer,
}

/// Who is to be bound to whom.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// Who signed up.
    pub invitee: &'a str,
    /// Whose code it is, if anybody's.
    pub inviter: Option<&'a str>,
}

/// All that the checks go by.
#[derive(Clone, Debug)]
pub struct Facts {
    /// What is known of the code or claim.
    pub invitation: Invitation,
    /// Whether the campaign runs.
    pub runs: bool,
    /// Who stands at the top of the inviter's chain.
    pub top: Top,
    /// Whether the invitee has reached what makes somebody a customer.
    pub was_customer: bool,
    /// What was counted for those checks that count; one is missing when there is nothing to count by:
    /// no device, no network.
    pub counted: BTreeMap<CheckKind, i64>,
    /// Whether the installation began before the click; `None` if that is not known.
    pub installed_before_click: Option<bool>,
    /// What the eligibility service says.
    pub eligibility: Eligibility,
    /// Why, in its own words.
    pub eligibility_reason: Option<String>,
}

/// What one check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing stands against it.
    Pass,
    /// There was nothing to look at.
    Unknown,
    /// Something was found that is written down, and no more.
    Note(Reason),
    /// People are to look at it.
    Hold(Reason),
    /// There will be no binding.
    Reject(Reason),
    /// Nobody can say now; the caller tries again later.
    TryLater,
    /// The eligibility service has to be asked first.
    Ask,
}

impl Verdict {
    fn name(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Unknown | Self::Ask => "unknown",
            Self::Note(reason) | Self::Hold(reason) | Self::Reject(reason) => reason.name(),
            Self::TryLater => Reason::EligibilityUnknown.name(),
        }
    }
}

/// One check and what it said, as it is kept with the decision.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Which check.
    pub check: &'static str,
    /// The version of the check.
    pub rule: u32,
    /// `pass`, `unknown`, or the name of the reason.
    pub said: &'static str,
    /// What follows when this check finds something; none: it always refuses.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Mode>,
    /// What was counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub counted: Option<i64>,
    /// How many are fine.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub most: Option<u32>,
    /// What the eligibility service said besides.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
}

impl Finding {
    fn of(check: &'static str) -> Self {
        let said = Verdict::Pass.name();
        Self { check, rule: RULES, said, mode: None, counted: None, most: None, detail: None }
    }
}

/// What follows from all checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// They are bound.
    Bound,
    /// They are bound, and people look at it before anything is paid.
    Held(Reason),
    /// They are not bound.
    Refused(Reason),
    /// Nobody can say now.
    TryLater,
    /// The eligibility service has to be asked first.
    Ask,
}

/// What was decided, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    /// What follows.
    pub outcome: Outcome,
    /// What each check said, in order, up to the one that ended the chain.
    pub findings: Vec<Finding>,
}

/// A check that is always made.
type Always = fn(&Subject<'_>, &Facts) -> Verdict;

/// The checks that come first, in this order.
const ALWAYS: [(&str, Always); 4] = [
    ("invitation", invitation),
    ("campaign", campaign_runs),
    ("self", not_self),
    ("cycle", no_cycle),
];

/// Sends a pair through the chain. Whoever is bound already does not come here.
pub fn decide(subject: &Subject<'_>, facts: &Facts, campaign: &Campaign) -> Decision {
    let always = ALWAYS.iter().map(|(check, look)| (Finding::of(check), look(subject, facts)));
    let chosen = campaign.screening.iter().map(|screen| {
        let asks = screen.check == CheckKind::Eligibility;
        let finding = Finding {
            mode: Some(screen.mode),
            counted: facts.counted.get(&screen.check).copied(),
            most: threshold(screen),
            detail: facts.eligibility_reason.clone().filter(|_| asks),
            ..Finding::of(name(screen.check))
        };
        (finding, look(screen, facts))
    });
    let mut decision = Decision { outcome: Outcome::Bound, findings: Vec::new() };
    for (finding, verdict) in always.chain(chosen) {
        decision.findings.push(Finding { said: verdict.name(), ..finding });
        match verdict {
            Verdict::Pass | Verdict::Unknown | Verdict::Note(_) => {}
            Verdict::Hold(reason) => {
                // The first one gives the name; a later refusal still counts.
                if decision.outcome == Outcome::Bound {
                    decision.outcome = Outcome::Held(reason);
                }
            }
            Verdict::Reject(reason) => {
                decision.outcome = Outcome::Refused(reason);
                break;
            }
            Verdict::TryLater => {
                decision.outcome = Outcome::TryLater;
                break;
            }
            Verdict::Ask => {
                decision.outcome = Outcome::Ask;
                break;
            }
        }
    }
    decision
}

fn invitation(_subject: &Subject<'_>, facts: &Facts) -> Verdict {
    match facts.invitation {
        Invitation::UnknownCode => Verdict::Reject(Reason::UnknownCode),
        Invitation::UnknownClaim => Verdict::Reject(Reason::UnknownClaim),
        Invitation::Disabled => Verdict::Reject(Reason::CodeDisabled),
        Invitation::Used => Verdict::Reject(Reason::ClaimUsed),
        Invitation::Good => Verdict::Pass,
    }
}

fn campaign_runs(_subject: &Subject<'_>, facts: &Facts) -> Verdict {
    if facts.runs { Verdict::Pass } else { Verdict::Reject(Reason::CampaignNotRunning) }
}

fn not_self(subject: &Subject<'_>, _facts: &Facts) -> Verdict {
    let is_self = subject.inviter == Some(subject.invitee);
    if is_self { Verdict::Reject(Reason::SelfReferral) } else { Verdict::Pass }
}

fn no_cycle(_subject: &Subject<'_>, facts: &Facts) -> Verdict {
    match facts.top {
        Top::Another => Verdict::Pass,
        Top::Invitee => Verdict::Reject(Reason::Cycle),
        Top::OutOfSight => Verdict::Reject(Reason::ChainTooLong),
    }
}

/// One check of the campaign.
fn look(screen: &Screen, facts: &Facts) -> Verdict {
    let found = |reason| match screen.mode {
        Mode::Observe => Verdict::Note(reason),
        Mode::Hold => Verdict::Hold(reason),
        Mode::Block => Verdict::Reject(reason),
    };
    let when = |is_so: bool, reason| if is_so { found(reason) } else { Verdict::Pass };
    // So many are fine; this pair would be one more.
    let counted = |reason| {
        let counted = facts.counted.get(&screen.check);
        counted.map_or(Verdict::Unknown, |counted| {
            when(threshold(screen).is_some_and(|most| *counted >= i64::from(most)), reason)
        })
    };
    match screen.check {
        CheckKind::NewUser => when(facts.was_customer, Reason::NotANewUser),
        CheckKind::Device => counted(Reason::DeviceAlreadyUsed),
        CheckKind::DeviceVelocity => counted(Reason::DeviceVelocity),
        CheckKind::NetworkVelocity => counted(Reason::NetworkVelocity),
        CheckKind::InviterVelocity => counted(Reason::InviterVelocity),
        CheckKind::InstallOrder => facts
            .installed_before_click
            .map_or(Verdict::Unknown, |before| when(before, Reason::InstalledBeforeClick)),
        CheckKind::Eligibility => match facts.eligibility {
            Eligibility::NotAsked => Verdict::Ask,
            Eligibility::Yes => Verdict::Pass,
            Eligibility::No => found(Reason::NotEligible),
            Eligibility::NoAnswer => match screen.without_answer {
                Some(WithoutAnswer::Pass) => Verdict::Note(Reason::EligibilityUnknown),
                Some(WithoutAnswer::Hold) | None => Verdict::Hold(Reason::EligibilityUnknown),
                Some(WithoutAnswer::TryLater) => Verdict::TryLater,
            },
        },
    }
}

/// How many are fine, for a check that counts. One invitee to a device, when nobody says.
fn threshold(screen: &Screen) -> Option<u32> {
    screen.most.or_else(|| (screen.check == CheckKind::Device).then_some(1))
}

/// Whether a check of this kind could refuse or hold somebody, so that its facts must be exact.
pub fn is_enforced(campaign: &Campaign, kind: CheckKind) -> bool {
    campaign.screening.iter().any(|screen| screen.check == kind && screen.mode != Mode::Observe)
}

/// The name of a check, in documents of campaigns and in the findings that are kept.
pub fn name(check: CheckKind) -> &'static str {
    match check {
        CheckKind::NewUser => "new_user",
        CheckKind::Device => "device",
        CheckKind::DeviceVelocity => "device_velocity",
        CheckKind::NetworkVelocity => "network_velocity",
        CheckKind::InviterVelocity => "inviter_velocity",
        CheckKind::InstallOrder => "install_order",
        CheckKind::Eligibility => "eligibility",
    }
}

#[cfg(test)]
mod tests;
