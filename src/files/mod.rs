//! Files: `.npy`, Zarr and HDF5 in by blocks at any offset and order, and `.npy` and Zarr out so that they appear only when whole.

mod depth;
mod device;
mod elements;
mod error;
mod flight;
mod format;
mod hdf5;
mod header;
mod input;
mod leftovers;
mod names;
mod output;
mod zarr;

pub use depth::{Depth, Policy, Sample, Thresholds};
pub use device::{Device, PAGE, exceeds_cache, scratch_for};
pub use elements::Convert;
pub use error::FileError;
pub use flight::{Pieces, in_flight};
pub use format::Format;
pub use hdf5::DatasetName;
#[cfg(feature = "hdf5")]
pub use hdf5::Hdf5Input;
pub use header::{DType, Header};
pub use input::NpyInput;
pub use leftovers::{TemporaryFolder, discard_all, is_told_to_end};
pub use names::expand;
pub use output::{NpyOutput, OutDir, Outputs, check_target, write_whole};
pub use zarr::{ZarrInput, ZarrOutput};
