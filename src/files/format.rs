//! Formats of results.

use std::path::Path;

/// How a matrix is stored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Format {
    /// One file, row by row.
    #[default]
    Npy,
    /// A directory with a file for each block.
    Zarr,
}

impl Format {
    /// The format that a name's ending stands for; `.npy` if it says nothing.
    pub fn of(path: &Path) -> Format {
        if path.extension().is_some_and(|ending| ending == "zarr") { Format::Zarr } else { Format::Npy }
    }

    pub fn extension(self) -> &'static str {
        match self {
            Format::Npy => "npy",
            Format::Zarr => "zarr",
        }
    }
}
