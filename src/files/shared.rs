//! Partial results of other processes, in folders that are shared.

use super::error::FileError;
use super::leftovers::is_partial_name;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// No link is followed, and a named pipe is not waited for.
const FLAGS: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK;

/// Opens a file in the making for writing. No other file can be meant: its name was made up by who made it.
pub(super) fn open_partial(path: &Path) -> Result<File, FileError> {
    check_name(path)?;
    let opened = OpenOptions::new().read(true).write(true).custom_flags(FLAGS).open(path);
    opened.map_err(|error| not_opened(path, error))
}

/// Opens a file in a directory in the making, to read it.
pub(super) fn open_partial_file(folder: &Path, name: &str) -> Result<File, FileError> {
    check_name(folder)?;
    let is_folder = std::fs::symlink_metadata(folder).map_err(|error| not_opened(folder, error))?.is_dir();
    if !is_folder {
        return Err(another(folder, "it is not a directory"));
    }
    let opened = OpenOptions::new().read(true).custom_flags(FLAGS).open(folder.join(name));
    opened.map_err(|error| not_opened(folder, error))
}

fn check_name(path: &Path) -> Result<(), FileError> {
    match path.is_absolute() && is_partial_name(path) {
        true => Ok(()),
        false => Err(another(path, "it is not the name of a result in the making")),
    }
}

pub(super) fn not_opened(path: &Path, error: io::Error) -> FileError {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => FileError::NotHere { path: path.into() },
        _ => FileError::Open { path: path.into(), error },
    }
}

pub(super) fn another(path: &Path, what: &'static str) -> FileError {
    FileError::Another { path: path.into(), what }
}
