//! The built-in draw: a prize out of a table whose chances add up to a million. Pure; the random number is
//! passed in.

use serde::Serialize;

use crate::campaign::{Prize, Reward};

/// The chances of a table add up to this.
pub const WHOLE: u32 = 1_000_000;

/// Whole copies of a million among the 2^64 random numbers: those above them would favour some prizes, and are
/// drawn again.
const FAIR: u64 = u64::MAX - u64::MAX % 1_000_000;

/// How an amount came about, to be kept beside it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "by", rename_all = "snake_case")]
pub enum Evidence {
    /// The campaign has one amount.
    Amount,
    /// It was drawn from the campaign's table of prizes.
    Table {
        /// The number that was drawn, from 0 to 999,999.
        number: u32,
        /// The prize that it hit, counted from 0 in the order of the document.
        prize: usize,
        /// How many numbers lead to that prize.
        per_million: u32,
    },
    /// The payment service said so.
    PaymentService,
}

/// What was drawn: an amount in minor units, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drawn {
    /// 0 is no prize.
    pub amount_minor: i64,
    /// How it came about.
    pub evidence: Evidence,
}

/// Draws what the campaign decides by itself; `None`: the payment service has to be asked. `random` gives
/// numbers that nobody can foresee.
pub fn built_in(reward: &Reward, mut random: impl FnMut() -> u64) -> Option<Drawn> {
    if let Some(amount_minor) = reward.amount_minor {
        return Some(Drawn { amount_minor, evidence: Evidence::Amount });
    }
    let prizes = reward.prizes.as_deref()?;
    let number = loop {
        let candidate = random();
        if candidate < FAIR {
            break u32::try_from(candidate % u64::from(WHOLE)).expect("below a million");
        }
    };
    Some(from_table(prizes, number))
}

/// The prize that a number below a million hits.
fn from_table(prizes: &[Prize], number: u32) -> Drawn {
    let mut end = 0;
    let hit = prizes.iter().enumerate().find(|(_, prize)| {
        end += prize.per_million;
        number < end
    });
    let (prize, hit) = hit.expect("the chances add up to a million: the document was judged");
    let evidence = Evidence::Table { number, prize, per_million: hit.per_million };
    Drawn { amount_minor: hit.amount_minor, evidence }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(prizes: &[(i64, u32)]) -> Reward {
        let prize = |(amount_minor, per_million): &(i64, u32)| Prize {
            amount_minor: *amount_minor,
            per_million: *per_million,
        };
        Reward {
            amount_minor: None,
            prizes: Some(prizes.iter().map(prize).collect()),
            payment_service_up_to_minor: None,
        }
    }

    #[test]
    fn every_number_hits_the_prize_whose_share_it_is() {
        let table = table(&[(100, 250_000), (0, 749_999), (9_000, 1)]);
        for (number, amount, prize) in [
            (0, 100, 0),
            (249_999, 100, 0),
            (250_000, 0, 1),
            (999_998, 0, 1),
            (999_999, 9_000, 2),
            (1_000_000, 100, 0),
        ] {
            let drawn = built_in(&table, || number).expect("a table");
            assert_eq!(drawn.amount_minor, amount, "{number}");
            assert!(
                matches!(drawn.evidence, Evidence::Table { prize: hit, .. } if hit == prize),
                "{drawn:?}"
            );
        }
    }

    #[test]
    fn a_number_that_would_favour_some_prizes_is_drawn_again() {
        let mut numbers = [u64::MAX, FAIR, 999_999].into_iter();
        let table = table(&[(1, 999_999), (2, 1)]);
        let drawn = built_in(&table, || numbers.next().expect("no more than three"));
        assert_eq!(drawn.expect("a table").amount_minor, 2);
        assert_eq!(FAIR % 1_000_000, 0);
    }

    #[test]
    fn the_payment_service_is_asked_where_the_campaign_says_so() {
        let asks =
            Reward { amount_minor: None, prizes: None, payment_service_up_to_minor: Some(5) };
        assert_eq!(built_in(&asks, || 0), None);
        let fixed = Reward { amount_minor: Some(7), ..asks };
        let drawn = built_in(&fixed, || panic!("nothing is drawn"));
        assert_eq!(drawn, Some(Drawn { amount_minor: 7, evidence: Evidence::Amount }));
    }
}
