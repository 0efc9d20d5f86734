//! Products of matrices.

use super::properties::{Properties, Share};
use serde::{Deserialize, Serialize};

/// `C += op(A)·op(B)`, the output taken over from the step before.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Gemm {
    pub ta: bool,
    pub tb: bool,
}

impl Properties for Gemm {
    fn name(&self) -> &'static str {
        "gemm"
    }

    fn share(&self) -> Share {
        Share::Product { ta: self.ta }
    }
}
