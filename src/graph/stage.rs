//! What a stage is: an operation over a space of tasks, and the blocks it makes.

use super::calls::Calls;
use super::pattern::Pattern;
use super::space::Space;
use crate::array::{Axis, BlockGrid, Element, Fill, InputId, Reduction};
use crate::ids::StageId;
use serde::{Deserialize, Serialize};
use std::sync::Arc;

/// One step of an elementwise expression in postfix order.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum MapOp {
    Load(u32),
    Scalar(f64),
    Add,
    Sub,
    Mul,
    Neg,
}

/// What `MapOp::Load` loads.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub enum Operand {
    /// The block of read number `read`, as it is or transposed.
    Block { read: u32, transposed: bool },
    /// The same of another element type, converted to that of the stage where it is used.
    Converted { read: u32, transposed: bool, from: Element },
    /// Made where it is used; (row, col) is where the matrix begins in its source.
    Fill { fill: Fill, row: u64, col: u64, transposed: bool },
}

impl Operand {
    /// Is it made where it is used, in a room of its own?
    pub fn is_made(&self) -> bool {
        !matches!(self, Operand::Block { .. })
    }
}

/// A piece of a packed block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Part {
    SingularValues,
    /// k×n, the right singular vectors of the small matrix.
    RightVectors,
    /// n×n upper triangle.
    Triangle,
}

/// Where the coefficients come from that a Householder Q is applied to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Seed {
    /// The left singular vectors of the root's triangle.
    Svd,
    /// The signs that make the diagonal of R non-negative.
    Qr,
    /// This node's rows of what the level above made; `span` leaves lie below each node here.
    Above { span: u32 },
}

/// The operation of a stage. `panel` is the row axis of a tall matrix, `n` its number of columns.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// Block of an input; the matrix begins at (row, col) of the source. I/O.
    Read { input: InputId, row: u64, col: u64 },
    /// Random or constant block.
    Fill { fill: Fill, row: u64, col: u64 },
    /// Elementwise expression.
    Map { ops: Vec<MapOp>, operands: Vec<Operand> },
    /// Elementwise expression over blocks of `grid`, reduced to one 1×2 block (sum, or scale and sum of squares).
    Reduce { reduction: Reduction, grid: BlockGrid, ops: Vec<MapOp>, operands: Vec<Operand> },
    /// Gathered 1×2 partial results into one.
    Combine(Reduction),
    /// A 1×2 partial result into a 1×1 number.
    Finish(Reduction),
    /// Gathered blocks of equal shape, added in order.
    AddUp,
    /// `C += op(A)·op(B)`, the output taken over from the step before.
    Gemm { ta: bool, tb: bool },
    /// `Aᵀ(A·X)` of one row block.
    GramApply,
    /// R of one row block.
    LeafR { panel: Axis, n: u64 },
    /// R and Q of two triangles below each other; `span` leaves lie below each child. Packed `[R | factor]`.
    Merge { panel: Axis, n: u64, span: u32 },
    /// SVD of the root's R, packed `[U r×keep | s | Vᵀ keep×n]`; with `values_only` just `[s]`.
    RootSvd { panel: Axis, n: u64, span: u32, keep: u64, values_only: bool },
    /// R with non-negative diagonal and the signs: `[R | signs]`.
    RootQr { panel: Axis, n: u64, span: u32 },
    /// Q of a merge times its seed: the seeds of its two children below each other.
    Down { panel: Axis, n: u64, span: u32, width: u64, seed: Seed },
    /// Q of a row block times its seed.
    LeafApply { panel: Axis, n: u64, width: u64, seed: Seed },
    /// A piece of a packed block as a block of its own.
    Unpack { part: Part, panel: Axis, n: u64, keep: u64 },
    /// The second block with its columns, or the rows of a block that is read transposed, negated where the same
    /// column of the first has a negative entry of largest magnitude.
    FixSigns { transposed: bool },
    /// Writes a block to an output, transposed if said so; the matrix begins at (row, col) of the output. I/O.
    Write { output: u32, grid: BlockGrid, transposed: bool, row: u64, col: u64 },
    /// Registered functions, wired by hand.
    Delayed(Arc<Calls>),
    /// Nothing at all: measures the scheduler.
    Null,
}

impl Kind {
    pub fn name(&self) -> &'static str {
        match self {
            Kind::Read { .. } => "read",
            Kind::Fill { .. } => "fill",
            Kind::Map { .. } => "map",
            Kind::Reduce { .. } => "reduce",
            Kind::Combine(_) => "combine",
            Kind::Finish(_) => "finish",
            Kind::AddUp => "add-up",
            Kind::Gemm { .. } => "gemm",
            Kind::GramApply => "gram-apply",
            Kind::LeafR { .. } => "leaf-r",
            Kind::Merge { .. } => "merge",
            Kind::RootSvd { .. } => "root-svd",
            Kind::RootQr { .. } => "root-qr",
            Kind::Down { .. } => "down",
            Kind::LeafApply { .. } => "leaf-apply",
            Kind::Unpack { .. } => "unpack",
            Kind::FixSigns { .. } => "fix-signs",
            Kind::Write { .. } => "write",
            Kind::Delayed(_) => "delayed",
            Kind::Null => "null",
        }
    }

    /// Are its blocks as cheap to read or make again as to write and read back?
    pub fn is_source(&self) -> bool {
        matches!(self, Kind::Read { .. } | Kind::Fill { .. })
    }

    /// Tasks of this kind wait for a device: they hold memory, not a core.
    pub fn is_io(&self) -> bool {
        matches!(self, Kind::Read { .. } | Kind::Write { .. })
    }
}

/// The shapes of the blocks that a stage makes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Blocks {
    Grid(BlockGrid),
    /// All alike.
    Each {
        rows: u64,
        cols: u64,
    },
    /// Block i has as many rows as `panel` has below node i (`span` leaves each), at most `cap`.
    Trapezoid {
        panel: Axis,
        span: u32,
        cap: u64,
        cols: u64,
    },
    /// The trapezoids of two children below each other.
    Pair {
        panel: Axis,
        span: u32,
        cap: u64,
        cols: u64,
    },
    /// Tasks that leave no block behind.
    Nothing,
}

/// Rows of `panel` below node `at` where `span` leaves lie below each node, at most `cap`.
pub(crate) fn rows_below(panel: Axis, span: u32, at: u32, cap: u64) -> u64 {
    let leaves = panel.blocks();
    let first = at.saturating_mul(span).min(leaves);
    let last = at.saturating_add(1).saturating_mul(span).min(leaves);
    if first == last {
        return 0;
    }
    (panel.range(last - 1).end - panel.range(first).start).min(cap)
}

/// One operand: which stage, and which of its blocks.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Read {
    pub source: StageId,
    pub pattern: Pattern,
}

/// What one task costs: filled in by whoever knows the kernels.
#[derive(Clone, Copy, PartialEq, Debug, Default, Serialize, Deserialize)]
pub struct Work {
    /// Floating point operations of a task of full size.
    pub flops: f64,
    /// Workspace of a task in bytes, at most.
    pub workspace: u64,
}

#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Stage {
    pub kind: Kind,
    pub space: Space,
    pub blocks: Blocks,
    pub element: Element,
    pub reads: Vec<Read>,
    /// A result: its blocks stay until the session has fetched them.
    pub keep: bool,
    /// All chains of the stage advance together, step by step: what they read is read once and let go.
    pub lockstep: bool,
    pub work: Work,
}

impl Stage {
    /// Shape of the block that task `index` makes (for a step of a chain: of the block in the making).
    pub fn shape(&self, index: u32) -> (u64, u64) {
        let c = self.space.coords(index);
        match self.blocks {
            Blocks::Grid(grid) => grid.shape(c.i, c.j),
            Blocks::Each { rows, cols } => (rows, cols),
            Blocks::Trapezoid { panel, span, cap, cols } => (rows_below(panel, span, index, cap), cols),
            Blocks::Pair { panel, span, cap, cols } => {
                let child = |at| rows_below(panel, span, at, cap);
                (child(2 * index) + child(2 * index + 1), cols)
            }
            Blocks::Nothing => (0, 0),
        }
    }

    /// Do the tasks of this stage leave blocks behind, be they empty?
    pub fn leaves_blocks(&self) -> bool {
        self.blocks != Blocks::Nothing
    }

    /// The largest shape of a block.
    pub fn largest_shape(&self) -> (u64, u64) {
        match self.blocks {
            Blocks::Grid(grid) => grid.block_shape(),
            Blocks::Each { rows, cols } => (rows, cols),
            Blocks::Trapezoid { panel, span, cap, cols } => (rows_below(panel, span, 0, cap), cols),
            Blocks::Pair { .. } => self.shape(0),
            Blocks::Nothing => (0, 0),
        }
    }

    /// Bytes of the largest block.
    pub fn largest_bytes(&self) -> u64 {
        let (rows, cols) = self.largest_shape();
        rows * cols * self.element.bytes()
    }

    pub fn bytes(&self, index: u32) -> u64 {
        let (rows, cols) = self.shape(index);
        rows * cols * self.element.bytes()
    }
}
