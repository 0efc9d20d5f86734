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
pub(in crate::graph) trait Properties {
    /// A word for reports.
    fn name(&self) -> &'static str;

    /// How much work a ragged task is.
    fn share(&self) -> Share;

    /// Tasks that wait for a device hold memory, not a core.
    fn io(&self) -> Option<Io> {
        None
    }

    /// Are its blocks as cheap to read or make again as to write and read back?
    fn is_source(&self) -> bool {
        false
    }

    /// The grid that its tasks go over, if that is not the one of the blocks that they make.
    fn grid(&self) -> Option<BlockGrid> {
        None
    }
}
