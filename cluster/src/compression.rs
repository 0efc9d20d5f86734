//! Whether a block is compressed on its way: only if it is expected to be there sooner. Pure: seconds come from the
//! caller.
//!
//! Blocks of one array resemble each other, so each array is tried on a sample now and then, and the blocks that are
//! compressed tell whether that was right. How fast the link is, whoever wants a block says with its request.

use crate::codec::Encoding;
use crate::sample::{CostOfByte, Measured};
use std::collections::HashMap;

/// Seconds of a byte on a link below which nothing is compressed or tried: 333 MB/s. On the way through one machine a
/// core that compresses would be wanted for other things.
const FASTEST: f64 = 3e-9;
/// What the way of a compressed block may take, of that of a plain one, coding included: less, since cores that
/// compress do not compute, and samples err.
const LEAST_GAIN: f64 = 0.8;
/// Share of a new measurement in an average.
const LEARNING: f64 = 0.2;
/// Blocks of an array after which it is sampled again.
const RETRY_AFTER: u32 = 64;
/// Arrays that are remembered. What is forgotten is sampled again.
const MOST_ARRAYS: usize = 1024;

/// What to do with a block.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Way {
    Plain,
    Compressed(Encoding),
    /// Try pieces of it first and tell [`Compression::sampled`].
    Sample,
}

/// An encoding that was tried.
#[derive(Clone, Copy, Debug)]
struct Tried {
    encoding: Encoding,
    cost: CostOfByte,
}

impl Tried {
    fn new(measured: &Measured) -> Tried {
        Tried { encoding: measured.encoding, cost: CostOfByte::of(measured) }
    }

    /// Seconds of a byte that is compressed, sent and decompressed, one after the other.
    fn seconds(&self, link: f64) -> f64 {
        self.cost.encode + self.cost.stored * link + self.cost.decode
    }
}

/// What is known of an array.
struct Array {
    tried: Vec<Tried>,
    /// Blocks until it is sampled again.
    left: u32,
}

/// Decides, and remembers what it learnt.
#[derive(Default)]
pub(crate) struct Compression {
    arrays: HashMap<u64, Array>,
}

impl Compression {
    /// How the next block of `array` is to travel over a link on which a byte takes so many seconds.
    pub fn next(&mut self, array: u64, link: f64) -> Way {
        // What is no number is not less.
        if link.partial_cmp(&FASTEST).is_none_or(std::cmp::Ordering::is_lt) {
            return Way::Plain;
        }
        match self.arrays.get_mut(&array) {
            Some(known) if known.left > 0 => {
                known.left -= 1;
                best(&known.tried, link)
            }
            _ => {
                if self.arrays.len() >= MOST_ARRAYS {
                    self.arrays.clear();
                }
                // Others that are sent meanwhile do not wait for the sample.
                self.arrays.insert(array, Array { tried: Vec::new(), left: RETRY_AFTER });
                Way::Sample
            }
        }
    }

    /// How the block travels of which these samples are.
    pub fn sampled(&mut self, array: u64, samples: &[Measured], link: f64) -> Way {
        let tried: Vec<Tried> = samples.iter().map(Tried::new).collect();
        let way = best(&tried, link);
        self.arrays.insert(array, Array { tried, left: RETRY_AFTER });
        way
    }

    /// A block has been compressed, and sent.
    pub fn sent(&mut self, array: u64, block: &Measured) {
        let tried = self.arrays.get_mut(&array).into_iter().flat_map(|known| &mut known.tried);
        for tried in tried.filter(|tried| tried.encoding == block.encoding) {
            tried.cost.learn(block, LEARNING);
        }
    }
}

/// The encoding with which a byte is there soonest, if that is soon enough.
fn best(tried: &[Tried], link: f64) -> Way {
    let best = tried.iter().min_by(|a, b| a.seconds(link).total_cmp(&b.seconds(link)));
    match best {
        Some(tried) if tried.seconds(link) < LEAST_GAIN * link => Way::Compressed(tried.encoding),
        _ => Way::Plain,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ARRAY: u64 = 7;
    const MIB: f64 = 1048576.0;

    /// A sample of 1 MiB, coded at so many bytes per second.
    fn sample(encoding: Encoding, ratio: f64, encode: f64, decode: f64) -> Measured {
        Measured {
            encoding,
            raw_bytes: MIB as u64,
            stored_bytes: (MIB / ratio) as u64,
            encode_seconds: MIB / encode,
            decode_seconds: MIB / decode,
        }
    }

    fn noise() -> [Measured; 2] {
        [sample(Encoding::Zstd, 1.0, 2e9, 5e9), sample(Encoding::ShuffledZstd, 1.13, 4e8, 1e9)]
    }

    fn pixels() -> [Measured; 2] {
        [sample(Encoding::Zstd, 9.0, 1.1e9, 2e9), sample(Encoding::ShuffledZstd, 8.0, 1.3e9, 3e9)]
    }

    fn way(samples: &[Measured], bytes_per_second: f64) -> Way {
        let mut compression = Compression::default();
        let link = 1.0 / bytes_per_second;
        match compression.next(ARRAY, link) {
            Way::Sample => compression.sampled(ARRAY, samples, link),
            way => way,
        }
    }

    #[test]
    fn what_shrinks_is_compressed_where_the_link_is_slow() {
        assert_eq!(way(&pixels(), 1e7), Way::Compressed(Encoding::Zstd), "the smaller one");
        assert_eq!(way(&pixels(), 2.5e8), Way::Compressed(Encoding::ShuffledZstd), "the quicker one");
        assert_eq!(way(&[sample(Encoding::Zstd, 1.5, 1e8, 2e9)], 1e8), Way::Plain, "0.67 + 1 + 0.05");
        assert_eq!(way(&[sample(Encoding::Zstd, 1.5, 1e8, 2e9)], 1e7), Way::Compressed(Encoding::Zstd));
        assert_eq!(way(&[sample(Encoding::Zstd, 1.5, 1e9, 2e7)], 1e7), Way::Plain, "0.67 + 0.01 + 0.5");
    }

    #[test]
    fn noise_is_sent_as_it_is_however_slow_the_link_is() {
        for rate in [1e3, 1e6, 1e8] {
            assert_eq!(way(&noise(), rate), Way::Plain, "{rate}");
        }
        assert_eq!(way(&[], 1e6), Way::Plain, "too small for a sample");
    }

    #[test]
    fn where_the_link_is_fast_or_unknown_nothing_is_even_tried() {
        let zeros = [sample(Encoding::Zstd, 1e4, 1e11, 1e11)];
        assert_eq!(way(&zeros, 4e8), Way::Plain);
        for link in [0.0, f64::NAN, -1.0] {
            assert_eq!(Compression::default().next(ARRAY, link), Way::Plain, "{link}");
        }
        assert_eq!(way(&zeros, 2e8), Way::Compressed(Encoding::Zstd));
    }

    #[test]
    fn an_array_is_seldom_sampled_and_each_link_gets_its_own_answer() {
        let mut compression = Compression::default();
        let (slow, fast) = (1e-7, 3.1e-9);
        let mut samples = 0;
        for _ in 0..325 {
            assert_ne!(compression.next(ARRAY, fast), Way::Compressed(Encoding::ShuffledZstd));
            if compression.next(ARRAY, slow) == Way::Sample {
                samples += 1;
                compression.sampled(ARRAY, &noise(), slow);
            }
        }
        assert!((3..=10).contains(&samples), "{samples}");
        compression.sampled(ARRAY, &[sample(Encoding::Zstd, 4.0, 4e8, 2e9)], slow);
        assert_eq!(compression.next(ARRAY, fast), Way::Plain, "0.25 + 0.97");
        assert_eq!(compression.next(ARRAY, slow), Way::Compressed(Encoding::Zstd));
        assert_eq!(compression.next(ARRAY + 1, slow), Way::Sample);
    }

    #[test]
    fn what_does_not_shrink_after_all_is_sent_as_it_is() {
        let mut compression = Compression::default();
        compression.sampled(ARRAY, &pixels()[..1], 1e-8);
        let bad = sample(Encoding::Zstd, 1.0, 2e9, 0.1);
        let blocks = (1..).find(|_| {
            compression.sent(ARRAY, &bad);
            compression.next(ARRAY, 1e-8) == Way::Plain
        });
        assert!((2..20).contains(&blocks.unwrap()), "{blocks:?}");
    }

    #[test]
    fn a_block_that_would_gain_just_what_it_has_to_at_least_is_sent_as_it_is() {
        let stored = |stored_bytes| Measured {
            encoding: Encoding::Zstd,
            raw_bytes: 10,
            stored_bytes,
            encode_seconds: 0.0,
            decode_seconds: 0.0,
        };
        let way = |bytes| Compression::default().sampled(ARRAY, &[stored(bytes)], 1.0);
        assert_eq!((way(7), way(8)), (Way::Compressed(Encoding::Zstd), Way::Plain));
    }

    #[test]
    fn what_is_known_of_one_array_stays_known_while_others_come() {
        let mut compression = Compression::default();
        assert_eq!(compression.next(ARRAY, 1.0), Way::Sample);
        assert_eq!(compression.next(ARRAY + 1, 1.0), Way::Sample);
        assert_eq!(compression.next(ARRAY, 1.0), Way::Plain);
    }

    #[test]
    fn no_more_is_remembered_than_so_many_arrays() {
        let mut compression = Compression::default();
        for array in 0..3 * MOST_ARRAYS as u64 {
            compression.next(array, 1.0);
            assert!(compression.arrays.len() <= MOST_ARRAYS);
        }
    }
}
