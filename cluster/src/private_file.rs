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
    let mut file = beside(path)?;
    fill(&mut file, bytes)?;
    file.persist_noclobber(path)?;
    Ok(())
}

/// An empty file of mode 0600 that can take the place of `path`. If it does not, it goes.
pub(crate) fn beside(path: &Path) -> io::Result<NamedTempFile> {
    NamedTempFile::new_in(path.parent().ok_or(io::ErrorKind::IsADirectory)?)
}

/// Writes all that is in it.
pub(crate) fn fill(file: &mut NamedTempFile, bytes: &[u8]) -> io::Result<()> {
    file.write_all(bytes)?;
    file.as_file().sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_beside_no_folder_is_one_of_the_working_directory() {
        let mut file = beside(Path::new("s.json")).unwrap();
        fill(&mut file, b"text").unwrap();
        let folder = file.path().parent().unwrap().canonicalize().unwrap();
        assert_eq!(folder, std::env::current_dir().unwrap().canonicalize().unwrap());
        assert_eq!(std::fs::read(file.path()).unwrap(), b"text");
    }

    #[test]
    fn a_new_file_takes_the_place_of_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        write_new(&path, b"1").unwrap();
        assert_eq!(write_new(&path, b"2").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"1");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(write_new(Path::new("/"), b"").unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }
}
