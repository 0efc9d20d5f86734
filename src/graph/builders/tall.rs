//! Tall-skinny QR and SVD as stages: Householder TSQR (Demmel, Grigori, Hoemmen, Langou 2012).
//!
//! Up the tree: R of each row block, then R of two triangles below each other. At the root: the SVD of R, or its signs.
//! Down the tree: the rows of the small factor that belong to each child, by applying the kept small Q of each merge.
//! What goes from node to node is a block of its own, so that a node elsewhere gets no more than it needs: a packed
//! triangle up, one child's rows down. At the leaves the factorisation of the block is made again and applied: backward
//! stable for every matrix, two passes over A, no Q kept.

use crate::array::{Axis, BlockGrid, Element};
use crate::graph::build::{Access, ProgramBuilder};
use crate::graph::kinds::{
    Down, Half, Kind, LeafApply, LeafR, Merge, Part, RootQr, RootSvd, Seed, Triangle, Unpack, rows_below,
};
use crate::graph::pattern::{Pattern, Pick};
use crate::graph::space::{Order, Space};
use crate::graph::stage::{Blocks, Read};
use crate::ids::StageId;

/// The length of the packed Q of two triangles with at most n rows, n columns.
pub type FactorLen = fn(r1: usize, r2: usize, n: usize) -> usize;

/// The tree of one tall matrix, up to the root.
pub struct Tall {
    a: Access,
    /// A for the second pass.
    again: Access,
    element: Element,
    leaf: StageId,
    /// Lowest first; each halves the number of nodes.
    levels: Vec<Level>,
}

/// The stages of one level of the tree on the way up.
#[derive(Clone, Copy)]
struct Level {
    merge: StageId,
    triangle: StageId,
}

/// The number of columns of a root's left singular vectors that is kept, and what else.
struct Root {
    stage: StageId,
    seed: Seed,
    width: u64,
}

impl Tall {
    /// `a` has row blocks over the whole width.
    ///
    /// # Panics
    /// If it has not, and if `a` is empty.
    pub fn new(builder: &mut ProgramBuilder, a: Access, factor_len: FactorLen) -> Tall {
        let (panel, n) = (a.grid.rows, a.grid.cols.len());
        assert_eq!(a.grid.cols.blocks(), 1, "row blocks span the whole width");
        assert!(!panel.is_empty() && n > 0, "{} rows, {n} columns", panel.len());
        let element = builder.element(a.stage);
        let leaf = builder.push(
            Kind::LeafR(LeafR { panel, n }),
            Space::new(panel.blocks(), 1, 1, Order::Rows),
            Blocks::Packed { panel, span: 1, n },
            element,
            vec![a.read(Pick::Row, Pick::Zero)],
        );
        let mut tall = Tall { a, again: a, element, leaf, levels: Vec::new() };
        while builder.stage(tall.top()).space.tasks() > 1 {
            tall.merge_level(builder, factor_len);
        }
        tall
    }

    /// Reads A again through `again` where Q is applied, so that it need not be held between the passes.
    pub fn with_second_read(self, again: Access) -> Tall {
        assert_eq!(self.a.grid, again.grid, "the same matrix in the same blocks");
        Tall { again, ..self }
    }

    fn top(&self) -> StageId {
        self.levels.last().map_or(self.leaf, |level| level.triangle)
    }

    fn panel(&self) -> Axis {
        self.a.grid.rows
    }

    fn n(&self) -> u64 {
        self.a.grid.cols.len()
    }

    /// Leaves below each child of a node at `level` (0 is the lowest merge).
    fn span(level: usize) -> u32 {
        1 << level
    }

    fn merge_level(&mut self, builder: &mut ProgramBuilder, factor_len: FactorLen) {
        let (panel, n) = (self.panel(), self.n());
        let span = Tall::span(self.levels.len());
        let nodes = builder.stage(self.top()).space.tasks().div_ceil(2);
        // All nodes are like the first but the last two, which may be ragged.
        let factor = |at: u32| {
            let rows = |child| rows_below(panel, span, child, n) as usize;
            factor_len(rows(2 * at), rows(2 * at + 1), n as usize) as u64
        };
        let ends = [0, nodes.saturating_sub(2), nodes - 1];
        let factor = ends.into_iter().map(factor).max().unwrap_or(0);
        let space = Space::new(nodes, 1, 1, Order::Rows);
        let merge = builder.push(
            Kind::Merge(Merge { panel, n, span }),
            space,
            Blocks::Each { rows: 1, cols: factor },
            self.element,
            vec![Read { source: self.top(), pattern: Pattern::Gather { fan: 2 } }],
        );
        let triangle = builder.push(
            Kind::Triangle(Triangle { panel, n, span }),
            space,
            Blocks::Packed { panel, span: 2 * span, n },
            self.element,
            vec![node_of(merge)],
        );
        self.levels.push(Level { merge, triangle });
    }

    fn root(&self, builder: &mut ProgramBuilder, kind: Kind, len: u64) -> StageId {
        let read = Read { source: self.top(), pattern: Pattern::Block(Pick::Zero, Pick::Zero) };
        let space = Space::new(1, 1, 1, Order::Rows);
        builder.push(kind, space, Blocks::Each { rows: 1, cols: len }, self.element, vec![read])
    }

    fn unpack(
        &self,
        builder: &mut ProgramBuilder,
        root: StageId,
        part: Part,
        keep: u64,
        grid: BlockGrid,
    ) -> Access {
        let read = Read { source: root, pattern: Pattern::Block(Pick::Zero, Pick::Zero) };
        let kind = Kind::Unpack(Unpack { part, panel: self.panel(), n: self.n(), keep });
        builder.on_grid(kind, grid, self.element, vec![read], Order::Rows)
    }

    fn check_tall(&self) {
        let (m, n) = (self.panel().len(), self.n());
        assert!(m >= n, "the SVD of a {m}x{n} matrix is that of its transpose");
    }

    fn root_span(&self) -> u32 {
        Tall::span(self.levels.len())
    }

    /// The singular values as a keep×1 column, and nothing else.
    ///
    /// # Panics
    /// If A has fewer rows than columns.
    pub fn values(&self, builder: &mut ProgramBuilder, keep: u64) -> Access {
        self.check_tall();
        let (panel, n, span) = (self.panel(), self.n(), self.root_span());
        let root =
            self.root(builder, Kind::RootSvd(RootSvd { panel, n, span, keep, values_only: true }), keep);
        self.unpack(builder, root, Part::SingularValues, 0, BlockGrid::whole(keep, 1))
    }

    /// The first `keep` singular triplets: U (row blocks as A), s (keep×1), Vᵀ (keep×n).
    ///
    /// # Panics
    /// If A has fewer rows than columns.
    pub fn svd(&self, builder: &mut ProgramBuilder, keep: u64) -> (Access, Access, Access) {
        self.check_tall();
        let (panel, n, span) = (self.panel(), self.n(), self.root_span());
        let len = n * keep + keep + keep * n;
        let kind = Kind::RootSvd(RootSvd { panel, n, span, keep, values_only: false });
        let stage = self.root(builder, kind, len);
        let s = self.unpack(builder, stage, Part::SingularValues, keep, BlockGrid::whole(keep, 1));
        let vt = self.unpack(builder, stage, Part::RightVectors, keep, BlockGrid::whole(keep, n));
        let u = self.apply(builder, Root { stage, seed: Seed::Svd, width: keep });
        (u, s, vt)
    }

    /// Q (m×k, row blocks as A) and R (k×n, diagonal ≥ 0), k = min(m, n).
    pub fn qr(&self, builder: &mut ProgramBuilder) -> (Access, Access) {
        let (panel, n, span) = (self.panel(), self.n(), self.root_span());
        let k = rows_below(panel, span, 0, n);
        let stage = self.root(builder, Kind::RootQr(RootQr { panel, n, span }), k * n + k);
        let r = self.unpack(builder, stage, Part::Triangle, 0, BlockGrid::whole(k, n));
        let q = self.apply(builder, Root { stage, seed: Seed::Qr, width: k });
        (q, r)
    }

    /// Q of the whole tree times the root's small factor, down to the row blocks.
    fn apply(&self, builder: &mut ProgramBuilder, root: Root) -> Access {
        let (panel, n, width) = (self.panel(), self.n(), root.width);
        let (mut seed, mut read) =
            (root.seed, Read { source: root.stage, pattern: Pattern::Block(Pick::Zero, Pick::Zero) });
        for (at, level) in self.levels.iter().enumerate().rev() {
            let span = Tall::span(at);
            let nodes = builder.stage(level.merge).space;
            let pairs = builder.push(
                Kind::Down(Down { panel, n, span, width, seed }),
                nodes,
                Blocks::Pair { panel, span, cap: n, cols: width },
                self.element,
                vec![node_of(level.merge), read],
            );
            let below = at.checked_sub(1).map_or(self.leaf, |below| self.levels[below].triangle);
            let children = builder.stage(below).space;
            let half = builder.push(
                Kind::Half(Half { panel, n, span }),
                children,
                Blocks::Trapezoid { panel, span, cap: n, cols: width },
                self.element,
                vec![Read { source: pairs, pattern: Pattern::Spread { fan: 2 } }],
            );
            seed = Seed::Above;
            read = node_of(half);
        }
        let reads = vec![self.again.read(Pick::Row, Pick::Zero), read];
        let grid = BlockGrid::new(panel, Axis::whole(width));
        let kind = Kind::LeafApply(LeafApply { panel, n, width, seed });
        builder.on_grid(kind, grid, self.element, reads, Order::Rows)
    }
}

/// What the same node has made in another stage.
fn node_of(source: StageId) -> Read {
    Read { source, pattern: Pattern::Block(Pick::Row, Pick::Zero) }
}
