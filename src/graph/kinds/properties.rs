//! What every kind of stage says of itself.

use crate::array::BlockGrid;

/// What the work of a ragged task depends on: it is the same share of a full task's as this is of a full one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Share {
    /// Nothing: each task counts as a full one.
    Whole,
    /// The area of its part of the stage's grid.
    Grid,
    /// The area of the first block that it reads.
    Input,
    /// The area of its block, and the length that is summed over: the rows of the first factor if that is read
    /// transposed, else its columns.
    Product { ta: bool },
}

/// What a task moves between memory and a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Io {
    Read,
    Write,
}

/// What a program and its scheduler ask of a kind of stage.
pub(super) struct Properties {
    pub name: &'static str,
    pub share: Share,
    pub io: Option<Io>,
    pub is_source: bool,
    pub grid: Option<BlockGrid>,
}

impl Properties {
    /// What every kind has to say. Most compute, and need what they read.
    pub fn new(name: &'static str, share: Share) -> Properties {
        Properties { name, share, io: None, is_source: false, grid: None }
    }

    pub fn with_io(self, io: Io) -> Properties {
        Properties { io: Some(io), ..self }
    }

    pub fn of_source(self) -> Properties {
        Properties { is_source: true, ..self }
    }

    pub fn with_grid(self, grid: BlockGrid) -> Properties {
        Properties { grid: Some(grid), ..self }
    }
}
