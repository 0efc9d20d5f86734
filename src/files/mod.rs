//! Files: `.npy` in by blocks at any offset and order, `.npy` out that appears only when whole.

mod depth;
mod device;
mod error;
mod flight;
mod header;
mod input;
mod names;
mod output;

pub use depth::{Depth, Policy, Sample, Thresholds};
pub use device::{Device, PAGE, exceeds_cache, scratch_for};
pub use error::FileError;
pub use flight::{Pieces, in_flight};
pub use header::{DType, Header};
pub use input::{Convert, NpyInput};
pub use names::expand;
pub use output::{NpyOutput, OutDir, Outputs, check_target, discard_all, write_whole};
