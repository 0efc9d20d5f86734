//! Which encoding an array is spilled in: the one with which a block is away and back soonest, as measured. Pure:
//! seconds come from the caller.
//!
//! Blocks of one stage resemble each other, so each array is tried on a small sample of its first block, and then its
//! real blocks tell whether that was right. The disk's rate is common to all.

use crate::ids::{RunId, StageId};
use cluster::codec::Encoding;
use cluster::sample::{CostOfByte, Measured};
use std::collections::HashMap;

/// All blocks of one stage of one run.
pub type ArrayKey = (RunId, StageId);

/// When to compress.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CompressionThresholds {
    /// Bytes per second of the disk until it has been measured: between a SATA and an NVMe drive.
    pub first_disk_rate: f64,
    /// Share of a new measurement in an average: the last ten blocks or so count, one hiccup does not.
    pub learning: f64,
    /// Bytes that are put together to one measurement of the rate: fewer say more about latency.
    pub bytes_for_rate: u64,
    /// Stored bytes of raw ones above which nothing is compressed, whatever is measured: random doubles shrink to
    /// 0.87 by their exponents, which a disk that hiccups would make look like a gain.
    pub worth_it: f64,
    /// What a compressed round trip may take, of the raw one: less, since cores that compress do not compute, and
    /// samples err.
    pub least_gain: f64,
    /// Stored bytes of raw ones from which on compression may take longer than the raw round trip: disk space and other
    /// users of the disk gain though nobody is sooner.
    pub much_smaller: f64,
    /// How much longer. Short samples on busy cores come out slower than they are by half, and space should not hang
    /// on that.
    pub longest_for_space: f64,
    /// What is in use is given up only when it is this much worse than what would be chosen anew, or it would go to
    /// and fro.
    pub patience: f64,
    /// Blocks after which an array that is not compressed is sampled again (a sample costs 1 % of a block, so
    /// nothing), and one that is compressed writes a block as it is, or the disk's rate would no longer be known.
    pub retry_after: u32,
}

impl Default for CompressionThresholds {
    fn default() -> Self {
        CompressionThresholds {
            first_disk_rate: 1e9,
            learning: 0.1,
            bytes_for_rate: 8 << 20,
            worth_it: 0.7,
            least_gain: 0.95,
            much_smaller: 0.4,
            longest_for_space: 3.0,
            patience: 1.1,
            retry_after: 64,
        }
    }
}

/// What to do with the next block of an array.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum EncodingDecision {
    /// Try a few pieces in both compressed encodings first and tell [`Choice::sampled`].
    Sample,
    Use(Encoding),
}

/// Seconds for a byte to the disk and back, of the seconds of a raw one. Cores are taken to be busy, so that seconds of
/// coding count in full.
fn relative(cost: &CostOfByte, disk_rate: f64) -> f64 {
    cost.stored + (cost.encode + cost.decode) * disk_rate / 2.0
}

#[derive(Clone, Copy, Debug)]
enum ArrayState {
    /// Not compressed for so many blocks more.
    Raw {
        left: u32,
    },
    Compressed {
        encoding: Encoding,
        cost: CostOfByte,
        left: u32,
    },
}

/// Chooses for each array, and remembers what it learnt.
pub struct Choice {
    thresholds: CompressionThresholds,
    disk_rate: f64,
    /// Bytes and seconds of transfers that the rate does not know of yet.
    transferred: (u64, f64),
    arrays: HashMap<ArrayKey, ArrayState>,
}

impl Choice {
    pub fn new(thresholds: CompressionThresholds) -> Choice {
        Choice {
            thresholds,
            disk_rate: thresholds.first_disk_rate,
            transferred: (0, 0.0),
            arrays: HashMap::new(),
        }
    }

    /// Bytes per second that one write gets from the disk: average of those so far.
    pub fn disk_rate(&self) -> f64 {
        self.disk_rate
    }

    /// What to do with the next block of `array`.
    pub fn next(&mut self, array: ArrayKey) -> EncodingDecision {
        match self.arrays.get_mut(&array) {
            None | Some(ArrayState::Raw { left: 0 }) => {
                // Others that spill blocks of it meanwhile do not wait for the sample.
                self.arrays.insert(array, ArrayState::Raw { left: self.thresholds.retry_after });
                EncodingDecision::Sample
            }
            Some(ArrayState::Raw { left }) => {
                *left -= 1;
                EncodingDecision::Use(Encoding::Raw)
            }
            Some(ArrayState::Compressed { left: left @ 0, .. }) => {
                *left = self.thresholds.retry_after;
                EncodingDecision::Use(Encoding::Raw)
            }
            Some(ArrayState::Compressed { encoding, left, .. }) => {
                *left -= 1;
                EncodingDecision::Use(*encoding)
            }
        }
    }

    /// The encoding for an array after a sample in each of those that come into question.
    pub fn sampled(&mut self, array: ArrayKey, samples: &[Measured]) -> Encoding {
        let costs = samples.iter().map(|sample| (sample.encoding, CostOfByte::of(sample)));
        let best = costs
            .filter(|(_, cost)| self.pays(cost, 1.0))
            .min_by(|(_, a), (_, b)| relative(a, self.disk_rate).total_cmp(&relative(b, self.disk_rate)));
        let state = match best {
            Some((encoding, cost)) => {
                ArrayState::Compressed { encoding, cost, left: self.thresholds.retry_after }
            }
            None => ArrayState::Raw { left: self.thresholds.retry_after },
        };
        self.arrays.insert(array, state);
        best.map_or(Encoding::Raw, |(encoding, _)| encoding)
    }

    fn pays(&self, cost: &CostOfByte, patience: f64) -> bool {
        let small = cost.stored <= self.thresholds.much_smaller * patience;
        let allowed = if small { self.thresholds.longest_for_space } else { self.thresholds.least_gain };
        cost.stored <= self.thresholds.worth_it && relative(cost, self.disk_rate) <= allowed * patience
    }

    /// A real block has been written: coded as `block` says, and then transferred to the disk in so many seconds. Only
    /// those written as they are tell the disk's rate: what is small is slow for each byte.
    pub fn written(&mut self, array: ArrayKey, block: &Measured, transfer_seconds: f64) {
        if block.encoding == Encoding::Raw {
            self.transferred.0 += block.stored_bytes;
            self.transferred.1 += transfer_seconds;
        }
        let (bytes, seconds) = self.transferred;
        if bytes >= self.thresholds.bytes_for_rate && seconds > 0.0 {
            // Of seconds per byte, not of rates: one write from a cache must not hide ten slow ones.
            let pace = average(1.0 / self.disk_rate, seconds / bytes as f64, self.thresholds.learning);
            self.disk_rate = 1.0 / pace;
            self.transferred = (0, 0.0);
        }
        let learning = self.thresholds.learning;
        self.learn(array, block.encoding, |cost| cost.learn(block, learning));
    }

    /// A block of `raw_bytes` has been decoded in so many seconds.
    pub fn decoded(&mut self, array: ArrayKey, encoding: Encoding, raw_bytes: u64, seconds: f64) {
        let learning = self.thresholds.learning;
        self.learn(array, encoding, |cost| {
            cost.decode = average(cost.decode, seconds / raw_bytes.max(1) as f64, learning);
        });
    }

    /// Averages for a compressed array; it is compressed no more if that has ceased to pay.
    fn learn(&mut self, array: ArrayKey, encoding: Encoding, change: impl FnOnce(&mut CostOfByte)) {
        let Some(ArrayState::Compressed { encoding: current, cost, .. }) = self.arrays.get_mut(&array) else {
            return;
        };
        if *current != encoding {
            return;
        }
        change(cost);
        let cost = *cost;
        if !self.pays(&cost, self.thresholds.patience) {
            self.arrays.insert(array, ArrayState::Raw { left: self.thresholds.retry_after });
        }
    }

    /// Forgets the arrays of a run that is over; what the disk does stays known.
    pub fn forget(&mut self, run: RunId) {
        self.arrays.retain(|(of, _), _| *of != run);
    }
}

fn average(old: f64, new: f64, learning: f64) -> f64 {
    old + (new - old) * learning
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARRAY: ArrayKey = (RunId(1), StageId(2));
    const MIB: u64 = 1 << 20;

    /// A sample of 1 MiB, coded at so many bytes per second.
    fn sample(encoding: Encoding, ratio: f64, encode: f64, decode: f64) -> Measured {
        Measured {
            encoding,
            raw_bytes: MIB,
            stored_bytes: (MIB as f64 / ratio) as u64,
            encode_seconds: MIB as f64 / encode,
            decode_seconds: MIB as f64 / decode,
        }
    }

    fn choice() -> Choice {
        Choice::new(CompressionThresholds::default())
    }

    /// Many writes at this rate.
    fn at_rate(rate: f64) -> Choice {
        let mut choice = choice();
        let raw = sample(Encoding::Raw, 1.0, 1e9, 1e9);
        for _ in 0..1600 {
            choice.written((RunId(9), StageId(0)), &raw, MIB as f64 / rate);
        }
        choice
    }

    fn noise() -> [Measured; 2] {
        [sample(Encoding::Zstd, 1.0, 2e9, 5e9), sample(Encoding::ShuffledZstd, 1.13, 4e8, 1e9)]
    }

    fn pixels() -> [Measured; 2] {
        [sample(Encoding::Zstd, 9.0, 1.1e9, 2e9), sample(Encoding::ShuffledZstd, 8.0, 1.2e9, 2e9)]
    }

    #[test]
    fn random_doubles_end_up_raw_and_are_seldom_tried() {
        let mut choice = choice();
        let mut samples = 0;
        for _ in 0..650 {
            match choice.next(ARRAY) {
                EncodingDecision::Sample => {
                    samples += 1;
                    assert_eq!(choice.sampled(ARRAY, &noise()), Encoding::Raw);
                }
                EncodingDecision::Use(encoding) => assert_eq!(encoding, Encoding::Raw),
            }
        }
        assert_eq!(samples, 10);
    }

    #[test]
    fn what_shrinks_and_is_fast_is_compressed_in_the_better_encoding() {
        let mut choice = choice();
        assert_eq!(choice.next(ARRAY), EncodingDecision::Sample);
        assert_eq!(choice.sampled(ARRAY, &pixels()), Encoding::ShuffledZstd);
        assert_eq!(choice.next(ARRAY), EncodingDecision::Use(Encoding::ShuffledZstd));
    }

    #[test]
    fn the_disk_decides() {
        let slow = [sample(Encoding::ShuffledZstd, 1.6, 5e8, 1e9)];
        assert_eq!(at_rate(2.4e8).sampled(ARRAY, &slow), Encoding::Raw, "0.63 + 0.36");
        assert_eq!(at_rate(1e8).sampled(ARRAY, &slow), Encoding::ShuffledZstd);
        assert_eq!(at_rate(1e6).sampled(ARRAY, &noise()), Encoding::Raw, "however slow it is");
        assert_eq!(at_rate(1e9).sampled(ARRAY, &pixels()), Encoding::ShuffledZstd);
        assert_eq!(at_rate(8e9).sampled(ARRAY, &pixels()), Encoding::Raw);
    }

    #[test]
    fn what_gets_much_smaller_need_not_be_sooner() {
        let even = |ratio: f64| [sample(Encoding::Zstd, ratio, 1e9 / (2.0 - 2.0 / ratio - 0.02), 1e30)];
        assert_eq!(choice().sampled(ARRAY, &even(4.0)), Encoding::Zstd);
        assert_eq!(choice().sampled(ARRAY, &even(1.5)), Encoding::Raw);
        assert_eq!(at_rate(3e9).sampled(ARRAY, &pixels()), Encoding::ShuffledZstd, "2.1 times as long");
    }

    #[test]
    fn compression_that_does_not_pay_after_all_is_dropped_and_tried_again_later() {
        let mut choice = choice();
        choice.sampled(ARRAY, &pixels());
        let bad = sample(Encoding::ShuffledZstd, 1.0, 4e8, 1e9);
        let writes = (1..).find(|_| {
            choice.written(ARRAY, &bad, 0.001);
            choice.next(ARRAY) == EncodingDecision::Use(Encoding::Raw)
        });
        assert!((2..20).contains(&writes.unwrap()), "one block is no reason, twenty are: {writes:?}");
        let raws = (1..).find(|_| choice.next(ARRAY) == EncodingDecision::Sample);
        assert_eq!(raws, Some(64));
    }

    #[test]
    fn what_is_about_much_smaller_does_not_go_to_and_fro() {
        // Twice as long as raw: for space alone.
        let slow = |ratio: f64| sample(Encoding::Zstd, ratio, 3e8, 1e30);
        let mut choice = choice();
        assert_eq!(choice.sampled(ARRAY, &[slow(2.6)]), Encoding::Zstd);
        (0..50).for_each(|_| choice.written(ARRAY, &slow(2.4), 0.001));
        assert_eq!(choice.next(ARRAY), EncodingDecision::Use(Encoding::Zstd));
        (0..50).for_each(|_| choice.written(ARRAY, &slow(2.0), 0.001));
        assert_eq!(choice.next(ARRAY), EncodingDecision::Use(Encoding::Raw));
    }

    #[test]
    fn slow_decoding_is_a_reason_too() {
        let mut choice = choice();
        choice.sampled(ARRAY, &pixels());
        (0..50).for_each(|_| choice.decoded(ARRAY, Encoding::ShuffledZstd, MIB, MIB as f64 / 1e8));
        assert_eq!(choice.next(ARRAY), EncodingDecision::Use(Encoding::Raw));
    }

    #[test]
    fn only_the_one_who_samples_waits_and_runs_are_forgotten() {
        let mut choice = choice();
        assert_eq!(choice.next(ARRAY), EncodingDecision::Sample);
        assert_eq!(choice.next(ARRAY), EncodingDecision::Use(Encoding::Raw));
        choice.forget(ARRAY.0);
        assert_eq!(choice.next(ARRAY), EncodingDecision::Sample);
    }

    #[test]
    fn the_disk_is_measured_by_raw_blocks_alone_small_ones_together() {
        let mut choice = choice();
        let (small, compressed) = (sample(Encoding::Raw, 1.0, 1e9, 1e9), pixels()[1]);
        let before = choice.disk_rate();
        (0..100).for_each(|_| choice.written(ARRAY, &compressed, 1.0));
        (0..7).for_each(|_| choice.written(ARRAY, &small, 1.0));
        assert_eq!(choice.disk_rate().to_bits(), before.to_bits());
        choice.written(ARRAY, &small, 1.0);
        assert!(choice.disk_rate() < before / 10.0, "8 seconds for 8 MiB");
    }

    #[test]
    fn a_compressed_array_writes_a_raw_block_now_and_then() {
        let mut choice = choice();
        choice.sampled(ARRAY, &pixels());
        let raw = (0..130).filter(|_| choice.next(ARRAY) == EncodingDecision::Use(Encoding::Raw)).count();
        assert_eq!(raw, 2);
    }
}
