//! Programs that come from elsewhere: ours are taken, mutated ones are refused or do no harm. `DOLMEN_SEED=n` tries one
//! seed.

#[path = "support/asked.rs"]
mod asked;
mod sim;

use asked::ask;
use dolmen::graph::{Blocks, Pattern, Pick, Program, ProgramError, Read, Stage};
use dolmen::ids::StageId;
use dolmen::protocol::{decode, encode};
use sim::programs;
use sim::rng::Rng;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

fn each_program(count: u64, property: impl Fn(Program, &mut Rng)) {
    let one = std::env::var("DOLMEN_SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in one.map_or(0..count, |seed| seed..seed + 1) {
        let mut rng = Rng::new(seed);
        let size = 1 << rng.range(2, 5);
        let (name, program) = programs::random(&mut rng, size);
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| property(program, &mut rng))) {
            println!("{name} program: DOLMEN_SEED={seed}");
            resume_unwind(panic);
        }
    }
}

#[test]
fn our_programs_arrive_as_they_were() {
    each_program(3000, |program, _| {
        let stages: Vec<Stage> = decode(&encode(program.stages()).unwrap()).unwrap();
        assert_eq!(Program::try_new(stages).as_ref(), Ok(&program));
    });
}

fn mutated(program: &Program, rng: &mut Rng) -> Vec<u8> {
    let mut bytes = encode(program.stages()).unwrap();
    for _ in 0..rng.range(1, 3) {
        let at = rng.below(bytes.len() as u64) as usize;
        match rng.below(4) {
            // Small numbers are one byte: a neighbour, another, and one that says that a long one follows.
            0 => bytes[at] = bytes[at].wrapping_add(rng.range(1, 2) as u8),
            1 => bytes[at] = rng.below(8) as u8,
            2 => bytes[at] = rng.next() as u8,
            _ => {
                let long = [&[253], &rng.next().to_le_bytes()[..]].concat();
                bytes.splice(at..=at, long);
            }
        }
    }
    bytes
}

#[test]
fn mutated_programs_are_refused_or_do_no_harm() {
    let taken = std::cell::Cell::new(0);
    each_program(3000, |program, rng| {
        for _ in 0..8 {
            let bytes = mutated(&program, rng);
            let Ok(stages) = decode::<Vec<Stage>>(&bytes) else { continue };
            if let Ok(program) = Program::try_new(stages) {
                taken.set(taken.get() + 1);
                ask(&program);
            }
        }
    });
    // Not all are refused for what they are not.
    assert!(taken.get() > 0);
}

#[test]
fn what_is_wrong_is_said() {
    each_program(200, |program, _| {
        let Some(at) = program.stages().iter().position(|stage| matches!(stage.blocks, Blocks::Grid(_)))
        else {
            return;
        };
        let mut stages = program.stages().to_vec();
        stages[at].work.flops = f64::NAN;
        let error = Program::try_new(stages.clone()).unwrap_err();
        assert!(matches!(error, ProgramError::Stage { stage, .. } if stage == at), "{error}");
        assert_eq!(error.to_string().lines().count(), 1);
        stages[at].work.flops = 0.0;
        stages[at]
            .reads
            .push(Read { source: StageId(u32::MAX), pattern: Pattern::Block(Pick::Row, Pick::Col) });
        assert!(Program::try_new(stages).is_err());
    });
}
