//! A folder of arrays that other programs open as one.

use super::metadata::{NAME, group};
use crate::files::FileError;
use crate::files::partial::write_whole;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};

/// The member with copies of the metadata of all that is in the group. Readers look there and not at the arrays.
const CONSOLIDATED: &str = "consolidated_metadata";

/// The file that makes a folder a Zarr group.
pub fn group_file(folder: &Path) -> PathBuf {
    folder.join(NAME)
}

/// Is a folder a group, or can it be made one?
pub fn check_group(folder: &Path) -> Result<(), FileError> {
    let path = group_file(folder);
    if path.symlink_metadata().is_err() {
        return Ok(());
    }
    let why = match group(folder) {
        Some(node) if node.get(CONSOLIDATED).is_none_or(Value::is_null) => return Ok(()),
        Some(_) => {
            "it holds copies of its arrays' metadata (consolidated_metadata), which would not be true any more: \
                    remove them, or choose another folder"
        }
        None => "it is not the metadata of a Zarr group: move it away, or choose another folder",
    };
    Err(FileError::Target { path, why: why.into() })
}

/// Makes a folder a Zarr group, unless it is one already. With `sync` it is one on the disk when this returns.
pub fn make_group(folder: &Path, sync: bool) -> Result<(), FileError> {
    let path = group_file(folder);
    check_group(folder)?;
    if path.exists() {
        return Ok(());
    }
    let node = json!({ "zarr_format": 3, "node_type": "group", "attributes": {} });
    write_whole(&path, format!("{node:#}\n").as_bytes(), sync)
}
