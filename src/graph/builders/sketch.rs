//! What a randomized SVD takes beside products and QR.

use crate::graph::build::{Access, ProgramBuilder};
use crate::graph::kinds::{FixSigns, Kind};
use crate::graph::pattern::Pick;
use crate::graph::space::{Order, Space};
use crate::graph::stage::Blocks;

impl ProgramBuilder {
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
        let kind = Kind::FixSigns(FixSigns { transposed: x.transposed });
        let fixed = self.on_grid(kind, stored.grid, self.element(x.stage), reads, Order::Rows);
        if x.transposed { fixed.t() } else { fixed }
    }
}
