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
    let folder = path.parent().ok_or(io::ErrorKind::IsADirectory)?;
    let mut file = NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_beside_no_folder_is_one_of_the_working_directory() {
        let file = write_beside(Path::new("s.json"), b"text").unwrap();
        let beside = file.path().parent().unwrap().canonicalize().unwrap();
        assert_eq!(beside, std::env::current_dir().unwrap().canonicalize().unwrap());
        assert_eq!(std::fs::read(file.path()).unwrap(), b"text");
    }

    #[test]
    fn a_new_file_takes_the_place_of_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("f");
        write_new(&path, b"1").unwrap();
        assert_eq!(write_new(&path, b"2").unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        replace(&path, b"3").unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"3");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
        assert_eq!(write_new(Path::new("/"), b"").unwrap_err().kind(), io::ErrorKind::IsADirectory);
    }
}
