//! Many numbers or blocks into one, in trees of fixed shape.

use super::elementwise::Map;
use crate::array::{BlockGrid, Reduction};
use serde::{Deserialize, Serialize};

/// Elementwise expression over blocks of `grid`, reduced to one 1×2 block (sum, or scale and sum of squares).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Reduce {
    pub reduction: Reduction,
    pub grid: BlockGrid,
    pub map: Map,
}

/// Gathered 1×2 partial results into one.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Combine(pub Reduction);

/// A 1×2 partial result into a 1×1 number.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Finish(pub Reduction);
