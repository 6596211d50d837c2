//! Numbers that look random and are the same for the same seed, on every host and for ever.
//!
//! SplitMix64: a state is named by its seed, so the generator must never change under a seed that somebody wrote down.

/// The generator.
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// From a seed.
    #[must_use]
    pub const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// One that depends on this seed and on `words`, and on nothing drawn before.
    #[must_use]
    pub fn fork(seed: u64, words: &[u64]) -> Self {
        words
            .iter()
            .fold(Self(seed), |rng, word| Self(rng.clone().next() ^ word))
    }

    /// The next number.
    #[allow(
        clippy::should_implement_trait,
        reason = "it never ends, and nobody iterates it"
    )]
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Below `bound`, which is at least 1.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound.max(1)
    }

    /// Whether something with a chance of `numerator` in 256 happens.
    pub fn chance(&mut self, numerator: u64) -> bool {
        self.next() >> 56 < numerator
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_numbers_are_those_of_the_published_generator() {
        let mut rng = Rng::new(1_234_567);
        assert_eq!(
            [rng.next(), rng.next()],
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973]
        );
        assert_ne!(Rng::fork(1, &[2]).next(), Rng::fork(2, &[1]).next());
    }
}
