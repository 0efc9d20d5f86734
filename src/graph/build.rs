//! Builds programs stage by stage: each method is one operation over whole matrices.

use super::pattern::{Edges, Pattern, Pick};
use super::program::Program;
use super::space::{Order, Space};
use super::stage::{Blocks, Kind, Read, Stage, Work};
use crate::array::{Axis, BlockGrid, Element, Fill, Reduction};
use crate::ids::StageId;
use std::sync::Arc;

/// How many partial results one task of a reduction tree takes.
const FAN: u32 = 8;

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

    /// A random or constant matrix.
    pub fn fill(&mut self, fill: Fill, row: u64, col: u64, grid: BlockGrid, element: Element) -> Access {
        self.on_grid(Kind::Fill { fill, row, col }, grid, element, Vec::new(), Order::Rows)
    }

    /// `A·B`: block (i,j) is a chain over the inner blocks that adds in place, in order.
    ///
    /// # Panics
    /// If the inner blocks of A and B differ.
    pub fn gemm(&mut self, a: Access, b: Access) -> Access {
        assert_eq!(a.grid.cols, b.grid.rows, "the inner blocks of a product must agree");
        let grid = BlockGrid::new(a.grid.rows, b.grid.cols);
        let element = self.element(a.stage);
        let steps = a.grid.cols.blocks();
        if steps == 0 {
            return self.fill(Fill::Constant(0.0), 0, 0, grid, element);
        }
        let mut reads = vec![a.read(Pick::Row, Pick::Step), b.read(Pick::Step, Pick::Col)];
        if steps > 1 {
            reads.push(Read { source: self.next_id(), pattern: Pattern::Previous });
        }
        let space = Space::new(grid.rows.blocks(), grid.cols.blocks(), steps, Order::Rows);
        let kind = Kind::Gemm { ta: a.transposed, tb: b.transposed };
        let stage = self.push(kind, space, Blocks::Grid(grid), element, reads);
        Access { stage, transposed: false, grid }
    }

    /// `AᵀB` of two tall matrices with equal row blocks: one n×l product per row block, added up in a tree.
    pub fn tall_product(&mut self, a: Access, b: Access) -> Access {
        let (n, l) = (a.grid.cols.len(), b.grid.cols.len());
        let blocks = a.grid.rows.blocks();
        let kind = Kind::Gemm { ta: !a.transposed, tb: b.transposed };
        let reads = vec![a.read(Pick::Row, Pick::Zero), b.read(Pick::Row, Pick::Zero)];
        let space = Space::new(blocks, 1, 1, Order::Rows);
        let element = self.element(a.stage);
        let stage = self.push(kind, space, Blocks::Each { rows: n, cols: l }, element, reads);
        self.add_up(stage, n, l)
    }

    /// `Aᵀ(A·X)` in one pass over the row blocks of A; X is one block.
    pub fn gram_apply(&mut self, a: Access, x: Access) -> Access {
        assert!(!x.transposed, "X is read as it stands");
        let (n, width) = (a.grid.cols.len(), x.grid.cols.len());
        let reads = vec![a.read(Pick::Row, Pick::Zero), x.read(Pick::Zero, Pick::Zero)];
        let space = Space::new(a.grid.rows.blocks(), 1, 1, Order::Rows);
        let element = self.element(a.stage);
        let blocks = Blocks::Each { rows: n, cols: width };
        let stage = self.push(Kind::GramApply, space, blocks, element, reads);
        self.add_up(stage, n, width)
    }

    /// The columns of `x`, each negated where the entry of largest magnitude in the same column of `vectors` is
    /// negative.
    ///
    /// # Panics
    /// Unless both are one block, and `vectors` is not transposed.
    pub fn fix_signs(&mut self, vectors: Access, x: Access) -> Access {
        assert_eq!((vectors.grid.blocks(), x.grid.blocks()), (1, 1), "one block each");
        assert!(!vectors.transposed, "vectors are read as they stand");
        let stored = if x.transposed { x.t() } else { x };
        let reads = vec![vectors.read(Pick::Zero, Pick::Zero), x.read(Pick::Zero, Pick::Zero)];
        let kind = Kind::FixSigns { transposed: x.transposed };
        let fixed = self.on_grid(kind, stored.grid, self.element(x.stage), reads, Order::Rows);
        if x.transposed { fixed.t() } else { fixed }
    }

    /// Adds all blocks of a stage, which are alike, in a tree of fixed shape.
    fn add_up(&mut self, stage: StageId, rows: u64, cols: u64) -> Access {
        let top = self.tree(stage, Kind::AddUp, Blocks::Each { rows, cols });
        Access { stage: top, transposed: false, grid: BlockGrid::whole(rows, cols) }
    }

    /// A reduction tree over all blocks of `leaves`, up to one block.
    pub(super) fn tree(&mut self, leaves: StageId, kind: Kind, blocks: Blocks) -> StageId {
        let mut top = leaves;
        while self.stage(top).space.tasks() > 1 {
            let tasks = self.stage(top).space.tasks().div_ceil(FAN);
            let read = Read { source: top, pattern: Pattern::Gather { fan: FAN } };
            let element = self.element(top);
            top = self.push(kind.clone(), Space::new(tasks, 1, 1, Order::Rows), blocks, element, vec![read]);
        }
        top
    }

    /// A reduction tree over 1×2 partial results, down to a 1×1 number.
    pub(super) fn reduce_tree(&mut self, partials: StageId, reduction: Reduction) -> Access {
        let top = self.tree(partials, Kind::Combine(reduction), Blocks::Each { rows: 1, cols: 2 });
        let read = Read { source: top, pattern: Pattern::Block(Pick::Row, Pick::Col) };
        let element = self.element(top);
        self.on_grid(Kind::Finish(reduction), BlockGrid::whole(1, 1), element, vec![read], Order::Rows)
    }

    /// Lets the chains of a product advance together: for a product whose factors are read just once.
    pub fn lockstep(&mut self, stage: StageId) {
        self.stages[stage.at()].lockstep = true;
    }

    /// Writes a matrix to output number `output`, from (row, col) of that on.
    pub fn write(&mut self, a: Access, output: u32, (row, col): (u64, u64)) {
        let source = self.stage(a.stage);
        // Blocks are written in the order in which they are made.
        let order = match source.blocks {
            Blocks::Grid(_) if source.space.extents().k == 1 && !a.transposed => self.order_of(a.stage),
            _ => Order::Rows,
        };
        let grid = a.grid;
        let space = Space::new(grid.rows.blocks(), grid.cols.blocks(), 1, order);
        let kind = Kind::Write { output, grid, transposed: a.transposed, row, col };
        let element = self.element(a.stage);
        self.push(kind, space, Blocks::Nothing, element, vec![a.read(Pick::Row, Pick::Col)]);
    }

    fn order_of(&self, stage: StageId) -> Order {
        self.stage(stage).space.order()
    }

    /// `tasks` tasks that do nothing and know nothing of each other.
    pub fn null_wide(&mut self, tasks: u32) -> StageId {
        self.null(Space::new(tasks, 1, 1, Order::Rows), Vec::new())
    }

    /// A binary tree of empty tasks with about `tasks` nodes.
    pub fn null_tree(&mut self, tasks: u32) {
        let mut top = self.null_wide(tasks.div_ceil(2));
        while self.stage(top).space.tasks() > 1 {
            let nodes = self.stage(top).space.tasks().div_ceil(2);
            let read = Read { source: top, pattern: Pattern::Gather { fan: 2 } };
            top = self.null(Space::new(nodes, 1, 1, Order::Rows), vec![read]);
        }
    }

    /// `tasks` empty tasks, each waiting for the one before.
    ///
    /// # Panics
    /// If there are none.
    pub fn null_chain(&mut self, tasks: u32) {
        let read = Read { source: self.next_id(), pattern: Pattern::Previous };
        self.null(Space::new(1, 1, tasks, Order::Rows), vec![read]);
    }

    /// `side²` empty tasks, (i,j) waiting for (i−1,j) and (i,j−1): a wavefront.
    ///
    /// # Panics
    /// If these are 2³² or more.
    pub fn null_grid(&mut self, side: u32) {
        let tasks = side.checked_mul(side).expect("fewer than 2^32 tasks");
        let inputs = |at: u32| {
            let (i, j) = (at / side, at % side);
            let up = (i > 0).then(|| at - side);
            up.into_iter().chain((j > 0).then(|| at - 1)).collect::<Vec<_>>()
        };
        let edges = Edges::new(&(0..tasks).map(inputs).collect::<Vec<_>>());
        let read = Read { source: self.next_id(), pattern: Pattern::Edges(Arc::new(edges)) };
        self.null(Space::new(tasks, 1, 1, Order::Rows), vec![read]);
    }

    fn null(&mut self, space: Space, reads: Vec<Read>) -> StageId {
        self.push(Kind::Null, space, Blocks::Nothing, Element::F64, reads)
    }

    pub(super) fn column_space(panel: Axis) -> Space {
        Space::new(panel.blocks(), 1, 1, Order::Rows)
    }
}
