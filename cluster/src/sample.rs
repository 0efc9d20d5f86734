//! What the compressed encodings would make of a block: tried on a few pieces of it.

use crate::codec::{Codec, Encoding, FRAME_HEADER};
use std::time::Instant;

/// What a piece or a block became: bytes before and after, and the seconds that it took.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Measured {
    /// How.
    pub encoding: Encoding,
    /// Bytes before.
    pub raw_bytes: u64,
    /// Bytes after.
    pub stored_bytes: u64,
    /// Seconds of encoding.
    pub encode_seconds: f64,
    /// Seconds of decoding, of samples. Blocks are decoded when they are read, or elsewhere.
    pub decode_seconds: f64,
}

impl Measured {
    /// Nothing so far.
    pub fn new(encoding: Encoding) -> Measured {
        Measured { encoding, raw_bytes: 0, stored_bytes: 0, encode_seconds: 0.0, decode_seconds: 0.0 }
    }
}

/// What a byte becomes, and the seconds that it takes, on average.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct CostOfByte {
    /// Bytes after.
    pub stored: f64,
    /// Seconds of encoding.
    pub encode: f64,
    /// Seconds of decoding.
    pub decode: f64,
}

impl CostOfByte {
    /// As it was measured.
    pub fn of(measured: &Measured) -> CostOfByte {
        let bytes = measured.raw_bytes.max(1) as f64;
        CostOfByte {
            stored: measured.stored_bytes as f64 / bytes,
            encode: measured.encode_seconds / bytes,
            decode: measured.decode_seconds / bytes,
        }
    }

    /// A block has been encoded, which counts for this share of the averages. It was not decoded.
    pub fn learn(&mut self, block: &Measured, share: f64) {
        let new = CostOfByte::of(block);
        self.stored += share * (new.stored - self.stored);
        self.encode += share * (new.encode - self.encode);
    }
}

/// Pieces of a sample, spread over the block.
const PIECES: usize = 3;
const LONGEST: usize = 64 << 10;
/// Bytes that a sample needs to work in.
pub const SAMPLE_ROOM: usize = 2 * (LONGEST + FRAME_HEADER);
/// zstd says little about less than this.
const SHORTEST: usize = 4 << 10;
/// A block has so many times the bytes of a piece, so that trying three pieces in two encodings costs 1 %.
const SHARE: usize = 512;

/// Tries both compressed encodings on a block of elements of `size` bytes. Blocks too short for a sample of 1 % get
/// none, and with it no compression: a file takes two pages at least, and its making longer than a transfer of that
/// length.
///
/// # Panics
/// If `buffer` is shorter than [`SAMPLE_ROOM`], or `work` than a half of it.
pub fn sample(
    codec: &mut Codec,
    size: usize,
    raw: &[u8],
    buffer: &mut [u8],
    work: &mut [u8],
) -> Vec<Measured> {
    let len = (raw.len() / SHARE).clamp(SHORTEST, LONGEST) / SHORTEST * SHORTEST;
    if raw.len() < len * PIECES * 8 {
        return Vec::new();
    }
    let pieces: [&[u8]; PIECES] = std::array::from_fn(|i| {
        let middle = (2 * i + 1) * raw.len() / (2 * PIECES);
        &raw[middle / SHORTEST * SHORTEST..][..len]
    });
    [Encoding::Zstd, Encoding::ShuffledZstd]
        .into_iter()
        .map(|encoding| sample_encoding(codec, encoding, size, &pieces, buffer, work))
        .collect()
}

fn sample_encoding(
    codec: &mut Codec,
    encoding: Encoding,
    size: usize,
    pieces: &[&[u8]; PIECES],
    buffer: &mut [u8],
    work: &mut [u8],
) -> Measured {
    let len = pieces[0].len();
    let (frame, back) = buffer.split_at_mut(len + FRAME_HEADER);
    let mut stored_bytes = 0;
    // The fastest piece stands for all: a new context is slow at first, and other threads take the core at times.
    let (mut encode, mut decode) = (f64::INFINITY, f64::INFINITY);
    for piece in pieces {
        let began = Instant::now();
        let stored = codec.encode(encoding, size, piece, work, frame);
        encode = encode.min(began.elapsed().as_secs_f64());
        stored_bytes += stored as u64;
        let began = Instant::now();
        let body = &frame[FRAME_HEADER..stored];
        codec
            .decode(encoding, size, body, work, &mut back[..len])
            .expect("what has just been encoded can be decoded");
        decode = decode.min(began.elapsed().as_secs_f64());
    }
    Measured {
        encoding,
        raw_bytes: (PIECES * len) as u64,
        stored_bytes,
        encode_seconds: encode * PIECES as f64,
        decode_seconds: decode * PIECES as f64,
    }
}
