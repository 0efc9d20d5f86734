//! What the ways between workers do: guessed at first, then measured.

use super::events::Pull;
use crate::ids::WorkerId;
use std::collections::HashMap;
use std::ops::RangeInclusive;

/// First guess of a link between two workers.
const BYTES_PER_SECOND: f64 = 1e9;
/// Smaller blocks tell what it costs to ask for one, larger ones how fast their bytes come.
const SMALL: u64 = 64 << 10;
/// Weight of the newest measurement in a moving average.
const NEWEST: f64 = 0.2;
/// What a block and a byte may take, in seconds. What is told beyond is an error of somebody's clock.
const BELIEVED_BLOCK: RangeInclusive<f64> = 0.0..=1e3;
const BELIEVED_BYTE: RangeInclusive<f64> = 1e-14..=1e-2;

/// Where blocks come from, and where they go.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub(super) struct Way {
    pub from: WorkerId,
    pub to: WorkerId,
}

/// Seconds of a block, and of each of its bytes.
#[derive(Clone, Copy, Debug)]
struct Link {
    block: f64,
    byte: f64,
}

impl Link {
    fn measure(&mut self, pull: &Pull) {
        let blocks = f64::from(pull.blocks.max(1));
        if pull.bytes / u64::from(pull.blocks.max(1)) < SMALL {
            approach(&mut self.block, pull.seconds / blocks, BELIEVED_BLOCK);
            return;
        }
        let of_bytes = (pull.seconds - blocks * self.block).max(0.0);
        approach(&mut self.byte, of_bytes / pull.bytes as f64, BELIEVED_BYTE);
    }

    fn seconds(&self, bytes: u64) -> f64 {
        self.block + self.byte * bytes as f64
    }
}

fn approach(average: &mut f64, newest: f64, believed: RangeInclusive<f64>) {
    if believed.contains(&newest) {
        *average += NEWEST * (newest - *average);
    }
}

/// All links of a fleet. One that has not been used is taken for a typical one.
pub(super) struct Links {
    typical: Link,
    measured: HashMap<Way, Link>,
}

impl Default for Links {
    fn default() -> Self {
        let guess = Link { block: 0.0, byte: 1.0 / BYTES_PER_SECOND };
        Links { typical: guess, measured: HashMap::new() }
    }
}

impl Links {
    /// Learns from blocks that have come this way. What cannot be is passed over.
    pub fn measure(&mut self, way: Way, pull: &Pull) {
        self.measured.entry(way).or_insert(self.typical).measure(pull);
    }

    /// Learns from blocks that have come between any two workers.
    pub fn measure_typical(&mut self, pull: &Pull) {
        self.typical.measure(pull);
    }

    /// Seconds that a block of so many bytes travels.
    pub fn seconds(&self, way: Way, bytes: u64) -> f64 {
        self.measured.get(&way).unwrap_or(&self.typical).seconds(bytes)
    }

    pub fn forget(&mut self, worker: WorkerId) {
        self.measured.retain(|way, _| way.from != worker && way.to != worker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HERE: WorkerId = WorkerId(0);
    const NEAR: WorkerId = WorkerId(1);
    const FAR: WorkerId = WorkerId(2);
    const MIB: u64 = 1 << 20;

    fn pull(from: WorkerId, blocks: u32, bytes: u64, seconds: f64) -> Pull {
        Pull { from, blocks, bytes, seconds }
    }

    fn measure(links: &mut Links, pull: Pull) {
        links.measure(Way { from: pull.from, to: HERE }, &pull);
    }

    fn seconds(links: &Links, from: WorkerId, bytes: u64) -> f64 {
        links.seconds(Way { from, to: HERE }, bytes)
    }

    #[test]
    fn what_is_measured_takes_the_place_of_the_guess() {
        let mut links = Links::default();
        assert!((seconds(&links, NEAR, 1_000_000_000) - 1.0).abs() < 1e-9);
        for _ in 0..100 {
            // Ten small ones take 20 ms, and what is large 100 MiB/s beside that.
            for pull in [pull(FAR, 10, 80, 0.02), pull(FAR, 2, 20 * MIB, 0.2 + 0.004)] {
                measure(&mut links, pull);
                links.measure_typical(&pull);
            }
        }
        assert!((seconds(&links, FAR, 8) - 0.002).abs() < 1e-4);
        assert!((seconds(&links, FAR, 100 * MIB) - 1.002).abs() < 1e-3);
        let unknown = seconds(&links, NEAR, 100 * MIB);
        assert!((unknown - 1.002).abs() < 1e-3, "as the others: {unknown}");
    }

    #[test]
    fn ways_differ_and_are_forgotten_with_their_ends() {
        let mut links = Links::default();
        for _ in 0..50 {
            measure(&mut links, pull(FAR, 1, MIB, 1.0));
            measure(&mut links, pull(NEAR, 1, MIB, 0.001));
        }
        assert!(seconds(&links, FAR, MIB) > 100.0 * seconds(&links, NEAR, MIB));
        let back = links.seconds(Way { from: HERE, to: FAR }, MIB);
        assert!(back < 0.01, "nothing is known of the way back: {back}");
        links.forget(FAR);
        let left: Vec<Way> = links.measured.keys().copied().collect();
        assert_eq!(left, [Way { from: NEAR, to: HERE }]);
        links.forget(HERE);
        assert!(links.measured.is_empty());
    }

    #[test]
    fn what_cannot_be_is_not_believed() {
        let mut links = Links::default();
        let before = seconds(&links, FAR, MIB);
        for seconds in [f64::NAN, f64::INFINITY, -1.0, 1e300] {
            measure(&mut links, pull(FAR, 1, u64::MAX, seconds));
            measure(&mut links, pull(FAR, 0, MIB, seconds));
            measure(&mut links, pull(FAR, u32::MAX, 0, seconds * 1e300));
        }
        let after = seconds(&links, FAR, MIB);
        assert!((after - before).abs() < 1e-12, "{before} {after}");
    }

    #[test]
    fn small_blocks_tell_what_it_costs_to_ask() {
        for (blocks, bytes, costs) in [(10, 10 * (SMALL - 1), 0.2), (10, 10 * SMALL, 0.0)] {
            let mut links = Links::default();
            measure(&mut links, pull(FAR, blocks, bytes, f64::from(blocks)));
            assert!((seconds(&links, FAR, 0) - costs).abs() < 1e-9);
        }
    }
}
