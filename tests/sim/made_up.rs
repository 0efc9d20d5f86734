//! Events that no honest worker sends: the core must not be moved by them.

use super::rng::Rng;
use dolmen::failure::{Blame, Failure};
use dolmen::graph::Program;
use dolmen::ids::{MemoryId, StageId, TaskId, TaskList, TaskRange, WorkerId};
use dolmen::sched::{Event, Holding, Pull, Timing};

/// Nobody has this name.
const STRANGER: WorkerId = WorkerId(u32::MAX);
/// The first worker. It may be there or not.
const FIRST: WorkerId = WorkerId(0);

/// `batch` with made-up events behind its own: a loss stays the first of its batch.
pub fn among(rng: &mut Rng, program: &Program, batch: Vec<Event>) -> Vec<Event> {
    let mut mixed = Vec::new();
    for event in batch {
        mixed.push(event);
        for _ in 0..rng.below(4) {
            mixed.push(made_up(rng, program));
        }
    }
    mixed
}

fn made_up(rng: &mut Rng, program: &Program) -> Event {
    let missing = missing_task(rng, program);
    let real = program.at_position(rng.below(program.tasks() as u64) as usize);
    let (worker, task) = if rng.chance(50) { (STRANGER, real) } else { (FIRST, missing) };
    let failure = Failure { blame: Blame::Run, message: "made up".into() };
    match rng.below(15) {
        0 => Event::Join { worker: STRANGER, threads: u32::MAX, memory: MemoryId(0), bytes: u64::MAX },
        1 => Event::Leave { worker: STRANGER },
        2 => Event::Finished { worker: FIRST, tasks: TaskList::default(), timings: timings(rng, program) },
        3 => Event::Finished { worker: STRANGER, tasks: list(real, 1), timings: timings(rng, program) },
        4 => Event::Finished { worker: FIRST, tasks: list(missing, 1), timings: Vec::new() },
        5 => Event::Returned { worker, tasks: list(task, rng.below(3) as u32) },
        6 => Event::Copied { worker, block: task },
        7 => Event::CopyFailed { worker, block: task },
        8 => Event::Spilled { worker, block: task },
        9 => Event::Vanished { worker, block: task },
        10 => Event::Asks { worker, tasks: list(task, rng.below(3) as u32) },
        11 => Event::Holds { worker, holding: holding(rng, task) },
        12 => Event::Pulled { worker: STRANGER, pulls: vec![pull(FIRST)] },
        13 => Event::Pulled { worker: FIRST, pulls: vec![pull(STRANGER)] },
        _ if rng.chance(50) => Event::Failed { worker, task, failure },
        _ => Event::MoveFailed { worker, block: task, failure },
    }
}

fn pull(from: WorkerId) -> Pull {
    Pull { from, blocks: 1, bytes: 1 << 30, seconds: 1000.0 }
}

fn missing_task(rng: &mut Rng, program: &Program) -> TaskId {
    let stages = program.stages().len() as u32;
    match rng.below(3) {
        0 => TaskId::new(StageId(stages), 0),
        1 => TaskId::new(StageId(u32::MAX), u32::MAX - 1),
        _ => TaskId::new(StageId(0), program.stages()[0].space.tasks() + rng.below(9) as u32),
    }
}

/// A range that begins with `task` and may end before it, or beyond its stage.
fn list(task: TaskId, tasks: u32) -> TaskList {
    let end = if tasks == 0 { task.index.saturating_sub(1) } else { task.index + 1 };
    let range = TaskRange { stage: task.stage, start: task.index, end };
    // As from the wire: a list that is built can hold no range that ends before it begins.
    serde_json::from_value(serde_json::json!({ "ranges": [range] })).expect("a list of tasks")
}

fn holding(rng: &mut Rng, task: TaskId) -> Holding {
    let tasks = list(task, 1 + rng.below(2) as u32);
    match rng.below(3) {
        0 => Holding { in_memory: tasks, ..Holding::default() },
        1 => Holding { written: tasks, ..Holding::default() },
        _ => Holding { done: tasks, ..Holding::default() },
    }
}

/// Times that cannot be, and times of stages that are not there.
fn timings(rng: &mut Rng, program: &Program) -> Vec<Timing> {
    let first = StageId(0);
    let beyond = StageId(program.stages().len() as u32);
    let seconds = *rng.pick(&[f64::NAN, f64::INFINITY, f64::NEG_INFINITY, -1.0, f64::MAX]);
    vec![
        Timing { stage: first, tasks: 1, seconds },
        Timing { stage: first, tasks: 0, seconds: 1.0 },
        Timing { stage: beyond, tasks: 1, seconds: 1.0 },
        Timing { stage: StageId(u32::MAX), tasks: 1, seconds },
    ]
}
