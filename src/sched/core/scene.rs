//! What small scenes of tests are made of.

use super::Core;
use crate::array::footprint;
use crate::graph::testing::{self, column, nulls};
use crate::graph::{Order, Pattern, Pick, Program, Read, Space, Stage};
use crate::ids::{MemoryId, StageId, TaskId, TaskList, WorkerId};
use crate::sched::events::{Action, Event, Pull, Timing};
use crate::sched::links::Way;
use crate::sched::plan::{ResultsWhenShort, SpillPlan};
use crate::sched::table::TaskState;
use std::sync::Arc;

pub(super) const FIRST: WorkerId = WorkerId(0);
pub(super) const SECOND: WorkerId = WorkerId(1);
pub(super) const THIRD: WorkerId = WorkerId(2);
pub(super) const ROOM: u64 = 1 << 20;

pub(super) fn block() -> u64 {
    footprint(8)
}

pub(super) fn stage(space: Space, reads: Vec<Read>) -> Stage {
    Stage { keep: true, ..nulls(space, reads) }
}

/// Tasks that read each other as told and leave a block of one number each.
pub(super) fn linked(inputs: &[&[u32]]) -> Stage {
    Stage { keep: true, ..testing::linked(inputs) }
}

pub(super) fn program(inputs: &[&[u32]]) -> Arc<Program> {
    Arc::new(Program::new(vec![linked(inputs)]))
}

pub(super) fn core_of(inputs: &[&[u32]]) -> Core {
    Core::new(program(inputs), ROOM)
}

/// One chain of so many steps.
pub(super) fn chain(steps: u32) -> Core {
    let steps = Stage { keep: true, ..testing::chains(1, steps) };
    Core::new(Arc::new(Program::new(vec![steps])), ROOM)
}

/// Blocks of stage 0, and a chain of stage 1 each step of which reads one of them.
pub(super) fn chain_over_blocks(steps: u32) -> Core {
    let blocks = stage(column(steps), Vec::new());
    let previous = Read { source: StageId(1), pattern: Pattern::Previous };
    let of_step = Read { source: StageId(0), pattern: Pattern::Block(Pick::Step, Pick::Zero) };
    let chain = stage(Space::new(1, 1, steps, Order::Rows), vec![of_step, previous]);
    Core::new(Arc::new(Program::new(vec![blocks, chain])), ROOM)
}

/// A run that spills, with a window of three blocks.
pub(super) fn spilling(program: Arc<Program>, results: ResultsWhenShort) -> Core {
    let plan = SpillPlan { window: 3 * block(), window_per_thread: 0, least: block(), results, width: 1 };
    Core::new(program, u64::MAX).spilling(&plan)
}

pub(super) fn task(index: u32) -> TaskId {
    TaskId::new(StageId(0), index)
}

pub(super) fn list(indices: &[u32]) -> TaskList {
    indices.iter().map(|index| task(*index)).collect()
}

pub(super) fn join(worker: WorkerId) -> Event {
    Event::Join { worker, threads: 1, memory: MemoryId(worker.0), bytes: ROOM }
}

pub(super) fn done(worker: WorkerId, index: u32) -> Event {
    Event::Finished { worker, tasks: list(&[index]), timings: Vec::new() }
}

pub(super) fn hear(core: &mut Core, events: impl IntoIterator<Item = Event>) -> Vec<Action> {
    let mut actions = Vec::new();
    core.handle(events, &mut actions);
    core.check_invariants();
    actions
}

/// For scenes in the midst of a run.
impl Core {
    /// These workers come, of one thread each, to the memories with these numbers, and get nothing yet.
    pub(super) fn with(mut self, memories: &[u32]) -> Core {
        for (number, memory) in memories.iter().enumerate() {
            self.join(WorkerId(number as u32), 1, MemoryId(*memory), ROOM);
        }
        self
    }

    /// A task is in this state.
    pub(super) fn put(&mut self, index: u32, state: TaskState) {
        self.tasks.set(task(index), state);
    }

    /// A worker is known to have a copy, which has its room.
    pub(super) fn give_copy(&mut self, index: u32, worker: WorkerId) {
        let memory = self.fleet.memory(worker).expect("it is there");
        if !self.is_in(task(index), memory) {
            self.reserve_at(memory, block());
        }
        self.holders.add(task(index), worker);
    }

    /// Tasks of the first stage take so long, as far as is known.
    pub(super) fn set_seconds(&mut self, seconds: f64) {
        let each = self.seconds_of(StageId(0));
        let newest = each + 5.0 * (seconds - each);
        self.estimates.measure(&[Timing { stage: StageId(0), tasks: 1, seconds: newest }]);
    }

    /// A block takes so long this way.
    pub(super) fn set_way(&mut self, from: WorkerId, to: WorkerId, seconds: f64) {
        let pull = Pull { from, blocks: 1, bytes: 8, seconds: 5.0 * seconds };
        self.links.measure(Way { from, to }, &pull);
    }

    /// What is said to workers.
    pub(super) fn said(&mut self) -> Vec<Action> {
        let mut out = Vec::new();
        self.outboxes.flush(&self.fleet, &mut out);
        out
    }
}
