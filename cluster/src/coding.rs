//! Blocks on their way, compressed or as they are.

use crate::codec::{Encoding, FRAME_HEADER, PIECE, with_codec};
use crate::compression::{Compression, Way};
use crate::frame::Flags;
use crate::pace::seconds_per_byte;
use crate::sample::{Measured, SAMPLE_ROOM, sample};
use std::cell::RefCell;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Elements are taken to have so many bytes: where they have four, two of them are one.
const ELEMENT: usize = 8;
/// Shorter blocks travel as they are: they gain little, and are too short for a sample.
const SHORTEST: usize = 96 << 10;

thread_local! {
    /// For shuffled bytes, and for what becomes of them.
    static ROOM: RefCell<[Vec<u8>; 2]> = const { RefCell::new([Vec::new(), Vec::new()]) };
}

/// With so many bytes of either kind. Few threads come here, and each keeps them.
fn with_room<T>(bytes: usize, run: impl FnOnce(&mut [u8], &mut [u8]) -> T) -> T {
    ROOM.with_borrow_mut(|[work, out]| {
        for room in [&mut *work, &mut *out] {
            room.resize(room.len().max(bytes), 0);
        }
        run(work, out)
    })
}

/// How the blocks of this process travel.
#[derive(Default)]
pub(crate) struct Coder(Mutex<Compression>);

/// How one block travels, and what has become of it so far.
pub(crate) struct Travel<'a> {
    coder: &'a Coder,
    array: u64,
    /// As what it is compressed, if it is.
    measured: Option<Measured>,
}

/// Bytes as they travel.
pub(crate) struct Coded {
    pub flags: Flags,
    pub bytes: Vec<u8>,
}

impl Coder {
    fn decide<T>(&self, decision: impl FnOnce(&mut Compression) -> T) -> T {
        decision(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Decides for a block of which these bytes are the first, or all. `pace` is that of the request for it.
    pub fn begin(&self, array: Option<u64>, pace: u32, bytes: &[u8]) -> Travel<'_> {
        let link = seconds_per_byte(pace);
        let way = match array {
            Some(array) if bytes.len() >= SHORTEST => self.way(array, link, bytes),
            _ => Way::Plain,
        };
        let measured = match way {
            Way::Compressed(encoding) => Some(Measured::new(encoding)),
            Way::Plain | Way::Sample => None,
        };
        Travel { coder: self, array: array.unwrap_or_default(), measured }
    }

    fn way(&self, array: u64, link: f64, bytes: &[u8]) -> Way {
        let way = self.decide(|compression| compression.next(array, link));
        if way != Way::Sample {
            return way;
        }
        let samples =
            with_room(SAMPLE_ROOM, |work, out| with_codec(|codec| sample(codec, ELEMENT, bytes, out, work)));
        // Without memory for that nothing is compressed.
        let samples = samples.unwrap_or_default();
        self.decide(|compression| compression.sampled(array, &samples, link))
    }
}

impl Travel<'_> {
    pub fn is_compressed(&self) -> bool {
        self.measured.is_some()
    }

    /// The next piece, of at most [`PIECE`] bytes, compressed. None if it does not get smaller.
    pub fn compress(&mut self, piece: &[u8]) -> Option<Coded> {
        let measured = self.measured.as_mut()?;
        let began = Instant::now();
        let coded = with_room(PIECE + FRAME_HEADER, |work, out| {
            let stored =
                with_codec(|codec| codec.encode(measured.encoding, ELEMENT, piece, work, out)).ok()?;
            let body = &out[FRAME_HEADER..stored];
            let flags = match measured.encoding {
                Encoding::Raw => return None,
                Encoding::Zstd => Flags::ZSTD,
                Encoding::ShuffledZstd => Flags::ZSTD.with(Flags::SHUFFLED),
            };
            (body.len() < piece.len()).then(|| Coded { flags, bytes: body.to_vec() })
        });
        measured.encode_seconds += began.elapsed().as_secs_f64();
        measured.raw_bytes += piece.len() as u64;
        measured.stored_bytes += coded.as_ref().map_or(piece.len(), |coded| coded.bytes.len()) as u64;
        coded
    }

    /// All of it has been sent.
    pub fn end(self) {
        if let Some(measured) = self.measured {
            self.coder.decide(|compression| compression.sent(self.array, &measured));
        }
    }
}

/// Fills `piece` from what has come for it. False if that is no compressed piece of just so many bytes.
pub(crate) fn decompress(flags: Flags, body: &[u8], piece: &mut [u8]) -> bool {
    let encoding = if flags.contains(Flags::SHUFFLED) { Encoding::ShuffledZstd } else { Encoding::Zstd };
    let decoded = with_room(piece.len(), |work, _| {
        with_codec(|codec| codec.decode(encoding, ELEMENT, body, work, piece))
    });
    matches!(decoded, Ok(Ok(())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{Random, for_seeds};

    #[test]
    fn a_block_too_short_for_a_sample_says_nothing_of_its_array() {
        let microsecond = 1_000_000;
        let coder = Coder::default();
        assert!(!coder.begin(Some(1), microsecond, &[0; SHORTEST - 1]).is_compressed());
        assert!(coder.begin(Some(1), microsecond, &[0; SHORTEST]).is_compressed());
    }

    #[test]
    fn blocks_that_do_not_shrink_as_their_sample_did_tell_so_at_their_end() {
        let microsecond = 1_000_000;
        let coder = Coder::default();
        let mut random = Random::new(1);
        let noise: Vec<u8> = (0..SHORTEST / 8).flat_map(|_| random.next().to_le_bytes()).collect();
        assert!(coder.begin(Some(1), microsecond, &[0; SHORTEST]).is_compressed());
        for _ in 0..20 {
            let mut travel = coder.begin(Some(1), microsecond, &noise);
            assert!(travel.compress(&noise).is_none());
            travel.end();
        }
        assert!(!coder.begin(Some(1), microsecond, &noise).is_compressed());
    }

    #[test]
    fn pieces_that_were_compressed_come_back_and_nothing_else_is_taken_for_one() {
        for_seeds(200, |random| {
            let len = random.between(1.0, PIECE as f64) as usize;
            let most = 1 << random.below(12);
            let piece: Vec<u8> =
                (0..len.div_ceil(8)).flat_map(|_| (random.below(most) as f64).to_le_bytes()).collect();
            let piece = &piece[..len];
            for encoding in [Encoding::Zstd, Encoding::ShuffledZstd] {
                let coder = Coder::default();
                let measured = Some(Measured::new(encoding));
                let mut travel = Travel { coder: &coder, array: 0, measured };
                let Some(Coded { flags, mut bytes }) = travel.compress(piece) else { continue };
                assert!(bytes.len() < len && flags.contains(Flags::ZSTD));
                let measured = travel.measured.unwrap();
                assert_eq!((measured.raw_bytes, measured.stored_bytes), (len as u64, bytes.len() as u64));
                assert!(measured.encode_seconds > 0.0);
                let mut back = vec![0; len + 1];
                assert!(decompress(flags, &bytes, &mut back[..len]));
                assert_eq!(&back[..len], piece);
                assert!(!decompress(flags, &bytes, &mut back), "one byte more");
                assert!(!decompress(flags, &bytes, &mut back[..len - 1]), "one byte less");
                bytes[0] ^= 1;
                assert!(!decompress(flags, &bytes, &mut back[..len]), "its first bytes say what it is");
            }
        });
    }
}
