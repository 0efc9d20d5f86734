//! A folder of arrays that other programs open as one.

use super::metadata::NAME;
use crate::files::FileError;
use crate::files::partial::write_whole;
use serde_json::json;
use std::path::Path;

/// Makes a folder a Zarr group, unless it is a Zarr node already. With `sync` it is one on the disk when this returns.
pub fn make_group(folder: &Path, sync: bool) -> Result<(), FileError> {
    let path = folder.join(NAME);
    if path.exists() {
        return Ok(());
    }
    let node = json!({ "zarr_format": 3, "node_type": "group", "attributes": {} });
    write_whole(&path, format!("{node:#}\n").as_bytes(), sync)
}
