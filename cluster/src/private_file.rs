//! Files that only their owner may read.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use tempfile::NamedTempFile;

/// What the file system says.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {path}: {error}")]
pub struct FileError {
    /// "read", "write" or "make".
    pub doing: &'static str,
    /// The file or folder.
    pub path: PathBuf,
    /// Why not.
    pub error: io::Error,
}

impl FileError {
    pub(crate) fn new(doing: &'static str, path: &Path, error: io::Error) -> FileError {
        FileError { doing, path: path.to_path_buf(), error }
    }
}

/// Writes a new file of mode 0600, which appears whole.
///
/// # Errors
/// [`AlreadyExists`](io::ErrorKind::AlreadyExists) if anything is there, even a link to nowhere. Else what the file
/// system says. Nothing is left then.
pub(crate) fn write_new(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_beside(path, bytes)?.persist_noclobber(path)?;
    Ok(())
}

/// The same in place of a file: there is never none.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> io::Result<()> {
    write_beside(path, bytes)?.persist(path)?;
    Ok(())
}

fn write_beside(path: &Path, bytes: &[u8]) -> io::Result<NamedTempFile> {
    let folder = match path.parent() {
        None => return Err(io::ErrorKind::IsADirectory.into()),
        Some(folder) if folder.as_os_str().is_empty() => Path::new("."),
        Some(folder) => folder,
    };
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}
