//! Blocks that are made of nothing.

use super::properties::{Properties, Share};
use crate::array::Fill;
use serde::{Deserialize, Serialize};

/// Random or constant block; (row, col) is where the matrix begins in its source.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FillBlock {
    pub fill: Fill,
    pub row: u64,
    pub col: u64,
}

impl Properties for FillBlock {
    fn name(&self) -> &'static str {
        "fill"
    }

    fn share(&self) -> Share {
        Share::Grid
    }

    fn is_source(&self) -> bool {
        true
    }
}
