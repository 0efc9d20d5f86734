//! Blocks that are made of nothing.

use crate::array::Fill;
use serde::{Deserialize, Serialize};

/// Random or constant block; (row, col) is where the matrix begins in its source.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FillBlock {
    pub fill: Fill,
    pub row: u64,
    pub col: u64,
}
