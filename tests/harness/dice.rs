//! Chance that can be repeated.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::aloud::say;

/// Numbers from a seed (splitmix64).
pub struct Dice(u64);

impl Dice {
    /// Seeded by the clock, or by `POSTRIDER_TEST_SEED`; says which seed it is.
    #[must_use]
    pub fn new(what: &str) -> Self {
        let given = std::env::var("POSTRIDER_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
        let clock =
            || SystemTime::now().duration_since(UNIX_EPOCH).map_or(1, |now| u64::from(now.subsec_micros()));
        let seed = given.unwrap_or_else(clock);
        say(&format!("{what}: POSTRIDER_TEST_SEED={seed}"));
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap_or_default()
    }

    /// Shorter than `limit`.
    pub fn time(&mut self, limit: Duration) -> Duration {
        limit.mul_f64(self.below(1000) as f64 / 1000.0)
    }

    /// Shuffles.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for at in (1..items.len()).rev() {
            items.swap(at, self.below(at + 1));
        }
    }
}
