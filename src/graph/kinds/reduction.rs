//! Many numbers or blocks into one, in trees of fixed shape.

use super::elementwise::Map;
use super::properties::{Properties, Share};
use crate::array::{BlockGrid, Reduction};
use serde::{Deserialize, Serialize};

/// Elementwise expression over blocks of `grid`, reduced to one 1×2 block (sum, or scale and sum of squares).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Reduce {
    pub reduction: Reduction,
    pub grid: BlockGrid,
    pub map: Map,
}

impl Properties for Reduce {
    fn name(&self) -> &'static str {
        "reduce"
    }

    fn share(&self) -> Share {
        Share::Grid
    }

    fn grid(&self) -> Option<BlockGrid> {
        Some(self.grid)
    }
}

/// Gathered 1×2 partial results into one.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Combine(pub Reduction);

impl Properties for Combine {
    fn name(&self) -> &'static str {
        "combine"
    }

    fn share(&self) -> Share {
        Share::Whole
    }
}

/// A 1×2 partial result into a 1×1 number.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Finish(pub Reduction);

impl Properties for Finish {
    fn name(&self) -> &'static str {
        "finish"
    }

    fn share(&self) -> Share {
        Share::Whole
    }
}

/// Gathered blocks of equal shape, added in order.
pub struct AddUp;

impl Properties for AddUp {
    fn name(&self) -> &'static str {
        "add-up"
    }

    fn share(&self) -> Share {
        Share::Whole
    }
}
