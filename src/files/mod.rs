//! Files: `.npy`, Zarr and HDF5 in by blocks at any offset and order, and `.npy` and Zarr out so that they appear
//! only when whole.
//!
//! - `npy/`, `zarr/`, `hdf5/`: a room for each format
//! - `names.rs`, `pattern.rs`, `unchanged.rs`: which files are meant, and whether they are still what they were
//! - `open.rs`, `shared.rs`: inputs and outputs from their names, or from what another process says of them
//! - `disk/`: requests to devices, whatever is in the files
//! - `partial.rs`, `outputs.rs`, `out_dir.rs`: results that appear under their names only when whole
//! - `ending.rs`, `owner.rs`, `leftovers.rs`, `temporary.rs`: nothing that stays if they do not
//! - `earlier.rs`, `targets.rs`: what is there already where they are to be

pub mod disk;
mod dtype;
mod earlier;
mod ending;
mod error;
mod format;
mod hdf5;
mod leftovers;
mod names;
mod npy;
mod open;
mod out_dir;
mod outputs;
mod owner;
mod partial;
mod pattern;
mod shared;
mod targets;
mod temporary;
mod unchanged;
mod zarr;

pub use disk::{Change, Depth, Meter};
pub use ending::{Written, discard_all, is_told_to_end};
pub use error::{FileError, Moved};
pub use format::Format;
pub use hdf5::DatasetName;
#[cfg(feature = "hdf5")]
pub use hdf5::Hdf5Input;
pub use names::expand;
#[cfg(any(test, fuzzing))]
pub(crate) use npy::Header as NpyHeader;
pub use npy::{NpyInput, NpyOutput};
pub use open::{Opened, open_input, open_output, open_paths};
pub use out_dir::OutDir;
pub use outputs::Outputs;
pub use partial::{check_target, write_whole};
pub use targets::{check_outputs, check_result, check_spared};
pub use temporary::TemporaryFolder;
pub use zarr::{ZarrInput, ZarrOutput, check_group, group_file, make_group};
