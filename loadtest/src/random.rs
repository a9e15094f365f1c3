//! Numbers that look random and are the same in every run, so that runs can be compared.

/// The generator known as `SplitMix64`.
pub(crate) struct Random(u64);

impl Random {
    /// A sequence of its own for each seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    fn top_bits(&mut self) -> u32 {
        u32::try_from(self.next() >> 32).expect("the upper half of a u64 is a u32")
    }

    /// A whole number under `bound`, which is above zero.
    pub(crate) fn below(&mut self, bound: u32) -> u32 {
        let scaled = (u64::from(self.top_bits()) * u64::from(bound)) >> 32;
        u32::try_from(scaled).expect("less than the bound")
    }

    /// A whole number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: u32, high: u32) -> u32 {
        low + self.below(high - low + 1)
    }

    /// True `percent` times in a hundred.
    pub(crate) fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    /// A number from 0 up to, but not, 1.
    pub(crate) fn fraction(&mut self) -> f64 {
        f64::from(self.top_bits()) / 4_294_967_296.0
    }

    /// One of `items`, which are not empty, each as likely as the others.
    pub(crate) fn pick<'a, T>(&mut self, items: &'a [T]) -> &'a T {
        let bound = u32::try_from(items.len()).expect("lists here are short");
        let index = usize::try_from(self.below(bound)).expect("a u32 is a usize here");
        items.get(index).expect("less than the length")
    }

    /// `length` characters of `alphabet`.
    pub(crate) fn text(&mut self, alphabet: &[u8], length: u32) -> String {
        (0..length).map(|_| char::from(*self.pick(alphabet))).collect()
    }
}

/// Choices by rank: the one of rank `n` is `n` times rarer than the first (Zipf, s = 1).
pub(crate) struct Zipf {
    cumulative: Vec<f64>,
}

impl Zipf {
    /// For `count` things, which are at least one.
    pub(crate) fn new(count: u32) -> Self {
        let mut total = 0.0;
        let cumulative = (1..=count)
            .map(|rank| {
                total += 1.0 / f64::from(rank);
                total
            })
            .collect();
        Self { cumulative }
    }

    /// An index under the count.
    pub(crate) fn choose(&self, random: &mut Random) -> usize {
        let total = self.cumulative.last().copied().unwrap_or(1.0);
        let point = random.fraction() * total;
        let index = self.cumulative.partition_point(|&upto| upto <= point);
        index.min(self.cumulative.len().saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_thousand_is_chosen_as_often_as_zipf_says() {
        let (zipf, mut random) = (Zipf::new(1_000), Random::new(1));
        let first = (0..100_000).filter(|_| zipf.choose(&mut random) == 0).count();
        // The thousandth harmonic number is 7.485: 13.36 %.
        assert!((13_000..13_720).contains(&first), "{first}");
    }

    #[test]
    fn both_ends_of_a_range_come_up() {
        let mut random = Random::new(2);
        let seen: std::collections::BTreeSet<u32> =
            (0..200).map(|_| random.between(3, 5)).collect();
        assert_eq!(seen.into_iter().collect::<Vec<_>>(), [3, 4, 5]);
    }
}
