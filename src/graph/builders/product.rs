//! Products of matrices.

use crate::array::{BlockGrid, Fill};
use crate::graph::build::{Access, ProgramBuilder};
use crate::graph::kinds::{Gemm, Kind};
use crate::graph::pattern::{Pattern, Pick};
use crate::graph::space::{Order, Space};
use crate::graph::stage::{Blocks, Read};

impl ProgramBuilder {
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
        let kind = Kind::Gemm(Gemm { ta: a.transposed, tb: b.transposed });
        let stage = self.push(kind, space, Blocks::Grid(grid), element, reads);
        Access { stage, transposed: false, grid }
    }

    /// `AᵀB` of two tall matrices with equal row blocks: one n×l product per row block, added up in a tree.
    pub fn tall_product(&mut self, a: Access, b: Access) -> Access {
        let (n, l) = (a.grid.cols.len(), b.grid.cols.len());
        let blocks = a.grid.rows.blocks();
        let kind = Kind::Gemm(Gemm { ta: !a.transposed, tb: b.transposed });
        let reads = vec![a.read(Pick::Row, Pick::Zero), b.read(Pick::Row, Pick::Zero)];
        let space = Space::new(blocks, 1, 1, Order::Rows);
        let element = self.element(a.stage);
        let stage = self.push(kind, space, Blocks::Each { rows: n, cols: l }, element, reads);
        self.add_up(stage, n, l)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::array::{Axis, Element};

    #[test]
    fn steps_after_the_first_go_on_with_the_block_of_the_step_before() {
        for (steps, goes_on) in [(1, false), (2, true)] {
            let mut builder = ProgramBuilder::default();
            let mut fill = |rows: u64, cols: u64| {
                let grid = BlockGrid::new(Axis::new(10 * rows, 10), Axis::new(10 * cols, 10));
                builder.fill(Fill::Constant(1.0), 0, 0, grid, Element::F64)
            };
            let (a, b) = (fill(1, steps), fill(steps, 1));
            let product = builder.gemm(a, b);
            let reads = &builder.stage(product.stage).reads;
            assert_eq!(reads.iter().any(|read| read.pattern == Pattern::Previous), goes_on);
            assert_eq!(reads.len(), 2 + usize::from(goes_on));
        }
    }
}
