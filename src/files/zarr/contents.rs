//! What belongs to a Zarr array in its directory: its metadata and its chunks.

use super::metadata::NAME;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// The first thing found in the directory of an array that is not of the array.
pub(super) fn foreign(array: &Path) -> io::Result<Option<PathBuf>> {
    first_below(array, |name| name == NAME || is_chunk(name))
}

fn first_below(folder: &Path, is_own: fn(&OsStr) -> bool) -> io::Result<Option<PathBuf>> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if !is_own(&entry.file_name()) {
            return Ok(Some(entry.path()));
        }
        if entry.file_type()?.is_dir()
            && let Some(found) = first_below(&entry.path(), is_number)?
        {
            return Ok(Some(found));
        }
    }
    Ok(None)
}

/// Names in the directory itself, of files or of folders above them: `c`, `c.0.1`, `0`, `0.1`.
fn is_chunk(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    let numbers = bytes.strip_prefix(b"c").unwrap_or(bytes);
    numbers.iter().all(|byte| byte.is_ascii_digit() || *byte == b'.')
}

fn is_number(name: &OsStr) -> bool {
    name.as_bytes().iter().all(u8::is_ascii_digit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_known_by_their_names() {
        let folder = tempfile::tempdir().unwrap();
        for own in ["zarr.json", "c/0/1", "c/17/0", "c.0.1", "3.4", "7/8"] {
            let path = folder.path().join(own);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, "").unwrap();
        }
        assert_eq!(foreign(folder.path()).unwrap(), None);
        for other in ["notes.txt", ".hidden", "c/0/1.bak", "c/zarr.json", "cat"] {
            let path = folder.path().join(other);
            fs::write(&path, "").unwrap();
            assert_eq!(foreign(folder.path()).unwrap(), Some(path.clone()));
            fs::remove_file(path).unwrap();
        }
    }
}
