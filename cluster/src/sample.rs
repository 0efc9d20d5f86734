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
    let fastest = Measured {
        encoding,
        raw_bytes: len as u64,
        stored_bytes,
        encode_seconds: encode,
        decode_seconds: decode,
    };
    of_all_pieces(fastest)
}

/// Bytes and seconds of a piece, and all bytes that are stored, become those of the sample.
fn of_all_pieces(piece: Measured) -> Measured {
    Measured {
        raw_bytes: piece.raw_bytes * PIECES as u64,
        encode_seconds: piece.encode_seconds * PIECES as f64,
        decode_seconds: piece.decode_seconds * PIECES as f64,
        ..piece
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Random;

    fn sampled(raw: &[u8]) -> Vec<Measured> {
        let (mut buffer, mut work) = (vec![0; SAMPLE_ROOM], vec![0; SAMPLE_ROOM / 2]);
        sample(&mut Codec::new().unwrap(), 8, raw, &mut buffer, &mut work)
    }

    #[test]
    fn a_sample_is_a_hundredth_of_its_block_and_none_of_a_short_one() {
        let bytes = |len: usize| sampled(&vec![0; len]).first().map(|measured| measured.raw_bytes);
        let kib = 1 << 10;
        assert_eq!(bytes(24 * 4 * kib - 1), None);
        assert_eq!(bytes(24 * 4 * kib), Some(3 * 4 * 1024), "of a short one it is an eighth");
        assert_eq!(bytes(4096 * kib), Some(3 * 8 * 1024));
        assert_eq!(bytes(4095 * kib), Some(3 * 4 * 1024), "whole pages");
        assert_eq!(bytes(64 << 20), Some(3 * 64 * 1024), "and never more");
    }

    #[test]
    fn its_pieces_lie_in_the_middle_of_each_third() {
        let mut random = Random::new(3);
        let page = SHORTEST;
        let noise: Vec<u8> = (0..page / 8).flat_map(|_| random.next().to_le_bytes()).collect();
        // Of 24 pages these are the ones that are looked at: all else is zeros.
        let mut raw = vec![0; 24 * page];
        let stored = |raw: &[u8]| sampled(raw)[0].stored_bytes;
        let least = stored(&raw);
        for at in 0..24 {
            raw[at * page..][..page].copy_from_slice(&noise);
            let is_seen = stored(&raw) > least;
            assert_eq!(is_seen, [4, 12, 20].contains(&at), "page {at}");
            raw[at * page..][..page].fill(0);
        }
        raw.chunks_exact_mut(page).for_each(|chunk| chunk.copy_from_slice(&noise));
        assert_eq!(stored(&raw), (3 * (page + FRAME_HEADER)) as u64, "noise, with its headers");
    }

    #[test]
    fn one_piece_stands_for_all() {
        let measured = |raw_bytes, encode_seconds, decode_seconds| Measured {
            encoding: Encoding::Zstd,
            raw_bytes,
            stored_bytes: 100,
            encode_seconds,
            decode_seconds,
        };
        assert_eq!(of_all_pieces(measured(50, 2.0, 4.0)), measured(150, 6.0, 12.0));
    }

    #[test]
    fn a_new_block_moves_the_averages_by_its_share() {
        let measured = |stored_bytes, encode_seconds| Measured {
            encoding: Encoding::Zstd,
            raw_bytes: 100,
            stored_bytes,
            encode_seconds,
            decode_seconds: 300.0,
        };
        let mut cost = CostOfByte::of(&measured(50, 200.0));
        assert_eq!(cost, CostOfByte { stored: 0.5, encode: 2.0, decode: 3.0 });
        cost.learn(&measured(100, 600.0), 0.25);
        assert_eq!(cost, CostOfByte { stored: 0.625, encode: 3.0, decode: 3.0 });
    }
}
