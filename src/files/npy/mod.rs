//! `.npy` files (NumPy Enhancement Proposal 1), read by blocks and written by blocks.

mod header;
mod input;
mod kept;
mod output;

#[cfg(any(test, fuzzing))]
pub(crate) use header::Header;
pub use input::NpyInput;
pub(super) use output::NpyBlocks;
pub use output::NpyOutput;
