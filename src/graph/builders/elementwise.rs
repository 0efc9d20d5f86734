//! Elementwise expressions.

use crate::array::{BlockGrid, Element};
use crate::graph::build::{Access, ProgramBuilder};
use crate::graph::kinds::{Kind, Map};
use crate::graph::space::Order;
use crate::graph::stage::Read;

impl ProgramBuilder {
    /// An elementwise expression over blocks of `grid`.
    pub(in crate::graph) fn map(
        &mut self,
        map: Map,
        reads: Vec<Read>,
        grid: BlockGrid,
        element: Element,
    ) -> Access {
        let order = pair_order(&reads, &grid);
        self.on_grid(Kind::Map(map), grid, element, reads, order)
    }
}

/// Blocks (i,j) and (j,i) are done beside each other where an expression reads both from one source.
pub(super) fn pair_order(reads: &[Read], grid: &BlockGrid) -> Order {
    let both = reads.iter().enumerate().any(|(at, r)| reads[..at].iter().any(|s| s.source == r.source));
    if both && grid.rows.blocks() == grid.cols.blocks() { Order::Pairs } else { Order::Rows }
}
