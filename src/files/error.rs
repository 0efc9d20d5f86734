//! What can be wrong with a file.

use crate::array::Element;
use crate::failure::{Blame, Failure};
use std::io;
use std::path::{Path, PathBuf};

/// The bytes that a request moved.
pub type Moved = Result<u64, FileError>;

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("{}: no such file", path.display())]
    Missing { path: PathBuf },
    #[error("no file matches {pattern:?}")]
    NoMatch { pattern: PathBuf },
    #[error("{pattern:?} is not a file name pattern: {why}")]
    Pattern { pattern: PathBuf, why: String },
    #[error("cannot look into {}: {error}: files that the pattern means may be there", path.display())]
    Hidden { path: PathBuf, error: io::Error },
    #[error("cannot open {}: {error}", path.display())]
    Open { path: PathBuf, error: io::Error },
    #[error("{}: not a .npy file: {why}", path.display())]
    NotNpy { path: PathBuf, why: String },
    #[error("{}: elements of type {dtype} cannot be computed with: convert them to f64, f32 or integers", path.display())]
    DType { path: PathBuf, dtype: String },
    #[error("{}: an array of {dimensions} dimensions is not a matrix: give one of 1 or 2", path.display())]
    Dimensions { path: PathBuf, dimensions: usize },
    #[error("{}: the header promises {expected} bytes, the file has {found}: it is truncated or has been appended to", path.display())]
    Length { path: PathBuf, expected: u64, found: u64 },
    #[error("{}: {found} columns, but {} has {expected}: files of one matrix need equal columns", path.display(), first.display())]
    Columns { path: PathBuf, first: PathBuf, found: u64, expected: u64 },
    #[error("{}: not a Zarr array that can be read: {why}", path.display())]
    NotZarr { path: PathBuf, why: String },
    #[error("{}: zarr version 2 is not read here: convert it to version 3, e.g. with Python's zarr", path.display())]
    OldZarr { path: PathBuf },
    #[error("{}: a Zarr group, not an array: {hint}", path.display())]
    Group { path: PathBuf, hint: String },
    #[error("{}: this chunk cannot be read: {why}", path.display())]
    Chunk { path: PathBuf, why: String },
    #[error("{}: this program was built without HDF5: build it with --features hdf5, which needs libhdf5", path.display())]
    NoHdf5 { path: PathBuf },
    #[error("{}: not an HDF5 file that can be read: {why}", path.display())]
    NotHdf5 { path: PathBuf, why: String },
    #[error("{}: there is no dataset of this name: {hint}", path.display())]
    NoDataset { path: PathBuf, hint: String },
    #[error("{}: which matrix of this file is not clear: {hint}", path.display())]
    Ambiguous { path: PathBuf, hint: String },
    #[error("{}: a Zarr array or an HDF5 dataset is a matrix of its own: give it alone, not below other files", path.display())]
    Alone { path: PathBuf },
    #[error("cannot write {}: {why}", path.display())]
    Target { path: PathBuf, why: String },
    #[error("cannot write {}: it leads to something that is no ordinary file: name a file", path.display())]
    NoFile { path: PathBuf },
    #[error("cannot write {}: {needed} bytes are needed and {free} are free on the disk: free some, or choose another --out", path.display())]
    NoSpace { path: PathBuf, needed: u64, free: u64 },
    #[error("there is no {} here: is that folder shared?", path.display())]
    NotHere { path: PathBuf },
    #[error("{} is another file here, or has changed: {what}", path.display())]
    Another { path: PathBuf, what: &'static str },
    #[error("reading {}: {}", path.display(), in_words(error))]
    Read { path: PathBuf, error: io::Error },
    #[error("{}: it changed while it was read: run again when nobody writes to it", path.display())]
    Changed { path: PathBuf },
    #[error("writing {}: {error}{}", path.display(), hint(error))]
    Write { path: PathBuf, error: io::Error },
    #[error("{error}: written all the same: {}", names(written))]
    SomeWritten { error: Box<FileError>, written: Vec<PathBuf> },
    #[error("{} holds {found} elements, asked for as {asked}", path.display())]
    Element { path: PathBuf, found: Element, asked: Element },
}

impl FileError {
    /// A chunk that is not what it should be.
    pub(super) fn chunk(path: &Path, why: impl ToString) -> FileError {
        FileError::Chunk { path: path.into(), why: why.to_string().replace('\n', " ") }
    }

    /// True if the request was wrong, false if something failed on the way.
    pub fn is_request_error(&self) -> bool {
        match self {
            FileError::Read { .. }
            | FileError::Changed { .. }
            | FileError::Write { .. }
            | FileError::NoSpace { .. } => false,
            FileError::SomeWritten { error, .. } => error.is_request_error(),
            _ => true,
        }
    }
}

/// What kept us from reading: the system's words, or plainer ones.
fn in_words(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => "the file ends too early: is it whole?".into(),
        _ if error.raw_os_error() == Some(libc::EMFILE) => {
            format!("{error}: raise the limit on them (ulimit -n)")
        }
        _ => error.to_string(),
    }
}

/// How to mend what the system says in its own words.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::FileTooLarge => ": raise the limit on the size of files (ulimit -f)",
        _ => "",
    }
}

fn names(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| path.display().to_string()).collect::<Vec<_>>().join(", ")
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Failure {
        let blame = if error.is_request_error() { Blame::Request } else { Blame::Run };
        Failure { blame, message: error.to_string() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_kept_us_from_reading_is_said_in_plain_words() {
        let said = |error: io::Error| FileError::Read { path: "a.npy".into(), error }.to_string();
        let short = said(io::ErrorKind::UnexpectedEof.into());
        assert_eq!(short, "reading a.npy: the file ends too early: is it whole?");
        let many = said(io::Error::from_raw_os_error(libc::EMFILE));
        assert!(many.ends_with(": raise the limit on them (ulimit -n)"), "{many}");
        let other = said(io::Error::from_raw_os_error(libc::EIO));
        assert!(other.starts_with("reading a.npy: Input/output error"), "{other}");
    }
}
