//! Blocks from inputs and to outputs.

use super::properties::{Io, Properties, Share};
use crate::array::{BlockGrid, InputId};
use serde::{Deserialize, Serialize};

/// Block of an input; the matrix begins at (row, col) of the source.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct ReadInput {
    pub input: InputId,
    pub row: u64,
    pub col: u64,
}

impl Properties for ReadInput {
    fn name(&self) -> &'static str {
        "read"
    }

    fn share(&self) -> Share {
        Share::Grid
    }

    fn io(&self) -> Option<Io> {
        Some(Io::Read)
    }

    fn is_source(&self) -> bool {
        true
    }
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

impl Properties for WriteOutput {
    fn name(&self) -> &'static str {
        "write"
    }

    fn share(&self) -> Share {
        Share::Grid
    }

    fn io(&self) -> Option<Io> {
        Some(Io::Write)
    }

    fn grid(&self) -> Option<BlockGrid> {
        Some(self.grid)
    }
}
