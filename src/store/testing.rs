//! Random numbers and data for the tests of this folder.

use std::path::{Path, PathBuf};

/// SplitMix64.
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound as u64) as usize
    }
}

/// Printed, and taken back from `DOLMEN_SEED`.
pub fn seed() -> u64 {
    let given = std::env::var("DOLMEN_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed = given.unwrap_or_else(|| u64::from(std::process::id()));
    eprintln!("DOLMEN_SEED={seed}");
    seed
}

/// The images of digits, where `tests/mnist.rs` looks for them.
pub fn mnist() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data");
    let file = std::env::var_os("DOLMEN_MNIST").map_or(beside, PathBuf::from).join("mnist_train_u8.npy");
    file.is_file().then_some(file)
}
