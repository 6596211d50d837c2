//! Random choices that can be repeated.

use std::time::{SystemTime, UNIX_EPOCH};

use super::say;

/// Numbers for choosing places and moments; the seed is printed, and `ROAMCORE_TEST_SEED` sets it.
pub struct Random(u64);

impl Random {
    /// Seeds from the clock or the environment.
    pub fn new(what: &str) -> Random {
        let given = std::env::var("ROAMCORE_TEST_SEED")
            .ok()
            .and_then(|s| s.parse().ok());
        let clock = || {
            SystemTime::now()
                .duration_since(UNIX_EPOCH)
                .unwrap()
                .as_nanos() as u64
        };
        let seed = given.unwrap_or_else(clock);
        say(&format!("{what}: ROAMCORE_TEST_SEED={seed}"));
        Random(seed)
    }

    /// A number below `end` (SplitMix64).
    pub fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % end
    }
}
