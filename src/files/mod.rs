//! Files: `.npy` and Zarr in by blocks at any offset and order, and out so that they appear only when whole.

mod elements;
mod error;
mod format;
mod header;
mod input;
mod names;
mod output;
mod zarr;

pub use error::FileError;
pub use format::Format;
pub use header::{DType, Header};
pub use input::{Convert, NpyInput};
pub use names::expand;
pub use output::{NpyOutput, OutDir, Outputs, check_target, discard_all, write_whole};
pub use zarr::{ZarrInput, ZarrOutput};
