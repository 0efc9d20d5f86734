//! What a randomized SVD does beside products and QR.

use serde::{Deserialize, Serialize};

/// The second block with its columns, or the rows of a block that is read transposed, negated where the same
/// column of the first has a negative entry of largest magnitude.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct FixSigns {
    pub transposed: bool,
}
