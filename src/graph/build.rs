//! Builds programs stage by stage. What is built of each family of kinds is in `builders/`.

use super::kinds::Kind;
use super::pattern::{Pattern, Pick};
use super::program::Program;
use super::space::{Order, Space};
use super::stage::{Blocks, Read, Stage, Work};
use crate::array::{BlockGrid, Element};
use crate::ids::StageId;

/// A matrix in a program: the stage that makes it, and whether it is read transposed.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Access {
    pub stage: StageId,
    pub transposed: bool,
    /// The grid as read, so already transposed if `transposed`.
    pub grid: BlockGrid,
}

impl Access {
    pub fn t(self) -> Access {
        Access { transposed: !self.transposed, grid: self.grid.transposed(), ..self }
    }

    /// The read of the block at the picked coordinates of this (possibly transposed) matrix.
    pub fn read(&self, row: Pick, col: Pick) -> Read {
        let (row, col) = if self.transposed { (col, row) } else { (row, col) };
        Read { source: self.stage, pattern: Pattern::Block(row, col) }
    }
}

/// A program in the making.
#[derive(Default)]
pub struct ProgramBuilder {
    stages: Vec<Stage>,
    tasks: u64,
}

impl ProgramBuilder {
    pub fn finish(self) -> Program {
        Program::new(self.stages)
    }

    /// The number of tasks so far.
    pub(super) fn tasks(&self) -> u64 {
        self.tasks
    }

    pub(super) fn next_id(&self) -> StageId {
        StageId(self.stages.len() as u32)
    }

    pub(super) fn push(
        &mut self,
        kind: Kind,
        space: Space,
        blocks: Blocks,
        element: Element,
        reads: Vec<Read>,
    ) -> StageId {
        let id = self.next_id();
        self.tasks += u64::from(space.tasks());
        self.stages.push(Stage {
            kind,
            space,
            blocks,
            element,
            reads,
            keep: false,
            lockstep: false,
            work: Work::default(),
        });
        id
    }

    pub fn element(&self, stage: StageId) -> Element {
        self.stages[stage.at()].element
    }

    pub(super) fn stage(&self, id: StageId) -> &Stage {
        &self.stages[id.at()]
    }

    /// Marks the blocks of a stage as a result that stays in memory.
    pub fn keep(&mut self, stage: StageId) {
        self.stages[stage.at()].keep = true;
    }

    /// One task for each block of `grid`.
    pub(super) fn on_grid(
        &mut self,
        kind: Kind,
        grid: BlockGrid,
        element: Element,
        reads: Vec<Read>,
        order: Order,
    ) -> Access {
        let space = Space::new(grid.rows.blocks(), grid.cols.blocks(), 1, order);
        let stage = self.push(kind, space, Blocks::Grid(grid), element, reads);
        Access { stage, transposed: false, grid }
    }

    /// Lets the chains of a product advance together: for a product whose factors are read just once.
    pub fn lockstep(&mut self, stage: StageId) {
        self.stages[stage.at()].lockstep = true;
    }
}
