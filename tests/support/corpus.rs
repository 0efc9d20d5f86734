//! The corpus of a fuzz target, and inputs that are made from it: as good as nothing beside libFuzzer, which sees what
//! an input reaches, but it needs no other toolchain. `DOLMEN_FUZZ=n` makes so many of them for each target.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::Path;

/// Inputs that are made for each target.
const MADE: u64 = 2000;
/// None is longer.
const LONGEST: usize = 4096;
/// Bytes that mean something in many formats: ends of ranges, what says that a long number follows, quotes.
const ODD: [u8; 12] = [0, 1, 0x7f, 0x80, 251, 252, 253, 254, 255, b'"', b'{', b'-'];

/// A small generator of numbers (Steele, Lea and Flood 2014: SplitMix64).
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end as u64) as usize
    }
}

/// Runs `body` on the corpus in this folder, and on inputs made from it.
pub fn run_corpus(folder: &Path, body: fn(&[u8])) {
    let entries = std::fs::read_dir(folder).expect("a corpus");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let inputs: Vec<Vec<u8>> = paths.iter().map(|path| std::fs::read(path).expect("an input")).collect();
    assert!(!inputs.is_empty(), "no inputs in {}", folder.display());
    inputs.iter().for_each(|input| try_one(input, body));
    let made = std::env::var("DOLMEN_FUZZ").ok().and_then(|count| count.parse().ok()).unwrap_or(MADE);
    let mut random = Random(1);
    for _ in 0..made {
        let mut input = inputs[random.below(inputs.len())].clone();
        for _ in 0..=random.below(4) {
            let other = random.below(inputs.len());
            change(&mut input, &inputs[other], &mut random);
        }
        try_one(&input, body);
    }
    println!("{}: {} inputs", folder.display(), made + inputs.len() as u64);
}

fn try_one(input: &[u8], body: fn(&[u8])) {
    if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(input))) {
        println!("it panics at {:?}", input.escape_ascii().to_string());
        resume_unwind(panic);
    }
}

/// Changes something.
fn change(input: &mut Vec<u8>, other: &[u8], random: &mut Random) {
    let at = random.below(input.len() + 1);
    let end = (at + 1 + random.below(8)).min(input.len());
    match random.below(7) {
        0 => input.truncate(at),
        1 => drop(input.drain(at..end)),
        2 => input.insert(at, random.next() as u8),
        3 => {
            let repeated = input[at..end].to_vec();
            input.splice(at..at, repeated);
        }
        4 => {
            let long = [&[253], &random.next().to_le_bytes()[..]].concat();
            input.splice(at..end, long);
        }
        5 => {
            let from = random.below(other.len() + 1);
            let to = (from + random.below(32)).min(other.len());
            input.splice(at..end, other[from..to].iter().copied());
        }
        _ => {
            if let Some(byte) = input.get_mut(at) {
                *byte = match random.below(3) {
                    0 => *byte ^ 1 << random.below(8),
                    1 => ODD[random.below(ODD.len())],
                    _ => random.next() as u8,
                };
            }
        }
    }
    input.truncate(LONGEST);
}
