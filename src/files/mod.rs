//! Files: `.npy`, Zarr and HDF5 in by blocks at any offset and order, and `.npy` and Zarr out so that they appear only when whole.
//!
//! - `npy/`, `zarr/`, `hdf5/`: a room for each format
//! - `names.rs`, `pattern.rs`, `unchanged.rs`: which files are meant, and whether they are still what they were
//! - `disk/`: requests to devices, whatever is in the files
//! - `partial.rs`, `outputs.rs`, `out_dir.rs`, `leftovers.rs`: results that appear under their names only when whole, and
//!   nothing that stays if they do not

pub mod disk;
mod dtype;
mod error;
mod format;
mod hdf5;
mod leftovers;
mod names;
mod npy;
mod out_dir;
mod outputs;
mod partial;
mod pattern;
mod unchanged;
mod zarr;

pub use disk::Depth;
pub use error::FileError;
pub use format::Format;
pub use hdf5::DatasetName;
#[cfg(feature = "hdf5")]
pub use hdf5::Hdf5Input;
pub use leftovers::{TemporaryFolder, discard_all, is_told_to_end};
pub use names::expand;
pub use npy::{NpyInput, NpyOutput};
pub use out_dir::OutDir;
pub use outputs::Outputs;
pub use partial::{check_target, write_whole};
pub use zarr::{ZarrInput, ZarrOutput};
