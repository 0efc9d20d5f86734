//! What the compressed encodings would make of a block: tried on a few pieces of it.

use super::choice::Measured;
use super::codec::{Codec, Encoding, FRAME_HEADER};
use super::spill_file::Scratch;
use std::time::Instant;

/// Pieces of a sample, spread over the block.
const PIECES: usize = 3;
const LONGEST: usize = 64 << 10;
/// zstd says little about less than this.
const SHORTEST: usize = 4 << 10;
/// A block has so many times the bytes of a piece, so that trying three pieces in two encodings costs 1 %.
const SHARE: usize = 512;

/// Tries both compressed encodings on a block of elements of `size` bytes. Blocks too short for a sample of 1 % get
/// none, and with it no compression: a file takes two pages at least, and its making longer than a transfer of that
/// length.
pub(super) fn sample(codec: &mut Codec, size: usize, raw: &[u8], scratch: &mut Scratch) -> Vec<Measured> {
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
        .map(|encoding| sample_encoding(codec, encoding, size, &pieces, scratch))
        .collect()
}

fn sample_encoding(
    codec: &mut Codec,
    encoding: Encoding,
    size: usize,
    pieces: &[&[u8]; PIECES],
    scratch: &mut Scratch,
) -> Measured {
    let len = pieces[0].len();
    let (frame, back) = scratch.buffer.split_at_mut(len + FRAME_HEADER);
    let mut stored_bytes = 0;
    // The fastest piece stands for all: a new context is slow at first, and other threads take the core at times.
    let (mut encode, mut decode) = (f64::INFINITY, f64::INFINITY);
    for piece in pieces {
        let began = Instant::now();
        let stored = codec.encode(encoding, size, piece, scratch.work, frame);
        encode = encode.min(began.elapsed().as_secs_f64());
        stored_bytes += stored as u64;
        let began = Instant::now();
        let body = &frame[FRAME_HEADER..stored];
        codec
            .decode(encoding, size, body, scratch.work, &mut back[..len])
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
