//! Blocks from inputs and to outputs.

use crate::array::{BlockGrid, InputId};
use serde::{Deserialize, Serialize};

/// Block of an input; the matrix begins at (row, col) of the source.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ReadInput {
    pub input: InputId,
    pub row: u64,
    pub col: u64,
}

/// Writes a block to an output, transposed if said so; the matrix begins at (row, col) of the output.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct WriteOutput {
    pub output: u32,
    pub grid: BlockGrid,
    pub transposed: bool,
    pub row: u64,
    pub col: u64,
}
