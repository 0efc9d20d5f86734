//! Files: `.npy` in by blocks at any offset and order, `.npy` out that appears only when whole.

mod error;
mod header;
mod input;
mod leftovers;
mod names;
mod output;

pub use error::FileError;
pub use header::{DType, Header};
pub use input::{Convert, NpyInput};
pub use leftovers::{TemporaryFolder, discard_all};
pub use names::expand;
pub use output::{NpyOutput, OutDir, Outputs, check_target, write_whole};
