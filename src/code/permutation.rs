//! A keyed permutation of the numbers below a limit: each number goes to exactly one other, and
//! without the key nobody can tell which.
//!
//! A balanced Feistel network over the smallest even number of bits that holds the limit, with
//! HMAC-SHA-256 as its round function. What falls outside of the limit is put through again until
//! it falls inside ("cycle walking"); that keeps it a permutation, and takes at most four passes on
//! average.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

/// Rounds of the network. Four are proven enough against an attacker who chooses his inputs; the
/// halves are small here, so there are twice as many.
const ROUNDS: u8 = 8;

/// See the module.
#[derive(Clone)]
pub struct Permutation {
    keyed: Hmac<Sha256>,
    limit: u64,
    half_bits: u32,
}

impl Permutation {
    /// The permutation of `0..limit` under `key`; `limit` is from 2 to 2^62.
    pub fn new(key: &[u8; 32], limit: u64) -> Self {
        assert!((2..=1 << 62).contains(&limit), "a limit of {limit} is out of range");
        let bits = u64::BITS - (limit - 1).leading_zeros();
        let keyed = Hmac::new_from_slice(key).expect("HMAC takes keys of any length");
        Self { keyed, limit, half_bits: bits.div_ceil(2) }
    }

    /// How many numbers there are.
    pub fn limit(&self) -> u64 {
        self.limit
    }

    /// Where `number` goes; `None` if it is not below the limit.
    pub fn forward(&self, number: u64) -> Option<u64> {
        self.walk(number, |permutation, value| {
            (0..ROUNDS).fold(value, |value, round| {
                let (left, right) = permutation.halves(value);
                permutation.whole(right, left ^ permutation.round(round, right))
            })
        })
    }

    /// Where `number` comes from; `None` if it is not below the limit.
    pub fn backward(&self, number: u64) -> Option<u64> {
        self.walk(number, |permutation, value| {
            (0..ROUNDS).rev().fold(value, |value, round| {
                let (left, right) = permutation.halves(value);
                permutation.whole(right ^ permutation.round(round, left), left)
            })
        })
    }

    fn walk(&self, number: u64, pass: impl Fn(&Self, u64) -> u64) -> Option<u64> {
        if number >= self.limit {
            return None;
        }
        let mut value = pass(self, number);
        // Ends: the cycle through `number` comes back below the limit with `number` at the latest.
        while value >= self.limit {
            value = pass(self, value);
        }
        Some(value)
    }

    fn mask(&self) -> u64 {
        (1 << self.half_bits) - 1
    }

    fn halves(&self, value: u64) -> (u64, u64) {
        (value >> self.half_bits, value & self.mask())
    }

    fn whole(&self, left: u64, right: u64) -> u64 {
        (left << self.half_bits) | right
    }

    /// The round function: half as many bits as the network has, out of HMAC(round, half).
    fn round(&self, round: u8, half: u64) -> u64 {
        let mut mac = self.keyed.clone();
        mac.update(&[round]);
        mac.update(&half.to_be_bytes());
        let tag = mac.finalize().into_bytes();
        let first = tag.first_chunk::<8>().expect("a tag has 32 bytes");
        u64::from_be_bytes(*first) & self.mask()
    }
}

impl std::fmt::Debug for Permutation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Permutation").field("limit", &self.limit).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_number_goes_to_one_other_and_none_is_left_out() {
        for limit in [2, 3, 10, 64, 65, 1_000] {
            let permutation = Permutation::new(&[7; 32], limit);
            let mut images: Vec<u64> =
                (0..limit).filter_map(|number| permutation.forward(number)).collect();
            images.sort_unstable();
            assert_eq!(images, (0..limit).collect::<Vec<_>>());
            assert_eq!(permutation.forward(limit), None);
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn backward_undoes_forward(
            key: [u8; 32], limit in 2_u64..=1 << 62, part in 0_u64..u64::MAX,
        ) {
            let permutation = Permutation::new(&key, limit);
            let number = part % limit;
            let image = permutation.forward(number).expect("below the limit");
            prop_assert!(image < limit);
            prop_assert_eq!(permutation.backward(image), Some(number));
        }
    }
}
