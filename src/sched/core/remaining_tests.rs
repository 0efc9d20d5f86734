use super::super::scene::{FIRST, core_of, task};
use super::*;
use crate::array::{Axis, BlockGrid, Element, Fill, footprint};
use crate::graph::testing::{chains, column, linked, nulls};
use crate::graph::{Blocks, Pattern, Pick, Program, ProgramBuilder, Read, Stage};
use crate::ids::{MemoryId, StageId, WorkerId};
use crate::sched::events::{Action, Event};
use crate::sched::plan::{ResultsWhenShort, SpillPlan};
use std::sync::Arc;

const WORKER: WorkerId = WorkerId(0);

/// What the first tasks make is read more than once.
const READS: [&[u32]; 6] = [&[], &[], &[], &[0, 1], &[1, 2], &[0, 2]];

fn block() -> u64 {
    footprint(1 << 20)
}

/// The block of a task is of a megabyte.
const LARGE: Blocks = Blocks::Each { rows: 1 << 17, cols: 1 };

fn spilling_core() -> Core {
    let stage = Stage { blocks: LARGE, ..linked(&READS) };
    let plan = SpillPlan {
        window: 3 * block(),
        window_per_thread: 0,
        least: 3 * block(),
        results: ResultsWhenShort::MayLeave,
        width: 1,
    };
    Core::new(Arc::new(Program::new(vec![stage])), u64::MAX).spilling(&plan)
}

/// Lets a worker with room for so many blocks work until the first has to go, or the run is over. True if one has.
fn until_one_goes(core: &mut Core, room: u64) -> bool {
    let mut events =
        vec![Event::Join { worker: WORKER, threads: 1, memory: MemoryId(0), bytes: room * block() }];
    let mut actions = Vec::new();
    while !events.is_empty() {
        core.handle(events.drain(..), &mut actions);
        for action in actions.drain(..) {
            match action {
                Action::Assign { tasks, .. } => {
                    events.push(Event::Finished { worker: WORKER, tasks, timings: Vec::new() });
                }
                Action::Spill { .. } => return true,
                _ => {}
            }
        }
    }
    false
}

#[test]
fn a_run_whose_blocks_have_to_go_wants_more_memory_than_there_is() {
    let mut core = spilling_core();
    assert!(until_one_goes(&mut core, 3));
    let remaining = core.remaining();
    assert!(remaining.is_short_of_room && remaining.wanted >= 3 * block(), "{remaining:?}");
    let mut core = spilling_core();
    core.handle(
        [Event::Join { worker: WORKER, threads: 1, memory: MemoryId(0), bytes: 100 * block() }],
        &mut Vec::new(),
    );
    assert!(!core.remaining().is_short_of_room);
    assert!(!until_one_goes(&mut spilling_core(), 100));
}

#[test]
fn what_is_written_is_told_with_the_phase_that_makes_it() {
    let grid = BlockGrid::new(Axis::new(400, 100), Axis::new(400, 100));
    let mut builder = ProgramBuilder::default();
    let a = builder.fill(Fill::Constant(1.0), 0, 0, grid, Element::F64);
    let c = builder.gemm(a, a);
    builder.write(c, 0, (0, 0));
    let program = builder.finish();
    let one = program.size(crate::ids::TaskId::new(StageId(0), 0));
    let remaining = Core::new(Arc::new(program), u64::MAX).remaining();
    let bytes: Vec<f64> = remaining.phases.iter().map(|phase| phase.bytes).collect();
    assert_eq!(bytes.iter().sum::<f64>(), 16.0 * one as f64, "{remaining:?}");
    // The first task takes a block times itself.
    let product = remaining.phases.iter().find(|phase| phase.bytes > 0.0).expect("a phase that writes");
    assert!(product.work > 0.0 && product.holds == 2 * one, "{remaining:?}");
}

#[test]
fn what_is_made_from_nothing_belongs_to_the_phase_that_uses_it() {
    let grid = BlockGrid::new(Axis::new(100, 100), Axis::new(100, 100));
    let mut builder = ProgramBuilder::default();
    let fill = |builder: &mut ProgramBuilder| builder.fill(Fill::Constant(1.0), 0, 0, grid, Element::F64);
    let mut product = fill(&mut builder);
    for _ in 0..5 {
        let factor = fill(&mut builder);
        product = builder.gemm(product, factor);
    }
    let phases = Core::new(Arc::new(builder.finish()), u64::MAX).remaining().phases;
    // Not all of it is made at once at the beginning.
    assert_eq!(phases.len(), 5, "{phases:?}");
    assert!(phases.iter().all(|phase| phase.width <= 3.0), "{phases:?}");
}

#[test]
fn intervals_that_overlap_are_one_phase() {
    let interval = |from, to, width| Interval { from, to, work: 10.0, width, bytes: 5.0, holds: to as u64 };
    let intervals = [
        // The last one begins when the first is done, and is as wide as both.
        interval(10.5, 11.0, 2.0),
        interval(0.0, 10.0, 2.0),
        interval(4.0, 12.0, 1.0),
        interval(12.0, 15.0, 4.0),
        interval(5.0, 8.0, 1.0),
    ];
    let first = RemainingPhase { work: 40.0, path: 12.0, width: 4.0, bytes: 20.0, holds: 12 };
    let second = RemainingPhase { work: 10.0, path: 3.0, width: 4.0, bytes: 5.0, holds: 15 };
    assert_eq!(phases(intervals.to_vec()), [first, second]);
}

/// Three chains of four steps, and three tasks that read what they make.
#[test]
fn chains_go_on_beside_each_other_and_their_steps_do_not() {
    let kept = |stage| Stage { blocks: LARGE, keep: true, ..stage };
    let read = Read { source: StageId(0), pattern: Pattern::Block(Pick::Row, Pick::Zero) };
    let (chains, readers) = (kept(chains(3, 4)), kept(nulls(column(3), vec![read])));
    let core = Core::new(Arc::new(Program::new(vec![chains, readers])), u64::MAX);
    let seconds = core.seconds_of(StageId(0));
    let remaining = core.remaining();
    let [first, second] = remaining.phases[..] else { panic!("{remaining:?}") };
    let is = |phase: RemainingPhase, path: f64| {
        let near = |a: f64, b: f64| (a - b).abs() < 1e-9;
        phase.width == 3.0 && near(phase.path, path * seconds) && near(phase.work, 3.0 * path * seconds)
    };
    assert!(is(first, 4.0) && is(second, 1.0), "{seconds}: {remaining:?}");
    assert_eq!((first.holds, second.holds), (block(), 2 * block()));
}

#[test]
fn what_is_less_than_rounding_neither_goes_on_nor_overlaps() {
    let one = |to: f64| Interval { from: 0.0, to, work: 1.0, width: 1.0, bytes: 0.0, holds: 0 };
    assert_eq!(phases(vec![one(ROUNDING), one(5.0)]).len(), 2);
    let merged = phases(vec![one(10.0), one(ROUNDING), one(5.0)]);
    assert_eq!((merged.len(), merged[0].width), (1, 2.0), "the second has ended when the third begins");
}

#[test]
fn what_is_done_is_no_phase_any_more() {
    let mut core = spilling_core();
    until_one_goes(&mut core, 100);
    assert_eq!(core.remaining().phases, []);
}

/// Lets a worker do tasks one by one until none of `stage` is left.
fn until_done(core: &mut Core, stage: StageId) {
    let mut events = vec![Event::Join { worker: WORKER, threads: 1, memory: MemoryId(0), bytes: 1 << 40 }];
    let mut handed_out = std::collections::VecDeque::new();
    while core.counts.left(stage) > 0 {
        let mut actions = Vec::new();
        core.handle(events.drain(..), &mut actions);
        for action in actions {
            if let Action::Assign { tasks, .. } = action {
                handed_out.extend(tasks.iter());
            }
        }
        let tasks = handed_out.pop_front().into_iter().collect();
        events.push(Event::Finished { worker: WORKER, tasks, timings: Vec::new() });
    }
}

#[test]
fn a_stage_begins_when_all_steps_are_done_of_what_it_reads() {
    let mut builder = ProgramBuilder::default();
    let fill = |builder: &mut ProgramBuilder, rows: u64, cols: u64| {
        let grid = BlockGrid::new(Axis::new(100 * rows, 100), Axis::new(100 * cols, 100));
        builder.fill(Fill::Constant(1.0), 0, 0, grid, Element::F64)
    };
    let (a, b, c) = (fill(&mut builder, 1, 3), fill(&mut builder, 3, 1), fill(&mut builder, 1, 1));
    let first = builder.gemm(a, b);
    let second = builder.gemm(first, c);
    builder.keep(second.stage);
    let mut core = Core::new(Arc::new(builder.finish()), u64::MAX);
    let ends = |core: &Core, stage: StageId| core.begins()[stage.at()].sources_end;
    let seconds = core.estimates.of_stage(first.stage);
    assert!(seconds > 0.0);
    assert_eq!(ends(&core, first.stage), 0.0, "what is made from nothing comes as it is used");
    assert_eq!(ends(&core, second.stage), 3.0 * seconds);
    until_done(&mut core, first.stage);
    assert_eq!(ends(&core, second.stage), 0.0);
}

#[test]
fn what_is_made_from_nothing_is_first_used_by_a_stage_that_is_not_done() {
    let grid = BlockGrid::new(Axis::new(100, 100), Axis::new(100, 100));
    let mut builder = ProgramBuilder::default();
    let a = builder.fill(Fill::Constant(1.0), 0, 0, grid, Element::F64);
    let (early, late) = (builder.gemm(a, a), builder.gemm(a, a));
    [early, late].iter().for_each(|product| builder.keep(product.stage));
    let mut core = Core::new(Arc::new(builder.finish()), u64::MAX);
    let mut begins = vec![Begin::default(); core.tasks.program.stages().len()];
    begins[early.stage.at()].sources_end = 1.0;
    begins[late.stage.at()].sources_end = 5.0;
    assert_eq!(core.first_use(a.stage, &begins), 1.0);
    core.counts.admit();
    core.counts.assign();
    core.counts.finish(early.stage);
    assert_eq!(core.first_use(a.stage, &begins), 5.0);
}

#[test]
fn what_is_out_of_memory_or_leaves_it_wants_room() {
    let mut core = spilling_core();
    assert_eq!(core.room_wanted(), (0, false));
    core.put(0, TaskState::Done(FIRST));
    core.transit.add_file(task(0), MemoryId(0));
    assert_eq!(core.room_wanted(), (0, false), "it is in memory too");
    core.put(0, TaskState::Spilled);
    assert_eq!(core.room_wanted(), (block(), true));
    let mut core = spilling_core();
    core.transit.leave(task(0), FIRST);
    assert_eq!(core.room_wanted(), (0, true));
}

#[test]
fn who_has_nothing_to_do_waits_for_room_if_something_is_ready_or_held() {
    let mut core = core_of(&[&[], &[]]).with(&[0]);
    assert!(!core.waits_for_room());
    core.ready.push(&mut core.tasks, task(0));
    assert!(core.waits_for_room());
    let mut core = spilling_core();
    core.join(FIRST, 1, MemoryId(0), 2 * block());
    assert!(core.ahead.is_bounded_by_memory() && !core.waits_for_room());
    core.admission.hold(task(0));
    assert!(core.waits_for_room());
}
