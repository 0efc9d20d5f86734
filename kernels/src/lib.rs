//! One block in, one block out; no task, no network, no clock, no file, no thread.
//!
//! Blocks are `ndarray` views of any strides; a block at rest is row-major and contiguous. Workspace is a
//! slice that the caller supplies, its length told by the `…_workspace` function beside each kernel. What a
//! kernel computes depends on its operands and their sizes only.
//!
//! | layer | modules |
//! |---|---|
//! | algorithms | [`tsqr`], [`svd`], [`sketch`] |
//! | one pass over elements | [`elementwise`], [`reduce`], [`random`] |
//! | providers of gemm and friends | [`Backend`]: [`Faer`], and `OpenBlas` with feature `openblas` |

mod backend;
pub mod elementwise;
mod faer_backend;
mod householder;
#[cfg(feature = "openblas")]
mod openblas;
pub mod random;
pub mod reduce;
mod scalar;
mod scaling;
mod simd;
pub mod sketch;
pub mod svd;
mod transpose;
pub mod tsqr;
mod workspace;

pub use backend::{Active, Backend, NoConvergence, NotPositiveDefinite};
pub use faer_backend::Faer;
#[cfg(feature = "openblas")]
pub use openblas::OpenBlas;
pub use scalar::Scalar;
