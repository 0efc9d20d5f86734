//! Reductions in trees of fixed shape.

use super::elementwise::pair_order;
use crate::array::{BlockGrid, Element, Reduction};
use crate::graph::build::{Access, ProgramBuilder};
use crate::graph::kinds::{Combine, Finish, Kind, Map, Reduce};
use crate::graph::pattern::{Pattern, Pick};
use crate::graph::space::{Order, Space};
use crate::graph::stage::{Blocks, Read};
use crate::ids::StageId;

/// How many partial results one task of a reduction tree takes.
const FAN: u32 = 8;
/// How many blocks one task of a sum takes: no more than lie at one worker, where neighbours are at home.
const FAN_OF_SUMS: u32 = 2;

impl ProgramBuilder {
    /// An elementwise expression over blocks of `grid`, reduced to a 1×1 number.
    pub(in crate::graph) fn reduce(
        &mut self,
        reduction: Reduction,
        map: Map,
        reads: Vec<Read>,
        grid: BlockGrid,
        element: Element,
    ) -> Access {
        let space = Space::new(grid.rows.blocks(), grid.cols.blocks(), 1, pair_order(&reads, &grid));
        let kind = Kind::Reduce(Reduce { reduction, grid, map });
        let partials = self.push(kind, space, Blocks::Each { rows: 1, cols: 2 }, element, reads);
        self.reduce_tree(partials, reduction)
    }

    /// Adds all blocks of a stage, which are alike, in a tree of fixed shape.
    pub(super) fn add_up(&mut self, stage: StageId, rows: u64, cols: u64) -> Access {
        let top = self.tree(stage, Kind::AddUp, Blocks::Each { rows, cols }, FAN_OF_SUMS);
        Access { stage: top, transposed: false, grid: BlockGrid::whole(rows, cols) }
    }

    /// A reduction tree over all blocks of `leaves`, up to one block.
    fn tree(&mut self, leaves: StageId, kind: Kind, blocks: Blocks, fan: u32) -> StageId {
        let mut top = leaves;
        while self.stage(top).space.tasks() > 1 {
            let tasks = self.stage(top).space.tasks().div_ceil(fan);
            let read = Read { source: top, pattern: Pattern::Gather { fan } };
            let element = self.element(top);
            top = self.push(kind.clone(), Space::new(tasks, 1, 1, Order::Rows), blocks, element, vec![read]);
        }
        top
    }

    /// A reduction tree over 1×2 partial results, down to a 1×1 number.
    fn reduce_tree(&mut self, partials: StageId, reduction: Reduction) -> Access {
        let top =
            self.tree(partials, Kind::Combine(Combine(reduction)), Blocks::Each { rows: 1, cols: 2 }, FAN);
        let read = Read { source: top, pattern: Pattern::Block(Pick::Row, Pick::Col) };
        let element = self.element(top);
        self.on_grid(
            Kind::Finish(Finish(reduction)),
            BlockGrid::whole(1, 1),
            element,
            vec![read],
            Order::Rows,
        )
    }
}
