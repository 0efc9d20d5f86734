//! From bytes to fewer bytes and back, piece by piece: for blocks on disk and on the wire. Pure: knows neither files
//! nor connections.
//!
//! A piece becomes a frame: four bytes of length (little endian), then as many bytes. A piece that does not get
//! smaller is kept as it is, which shows in its length.

use crate::shuffle::{shuffle, unshuffle};
use std::cell::RefCell;
use zstd::bulk::{Compressor, Decompressor};

/// Bytes that are compressed at a time: with its shuffled copy it stays in L2, and zstd's window is no longer at
/// level 1.
pub const PIECE: usize = 256 << 10;
/// Bytes ahead of each frame.
pub const FRAME_HEADER: usize = 4;
/// Level 1: higher ones compress doubles hardly better and are slower than disks.
const LEVEL: i32 = 1;

/// How the bytes of a block are stored.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Encoding {
    /// As they are, without frames.
    Raw,
    /// zstd, for bytes that repeat whole elements.
    Zstd,
    /// Byte shuffle, then zstd, for elements that resemble each other.
    ShuffledZstd,
}

/// Why bytes are no frame of ours.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CodecError {
    /// A length that cannot be.
    #[error("a compressed frame of {found} bytes where at most {most} are left")]
    Length {
        /// As it says.
        found: usize,
        /// As many as there can be.
        most: usize,
    },
    /// Damaged, or of another length.
    #[error("a compressed frame that zstd does not understand")]
    Frame,
    /// Out of memory.
    #[error("zstd got no memory for its context")]
    Context,
}

/// Contexts of zstd, kept between pieces: 0.7 MB for pieces of [`PIECE`] bytes, from the allocator and not from the
/// pool.
pub struct Codec {
    compressor: Compressor<'static>,
    decompressor: Decompressor<'static>,
}

thread_local! {
    /// Threads that compress are few; each keeps its contexts.
    static CODEC: RefCell<Option<Codec>> = const { RefCell::new(None) };
}

/// With the codec of this thread.
///
/// # Errors
/// If there is no memory for one.
pub fn with_codec<T>(run: impl FnOnce(&mut Codec) -> T) -> Result<T, CodecError> {
    CODEC.with_borrow_mut(|slot| {
        let codec = match slot {
            Some(codec) => codec,
            empty => empty.insert(Codec::new()?),
        };
        Ok(run(codec))
    })
}

impl Codec {
    /// New contexts.
    ///
    /// # Errors
    /// If there is no memory for them.
    pub fn new() -> Result<Codec, CodecError> {
        let failed = |_| CodecError::Context;
        Ok(Codec {
            compressor: Compressor::new(LEVEL).map_err(failed)?,
            decompressor: Decompressor::new().map_err(failed)?,
        })
    }

    /// Puts the frame of `piece`, elements of `size` bytes, at the beginning of `frame` and returns its length.
    ///
    /// # Panics
    /// If `work` is shorter than `piece` or `frame` is not [`FRAME_HEADER`] longer.
    pub fn encode(
        &mut self,
        encoding: Encoding,
        size: usize,
        piece: &[u8],
        work: &mut [u8],
        frame: &mut [u8],
    ) -> usize {
        let (header, body) = frame[..FRAME_HEADER + piece.len()].split_at_mut(FRAME_HEADER);
        // One byte less than it has: what does not fit is kept as it is.
        let most = piece.len().saturating_sub(1);
        let stored = match encoding {
            Encoding::Raw => None,
            Encoding::Zstd => self.compressor.compress_to_buffer(piece, &mut body[..most]).ok(),
            Encoding::ShuffledZstd => {
                let planes = &mut work[..piece.len()];
                shuffle(size, piece, planes);
                self.compressor.compress_to_buffer(planes, &mut body[..most]).ok()
            }
        };
        let stored = stored.unwrap_or_else(|| {
            body.copy_from_slice(piece);
            piece.len()
        });
        header.copy_from_slice(&(stored as u32).to_le_bytes());
        FRAME_HEADER + stored
    }

    /// Fills `piece` from the body of its frame. Whatever the bytes are, nothing else is written; what they mean must
    /// be checked by a checksum, over the piece or over what was stored.
    ///
    /// # Errors
    /// If it is no frame of just so many bytes.
    ///
    /// # Panics
    /// If `work` is shorter than `piece`.
    pub fn decode(
        &mut self,
        encoding: Encoding,
        size: usize,
        body: &[u8],
        work: &mut [u8],
        piece: &mut [u8],
    ) -> Result<(), CodecError> {
        if body.len() == piece.len() {
            piece.copy_from_slice(body);
            return Ok(());
        }
        let whole = piece.len();
        let found = match encoding {
            Encoding::Raw => return Err(CodecError::Length { found: body.len(), most: whole }),
            Encoding::Zstd => self.decompressor.decompress_to_buffer(body, piece),
            Encoding::ShuffledZstd => {
                let found = self.decompressor.decompress_to_buffer(body, &mut work[..whole]);
                if matches!(found, Ok(len) if len == whole) {
                    unshuffle(size, &work[..whole], piece);
                }
                found
            }
        };
        if matches!(found, Ok(len) if len == whole) { Ok(()) } else { Err(CodecError::Frame) }
    }
}

/// Length of the frame's body that the four bytes announce, for a piece of `piece` bytes with `left` bytes behind them.
///
/// # Errors
/// If it is longer than both.
pub fn body_len(header: [u8; FRAME_HEADER], piece: usize, left: usize) -> Result<usize, CodecError> {
    let (found, most) = (u32::from_le_bytes(header) as usize, piece.min(left));
    if found <= most { Ok(found) } else { Err(CodecError::Length { found, most }) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    /// Noise, small integers as f64, zeros, or a smooth line: what blocks are like.
    fn piece(random: &mut Random, len: usize) -> Vec<u8> {
        let kind = random.below(4);
        let element = |i: usize, random: &mut Random| match kind {
            0 => f64::from_bits(random.next()),
            1 => random.below(256) as f64,
            2 => 0.0,
            _ => 1.0 + i as f64 * 1e-3,
        };
        let all: Vec<u8> = (0..len.div_ceil(8)).flat_map(|i| element(i, random).to_le_bytes()).collect();
        all[..len].to_vec()
    }

    const ENCODINGS: [Encoding; 3] = [Encoding::Raw, Encoding::Zstd, Encoding::ShuffledZstd];

    #[test]
    fn pieces_come_back_whatever_they_are() {
        let (mut codec, mut random) = (Codec::new().unwrap(), Random::new(1));
        for len in [0, 1, 8, 4096, 12345, PIECE] {
            for _ in 0..8 {
                let raw = piece(&mut random, len);
                let (mut work, mut frame, mut back) = (vec![0; len], vec![0; len + 4], vec![0; len]);
                for (encoding, size) in ENCODINGS.into_iter().flat_map(|e| [(e, 4), (e, 8)]) {
                    let stored = codec.encode(encoding, size, &raw, &mut work, &mut frame);
                    let body = body_len(frame[..4].try_into().unwrap(), len, stored - 4).unwrap();
                    assert_eq!(body, stored - 4);
                    codec.decode(encoding, size, &frame[4..stored], &mut work, &mut back).unwrap();
                    assert_eq!(raw, back, "{encoding:?}, {len} bytes");
                }
            }
        }
    }

    #[test]
    fn small_integers_shrink_to_a_fifth_and_noise_never_grows_beyond_its_header() {
        let (mut codec, mut random) = (Codec::new().unwrap(), Random::new(7));
        let integers: Vec<u8> =
            (0..PIECE / 8).flat_map(|_| (random.below(256) as f64).to_le_bytes()).collect();
        let noise: Vec<u8> = (0..PIECE / 8).flat_map(|_| random.next().to_le_bytes()).collect();
        let (mut work, mut frame) = (vec![0; PIECE], vec![0; PIECE + FRAME_HEADER]);
        let mut stored = |raw: &[u8]| codec.encode(Encoding::ShuffledZstd, 8, raw, &mut work, &mut frame);
        assert!(stored(&integers) < PIECE / 5);
        assert_eq!(stored(&noise), PIECE + FRAME_HEADER);
    }

    #[test]
    fn whatever_the_bytes_are_decoding_returns() {
        let (mut codec, mut random) = (Codec::new().unwrap(), Random::new(1));
        let len = 16 << 10;
        let (mut work, mut frame) = (vec![0; len], vec![0; len + FRAME_HEADER]);
        let mut refused = 0;
        for round in 0..3000 {
            let encoding = ENCODINGS[1 + round % 2];
            let raw = piece(&mut random, len);
            let stored = codec.encode(encoding, 8, &raw, &mut work, &mut frame);
            let mut body = frame[FRAME_HEADER..stored].to_vec();
            for _ in 0..=random.below(4) {
                let at = random.below(body.len() as u64) as usize;
                body[at] = random.next() as u8;
            }
            body.truncate(if round % 3 == 0 {
                random.below(body.len() as u64 + 1) as usize
            } else {
                body.len()
            });
            // Behind the piece lies what must not be touched.
            let mut back = vec![0xa5; len + 64];
            refused += i32::from(codec.decode(encoding, 8, &body, &mut work, &mut back[..len]).is_err());
            assert!(back[len..].iter().all(|byte| *byte == 0xa5));
        }
        assert!(refused > 300, "only {refused} of 3000 mutated frames were refused");
    }

    #[test]
    fn contexts_are_as_small_as_they_are_said_to_be() {
        let (mut codec, mut random) = (Codec::new().unwrap(), Random::new(7));
        let raw = piece(&mut random, PIECE);
        let (mut work, mut frame) = (vec![0; PIECE], vec![0; PIECE + FRAME_HEADER]);
        codec.encode(Encoding::ShuffledZstd, 8, &raw, &mut work, &mut frame);
        let bytes = codec.compressor.context_mut().sizeof();
        assert!(bytes < 800_000, "{bytes}");
    }

    #[test]
    fn lengths_that_lie_are_refused() {
        assert_eq!(
            body_len([255; 4], 100, 50),
            Err(CodecError::Length { found: u32::MAX as usize, most: 50 })
        );
        assert_eq!(body_len([101, 0, 0, 0], 100, 500), Err(CodecError::Length { found: 101, most: 100 }));
        assert_eq!(body_len([50, 0, 0, 0], 100, 50), Ok(50));
    }
}
