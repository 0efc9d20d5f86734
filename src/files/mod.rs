//! Files: `.npy` in by blocks at any offset and order, `.npy` out that appears only when whole.

mod error;
mod header;
mod input;
mod names;
mod output;

pub use error::FileError;
pub use header::{DType, Header};
pub use input::{Convert, NpyInput};
pub use names::expand;
pub use output::{NpyOutput, OutDir, Outputs, check_target, discard_all, write_whole};
