//! Seeded random numbers for property tests. `DOLMEN_SEED=n` runs seed n alone.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// SplitMix64.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }

    /// A number between the two, evenly in its logarithm.
    pub fn between(&mut self, low: f64, high: f64) -> f64 {
        low * (high / low).powf(self.below(1 << 32) as f64 / (1u64 << 32) as f64)
    }
}

/// Runs `property` for `count` seeds and says which one broke it.
pub fn for_seeds(count: u64, property: impl Fn(&mut Random)) {
    let chosen = std::env::var("DOLMEN_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in chosen.map_or(0..count, |seed: u64| seed..seed + 1) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| property(&mut Random(seed)))) {
            eprintln!("broken by seed {seed}: run it alone with DOLMEN_SEED={seed}");
            resume_unwind(panic);
        }
    }
}
