//! A task with its blocks at hand.

use super::bind::Bindings;
use crate::array::{Fill, Law};
use crate::data::Real;
use crate::failure::Failure;
use crate::graph::{Blocks, Kind, Pattern, Pick, Program, Stage};
use crate::ids::{BlockId, TaskId};
use crate::store::{Block, Pool};
use kernels::random;
use ndarray::{ArrayView2, ArrayViewMut2};
use std::sync::Arc;

/// One task at work.
pub(super) struct Job<'a> {
    pub program: &'a Program,
    pub bindings: &'a Bindings,
    pub task: TaskId,
    /// The blocks that [`Program::inputs`] lists, in its order.
    pub ids: &'a [BlockId],
    pub blocks: &'a [Arc<Block>],
    pub pool: &'a Pool,
}

impl<'a> Job<'a> {
    pub fn stage(&self) -> &'a Stage {
        self.program.stage(self.task.stage)
    }

    pub fn block(&self, id: BlockId) -> &'a Block {
        let at = self.ids.iter().position(|known| *known == id).expect("every operand is among the inputs");
        &self.blocks[at]
    }

    /// The blocks of read number `read`, in order.
    pub fn operands(&self, read: usize) -> Vec<&'a Block> {
        let mut found = Vec::new();
        self.program.operand(self.task, read, |id| found.push(self.block(id)));
        found
    }

    /// The one block of read number `read`.
    pub fn operand(&self, read: usize) -> &'a Block {
        let mut found = None;
        self.program.operand(self.task, read, |id| found = Some(self.block(id)));
        found.expect("this read has a block")
    }

    /// A new output block of the task's shape.
    pub fn output(&self) -> Result<Block, Failure> {
        let stage = self.stage();
        Block::new(self.pool, stage.shape(self.task.index), stage.element).map_err(Failure::of_run)
    }
}

/// Rows and columns of the matrix that this task's block covers.
pub(super) fn grid_ranges(job: &Job) -> (std::ops::Range<u64>, std::ops::Range<u64>) {
    let stage = job.stage();
    let c = stage.space.coords(job.task.index);
    let grid = match (&stage.kind, stage.blocks) {
        (Kind::Reduce { grid, .. } | Kind::Write { grid, .. }, _) => *grid,
        (_, Blocks::Grid(grid)) => grid,
        _ => unreachable!("{} has no grid", stage.kind.name()),
    };
    (grid.rows.range(c.i), grid.cols.range(c.j))
}

pub(super) fn fill_block<T: Real>(fill: Fill, row: u64, col: u64, mut out: ArrayViewMut2<T>) {
    match fill {
        Fill::Constant(value) => out.fill(T::from_f64(value)),
        Fill::Random { law: Law::Uniform, seed } => random::fill_uniform(seed, row, col, out),
        Fill::Random { law: Law::Normal, seed } => random::fill_normal(seed, row, col, out),
    }
}

/// A block as it is read.
pub(super) fn turn<T>(view: ArrayView2<'_, T>, transposed: bool) -> ArrayView2<'_, T> {
    if transposed { view.reversed_axes() } else { view }
}

/// Does this stage read its tall matrix transposed? It does if the source's blocks lie side by side.
pub(super) fn transposed_panel(job: &Job) -> bool {
    matches!(job.stage().reads[0].pattern, Pattern::Block(Pick::Zero, Pick::Row))
}
