//! What a stage is: an operation over a space of tasks, and the blocks it makes.

use super::kinds::{Kind, packed_len, rows_below};
use super::pattern::Pattern;
use super::space::Space;
use crate::array::{Axis, BlockGrid, Element};
use crate::ids::StageId;
use serde::{Deserialize, Serialize};

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
    /// The upper trapezoid of as many rows of `n` columns, at most `n`, as `panel` has below node i: row by row.
    Packed {
        panel: Axis,
        span: u32,
        n: u64,
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
        match self.blocks {
            Blocks::Grid(grid) => {
                let place = self.space.coords(index);
                grid.shape(place.i, place.j)
            }
            Blocks::Each { rows, cols } => (rows, cols),
            Blocks::Trapezoid { panel, span, cap, cols } => (rows_below(panel, span, index, cap), cols),
            Blocks::Packed { panel, span, n } => (1, packed_len(rows_below(panel, span, index, n), n)),
            Blocks::Pair { panel, span, cap, cols } => {
                let child = |at| rows_below(panel, span, at, cap);
                (child(2 * index) + child(2 * index + 1), cols)
            }
            Blocks::Nothing => (0, 0),
        }
    }

    /// The grid that the tasks go over, if they go over one: the kind's own, or that of the blocks that they make.
    pub fn grid(&self) -> Option<BlockGrid> {
        self.kind.grid().or(match self.blocks {
            Blocks::Grid(grid) => Some(grid),
            _ => None,
        })
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
            Blocks::Packed { .. } | Blocks::Pair { .. } => self.shape(0),
            Blocks::Nothing => (0, 0),
        }
    }

    /// Bytes of the largest block.
    pub fn largest_bytes(&self) -> u64 {
        let (rows, cols) = self.largest_shape();
        rows * cols * self.element.bytes()
    }

    /// Bytes of each block, if all have as many.
    pub fn even_bytes(&self) -> Option<u64> {
        let is_even = match self.blocks {
            Blocks::Grid(grid) => grid.is_even(),
            Blocks::Each { .. } | Blocks::Nothing => true,
            Blocks::Trapezoid { .. } | Blocks::Packed { .. } | Blocks::Pair { .. } => false,
        };
        is_even.then(|| self.largest_bytes())
    }

    pub fn bytes(&self, index: u32) -> u64 {
        let (rows, cols) = self.shape(index);
        rows * cols * self.element.bytes()
    }
}
