//! Zarr arrays of version 3: matrices stored by chunks, one file each (<https://zarr-specs.readthedocs.io>).
//!
//! Chunks that are plain elements are read and written here, straight from and into a block; what else there is
//! (compression, checksums, other byte orders, transposed chunks, shards) is decoded by the crate `zarrs`.

mod codecs;
mod contents;
mod decode;
mod group;
mod input;
mod metadata;
mod output;
mod part;
mod partial;
mod seen;
mod store;
mod window;

pub use group::{check_group, group_file, make_group};
pub use input::ZarrInput;
pub(super) use metadata::is_array_of_any_version;
pub(super) use output::ZarrChunks;
pub use output::ZarrOutput;
pub(super) use partial::PartialDir;
