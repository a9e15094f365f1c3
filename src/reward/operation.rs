//! Operations: the ids by which the payment service knows a call, however often it is sent, and the bytes
//! that are sent each time. Pure.
//!
//! An id follows from what the reward is for: the campaign, the invitee, the kind of trigger and the side.
//! So one reward has one draw, one allotment and one payout for ever; even after the database was put
//! back to an older state, what is granted again asks for operations that the payment service knows.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::machine::{Side, StepKind};
use super::payment::request;
use crate::campaign::CampaignId;

/// What a reward is for: there is never more than one for the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RewardKey<'a> {
    /// In which campaign.
    pub campaign: &'a CampaignId,
    /// Whose binding.
    pub invitee: &'a str,
    /// For which kind of trigger.
    pub kind: &'a str,
    /// For whom of the two.
    pub side: Side,
}

/// Makes ids. Deployments have different keys, so that two that use one payment service, such as one for
/// trying things out and the real one, do not meet.
#[derive(Clone)]
pub struct OperationIds(Hmac<Sha256>);

impl std::fmt::Debug for OperationIds {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("OperationIds(hidden)")
    }
}

impl OperationIds {
    /// By this deployment's key.
    pub fn new(key: &[u8; 32]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of any length"))
    }

    /// What the payment service knows a reward by.
    pub fn name(&self, reward: &RewardKey<'_>) -> String {
        self.of(reward)
    }

    /// A step of a reward: its id, and the bytes of its request. `minor` is the amount, or the most that may
    /// be drawn, in minor units.
    pub fn operation(
        &self,
        reward: &RewardKey<'_>,
        step: StepKind,
        beneficiary: &str,
        (currency, minor): (&str, i64),
    ) -> (String, Vec<u8>) {
        let name = self.name(reward);
        let campaign = reward.campaign.as_str();
        let money = request::Money { campaign, reward: &name, beneficiary, currency, minor };
        let bytes = match step {
            StepKind::Draw => request::draw(&money),
            StepKind::Allot => request::allotment(&money),
            StepKind::Pay => request::payout(&money),
            StepKind::Remind => panic!("a reminder moves no money"),
        };
        (format!("{name}-{}", step.name()), bytes.into())
    }

    /// The id of a step of a reward.
    pub fn id(&self, reward: &RewardKey<'_>, step: StepKind) -> String {
        format!("{}-{}", self.of(reward), step.name())
    }

    /// The id of the reminder with this number, 1 for the first.
    pub fn reminder(&self, reward: &RewardKey<'_>, number: u32) -> String {
        format!("{}-{}-{number}", self.of(reward), StepKind::Remind.name())
    }

    /// 128 bits in hexadecimal digits.
    fn of(&self, reward: &RewardKey<'_>) -> String {
        let mut keyed = self.0.clone();
        let side = reward.side.name();
        for part in [reward.campaign.as_str(), reward.invitee, reward.kind, side] {
            let length = u32::try_from(part.len()).expect("names are short");
            keyed.update(&length.to_be_bytes());
            keyed.update(part.as_bytes());
        }
        let whole: [u8; 32] = keyed.finalize().into_bytes().into();
        let half: &[u8; 16] = whole.first_chunk().expect("32 bytes have 16");
        format!("{:032x}", u128::from_be_bytes(*half))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_different_has_another_id_and_what_is_the_same_has_the_same() {
        let campaign: CampaignId = "spring".parse().expect("a name");
        let other: CampaignId = "autumn".parse().expect("a name");
        let base = RewardKey { campaign: &campaign, invitee: "ab", kind: "c", side: Side::Inviter };
        let keys = [
            base,
            RewardKey { campaign: &other, ..base },
            RewardKey { invitee: "a", kind: "bc", ..base },
            RewardKey { side: Side::Invitee, ..base },
        ];
        let ids = OperationIds::new(&[7; 32]);
        let mut all: Vec<String> = keys
            .iter()
            .flat_map(|key| StepKind::ALL.map(|step| ids.id(key, step)))
            .chain([1, 2].map(|number| ids.reminder(&base, number)))
            .chain([OperationIds::new(&[8; 32]).id(&base, StepKind::Pay)])
            .collect();
        assert_eq!(ids.id(&base, StepKind::Pay), ids.id(&base, StepKind::Pay));
        for id in &all {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
            assert!(id.len() <= 64 && id.bytes().all(plain), "{id}");
        }
        let count = all.len();
        all.sort_unstable();
        all.dedup();
        assert_eq!(all.len(), count);
    }
}
