//! What an input or an output is, told as data: another process opens it for itself.

use crate::array::Element;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A file as it was when it was opened. Device and inode are left out: they differ between machines that share it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct FileSpec {
    /// Absolute.
    #[serde(with = "path_bytes")]
    pub path: PathBuf,
    pub bytes: u64,
    /// Time of the last change, since 1970.
    pub seconds: i64,
    pub nanoseconds: i64,
}

/// How an input is stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum InputFormat {
    /// Files below each other.
    Npy,
    /// A directory with this path; its one file is the metadata in it.
    Zarr {
        #[serde(with = "path_bytes")]
        path: PathBuf,
    },
    /// The dataset of this name within its one file.
    Hdf5 { dataset: String },
}

/// An input that lies in files.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct InputSpec {
    pub format: InputFormat,
    pub files: Vec<FileSpec>,
    /// Rows and columns.
    pub shape: (u64, u64),
    /// The type that it is computed in.
    pub element: Element,
}

/// How an output is stored.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum OutputFormat {
    Npy,
    /// In chunks of so many rows and columns.
    Zarr {
        chunk: (u64, u64),
    },
}

/// An output that one process has made under a name of its own, and others write into. Only its maker ends it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OutputSpec {
    /// As the user says it, for messages.
    #[serde(with = "path_bytes")]
    pub path: PathBuf,
    /// Where it is in the making: absolute, and by the random number in it no other.
    #[serde(with = "path_bytes")]
    pub partial: PathBuf,
    pub format: OutputFormat,
    /// None for a vector.
    pub cols: Option<u64>,
    pub rows: u64,
    pub element: Element,
}

/// Paths as their bytes: serde's own way refuses names that are not UTF-8.
mod path_bytes {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};
    use std::ffi::OsString;
    use std::path::{Path, PathBuf};

    pub fn serialize<S: Serializer>(path: &Path, serializer: S) -> Result<S::Ok, S::Error> {
        path.as_os_str().serialize(serializer)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<PathBuf, D::Error> {
        OsString::deserialize(deserializer).map(PathBuf::from)
    }
}
