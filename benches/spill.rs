//! What spilling a block costs: the codec alone, to the disk and back, and what the choice of the encoding costs where
//! nothing can be gained.
//!
//! `cargo bench --bench spill [-- FOLDER]`: FOLDER is where to spill, by default where a session would.

use dolmen::array::Element;
use dolmen::ids::{BlockId, RunId, StageId};
use dolmen::store::{
    Block, Codec, Encoding, FRAME_HEADER, PIECE, Pool, SpillFiles, SpillPlace, default_spill_folder,
};
use std::path::{Path, PathBuf};
use std::time::Instant;

const ROWS: u64 = 4096;
const COLS: u64 = 1024;
const ROUNDS: usize = 5;
/// Blocks of the comparison with and without choice.
const BLOCKS: u32 = 48;
const MB: f64 = 1e6;

fn uniform(i: usize) -> f64 {
    // SplitMix64.
    let mut z = (i as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((z ^ (z >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

/// Four pixels of five are zero and those that are not lie together, as in images of digits.
fn pixel(i: usize) -> f64 {
    if (i / 28).is_multiple_of(2) && (9..20).contains(&(i % 28)) { (uniform(i) * 256.0).floor() } else { 0.0 }
}

fn smooth(i: usize) -> f64 {
    let (row, col) = (i as u64 / COLS, i as u64 % COLS);
    (row as f64 * 1e-3).sin() * (col as f64 * 3e-3).cos()
}

/// A kind of data: its name, and its element at a position.
type Data = (&'static str, fn(usize) -> f64);

const DATA: [Data; 4] = [("uniform", uniform), ("pixels", pixel), ("zeros", |_| 0.0), ("smooth", smooth)];

fn block(pool: &Pool, element: fn(usize) -> f64) -> Block {
    let mut block = Block::new(pool, (ROWS, COLS), Element::F64).expect("room for a block");
    block.slice_mut::<f64>().iter_mut().enumerate().for_each(|(i, x)| *x = element(i));
    block
}

fn id(index: u32) -> BlockId {
    BlockId::new(StageId(0), index)
}

fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

fn seconds(mut work: impl FnMut()) -> f64 {
    let began = Instant::now();
    work();
    began.elapsed().as_secs_f64()
}

/// MB of raw bytes per second of encoding and decoding.
fn codec_rates(raw: &[u8], encoding: Encoding) -> (f64, f64) {
    let mut codec = Codec::new().expect("contexts");
    let (mut work, mut back) = (vec![0; PIECE], vec![0; PIECE]);
    let pieces = raw.len() / PIECE;
    let mut frames = vec![vec![0; PIECE + FRAME_HEADER]; pieces];
    let mut lens = vec![0; pieces];
    let (mut encode, mut decode) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        encode.push(seconds(|| {
            for ((piece, frame), len) in raw.chunks(PIECE).zip(&mut frames).zip(&mut lens) {
                *len = codec.encode(encoding, 8, piece, &mut work, frame);
            }
        }));
        decode.push(seconds(|| {
            for (frame, len) in frames.iter().zip(&lens) {
                let body = &frame[FRAME_HEADER..*len];
                codec.decode(encoding, 8, body, &mut work, &mut back).expect("a frame");
            }
        }));
    }
    let rate = |seconds| raw.len() as f64 / MB / median(seconds);
    (rate(encode), rate(decode))
}

fn one_encoding(folder: &Path, pool: &Pool, name: &str, original: &Block, encoding: Encoding) {
    let files = SpillPlace::with_encoding(folder.into(), None, encoding).begin(RunId(0));
    let raw = original.bytes().len();
    let mut scratch = pool.take(SpillPlace::scratch_len(raw as u64)).expect("a scratch");
    let mut back = Block::new(pool, (ROWS, COLS), Element::F64).expect("room for a block");
    let (mut write, mut read, mut ratio) = (Vec::new(), Vec::new(), 0.0);
    for index in 0..ROUNDS as u32 {
        let began = Instant::now();
        let stored = files.write(id(index), original, scratch.bytes_mut()).expect("a spilled block");
        write.push(began.elapsed().as_secs_f64());
        ratio = stored.raw_bytes as f64 / stored.file_bytes as f64;
        read.push(seconds(|| files.read(id(index), &mut back, scratch.bytes_mut()).expect("the block")));
        assert!(back.bytes() == original.bytes(), "what was read is what was written");
        remove(&files, id(index));
    }
    let (encode, decode) = match encoding {
        Encoding::Raw => (f64::INFINITY, f64::INFINITY),
        _ => codec_rates(original.bytes(), encoding),
    };
    let rate = |seconds| raw as f64 / MB / median(seconds);
    println!(
        "{name:<8} {:<12} {ratio:>8.2} {encode:>8.0} {decode:>8.0} {:>8.0} {:>8.0}",
        format!("{encoding:?}"),
        rate(write),
        rate(read)
    );
}

fn remove(files: &SpillFiles, id: BlockId) {
    files.release(id);
    files.sweep();
}

/// Seconds to write a block, and whether it was compressed. The file goes again.
fn write(files: &SpillFiles, id: BlockId, original: &Block, scratch: &mut [u8]) -> (f64, bool) {
    let began = Instant::now();
    let stored = files.write(id, original, scratch).expect("a spilled block");
    let seconds = began.elapsed().as_secs_f64();
    remove(files, id);
    (seconds, stored.encoding != Encoding::Raw)
}

/// Writing with the choice by measurement beside writing raw, block by block in turns and each as often first, since
/// disks have moods, and the file system gives the first of two files another place than the second. The sample of
/// the first block is part of it.
fn choice_against_raw(folder: &Path, pool: &Pool, name: &str, original: &Block) {
    let raw = SpillPlace::with_encoding(folder.into(), None, Encoding::Raw);
    let chosen = SpillPlace::new(folder.into(), None);
    let mut scratch = pool.take(SpillPlace::scratch_len(original.bytes().len() as u64)).expect("a scratch");
    let (mut ratios, mut compressed) = (Vec::new(), 0);
    // A run of its own for each: a place keeps nothing of one that is over.
    for run in 0..ROUNDS as u64 {
        let (plain_files, chosen_files) = (raw.begin(RunId(run)), chosen.begin(RunId(run)));
        let (mut plain, mut with) = (0.0, 0.0);
        for index in 0..BLOCKS {
            for of_choice in if index % 2 == 0 { [false, true] } else { [true, false] } {
                let files = if of_choice { &chosen_files } else { &plain_files };
                let (seconds, smaller) = write(files, id(index), original, scratch.bytes_mut());
                *if of_choice { &mut with } else { &mut plain } += seconds;
                compressed += usize::from(smaller);
            }
        }
        chosen_files.end();
        ratios.push(with / plain);
    }
    ratios.sort_by(f64::total_cmp);
    println!(
        "{name:<8} time with choice / raw {:.3} ({:.3} to {:.3}); {compressed} of {} compressed; disk {:.0} MB/s",
        ratios[ROUNDS / 2],
        ratios[0],
        ratios[ROUNDS - 1],
        ROUNDS * BLOCKS as usize,
        chosen.disk_rate() / MB
    );
}

fn main() {
    let given = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let folder = given.map_or_else(default_spill_folder, PathBuf::from);
    let pool = Pool::new(256 << 20);
    println!("blocks of {ROWS}×{COLS} f64, to {}; MB/s of raw bytes, median of {ROUNDS}", folder.display());
    println!("data     encoding        ratio   encode   decode    write     read");
    for (name, element) in DATA {
        let original = block(&pool, element);
        for encoding in [Encoding::Raw, Encoding::Zstd, Encoding::ShuffledZstd] {
            one_encoding(&folder, &pool, name, &original, encoding);
        }
    }
    for (name, element) in DATA {
        choice_against_raw(&folder, &pool, name, &block(&pool, element));
    }
}
