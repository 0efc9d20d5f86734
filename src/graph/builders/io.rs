//! Reading inputs and writing outputs.

use crate::array::{BlockGrid, Element, InputId};
use crate::graph::build::{Access, ProgramBuilder};
use crate::graph::kinds::{Kind, ReadInput, WriteOutput};
use crate::graph::pattern::Pick;
use crate::graph::space::{Order, Space};
use crate::graph::stage::Blocks;
use crate::ids::StageId;

impl ProgramBuilder {
    /// A matrix that begins at (row, col) of an input, as numbers of type `element`.
    pub(in crate::graph) fn read(
        &mut self,
        input: InputId,
        row: u64,
        col: u64,
        grid: BlockGrid,
        element: Element,
    ) -> Access {
        let kind = Kind::Read(ReadInput { input, row, col });
        self.on_grid(kind, grid, element, Vec::new(), Order::Rows)
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
        let kind = Kind::Write(WriteOutput { output, grid, transposed: a.transposed, row, col });
        let element = self.element(a.stage);
        self.push(kind, space, Blocks::Nothing, element, vec![a.read(Pick::Row, Pick::Col)]);
    }

    fn order_of(&self, stage: StageId) -> Order {
        self.stage(stage).space.order()
    }
}
