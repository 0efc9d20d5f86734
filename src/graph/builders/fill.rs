//! Random and constant matrices.

use crate::array::{BlockGrid, Element, Fill};
use crate::graph::build::{Access, ProgramBuilder};
use crate::graph::kinds::{FillBlock, Kind};
use crate::graph::space::Order;

impl ProgramBuilder {
    /// A random or constant matrix.
    pub fn fill(&mut self, fill: Fill, row: u64, col: u64, grid: BlockGrid, element: Element) -> Access {
        self.on_grid(Kind::Fill(FillBlock { fill, row, col }), grid, element, Vec::new(), Order::Rows)
    }
}
