//! Programs that come from elsewhere: ours are taken, mutated ones are refused or do no harm. `DOLMEN_SEED=n` tries one
//! seed.

mod sim;

use dolmen::graph::{Blocks, Pattern, Pick, Program, ProgramError, Read, Stage};
use dolmen::ids::StageId;
use dolmen::protocol::{decode, encode};
use dolmen::sched::serial_order;
use sim::programs;
use sim::rng::Rng;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

/// Tasks of a program that are all looked at, and of one that is walked.
const MOST_TASKS: usize = 100_000;
const MOST_WALKED: usize = 2_000;
/// Visits of one program: an inner block may be read by all tasks.
const MOST_VISITS: usize = 400_000;

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

/// All that a scheduler asks of a program.
fn ask(program: &Program) {
    let tasks = program.tasks();
    let step = tasks.div_ceil(MOST_TASKS).max(1);
    let (mut inputs, mut consumers) = (Vec::new(), Vec::new());
    let mut visits = 0;
    for position in (0..tasks).step_by(step) {
        let task = program.at_position(position);
        assert_eq!(program.position(task), position);
        program.inputs(task, &mut inputs);
        program.consumers(task, &mut consumers);
        for other in inputs.iter().chain(&consumers) {
            assert!(program.has_task(*other), "{task:?} and {other:?}");
            assert!(program.position(*other) < tasks);
        }
        let stage = program.stage(task.stage);
        let (rows, cols) = stage.shape(task.index);
        assert!(rows.checked_mul(cols).is_some());
        let sizes = [program.size(task), program.reserves(task), program.releases(task)];
        assert!(sizes.iter().all(|bytes| *bytes <= program.size(task)));
        assert!(stage.bytes(task.index) <= stage.largest_bytes());
        let _ = (program.keeps(task), program.is_sink(task.stage));
        visits += inputs.len() + consumers.len();
        if visits > MOST_VISITS {
            return;
        }
    }
    assert!(program.flops() >= 0.0);
    if tasks <= MOST_WALKED {
        assert_eq!(serial_order(program).len(), tasks, "every task has its turn");
    }
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
