//! Products of matrices.

use serde::{Deserialize, Serialize};

/// `C += op(A)·op(B)`, the output taken over from the step before.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Gemm {
    pub ta: bool,
    pub tb: bool,
}
