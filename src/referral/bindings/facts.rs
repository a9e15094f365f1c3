//! What is known of an invitee and of what they brought.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::Ask;
use crate::campaign::{CheckKind, Since};
use crate::referral::requests::Brought;
use crate::referral::screening::{self, Decision, Eligibility, Facts, Invitation, Subject, Top};
use crate::store::bindings::{self, StoredBinding};
use crate::store::claims::{self, StoredClaim};
use crate::store::codes::{self, StoredCode};
use crate::store::{Error, Transaction, triggers};

/// How far up the chain of inviters is followed.
const LONGEST_CHAIN: i32 = 1_000;

/// All that was seen at one moment.
pub(super) struct Seen {
    /// The invitee's binding, if there is one.
    pub(super) existing: Option<StoredBinding>,
    /// The code that was brought, or that the claim has.
    pub(super) code: Option<StoredCode>,
    /// The claim that was brought.
    pub(super) claim: Option<StoredClaim>,
    /// Who stands at the top of the inviter's chain.
    pub(super) root: Option<String>,
    invitation: Invitation,
    was_customer: bool,
    counted: BTreeMap<CheckKind, i64>,
}

impl Seen {
    /// Reads everything that the decision goes by.
    pub(super) async fn gather(
        transaction: &Transaction<'_>,
        ask: &Ask<'_>,
    ) -> Result<Self, Error> {
        let id = &ask.current.id;
        let existing = bindings::find(transaction, id, ask.invitee).await?;
        let claim = match ask.brought {
            Brought::Claim(click_id) => {
                claims::find(transaction, click_id).await?.filter(|claim| claim.campaign == *id)
            }
            Brought::Code(_) => None,
        };
        let code = match claim.as_ref().map(|claim| &claim.code).or(ask.code.as_ref()) {
            Some(code) => {
                codes::find_within(transaction, code).await?.filter(|code| code.campaign == *id)
            }
            None => None,
        };
        let root = match &code {
            Some(code) => bindings::root_of(transaction, id, &code.user, LONGEST_CHAIN).await?,
            None => None,
        };
        let mut seen = Self {
            existing,
            code,
            claim,
            root,
            invitation: Invitation::Good,
            was_customer: false,
            counted: BTreeMap::new(),
        };
        seen.invitation = seen.invitation(transaction, ask).await?;
        // Of those who get no further nothing has to be counted.
        if seen.invitation == Invitation::Good && seen.existing.is_none() {
            seen.was_customer = was_customer(transaction, ask).await?;
            seen.count(transaction, ask).await?;
        }
        Ok(seen)
    }

    /// The invitee's binding, if it is to the inviter whom the code leads to.
    pub(super) fn same_binding(&self) -> Option<&StoredBinding> {
        let (existing, code) = (self.existing.as_ref()?, self.code.as_ref()?);
        (existing.inviter == code.user).then_some(existing)
    }

    pub(super) fn subject<'a>(&'a self, ask: &Ask<'a>) -> Subject<'a> {
        let inviter = self.code.as_ref().map(|code| code.user.as_str());
        Subject { invitee: ask.invitee, inviter }
    }

    /// Sends the pair through the chain of checks.
    pub(super) fn decide(
        &self,
        ask: &Ask<'_>,
        (eligibility, reason): &(Eligibility, Option<String>),
    ) -> Decision {
        let top = match &self.root {
            Some(root) if root == ask.invitee => Top::Invitee,
            Some(_) => Top::Another,
            // Without an inviter there is no chain, and an earlier check refuses.
            None if self.code.is_none() => Top::Another,
            None => Top::OutOfSight,
        };
        let order = |claim: &StoredClaim| Some(claim.install_began_at? < claim.clicked_at);
        let facts = Facts {
            invitation: self.invitation,
            runs: ask.current.runs_at(ask.now),
            top,
            was_customer: self.was_customer,
            counted: self.counted.clone(),
            installed_before_click: self.claim.as_ref().and_then(order),
            eligibility: *eligibility,
            eligibility_reason: reason.clone(),
        };
        screening::decide(&self.subject(ask), &facts, &ask.current.campaign)
    }

    async fn invitation(
        &self,
        transaction: &Transaction<'_>,
        ask: &Ask<'_>,
    ) -> Result<Invitation, Error> {
        if matches!(ask.brought, Brought::Claim(_)) && self.claim.is_none() {
            return Ok(Invitation::UnknownClaim);
        }
        let Some(code) = &self.code else { return Ok(Invitation::UnknownCode) };
        if code.disabled {
            return Ok(Invitation::Disabled);
        }
        let Some(claim) = &self.claim else { return Ok(Invitation::Good) };
        let used = bindings::invitee_of_click(transaction, claim.click_id).await?;
        let by_another = used.is_some_and(|invitee| invitee != ask.invitee);
        Ok(if by_another { Invitation::Used } else { Invitation::Good })
    }

    /// Counts for each check of the campaign that counts, and for which there is something to count by.
    async fn count(&mut self, transaction: &Transaction<'_>, ask: &Ask<'_>) -> Result<(), Error> {
        let id = &ask.current.id;
        for screen in &ask.current.campaign.screening {
            let hours = i64::from(screen.hours.unwrap_or_default());
            let since = before(ask.now, hours);
            let most = i64::from(screen.most.unwrap_or(1));
            let counted = match screen.check {
                CheckKind::Device => match &ask.device {
                    Some(device) => {
                        bindings::bound_on_device(transaction, id, device, most).await?
                    }
                    None => continue,
                },
                CheckKind::DeviceVelocity => match &ask.device {
                    Some(device) => {
                        let who = (id, ask.invitee);
                        bindings::asked_on_device(transaction, who, device, since).await?
                    }
                    None => continue,
                },
                CheckKind::NetworkVelocity => match ask.network {
                    Some(network) => {
                        let who = (id, ask.invitee);
                        bindings::asked_from_network(transaction, who, network, since).await?
                    }
                    None => continue,
                },
                CheckKind::InviterVelocity => match &self.code {
                    Some(code) => {
                        let who = (id, code.user.as_str());
                        bindings::invited_since(transaction, who, since, most).await?
                    }
                    None => continue,
                },
                CheckKind::NewUser | CheckKind::InstallOrder | CheckKind::Eligibility => continue,
            };
            self.counted.insert(screen.check, counted);
        }
        Ok(())
    }
}

fn before(now: Timestamp, hours: i64) -> Timestamp {
    now.checked_sub(SignedDuration::from_hours(hours)).unwrap_or(Timestamp::MIN)
}

/// Whether the invitee reached what makes somebody a customer, by the campaign's rule.
async fn was_customer(transaction: &Transaction<'_>, ask: &Ask<'_>) -> Result<bool, Error> {
    let campaign = &ask.current.campaign;
    let since = match campaign.new_user.since {
        Since::CampaignStart => Some(campaign.starts_at.at()),
        Since::Ever => None,
    };
    let who = (&ask.current.id, ask.invitee);
    triggers::reached_any(transaction, who, &campaign.new_user.without, since).await
}
