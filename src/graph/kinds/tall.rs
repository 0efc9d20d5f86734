//! The tasks of a TSQR tree. `panel` is the row axis of a tall matrix, `n` its number of columns.

use crate::array::Axis;
use serde::{Deserialize, Serialize};

/// Rows of `panel` below node `at` where `span` leaves lie below each node, at most `cap`.
pub(crate) fn rows_below(panel: Axis, span: u32, at: u32, cap: u64) -> u64 {
    let leaves = panel.blocks();
    let first = at.saturating_mul(span).min(leaves);
    let last = at.saturating_add(1).saturating_mul(span).min(leaves);
    if first == last {
        return 0;
    }
    (panel.range(last - 1).end - panel.range(first).start).min(cap)
}

/// Elements of the upper trapezoid of `rows`×`n`, packed row by row; at most `n` rows.
pub(crate) fn packed_len(rows: u64, n: u64) -> u64 {
    rows * n - rows * rows.saturating_sub(1) / 2
}

/// R of one row block, packed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LeafR {
    pub panel: Axis,
    pub n: u64,
}

/// The QR factorisation of two triangles below each other; `span` leaves lie below each child.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Merge {
    pub panel: Axis,
    pub n: u64,
    pub span: u32,
}

/// R of a merge, packed: what goes up the tree. What the way down needs stays with the merge.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Triangle {
    pub panel: Axis,
    pub n: u64,
    pub span: u32,
}

/// SVD of the root's R, packed `[U r×keep | s | Vᵀ keep×n]`; with `values_only` just `[s]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RootSvd {
    pub panel: Axis,
    pub n: u64,
    pub span: u32,
    pub keep: u64,
    pub values_only: bool,
}

/// R with non-negative diagonal and the signs: `[R | signs]`.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct RootQr {
    pub panel: Axis,
    pub n: u64,
    pub span: u32,
}

/// Where the coefficients come from that a Householder Q is applied to.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Seed {
    /// The left singular vectors of the root's triangle.
    Svd,
    /// The signs that make the diagonal of R non-negative.
    Qr,
    /// This node's rows of what the level above made.
    Above,
}

/// Q of a merge times its seed: the seeds of its two children below each other.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Down {
    pub panel: Axis,
    pub n: u64,
    pub span: u32,
    pub width: u64,
    pub seed: Seed,
}

/// One child's rows of what [`Down`] made for two; `span` leaves lie below each child.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Half {
    pub panel: Axis,
    pub n: u64,
    pub span: u32,
}

/// Q of a row block times its seed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct LeafApply {
    pub panel: Axis,
    pub n: u64,
    pub width: u64,
    pub seed: Seed,
}

/// A piece of a packed block.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Part {
    SingularValues,
    /// k×n, the right singular vectors of the small matrix.
    RightVectors,
    /// n×n upper triangle.
    Triangle,
}

/// A piece of a packed block as a block of its own.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Unpack {
    pub part: Part,
    pub panel: Axis,
    pub n: u64,
    pub keep: u64,
}
