//! Before a run: how much memory it needs, and whether that is there.
//!
//! Admitting tasks in the walk's order, one at a time, holds at most `P` bytes of blocks. Any
//! schedule that admits in this order and only while its reservations fit a limit `L ≥ P` never
//! exceeds `L`, and never gets stuck: when all that was admitted is finished, what is live is
//! what the serial walk holds at this point, and its next task fits.
//!
//! A run that spills needs only `S ≤ P`: the results so far and the blocks of one task. When all that was admitted is
//! finished, everything but the results can leave memory, and the next task fits.
//!
//! So the bound is `L` + compute threads × (largest workspace) + I/O threads × (largest workspace of I/O).

use super::ahead::Stride;
use super::table::{Table, TaskState};
use super::walk::{Ground, Walk};
use crate::array::footprint;
use crate::graph::{Program, Stage};
use crate::ids::{TaskId, WorkerId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Tasks per thread whose blocks may be held beyond what the serial walk needs.
const RUN_AHEAD: u64 = 1;

/// So much of the budget may more I/O threads take than a run must have: one part of this many.
pub(super) const MORE_IO: u64 = 8;

/// In a run that spills: tasks beside those that compute whose inputs may be on their way. More would take memory from
/// blocks that are used again.
pub(super) const COMING: u64 = 2;

/// Beyond so many tasks the serial walk is not worth its time where all blocks fit easily.
const LONG_WALK: usize = 1 << 20;

/// The threads of all workers together.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Threads {
    pub compute: u64,
    pub io: u64,
}

impl Threads {
    pub(super) fn all(self) -> u64 {
        self.compute + self.io
    }
}

/// Bytes that each thread holds beside blocks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Workspace {
    pub compute: u64,
    pub io: u64,
}

impl Workspace {
    /// Bytes that these threads hold together.
    pub fn of(self, threads: Threads) -> u64 {
        let compute = threads.compute.saturating_mul(self.compute);
        compute.saturating_add(threads.io.saturating_mul(self.io))
    }
}

/// What a run will hold in memory at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Bytes of blocks that the run may hold: the limit that admission enforces.
    pub blocks_limit: u64,
    pub workspace: Workspace,
    pub threads: Threads,
    /// The smallest budget with which the program can run on these threads.
    pub smallest_budget: u64,
    /// Bytes of blocks without which the run cannot go on.
    pub(super) least_blocks: u64,
    /// I/O threads among `threads` that there need not be.
    pub more_io: u64,
    /// For a run that spills.
    pub spill: Option<SpillPlan>,
}

/// What a run that spills may hold, and must be able to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SpillPlan {
    /// Bytes of blocks that admitted tasks may hold.
    pub window: u64,
    /// So many more for each compute thread that is there. 0 if the threads are known before the run.
    pub window_per_thread: u64,
    /// Bytes of blocks that the memory of one worker has to hold.
    pub least: u64,
    pub results: ResultsWhenShort,
    /// The walk goes at so many places of a tall matrix at once.
    pub width: u32,
}

/// What becomes of results when memory is short.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ResultsWhenShort {
    /// They stay: whoever asked for them is going to have them in this very memory.
    Stay,
    /// They leave it like other blocks. Whoever asked for them gets them from the file.
    MayLeave,
}

impl Plan {
    /// What is of use for each thread that computes, beyond what is needed, and for each more I/O thread.
    pub(super) fn stride(&self, program: &Program) -> Stride {
        let per_io_task = RUN_AHEAD * largest_task(program);
        let all = (self.threads.all() - self.more_io) * per_io_task;
        let per_thread = all.div_ceil(self.threads.compute.max(1));
        Stride { least: self.least_blocks, per_thread, per_io_task }
    }

    /// The same for more I/O threads, up to `most`, as far as a share of the budget pays for their workspaces and what
    /// is read with them. What spills keeps its memory for blocks.
    pub fn with_more_io(self, program: &Program, most: u64, budget: u64) -> Plan {
        let task = RUN_AHEAD * largest_task(program);
        let each = task.saturating_add(self.workspace.io).max(1);
        let room = budget.saturating_sub(self.bound()).min(budget / MORE_IO);
        let more = (room / each).min(most.saturating_sub(self.threads.io));
        if self.spill.is_some() || more == 0 {
            return self;
        }
        let threads = Threads { io: self.threads.io + more, ..self.threads };
        let blocks_limit =
            (self.blocks_limit + more * task).min(largest_total(program).max(self.blocks_limit));
        Plan { blocks_limit, threads, more_io: more, ..self }
    }

    /// Bytes that the run holds at most, blocks and workspaces.
    pub fn bound(&self) -> u64 {
        self.blocks_limit + self.workspace.of(self.threads)
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("needs {needed} bytes of memory{whose}, but only {budget} are allowed{}", whose.mend())]
pub struct PlanError {
    pub needed: u64,
    pub budget: u64,
    pub whose: Whose,
}

/// Which memory is too small.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Whose {
    /// That of the process.
    Process,
    /// That of each worker, but one has to be larger.
    OneWorker,
    /// That of one worker at least, and all of them have to hold the run: one may not spill.
    EachWorker,
    Client,
}

impl Whose {
    /// How to mend it, where another process has to.
    fn mend(self) -> &'static str {
        match self {
            Whose::Process | Whose::Client => "",
            Whose::OneWorker => ": give a worker more with --memory",
            Whose::EachWorker => ": give each worker more with --memory",
        }
    }
}

impl fmt::Display for Whose {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Whose::Process => "",
            Whose::OneWorker => " at one worker",
            Whose::EachWorker => " at each worker, since one may not spill",
            Whose::Client => " at the client",
        })
    }
}

/// Bytes that any task of a program may need beside blocks.
pub fn workspace(program: &Program) -> Workspace {
    let largest = |io: bool| {
        let stages = program.stages().iter().filter(|stage| stage.kind.is_io() == io);
        stages.map(|stage| footprint(stage.work.workspace)).max().unwrap_or(0)
    };
    Workspace { compute: largest(false), io: largest(true) }
}

/// Proves a bound for `program` on `threads` within `budget` bytes with all blocks in memory, or refuses.
///
/// O(stages) where all blocks together fit easily, O(tasks) else.
pub fn plan(program: &Program, threads: Threads, budget: u64) -> Result<Plan, PlanError> {
    let workspace = workspace(program);
    let beside = workspace.of(threads);
    let everything = largest_total(program);
    let walk_pays = program.tasks() <= LONG_WALK || everything > budget / 2;
    let serial = if walk_pays { needs(program).serial } else { everything };
    let smallest_budget = serial.saturating_add(beside);
    if smallest_budget > budget {
        return Err(PlanError { needed: smallest_budget, budget, whose: Whose::Process });
    }
    let all = HoldsAll { serial, workspace, threads, smallest_budget };
    Ok(all.plan(program, budget - beside))
}

/// What is known of a run that holds all blocks.
pub(super) struct HoldsAll {
    /// Bytes of blocks that the serial walk needs.
    pub serial: u64,
    pub workspace: Workspace,
    pub threads: Threads,
    pub smallest_budget: u64,
}

impl HoldsAll {
    /// As far ahead as the threads have use for, in at most `room` bytes of blocks.
    pub fn plan(self, program: &Program, room: u64) -> Plan {
        let HoldsAll { serial, workspace, threads, smallest_budget } = self;
        let ahead = (RUN_AHEAD * threads.all()).saturating_mul(largest_task(program));
        let blocks_limit = serial.saturating_add(ahead).min(largest_total(program).max(serial)).min(room);
        Plan {
            blocks_limit,
            workspace,
            threads,
            smallest_budget,
            least_blocks: serial,
            more_io: 0,
            spill: None,
        }
    }
}

/// The same for a run that spills, whose I/O threads want `scratch` bytes for it. O(tasks).
pub fn plan_spilling(
    program: &Program,
    threads: Threads,
    budget: u64,
    scratch: u64,
) -> Result<Plan, PlanError> {
    let workspace = spilling_workspace(program, scratch);
    let beside = workspace.of(threads);
    let least = needs(program).spilling;
    let smallest_budget = least.saturating_add(beside);
    if smallest_budget > budget {
        return Err(PlanError { needed: smallest_budget, budget, whose: Whose::Process });
    }
    let blocks_limit = budget - beside;
    let ahead = (threads.compute + COMING) * largest_task(program);
    let window = least.saturating_add(ahead).min(blocks_limit);
    let spill =
        Some(SpillPlan { window, window_per_thread: 0, least, results: ResultsWhenShort::Stay, width: 1 });
    Ok(Plan { blocks_limit, workspace, threads, smallest_budget, least_blocks: least, more_io: 0, spill })
}

/// The same, if I/O threads want `scratch` bytes for blocks that leave memory.
pub(super) fn spilling_workspace(program: &Program, scratch: u64) -> Workspace {
    let of_program = workspace(program);
    Workspace { io: of_program.io.max(footprint(scratch)), ..of_program }
}

/// An upper bound of the bytes of all blocks together.
pub(super) fn largest_total(program: &Program) -> u64 {
    let of_stage = |stage: &Stage| {
        let (rows, cols) = stage.largest_shape();
        let blocks = u64::from(stage.space.tasks() / stage.space.extents().k);
        footprint(rows * cols * stage.element.bytes()).saturating_mul(blocks)
    };
    program.stages().iter().map(of_stage).fold(0, u64::saturating_add)
}

/// Bytes that the largest task has in its hands: inputs and output.
pub(super) fn largest_task(program: &Program) -> u64 {
    let mut inputs = Vec::new();
    let mut of_stage = |id| {
        if program.stage(id).space.tasks() == 0 {
            return 0;
        }
        let task = TaskId::new(id, 0);
        program.inputs(task, &mut inputs);
        let reads: u64 = inputs.iter().map(|block| program.size(*block)).sum();
        reads + program.size(task)
    };
    program.stage_ids().map(&mut of_stage).max().unwrap_or(0)
}

/// The table of a walk that loses nothing.
struct Serial<'a> {
    program: &'a Program,
    table: &'a Table,
}

impl Ground for Serial<'_> {
    fn state(&self, task: TaskId) -> TaskState {
        self.table.state(self.program.position(task))
    }
}

/// All tasks in the order in which one thread would do them, and in which they are admitted in one process.
pub fn serial_order(program: &Program) -> Vec<TaskId> {
    order_of(program, Walk::default())
}

/// All tasks in the order of this walk.
pub(super) fn order_of(program: &Program, mut walk: Walk) -> Vec<TaskId> {
    let mut table = Table::new(program.tasks());
    let mut order = Vec::new();
    while let Some(task) = walk.next(program, &Serial { program, table: &table }) {
        table.set(program.position(task), TaskState::Done(WorkerId(0)));
        order.push(task);
    }
    order
}

/// Bytes of blocks that a run needs at the least.
pub(super) struct Needs {
    /// With all blocks in memory that are still wanted: the most that the serial walk holds at once.
    pub serial: u64,
    /// With just the results and the blocks of one task.
    pub spilling: u64,
}

pub(super) fn needs(program: &Program) -> Needs {
    let here = WorkerId(0);
    let mut table = Table::new(program.tasks());
    let mut walk = Walk::default();
    let mut held = 0;
    let mut results = 0;
    let mut needs = Needs { serial: 0, spilling: 0 };
    let mut inputs = Vec::new();
    let mut consumers = Vec::new();
    while let Some(task) = walk.next(program, &Serial { program, table: &table }) {
        held += program.reserves(task);
        needs.serial = needs.serial.max(held);
        let at = program.position(task);
        program.consumers(task, &mut consumers);
        table.set_count(at, consumers.len() as u32);
        let keep = program.keeps(task);
        if consumers.is_empty() && !keep {
            held -= program.releases(task);
        }
        table.set(at, TaskState::Done(here));
        program.inputs(task, &mut inputs);
        let read = inputs.iter().filter(|input| !program.keeps(**input));
        let read: u64 = read.map(|block| program.size(*block)).sum();
        needs.spilling = needs.spilling.max(results + read + program.reserves(task));
        results += if keep { program.size(task) } else { 0 };
        for input in &inputs {
            let at = program.position(*input);
            if table.take(at) == 0 && !program.keeps(*input) {
                table.set(at, TaskState::Released);
                held -= program.releases(*input);
            }
        }
    }
    needs
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;
