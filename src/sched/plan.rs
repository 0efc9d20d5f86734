//! Before a run: how much memory it needs, and whether that is there.
//!
//! Admitting tasks in the cursor's order, one at a time, holds at most `P` bytes of blocks. Any
//! schedule that admits in this order and only while its reservations fit a limit `L ≥ P` never
//! exceeds `L`, and never gets stuck: when all that was admitted is finished, what is live is
//! what the serial walk holds at this point, and its next task fits. So the bound is
//! `L + threads × (largest workspace)`.

use super::cursor::{Cursor, Ground};
use super::table::{State, Table};
use crate::array::footprint;
use crate::graph::Program;
use crate::ids::{TaskId, WorkerId};

/// Tasks per thread whose blocks may be held beyond what the serial walk needs.
const RUN_AHEAD: u64 = 1;

/// Beyond so many tasks the serial walk is not worth its time where all blocks fit easily.
const LONG_WALK: usize = 1 << 20;

/// What a run will hold in memory at most.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Plan {
    /// Bytes of blocks that the run may hold: the limit that admission enforces.
    pub blocks_limit: u64,
    /// Bytes of workspace of one thread.
    pub workspace: u64,
    pub threads: u64,
    /// The smallest budget with which the program can run on these threads.
    pub smallest_budget: u64,
}

impl Plan {
    /// Bytes that the run holds at most, blocks and workspaces.
    pub fn bound(&self) -> u64 {
        self.blocks_limit + self.threads * self.workspace
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("needs {needed} bytes of memory, but only {budget} are allowed")]
pub struct PlanError {
    pub needed: u64,
    pub budget: u64,
}

/// Proves a bound for `program` on `threads` threads within `budget` bytes, or refuses.
///
/// O(stages) where all blocks together fit easily, O(tasks) else.
pub fn plan(program: &Program, threads: u64, budget: u64) -> Result<Plan, PlanError> {
    let workspace = program.stages().iter().map(|s| footprint(s.work.workspace)).max().unwrap_or(0);
    let workspaces = threads * workspace;
    let everything = largest_total(program);
    let walk_pays = everything > 0 && (program.tasks() <= LONG_WALK || everything > budget / 2);
    let serial = if walk_pays { serial_peak(program) } else { everything };
    let smallest_budget = serial + workspaces;
    if smallest_budget > budget {
        return Err(PlanError { needed: smallest_budget, budget });
    }
    let ahead = RUN_AHEAD * threads * largest_task(program);
    let blocks_limit = (serial.saturating_add(ahead)).min(everything.max(serial)).min(budget - workspaces);
    Ok(Plan { blocks_limit, workspace, threads, smallest_budget })
}

/// An upper bound of the bytes of all blocks together.
fn largest_total(program: &Program) -> u64 {
    let of_stage = |stage: &crate::graph::Stage| {
        let (rows, cols) = stage.largest_shape();
        let blocks = u64::from(stage.space.tasks() / stage.space.extents().k);
        footprint(rows * cols * stage.element.bytes()).saturating_mul(blocks)
    };
    program.stages().iter().map(of_stage).fold(0, u64::saturating_add)
}

/// Bytes that the largest task has in its hands: inputs and output.
fn largest_task(program: &Program) -> u64 {
    let mut inputs = Vec::new();
    let mut of_stage = |id| {
        if program.stage(id).space.tasks() == 0 {
            return 0;
        }
        let task = TaskId::new(id, 0);
        program.inputs(task, &mut inputs);
        let reads: u64 = inputs.iter().map(|b| footprint(program.stage(b.stage).bytes(b.index))).sum();
        reads + footprint(program.stage(id).bytes(0))
    };
    program.stage_ids().map(&mut of_stage).max().unwrap_or(0)
}

/// The table of a walk that loses nothing.
struct Serial<'a> {
    program: &'a Program,
    table: &'a Table,
}

impl Ground for Serial<'_> {
    fn state(&self, task: TaskId) -> State {
        self.table.state(self.program.position(task))
    }
}

/// All tasks in the order in which one thread would do them, and in which they are admitted.
pub fn serial_order(program: &Program) -> Vec<TaskId> {
    let mut table = Table::new(program.tasks());
    let mut cursor = Cursor::default();
    let mut order = Vec::new();
    while let Some(task) = cursor.next(program, &Serial { program, table: &table }) {
        table.set(program.position(task), State::Done(WorkerId(0)));
        order.push(task);
    }
    order
}

/// The most bytes of blocks that the serial walk holds at once.
pub(super) fn serial_peak(program: &Program) -> u64 {
    let here = WorkerId(0);
    let mut table = Table::new(program.tasks());
    let mut cursor = Cursor::default();
    let (mut held, mut peak) = (0_u64, 0_u64);
    let (mut inputs, mut consumers) = (Vec::new(), Vec::new());
    while let Some(task) = cursor.next(program, &Serial { program, table: &table }) {
        held += program.reserves(task);
        peak = peak.max(held);
        let at = program.position(task);
        program.consumers(task, &mut consumers);
        table.set_count(at, consumers.len() as u32);
        let keep = program.keeps(task);
        if consumers.is_empty() && !keep {
            held -= program.releases(task);
        }
        table.set(at, if consumers.is_empty() && !keep { State::Released } else { State::Done(here) });
        program.inputs(task, &mut inputs);
        for input in &inputs {
            let at = program.position(*input);
            if table.take(at) == 0 && !program.keeps(*input) {
                table.set(at, State::Released);
                held -= program.releases(*input);
            }
        }
    }
    peak
}
