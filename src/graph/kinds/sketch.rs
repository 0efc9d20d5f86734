//! What a randomized SVD does beside products and QR.

use super::properties::{Properties, Share};
use serde::{Deserialize, Serialize};

/// `Aᵀ(A·X)` of one row block.
pub struct GramApply;

impl Properties for GramApply {
    fn name(&self) -> &'static str {
        "gram-apply"
    }

    fn share(&self) -> Share {
        Share::Input
    }
}

/// The second block with its columns, or the rows of a block that is read transposed, negated where the same
/// column of the first has a negative entry of largest magnitude.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FixSigns {
    pub transposed: bool,
}

impl Properties for FixSigns {
    fn name(&self) -> &'static str {
        "fix-signs"
    }

    fn share(&self) -> Share {
        Share::Whole
    }
}
