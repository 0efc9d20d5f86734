//! A task with its blocks at hand.

use super::bind::Bindings;
use crate::data::Region;
use crate::failure::Failure;
use crate::graph::{Pattern, Pick, Program, Stage};
use crate::ids::{BlockId, TaskId};
use crate::store::{Block, Pool};
use ndarray::ArrayView2;
use std::sync::Arc;

/// One task at work.
pub(super) struct Job<'a> {
    pub program: &'a Program,
    pub bindings: &'a Bindings,
    pub task: TaskId,
    /// The blocks that [`Program::inputs`] lists, in its order.
    pub ids: &'a [BlockId],
    pub blocks: &'a [Arc<Block>],
    /// The block of the step before, to be changed in place.
    pub taken: Option<Block>,
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

    /// The part of the stage's grid that this task goes over.
    pub fn region(&self) -> Region {
        let stage = self.stage();
        let Some(grid) = stage.grid() else { unreachable!("{} has no grid", stage.kind.name()) };
        let c = stage.space.coords(self.task.index);
        Region::new(grid.rows.range(c.i), grid.cols.range(c.j))
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
